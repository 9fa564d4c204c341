// A scan: the body of a request -> the answer, without waiting for anything.
// Promises: no disk write, no queue, no recomputation; a known and an unknown holder take the same way and get the same fields and length.
// Not here: HTTP, sessions (server.ts).

import { isRefusal, maskNumber, parseDocument, repeatableName, type Clock, type Refusal } from "../domain/index.ts";
import type { Keyring } from "../access/index.ts";
import { entryFault, readEntryAt, type EntryReader, type EntryState } from "../entry/index.ts";
import { answerOf, answerText, UNKNOWN_HOLDER } from "./answer.ts";
import type { LookupMetrics, Outcome } from "./metrics.ts";
import type { CompiledVenues } from "./venues.ts";

export interface ScanParts {
  readonly entries: EntryReader;
  readonly keyring: Keyring;
  /** The venues' rules as they are now. */
  readonly venues: () => CompiledVenues;
  readonly clock: Clock;
  readonly metrics: LookupMetrics;
}

export interface ScanResult {
  readonly text: string;
  readonly outcome: Outcome;
}

/** Answers one scan of a device at a kind of venue. @returns the field at fault when the body is none. */
export function createScan({ entries, keyring, venues, clock, metrics }: ScanParts): (body: unknown, venue: string) => ScanResult | Refusal {
  const state: EntryState = { flags: 0, incomplete: false, shownDay: null, issuedAt: 0 };

  return (body, venue) => {
    const input = readBody(body);
    if (isRefusal(input)) return input;
    const document = parseDocument(input.document);
    if (isRefusal(document)) return document;
    const nowMs = clock.nowMs();
    const now = Math.floor(nowMs / 1000);
    const rule = venues().at(venue, now);
    if (input.hasReceipt && rule?.acceptsReceipt !== true) return { field: "samplingReceipt", reason: "counts for nothing at this device's venue: leave it out" };
    const record = entries.get(keyring.documentKey(document));
    const isSound = record !== undefined && entryFault(record) === undefined;
    if (record && !isSound) metrics.countDamaged();
    if (isSound) readEntryAt(record, now, state);
    const answer = answerOf(isSound ? state : UNKNOWN_HOLDER, rule, nowMs, input.hasReceipt);
    return { text: answerText(answer, maskNumber(document.number), nowMs), outcome: answer.reason ?? "pass" };
  };
}

interface ScanFields {
  readonly document: DocumentFields;
  /** Staff was shown the receipt of a sample taken there, its result pending (POLICY §2.3). */
  readonly hasReceipt: boolean;
}

interface DocumentFields {
  readonly type: string;
  readonly number: string;
  readonly issuer?: string;
}

/** Checks the shape by hand: this is on the way of every scan. */
function readBody(body: unknown): ScanFields | Refusal {
  if (!isObject(body)) return { field: "body", reason: 'must be a JSON object such as {"document": {"type": "resident-id", "number": "…"}}' };
  for (const key in body) {
    if (key === "temperatureC") {
      const value = body[key];
      if (typeof value !== "number" || value < 30 || value > 45) return { field: key, reason: "must be a body temperature between 30 and 45" };
    } else if (key === "samplingReceipt") {
      if (typeof body[key] !== "boolean") return { field: key, reason: "must be true or false" };
    } else if (key !== "document") return { field: repeatableName(key), reason: "is no field of a scan: there are document, temperatureC and samplingReceipt" };
  }
  const { document } = body;
  if (!isObject(document)) return { field: "document", reason: "is missing: an object with type and number is needed" };
  for (const key in document) {
    if (key !== "type" && key !== "number" && key !== "issuer") return { field: `document.${repeatableName(key)}`, reason: "is no field of a document: there are type, number and issuer" };
    if (typeof document[key] !== "string") return { field: `document.${key}`, reason: "must be a text" };
  }
  if (document["type"] === undefined) return { field: "document.type", reason: "is missing" };
  if (document["number"] === undefined) return { field: "document.number", reason: "is missing" };
  return { document: document as unknown as DocumentFields, hasReceipt: body["samplingReceipt"] === true };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
