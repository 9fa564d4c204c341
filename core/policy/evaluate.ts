// Evaluation: (policies, region history, evidence) -> verdict.
// Promises: pure but for a cache of region states; neither the order nor the repetition of facts matters.
// Not here: which revision of a fact holds (evidence), and how a verdict is stored (entry).

import {
  clip,
  provinceOf,
  type CountyCode,
  type Fact,
  type FactKind,
  type Flag,
  type FlagReason,
  type HolderEvidence,
  type Interval,
  type Popup,
  type RegionHistory,
  type Rule,
  type Verdict,
} from "../domain/index.ts";
import type { PolicyPack } from "./pack.ts";
import { isolation } from "./rules/entry.ts";
import { findings, unregistered } from "./rules/findings.ts";
import { affectedCounty, affectedIntervals, portCounty, stillInRiskCounty } from "./rules/risk.ts";
import { arrivalTest, clinicTest, commuterMark, newestNegative, purchaseTest, shownTests, unsettledPositive } from "./rules/tests.ts";

export type PopupReason = Omit<FlagReason, "flag"> & { readonly popup: Popup };

type FactsByKind = { readonly [Kind in FactKind]: Extract<Fact, { kind: Kind }>[] };

/** What a rule sees, and how it speaks. */
export interface RuleContext {
  readonly pack: PolicyPack;
  readonly regions: RegionHistory;
  readonly registered: boolean;
  readonly known: FactsByKind;
  /** When a county is affected, for a window of so many days. */
  affected(county: CountyCode, windowDays: number): readonly Interval[];
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
};
const RULE_LIST = Object.values(RULE_FUNCTIONS);

export interface Evaluator {
  readonly pack: PolicyPack;
  /** Whether a county's risk can matter to anybody who stayed there: the city's own comes as findings (POLICY §0). */
  mayMatter(county: CountyCode): boolean;
  evaluate(evidence: HolderEvidence): Verdict;
}

export function createEvaluator(pack: PolicyPack, regions: RegionHistory): Evaluator {
  const affectedCache = new Map<CountyCode, Map<number, Interval[]>>();
  let cachedGeneration = -1;

  const affected = (county: CountyCode, windowDays: number): readonly Interval[] => {
    if (cachedGeneration !== regions.generation()) {
      affectedCache.clear();
      cachedGeneration = regions.generation();
    }
    let byWindow = affectedCache.get(county);
    if (!byWindow) affectedCache.set(county, (byWindow = new Map<number, Interval[]>()));
    let intervals = byWindow.get(windowDays);
    if (!intervals) {
      const risk = regions.risk(county);
      byWindow.set(windowDays, (intervals = risk ? affectedIntervals(risk, windowDays) : []));
    }
    return intervals;
  };

  const evaluate = ({ registered, facts }: HolderEvidence): Verdict => {
    const known: FactsByKind = { trip: [], test: [], finding: [], crossing: [], purchase: [], "clinic-visit": [], commuting: [], report: [] };
    for (const fact of facts) (known[fact.kind] as Fact[]).push(fact);
    const reasons: FlagReason[] = [];
    const context: RuleContext = {
      pack,
      regions,
      registered,
      known,
      affected,
      raise(reason) {
        if (reason.from < reason.until) reasons.push(reason);
      },
      raisePopup({ popup, ...reason }) {
        for (const span of pack.spans.popupNumbers) {
          const flag: Flag = `popup-${span.parameters.numbered ? popup : 0}`;
          for (const during of clip([reason], span)) reasons.push({ ...reason, flag, ...during });
        }
      },
    };
    for (const rule of RULE_LIST) rule(context);
    return { registered, reasons, newestNegative: newestNegative(known.test), shownTests: shownTests(pack, known.test) };
  };

  return { pack, mayMatter: (county) => provinceOf(county) !== pack.city, evaluate };
}
