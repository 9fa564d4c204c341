// Rules that follow from the risk of the counties a holder stayed in: the yellow of 2021 and pop-up 1.

import {
  clip,
  contains,
  currentCounties,
  FOREVER,
  provinceOf,
  startOfDay,
  union,
  windowEnd,
  type CountyRisk,
  type Instant,
  type Interval,
} from "../../domain/index.ts";
import type { RuleContext } from "../evaluate.ts";
import { clearedAt } from "./clearing.ts";
import { windowUntil } from "./stays.ts";

/**
 * POLICY §1, `home`, 2021-08-07 to 10-23: whoever is in a county that holds a risk area, from then until the county holds none any more, or the days of the
 * window have passed without such a stay.
 */
export function stillInRiskCounty(context: RuleContext): void {
  const { trip: trips } = context.known;
  for (const span of context.pack.spans.stillInRiskCounty) {
    const { flag, windowDays } = span.parameters;
    for (const trip of trips) {
      const held = context.held(trip.county);
      if (held.length === 0 || provinceOf(trip.county) === context.pack.city) continue;
      const stay = trip.to === null ? { from: trip.from, until: FOREVER } : { from: trip.from, until: trip.to + 1 };
      const until = Math.min(windowUntil(trip, windowDays), span.until);
      for (const area of held) {
        // Only who was there while the rule was in force and the area was listed; whoever had left before did not turn yellow.
        const [there] = clip(clip([area], stay), span);
        if (!there) continue;
        context.raise({ rule: "stillInRiskCounty", flag, policyFrom: span.from, facts: [trip], from: there.from, until: Math.min(area.until, until) });
      }
    }
  }
}

/**
 * POLICY §2, pop-up 1, anchored at now: a stay within the last W days in an affected county that isn't the city's own. It begins with
 * the publication or the stay, whichever is later, and ends by time, with the county's state or by a clearance; no test clears it.
 */
export function affectedCounty(context: RuleContext): void {
  for (const trip of context.known.trip) {
    if (provinceOf(trip.county) === context.pack.city) continue;
    for (const span of context.pack.spans.affectedCounty) {
      const { popup, windowDays, heldAreas } = span.parameters;
      const until = Math.min(windowUntil(trip, windowDays), clearedAt(context, "popup-1", trip.from), span.until);
      const from = Math.max(trip.from, span.from);
      if (until <= from) continue;
      for (const affected of context.affected(trip.county, windowDays, heldAreas)) {
        const [begins, ends] = [Math.max(affected.from, from), Math.min(affected.until, until)];
        if (begins < ends) context.raisePopup({ rule: "affectedCounty", popup, policyFrom: span.from, facts: [trip], from: begins, until: ends });
      }
    }
  }
}

/**
 * POLICY §2, pop-up 5, anchored at now: a stay within the last W days in a county with a land-border port. It begins with the stay; once the holder, in the city,
 * has told the community, the stays that were over by then raise it no more. No test clears it.
 */
export function portCounty(context: RuleContext): void {
  const { trip: trips, report: reports } = context.known;
  const { city, portCounties, spans } = context.pack;
  if (portCounties.length === 0) return;
  const isHereAt = (at: Instant): boolean => trips.some((t) => provinceOf(t.county) === city && t.from <= at && at <= (t.to ?? FOREVER));
  for (const trip of trips) {
    if (!currentCounties(trip.county).some((county) => portCounties.includes(county))) continue;
    const told = reports.filter((r) => trip.to !== null && trip.to < r.at && isHereAt(r.at)).map((r) => r.at);
    for (const span of spans.portCounty) {
      const until = Math.min(windowUntil(trip, span.parameters.windowDays), span.until, clearedAt(context, "popup-5", trip.from), ...told);
      context.raisePopup({ rule: "portCounty", popup: span.parameters.popup, policyFrom: span.from, facts: [trip], from: Math.max(trip.from, span.from), until });
    }
  }
}

/**
 * When a county is affected (POLICY §0): within `windowDays` of its last local infection unless it turned low-risk since (it held an area after that infection's day, and none
 * remains), and, where held areas count, while it holds a medium- or high-risk area.
 */
export function affectedIntervals({ held, infections }: CountyRisk, windowDays: number, heldAreas: boolean): Interval[] {
  const out: Interval[] = heldAreas ? [...held] : [];
  if (infections.length === 0) return out;
  const begins = infections.map((i) => ({ day: i.day, from: Math.max(startOfDay(i.day), i.knownFrom) }));
  const edges = new Set<Instant>();
  for (const { from, until } of held) edges.add(from).add(until);
  for (const { day, from } of begins) edges.add(from).add(windowEnd({ lastDay: day, windowDays }));
  const sorted = [...edges].sort((a, b) => a - b);
  for (let i = 0; i + 1 < sorted.length; i++) {
    const [from, until] = [sorted[i]!, sorted[i + 1]!];
    let lastDay = -1;
    for (const b of begins) if (b.from <= from && b.day > lastDay) lastDay = b.day;
    if (lastDay < 0 || from >= windowEnd({ lastDay, windowDays })) continue;
    const afterLast = startOfDay(lastDay + 1);
    const turnedLow = held.some((h) => h.until <= from && h.until > afterLast) && !held.some((h) => contains(h, from));
    if (!turnedLow) out.push({ from, until });
  }
  return union(out);
}
