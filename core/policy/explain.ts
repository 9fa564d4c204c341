// Explanations: what a holder is told of each of their flags: rule and date, facts, since when, what clears it and when it ends by itself, whom to turn to.
// Promises: pure; nothing is said that the catalogue has no words for, and neither sources nor ids, laboratories or grounds are.
// Not here: the words (catalogue.ts), and who may ask.

import {
  contains,
  dayOf,
  FLAGS,
  formatDay,
  formatInstant,
  RESTRICTING,
  RULES,
  type Fact,
  type FactKind,
  type Flag,
  type FlagReason,
  type Instant,
  type Interval,
  type NegativeTest,
  type Rule,
  type Verdict,
} from "../domain/index.ts";
import {
  countyName,
  FACT_WORDS,
  FLAG_NAMES,
  goesOnAs,
  incompleteWords,
  LAYOUT,
  NOTES,
  RULE_WORDS,
  sentences,
  type FactSaid,
  type Language,
  type RuleSaid,
  type RuleWords,
  type Words,
} from "./catalogue.ts";
import { incompleteRules, spanAt, type PolicyPack } from "./pack.ts";

const FLAG_STATES = ["active", "coming", "past"] as const;
export type FlagState = (typeof FLAG_STATES)[number];

export interface ExplanationInput {
  readonly verdict: Verdict;
  /** The pack that the verdict was made by. */
  readonly pack: PolicyPack;
  /** The instant asked about. */
  readonly at: Instant;
  /** The verdict was made from what was known at `at`, not from what is known today. */
  readonly asKnownAt?: boolean;
  /** Some of what counts as known at `at` arrived later: history. */
  readonly restsOnHistory?: boolean;
}

export interface ExplainedFact {
  readonly kind: FactKind;
  /** YYYY-MM-DD: the first day of a stay, the day of sampling of a test. */
  readonly day: string;
  /** Six digits; null: the fact has no county that is told. */
  readonly county: string | null;
  /** In Chinese; null: no county, or one that no list has. */
  readonly countyName: string | null;
  readonly text: Words;
}

/** One reason of a flag, or several of one rule that rest on the same facts and touch in time. */
export interface FlagExplanation {
  readonly flag: Flag;
  readonly name: Words;
  readonly state: FlagState;
  readonly since: Instant;
  /**
   * When this explanation no longer holds, as far as is known now; of one that is past, when it ended. Null: it does not end by itself. The flag may go on for a reason
   * of its own that another explanation gives: it stops at the last of their ends.
   */
  readonly endsAt: Instant | null;
  readonly rule: Rule;
  /** Since when the rule stands as it is explained here. */
  readonly policyFrom: Instant;
  readonly policyTitle: Words;
  readonly why: Words;
  readonly clears: Words;
  /** May name the authority of a finding, in the words of its source. */
  readonly turnTo: Words;
  readonly facts: readonly ExplainedFact[];
}

export interface Explanation {
  readonly at: Instant;
  readonly registered: boolean;
  /** What is to be known beforehand: it is of the past, no rules are in force, nobody has told us of the holder, nothing is against them. */
  readonly notes: readonly Words[];
  /** Active ones first, then those to come, then those past; within by their beginning. */
  readonly flags: readonly FlagExplanation[];
  readonly newestNegative: NegativeTest | null;
  /** The test whose age is shown at `at`: from which day (YYYY-MM-DD) it counts. */
  readonly shownTest: { readonly effectiveDay: string; readonly ageDays: number } | null;
  /** Rules in force at `at` for which the pack lacks data. */
  readonly incompleteRules: readonly { readonly rule: Rule; readonly text: Words }[];
}

/** A stretch without gaps of reasons that one explanation stands for. */
interface Stretch extends Interval {
  readonly flag: Flag;
  readonly rule: Rule;
  /** Equal for stretches of one rule that rest on the same facts. */
  readonly grounds: string;
  readonly reasons: readonly FlagReason[];
}

