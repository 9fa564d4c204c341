import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Device } from "../access/index.ts";
import { createLimits, deviceRate, RETRY_S_MAX, type Limits } from "./limits.ts";

const device = (over: Partial<Device> = {}): Device => ({ name: "d", class: "gate", venue: "venue", publicKey: "", ...over });
const [LEAST, MOST] = [() => 0, () => 1 - 2 ** -53];
const v4 = (last: number): Uint8Array => Uint8Array.of(192, 0, 2, last);
const v6 = (network: number, host: number): Uint8Array => Uint8Array.from({ length: 16 }, (_, i) => (i === 7 ? network : i === 15 ? host : i));
/** How many are let through at one moment. */
const admitted = (take: () => number): number => {
  for (let n = 0; ; n++) if (take() > 0) return n;
};

describe("a device's scans", () => {
  test.each([
    ["gate", undefined, 1, 100, 1024],
    ["kiosk", undefined, 1, 20, 1024],
    ["staff", undefined, 1, 50, 1024],
    ["gate", 10, 1, 10, 1024],
    ["gate", 2000, 1, 2000, 2000],
    ["gate", 2000, 2, 2000, 2000],
    ["gate", 2000, 4, 1000, 1024],
    ["gate", 2000, 64, 100, 1024],
    ["gate", undefined, 64, 100, 1024],
    ["kiosk", undefined, 64, 20, 1024],
  ] as const)("%s, in the registry %s, of %i processes: %i a second, %i at once", (kind, scansPerSecond, processes, perSecond, burst) => {
    expect(deviceRate(device({ class: kind, ...(scansPerSecond === undefined ? {} : { scansPerSecond }) }), processes)).toEqual({ perSecond, burst });
  });
  test("all processes together let through at most twice the rate, or 100 each; a full frame is always let through at once", () => {
    fc.assert(
      fc.property(fc.integer({ min: 10, max: 10_000_000 }), fc.integer({ min: 1, max: 64 }), (scansPerSecond, processes) => {
        const { perSecond, burst } = deviceRate(device({ scansPerSecond }), processes);
        expect(perSecond * processes).toBeLessThanOrEqual(Math.max(2 * scansPerSecond, 100 * processes) + 1e-6);
        expect(perSecond * processes).toBeGreaterThanOrEqual(scansPerSecond);
        expect(perSecond).toBeLessThanOrEqual(scansPerSecond);
        expect(burst).toBeGreaterThanOrEqual(1024);
      }),
    );
  });
  test("are limited for each alone; a refused one is told whole seconds, never none", () => {
    const limits = createLimits([device(), device({ class: "staff" })], 1, LEAST);
    expect([limits.scans(0, 1024, 0), limits.scans(0, 1, 0), limits.scans(1, 1024, 0), limits.scans(1, 1, 0)]).toEqual([0, 1, 0, 1]);
    expect([limits.scans(0, 1, 9), limits.scans(0, 1, 10), limits.scans(0, 101, 10), limits.scans(0, 1024, 10)]).toEqual([1, 0, 2, 11]);
  });
  test("of those refused at one moment are spread over two seconds", () => {
    const told = (random: () => number): number => {
      const limits = createLimits([device()], 1, random);
      limits.scans(0, 1024, 0);
      return limits.scans(0, 1, 0);
    };
    expect([told(LEAST), told(() => 0.49), told(() => 0.5), told(MOST)]).toEqual([1, 1, 2, 2]);
  });
  test("nobody is told more than the longest wait that there are answers for, and who waits so long is let through", () => {
    fc.assert(
      fc.property(fc.integer({ min: 10, max: 200 }), fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 1024 }), (scansPerSecond, processes, count) => {
        const limits = createLimits([device({ scansPerSecond })], processes, MOST);
        limits.scans(0, 1024, 0);
        const retryS = limits.scans(0, count, 0);
        expect(retryS).toBeGreaterThan(0);
        expect(retryS).toBeLessThanOrEqual(RETRY_S_MAX);
        expect(limits.scans(0, count, retryS * 1000)).toBe(0);
      }),
      { numRuns: 20 },
    );
  });
  test("of a batch cost as many as they are; refused, it is told a wait after which all of it, its request too, is let through", () => {
    const limits = createLimits([device({ scansPerSecond: 100 })], 1, LEAST);
    const batch = (count: number, nowMs: number): number => limits.scans(0, 1, nowMs) || limits.restOfBatch(0, count, nowMs);
    expect([batch(1000, 0), limits.scans(0, 23, 0), batch(1, 0), batch(1, 0)]).toEqual([0, 0, 0, 1]);
    expect([limits.scans(0, 1, 10_240), batch(1000, 10_240), batch(1, 10_240)]).toEqual([0, 0, 0]);
    // 1,002 are taken, then one for each request. Of 101 scans 80 are too many, which takes 800 ms; of 121 then 101, which takes 1,010 ms: all but the request's 1,000.
    expect([batch(101, 10_240), batch(121, 10_240)]).toEqual([1, 2]);
    expect([batch(121, 12_240), limits.scans(0, 99, 12_240), limits.scans(0, 1, 12_240)]).toEqual([0, 0, 1]);
  });
});

