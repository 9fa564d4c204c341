// Rows to facts: what each feed takes, what it refuses and under which name, what a bare date means, and that no number gets through.

import fc from "fast-check";
import { pack } from "msgpackr";
import { describe, expect, test } from "vitest";
import { document, instant, keyOfDocument, keyring, NOW, phone, residentId } from "../../test/ingestSupport.ts";
import { formatInstant, parseDay, startOfDay, subjectKind, type Finding, type Refusal, type Test, type Trip } from "../domain/index.ts";
import { readRow, type InboxRow, type Intake } from "./facts.ts";
import { ROW_FEEDS, type RowFeed } from "./rowSchemas.ts";

const intake: Intake = { keyring, source: "source-a", now: NOW, isHistory: false };
const TODAY = startOfDay(parseDay("2022-06-09")!);
const DAY_S = 86_400;

type Fields = Readonly<Record<string, unknown>>;

/** One sound row of each feed. */
const ROWS = {
  holders: { documents: [document(1), { type: "passport", number: "E12345678", issuer: "FRA" }], phones: [phone(1)] },
  trips: { factId: "trip-1", phone: phone(1), county: "310101", from: "2022-06-01T08:00:00+08:00", to: "2022-06-03T20:00:00+08:00" },
  tests: { factId: "test-1", document: document(1), sampledAt: "2022-06-08T09:00:00+08:00", issuedAt: "2022-06-08T20:00:00+08:00", result: "negative", laboratory: "Laboratory A", county: "110105" },
  findings: { factId: "finding-1", document: document(1), kind: "close-contact", from: "2022-06-08T00:00:00+08:00", to: "2022-06-15T00:00:00+08:00", authority: "District office", ground: "same carriage" },
  crossings: { factId: "crossing-1", document: document(1), at: "2022-06-01T14:00:00+08:00", port: "110113", origin: "FRA", homeSuitable: false },
  purchases: { factId: "purchase-1", document: document(1), at: "2022-06-08T10:00:00+08:00", drugClass: "fever", county: "110105" },
  "clinic-visits": { factId: "visit-1", document: document(1), at: "2022-06-08T10:00:00+08:00", symptom: "dry-cough" },
  commuters: { factId: "commuter-1", document: document(1), from: "2022-06-01T00:00:00+08:00", to: "2022-07-01T00:00:00+08:00" },
  reports: { factId: "report-1", document: document(1), at: "2022-06-08T10:00:00+08:00", community: "Invented community" },
  declarations: { factId: "declaration-1", document: document(1), at: "2022-06-08T10:00:00+08:00" },
  obligations: { factId: "obligation-1", document: document(1), kind: "courier", at: "2022-06-01T00:00:00+08:00", everyDays: 7, to: "2022-07-01T00:00:00+08:00" },
  residences: { factId: "residence-1", document: document(1), county: "110105", from: "2020-01-01T00:00:00+08:00", to: "2022-07-01T00:00:00+08:00" },
  vaccinations: { factId: "vaccination-1", document: document(1), dose: 2, product: "Vaccine A", at: "2022-01-08T10:00:00+08:00" },
  clearances: { factId: "clearance-1", document: document(1), clears: "popup-3", at: "2022-06-08T10:00:00+08:00", authority: "District office", ground: "trail checked" },
  refutations: { factId: "refutation-1", matches: { phone: phone(1), county: "310101", from: "2022-06-01", to: "2022-06-05" }, at: "2022-06-08T10:00:00+08:00", authority: "District office", ground: "number kept" },
  screenings: { factId: "screening-1", county: "110105", rounds: [{ from: "2022-06-01", to: "2022-06-01" }, { from: "2022-06-03", to: "2022-06-03" }] },
  decisions: { action: "release", change: 3, authority: "Duty officer", ground: "confirmed by telephone" },
  "local-infections": { factId: "infection-1", county: "310101", day: "2022-06-08", count: 3 },
} satisfies Record<RowFeed, Fields>;

/** The sound row with other fields; undefined removes one. */
function rowWith(feed: RowFeed, changes: Fields): Fields {
  return Object.fromEntries(Object.entries({ ...ROWS[feed], ...changes }).filter(([, value]) => value !== undefined));
}

const areRefusals = (result: InboxRow | readonly Refusal[]): result is readonly Refusal[] => Array.isArray(result);
function refusals(feed: RowFeed, changes: Fields, over: Partial<Intake> = {}): readonly Refusal[] {
  const result = readRow(feed, rowWith(feed, changes), { ...intake, ...over });
  return areRefusals(result) ? result : [];
}

function accepted(feed: RowFeed, changes: Fields = {}, over: Partial<Intake> = {}): InboxRow {
  const result = readRow(feed, rowWith(feed, changes), { ...intake, ...over });
  if (areRefusals(result)) throw new Error(`refused: ${JSON.stringify(result)}`);
  return result;
}