/**
 * What the holder of a verdict is told.
 * @throws when the verdict was made by another pack.
 */
export function explain({ verdict, pack, at, asKnownAt = false, restsOnHistory = false }: ExplanationInput): Explanation {
  const stretches = stretchesOf(verdict.reasons).sort((a, b) => order(a, b, at));
  const isRestricted = stretches.some((s) => contains(s, at) && RESTRICTING.includes(s.flag));
  const hasPolicy = contains(pack.validity, at);
  const notes: Words[] = [];
  if (asKnownAt) notes.push(NOTES.asKnownAt);
  if (restsOnHistory) notes.push(NOTES.restsOnHistory);
  if (!hasPolicy) notes.push(NOTES.noPolicy);
  if (!verdict.registered) notes.push(NOTES.unregistered);
  else if (hasPolicy && !isRestricted) notes.push(NOTES.nothing);

  const effectiveDay = verdict.shownTests.findLast((s) => s.from <= at)?.effectiveDay ?? null;
  const lacking = incompleteRules(pack);
  return {
    at,
    registered: verdict.registered,
    notes,
    flags: stretches.map((stretch) => explainStretch(stretch, stretches, pack, at)),
    newestNegative: verdict.negatives.find((test) => test.issuedAt <= at) ?? null,
    shownTest: effectiveDay === null ? null : { effectiveDay: formatDay(effectiveDay), ageDays: dayOf(at) - effectiveDay },
    incompleteRules: RULES.filter((rule) => lacking.some((line) => line.startsWith(`${rule}:`)) && spanAt<Interval>(pack.spans[rule], at)).map((rule) => ({
      rule,
      text: incompleteWords(rule),
    })),
  };
}

function stretchesOf(reasons: readonly FlagReason[]): Stretch[] {
  const out: Stretch[] = [];
  const groups = Map.groupBy(reasons, (reason) => `${reason.flag} ${groundsOf(reason)}`);
  for (const group of groups.values()) {
    let open: { flag: Flag; rule: Rule; grounds: string; from: Instant; until: Instant; reasons: FlagReason[] } | undefined;
    for (const reason of group.toSorted((a, b) => a.from - b.from || a.policyFrom - b.policyFrom)) {
      const { flag, rule, from, until } = reason;
      if (open && from <= open.until) {
        open.until = Math.max(open.until, until);
        open.reasons.push(reason);
      } else out.push((open = { flag, rule, grounds: groundsOf(reason), from, until, reasons: [reason] }));
    }
  }
  return out;
}

/** Who told a fact, and by which phone, makes no other fact of it. */
const NOT_CONTENT: readonly string[] = ["source", "revision", "knownFrom", "receivedAt", "told"];

function groundsOf({ rule, facts }: FlagReason): string {
  const contents = facts.map((fact) => Object.entries(fact).filter(([name]) => !NOT_CONTENT.includes(name)).sort(([a], [b]) => (a < b ? -1 : 1)));
  return JSON.stringify([rule, contents]);
}

function order(a: Stretch, b: Stretch, at: Instant): number {
  return (
    FLAG_STATES.indexOf(stateOf(a, at)) - FLAG_STATES.indexOf(stateOf(b, at)) ||
    a.from - b.from ||
    FLAGS.indexOf(a.flag) - FLAGS.indexOf(b.flag) ||
    RULES.indexOf(a.rule) - RULES.indexOf(b.rule) ||
    (a.grounds < b.grounds ? -1 : 1)
  );
}

function stateOf({ from, until }: Interval, at: Instant): FlagState {
  if (until <= at) return "past";
  return from <= at ? "active" : "coming";
}

