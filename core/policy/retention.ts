// How long a fact can still matter: for each kind, how long the rules look back on it; and which of a holder's facts no verdict can rest on any more.
// Promises: pure; without the facts that are past, every verdict from the instant asked about on is the same, and stays so when facts and risks of later than that come.
// Not here: removing them (evidence), how long past decisions can be replayed (ingest).
//
// Time alone doesn't make a fact past: what was never answered (a test that was due, a positive result) binds until it is. So a kind's window says only when a fact
// can be past; whether it is, the rules themselves are asked: without it nothing may change. What later facts may still need, `stillNeeded` keeps.

import { dayOf, FOREVER, type Clearable, type Fact, type FactKind, type FlagReason, type HolderEvidence, type Instant, type NegativeTest, type ShownTest, type Verdict } from "../domain/index.ts";
import type { Evaluator } from "./evaluate.ts";
import type { PolicyPack, RuleName, RuleParameters } from "./pack.ts";
import { standingTrips } from "./rules/clearing.ts";
import { inOrder } from "./rules/stays.ts";

const HOUR_S = 3600;
const DAY_S = 86_400;

/** Seconds that a fact of each kind is looked back on after its own end. */
type Windows = Readonly<Record<FactKind, number>>;

/** When a fact is over by itself; FOREVER: it goes on. */
const OVER: { readonly [Kind in FactKind]: (fact: Extract<Fact, { kind: Kind }>) => Instant } = {
  trip: ({ to }) => to ?? FOREVER,
  test: ({ issuedAt }) => issuedAt,
  finding: ({ until }) => until ?? FOREVER,
  crossing: ({ at }) => at,
  purchase: ({ at }) => at,
  "clinic-visit": ({ at }) => at,
  commuting: ({ until }) => until ?? FOREVER,
  report: ({ at }) => at,
  declaration: ({ at }) => at,
  obligation: ({ until }) => until ?? FOREVER,
  residence: ({ until }) => until ?? FOREVER,
  clearance: ({ at }) => at,
  // The trip that it is about may be told again as long as somebody has it.
  refutation: () => FOREVER,
  vaccination: ({ at }) => at,
};

/** Kinds whose flags last until they are answered, by a test, a finding, a report: when one is told only after its time, the answer may be gone. */
const WAITS_FOR_AN_ANSWER: Readonly<Record<FactKind, boolean>> = {
  trip: true, // arrivals
  test: true, // positive ones
  finding: false,
  crossing: false,
  purchase: true,
  "clinic-visit": true,
  commuting: false,
  report: false,
  declaration: true,
  obligation: false,
  residence: false,
  clearance: false,
  refutation: false,
  vaccination: false,
};

/** What a clearance may end. */
const CLEARS: Readonly<Record<Clearable, readonly FactKind[]>> = {
  "popup-1": ["trip"],
  "popup-3": ["finding"],
  "popup-5": ["trip"],
  unconfirmed: ["test", "declaration", "trip"],
};

export interface Retention {
  /** Whether no rule looks back from `since` on a fact like this, were it answered. */
  isPast(fact: Fact, since: Instant): boolean;
  /** Whether a fact of this kind can be too late at all. */
  canBeTooLate(kind: FactKind): boolean;
  /**
   * Whether a fact came when it had been past for `spareS` seconds, and waits for an answer that may be gone by now: if nobody has told of it before, nothing may follow
   * from it.
   */
  isTooLate(fact: Fact, spareS: number): boolean;
  /** The facts of a holder, all of them given, that were known by `since` and that no verdict from then on rests on. */
  pastFacts(evidence: HolderEvidence, since: Instant): Set<Fact>;
}