const factRow = (feed: Exclude<RowFeed, "holders" | "local-infections" | "screenings" | "decisions">, changes: Fields = {}, over: Partial<Intake> = {}): Extract<InboxRow, { type: "fact" }> => {
  const row = accepted(feed, changes, over);
  if (row.type !== "fact") throw new Error(`a row of ${feed} became a ${row.type}`);
  return row;
};
const tripOf = (changes: Fields = {}, over: Partial<Intake> = {}): Trip => factRow("trips", changes, over).fact as Trip;
const testOf = (changes: Fields = {}, over: Partial<Intake> = {}): Test => factRow("tests", changes, over).fact as Test;
const findingOf = (changes: Fields = {}, over: Partial<Intake> = {}): Finding => factRow("findings", changes, over).fact as Finding;
const infectionOf = (changes: Fields = {}, over: Partial<Intake> = {}): Extract<InboxRow, { type: "infection" }> => accepted("local-infections", changes, over) as Extract<InboxRow, { type: "infection" }>;

const fieldsOf = (faults: readonly Refusal[]): string[] => faults.map((r) => r.field);
const wrongCheckDigit = `${residentId(1).slice(0, 17)}${residentId(1).endsWith("0") ? "1" : "0"}`;

describe("a sound row becomes what the inbox keeps", () => {
  test("holders: keys of every document and phone, in the row's order", () => {
    const row = accepted("holders");
    expect(row).toMatchObject({ type: "holder" });
    const { documents, phones } = row as Extract<InboxRow, { type: "holder" }>;
    expect([documents.length, phones.length]).toEqual([2, 1]);
    expect(documents[0]).toEqual(keyOfDocument(1));
    expect([...documents, ...phones].map(subjectKind)).toEqual(["document", "document", "phone"]);
  });
  test("holders: phones may be left out", () => {
    expect(accepted("holders", { phones: undefined })).toMatchObject({ phones: [] });
  });
  test("trips", () => {
    const { subject, fact } = factRow("trips");
    expect(subjectKind(subject)).toBe("phone");
    expect(fact).toEqual({ kind: "trip", source: "source-a", revision: 1, knownFrom: NOW, county: 310_101, from: instant("2022-06-01T08:00:00+08:00"), to: instant("2022-06-03T20:00:00+08:00") });
  });
  test("tests", () => {
    const { subject, fact } = factRow("tests", { uploaded: true });
    expect(subject).toEqual(keyOfDocument(1));
    expect(fact).toEqual({
      ...{ kind: "test", source: "source-a", revision: 1, knownFrom: NOW, result: "negative", laboratory: "Laboratory A", county: 110_105, uploaded: true },
      ...{ sampledAt: instant("2022-06-08T09:00:00+08:00"), issuedAt: instant("2022-06-08T20:00:00+08:00") },
    });
  });
  test("tests: without laboratory, county and uploaded", () => {
    expect(testOf({ laboratory: undefined, county: undefined })).toMatchObject({ laboratory: "", county: null, uploaded: false });
  });
  test("findings", () => {
    expect(findingOf({ level: "high" })).toEqual({
      ...{ kind: "finding", source: "source-a", revision: 1, knownFrom: NOW, finding: "close-contact", level: "high", authority: "District office", ground: "same carriage" },
      ...{ from: instant("2022-06-08T00:00:00+08:00"), until: instant("2022-06-15T00:00:00+08:00") },
    });
  });
  test("findings: without level and end", () => {
    expect(findingOf({ to: undefined })).toMatchObject({ level: null, until: null });
  });
  test("crossings, purchases and clinic visits", () => {
    const base = { source: "source-a", revision: 1, knownFrom: NOW };
    expect(factRow("crossings").fact).toEqual({ ...base, kind: "crossing", at: instant("2022-06-01T14:00:00+08:00"), port: 110_113, origin: "FRA", homeSuitable: false });
    expect(factRow("purchases").fact).toEqual({ ...base, kind: "purchase", at: instant("2022-06-08T10:00:00+08:00"), drugClass: "fever", county: 110_105 });
    expect(factRow("clinic-visits").fact).toEqual({ ...base, kind: "clinic-visit", at: instant("2022-06-08T10:00:00+08:00"), symptom: "dry-cough" });
  });
  test("vaccinations; a dose is a whole number from 1, and the vaccine has a name", () => {
    expect(factRow("vaccinations").fact).toEqual({ source: "source-a", revision: 1, knownFrom: NOW, kind: "vaccination", at: instant("2022-01-08T10:00:00+08:00"), dose: 2, product: "Vaccine A" });
    for (const [field, value] of [["dose", 0], ["dose", 1.5], ["dose", "1"], ["product", " "], ["product", undefined]] as const) expect(refusals("vaccinations", { [field]: value })).toMatchObject([{ field }]);
  });
  test("crossings: a home that nobody says is unsuitable is suitable", () => {
    expect(factRow("crossings", { homeSuitable: undefined }).fact).toMatchObject({ homeSuitable: true });
  });
  test("crossings: from countries, territories and those that have a code of their own", () => {
    for (const origin of ["FRA", "DEU", "GBR", "MAC", "HKG", "TWN", "KOR", "PRK", "MNG", "RUS"]) expect(factRow("crossings", { origin }).fact).toMatchObject({ origin });
  });
  test("commuters, with an end and without", () => {
    const base = { source: "source-a", revision: 1, knownFrom: NOW, kind: "commuting" };
    expect(factRow("commuters").fact).toEqual({ ...base, from: instant("2022-06-01T00:00:00+08:00"), until: instant("2022-07-01T00:00:00+08:00") });
    expect(factRow("commuters", { to: undefined }).fact).toMatchObject({ until: null });
  });
  test("reports", () => {
    expect(factRow("reports").fact).toEqual({ source: "source-a", revision: 1, knownFrom: NOW, kind: "report", at: instant("2022-06-08T10:00:00+08:00") });
  });
  test("local infections; none at all is a count too", () => {
    expect(infectionOf({ count: 0 })).toMatchObject({ revision: 1, infection: { county: 310_101, day: parseDay("2022-06-08"), count: 0, knownFrom: NOW } });
  });
  test("two spellings of one number are one subject", () => {
    const spelt = `${residentId(1).slice(0, 6)} ${residentId(1).slice(6, 14)}-${residentId(1).slice(14)}`;
    expect(factRow("tests", { document: { type: "resident-id", number: spelt } }).subject).toEqual(keyOfDocument(1));
    expect(factRow("trips", { phone: `+86 ${phone(1)}` }).subject).toEqual(factRow("trips").subject);
  });
  test("the revision is 1 when none is given, and may be 0 or 2^32 - 1", () => {
    expect([{}, { revision: 0 }, { revision: 0xffff_ffff }].map((r) => tripOf(r).revision)).toEqual([1, 0, 0xffff_ffff]);
    expect([{}, { revision: 0 }, { revision: 0xffff_ffff }].map((r) => infectionOf(r).revision)).toEqual([1, 0, 0xffff_ffff]);
  });
});

