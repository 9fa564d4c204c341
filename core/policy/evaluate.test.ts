import fc from "fast-check";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { describe, expect, test } from "vitest";
import { documentKey, factKey, phoneKey } from "../../test/keys.ts";
import { shuffled, temporaryFolder } from "../../test/support.ts";
import {
  CLEARABLE,
  clip,
  contains,
  countiesOfPrefecture,
  currentCounties,
  DRUG_CLASSES,
  FINDING_KINDS,
  FLAGS,
  FOREVER,
  formatInstant,
  keyText,
  parseInstant,
  prefectureKey,
  RESTRICTING,
  RULES,
  startOfDay,
  SYMPTOMS,
  TEST_RESULTS,
  timedFlags,
  union,
  windowEnd,
  type CountyCode,
  type CountyRisk,
  type Declaration,
  type Fact,
  type FactKey,
  type FactKind,
  type Flag,
  type HolderEvidence,
  type Instant,
  type Interval,
  type LocalInfection,
  type RegionDifference,
  type RegionHistory,
  type Screening,
  type SubjectKey,
  type Test,
  type TimedFlag,
  type Trip,
  type Verdict,
} from "../domain/index.ts";
import { encodeEntry, entryFault, entryOf, readEntryAt, type EntryState } from "../entry/index.ts";
import { openEvidenceWriter } from "../evidence/index.ts";
import { createEvaluator } from "./evaluate.ts";
import { beijingPack, parsePack } from "./pack.ts";
import { createRetention } from "./retention.ts";

const at = (text: string): number => parseInstant(`${text}+08:00`)!;
const HOUR = 3600;
const DAY = 24 * HOUR;
/** With one county that has a land-border port, so that pop-up 5 can show. */
const pack = { ...beijingPack(), portCounties: [231081] };
const NOTHING_KNOWN: RegionHistory = { generation: () => 0, risk: () => undefined, screenings: () => [] };

const base = { source: "source", revision: 1, knownFrom: 0 };
const named = { authority: "authority", ground: "" };
const trip = (change: Partial<Trip> = {}): Trip => ({ ...base, kind: "trip", county: 310115, from: at("2022-06-01T08:00:00"), to: null, ...change });
const labTest = (change: Partial<Test> = {}): Test => ({
  ...base, kind: "test", sampledAt: at("2022-06-01T09:00:00"), issuedAt: at("2022-06-01T18:00:00"), result: "negative", laboratory: "lab-1", county: 110105, uploaded: false, ...change,
});
const declaration = (text: string): Declaration => ({ ...base, kind: "declaration", at: at(text) });

// --- Random histories: a season of some weeks anywhere in three years, or across the beginning of a policy; whole hours, so that edges meet ---

/** Instants are drawn as seconds since the season began, and placed with it. */
type Placed<T> = (season: Instant) => T;

interface History {
  readonly by: Readonly<Record<CountyCode, CountyRisk>>;
  readonly screenings: readonly Screening[];
  readonly registered: boolean;
  readonly facts: readonly Fact[];
}

const FACT_KINDS = Object.keys({
  trip: 0,
  test: 0,
  finding: 0,
  crossing: 0,
  purchase: 0,
  "clinic-visit": 0,
  commuting: 0,
  report: 0,
  declaration: 0,
  obligation: 0,
  residence: 0,
  vaccination: 0,
  clearance: 0,
  refutation: 0,
} satisfies Record<FactKind, 0>);

/** The city, Shanghai, an older code and what became of it, one that was parted, a border port, Tianjin. */
const COUNTIES = [110105, 110106, 310115, 310104, 320684, 320614, 320613, 330104, 330102, 231081, 120101] as const;
/** Risk is told of current codes. */
const RISKY = [110106, 310115, 310115, 310104, 320614, 330102, 120101] as const;
const FACTS_MAX = 20;
const FACT_KEYS = Array.from({ length: FACTS_MAX + 10 }, (_, i) => factKey(i));
const PHONES = [phoneKey(1), phoneKey(2)];
const DOCUMENTS = [documentKey(1), documentKey(2)] as const;
const TIMES = [0, 6 * HOUR - 1, 6 * HOUR, 12 * HOUR, DAY - 1];

const clockTime = (n: number): number => Math.floor(n / TIMES.length) * DAY + TIMES[n % TIMES.length]!;
const soon = fc.nat({ max: 45 * TIMES.length - 1 }).map(clockTime);
/** Before the season, or early in it: for what lasts. */
const early = fc.integer({ min: -500, max: 20 }).map((day) => day * DAY);
const lengthS = fc.oneof(fc.constant(null), fc.nat({ max: 25 }).map((days) => days * DAY));
const county = fc.constantFrom(...COUNTIES);
const ends = (from: number, length: number | null): number | null => (length === null ? null : from + length);
const hours = (...list: number[]): fc.Arbitrary<number> => fc.constantFrom(...list).map((h) => h * HOUR);

const trips = fc
  .record({ county, from: fc.oneof({ weight: 5, arbitrary: soon }, early), length: lengthS, phone: fc.constantFrom(...PHONES) })
  .map(({ county, from, length, phone }): Placed<Trip> => (season) => trip({ county, from: season + from, to: ends(season + from, length), told: { subject: keyText(phone), fact: "" } }));
const tests = fc
  .record({
    sampled: soon,
    issuedAfter: hours(0, 6, 24, 24, 100, 500),
    result: fc.constantFrom(...TEST_RESULTS, "negative" as const, "negative" as const),
    laboratory: fc.constantFrom("lab-1", "lab-2", ""),
    county: fc.constantFrom(null, 110105, 310115),
    uploaded: fc.boolean(),
  })
  .map(({ sampled, issuedAfter, ...rest }): Placed<Test> => (season) => labTest({ ...rest, sampledAt: season + sampled, issuedAt: season + sampled + issuedAfter }));
const findings = fc
  .record({ finding: fc.constantFrom(...FINDING_KINDS), level: fc.constantFrom(null, "high", "medium", "other"), from: soon, length: lengthS })
  .map(({ from, length, ...rest }): Placed<Fact> => (season) => ({ ...base, ...named, kind: "finding", ...rest, from: season + from, until: ends(season + from, length) }));
const crossings = fc
  .record({ at: soon, port: fc.constantFrom(110105, 310115), origin: fc.constantFrom("MAC", "MAC", "HKG", "USA"), homeSuitable: fc.boolean() })
  .map(({ at, ...rest }): Placed<Fact> => (season) => ({ ...base, kind: "crossing", at: season + at, ...rest }));
const purchases = fc
  .record({ at: soon, drugClass: fc.constantFrom(...DRUG_CLASSES), county: fc.constantFrom(110105, 110105, 310115) })
  .map(({ at, ...rest }): Placed<Fact> => (season) => ({ ...base, kind: "purchase", at: season + at, ...rest }));
const visits = fc.record({ at: soon, symptom: fc.constantFrom(...SYMPTOMS) }).map(({ at, symptom }): Placed<Fact> => (season) => ({ ...base, kind: "clinic-visit", at: season + at, symptom }));
const commuting = fc
  .record({ from: early, length: lengthS })
  .map(({ from, length }): Placed<Fact> => (season) => ({ ...base, kind: "commuting", from: season + from, until: ends(season + 30 * DAY, length) }));
