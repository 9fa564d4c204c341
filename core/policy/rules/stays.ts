// Stays, as several rules look at them.

import { dayOf, FOREVER, provinceOf, windowEnd, type Instant, type Trip } from "../../domain/index.ts";

/** Until when a stay lies within the last `windowDays` days; FOREVER while it goes on. */
export function windowUntil(trip: Trip, windowDays: number): Instant {
  return trip.to === null ? FOREVER : windowEnd({ lastDay: dayOf(trip.to), windowDays });
}

/** Whether a stay has begun at `at` and lies within the `windowDays` days before. */
export function reachesInto(trip: Trip, at: Instant, windowDays: number): boolean {
  return trip.from <= at && at < windowUntil(trip, windowDays);
}

/** Stays by their beginning. At equal ones the stay elsewhere comes first, so that the order of delivery doesn't matter. */
export function inOrder(trips: readonly Trip[], city: number): Trip[] {
  return trips.toSorted((a, b) => a.from - b.from || Number(provinceOf(a.county) === city) - Number(provinceOf(b.county) === city));
}
