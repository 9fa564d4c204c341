// A second city: an invented town whose rules are a file and nothing else, and the page that tells how such a file is written.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { FLAGS, parseInstant, timedFlags, type CountyRisk, type Fact, type Finding, type Flag, type Instant, type RegionHistory, type Verdict } from "../domain/index.ts";
import { encodeEntry, entryOf, readEntryAt, type EntryState } from "../entry/index.ts";
import { answerOf, compileVenues, fieldsOf } from "../lookup/index.ts";
import { createEvaluator } from "./evaluate.ts";
import { explain, type FlagState } from "./explain.ts";
import { beijingPack, beijingPackText, PackError, parsePack, type RuleName } from "./pack.ts";
import { venueRules } from "./venue.ts";

const TEXT = readFileSync(new URL("./testdata/rivertown.yaml", import.meta.url), "utf8");
const PAGE = readFileSync(new URL("../../docs/your-own-rules.md", import.meta.url), "utf8");
const pack = parsePack(TEXT, "rivertown.yaml");
const venues = compileVenues(venueRules(pack));
const at = (text: string): Instant => parseInstant(`${text}+08:00`)!;
const HOUR = 3600;

const [TOWN, ELSEWHERE] = [460105, 440106];
const base = { source: "source", revision: 1, knownFrom: 0 };
const trip = (county: number, from: string, to: string | null = null): Fact => ({ ...base, kind: "trip", county, from: at(from), to: to === null ? null : at(to) });
const negative = (issued: string, county: number | null = TOWN, uploaded = false): Fact => ({
  ...base, kind: "test", sampledAt: at(issued), issuedAt: at(issued), result: "negative", laboratory: "lab", county, uploaded,
});
const found = (finding: Finding["finding"], from: string): Fact => ({ ...base, kind: "finding", finding, level: null, from: at(from), until: null, authority: "authority", ground: "" });
const commuter: Fact = { ...base, kind: "commuting", from: at("2021-06-01T00:00:00"), until: null };

/** A county that held a risk area. */
const holding = (county: number, from: string, until: string): RegionHistory => {
  const risk: CountyRisk = { held: [{ from: at(from), until: at(until) }], infections: [] };
  return { generation: () => 0, risk: (code) => (code === county ? risk : undefined), screenings: () => [] };
};
const NOTHING: RegionHistory = { generation: () => 0, risk: () => undefined, screenings: () => [] };

const evaluate = (facts: readonly Fact[], regions = NOTHING, registered = true): Verdict => createEvaluator(pack, regions).evaluate({ registered, facts });
/** What a gate is told, through the bytes of an entry. */
function ask(verdict: Verdict, asked: Instant, { venue = "venue", receipt = false } = {}): ReturnType<typeof fieldsOf> {
  const state: EntryState = { flags: 0, incomplete: false, shownDay: null, issuedAt: 0 };
  readEntryAt(encodeEntry(entryOf(verdict, { evidenceSequence: 1, policyId: 1, regionRevision: 0 }, asked)), 0, asked, state);
  return fieldsOf(answerOf(state, venues.at(venue, asked), asked, receipt));
}
/** A flag's state as its holder is told one second before an instant and at it. */
const around = (verdict: Verdict, flag: Flag, edge: Instant): (FlagState | undefined)[] =>
  [edge - 1, edge].map((asked) => explain({ verdict, pack, at: asked }).flags.find((f) => f.flag === flag)?.state);

