// Entries as bytes: a verdict's timed flags in a compact, versioned, checksummed record.
// Promises: decode(encode(x)) is x; a damaged or foreign record is told apart, never read as an answer.
// Not here: where entries are stored (store.ts), and what an active flag means at a gate (lookup).
//
// Layout, little endian; an instant is an unsigned 32-bit count of seconds since 1970:
//   0  u8   version
//   1  u8   bits: 1 registered, 2 incomplete, 4 a newest negative test follows
//   2  u8   number of timed flags F
//   3  u8   number of shown-test steps S
//   4  u32  CRC-32 of the record with this field zero
//   8  u48  evidence sequence
//   14 u16  policy id
//   16 u32  region revision
//   20      [sampledAt, issuedAt] if bit 4; then S × [from u32, effective day u16]; then F × [flag u8, rule u8, from u32, until u32]

import { crc32 } from "node:zlib";
import { FLAGS, RULES, timedFlags, type Instant, type NegativeTest, type ShownTest, type TimedFlag, type Verdict } from "../domain/index.ts";

export const ENTRY_VERSION = 1;
const HEADER_BYTES = 20;
const TEST_BYTES = 8;
const STEP_BYTES = 6;
const FLAG_BYTES = 10;
const COUNT_MAX = 255;
/** Effective day of a step from which no test is shown. */
const NO_DAY = 0xffff;

const REGISTERED = 1;
const INCOMPLETE = 2;
const HAS_TEST = 4;

/** What an entry was computed from. */
export interface EntryOrigin {
  /** Number of the evidence transaction; under 2^48. */
  readonly evidenceSequence: number;
  /** Which policy pack; under 2^16. */
  readonly policyId: number;
  /** Which state of the region history; under 2^32. */
  readonly regionRevision: number;
}

export interface Entry extends EntryOrigin {
  readonly registered: boolean;
  /** The verdict had more intervals than an entry can hold: it must not let anyone pass. */
  readonly incomplete: boolean;
  readonly newestNegative: NegativeTest | null;
  readonly shownTests: readonly ShownTest[];
  readonly flags: readonly TimedFlag[];
}

/**
 * The entry of a verdict. Steps of the shown test that end before `writtenAt` are left out: nobody asks for the past at a gate. Flags are kept, past
 * ones too.
 */
export function entryOf(verdict: Verdict, origin: EntryOrigin, writtenAt: Instant): Entry {
  const flags = timedFlags(verdict.reasons);
  const current = verdict.shownTests.findLastIndex((step) => step.from <= writtenAt);
  const shownTests = verdict.shownTests.slice(Math.max(current, 0));
  const incomplete = flags.length > COUNT_MAX || shownTests.length > COUNT_MAX;
  return {
    ...origin,
    registered: verdict.registered,
    incomplete,
    newestNegative: verdict.newestNegative,
    shownTests: incomplete ? [] : shownTests,
    flags: incomplete ? [] : flags,
  };
}

export function encodeEntry(entry: Entry): Uint8Array {
  const { newestNegative, shownTests, flags } = entry;
  if (flags.length > COUNT_MAX || shownTests.length > COUNT_MAX) throw new RangeError("an entry holds at most 255 flags and 255 steps: entryOf makes one that is incomplete");
  const length = HEADER_BYTES + (newestNegative ? TEST_BYTES : 0) + shownTests.length * STEP_BYTES + flags.length * FLAG_BYTES;
  const bytes = Buffer.alloc(length);
  bytes[0] = ENTRY_VERSION;
  bytes[1] = (entry.registered ? REGISTERED : 0) | (entry.incomplete ? INCOMPLETE : 0) | (newestNegative ? HAS_TEST : 0);
  bytes[2] = flags.length;
  bytes[3] = shownTests.length;
  bytes.writeUIntLE(entry.evidenceSequence, 8, 6);
  bytes.writeUInt16LE(entry.policyId, 14);
  bytes.writeUInt32LE(entry.regionRevision, 16);
  let at = HEADER_BYTES;
  if (newestNegative) {
    bytes.writeUInt32LE(newestNegative.sampledAt, at);
    bytes.writeUInt32LE(newestNegative.issuedAt, at + 4);
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

/** Whether two records say the same, whatever they were computed from. */
export function sameContent(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i] && (i < 4 || i >= HEADER_BYTES)) return false;
  return true;
}

