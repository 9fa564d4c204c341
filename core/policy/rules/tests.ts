// Rules about laboratory tests: what makes one due, what a positive one leaves open, and how its age is counted and shown.

import {
  dayOf,
  FOREVER,
  provinceOf,
  secondOfDay,
  type Commuting,
  type Finding,
  type Instant,
  type NegativeTest,
  type ShownTest,
  type Test,
  type Trip,
} from "../../domain/index.ts";
import type { PopupReason, RuleContext } from "../evaluate.ts";
import { spanAt, type PolicyPack } from "../pack.ts";

const DAY_S = 86_400;

/**
 * POLICY §2.1, arrival in the city, anchored at the arrival: pop-up 4 from 72 h after the first stay in the city that follows one
 * elsewhere, until a negative test sampled at or after the arrival is issued.
 */
export function arrivalTest(context: RuleContext): void {
  const { trip: trips, test: tests, commuting: registrations } = context.known;
  const { city, spans } = context.pack;
  if (spans.arrivalTest.length === 0 || trips.length < 2) return;
  const isHere = (trip: Trip): boolean => provinceOf(trip.county) === city;
  // At equal starts the stay elsewhere comes first, so that the order of delivery doesn't matter.
  const stays = trips.toSorted((a, b) => a.from - b.from || Number(isHere(a)) - Number(isHere(b)));
  for (let i = 1; i < stays.length; i++) {
    const stay = stays[i]!;
    if (!isHere(stay) || isHere(stays[i - 1]!)) continue;
    const span = spanAt(spans.arrivalTest, stay.from);
    // Commuters keep a rule of their own.
    if (!span || registrations.some((r) => isRegisteredAt(r, stay.from))) continue;
    const from = stay.from + span.parameters.withinHours * 3600;
    raiseUntilTested(context, { rule: "arrivalTest", popup: span.parameters.popup, policyFrom: span.from, facts: [stay, stays[i - 1]!], from }, tests, stay.from);
  }
}

/**
 * POLICY §2.1, drugs, anchored at the purchase: pop-up 4 from 72 h after one in the city. Purchases of the days before the rule began are due as if made when it
 * began; a test sampled since the purchase itself satisfies them.
 */
export function purchaseTest(context: RuleContext): void {
  const { purchase: purchases, test: tests } = context.known;
  const { city, spans } = context.pack;
  for (const purchase of purchases) {
    if (provinceOf(purchase.county) !== city) continue;
    for (const span of spans.purchaseTest) {
      const { popup, withinHours, lookBackDays } = span.parameters;
      if (purchase.at < span.from - lookBackDays * DAY_S || purchase.at >= span.until) continue;
      const from = Math.max(purchase.at, span.from) + withinHours * 3600;
      raiseUntilTested(context, { rule: "purchaseTest", popup, policyFrom: span.from, facts: [purchase], from }, tests, purchase.at);
    }
  }
}

/** POLICY §2.1, symptoms at a primary clinic, anchored at the visit: pop-up 4 from 72 h after it. */
export function clinicTest(context: RuleContext): void {
  const { test: tests } = context.known;
  for (const visit of context.known["clinic-visit"]) {
    const span = spanAt(context.pack.spans.clinicTest, visit.at);
    if (!span) continue;
    const from = visit.at + span.parameters.withinHours * 3600;
    raiseUntilTested(context, { rule: "clinicTest", popup: span.parameters.popup, policyFrom: span.from, facts: [visit], from }, tests, visit.at);
  }
}

/**
 * POLICY §3, anchored at now: a registered commuter is marked for so many days from the issue of a negative test that came while registered; a later test renews
 * the mark, the end of the registration ends it.
 */
export function commuterMark(context: RuleContext): void {
  const { commuting: registrations, test: tests } = context.known;
  for (const registration of registrations) {
    for (const test of tests) {
      if (test.result !== "negative" || !isRegisteredAt(registration, test.issuedAt)) continue;
      for (const span of context.pack.spans.commuterMark) {
        const { flag, days } = span.parameters;
        const until = Math.min(test.issuedAt + days * DAY_S, span.until, registration.until ?? FOREVER);
        context.raise({ rule: "commuterMark", flag, policyFrom: span.from, facts: [test, registration], from: Math.max(test.issuedAt, span.from), until });
      }
    }
  }
}

function isRegisteredAt({ from, until }: Commuting, at: Instant): boolean {
  return from <= at && at < (until ?? FOREVER);
}