describe("the rules of Rivertown", () => {
  test("are its own, not Beijing's, under its own name", () => {
    expect(pack).toMatchObject({ name: "rivertown", city: 46, validity: { from: at("2021-06-01T00:00:00"), until: at("2023-01-01T00:00:00") } });
    expect(pack.fingerprint).not.toBe(beijingPack().fingerprint);
    expect(beijingPackText()).not.toContain("rivertown");
  });
  test("are in force from their first second to their last", () => {
    const edges = ["2021-06-01T00:00:00", "2023-01-01T00:00:00"].map(at).flatMap((edge) => [edge - 1, edge]);
    expect(edges.map((asked) => ask(evaluate([]), asked).reason)).toEqual(["no-policy", null, null, "no-policy"]);
  });
  test("24 hours after an arrival a test is due: its pop-up has no number before 2022-03-15 08:00, and is pop-up 1 from then on", () => {
    const verdict = evaluate([trip(ELSEWHERE, "2022-03-01T00:00:00", "2022-03-13T00:00:00"), trip(TOWN, "2022-03-14T07:59:59"), negative("2022-03-16T09:00:00")]);
    expect(timedFlags(verdict.reasons)).toEqual([
      { flag: "popup-0", rule: "arrivalTest", from: at("2022-03-15T07:59:59"), until: at("2022-03-15T08:00:00") },
      { flag: "popup-1", rule: "arrivalTest", from: at("2022-03-15T08:00:00"), until: at("2022-03-16T09:00:00") },
    ]);
    expect(around(verdict, "popup-0", at("2022-03-15T07:59:59"))).toEqual(["coming", "active"]);
    expect(around(verdict, "popup-1", at("2022-03-15T08:00:00"))).toEqual(["coming", "active"]);
    expect(around(verdict, "popup-1", at("2022-03-16T09:00:00"))).toEqual(["active", "past"]);
    expect([ask(verdict, at("2022-03-15T08:00:00") - 1).popups, ask(verdict, at("2022-03-15T08:00:00")).popups]).toEqual([[0], [1]]);
  });
  test("an arrival of the second before the rule ends still counts, one at its end doesn't", () => {
    const flagsOf = (arrival: string): Flag[] => timedFlags(evaluate([trip(ELSEWHERE, "2022-08-01T00:00:00"), trip(TOWN, arrival)]).reasons).map((t) => t.flag);
    expect([flagsOf("2022-08-31T23:59:59"), flagsOf("2022-09-01T00:00:00")]).toEqual([["popup-1"], []]);
  });
  test("whoever is in a county with a risk area is red, for 3 full days after leaving; the pop-up lasts 5", () => {
    const verdict = evaluate([trip(ELSEWHERE, "2021-07-12T08:00:00", "2021-07-15T12:00:00")], holding(ELSEWHERE, "2021-07-10T00:00:00", "2021-08-01T00:00:00"));
    expect(around(verdict, "central", at("2021-07-12T08:00:00"))).toEqual(["coming", "active"]);
    expect(around(verdict, "central", at("2021-07-19T00:00:00"))).toEqual(["active", "past"]);
    expect(around(verdict, "popup-0", at("2021-07-21T00:00:00"))).toEqual(["active", "past"]);
    const red = explain({ verdict, pack, at: at("2021-07-13T00:00:00") }).flags.find((f) => f.flag === "central");
    expect(red).toMatchObject({ rule: "stillInRiskCounty", endsAt: at("2021-07-19T00:00:00"), policyTitle: { zh: "江镇开始查验", en: "Rivertown checks at its gates" } });
  });
  test("stays count for 10 days from 2022-03-15 08:00 on, also those whose 5 days are over", () => {
    const verdict = evaluate([trip(ELSEWHERE, "2022-03-01T08:00:00", "2022-03-08T12:00:00")], holding(ELSEWHERE, "2022-03-10T00:00:00", "2022-08-01T00:00:00"));
    expect(timedFlags(verdict.reasons)).toEqual([
      { flag: "popup-0", rule: "affectedCounty", from: at("2022-03-10T00:00:00"), until: at("2022-03-14T00:00:00") },
      { flag: "popup-3", rule: "affectedCounty", from: at("2022-03-15T08:00:00"), until: at("2022-03-19T00:00:00") },
    ]);
    expect(around(verdict, "popup-3", at("2022-03-15T08:00:00"))).toEqual(["coming", "active"]);
    expect(explain({ verdict, pack, at: at("2022-03-16T00:00:00") }).flags[0]).toMatchObject({ policyFrom: at("2022-03-15T08:00:00"), policyTitle: { en: "Pop-ups have numbers, stays count for longer" } });
  });
  test("the town's own counties raise nothing, and those of Beijing do", () => {
    const flagsOf = (county: number): Flag[] => timedFlags(evaluate([trip(county, "2022-04-01T00:00:00")], holding(county, "2022-04-01T00:00:00", "2022-04-02T00:00:00")).reasons).map((t) => t.flag);
    expect([flagsOf(TOWN), flagsOf(110105)]).toEqual([[], ["popup-3", "central"]]);
  });
  test("findings have its colours; kinds that it doesn't name raise nothing", () => {
    const asked = at("2022-04-01T00:00:00");
    const [suspected, link, keyPlace] = (["suspected", "risk-link", "key-place"] as const).map((kind) => ask(evaluate([found(kind, "2022-04-01T00:00:00")]), asked));
    expect(suspected).toMatchObject({ reason: "status", status: "home" });
    expect(link).toMatchObject({ reason: "popup", popups: [5] });
    expect(keyPlace).toMatchObject({ pass: true });
  });
  test("a result issued before noon counts as of the day before", () => {
    const age = (issued: string): number | null => ask(evaluate([negative(issued)]), at("2022-04-02T00:00:00")).testAgeDays;
    expect([age("2022-04-01T11:59:59"), age("2022-04-01T12:00:00")]).toEqual([2, 1]);
  });
  test("results of elsewhere show when they were uploaded, from the first day on", () => {
    const age = (uploaded: boolean): number | null => ask(evaluate([negative("2021-06-01T12:00:00", ELSEWHERE, uploaded)]), at("2021-06-01T13:00:00")).testAgeDays;
    expect([age(true), age(false)]).toEqual([0, null]);
  });
  test("a ferry asks for a test of 24 hours, and of 12 from 2022-03-15 08:00 on; a receipt is enough before", () => {
    const reasonAt = (issued: string, asked: Instant, receipt = false): string | null => ask(evaluate([negative(issued)]), asked, { venue: "ferry", receipt }).reason;
    const [early, late] = ["2021-07-01T12:00:00", "2022-04-01T12:00:00"];
    expect([24 * HOUR, 24 * HOUR + 1].map((ago) => reasonAt(early, at(early) + ago))).toEqual([null, "venue-rule"]);
    expect([12 * HOUR, 12 * HOUR + 1].map((ago) => reasonAt(late, at(late) + ago))).toEqual([null, "venue-rule"]);
    const seam = at("2022-03-15T08:00:00");
    expect([seam - 1, seam].map((asked) => reasonAt("2022-03-14T14:00:00", asked))).toEqual([null, "venue-rule"]);
    expect([seam - 1, seam].map((asked) => reasonAt(early, asked, true))).toEqual([null, "venue-rule"]);
    const end = at("2022-09-01T00:00:00");
    expect([end - 1, end].map((asked) => reasonAt(early, asked))).toEqual(["venue-rule", null]);
  });
  test("commuters may take the ferry with an older test while their 5 days last", () => {
    const verdict = evaluate([commuter, negative("2022-04-01T12:00:00")]);
    const reasonAfter = (hours: number, second = 0): string | null => ask(verdict, at("2022-04-01T12:00:00") + hours * HOUR + second, { venue: "ferry" }).reason;
    expect([reasonAfter(13), reasonAfter(96), reasonAfter(96, 1)]).toEqual([null, null, "venue-rule"]);
    expect(around(verdict, "commuter", at("2022-04-06T12:00:00"))).toEqual(["active", "past"]);
  });
  test("a market asks a test of commuters alone", () => {
    const asked = at("2022-04-03T12:00:00");
    const [one, other] = [[commuter], []].map((facts) => ask(evaluate([...facts, negative("2022-04-01T12:00:00")]), asked, { venue: "market" }).reason);
    expect([one, other]).toEqual(["venue-rule", null]);
  });
  test("a holder whom nobody told of is unconfirmed here as well", () => {
    expect(ask(evaluate([], NOTHING, false), at("2022-04-01T00:00:00")).reason).toBe("unconfirmed");
  });
});