const reports = soon.map((from): Placed<Fact> => (season) => ({ ...base, kind: "report", at: season + from }));
const declarations = soon.map((from): Placed<Fact> => (season) => ({ ...base, kind: "declaration", at: season + from }));
const obligations = fc
  .record({ at: soon, everyDays: fc.constantFrom(null, 1, 2, 3, 7), length: lengthS })
  .map(({ at, everyDays, length }): Placed<Fact> => (season) => ({ ...base, kind: "obligation", duty: "courier", at: season + at, everyDays, until: ends(season + at, length) }));
const residences = fc
  .record({ county: fc.constantFrom(110105, 320684, 320614, 330104), from: early, length: lengthS })
  .map(({ county, from, length }): Placed<Fact> => (season) => ({ ...base, kind: "residence", county, from: season + from, until: ends(season + 10 * DAY, length) }));
const vaccinations = soon.map((from): Placed<Fact> => (season) => ({ ...base, kind: "vaccination", at: season + from, dose: 2, product: "Vaccine A" }));
const clearances = fc
  .record({ clears: fc.constantFrom(...CLEARABLE), at: soon })
  .map(({ clears, at }): Placed<Fact> => (season) => ({ ...base, ...named, kind: "clearance", clears, at: season + at }));
const refutations = fc
  .record({
    subject: fc.constantFrom(null, ...PHONES, ...DOCUMENTS),
    fact: fc.option(fc.constantFrom(...FACT_KEYS.slice(0, FACTS_MAX)), { freq: 2 }),
    county: fc.option(county),
    from: fc.option(soon),
    length: lengthS,
  })
  .filter((r) => r.subject !== null || r.fact !== null)
  .map(({ subject, fact, county, from, length }): Placed<Fact> => (season) => ({
    ...base,
    ...named,
    kind: "refutation",
    subject: subject && keyText(subject),
    fact: fact && keyText(fact),
    county,
    from: from === null ? null : season + from,
    to: length === null ? null : season + (from ?? 0) + length,
    at: season + 45 * DAY,
  }));

/** Facts that only together do something: a link with some of the tests that it asks for; somebody from beside a risk who declares a trip. */
const linkChecks = fc
  .record({ day: fc.nat({ max: 15 }), tested: fc.subarray([1, 2, 4, 7], { minLength: 3 }), level: fc.constantFrom(null, "other", "high"), cleared: fc.constantFrom(1, 5, 20), late: hours(0, 6, 100) })
  .map(({ day, tested, level, cleared, late }): Placed<Fact>[] => [
    (season) => ({ ...base, ...named, kind: "finding", finding: "risk-link", level, from: season + day * DAY + HOUR, until: null }),
    (season) => ({ ...base, ...named, kind: "clearance", clears: "popup-3", at: season + (day + cleared) * DAY }),
    ...tested.map((d): Placed<Fact> => (season) => labTest({ sampledAt: season + (day + d) * DAY + HOUR, issuedAt: season + (day + d) * DAY + HOUR + late })),
  ]);
const comers = fc
  .record({ from: soon, length: hours(0, 24, 240), declaredAfter: hours(0, 24, 240), testBefore: hours(-30, 0, 47, 48, 49) })
  .map(({ from, length, declaredAfter, testBefore }): Placed<Fact>[] => {
    const declared = from + length + declaredAfter;
    return [
      (season) => trip({ county: 310104, from: season + from, to: season + from + length }),
      (season) => ({ ...base, kind: "declaration", at: season + declared }),
      (season) => labTest({ sampledAt: season + declared - testBefore, issuedAt: season + declared - testBefore }),
    ];
  });
const single = fc.oneof(
  { weight: 5, arbitrary: trips },
  { weight: 5, arbitrary: tests },
  { weight: 2, arbitrary: findings },
  { weight: 2, arbitrary: crossings },
  { weight: 2, arbitrary: obligations },
  { weight: 2, arbitrary: declarations },
  { weight: 2, arbitrary: clearances },
  vaccinations,
  purchases,
  visits,
  commuting,
  reports,
  residences,
  refutations,
);
const placedFacts = fc
  .array(fc.oneof({ weight: 12, arbitrary: single.map((one) => [one]) }, linkChecks, { weight: 2, arbitrary: comers }), { maxLength: 16, size: "max" })
  .map((groups) => groups.flat().slice(0, FACTS_MAX));

const areas = fc.record({ county: fc.constantFrom(...RISKY), from: soon, days: fc.nat({ max: 20 }) });
const infections = fc.record({ county: fc.constantFrom(...RISKY), day: fc.nat({ max: 40 }), lateS: hours(0, 0, 5, 72) });
const rounds = fc.record({ county: fc.constantFrom(110105, 320614), day: fc.nat({ max: 30 }), count: fc.constantFrom(1, 3), lateS: hours(0, 0, 200) });

const many = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(one, { maxLength: 5, size: "max" });

const POLICY_STARTS = pack.policies.map((p) => p.from);
const season = fc.oneof(
  fc.nat({ max: 1010 }).map((days) => at("2020-03-01T00:00:00") + days * DAY),
  fc.tuple(fc.constantFrom(...POLICY_STARTS), fc.nat({ max: 30 })).map(([start, days]) => start - days * DAY),
);

const histories: fc.Arbitrary<History> = fc
  .record({ season, areas: many(areas), infections: many(infections), rounds: many(rounds), registered: fc.boolean(), placedFacts })
  .map(({ season, areas, infections, rounds, registered, placedFacts }) => {
    const by: Record<CountyCode, { held: Interval[]; infections: LocalInfection[] }> = {};
    const of = (code: CountyCode): { held: Interval[]; infections: LocalInfection[] } => (by[code] ??= { held: [], infections: [] });
    for (const { county, from, days } of areas) of(county).held = union([...of(county).held, { from: season + from, until: season + from + days * DAY }]);
    for (const { county, day, lateS } of infections) {
      const start = season + day * DAY;
      of(county).infections.push({ county, day: (start + 8 * HOUR) / DAY, count: 1, knownFrom: start + lateS });
    }
    const screenings = rounds.map(({ county, day, count, lateS }): Screening => {
      const start = season + day * DAY;
      return { county, rounds: Array.from({ length: count }, (_, i) => ({ from: start + 2 * i * DAY, until: start + (2 * i + 1) * DAY })), knownFrom: start + lateS };
    });
    const facts = placedFacts.map((place, i) => {
      const fact = place(season);
      return fact.kind === "trip" ? { ...fact, told: { subject: fact.told?.subject ?? keyText(PHONES[0]!), fact: keyText(FACT_KEYS[i]!) } } : fact;
    });
    return { by, screenings, registered, facts };
  });

const HISTORIES = 10_000;
/** Each property draws other histories, and the same ones in every run. */
const runs = (seed: number, numRuns = HISTORIES): { seed: number; numRuns: number } => ({ seed, numRuns });

