// Rules about coming to the city (POLICY §2, the unnumbered pop-ups; §2.3): trips that nobody has verified yet, and the comparison with tests.

import { contains, dayOf, FOREVER, provinceOf, windowEnd, type Declaration, type Instant, type Trip } from "../../domain/index.ts";
import type { RuleContext } from "../evaluate.ts";
import { spanAt, type RuleParameters } from "../pack.ts";
import { clearedAt } from "./clearing.ts";
import { isRegisteredAt } from "./commuters.ts";
import { reachesInto, windowUntil } from "./stays.ts";

/**
 * POLICY §2.3, 2020-03-17 to 2021-10-29, anchored at the declaration: whoever declares a trip to the city and can't be verified has the pop-up until a later declaration
 * that can, a report to the community, a clearance, or so many full days.
 */
export function unverifiedComer(context: RuleContext): void {
  const { declaration: declarations } = context.known;
  if (declarations.length === 0) return;
  const isVerified = (declaration: Declaration): boolean => {
    const parameters = spanAt(context.pack.spans.unverifiedComer, declaration.at)?.parameters;
    return parameters === undefined || canBeVerified(context, declaration.at, parameters);
  };
  const verified = declarations.filter(isVerified).map((d) => d.at);
  for (const declaration of declarations) {
    const { at } = declaration;
    const span = spanAt(context.pack.spans.unverifiedComer, at);
    if (!span || verified.includes(at)) continue;
    const { popup, windowDays } = span.parameters;
    const until = Math.min(toldAt(context, at), clearedAt(context, "unconfirmed", at - 1), windowEnd({ lastDay: dayOf(at), windowDays }), ...verified.filter((v) => v > at));
    context.raisePopup({ rule: "unverifiedComer", popup, policyFrom: span.from, facts: [declaration], from: at, until });
  }
}

/** Commuters are known; others by where they were in the last days, as far as the rules of the day allow it. */
function canBeVerified(context: RuleContext, at: Instant, { windowDays, provinces, lowRisk }: RuleParameters<"unverifiedComer">): boolean {
  if (context.known.commuting.some((r) => isRegisteredAt(r, at))) return true;
  const lately = context.known.trip.filter((t) => reachesInto(t, at, windowDays));
  if (lately.length === 0) return false;
  const holdsArea = ({ county }: Trip): boolean => provinceOf(county) !== context.pack.city && context.held(county).some((held) => contains(held, at));
  return lately.every((t) => provinces.includes(provinceOf(t.county))) || (lowRisk && !lately.some(holdsArea));
}

/** The first report to the community at or after `at`. */
function toldAt(context: RuleContext, at: Instant): Instant {
  return Math.min(FOREVER, ...context.known.report.filter((r) => r.at >= at).map((r) => r.at));
}

/**
 * POLICY §2, 2020-06 to 2021-10-29, anchored at the movement: whoever has moved in or out of the city has the pop-up until the trip is verified by a declaration (of a
 * movement in also by one of the days before), until a report, a clearance, or so many full days.
 */
export function unverifiedMovement(context: RuleContext): void {
  const { pack, known } = context;
  const last = pack.spans.unverifiedMovement.at(-1);
  if (!last || known.trip.length < 2 || known.trip.every((t) => t.from >= last.until)) return;
  const stays = context.staysInOrder();
  for (let i = 1; i < stays.length; i++) {
    const [before, stay] = [stays[i - 1]!, stays[i]!];
    const isMovingIn = provinceOf(stay.county) === pack.city;
    const at = stay.from;
    const span = spanAt(pack.spans.unverifiedMovement, at);
    if (!span || isMovingIn === (provinceOf(before.county) === pack.city) || known.commuting.some((r) => isRegisteredAt(r, at))) continue;
    const { popup, windowDays } = span.parameters;
    const isDeclared = (d: Declaration): boolean => isMovingIn && d.at <= at && at < windowEnd({ lastDay: dayOf(d.at), windowDays });
    if (known.declaration.some(isDeclared)) continue;
    const declared = known.declaration.filter((d) => d.at >= at).map((d) => d.at);
    const until = Math.min(toldAt(context, at), clearedAt(context, "unconfirmed", at - 1), windowEnd({ lastDay: dayOf(at), windowDays }), ...declared);
    context.raisePopup({ rule: "unverifiedMovement", popup, policyFrom: span.from, facts: [stay, before], from: at, until });
  }
}

