// Bodies in pieces: packed and unpacked, cut anywhere, as text and as lines.

import { randomBytes } from "node:crypto";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { keyring } from "../../test/ingestSupport.ts";
import { BodyError, encodingOf, openBody, type Encoding } from "./body.ts";
import { createLineReader, createUtf8Reader, LINE_CHARS_MAX } from "./text.ts";
import { createZstdFrames } from "./zstdFrames.ts";

const MANY = 10_000_000;

async function* inPieces(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}

async function unpack(bytes: Uint8Array, encoding: Encoding, bytesMax = MANY): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const piece of openBody(inPieces(bytes), { encoding, bytesMax, hasher: keyring.bodyHasher() }).pieces()) parts.push(Uint8Array.from(piece));
  return Buffer.concat(parts);
}
const faultOf = async (work: Promise<unknown>): Promise<{ status: number; detail: string }> => {
  const error = await work.then(() => undefined, (e: unknown) => e);
  expect(error).toBeInstanceOf(BodyError);
  return (error as BodyError).problem;
};

const CONTENT = Buffer.concat([Buffer.from("some rows\n".repeat(20_000)), randomBytes(30_000)]);
const PACKERS = { gzip: gzipSync, zstd: (bytes: Uint8Array) => zstdCompressSync(bytes) } as const;
const PACKINGS = Object.entries(PACKERS) as ["gzip" | "zstd", (bytes: Uint8Array) => Buffer][];

describe("a body", () => {
  test.each(["identity", "gzip", "zstd"] as const)("comes out as it was (%s), hashed as it was sent", async (encoding) => {
    const sent = encoding === "identity" ? CONTENT : PACKERS[encoding](CONTENT);
    const hasher = keyring.bodyHasher();
    const body = openBody(inPieces(sent), { encoding, bytesMax: MANY, hasher });
    const parts: Uint8Array[] = [];
    for await (const piece of body.pieces()) parts.push(Uint8Array.from(piece));
    expect(Buffer.concat(parts).equals(CONTENT)).toBe(true);
    expect(hasher.digest()).toBe(keyring.bodyHash(sent));
    expect(Buffer.from(body.sha256()).toString("hex")).toBe(new Bun.CryptoHasher("sha256").update(sent).digest("hex"));
  });
  test.each(PACKINGS)("of two %s parts, one behind the other, is both", async (encoding, pack) => {
    expect((await unpack(Buffer.concat([pack(CONTENT), pack(CONTENT)]), encoding)).length).toBe(2 * CONTENT.length);
  });
  test.each(PACKINGS)("of %s that was cut off anywhere is refused", async (encoding, pack) => {
    const whole = pack(Buffer.from("some rows\n".repeat(1000)));
    for (const cut of [1, 2, 4, 8, 9, 12, 20, whole.length - 5, whole.length - 1, whole.length]) {
      const problem = await faultOf(unpack(whole.subarray(0, whole.length - cut), encoding));
      expect([cut, problem.status]).toEqual([cut, 400]);
      expect(problem.detail).toMatch(/cut off|no (gzip|zstd)/);
    }
  });
  test.each(PACKINGS)("of something else than %s, or with something behind it, is refused", async (encoding, pack) => {
    for (const bytes of [CONTENT, Buffer.concat([pack(CONTENT), Buffer.from("more of it, that is none")])]) expect((await faultOf(unpack(bytes, encoding))).status).toBe(400);
  });
  test.each(PACKINGS)("that is small as %s and too large without is refused", async (encoding, pack) => {
    const packed = pack(Buffer.alloc(1_000_000));
    expect(packed.length).toBeLessThan(100_000);
    expect((await faultOf(unpack(packed, encoding, 999_999))).status).toBe(413);
    expect((await unpack(packed, encoding, 1_000_000)).length).toBe(1_000_000);
  });
  test("whose connection ends is refused in words", async () => {
    const ends = async function* (): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(Buffer.from("{"));
      throw new Error("the connection was closed");
    };
    for (const encoding of ["identity", "gzip", "zstd"] as const) {
      const read = async (): Promise<void> => {
        for await (const piece of openBody(ends(), { encoding, bytesMax: MANY, hasher: keyring.bodyHasher() }).pieces()) expect(piece.length).toBe(1);
      };
      expect((await faultOf(read())).detail).toMatch(/connection ended/);
    }
  });
  test("codings are gzip and zstd, in any case; several, or others, are none", () => {
    expect([null, "", "identity", "GZIP", "x-gzip", "zstd"].map(encodingOf)).toEqual(["identity", "identity", "identity", "gzip", "gzip", "zstd"]);
    expect(["br", "deflate", "gzip, gzip", "toString"].map(encodingOf)).toEqual([undefined, undefined, undefined, undefined]);
  });
});

