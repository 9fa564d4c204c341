// HMAC-SHA-256 by the runtime's own fastest way: Bun's hasher, elsewhere Node's with a key object (a key as bytes costs several times as much).

import { createHmac, createSecretKey } from "node:crypto";

/** @returns the HMAC of `prefix` and a text under `secret`, 32 bytes. */
export function createMac(secret: Uint8Array, prefix: string): (text: string | Uint8Array) => Uint8Array {
  if (typeof Bun === "undefined") {
    const key = createSecretKey(secret);
    return (text) => createHmac("sha256", key).update(prefix).update(text).digest();
  }
  // The state behind the secret and the prefix is made once and copied: a third less work for each text.
  const begun = new Bun.CryptoHasher("sha256", secret).update(prefix);
  return (text) => begun.copy().update(text).digest();
}
