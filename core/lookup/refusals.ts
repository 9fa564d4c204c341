// What is answered to those who are over a limit, and how it is counted.
// Promises: the answers are made beforehand; nothing is looked up for them.
// Not here: the limits (limits.ts).

import type { Session } from "../access/index.ts";
import { retryAnswers, type Answer } from "../front/index.ts";
import { limitedFrame } from "./frames.ts";
import { RETRY_S_MAX, type Limits } from "./limits.ts";
import { createTally, LIMITED_OUTCOME, type LimitedBy, type LookupMetrics } from "./metrics.ts";

/** Each takes from a limit. @returns undefined when there is enough left, else the answer. Times are of the clock that limits go by. */
export interface Refusals {
  scan(session: Session, nowMs: number): Answer | undefined;
  /** A batch of so many scans whose request has been taken as one. */
  batch(session: Session, scans: number, startMs: number): Answer | undefined;
  frame(session: Session, frame: Uint8Array, scans: number, nowMs: number): Uint8Array | undefined;
  /** A code that is made: it costs what a scan does, and is none. */
  code(session: Session, nowMs: number): Answer | undefined;
  setUp(address: Uint8Array, nowMs: number): Answer | undefined;
  /** What somebody without a good session or proof is told: `refusal`, until too many such requests come from their address. */
  failure(refusal: Answer, address: Uint8Array, nowMs: number): Answer;
}

export function createRefusals(limits: Limits, metrics: LookupMetrics, elapsedMs: () => number): Refusals {
  const limited = (by: LimitedBy, retryS: number): Answer => {
    metrics.countLimited(by);
    return ANSWERS[by](retryS);
  };
  const limitedScans = (scans: number, retryS: number, startMs: number): Answer => {
    const tally = createTally();
    tally[LIMITED_OUTCOME] = scans;
    metrics.countAll(tally, (elapsedMs() - startMs) * 1000);
    return limited("device", retryS);
  };
  return {
    scan({ deviceIndex }, nowMs) {
      const retryS = limits.scans(deviceIndex, 1, nowMs);
      return retryS === 0 ? undefined : limitedScans(1, retryS, nowMs);
    },
    batch({ deviceIndex }, scans, startMs) {
      // Not startMs: the body may have come long after the head, and a clock that goes back would forgive what was taken meanwhile.
      const retryS = limits.restOfBatch(deviceIndex, scans, elapsedMs());
      return retryS === 0 ? undefined : limitedScans(scans, retryS, startMs);
    },
    frame({ deviceIndex }, frame, scans, nowMs) {
      const retryS = limits.scans(deviceIndex, scans, nowMs);
      if (retryS === 0) return undefined;
      limitedScans(scans, retryS, nowMs);
      return limitedFrame(frame, scans, retryS);
    },
    code({ deviceIndex }, nowMs) {
      const retryS = limits.scans(deviceIndex, 1, nowMs);
      return retryS === 0 ? undefined : limited("device", retryS);
    },
    setUp(address, nowMs) {
      const retryS = limits.setUp(address, nowMs);
      return retryS === 0 ? undefined : limited("address-set-ups", retryS);
    },
    failure(refusal, address, nowMs) {
      const retryS = limits.failure(address, nowMs);
      return retryS === 0 ? refusal : limited("address-failures", retryS);
    },
  };
}

const WORDS: Readonly<Record<LimitedBy, { readonly title: string; readonly detail: string }>> = {
  device: {
    title: "Too many scans",
    detail: "this device sends more scans than it may: send these again after as many seconds as Retry-After says; its operator can give it another scansPerSecond in access.json",
  },
  "address-failures": {
    title: "Too many failures",
    detail: "too many requests from this address had no good session: if yours has ended, open another with POST /v1/sessions, else wait as many seconds as Retry-After says",
  },
  "address-set-ups": { title: "Too many at once", detail: "too many sessions and streams are opened from this address: try again after as many seconds as Retry-After says" },
};
const ANSWERS = Object.fromEntries(Object.entries(WORDS).map(([by, words]) => [by, retryAnswers(words, RETRY_S_MAX)])) as Record<LimitedBy, (retryS: number) => Answer>;
