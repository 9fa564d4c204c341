// One JSON value a line.

import type { FormatReader, ReadRow } from "./rows.ts";
import { createLineReader, createUtf8Reader } from "./text.ts";

/** @param take gets the value of each line that isn't blank, or that it is no JSON. */
export function createJsonLinesReader(take: (read: ReadRow) => void): FormatReader {
  const utf8 = createUtf8Reader();
  const lines = createLineReader((text, line) => {
    if (text === "" || text.trim() === "") return;
    let row: unknown;
    try {
      row = JSON.parse(text);
    } catch {
      take({ line, refusal: { field: "row", reason: "is no JSON: one object a line is expected" } });
      return;
    }
    take({ line, row });
  });
  return {
    write: (piece) => lines.write(utf8.write(piece)),
    end() {
      lines.write(utf8.end());
      lines.end();
    },
  };
}
