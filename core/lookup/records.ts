// Scans as fixed binary records, for batches and streams: many questions in one message, none of them text to parse.
// Promises: a record that is no question is answered as such in its place, and harms no other; answers come in the order of the questions. Identity numbers, which nearly
// all documents are, allocate nothing.
//
// Question, 32 bytes:   0 u8 type of document, by its number in DOCUMENT_TYPES   1 u8 bits: 1 a sampling receipt was shown   2 3 × u8 issuer, ASCII, zeroes: none
//                       5 u8 length of the number, at most 26                    6 the number, ASCII, filled up with zeroes
// Answer, 16 bytes, little endian:
//                       0 u8 result: 0 pass, 1 no-policy, 2 status, 3 popup, 4 unconfirmed, 5 venue-rule, 254 over the limit, 255 no question
//                       1 u8 status: 0 none shown, 1 clear, 2 home, 3 central    2 u8 bit n: pop-up n is active   3 u8 bits: 1 unconfirmed, 2 commuter
//                       4 u16 test age in days, 0xffff: none shown               6 u16 of a result 255: 1 type, 2 number, 3 issuer, 4 receipt; of 254: seconds to wait
//                       8 u32 the service's time                                 12 u32 valid until; both seconds since 1970, 0 of results 254 and 255

import { DOCUMENT_TYPES, IDENTITY_BYTES, isIdentityNumberAt, isRefusal, KEY_BYTES, parseDocument } from "../domain/index.ts";
import { createRecordBatch, DAMAGED, NO_ENTRY, readEntryAt, type EntryState } from "../entry/index.ts";
import { answerOf, endOfValidity, resultOf, UNKNOWN_HOLDER, writeAnswer } from "./answer.ts";
import { takesReceipt, type LookParts } from "./look.ts";
import { BAD_REQUEST_OUTCOME, type Tally } from "./metrics.ts";

export const QUESTION_BYTES = 32;
export const ANSWER_RECORD_BYTES = 16;
const NUMBER_AT = 6;
const NUMBER_BYTES_MAX = 26;
const RECEIPT = 1;
const LIMITED = 254;
const NO_QUESTION = 255;
const NO_AGE_BYTE = 0xff;
const RESIDENT_ID = DOCUMENT_TYPES.indexOf("resident-id");

/** The field at fault of a question, as answers number it. */
const FAULT = { none: 0, type: 1, number: 2, issuer: 3, receipt: 4 } as const;
const FAULTS: Readonly<Record<string, number>> = { "document.type": FAULT.type, "document.number": FAULT.number, "document.issuer": FAULT.issuer };

/** Answers every record of `questions`, a whole number of at most RECORDS_MAX, asked at a kind of venue, into `answers` from `answersAt`. Adds to `tally` how they ended. */
export type RecordLook = (questions: Uint8Array, venue: string, answers: Uint8Array, answersAt: number, tally: Tally) => void;
export const RECORDS_MAX = 1024;

export function createRecordLook({ entries, keyring, venues, clock, metrics }: Omit<LookParts, "codes">): RecordLook {
  const keys = new Uint8Array(RECORDS_MAX * KEY_BYTES);
  const faults = new Uint8Array(RECORDS_MAX);
  const records = createRecordBatch(RECORDS_MAX);
  const state: EntryState = { flags: 0, incomplete: false, shownDay: null, issuedAt: 0 };

  /** Puts the key of the document of question i into `keys`. @returns the field at fault. */
  const readKey = (questions: Uint8Array, at: number, i: number): number => {
    if (questions[at] === RESIDENT_ID && questions[at + 5] === IDENTITY_BYTES && questions[at + 2] === 0 && isIdentityNumberAt(questions, at + NUMBER_AT)) {
      keyring.identityKey(questions, at + NUMBER_AT, keys, i * KEY_BYTES);
      return FAULT.none;
    }
    const type = DOCUMENT_TYPES[questions[at]!];
    const length = questions[at + 5]!;
    if (type === undefined) return FAULT.type;
    if (length === 0 || length > NUMBER_BYTES_MAX) return FAULT.number;
    const text = Buffer.from(questions.buffer, questions.byteOffset + at, QUESTION_BYTES);
    const number = text.toString("latin1", NUMBER_AT, NUMBER_AT + length);
    const document = parseDocument({ type, number, issuer: questions[at + 2] === 0 ? undefined : text.toString("latin1", 2, 5) });
    if (isRefusal(document)) return FAULTS[document.field]!;
    keys.set(keyring.documentKey(document), i * KEY_BYTES);
    return FAULT.none;
  };

  return (questions, venue, answers, answersAt, tally) => {
    const count = questions.length / QUESTION_BYTES;
    const now = Math.floor(clock.nowMs() / 1000);
    const rule = venues().at(venue, now);
    const acceptsReceipt = takesReceipt(rule);
    for (let i = 0, at = 0; i < count; i++, at += QUESTION_BYTES) {
      const fault = readKey(questions, at, i);
      faults[i] = fault === FAULT.none && !acceptsReceipt && (questions[at + 1]! & RECEIPT) !== 0 ? FAULT.receipt : fault;
    }
    // Questions at fault are read for under whatever key stands there: that is simpler than leaving them out, and nobody is told.
    entries.getMany(keys, count, records);
    const view = new DataView(answers.buffer, answers.byteOffset, answers.byteLength);
    const until = endOfValidity(now);
    for (let i = 0, at = answersAt; i < count; i++, at += ANSWER_RECORD_BYTES) {
      if (faults[i] !== FAULT.none) {
        writeNone(answers, at, NO_QUESTION, faults[i]!);
        tally[BAD_REQUEST_OUTCOME]!++;
        continue;
      }
      const length = records.lengths[i]!;
      const isSound = length !== NO_ENTRY && length !== DAMAGED;
      if (length === DAMAGED) metrics.countDamaged();
      if (isSound) readEntryAt(records.bytes, records.starts[i]!, now, state);
      const answer = answerOf(isSound ? state : UNKNOWN_HOLDER, rule, now, (questions[i * QUESTION_BYTES + 1]! & RECEIPT) !== 0);
      writeAnswer(answer, answers, at);
      view.setUint32(at + 8, now, true);
      view.setUint32(at + 12, until, true);
      tally[resultOf(answer)]!++;
    }
  };
}

/** A record that was not looked up because its device is over its limit. */
export function writeLimited(answers: Uint8Array, at: number, retryS: number): void {
  writeNone(answers, at, LIMITED, retryS);
}

/** An answer that says nothing of a holder, only why. Its bytes are zeroes. */
function writeNone(answers: Uint8Array, at: number, result: number, why: number): void {
  answers[at] = result;
  answers[at + 4] = NO_AGE_BYTE;
  answers[at + 5] = NO_AGE_BYTE;
  answers[at + 6] = why & 0xff;
  answers[at + 7] = why >> 8;
}
