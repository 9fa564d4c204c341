// The rule that follows from entering the country: pop-up 2.

import { dayOf, provinceOf, windowEnd } from "../../domain/index.ts";
import type { RuleContext } from "../evaluate.ts";
import { spanAt } from "../pack.ts";

/**
 * POLICY §2.2, anchored at the day of entry: from the crossing until 00:00 of the day after the last day of isolation, by the regime of that day and the port.
 * Whoever comes from an exempt place with a negative test that is new enough is not isolated. No test clears it.
 */
export function isolation(context: RuleContext): void {
  const { crossing: crossings, test: tests } = context.known;
  for (const crossing of crossings) {
    const span = spanAt(context.pack.spans.isolation, crossing.at);
    if (!span) continue;
    const { popup, cityDays, cityDaysWithoutHome, elsewhereDays, originDays, exemptOrigins, exemptTestWithinHours } = span.parameters;
    const isTested = tests.some((t) => t.result === "negative" && t.issuedAt <= crossing.at && t.issuedAt >= crossing.at - exemptTestWithinHours * 3600);
    if (exemptOrigins.includes(crossing.origin) && isTested) continue;
    const isHere = provinceOf(crossing.port) === context.pack.city;
    const days = originDays[crossing.origin] ?? (isHere ? (crossing.homeSuitable ? cityDays : cityDaysWithoutHome) : elsewhereDays);
    const until = windowEnd({ lastDay: dayOf(crossing.at), windowDays: days });
    context.raisePopup({ rule: "isolation", popup, policyFrom: span.from, facts: [crossing], from: crossing.at, until: Math.min(until, context.pack.validity.until) });
  }
}
