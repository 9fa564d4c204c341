import { expect, test } from "vitest";
import { readBase64url } from "./base64url.ts";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

function read(text: string): string | undefined {
  const bytes = new Uint8Array(300);
  const length = readBase64url(text, bytes, 7);
  return length < 0 ? undefined : Buffer.from(bytes.subarray(7, 7 + length)).toString("hex");
}

test("is read as Buffer reads it, at every length", () => {
  for (let length = 0; length < 200; length++) {
    const bytes = Buffer.from(Array.from({ length }, (_, i) => (i * 167 + length * 31) & 255));
    expect(read(bytes.toString("base64url"))).toBe(bytes.toString("hex"));
  }
});

test("no other character stands for anything, at any place", () => {
  const others = Array.from({ length: 0x10000 }, (_, code) => String.fromCharCode(code)).filter((character) => !ALPHABET.includes(character));
  expect(others).toHaveLength(0x10000 - 64);
  for (const text of ["AAAA", "AAAAAA", "AAAAAAA"]) {
    for (let at = 0; at < text.length; at++) {
      expect(others.filter((character) => read(text.slice(0, at) + character + text.slice(at + 1)) !== undefined)).toEqual([]);
    }
  }
});

test("bytes have one spelling", () => {
  for (const text of ["AA", "AAA", "AAAAAA", "AAAAAAA"]) {
    const spellings = Array.from(ALPHABET, (last) => text.slice(0, -1) + last).filter((t) => read(t) !== undefined);
    expect(new Set(spellings.map(read)).size).toBe(spellings.length);
    expect(spellings).toHaveLength(text.length % 4 === 2 ? 4 : 16);
  }
  for (const text of ["AA==", "AA=", "AAA=", "A", "AAAAA", " AAAA", "AAAA\n"]) expect(read(text)).toBe(undefined);
});
