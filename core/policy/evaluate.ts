// Evaluation: (policies, region history, evidence) -> verdict.
// Promises: pure but for a cache of region states; neither the order nor the repetition of facts matters.
// Not here: which revision of a fact holds (evidence), and how a verdict is stored (entry).

import {
  provinceOf,
  sharingPrefecture,
  type CountyCode,
  type Fact,
  type FactKind,
  type Flag,
  type FlagReason,
  type HolderEvidence,
  type Popup,
  type RegionDifference,
  type RegionHistory,
  type Rule,
  type Trip,
  type Verdict,
} from "../domain/index.ts";
import type { PolicyPack, RuleName } from "./pack.ts";
import { standingTrips } from "./rules/clearing.ts";
import { commuterMark } from "./rules/commuters.ts";
import { arrivalTest, clinicTest, obligationTest, purchaseTest, screeningTest } from "./rules/duties.ts";
import { leftRiskCounty, prefectureMark, samePrefectureTest, unverifiedComer, unverifiedMovement } from "./rules/coming.ts";
import { createRegionViews, type RegionViews } from "./regionViews.ts";
import { isolation } from "./rules/entry.ts";
import { findings, unregistered } from "./rules/findings.ts";
import { affectedCounty, portCounty, stillInRiskCounty } from "./rules/risk.ts";
import { inOrder } from "./rules/stays.ts";
import { negatives, shownTests, unsettledPositive } from "./rules/tests.ts";

export type PopupReason = Omit<FlagReason, "flag"> & { readonly popup: Popup };

type FactsByKind = { [Kind in FactKind]: Extract<Fact, { kind: Kind }>[] };

/** What a rule sees, and how it speaks. */
export interface RuleContext extends RegionViews {
  readonly pack: PolicyPack;
  readonly regions: RegionHistory;
  readonly registered: boolean;
  /** What was told, without the trips that are refuted. */
  readonly known: Readonly<FactsByKind>;
  /** Its trips by their beginning; at equal ones those elsewhere first. */
  staysInOrder(): readonly Trip[];
  /** Raises a flag; an empty interval raises nothing. */
  raise(reason: FlagReason): void;
  /** Raises a pop-up under its number, or the unnumbered one for the time before pop-ups had numbers. */
  raisePopup(reason: PopupReason): void;
}

/** What each rule does. In no order: no rule sees what another raised. */
const RULE_FUNCTIONS: Record<Rule, (context: RuleContext) => void> = {
  unregistered,
  findings,
  unsettledPositive,
  stillInRiskCounty,
  affectedCounty,
  arrivalTest,
  isolation,
  purchaseTest,
  clinicTest,
  portCounty,
  commuterMark,
  obligationTest,
  screeningTest,
  unverifiedComer,
  unverifiedMovement,
  leftRiskCounty,
  samePrefectureTest,
  prefectureMark,
};
/** Rules by which a county's risk concerns visitors of the other counties of its prefecture. */
const PREFECTURE_RULES: readonly RuleName[] = ["samePrefectureTest", "prefectureMark"];
/** The longest window of a rule: what happened so long before a rule may count under it. */
const PREFECTURE_BEFORE_S = 61 * 86_400;

const RULE_LIST = Object.values(RULE_FUNCTIONS);

const POPUP_FLAGS: Record<Popup, Flag> = { 0: "popup-0", 1: "popup-1", 2: "popup-2", 3: "popup-3", 4: "popup-4", 5: "popup-5" };

const NONE: never[] = [];
/**
 * Facts by their kind, without the trips that are refuted. Most holders have few kinds: a list is made only for those that they have, and by names that are written out, since
 * this is the most frequent loop of all.
 */
function byKind(facts: readonly Fact[]): FactsByKind {
  const known: FactsByKind = {
    trip: NONE,
    test: NONE,
    finding: NONE,
    crossing: NONE,
    purchase: NONE,
    "clinic-visit": NONE,
    commuting: NONE,
    report: NONE,
    declaration: NONE,
    obligation: NONE,
    residence: NONE,
    vaccination: NONE,
    clearance: NONE,
    refutation: NONE,
  };
  for (const fact of facts) {
    if (fact.kind === "trip") known.trip = withOne(known.trip, fact);
    else if (fact.kind === "test") known.test = withOne(known.test, fact);
    else (known[fact.kind] as Fact[]) = withOne<Fact>(known[fact.kind], fact);
  }
  if (known.refutation.length > 0) known.trip = standingTrips(known.trip, known.refutation);
  return known;
}

/** Adds to a list, or makes one where there is none yet. */
function withOne<Kind extends Fact>(list: Kind[], fact: Kind): Kind[] {
  if (list === NONE) return [fact];
  list.push(fact);
  return list;
}

export interface Evaluator {
  readonly pack: PolicyPack;
  /**
   * Counties whose visitors these changes of risk can concern, ascending: not the city's own, whose risk comes as findings (POLICY §0); all of a prefecture where the
   * changed days lie under rules that say so.
   */
  reach(changes: readonly RegionDifference[]): CountyCode[];
  evaluate(evidence: HolderEvidence): Verdict;
}

export function createEvaluator(pack: PolicyPack, regions: RegionHistory): Evaluator {
  const views = createRegionViews(regions);

  // One context for all: holders are evaluated one after the other, millions of them, and what a rule sees is void when it returns.
  let reasons: FlagReason[] = [];
  let known = byKind(NONE);
  let isRegistered = false;
  let stays: readonly Trip[] | undefined;
  const context: RuleContext = {
    pack,
    regions,
    get registered() {
      return isRegistered;
    },
    get known() {
      return known;
    },
    staysInOrder: () => (stays ??= inOrder(known.trip, pack.city)),
    ...views,
    raise(reason) {
      if (reason.from < reason.until) reasons.push(reason);
    },
    raisePopup({ popup, rule, policyFrom, facts, from, until }) {
      for (const span of pack.spans.popupNumbers) {
        const [begins, ends] = [Math.max(from, span.from), Math.min(until, span.until)];
        if (begins < ends) reasons.push({ flag: POPUP_FLAGS[span.parameters.numbered ? popup : 0], rule, policyFrom, facts, from: begins, until: ends });
      }
    },
  };

  const evaluate = ({ registered, facts }: HolderEvidence): Verdict => {
    known = byKind(facts);
    isRegistered = registered;
    stays = undefined;
    reasons = [];
    for (const rule of RULE_LIST) rule(context);
    return { registered, reasons, negatives: negatives(known.test), shownTests: shownTests(pack, known.test) };
  };

  const reach = (changes: readonly RegionDifference[]): CountyCode[] => {
    const reached = new Set<CountyCode>();
    for (const { county, from, until } of changes) {
      if (provinceOf(county) === pack.city) continue;
      const isOfPrefectures = PREFECTURE_RULES.some((rule) => pack.spans[rule].some((span) => from < span.until && span.from - PREFECTURE_BEFORE_S < until));
      for (const other of isOfPrefectures ? sharingPrefecture(county) : [county]) reached.add(other);
    }
    return [...reached].sort((a, b) => a - b);
  };

  return { pack, reach, evaluate };
}
