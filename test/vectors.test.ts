// The vectors of the rules, through the whole chain: facts -> verdict -> entry bytes -> state at the instant -> answer.

import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  bindsFrom,
  currentCounties,
  endOf,
  FOREVER,
  freesAt,
  KEY_BYTES,
  keyText,
  markSubject,
  parseMoment,
  startOfDay,
  type Clearable,
  type ClinicVisit,
  type CountyRisk,
  type Fact,
  type Finding,
  type Interval,
  type LocalInfection,
  type Moment,
  type Purchase,
  type Screening,
  type Test,
} from "../core/domain/index.ts";
import { encodeEntry, entryFault, entryOf, readEntryAt, type EntryState } from "../core/entry/index.ts";
import { answerOf, compileVenues, fieldsOf } from "../core/lookup/index.ts";
import { beijingPack, createEvaluator, venueRules } from "../core/policy/index.ts";

/** A phone's number, or any name for a document. */
interface Subject {
  phone?: string;
  document?: string;
}

interface Vector {
  name: string;
  at: string;
  /** Kind of the venue that asks. */
  venue?: string;
  /** A sampling receipt was shown there. */
  receipt?: boolean;
  facts: {
    registered?: boolean;
    trips?: ({ county: string; from: string; to?: string; factId?: string } & Subject)[];
    tests?: { sampledAt: string; issuedAt: string; result: Test["result"]; laboratory?: string; county?: string; uploaded?: boolean }[];
    crossings?: { at: string; port: string; origin: string; homeSuitable?: boolean }[];
    purchases?: { at: string; drugClass: Purchase["drugClass"]; county: string }[];
    clinicVisits?: { at: string; symptom: ClinicVisit["symptom"] }[];
    commuters?: { from: string; to?: string }[];
    reports?: { at: string }[];
    declarations?: { at: string }[];
    obligations?: { kind: string; at: string; everyDays?: number; to?: string }[];
    residences?: { county: string; from: string; to?: string }[];
    screenings?: { county: string; rounds: { from: string; to: string }[] }[];
    clearances?: { clears: Clearable; at: string }[];
    refutations?: { matches: Subject & { factId?: string; county?: string; from?: string; to?: string }; at: string }[];
    /** The list that pop-up 5 goes by. */
    portCounties?: string[];
    findings?: { kind: Finding["finding"]; level?: string; from: string; to?: string }[];
    localInfections?: { county: string; day: string; count: number; publishedAt?: string }[];
    riskAreas?: { publishedAt: string; counties: Record<string, { high: number; medium: number }> }[];
  };
  expected: object;
}

const folder = new URL("../core/policy/vectors/", import.meta.url);
const pack = beijingPack();
const venues = compileVenues(venueRules(pack));

for (const file of readdirSync(folder).filter((f) => f.endsWith(".json"))) {
  const { vectors } = JSON.parse(readFileSync(new URL(file, folder), "utf8")) as { vectors: Vector[] };
  describe(file, () => {
    test.each(vectors.map((v) => [v.name, v] as const))("%s", (_, vector) => {
      expect(answerAt(vector)).toEqual({ commuter: false, ...vector.expected });
    });
  });
}

test("the map from the rules to the vectors names every file", () => {
  const map = readFileSync(new URL("../../../docs/policy-vectors.md", folder), "utf8");
  expect(readdirSync(folder).filter((f) => f.endsWith(".json") && !map.includes(f))).toEqual([]);
});

function answerAt({ at, facts, venue = "venue", receipt = false }: Vector): object {
  const history = regionsOf(facts);
  const screenings = (facts.screenings ?? []).map(screeningOf);
  const evaluator = createEvaluator(
    { ...pack, portCounties: (facts.portCounties ?? []).map(Number) },
    { generation: () => 0, risk: (county) => history.get(county), screenings: (county) => screenings.filter((s) => currentCounties(s.county).includes(county)) },
  );
  const verdict = evaluator.evaluate({ registered: facts.registered ?? true, facts: factsOf(facts) });
  const nowS = bindsFrom(moment(at));
  const bytes = encodeEntry(entryOf(verdict, { evidenceSequence: 1, policyId: 0, regionRevision: 0 }, nowS));
  expect(entryFault(bytes)).toBeUndefined();
  const state: EntryState = { flags: 0, incomplete: false, shownDay: null, issuedAt: 0 };
  readEntryAt(bytes, 0, nowS, state);
  return fieldsOf(answerOf(state, venues.at(venue, nowS), nowS, receipt));
}

