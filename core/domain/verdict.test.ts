import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { shuffled } from "../../test/support.ts";
import { contains } from "./intervals.ts";
import { FLAGS, RESTRICTING, RULES, timedFlags, type FlagReason } from "./verdict.ts";

// Short times and few flags, so that reasons overlap, touch and miss each other by one second.
const reason: fc.Arbitrary<FlagReason> = fc.record({
  flag: fc.constantFrom("popup-0" as const, "popup-4" as const, "central" as const),
  rule: fc.constantFrom(...RULES),
  from: fc.nat({ max: 30 }),
  until: fc.nat({ max: 30 }),
  policyFrom: fc.constant(0),
  facts: fc.constant([]),
}).map((r) => ({ ...r, from: Math.min(r.from, r.until), until: Math.max(r.from, r.until) + 1 }));
const reasons = fc.array(reason, { maxLength: 10 });
const orders = fc.array(fc.nat(), { minLength: 10, maxLength: 10 });

describe("numbers that lie in stored entries", () => {
  test("flags keep their positions: appending is fine, reordering is not", () => {
    expect(FLAGS.slice(0, 12)).toEqual([
      "popup-0", "popup-1", "popup-2", "popup-3", "popup-4", "popup-5", "home", "central", "unconfirmed", "commuter", "commuting", "prefecture",
    ]);
  });
  test("rules keep their positions: appending is fine, reordering is not", () => {
    expect(RULES.slice(0, 18)).toEqual([
      ...["unregistered", "findings", "unsettledPositive", "stillInRiskCounty", "affectedCounty", "arrivalTest", "isolation", "purchaseTest", "clinicTest", "portCounty"],
      ...["commuterMark", "obligationTest", "screeningTest", "unverifiedComer", "unverifiedMovement", "leftRiskCounty", "samePrefectureTest", "prefectureMark"],
    ]);
  });
  test("no flag and no rule stands twice, and each rule's number fits in a byte", () => {
    expect(new Set<string>(FLAGS).size).toBe(FLAGS.length);
    expect(new Set<string>(RULES).size).toBe(RULES.length);
    expect(RULES.length).toBeLessThanOrEqual(256);
  });
  test("all flags fit in the bits of one number", () => {
    expect(FLAGS.length).toBeLessThanOrEqual(31);
  });
  test("pop-ups, colours and doubt restrict; marks don't", () => {
    expect(FLAGS.filter((flag) => !RESTRICTING.includes(flag))).toEqual(["commuter", "commuting", "prefecture"]);
    expect(RESTRICTING).toHaveLength(9);
  });
});

describe("timedFlags", () => {
  test("no reasons, no flags", () => {
    expect(timedFlags([])).toEqual([]);
  });
  test("a flag is active at an instant exactly when one of its reasons is, for any reasons", () => {
    fc.assert(
      fc.property(reasons, fc.nat({ max: 32 }), (list, at) => {
        const timed = timedFlags(list);
        for (const flag of FLAGS) {
          const expected = list.some((r) => r.flag === flag && contains(r, at));
          expect(timed.some((t) => t.flag === flag && contains(t, at))).toBe(expected);
        }
      }),
      { numRuns: 1000 },
    );
  });
  test("they come by flag and then time, and those of one flag neither overlap nor touch", () => {
    fc.assert(
      fc.property(reasons, (list) => {
        timedFlags(list).forEach((t, i, all) => {
          const before = all[i - 1];
          expect(t.from).toBeLessThan(t.until);
          if (before?.flag === t.flag) expect(before.until).toBeLessThan(t.from);
          else if (before) expect(FLAGS.indexOf(before.flag)).toBeLessThan(FLAGS.indexOf(t.flag));
        });
      }),
    );
  });
  test("each names the rule that raised it first; of several at once the first by number", () => {
    fc.assert(
      fc.property(reasons, (list) => {
        for (const { flag, rule, from } of timedFlags(list)) {
          const first = list.filter((r) => r.flag === flag && r.from === from).map((r) => RULES.indexOf(r.rule));
          expect(RULES.indexOf(rule)).toBe(Math.min(...first));
        }
      }),
    );
  });
  test("the order and the repetition of reasons don't matter", () => {
    fc.assert(
      fc.property(reasons, orders, (list, order) => {
        expect(timedFlags(shuffled([...list, ...list.slice(0, 3)], order))).toEqual(timedFlags(list));
      }),
    );
  });
  test("the reasons that are given stay as they were", () => {
    fc.assert(
      fc.property(reasons, (list) => {
        const before = structuredClone(list);
        timedFlags(list);
        expect(list).toEqual(before);
      }),
    );
  });
  test("reasons of one flag that touch are one interval, one second apart they are two", () => {
    const base = { flag: "home", rule: "findings", policyFrom: 0, facts: [] } as const;
    expect(timedFlags([{ ...base, from: 1, until: 5 }, { ...base, from: 5, until: 9 }])).toEqual([{ flag: "home", rule: "findings", from: 1, until: 9 }]);
    expect(timedFlags([{ ...base, from: 1, until: 5 }, { ...base, from: 6, until: 9 }])).toHaveLength(2);
  });
  test("reasons of two flags are never joined", () => {
    const base = { rule: "findings", policyFrom: 0, facts: [], from: 1, until: 5 } as const;
    expect(timedFlags([{ ...base, flag: "home" }, { ...base, flag: "central" }]).map((t) => t.flag)).toEqual(["home", "central"]);
  });
});
