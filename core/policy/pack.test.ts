import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { residentId } from "../../test/ingestSupport.ts";
import { contains, FINDING_KINDS, FOREVER, formatInstant, parseInstant, RESTRICTING, type Interval, type VenueRule } from "../domain/index.ts";
import { beijingPack, beijingPackText, incompleteRules, PackError, parseNewPack, parsePack, spanAt, type PolicyPack, type RuleName } from "./pack.ts";
import { USUAL_VENUE, venueRules } from "./venue.ts";

const at = (text: string): number => parseInstant(text)!;
const day = (date: string): number => at(`${date}T00:00:00+08:00`);
const beijing = beijingPack();

/** What a broken pack says of itself, one fault a line. */
function faultsOf(text: string, parse = parsePack): string[] {
  try {
    parse(text, "city.yaml");
  } catch (error) {
    expect(error).toBeInstanceOf(PackError);
    return (error as PackError).message.split("\n");
  }
  return [];
}

/** A small sound pack; its lines are counted from 1. */
const SOUND = `pack: city
city: 11
until: 2022-01-01T00:00:00+08:00
policies:
  - from: 2020-01-01T00:00:00+08:00
    title: { zh: 一, en: One }
    rules:
      unregistered: { flag: unconfirmed }
      popupNumbers: { numbered: false }
      arrivalTest: { popup: 4, withinHours: 72 }
  - from: 2021-01-01T00:00:00+08:00
    title: { zh: 二, en: Two }
    rules:
      popupNumbers: { numbered: true }
`;
const line = (number: number): string => SOUND.split("\n")[number - 1]!;
const changed = (number: number, text: string): string => SOUND.split("\n").with(number - 1, text).join("\n");

describe("the pack of Beijing", () => {
  test("is in force from 2020-03-01 to 2022-12-20, 00:00 Beijing time", () => {
    expect(beijing).toMatchObject({ name: "beijing", city: 11, validity: { from: day("2020-03-01"), until: day("2022-12-20") } });
  });
  test("says what becomes of every kind of finding", () => {
    expect(Object.keys(beijing.spans.findings[0]!.parameters).sort()).toEqual([...FINDING_KINDS].sort());
  });
  const whole = ["2020-03-01", "2022-12-20"];
  const dates: Record<RuleName, string[]> = {
    unregistered: whole,
    findings: whole,
    unsettledPositive: whole,
    popupNumbers: ["2020-03-01", "2022-02-12", "2022-12-20"],
    stillInRiskCounty: ["2021-08-07", "2021-10-24"],
    affectedCounty: ["2021-10-24", "2021-10-30", "2022-07-16", "2022-12-20"],
    unverifiedComer: ["2020-03-17", "2020-04-18", "2020-04-30", "2021-10-30"],
    unverifiedMovement: ["2020-06-01", "2021-10-30"],
    leftRiskCounty: ["2021-08-07", "2021-10-24"],
    samePrefectureTest: ["2021-10-30", "2022-02-12"],
    prefectureMark: ["2021-10-24", "2021-10-30"],
    arrivalTest: ["2022-01-22", "2022-12-20"],
    isolation: ["2021-01-05", "2021-10-09", "2021-10-24", "2022-05-04", "2022-07-06", "2022-12-20"],
    purchaseTest: ["2022-01-23", "2022-12-20"],
    clinicTest: ["2022-01-23", "2022-12-20"],
    portCounty: ["2021-11-17", "2022-07-16"],
    commuterMark: ["2021-11-17", "2021-11-20", "2022-05-05", "2022-12-20"],
    obligationTest: ["2022-01-01", "2022-12-20"],
    screeningTest: ["2022-05-01", "2022-12-20"],
    linkCheck: whole,
    venues: ["2021-10-24", "2021-10-30", "2021-11-17", "2022-05-05", "2022-12-20"],
    testAge: ["2020-03-01", "2022-07-02", "2022-12-20"],
    testShown: ["2022-05-04", "2022-07-30", "2022-12-20"],
  };
  /** Rules that end and begin again; all others go on from date to date. */
  const GAPS = ["2021-10-30 2021-11-17"];
  test.each(Object.entries(dates))("%s has the dates of the rules", (rule, edges) => {
    const expected = edges.slice(1).map((until, i) => [edges[i]!, until]).filter((pair) => rule !== "venues" || !GAPS.includes(pair.join(" ")));
    expect(beijing.spans[rule as RuleName].map((s) => [s.from, s.until])).toEqual(expected.map((pair) => pair.map(day)));
  });
  test("has the windows, hours and days of the rules", () => {
    expect(beijing.spans.affectedCounty.map((s) => [s.parameters.windowDays, s.parameters.heldAreas])).toEqual([[14, false], [14, true], [7, true]]);
    expect(beijing.spans.isolation.map((s) => [s.parameters.cityDays, s.parameters.originDays["MAC"], s.parameters.exemptOrigins.length])).toEqual([
      ...[[21, undefined, 1], [21, 14, 0], [21, undefined, 1], [17, undefined, 1], [7, undefined, 1]],
    ]);
    expect([beijing.spans.arrivalTest, beijing.spans.purchaseTest, beijing.spans.clinicTest].map(([s]) => s!.parameters.withinHours)).toEqual([72, 72, 72]);
    expect(beijing.spans.commuterMark.map((s) => [s.parameters.days, s.parameters.flags.length])).toEqual([[14, 1], [14, 2], [7, 2]]);
    expect(beijing.spans.testAge.map((s) => s.parameters.countsAsDayBeforeUntilHour)).toEqual([0, 6]);
  });
  test("says that its list of port counties is wanting, and a pack with one, or without the rule, doesn't", () => {
    expect(incompleteRules(beijing)).toEqual([expect.stringContaining("portCounties") as string]);
    const filled = parsePack(beijingPackText().replace("portCounties: []", "portCounties: [231081]"), "p.yaml");
    expect([filled.portCounties, incompleteRules(filled)]).toEqual([[231081], []]);
    expect(incompleteRules(parsePack(SOUND, "p.yaml"))).toEqual([]);
  });
  test("has a fingerprint that changes with one letter", () => {
    const other = parsePack(beijingPackText().replace("merged into", "merged  into"), "p.yaml");
    expect(other.fingerprint).not.toBe(beijing.fingerprint);
    expect(beijing.fingerprint).toMatch(/^[0-9a-f]{64}$/);
  });
  test("every title stands in Chinese and in English", () => {
    for (const { title } of beijing.policies) expect([title.zh, title.en].every((t) => t.trim() !== "")).toBe(true);
  });
});

