// HL7 v2 (ER7) into rows of the feed `tests`: one row for each OBX that reports a SARS-CoV-2 test (WIRE, "HL7 v2 and FHIR").
// Promises: never throws, whatever the text; such an OBX becomes a row or a refusal that names an HL7 field, it is never dropped;
// refusals repeat codes, never what PID holds, and nothing that may be a document number.
// Not here: whether document, county and times hold (facts.ts), what codes mean (labCodes.ts), MLLP and acknowledgements.
// The splitter is our own: a library's (@medplum/core) knows one message, not a file, and neither lines, escapes nor groups; what
// it leaves to do is more than what it does.

import { bindsFrom, isRefusal, parseMoment, type Refusal, type TestResult } from "../domain/index.ts";
import { findVirusTest, labResult, quoteCode, whyNoResult, type LabCode } from "./labCodes.ts";
import { BodyError } from "./body.ts";
import type { FormatReader, ReadRow, RowSink, TestRow } from "./rows.ts";
import { createLineReader, createUtf8Reader } from "./text.ts";

type DocumentRow = NonNullable<TestRow["document"]>;

/** What one OBX says of a SARS-CoV-2 test. Texts are as written, "" where there is none. */
export interface Hl7Reading {
  /** Which MSH of the file, and which line; both count from 1. */
  readonly message: number;
  readonly line: number;
  /** OBX-1. */
  readonly obx: string;
  /** OBX-3.1; OBX-3.4 when only that is a code of the table. */
  readonly code: string;
  readonly result: TestResult | null;
  /** Set exactly when there is no result. */
  readonly fault: Refusal | null;
  /** SPM-17, else OBR-7. */
  readonly sampled: string;
  /** OBX-19, else OBR-22, else MSH-7. */
  readonly issued: string;
  /** OBX-11 changes or withdraws a result sent before (C, D, W, X). */
  readonly correction: boolean;
  /** What the feed gets: the fault again, or what else a row lacks. */
  readonly row: TestRow | Refusal;
}

/** Every OBX of a SARS-CoV-2 test, in the order of the file, whether it can become a row or not. */
export function readHl7(text: string): Hl7Reading[] {
  const readings: Hl7Reading[] = [];
  const cutter = createMessageCutter((message) => readings.push(...readingsOf(message)));
  const lines = createLineReader(cutter.line);
  lines.write(text);
  lines.end();
  cutter.end();
  return readings;
}

/** Reads a file for the feed, message by message: of each a row for every SARS-CoV-2 test. A message that is no ORU^R01 is refused once, as a whole. */
export function createHl7Reader(sink: RowSink): FormatReader {
  let messages = 0;
  /** Lines before the first message; what is no HL7 at all is refused once. */
  let before: ReadRow[] | undefined = [];
  const release = (): void => {
    before?.forEach((read) => sink.take(read));
    before = undefined;
  };
  const cutter = createMessageCutter(
    (message, strays) => {
      messages++;
      release();
      if (message.fault) {
        [{ line: message.msh.line, refusal: message.fault }, ...strays].forEach((read) => sink.take(read));
        return;
      }
      const readings = readingsOf(message);
      sink.ignore(message.groups.reduce((sum, group) => sum + group.results.length, 0) - readings.length);
      const rows = readings.map(({ line, row }): ReadRow => (isRefusal(row) ? { line, refusal: row } : { line, row, revisionFrom: "MSH-7" }));
      [...rows, ...strays].sort((a, b) => a.line - b.line).forEach((read) => sink.take(read));
    },
    (stray) => {
      if (before?.push(stray) === STRAYS_MAX) release();
      else if (!before) sink.take(stray);
    },
  );
  const utf8 = createUtf8Reader();
  const lines = createLineReader(cutter.line);
  return {
    write: (piece) => lines.write(utf8.write(piece)),
    end() {
      lines.write(utf8.end());
      lines.end();
      cutter.end();
      if (messages === 0) sink.take({ line: 1, refusal: { field: "MSH", reason: "the file holds no message: no line begins with MSH" } });
    },
  };
}

// --- A message becomes readings ---

