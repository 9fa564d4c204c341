// A delivery's body -> rows for the inbox and refusals, by feed and content type.
// Promises: every row is either kept or answered with line, field and reason; a row at fault harms no other.
// Not here: signatures, storing.

import { formatInstant, isRefusal, mayHoldNumber, type Refusal } from "../domain/index.ts";
import type { RowFault } from "../access/index.ts";
import { PackError, parseNewPack } from "../policy/index.ts";
import { AHEAD_S_MAX, knownSince, readRow, type InboxRow, type Intake } from "./facts.ts";
import { BodyError } from "./body.ts";
import { createCsvReader } from "./csv.ts";
import { takeFhir } from "./fhir.ts";
import { createHl7Reader } from "./hl7.ts";
import { createMessagePackReader } from "./messagePack.ts";
import { createJsonLinesReader } from "./ndjson.ts";
import { readPublication } from "./riskAreas.ts";
import type { FormatReader, ReadRow, RowSink, TestRow } from "./rows.ts";
import { createUtf8Reader } from "./text.ts";
import { ROW_FEEDS, type RowFeed } from "./rowSchemas.ts";

export const FEEDS = [...ROW_FEEDS, "risk-areas", "packs"] as const;
export type Feed = (typeof FEEDS)[number];

/** Feeds of an operator: a source that may deliver to all others may not to these unless they are named. */
export const OPERATOR_FEEDS: readonly Feed[] = ["packs", "decisions"];

/** Faults listed in an answer; more than these are counted only. */
export const FAULTS_MAX = 1000;
/** Bytes of a body that is read as a whole: a risk list, a pack. */
export const WHOLE_BYTES_MAX = 32 * 2 ** 20;

type RowFormat = "ndjson" | "csv" | "msgpack";
type Format = RowFormat | "hl7" | "fhir" | "fhir-lines" | "publication" | "pack";

const ROW_TYPES = { "application/x-ndjson": "ndjson", "text/csv": "csv", "application/vnd.msgpack": "msgpack", "application/msgpack": "msgpack" } as const;

/** Content types that each feed takes; the first is the usual one. */
const CONTENT_TYPES: Record<Feed, Readonly<Record<string, Format>>> = {
  holders: ROW_TYPES,
  trips: ROW_TYPES,
  tests: { ...ROW_TYPES, "application/hl7-v2": "hl7", "x-application/hl7-v2+er7": "hl7", "application/fhir+json": "fhir", "application/fhir+ndjson": "fhir-lines" },
  "local-infections": ROW_TYPES,
  findings: ROW_TYPES,
  crossings: ROW_TYPES,
  purchases: ROW_TYPES,
  "clinic-visits": ROW_TYPES,
  commuters: ROW_TYPES,
  reports: ROW_TYPES,
  declarations: ROW_TYPES,
  obligations: ROW_TYPES,
  screenings: ROW_TYPES,
  residences: ROW_TYPES,
  vaccinations: ROW_TYPES,
  clearances: ROW_TYPES,
  refutations: ROW_TYPES,
  decisions: ROW_TYPES,
  "risk-areas": { "application/json": "publication" },
  packs: { "application/yaml": "pack" },
};

/** What is wrong with the id of a batch, as its sender chose it, or undefined when it can be one. */
export function batchIdFault(id: string): string | undefined {
  if (/^[A-Za-z0-9._-]{1,64}$/.test(id) && !mayHoldNumber(id, "id")) return undefined;
  return "must be 1 to 64 of A-Z, a-z, 0-9, dot, hyphen and underscore, and must not look like a document or phone number";
}

/** What a delivery has come to so far. */
export interface ReadCounts {
  /** Rows or items accepted. */
  readonly accepted: number;
  /** Rows or items refused. */
  readonly refusedCount: number;
  /** Their faults, the first FAULTS_MAX of them. */
  readonly refused: readonly RowFault[];
  /** Parts that are no rows of this feed, such as observations of other analytes in a laboratory's message. */
  readonly ignored: number;
}

