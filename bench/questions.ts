// What the clients ask, in files that they map: documents drawn evenly from all entries, and what is known of their answers. Layouts: core/lookup/records.ts for the
// questions, measured.h and clients/answers.h for the rest.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { KEY_BYTES, type Instant } from "../core/domain/index.ts";
import { KINDS, knownAnswers, numberOf, recordsAt } from "./entries.ts";
import { hashDocuments } from "./hashing.ts";
import type { HashKind } from "./hashWorker.ts";

const QUESTION_BYTES = 32;
const RECORD_SLOT_BYTES = 64;
/** So many are drawn, whole frames of 64: enough to touch nearly every page of 22 million entries, and far more lines than any cache holds. */
const [DRAWN_MIN, DRAWN_MAX] = [2 ** 14, 2 ** 21];
/** Answers at the beginning of a round that go into its checksum. */
const CHECKED = 4096;

export interface Questions {
  readonly drawn: number;
  readonly questions: string;
  /** The kind of each drawn document's record. */
  readonly kinds: string;
  /** What is known of the answers of each kind. */
  readonly known: string;
  /** The records of each kind. */
  readonly records: string;
  readonly placeOf: (i: number) => number;
  readonly numberOf: (i: number) => string;
  /** The checksum of the records that a round beginning with question `start` reads first. */
  readonly recordChecksum: (start: number) => number;
}

export function writeQuestions(folder: string, count: number, at: Instant): Questions {
  const drawn = Math.min(Math.max(Math.ceil(count / 64) * 64, DRAWN_MIN), DRAWN_MAX);
  const placeOf = (i: number): number => drawnPlace(i, count);
  const file = (name: string, bytes: Uint8Array): string => {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    return path;
  };
  const questions = Buffer.alloc(drawn * QUESTION_BYTES);
  const kinds = Buffer.alloc(drawn);
  for (let i = 0; i < drawn; i++) {
    const number = numberOf(placeOf(i));
    questions[i * QUESTION_BYTES + 5] = number.length;
    questions.write(number, i * QUESTION_BYTES + 6, "latin1");
    kinds[i] = placeOf(i) % KINDS;
  }
  const known = Buffer.alloc(KINDS * 4);
  knownAnswers().forEach(({ popups, testAgeDays }, kind) => {
    known[kind * 4] = popups.reduce((bits, popup) => bits | (1 << popup), 0);
    known.writeUInt16LE(testAgeDays ?? 0xffff, kind * 4 + 2);
  });
  const records = recordsAt(at);
  const slots = Buffer.alloc(KINDS * RECORD_SLOT_BYTES);
  records.forEach((record, kind) => {
    if (record.length > RECORD_SLOT_BYTES - 2) throw new Error(`a record of ${record.length} bytes does not fit into the clients' slots`);
    slots.writeUInt16LE(record.length, kind * RECORD_SLOT_BYTES);
    slots.set(record, kind * RECORD_SLOT_BYTES + 2);
  });
  return {
    drawn,
    questions: file("questions", questions),
    kinds: file("kinds", kinds),
    known: file("known", known),
    records: file("records", slots),
    placeOf,
    numberOf: (i) => numberOf(placeOf(i)),
    recordChecksum: (start) => {
      let sum = 0;
      for (let i = 0; i < CHECKED; i++) sum = (sum + answerHash(i, records[kinds[(start + i) % drawn]!]!)) >>> 0;
      return sum;
    },
  };
}

/** The keys of the drawn documents, for clients that ask a store. */
export async function writeKeys(file: string, secret: Uint8Array, kind: HashKind, { drawn, placeOf }: Questions): Promise<void> {
  const all = new Uint8Array(drawn * KEY_BYTES);
  await hashDocuments({ secret, kind, count: drawn, placeOf }, (from, keys) => {
    all.set(keys, from * KEY_BYTES);
  });
  writeFileSync(file, all);
}

/** The i-th drawn entry: all over the store, the same in every run (the finalizer of MurmurHash3). */
function drawnPlace(i: number, count: number): number {
  let h = i + 1;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return Math.floor((((h ^ (h >>> 16)) >>> 0) / 2 ** 32) * count);
}

/** As in measured.h. */
function answerHash(place: number, bytes: Uint8Array): number {
  let hash = (2166136261 ^ place) >>> 0;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 16777619);
  return hash >>> 0;
}
