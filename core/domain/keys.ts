// Keys: 16 bytes that stand for a document, a phone or a fact. The hashing that makes them is in access.

/** Length of every key. */
export const KEY_BYTES = 16;

declare const brand: unique symbol;
type Key<Name extends string> = Uint8Array & { readonly [brand]: Name };

/** Keyed hash of a canonical document. */
export type DocumentKey = Key<"document">;
/** Keyed hash of a canonical phone number. */
export type PhoneKey = Key<"phone">;
/** Keyed hash of a source and its factId, so that an id that holds a number by mistake is not kept either. */
export type FactKey = Key<"fact">;
/** The smallest document key of a holder. */
export type HolderKey = DocumentKey;
/** What a fact is about: a document or a phone. */
export type SubjectKey = DocumentKey | PhoneKey;

/** The last bit of a subject's key tells phones from documents, so that a key alone says what it stands for. */
export function subjectKind(key: SubjectKey): "document" | "phone" {
  return (key[KEY_BYTES - 1]! & 1) === 1 ? "phone" : "document";
}

/** Sets that bit; for whoever makes keys. */
export function markSubject(key: Uint8Array, kind: "document" | "phone"): void {
  key[KEY_BYTES - 1] = (key[KEY_BYTES - 1]! & 0xfe) | (kind === "phone" ? 1 : 0);
}

/** A key as a short string, for maps in memory. */
export function keyText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1");
}

/** The inverse of keyText; what kind of key it is, the caller knows. */
export function keyOf(text: string): DocumentKey & PhoneKey {
  return Buffer.from(text, "latin1") as Uint8Array as DocumentKey & PhoneKey;
}
