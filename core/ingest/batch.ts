// A delivery's body -> rows for the inbox and refusals, by feed and content type.
// Promises: every row is either kept or answered with line, field and reason; a row at fault harms no other.
// Not here: signatures, storing.

import { isRefusal, type Refusal } from "../domain/index.ts";
import type { RowFault } from "../access/index.ts";
import { readRow, ROW_FEEDS, type InboxRow, type Intake, type RowFeed } from "./facts.ts";
import { readHl7Rows } from "./hl7.ts";
import { readPublication } from "./riskAreas.ts";
import type { ReadRow } from "./rows.ts";

export const FEEDS = [...ROW_FEEDS, "risk-areas"] as const;
export type Feed = (typeof FEEDS)[number];

type Format = "ndjson" | "hl7" | "publication";

/** Content types that each feed takes; the first is the usual one. */
const CONTENT_TYPES: Record<Feed, Readonly<Record<string, Format>>> = {
  holders: { "application/x-ndjson": "ndjson" },
  trips: { "application/x-ndjson": "ndjson" },
  tests: { "application/x-ndjson": "ndjson", "application/hl7-v2": "hl7", "x-application/hl7-v2+er7": "hl7" },
  "local-infections": { "application/x-ndjson": "ndjson" },
  findings: { "application/x-ndjson": "ndjson" },
  "risk-areas": { "application/json": "publication" },
};

export interface ReadBatch {
  readonly rows: readonly InboxRow[];
  /** Rows or items accepted. */
  readonly accepted: number;
  readonly refused: readonly RowFault[];
  /** Parts that are no rows of this feed, such as observations of other analytes in a laboratory's message. */
  readonly ignored: number;
}

export function isFeed(name: string): name is Feed {
  return (FEEDS as readonly string[]).includes(name);
}

export function contentTypesOf(feed: Feed): string[] {
  return Object.keys(CONTENT_TYPES[feed]);
}

/** The format of a content type (parameters such as charset don't matter), or undefined when the feed doesn't take it. */
export function formatOf(feed: Feed, contentType: string): Format | undefined {
  return CONTENT_TYPES[feed][contentType.split(";")[0]!.trim().toLowerCase()];
}

export function readBatch(feed: Feed, format: Format, text: string, intake: Intake): ReadBatch {
  if (feed === "risk-areas") return readRiskAreas(text, intake);
  if (format === "hl7") {
    const { rows, ignored } = readHl7Rows(text);
    return readRows("tests", rows, intake, ignored);
  }
  return readRows(feed, ndjsonLines(text), intake, 0);
}

function readRows(feed: RowFeed, lines: Iterable<ReadRow>, intake: Intake, ignored: number): ReadBatch {
  const rows: InboxRow[] = [];
  const refused: RowFault[] = [];
  for (const read of lines) {
    const result = "row" in read ? readRow(feed, read.row, intake) : [read.refusal];
    if (isRow(result)) rows.push(result);
    else for (const { field, reason } of result) refused.push({ line: read.line, field, reason });
  }
  return { rows, accepted: rows.length, refused, ignored };
}

function isRow(result: InboxRow | readonly Refusal[]): result is InboxRow {
  return !Array.isArray(result);
}

function* ndjsonLines(text: string): Iterable<ReadRow> {
  let line = 0;
  for (const part of text.split("\n")) {
    line++;
    if (part.trim() === "") continue;
    try {
      yield { line, row: JSON.parse(part) as unknown };
    } catch {
      yield { line, refusal: { field: "row", reason: "is no JSON: one object a line is expected" } };
    }
  }
}

function readRiskAreas(text: string, { now, isHistory }: Intake): ReadBatch {
  const read = readPublication(text);
  if (isRefusal(read)) return { rows: [], accepted: 0, refused: [{ line: 1, ...read }], ignored: 0 };
  const { publishedAt, counties, accepted, refused } = read;
  if (publishedAt > now) return { rows: [], accepted: 0, refused: [{ line: 1, field: "data.end_update_time", reason: "lies in the future" }], ignored: 0 };
  const publication = { publishedAt, knownFrom: isHistory ? publishedAt : now, counties: [...counties] };
  return { rows: [{ type: "publication", publication }], accepted, refused, ignored: 0 };
}
