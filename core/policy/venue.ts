// A venue's pass rule, compiled to what a gate checks.

import { FLAGS, type VenueRule } from "../domain/index.ts";
import type { PolicyPack } from "./pack.ts";

/** The rule of a venue without one of its own (POLICY §0, pass): whatever restricts stops; in force as long as the pack is. */
export function venueRule(pack: PolicyPack): VenueRule {
  return { stops: FLAGS.filter((flag) => flag !== "commuter"), ...pack.validity };
}