function readingsOf(message: Message): Hl7Reading[] {
  const readings: Hl7Reading[] = [];
  for (const group of message.groups) {
    const document = documentOf(group.pid);
    const sampled = firstOf([group.spm, "SPM-17"], [group.obr, "OBR-7"]);
    for (const obx of group.results) {
      const test = testOf(obx);
      if (!test) continue;
      const status = value(obx, 11).toUpperCase();
      const outcome = message.fault ?? test.fault ?? outcomeOf(obx, status);
      const issued = firstOf([obx, "OBX-19"], [group.obr, "OBR-22"], [message.msh, "MSH-7"]);
      const correction = status === "C" || WITHDRAWN.has(status);
      const found = { message: message.number, line: obx.line, obx: value(obx, 1), code: test.code, sampled: sampled.text, issued: issued.text, correction };
      if (typeof outcome !== "string") readings.push({ ...found, result: null, fault: outcome, row: outcome });
      else readings.push({ ...found, result: outcome, fault: null, row: rowOf(obx, { message, group, document, sampled, issued, result: outcome, correction }) });
    }
  }
  return readings;
}

interface Written {
  readonly text: string;
  readonly field: string;
}

/** The first field that is not empty; the first of all when all are. */
function firstOf(...places: [segment: Segment | null, field: string][]): Written {
  const written = places.map(([segment, field]) => ({ text: value(segment, Number(field.slice(4))), field }));
  return written.find(({ text }) => text !== "") ?? written[0]!;
}

interface Around {
  readonly message: Message;
  readonly group: Group;
  readonly document: DocumentRow | Refusal;
  readonly sampled: Written;
  readonly issued: Written;
  readonly result: TestResult;
  readonly correction: boolean;
}

function rowOf(obx: Segment, { message, group, document, sampled, issued, result, correction }: Around): TestRow | Refusal {
  if (isRefusal(document)) return document;
  // The whole field, its namespace too: two laboratories behind one hub may give one number.
  const order = value(group.obr, 3) !== "" ? group.obr!.fields[3]! : value(group.obr, 2) !== "" ? group.obr!.fields[2]! : "";
  if (order === "") return { field: "OBR-3", reason: "is empty, and so is OBR-2: the result has no number" };
  const place = value(obx, 1);
  if (place === "") return { field: "OBX-1", reason: "is empty: results of one order could not be told apart" };
  const sampledAt = timeOf(sampled, "is empty, and so is OBR-7");
  if (isRefusal(sampledAt)) return sampledAt;
  const issuedAt = timeOf(issued, "is empty, and so are OBR-22 and MSH-7");
  if (isRefusal(issuedAt)) return issuedAt;
  const laboratory = value(obx, 23) || value(obx, 23, 10) || value(message.msh, 4);
  const row: TestRow = { factId: `${order}/${place}`, document, sampledAt: sampledAt.iso, issuedAt: issuedAt.iso, result, laboratory };
  // The county of the laboratory's address (XAD.9). XAD.5 never serves: it is the postal code, in China also six digits, and many a
  // postal code is the county code of another place.
  const county = value(obx, 24, 9);
  if (/^\d{6}$/.test(county)) row.county = county;
  if (correction) {
    // The later message wins over earlier corrections, and any of them over the first report, whose revision is 1.
    const sentAt = timeOf(firstOf([message.msh, "MSH-7"]), "is empty: a correction needs the time of its message");
    if (isRefusal(sentAt)) return sentAt;
    row.revision = sentAt.seconds;
  }
  return row;
}

const TIME = /^(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(?:(\d\d)(?:\.\d+)?)?)?([+-]\d\d[0-5]\d)?$/;

/** A time of HL7 in ISO 8601; one without a zone is Beijing time, a date stays a date. Fractions of a second are cut off. */
function timeOf({ text, field }: Written, whenEmpty: string): { readonly iso: string; readonly seconds: number } | Refusal {
  if (text === "") return { field, reason: whenEmpty };
  const match = TIME.exec(text);
  if (!match) return { field, reason: "must be a time written YYYYMMDD, or YYYYMMDDHHMM[SS[.S]] with an optional zone +ZZZZ" };
  const [, year, month, day, hour, minute, second = "00", zone = "+0800"] = match;
  if (hour === undefined && zone !== "+0800") return { field, reason: "is a date with a zone that is not Beijing's: it needs a time of day" };
  const date = `${year!}-${month!}-${day!}`;
  const iso = hour === undefined ? date : `${date}T${hour}:${minute!}:${second}${zone.slice(0, 3)}:${zone.slice(3)}`;
  const moment = parseMoment(iso);
  return moment ? { iso, seconds: bindsFrom(moment) } : { field, reason: "is no time of the years 2000 to 2100" };
}

