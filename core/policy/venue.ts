// The pass rules of venues, compiled to what a gate checks.

import { clip, RESTRICTING, type VenueRule } from "../domain/index.ts";
import type { PolicyPack } from "./pack.ts";

/** The kind of a venue without a rule of its own. */
export const USUAL_VENUE = "venue";

/**
 * Every venue kind's rule at every instant of the pack (POLICY §0 pass, §2.3, §3): by kind and then time, without gaps. A kind that a policy does not name, and the
 * usual one, stop whatever restricts.
 */
export function venueRules(pack: PolicyPack): VenueRule[] {
  const kinds = new Set([USUAL_VENUE, ...pack.spans.venues.flatMap((span) => Object.keys(span.parameters))]);
  const usual = { stops: RESTRICTING, testHours: null, commuterHours: null, testIf: null, acceptsReceipt: false };
  return [...kinds].flatMap((venue) => {
    const stated = pack.spans.venues.flatMap((span) => {
      const own = span.parameters[venue];
      if (!own) return [];
      const { stops = RESTRICTING, testHours = null, commuterHours = null, testIf = null, receipt = false } = own;
      return [{ venue, stops, testHours, commuterHours, testIf, acceptsReceipt: receipt, from: span.from, until: span.until }];
    });
    return fillGaps(stated, (during) => ({ venue, ...usual, ...during }), pack);
  });
}

function fillGaps(stated: readonly VenueRule[], usual: (during: { from: number; until: number }) => VenueRule, { validity }: PolicyPack): VenueRule[] {
  const out: VenueRule[] = [];
  let from = validity.from;
  for (const rule of stated) {
    out.push(...clip([{ from, until: rule.from }], validity).map(usual), rule);
    from = rule.until;
  }
  return [...out, ...clip([{ from, until: validity.until }], validity).map(usual)];
}
