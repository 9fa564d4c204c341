// Half-open intervals of instants, and the little algebra that rules need.
// Promises: nothing empty comes out; a union is sorted and disjoint, and touching neighbours are joined.

import type { Instant } from "./time.ts";

/** [from, until) */
export interface Interval {
  readonly from: Instant;
  readonly until: Instant;
}

/** Sorts and joins what overlaps or touches; drops empty intervals. */
export function union(intervals: readonly Interval[]): Interval[] {
  const sorted = intervals.filter((i) => i.from < i.until).sort((a, b) => a.from - b.from);
  const out: { from: Instant; until: Instant }[] = [];
  for (const { from, until } of sorted) {
    const last = out.at(-1);
    if (last && from <= last.until) {
      if (until > last.until) last.until = until;
    } else out.push({ from, until });
  }
  return out;
}

/** What of `intervals` lies inside `bounds`; order kept. */
export function clip(intervals: readonly Interval[], bounds: Interval): Interval[] {
  const out: Interval[] = [];
  for (const i of intervals) {
    const from = Math.max(i.from, bounds.from);
    const until = Math.min(i.until, bounds.until);
    if (from < until) out.push({ from, until });
  }
  return out;
}

export function contains(interval: Interval, at: Instant): boolean {
  return interval.from <= at && at < interval.until;
}