describe("a row at fault is refused under the name of its field", () => {
  const cases: [string, RowFeed, Fields, string[]][] = [
    ["holders: a wrong check digit", "holders", { documents: [document(2), { type: "resident-id", number: wrongCheckDigit }] }, ["documents.1.number"]],
    ["holders: no document", "holders", { documents: [] }, ["documents"]],
    ["holders: documents missing", "holders", { documents: undefined }, ["documents"]],
    ["holders: seventeen documents", "holders", { documents: Array.from({ length: 17 }, (_, i) => document(i)) }, ["documents"]],
    ["holders: seventeen phones", "holders", { phones: Array.from({ length: 17 }, (_, i) => phone(i)) }, ["phones"]],
    ["holders: a phone of ten digits", "holders", { phones: [phone(1), "1390000000"] }, ["phones.1"]],
    ["holders: a document that is a text", "holders", { documents: [residentId(1)] }, ["documents.0"]],
    ["holders: an unknown type of document", "holders", { documents: [{ type: "driving-licence", number: "1" }] }, ["documents.0.type"]],
    ["holders: a passport without issuer", "holders", { documents: [{ type: "passport", number: "E12345678" }] }, ["documents.0.issuer"]],
    ["holders: a field too many in a document", "holders", { documents: [{ ...document(1), name: "x" }] }, ["documents.0.name"]],
    ["holders: factId is no field of this feed", "holders", { factId: "x" }, ["factId"]],
    ["trips: neither document nor phone", "trips", { phone: undefined }, ["document"]],
    ["trips: both document and phone", "trips", { document: document(1) }, ["document"]],
    ["trips: a wrong check digit", "trips", { phone: undefined, document: { type: "resident-id", number: wrongCheckDigit } }, ["document.number"]],
    ["trips: a phone that is none", "trips", { phone: "12345" }, ["phone"]],
    ["trips: an unknown county", "trips", { county: "999999" }, ["county"]],
    ["trips: a county as a number", "trips", { county: 310_101 }, ["county"]],
    ["trips: a county of five digits", "trips", { county: "31010" }, ["county"]],
    ["trips: a prefecture is no county", "trips", { county: "320100" }, ["county"]],
    ["trips: an instant without offset", "trips", { from: "2022-06-01T08:00:00" }, ["from"]],
    ["trips: a day that does not exist", "trips", { from: "2022-02-30" }, ["from"]],
    ["trips: no factId", "trips", { factId: undefined }, ["factId"]],
    ["trips: an empty factId", "trips", { factId: "" }, ["factId"]],
    ["trips: a factId of 257 characters", "trips", { factId: "x".repeat(257) }, ["factId"]],
    ["trips: a factId that is a number", "trips", { factId: 12_345_678 }, ["factId"]],
    ["trips: a revision below 0", "trips", { revision: -1 }, ["revision"]],
    ["trips: a revision of 2^32", "trips", { revision: 2 ** 32 }, ["revision"]],
    ["trips: a revision with a fraction", "trips", { revision: 1.5 }, ["revision"]],
    ["trips: an unknown field", "trips", { town: "x" }, ["town"]],
    ["trips: to is null instead of left out", "trips", { to: null }, ["to"]],
    ["tests: neither document nor phone", "tests", { document: undefined }, ["document"]],
    ["tests: both document and phone", "tests", { phone: phone(1) }, ["document"]],
    ["tests: a result that is none", "tests", { result: "pending" }, ["result"]],
    ["tests: no issue", "tests", { issuedAt: undefined }, ["issuedAt"]],
    ["tests: an unknown county", "tests", { county: "110199" }, ["county"]],
    ["tests: an unknown field", "tests", { ctValue: 30 }, ["ctValue"]],
    ["tests: a laboratory with a name of 201 characters", "tests", { laboratory: "x".repeat(201) }, ["laboratory"]],
    ["findings: neither document nor phone", "findings", { document: undefined }, ["document"]],
    ["findings: both document and phone", "findings", { phone: phone(1) }, ["document"]],
    ["findings: a kind that is none", "findings", { kind: "rumour" }, ["kind"]],
    ["findings: no authority and no ground", "findings", { authority: undefined, ground: undefined }, ["authority", "ground"]],
    ["findings: an unknown field", "findings", { until: "2022-06-15" }, ["until"]],
    ["crossings: neither document nor phone", "crossings", { document: undefined }, ["document"]],
    ["crossings: both document and phone", "crossings", { phone: phone(1) }, ["document"]],
    ["crossings: an unknown port", "crossings", { port: "110199" }, ["port"]],
    ["crossings: an origin of two letters", "crossings", { origin: "FR" }, ["origin"]],
    ["crossings: an origin in small letters", "crossings", { origin: "fra" }, ["origin"]],
    ["crossings: an origin that is no country's code", "crossings", { origin: "ZZZ" }, ["origin"]],
    ["crossings: an origin that is a code of travel documents only", "crossings", { origin: "XXA" }, ["origin"]],
    ["crossings: a name that every object has", "crossings", { origin: "toString" }, ["origin"]],
    ["crossings: a suitable home as text", "crossings", { homeSuitable: "no" }, ["homeSuitable"]],
    ["crossings: a county instead of a port", "crossings", { port: undefined, county: "110113" }, ["port", "county"]],
    ["purchases: neither document nor phone", "purchases", { document: undefined }, ["document"]],
    ["purchases: a drug class that is none", "purchases", { drugClass: "vitamins" }, ["drugClass"]],
    ["purchases: an unknown county", "purchases", { county: "999999" }, ["county"]],
    ["purchases: an unknown field", "purchases", { shop: "x" }, ["shop"]],
    ["clinic visits: neither document nor phone", "clinic-visits", { document: undefined }, ["document"]],
    ["clinic visits: a symptom that is none", "clinic-visits", { symptom: "headache" }, ["symptom"]],
    ["clinic visits: an instant without offset", "clinic-visits", { at: "2022-06-08T10:00:00" }, ["at"]],
    ["clinic visits: an unknown field", "clinic-visits", { county: "110105" }, ["county"]],
    ["commuters: neither document nor phone", "commuters", { document: undefined }, ["document"]],
    ["commuters: an end that is no moment", "commuters", { to: "July" }, ["to"]],
    ["commuters: an unknown field", "commuters", { company: "x" }, ["company"]],
    ["reports: neither document nor phone", "reports", { document: undefined }, ["document"]],
    ["reports: to no community", "reports", { community: undefined }, ["community"]],
    ["reports: an unknown field", "reports", { street: "x" }, ["street"]],
    ["infections: an unknown county", "local-infections", { county: "000000" }, ["county"]],
    ["infections: a count below 0", "local-infections", { count: -1 }, ["count"]],
    ["infections: an instant where a day is needed", "local-infections", { day: "2022-06-08T00:00:00+08:00" }, ["day"]],
    ["infections: a document is no field of this feed", "local-infections", { document: document(1) }, ["document"]],
    ["infections: an unknown field", "local-infections", { deaths: 1 }, ["deaths"]],
  ];
  test.each(cases)("%s", (_, feed, changes, fields) => {
    const faults = refusals(feed, changes);
    expect(fieldsOf(faults)).toEqual(fields);
    for (const { reason } of faults) expect(reason.length).toBeGreaterThan(5);
  });

  test.each(ROW_FEEDS)("%s: whatever is wrong with a field is said in our own words", (feed) => {
    const values = [undefined, null, true, -1, 1.5, 10 ** 12, "", "x".repeat(300), [], {}, [1], { x: 1 }];
    const fields = ["factId", "revision", "documents", "phones", "document", "phone", "county", "from", "to", "at", "sampledAt", "result", "laboratory", "uploaded", "kind", "matches", "rounds", "action", "change", "count", "everyDays", "authority", "origin", "drugClass"];
    const faults = fields.flatMap((field) => values.flatMap((value) => refusals(feed, { [field]: value })));
    expect(faults.length).toBeGreaterThan(0);
    for (const { reason } of faults) expect(reason).not.toMatch(/Invalid |Unrecognized|Too (small|big)|expected|received|[<>]=/);
  });
  test.each<[RowFeed, string]>([
    ...(["findings", "clearances", "refutations", "decisions"] as const).flatMap((feed): [RowFeed, string][] => [[feed, "authority"], [feed, "ground"]]),
    ["reports", "community"],
    ["obligations", "kind"],
  ])("%s: %s may not be empty, nor blanks alone", (feed, field) => {
    for (const text of ["", " ", " \u3000"]) expect(refusals(feed, { [field]: text })).toMatchObject([{ field, reason: expect.stringMatching(/^must (name|say)/) as string }]);
  });
  test.each(ROW_FEEDS)("%s: a row that is no object", (feed) => {
    for (const row of [null, [], "text", 1]) expect(readRow(feed, row, intake)).toMatchObject([{ field: "row" }]);
  });
  test("every unknown field is named, and every other fault too", () => {
    expect(fieldsOf(refusals("trips", { town: "x", village: "y", county: "999999" })).sort()).toEqual(["county", "town", "village"]);
  });
  test("an unknown field says of which feed or of what it is none", () => {
    expect(refusals("trips", { town: "x" })[0]!.reason).toContain("the feed trips");
    expect(refusals("tests", { document: { ...document(1), name: "x" } })).toMatchObject([{ field: "document.name", reason: expect.stringContaining("document") as string }]);
  });
  test("an unknown field whose name may be somebody's number or name is not repeated", () => {
    const names = [residentId(1), phone(1), `${residentId(1).slice(0, 6)} ${residentId(1).slice(6)}`, `phone ${phone(1)}`, `x${phone(1)}`, "E12345678", "王某", "n".repeat(41)];
    for (const name of names) {
      expect(fieldsOf(refusals("trips", { [name]: true }))).toEqual(["(a name that is not repeated here)"]);
      expect(fieldsOf(refusals("tests", { document: { ...document(2), [name]: "x" } }))).toEqual(["document.(a name that is not repeated here)"]);
    }
  });
  test("an unknown field that reads as a field's name is, to 40 characters", () => {
    for (const name of ["town", "ctValue", "ct_value-2", "n".repeat(40)]) expect(fieldsOf(refusals("trips", { [name]: 1 }))).toEqual([name]);
  });
});

