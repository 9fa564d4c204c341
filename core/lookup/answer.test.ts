// Answers: every combination of flags against the specification, the edges of a policy's validity, and one length for all.

import { describe, expect, test } from "vitest";
import { instant, NOW } from "../../test/ingestSupport.ts";
import { dayOf, FLAGS, FOREVER, maskNumber, RESTRICTING, type Flag, type VenueRule } from "../domain/index.ts";
import type { EntryState } from "../entry/index.ts";
import { ANSWER_BYTES, answerBytes, answerOf, fieldsOf, UNKNOWN_HOLDER, type Answer, type AnswerFields } from "./answer.ts";
import { compileVenueRule, compileVenues, flagBit, lacksTest } from "./venues.ts";

const VALIDITY = { from: instant("2020-03-01T00:00:00+08:00"), until: instant("2022-12-20T00:00:00+08:00") };
const USUAL: VenueRule = { venue: "venue", stops: RESTRICTING, testHours: null, commuterHours: null, testIf: null, acceptsReceipt: false, ...VALIDITY };
const NOW_MS = NOW * 1000;

function stateOf(flags: readonly Flag[], over: Partial<EntryState> = {}): EntryState {
  return { flags: flags.reduce((bits, flag) => bits | (1 << FLAGS.indexOf(flag)), 0), incomplete: false, shownDay: null, issuedAt: 0, ...over };
}
/** As a gate asks: the rule of its venue at that time, if any. */
const answer = (flags: readonly Flag[], over: Partial<EntryState> = {}, rule: VenueRule = USUAL, nowMs = NOW_MS): Answer =>
  answerOf(stateOf(flags, over), compileVenues([rule]).at(rule.venue, Math.floor(nowMs / 1000)), Math.floor(nowMs / 1000));
const ask = (...question: Parameters<typeof answer>): AnswerFields => fieldsOf(answer(...question));

/** All 4,096 sets of flags. */
const ALL_SETS: readonly (readonly Flag[])[] = Array.from({ length: 2 ** FLAGS.length }, (_, bits) => FLAGS.filter((_flag, i) => (bits >> i) % 2 === 1));

