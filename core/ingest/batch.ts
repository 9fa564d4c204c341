// A delivery's body -> rows for the inbox and refusals, by feed and content type.
// Promises: every row is either kept or answered with line, field and reason; a row at fault harms no other.
// Not here: signatures, storing.

import { formatInstant, isRefusal, mayHoldNumber, type Refusal } from "../domain/index.ts";
import type { RowFault } from "../access/index.ts";
import { PackError, parseNewPack } from "../policy/index.ts";
import { AHEAD_S_MAX, knownSince, readRow, type InboxRow, type Intake } from "./facts.ts";
import { readHl7Rows } from "./hl7.ts";
import { readPublication } from "./riskAreas.ts";
import type { ReadRow, TestRow } from "./rows.ts";
import { ROW_FEEDS, type RowFeed } from "./rowSchemas.ts";

export const FEEDS = [...ROW_FEEDS, "risk-areas", "packs"] as const;
export type Feed = (typeof FEEDS)[number];

/** Feeds of an operator: a source that may deliver to all others may not to these unless they are named. */
export const OPERATOR_FEEDS: readonly Feed[] = ["packs", "decisions"];

/** Faults listed in an answer; more than these are counted only. */
export const FAULTS_MAX = 1000;
/** Lines of one delivery; a row takes much more memory than its bytes. */
export const LINES_MAX = 200_000;

type Format = "ndjson" | "hl7" | "publication" | "pack";

/** Content types that each feed takes; the first is the usual one. */
const CONTENT_TYPES: Record<Feed, Readonly<Record<string, Format>>> = {
  holders: { "application/x-ndjson": "ndjson" },
  trips: { "application/x-ndjson": "ndjson" },
  tests: { "application/x-ndjson": "ndjson", "application/hl7-v2": "hl7", "x-application/hl7-v2+er7": "hl7" },
  "local-infections": { "application/x-ndjson": "ndjson" },
  findings: { "application/x-ndjson": "ndjson" },
  crossings: { "application/x-ndjson": "ndjson" },
  purchases: { "application/x-ndjson": "ndjson" },
  "clinic-visits": { "application/x-ndjson": "ndjson" },
  commuters: { "application/x-ndjson": "ndjson" },
  reports: { "application/x-ndjson": "ndjson" },
  declarations: { "application/x-ndjson": "ndjson" },
  obligations: { "application/x-ndjson": "ndjson" },
  screenings: { "application/x-ndjson": "ndjson" },
  residences: { "application/x-ndjson": "ndjson" },
  clearances: { "application/x-ndjson": "ndjson" },
  refutations: { "application/x-ndjson": "ndjson" },
  decisions: { "application/x-ndjson": "ndjson" },
  "risk-areas": { "application/json": "publication" },
  packs: { "application/yaml": "pack" },
};

/** What is wrong with the id of a batch, as its sender chose it, or undefined when it can be one. */
export function batchIdFault(id: string): string | undefined {
  if (/^[A-Za-z0-9._-]{1,64}$/.test(id) && !mayHoldNumber(id, "id")) return undefined;
  return "must be 1 to 64 of A-Z, a-z, 0-9, dot, hyphen and underscore, and must not look like a document or phone number";
}

export interface ReadBatch {
  readonly rows: readonly InboxRow[];
  /** Rows or items accepted. */
  readonly accepted: number;
  /** Rows or items refused. */
  readonly refusedCount: number;
  /** Their faults, the first FAULTS_MAX of them. */
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
  const type = contentType.split(";")[0]!.trim().toLowerCase();
  return Object.hasOwn(CONTENT_TYPES[feed], type) ? CONTENT_TYPES[feed][type] : undefined;
}

export function readBatch(feed: Feed, format: Format, text: string, intake: Intake): ReadBatch {
  if (feed === "risk-areas") return readRiskAreas(text, intake);
  if (feed === "packs") return readPack(text);
  if (format === "hl7") {
    const { rows, ignored } = readHl7Rows(text);
    return readRows("tests", rows.map((read) => notAhead(read, intake)), intake, ignored);
  }
  return readRows(feed, ndjsonLines(text), intake, 0);
}

function readRows(feed: RowFeed, lines: Iterable<ReadRow>, intake: Intake, ignored: number): ReadBatch {
  const rows: InboxRow[] = [];
  const refused: RowFault[] = [];
  let refusedCount = 0;
  for (const read of lines) {
    const result = "row" in read ? readRow(feed, read.row, intake) : [read.refusal];
    if (isRow(result)) {
      rows.push(result);
      continue;
    }
    refusedCount++;
    for (const { field, reason } of result.slice(0, FAULTS_MAX - refused.length)) refused.push({ line: read.line, field, reason });
  }
  return { rows, accepted: rows.length, refusedCount, refused, ignored };
}

function isRow(result: InboxRow | readonly Refusal[]): result is InboxRow {
  return !Array.isArray(result);
}

/** A correction's revision is the time of its message: one of the future would outdo every true one after it. */
function notAhead(read: ReadRow<TestRow>, { now }: Intake): ReadRow<TestRow> {
  if (!("row" in read) || (read.row.revision ?? 0) <= now + AHEAD_S_MAX) return read;
  return { line: read.line, refusal: { field: "MSH-7", reason: `lies in the future: it is ${formatInstant(now)} here` } };
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

function readRiskAreas(text: string, intake: Intake): ReadBatch {
  const { now } = intake;
  const read = readPublication(text);
  const refuseWhole = (refusal: Refusal): ReadBatch => ({ rows: [], accepted: 0, refusedCount: 1, refused: [{ line: 1, ...refusal }], ignored: 0 });
  if (isRefusal(read)) return refuseWhole(read);
  const { publishedAt, counties, areas, unknown, accepted, refused } = read;
  if (publishedAt > now + AHEAD_S_MAX) return refuseWhole({ field: "data.end_update_time", reason: `lies in the future: it is ${formatInstant(now)} here` });
  const publication = { publishedAt, ...knownSince(publishedAt, intake), counties: [...counties], areas: new Uint8Array(areas.buffer, areas.byteOffset, areas.byteLength), unknown };
  return { rows: [{ type: "publication", publication }], accepted, refusedCount: refused.length, refused: refused.slice(0, FAULTS_MAX), ignored: 0 };
}

/** A pack of rules, whole or not at all. */
function readPack(text: string): ReadBatch {
  try {
    parseNewPack(text, "pack");
    return { rows: [{ type: "pack", text }], accepted: 1, refusedCount: 0, refused: [], ignored: 0 };
  } catch (error) {
    if (!(error instanceof PackError)) throw error;
    return { rows: [], accepted: 0, refusedCount: 1, refused: error.faults.slice(0, FAULTS_MAX), ignored: 0 };
  }
}
