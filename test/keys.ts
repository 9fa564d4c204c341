// Keys for tests that are easy to tell apart: two numbers, two keys, in the same order. A phone's last bit says that it is one.

import { KEY_BYTES, markSubject, type DocumentKey, type FactKey, type PhoneKey } from "../core/domain/index.ts";

export function documentKey(number: number): DocumentKey {
  return subjectKey(number, "document") as DocumentKey;
}

export function phoneKey(number: number): PhoneKey {
  return subjectKey(number, "phone") as PhoneKey;
}

export function factKey(number: number): FactKey {
  const key = Buffer.alloc(KEY_BYTES);
  key.writeUInt32BE(number, 0);
  return key as Uint8Array as FactKey;
}

function subjectKey(number: number, kind: "document" | "phone"): Uint8Array {
  const key = Buffer.alloc(KEY_BYTES);
  key.writeUInt32BE(number, 0);
  markSubject(key, kind);
  return key;
}
