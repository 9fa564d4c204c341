// Bytes -> text -> lines, piece by piece.
// Promises: UTF-8 alone, checked across the borders of pieces, without a byte order mark at the beginning; LF, CR and CRLF end a line, wherever pieces are cut; memory holds one line.
// Not here: what a line means.

import { BodyError } from "./body.ts";

/** A line, or a record, that is longer is no row. */
export const LINE_CHARS_MAX = 2 ** 20;

export interface Utf8Reader {
  /** @throws BodyError */
  write(piece: Uint8Array): string;
  /** @throws BodyError when the last character is cut off. */
  end(): string;
}

export function createUtf8Reader(): Utf8Reader {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let before = 0;
  const decode = (piece: Uint8Array | undefined): string => {
    try {
      const text = decoder.decode(piece, { stream: piece !== undefined });
      before += piece?.length ?? 0;
      return text;
    } catch {
      const detail = `the body is no UTF-8 text: a byte behind byte ${before} can't be read, nothing was kept. Write it as UTF-8 (not GBK or UTF-16) and sign it anew`;
      throw new BodyError({ status: 400, title: "Bad body", detail });
    }
  };
  return { write: decode, end: () => decode(undefined) };
}

export interface LineReader {
  write(text: string): void;
  /** The last line needs no end of line; there is always one, which may be empty. */
  end(): void;
}

/** @param onLine gets each line without its end, and its number, counted from 1. */
export function createLineReader(onLine: (line: string, number: number) => void): LineReader {
  let rest = "";
  let number = 0;
  return {
    write(text) {
      const all = rest === "" ? text : rest + text;
      let at = 0;
      let lf = all.indexOf("\n");
      let cr = all.indexOf("\r");
      // A CR at the end may have its LF in the next piece.
      while (lf >= 0 || (cr >= 0 && cr < all.length - 1)) {
        const isReturn = cr >= 0 && (lf < 0 || cr < lf);
        const end = isReturn ? cr : lf;
        onLine(all.slice(at, end), ++number);
        at = isReturn && lf === cr + 1 ? lf + 1 : end + 1;
        // Each is looked for once, not once a line: there may be none of its kind.
        if (lf >= 0 && lf < at) lf = all.indexOf("\n", at);
        if (isReturn) cr = all.indexOf("\r", at);
      }
      rest = all.slice(at);
      if (rest.length > LINE_CHARS_MAX) throw tooLong(number + 1);
    },
    end() {
      onLine(rest.endsWith("\r") ? rest.slice(0, -1) : rest, ++number);
      rest = "";
    },
  };
}

export function tooLong(line: number): BodyError {
  return new BodyError({ status: 413, title: "Line too long", detail: `line ${line} has more than ${LINE_CHARS_MAX} characters, nothing was kept: write one row a line, each ended by LF, CR or both` });
}