/** Rules of a kind that hold at an instant. */
const holdingAt = (rules: readonly VenueRule[], venue: string, instant: number): VenueRule[] => rules.filter((r) => r.venue === venue && contains(r, instant));

describe("the venues of Beijing", () => {
  const rules = venueRules(beijing);
  const kinds = ["venue", "boarding", "checkpoint"];
  const plain = { stops: RESTRICTING, testHours: null, commuterHours: null, testIf: null, acceptsReceipt: false };
  const ruleAt = (venue: string, instant: number): object | undefined => {
    const [rule] = holdingAt(rules, venue, instant);
    return rule && { ...rule, venue: "", from: 0, until: 0 };
  };
  const only = (rule: object): object => ({ ...plain, ...rule, venue: "", from: 0, until: 0 });

  test("are the usual one, boarding and checkpoints", () => {
    expect([...new Set(rules.map((r) => r.venue))]).toEqual(kinds);
  });
  test("the usual one stops whatever restricts, and only that, as long as the pack is in force", () => {
    expect(rules.filter((r) => r.venue === USUAL_VENUE)).toEqual([{ ...plain, venue: USUAL_VENUE, ...beijing.validity }]);
  });
  test("every kind has exactly one rule at any instant of the validity, and none outside", () => {
    const edges = [...beijing.policies.map((p) => p.from), beijing.validity.until];
    for (const venue of kinds) {
      for (const instant of [0, ...edges.flatMap((e) => [e - 1, e, e + 1]), FOREVER]) expect(holdingAt(rules, venue, instant), `${venue} ${instant}`).toHaveLength(contains(beijing.validity, instant) ? 1 : 0);
    }
  });
  const BESIDE = { testHours: 48, testIf: "prefecture" };
  test.each<[string, string, object]>([
    ["boarding", "2021-10-24", BESIDE],
    ["checkpoint", "2021-10-24", BESIDE],
    ["boarding", "2021-11-17", { testHours: 48, commuterHours: 336 }],
    ["checkpoint", "2021-11-17", { testHours: 48, commuterHours: 336, acceptsReceipt: true }],
    ["boarding", "2022-05-05", { testHours: 48, commuterHours: 168 }],
    ["checkpoint", "2022-05-05", { testHours: 48, commuterHours: 168, acceptsReceipt: true }],
  ])("%s has another rule from 00:00 of %s on, not a second sooner", (venue, date, expected) => {
    expect(ruleAt(venue, day(date))).toEqual(only(expected));
    expect(ruleAt(venue, day(date) - 1)).not.toEqual(only(expected));
  });
  test("from 2021-10-30 to 11-16 boarding asks for nothing of its own", () => {
    for (const instant of [day("2021-10-30"), day("2021-11-17") - 1]) expect([ruleAt("boarding", instant), ruleAt("checkpoint", instant)]).toEqual([only({}), only({})]);
  });
});

