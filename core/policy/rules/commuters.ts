// Registered commuters: their mark, and until when they are registered.

import { FOREVER, type Commuting, type Instant } from "../../domain/index.ts";
import type { RuleContext } from "../evaluate.ts";

const DAY_S = 86_400;

/**
 * POLICY §3, anchored at now: a registered commuter is marked for so many days from the issue of a negative test that came while registered; a later test renews
 * the mark, the end of the registration ends it. For as long, venues may ask less of them.
 */
export function commuterMark(context: RuleContext): void {
  const { commuting: registrations, test: tests } = context.known;
  for (const registration of registrations) {
    for (const test of tests) {
      if (test.result !== "negative" || !isRegisteredAt(registration, test.issuedAt)) continue;
      for (const span of context.pack.spans.commuterMark) {
        const { flags, days } = span.parameters;
        const until = Math.min(test.issuedAt + days * DAY_S, span.until, registration.until ?? FOREVER);
        for (const flag of flags) {
          context.raise({ rule: "commuterMark", flag, policyFrom: span.from, facts: [test, registration], from: Math.max(test.issuedAt, span.from), until });
        }
      }
    }
  }
}

export function isRegisteredAt({ from, until }: Commuting, at: Instant): boolean {
  return from <= at && at < (until ?? FOREVER);
}