function regionsOf({ by, screenings }: Pick<History, "by" | "screenings">): RegionHistory {
  return { generation: () => 0, risk: (code) => by[code], screenings: (code) => screenings.filter((s) => s.county === code) };
}

/** What of a history had become known of regions by an instant. */
function asKnownAt({ by, screenings, ...rest }: History, known: Instant): History {
  const counties = Object.entries(by).map(([code, { held, infections }]): [string, CountyRisk] => [
    code,
    { held: held.filter((i) => i.from <= known).map(({ from, until }) => ({ from, until: until > known ? FOREVER : until })), infections: infections.filter((i) => i.knownFrom <= known) },
  ]);
  return { ...rest, by: Object.fromEntries(counties), screenings: screenings.filter((s) => s.knownFrom <= known) };
}

/** Many numbers out of one, for shuffles. */
const numbersOf = (seed: number): number[] => Array.from({ length: 64 }, (_, i) => Math.imul(seed + i * 40_503, 2_654_435_761) >>> 0);

const evaluatorOf = (history: Pick<History, "by" | "screenings">): ((of: HolderEvidence) => Verdict) => evaluateWith(regionsOf(history));
function evaluateWith(regions: RegionHistory): (of: HolderEvidence) => Verdict {
  const evaluator = createEvaluator(pack, regions);
  return (of) => evaluator.evaluate(of);
}

/** What a verdict says, whatever the order of its reasons. */
const essence = (v: Verdict): object => ({ registered: v.registered, flags: timedFlags(v.reasons), negatives: v.negatives, shownTests: v.shownTests });
/** `expect` alone is slow: it is asked only when there is something to show. */
function expectSame(actual: object, expected: object): void {
  if (!isDeepStrictEqual(actual, expected)) expect(actual).toEqual(expected);
}
/** Where a verdict restricts and another doesn't, at any instant. */
function restrictsMore(one: Verdict, other: Verdict): TimedFlag[] {
  const allowed = timedFlags(other.reasons);
  const isAllowed = (t: TimedFlag): boolean => allowed.some((a) => a.flag === t.flag && a.from <= t.from && t.until <= a.until);
  return timedFlags(one.reasons).filter((t) => RESTRICTING.includes(t.flag) && !isAllowed(t));
}

/** What the verdict itself says at an instant, in the words of an entry's state. */
function stateOf({ reasons, shownTests, negatives }: Verdict, asked: Instant): EntryState {
  const isActive = (flag: Flag): boolean => reasons.some((r) => r.flag === flag && contains(r, asked));
  return {
    flags: FLAGS.reduce((bits, flag, i) => (isActive(flag) ? bits | (1 << i) : bits), 0),
    incomplete: false,
    shownDay: shownTests.findLast((step) => step.from <= asked)?.effectiveDay ?? null,
    issuedAt: negatives.find((t) => t.issuedAt <= asked)?.issuedAt ?? 0,
  };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach((inner: unknown) => deepFreeze(inner));
  }
  return value;
}

describe("the random histories", () => {
  test("hold every kind of fact, and every rule raises something in them, in every year", () => {
    const kinds = new Set<string>();
    const rules = new Set<string>();
    const years = new Set<string>();
    for (const history of fc.sample(histories, runs(1))) {
      for (const fact of history.facts) kinds.add(fact.kind);
      for (const reason of evaluatorOf(history)(history).reasons) {
        rules.add(reason.rule);
        years.add(formatInstant(reason.from).slice(0, 4));
      }
    }
    expect([...kinds].sort()).toEqual([...FACT_KINDS].sort());
    expect([...rules].sort()).toEqual([...RULES].sort());
    expect([...years].sort()).toEqual(["2020", "2021", "2022"]);
  });
});

