import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KEY_BYTES, keyOf, keyText, residentIdCheck, subjectKind, type Document } from "../domain/index.ts";
import { createKeyring } from "./keyring.ts";

const secret = (fill: number, length = 32): Uint8Array => new Uint8Array(length).fill(fill);
const document = (canonical: string): Document => ({ type: "resident-id", number: "", canonical });
const ring = createKeyring(secret(1));
/** Everything that a text can be made into under one keyring; without the last byte, which holds the mark of the kind. */
const keysOf = (of: typeof ring, text: string): string[] =>
  [of.documentKey(document(text)), of.phoneKey({ canonical: text }), of.factKey(text, text), Buffer.from(of.bodyHash(Buffer.from(text)), "hex")].map((key) =>
    Buffer.from(key.subarray(0, KEY_BYTES - 1)).toString("hex"),
  );

describe("keys", () => {
  test("of one text under one secret are the same, in this keyring and in another, for any text", () => {
    const twin = createKeyring(secret(1));
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(keysOf(twin, text)).toEqual(keysOf(ring, text));
      }),
    );
  });
  test("have 16 bytes each", () => {
    expect([ring.documentKey(document("a")), ring.phoneKey({ canonical: "a" }), ring.factKey("a", "b")].map((k) => k.length)).toEqual([16, 16, 16]);
    expect(ring.bodyHash(new Uint8Array(0))).toMatch(/^[0-9a-f]{32}$/);
  });
  test("of one text as document, phone, fact and body are four", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(new Set(keysOf(ring, text)).size).toBe(4);
      }),
    );
  });
  test("of two texts are two", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string({ unit: "grapheme" }), { minLength: 2, maxLength: 2 }), ([a, b]) => {
        const [ofA, ofB] = [keysOf(ring, a!), keysOf(ring, b!)];
        expect(ofA.filter((key) => ofB.includes(key))).toEqual([]);
      }),
    );
  });
  test("under another secret are others: one bit of the secret is enough", () => {
    const flipped = secret(1);
    flipped[31]! ^= 0x80;
    const other = createKeyring(flipped);
    expect(keysOf(other, "resident-id|11010519491231002X")).not.toEqual(keysOf(ring, "resident-id|11010519491231002X"));
  });
  test("every byte of a longer secret counts", () => {
    const long = secret(1, 100);
    const other = secret(1, 100);
    other[99] = 2;
    expect(keysOf(createKeyring(long), "a")).not.toEqual(keysOf(createKeyring(other), "a"));
  });
  test("don't depend on what the keyring hashed before", () => {
    const fresh = createKeyring(secret(1));
    ring.documentKey(document("something else"));
    expect(keysOf(ring, "a")).toEqual(keysOf(fresh, "a"));
  });
  test("a document's key says that it is a document's, a phone's that it is a phone's, for any text", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(subjectKind(ring.documentKey(document(text)))).toBe("document");
        expect(subjectKind(ring.phoneKey({ canonical: text }))).toBe("phone");
      }),
    );
  });
  test("of identity numbers straight from bytes are those of their documents", () => {
    fc.assert(
      fc.property(fc.constantFrom("11", "65", "81", "83", "90"), fc.nat({ max: 99_999_999 }), fc.nat({ max: 5 }), (province, rest, at) => {
        const first17 = `${province}0101${String(rest).padStart(11, "0")}`;
        const number = first17 + residentIdCheck(first17);
        const bytes = Buffer.from(`${" ".repeat(at)}${number}`);
        const keys = new Uint8Array(3 * KEY_BYTES);
        ring.identityKey(bytes, at, keys, KEY_BYTES);
        const canonical = `${/^8[123]/.test(number) ? "residence-permit" : "resident-id"}|${number}`;
        expect(keys.subarray(KEY_BYTES, 2 * KEY_BYTES)).toEqual(Uint8Array.from(ring.documentKey(document(canonical))));
        expect([...keys.subarray(0, KEY_BYTES), ...keys.subarray(2 * KEY_BYTES)].every((b) => b === 0)).toBe(true);
      }),
    );
  });
  test("of a text that no document has are refused before they could run over", () => {
    expect(() => ring.documentKey(document("a".repeat(30_000)))).toThrow(RangeError);
  });
  test("survive the way through a short string and back", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: KEY_BYTES, maxLength: KEY_BYTES }), (key) => {
        expect(Uint8Array.from(keyOf(keyText(key)))).toEqual(Uint8Array.from(key));
      }),
    );
  });
});

describe("facts", () => {
  test("of one id from two sources are two", () => {
    expect(keyText(ring.factKey("lab-a", "1"))).not.toBe(keyText(ring.factKey("lab-b", "1")));
  });
  test("whose ids are counted up begin alike, of other sources or other ids they don't", () => {
    const beginnings = (source: string, ids: readonly string[]): Set<string> => new Set(ids.map((id) => keyText(ring.factKey(source, id).subarray(0, 4))));
    const counted = Array.from({ length: 10_000 }, (_, i) => `test|lab-7-${String(i).padStart(6, "0")}`);
    expect(beginnings("lab-a", counted).size).toBe(1);
    expect(new Set(counted.map((id) => keyText(ring.factKey("lab-a", id)))).size).toBe(10_000);
    expect(new Set([...beginnings("lab-a", ["test|lab-7-000000", "test|lab-7-010000", "trip|lab-7-000000"]), ...beginnings("lab-b", ["test|lab-7-000000"])]).size).toBe(4);
  });
  test("source and id don't run into each other", () => {
    expect(keyText(ring.factKey("lab", "a1"))).not.toBe(keyText(ring.factKey("laba", "1")));
  });
});

describe("the secret", () => {
  test("of 31 bytes is refused, of 32 it is enough", () => {
    expect(() => createKeyring(secret(1, 31))).toThrow(/32 bytes/);
    expect(() => createKeyring(secret(1, 32))).not.toThrow();
  });
  test("that is empty is refused", () => {
    expect(() => createKeyring(new Uint8Array(0))).toThrow(/32 bytes/);
  });
});
