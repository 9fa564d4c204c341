// Many scans in one request: JSON, MessagePack or binary records, by content type.
// Promises: answers in the order of the scans, one for each; a scan at fault is answered in its place and harms no other.
// Not here: one scan (scan.ts), the layout of records (records.ts).

import { pack, unpack } from "msgpackr";
import { isRefusal, type Refusal } from "../domain/index.ts";
import { fieldsOf, timesAt } from "./answer.ts";
import { outcomeOf, type Look } from "./look.ts";
import type { Tally } from "./metrics.ts";
import { ANSWER_RECORD_BYTES, QUESTION_BYTES, type RecordLook } from "./records.ts";
import { readQuestion } from "./scan.ts";

const SCANS_MAX = 1000;

export const BATCH_TYPES = ["application/json", "application/msgpack", "application/octet-stream"] as const;
export type BatchType = (typeof BATCH_TYPES)[number];

export function isBatchType(type: string): type is BatchType {
  return (BATCH_TYPES as readonly string[]).includes(type);
}

/** How scans of each form are looked up. */
export interface BatchLooks {
  readonly look: Look;
  readonly recordLook: RecordLook;
}

/** A batch that has been read: its scans as they came, borrowed as the body is where they are records. */
export interface Batch {
  readonly type: BatchType;
  readonly count: number;
  readonly scans: readonly unknown[] | Uint8Array;
}

/** @returns the field at fault when the body is no batch. */
export function readBatch(body: Uint8Array, type: BatchType): Batch | Refusal {
  const scans = type === "application/octet-stream" ? body : readList(body, type);
  if (isRefusal(scans)) return scans;
  const count = scans instanceof Uint8Array ? scans.length / QUESTION_BYTES : scans.length;
  if (!Number.isInteger(count)) return { field: "body", reason: `must be whole records of ${QUESTION_BYTES} bytes` };
  return count < 1 || count > SCANS_MAX ? { field: "scans", reason: `must be 1 to ${SCANS_MAX}` } : { type, count, scans };
}

/** Answers a batch, and adds to `tally` how its scans ended. @returns the body of the answer, in the type of the question. */
export function answerBatch({ type, count, scans }: Batch, { look, recordLook }: BatchLooks, venue: string, tally: Tally): Uint8Array {
  if (scans instanceof Uint8Array) {
    const answers = new Uint8Array(count * ANSWER_RECORD_BYTES);
    recordLook(scans, venue, answers, 0, tally);
    return answers;
  }
  const answers = scans.map((scan) => {
    const question = readQuestion(scan);
    const looked = isRefusal(question) ? question : look(question, venue);
    tally[outcomeOf(looked)]!++;
    if (isRefusal(looked)) return { error: looked };
    const { validUntil, serverTime } = timesAt(looked.nowMs);
    return { ...fieldsOf(looked.answer), document: looked.masked, validUntil, serverTime };
  });
  return type === "application/msgpack" ? pack({ answers }) : new TextEncoder().encode(`${JSON.stringify({ answers })}\n`);
}

function readList(body: Uint8Array, type: BatchType): readonly unknown[] | Refusal {
  let parsed: unknown;
  try {
    parsed = type === "application/msgpack" ? unpack(body) : JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    return { field: "body", reason: `is no ${type === "application/msgpack" ? "MessagePack" : "JSON"}` };
  }
  const { scans, ...others } = (typeof parsed === "object" && parsed !== null ? parsed : {}) as Record<string, unknown>;
  if (!Array.isArray(scans) || Object.keys(others).length > 0) return { field: "scans", reason: 'must be the only field, a list of scans: {"scans": [{"document": …}, …]}' };
  return scans as unknown[];
}