describe("evaluation", () => {
  test("the order and the repetition of facts never change a verdict, nor does the order of what is known of regions", () => {
    fc.assert(
      fc.property(histories, fc.nat(), (history, seed) => {
        const { registered, facts, by, screenings } = history;
        const numbers = numbersOf(seed);
        const mixedRisk = Object.entries(by).map(([code, risk]): [string, CountyRisk] => [code, { ...risk, infections: shuffled([...risk.infections, ...risk.infections], numbers) }]);
        const mixed = evaluatorOf({ by: Object.fromEntries(mixedRisk), screenings: shuffled(screenings, numbers) });
        expectSame(essence(mixed({ registered, facts: shuffled([...facts, ...facts], numbers) })), essence(evaluatorOf(history)({ registered, facts })));
      }),
      runs(2),
    );
  });
  test("splitting never changes a verdict: told in parts, with revisions that are outdone before or after, the highest of each fact says it all", () => {
    fc.assert(
      fc.property(histories, fc.nat(), fc.integer({ min: 2, max: 4 }), (history, seed, parts) => {
        const { registered, facts } = history;
        const evaluate = evaluatorOf(history);
        const deliveries = shuffled(retold(facts), numbersOf(seed));
        let told: Told[] = [];
        for (let part = 0; part < parts; part++) {
          told = [...told, ...deliveries.filter((_, i) => i % parts === part)];
          evaluate({ registered, facts: holding(told) });
        }
        expectSame(essence(evaluate({ registered, facts: holding(told) })), essence(evaluatorOf(history)({ registered, facts })));
      }),
      runs(3),
    );
  });
  test("splitting never changes a verdict, through a real store: parts in transactions of their own, trips told of two phones, two holders joined late", async () => {
    await fc.assert(
      fc.asyncProperty(histories, fc.nat(), async (history, seed) => {
        const store = openEvidenceWriter(join(temporaryFolder(), "evidence"));
        const [document, other] = DOCUMENTS;
        const numbers = numbersOf(seed);
        const deliveries = shuffled(retold(history.facts), numbers);
        for (let part = 0; part < 3; part++) {
          store.transaction(() => {
            if (part === numbers[0]! % 3) store.putHolder([document], PHONES, { knownFrom: 0 });
            for (const { index, fact } of deliveries.filter((_, i) => i % 3 === part)) store.putFact(subjectOf(fact, index, [document, other]), keyOf(fact, index), fact);
          });
        }
        store.transaction(() => store.putHolder([document, other], [], { knownFrom: 0 }));
        const { evidence } = store.holder(store.holdersOf(other)[0]!);
        const evaluate = evaluatorOf(history);
        expect(essence(evaluate(evidence))).toEqual(essence(evaluate({ ...history, registered: true })));
        await store.close();
      }),
      runs(4, 100),
    );
  });
  test("more negative tests never add a flag that restricts, at any instant: late or early, issued long after the sample, by any laboratory", () => {
    const negatives = fc.array(fc.record({ sampled: soon, issuedAfter: hours(0, 0, 6, 24, 100, 500), laboratory: fc.constantFrom("lab-1", "lab-2", ""), isAnywhere: fc.boolean() }), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(histories, negatives, (history, more) => {
        const { registered, facts } = history;
        const evaluate = evaluatorOf(history);
        const begun = Math.min(FOREVER, ...facts.flatMap((f) => ("at" in f ? [f.at] : f.kind === "test" ? [f.sampledAt] : [])));
        const added = more.map(({ sampled, issuedAfter, laboratory, isAnywhere }) => {
          const sampledAt = (begun === FOREVER ? POLICY_STARTS[7]! : begun - (isAnywhere ? 10 * DAY : 0)) + sampled;
          return labTest({ sampledAt, issuedAt: sampledAt + issuedAfter, laboratory });
        });
        const found = restrictsMore(evaluate({ registered, facts: [...facts, ...added] }), evaluate({ registered, facts }));
        if (found.length > 0) expect(found).toEqual([]);
      }),
      runs(5),
    );
  });
  test("a test that is found negative instead of not never adds one either, whichever it is", () => {
    fc.assert(
      fc.property(histories, fc.nat(), (history, which) => {
        const { registered, facts } = history;
        const evaluate = evaluatorOf(history);
        const tests = facts.filter((f) => f.kind === "test");
        const chosen = tests[which % tests.length];
        const better = facts.map((f): Fact => (f === chosen ? { ...chosen, result: "negative" } : f));
        const found = restrictsMore(evaluate({ registered, facts: better }), evaluate({ registered, facts }));
        if (found.length > 0) expect(found).toEqual([]);
      }),
      runs(6, 3000),
    );
  });
  test("the entry written before says at any later instant what evaluating says then, through the bytes", () => {
    const state: EntryState = { flags: -1, incomplete: true, shownDay: -1, issuedAt: -1 };
    const origin = { evidenceSequence: 1, policyId: 1, regionRevision: 1 };
    fc.assert(
      fc.property(histories, fc.nat({ max: 80 * DAY }), fc.array(fc.nat({ max: 90 * DAY }), { minLength: 3, maxLength: 3 }), (history, written, later) => {
        const verdict = evaluatorOf(history)(history);
        const edges = verdict.reasons.flatMap((r) => [r.from, r.until]).concat(verdict.shownTests.map((s) => s.from), verdict.negatives.map((t) => t.issuedAt));
        const writtenAt = Math.min(FOREVER - 100 * DAY, ...edges) - 5 * DAY + written;
        const bytes = encodeEntry(entryOf(verdict, origin, writtenAt));
        if (entryFault(bytes) !== undefined) expect(entryFault(bytes)).toBeUndefined();
        // Evaluated anew at that time: of evidence that is told again, in another order.
        const anew = evaluatorOf(history)({ ...history, facts: history.facts.toReversed() });
        for (const asked of [writtenAt, ...later.map((s) => writtenAt + s), ...edges.flatMap((e) => [e - 1, e])]) {
          if (asked < writtenAt) continue;
          readEntryAt(bytes, 0, asked, state);
          expectSame({ ...state, asked }, { ...stateOf(anew, asked), asked });
        }
      }),
      runs(7),
    );
  });
  test.each([
    ["65,535 intervals are all in the entry", 65_535, false],
    ["with one more it says that it is incomplete, and shows none", 65_536, true],
  ])("%s", (_, count, incomplete) => {
    const facts = Array.from({ length: count }, (_, i): Fact => ({ ...base, ...named, kind: "finding", finding: "key-place", level: null, from: at("2022-03-01T00:00:00") + i * 60, until: at("2022-03-01T00:00:30") + i * 60 }));
    const verdict = evaluateWith(NOTHING_KNOWN)({ registered: true, facts });
    const bytes = encodeEntry(entryOf(verdict, { evidenceSequence: 1, policyId: 1, regionRevision: 1 }, at("2022-03-01T00:00:00")));
    const state: EntryState = { flags: 0, incomplete: false, shownDay: null, issuedAt: 0 };
    for (const asked of [at("2022-03-01T00:00:00"), at("2022-03-01T00:00:30"), at("2022-03-10T00:00:00")]) {
      readEntryAt(bytes, 0, asked, state);
      expect(state).toEqual(incomplete ? { flags: 0, incomplete, shownDay: null, issuedAt: 0 } : stateOf(verdict, asked));
    }
  });
  test("what becomes known of regions later changes nothing before: an entry written with less was right as long as it stood", () => {
    const upTo = (verdict: Verdict, known: Instant): object[] => timedFlags(verdict.reasons).flatMap(({ flag, ...i }) => clip([i], { from: 0, until: known + 1 }).map((during) => ({ flag, ...during })));
    fc.assert(
      fc.property(histories, fc.nat(), (history, which) => {
        const changes = Object.values(history.by).flatMap(({ held, infections }) => [...held.flatMap((i) => [i.from, i.until]), ...infections.map((i) => i.knownFrom)]);
        changes.push(...history.screenings.map((s) => s.knownFrom));
        const known = (changes[which % changes.length] ?? at("2021-09-01T00:00:00")) - (which % 2);
        const [then, now] = [evaluatorOf(asKnownAt(history, known))(history), evaluatorOf(history)(history)];
        expectSame(upTo(now, known), upTo(then, known));
      }),
      runs(8),
    );
  });
  test("is pure: the same twice, with others between, from another evaluator; and nothing that is given is changed", () => {
    fc.assert(
      fc.property(histories, histories, (one, other) => {
        deepFreeze([one, other]);
        const evaluate = evaluatorOf(one);
        const first = evaluate(one);
        evaluate(other);
        expectSame(evaluate(one), first);
        expectSame(evaluatorOf(one)(one), first);
      }),
      runs(9, 1000),
    );
  });
  test("every reason lasts, lies within the pack's validity, and rests on facts that were given, for any evidence", () => {
    fc.assert(
      fc.property(histories, (one) => {
        for (const reason of evaluatorOf(one)(one).reasons) {
          expect(reason.from).toBeLessThan(reason.until);
          expect(reason.from).toBeGreaterThanOrEqual(pack.validity.from);
          expect(reason.until).toBeLessThanOrEqual(pack.validity.until);
          expect(reason.facts.every((f) => one.facts.includes(f))).toBe(true);
          expect(POLICY_STARTS).toContain(reason.policyFrom);
          expect(reason.facts.length > 0).toBe(reason.rule !== "unregistered");
        }
      }),
      runs(10, 1000),
    );
  });
  test("pop-ups have no number before 2022-02-12 and always one from then on, for any evidence", () => {
    fc.assert(
      fc.property(histories, (one) => {
        for (const { flag, from, until } of evaluatorOf(one)(one).reasons) {
          if (flag === "popup-0") expect(until).toBeLessThanOrEqual(at("2022-02-12T00:00:00"));
          else if (flag.startsWith("popup-")) expect(from).toBeGreaterThanOrEqual(at("2022-02-12T00:00:00"));
        }
      }),
      runs(11, 1000),
    );
  });
  test("a holder nobody told us of is unconfirmed throughout; nothing else differs, for any facts", () => {
    fc.assert(
      fc.property(histories, (history) => {
        const evaluate = evaluatorOf(history);
        const [told, untold] = [evaluate({ ...history, registered: true }), evaluate({ ...history, registered: false })];
        const [added] = untold.reasons.filter((r) => r.rule === "unregistered");
        expect(added).toMatchObject({ flag: "unconfirmed", ...pack.validity });
        expectSame(untold.reasons.filter((r) => r !== added), told.reasons);
      }),
      runs(12, 1000),
    );
  });
  test("of nobody, with nothing: clear throughout", () => {
    expect(evaluateWith(NOTHING_KNOWN)({ registered: true, facts: [] })).toEqual({ registered: true, reasons: [], negatives: [], shownTests: [] });
  });
  test("negative tests come by their issue, the newest first, one an instant: the one sampled last, for any facts", () => {
    fc.assert(
      fc.property(histories, ({ facts }) => {
        const negatives = facts.filter((f) => f.kind === "test").filter((t) => t.result === "negative");
        const sorted = negatives.sort((a, b) => b.issuedAt - a.issuedAt || b.sampledAt - a.sampledAt).map(({ sampledAt, issuedAt }) => ({ sampledAt, issuedAt }));
        const expected = sorted.filter((t, i) => t.issuedAt !== sorted[i - 1]?.issuedAt);
        expect(evaluateWith(NOTHING_KNOWN)({ registered: true, facts }).negatives).toEqual(expected);
      }),
      runs(13, 1000),
    );
  });
  test("the steps of the shown test ascend and each says something new, for any facts", () => {
    fc.assert(
      fc.property(histories, ({ facts }) => {
        evaluateWith(NOTHING_KNOWN)({ registered: true, facts }).shownTests.forEach((step, i, steps) => {
          if (i === 0) expect(step.effectiveDay).not.toBeNull();
          else {
            expect(step.from).toBeGreaterThan(steps[i - 1]!.from);
            expect(step.effectiveDay).not.toBe(steps[i - 1]!.effectiveDay);
          }
        });
      }),
      runs(14, 1000),
    );
  });
  test("a pack without a rule raises nothing by it", () => {
    const empty = parsePack('pack: p\ncity: 11\nuntil: "2022-12-20T00:00:00+08:00"\npolicies:\n  - { from: "2020-03-01T00:00:00+08:00", title: { zh: a, en: a }, rules: { popupNumbers: { numbered: true } } }\n', "p.yaml");
    fc.assert(
      fc.property(histories, (one) => {
        expect(createEvaluator(empty, regionsOf(one)).evaluate(one)).toMatchObject({ reasons: [], shownTests: [] });
      }),
      runs(15, 300),
    );
  });
  test("what refutes a phone's trips makes them count as never told, and touches no other's, for any history", () => {
    fc.assert(
      fc.property(histories, fc.constantFrom(...PHONES), (history, phone) => {
        const evaluate = evaluatorOf(history);
        const subject = keyText(phone);
        const refutation: Fact = { ...base, ...named, kind: "refutation", subject, fact: null, county: null, from: null, to: null, at: 0 };
        const refuted = evaluate({ ...history, facts: [...history.facts, refutation] });
        const untold = evaluate({ ...history, facts: history.facts.filter((f) => f.kind !== "trip" || f.told?.subject !== subject) });
        expectSame(essence(refuted), essence(untold));
      }),
      runs(16, 1000),
    );
  });
  test("what refutes a document's trips makes all trips count as never told, for any history", () => {
    fc.assert(
      fc.property(histories, fc.constantFrom(...DOCUMENTS), (history, document) => {
        const evaluate = evaluatorOf(history);
        const refutation: Fact = { ...base, ...named, kind: "refutation", subject: keyText(document), fact: null, county: null, from: null, to: null, at: 0 };
        const refuted = evaluate({ ...history, facts: [...history.facts, refutation] });
        const untold = evaluate({ ...history, facts: history.facts.filter((f) => f.kind !== "trip") });
        expectSame(essence(refuted), essence(untold));
      }),
      runs(20, 1000),
    );
  });
  test("what refutes one fact, a county or an interval touches exactly the trips that all of it fits, the edges included", () => {
    const [told, other] = [keyText(PHONES[0]!), keyText(PHONES[1]!)];
    const stay = trip({ county: 320684, from: at("2022-06-01T08:00:00"), to: at("2022-06-03T08:00:00"), told: { subject: told, fact: "fact-1" } });
    const risk: CountyRisk = { held: [{ from: at("2022-05-01T00:00:00"), until: at("2022-07-01T00:00:00") }], infections: [] };
    const isRefuted = (change: object): boolean => {
      const refutation: Fact = { ...base, ...named, kind: "refutation", subject: told, fact: null, county: null, from: null, to: null, at: 0, ...change };
      return evaluatorOf({ by: { 320614: risk }, screenings: [] })({ registered: true, facts: [stay, refutation] }).reasons.length === 0;
    };
    expect([isRefuted({}), isRefuted({ subject: other }), isRefuted({ subject: null, fact: "fact-1" }), isRefuted({ fact: "fact-2" })]).toEqual([true, false, true, false]);
    expect([320684, 320614, 320613].map((county) => isRefuted({ county }))).toEqual([true, true, false]);
    expect([at("2022-06-03T08:00:00"), at("2022-06-03T08:00:01")].map((from) => isRefuted({ from }))).toEqual([true, false]);
    expect([at("2022-06-01T08:00:00"), at("2022-06-01T07:59:59")].map((to) => isRefuted({ to }))).toEqual([true, false]);
    expect(isRefuted({ county: 320684, from: at("2022-06-02T00:00:00"), fact: "fact-2" })).toBe(false);
    const subject = keyText(DOCUMENTS[0]);
    expect([{}, { fact: "fact-1" }, { fact: "fact-2" }, { county: 320613 }, { from: at("2022-06-03T08:00:01") }].map((change) => isRefuted({ subject, ...change }))).toEqual([true, true, false, false, false]);
  });
});

