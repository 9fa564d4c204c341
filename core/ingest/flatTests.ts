// Flat CSV files of tests, as laboratories upload them to SimpleReport and ReportStream, told by their header.

import type { RecordReader } from "./csv.ts";

/** How to read records under this header, or undefined when it isn't one of these. */
export function flatTestReader(_header: readonly string[]): RecordReader | undefined {
  return undefined;
}
