// Rules that make a test due (POLICY §2.1): pop-up 4 from the deadline until a negative test that was sampled since the duty arose is issued.

import { BEGINNING, contains, currentCounties, FOREVER, provinceOf, type Instant, type Interval, type Test, type Trip } from "../../domain/index.ts";
import type { PopupReason, RuleContext } from "../evaluate.ts";
import { spanAt } from "../pack.ts";
import { isRegisteredAt } from "./commuters.ts";

const DAY_S = 86_400;

/**
 * POLICY §2.1, arrival in the city, anchored at the arrival: pop-up 4 from 72 h after the first stay in the city that follows one
 * elsewhere, until a negative test sampled at or after the arrival is issued.
 */
export function arrivalTest(context: RuleContext): void {
  const { trip: trips, commuting: registrations } = context.known;
  const { city, spans } = context.pack;
  if (spans.arrivalTest.length === 0 || trips.length < 2) return;
  const isHere = (trip: Trip): boolean => provinceOf(trip.county) === city;
  const stays = context.staysInOrder();
  for (let i = 1; i < stays.length; i++) {
    const stay = stays[i]!;
    if (!isHere(stay) || isHere(stays[i - 1]!)) continue;
    const span = spanAt(spans.arrivalTest, stay.from);
    // Commuters keep a rule of their own.
    if (!span || registrations.some((r) => isRegisteredAt(r, stay.from))) continue;
    const from = stay.from + span.parameters.withinHours * 3600;
    raiseUntilTested(context, { rule: "arrivalTest", popup: span.parameters.popup, policyFrom: span.from, facts: [stay, stays[i - 1]!], from }, stay.from);
  }
}

/**
 * POLICY §2.1, drugs, anchored at the purchase: pop-up 4 from 72 h after one in the city. Purchases of the days before the rule began are due as if made when it
 * began; a test sampled since the purchase itself satisfies them.
 */
export function purchaseTest(context: RuleContext): void {
  const { city, spans } = context.pack;
  for (const purchase of context.known.purchase) {
    if (provinceOf(purchase.county) !== city) continue;
    for (const [i, span] of spans.purchaseTest.entries()) {
      const { popup, withinHours, lookBackDays } = span.parameters;
      // Days before belong to the rule that held then, if one did.
      const lookBack = Math.max(span.from - lookBackDays * DAY_S, spans.purchaseTest[i - 1]?.until ?? BEGINNING);
      if (purchase.at < lookBack || purchase.at >= span.until) continue;
      const from = Math.max(purchase.at, span.from) + withinHours * 3600;
      raiseUntilTested(context, { rule: "purchaseTest", popup, policyFrom: span.from, facts: [purchase], from }, purchase.at);
    }
  }
}

/** POLICY §2.1, symptoms at a primary clinic, anchored at the visit: pop-up 4 from 72 h after it. */
export function clinicTest(context: RuleContext): void {
  for (const visit of context.known["clinic-visit"]) {
    const span = spanAt(context.pack.spans.clinicTest, visit.at);
    if (!span) continue;
    const from = visit.at + span.parameters.withinHours * 3600;
    raiseUntilTested(context, { rule: "clinicTest", popup: span.parameters.popup, policyFrom: span.from, facts: [visit], from }, visit.at);
  }
}

/**
 * POLICY §2.1, occupations and places. Once: anchored at the duty's beginning, pop-up 4 from so many hours after it. With a rhythm: anchored at now, from so many days after
 * the newest sample (or the beginning of the duty or the rule) until the next negative result is issued. The end of the duty ends what was overdue.
 */
export function obligationTest(context: RuleContext): void {
  const { pack, known } = context;
  for (const obligation of known.obligation) {
    const { at, everyDays } = obligation;
    const until = Math.min(obligation.until ?? FOREVER, pack.validity.until);
    for (const span of pack.spans.obligationTest) {
      const { popup, withinHours } = span.parameters;
      const reason = { rule: "obligationTest" as const, popup, policyFrom: span.from, facts: [obligation] };
      if (everyDays !== null) {
        for (const overdue of overdueIntervals(Math.max(at, span.from), everyDays, known.test)) {
          context.raisePopup({ ...reason, from: overdue.from, until: Math.min(overdue.until, until, span.until) });
        }
      } else if (contains(span, at)) {
        context.raisePopup({ ...reason, from: at + withinHours * 3600, until: Math.min(firstNegativeSince(known.test, at), until) });
      }
    }
  }
}

/** When the newest sample of the results issued so far is older than the rhythm allows. */
function overdueIntervals(begins: Instant, everyDays: number, tests: readonly Test[]): Interval[] {
  const counting = tests.filter((t) => t.result === "negative" && t.sampledAt >= begins).sort((a, b) => a.issuedAt - b.issuedAt);
  const out: Interval[] = [];
  let newestSample = begins;
  let issued = begins;
  for (const test of [...counting, { issuedAt: FOREVER, sampledAt: FOREVER }]) {
    out.push({ from: Math.max(issued, newestSample + everyDays * DAY_S), until: test.issuedAt });
    newestSample = Math.max(newestSample, test.sampledAt);
    issued = test.issuedAt;
  }
  return out;
}

/**
 * POLICY §2.1, regional screening in rounds, anchored at the first round: who lived in the county during it and was sampled in none of the rounds has pop-up 4 from
 * the end of the last one until a negative test sampled since the first began is issued.
 */
export function screeningTest(context: RuleContext): void {
  const { pack, regions, known } = context;
  if (pack.spans.screeningTest.length === 0) return;
  for (const residence of known.residence) {
    for (const county of currentCounties(residence.county)) {
      for (const screening of regions.screenings(county)) {
        const first = screening.rounds[0]!;
        const span = spanAt(pack.spans.screeningTest, first.from);
        const livesThere = residence.from < first.until && first.from < (residence.until ?? FOREVER);
        const hasTakenPart = known.test.some((t) => t.result === "negative" && screening.rounds.some((r) => contains(r, t.sampledAt)));
        if (!span || !livesThere || hasTakenPart) continue;
        const from = Math.max(...screening.rounds.map((r) => r.until), screening.knownFrom);
        raiseUntilTested(context, { rule: "screeningTest", popup: span.parameters.popup, policyFrom: span.from, facts: [residence], from }, first.from);
      }
    }
  }
}

/** A pop-up from its deadline until a negative test sampled since `arose` is issued. */
function raiseUntilTested(context: RuleContext, reason: Omit<PopupReason, "until">, arose: Instant): void {
  const until = Math.min(firstNegativeSince(context.known.test, arose), context.pack.validity.until);
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