describe("whom a change of a county's risk concerns", () => {
  const during = (county: CountyCode, from: Instant, until: Instant): RegionDifference => ({ county, from, until, isScreened: false });
  const reach = (counties: CountyCode[], from: Instant, until = from + 1): CountyCode[] => createEvaluator(pack, NOTHING_KNOWN).reach(counties.map((c) => during(c, from, until)));
  const [edge, day] = [at("2021-10-24T00:00:00"), at("2022-06-09T00:00:00")];

  test("visitors of the county itself, in ascending order and once each", () => {
    expect(reach([440106, 310115, 440106], day)).toEqual([310115, 440106]);
    expect(reach([], day)).toEqual([]);
  });
  test("nobody where the county is the city's own, also while prefectures matter", () => {
    expect([reach([110105], day), reach([110105], edge), reach([110105, 310115], day)]).toEqual([[], [], [310115]]);
  });
  test("visitors of the whole prefecture where the changed days lie under rules that say so, or so shortly before that they count under them", () => {
    expect(reach([310115], edge)).toEqual([...countiesOfPrefecture(310115)].sort((a, b) => a - b));
    expect(reach([310115, 310104], edge)).toHaveLength(16);
    expect(reach([429004], edge)).toEqual([429004]);
    const begins = edge - 61 * DAY;
    expect([reach([310115], 0, begins), reach([310115], 0, begins + 1)].map((r) => r.length)).toEqual([1, 16]);
    const ends = at("2022-02-12T00:00:00");
    expect([reach([310115], ends - 1, FOREVER), reach([310115], ends, FOREVER)].map((r) => r.length)).toEqual([16, 1]);
  });
  test("visitors of the prefecture's zones too: stays may be told of them", () => {
    expect(reach([320506], edge)).toContain(320571);
  });
  test("is nobody else: whatever becomes known of a county at whatever time leaves all others' flags as they are", () => {
    fc.assert(
      fc.property(histories, fc.constantFrom(...RISKY), (history, changed) => {
        const without = { ...history, by: { ...history.by, [changed]: { held: [], infections: [] } } };
        const risk = history.by[changed] ?? { held: [], infections: [] };
        const instants = [...risk.held.flatMap((h) => [h.from, h.until]), ...risk.infections.flatMap((i) => [startOfDay(i.day), startOfDay(i.day + 61)])];
        const reached = createEvaluator(pack, NOTHING_KNOWN).reach(instants.length > 0 ? [during(changed, Math.min(...instants), Math.max(...instants))] : []);
        const isReached = (f: Fact): boolean => f.kind === "trip" && currentCounties(f.county).some((c) => reached.includes(c));
        const others = history.facts.filter((f) => !isReached(f));
        const flags = (h: History): object[] => timedFlags(evaluatorOf(h)({ ...history, facts: others }).reasons);
        expectSame(flags(history), flags(without));
      }),
      runs(17, 3000),
    );
  });
});

