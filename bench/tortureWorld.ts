// What the store of the bench `torture` holds after every transaction, as a function of its number: so each answer has exactly one right value, and nobody
// has to remember what was written.
// Number t is one transaction. It rewrites one class of keys (classes are of very different sizes), lengthens, shortens and removes entries, and adds new ones.

import { KEY_BYTES, type DocumentKey } from "../core/domain/index.ts";
import { encodeEntry } from "../core/entry/index.ts";

export const CLASSES = 512;
/** Entries that each transaction adds, until there are as many as asked for. */
export const BIRTHS = 256;
/** The entry that says which transaction is the newest; keys of holders are numbered from 1. */
export const CLOCK_NUMBER = 0;

const KEEP = 0;
const REMOVE = 1;
const PUT = 2;

/** Mixes two numbers into 32 bits. */
export function mix(a: number, b: number): number {
  let z = (Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca77)) >>> 0;
  z = Math.imul(z ^ (z >>> 16), 0x7feb352d);
  z = Math.imul(z ^ (z >>> 15), 0x846ca68b);
  return (z ^ (z >>> 16)) >>> 0;
}

/** Writes the key of a number: uniform, as hashes are. */
export function writeKey(number: number, into: Uint8Array, at: number): void {
  for (let word = 0; word < KEY_BYTES / 4; word++) {
    const value = mix(number, word + 1);
    for (let i = 0; i < 4; i++) into[at + word * 4 + i] = value >>> (8 * i);
  }
}

export function keyOf(number: number): DocumentKey {
  const key = new Uint8Array(KEY_BYTES);
  writeKey(number, key, 0);
  return key as DocumentKey;
}

/** Few classes hold many keys, most hold few. */
export function classOf(number: number): number {
  const share = mix(number, 77) / 2 ** 32;
  return Math.floor(CLASSES * share * share);
}

function birthOf(number: number): number {
  return Math.floor((number - 1) / BIRTHS) + 1;
}

function change(number: number, transaction: number): number {
  const draw = mix(number, transaction) & 15;
  if (transaction % 11 === 0) return draw < 11 ? REMOVE : PUT; // a wave of removals: pages are merged
  return draw < 2 ? KEEP : draw < 4 ? REMOVE : PUT;
}

/** The version that a key has after a transaction: the transaction that wrote it, or 0: there is no entry. */
export function versionAfter(number: number, transaction: number): number {
  if (number === CLOCK_NUMBER) return transaction;
  const birth = birthOf(number);
  if (transaction < birth) return 0;
  const offset = (transaction - classOf(number)) % CLASSES;
  for (let t = transaction - (offset < 0 ? offset + CLASSES : offset); t > birth; t -= CLASSES) {
    const what = change(number, t);
    if (what !== KEEP) return what === REMOVE ? 0 : t;
  }
  return birth;
}

function flagsOf(number: number, version: number): number {
  const draw = mix(number ^ 0x5555, version);
  if ((draw & 1023) === 0) return 200 + ((draw >>> 10) % 56); // in pages of its own
  if ((draw & 63) === 1) return (draw >>> 6) % 120;
  return (draw >>> 6) % 6;
}

/** Length of the record of a version. */
export function lengthOf(number: number, version: number): number {
  return 22 + 10 * flagsOf(number, version);
}

export function policyOf(number: number, version: number): number {
  return mix(version, number) & 0xffff;
}

/** The record of a version; its checksum makes every byte of it count. */
export function recordOf(number: number, version: number): Uint8Array {
  const flags = Array.from({ length: flagsOf(number, version) }, (_, i) => ({ flag: "home", rule: "findings", from: (mix(version, i) >>> 1) + i, until: 0xffff_ffff }) as const);
  return encodeEntry({ evidenceSequence: version, policyId: policyOf(number, version), regionRevision: number, registered: true, incomplete: false, negatives: [], shownTests: [], flags });
}

/** Whether the record at `start` is that version's. Its checksum has been verified. */
export function isRecord(bytes: Uint8Array, start: number, length: number, number: number, version: number): boolean {
  const u32 = (at: number): number => (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
  const policy = bytes[start + 14]! | (bytes[start + 15]! << 8);
  return length === lengthOf(number, version) && u32(start + 8) === version && u32(start + 16) === number && policy === policyOf(number, version);
}

/** The transaction that the clock's record names. */
export function clockOf(bytes: Uint8Array, start: number): number {
  return (bytes[start + 8]! | (bytes[start + 9]! << 8) | (bytes[start + 10]! << 16) | (bytes[start + 11]! << 24)) >>> 0;
}

/** Numbers that a transaction touches beside the new ones, and what becomes of each. */
export function touches(number: number, transaction: number): boolean {
  return birthOf(number) < transaction && change(number, transaction) !== KEEP;
}
