// Answers: every combination of flags against the specification, the edges of a policy's validity, and one length for all.

import { describe, expect, test } from "vitest";
import { instant, NOW } from "../../test/ingestSupport.ts";
import { dayOf, FLAGS, maskNumber, type Flag, type VenueRule } from "../domain/index.ts";
import type { EntryState } from "../entry/index.ts";
import { ANSWER_BYTES, answerOf, answerText, compileVenueRule, UNKNOWN_HOLDER, type Answer } from "./answer.ts";

const VALIDITY = { from: instant("2020-03-01T00:00:00+08:00"), until: instant("2022-12-20T00:00:00+08:00") };
const USUAL: VenueRule = { stops: FLAGS.filter((flag) => flag !== "commuter"), ...VALIDITY };
const NOW_MS = NOW * 1000;

function stateOf(flags: readonly Flag[], over: Partial<EntryState> = {}): EntryState {
  return { flags: flags.reduce((bits, flag) => bits | (1 << FLAGS.indexOf(flag)), 0), incomplete: false, shownDay: null, ...over };
}
const ask = (flags: readonly Flag[], over: Partial<EntryState> = {}, rule: VenueRule = USUAL, nowMs = NOW_MS): Answer => answerOf(stateOf(flags, over), compileVenueRule(rule), nowMs);

/** All 1,024 sets of flags. */
const ALL_SETS: readonly (readonly Flag[])[] = Array.from({ length: 2 ** FLAGS.length }, (_, bits) => FLAGS.filter((_flag, i) => (bits >> i) % 2 === 1));

describe("what the policy says, case by case", () => {
  const green = { pass: true, reason: null, status: "clear", popups: [], unconfirmed: false, commuter: false, testAgeDays: null } as const;
  test.each<[string, readonly Flag[], Partial<Answer>]>([
    ["nothing known against the holder", [], {}],
    ["a commuter", ["commuter"], { commuter: true }],
    ["nobody has told of the holder", ["unconfirmed"], { pass: false, reason: "unconfirmed", status: null, unconfirmed: true }],
    ["a pop-up replaces the status", ["popup-4"], { pass: false, reason: "popup", status: null, popups: [4] }],
    ["the unnumbered pop-up is number 0", ["popup-0"], { pass: false, reason: "popup", status: null, popups: [0] }],
    ["pop-ups are told in their order", ["popup-5", "popup-1", "popup-3"], { pass: false, reason: "popup", status: null, popups: [1, 3, 5] }],
    ["yellow", ["home"], { pass: false, reason: "status", status: "home" }],
    ["red", ["central"], { pass: false, reason: "status", status: "central" }],
    ["red beats yellow", ["home", "central"], { pass: false, reason: "status", status: "central" }],
    ["yellow is shown beside a pop-up, and is the reason", ["home", "popup-1"], { pass: false, reason: "status", status: "home", popups: [1] }],
    ["red is shown beside a pop-up and for the unconfirmed", ["central", "popup-2", "unconfirmed"], { pass: false, reason: "status", status: "central", popups: [2], unconfirmed: true }],
    ["a pop-up is the reason before unconfirmed", ["popup-3", "unconfirmed"], { pass: false, reason: "popup", status: null, popups: [3], unconfirmed: true }],
    ["a commuter with a pop-up", ["commuter", "popup-4"], { pass: false, reason: "popup", status: null, popups: [4], commuter: true }],
  ])("%s", (_, flags, expected) => {
    expect(ask(flags)).toEqual({ ...green, ...expected });
  });
});

describe("every combination of flags", () => {
  /** The specification again, in the words of POLICY §0 and §1: pass = clear, no active pop-up, and the venue's rule met. */
  function specified(flags: readonly Flag[], stops: readonly Flag[]): Answer {
    const has = (flag: Flag): boolean => flags.includes(flag);
    const popups = [0, 1, 2, 3, 4, 5].filter((n) => has(`popup-${n}` as Flag));
    const colour = has("central") ? "central" : has("home") ? "home" : "clear";
    const isShown = colour !== "clear" || (popups.length === 0 && !has("unconfirmed"));
    const against: [Answer["reason"], boolean][] = [
      ["status", colour !== "clear"],
      ["popup", popups.length > 0],
      ["unconfirmed", has("unconfirmed")],
      ["venue-rule", stops.some(has)],
    ];
    const reason = against.find(([, holds]) => holds)?.[0] ?? null;
    return { pass: reason === null, reason, status: isShown ? colour : null, popups, unconfirmed: has("unconfirmed"), commuter: has("commuter"), testAgeDays: null };
  }
  const rules: [string, readonly Flag[]][] = [
    ["the usual rule", USUAL.stops],
    ["a rule that stops nobody more", []],
    ["a rule that stops commuters", ["commuter"]],
    ["a rule that stops everything", FLAGS],
  ];
  test.each(rules)("under %s is as specified", (_, stops) => {
    for (const flags of ALL_SETS) expect(ask(flags, {}, { ...USUAL, stops }), flags.join()).toEqual(specified(flags, stops));
  });
  test("lets pass without any flag or as a commuter, and never else, under the usual rule", () => {
    expect(ALL_SETS.filter((flags) => ask(flags).pass)).toEqual([[], ["commuter"]]);
  });
  test("never lets pass who is restricted, whatever the venue's rule leaves out", () => {
    const passing = ALL_SETS.filter((flags) => ask(flags, {}, { ...USUAL, stops: [] }).pass);
    expect(passing).toEqual([[], ["commuter"]]);
  });
  test("in an incomplete entry never passes, and is told as unconfirmed", () => {
    for (const flags of ALL_SETS) expect(ask(flags, { incomplete: true })).toEqual(specified(["unconfirmed"], USUAL.stops));
  });
  test("outside every policy never passes, and nothing is told but that", () => {
    const nothing = { pass: false, reason: "no-policy", status: null, popups: [], unconfirmed: false, commuter: false, testAgeDays: null };
    for (const flags of ALL_SETS) {
      for (const at of [VALIDITY.from - 1, VALIDITY.until]) expect(ask(flags, { shownDay: dayOf(NOW) }, USUAL, at * 1000)).toEqual(nothing);
    }
  });
});

