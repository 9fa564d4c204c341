import { describe, expect, test } from "vitest";
import {
  allCounties,
  CLEARABLE,
  dayOf,
  DRUG_CLASSES,
  FINDING_KINDS,
  FLAGS,
  FOREVER,
  formatDay,
  parseInstant,
  provinceOf,
  RULES,
  SYMPTOMS,
  TEST_RESULTS,
  type CountyRisk,
  type Fact,
  type FactKind,
  type Flag,
  type FlagReason,
  type Interval,
  type RegionHistory,
  type Rule,
  type Verdict,
} from "../domain/index.ts";
import { countyName, FACT_WORDS, FLAG_NAMES, incompleteWords, LANGUAGES, LAYOUT, NOTES, PROVINCE_NAMES, type Words } from "./catalogue.ts";
import { createEvaluator } from "./evaluate.ts";
import { explain, explanationText, type Explanation, type FlagExplanation } from "./explain.ts";
import { beijingPack, beijingPackText, parsePack, type PolicyPack } from "./pack.ts";

const at = (text: string): number => parseInstant(`${text}+08:00`)!;
const day = (date: string): number => at(`${date}T00:00:00`);
const pack = beijingPack();

/** Values that no text may repeat; the authority alone may stand in whom to turn to. */
const TELL_TALE = { source: "TELL-source", laboratory: "TELL-laboratory", ground: "TELL-ground", subject: "TELL-subject", fact: "TELL-fact", duty: "TELL-duty", level: "TELL-level", product: "TELL-product" };
const AUTHORITY = "TELL-authority";

const base = { source: TELL_TALE.source, revision: 1, knownFrom: 0 };
type Change<Kind extends FactKind> = Partial<Extract<Fact, { kind: Kind }>>;

/** A fact of every kind, in which everything that a source can word freely tells on itself. */
const FACTS: { readonly [Kind in FactKind]: (change?: Change<Kind>) => Extract<Fact, { kind: Kind }> } = {
  trip: (change) => ({ ...base, kind: "trip", told: { subject: TELL_TALE.subject, fact: TELL_TALE.fact }, county: 310115, from: at("2022-06-01T08:00:00"), to: at("2022-06-03T20:00:00"), ...change }),
  test: (change) => ({
    ...base, kind: "test", sampledAt: at("2022-06-01T09:00:00"), issuedAt: at("2022-06-01T18:00:00"), result: "negative", laboratory: TELL_TALE.laboratory, county: 110105, uploaded: false, ...change,
  }),
  finding: (change) => ({
    ...base, kind: "finding", finding: "risk-link", level: TELL_TALE.level, from: at("2022-06-01T15:00:00"), until: null, authority: AUTHORITY, ground: TELL_TALE.ground, ...change,
  }),
  crossing: (change) => ({ ...base, kind: "crossing", at: at("2022-06-01T10:00:00"), port: 110113, origin: "DEU", homeSuitable: true, ...change }),
  purchase: (change) => ({ ...base, kind: "purchase", at: at("2022-06-01T10:00:00"), drugClass: "fever", county: 110105, ...change }),
  "clinic-visit": (change) => ({ ...base, kind: "clinic-visit", at: at("2022-06-01T10:00:00"), symptom: "fever", ...change }),
  commuting: (change) => ({ ...base, kind: "commuting", from: at("2022-01-01T00:00:00"), until: null, ...change }),
  report: (change) => ({ ...base, kind: "report", at: at("2022-06-01T10:00:00"), ...change }),
  declaration: (change) => ({ ...base, kind: "declaration", at: at("2022-06-01T10:00:00"), ...change }),
  obligation: (change) => ({ ...base, kind: "obligation", duty: TELL_TALE.duty, at: at("2022-06-01T10:00:00"), everyDays: null, until: null, ...change }),
  residence: (change) => ({ ...base, kind: "residence", county: 110105, from: at("2022-01-01T00:00:00"), until: null, ...change }),
  vaccination: (change) => ({ ...base, kind: "vaccination", at: at("2022-01-01T10:00:00"), dose: 1, product: TELL_TALE.product, ...change }),
  clearance: (change) => ({ ...base, kind: "clearance", clears: "popup-1", at: at("2022-06-02T10:00:00"), authority: AUTHORITY, ground: TELL_TALE.ground, ...change }),
  refutation: (change) => ({
    ...base, kind: "refutation", subject: TELL_TALE.subject, fact: TELL_TALE.fact, county: 310115, from: null, to: null, at: at("2022-06-02T10:00:00"), authority: AUTHORITY, ground: TELL_TALE.ground, ...change,
  }),
};