describe("time", () => {
  const at = (seconds: number): string => formatInstant(NOW + seconds);

  test("a trip that ended before it began is refused; one that ends as it begins is none the less a stay", () => {
    expect(fieldsOf(refusals("trips", { from: at(-100), to: at(-101) }))).toEqual(["to"]);
    expect(tripOf({ from: at(-100), to: at(-100) })).toMatchObject({ from: NOW - 100, to: NOW - 100 });
  });
  test("a trip of bare dates lasts from the first day's start to the last one's last second", () => {
    expect(tripOf({ from: "2022-06-01", to: "2022-06-01" })).toMatchObject({ from: startOfDay(parseDay("2022-06-01")!), to: startOfDay(parseDay("2022-06-02")!) - 1 });
    expect(fieldsOf(refusals("trips", { from: "2022-06-02", to: "2022-06-01" }))).toEqual(["to"]);
  });
  test("a trip that began at an instant may end on that day's date", () => {
    expect(tripOf({ from: "2022-06-01T08:00:00+08:00", to: "2022-06-01" }).to).toBe(startOfDay(parseDay("2022-06-02")!) - 1);
  });

  test("a result issued before its sample was taken is refused; at once is fine", () => {
    expect(fieldsOf(refusals("tests", { sampledAt: at(-100), issuedAt: at(-101) }))).toEqual(["issuedAt"]);
    expect(testOf({ sampledAt: at(-100), issuedAt: at(-100) })).toMatchObject({ sampledAt: NOW - 100, issuedAt: NOW - 100 });
  });
  test("a result of the day before the sample's is refused, one of the same day is fine, in dates", () => {
    expect(fieldsOf(refusals("tests", { sampledAt: "2022-06-08", issuedAt: "2022-06-07" }))).toEqual(["issuedAt"]);
    expect(testOf({ sampledAt: "2022-06-08", issuedAt: "2022-06-08" })).toMatchObject({ sampledAt: TODAY - 1, issuedAt: TODAY - 1 });
  });
  test("a bare date of sampling counts to its end, but never behind the result", () => {
    expect(testOf({ sampledAt: "2022-06-07", issuedAt: "2022-06-08T20:00:00+08:00" }).sampledAt).toBe(TODAY - DAY_S - 1);
    expect(testOf({ sampledAt: "2022-06-08", issuedAt: "2022-06-08T20:00:00+08:00" }).sampledAt).toBe(instant("2022-06-08T20:00:00+08:00"));
  });
  test("a sample taken at an instant may be issued on that day's date", () => {
    expect(testOf({ sampledAt: "2022-06-08T22:00:00+08:00", issuedAt: "2022-06-08" })).toMatchObject({ sampledAt: instant("2022-06-08T22:00:00+08:00"), issuedAt: TODAY - 1 });
  });

  test("a finding of one bare date lasts that whole day; one without length is refused", () => {
    expect(findingOf({ from: "2022-06-08", to: "2022-06-08" })).toMatchObject({ from: TODAY - DAY_S, until: TODAY });
    expect(fieldsOf(refusals("findings", { from: at(0), to: at(0) }))).toEqual(["to"]);
    expect(fieldsOf(refusals("findings", { from: "2022-06-08", to: "2022-06-07" }))).toEqual(["to"]);
  });
  test.each(["crossings", "purchases", "clinic-visits"] as const)("%s: a bare date binds from its beginning", (feed) => {
    expect(factRow(feed, { at: "2022-06-08" }).fact).toMatchObject({ at: TODAY - DAY_S });
  });
  test("a registration of one bare date lasts that whole day; one without length is refused", () => {
    expect(factRow("commuters", { from: "2022-06-08", to: "2022-06-08" }).fact).toMatchObject({ from: TODAY - DAY_S, until: TODAY });
    expect(fieldsOf(refusals("commuters", { from: at(0), to: at(0) }))).toEqual(["to"]);
  });
  test("a report of a bare date counts to its end: it frees", () => {
    expect(factRow("reports", { at: "2022-06-08" }).fact).toMatchObject({ at: TODAY - 1 });
  });
  test("a finding may be about the future, as far as its end goes", () => {
    expect(findingOf({ from: at(0), to: at(14 * DAY_S) }).until).toBe(NOW + 14 * DAY_S);
  });

  const ahead: [string, RowFeed, (moment: string) => Fields, string][] = [
    ["a trip's beginning", "trips", (m) => ({ from: m, to: undefined }), "from"],
    ["a trip's end", "trips", (m) => ({ to: m }), "to"],
    ["a sampling", "tests", (m) => ({ sampledAt: m, issuedAt: m }), "sampledAt"],
    ["an issue", "tests", (m) => ({ issuedAt: m }), "issuedAt"],
    ["a crossing", "crossings", (m) => ({ at: m }), "at"],
    ["a purchase", "purchases", (m) => ({ at: m }), "at"],
    ["a visit", "clinic-visits", (m) => ({ at: m }), "at"],
    ["a report", "reports", (m) => ({ at: m }), "at"],
  ];
  test.each(ahead)("%s 60 s ahead is a clock that runs fast, 61 s is the future", (_, feed, changes, field) => {
    expect(refusals(feed, changes(at(60)))).toEqual([]);
    expect(fieldsOf(refusals(feed, changes(at(61))))).toEqual([field]);
  });
  test.each(ahead)("%s on today's date is fine, on tomorrow's it is the future", (_, feed, changes, field) => {
    expect(refusals(feed, changes("2022-06-09"))).toEqual([]);
    expect(fieldsOf(refusals(feed, changes("2022-06-10")))).toEqual([field]);
  });
  test("an infection of today is fine, of tomorrow it is the future", () => {
    expect(refusals("local-infections", { day: "2022-06-09" })).toEqual([]);
    expect(fieldsOf(refusals("local-infections", { day: "2022-06-10" }))).toEqual(["day"]);
  });
  test("tomorrow's date is 60 s ahead only in the last minute of today", () => {
    const tomorrow = { day: "2022-06-10" };
    expect(refusals("local-infections", tomorrow, { now: TODAY + DAY_S - 60 })).toEqual([]);
    expect(fieldsOf(refusals("local-infections", tomorrow, { now: TODAY + DAY_S - 61 }))).toEqual(["day"]);
  });
  test("who is told that something lies in the future is told what time it is here", () => {
    expect(refusals("trips", { from: at(61), to: undefined })[0]!.reason).toContain("2022-06-09T07:30:00+08:00");
  });
});

