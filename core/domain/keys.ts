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

/** A key as a short string, for maps in memory. */
export function keyText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1");
}

/** The inverse of keyText. */
export function keyOf<K extends Uint8Array = SubjectKey>(text: string): K {
  return Buffer.from(text, "latin1") as Uint8Array as K;
}
