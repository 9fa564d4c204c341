// A worker of hashing.ts: the keys of the documents whose places it is given.

import { createKeyring } from "../core/access/index.ts";
import { isRefusal, KEY_BYTES, parseDocument, type Document } from "../core/domain/index.ts";
import { numberOf } from "./entries.ts";

/** The service's hash, or the one that the peers use: HMAC-SHA-256 of the canonical document, cut to 16 bytes. */
export type HashKind = "service" | "peer";

declare const self: Worker;

let hash: (document: Document) => Uint8Array;

self.onmessage = ({ data }: MessageEvent<{ secret: Uint8Array; kind: HashKind } | Float64Array>) => {
  if (!(data instanceof Float64Array)) {
    const keyring = createKeyring(data.secret);
    const begun = new Bun.CryptoHasher("sha256", data.secret);
    hash = data.kind === "service" ? (document) => keyring.documentKey(document) : (document) => begun.copy().update(document.canonical).digest().subarray(0, KEY_BYTES);
    return;
  }
  const keys = new Uint8Array(data.length * KEY_BYTES);
  data.forEach((place, i) => {
    const document = parseDocument({ type: "resident-id", number: numberOf(place) });
    if (isRefusal(document)) throw new Error(`number ${place} is none: ${document.reason}`);
    keys.set(hash(document), i * KEY_BYTES);
  });
  self.postMessage(keys, [keys.buffer]);
};
