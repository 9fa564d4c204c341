// How much may be asked of a lookup process: scans by device; from addresses that failures come from, or sessions and streams are set up from.
// Promises: a scan with a good session costs one cell of an array and no look at its address; memory is bounded; nothing is written down of an address.
// Not here: the algorithm (access), what is answered to those over a limit (site.ts).

import { randomBytes } from "node:crypto";
import { createIndexedLimiter, createKeyedLimiter, SCANS_PER_SECOND_MIN, type Device, type Rate } from "../access/index.ts";
import { RECORDS_MAX } from "./records.ts";

/** Scans a second of a device, on all processes together, where the registry gives none of its own. */
const SCANS_PER_SECOND = {
  /** A busy hall's controller, for all its gates together; one gate passes one or two people a second. */
  gate: 100,
  /** One person after the other, by hand. */
  kiosk: 20,
  /** A desk: by hand too, but scans and codes, and a list now and then. */
  staff: 50,
} as const satisfies Record<Device["class"], number>;
/** So much is left to a device in every process, however many there are: it may keep one connection alone, which is in one of them. */
const WHOLE_UP_TO = 100;

/**
 * Requests without a good session, by address. They cost no more than their refusal does: what is limited is noise and guessing. The burst is a hall of a thousand devices
 * whose sessions end at once: each must be told so (401) to open another, which isn't held up by this.
 */
const FAILURES: Rate = { perSecond: 20, burst: 1000 };
/**
 * Requests for sessions and streams, by address. A signature takes some 60 µs to check: at 100 a second an address takes 1 % of a core. The burst is a thousand devices behind one address
 * that all start at once and open a session and a stream each; of ten thousand the last has both after three minutes.
 */
const SET_UPS: Rate = { perSecond: 100, burst: 2000 };
/** Addresses kept of each, 12 bytes an address. */
const ADDRESSES_MAX = 2 ** 18;

/** Seconds by which those who are refused at one moment are spread: of devices few, each waits for itself; behind an address many wait for the same. */
const SPREAD_S = { scans: 1, failures: 3, setUps: 7 } as const;
/** The longest that anybody is told to wait: a full frame of the slowest device. */
export const RETRY_S_MAX = Math.ceil(RECORDS_MAX / SCANS_PER_SECOND_MIN) + Math.max(...Object.values(SPREAD_S));

/** Each takes what is asked, or nothing. @returns 0: taken; else the whole seconds, from 1 to RETRY_S_MAX, after which to ask again. Times are of a clock that only goes forward. */
export interface Limits {
  /** @param device its place in the registry. @param count at most RECORDS_MAX. */
  scans(device: number, count: number, nowMs: number): number;
  /** The scans of a batch, whose request has been taken as one of them: it comes again as a whole, so the time told is for all. */
  restOfBatch(device: number, count: number, nowMs: number): number;
  /** A request without a good session. @param address 4 or 16 bytes; none: all whose address isn't known, together. */
  failure(address: Uint8Array, nowMs: number): number;
  /** A request for a session or a stream. */
  setUp(address: Uint8Array, nowMs: number): number;
  /** Addresses that were forgotten for others while they had something to pay back. */
  evictions(): number;
}

/** The limits of one of `processes` that share a port. @param random from 0 to 1, without 1. */
export function createLimits(devices: readonly Device[], processes: number, random: () => number = Math.random): Limits {
  const scans = createIndexedLimiter(devices.map((device) => deviceRate(device, processes)));
  const byAddress = (rate: Rate) => createKeyedLimiter(addressRate(rate, processes), ADDRESSES_MAX, randomBytes(16));
  const [failures, setUps] = [byAddress(FAILURES), byAddress(SET_UPS)];
  const retryS = (waitMs: number, spreadS: number): number => (waitMs === 0 ? 0 : Math.ceil(waitMs / 1000) + Math.floor(random() * (spreadS + 1)));
  return {
    scans: (device, count, nowMs) => retryS(scans.take(device, count, nowMs), SPREAD_S.scans),
    restOfBatch(device, count, nowMs) {
      if (scans.take(device, count - 1, nowMs) === 0) return 0;
      // One more than what was refused is refused too.
      return retryS(scans.take(device, count, nowMs), SPREAD_S.scans);
    },
    failure: (address, nowMs) => retryS(failures.take(address, networkBytes(address), 1, nowMs), SPREAD_S.failures),
    setUp: (address, nowMs) => retryS(setUps.take(address, networkBytes(address), 1, nowMs), SPREAD_S.setUps),
    evictions: () => failures.evictions() + setUps.evictions(),
  };
}

/**
 * The part of a rate that one of so many processes holds. The kernel gives connections to processes by chance, some get more of a device's or an address' than others: so it is twice
 * the even part, and all together let through at most twice the rate.
 */
function part(processes: number): number {
  return Math.min(1, 2 / processes);
}

/** What one of so many processes lets a device send: its part, but its whole rate up to WHOLE_UP_TO; at once what a second brings, and always a full frame. */
export function deviceRate({ class: kind, scansPerSecond = SCANS_PER_SECOND[kind] }: Device, processes: number): Rate {
  const perSecond = Math.max(scansPerSecond * part(processes), Math.min(scansPerSecond, WHOLE_UP_TO));
  return { perSecond, burst: Math.max(RECORDS_MAX, Math.ceil(perSecond)) };
}

function addressRate({ perSecond, burst }: Rate, processes: number): Rate {
  return { perSecond: perSecond * part(processes), burst: Math.ceil(burst * part(processes)) };
}

/** How much of an address is limited as one: all of IPv4; of IPv6 the /64, which is what one subscriber has. */
function networkBytes(address: Uint8Array): number {
  return address.length === 16 ? 8 : address.length;
}
