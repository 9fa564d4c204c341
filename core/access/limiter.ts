// Limits of rates: GCRA, the generic cell rate algorithm (ITU-T I.371), in memory that is bounded and taken at the start.
// Promises: within any time t a key is admitted at most burst + rate · t; who waits as long as told, and has not taken anything meanwhile, is admitted; a clock that is set back
// gives nothing away and keeps nobody waiting longer than an empty burst takes to fill.
// Not here: what is limited and how much (each server's room), what the refused are told.
//
// One number is kept a key: the moment at which all that it has taken is paid back at its rate.

import { createSipHash, SIPHASH_BYTES } from "./siphash.ts";

export interface Rate {
  readonly perSecond: number;
  /** Taken at once at most, after a rest. */
  readonly burst: number;
}

export interface IndexedLimiter {
  /**
   * Takes `cost`, at most the burst, at a moment of a clock that only goes forward, or takes nothing.
   * @returns 0: taken; else the whole milliseconds after which it would be.
   */
  take(index: number, cost: number, nowMs: number): number;
}

export interface KeyedLimiter {
  /** As of an IndexedLimiter. @param key the first `keyBytes` of it count, at most 16. */
  take(key: Uint8Array, keyBytes: number, cost: number, nowMs: number): number;
  /** Keys that were forgotten for others before all they had taken was paid back: each may have been admitted a burst too much. */
  evictions(): number;
}

/** Limits what costs as much as it turns out to cost afterwards. */
export interface OverdraftLimiter {
  /** @returns 0: it may go on; else the whole milliseconds after which it may. */
  waitMs(index: number, nowMs: number): number;
  /** Takes what something has cost, also more than a burst: the debt is then paid back at the rate before the next may go on. */
  charge(index: number, cost: number, nowMs: number): void;
}

/** Far below a millisecond, far above what sums of doubles are off by. */
const ROUNDING_MS = 1e-3;

function takeAt(paidMs: Float64Array, at: number, costMs: number, burstMs: number, nowMs: number): number {
  const paid = paidMs[at]!;
  // A debt larger than a burst can't be made, only seen by a clock that was set back.
  const from = paid < nowMs ? nowMs : Math.min(paid, nowMs + burstMs);
  const overMs = from + costMs - nowMs - burstMs;
  const isAdmitted = overMs <= ROUNDING_MS;
  paidMs[at] = isAdmitted ? from + costMs : from;
  return isAdmitted ? 0 : Math.ceil(overMs - ROUNDING_MS);
}

/** Limits things that are numbered from 0, each at its own rate: exact, nothing is ever forgotten. */
export function createIndexedLimiter(rates: readonly Rate[]): IndexedLimiter {
  const paidMs = new Float64Array(rates.length);
  const intervalMs = Float64Array.from(rates, ({ perSecond }) => 1000 / perSecond);
  const burstMs = Float64Array.from(rates, ({ perSecond, burst }) => (1000 / perSecond) * burst);
  return { take: (index, cost, nowMs) => takeAt(paidMs, index, intervalMs[index]! * cost, burstMs[index]!, nowMs) };
}

/** As createIndexedLimiter, for costs that are known only when they have arisen. The next goes on when all but less than a burst is paid back. */
export function createOverdraftLimiter(rates: readonly Rate[]): OverdraftLimiter {
  const paidMs = new Float64Array(rates.length);
  return {
    waitMs(index, nowMs) {
      const { perSecond, burst } = rates[index]!;
      const overMs = paidMs[index]! - nowMs - (1000 / perSecond) * burst;
      return overMs < -ROUNDING_MS ? 0 : Math.max(1, Math.ceil(overMs + ROUNDING_MS));
    },
    charge(index, cost, nowMs) {
      paidMs[index] = Math.max(paidMs[index]!, nowMs) + (1000 / rates[index]!.perSecond) * cost;
    },
  };
}

/** Places for keys whose hashes begin alike; so many are looked at for a decision. */
const WAYS = 8;

/**
 * Limits keys that nobody can list beforehand, all at one rate, 12 bytes each for at most `capacity` of them, a power of two from 8. When there is no room, whoever has paid back most is forgotten.
 * @param secret 16 bytes, so that nobody can choose keys that fall on one place.
 */
export function createKeyedLimiter({ perSecond, burst }: Rate, capacity: number, secret: Uint8Array): KeyedLimiter {
  const [paidMs, tags] = [new Float64Array(capacity), new Uint32Array(capacity)];
  const [intervalMs, burstMs] = [1000 / perSecond, (1000 / perSecond) * burst];
  const lastSet = capacity / WAYS - 1;
  const { memory, hash } = createSipHash();
  memory.set(secret.subarray(0, SIPHASH_BYTES), SECRET_AT);
  const words = new Uint32Array(memory.buffer, RESULT_AT, 2);
  let evictions = 0;

  /** Where a key stands, or may stand from now on. */
  const placeOf = (key: Uint8Array, keyBytes: number, nowMs: number): number => {
    for (let i = 0; i < keyBytes; i++) memory[KEY_AT + i] = key[i]!;
    hash(KEY_AT, keyBytes, SECRET_AT, RESULT_AT);
    const first = (words[0]! & lastSet) * WAYS;
    const tag = words[1]!;
    for (let i = first; i < first + WAYS; i++) if (tags[i] === tag) return i;
    let place = first;
    for (let i = first + 1; i < first + WAYS; i++) if (paidMs[i]! < paidMs[place]!) place = i;
    if (paidMs[place]! > nowMs) evictions++;
    tags[place] = tag;
    paidMs[place] = nowMs;
    return place;
  };
  return {
    take: (key, keyBytes, cost, nowMs) => takeAt(paidMs, placeOf(key, keyBytes, nowMs), intervalMs * cost, burstMs, nowMs),
    evictions: () => evictions,
  };
}

// Where things lie in the hash's memory.
const SECRET_AT = 0;
const KEY_AT = 16;
const RESULT_AT = 48;