describe("a fault names its line", () => {
  test("the sound pack has none", () => {
    expect(faultsOf(SOUND)).toEqual([]);
  });
  test.each([
    ["an unknown rule, first of its policy", changed(8, "      bogus: { flag: home }"), 8, "bogus"],
    ["an unknown rule, behind others", changed(10, "      bogus: { flag: home }"), 10, "bogus"],
    ["an unknown rule in the second policy, behind another", `${SOUND}      bogus: { flag: home }\n`, 15, "bogus"],
    ["an unknown parameter", changed(9, "      popupNumbers: { numbered: false, colour: red }"), 9, "colour"],
    ["an alias without its anchor", changed(9, "      popupNumbers: *nowhere"), 9, "nowhere"],
    ["an unknown field of the pack", `${SOUND}colour: red\n`, 15, "colour"],
  ])("%s", (_, text, number, word) => {
    const faults = faultsOf(text);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(word);
    expect(faults[0]).toMatch(new RegExp(`^city\\.yaml:${number}: `));
  });
  test.each([
    ["a number that is a word", changed(10, "      arrivalTest: { popup: 4, withinHours: soon }"), 10, "policies.0.rules.arrivalTest.withinHours"],
    ["a number with a fraction", changed(10, "      arrivalTest: { popup: 4, withinHours: 1.5 }"), 10, "policies.0.rules.arrivalTest.withinHours"],
    ["0 hours", changed(10, "      arrivalTest: { popup: 4, withinHours: 0 }"), 10, "policies.0.rules.arrivalTest.withinHours"],
    ["1,001 hours", changed(10, "      arrivalTest: { popup: 4, withinHours: 1001 }"), 10, "policies.0.rules.arrivalTest.withinHours"],
    ["a parameter that is missing", changed(10, "      arrivalTest: { popup: 4 }"), 10, "policies.0.rules.arrivalTest.withinHours"],
    ["a rule that is a word", changed(10, "      arrivalTest: soon"), 10, "policies.0.rules.arrivalTest"],
    ["pop-up 6", changed(10, "      arrivalTest: { popup: 6, withinHours: 72 }"), 10, "policies.0.rules.arrivalTest.popup"],
    ["a flag that there isn't", changed(8, "      unregistered: { flag: purple }"), 8, "policies.0.rules.unregistered.flag"],
    ["a kind of finding that there isn't", changed(8, "      findings: { rumour: home }"), 8, "policies.0.rules.findings"],
    ["a boolean in quotes", changed(14, '      popupNumbers: { numbered: "true" }'), 14, "policies.1.rules.popupNumbers.numbered"],
    ["a title without its English", changed(12, "    title: { zh: 二 }"), 12, "policies.1.title.en"],
    ["a title that is missing", changed(12, "    #"), 11, "policies.1.title"],
    ["a province that is a word", changed(2, "city: beijing"), 2, "city"],
    ["a name in capitals", changed(1, "pack: City"), 1, "pack"],
    ["policies that are none", "pack: city\ncity: 11\nuntil: 2022-01-01T00:00:00+08:00\npolicies: []\n", 4, "policies"],
    ["a date for an instant", changed(11, "  - from: 2021-01-01"), 11, "policies.1.from"],
    ["an instant without offset", changed(11, "  - from: 2021-01-01T00:00:00"), 11, "policies.1.from"],
    ["29 February 2021", changed(11, "  - from: 2021-02-29T00:00:00+08:00"), 11, "policies.1.from"],
    ["a venue whose name has a blank", `${SOUND}      venues: { "my gate": {} }\n`, 15, "policies.1.rules.venues"],
    ["a venue with a number for a flag", `${SOUND}      venues:\n        gate: { stops: [1] }\n`, 16, "policies.1.rules.venues.gate.stops.0"],
    ["a venue that asks for 0 hours", `${SOUND}      venues:\n        gate: { testHours: 0 }\n`, 16, "policies.1.rules.venues.gate.testHours"],
    ["an unknown field of a venue", `${SOUND}      venues:\n        gate: { colour: red }\n`, 16, "policies.1.rules.venues.gate.colour"],
    ["a port county that isn't on the list", `${SOUND}portCounties:\n  - 231081\n  - 999999\n`, 17, "portCounties.1"],
    ["a port county under its older code", `${SOUND}portCounties: [320684]\n`, 15, "portCounties.0"],
    ["a window of 61 days", changed(10, "      stillInRiskCounty: { flag: home, windowDays: 61 }"), 10, "policies.0.rules.stillInRiskCounty.windowDays"],
    ["an origin of two letters", changed(10, "      isolation: { popup: 2, cityDays: 1, cityDaysWithoutHome: 1, elsewhereDays: 1, originDays: {}, exemptOrigins: [MO], exemptTestWithinHours: 1 }"), 10, "policies.0.rules.isolation.exemptOrigins.0"],
    ["an origin that is no country's code", changed(10, "      isolation: { popup: 2, cityDays: 1, cityDaysWithoutHome: 1, elsewhereDays: 1, originDays: {}, exemptOrigins: [MAC, ZZZ], exemptTestWithinHours: 1 }"), 10, "policies.0.rules.isolation.exemptOrigins.1"],
    ["days for an origin that is no country's code", changed(10, "      isolation: { popup: 2, cityDays: 1, cityDaysWithoutHome: 1, elsewhereDays: 1, originDays: { ZZZ: 3 }, exemptOrigins: [], exemptTestWithinHours: 1 }"), 10, "policies.0.rules.isolation.originDays.ZZZ"],
    ["marks of commuters that are none", changed(10, "      commuterMark: { flags: [], days: 7 }"), 10, "policies.0.rules.commuterMark.flags"],
    ["popupNumbers that end", changed(14, "      popupNumbers: null"), 14, "policies.1.rules.popupNumbers"],
    ["24:00", changed(3, "until: 2021-12-31T24:00:00+08:00"), 3, "until"],
  ])("%s", (_, text, number, field) => {
    const faults = faultsOf(text);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(new RegExp(`^city\\.yaml:${number}: ${field.replaceAll(".", "\\.")}`));
  });
  test.each([
    ["a policy that begins when the next does", changed(11, line(5)), 5],
    ["a policy that begins after the next", changed(5, "  - from: 2021-06-01T00:00:00+08:00"), 5],
    ["the last policy beginning when the pack ends", changed(11, "  - from: 2022-01-01T00:00:00+08:00"), 11],
    ["the last policy beginning after the pack's end", changed(3, "until: 2020-12-31T00:00:00+08:00"), 11],
  ])("disorder of dates: %s", (_, text, number) => {
    expect(faultsOf(text)).toEqual([expect.stringMatching(new RegExp(`^city\\.yaml:${number}: policies\\.\\d\\.from: must lie before`)) as string]);
  });
  test("a policy that begins one second before the next is in order", () => {
    expect(faultsOf(changed(5, "  - from: 2020-12-31T23:59:59+08:00"))).toEqual([]);
  });
  test.each([
    ["a bracket that isn't closed", changed(8, "      unregistered: { flag: unconfirmed"), [8, 9]],
    ["a line that is indented wrongly", changed(12, "   title: { zh: 二, en: Two }"), [11, 12]],
    ["a field that stands twice", changed(9, line(8)), [8, 9]],
    ["a tab for blanks", changed(2, "\tcity: 11"), [2, 2]],
  ])("YAML that can't be read: %s", (_, text, [first, last]) => {
    const number = Number(/^city\.yaml:(\d+): /.exec(faultsOf(text)[0]!)?.[1]);
    expect(number).toBeGreaterThanOrEqual(first!);
    expect(number).toBeLessThanOrEqual(last!);
  });
  test.each([
    ["a bracket that isn't closed", changed(8, "      unregistered: { flag: unconfirmed"), "or a bracket before it is not closed"],
    ["a field that stands twice", changed(9, line(8)), "pack: a field stands twice: remove one"],
    ["a tab for blanks", changed(2, "\tcity: 11"), "indent with blanks"],
    ["an alias without its anchor", changed(9, "      popupNumbers: *nowhere"), "the alias *nowhere has no anchor before it: set &nowhere first"],
    ["a number that is a word", changed(10, "      arrivalTest: { popup: 4, withinHours: soon }"), "withinHours: must be a number"],
    ["pop-up 6", changed(10, "      arrivalTest: { popup: 6, withinHours: 72 }"), "popup: must be one of 0, 1, 2, 3, 4, 5"],
    ["an unknown rule", changed(8, "      bogus: { flag: home }"), "bogus: is no field of policies.0.rules: remove it or correct its name"],
    ["a kind of finding that there isn't", changed(8, "      findings: { rumour: home }"), "findings.rumour: is no field of policies.0.rules.findings"],
  ])("%s is said in our own words", (_, text, words) => {
    expect(faultsOf(text).join("\n")).toContain(words);
  });
  test("several faults are told at once, one a line", () => {
    const faults = faultsOf(changed(8, "      unregistered: { flag: purple }").replace(line(2), "city: beijing"));
    expect(faults.map((f) => f.split(":")[1])).toEqual(["2", "8"]);
  });
  test.each([["nothing at all", ""], ["a list", "- a\n"], ["a word", "beijing\n"]])("%s is a fault and doesn't crash", (_, text) => {
    expect(faultsOf(text).length).toBeGreaterThan(0);
  });
});

