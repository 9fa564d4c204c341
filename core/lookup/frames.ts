// Frames of a stream: a sequence number and up to 1,024 records of scans; the answer bears the same number.
//
// Question, little endian: 0 u32 sequence number, any   4 u16 number of records   6 the records (records.ts)
// Answer: the same, with as many answer records.

import type { Tally } from "./metrics.ts";
import { ANSWER_RECORD_BYTES, QUESTION_BYTES, RECORDS_MAX, type RecordLook } from "./records.ts";

const HEAD_BYTES = 6;
export const FRAME_BYTES_MAX = HEAD_BYTES + RECORDS_MAX * QUESTION_BYTES;
export const FRAME_FORM = `a frame is ${HEAD_BYTES} bytes and 1 to ${RECORDS_MAX} records of ${QUESTION_BYTES}`;

/** Answers a frame, and adds to `tally` how its scans ended. @returns undefined when it is none. */
export function answerFrame(frame: Uint8Array, look: RecordLook, venue: string, tally: Tally): Uint8Array | undefined {
  if (frame.length < HEAD_BYTES) return undefined;
  const count = frame[4]! | (frame[5]! << 8);
  if (count < 1 || count > RECORDS_MAX || frame.length !== HEAD_BYTES + count * QUESTION_BYTES) return undefined;
  const answer = new Uint8Array(HEAD_BYTES + count * ANSWER_RECORD_BYTES);
  for (let i = 0; i < HEAD_BYTES; i++) answer[i] = frame[i]!;
  look(frame.subarray(HEAD_BYTES), venue, answer, HEAD_BYTES, tally);
  return answer;
}
