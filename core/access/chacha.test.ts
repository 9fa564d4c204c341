import { readFileSync } from "node:fs";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import wabt from "wabt";
import { CHACHA_FREE_AT, CHACHA_MODULE, createChacha, TAG_BYTES } from "./chacha.ts";

const SOURCE = readFileSync(new URL("./chacha.wat", import.meta.url), "utf8");
const [KEY_AT, NONCE_AT, DATA_AT, TEXT_AT] = [CHACHA_FREE_AT, 160, 256, 1024];
const FILL = 0xa5;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const bytesOf = (text: string): Buffer => Buffer.from(text, "hex");

interface Sealed {
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly data: Uint8Array;
  readonly text: Uint8Array;
}

const { memory, seal, open } = createChacha();

function lay({ key, nonce, data, text }: Sealed, textAt: number): void {
  memory.fill(FILL);
  memory.set(key, KEY_AT);
  memory.set(nonce, NONCE_AT);
  memory.set(data, DATA_AT);
  memory.set(text, textAt);
}

/** The ciphertext and the tag. */
function sealed(parts: Sealed, textAt = TEXT_AT): Uint8Array {
  lay(parts, textAt);
  seal(textAt, parts.text.length, DATA_AT, parts.data.length, NONCE_AT, KEY_AT);
  return memory.slice(textAt, textAt + parts.text.length + TAG_BYTES);
}

/** The text, or undefined when it is refused. `parts.text` is ciphertext and tag. */
function opened(parts: Sealed, textAt = TEXT_AT): Uint8Array | undefined {
  lay(parts, textAt);
  const length = parts.text.length - TAG_BYTES;
  return open(textAt, length, DATA_AT, parts.data.length, NONCE_AT, KEY_AT) === 1 ? memory.slice(textAt, textAt + length) : undefined;
}

async function compiled(source: string): Promise<Uint8Array<ArrayBuffer>> {
  return (await wabt()).parseWat("chacha.wat", source, { multi_value: true }).toBinary({}).buffer as Uint8Array<ArrayBuffer>;
}

const SUNSCREEN = Buffer.from("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.");
const COUNTED = Uint8Array.from({ length: 32 }, (_, i) => i);

describe("as RFC 8439 has it", () => {
  /** The same module, its inner functions within reach. */
  let inner: { memory: WebAssembly.Memory; block: (key: number, nonce: number, counter: number) => void; absorb: (at: number, length: number) => void; finish: () => [bigint, bigint] };
  let bytes: Uint8Array;

  beforeAll(async () => {
    const source = ["block", "absorb", "finish"].reduce((text, name) => text.replace(`(func $${name} `, `(func $${name} (export "${name}") `), SOURCE);
    inner = new WebAssembly.Instance(new WebAssembly.Module(await compiled(source))).exports as unknown as typeof inner;
    bytes = new Uint8Array(inner.memory.buffer);
  });

  function block(key: Uint8Array, nonce: string, counter: number): string {
    bytes.set(key, KEY_AT);
    bytes.set(bytesOf(nonce), NONCE_AT);
    inner.block(KEY_AT, NONCE_AT, counter);
    return hex(bytes.subarray(0, 64));
  }

  test("the block function (2.3.2)", () => {
    expect(block(COUNTED, "000000090000004a00000000", 1)).toBe(
      "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4ed2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e",
    );
  });
  test("the cipher, over more than a block (2.4.2)", () => {
    const text = sealed({ key: COUNTED, nonce: bytesOf("000000000000004a00000000"), data: new Uint8Array(), text: SUNSCREEN });
    expect(hex(text.subarray(0, SUNSCREEN.length))).toBe(
      "6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0bf91b65c5524733ab8f593dabcd62b3571639d624e65152ab8f530c359f0861d8" +
        "07ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab77937365af90bbf74a35be6b40b8eedf2785e42874d",
    );
  });
  test.each([
    ["2.6.2", "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", "000000000001020304050607", "8ad5a08b905f81cc815040274ab29471a833b637e3fd0da508dbb8e2fdd1a646"],
    ["A.4 #1", "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"],
    ["A.4 #2", "0000000000000000000000000000000000000000000000000000000000000001", "000000000000000000000002", "ecfa254f845f647473d3cb140da9e87606cb33066c447b87bc2666dde3fbb739"],
    ["A.4 #3", "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0", "000000000000000000000002", "965e3bc6f9ec7ed9560808f4d229f94b137ff275ca9b3fcbdd59deaad23310ae"],
  ])("the key of Poly1305 (%s)", (_, key, nonce, expected) => {
    expect(block(bytesOf(key), nonce, 0).slice(0, 64)).toBe(expected);
  });
  // Where carries and the last reduction go wrong; those whose text is no multiple of 16 bytes don't occur in 2.8.
  test.each([
    ["1", "00".repeat(32), "00".repeat(64), "00000000000000000000000000000000"],
    ["5", `02${"00".repeat(31)}`, "ff".repeat(16), "03000000000000000000000000000000"],
    ["6", `02${"00".repeat(15)}${"ff".repeat(16)}`, `02${"00".repeat(15)}`, "03000000000000000000000000000000"],
    ["7", `01${"00".repeat(31)}`, `${"ff".repeat(16)}f0${"ff".repeat(15)}11${"00".repeat(15)}`, "05000000000000000000000000000000"],
    ["8", `01${"00".repeat(31)}`, `${"ff".repeat(16)}fb${"fe".repeat(15)}${"01".repeat(16)}`, "00000000000000000000000000000000"],
    ["9", `02${"00".repeat(31)}`, `fd${"ff".repeat(15)}`, "faffffffffffffffffffffffffffffff"],
    ["10", `010000000000000004${"00".repeat(23)}`, `e33594d7505e43b900000000000000003394d7505e4379cd01${"00".repeat(23)}01${"00".repeat(15)}`, "14000000000000005500000000000000"],
    ["11", `010000000000000004${"00".repeat(23)}`, `e33594d7505e43b900000000000000003394d7505e4379cd01${"00".repeat(23)}`, "13000000000000000000000000000000"],
  ])("Poly1305 (A.3 #%s)", (_, key, text, expected) => {
    bytes.fill(0);
    bytes.set(bytesOf(key), 0);
    bytes.set(bytesOf(text), TEXT_AT);
    inner.absorb(TEXT_AT, text.length / 2);
    const tag = Buffer.alloc(16);
    inner.finish().forEach((half, i) => tag.writeBigUInt64LE(BigInt.asUintN(64, half), 8 * i));
    expect(hex(tag)).toBe(expected);
  });
  test("both together, with what is only authenticated (2.8.2)", () => {
    const parts = { key: COUNTED.map((i) => 0x80 + i), nonce: bytesOf("070000004041424344454647"), data: bytesOf("50515253c0c1c2c3c4c5c6c7") };
    const expected =
      "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36" +
      "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691";
    expect(hex(sealed({ ...parts, text: SUNSCREEN }))).toBe(expected);
    expect(Buffer.from(opened({ ...parts, text: bytesOf(expected) })!).toString()).toBe(SUNSCREEN.toString());
  });
  test("opening (A.5)", () => {
    const text = opened({
      key: bytesOf("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0"),
      nonce: bytesOf("000000000102030405060708"),
      data: bytesOf("f33388860000000000004e91"),
      text: bytesOf(
        "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf" +
          "332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c8559797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4" +
          "b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a" +
          "0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29" +
          "a6ad5cb4022b02709beead9d67890cbb22392336fea1851f38",
      ),
    });
    expect(Buffer.from(text!).toString()).toMatch(/^Internet-Drafts are draft documents valid for a maximum of six months .* as \/“work in progress\.\/”$/);
  });
});

