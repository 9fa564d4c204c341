// Entries as bytes: a verdict's timed flags in a compact, versioned, checksummed record.
// Promises: decode(encode(x)) is x; a damaged or foreign record is told apart, never read as an answer.
// Not here: where entries are stored (store.ts), and what an active flag means at a gate (lookup).
//
// Layout, little endian; an instant is an unsigned 32-bit count of seconds since 1970:
//   0  u8   version
//   1  u8   bits: 1 registered, 2 incomplete
//   2  u16  number of timed flags F
//   4  u32  CRC-32 of the record with this field zero
//   8  u48  evidence sequence
//   14 u16  policy id
//   16 u32  region revision
//   20 u8   number of shown-test steps S
//   21 u8   number of negative tests T
//   22      T × [sampledAt u32, issuedAt u32], ascending by issue; S × [from u32, effective day u16]; F × [flag u8, rule u8, from u32, until u32]

import { crc32 } from "node:zlib";
import { FLAGS, RULES, timedFlags, type Instant, type NegativeTest, type ShownTest, type TimedFlag, type Verdict } from "../domain/index.ts";

export const ENTRY_VERSION = 2;
const HEADER_BYTES = 22;
const TEST_BYTES = 8;
const STEP_BYTES = 6;
const FLAG_BYTES = 10;
const FLAGS_MAX = 0xffff;
const STEPS_MAX = 255;
const TESTS_MAX = 255;
/** Effective day of a step from which no test is shown. */
const NO_DAY = 0xffff;

const REGISTERED = 1;
const INCOMPLETE = 2;

/** What an entry was computed from. */
export interface EntryOrigin {
  /** Number of the evidence transaction; under 2^48. */
  readonly evidenceSequence: number;
  /** Number of the policy pack, to 16 bits. */
  readonly policyId: number;
  /** Which state of the region history; under 2^32. */
  readonly regionRevision: number;
}

export interface Entry extends EntryOrigin {
  readonly registered: boolean;
  /** The verdict had more intervals than an entry can hold: it must not let anyone pass. */
  readonly incomplete: boolean;
  /** Negative tests by their issue, the newest last: the newest of those issued when the entry was written, and those still to be issued then. */
  readonly negatives: readonly NegativeTest[];
  readonly shownTests: readonly ShownTest[];
  readonly flags: readonly TimedFlag[];
}

/**
 * The entry of a verdict. Steps of the shown test that end before `writtenAt` are left out, and negative tests that another one issued by then replaces: nobody asks for
 * the past at a gate. Flags are kept, past ones too.
 */
export function entryOf(verdict: Verdict, origin: EntryOrigin, writtenAt: Instant): Entry {
  const flags = timedFlags(verdict.reasons);
  const current = verdict.shownTests.findLastIndex((step) => step.from <= writtenAt);
  const shownTests = verdict.shownTests.slice(Math.max(current, 0));
  const issued = verdict.negatives.findIndex((test) => test.issuedAt <= writtenAt);
  const negatives = verdict.negatives.slice(0, issued < 0 ? undefined : issued + 1).reverse();
  const incomplete = flags.length > FLAGS_MAX || shownTests.length > STEPS_MAX || negatives.length > TESTS_MAX;
  return {
    ...origin,
    registered: verdict.registered,
    incomplete,
    negatives: incomplete ? [] : negatives,
    shownTests: incomplete ? [] : shownTests,
    flags: incomplete ? [] : flags,
  };
}