/** The test that an OBX reports, or null when it reports something else (symptoms, age, influenza …). */
function testOf(obx: Segment): { readonly code: string; readonly fault: Refusal | null } | null {
  const coding = (at: number): LabCode => ({ code: value(obx, 3, at), name: value(obx, 3, at + 1), isLoinc: value(obx, 3, at + 2) === "LN" });
  const test = findVirusTest([coding(1), coding(4)]);
  return test && { code: test.code, fault: test.fault === undefined ? null : { field: "OBX-3", reason: test.fault } };
}

/** OBX-11: deleted, sent by mistake, cannot be obtained. What was reported before no longer stands. */
const WITHDRAWN = new Set(["D", "W", "X"]);

function outcomeOf(obx: Segment, status: string): TestResult | Refusal {
  if (WITHDRAWN.has(status)) return "invalid";
  if (status !== "" && status !== "F" && status !== "C") return { field: "OBX-11", reason: `status ${quoteCode(status)} is not final` };
  if (obx.fields[5]?.includes(obx.separators.repetition)) return { field: "OBX-5", reason: "holds several values" };
  const code = value(obx, 5);
  if (code === "") return { field: "OBX-5", reason: "is empty" };
  return labResult(code) ?? { field: "OBX-5", reason: whyNoResult(code) };
}

/** The first identifier of PID-3 that the service knows. */
function documentOf(pid: Segment | null): DocumentRow | Refusal {
  if (!pid) return { field: "PID-3", reason: "no readable PID stands before this result" };
  const seen = new Set<string>();
  for (const identifier of (pid.fields[3] ?? "").split(pid.separators.repetition)) {
    const number = partOf(identifier, 1, pid.separators);
    const type = partOf(identifier, 5, pid.separators).toUpperCase();
    if (number === "") continue;
    if (type === "NNCHN") return { type: "resident-id", number };
    if (type === "PPN") {
      const issuer = partOf(identifier, 4, pid.separators, 1);
      // Without an issuer the check of documents refuses the passport; an authority's name is none.
      return { type: "passport", number, ...(/^[A-Za-z]{3}$/.test(issuer) ? { issuer } : {}) };
    }
    // A type is a few letters (table 0203); anything else may be a value in the wrong place.
    seen.add(/^[A-Z]{1,5}$/.test(type) ? type : "one without a known type");
  }
  return { field: "PID-3", reason: `holds neither NNCHN nor PPN, but ${[...seen].join(", ").slice(0, 64) || "nothing"}` };
}

// --- A file becomes messages ---

interface Separators {
  readonly field: string;
  readonly component: string;
  readonly repetition: string;
  readonly escape: string;
  readonly subcomponent: string;
}

/** `fields[n]` is field n as HL7 counts, raw; of MSH too. */
interface Segment {
  readonly line: number;
  readonly fields: readonly string[];
  readonly separators: Separators;
}

/** An OBR with its OBX; PID is the last one before it, SPM the first after it. */
interface Group {
  readonly pid: Segment | null;
  readonly obr: Segment | null;
  spm: Segment | null;
  readonly results: Segment[];
}

interface Message {
  readonly number: number;
  readonly msh: Segment;
  readonly groups: Group[];
  /** Why no row can come of it. */
  readonly fault: Refusal | null;
}

/** Headers and trailers of files and batches. What follows them belongs to nobody until the next MSH. */
const BATCH = new Set(["FHS", "BHS", "BTS", "FTS"]);
const READ = new Set(["PID", "OBR", "OBX", "SPM"]);

/** Lines before the first message that are kept until it is known whether there is one. */
const STRAYS_MAX = 1000;
/** What one message may hold: it is in memory as a whole. */
const MESSAGE_CHARS_MAX = 2 ** 24;

/**
 * Cuts a file into messages, line by line.
 * @param onMessage gets each message, when it is whole, with refusals of lines in it that are no segment.
 * @param onStray gets refusals of lines that belong to no message.
 */