const bytes = (lengths: { minLength: number; maxLength: number }): fc.Arbitrary<Uint8Array> => fc.uint8Array({ ...lengths, size: "max" });
const SEALED: fc.Arbitrary<Sealed> = fc.record({
  key: bytes({ minLength: 32, maxLength: 32 }),
  nonce: bytes({ minLength: 12, maxLength: 12 }),
  data: bytes({ minLength: 0, maxLength: 40 }),
  text: bytes({ minLength: 0, maxLength: 300 }),
});

test("seals what an independent implementation seals, wherever it lies, and touches nothing behind it", () => {
  const check = fc.property(SEALED, fc.nat(7), (parts, shift) => {
    const at = TEXT_AT + shift;
    const expected = chacha20poly1305(parts.key, parts.nonce, parts.data).encrypt(parts.text);
    expect(hex(sealed(parts, at))).toBe(hex(expected));
    expect(memory.subarray(at + expected.length, at + expected.length + 64).every((byte) => byte === FILL)).toBe(true);
    expect(hex(opened({ ...parts, text: expected }, at)!)).toBe(hex(parts.text));
  });
  fc.assert(check, { numRuns: 3000 });
});

test("of every length up to 300", () => {
  for (let length = 0; length <= 300; length++) {
    const parts = { key: COUNTED, nonce: COUNTED.subarray(0, 12), data: COUNTED.subarray(0, length % 33), text: new Uint8Array(length).fill(length) };
    expect(hex(sealed(parts))).toBe(hex(chacha20poly1305(parts.key, parts.nonce, parts.data).encrypt(parts.text)));
  }
});

test("one bit changed anywhere is refused, and nothing is decrypted", () => {
  const right: Sealed = { key: COUNTED, nonce: COUNTED.subarray(0, 12), data: COUNTED.subarray(0, 17), text: SUNSCREEN };
  const parts = { ...right, text: sealed(right) };
  expect(opened(parts)).toEqual(Uint8Array.from(SUNSCREEN));
  for (const part of ["key", "nonce", "data", "text"] as const) {
    for (let bit = 0; bit < parts[part].length * 8; bit++) {
      const changed = Uint8Array.from(parts[part]);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      const wrong = { ...parts, [part]: changed };
      expect(opened(wrong)).toBe(undefined);
      expect(hex(memory.subarray(TEXT_AT, TEXT_AT + wrong.text.length))).toBe(hex(wrong.text));
    }
  }
});

test("what is shipped is chacha.wat, compiled", async () => {
  expect(Buffer.from(await compiled(SOURCE)).equals(CHACHA_MODULE)).toBe(true);
});