describe("what an older code was told of", () => {
  const risk: CountyRisk = { held: [{ from: at("2022-06-01T00:00:00"), until: at("2022-06-08T00:00:00") }], infections: [] };
  const flagsOf = (code: CountyCode, risky: CountyCode): string[] =>
    evaluatorOf({ by: { [risky]: risk }, screenings: [] })({ registered: true, facts: [trip({ county: code })] }).reasons.map((r) => r.flag);

  test("concerns every county that holds its territory today, and no other", () => {
    expect(flagsOf(320684, 320614)).toEqual(["popup-1"]);
    expect([flagsOf(330104, 330102), flagsOf(330104, 330114), flagsOf(330104, 330105)]).toEqual([["popup-1"], ["popup-1"], []]);
  });
  test("is the same as told of its only successor, for any history", () => {
    fc.assert(
      fc.property(histories, (history) => {
        const renamed = history.facts.map((f) => ("county" in f && f.county === 320684 ? { ...f, county: 320614 } : f));
        expect(prefectureKey(320684)).toBe(prefectureKey(320614));
        expectSame(essence(evaluatorOf(history)({ ...history, facts: renamed })), essence(evaluatorOf(history)(history)));
      }),
      runs(18, 1000),
    );
  });
});

describe("an affected county (POLICY §0)", () => {
  // Instants close to where policies change, few enough that they meet.
  const instant = fc
    .tuple(
      fc.constantFrom("2021-08-06", "2021-08-07", "2021-10-23", "2021-10-24", "2021-10-29", "2021-10-30", "2022-01-21", "2022-01-22", "2022-02-11", "2022-05-04", "2022-07-01", "2022-07-02", "2022-07-15", "2022-07-16", "2022-07-30", "2022-12-18"),
      fc.constantFrom("00:00:00", "05:59:59", "06:00:00", "12:00:00"),
    )
    .map(([date, time]) => at(`${date}T${time}`));
  const order = fc.array(fc.nat(), { minLength: 20, maxLength: 20 });
  const countyRisk: fc.Arbitrary<CountyRisk> = fc.record({
    held: fc.array(fc.record({ from: instant, until: instant }), { maxLength: 3 }).map(union),
    infections: fc.array(
      fc.record({ day: instant, lateS: fc.constantFrom(0, 0, 5 * HOUR, 3 * DAY), count: fc.constant(1) }).map(({ day, lateS, count }): LocalInfection => {
        const number = Math.floor((day + 8 * HOUR) / DAY);
        return { county: 310115, day: number, count, knownFrom: startOfDay(number) + lateS };
      }),
      { maxLength: 3 },
    ),
  });
  const historyOf = (by: Record<number, CountyRisk>): RegionHistory => regionsOf({ by, screenings: [] });

  /** The definition, read for one instant. */
  function isAffected({ held, infections }: CountyRisk, windowDays: number, heldAreas: boolean, instantAsked: number): boolean {
    if (heldAreas && held.some((i) => contains(i, instantAsked))) return true;
    const days = infections.filter((i) => Math.max(startOfDay(i.day), i.knownFrom) <= instantAsked).map((i) => i.day);
    if (days.length === 0) return false;
    const lastDay = Math.max(...days);
    const remains = held.some((i) => contains(i, instantAsked));
    const turnedLow = !remains && held.some((i) => i.until <= instantAsked && i.until > startOfDay(lastDay + 1));
    return instantAsked < windowEnd({ lastDay, windowDays }) && !turnedLow;
  }

  test("that holds an area again has not turned low-risk, also before held areas count by themselves", () => {
    const day = (at("2021-10-23T00:00:00") + 8 * HOUR) / DAY;
    const held = [
      { from: at("2021-08-06T00:00:00"), until: at("2021-10-24T06:00:00") },
      { from: at("2021-10-24T12:00:00"), until: at("2021-10-26T00:00:00") },
    ];
    const risk = { held, infections: [{ county: 310115, day, count: 1, knownFrom: startOfDay(day) }] };
    const { reasons } = evaluateWith(historyOf({ 310115: risk }))({ registered: true, facts: [trip({ from: at("2021-10-20T00:00:00"), to: at("2021-10-25T00:00:00") })] });
    expect(timedFlags(reasons.filter((r) => r.rule === "affectedCounty"))).toMatchObject([
      { flag: "popup-0", from: at("2021-10-24T00:00:00"), until: at("2021-10-24T06:00:00") },
      { flag: "popup-0", from: at("2021-10-24T12:00:00"), until: at("2021-10-26T00:00:00") },
    ]);
  });
  test("raises pop-up 1 for whoever is there at exactly the instants of the definition, under the number of the time, for any history", () => {
    fc.assert(
      fc.property(countyRisk, instant, fc.nat({ max: 30 }), (risk, somewhen, days) => {
        const { reasons } = createEvaluator(pack, historyOf({ 310115: risk })).evaluate({ registered: true, facts: [trip({ from: at("2021-01-01T00:00:00") })] });
        const edges = [...risk.held.flatMap((i) => [i.from, i.until]), ...risk.infections.flatMap((i) => [i.knownFrom, startOfDay(i.day + 8), startOfDay(i.day + 15)])];
        for (const instantAsked of [somewhen + days * DAY, ...edges.flatMap((e) => [e - 1, e])]) {
          const windowDays = instantAsked < at("2022-07-16T00:00:00") ? 14 : 7;
          const inForce = instantAsked >= at("2021-10-24T00:00:00") && instantAsked < pack.validity.until;
          const flag = instantAsked < at("2022-02-12T00:00:00") ? "popup-0" : "popup-1";
          const active = reasons.filter((r) => r.rule === "affectedCounty" && contains(r, instantAsked)).map((r) => r.flag);
          expect(active).toEqual(inForce && isAffected(risk, windowDays, instantAsked >= at("2021-10-30T00:00:00"), instantAsked) ? [flag] : []);
        }
      }),
      { numRuns: 1000 },
    );
  });
  test.each([
    ["ended with 24:00 of the last infection's day is no sign: the window runs on", "2022-06-02T00:00:00", "2022-06-16T00:00:00"],
    ["was held one second longer has turned it low-risk with its end", "2022-06-02T00:00:01", "2022-06-02T00:00:01"],
  ])("an area that %s", (_, heldUntil, flagUntil) => {
    const day = (at("2022-06-01T00:00:00") + 8 * HOUR) / DAY;
    const risk = { held: [{ from: at("2022-05-30T00:00:00"), until: at(heldUntil) }], infections: [{ county: 310115, day, count: 1, knownFrom: startOfDay(day) }] };
    const { reasons } = evaluateWith(historyOf({ 310115: risk }))({ registered: true, facts: [trip()] });
    expect(timedFlags(reasons)).toMatchObject([{ flag: "popup-1", until: at(flagUntil) }]);
  });
  test("the order of its infections doesn't matter", () => {
    fc.assert(
      fc.property(countyRisk, order, (risk, numbers) => {
        const one = { registered: true, facts: [trip({ from: at("2021-01-01T00:00:00") })] };
        const [straight, mixed] = [risk, { ...risk, infections: shuffled(risk.infections, numbers) }].map((r) => createEvaluator(pack, historyOf({ 310115: r })).evaluate(one));
        expect(mixed).toEqual(straight);
      }),
    );
  });
});