describe("a mistake in it is told with its line", () => {
  /** The pack with one text for another, and the line where that stood. */
  function broken(sound: string, wrong: string): { text: string; line: number } {
    const place = TEXT.indexOf(sound);
    expect(place, sound).toBeGreaterThan(0);
    return { text: TEXT.slice(0, place) + wrong + TEXT.slice(place + sound.length), line: TEXT.slice(0, place).split("\n").length };
  }
  test.each([
    ["a rule that there isn't", "stillInRiskCounty: {", "stillInRiskTown: {", "policies.0.rules.stillInRiskTown"],
    ["a rule that there isn't, in a later policy", "commuterMark: {", "commuterMarks: {", "policies.1.rules.commuterMarks"],
    ["hours that are a word", "withinHours: 24", "withinHours: a day", "policies.0.rules.arrivalTest.withinHours"],
    ["days that are a word in quotes", "windowDays: 10", 'windowDays: "10"', "policies.1.rules.affectedCounty.windowDays"],
    ["a flag that there isn't", "suspected: home", "suspected: orange", "policies.0.rules.findings.suspected"],
    ["a flag of a venue that there isn't", "stops: [prefecture]", "stops: [stranger]", "policies.1.rules.venues.market.stops.0"],
    ["pop-up 9", "popup: 1,", "popup: 9,", "policies.0.rules.arrivalTest.popup"],
    ["a city that is no number", "city: 46", "city: rivertown", "city"],
    ["policies out of order", "from: 2022-03-15T08:00:00+08:00", "from: 2022-10-01T00:00:00+08:00", "policies.1.from"],
    ["a first policy that says nothing of numbers", "popupNumbers: { numbered: false }", "", "policies.0.rules.popupNumbers", -1],
    ["a date that there isn't", "from: 2022-09-01T00:00:00+08:00", "from: 2022-09-31T00:00:00+08:00", "policies.2.from"],
  ])("%s", (_, sound, wrong, field, away = 0) => {
    const { text, line } = broken(sound, wrong);
    expect(faultOf(text)).toMatch(new RegExp(`^rivertown\\.yaml:${line + away}: ${field.replaceAll(".", "\\.")}: .`));
  });
  test("two policies of one instant: the first of them", () => {
    const { line } = broken("from: 2022-03-15T08:00:00+08:00", "");
    expect(faultOf(TEXT.replace("from: 2022-09-01T00:00:00+08:00", "from: 2022-03-15T08:00:00+08:00"))).toMatch(new RegExp(`^rivertown\\.yaml:${line}: policies\\.1\\.from: must lie before`));
  });
  test("an end before the last policy begins: that policy", () => {
    const { line } = broken("from: 2022-09-01", "");
    for (const until of ["2022-08-31T23:59:59+08:00", "2022-09-01T00:00:00+08:00"]) {
      expect(faultOf(TEXT.replace("until: 2023-01-01T00:00:00+08:00", `until: ${until}`))).toMatch(new RegExp(`^rivertown\\.yaml:${line}: policies\\.2\\.from: must lie before`));
    }
    expect(faultOf(TEXT.replace("until: 2023-01-01T00:00:00+08:00", "until: 2022-09-01T00:00:01+08:00"))).toBe("");
  });
  test("several at once, a line each", () => {
    const text = TEXT.replace("suspected: home", "suspected: orange").replace("windowDays: 10", "windowDays: 0");
    expect(faultOf(text).split("\n")).toHaveLength(2);
  });

  function faultOf(text: string): string {
    try {
      parsePack(text, "rivertown.yaml");
      return "";
    } catch (error) {
      if (error instanceof PackError) return error.message;
      throw error;
    }
  }
});

