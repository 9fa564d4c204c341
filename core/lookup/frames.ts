// Frames of a stream: a sequence number and up to 1,024 records of scans; the answer bears the same number.
//
// Question, little endian: 0 u32 sequence number, any   4 u16 number of records   6 the records (records.ts)
// Answer: the same, with as many answer records.

import type { Refusal } from "../domain/index.ts";
import type { Look, Looked } from "./look.ts";
import { answerRecords, QUESTION_BYTES } from "./records.ts";

export const FRAME_SCANS_MAX = 1024;
const HEAD_BYTES = 6;
export const FRAME_BYTES_MAX = HEAD_BYTES + FRAME_SCANS_MAX * QUESTION_BYTES;
export const FRAME_FORM = `a frame is ${HEAD_BYTES} bytes and 1 to ${FRAME_SCANS_MAX} records of ${QUESTION_BYTES}`;

/** Answers a frame. `onAnswer` is told of each scan. @returns undefined when it is none. */
export function answerFrame(frame: Uint8Array, look: Look, venue: string, onAnswer: (looked: Looked | Refusal) => void): Uint8Array | undefined {
  if (frame.length < HEAD_BYTES) return undefined;
  const count = frame[4]! | (frame[5]! << 8);
  if (count < 1 || count > FRAME_SCANS_MAX || frame.length !== HEAD_BYTES + count * QUESTION_BYTES) return undefined;
  const answers = answerRecords(frame.subarray(HEAD_BYTES), look, venue, onAnswer);
  const answer = new Uint8Array(HEAD_BYTES + answers.length);
  answer.set(frame.subarray(0, HEAD_BYTES), 0);
  answer.set(answers, HEAD_BYTES);
  return answer;
}