function explainStretch(stretch: Stretch, all: readonly Stretch[], pack: PolicyPack, at: Instant): FlagExplanation {
  const { flag, rule, from, until, grounds } = stretch;
  const state = stateOf(stretch, at);
  // Where the rule changed meanwhile, it is explained as it stands at the instant asked about, or at the nearest one.
  const reason = stretch.reasons.find((r) => contains(r, at)) ?? stretch.reasons.at(state === "past" ? -1 : 0)!;
  const { policyFrom, facts } = reason;
  const { why, clears, turnTo } = sayRule(rule, { pack, policyFrom, facts });
  const next = all.find((other) => other.grounds === grounds && other.flag !== flag && other.from === until);
  const { zh, en } = pack.policies.findLast((p) => p.from <= policyFrom)!.title;
  return {
    flag,
    name: FLAG_NAMES[flag],
    state,
    since: from,
    // What lasts to the end of the policies has no end of its own.
    endsAt: until >= pack.validity.until ? null : until,
    rule,
    policyFrom,
    policyTitle: { zh, en },
    why,
    clears: sentences(clears, next !== undefined && goesOnAs(next.flag)),
    turnTo,
    facts: facts.map(explainFact),
  };
}

function sayRule<Name extends Rule>(rule: Name, { pack, policyFrom, facts }: Omit<RuleSaid<Name>, "parameters">): Record<keyof RuleWords<Name>, Words> {
  const parameters = spanAt(pack.spans[rule], policyFrom)?.parameters;
  if (parameters === undefined) throw new Error(`the rule ${rule} is not in force at ${formatInstant(policyFrom)} in this pack: explain a verdict with the pack that it was made by`);
  const words: RuleWords<Name> = RULE_WORDS[rule];
  const said: RuleSaid<Name> = { pack, policyFrom, parameters, facts };
  return { why: words.why(said), clears: words.clears(said), turnTo: words.turnTo(said) };
}

function explainFact(fact: Fact): ExplainedFact {
  const { day, county, text } = (FACT_WORDS[fact.kind] as (fact: Fact) => FactSaid)(fact);
  return { kind: fact.kind, day: formatDay(day), county: county === null ? null : String(county), countyName: county === null ? null : countyName(county), text };
}

/** An explanation as lines for a terminal. */
export function explanationText(explanation: Explanation, language: Language): string[] {
  const word = (name: keyof typeof LAYOUT): string => LAYOUT[name][language];
  const comma = word("comma");
  const { newestNegative, shownTest } = explanation;
  const lines = [`${word("asked")}${formatInstant(explanation.at)}`, ...explanation.notes.map((note) => note[language])];
  for (const flag of explanation.flags) {
    const endLabel = flag.state === "past" ? word("ended") : word("ends");
    const end = flag.endsAt === null ? word(flag.state === "past" ? "endedWithRules" : "endsNever") : formatInstant(flag.endsAt);
    lines.push(
      "",
      `${flag.name[language]} [${word(flag.state)}]`,
      `  ${word("since")}${formatInstant(flag.since)}`,
      `  ${endLabel}${end}`,
      `  ${word("why")}${flag.why[language]}`,
      `  ${word(RESTRICTING.includes(flag.flag) ? "clears" : "endsMark")}${flag.clears[language]}`,
      `  ${word("turnTo")}${flag.turnTo[language]}`,
      `  ${word("rule")}${flag.rule}${comma}${flag.policyTitle[language]}${comma}${word("inForceFrom")}${formatInstant(flag.policyFrom)}`,
      ...flag.facts.map((fact) => `  ${word("fact")}${fact.text[language]}`),
    );
  }
  if (newestNegative || shownTest || explanation.incompleteRules.length > 0) lines.push("");
  if (newestNegative) lines.push(`${word("newestNegative")}${word("sampled")}${formatInstant(newestNegative.sampledAt)}${comma}${word("issued")}${formatInstant(newestNegative.issuedAt)}`);
  if (shownTest) lines.push(`${word("shownTest")}${shownTest.effectiveDay}`);
  lines.push(...explanation.incompleteRules.map(({ text }) => text[language]));
  return lines;
}
