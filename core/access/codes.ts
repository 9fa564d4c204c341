// Codes: a short-lived stand-in for a document, that a gate scans instead of it.
// Promises: authenticated ciphertext (ChaCha20-Poly1305), so that nobody can make, change or read one without the session secret; one code has one spelling; ends by itself after five
// minutes at most; holds the document's key and the number as it may be shown, never the number.
// Not here: who may have one (lookup's server), the cipher (chacha.wat).

import { hkdfSync, randomFillSync } from "node:crypto";
import { KEY_BYTES, type DocumentKey, type Instant } from "../domain/index.ts";
import { readBase64url } from "./base64url.ts";
import { CHACHA_FREE_AT, CHACHA_KEY_BYTES, createChacha, NONCE_BYTES, TAG_BYTES } from "./chacha.ts";

export const CODE_LIFETIME_S = 300;

/** What a code stands for. */
export interface Coded {
  readonly key: DocumentKey;
  /** The number as it may be shown. */
  readonly masked: string;
}

export interface Codes {
  seal(coded: Coded, now: Instant): { code: string; expiresAt: Instant };
  /** @returns what it stands for, borrowed: valid until the next call of either; or why it counts for nothing: `unknown` is whatever was not sealed here. */
  open(code: string, now: Instant): Coded | "unknown" | "expired";
}

// A code's bytes: the version, authenticated and not encrypted; the nonce; encrypted: the end as an Instant in 4 bytes, the document's key, the masked number; the tag.
const VERSION = 2;
const HEAD_BYTES = 1 + NONCE_BYTES;
const PLAIN_BYTES_MIN = 4 + KEY_BYTES;
const MASKED_BYTES_MAX = 64;
const CODE_LENGTH_MAX = Math.ceil(((HEAD_BYTES + PLAIN_BYTES_MIN + MASKED_BYTES_MAX + TAG_BYTES) * 4) / 3);

// Where things lie in the cipher's memory.
const SECRET_AT = CHACHA_FREE_AT;
const CODE_AT = SECRET_AT + CHACHA_KEY_BYTES;
const NONCE_AT = CODE_AT + 1;
const PLAIN_AT = CODE_AT + HEAD_BYTES;
const KEY_AT = PLAIN_AT + 4;
const MASKED_AT = KEY_AT + KEY_BYTES;

/** @param secret the session secret; the codes' own key is derived from it. */
export function createCodes(secret: Uint8Array): Codes {
  const { memory, seal, open } = createChacha();
  memory.set(new Uint8Array(hkdfSync("sha256", secret, new Uint8Array(0), "fangxing code, ChaCha20-Poly1305", CHACHA_KEY_BYTES)), SECRET_AT);
  const bytes = Buffer.from(memory.buffer);
  const encoder = new TextEncoder();
  const coded = { key: memory.subarray(KEY_AT, KEY_AT + KEY_BYTES) as DocumentKey, masked: "" };
  return {
    seal({ key, masked }, now) {
      const expiresAt = now + CODE_LIFETIME_S;
      bytes.writeUInt32BE(expiresAt, PLAIN_AT);
      memory.set(key, KEY_AT);
      const { read, written } = encoder.encodeInto(masked, memory.subarray(MASKED_AT, MASKED_AT + MASKED_BYTES_MAX));
      if (read < masked.length) throw new RangeError(`the masked number is too long for a code: ${MASKED_BYTES_MAX} bytes at most`);
      memory[CODE_AT] = VERSION;
      randomFillSync(memory, NONCE_AT, NONCE_BYTES);
      seal(PLAIN_AT, PLAIN_BYTES_MIN + written, CODE_AT, 1, NONCE_AT, SECRET_AT);
      return { code: bytes.toString("base64url", CODE_AT, MASKED_AT + written + TAG_BYTES), expiresAt };
    },
    open(code, now) {
      if (code.length > CODE_LENGTH_MAX) return "unknown";
      const plainBytes = readBase64url(code, memory, CODE_AT) - HEAD_BYTES - TAG_BYTES;
      if (plainBytes < PLAIN_BYTES_MIN || memory[CODE_AT] !== VERSION) return "unknown";
      if (open(PLAIN_AT, plainBytes, CODE_AT, 1, NONCE_AT, SECRET_AT) === 0) return "unknown";
      if (bytes.readUInt32BE(PLAIN_AT) <= now) return "expired";
      coded.masked = bytes.toString("utf8", MASKED_AT, PLAIN_AT + plainBytes);
      return coded;
    },
  };
}