describe("a change of the regions' history", () => {
  const held: CountyRisk = { held: [{ from: at("2022-06-01T00:00:00"), until: at("2022-06-08T00:00:00") }], infections: [] };
  const one = { registered: true, facts: [trip()] };
  const changing = (risk: () => CountyRisk | undefined, generation: () => number): RegionHistory => ({ generation, risk, screenings: () => [] });

  test("is seen from the next generation on: a county that comes to hold an area, and one that is freed", () => {
    let [generation, risk]: [number, CountyRisk | undefined] = [1, undefined];
    const evaluate = evaluateWith(changing(() => risk, () => generation));
    expect(evaluate(one).reasons).toEqual([]);
    [generation, risk] = [2, held];
    expect(evaluate(one).reasons.map((r) => r.flag)).toEqual(["popup-1"]);
    [generation, risk] = [3, undefined];
    expect(evaluate(one).reasons).toEqual([]);
  });
  test("of a neighbour is seen, too, where the rules look at prefectures", () => {
    const someone = { registered: true, facts: [trip({ county: 310104, from: at("2021-11-01T08:00:00") }), declaration("2021-11-05T08:00:00")] };
    const beside: CountyRisk = { held: [{ from: at("2021-11-02T00:00:00"), until: at("2021-11-20T00:00:00") }], infections: [] };
    let generation = 1;
    const evaluate = evaluateWith({ generation: () => generation, risk: (code) => (generation === 2 && code === 310115 ? beside : undefined), screenings: () => [] });
    expect(evaluate(someone).reasons).toEqual([]);
    generation = 2;
    expect(evaluate(someone).reasons.map((r) => r.rule)).toContain("samePrefectureTest");
    generation = 3;
    expect(evaluate(someone).reasons).toEqual([]);
  });
  test("leaves no trace: after any histories an evaluator says what a new one says", () => {
    fc.assert(
      fc.property(fc.array(histories, { minLength: 2, maxLength: 4 }), histories, (list, someone) => {
        let generation = 0;
        const evaluator = createEvaluator(pack, {
          generation: () => generation,
          risk: (code) => regionsOf(list[generation]!).risk(code),
          screenings: (code) => regionsOf(list[generation]!).screenings(code),
        });
        for (; generation < list.length; generation++) expectSame(evaluator.evaluate(someone), evaluatorOf(list[generation]!)(someone));
        generation--;
        expectSame(evaluator.evaluate(list[0]!), evaluatorOf(list[generation]!)(list[0]!));
      }),
      runs(19, 1000),
    );
  });
  test("doesn't touch verdicts that were given before", () => {
    let generation = 1;
    const evaluate = evaluateWith(changing(() => (generation === 1 ? held : undefined), () => generation));
    const before = evaluate(one);
    const copy = structuredClone(before);
    generation = 2;
    evaluate(one);
    expect(before).toEqual(copy);
  });
});

/** One delivery of the fact with a number. */
interface Told {
  readonly index: number;
  readonly fact: Fact;
}

/** Every fact as revision 3, some twice, and before it or after it other contents of the same kind as revisions 1 and 2, which it outdoes. */
function retold(facts: readonly Fact[]): Told[] {
  return facts.flatMap((fact, index): Told[] => {
    const others = facts.filter((f) => f.kind === fact.kind && f !== fact);
    const outdone = others.slice(0, 2).map((other, i): Told => ({ index, fact: { ...other, revision: i + 1 } }));
    const last = { index, fact: { ...fact, revision: 3 } };
    return [...outdone, last, ...(index % 3 === 0 ? [last] : [])];
  });
}

/** What holds of what was told: of every fact its highest revision, whatever the order. */
function holding(told: readonly Told[]): Fact[] {
  const best = new Map<number, Fact>();
  for (const { index, fact } of told) if (fact.revision >= (best.get(index)?.revision ?? 0)) best.set(index, fact);
  return [...best.values()];
}

/** Whom a fact is told of: trips of the phone that they name, refutations of what they match, others of either document. */
function subjectOf(fact: Fact, index: number, documents: readonly SubjectKey[]): SubjectKey {
  if (fact.kind === "trip") return PHONES.find((p) => keyText(p) === fact.told?.subject)!;
  if (fact.kind !== "refutation") return documents[index % documents.length]!;
  if (fact.subject !== null) return [...PHONES, ...documents].find((s) => keyText(s) === fact.subject)!;
  return FACT_KEYS.find((k) => keyText(k) === fact.fact)! as Uint8Array as SubjectKey;
}
const keyOf = (_fact: Fact, index: number): FactKey => FACT_KEYS[index]!;

