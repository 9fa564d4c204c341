// Rules that follow from what authorities found, and from whether anybody told us of the holder at all.

import { FOREVER } from "../../domain/index.ts";
import type { RuleContext } from "../evaluate.ts";

/** POLICY §1 and §2: each kind of finding raises its flag from its beginning to its end. */
export function findings(context: RuleContext): void {
  for (const finding of context.known.finding) {
    for (const span of context.pack.spans.findings) {
      const flag = span.parameters[finding.finding];
      const from = Math.max(finding.from, span.from);
      const until = Math.min(finding.until ?? FOREVER, span.until);
      if (flag === undefined) continue;
      const reason = { rule: "findings" as const, policyFrom: span.from, facts: [finding], from, until };
      const popup = /^popup-([1-5])$/.exec(flag)?.[1];
      if (popup === undefined) context.raise({ ...reason, flag });
      else context.raisePopup({ ...reason, popup: Number(popup) as 1 | 2 | 3 | 4 | 5 });
    }
  }
}

/** POLICY §0: a holder whom no `holders` row names is unconfirmed. */
export function unregistered(context: RuleContext): void {
  if (context.registered) return;
  for (const { from, until, parameters } of context.pack.spans.unregistered) {
    context.raise({ rule: "unregistered", flag: parameters.flag, policyFrom: from, facts: [], from, until });
  }
}