/** A pop-up from its deadline until a negative test sampled since `arose` is issued. */
function raiseUntilTested(context: RuleContext, reason: Omit<PopupReason, "until">, tests: readonly Test[], arose: Instant): void {
  const until = Math.min(firstNegativeSince(tests, arose), context.pack.validity.until);
  if (reason.from < until) context.raisePopup({ ...reason, until });
}

/** The issue of the first negative result whose sample was taken at or after `arose`; FOREVER when there is none. */
function firstNegativeSince(tests: readonly Test[], arose: Instant): Instant {
  let first = FOREVER;
  for (const test of tests) {
    if (test.result === "negative" && test.sampledAt >= arose && test.issuedAt < first) first = test.issuedAt;
  }
  return first;
}

/** Findings that say what a positive result meant. */
const SETTLING = new Set<Finding["finding"]>(["confirmed", "suspected", "asymptomatic"]);

/**
 * POLICY §0: a positive result without a finding leaves the holder unconfirmed until a finding, or a later negative of the same laboratory
 * or of one that the policy names, settles it.
 */
export function unsettledPositive(context: RuleContext): void {
  const { test: tests, finding: findings } = context.known;
  for (const positive of tests) {
    if (positive.result !== "positive") continue;
    const from = positive.issuedAt;
    for (const span of context.pack.spans.unsettledPositive) {
      const { flag, arbiters } = span.parameters;
      let settledAt = FOREVER;
      for (const test of tests) {
        // A laboratory that nobody named can't be the same one.
        const mayJudge = (test.laboratory !== "" && test.laboratory === positive.laboratory) || arbiters.includes(test.laboratory);
        if (test.result === "negative" && mayJudge && test.issuedAt > from) settledAt = Math.min(settledAt, test.issuedAt);
      }
      for (const finding of findings) {
        const speaksOfIt = SETTLING.has(finding.finding) && (finding.until ?? FOREVER) > from;
        if (speaksOfIt) settledAt = Math.min(settledAt, Math.max(finding.from, from));
      }
      context.raise({
        rule: "unsettledPositive",
        flag,
        policyFrom: span.from,
        facts: [positive],
        from: Math.max(from, span.from),
        until: Math.min(settledAt, span.until),
      });
    }
  }
}

/** The negative test issued last; of several issued at once, the one sampled last. */
export function newestNegative(tests: readonly Test[]): NegativeTest | null {
  let newest: Test | null = null;
  for (const test of tests) {
    if (test.result === "negative" && (newest === null || isNewer(test, newest))) newest = test;
  }
  return newest && { sampledAt: newest.sampledAt, issuedAt: newest.issuedAt };
}

/**
 * POLICY §4: from which instant on which day is shown as the test's. Counted by the rule in force when the sample was taken; shown by the rule in
 * force now.
 */
export function shownTests(pack: PolicyPack, tests: readonly Test[]): ShownTest[] {
  const negatives = tests.filter((t) => t.result === "negative");
  if (negatives.length === 0) return [];
  const visible = negatives.flatMap((test) =>
    pack.spans.testShown
      .filter((span) => span.until > test.issuedAt && isShown(test, pack.city, span.parameters.elsewhere))
      .map((span) => ({ test, from: Math.max(test.issuedAt, span.from), until: span.until })),
  );
  const edges = new Set(visible.flatMap((v) => [v.from, v.until]));
  const steps: { from: Instant; effectiveDay: number | null }[] = [];
  for (const from of [...edges].sort((a, b) => a - b)) {
    let newest: Test | null = null;
    for (const v of visible) {
      if (v.from <= from && from < v.until && (newest === null || isNewer(v.test, newest))) newest = v.test;
    }
    const effectiveDay = newest && effectiveDayOf(newest, pack);
    if (steps.length === 0 || steps.at(-1)!.effectiveDay !== effectiveDay) steps.push({ from, effectiveDay });
  }
  return steps;
}

function isShown(test: Test, city: number, elsewhere: "never" | "uploaded"): boolean {
  if (test.county !== null && provinceOf(test.county) === city) return true;
  return elsewhere === "uploaded" && test.uploaded;
}

function effectiveDayOf(test: Test, pack: PolicyPack): number {
  const untilHour = spanAt(pack.spans.testAge, test.sampledAt)?.parameters.countsAsDayBeforeUntilHour ?? 0;
  return dayOf(test.issuedAt) - (secondOfDay(test.issuedAt) < untilHour * 3600 ? 1 : 0);
}

function isNewer(a: Test, b: Test): boolean {
  return a.issuedAt > b.issuedAt || (a.issuedAt === b.issuedAt && a.sampledAt > b.sampledAt);
}
