// The clock: the only place that asks the system what time it is.
// Everything else is given a Clock, or an instant.

import type { Instant } from "./time.ts";

export interface Clock {
  /** Milliseconds since 1970-01-01T00:00:00Z. */
  nowMs(): number;
}

export const systemClock: Clock = { nowMs: () => Date.now() };

/** A clock that runs as the system's does, `offsetMs` later. */
export function offsetClock(offsetMs: number): Clock {
  return { nowMs: () => Date.now() + offsetMs };
}

/** The current whole second. */
export function now(clock: Clock): Instant {
  return Math.floor(clock.nowMs() / 1000);
}
