// Frames of a stream: a sequence number and up to 1,024 records of scans; the answer bears the same number.
//
// Question, little endian: 0 u32 sequence number, any   4 u16 number of records   6 the records (records.ts)
// Answer: the same, with as many answer records. A frame of a device over its limit is answered in its turn too, each record with result 254.

import type { Tally } from "./metrics.ts";
import { ANSWER_RECORD_BYTES, QUESTION_BYTES, RECORDS_MAX, writeLimited, type RecordLook } from "./records.ts";

const HEAD_BYTES = 6;
export const FRAME_BYTES_MAX = HEAD_BYTES + RECORDS_MAX * QUESTION_BYTES;
export const FRAME_FORM = `a frame is ${HEAD_BYTES} bytes and 1 to ${RECORDS_MAX} records of ${QUESTION_BYTES}`;

/** @returns how many scans are in a frame; 0: it is none. */
export function scansOf(frame: Uint8Array): number {
  if (frame.length < HEAD_BYTES) return 0;
  const count = frame[4]! | (frame[5]! << 8);
  return count <= RECORDS_MAX && frame.length === HEAD_BYTES + count * QUESTION_BYTES ? count : 0;
}

/** Answers a frame of `count` scans, and adds to `tally` how they ended. @returns borrowed: the next frame is answered in the same place. */
export function answerFrame(frame: Uint8Array, count: number, look: RecordLook, venue: string, tally: Tally): Uint8Array {
  const answer = emptyAnswer(frame, count);
  look(frame.subarray(HEAD_BYTES), venue, answer, HEAD_BYTES, tally);
  return answer;
}

/** The answer to a frame of `count` scans of which none was looked up: its device is over its limit, and is to send them again after so many seconds. */
export function limitedFrame(frame: Uint8Array, count: number, retryS: number): Uint8Array {
  const answer = emptyAnswer(frame, count);
  for (let i = 0; i < count; i++) writeLimited(answer, HEAD_BYTES + i * ANSWER_RECORD_BYTES, retryS);
  return answer;
}

/** One place for all answers, so that frames leave nothing to be collected; and what is seen of it, by the number of scans. */
const place = new Uint8Array(HEAD_BYTES + RECORDS_MAX * ANSWER_RECORD_BYTES);
const views: Uint8Array[] = [];

function emptyAnswer(frame: Uint8Array, count: number): Uint8Array {
  const answer = (views[count] ??= place.subarray(0, HEAD_BYTES + count * ANSWER_RECORD_BYTES));
  answer.fill(0);
  for (let i = 0; i < HEAD_BYTES; i++) answer[i] = frame[i]!;
  return answer;
}