describe("an address", () => {
  const KINDS: readonly (readonly [string, (limits: Limits, address: Uint8Array, nowMs: number) => number, number, number])[] = [
    ["of failures", (limits, address, nowMs) => limits.failure(address, nowMs), 1000, 50],
    ["of set-ups", (limits, address, nowMs) => limits.setUp(address, nowMs), 2000, 10],
  ];
  test.each(KINDS)("%s has a burst, then a rate", (_, take, burst, intervalMs) => {
    const limits = createLimits([], 1, LEAST);
    expect(admitted(() => take(limits, v4(1), 0))).toBe(burst);
    expect([take(limits, v4(1), intervalMs - 1), take(limits, v4(1), intervalMs), take(limits, v4(1), intervalMs)]).toEqual([1, 0, 1]);
  });
  test.each(KINDS)("%s: IPv4 whole, IPv6 by its /64, unknown ones together", (_, take) => {
    const limits = createLimits([], 1, LEAST);
    const use = (address: Uint8Array): number => admitted(() => take(limits, address, 0));
    const bursts = [v4(1), v4(2), v6(1, 1), v6(2, 1), new Uint8Array(0)].map(use);
    expect(new Set(bursts).size).toBe(1);
    expect([v4(1), v6(1, 2), v6(1, 255), new Uint8Array(0)].map(use)).toEqual([0, 0, 0, 0]);
    expect(limits.evictions()).toBe(0);
  });
  test("one limit doesn't use up the other", () => {
    const limits = createLimits([], 1, LEAST);
    admitted(() => limits.failure(v4(1), 0));
    expect(limits.setUp(v4(1), 0)).toBe(0);
  });
  test.each([
    [1, 1000, 2000],
    [2, 1000, 2000],
    [4, 500, 1000],
    [64, 32, 63],
  ])("of %i processes each lets through its part at once: %i failures, %i set-ups", (processes, failures, setUps) => {
    const limits = createLimits([], processes, LEAST);
    expect([admitted(() => limits.failure(v4(1), 0)), admitted(() => limits.setUp(v4(1), 0))]).toEqual([failures, setUps]);
  });
  test("whose devices all wait for the same is told different times", () => {
    const told = (random: () => number): number[] => {
      const limits = createLimits([], 1, random);
      admitted(() => limits.failure(v4(1), 0));
      admitted(() => limits.setUp(v4(1), 0));
      return [limits.failure(v4(1), 0), limits.setUp(v4(1), 0)];
    };
    expect([told(LEAST), told(MOST)]).toEqual([[1, 1], [4, 8]]);
  });
});
