import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { shuffled } from "../../test/support.ts";
import {
  contains,
  FINDING_KINDS,
  parseInstant,
  startOfDay,
  TEST_RESULTS,
  timedFlags,
  union,
  windowEnd,
  type CountyCode,
  type CountyRisk,
  type Fact,
  type Finding,
  type Flag,
  type HolderEvidence,
  type LocalInfection,
  type RegionHistory,
  type Test,
  type Trip,
  type Verdict,
} from "../domain/index.ts";
import { createEvaluator } from "./evaluate.ts";
import { beijingPack, parsePack } from "./pack.ts";

const at = (text: string): number => parseInstant(`${text}+08:00`)!;
const HOUR = 3600;
const DAY = 24 * HOUR;
const pack = beijingPack();
const NOTHING_KNOWN: RegionHistory = { generation: () => 0, risk: () => undefined };

const base = { source: "source", revision: 1, knownFrom: 0 };
const trip = (change: Partial<Trip> = {}): Trip => ({ ...base, kind: "trip", county: 310115, from: at("2022-06-01T08:00:00"), to: null, ...change });
const labTest = (change: Partial<Test> = {}): Test => ({
  ...base, kind: "test", sampledAt: at("2022-06-01T09:00:00"), issuedAt: at("2022-06-01T18:00:00"), result: "negative", laboratory: "lab-1", county: 110105, uploaded: false, ...change,
});

// --- Random evidence: instants close to where policies change, few enough that they meet ---

const instant = fc
  .tuple(
    fc.constantFrom("2021-08-06", "2021-08-07", "2021-10-23", "2021-10-24", "2022-01-21", "2022-01-22", "2022-02-11", "2022-05-04", "2022-07-01", "2022-07-02", "2022-07-15", "2022-07-16", "2022-07-30", "2022-12-18"),
    fc.constantFrom("00:00:00", "05:59:59", "06:00:00", "12:00:00"),
  )
  .map(([date, time]) => at(`${date}T${time}`));
const county = fc.constantFrom(110105, 110106, 310115, 440106);
const trips: fc.Arbitrary<Trip> = fc
  .record({ county, from: instant, lengthDays: fc.option(fc.nat({ max: 20 })) })
  .map(({ county, from, lengthDays }) => trip({ county, from, to: lengthDays === null ? null : from + lengthDays * DAY }));
const tests: fc.Arbitrary<Test> = fc
  .record({
    sampledAt: instant,
    hours: fc.constantFrom(0, 6, 24),
    result: fc.constantFrom(...TEST_RESULTS, "negative" as const),
    laboratory: fc.constantFrom("lab-1", "lab-2"),
    county: fc.constantFrom(null, 110105, 310115),
    uploaded: fc.boolean(),
  })
  .map(({ hours, ...rest }) => labTest({ ...rest, issuedAt: rest.sampledAt + hours * HOUR }));
const findings: fc.Arbitrary<Finding> = fc
  .record({ finding: fc.constantFrom(...FINDING_KINDS), from: instant, lengthDays: fc.option(fc.nat({ max: 20 })) })
  .map(({ finding, from, lengthDays }) => ({
    ...base, kind: "finding", finding, level: null, from, until: lengthDays === null ? null : from + lengthDays * DAY, authority: "", ground: "",
  }));
const facts: fc.Arbitrary<Fact[]> = fc.array(fc.oneof(trips, tests, findings), { maxLength: 10 });
const evidence = fc.record({ registered: fc.boolean(), facts });
const order = fc.array(fc.nat(), { minLength: 20, maxLength: 20 });

const countyRisk = (code: CountyCode): fc.Arbitrary<CountyRisk> =>
  fc.record({
    held: fc.array(fc.record({ from: instant, until: instant }), { maxLength: 3 }).map(union),
    infections: fc.array(
      fc.record({ day: instant, lateS: fc.constantFrom(0, 0, 5 * HOUR, 3 * DAY), count: fc.constant(1) }).map(({ day, lateS, count }): LocalInfection => {
        const number = Math.floor((day + 8 * HOUR) / DAY);
        return { county: code, day: number, count, knownFrom: startOfDay(number) + lateS };
      }),
      { maxLength: 3 },
    ),
  });
const risks = fc.record({ 310115: countyRisk(310115), 440106: countyRisk(440106), 110106: countyRisk(110106) });
const historyOf = (by: Record<number, CountyRisk>): RegionHistory => ({ generation: () => 0, risk: (code) => by[code] });

function evaluateWith(regions: RegionHistory): (of: HolderEvidence) => Verdict {
  const evaluator = createEvaluator(pack, regions);
  return (of) => evaluator.evaluate(of);
}