function factsOf({
  trips = [],
  tests = [],
  findings = [],
  crossings = [],
  purchases = [],
  clinicVisits = [],
  commuters = [],
  reports = [],
  declarations = [],
  obligations = [],
  residences = [],
  clearances = [],
  refutations = [],
}: Vector["facts"]): Fact[] {
  const base = { source: "vector", revision: 1, knownFrom: 0 };
  return [
    ...trips.map((t): Fact => {
      const told = { subject: subjectText(t) ?? "", fact: t.factId ?? "" };
      return { ...base, kind: "trip", told, county: Number(t.county), from: bindsFrom(moment(t.from)), to: t.to === undefined ? null : freesAt(moment(t.to)) };
    }),
    ...tests.map(
      (t): Fact => ({
        ...base,
        kind: "test",
        sampledAt: Math.min(freesAt(moment(t.sampledAt)), freesAt(moment(t.issuedAt))),
        issuedAt: t.result === "positive" ? bindsFrom(moment(t.issuedAt)) : freesAt(moment(t.issuedAt)),
        result: t.result,
        laboratory: t.laboratory ?? "",
        county: Number(t.county ?? "110105"),
        uploaded: t.uploaded ?? false,
      }),
    ),
    ...crossings.map((c): Fact => ({ ...base, kind: "crossing", at: bindsFrom(moment(c.at)), port: Number(c.port), origin: c.origin, homeSuitable: c.homeSuitable ?? true })),
    ...purchases.map((p): Fact => ({ ...base, kind: "purchase", at: bindsFrom(moment(p.at)), drugClass: p.drugClass, county: Number(p.county) })),
    ...clinicVisits.map((v): Fact => ({ ...base, kind: "clinic-visit", at: bindsFrom(moment(v.at)), symptom: v.symptom })),
    ...commuters.map((c): Fact => ({ ...base, kind: "commuting", from: bindsFrom(moment(c.from)), until: c.to === undefined ? null : endOf(moment(c.to)) })),
    ...reports.map((r): Fact => ({ ...base, kind: "report", at: freesAt(moment(r.at)) })),
    ...declarations.map((d): Fact => ({ ...base, kind: "declaration", at: bindsFrom(moment(d.at)) })),
    ...obligations.map(
      (o): Fact => ({ ...base, kind: "obligation", duty: o.kind, at: bindsFrom(moment(o.at)), everyDays: o.everyDays ?? null, until: o.to === undefined ? null : endOf(moment(o.to)) }),
    ),
    ...residences.map((r): Fact => ({ ...base, kind: "residence", county: Number(r.county), from: bindsFrom(moment(r.from)), until: r.to === undefined ? null : endOf(moment(r.to)) })),
    ...clearances.map((c): Fact => ({ ...base, kind: "clearance", clears: c.clears, at: freesAt(moment(c.at)), authority: "", ground: "" })),
    ...refutations.map(
      ({ matches, at }): Fact => ({
        ...base,
        kind: "refutation",
        subject: subjectText(matches),
        fact: matches.factId ?? null,
        county: matches.county === undefined ? null : Number(matches.county),
        from: matches.from === undefined ? null : bindsFrom(moment(matches.from)),
        to: matches.to === undefined ? null : freesAt(moment(matches.to)),
        at: bindsFrom(moment(at)),
        authority: "",
        ground: "",
      }),
    ),
    ...findings.map(
      (f): Fact => ({ ...base, kind: "finding", finding: f.kind, level: f.level ?? null, from: bindsFrom(moment(f.from)), until: f.to === undefined ? null : endOf(moment(f.to)), authority: "", ground: "" }),
    ),
  ];
}

/** Stands for a key: another one for each number or name. */
function subjectText({ phone, document }: Subject): string | null {
  const name = phone ?? document;
  if (name === undefined) return null;
  const key = Buffer.alloc(KEY_BYTES);
  key.write(name);
  markSubject(key, phone === undefined ? "document" : "phone");
  return keyText(key);
}

/** A plain reading of the publications, apart from the store's. What was told under an old code counts for each county of today that it became. */
function regionsOf({ riskAreas = [], localInfections = [] }: Vector["facts"]): Map<number, CountyRisk> {
  const today = (county: string): readonly number[] => currentCounties(Number(county));
  const lists = riskAreas.toSorted((a, b) => bindsFrom(moment(a.publishedAt)) - bindsFrom(moment(b.publishedAt)));
  const counties = new Set([...lists.flatMap((l) => Object.keys(l.counties)), ...localInfections.map((i) => i.county)].flatMap(today));
  return new Map(
    [...counties].map((county) => {
      const held: Interval[] = [];
      lists.forEach((list, i) => {
        const next = lists[i + 1];
        const from = bindsFrom(moment(list.publishedAt));
        const until = next ? bindsFrom(moment(next.publishedAt)) : FOREVER;
        const last = held.at(-1);
        if (!Object.entries(list.counties).some(([code, { high, medium }]) => today(code).includes(county) && high + medium > 0)) return;
        if (last?.until === from) held[held.length - 1] = { from: last.from, until };
        else held.push({ from, until });
      });
      return [county, { held, infections: localInfections.filter((i) => today(i.county).includes(county)).map(infectionOf) }];
    }),
  );
}

function screeningOf({ county, rounds }: { county: string; rounds: { from: string; to: string }[] }): Screening {
  const intervals = rounds.map((r) => ({ from: bindsFrom(moment(r.from)), until: endOf(moment(r.to)) }));
  return { county: Number(county), rounds: intervals, knownFrom: 0 };
}

function infectionOf(row: { county: string; day: string; count: number; publishedAt?: string }): LocalInfection {
  const day = moment(row.day);
  if (!("day" in day)) throw new Error(`${row.day} must be a date`);
  const knownFrom = row.publishedAt === undefined ? startOfDay(day.day) : bindsFrom(moment(row.publishedAt));
  return { county: Number(row.county), day: day.day, count: row.count, knownFrom };
}

function moment(text: string): Moment {
  const parsed = parseMoment(text);
  if (!parsed) throw new Error(`${text} is no instant or date`);
  return parsed;
}
