// The keyring: turns numbers into keys. The secret lies in a file of its own; whoever has only stores has no numbers.
// Promises: one canonical text gives one key under one secret; without the secret keys can't be walked through.
// Not here: canonical spelling (domain).

import { createHmac } from "node:crypto";
import { IDENTITY_BYTES, IDENTITY_PREFIXES, identityPrefixAt, KEY_BYTES, markSubject, type Document, type DocumentKey, type FactKey, type PhoneKey } from "../domain/index.ts";
import { createMac } from "./mac.ts";
import { createSipHash, SIPHASH_BYTES } from "./siphash.ts";

export interface Keyring {
  documentKey(document: Document): DocumentKey;
  /** The key of an identity number that lies in `bytes` at `at` (isIdentityNumberAt), put into `keys` at `keyAt`; the same as its document's. Allocates nothing. */
  identityKey(bytes: Uint8Array, at: number, keys: Uint8Array, keyAt: number): void;
  phoneKey(phone: { readonly canonical: string }): PhoneKey;
  /**
   * A fact is named by its source and the id that the source gave it. Keys of ids that differ in their last characters alone, as those that a source counts up, begin alike: who
   * stores them in order finds them beside each other.
   */
  factKey(source: string, factId: string): FactKey;
  /** Tells two deliveries apart; keyed, so that a short body can't be guessed from it. */
  bodyHash(body: Uint8Array): string;
  /** The same of a body that comes in pieces. */
  bodyHasher(): BodyHasher;
}

/** Takes a body piece by piece; `digest` is asked once. */
export interface BodyHasher {
  update(piece: Uint8Array): void;
  digest(): string;
}

/**
 * Documents and phones, which are on the way of every scan: SipHash-2-4-128. The rest: HMAC-SHA-256 cut to 128 bits. Each kind under a key of its own that comes from
 * the secret, so that a phone can't stand for a document.
 */
export function createKeyring(secret: Uint8Array): Keyring {
  if (secret.length < 32) throw new Error("the document secret must have at least 32 bytes");
  const { memory, hash } = createSipHash();
  memory.set(createMac(secret, "document")("").subarray(0, SIPHASH_BYTES), DOCUMENT_KEY_AT);
  memory.set(createMac(secret, "phone")("").subarray(0, SIPHASH_BYTES), PHONE_KEY_AT);
  IDENTITY_PREFIXES.forEach((prefix, i) => memory.set(Buffer.from(prefix), IDENTITY_AT[i]));

  const subject = (kind: "document" | "phone", canonical: string): Uint8Array => {
    hash(TEXT_AT, writeText(memory, canonical), kind === "phone" ? PHONE_KEY_AT : DOCUMENT_KEY_AT, RESULT_AT);
    const key = memory.slice(RESULT_AT, RESULT_AT + KEY_BYTES);
    markSubject(key, kind);
    return key;
  };
  const [factMac, stemMac, bodyMac] = [createMac(secret, "f"), createMac(secret, "s"), createMac(secret, "b")];
  let lastStem: string | undefined;
  let lastBeginning: Uint8Array = new Uint8Array(0);
  return {
    documentKey: (document) => subject("document", document.canonical) as DocumentKey,
    phoneKey: (phone) => subject("phone", phone.canonical) as PhoneKey,
    identityKey(bytes, at, keys, keyAt) {
      const prefix = identityPrefixAt(bytes, at);
      const textAt = IDENTITY_AT[prefix]!;
      const numberAt = textAt + IDENTITY_PREFIXES[prefix]!.length;
      for (let i = 0; i < IDENTITY_BYTES; i++) memory[numberAt + i] = bytes[at + i]!;
      hash(textAt, numberAt + IDENTITY_BYTES - textAt, DOCUMENT_KEY_AT, RESULT_AT);
      for (let i = 0; i < KEY_BYTES; i++) keys[keyAt + i] = memory[RESULT_AT + i]!;
      keys[keyAt + KEY_BYTES - 1]! &= 0xfe;
    },
    factKey(source, factId) {
      const key = factMac(`${source}|${factId}`).subarray(0, KEY_BYTES) as FactKey;
      const stem = `${source}|${factId.slice(0, -COUNTED_CHARACTERS)}`;
      if (stem !== lastStem) [lastStem, lastBeginning] = [stem, stemMac(stem)];
      for (let i = 0; i < STEM_BYTES; i++) key[i] = lastBeginning[i]!;
      return key;
    },
    bodyHash: (body) => Buffer.from(bodyMac(body).subarray(0, KEY_BYTES)).toString("hex"),
    bodyHasher() {
      const mac = createHmac("sha256", secret).update("b");
      return { update: (piece) => mac.update(piece), digest: () => mac.digest().subarray(0, KEY_BYTES).toString("hex") };
    },
  };
}

/** Of a key of a fact: so many bytes tell what stands before the last characters of its id. The other 96 bits are enough to tell all facts apart. */
const STEM_BYTES = 4;
const COUNTED_CHARACTERS = 4;

// Where things lie in the hash's memory.
const DOCUMENT_KEY_AT = 0;
const PHONE_KEY_AT = 16;
const RESULT_AT = 32;
const IDENTITY_AT = [64, 128];
const TEXT_AT = 256;

/** Canonical texts are ASCII and short; anything else takes longer. @returns the length in bytes. @throws RangeError when there is no room for it. */
function writeText(memory: Uint8Array, text: string): number {
  if (TEXT_AT + 3 * text.length + SIPHASH_BYTES > memory.length) throw new RangeError("the text is too long to be a document or a phone number");
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return new TextEncoder().encodeInto(text, memory.subarray(TEXT_AT)).written;
    memory[TEXT_AT + i] = code;
  }
  return text.length;
}