/** What a verdict says, whatever the order of its reasons. */
const essence = (v: Verdict): object => ({ registered: v.registered, flags: timedFlags(v.reasons), newestNegative: v.newestNegative, shownTests: v.shownTests });
/** The flags that stop somebody, at one instant. */
const restricting = (v: Verdict, instantAsked: number): Set<Flag> => new Set(v.reasons.filter((r) => r.flag !== "commuter" && contains(r, instantAsked)).map((r) => r.flag));
const edgesOf = (...verdicts: Verdict[]): number[] => verdicts.flatMap((v) => v.reasons.flatMap((r) => [r.from - 1, r.from, r.until - 1, r.until]));

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach((inner: unknown) => deepFreeze(inner));
  }
  return value;
}

describe("evaluation", () => {
  test("the order and the repetition of facts never change a verdict", () => {
    fc.assert(
      fc.property(risks, evidence, order, (by, { registered, facts: list }, numbers) => {
        const evaluate = evaluateWith(historyOf(by));
        const mixed = evaluate({ registered, facts: shuffled([...list, ...list], numbers) });
        expect(essence(mixed)).toEqual(essence(evaluate({ registered, facts: list })));
      }),
      { numRuns: 1000 },
    );
  });
  test("one more negative test never adds a flag that restricts, at any instant", () => {
    fc.assert(
      fc.property(risks, evidence, tests, (by, { registered, facts: list }, another) => {
        const evaluate = evaluateWith(historyOf(by));
        const before = evaluate({ registered, facts: list });
        const after = evaluate({ registered, facts: [...list, { ...another, result: "negative" }] });
        for (const instantAsked of edgesOf(before, after)) {
          expect([...restricting(after, instantAsked).difference(restricting(before, instantAsked))]).toEqual([]);
        }
      }),
      { numRuns: 1000 },
    );
  });
  test("is pure: the same twice, with others between, from another evaluator; and nothing that is given is changed", () => {
    fc.assert(
      fc.property(risks, evidence, evidence, (by, one, other) => {
        deepFreeze([by, one, other]);
        const evaluator = createEvaluator(pack, historyOf(by));
        const first = evaluator.evaluate(one);
        evaluator.evaluate(other);
        expect(evaluator.evaluate(one)).toEqual(first);
        expect(createEvaluator(pack, historyOf(by)).evaluate(one)).toEqual(first);
      }),
    );
  });
  test("every reason lasts, lies within the pack's validity, and rests on facts that were given, for any evidence", () => {
    fc.assert(
      fc.property(risks, evidence, (by, one) => {
        for (const reason of createEvaluator(pack, historyOf(by)).evaluate(one).reasons) {
          expect(reason.from).toBeLessThan(reason.until);
          expect(reason.from).toBeGreaterThanOrEqual(pack.validity.from);
          expect(reason.until).toBeLessThanOrEqual(pack.validity.until);
          expect(reason.facts.every((f) => one.facts.includes(f))).toBe(true);
          expect(pack.policies.map((p) => p.from)).toContain(reason.policyFrom);
          expect(reason.facts.length > 0).toBe(reason.rule !== "unregistered");
        }
      }),
    );
  });
  test("pop-ups have no number before 2022-02-12 and always one from then on, for any evidence", () => {
    fc.assert(
      fc.property(risks, evidence, (by, one) => {
        for (const { flag, from, until } of createEvaluator(pack, historyOf(by)).evaluate(one).reasons) {
          if (flag === "popup-0") expect(until).toBeLessThanOrEqual(at("2022-02-12T00:00:00"));
          else if (flag.startsWith("popup-")) expect(from).toBeGreaterThanOrEqual(at("2022-02-12T00:00:00"));
        }
      }),
    );
  });
  test("a holder nobody told us of is unconfirmed throughout; nothing else differs, for any facts", () => {
    fc.assert(
      fc.property(risks, facts, (by, list) => {
        const evaluate = evaluateWith(historyOf(by));
        const [told, untold] = [evaluate({ registered: true, facts: list }), evaluate({ registered: false, facts: list })];
        const [added] = untold.reasons.filter((r) => r.rule === "unregistered");
        expect(added).toMatchObject({ flag: "unconfirmed", ...pack.validity });
        expect(untold.reasons.filter((r) => r !== added)).toEqual(told.reasons);
      }),
    );
  });
  test("of nobody, with nothing: clear throughout", () => {
    expect(evaluateWith(NOTHING_KNOWN)({ registered: true, facts: [] })).toEqual({ registered: true, reasons: [], newestNegative: null, shownTests: [] });
  });
  test("the newest negative test is the one issued last, of several at once the one sampled last, for any facts", () => {
    fc.assert(
      fc.property(facts, (list) => {
        const negatives = list.filter((f) => f.kind === "test").filter((t) => t.result === "negative");
        const newest = negatives.sort((a, b) => b.issuedAt - a.issuedAt || b.sampledAt - a.sampledAt)[0];
        const expected = newest ? { sampledAt: newest.sampledAt, issuedAt: newest.issuedAt } : null;
        expect(evaluateWith(NOTHING_KNOWN)({ registered: true, facts: list }).newestNegative).toEqual(expected);
      }),
    );
  });
  test("the steps of the shown test ascend and each says something new, for any facts", () => {
    fc.assert(
      fc.property(facts, (list) => {
        evaluateWith(NOTHING_KNOWN)({ registered: true, facts: list }).shownTests.forEach((step, i, steps) => {
          if (i === 0) expect(step.effectiveDay).not.toBeNull();
          else {
            expect(step.from).toBeGreaterThan(steps[i - 1]!.from);
            expect(step.effectiveDay).not.toBe(steps[i - 1]!.effectiveDay);
          }
        });
      }),
    );
  });
  test("a pack without a rule raises nothing by it", () => {
    const empty = parsePack('pack: p\ncity: 11\nuntil: "2022-12-20T00:00:00+08:00"\npolicies:\n  - { from: "2020-03-01T00:00:00+08:00", title: { zh: a, en: a }, rules: { popupNumbers: { numbered: true } } }\n', "p.yaml");
    fc.assert(
      fc.property(risks, evidence, (by, one) => {
        expect(createEvaluator(empty, historyOf(by)).evaluate(one)).toMatchObject({ reasons: [], shownTests: [] });
      }),
    );
  });
});

