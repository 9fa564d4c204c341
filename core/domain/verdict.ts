// The verdict: what a policy makes of a holder's evidence, as timed flags with their reasons.

import type { Fact } from "./evidence.ts";
import type { Interval } from "./intervals.ts";
import type { Day, Instant } from "./time.ts";

/** Every flag there is. The position is the flag's number in an entry: append, never reorder. */
export const FLAGS = [
  "popup-0", // the unnumbered pop-up of the time before 2022-02-12
  "popup-1",
  "popup-2",
  "popup-3",
  "popup-4",
  "popup-5",
  "home",
  "central",
  "unconfirmed",
  "commuter",
  "commuting", // the commuters' rule of tests holds, whether the mark shows or not
  "prefecture", // was lately beside a county with infections
] as const;
export type Flag = (typeof FLAGS)[number];

/** Flags that stop their holder where no rule of the venue says otherwise (POLICY §0, pass). */
export const RESTRICTING: readonly Flag[] = ["popup-0", "popup-1", "popup-2", "popup-3", "popup-4", "popup-5", "home", "central", "unconfirmed"];

/** Pop-up numbers, 0 for the unnumbered one. */
export const POPUPS = [0, 1, 2, 3, 4, 5] as const;
export type Popup = (typeof POPUPS)[number];

/** Every rule that raises flags, by its name in a policy pack. The position is the reason code in an entry: append, never reorder. */
export const RULES = [
  "unregistered",
  "findings",
  "unsettledPositive",
  "stillInRiskCounty",
  "affectedCounty",
  "arrivalTest",
  "isolation",
  "purchaseTest",
  "clinicTest",
  "portCounty",
  "commuterMark",
  "obligationTest",
  "screeningTest",
  "unverifiedComer",
  "unverifiedMovement",
  "leftRiskCounty",
  "samePrefectureTest",
  "prefectureMark",
] as const;
export type Rule = (typeof RULES)[number];

/** One reason why a flag is active for a while. */
export interface FlagReason extends Interval {
  readonly flag: Flag;
  readonly rule: Rule;
  /** From when the policy is in force that made it so. */
  readonly policyFrom: Instant;
  /** The facts it rests on. */
  readonly facts: readonly Fact[];
}

export interface NegativeTest {
  readonly sampledAt: Instant;
  readonly issuedAt: Instant;
}

/** From `from` on, the age of a test is counted from `effectiveDay`; null: none is shown. */
export interface ShownTest {
  readonly from: Instant;
  readonly effectiveDay: Day | null;
}

export interface Verdict {
  /** Somebody has told us of this holder. */
  readonly registered: boolean;
  /** Reasons may overlap; a flag is active while any of its reasons is. */
  readonly reasons: readonly FlagReason[];
  /** Negative tests, by their issue, the newest first. A bare date counts from its day's end, so the first may still be to come. */
  readonly negatives: readonly NegativeTest[];
  /** Which test's age is shown, by instant, ascending; empty: none ever. */
  readonly shownTests: readonly ShownTest[];
}

/** A flag and one of its intervals, as an entry holds it, with the rule that raised it first. */
export interface TimedFlag extends Interval {
  readonly flag: Flag;
  readonly rule: Rule;
}

/** The timed flags of a verdict: reasons of one flag that overlap or touch are joined; ordered by flag and then time. */
export function timedFlags(reasons: readonly FlagReason[]): TimedFlag[] {
  const sorted = reasons.toSorted(
    (a, b) => FLAGS.indexOf(a.flag) - FLAGS.indexOf(b.flag) || a.from - b.from || RULES.indexOf(a.rule) - RULES.indexOf(b.rule),
  );
  const out: { flag: Flag; rule: Rule; from: Instant; until: Instant }[] = [];
  for (const { flag, rule, from, until } of sorted) {
    const last = out.at(-1);
    if (last?.flag === flag && from <= last.until) last.until = Math.max(last.until, until);
    else out.push({ flag, rule, from, until });
  }
  return out;
}

/** The pass rule of a kind of venue for a while, compiled to what a gate checks. */
export interface VenueRule extends Interval {
  /** Which kind of venue. */
  readonly venue: string;
  readonly stops: readonly Flag[];
  /** A negative test must have been issued within so many hours; null: none is asked for. */
  readonly testHours: number | null;
  /** The same for whoever has the flag `commuting`; null: as everybody. */
  readonly commuterHours: number | null;
  /** The test is asked only of whoever has this flag; null: of everybody. */
  readonly testIf: Flag | null;
  /** A sampling receipt that was shown stands for the test. */
  readonly acceptsReceipt: boolean;
}