describe("words of a source", () => {
  const places: [RowFeed, string][] = [["tests", "laboratory"], ["findings", "authority"], ["findings", "ground"], ["findings", "level"], ["reports", "community"]];
  const spellings: [string, string][] = [
    ["a resident ID", residentId(1)],
    ["a resident ID with blanks", `contact of ${residentId(1).slice(0, 6)} ${residentId(1).slice(6, 14)} ${residentId(1).slice(14)}`],
    ["a resident ID in full-width digits", residentId(1).replace(/./g, (c) => String.fromCharCode(c.charCodeAt(0) + 0xfee0))],
    ["a phone number", `call ${phone(1)}!`],
    ["a phone number with hyphens", `call ${phone(1).slice(0, 3)}-${phone(1).slice(3, 7)}-${phone(1).slice(7)}`],
    ["a phone number with its country code", `call +86 ${phone(1)}`],
    ["a phone number behind a date", `called on 2022-06-08 ${phone(1)}`],
    ["a phone number before another number", `${phone(1)} 2 times`],
  ];
  test.each(places.flatMap((p) => spellings.map((s) => [...p, ...s] as const)))("%s: %s that holds %s is refused, without repeating it", (feed, field, _, text) => {
    const faults = refusals(feed, { [field]: text });
    expect(fieldsOf(faults)).toEqual([field]);
    expect(JSON.stringify(faults)).not.toContain(text);
  });
  test.each([...places])("%s: %s may not hold a control character, nor 201 characters", (feed, field) => {
    for (const text of ["line\nline", "nul\0", "bell\u0007", "x".repeat(201)]) expect(fieldsOf(refusals(feed, { [field]: text }))).toEqual([field]);
    expect(refusals(feed, { [field]: "x".repeat(200) })).toEqual([]);
  });
  test("dates, times and short numbers are words like others", () => {
    expect(findingOf({ ground: "on 2022-06-08 at 07:30 in coach 12, seat 034, train G1234" }).ground).toContain("seat 034");
  });
});

