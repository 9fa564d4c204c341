// The keyring: turns numbers into keys. The secret lies in a file of its own; whoever has only stores has no numbers.
// Promises: one canonical text gives one key under one secret; without the secret keys can't be walked through.
// Not here: canonical spelling (domain).

import { KEY_BYTES, markSubject, type Document, type DocumentKey, type FactKey, type PhoneKey } from "../domain/index.ts";
import { createMac } from "./mac.ts";

export interface Keyring {
  documentKey(document: Document): DocumentKey;
  phoneKey(phone: { readonly canonical: string }): PhoneKey;
  /** A fact is named by its source and the id that the source gave it. */
  factKey(source: string, factId: string): FactKey;
  /** Tells two deliveries apart; keyed, so that a short body can't be guessed from it. */
  bodyHash(body: Uint8Array): string;
}

/** HMAC-SHA-256 cut to 128 bits, with one letter in front for what is hashed, so that a phone can't stand for a document. */
export function createKeyring(secret: Uint8Array): Keyring {
  if (secret.length < 32) throw new Error("the document secret must have at least 32 bytes");
  const macs = { d: createMac(secret, "d"), p: createMac(secret, "p"), f: createMac(secret, "f"), b: createMac(secret, "b") };
  const hash = (kind: keyof typeof macs, text: string | Uint8Array): Uint8Array => macs[kind](text).subarray(0, KEY_BYTES);
  const subject = (kind: "document" | "phone", canonical: string): Uint8Array => {
    const key = hash(kind === "phone" ? "p" : "d", canonical);
    markSubject(key, kind);
    return key;
  };
  return {
    documentKey: (document) => subject("document", document.canonical) as DocumentKey,
    phoneKey: (phone) => subject("phone", phone.canonical) as PhoneKey,
    factKey: (source, factId) => hash("f", `${source}|${factId}`) as FactKey,
    bodyHash: (body) => Buffer.from(hash("b", body)).toString("hex"),
  };
}