/** Reads one delivery, piece by piece. */
export interface Reading extends FormatReader, ReadCounts {
  /** The rows for the inbox since the last call. */
  drain(): InboxRow[];
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

/** Begins to read a delivery: `write` its pieces, `end`, and `drain` its rows in between. */
export function openReading(feed: Feed, format: Format, intake: Intake): Reading {
  let rows: InboxRow[] = [];
  let [accepted, refusedCount, ignored] = [0, 0, 0];
  const refused: RowFault[] = [];
  const refuse = (line: number, faults: readonly Refusal[]): void => {
    refusedCount++;
    for (const { field, reason } of faults.slice(0, FAULTS_MAX - refused.length)) refused.push({ line, field, reason });
  };
  const sink: RowSink = {
    take(read) {
      const fault = "refusal" in read ? read.refusal : revisionAhead(read, intake);
      if (fault) { refuse(read.line, [fault]); return; }
      const result = readRow(feed as RowFeed, (read as { row: unknown }).row, intake);
      if (Array.isArray(result)) { refuse(read.line, result as readonly Refusal[]); return; }
      accepted++;
      rows.push(result as InboxRow);
    },
    ignore: (count) => void (ignored += count),
  };
  const takeWhole = (read: WholeBatch): void => {
    rows.push(...read.rows);
    accepted += read.accepted;
    refusedCount += read.refusedCount;
    refused.push(...read.refused);
  };
  return {
    ...readerOf(feed, format, intake, sink, takeWhole),
    drain() {
      const drained = rows;
      rows = [];
      return drained;
    },
    get accepted() {
      return accepted;
    },
    get refusedCount() {
      return refusedCount;
    },
    get ignored() {
      return ignored;
    },
    refused,
  };
}

function readerOf(feed: Feed, format: Format, intake: Intake, sink: RowSink, takeWhole: (read: WholeBatch) => void): FormatReader {
  switch (format) {
    case "ndjson":
      return createJsonLinesReader((read) => sink.take(read));
    case "csv":
      return createCsvReader(feed as RowFeed, sink);
    case "msgpack":
      return createMessagePackReader(sink);
    case "hl7":
      return createHl7Reader(sink);
    case "fhir":
      return createWholeReader((text) => takeFhirText(text, sink));
    case "fhir-lines":
      return createJsonLinesReader((read) => ("row" in read ? takeFhir(read.row, read.line, sink) : sink.take(read)));
    case "publication":
      return createWholeReader((text) => takeWhole(readRiskAreas(text, intake)));
    case "pack":
      return createWholeReader((text) => takeWhole(readPack(text)));
  }
}

/** A body that is in memory as a whole, read at once. */
export function readBatch(feed: Feed, format: Format, body: string | Uint8Array, intake: Intake): ReadCounts & { readonly rows: readonly InboxRow[] } {
  const reading = openReading(feed, format, intake);
  reading.write(typeof body === "string" ? new TextEncoder().encode(body) : body);
  reading.end();
  const { accepted, refusedCount, refused, ignored } = reading;
  return { rows: reading.drain(), accepted, refusedCount, refused, ignored };
}

/** A correction's revision is the time of its message: one of the future would outdo every true one after it. */
function revisionAhead(read: ReadRow, { now }: Intake): Refusal | undefined {
  if (!("row" in read) || read.revisionFrom === undefined || ((read.row as TestRow).revision ?? 0) <= now + AHEAD_S_MAX) return undefined;
  return { field: read.revisionFrom, reason: `lies in the future: it is ${formatInstant(now)} here` };
}

/** For formats that make sense only as a whole. */
function createWholeReader(read: (text: string) => void): FormatReader {
  const utf8 = createUtf8Reader();
  const parts: string[] = [];
  let bytes = 0;
  return {
    write(piece) {
      bytes += piece.length;
      if (bytes > WHOLE_BYTES_MAX) {
        throw new BodyError({ status: 413, title: "Body too large", detail: `a body of this content type is read as a whole and may have ${WHOLE_BYTES_MAX} bytes unpacked; nothing was kept` });
      }
      parts.push(utf8.write(piece));
    },
    end() {
      parts.push(utf8.end());
      read(parts.join(""));
    },
  };
}

function takeFhirText(text: string, sink: RowSink): void {
  let resource: unknown;
  try {
    resource = JSON.parse(text);
  } catch {
    sink.take({ line: 1, refusal: { field: "Bundle", reason: "is no JSON: one FHIR resource is expected; several, one a line, are application/fhir+ndjson" } });
    return;
  }
  takeFhir(resource, undefined, sink);
}

interface WholeBatch extends Omit<ReadCounts, "ignored"> {
  readonly rows: readonly InboxRow[];
}

function readRiskAreas(text: string, intake: Intake): WholeBatch {
  const { now } = intake;
  const read = readPublication(text);
  const refuseWhole = (refusal: Refusal): WholeBatch => ({ rows: [], accepted: 0, refusedCount: 1, refused: [{ line: 1, ...refusal }] });
  if (isRefusal(read)) return refuseWhole(read);
  const { publishedAt, counties, areas, unknown, accepted, refused } = read;
  if (publishedAt > now + AHEAD_S_MAX) return refuseWhole({ field: "data.end_update_time", reason: `lies in the future: it is ${formatInstant(now)} here` });
  const publication = { publishedAt, ...knownSince(publishedAt, intake), counties: [...counties], areas: new Uint8Array(areas.buffer, areas.byteOffset, areas.byteLength), unknown };
  return { rows: [{ type: "publication", publication }], accepted, refusedCount: refused.length, refused: refused.slice(0, FAULTS_MAX) };
}

/** A pack of rules, whole or not at all. */
function readPack(text: string): WholeBatch {
  try {
    parseNewPack(text, "pack");
    return { rows: [{ type: "pack", text }], accepted: 1, refusedCount: 0, refused: [] };
  } catch (error) {
    if (!(error instanceof PackError)) throw error;
    return { rows: [], accepted: 0, refusedCount: 1, refused: error.faults.slice(0, FAULTS_MAX) };
  }
}
