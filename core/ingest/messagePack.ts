// MessagePack: maps one after the other, or one array of them.
// Promises: memory holds one row, whatever the size of the body or of the array; `line` of a row is its place, counted from 1.

import { Unpackr } from "msgpackr";
import { BodyError } from "./body.ts";
import type { FormatReader, RowSink } from "./rows.ts";

const ROW_BYTES_MAX = 2 ** 20;

interface Incomplete extends Error {
  readonly incomplete?: boolean;
  readonly lastPosition?: number;
}

export function createMessagePackReader(sink: RowSink): FormatReader {
  const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });
  let rest: Uint8Array = new Uint8Array(0);
  let place = 0;
  /** Entries that the array is to have; undefined: the body is no array, or its head isn't here yet. */
  let promised: number | undefined;
  let hasBegun = false;

  const fault = (detail: string): BodyError => new BodyError({ status: 400, title: "Bad body", detail: `${detail}, nothing was kept: send maps one after the other, or one array of maps` });

  /** @returns bytes of the array's head, 0 when there is none, undefined when it isn't whole yet. */
  const headBytes = (bytes: Buffer): number | undefined => {
    const first = bytes[0]!;
    if (first >= 0x90 && first <= 0x9f) return ((promised = first & 0x0f), 1);
    const [size] = first === 0xdc ? [2] : first === 0xdd ? [4] : [0];
    if (size === 0) return 0;
    if (bytes.length <= size) return undefined;
    promised = bytes.readUIntBE(1, size);
    return 1 + size;
  };

  return {
    write(piece) {
      let bytes = Buffer.concat([rest, piece]);
      if (!hasBegun && bytes.length > 0) {
        const head = headBytes(bytes);
        if (head === undefined) {
          rest = bytes;
          return;
        }
        hasBegun = true;
        bytes = bytes.subarray(head);
      }
      if (bytes.length === 0) return void (rest = bytes);
      let used = 0;
      const take = (row: unknown, _: number, end: number): void => {
        used = end;
        place++;
        sink.take({ line: place, row });
      };
      try {
        unpackr.unpackMultiple(bytes, take as never);
        rest = new Uint8Array(0);
      } catch (error) {
        if (error instanceof BodyError) throw error;
        if (!(error as Incomplete).incomplete) throw fault(`row ${place + 1} is no MessagePack`);
        rest = bytes.subarray(used);
        if (rest.length > ROW_BYTES_MAX) {
          throw new BodyError({ status: 413, title: "Row too large", detail: `row ${place + 1} has more than ${ROW_BYTES_MAX} bytes, or says that it has; nothing was kept` });
        }
      }
      if (promised !== undefined && place > promised) throw fault(`something follows the array of ${promised} rows`);
    },
    end() {
      if (rest.length > 0) throw fault(`the body ends in the middle of row ${place + 1}: was it cut off?`);
      if (promised !== undefined && place < promised) throw fault(`the array is to have ${promised} rows, but the body ends behind row ${place}: was it cut off?`);
    },
  };
}