describe("a pack that somebody brings", () => {
  const number = residentId(1);
  const newFaultsOf = (text: string): string[] => faultsOf(text, parseNewPack);

  test.each([
    ["as its name", changed(1, `pack: "${number.toLowerCase()}"`), 1],
    ["as its name, with hyphens", changed(1, `pack: ${number.slice(0, 6)}-${number.slice(6, 14)}-${number.slice(14).toLowerCase()}`), 1],
    ["in a title", changed(12, `    title: { zh: 二, en: "For ${number}" }`), 12],
    ["in a comment", changed(2, `city: 11 # asked for by ${number}`), 2],
    ["as a phone number", changed(2, `city: 11 # call 139 0000 0001`), 2],
    ["in what is no YAML", changed(8, `      unregistered: { flag: ${number}`), 8],
    ["as an unknown field", `${SOUND}"${number}": 1\n`, 15],
    ["as an alias", changed(9, `      popupNumbers: *n${number}`), 9],
  ])("may not hold somebody's number %s, and its fault doesn't repeat it", (_, text, line) => {
    const faults = newFaultsOf(text);
    expect(faults).toEqual([`city.yaml:${line}: pack: the line seems to hold a document or phone number, which must not be kept: leave it out`]);
  });
  test.each([
    ["seven digits, as passports have", "e1234567", false],
    ["a date without hyphens", "beijing-20220609", false],
    ["six digits", "county-110105", true],
    ["a date", "beijing-2022-06-09", true],
    ["64 characters", "a".repeat(64), true],
    ["65 characters", "a".repeat(65), false],
  ])("may be named with %s: %s", (_, name, isTaken) => {
    const faults = newFaultsOf(changed(1, `pack: ${name}`));
    expect(faults).toEqual(isTaken ? [] : [expect.stringMatching(/^city\.yaml:1: pack: may have 64 characters and six digits in a row/) as string]);
    expect(faults.join()).not.toContain(name);
    // One that is kept already goes on to be read.
    expect(faultsOf(changed(1, `pack: ${name}`))).toEqual([]);
  });
  test("is told the line of its name where that stands", () => {
    const [first, ...others] = SOUND.replace("pack: city", "pack: e1234567").split("\n");
    expect(newFaultsOf([...others.filter((l) => l !== ""), first].join("\n"))).toEqual([expect.stringMatching(/^city\.yaml:14: pack: /) as string]);
  });
  test("like Beijing's holds nothing of the kind, and has the faults that any pack has", () => {
    expect(newFaultsOf(beijingPackText())).toEqual([]);
    expect(newFaultsOf(changed(14, "      popupNumbers: null"))).toEqual(faultsOf(changed(14, "      popupNumbers: null")));
  });
});