describe("the page that tells how a pack is written", () => {
  /** Rows of its table of rules: the rule's name and the whole row. */
  const table = PAGE.slice(PAGE.indexOf("\n## The rules\n"), PAGE.indexOf("\n## Flags and venues\n"));
  const rows = new Map([...table.matchAll(/^\| `(\w+)` \|.*$/gm)].map((m) => [m[1]!, m[0]]));
  const rules = Object.keys(beijingPack().spans) as RuleName[];

  test("has every rule in its table, and no other", () => {
    expect([...rows.keys()].sort()).toEqual(rules.toSorted());
  });
  test.each(rules)("%s: its row names every parameter that Beijing uses", (rule) => {
    const { spans } = beijingPack();
    const used = rule === "venues" ? spans.venues.flatMap((s) => Object.values(s.parameters).flatMap((kind) => Object.keys(kind))) : spans[rule].flatMap((s) => Object.keys(s.parameters));
    for (const name of new Set(used)) expect(rows.get(rule)).toContain(`\`${name}\``);
  });
  test("names every flag", () => {
    for (const flag of FLAGS) expect(PAGE).toContain(flag.startsWith("popup-") ? "`popup-0` to `popup-5`" : `\`${flag}\``);
  });
  test("ends in the pack of Rivertown, letter by letter, which can be read", () => {
    const [, example] = /```yaml\n(# The rules of Rivertown[^]*?)```/.exec(PAGE)!;
    expect(example).toBe(TEXT);
    expect(parsePack(example!, "example").policies).toHaveLength(3);
  });
});