describe("what is past (retention)", () => {
  const since = fc.nat({ max: 80 });
  /** A fact that begins at `from` or up to three weeks later, as the one it is made of. */
  const movedBehind = (fact: Fact, from: Instant): Fact => {
    const times = Object.entries(fact).filter((entry): entry is [string, number] => ["from", "to", "until", "at", "sampledAt", "issuedAt"].includes(entry[0]) && typeof entry[1] === "number");
    const begin = Math.min(...times.map(([, time]) => time));
    const by = from + (begin % (21 * DAY)) - begin;
    return { ...fact, ...Object.fromEntries(times.map(([name, time]) => [name, time + by])) };
  };
  const cutAt = (v: Verdict, from: Instant): object => {
    const entry = entryOf(v, { evidenceSequence: 0, policyId: 0, regionRevision: 0 }, from);
    const shownTests = entry.shownTests.map((s) => ({ ...s, from: Math.max(s.from, from) }));
    return { flags: timedFlags(v.reasons.filter((r) => r.until > from).map((r) => ({ ...r, from: Math.max(r.from, from) }))), negatives: entry.negatives, shownTests };
  };
  const seasonOf = ({ facts }: History): Instant => Math.min(...facts.flatMap((f) => ("sampledAt" in f ? [f.sampledAt] : "at" in f ? [f.at] : [])), Infinity);

  test("changes nothing from then on, whatever is told later: of facts that begin later, and of regions", () => {
    let [past, all] = [0, 0];
    fc.assert(
      fc.property(histories, since, histories, (history, days, later) => {
        const season = seasonOf(history);
        fc.pre(season !== Infinity);
        const from = season + days * DAY;
        const retention = createRetention([createEvaluator(pack, regionsOf(history))]);
        const gone = retention.pastFacts(history, from);
        past += gone.size;
        all += history.facts.length;
        const kept = history.facts.filter((fact) => !gone.has(fact));
        expectSame(cutAt(evaluatorOf(history)({ ...history, facts: kept }), from), cutAt(evaluatorOf(history)(history), from));
        // A refutation frees, and of what it frees a stay of before may be the next one: it may only be found less.
        const more = later.facts.filter((f) => f.kind !== "refutation").map((f) => movedBehind(f, from));
        const by = { ...history.by };
        for (const [code, { held, infections }] of Object.entries(later.by)) {
          const known = by[Number(code)] ?? { held: [], infections: [] };
          const behind = from + DAY - (((from % DAY) + DAY + 8 * HOUR) % DAY);
          by[Number(code)] = {
            held: union([...known.held, ...held.map((h) => ({ from: from + (h.from % (20 * DAY)), until: from + (h.from % (20 * DAY)) + h.until - h.from }))]),
            infections: [...known.infections, ...infections.map((i) => ({ ...i, day: (behind + 8 * HOUR) / DAY + (i.day % 20), knownFrom: behind + (i.day % 20) * DAY }))],
          };
        }
        const evaluate = evaluatorOf({ by, screenings: history.screenings });
        expectSame(cutAt(evaluate({ ...history, facts: [...kept, ...more] }), from), cutAt(evaluate({ ...history, facts: [...history.facts, ...more] }), from));
      }),
      runs(31, 5000),
    );
    // Else it would say nothing.
    expect(past / all).toBeGreaterThan(0.2);
  });
  test("is so for good: told again, or asked again later, it is past still", () => {
    fc.assert(
      fc.property(histories, since, since, (history, days, more) => {
        const season = seasonOf(history);
        fc.pre(season !== Infinity);
        const retention = createRetention([createEvaluator(pack, regionsOf(history))]);
        for (const fact of history.facts) if (retention.isPast(fact, season + days * DAY)) expect(retention.isPast(fact, season + (days + more) * DAY)).toBe(true);
      }),
      runs(32, 1000),
    );
  });

  const NOW = at("2022-06-09T12:00:00");
  const retention = createRetention([createEvaluator(pack, NOTHING_KNOWN)]);
  const gone = (...facts: Fact[]): string[] => [...retention.pastFacts({ registered: true, facts }, NOW)].map((f) => f.kind);
  const home = trip({ from: NOW - 5 * DAY });
  const daysAgo = (days: number): Instant => NOW - days * DAY;

  test.each([
    ["a stay of over 15 days ago", trip({ from: daysAgo(40), to: daysAgo(15) }), 1],
    ["a second less", trip({ from: daysAgo(40), to: daysAgo(15) + 1 }), 0],
    ["one that goes on", trip({ county: 110105, from: daysAgo(400) }), 0],
    ["a finding that is over", { ...base, ...named, kind: "finding", finding: "close-contact", level: null, from: daysAgo(9), until: NOW } satisfies Fact, 1],
    ["a finding without an end", { ...base, ...named, kind: "finding", finding: "close-contact", level: null, from: daysAgo(900), until: null } satisfies Fact, 0],
    ["a refutation", { ...base, ...named, kind: "refutation", subject: keyText(PHONES[0]!), fact: null, county: null, from: null, to: daysAgo(900), at: daysAgo(900) } satisfies Fact, 0],
    ["the newest negative test, whose age is shown", labTest({ sampledAt: daysAgo(90), issuedAt: daysAgo(90) }), 0],
    ["a positive one that nobody has settled", labTest({ sampledAt: daysAgo(90), issuedAt: daysAgo(90), result: "positive" }), 0],
    ["a purchase after which nobody was tested", { ...base, kind: "purchase", at: daysAgo(90), drugClass: "fever", county: 110105 } satisfies Fact, 0],
    ["a residence that is left", { ...base, kind: "residence", county: 110105, from: daysAgo(90), until: daysAgo(1) } satisfies Fact, 1],
    ["a fact of long ago that came today", { ...trip({ from: daysAgo(40), to: daysAgo(30) }), knownFrom: daysAgo(30), receivedAt: NOW + 1 }, 0],
  ])("%s", (_, fact, count) => {
    expect(gone(fact, home)).toHaveLength(count);
  });
  test("with what answered it: a positive result and the negative one after it, when a newer one is there", () => {
    const [positive, negative] = [labTest({ result: "positive", sampledAt: daysAgo(90), issuedAt: daysAgo(90) }), labTest({ sampledAt: daysAgo(89), issuedAt: daysAgo(89) })];
    expect(gone(positive, negative, labTest({ sampledAt: daysAgo(1), issuedAt: daysAgo(1) }))).toEqual(["test", "test"]);
    // Told again alone it would bind once more.
    const again = (fact: Test): boolean => retention.isTooLate({ ...fact, knownFrom: NOW }, 30 * DAY);
    expect([again(positive), again(negative), again(labTest({ result: "positive", issuedAt: daysAgo(2) }))]).toEqual([true, false, false]);
  });
  test("not the stay before the next one, which makes that an arrival; nor a clearance while what it clears may be raised", () => {
    expect(gone(trip({ from: daysAgo(90), to: daysAgo(60) }))).toEqual([]);
    const clearance = { ...base, ...named, kind: "clearance", clears: "popup-1", at: daysAgo(90) } satisfies Fact;
    expect([gone(clearance, trip({ from: daysAgo(100) })), gone(clearance, trip({ from: daysAgo(80) }))]).toEqual([[], ["clearance"]]);
  });
  test("not the tests of a link's first days while it is not cleared", () => {
    const link = (until: Instant | null): Fact => ({ ...base, ...named, kind: "finding", finding: "risk-link", level: "other", from: daysAgo(90), until });
    const tests = [labTest({ sampledAt: daysAgo(88), issuedAt: daysAgo(88) }), labTest({ sampledAt: daysAgo(1), issuedAt: daysAgo(1) })];
    expect([gone(link(null), ...tests), gone(link(daysAgo(2)), ...tests)]).toEqual([[], ["test", "finding"]]);
  });
});
