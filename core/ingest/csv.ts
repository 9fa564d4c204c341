// CSV with a header (RFC 4180): a column a field of the row, fields of objects and lists with dots: document.number, documents.0.type.
// Promises: quotes, CR, LF and CRLF as they come; a record with too many or too few columns, or with a quote in the wrong place, is refused under its line.
// Not here: the flat files of laboratories' uploads (flatTests.ts).

import { Parser } from "csv-parse";
import { repeatableName } from "../domain/index.ts";
import { BodyError } from "./body.ts";
import { flatTestReader } from "./flatTests.ts";
import type { FormatReader, ReadRow, RowSink } from "./rows.ts";
import type { RowFeed } from "./rowSchemas.ts";
import { createUtf8Reader, LINE_CHARS_MAX, tooLong } from "./text.ts";

const COLUMNS_MAX = 512;

/** Makes a row of a record's cells, as many as the header has; null: it is none of this feed. */
export type RecordReader = (cells: readonly string[], line: number) => ReadRow | null;

export function createCsvReader(feed: RowFeed, sink: RowSink): FormatReader {
  const utf8 = createUtf8Reader();
  let header: readonly string[] | undefined;
  let read: RecordReader | undefined;
  /** Lines that ended before the record at hand. */
  let linesBefore = 0;
  let skippedLine = 0;

  const onRecord = (cells: readonly string[], { lines }: { readonly lines: number }): null => {
    const line = linesBefore + 1;
    linesBefore = lines;
    if (cells.every((cell) => cell.trim() === "")) return null; // what a spreadsheet leaves below its last row
    if (!header) {
      header = cells.map((cell) => cell.trim());
      read = (feed === "tests" ? flatTestReader(header) : undefined) ?? rowReader(header);
      return null;
    }
    const row = countFault(cells, header, line) ?? read!(cells, line);
    if (row) sink.take(row);
    else sink.ignore(1);
    return null;
  };
  // Its stream is not used as one: what it does with a piece it does at once, and hands records to on_record.
  const parser = new Parser({
    bom: true,
    record_delimiter: ["\r\n", "\n", "\r"],
    relax_column_count: true,
    max_record_size: LINE_CHARS_MAX,
    skip_records_with_error: true,
    on_record: onRecord,
    on_skip(error) {
      if (error?.code === "CSV_MAX_RECORD_SIZE") throw tooLong(linesBefore + 1);
      const line = (error as { lines?: number } | undefined)?.lines ?? linesBefore + 1;
      if (!header) throw headerFault("its quotes are not in pairs");
      if (line === skippedLine) return; // one record may have several
      skippedLine = line;
      sink.take({ line, refusal: { field: "row", reason: "has a quote in the wrong place: a cell that holds quotes stands in quotes itself, and each of its own is doubled" } });
      linesBefore = line;
    },
  });
  const rethrow = (error?: Error | null): void => {
    if (!error) return;
    if (error instanceof BodyError) throw error;
    throw new BodyError({ status: 400, title: "Bad body", detail: "the body is no CSV, nothing was kept: the first line names the columns, cells are parted by commas" });
  };
  return {
    write(piece) {
      utf8.write(piece); // for its check alone
      parser._transform(Buffer.from(piece), "utf8", rethrow);
    },
    end() {
      utf8.end();
      parser._flush(rethrow);
    },
  };
}

function headerFault(why: string): BodyError {
  return new BodyError({ status: 400, title: "Bad header", detail: `the first line of the CSV must name the columns, nothing was kept: ${why}` });
}

function countFault(cells: readonly string[], header: readonly string[], line: number): ReadRow | undefined {
  if (cells.length === header.length) return undefined;
  const name = header[Math.min(cells.length, header.length - 1)]!;
  const field = NAME.test(name) ? name : repeatableName(name);
  return { line, refusal: { field, reason: `is where the line goes wrong: it has ${cells.length} columns, the header ${header.length}; a cell that holds a comma must stand in quotes` } };
}

const NAME = /^[a-z][A-Za-z]*(\.([a-z][A-Za-z]*|\d{1,2}))*$/;
/** Fields that are no texts. What can't be read as such stays a text, and the row's check says what is wrong with it. */
const NUMBERS = new Set(["revision", "count", "everyDays", "change", "dose"]);
const TRUTHS = new Set(["uploaded", "homeSuitable"]);

/** Builds rows by a header of fields. An empty cell is a field that is absent. */
function rowReader(header: readonly string[]): RecordReader {
  if (header.length > COLUMNS_MAX) throw headerFault(`it has ${header.length} columns, more than ${COLUMNS_MAX}`);
  const seen = new Set<string>();
  const paths = header.map((name) => {
    if (!NAME.test(name)) throw headerFault(`"${repeatableName(name).slice(0, 64)}" is no name of a field, such as factId, document.number or documents.0.type`);
    if (seen.has(name)) throw headerFault(`${name} stands in it twice`);
    seen.add(name);
    return name.split(".");
  });
  for (const name of seen) for (const other of seen) if (other.startsWith(`${name}.`)) throw headerFault(`${name} and ${other} can't both be columns`);
  return (cells, line) => {
    const row: Tree = {};
    paths.forEach((path, i) => {
      const cell = cells[i]!.trim();
      if (cell !== "") put(row, path, valueOf(path.at(-1)!, cell));
    });
    return { line, row: withLists(row) };
  };
}

type Tree = { [name: string]: unknown };

function put(row: Tree, path: readonly string[], value: unknown): void {
  let at = row;
  for (const part of path.slice(0, -1)) {
    if (!Object.hasOwn(at, part)) at[part] = {};
    at = at[part] as Tree;
  }
  at[path.at(-1)!] = value;
}

function valueOf(field: string, cell: string): unknown {
  if (NUMBERS.has(field) && /^\d{1,15}$/.test(cell)) return Number(cell);
  if (TRUTHS.has(field) && /^(true|false)$/i.test(cell)) return cell.toLowerCase() === "true";
  return cell;
}

/** Objects whose names are numbers become lists, without the places that are empty. */
function withLists(tree: Tree): unknown {
  const names = Object.keys(tree);
  for (const name of names) if (typeof tree[name] === "object") tree[name] = withLists(tree[name] as Tree);
  return names.length > 0 && names.every((name) => /^\d/.test(name)) ? Object.values(tree) : tree;
}
