// SipHash-2-4-128, a keyed hash made for short texts: siphash.wat, compiled.
// Promises: the result is that of the authors' reference code. A short text takes a seventh of an HMAC's time.
// Not here: what is hashed, and under which key (keyring.ts).

export interface SipHash {
  /** Where texts, keys and results lie. */
  readonly memory: Uint8Array;
  /** Hashes `length` bytes of the memory from `at` under the 16 bytes at `key`; the result's 16 bytes go to `to`. */
  readonly hash: (at: number, length: number, key: number, to: number) => void;
}

export const SIPHASH_BYTES = 16;

/** siphash.wat, compiled. */
export const SIPHASH_MODULE = Buffer.from(
  "AGFzbQEAAAABEwJgBH5+fn4Efn5+fmAEf39/fwADAwIAAQUDAQABBxECBm1lbW9yeQIABGhhc2gAAQr8AgJcACAAIAF8IQAgAiADfCECIAFCDYkgAIUhASAD" +
  "QhCJIAKFIQMgAEIgiSEAIAIgAXwhAiAAIAN8IQAgAUIRiSAChSEBIANCFYkgAIUhAyACQiCJIQIgACABIAIgAwucAgMFfgF/AX4gAikDAEL1ys2D16zbt/MA" +
  "hSEEIAIpAwhCg9+R85bM3LfkAIUhBSACKQMAQuHklfPW7Nm87ACFIQYgAikDCELzytHLp4zZsvQAhSEHIAAgAUF4cWohCSABQQdxQQN0rSEKAkADQCAAIAlJ" +
  "BEAgACkDACEIBSAAKQMAQgEgCoZCAX2DIAGtQjiGhCEICyAEIAUgBiAHIAiFEAAQACEHIQYhBSEEIAQgCIUhBCAAIAlGDQEgAEEIaiEADAALCyAEIAUgBkLu" +
  "AYUgBxAAEAAQABAAIQchBiEFIQQgAyAEIAWFIAYgB4WFNwMAIAQgBULdAYUgBiAHEAAQABAAEAAhByEGIQUhBCADIAQgBYUgBiAHhYU3AwgL",
  "base64",
);
const MODULE = new WebAssembly.Module(SIPHASH_MODULE);

/** An instance with a memory of its own, 64 KiB. */
export function createSipHash(): SipHash {
  const { memory, hash } = new WebAssembly.Instance(MODULE).exports as { memory: WebAssembly.Memory; hash: SipHash["hash"] };
  return { memory: new Uint8Array(memory.buffer), hash };
}
