// Codes: a short-lived stand-in for a document, that a gate scans instead of it.
// Promises: authenticated ciphertext (AES-256-GCM), so that nobody can make, change or read one without the session secret; ends by itself after five minutes at most; holds
// the document's key and the number as it may be shown, never the number.
// Not here: who may have one (lookup's server).

import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, randomBytes } from "node:crypto";
import { KEY_BYTES, type DocumentKey, type Instant } from "../domain/index.ts";

export const CODE_LIFETIME_S = 300;

/** What a code stands for. */
export interface Coded {
  readonly key: DocumentKey;
  /** The number as it may be shown. */
  readonly masked: string;
}

export interface Codes {
  seal(coded: Coded, now: Instant): { code: string; expiresAt: Instant };
  /** @returns why it counts for nothing: `unknown` is whatever was not sealed here. */
  open(code: string, now: Instant): Coded | "unknown" | "expired";
}

const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + NONCE_BYTES;
const SEALED_BYTES_MIN = HEAD_BYTES + 4 + KEY_BYTES + TAG_BYTES;
const SHAPE = /^[A-Za-z0-9_-]{60,160}$/;

/** @param secret the session secret; the codes' own key is derived from it. */
export function createCodes(secret: Uint8Array): Codes {
  // As an object: Node takes five times as long with a key as bytes.
  const key = createSecretKey(Buffer.from(hkdfSync("sha256", secret, new Uint8Array(0), "fangxing code", 32)));
  return {
    seal({ key: documentKey, masked }, now) {
      const expiresAt = now + CODE_LIFETIME_S;
      const plain = Buffer.alloc(4 + KEY_BYTES + Buffer.byteLength(masked));
      plain.writeUInt32BE(expiresAt, 0);
      plain.set(documentKey, 4);
      plain.write(masked, 4 + KEY_BYTES);
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv("aes-256-gcm", key, nonce);
      const sealed = Buffer.concat([Buffer.of(VERSION), nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
      return { code: sealed.toString("base64url"), expiresAt };
    },
    open(code, now) {
      if (!SHAPE.test(code)) return "unknown";
      const sealed = Buffer.from(code, "base64url");
      if (sealed.length < SEALED_BYTES_MIN || sealed[0] !== VERSION) return "unknown";
      let plain: Buffer;
      try {
        const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(1, HEAD_BYTES), { authTagLength: TAG_BYTES });
        decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
        plain = Buffer.concat([decipher.update(sealed.subarray(HEAD_BYTES, -TAG_BYTES)), decipher.final()]);
      } catch {
        return "unknown";
      }
      if (plain.readUInt32BE(0) <= now) return "expired";
      return { key: Uint8Array.from(plain.subarray(4, 4 + KEY_BYTES)) as DocumentKey, masked: plain.toString("utf8", 4 + KEY_BYTES) };
    },
  };
}
