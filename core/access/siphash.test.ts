import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import wabt from "wabt";
import { createSipHash, SIPHASH_BYTES, SIPHASH_MODULE } from "./siphash.ts";

/** The reference's own test: the key 00 01 … 0f, and texts 00 01 … of each length. */
function hashed(length: number, textAt = 64): string {
  const { memory, hash } = createSipHash();
  memory.fill(0xaa);
  for (let i = 0; i < 16; i++) memory[i] = i;
  for (let i = 0; i < length; i++) memory[textAt + i] = i;
  hash(textAt, length, 0, 32);
  return Buffer.from(memory.subarray(32, 32 + SIPHASH_BYTES)).toString("hex");
}

test.each([
  [0, "a3817f04ba25a8e66df67214c7550293"],
  [1, "da87c1d86b99af44347659119b22fc45"],
  [7, "a1f1ebbed8dbc153c0b84aa61ff08239"],
  [8, "3b62a9ba6258f5610f83e264f31497b4"],
  [15, "5493e99933b0a8117e08ec0f97cfc3d9"],
  [30, "ea5c7f471faf6bde2b1ad7d4686d2287"],
  [63, "5150d1772f50834a503e069a973fbd7c"],
])("%i bytes give what the reference gives", (length, expected) => {
  expect(hashed(length)).toBe(expected);
  expect(hashed(length, 67)).toBe(expected);
});

test("so do all lengths up to 63 (as OpenSSL's SIPHASH has them)", () => {
  const all = Array.from({ length: 64 }, (_, length) => hashed(length)).join("");
  expect(createHash("sha256").update(all).digest("hex")).toBe("827e8ca7940393c905d45246fd3758cc099a15a89177822377882f874e92898d");
});

test("what is shipped is siphash.wat, compiled", async () => {
  const source = readFileSync(new URL("./siphash.wat", import.meta.url), "utf8");
  const { buffer } = (await wabt()).parseWat("siphash.wat", source, { multi_value: true }).toBinary({});
  expect(Buffer.from(buffer).equals(SIPHASH_MODULE)).toBe(true);
});
