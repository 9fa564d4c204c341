import { hkdfSync } from "node:crypto";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { expect, test } from "vitest";
import type { DocumentKey } from "../domain/index.ts";
import { CODE_LIFETIME_S, createCodes } from "./codes.ts";

const NOW = 1_640_995_200;
const SECRET = new Uint8Array(32).fill(5);
const KEY = Uint8Array.from({ length: 16 }, (_, i) => 0xf0 - i) as DocumentKey;
const MASKED = "11**************2X";
const codes = createCodes(SECRET);

/** What is borrowed, kept. */
function opened(code: string, now = NOW, by = codes): { key: string; masked: string } | string {
  const coded = by.open(code, now);
  return typeof coded === "string" ? coded : { key: Buffer.from(coded.key).toString("hex"), masked: coded.masked };
}
const EXPECTED = { key: Buffer.from(KEY).toString("hex"), masked: MASKED };

test.each([MASKED, "", "*", "AB*23", "12****************90", "张*三", "é".repeat(32)])("stands for the key and the masked number %j", (masked) => {
  expect(opened(codes.seal({ key: KEY, masked }, NOW).code)).toEqual({ ...EXPECTED, masked });
});

test("a masked number has room for 64 bytes", () => {
  expect(opened(codes.seal({ key: KEY, masked: "x".repeat(64) }, NOW).code)).toEqual({ ...EXPECTED, masked: "x".repeat(64) });
  expect(() => codes.seal({ key: KEY, masked: "x".repeat(65) }, NOW)).toThrow(RangeError);
  expect(() => codes.seal({ key: KEY, masked: "x".repeat(63) + "é" }, NOW)).toThrow(RangeError);
});

test("counts to the last second of its five minutes", () => {
  const { code, expiresAt } = codes.seal({ key: KEY, masked: MASKED }, NOW);
  expect(expiresAt).toBe(NOW + CODE_LIFETIME_S);
  expect(opened(code, expiresAt - 1)).toEqual(EXPECTED);
  expect(opened(code, expiresAt)).toBe("expired");
});

test("any process with the session secret opens it, none with another", () => {
  const { code } = codes.seal({ key: KEY, masked: MASKED }, NOW);
  expect(opened(code, NOW, createCodes(SECRET))).toEqual(EXPECTED);
  expect(opened(code, NOW, createCodes(SECRET.map((byte, i) => byte ^ (i === 31 ? 1 : 0))))).toBe("unknown");
});

test("is what an independent implementation opens: version, nonce, ciphertext, tag; no two are alike", () => {
  const key = new Uint8Array(hkdfSync("sha256", SECRET, new Uint8Array(0), "fangxing code, ChaCha20-Poly1305", 32));
  const nonces = new Set<string>();
  for (let i = 0; i < 100; i++) {
    const bytes = Buffer.from(codes.seal({ key: KEY, masked: MASKED }, NOW + i).code, "base64url");
    expect(bytes[0]).toBe(2);
    const plain = Buffer.from(chacha20poly1305(key, bytes.subarray(1, 13), bytes.subarray(0, 1)).decrypt(bytes.subarray(13)));
    expect([plain.readUInt32BE(0), plain.toString("hex", 4, 20), plain.toString("utf8", 20)]).toEqual([NOW + i + CODE_LIFETIME_S, EXPECTED.key, MASKED]);
    nonces.add(bytes.toString("hex", 1, 13));
  }
  expect(nonces.size).toBe(100);
});

test("with one bit changed is unknown, whichever it is, and the right one counts still", () => {
  const { code } = codes.seal({ key: KEY, masked: MASKED }, NOW);
  const bytes = Buffer.from(code, "base64url");
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = Buffer.from(bytes);
    changed[bit >> 3]! ^= 1 << (bit & 7);
    expect(opened(changed.toString("base64url"))).toBe("unknown");
  }
  expect(opened(code)).toEqual(EXPECTED);
});

test("has one spelling, and no part of it is a code", () => {
  const { code } = codes.seal({ key: KEY, masked: MASKED }, NOW);
  const spellings = Array.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", (last) => code.slice(0, -1) + last);
  expect(spellings.filter((spelling) => opened(spelling) !== "unknown")).toEqual([code]);
  const others = [`${code}=`, `${code}==`, `${code}A`, ` ${code}`, `${code}\n`, `${code.slice(0, 40)}\u0141${code.slice(41)}`];
  for (const other of others) expect(opened(other)).toBe("unknown");
  for (let length = 0; length < code.length; length++) expect(opened(code.slice(0, length))).toBe("unknown");
  expect(opened(code.padEnd(200_000, "A"))).toBe("unknown");
  for (let length = code.length; length < 400; length++) expect(opened(code.padEnd(length + 1, "A"))).toBe("unknown");
});