const here = FACTS.trip({ county: 110105 });
/** Each rule with the facts that it can rest on, in its shades. */
const GROUNDS: Record<Rule, readonly (readonly Fact[])[]> = {
  unregistered: [[]],
  findings: FINDING_KINDS.flatMap((finding) =>
    ["high", "medium", TELL_TALE.level, null].flatMap((level) => [null, day("2022-06-10")].flatMap((until) => [AUTHORITY, ""].map((authority) => [FACTS.finding({ finding, level, until, authority })]))),
  ),
  unsettledPositive: [[FACTS.test({ result: "positive" })], [FACTS.test({ result: "positive", laboratory: "" })]],
  stillInRiskCounty: [[FACTS.trip()], [FACTS.trip({ to: null })]],
  affectedCounty: [[FACTS.trip()], [FACTS.trip({ to: null, county: 469001 })], [FACTS.trip({ county: 999999 })]],
  arrivalTest: [[here, FACTS.trip()]],
  isolation: [FACTS.crossing(), FACTS.crossing({ homeSuitable: false }), FACTS.crossing({ port: 310115, origin: "MAC" }), FACTS.crossing({ origin: "MAC" })].map((crossing) => [crossing]),
  purchaseTest: [...DRUG_CLASSES.map((drugClass) => [FACTS.purchase({ drugClass })]), [FACTS.purchase({ at: at("2022-01-10T10:00:00") })]],
  clinicTest: SYMPTOMS.map((symptom) => [FACTS["clinic-visit"]({ symptom })]),
  portCounty: [[FACTS.trip({ county: 150781 })]],
  commuterMark: [[FACTS.test(), FACTS.commuting()]],
  obligationTest: [[FACTS.obligation()], [FACTS.obligation({ everyDays: 1 })], [FACTS.obligation({ everyDays: 3, until: day("2022-07-01") })]],
  screeningTest: [[FACTS.residence()]],
  unverifiedComer: [[FACTS.declaration()]],
  unverifiedMovement: [[here, FACTS.trip()], [FACTS.trip(), here]],
  leftRiskCounty: [[FACTS.trip()]],
  samePrefectureTest: [[FACTS.trip(), FACTS.declaration()]],
  prefectureMark: [[FACTS.trip()]],
};

const verdictOf = (reasons: readonly FlagReason[], change: Partial<Verdict> = {}): Verdict => ({ registered: true, reasons, negatives: [], shownTests: [], ...change });
const reason = (change: Partial<FlagReason> = {}): FlagReason => ({
  flag: "popup-4", rule: "arrivalTest", policyFrom: day("2022-01-22"), facts: GROUNDS.arrivalTest[0]!, from: day("2022-06-04"), until: day("2022-06-10"), ...change,
});

/** Every rule of a pack in every stretch of it and on every ground, explained as active. */
function everyExplanation(of: PolicyPack): FlagExplanation[] {
  return RULES.flatMap((rule) =>
    of.spans[rule].flatMap(({ from, until }) =>
      GROUNDS[rule].flatMap((facts) => explain({ verdict: verdictOf([reason({ rule, policyFrom: from, facts, from, until })]), pack: of, at: from }).flags),
    ),
  );
}

function wordsOf(flag: FlagExplanation): Words[] {
  return [flag.name, flag.policyTitle, flag.why, flag.clears, flag.turnTo, ...flag.facts.map((f) => f.text)];
}