// --- Random packs ---

const HOURS = [24, 48, 72];
/** What a policy says of one rule: nothing (it goes on), null (it ends), or some hours. */
const stated = fc.constantFrom("nothing" as const, null, ...HOURS);
const policyPack = fc
  .uniqueArray(fc.nat({ max: 40 }), { minLength: 2, maxLength: 8 })
  .map((days) => days.toSorted((a, b) => a - b).map((d) => day("2022-01-01") + d * 86_400))
  .chain((starts) => fc.tuple(fc.constant(starts), fc.array(stated, { minLength: starts.length - 1, maxLength: starts.length - 1 })));

function written(starts: readonly number[], says: readonly ("nothing" | null | number)[]): PolicyPack {
  const policies = says.map((hours, i) => {
    const rule = hours === "nothing" ? "" : `arrivalTest: ${hours === null ? "null" : `{ popup: 4, withinHours: ${hours} }`}`;
    const first = i === 0 ? "popupNumbers: { numbered: true }, " : "";
    return `  - { from: "${formatInstant(starts[i]!)}", title: { zh: a, en: a }, rules: { ${first}${rule} } }\n`;
  });
  return parsePack(`pack: p\ncity: 11\nuntil: "${formatInstant(starts.at(-1)!)}"\npolicies:\n${policies.join("")}`, "p.yaml");
}
/** What a policy says of venues: nothing, that they end, or hours by kind. */
const statedVenues = fc.constantFrom("nothing" as const, null, { a: 1 }, { b: 2 }, { a: 3, b: 4 }, { venue: 5 });
const venuePack = fc
  .uniqueArray(fc.nat({ max: 40 }), { minLength: 2, maxLength: 8 })
  .map((days) => days.toSorted((a, b) => a - b).map((d) => day("2022-01-01") + d * 86_400))
  .chain((starts) => fc.tuple(fc.constant(starts), fc.array(statedVenues, { minLength: starts.length - 1, maxLength: starts.length - 1 })));