export function encodeEntry(entry: Entry): Uint8Array {
  const { negatives, shownTests, flags } = entry;
  if (flags.length > FLAGS_MAX || shownTests.length > STEPS_MAX || negatives.length > TESTS_MAX) {
    throw new RangeError(`an entry holds at most ${FLAGS_MAX} flags, ${STEPS_MAX} steps and ${TESTS_MAX} tests: entryOf makes one that is incomplete`);
  }
  const length = HEADER_BYTES + negatives.length * TEST_BYTES + shownTests.length * STEP_BYTES + flags.length * FLAG_BYTES;
  const bytes = Buffer.alloc(length);
  bytes[0] = ENTRY_VERSION;
  bytes[1] = (entry.registered ? REGISTERED : 0) | (entry.incomplete ? INCOMPLETE : 0);
  bytes.writeUInt16LE(flags.length, 2);
  bytes.writeUIntLE(entry.evidenceSequence, 8, 6);
  bytes.writeUInt16LE(entry.policyId, 14);
  bytes.writeUInt32LE(entry.regionRevision, 16);
  bytes[20] = shownTests.length;
  bytes[21] = negatives.length;
  let at = HEADER_BYTES;
  for (const { sampledAt, issuedAt } of negatives) {
    bytes.writeUInt32LE(sampledAt, at);
    bytes.writeUInt32LE(issuedAt, at + 4);
    at += TEST_BYTES;
  }
  for (const { from, effectiveDay } of shownTests) {
    bytes.writeUInt32LE(from, at);
    bytes.writeUInt16LE(effectiveDay ?? NO_DAY, at + 4);
    at += STEP_BYTES;
  }
  for (const { flag, rule, from, until } of flags) {
    bytes[at] = FLAGS.indexOf(flag);
    bytes[at + 1] = RULES.indexOf(rule);
    bytes.writeUInt32LE(from, at + 2);
    bytes.writeUInt32LE(until, at + 6);
    at += FLAG_BYTES;
  }
  bytes.writeUInt32LE(crc32(bytes), 4);
  return bytes;
}

/** The checksum, and behind it what a record was computed from, up to the other counts. */
const CHECKSUM_AT = 4;
const COUNTS_AT = 20;

/** Whether two records say the same, whatever they were computed from. */
export function sameContent(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i] && (i < CHECKSUM_AT || i >= COUNTS_AT)) return false;
  return true;
}

/** Under which pack a record was computed; undefined: it is no record of this version. Reads only its beginning. */
export function policyIdOf(record: Uint8Array): number | undefined {
  return record.length >= HEADER_BYTES && record[0] === ENTRY_VERSION ? record[14]! | (record[15]! << 8) : undefined;
}

export type EntryFault = "version" | "length" | "checksum" | "content";

/** Reads a record back. @returns the fault when the bytes are no sound entry of this version. */
export function decodeEntry(bytes: Uint8Array): Entry | EntryFault {
  const fault = entryFault(bytes);
  if (fault) return fault;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const bits = view[1]!;
  let at = HEADER_BYTES;
  const negatives: NegativeTest[] = [];
  for (let i = 0; i < view[21]!; i++, at += TEST_BYTES) negatives.push({ sampledAt: view.readUInt32LE(at), issuedAt: view.readUInt32LE(at + 4) });
  const shownTests: ShownTest[] = [];
  for (let i = 0; i < view[20]!; i++, at += STEP_BYTES) {
    const day = view.readUInt16LE(at + 4);
    shownTests.push({ from: view.readUInt32LE(at), effectiveDay: day === NO_DAY ? null : day });
  }
  const flags: TimedFlag[] = [];
  for (let i = flagCount(view); i > 0; i--, at += FLAG_BYTES) {
    const [flag, rule] = [FLAGS[view[at]!], RULES[view[at + 1]!]];
    if (flag === undefined || rule === undefined) return "content";
    flags.push({ flag, rule, from: view.readUInt32LE(at + 2), until: view.readUInt32LE(at + 6) });
  }
  return {
    registered: (bits & REGISTERED) !== 0,
    incomplete: (bits & INCOMPLETE) !== 0,
    evidenceSequence: view.readUIntLE(8, 6),
    policyId: view.readUInt16LE(14),
    regionRevision: view.readUInt32LE(16),
    negatives,
    shownTests,
    flags,
  };
}

function flagCount(bytes: Uint8Array, start = 0): number {
  return bytes[start + 2]! | (bytes[start + 3]! << 8);
}

/** What is wrong with a record, or undefined. Reads only the bytes it is given. */
export function entryFault(bytes: Uint8Array): EntryFault | undefined {
  return entryFaultAt(bytes, 0, bytes.length);
}

