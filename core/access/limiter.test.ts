import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createIndexedLimiter, createKeyedLimiter, createOverdraftLimiter, type Rate } from "./limiter.ts";

const SECRET = Uint8Array.from({ length: 16 }, (_, i) => i);
const keyOf = (n: number): Uint8Array => Uint8Array.of(n >> 8, n & 0xff);

type Take = (cost: number, nowMs: number) => number;
const KINDS: readonly (readonly [string, (rate: Rate) => Take])[] = [
  ["by index", (rate) => ((limiter) => (cost, nowMs) => limiter.take(1, cost, nowMs))(createIndexedLimiter([{ perSecond: 1, burst: 1 }, rate]))],
  ["by key", (rate) => ((limiter) => (cost, nowMs) => limiter.take(keyOf(7), 2, cost, nowMs))(createKeyedLimiter(rate, 8, SECRET))],
];

const rates = fc.record({ perSecond: fc.oneof(fc.integer({ min: 1, max: 10_000_000 }), fc.constantFrom(3, 7, 10, 100, 0.3125)), burst: fc.integer({ min: 1, max: 2000 }) });
/** What is asked, and by how much the clock has moved before. */
const requestsOf = (steps: fc.Arbitrary<number>) => fc.array(fc.record({ share: fc.double({ min: 0, max: 1, noNaN: true }), stepMs: steps }), { minLength: 1, maxLength: 60 });
const forward = fc.oneof(fc.constant(0), fc.double({ min: 0, max: 50, noNaN: true }), fc.integer({ min: 0, max: 20_000 }));
const anyStep = fc.oneof(forward, forward, fc.integer({ min: -100_000, max: 0 }));
const starts = fc.constantFrom(0, 1000, 12_345.678, 3e10);
const costOf = (share: number, burst: number): number => 1 + Math.floor(share * (burst - 1));

