// A delivery's body as a stream: hashed as it was sent, unpacked, and handed on in small pieces.
// Promises: memory stays bounded whatever the size; the event loop gets its turn between two pieces; what is wrong with a body is a BodyError that says what to do.
// Not here: what the bytes mean (batch.ts).

import { createHash } from "node:crypto";
import { pipeline, Readable, type Transform } from "node:stream";
import { constants, createGunzip, createZstdDecompress } from "node:zlib";
import type { BodyHasher, Problem } from "../access/index.ts";
import { createZstdFrames } from "./zstdFrames.ts";

/** The body as a whole can't be used: nothing of it is kept. */
export class BodyError extends Error {
  override name = "BodyError";
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.title);
    this.problem = problem;
  }
}

export const ENCODINGS = ["gzip", "zstd"] as const;
export type Encoding = (typeof ENCODINGS)[number] | "identity";

/** The content coding of a body, or undefined when it isn't taken; several ones after the other aren't. */
export function encodingOf(header: string | null): Encoding | undefined {
  const name = (header ?? "identity").trim().toLowerCase();
  if (name === "" || name === "identity") return "identity";
  if (name === "x-gzip") return "gzip"; // RFC 9110 §8.4.1.3
  return ENCODINGS.find((encoding) => encoding === name);
}

export interface BodySettings {
  readonly encoding: Encoding;
  /** Of the bytes as sent, and again of the unpacked ones. */
  readonly bytesMax: number;
  /** Of the bytes as sent. */
  readonly hasher: BodyHasher;
}

export interface Body {
  /** The unpacked bytes, once. Borrowed: valid until the next piece. @throws BodyError */
  pieces(): AsyncIterable<Uint8Array>;
  /** Of the bytes as sent, after the last piece. */
  sha256(): Uint8Array;
}

/** Bytes that are read without a pause: some 300 rows. */
const PIECE_BYTES = 64 * 1024;
/** What RFC 9659 lets a sender use, in bits: 8 MiB. */
const ZSTD_WINDOW_BITS = 23;

export function openBody(source: AsyncIterable<Uint8Array> | null, { encoding, bytesMax, hasher }: BodySettings): Body {
  const sha256 = createHash("sha256");
  const frames = encoding === "zstd" ? createZstdFrames() : undefined;

  async function* sent(): AsyncGenerator<Uint8Array> {
    let bytes = 0;
    try {
      for await (const piece of source ?? []) {
        bytes += piece.length;
        if (bytes > bytesMax) throw tooLarge(bytesMax);
        sha256.update(piece);
        hasher.update(piece);
        frames?.write(piece);
        yield piece;
      }
    } catch (error) {
      if (error instanceof BodyError) throw error;
      throw new BodyError({ status: 400, title: "Body cut off", detail: "the connection ended before the body was whole, nothing was kept: send it again under the same batch id" });
    }
  }

  async function* unpacked(): AsyncGenerator<Uint8Array> {
    if (encoding === "identity") {
      yield* sent();
      return;
    }
    const unpack: Transform = encoding === "gzip" ? createGunzip() : createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_BITS } });
    pipeline(Readable.from(sent()), unpack, () => undefined); // faults come out of `unpack`
    let bytes = 0;
    try {
      for await (const piece of unpack as AsyncIterable<Uint8Array>) {
        bytes += piece.length;
        if (bytes > bytesMax) throw tooLarge(bytesMax);
        yield piece;
      }
    } catch (error) {
      throw error instanceof BodyError ? error : badEncoding(encoding, (error as { code?: unknown }).code === "Z_BUF_ERROR");
    }
    if (frames && !frames.isWhole()) throw badEncoding(encoding, true);
  }

  return {
    async *pieces() {
      for await (const large of unpacked()) {
        for (let at = 0; at < large.length; at += PIECE_BYTES) {
          yield large.subarray(at, at + PIECE_BYTES);
          await new Promise((resolve) => setImmediate(resolve)); // lets others have their turn
        }
      }
    },
    sha256: () => sha256.digest(),
  };
}

export function tooLarge(bytesMax: number): BodyError {
  return new BodyError({ status: 413, title: "Body too large", detail: `a batch may have ${bytesMax} bytes, packed and unpacked: send it in parts, each with a batch id of its own` });
}

function badEncoding(encoding: Encoding, isCutOff: boolean): BodyError {
  const detail = isCutOff
    ? `the ${encoding} body ends before it is whole, or something follows it that is none, nothing was kept: was the file cut off? Pack it anew and sign what is sent`
    : `the body is not what Content-Encoding says, nothing was kept: it is no ${encoding}, or is damaged. Pack it anew, or leave the header out when it isn't packed`;
  return new BodyError({ status: 400, title: "Bad body", detail });
}