/** @param evaluators under every pack whose verdicts are to stay the same: the one in force first. */
export function createRetention(evaluators: readonly Evaluator[]): Retention {
  const packs = evaluators.map(({ pack }) => pack);
  const windows = windowsOf(packs);

  const isPast = (fact: Fact, since: Instant): boolean => {
    const over = (OVER[fact.kind] as (fact: Fact) => Instant)(fact);
    return over !== FOREVER && over + windows[fact.kind] <= since;
  };

  return {
    isPast,
    canBeTooLate: (kind) => WAITS_FOR_AN_ANSWER[kind],
    isTooLate(fact, spareS) {
      const isAnswer = fact.kind === "test" && fact.result !== "positive";
      return WAITS_FOR_AN_ANSWER[fact.kind] && !isAnswer && isPast(fact, arrivalOf(fact) - spareS);
    },
    pastFacts({ registered, facts }, since) {
      const couldBe = facts.filter((fact) => isPast(fact, since) && fact.knownFrom <= since && arrivalOf(fact) <= since);
      if (couldBe.length === 0) return new Set();
      const needed = stillNeeded(new Set(couldBe), facts, packs, since);
      // What was known by then, for who asks for a decision of that time; and all that is known now.
      const seen = [facts.filter((fact) => fact.knownFrom <= since), facts];
      const essences = (past: ReadonlySet<Fact>): Essence[] =>
        evaluators.flatMap((evaluator) => seen.map((known) => essenceFrom(evaluator.evaluate({ registered, facts: known.filter((fact) => !past.has(fact)) }), since)));
      const before = essences(new Set());
      const past = new Set<Fact>();
      const take = (some: readonly Fact[]): void => {
        if (some.length === 0) return;
        for (const fact of some) past.add(fact);
        if (essences(past).every((essence, i) => isSame(essence, before[i]!))) return;
        for (const fact of some) past.delete(fact);
        if (some.length === 1) return;
        // Older ones first: what was due goes before what answered it.
        take(some.slice(0, some.length / 2));
        take(some.slice(some.length / 2));
      };
      take(couldBe.filter((fact) => !needed.has(fact)).sort((a, b) => overOf(a) - overOf(b)));
      return past;
    },
  };
}

function overOf(fact: Fact): Instant {
  return (OVER[fact.kind] as (fact: Fact) => Instant)(fact);
}

function arrivalOf({ knownFrom, receivedAt = knownFrom }: Fact): Instant {
  return receivedAt;
}

/** How far the rules of packs look back, at their longest. Days are whole ones: a window of W ends at most W + 1 days after the fact. */
function windowsOf(packs: readonly PolicyPack[]): Windows {
  const longest = <Name extends RuleName>(rule: Name, seconds: (parameters: RuleParameters<Name>) => number): number =>
    Math.max(0, ...packs.flatMap((pack) => pack.spans[rule].map(({ parameters }) => seconds(parameters))));
  const windowOf = (rule: "stillInRiskCounty" | "affectedCounty" | "unverifiedComer" | "unverifiedMovement" | "leftRiskCounty" | "samePrefectureTest" | "prefectureMark" | "portCounty"): number =>
    longest(rule, ({ windowDays }) => (windowDays + 1) * DAY_S);

  const comer = windowOf("unverifiedComer");
  const movement = windowOf("unverifiedMovement");
  const port = windowOf("portCounty");
  const isolation = longest("isolation", ({ cityDays, cityDaysWithoutHome, elsewhereDays, originDays }) => (Math.max(cityDays, cityDaysWithoutHome, elsewhereDays, ...Object.values(originDays)) + 1) * DAY_S);
  const purchase = longest("purchaseTest", ({ lookBackDays, withinHours }) => lookBackDays * DAY_S + withinHours * HOUR_S);
  const clinic = longest("clinicTest", ({ withinHours }) => withinHours * HOUR_S);
  const declaration = Math.max(comer, movement);
  return {
    trip: Math.max(
      ...[windowOf("stillInRiskCounty"), windowOf("affectedCounty"), windowOf("leftRiskCounty"), windowOf("samePrefectureTest"), windowOf("prefectureMark"), comer, port],
      longest("linkCheck", ({ elsewhereDays }) => (elsewhereDays + 1) * DAY_S),
      longest("arrivalTest", ({ withinHours }) => withinHours * HOUR_S),
    ),
    test: Math.max(
      longest("commuterMark", ({ days }) => days * DAY_S),
      longest("venues", (venues) => Math.max(0, ...Object.values(venues).map(({ testHours = 0, commuterHours = 0 }) => Math.max(testHours, commuterHours) * HOUR_S))),
      // A test before an entry, or a declaration, exempts for as long as that counts.
      longest("isolation", ({ exemptTestWithinHours }) => exemptTestWithinHours * HOUR_S) + isolation,
      longest("samePrefectureTest", ({ testWithinHours }) => testWithinHours * HOUR_S) + declaration,
      ...[purchase, clinic],
    ),
    finding: 0,
    crossing: isolation,
    purchase,
    "clinic-visit": clinic,
    commuting: 0,
    report: Math.max(comer, movement, port),
    declaration,
    obligation: 0,
    residence: 0,
    clearance: Math.max(comer, movement),
    refutation: 0,
    // No rule looks at it yet: the city's next one would ask for the doses of a year.
    vaccination: 365 * DAY_S,
  } satisfies Windows;
}

