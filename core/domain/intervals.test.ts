import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { clip, contains, union, type Interval } from "./intervals.ts";

// The model: an interval is the set of whole seconds in it. Short ranges, so that edges meet often.
const SECONDS = Array.from({ length: 31 }, (_, second) => second);
const edge = fc.nat({ max: 30 });
/** Some are empty, some run backwards: both hold no second. */
const interval: fc.Arbitrary<Interval> = fc.record({ from: edge, until: edge });
const intervals = fc.array(interval, { maxLength: 8 });

const secondsIn = (list: readonly Interval[]): number[] => SECONDS.filter((s) => list.some((i) => contains(i, s)));

describe("contains", () => {
  test("the first second is in, the last is not", () => {
    expect([4, 5, 8, 9].map((at) => contains({ from: 5, until: 9 }, at))).toEqual([false, true, true, false]);
  });
  test("an empty interval holds not even its own edge", () => {
    expect(contains({ from: 5, until: 5 }, 5)).toBe(false);
  });
});

describe("union", () => {
  test("neighbours that touch are joined, one second apart they are not", () => {
    expect(union([{ from: 1, until: 3 }, { from: 3, until: 5 }])).toEqual([{ from: 1, until: 5 }]);
    expect(union([{ from: 1, until: 3 }, { from: 4, until: 5 }])).toEqual([{ from: 1, until: 3 }, { from: 4, until: 5 }]);
  });
  test("an empty interval between two that don't touch joins nothing", () => {
    expect(union([{ from: 1, until: 3 }, { from: 4, until: 4 }, { from: 5, until: 6 }])).toHaveLength(2);
  });
  test("one inside another doesn't shorten it", () => {
    expect(union([{ from: 1, until: 9 }, { from: 2, until: 3 }])).toEqual([{ from: 1, until: 9 }]);
  });
  test("of any list it holds exactly the same seconds", () => {
    fc.assert(
      fc.property(intervals, (list) => {
        expect(secondsIn(union(list))).toEqual(secondsIn(list));
      }),
    );
  });
  test("of any list it is sorted, without empty or touching members", () => {
    fc.assert(
      fc.property(intervals, (list) => {
        const edges = union(list).flatMap((i) => [i.from, i.until]);
        expect(edges.every((e, i) => i === 0 || edges[i - 1]! < e)).toBe(true);
      }),
    );
  });
  test("the list that is given stays as it was, and so do its members", () => {
    fc.assert(
      fc.property(intervals, (list) => {
        const before = structuredClone(list);
        union(list);
        expect(list).toEqual(before);
      }),
    );
  });
});

describe("clip", () => {
  test("bounds that only touch leave nothing", () => {
    expect(clip([{ from: 1, until: 5 }], { from: 5, until: 9 })).toEqual([]);
    expect(clip([{ from: 5, until: 9 }], { from: 1, until: 5 })).toEqual([]);
  });
  test("of any list it holds exactly the seconds inside the bounds", () => {
    fc.assert(
      fc.property(intervals, interval, (list, bounds) => {
        expect(secondsIn(clip(list, bounds))).toEqual(secondsIn(list).filter((s) => contains(bounds, s)));
      }),
    );
  });
  test("what comes out is never empty inside, and keeps the order", () => {
    fc.assert(
      fc.property(intervals, interval, (list, bounds) => {
        const clipped = clip(list, bounds);
        expect(clipped.every((i) => i.from < i.until)).toBe(true);
        expect(clipped).toEqual(list.flatMap((i) => clip([i], bounds)));
      }),
    );
  });
});