describe.each(KINDS)("a limit %s", (_, limitOf) => {
  test("gives a burst at once and not one more, then one each interval", () => {
    const take = limitOf({ perSecond: 100, burst: 5 });
    expect([1, 1, 1, 1, 1, 1].map((cost) => take(cost, 1000))).toEqual([0, 0, 0, 0, 0, 10]);
    expect([take(1, 1009), take(1, 1010), take(1, 1010), take(2, 1020), take(2, 1030)]).toEqual([1, 0, 10, 10, 0]);
  });
  test("gives no more than a burst after the longest rest", () => {
    const take = limitOf({ perSecond: 100, burst: 5 });
    expect([take(5, 0), take(5, 1e9), take(1, 1e9)]).toEqual([0, 0, 10]);
  });
  test("gives all or nothing: what is refused takes nothing", () => {
    const take = limitOf({ perSecond: 1, burst: 10 });
    expect([take(4, 0), take(7, 0), take(7, 0), take(6, 0), take(1, 0)]).toEqual([0, 1000, 1000, 0, 1000]);
  });

  test("never gives more than burst + rate · t within any t, also when the clock is set back in between", () => {
    fc.assert(
      fc.property(rates, starts, requestsOf(anyStep), (rate, startMs, requests) => {
        const take = limitOf(rate);
        let nowMs = startMs + 1e7;
        const windows: { admitted: number; ms: number }[] = [];
        for (const { share, stepMs } of requests) {
          nowMs += stepMs;
          const cost = costOf(share, rate.burst);
          const admitted = take(cost, nowMs) === 0 ? cost : 0;
          // Time that has passed is what the clock went forward.
          for (const window of windows) window.ms += Math.max(stepMs, 0);
          windows.push({ admitted: 0, ms: 0 });
          for (const window of windows) {
            window.admitted += admitted;
            const most = rate.burst + (rate.perSecond / 1000) * (window.ms + 0.01);
            expect(window.admitted).toBeLessThanOrEqual(most);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
  test("admits who has waited as told, and not a millisecond earlier; nobody is told more than their cost takes to be paid back", () => {
    fc.assert(
      fc.property(rates, starts, requestsOf(anyStep), (rate, startMs, requests) => {
        const take = limitOf(rate);
        let nowMs = startMs + 1e7;
        for (const { share, stepMs } of requests) {
          nowMs += stepMs;
          const cost = costOf(share, rate.burst);
          const waitMs = take(cost, nowMs);
          if (waitMs === 0) continue;
          expect(Number.isInteger(waitMs)).toBe(true);
          expect(waitMs).toBeLessThanOrEqual(Math.ceil((cost * 1000) / rate.perSecond + 0.01));
          if (waitMs > 1) expect(take(cost, nowMs + waitMs - 1)).toBe(1);
          expect(take(cost, (nowMs += waitMs))).toBe(0);
        }
      }),
      { numRuns: 500 },
    );
  });
  test("set back by a day, the clock keeps nobody waiting longer than the cost takes to be paid back", () => {
    const take = limitOf({ perSecond: 10, burst: 100 });
    const day = 86_400_000;
    expect([take(100, 2 * day), take(1, day), take(1, day + 99), take(1, day + 100)]).toEqual([0, 100, 1, 0]);
  });
});

test("limits by index go by their own rates", () => {
  const limiter = createIndexedLimiter([{ perSecond: 10, burst: 1 }, { perSecond: 1000, burst: 3 }]);
  expect([limiter.take(0, 1, 0), limiter.take(0, 1, 0), limiter.take(1, 3, 0), limiter.take(1, 1, 0)]).toEqual([0, 100, 0, 1]);
});

describe("a limit of what is known afterwards", () => {
  test("lets through while less than a burst is owed, and whatever is charged then is paid back at the rate", () => {
    const limiter = createOverdraftLimiter([{ perSecond: 1, burst: 1 }, { perSecond: 100, burst: 50 }]);
    const steps = [0, 49, 951].map((cost) => {
      const wait = limiter.waitMs(1, 1000);
      limiter.charge(1, cost, 1000);
      return wait;
    });
    // 1,000 are owed, 10 s' worth, of which less than half a second's may be.
    expect([...steps, limiter.waitMs(1, 1000), limiter.waitMs(1, 10_499), limiter.waitMs(1, 10_500)]).toEqual([0, 0, 0, 9501, 2, 1]);
    expect([limiter.waitMs(1, 10_501), limiter.waitMs(0, 1000)]).toEqual([0, 0]);
  });
  test("gives no more than a burst after the longest rest", () => {
    const limiter = createOverdraftLimiter([{ perSecond: 100, burst: 50 }]);
    limiter.charge(0, 10, 0);
    limiter.charge(0, 50, 1e9);
    expect(limiter.waitMs(0, 1e9)).toBeGreaterThan(0);
  });
  test("admits who has waited as told, and not a millisecond earlier; all in all never more than burst + rate · t and what the last one overdrew", () => {
    fc.assert(
      fc.property(rates, starts, requestsOf(forward), (rate, startMs, requests) => {
        const limiter = createOverdraftLimiter([rate]);
        let nowMs = startMs;
        let charged = 0;
        for (const { share, stepMs } of requests) {
          nowMs += stepMs;
          const waitMs = limiter.waitMs(0, nowMs);
          if (waitMs > 0) {
            expect(Number.isInteger(waitMs)).toBe(true);
            if (waitMs > 1) expect(limiter.waitMs(0, nowMs + waitMs - 1)).toBe(1);
            expect(limiter.waitMs(0, (nowMs += waitMs))).toBe(0);
          }
          expect(charged).toBeLessThan(rate.burst + (rate.perSecond / 1000) * (nowMs - startMs + 0.01));
          const cost = Math.floor(share * 3 * rate.burst);
          limiter.charge(0, cost, nowMs);
          charged += cost;
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("keys", () => {
  test("that have room are each limited as if alone", () => {
    const rate = { perSecond: 5, burst: 4 };
    fc.assert(
      fc.property(fc.array(fc.record({ key: fc.nat({ max: 39 }), cost: fc.integer({ min: 1, max: 4 }), stepMs: fc.integer({ min: 0, max: 300 }) }), { maxLength: 300 }), (requests) => {
        const [keyed, exact] = [createKeyedLimiter(rate, 4096, SECRET), createIndexedLimiter(Array.from({ length: 40 }, () => rate))];
        let nowMs = 1000;
        for (const { key, cost, stepMs } of requests) {
          nowMs += stepMs;
          expect(keyed.take(keyOf(key), 2, cost, nowMs)).toBe(exact.take(key, cost, nowMs));
        }
        expect(keyed.evictions()).toBe(0);
      }),
    );
  });
  test("without room push out the one that has paid back most, and that is counted", () => {
    const limiter = createKeyedLimiter({ perSecond: 1, burst: 10 }, 8, SECRET);
    for (let n = 0; n < 8; n++) expect(limiter.take(keyOf(n), 2, n === 3 ? 2 : 5 + (n % 3), 0)).toBe(0);
    expect(limiter.evictions()).toBe(0);
    expect(limiter.take(keyOf(100), 2, 10, 0)).toBe(0);
    expect(limiter.evictions()).toBe(1);
    // All others are still where they were; the one pushed out begins anew, which pushes out another.
    for (let n = 0; n < 8; n++) if (n !== 3) expect(limiter.take(keyOf(n), 2, 6, 0)).toBeGreaterThan(0);
    expect(limiter.evictions()).toBe(1);
    expect([limiter.take(keyOf(3), 2, 10, 0), limiter.evictions()]).toEqual([0, 2]);
  });
  test("that have paid back all are pushed out without a loss, which is not counted", () => {
    const limiter = createKeyedLimiter({ perSecond: 1, burst: 10 }, 8, SECRET);
    for (let n = 0; n < 1000; n++) expect(limiter.take(keyOf(n), 2, 1, n * 1000)).toBe(0);
    expect(limiter.evictions()).toBe(0);
  });
  test("one that comes again and again is kept, however many others come by", () => {
    const limiter = createKeyedLimiter({ perSecond: 1, burst: 10 }, 8, SECRET);
    let refused = 0;
    for (let n = 0; n < 10_000; n++) {
      limiter.take(keyOf(1000 + n), 2, 1, n);
      if (limiter.take(keyOf(1), 2, 1, n) > 0) refused++;
    }
    expect(refused).toBe(10_000 - 10 - 9);
  });
  test("are told apart by every byte and by their length", () => {
    const limiter = createKeyedLimiter({ perSecond: 1, burst: 1 }, 4096, SECRET);
    const keys = [...Array.from({ length: 17 }, (_, length) => new Uint8Array(length)), ...Array.from({ length: 8 }, (_, i) => Uint8Array.from({ length: 8 }, (__, k) => (k === i ? 1 : 0)))];
    expect(keys.map((key) => limiter.take(key, key.length, 1, 0))).toEqual(keys.map(() => 0));
    expect(keys.map((key) => limiter.take(key, key.length, 1, 0))).toEqual(keys.map(() => 1000));
  });
  test("fall on other places under another secret", () => {
    const evictionsUnder = (secret: Uint8Array): number => {
      const limiter = createKeyedLimiter({ perSecond: 1, burst: 10 }, 1024, secret);
      for (let n = 0; n < 1024; n++) limiter.take(keyOf(n), 2, 1, 0);
      return limiter.evictions();
    };
    expect(new Set([0, 1, 2, 3].map((n) => evictionsUnder(new Uint8Array(16).fill(n)))).size).toBeGreaterThan(1);
  });
});
