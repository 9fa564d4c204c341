// The pass rules of venues on the hot path: flags as bits, hours as seconds.
// Promises: no rule is known here but what the compiled ones state.

import { FLAGS, type Flag, type Instant, type VenueRule } from "../domain/index.ts";

export interface CompiledVenueRule {
  readonly from: Instant;
  readonly until: Instant;
  /** Flags that stop. */
  readonly stops: number;
  /** A negative test must have been issued within so many seconds; 0: none is asked for. */
  readonly testS: number;
  /** The same for commuters. */
  readonly commuterTestS: number;
  /** Flags of whoever the test is asked of; 0: of everybody. */
  readonly testIf: number;
  readonly acceptsReceipt: boolean;
}

export interface CompiledVenues {
  /** The rule of a kind of venue at an instant; undefined: no policy is in force, or nobody has told of such a kind. */
  at(venue: string, now: Instant): CompiledVenueRule | undefined;
  has(venue: string): boolean;
}

export function flagBit(flag: Flag): number {
  return 1 << FLAGS.indexOf(flag);
}
const COMMUTING = flagBit("commuting");

export function compileVenues(rules: readonly VenueRule[]): CompiledVenues {
  const byVenue = new Map<string, CompiledVenueRule[]>();
  for (const rule of rules) {
    const list = byVenue.get(rule.venue);
    if (list) list.push(compileVenueRule(rule));
    else byVenue.set(rule.venue, [compileVenueRule(rule)]);
  }
  return {
    at(venue, now) {
      const list = byVenue.get(venue);
      // From the newest back: that is the one asked for.
      for (let i = (list?.length ?? 0) - 1; i >= 0; i--) {
        const rule = list![i]!;
        if (rule.from <= now) return now < rule.until ? rule : undefined;
      }
      return undefined;
    },
    has: (venue) => byVenue.has(venue),
  };
}

export function compileVenueRule({ stops, testHours, commuterHours, testIf, acceptsReceipt, from, until }: VenueRule): CompiledVenueRule {
  const testS = (testHours ?? 0) * 3600;
  return {
    from,
    until,
    stops: stops.reduce((mask, flag) => mask | flagBit(flag), 0),
    testS,
    commuterTestS: commuterHours === null ? testS : commuterHours * 3600,
    testIf: testIf === null ? 0 : flagBit(testIf),
    acceptsReceipt,
  };
}

/** Whether the rule asks for a test that isn't there. A test issued exactly so long ago counts (POLICY §0). */
export function lacksTest(rule: CompiledVenueRule, flags: number, issuedAt: Instant, now: Instant, hasReceipt: boolean): boolean {
  if (rule.testS === 0 || (rule.testIf !== 0 && (flags & rule.testIf) === 0) || (hasReceipt && rule.acceptsReceipt)) return false;
  if (issuedAt === 0 || issuedAt > now) return true;
  return now - issuedAt > ((flags & COMMUTING) !== 0 ? rule.commuterTestS : rule.testS);
}