describe("the instant at which a fact became known", () => {
  test("is its arrival", () => {
    expect([tripOf().knownFrom, testOf().knownFrom, findingOf().knownFrom, infectionOf().infection.knownFrom]).toEqual([NOW, NOW, NOW, NOW]);
  });
  test("in history: a trip's end, or its beginning while it goes on", () => {
    const history = { isHistory: true };
    expect(tripOf({}, history).knownFrom).toBe(instant("2022-06-03T20:00:00+08:00"));
    expect(tripOf({ to: undefined }, history).knownFrom).toBe(instant("2022-06-01T08:00:00+08:00"));
  });
  test("in history: a test's issue, a finding's beginning, the start of an infection's day", () => {
    const history = { isHistory: true };
    expect(testOf({}, history).knownFrom).toBe(instant("2022-06-08T20:00:00+08:00"));
    expect(findingOf({}, history).knownFrom).toBe(instant("2022-06-08T00:00:00+08:00"));
    expect(infectionOf({}, history).infection.knownFrom).toBe(TODAY - DAY_S);
  });
  test("in history: the crossing, the purchase, the visit itself", () => {
    for (const feed of ["crossings", "purchases", "clinic-visits"] as const) {
      const { fact } = factRow(feed, {}, { isHistory: true });
      expect(fact).toMatchObject({ knownFrom: (fact as { at?: number }).at });
    }
  });
  test("in history: never after the arrival, so that what a bare date of today says counts at once", () => {
    expect(testOf({ issuedAt: "2022-06-09" }, { isHistory: true }).knownFrom).toBe(NOW);
    expect(findingOf({ from: formatInstant(NOW + 3600) }, { isHistory: true }).knownFrom).toBe(NOW);
  });
  test("in history: it says when it arrived, unless it counts as known from there anyway; else nothing does", () => {
    const history = { isHistory: true };
    expect([tripOf({}, history), testOf({}, history), findingOf({}, history), infectionOf({}, history).infection].map((known) => known.receivedAt)).toEqual([NOW, NOW, NOW, NOW]);
    expect(accepted("holders", {}, history)).toMatchObject({ receivedAt: NOW });
    for (const known of [tripOf(), testOf(), infectionOf().infection, accepted("holders"), testOf({ issuedAt: "2022-06-09" }, history)]) expect(known).not.toHaveProperty("receivedAt");
  });
});

