// Rules about laboratory results: what a positive one leaves open, and how the age of a negative one is counted and shown.
// Not here: what makes a test due (duties.ts).

import { dayOf, FOREVER, provinceOf, secondOfDay, type Finding, type Instant, type NegativeTest, type ShownTest, type Test } from "../../domain/index.ts";
import type { RuleContext } from "../evaluate.ts";
import { spanAt, type PolicyPack } from "../pack.ts";
import { clearedAt } from "./clearing.ts";

/** Findings that say what a positive result meant. */
const SETTLING = new Set<Finding["finding"]>(["confirmed", "suspected", "asymptomatic"]);

/**
 * POLICY §0: a positive result without a finding leaves the holder unconfirmed until a finding, or a later negative of the same laboratory
 * or of one that the policy names, or a clearance settles it.
 */
export function unsettledPositive(context: RuleContext): void {
  const { test: tests, finding: findings } = context.known;
  for (const positive of tests) {
    if (positive.result !== "positive") continue;
    const from = positive.issuedAt;
    for (const span of context.pack.spans.unsettledPositive) {
      const { flag, arbiters } = span.parameters;
      let settledAt = FOREVER;
      for (const test of tests) {
        // A laboratory that nobody named can't be the same one.
        const mayJudge = (test.laboratory !== "" && test.laboratory === positive.laboratory) || arbiters.includes(test.laboratory);
        if (test.result === "negative" && mayJudge && test.issuedAt > from) settledAt = Math.min(settledAt, test.issuedAt);
      }
      for (const finding of findings) {
        const speaksOfIt = SETTLING.has(finding.finding) && (finding.until ?? FOREVER) > from;
        if (speaksOfIt) settledAt = Math.min(settledAt, Math.max(finding.from, from));
      }
      settledAt = Math.min(settledAt, clearedAt(context, "unconfirmed", from));
      context.raise({
        rule: "unsettledPositive",
        flag,
        policyFrom: span.from,
        facts: [positive],
        from: Math.max(from, span.from),
        until: Math.min(settledAt, span.until),
      });
    }
  }
}

/** The negative tests by their issue, newest first; of several issued at once, the one sampled last. */
export function negatives(tests: readonly Test[]): NegativeTest[] {
  const found: Test[] = [];
  for (const test of tests) if (test.result === "negative") found.push(test);
  if (found.length > 1) found.sort((a, b) => (isNewer(a, b) ? -1 : isNewer(b, a) ? 1 : 0));
  const out: NegativeTest[] = [];
  for (const { sampledAt, issuedAt } of found) if (out.at(-1)?.issuedAt !== issuedAt) out.push({ sampledAt, issuedAt });
  return out;
}

/**
 * POLICY §4: from which instant on which day is shown as the test's. Counted by the rule in force when the sample was taken; shown by the rule in
 * force now.
 */
export function shownTests(pack: PolicyPack, tests: readonly Test[]): ShownTest[] {
  const visible: Visible[] = [];
  const edges: Instant[] = [];
  for (const test of tests) {
    if (test.result !== "negative") continue;
    let open: Visible | undefined;
    for (const span of pack.spans.testShown) {
      if (test.issuedAt >= span.until || !isShown(test, pack.city, span.parameters.elsewhere)) continue;
      if (open?.until === span.from) open.until = span.until;
      else visible.push((open = { test, from: Math.max(test.issuedAt, span.from), until: span.until }));
    }
  }
  for (const { from, until } of visible) {
    insert(edges, from);
    insert(edges, until);
  }
  const steps: ShownTest[] = [];
  for (const from of edges) {
    let newest: Test | null = null;
    for (const v of visible) {
      if (v.from <= from && from < v.until && (newest === null || isNewer(v.test, newest))) newest = v.test;
    }
    const effectiveDay = newest && effectiveDayOf(newest, pack);
    if (steps.length === 0 || steps[steps.length - 1]!.effectiveDay !== effectiveDay) steps.push({ from, effectiveDay });
  }
  return steps;
}

/** Puts an instant in its place, once: the lists are short. */
function insert(sorted: Instant[], instant: Instant): void {
  let place = sorted.length;
  while (place > 0 && sorted[place - 1]! > instant) place--;
  if (sorted[place - 1] !== instant) sorted.splice(place, 0, instant);
}

/** A test while a rule shows it. */
interface Visible {
  readonly test: Test;
  readonly from: Instant;
  until: Instant;
}

function isShown(test: Test, city: number, elsewhere: "never" | "uploaded"): boolean {
  if (test.county !== null && provinceOf(test.county) === city) return true;
  return elsewhere === "uploaded" && test.uploaded;
}

function effectiveDayOf(test: Test, pack: PolicyPack): number {
  const untilHour = spanAt(pack.spans.testAge, test.sampledAt)?.parameters.countsAsDayBeforeUntilHour ?? 0;
  return dayOf(test.issuedAt) - (secondOfDay(test.issuedAt) < untilHour * 3600 ? 1 : 0);
}

function isNewer(a: Test, b: Test): boolean {
  return a.issuedAt > b.issuedAt || (a.issuedAt === b.issuedAt && a.sampledAt > b.sampledAt);
}