/** The same for the record that lies at `start` of something larger, without a view of it: this is on the way of every scan in a frame. */
export function entryFaultAt(bytes: Uint8Array, start: number, length: number): EntryFault | undefined {
  if (length < HEADER_BYTES) return "length";
  if (bytes[start] !== ENTRY_VERSION) return "version";
  const expected = HEADER_BYTES + bytes[start + 21]! * TEST_BYTES + bytes[start + 20]! * STEP_BYTES + flagCount(bytes, start) * FLAG_BYTES;
  if (length !== expected) return "length";
  if (recordCrc(bytes, start, start + length) !== u32(bytes, start + 4)) return "checksum";
  // A flag that this reader doesn't know may be one that stops: such a record must not be read as if it weren't there.
  for (let i = flagCount(bytes, start), at = start + length - FLAG_BYTES; i > 0; i--, at -= FLAG_BYTES) if (bytes[at]! >= FLAGS.length) return "content";
  return undefined;
}

/** CRC-32 eight bytes a step; table 256 * k is for a byte with k bytes behind it in the step. zlib's, called for so few bytes, takes longer. */
const CRC_TABLES = new Uint32Array(8 * 256);
for (let i = 0; i < 256; i++) {
  let crc = i;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  CRC_TABLES[i] = crc;
}
for (let i = 256; i < CRC_TABLES.length; i++) {
  const before = CRC_TABLES[i - 256]!;
  CRC_TABLES[i] = (before >>> 8) ^ CRC_TABLES[before & 255]!;
}

/** The checksum of a record of at least 8 bytes, its own field taken as zero. */
function recordCrc(bytes: Uint8Array, start: number, end: number): number {
  const t = CRC_TABLES;
  let crc = ~u32(bytes, start);
  crc = t[0x700 + (crc & 255)]! ^ t[0x600 + ((crc >>> 8) & 255)]! ^ t[0x500 + ((crc >>> 16) & 255)]! ^ t[0x400 + (crc >>> 24)]! ^ t[0x300]! ^ t[0x200]! ^ t[0x100]! ^ t[0]!;
  let at = start + 8;
  for (; at + 8 <= end; at += 8) {
    crc ^= u32(bytes, at);
    const low = t[0x700 + (crc & 255)]! ^ t[0x600 + ((crc >>> 8) & 255)]! ^ t[0x500 + ((crc >>> 16) & 255)]! ^ t[0x400 + (crc >>> 24)]!;
    crc = low ^ t[0x300 + bytes[at + 4]!]! ^ t[0x200 + bytes[at + 5]!]! ^ t[0x100 + bytes[at + 6]!]! ^ t[bytes[at + 7]!]!;
  }
  for (; at < end; at++) crc = t[(crc ^ bytes[at]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** What a gate needs of an entry at one instant. */
export interface EntryState {
  /** Bit i is set while FLAGS[i] is active; meaningless when `incomplete`. */
  flags: number;
  incomplete: boolean;
  /** The day from which the age of the shown test counts, or null. */
  shownDay: number | null;
  /** When the newest negative test was issued of those issued by then; 0: there is none. */
  issuedAt: Instant;
}

/**
 * The state at `at` of the sound record that begins at `start`, without building an Entry. Writes into `state`, which the caller owns and reuses.
 * Call entryFault first.
 */
export function readEntryAt(bytes: Uint8Array, start: number, at: Instant, state: EntryState): void {
  let position = start + HEADER_BYTES;
  let issuedAt = 0;
  for (let i = bytes[start + 21]!; i > 0; i--, position += TEST_BYTES) {
    const issue = u32(bytes, position + 4);
    if (issue <= at) issuedAt = issue;
  }
  let shownDay = NO_DAY;
  for (let i = bytes[start + 20]!; i > 0; i--, position += STEP_BYTES) {
    if (u32(bytes, position) <= at) shownDay = bytes[position + 4]! | (bytes[position + 5]! << 8);
  }
  let flags = 0;
  for (let i = flagCount(bytes, start); i > 0; i--, position += FLAG_BYTES) {
    if (u32(bytes, position + 2) <= at && at < u32(bytes, position + 6)) flags |= 1 << bytes[position]!;
  }
  state.flags = flags;
  state.incomplete = (bytes[start + 1]! & INCOMPLETE) !== 0;
  state.shownDay = shownDay === NO_DAY ? null : shownDay;
  state.issuedAt = issuedAt;
}

function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}