/**
 * POLICY §2, 2021-08-07 to 10-23, anchored at now: whoever had left a county before it was listed, or before the rule began, and is not back in the city yet, while the county
 * holds an area and the stay lies within the window. Whoever was there meanwhile is yellow instead (stillInRiskCounty).
 */
export function leftRiskCounty(context: RuleContext): void {
  const { pack, known } = context;
  for (const span of pack.spans.leftRiskCounty) {
    const { popup, windowDays } = span.parameters;
    for (const trip of known.trip) {
      if (trip.to === null || trip.to >= span.until || windowUntil(trip, windowDays) <= span.from || provinceOf(trip.county) === pack.city) continue;
      const left = trip.to;
      // Carriers' stays may touch or overlap; one that began before the trip is home as it was, not the way back.
      const isBack = (t: Trip): boolean => provinceOf(t.county) === pack.city && t.from > trip.from && (t.to ?? FOREVER) > left;
      const back = Math.min(FOREVER, ...known.trip.filter(isBack).map((t) => Math.max(t.from, left)));
      for (const area of context.held(trip.county)) {
        const from = Math.max(area.from, span.from);
        if (left >= from) continue;
        const until = Math.min(area.until, windowUntil(trip, windowDays), back, span.until);
        context.raisePopup({ rule: "leftRiskCounty", popup, policyFrom: span.from, facts: [trip], from, until });
      }
    }
  }
}

/**
 * POLICY §2.3, from 2021-10-30, anchored at the declaration: whoever was in a county that isn't affected itself, but has an affected one in its prefecture, needs a negative
 * test of the hours before; without one the pop-up shows until one is issued.
 */
export function samePrefectureTest(context: RuleContext): void {
  for (const declaration of context.known.declaration) {
    const { at } = declaration;
    const span = spanAt(context.pack.spans.samePrefectureTest, at);
    if (!span) continue;
    const { popup, windowDays, testWithinHours } = span.parameters;
    const stay = context.known.trip.find((t) => reachesInto(t, at, windowDays) && isBesideAffected(context, t, at, windowDays));
    const negatives = context.known.test.filter((t) => t.result === "negative").map((t) => t.issuedAt);
    if (!stay || negatives.some((issued) => at - testWithinHours * 3600 <= issued && issued <= at)) continue;
    const until = Math.min(context.pack.validity.until, ...negatives.filter((issued) => issued >= at));
    context.raisePopup({ rule: "samePrefectureTest", popup, policyFrom: span.from, facts: [stay, declaration], from: at, until });
  }
}

function isBesideAffected(context: RuleContext, { county }: Trip, at: Instant, windowDays: number): boolean {
  if (provinceOf(county) === context.pack.city || context.affected(county, windowDays, true).some((i) => contains(i, at))) return false;
  return context.affectedBeside(county, windowDays, true).some((i) => contains(i, at));
}

/** POLICY §2.3, 2021-10-24 to 10-29, anchored at now: marks whoever was lately in another county of a prefecture with local infections; venues may ask a test of them. */
export function prefectureMark(context: RuleContext): void {
  for (const span of context.pack.spans.prefectureMark) {
    const { flag, windowDays } = span.parameters;
    for (const trip of context.known.trip) {
      const until = Math.min(windowUntil(trip, windowDays), span.until);
      if (until <= span.from || trip.from >= span.until || provinceOf(trip.county) === context.pack.city) continue;
      for (const during of context.affectedBeside(trip.county, windowDays, false)) {
        const from = Math.max(during.from, trip.from, span.from);
        context.raise({ rule: "prefectureMark", flag, policyFrom: span.from, facts: [trip], from, until: Math.min(during.until, until) });
      }
    }
  }
}