describe("frames of zstd", () => {
  const isWhole = (bytes: Uint8Array, size: number): boolean => {
    const frames = createZstdFrames();
    for (let at = 0; at < bytes.length; at += size) frames.write(bytes.subarray(at, at + size));
    return frames.isWhole();
  };
  const skippable = Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
  test("are whole at their ends alone, whatever the pieces", () => {
    const contents = [Buffer.alloc(0), Buffer.from("x"), Buffer.alloc(400_000, 7), randomBytes(300_000)];
    for (const frame of contents.map((content) => zstdCompressSync(content))) {
      for (const size of [1, 7, 4096, MANY]) expect(isWhole(frame, size)).toBe(true);
      for (const cut of [1, 3, 5, Math.floor(frame.length / 2), frame.length - 1, frame.length]) expect([cut, isWhole(frame.subarray(0, frame.length - cut), 11)]).toEqual([cut, false]);
      expect(isWhole(Buffer.concat([frame, frame, skippable]), 5)).toBe(true);
      expect(isWhole(Buffer.concat([frame, Buffer.from("garbage")]), 5)).toBe(false);
    }
    expect(isWhole(skippable, 1)).toBe(true);
    expect(isWhole(skippable.subarray(0, 10), 1)).toBe(false);
  });
});

describe("text", () => {
  const read = (bytes: Uint8Array, size: number): string => {
    const utf8 = createUtf8Reader();
    let text = "";
    for (let at = 0; at < bytes.length; at += size) text += utf8.write(bytes.subarray(at, at + size));
    return text + utf8.end();
  };
  test("is read across the borders of pieces, without the mark at its beginning", () => {
    const bytes = Buffer.from("\uFEFF阳性 🦠\uFEFF!");
    for (const size of [1, 2, 3, 4, 5, 100]) expect(read(bytes, size)).toBe("阳性 🦠\uFEFF!");
  });
  test("that is GBK, UTF-16 or cut off in a character is refused", () => {
    for (const bytes of [Uint8Array.of(0xd1, 0xf4, 0xd0, 0xd4), Uint8Array.of(0xff, 0xfe, 0x7b, 0), Buffer.from("阳").subarray(0, 2)]) {
      for (const size of [1, 100]) expect(() => read(bytes, size)).toThrow(BodyError);
    }
  });
  test("becomes the same lines however it is cut", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("\r", "\n", "\r\n", "a", "bc", "")), fc.integer({ min: 1, max: 9 }), (parts, size) => {
        const text = parts.join("");
        const lines: [string, number][] = [];
        const reader = createLineReader((line, number) => lines.push([line, number]));
        for (let at = 0; at < text.length; at += size) reader.write(text.slice(at, at + size));
        reader.end();
        const whole = text.split(/\r\n|\r|\n/);
        // An end of line at the very end may count as the end of a last, empty line, or not.
        if (whole.at(-1) === "" && lines.length < whole.length) whole.pop();
        expect(lines).toEqual(whole.map((line, i) => [line, i + 1]));
      }),
    );
  });
  test("of one line without end is refused, not kept in memory", () => {
    const reader = createLineReader(() => undefined);
    reader.write("x".repeat(LINE_CHARS_MAX));
    expect(() => reader.write("x")).toThrow(BodyError);
  });
});