export type EntryFault = "version" | "length" | "checksum" | "content";

/** Reads a record back. @returns the fault when the bytes are no sound entry of this version. */
export function decodeEntry(bytes: Uint8Array): Entry | EntryFault {
  const fault = entryFault(bytes);
  if (fault) return fault;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const bits = view[1]!;
  let at = HEADER_BYTES;
  let newestNegative: NegativeTest | null = null;
  if (bits & HAS_TEST) {
    newestNegative = { sampledAt: view.readUInt32LE(at), issuedAt: view.readUInt32LE(at + 4) };
    at += TEST_BYTES;
  }
  const shownTests: ShownTest[] = [];
  for (let i = 0; i < view[3]!; i++, at += STEP_BYTES) {
    const day = view.readUInt16LE(at + 4);
    shownTests.push({ from: view.readUInt32LE(at), effectiveDay: day === NO_DAY ? null : day });
  }
  const flags: TimedFlag[] = [];
  for (let i = 0; i < view[2]!; i++, at += FLAG_BYTES) {
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
    newestNegative,
    shownTests,
    flags,
  };
}

/** What is wrong with a record, or undefined. Reads only the bytes it is given. */
export function entryFault(bytes: Uint8Array): EntryFault | undefined {
  return entryFaultAt(bytes, 0, bytes.length);
}

/** The same for the record that lies at `start` of something larger, without a view of it: this is on the way of every scan in a frame. */
export function entryFaultAt(bytes: Uint8Array, start: number, length: number): EntryFault | undefined {
  if (length < HEADER_BYTES) return "length";
  if (bytes[start] !== ENTRY_VERSION) return "version";
  const expected = HEADER_BYTES + (bytes[start + 1]! & HAS_TEST ? TEST_BYTES : 0) + bytes[start + 3]! * STEP_BYTES + bytes[start + 2]! * FLAG_BYTES;
  if (length !== expected) return "length";
  if (recordCrc(bytes, start, start + length) !== u32(bytes, start + 4)) return "checksum";
  // A flag that this reader doesn't know may be one that stops: such a record must not be read as if it weren't there.
  for (let i = bytes[start + 2]!, at = start + length - FLAG_BYTES; i > 0; i--, at -= FLAG_BYTES) if (bytes[at]! >= FLAGS.length) return "content";
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
  /** When the newest negative test was issued; 0: there is none. */
  issuedAt: Instant;
}

/**
 * The state of a sound record at `at`, without building an Entry. Writes into `state`, which the caller owns and reuses.
 * Call entryFault first.
 */
export function readEntryAt(bytes: Uint8Array, at: Instant, state: EntryState): void {
  const bits = bytes[1]!;
  const hasTest = (bits & HAS_TEST) !== 0;
  let position = HEADER_BYTES + (hasTest ? TEST_BYTES : 0);
  let shownDay = NO_DAY;
  for (let i = bytes[3]!; i > 0; i--, position += STEP_BYTES) {
    if (u32(bytes, position) <= at) shownDay = bytes[position + 4]! | (bytes[position + 5]! << 8);
  }
  let flags = 0;
  for (let i = bytes[2]!; i > 0; i--, position += FLAG_BYTES) {
    if (u32(bytes, position + 2) <= at && at < u32(bytes, position + 6)) flags |= 1 << bytes[position]!;
  }
  state.flags = flags;
  state.incomplete = (bits & INCOMPLETE) !== 0;
  state.shownDay = shownDay === NO_DAY ? null : shownDay;
  state.issuedAt = hasTest ? u32(bytes, HEADER_BYTES + 4) : 0;
}

function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}