describe("what the policy says, case by case", () => {
  const green = { pass: true, reason: null, status: "clear", popups: [], unconfirmed: false, commuter: false, testAgeDays: null } as const;
  test.each<[string, readonly Flag[], Partial<AnswerFields>]>([
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
  function specified(flags: readonly Flag[], stops: readonly Flag[]): AnswerFields {
    const has = (flag: Flag): boolean => flags.includes(flag);
    const popups = [0, 1, 2, 3, 4, 5].filter((n) => has(`popup-${n}` as Flag));
    const colour = has("central") ? "central" : has("home") ? "home" : "clear";
    const isShown = colour !== "clear" || (popups.length === 0 && !has("unconfirmed"));
    const against: [AnswerFields["reason"], boolean][] = [
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
    ["a rule that stops whoever was beside a risk", ["prefecture", "commuting"]],
    ["a rule that stops everything", FLAGS],
  ];
  test.each(rules)("under %s is as specified", (_, stops) => {
    for (const flags of ALL_SETS) expect(ask(flags, {}, { ...USUAL, stops }), flags.join()).toEqual(specified(flags, stops));
  });
  /** Every set of marks alone. */
  const MARKS = [[], ["commuter"], ["commuting"], ["commuter", "commuting"], ["prefecture"], ["commuter", "prefecture"], ["commuting", "prefecture"], ["commuter", "commuting", "prefecture"]];
  test("lets pass without any flag or with marks alone, and never else, under the usual rule", () => {
    expect(ALL_SETS.filter((flags) => ask(flags).pass)).toEqual(MARKS);
  });
  test("never lets pass who is restricted, whatever the venue's rule leaves out", () => {
    const passing = ALL_SETS.filter((flags) => ask(flags, {}, { ...USUAL, stops: [] }).pass);
    expect(passing).toEqual(MARKS);
  });
  test("of a venue that asks for a test passes exactly who would pass with it and has it", () => {
    const asking = { ...USUAL, testHours: 48 };
    for (const flags of ALL_SETS) {
      expect(ask(flags, { issuedAt: NOW }, asking)).toEqual(ask(flags));
      const untested = ask(flags, {}, asking);
      expect(untested).toEqual(ask(flags).pass ? { ...ask(flags), pass: false, reason: "venue-rule" } : ask(flags));
    }
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
    expect(fieldsOf(answerOf(UNKNOWN_HOLDER, compileVenueRule(USUAL), NOW))).toEqual(ask(["unconfirmed"]));
  });
});

describe("a compiled venue rule", () => {
  const stopping = (stops: readonly Flag[]): number => compileVenueRule({ ...USUAL, stops }).stops;

  test("has one bit for each flag, and the bounds of its validity", () => {
    FLAGS.forEach((flag, i) => {
      expect([stopping([flag]), flagBit(flag)]).toEqual([2 ** i, 2 ** i]);
    });
    expect(stopping(FLAGS)).toBe(2 ** FLAGS.length - 1);
    expect(stopping([])).toBe(0);
    expect(compileVenueRule({ ...USUAL, from: 1, until: 2 })).toMatchObject({ from: 1, until: 2 });
  });
  test("does not care for order or repetition", () => {
    expect(stopping(["home", "popup-1", "home"])).toBe(stopping(["popup-1", "home"]));
  });
  test("has hours as seconds, those of everybody for commuters where it says nothing else, and 0 where it asks for nothing", () => {
    expect(compileVenueRule(USUAL)).toEqual({ ...VALIDITY, stops: 0x1ff, testS: 0, commuterTestS: 0, testIf: 0, acceptsReceipt: false });
    expect(compileVenueRule({ ...USUAL, testHours: 48 })).toMatchObject({ testS: 172_800, commuterTestS: 172_800 });
    expect(compileVenueRule({ ...USUAL, testHours: 48, commuterHours: 336, testIf: "prefecture", acceptsReceipt: true })).toMatchObject({
      ...{ testS: 172_800, commuterTestS: 1_209_600, testIf: flagBit("prefecture"), acceptsReceipt: true },
    });
  });
});

describe("a venue that asks for a test of the last 48 hours (POLICY §0, §2.3)", () => {
  const H = 3600;
  const BOARDING: VenueRule = { ...USUAL, venue: "boarding", testHours: 48, commuterHours: 336 };
  const lacking = (issuedAt: number, flags: readonly Flag[] = [], rule: VenueRule = BOARDING, hasReceipt = false): boolean =>
    lacksTest(compileVenueRule(rule), stateOf(flags).flags, issuedAt, NOW, hasReceipt);

  test.each<[string, number, boolean]>([
    ["issued at this second", NOW, false],
    ["issued exactly 48 hours ago", NOW - 48 * H, false],
    ["issued one second longer ago", NOW - 48 * H - 1, true],
    ["issued one second from now", NOW + 1, true],
    ["issued at the last instant that there is", FOREVER, true],
    ["that doesn't exist", 0, true],
  ])("takes no other than a newer one: %s", (_, issuedAt, lacks) => {
    expect(lacking(issuedAt)).toBe(lacks);
  });
  test.each<[string, number, boolean]>([
    ["exactly 336 hours ago", NOW - 336 * H, false],
    ["one second longer ago", NOW - 336 * H - 1, true],
    ["one second from now", NOW + 1, true],
    ["never", 0, true],
  ])("takes an older one of commuters: issued %s", (_, issuedAt, lacks) => {
    expect(lacking(issuedAt, ["commuting"])).toBe(lacks);
    expect(lacking(issuedAt, ["commuting", "commuter"])).toBe(lacks);
  });
  test("goes by the commuters' rule, not by their mark", () => {
    expect(lacking(NOW - 100 * H, ["commuter"])).toBe(true);
    expect(lacking(NOW - 100 * H, ["prefecture"])).toBe(true);
  });
  test("may be stricter with commuters than with others, and is as with others when it says nothing of them", () => {
    expect(lacking(NOW - 25 * H, ["commuting"], { ...BOARDING, commuterHours: 24 })).toBe(true);
    expect([48 * H, 48 * H + 1].map((ago) => lacking(NOW - ago, ["commuting"], { ...BOARDING, commuterHours: null }))).toEqual([false, true]);
  });
  test("asks it of nobody when the rule names no hours, even if it names commuters' hours", () => {
    expect(lacking(0, ["commuting"], { ...BOARDING, testHours: null })).toBe(false);
  });
  test("asks it only of whoever has the flag that it names", () => {
    const rule: VenueRule = { ...BOARDING, testIf: "prefecture" };
    expect(lacking(0, [], rule)).toBe(false);
    expect(lacking(0, ["commuting", "commuter"], rule)).toBe(false);
    expect(lacking(0, ["prefecture"], rule)).toBe(true);
    expect(lacking(NOW - 48 * H, ["prefecture"], rule)).toBe(false);
    expect(lacking(NOW - 48 * H - 1, ["prefecture"], rule)).toBe(true);
  });
  test("takes a receipt for the test only where the rule says so", () => {
    expect(lacking(0, [], BOARDING, true)).toBe(true);
    expect(lacking(0, [], { ...BOARDING, acceptsReceipt: true }, true)).toBe(false);
    expect(lacking(0, [], { ...BOARDING, acceptsReceipt: true }, false)).toBe(true);
  });
  test("lets a receipt stand for nothing but the test", () => {
    const rule = compileVenueRule({ ...BOARDING, acceptsReceipt: true });
    for (const flags of ALL_SETS) expect(fieldsOf(answerOf(stateOf(flags), rule, NOW, true))).toEqual(ask(flags));
  });
  test("tells its reason last, and the holder's green status beside it", () => {
    expect(ask([], {}, BOARDING)).toMatchObject({ pass: false, reason: "venue-rule", status: "clear" });
    expect(ask(["popup-4"], {}, BOARDING)).toMatchObject({ pass: false, reason: "popup", status: null });
    expect(ask(["unconfirmed"], {}, BOARDING)).toMatchObject({ pass: false, reason: "unconfirmed" });
  });
  test("counts to the second that has begun: 48 hours and 999 milliseconds are 48 hours", () => {
    expect(ask([], { issuedAt: NOW - 48 * H }, BOARDING, NOW_MS + 999).pass).toBe(true);
    expect(ask([], { issuedAt: NOW - 48 * H }, BOARDING, NOW_MS + 1000).pass).toBe(false);
  });
  test("does not let pass an incomplete entry, however new its test", () => {
    expect(ask([], { incomplete: true, issuedAt: NOW }, BOARDING)).toMatchObject({ pass: false, reason: "unconfirmed" });
  });
});

describe("compiled venues", () => {
  const rule = (venue: string, from: number, until: number, testHours: number): VenueRule => ({ ...USUAL, venue, from, until, testHours });
  const hoursAt = (rules: readonly VenueRule[], venue: string, now: number): number | undefined => {
    const testS = compileVenues(rules).at(venue, now)?.testS;
    return testS === undefined ? undefined : testS / 3600;
  };
  const TWO = [rule("a", 10, 20, 1), rule("a", 20, 30, 2), rule("b", 15, 25, 3)];

  test("find a rule from its first instant to its last, and none before or after", () => {
    expect([9, 10, 19, 20, 29, 30].map((now) => hoursAt(TWO, "a", now))).toEqual([undefined, 1, 1, 2, 2, undefined]);
    expect([14, 15, 24, 25].map((now) => hoursAt(TWO, "b", now))).toEqual([undefined, 3, 3, undefined]);
  });
  test("find none in a gap between two", () => {
    const gap = [rule("a", 10, 20, 1), rule("a", 25, 30, 2)];
    expect([19, 20, 24, 25].map((now) => hoursAt(gap, "a", now))).toEqual([1, undefined, undefined, 2]);
  });
  test("know only the kinds that they were told of, and not what every object has", () => {
    const venues = compileVenues(TWO);
    expect(["a", "b", "c", "", "constructor", "__proto__"].map((venue) => venues.has(venue))).toEqual([true, true, false, false, false, false]);
    expect(venues.at("constructor", 15)).toBeUndefined();
    expect(compileVenues([]).at("a", 15)).toBeUndefined();
  });
});

describe("the text of an answer", () => {
  const textOf = (...of: Parameters<typeof answerBytes>): string => Buffer.from(answerBytes(...of)).toString();
  const FIELDS = ["pass", "reason", "status", "popups", "unconfirmed", "commuter", "testAgeDays", "document", "validUntil", "serverTime"];
  const LATEST_MS = instant("2100-12-31T23:59:59+08:00") * 1000 + 999;
  /** The shortest and the longest that there are. */
  const MASKED = ["A1234", "12345678901234567890"].map(maskNumber);

  test("has one length for every combination of flags, the longest documents and the oldest tests", () => {
    for (const flags of ALL_SETS) {
      for (const shownDay of [null, 0, dayOf(NOW)]) {
        for (const masked of MASKED) {
          const text = textOf(answer(flags, { shownDay }), masked, LATEST_MS);
          expect(Buffer.byteLength(text)).toBe(ANSWER_BYTES);
        }
      }
    }
  });
  test("has that length also without policy and for an incomplete entry", () => {
    for (const one of [answer([], {}, USUAL, 0), answer([], { incomplete: true }), answerOf(UNKNOWN_HOLDER, compileVenueRule(USUAL), NOW)]) {
      expect(Buffer.byteLength(textOf(one, MASKED[1]!, NOW_MS))).toBe(ANSWER_BYTES);
    }
  });
  test("is one line of JSON with every field, in the wire's order", () => {
    for (const flags of [[], ["unconfirmed"], ["popup-1", "central"]] as Flag[][]) {
      const text = textOf(answer(flags), "11**************2X", NOW_MS);
      expect(Object.keys(JSON.parse(text) as object)).toEqual(FIELDS);
      expect(text).toMatch(/^\{[^\n]*\} *\n$/);
    }
  });
  test("tells what the answer is, until when, and what time it is here", () => {
    const one = answer(["popup-4"], { shownDay: dayOf(NOW) - 3 });
    expect(JSON.parse(textOf(one, "11**************2X", NOW_MS + 123))).toEqual({
      ...fieldsOf(one),
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
    expect(JSON.parse(textOf(answer([]), "**", instant(at) * 1000))).toMatchObject({ validUntil: until });
  });
});