describe("a fact's key", () => {
  const keyOf = (row: InboxRow): string => Buffer.from((row as { factKey: Uint8Array }).factKey).toString("hex");
  test("is the same for the same source, kind and id, whatever else the row says", () => {
    expect(keyOf(accepted("trips", { county: "110101", revision: 7, phone: phone(2) }))).toBe(keyOf(accepted("trips")));
  });
  test("differs by source, by kind and by id", () => {
    const id = { factId: "same" };
    const keys = [
      accepted("trips", id),
      accepted("tests", id),
      accepted("findings", id),
      accepted("crossings", id),
      accepted("purchases", id),
      accepted("clinic-visits", id),
      accepted("commuters", id),
      accepted("reports", id),
      accepted("declarations", id),
      accepted("obligations", id),
      accepted("residences", id),
      accepted("vaccinations", id),
      accepted("clearances", id),
      accepted("refutations", id),
      accepted("screenings", id),
      accepted("local-infections", id),
      accepted("trips", { factId: "other" }),
      ...ROW_FEEDS.filter((feed) => feed !== "holders" && feed !== "decisions").map((feed) => accepted(feed, id, { source: "source-b" })),
    ].map(keyOf);
    expect(new Set(keys).size).toBe(keys.length);
  });
  test("an id can't be written so that it becomes another kind's", () => {
    expect(keyOf(accepted("trips", { factId: "x" }))).not.toBe(keyOf(accepted("tests", { factId: "trip|x" })));
  });
});

