// A file of lines in parts, each a delivery: read as it is asked for, so that its size doesn't matter.

import { createReadStream } from "node:fs";

export interface Part {
  readonly body: Uint8Array;
  /** Where it begins in the file; lines count from 1. */
  readonly firstLine: number;
  /** Of those that hold something. */
  readonly rows: number;
}

const LF = 0x0a;

/** Whole lines, at most so many and, unless one line alone has more, so many bytes in a part. The bytes of all parts together are the file's. */
export async function* partsOf(file: string, { linesMax, bytesMax }: { linesMax: number; bytesMax: number }): AsyncGenerator<Part> {
  let rest: Buffer = Buffer.alloc(0);
  let firstLine = 1;
  for await (const read of createReadStream(file, { highWaterMark: Math.min(bytesMax, 2 ** 20) }) as AsyncIterable<Buffer>) {
    rest = rest.length === 0 ? read : Buffer.concat([rest, read]);
    // What may still grow stays.
    while (rest.length > bytesMax || linesIn(rest, linesMax) === linesMax) {
      const end = endOfPart(rest, linesMax, bytesMax);
      if (end < 0) break;
      const part = partOf(rest.subarray(0, end), firstLine);
      yield part;
      firstLine += linesIn(part.body, Infinity);
      rest = rest.subarray(end);
    }
  }
  while (rest.length > 0) {
    // The last line need not have an end.
    const isLast = rest.length <= bytesMax && linesIn(rest.subarray(0, -1), linesMax) < linesMax;
    const end = isLast ? rest.length : endOfPart(rest, linesMax, bytesMax);
    const part = partOf(rest.subarray(0, end < 0 ? rest.length : end), firstLine);
    yield part;
    firstLine += linesIn(part.body, Infinity);
    rest = rest.subarray(part.body.length);
  }
}

function partOf(body: Buffer, firstLine: number): Part {
  let rows = 0;
  for (let at = 0; at < body.length; ) {
    const end = body.indexOf(LF, at);
    const line = body.subarray(at, end < 0 ? body.length : end);
    if (line.some((byte) => byte > 0x20)) rows++;
    at += line.length + 1;
  }
  return { body, firstLine, rows };
}

/** Ends of lines, counted up to `max`. */
function linesIn(bytes: Buffer | Uint8Array, max: number): number {
  let count = 0;
  for (let at = bytes.indexOf(LF); at >= 0 && count < max; at = bytes.indexOf(LF, at + 1)) count++;
  return count;
}

/** Behind the last end of a line that still fits, at least behind the first; -1: there is none. */
function endOfPart(bytes: Buffer, linesMax: number, bytesMax: number): number {
  let end = -1;
  let count = 0;
  for (let at = bytes.indexOf(LF); at >= 0 && count < linesMax; at = bytes.indexOf(LF, at + 1)) {
    if (end >= 0 && at + 1 > bytesMax) break;
    end = at + 1;
    count++;
  }
  return end;
}