function expectSound({ zh, en }: Words): void {
  for (const text of [zh, en]) {
    expect(text.trim()).not.toBe("");
    expect(text).not.toMatch(/undefined|null|NaN|\[object|Infinity/);
  }
  expect(zh).toMatch(/\p{Script=Han}/u);
  expect(en).not.toMatch(/[\p{Script=Han}\u3000-\u303f\uff00-\uffef]/u);
}

const noRisk: RegionHistory = { generation: () => 0, risk: () => undefined, screenings: () => [] };
const riskOf = (by: Record<number, CountyRisk>): RegionHistory => ({ ...noRisk, risk: (code) => by[code] });

function explained(facts: readonly Fact[], { regions = noRisk, of = pack, when }: { regions?: RegionHistory; of?: PolicyPack; when: number }): Explanation {
  return explain({ verdict: createEvaluator(of, regions).evaluate({ registered: true, facts }), pack: of, at: when });
}

describe("the catalogue", () => {
  test("every rule of the pack has sound words in both languages, in every stretch of it and on every ground", () => {
    const all = everyExplanation(pack);
    expect(new Set(all.map((flag) => flag.rule))).toEqual(new Set(RULES));
    for (const flag of all) wordsOf(flag).forEach(expectSound);
  });
  test("every flag, every kind of fact and everything around them does too", () => {
    expect(Object.keys(FLAG_NAMES)).toEqual([...FLAGS]);
    expect(new Set(FLAGS.map((flag) => FLAG_NAMES[flag].en)).size).toBe(FLAGS.length);
    const facts: Fact[] = [
      ...Object.values(FACTS).map((make) => make()),
      ...TEST_RESULTS.map((result) => FACTS.test({ result })),
      ...CLEARABLE.map((clears) => FACTS.clearance({ clears })),
      FACTS.trip({ to: null }),
    ];
    for (const fact of facts) expectSound((FACT_WORDS[fact.kind] as (of: Fact) => { text: Words })(fact).text);
    for (const words of [...Object.values(FLAG_NAMES), ...Object.values(NOTES), ...RULES.map(incompleteWords)]) expectSound(words);
    for (const { zh, en } of Object.values(LAYOUT) as Words[]) expect([/\p{Script=Han}|，/u.test(zh), /^[\x20-\x7e]+$/.test(en)]).toEqual([true, true]);
  });
  test("every province of the list has its name, and every county one without the list's makeshift prefectures", () => {
    for (const county of allCounties().values()) {
      const words = PROVINCE_NAMES[provinceOf(county.code)];
      expect(county.province.startsWith(words!.zh)).toBe(true);
      expect(countyName(county.code)).toMatch(/^\p{Script=Han}+$/u);
      expect(countyName(county.code)).not.toContain("直辖县级");
    }
    expect([310115, 210211, 469001].map(countyName)).toEqual(["上海市浦东新区", "辽宁省大连市甘井子区", "海南省五指山市"]);
    expect(countyName(999999)).toBeNull();
  });
  test("no text holds a source, a laboratory, a ground, a key, a duty or a level in the source's words; the authority stands in whom to turn to alone", () => {
    const all = everyExplanation(pack);
    for (const { turnTo, ...flag } of all) {
      expect(JSON.stringify(flag)).not.toContain("TELL-");
      for (const value of Object.values(TELL_TALE)) expect(JSON.stringify(turnTo)).not.toContain(value);
    }
    expect(all.some((flag) => flag.turnTo.zh.includes(AUTHORITY) && flag.turnTo.en.includes(AUTHORITY))).toBe(true);
    const clearing = [FACTS.clearance(), FACTS.refutation()].map((fact) => (FACT_WORDS[fact.kind] as (of: Fact) => object)(fact));
    expect(JSON.stringify(clearing)).not.toContain("TELL-");
  });
  test("no text holds where somebody entered from", () => {
    const all = everyExplanation(pack).filter((flag) => flag.rule === "isolation");
    expect(JSON.stringify(all)).not.toMatch(/DEU|MAC\b/);
  });
  test("every rule that rests on trips says what to do about a phone number that was kept", () => {
    const onTrips = everyExplanation(pack).filter((flag) => flag.facts.some((f) => f.kind === "trip"));
    expect(new Set(onTrips.map((flag) => flag.rule)).size).toBe(8);
    for (const { turnTo } of onTrips) {
      expect(turnTo.zh).toContain("手机号");
      expect(turnTo.en).toContain("kept a number");
    }
  });
  test("a rule whose trips are behind a declaration says so too, unless only commuters can be verified", () => {
    const comers = everyExplanation(pack).filter((flag) => flag.rule === "unverifiedComer");
    expect(comers.map((flag) => flag.turnTo.en.includes("kept a number"))).toEqual([false, true, true]);
    expect(comers[1]!.why).toMatchObject({ zh: expect.stringContaining("北京、天津、河北") as string, en: expect.stringContaining("Beijing, Tianjin, Hebei") as string });
  });
  test("says of pop-ups 1, 2 and 5 that a negative test does not clear them, and of pop-up 4 that it does", () => {
    const byRule = Map.groupBy(everyExplanation(pack), (flag) => flag.rule);
    for (const rule of ["affectedCounty", "portCounty", "stillInRiskCounty", "leftRiskCounty", "unverifiedComer", "unverifiedMovement"] as const) {
      for (const { clears } of byRule.get(rule)!) expect([clears.zh, clears.en]).toEqual([expect.stringContaining("核酸阴性结果不能解除"), expect.stringContaining("A negative test does not clear it")]);
    }
    for (const { clears } of byRule.get("isolation")!) expect([clears.zh, clears.en]).toEqual([expect.stringContaining("不能解除"), expect.stringMatching(/not clear it/)]);
    for (const rule of ["arrivalTest", "purchaseTest", "clinicTest", "obligationTest", "screeningTest", "samePrefectureTest"] as const) {
      for (const { clears } of byRule.get(rule)!) expect([clears.zh, clears.en]).toEqual([expect.stringContaining("立即解除"), expect.stringContaining("clears it at once")]);
    }
  });
});

describe("parameters in words follow the pack", () => {
  const changed = (from: string, to: string): PolicyPack => {
    expect(beijingPackText()).toContain(from);
    return parsePack(beijingPackText().replaceAll(from, to), "changed.yaml");
  };
  const of = (rule: Rule, from: PolicyPack): FlagExplanation[] => everyExplanation(from).filter((flag) => flag.rule === rule);

  test("pop-up 1 says 14 days before 2022-07-16 and 7 from then on", () => {
    const says = (text: string): number[] => [...text.matchAll(/(\d+) (?:full )?days/g)].map((m) => Number(m[1]));
    const byDate = Map.groupBy(of("affectedCounty", pack), (flag) => flag.policyFrom);
    for (const [from, flags] of byDate) {
      const windowDays = from < day("2022-07-16") ? 14 : 7;
      for (const flag of flags) {
        expect(new Set([...says(flag.why.en), ...says(flag.clears.en)])).toEqual(new Set([windowDays]));
        expect([flag.why.zh, flag.clears.zh].every((text) => text.includes(`${windowDays}天`))).toBe(true);
      }
    }
  });
  test("a pack with a window of 9 days and tests within 48 hours says so, and nothing of 14 and 72", () => {
    const other = changed("windowDays: 14", "windowDays: 9");
    const tighter = changed("withinHours: 72", "withinHours: 48");
    for (const rule of ["affectedCounty", "portCounty", "stillInRiskCounty", "leftRiskCounty", "unverifiedComer", "unverifiedMovement", "prefectureMark", "samePrefectureTest"] as const) {
      for (const { why, clears } of of(rule, other).filter((flag) => flag.policyFrom < day("2022-07-16"))) {
        for (const text of [`${why.zh}${clears.zh}`, `${why.en}${clears.en}`]) expect(text).toContain("9");
        for (const text of [`${why.zh}${clears.zh}`, `${why.en}${clears.en}`]) expect(text).not.toContain("14");
      }
    }
    for (const rule of ["arrivalTest", "purchaseTest", "clinicTest"] as const) {
      for (const { why } of of(rule, tighter)) {
        expect([why.zh, why.en]).toEqual([expect.stringContaining("48小时"), expect.stringContaining("48 hours")]);
        expect(why.zh + why.en).not.toContain("72");
      }
    }
  });
  test("held areas are named only where the rule counts them", () => {
    const byDate = Map.groupBy(of("affectedCounty", pack), (flag) => flag.policyFrom);
    expect(byDate.get(day("2021-10-24"))!.some((flag) => flag.why.zh.includes("中高风险地区"))).toBe(false);
    expect(byDate.get(day("2021-10-30"))!.every((flag) => flag.why.zh.includes("中高风险地区"))).toBe(true);
  });
  const crossings: [string, Change<"crossing">, number][] = [
    ["at Beijing in 2021", { at: at("2021-03-01T10:00:00") }, 21],
    ["at Beijing in May 2022", {}, 17],
    ["at Beijing without a suitable home", { homeSuitable: false }, 14],
    ["elsewhere in May 2022", { port: 310115 }, 14],
    ["in July 2022", { at: at("2022-07-10T10:00:00") }, 7],
    ["from Macau in the fortnight of 2021-10-09", { at: at("2021-10-10T10:00:00"), origin: "MAC" }, 14],
  ];
  test.each(crossings)("the days of isolation that are said are those until its end: %s", (_, change, count) => {
    const crossing = FACTS.crossing(change);
    const [flag] = explained([crossing], { when: crossing.at }).flags;
    expect(flag!.why.en).toContain(`${count} full days`);
    expect(flag!.why.zh).toContain(`${count}天`);
    expect(dayOf(flag!.endsAt!)).toBe(dayOf(crossing.at) + count + 1);
  });
  test("an exemption that a test can still give is told to those from there alone", () => {
    const clears = (origin: string): string => explained([FACTS.crossing({ origin })], { when: at("2022-06-02T00:00:00") }).flags[0]!.clears.en;
    expect(clears("MAC")).toContain("168 hours");
    expect(clears("DEU")).not.toContain("hours");
  });
  test("a link of a level that is isolated says how and asks no tests; any other names the days of its tests", () => {
    const link = (level: string | null): FlagExplanation => explained([FACTS.finding({ level })], { when: day("2022-06-02") }).flags[0]!;
    expect(link("high").why.zh).toContain("集中隔离");
    expect(link("medium").why.zh).toContain("居家隔离");
    expect(link("high").clears.en).not.toMatch(/\d{4}/);
    expect(link("high").clears.en).toContain("7 full days");
    for (const level of [TELL_TALE.level, null]) {
      expect(link(level).why.zh).not.toContain("隔离");
      for (const language of LANGUAGES) expect(link(level).clears[language].match(/2022-\d\d-\d\d/g)).toEqual(["2022-06-02", "2022-06-03", "2022-06-05", "2022-06-08"]);
    }
  });
  test("laboratories that the rule names are spoken of where there are any", () => {
    const named = changed("arbiters: []", "arbiters: [lab-9]");
    expect(of("unsettledPositive", pack).some((flag) => flag.clears.en.includes("that the rule names"))).toBe(false);
    expect(of("unsettledPositive", named).every((flag) => flag.clears.en.includes("that the rule names"))).toBe(true);
    expect(JSON.stringify(of("unsettledPositive", named))).not.toContain("lab-9");
  });
  test("a purchase before its rule counts from the rule's beginning", () => {
    const [flag] = explained([FACTS.purchase({ at: at("2022-01-12T10:00:00") })], { when: day("2022-01-26") }).flags;
    expect(flag!.why.en).toContain("2022-01-23T00:00:00+08:00");
    expect(flag!.state).toBe("active");
  });
});

describe("state and end of a flag", () => {
  const stateAt = (when: number, change: Partial<FlagReason> = {}): FlagExplanation => explain({ verdict: verdictOf([reason(change)]), pack, at: when }).flags[0]!;
  const [from, until] = [day("2022-06-04"), day("2022-06-10")];

  test("one second before it begins it is to come, as it begins active", () => {
    expect(stateAt(from - 1)).toMatchObject({ state: "coming", since: from, endsAt: until });
    expect(stateAt(from)).toMatchObject({ state: "active", since: from, endsAt: until });
  });
  test("one second before its end it is active, at its end past", () => {
    expect(stateAt(until - 1)).toMatchObject({ state: "active", endsAt: until });
    expect(stateAt(until)).toMatchObject({ state: "past", since: from, endsAt: until });
  });
  test("the end of the policies and FOREVER are no end; one second before the end of the policies is", () => {
    expect(stateAt(from, { until: pack.validity.until }).endsAt).toBeNull();
    expect(stateAt(from, { until: FOREVER }).endsAt).toBeNull();
    expect(stateAt(from, { until: pack.validity.until - 1 }).endsAt).toBe(pack.validity.until - 1);
  });
  test("reasons of one rule on the same facts that touch are one, explained by the policy of the instant; a gap of a second parts them", () => {
    const cut = day("2022-07-16");
    const first = reason({ flag: "popup-1", rule: "affectedCounty", policyFrom: day("2021-10-30"), facts: [FACTS.trip()], from: day("2022-07-10"), until: cut });
    const second = { ...first, policyFrom: cut, from: cut, until: day("2022-07-20") };
    const joined = (when: number): readonly FlagExplanation[] => explain({ verdict: verdictOf([second, first]), pack, at: when }).flags;
    expect(joined(cut - 1)).toMatchObject([{ since: first.from, endsAt: second.until, policyFrom: first.policyFrom, state: "active" }]);
    expect(joined(cut)).toMatchObject([{ since: first.from, endsAt: second.until, policyFrom: cut, state: "active" }]);
    expect(joined(first.from - 1)).toMatchObject([{ policyFrom: first.policyFrom, state: "coming" }]);
    expect(joined(second.until)).toMatchObject([{ policyFrom: cut, state: "past" }]);
    const parted = explain({ verdict: verdictOf([{ ...second, from: cut + 1 }, first]), pack, at: cut }).flags;
    expect(parted.map((flag) => [flag.state, flag.since, flag.endsAt])).toEqual([["coming", cut + 1, second.until], ["past", first.from, cut]]);
  });
  test("the same stay told by two phones is one explanation, another stay one of its own", () => {
    const regions = riskOf({ 310115: { held: [{ from: day("2022-06-01"), until: FOREVER }], infections: [] } });
    const stay = FACTS.trip();
    const again = FACTS.trip({ source: "other", told: { subject: "other phone", fact: "other" }, revision: 2, knownFrom: 5 });
    expect(explained([stay, again], { regions, when: day("2022-06-05") }).flags).toHaveLength(1);
    const later = FACTS.trip({ from: at("2022-06-04T08:00:00"), to: at("2022-06-04T20:00:00") });
    expect(explained([stay, later], { regions, when: day("2022-06-05") }).flags.map((flag) => flag.endsAt)).toEqual([day("2022-06-18"), day("2022-06-19")]);
  });
  test("active ones stand first, then those to come, then those past; within by their beginning", () => {
    const when = day("2022-06-10");
    const interval = (a: string, b: string): Interval => ({ from: day(a), until: day(b) });
    const flags = explain({
      verdict: verdictOf([
        reason({ ...interval("2022-06-01", "2022-06-02") }),
        reason({ ...interval("2022-06-20", "2022-06-21") }),
        reason({ ...interval("2022-06-08", "2022-06-12"), flag: "popup-2", rule: "isolation", policyFrom: day("2022-05-04"), facts: [FACTS.crossing()] }),
        reason({ ...interval("2022-06-15", "2022-06-16") }),
        reason({ ...interval("2022-06-05", "2022-06-13") }),
      ]),
      pack,
      at: when,
    }).flags;
    expect(flags.map((flag) => `${flag.state} ${formatDay(dayOf(flag.since))}`)).toEqual(["active 2022-06-05", "active 2022-06-08", "coming 2022-06-15", "coming 2022-06-20", "past 2022-06-01"]);
  });
  test("the unnumbered pop-up ends as pop-ups get numbers, and says under which it goes on", () => {
    const link = FACTS.finding({ from: at("2022-02-05T15:00:00") });
    const { flags } = explained([link], { when: day("2022-02-11") });
    expect(flags.map(({ flag, state, endsAt }) => ({ flag, state, endsAt }))).toEqual([
      { flag: "popup-0", state: "active", endsAt: day("2022-02-12") },
      { flag: "popup-3", state: "coming", endsAt: null },
    ]);
    expect(flags[0]!.clears).toMatchObject({ zh: expect.stringContaining("弹窗3") as string, en: expect.stringContaining("Pop-up 3") as string });
    expect(flags[1]!.clears.en).not.toContain("goes on");
  });
  test("the order of reasons never matters", () => {
    const reasons = everyRule();
    const input = { pack, at: day("2022-06-05") };
    expect(explain({ ...input, verdict: verdictOf(reasons.toReversed()) })).toEqual(explain({ ...input, verdict: verdictOf(reasons) }));
  });
  test("a verdict of another pack is refused, and the rule named", () => {
    const other = reason({ policyFrom: day("2021-01-05") });
    expect(() => explain({ verdict: verdictOf([other]), pack, at: day("2022-06-05") })).toThrow(/arrivalTest.*2021-01-05/);
  });

  function everyRule(): FlagReason[] {
    const flagOf = (rule: Rule): Flag => FLAGS[RULES.indexOf(rule) % FLAGS.length]!;
    return RULES.flatMap((rule) => GROUNDS[rule].map((facts) => reason({ flag: flagOf(rule), rule, facts, policyFrom: pack.spans[rule][0]!.from })));
  }
});

describe("facts", () => {
  test("are told by kind, first day, county and its name", () => {
    const regions = riskOf({ 310115: { held: [{ from: day("2022-06-01"), until: FOREVER }], infections: [] } });
    const [flag] = explained([FACTS.trip()], { regions, when: day("2022-06-05") }).flags;
    expect(flag!.facts).toEqual([
      {
        kind: "trip",
        day: "2022-06-01",
        county: "310115",
        countyName: "上海市浦东新区",
        text: { zh: "旅居史：上海市浦东新区（310115），2022-06-01至2022-06-03。", en: "Stay in county 310115 (Shanghai) from 2022-06-01 to 2022-06-03." },
      },
    ]);
  });
  test("the county of a laboratory is not told", () => {
    const [flag] = explained([FACTS.test({ result: "positive" })], { when: day("2022-06-05") }).flags;
    expect(flag!.facts).toMatchObject([{ kind: "test", day: "2022-06-01", county: null, countyName: null }]);
  });
  test("days are Beijing days", () => {
    const [flag] = explained([FACTS.crossing({ at: at("2022-06-01T23:59:59") })], { when: day("2022-06-05") }).flags;
    expect(flag!.facts[0]!.day).toBe("2022-06-01");
  });
});

describe("what is said beforehand", () => {
  const notes = (verdict: Verdict, when: number, asKnownAt?: boolean): readonly Words[] => explain({ verdict, pack, at: when, ...(asKnownAt === undefined ? {} : { asKnownAt }) }).notes;
  const inForce = day("2022-06-05");

  test("nothing is against a holder without flags, with a mark alone, before a flag begins and after it has ended", () => {
    const mark = reason({ flag: "commuter", rule: "commuterMark", policyFrom: day("2022-05-05"), facts: [FACTS.test(), FACTS.commuting()] });
    expect(notes(verdictOf([]), inForce)).toEqual([NOTES.nothing]);
    expect(notes(verdictOf([mark]), inForce)).toEqual([NOTES.nothing]);
    expect(notes(verdictOf([reason()]), day("2022-06-04") - 1)).toEqual([NOTES.nothing]);
    expect(notes(verdictOf([reason()]), day("2022-06-10"))).toEqual([NOTES.nothing]);
    expect(notes(verdictOf([reason()]), day("2022-06-04"))).toEqual([]);
  });
  test("a holder nobody has told us of is told so, and never that nothing is against them", () => {
    const verdict = createEvaluator(pack, noRisk).evaluate({ registered: false, facts: [] });
    const explanation = explain({ verdict, pack, at: inForce });
    expect(explanation).toMatchObject({ registered: false, notes: [NOTES.unregistered], flags: [{ flag: "unconfirmed", rule: "unregistered", endsAt: null, facts: [] }] });
  });
  test("outside every policy: one second before the first and at the end of the last, but not within", () => {
    expect(notes(verdictOf([]), pack.validity.from - 1)).toEqual([NOTES.noPolicy]);
    expect(notes(verdictOf([]), pack.validity.from)).toEqual([NOTES.nothing]);
    expect(notes(verdictOf([]), pack.validity.until - 1)).toEqual([NOTES.nothing]);
    expect(notes(verdictOf([]), pack.validity.until)).toEqual([NOTES.noPolicy]);
  });
  test("a past decision says first that it is what was known then", () => {
    expect(notes(verdictOf([]), inForce, true)).toEqual([NOTES.asKnownAt, NOTES.nothing]);
    expect(notes(verdictOf([]), inForce, false)).toEqual([NOTES.nothing]);
  });
  test("and then, where it rests on history, since when that counts as known; in both languages", () => {
    const explanation = explain({ verdict: verdictOf([]), pack, at: inForce, asKnownAt: true, restsOnHistory: true });
    expect(explanation.notes).toEqual([NOTES.asKnownAt, NOTES.restsOnHistory, NOTES.nothing]);
    for (const language of LANGUAGES) expect(explanationText(explanation, language)).toContain(NOTES.restsOnHistory[language]);
  });
  test("the newest negative test and the age of the shown one", () => {
    const { newestNegative, shownTest } = explained([FACTS.test()], { when: at("2022-06-03T00:00:00") });
    expect(newestNegative).toEqual({ sampledAt: at("2022-06-01T09:00:00"), issuedAt: at("2022-06-01T18:00:00") });
    expect(shownTest).toEqual({ effectiveDay: "2022-06-01", ageDays: 2 });
    expect(explained([FACTS.test()], { when: at("2022-06-01T17:59:59") }).shownTest).toBeNull();
  });
  test("a rule that lacks data is told of while it is in force", () => {
    const incomplete = (when: number): Rule[] => explain({ verdict: verdictOf([]), pack, at: when }).incompleteRules.map((r) => r.rule);
    expect(incomplete(inForce)).toEqual(["portCounty"]);
    expect(incomplete(day("2022-07-16") - 1)).toEqual(["portCounty"]);
    expect(incomplete(day("2022-07-16"))).toEqual([]);
  });
});

describe("as lines for a terminal", () => {
  const crossing = FACTS.crossing();
  const link = FACTS.finding();
  const explanation = explained([crossing, link, FACTS.test()], { when: day("2022-06-05") });

  test("each flag has its name, beginning, end, cause, clearing, whom to turn to, rule and facts", () => {
    const lines = explanationText(explanation, "en");
    expect(lines).toEqual(
      expect.arrayContaining([
        "Asked about: 2022-06-05T00:00:00+08:00",
        "Pop-up 2 [active]",
        "  Ends by itself: 2022-06-19T00:00:00+08:00",
        "Pop-up 3 [active]",
        "  Ends by itself: no",
        "  Rule: isolation, The age of the test is shown; isolation of 10 and 7 days after entry, in force from 2022-05-04T00:00:00+08:00",
      ]),
    );
    expect(lines.filter((line) => /^ {2}(Why|What clears it|Whom to turn to|Rule|Fact): \S/.test(line))).toHaveLength(10);
    expect(lines).toContain("The age of the shown test counts from: 2022-06-01");
  });
  test("no line holds a tell-tale value but the authority, nor what should have been a value; Chinese holds Chinese and English none", () => {
    for (const language of LANGUAGES) {
      const text = explanationText(explanation, language).join("\n");
      for (const value of [...Object.values(TELL_TALE), "undefined", "null", "NaN", "[object"]) expect(text).not.toContain(value);
      expect(text.includes(AUTHORITY)).toBe(true);
      expect(/\p{Script=Han}/u.test(text)).toBe(language === "zh");
    }
  });
  test("what lasted to the end of the rules is said to have ended with them", () => {
    const lines = explanationText(explained([link], { when: pack.validity.until }), "en");
    expect(lines).toContain("  Ended: with the rules");
    expect(lines[1]).toBe(NOTES.noPolicy.en);
  });
  test("a mark that restricts nobody is not said to be cleared", () => {
    const text = explanationText(explained([FACTS.test(), FACTS.commuting()], { when: day("2022-06-03") }), "en").join("\n");
    expect(text).toContain("What ends it: ");
    expect(text).not.toContain("What clears it: ");
  });
});