describe("an affected county (POLICY §0)", () => {
  /** The definition, read for one instant. */
  function isAffected({ held, infections }: CountyRisk, windowDays: number, instantAsked: number): boolean {
    if (held.some((i) => contains(i, instantAsked))) return true;
    const days = infections.filter((i) => Math.max(startOfDay(i.day), i.knownFrom) <= instantAsked).map((i) => i.day);
    if (days.length === 0) return false;
    const lastDay = Math.max(...days);
    const turnedLow = held.some((i) => i.until <= instantAsked && i.until > startOfDay(lastDay + 1));
    return instantAsked < windowEnd({ lastDay, windowDays }) && !turnedLow;
  }

  test("raises pop-up 1 for whoever is there at exactly the instants of the definition, for any history", () => {
    fc.assert(
      fc.property(countyRisk(310115), instant, fc.nat({ max: 30 }), (risk, somewhen, days) => {
        const { reasons } = createEvaluator(pack, historyOf({ 310115: risk })).evaluate({ registered: true, facts: [trip({ from: at("2021-01-01T00:00:00") })] });
        const edges = [...risk.held.flatMap((i) => [i.from, i.until]), ...risk.infections.flatMap((i) => [i.knownFrom, startOfDay(i.day + 8), startOfDay(i.day + 15)])];
        for (const instantAsked of [somewhen + days * DAY, ...edges.flatMap((e) => [e - 1, e])]) {
          const windowDays = instantAsked < at("2022-07-16T00:00:00") ? 14 : 7;
          const inForce = instantAsked >= at("2022-02-12T00:00:00") && instantAsked < pack.validity.until;
          expect(reasons.some((r) => r.flag === "popup-1" && contains(r, instantAsked))).toBe(inForce && isAffected(risk, windowDays, instantAsked));
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
      fc.property(countyRisk(310115), order, (risk, numbers) => {
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

  test("is seen from the next generation on: a county that comes to hold an area, and one that is freed", () => {
    let [generation, risk]: [number, CountyRisk | undefined] = [1, undefined];
    const evaluate = evaluateWith({ generation: () => generation, risk: () => risk });
    expect(evaluate(one).reasons).toEqual([]);
    [generation, risk] = [2, held];
    expect(evaluate(one).reasons.map((r) => r.flag)).toEqual(["popup-1"]);
    [generation, risk] = [3, undefined];
    expect(evaluate(one).reasons).toEqual([]);
  });
  test("leaves no trace: after any histories an evaluator says what a new one says", () => {
    fc.assert(
      fc.property(fc.array(risks, { minLength: 1, maxLength: 4 }), evidence, (histories, someone) => {
        let generation = 0;
        const evaluator = createEvaluator(pack, { generation: () => generation, risk: (code) => (histories[generation] as Record<number, CountyRisk>)[code] });
        for (; generation < histories.length; generation++) {
          expect(evaluator.evaluate(someone)).toEqual(createEvaluator(pack, historyOf(histories[generation]!)).evaluate(someone));
        }
      }),
    );
  });
  test("doesn't touch verdicts that were given before", () => {
    let generation = 1;
    const evaluate = evaluateWith({ generation: () => generation, risk: () => (generation === 1 ? held : undefined) });
    const before = evaluate(one);
    const copy = structuredClone(before);
    generation = 2;
    evaluate(one);
    expect(before).toEqual(copy);
  });
});
