// Rules that follow from what authorities found, and from whether anybody told us of the holder at all.

import { dayOf, FOREVER, provinceOf, windowEnd, type Day, type Finding, type Instant, type Popup } from "../../domain/index.ts";
import type { RuleContext } from "../evaluate.ts";
import { spanAt } from "../pack.ts";
import { clearedAt } from "./clearing.ts";

/**
 * POLICY §1 and §2: each kind of finding raises its flag from its beginning to its end. A link with a risk (pop-up 3) is also ended by a clearance, once the tests that
 * its level asks for are there; neither is enough alone.
 */
export function findings(context: RuleContext): void {
  for (const finding of context.known.finding) {
    for (const span of context.pack.spans.findings) {
      const flag = span.parameters[finding.finding];
      const from = Math.max(finding.from, span.from);
      const cleared = finding.finding === "risk-link" ? linkClearedAt(context, finding) : FOREVER;
      const until = Math.min(finding.until ?? FOREVER, span.until, cleared);
      if (flag === undefined) continue;
      const reason = { rule: "findings" as const, policyFrom: span.from, facts: [finding], from, until };
      if (flag.startsWith("popup-")) context.raisePopup({ ...reason, popup: Number(flag.slice("popup-".length)) as Popup });
      else context.raise({ ...reason, flag });
    }
  }
}

/**
 * When a link is cleared. Of somebody who is in the city: at the clearance, or at the issue of the last of the tests that were asked for, whichever comes later. Of somebody
 * elsewhere: at the clearance, or when so many full days have passed since the link and since a stay in a county with a risk area.
 */
function linkClearedAt(context: RuleContext, link: Finding): Instant {
  const cleared = clearedAt(context, "popup-3", link.from);
  const check = spanAt(context.pack.spans.linkCheck, link.from)?.parameters;
  if (cleared === FOREVER || !check) return cleared;
  const whereabouts = context.staysInOrder().findLast((stay) => stay.from <= cleared);
  if (whereabouts && provinceOf(whereabouts.county) !== context.pack.city) {
    return Math.max(cleared, windowEnd({ lastDay: lastRiskDay(context, link, cleared), windowDays: check.elsewhereDays }));
  }
  if (check.untestedLevels.includes(link.level ?? "")) return cleared;
  const issues = check.testDays.map((dayAfter) => {
    const sampleDay = dayOf(link.from) + dayAfter;
    const negatives = context.known.test.filter((t) => t.result === "negative" && dayOf(t.sampledAt) === sampleDay);
    return Math.min(FOREVER, ...negatives.map((t) => t.issuedAt));
  });
  return Math.max(cleared, ...issues);
}

/** The last day up to `at` on which the holder was linked with a risk, or in a county elsewhere that held a risk area (the city's own come as links). */
function lastRiskDay(context: RuleContext, link: Finding, at: Instant): Day {
  let last = dayOf(link.from);
  for (const trip of context.known.trip) {
    if (provinceOf(trip.county) === context.pack.city) continue;
    for (const area of context.held(trip.county)) {
      const end = Math.min(trip.to ?? at, area.until - 1, at);
      if (end >= Math.max(trip.from, area.from)) last = Math.max(last, dayOf(end));
    }
  }
  return last;
}

/** POLICY §0: a holder whom no `holders` row names is unconfirmed. */
export function unregistered(context: RuleContext): void {
  if (context.registered) return;
  for (const { from, until, parameters } of context.pack.spans.unregistered) {
    context.raise({ rule: "unregistered", flag: parameters.flag, policyFrom: from, facts: [], from, until });
  }
}