/** Of facts that could be past, those that a later fact, or a later risk, may make matter. */
function stillNeeded(couldBe: ReadonlySet<Fact>, facts: readonly Fact[], packs: readonly PolicyPack[], since: Instant): Set<Fact> {
  const needed = new Set<Fact>();
  const kept = facts.filter((fact) => !couldBe.has(fact));
  const refutations = facts.filter((fact) => fact.kind === "refutation");
  const trips = standingTrips(
    facts.filter((fact) => fact.kind === "trip"),
    refutations,
  );
  for (const { city } of packs) {
    // Whether the next stay is an arrival is told by the one before it, however long ago it was.
    const newest = inOrder(trips, city).findLast(({ from }) => from <= since);
    if (newest) needed.add(newest);
  }
  const links = kept.filter((fact) => fact.kind === "finding").filter(({ finding }) => finding === "risk-link");
  const testDays = new Set(packs.flatMap((pack) => pack.spans.linkCheck.flatMap(({ parameters }) => parameters.testDays)));
  for (const fact of couldBe) {
    // A link that nobody has cleared yet asks for tests of its first days.
    if (fact.kind === "test" && links.some((link) => testDays.has(dayOf(fact.sampledAt) - dayOf(link.from)))) needed.add(fact);
    // A clearance holds against what began before it, however late that is raised: a county where a stay goes on may be affected tomorrow.
    if (fact.kind === "clearance" && kept.some((other) => CLEARS[fact.clears].includes(other.kind) && beginOf(other) < fact.at)) needed.add(fact);
  }
  return needed;
}

function beginOf(fact: Fact): Instant {
  if (fact.kind === "test") return fact.issuedAt;
  return "at" in fact ? fact.at : fact.from;
}

/** All that anybody can see of a verdict from an instant on. */
interface Essence {
  readonly reasons: readonly FlagReason[];
  readonly shown: readonly ShownTest[];
  readonly negatives: readonly NegativeTest[];
}

function essenceFrom({ reasons, shownTests, negatives }: Verdict, since: Instant): Essence {
  const first = negatives.findIndex(({ issuedAt }) => issuedAt <= since);
  const current = shownTests.findLastIndex(({ from }) => from <= since);
  return {
    reasons: reasons.filter(({ until }) => until > since),
    shown: shownTests.slice(Math.max(current, 0)).map(({ from, effectiveDay }) => ({ from: Math.max(from, since), effectiveDay })),
    negatives: first < 0 ? negatives : negatives.slice(0, first + 1),
  };
}

/** Reasons must rest on the very same facts: of two that are due, one must not stand for both. */
function isSame(one: Essence, other: Essence): boolean {
  return (
    areSame(one.reasons, other.reasons, (a, b) => a.flag === b.flag && a.rule === b.rule && a.policyFrom === b.policyFrom && a.from === b.from && a.until === b.until && areSame(a.facts, b.facts, (x, y) => x === y)) &&
    areSame(one.shown, other.shown, (a, b) => a.from === b.from && a.effectiveDay === b.effectiveDay) &&
    areSame(one.negatives, other.negatives, (a, b) => a.issuedAt === b.issuedAt && a.sampledAt === b.sampledAt)
  );
}

function areSame<T>(one: readonly T[], other: readonly T[], same: (a: T, b: T) => boolean): boolean {
  return one.length === other.length && one.every((item, i) => same(item, other[i]!));
}