function createMessageCutter(onMessage: (message: Message, strays: readonly ReadRow[]) => void, onStray: (stray: ReadRow) => void = () => undefined): { readonly line: (content: string, line: number) => void; readonly end: () => void } {
  let message: Message | null = null;
  let strays: ReadRow[] = [];
  let chars = 0;
  let messages = 0;
  let pid: Segment | null = null;
  let group: Group | null = null;
  const close = (): void => {
    if (message) onMessage(message, strays);
    [message, pid, group, strays, chars] = [null, null, null, [], 0];
  };
  const line = (content: string, line: number): void => {
    if (content.trim() === "") return;
    const name = /^[A-Z][A-Z0-9]{2}(?![A-Za-z0-9])/.exec(content)?.[0];
    const refuse = (field: string, reason: string): void => {
      const stray: ReadRow = { line, refusal: { field, reason } };
      if (message) strays.push(stray);
      else onStray(stray);
    };
    if (message && (chars += content.length) > MESSAGE_CHARS_MAX) {
      throw new BodyError({ status: 413, title: "Message too large", detail: `the HL7 message from line ${message.msh.line} on has more than ${MESSAGE_CHARS_MAX} characters, nothing was kept: does an MSH begin each message?` });
    }
    if (name === undefined) {
      refuse("segment", "the line is no segment of HL7");
      // A note broken in two does no harm, but this may have been a PID or OBR: what follows must not go to the one before.
      if (message && content.includes(message.msh.separators.field)) [pid, group] = [null, null];
    } else if (name === "MSH") {
      close();
      message = openMessage(content, line, ++messages);
    } else if (BATCH.has(name)) close();
    else if (!message) refuse(name, "the segment stands outside a message: there is no MSH before it");
    else if (message.fault?.field === "MSH-2") return; // cannot be cut
    else if (content.length > 3 && content[3] !== message.msh.separators.field) {
      refuse(name, "the segment has another separator than MSH-1");
      [pid, group] = [null, null];
    } else if (READ.has(name)) {
      const { separators } = message.msh;
      const segment = { line, fields: content.split(separators.field), separators };
      if (name === "PID") [pid, group] = [segment, null];
      else if (name === "SPM") {
        if (group) group.spm ??= segment;
      } else {
        if (name === "OBR" || !group) message.groups.push((group = { pid, obr: name === "OBR" ? segment : null, spm: null, results: [] }));
        if (name === "OBX") group.results.push(segment);
      }
    }
  };
  return { line, end: close };
}

function openMessage(content: string, line: number, number: number): Message {
  const marks = content.slice(3, 8);
  const [field, component, repetition, escape, subcomponent] = marks.padEnd(5);
  const separators = { field: field!, component: component!, repetition: repetition!, escape: escape!, subcomponent: subcomponent! };
  // Five different marks, none of them a letter or digit; with fewer the message would be cut in the wrong places.
  const isUsable = /^[!-/:-@[-`{-~]{5}$/.test(marks) && new Set(marks).size === 5;
  const msh: Segment = { line, fields: isUsable ? ["MSH", field!, ...content.slice(4).split(field!)] : [], separators };
  if (!isUsable) return { number, msh, groups: [], fault: { field: "MSH-2", reason: "must hold four different separators after that of MSH-1, as in |^~\\&" } };
  const type = `${value(msh, 9)}^${value(msh, 9, 2)}`;
  return { number, msh, groups: [], fault: type === "ORU^R01" ? null : { field: "MSH-9", reason: `only ORU^R01 is read, not ${quoteCode(type)}` } };
}

/** A component of the first repetition of a field, with escapes undone; "" when there is none. */
function value(segment: Segment | null, field: number, component = 1): string {
  const raw = segment?.fields[field];
  if (!segment || raw === undefined || raw === "") return "";
  return partOf(raw.split(segment.separators.repetition, 1)[0]!, component, segment.separators);
}

function partOf(repetition: string, component: number, separators: Separators, subcomponent?: number): string {
  let part = repetition.split(separators.component, component)[component - 1] ?? "";
  if (subcomponent !== undefined) part = part.split(separators.subcomponent)[subcomponent - 1] ?? "";
  part = part.trim();
  return part === '""' ? "" : unescape(part, separators); // two quotation marks are HL7's way to say: no value
}

/** Undoes the escapes of the separators; others (\X0D\, \H\) stay as written. */
function unescape(text: string, { field, component, repetition, escape, subcomponent }: Separators): string {
  if (!text.includes(escape)) return text;
  const marks = new Map([["F", field], ["S", component], ["T", subcomponent], ["R", repetition], ["E", escape]]);
  const parts = text.split(escape);
  let result = parts[0]!;
  for (let i = 1; i < parts.length; i++) {
    const mark = i + 1 < parts.length ? marks.get(parts[i]!) : undefined;
    result += mark === undefined ? escape + parts[i]! : mark + parts[++i]!;
  }
  return result;
}
