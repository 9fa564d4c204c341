// The keyring: turns numbers into keys. The secret lies in a file of its own; whoever has only stores has no numbers.
// Promises: one canonical text gives one key under one secret; without the secret keys can't be walked through.
// Not here: canonical spelling (domain).

import { KEY_BYTES, type Document, type DocumentKey, type FactKey, type PhoneKey } from "../domain/index.ts";

export interface Keyring {
  documentKey(document: Document): DocumentKey;
  phoneKey(phone: { readonly canonical: string }): PhoneKey;
  /** A fact is named by its source and the id that the source gave it. */
  factKey(source: string, factId: string): FactKey;
}

/** HMAC-SHA-256 cut to 128 bits, with one letter in front for the kind of number, so that a phone can't collide with a document. */
export function createKeyring(secret: Uint8Array): Keyring {
  if (secret.length < 32) throw new Error("the document secret must have at least 32 bytes");
  const hash = (kind: string, text: string): Uint8Array => new Bun.CryptoHasher("sha256", secret).update(kind).update(text).digest().subarray(0, KEY_BYTES);
  return {
    documentKey: (document) => hash("d", document.canonical) as DocumentKey,
    phoneKey: (phone) => hash("p", phone.canonical) as PhoneKey,
    factKey: (source, factId) => hash("f", `${source}|${factId}`) as FactKey,
  };
}
