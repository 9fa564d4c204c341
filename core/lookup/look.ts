// Looking at one holder: who is asked about -> the answer, whatever form the question came in.
// Promises: no disk write, no queue, no recomputation; a known and an unknown holder take the same way.
// Not here: the forms of questions and answers (scan.ts, records.ts, batches.ts).

import { IDENTITY_BYTES, isRefusal, KEY_BYTES, maskNumber, parseDocument, writeIdentityNumber, type Clock, type DocumentInput, type DocumentKey, type Refusal } from "../domain/index.ts";
import type { Codes, Keyring } from "../access/index.ts";
import { createRecordBatch, DAMAGED, NO_ENTRY, readEntryAt, type EntryReader, type EntryState } from "../entry/index.ts";
import { answerOf, resultOf, UNKNOWN_HOLDER, type Answer } from "./answer.ts";
import { BAD_REQUEST_OUTCOME, type LookupMetrics } from "./metrics.ts";
import type { CompiledVenueRule, CompiledVenues } from "./venues.ts";

export interface LookParts {
  readonly entries: EntryReader;
  readonly keyring: Keyring;
  readonly codes: Codes;
  /** The venues' rules as they are now. */
  readonly venues: () => CompiledVenues;
  readonly clock: Clock;
  readonly metrics: LookupMetrics;
}

/** A document or a code, and what staff was shown beside it. */
export interface Question {
  readonly document?: DocumentInput;
  readonly code?: string;
  /** The receipt of a sample taken there, its result pending (POLICY §2.3). */
  readonly hasReceipt: boolean;
}

export interface Looked {
  readonly answer: Answer;
  /** The number as it may be shown. */
  readonly masked: string;
  readonly nowMs: number;
}

/** Looks for a device at a kind of venue. @returns the field at fault. */
export type Look = (question: Question, venue: string) => Looked | Refusal;

export function createLook({ entries, keyring, codes, venues, clock, metrics }: LookParts): Look {
  const record = createRecordBatch(1);
  const state: EntryState = { flags: 0, incomplete: false, shownDay: null, issuedAt: 0 };

  const identity = new Uint8Array(IDENTITY_BYTES);
  const key = new Uint8Array(KEY_BYTES) as DocumentKey;
  const whoIs = ({ document: input, code }: Question, now: number): { key: DocumentKey; masked: string } | Refusal => {
    if (code !== undefined) {
      const coded = codes.open(code, now);
      return typeof coded === "string" ? { field: "code", reason: CODE_FAULTS[coded] } : coded;
    }
    // Nearly all documents are identity numbers as the card has them: nothing is made of them but their key.
    if (input!.type === "resident-id" && input!.issuer === undefined && writeIdentityNumber(input!.number, identity)) {
      keyring.identityKey(identity, 0, key, 0);
      return { key, masked: maskNumber(input!.number) };
    }
    const document = parseDocument(input!);
    return isRefusal(document) ? document : { key: keyring.documentKey(document), masked: maskNumber(document.number) };
  };

  return (question, venue) => {
    const nowMs = clock.nowMs();
    const now = Math.floor(nowMs / 1000);
    const who = whoIs(question, now);
    if (isRefusal(who)) return who;
    const rule = venues().at(venue, now);
    if (question.hasReceipt && !takesReceipt(rule)) return { field: "samplingReceipt", reason: "counts for nothing at this device's venue: leave it out" };
    entries.getMany(who.key, 1, record);
    const length = record.lengths[0]!;
    const isSound = length !== NO_ENTRY && length !== DAMAGED;
    if (length === DAMAGED) metrics.countDamaged();
    if (isSound) readEntryAt(record.bytes, record.starts[0]!, now, state);
    return { answer: answerOf(isSound ? state : UNKNOWN_HOLDER, rule, now, question.hasReceipt), masked: who.masked, nowMs };
  };
}

const CODE_FAULTS = {
  unknown: "is no code of this service: scan it again, or scan the document",
  expired: "has expired: ask the holder for a new one",
} as const;

/** Whether a sampling receipt counts under a venue's rule (POLICY §2.3). */
export function takesReceipt(rule: CompiledVenueRule | undefined): boolean {
  return rule?.acceptsReceipt === true;
}

/** How a look is counted. */
export function outcomeOf(looked: Looked | Refusal): number {
  return isRefusal(looked) ? BAD_REQUEST_OUTCOME : resultOf(looked.answer);
}
