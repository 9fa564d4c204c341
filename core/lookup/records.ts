// Scans as fixed binary records, for batches and streams: many questions in one message, none of them text to parse.
// Promises: a record that is no question is answered as such in its place, and harms no other; answers come in the order of the questions.
//
// Question, 32 bytes:   0 u8 type of document, by its number in DOCUMENT_TYPES   1 u8 bits: 1 a sampling receipt was shown   2 3 × u8 issuer, ASCII, zeroes: none
//                       5 u8 length of the number, at most 26                    6 the number, ASCII, filled up with zeroes
// Answer, 16 bytes, little endian:
//                       0 u8 result: 0 pass, 1 no-policy, 2 status, 3 popup, 4 unconfirmed, 5 venue-rule, 255 no question
//                       1 u8 status: 0 none shown, 1 clear, 2 home, 3 central    2 u8 bit n: pop-up n is active   3 u8 bits: 1 unconfirmed, 2 commuter
//                       4 u16 test age in days, 0xffff: none shown               6 u16 of a result 255: 1 type, 2 number, 3 issuer, 4 receipt
//                       8 u32 the service's time                                 12 u32 valid until; both seconds since 1970

import { dayOf, DOCUMENT_TYPES, isRefusal, startOfDay, type Refusal } from "../domain/index.ts";
import type { Answer, Reason } from "./answer.ts";
import type { Look, Looked } from "./look.ts";

export const QUESTION_BYTES = 32;
export const ANSWER_RECORD_BYTES = 16;
const NUMBER_AT = 6;
const NUMBER_BYTES_MAX = 26;
const RECEIPT = 1;
const NO_QUESTION = 255;
const NO_AGE = 0xffff;

const RESULTS: Record<Reason, number> = { "no-policy": 1, status: 2, popup: 3, unconfirmed: 4, "venue-rule": 5 };
const STATUSES: Record<NonNullable<Answer["status"]>, number> = { clear: 1, home: 2, central: 3 };
const FAULT_FIELDS = ["document.type", "document.number", "document.issuer", "samplingReceipt"];

/** Answers every record of `questions`, a whole number of them. `onAnswer` is told of each. @returns as many answers. */
export function answerRecords(questions: Uint8Array, look: Look, venue: string, onAnswer: (looked: Looked | Refusal) => void): Uint8Array {
  const count = questions.length / QUESTION_BYTES;
  const answers = new Uint8Array(count * ANSWER_RECORD_BYTES);
  const view = new DataView(answers.buffer);
  const text = Buffer.from(questions.buffer, questions.byteOffset, questions.length);
  for (let i = 0; i < count; i++) {
    const looked = lookAt(text, i * QUESTION_BYTES, look, venue);
    onAnswer(looked);
    writeAnswer(looked, view, i * ANSWER_RECORD_BYTES);
  }
  return answers;
}

function lookAt(questions: Buffer, at: number, look: Look, venue: string): Looked | Refusal {
  const type = DOCUMENT_TYPES[questions[at]!];
  const length = questions[at + 5]!;
  if (type === undefined) return { field: "document.type", reason: "is the number of no type" };
  if (length === 0 || length > NUMBER_BYTES_MAX) return { field: "document.number", reason: `must have 1 to ${NUMBER_BYTES_MAX} bytes` };
  const number = questions.toString("latin1", at + NUMBER_AT, at + NUMBER_AT + length);
  const hasReceipt = (questions[at + 1]! & RECEIPT) !== 0;
  const issuer = questions[at + 2] === 0 ? undefined : questions.toString("latin1", at + 2, at + 5);
  return look({ document: { type, number, issuer }, hasReceipt }, venue);
}

function writeAnswer(looked: Looked | Refusal, view: DataView, at: number): void {
  if (isRefusal(looked)) {
    view.setUint8(at, NO_QUESTION);
    view.setUint16(at + 4, NO_AGE, true);
    view.setUint16(at + 6, 1 + Math.max(FAULT_FIELDS.indexOf(looked.field), 0), true);
    return;
  }
  const { reason, status, popups, unconfirmed, commuter, testAgeDays } = looked.answer;
  const now = Math.floor(looked.nowMs / 1000);
  view.setUint8(at, reason === null ? 0 : RESULTS[reason]);
  view.setUint8(at + 1, status === null ? 0 : STATUSES[status]);
  view.setUint8(at + 2, popups.reduce((bits, popup) => bits | (1 << popup), 0));
  view.setUint8(at + 3, (unconfirmed ? 1 : 0) | (commuter ? 2 : 0));
  view.setUint16(at + 4, testAgeDays ?? NO_AGE, true);
  view.setUint32(at + 8, now, true);
  view.setUint32(at + 12, startOfDay(dayOf(now) + 1), true);
}