describe("the edges of a policy's validity", () => {
  test.each<[string, number, boolean]>([
    ["a millisecond before it begins", VALIDITY.from * 1000 - 1, false],
    ["as it begins", VALIDITY.from * 1000, true],
    ["a millisecond before it ends", VALIDITY.until * 1000 - 1, true],
    ["as it ends", VALIDITY.until * 1000, false],
  ])("%s", (_, nowMs, pass) => {
    expect(ask([], {}, USUAL, nowMs)).toMatchObject({ pass, reason: pass ? null : "no-policy" });
  });
});

describe("the age of the test", () => {
  const day = dayOf(NOW);
  const midnight = instant("2022-06-10T00:00:00+08:00") * 1000;
  test.each<[string, number | null, number, number | null]>([
    ["is 0 on its day", day, NOW_MS, 0],
    ["is 0 until the day's last millisecond", day, midnight - 1, 0],
    ["is 1 from midnight on, Beijing time", day, midnight, 1],
    ["counts days", day - 3, NOW_MS, 3],
    ["is not told when none is shown", null, NOW_MS, null],
  ])("%s", (_, shownDay, nowMs, age) => {
    expect(ask([], { shownDay }, USUAL, nowMs).testAgeDays).toBe(age);
  });
  test("is told to whoever does not pass, too", () => {
    expect(ask(["popup-4"], { shownDay: day - 3 })).toMatchObject({ pass: false, testAgeDays: 3 });
  });
});

describe("a holder of whom there is no entry", () => {
  test("is unconfirmed and does not pass", () => {
    expect(answerOf(UNKNOWN_HOLDER, compileVenueRule(USUAL), NOW_MS)).toEqual(ask(["unconfirmed"]));
  });
});

describe("a compiled venue rule", () => {
  test("has one bit for each flag, and the bounds of its validity", () => {
    FLAGS.forEach((flag, i) => expect(compileVenueRule({ stops: [flag], from: 1, until: 2 })).toEqual({ stops: 2 ** i, from: 1, until: 2 }));
    expect(compileVenueRule({ stops: FLAGS, from: 1, until: 2 }).stops).toBe(2 ** FLAGS.length - 1);
    expect(compileVenueRule({ stops: [], from: 1, until: 2 }).stops).toBe(0);
  });
  test("does not care for order or repetition", () => {
    expect(compileVenueRule({ stops: ["home", "popup-1", "home"], from: 1, until: 2 })).toEqual(compileVenueRule({ stops: ["popup-1", "home"], from: 1, until: 2 }));
  });
});

describe("the text of an answer", () => {
  const FIELDS = ["pass", "reason", "status", "popups", "unconfirmed", "commuter", "testAgeDays", "document", "validUntil", "serverTime"];
  const LATEST_MS = instant("2100-12-31T23:59:59+08:00") * 1000 + 999;
  /** The shortest and the longest that there are. */
  const MASKED = ["A1234", "12345678901234567890"].map(maskNumber);

  test("has one length for every combination of flags, the longest documents and the oldest tests", () => {
    for (const flags of ALL_SETS) {
      for (const shownDay of [null, 0, dayOf(NOW)]) {
        for (const masked of MASKED) {
          const text = answerText(ask(flags, { shownDay }), masked, LATEST_MS);
          expect(Buffer.byteLength(text)).toBe(ANSWER_BYTES);
        }
      }
    }
  });
  test("has that length also without policy and for an incomplete entry", () => {
    for (const answer of [ask([], {}, USUAL, 0), ask([], { incomplete: true }), answerOf(UNKNOWN_HOLDER, compileVenueRule(USUAL), NOW_MS)]) {
      expect(Buffer.byteLength(answerText(answer, MASKED[1]!, NOW_MS))).toBe(ANSWER_BYTES);
    }
  });
  test("is one line of JSON with every field, in the wire's order", () => {
    for (const flags of [[], ["unconfirmed"], ["popup-1", "central"]] as Flag[][]) {
      const text = answerText(ask(flags), "11**************2X", NOW_MS);
      expect(Object.keys(JSON.parse(text) as object)).toEqual(FIELDS);
      expect(text).toMatch(/^\{[^\n]*\} *\n$/);
    }
  });
  test("tells what the answer is, until when, and what time it is here", () => {
    const answer = ask(["popup-4"], { shownDay: dayOf(NOW) - 3 });
    expect(JSON.parse(answerText(answer, "11**************2X", NOW_MS + 123))).toEqual({
      ...answer,
      document: "11**************2X",
      validUntil: "2022-06-10T00:00:00+08:00",
      serverTime: "2022-06-09T07:30:00.123+08:00",
    });
  });
  test.each([
    ["2022-06-09T23:59:59+08:00", "2022-06-10T00:00:00+08:00"],
    ["2022-06-10T00:00:00+08:00", "2022-06-11T00:00:00+08:00"],
    ["2022-12-31T12:00:00+08:00", "2023-01-01T00:00:00+08:00"],
  ])("at %s is valid until %s", (at, until) => {
    expect(JSON.parse(answerText(ask([]), "**", instant(at) * 1000))).toMatchObject({ validUntil: until });
  });
});