function writtenVenues(starts: readonly number[], says: readonly ("nothing" | null | Record<string, number | undefined>)[]): PolicyPack {
  const policies = says.map((stated, i) => {
    const kinds = Object.entries(stated === "nothing" ? {} : (stated ?? {})).map(([kind, hours]) => `${kind}: { testHours: ${hours} }`);
    const rule = stated === "nothing" ? "" : `venues: ${stated === null ? "null" : `{ ${kinds.join(", ")} }`}`;
    return `  - { from: "${formatInstant(starts[i]!)}", title: { zh: a, en: a }, rules: { ${i === 0 ? "popupNumbers: { numbered: true }, " : ""}${rule} } }\n`;
  });
  return parsePack(`pack: p\ncity: 11\nuntil: "${formatInstant(starts.at(-1)!)}"\npolicies:\n${policies.join("")}`, "p.yaml");
}
const instantsAround = (starts: readonly number[]): number[] => [0, ...starts.flatMap((s) => [s - 1, s, s + 1, s + 43_200]), FOREVER];
const policiesAt = ({ policies, validity }: PolicyPack, instant: number): number =>
  policies.filter(({ from }, i) => contains({ from, until: policies[i + 1]?.from ?? validity.until }, instant)).length;

describe("in time", () => {
  test("exactly one policy holds at any instant inside the pack's validity, and none outside, for any pack", () => {
    fc.assert(
      fc.property(policyPack, ([starts, says]) => {
        const pack = written(starts, says);
        expect(pack.validity).toEqual({ from: starts[0], until: starts.at(-1) });
        for (const instant of instantsAround(starts)) expect(policiesAt(pack, instant)).toBe(contains(pack.validity, instant) ? 1 : 0);
      }),
    );
  });
  test("also of Beijing's, at any instant", () => {
    fc.assert(
      fc.property(fc.integer({ min: day("2019-12-01"), max: day("2023-03-01") }), (instant) => {
        expect(policiesAt(beijing, instant)).toBe(contains(beijing.validity, instant) ? 1 : 0);
      }),
    );
  });
  test("a rule goes on until it is stated anew or ended: at any instant its span says what the last statement said, for any pack", () => {
    fc.assert(
      fc.property(policyPack, ([starts, says]) => {
        const { spans, validity } = written(starts, says);
        for (const instant of instantsAround(starts)) {
          const last = says.filter((s, i) => s !== "nothing" && starts[i]! <= instant).at(-1);
          const expected = contains(validity, instant) && typeof last === "number" ? last : undefined;
          expect(spanAt(spans.arrivalTest, instant)?.parameters.withinHours).toBe(expected);
        }
      }),
    );
  });
  test("the spans of every rule are ascending, disjoint, not empty, and inside the validity, for any pack", () => {
    const check = (pack: PolicyPack): void => {
      for (const spans of Object.values<readonly Interval[]>(pack.spans)) {
        const edges = [pack.validity.from, ...spans.flatMap((s) => [s.from, s.until]), pack.validity.until];
        spans.forEach((s) => {
          expect(s.from).toBeLessThan(s.until);
        });
        expect(edges).toEqual(edges.toSorted((a, b) => a - b));
      }
    };
    check(beijing);
    fc.assert(
      fc.property(policyPack, ([starts, says]) => {
        check(written(starts, says));
      }),
    );
  });
  test("a rule that is not named in a policy goes on in one span, without a seam", () => {
    expect(written([day("2022-01-01"), day("2022-01-02"), day("2022-01-03")], [24, "nothing"]).spans.arrivalTest).toEqual([
      { from: day("2022-01-01"), until: day("2022-01-03"), parameters: { popup: 4, withinHours: 24 } },
    ]);
  });
  test("a rule that ended and isn't named again stays ended", () => {
    expect(written([1, 2, 3, 4].map((d) => day(`2022-01-0${d}`)), [24, null, "nothing"]).spans.arrivalTest).toHaveLength(1);
  });
  test("a span holds at its first second and no longer at its end", () => {
    const spans = [{ from: 10, until: 20 }, { from: 20, until: 30 }];
    expect([9, 10, 19, 20, 29, 30].map((instant) => spanAt(spans, instant)?.from)).toEqual([undefined, 10, 10, 20, 20, undefined]);
  });
  test("every kind of venue has exactly one rule at any instant of the validity, without gaps or overlaps, and none outside, for any pack: what the policy last stated, else the usual", () => {
    fc.assert(
      fc.property(venuePack, ([starts, says]) => {
        const pack = writtenVenues(starts, says);
        const rules = venueRules(pack);
        const kinds = new Set(says.flatMap((stated) => (stated === "nothing" ? [] : Object.keys(stated ?? {}))));
        expect(new Set(rules.map((r) => r.venue))).toEqual(kinds.add(USUAL_VENUE));
        for (const venue of kinds) {
          for (const instant of instantsAround(starts)) {
            const last = says.filter((s, i) => s !== "nothing" && starts[i]! <= instant).at(-1) as Record<string, number | undefined> | null | undefined;
            const expected = contains(pack.validity, instant) ? [last?.[venue] ?? null] : [];
            expect(holdingAt(rules, venue, instant).map((r) => r.testHours)).toEqual(expected);
          }
        }
        for (const rule of rules) {
          expect(rule.from).toBeLessThan(rule.until);
          expect(rule.stops).toEqual(RESTRICTING);
        }
      }),
      { numRuns: 500 },
    );
  });
  test("a venue may stop fewer or more flags than the usual one", () => {
    const pack = parsePack(`${SOUND}      venues:\n        hospital: { stops: [central] }\n        school: { stops: [], receipt: true }\n`, "p.yaml");
    const [from, seam, until] = [day("2020-01-01"), day("2021-01-01"), day("2022-01-01")];
    const fields = venueRules(pack).map(({ venue, stops, acceptsReceipt, ...rest }) => [venue, stops, acceptsReceipt, rest.from, rest.until]);
    expect(fields).toEqual([
      ["venue", RESTRICTING, false, from, until],
      ["hospital", RESTRICTING, false, from, seam],
      ["hospital", ["central"], false, seam, until],
      ["school", RESTRICTING, false, from, seam],
      ["school", [], true, seam, until],
    ]);
  });
});