describe("numbers", () => {
  /** The numbers of one row, all of them invented. */
  interface Secrets {
    readonly number: string;
    readonly phone: string;
    readonly factId: string;
  }
  const secretsOf = ({ number, phone, factId }: Secrets): string[] => [number, phone, factId];
  const secrets: fc.Arbitrary<Secrets> = fc.record({
    number: fc.integer({ min: 0, max: 6_000_000 }).map(residentId),
    phone: fc.integer({ min: 0, max: 99_999_999 }).map(phone),
    factId: fc.stringMatching(/^[0-9a-f]{16}$/).map((hex) => `id-${hex}`),
  });
  /** What somebody may write where it does not belong. */
  const misplaced = ({ number, phone, factId }: Secrets): fc.Arbitrary<unknown> =>
    fc.constantFrom<unknown>(number, phone, `+86${phone}`, Number(phone), [number], { number }, number.slice(0, 17), `${number}1`, `${number.slice(0, 17)}?`, factId, null, true, "", "2022-06-08");
  /** Words that get kept when they may: resident IDs and phones in them must not. */
  const wordsOf = ({ number, phone }: Secrets): fc.Arbitrary<string> =>
    fc.constantFrom("same carriage", number, phone, `see ${number}, please`, `call ${phone}.`, `+86${phone}`, `2022-06-08 ${phone}`, `${number.slice(0, 10)} ${number.slice(10)}`, `${phone.slice(0, 3)}-${phone.slice(3)}`);
  const names = ({ number, phone }: Secrets): fc.Arbitrary<string> => fc.constantFrom("town", number, phone, `no ${number}`, `x${phone}`);
  const KEPT_WORDS = new Set(["laboratory", "authority", "ground", "level", "community", "kind", "product"]);

  const rowOf = (feed: RowFeed, secret: Secrets): Fields => {
    const subject = { documents: [{ type: "resident-id", number: secret.number }], phones: [secret.phone] };
    if (feed === "holders") return subject;
    if (feed === "decisions") return ROWS.decisions;
    const row: Fields = { ...ROWS[feed], factId: secret.factId };
    if (feed === "trips") return { ...row, phone: secret.phone };
    if (feed === "refutations") return { ...row, matches: { ...ROWS.refutations.matches, phone: secret.phone, factId: secret.factId } };
    return feed === "local-infections" || feed === "screenings" ? row : { ...row, document: subject.documents[0] };
  };
  const randomRow = fc.tuple(fc.constantFrom(...ROW_FEEDS), secrets).chain(([feed, secret]) => {
    const row = rowOf(feed, secret);
    const changed = Object.entries(row).map(([name, value]) => {
      const other = KEPT_WORDS.has(name) ? wordsOf(secret) : misplaced(secret);
      return fc.oneof({ weight: 4, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: other }).map((v) => [name, v] as const);
    });
    const added = fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.tuple(names(secret), misplaced(secret)) });
    return fc.tuple(fc.tuple(...changed), added, added).map(([fields, besides, inDocument]) => {
      const built: Fields = Object.fromEntries([...fields, ...(besides ? [besides] : [])]);
      if (!inDocument || !("document" in row)) return { feed, secret, row: built };
      return { feed, secret, row: { ...built, document: { ...(row["document"] as object), [inDocument[0]]: inDocument[1] } } };
    });
  });

  /** All that could get onto a disk or into an answer, as text. */
  const bytesOf = (result: unknown): string => Buffer.from(pack(result)).toString("latin1") + JSON.stringify(result);

  test("no row for the inbox and no refusal holds a document number, a phone number or a factId, whatever the row is", () => {
    const seen = { accepted: 0, refused: 0 };
    fc.assert(
      fc.property(randomRow, ({ feed, secret, row }) => {
        const result = readRow(feed, row, intake);
        seen[areRefusals(result) ? "refused" : "accepted"]++;
        const bytes = bytesOf(result);
        const joined = bytes.replace(/[\s-]/g, "");
        for (const value of secretsOf(secret)) {
          expect(bytes.includes(value), JSON.stringify(row)).toBe(false);
          expect(joined.includes(value.replace("-", "")), `with blanks: ${JSON.stringify(row)}`).toBe(false);
        }
      }),
      { numRuns: 2000 },
    );
    expect(seen.accepted).toBeGreaterThan(200);
    expect(seen.refused).toBeGreaterThan(200);
  });
  test("a sound row of every feed holds none of its own", () => {
    fc.assert(
      fc.property(fc.constantFrom(...ROW_FEEDS), secrets, (feed, secret) => {
        const result = readRow(feed, rowOf(feed, secret), intake);
        expect(areRefusals(result)).toBe(false);
        for (const value of secretsOf(secret)) expect(bytesOf(result)).not.toContain(value);
      }),
    );
  });
  test("a refusal repeats no number of any type of document", () => {
    const numbers = ["H1234567X", "1234567X", "E1234_5678", "ABC12345678901X", "X12345678Z", "12A4567890"];
    const types = ["hk-macau-permit", "taiwan-permit", "passport", "permanent-residence", "social-security-card", "elderly-card"];
    types.forEach((type, i) => {
      const faults = refusals("tests", { document: { type, number: numbers[i] } });
      expect(faults.length).toBe(1);
      expect(JSON.stringify(faults)).not.toContain(numbers[i]);
    });
  });
});
