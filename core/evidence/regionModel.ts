// The history of regions in memory: what was told, judged in the order of publication, and laid out as each county's history.
// Promises: pure; the order of telling never matters; a change is a new model that shares what it can with the old one.
// Not here: where it is kept (regions.ts), which list is doubtful (publicationGuard.ts).

import { createHash } from "node:crypto";
import {
  arrivedBefore,
  contains,
  currentCounties,
  FOREVER,
  keyText,
  startOfDay,
  type CountyCode,
  type CountyRisk,
  type FactKey,
  type Instant,
  type Interval,
  type Known,
  type LocalInfection,
  type RegionDifference,
  type RegionHistory,
  type RiskAreaCount,
  type RiskPublication,
  type Screening,
  type UnknownPlace,
} from "../domain/index.ts";
import { judge, NOTHING_PUBLISHED, type Doubt, type GuardState, type Judgement, type Mark } from "./publicationGuard.ts";

/** Something told of a region, by its source's id. */
export interface InfectionRow {
  readonly factKey: FactKey;
  readonly revision: number;
  readonly infection: LocalInfection;
}
export interface ScreeningRow {
  readonly factKey: FactKey;
  readonly revision: number;
  readonly screening: Screening;
}

/** What a delivery says of regions. */
export interface RegionChange {
  readonly publications: readonly RiskPublication[];
  readonly infections: readonly InfectionRow[];
  readonly screenings: readonly ScreeningRow[];
}

/** Where a publication stands: held ones wait; superseded ones waited until a newer one came into force, or were outdone by another of their hour. */
export type PublicationState = "in-force" | "held" | "superseded" | "rejected" | "replaced";

export interface PublicationStanding {
  readonly id: string;
  readonly publishedAt: Instant;
  readonly state: PublicationState;
  readonly doubts: readonly Doubt[];
  readonly areas: number;
  readonly unknown: readonly UnknownPlace[];
}

/** The name of a publication: its update time and what it says. */
export function publicationId({ publishedAt, counties, areas }: RiskPublication): string {
  const sorted = [...counties].sort(([a], [b]) => a - b);
  const hash = createHash("sha256").update(JSON.stringify(sorted)).update(Buffer.from(areas.buffer, areas.byteOffset, areas.byteLength)).digest("hex").slice(0, 16);
  return `${publishedAt.toString(16).padStart(8, "0")}${hash}`;
}

export interface PublicationRecord extends Known {
  readonly publishedAt: Instant;
  readonly counties: readonly (readonly [CountyCode, RiskAreaCount])[];
  /** A Float64Array's bytes. */
  readonly areas: Uint8Array;
  /** Absent in lists from before it was kept. */
  readonly unknown?: readonly UnknownPlace[];
  /** Words on it, ascending; the last one counts. */
  readonly marks: readonly { readonly mark: Mark; readonly from: Instant }[];
}

export interface Publication extends PublicationRecord {
  readonly id: string;
  readonly areaIds: Float64Array;
  readonly unknown: readonly UnknownPlace[];
}

export interface Judged {
  readonly publication: Publication;
  readonly outcome: Judgement["outcome"];
  readonly doubts: readonly Doubt[];
  /** The guard's state behind it. */
  readonly after: GuardState;
}

/** Everything in memory that a history is laid out from. */
export interface Model {
  /** All, in the order in which they are judged. */
  readonly judged: readonly Judged[];
  readonly infections: Newest<LocalInfection>;
  readonly screenings: Newest<Screening>;
}

/** By fact; versions are ordered as text. */
export type Newest<Value> = ReadonlyMap<string, Versioned<Value>>;
export interface Versioned<Value> {
  readonly version: string;
  readonly value: Value;
}

export const NOTHING: Model = { judged: [], infections: new Map(), screenings: new Map() };

export function recordOf({ counties, areas, ...told }: RiskPublication, mark: Mark | null): PublicationRecord {
  const bytes = Buffer.from(areas.buffer, areas.byteOffset, areas.byteLength);
  return { ...told, counties: [...counties].sort(([a], [b]) => a - b), areas: bytes, marks: mark === null ? [] : [{ mark, from: told.knownFrom }] };
}

export function publicationOf(id: string, record: PublicationRecord): Publication {
  // Copied: what comes from the store need not lie on a multiple of eight.
  return { ...record, id, unknown: record.unknown ?? [], areaIds: new Float64Array(Uint8Array.prototype.slice.call(record.areas).buffer) };
}

export function infectionKey({ factKey, revision, infection: { county, day, count } }: InfectionRow): Uint8Array {
  return revisionKey(factKey, revision, [county, day, count]);
}

export function screeningKey({ factKey, revision, screening: { county, rounds } }: ScreeningRow): Uint8Array {
  return revisionKey(factKey, revision, [county, rounds]);
}

/** Fact 16, revision u32, content hash 8. */
function revisionKey(factKey: FactKey, revision: number, content: readonly unknown[]): Uint8Array {
  const key = Buffer.alloc(28);
  key.set(factKey, 0);
  key.writeUInt32BE(revision, 16);
  createHash("sha256").update(JSON.stringify(content)).digest().copy(key, 20, 0, 8);
  return key;
}

/** Keeps the value if its version is the highest, or is that and arrived earlier. @returns whether it is kept. */
export function putNewest<Value extends Known>(newest: Map<string, Versioned<Value>>, key: Uint8Array, value: Value): boolean {
  const { fact, version } = versionOf(key);
  const order = orderOf(newest, key);
  if (order < 0 || (order === 0 && !arrivedBefore(value, newest.get(fact)!.value))) return false;
  newest.set(fact, { version, value });
  return true;
}

/** Of a revision's key, as text. */
function versionOf(key: Uint8Array): { fact: string; version: string } {
  const text = keyText(key);
  return { fact: text.slice(0, 16), version: text.slice(16) };
}

/** The model with a change in it; the same object when the change says nothing new. */
export function withChange(model: Model, change: RegionChange, mark: Mark | null): Model {
  let next = model;
  for (const publication of change.publications) {
    const id = publicationId(publication);
    if (!next.judged.some((j) => j.publication.id === id)) next = withPublication(next, publicationOf(id, recordOf(publication, mark)));
  }
  const infections = new Map(model.infections);
  const screenings = new Map(model.screenings);
  const news = [
    ...change.infections.map((row) => putNewest(infections, infectionKey(row), row.infection)),
    ...change.screenings.map((row) => putNewest(screenings, screeningKey(row), row.screening)),
  ];
  if (news.includes(true)) next = { ...next, infections, screenings };
  return next;
}

/**
 * What a change tells of infections and screenings: `new` when any row would be the newest revision of its fact, `outdone` when of each a newer one was told, else `known`.
 */
export function newsOf(model: Model, { infections, screenings }: RegionChange): "new" | "known" | "outdone" {
  const orders = [
    ...infections.map((row) => orderOf(model.infections, infectionKey(row))),
    ...screenings.map((row) => orderOf(model.screenings, screeningKey(row))),
  ];
  if (orders.some((order) => order > 0)) return "new";
  return orders.length > 0 && orders.every((order) => order < 0) ? "outdone" : "known";
}

/** Above 0: newer than what is known of its fact; 0: the same. */
function orderOf<Value>(newest: Newest<Value>, key: Uint8Array): number {
  const { fact, version } = versionOf(key);
  const known = newest.get(fact)?.version;
  return known === undefined || version > known ? 1 : version === known ? 0 : -1;
}

/** Puts a publication in its place, or in the place of its namesake, and judges anew from there on. */
export function withPublication(model: Model, publication: Publication): Model {
  const others = model.judged.map((j) => j.publication).filter((p) => p.id !== publication.id);
  const all = [...others, publication].sort(byTurn);
  const changed = model.judged.findIndex((j, i) => j.publication !== all[i]);
  return { ...model, judged: judgeFrom(all, model.judged, changed < 0 ? model.judged.length : changed) };
}

/**
 * The order in which publications are judged: by update time; of one hour the one with most areas that find a county first, since the guard keeps what came into force first; those that an
 * operator released last, and the longest of them at the end.
 */
export function byTurn(a: Publication, b: Publication): number {
  const [isReleased, isOtherReleased] = [isMarked(a, "released"), isMarked(b, "released")];
  const length = (knownAreas(b) - knownAreas(a) || (a.id < b.id ? 1 : -1)) * (isReleased ? -1 : 1);
  return a.publishedAt - b.publishedAt || Number(isReleased) - Number(isOtherReleased) || length;
}

function knownAreas({ areaIds, unknown }: Publication): number {
  return areaIds.length - unknown.reduce((sum, place) => sum + place.areas, 0);
}

function isMarked({ marks }: Publication, mark: Mark): boolean {
  return marks.at(-1)?.mark === mark;
}

/** Judges in the order of publication; the first `kept` of `before` stand. */
export function judgeFrom(inTurn: readonly Publication[], before: readonly Judged[], kept: number): Judged[] {
  const judged = before.slice(0, kept);
  for (const publication of inTurn.slice(kept)) {
    const { publishedAt, areaIds, unknown, marks } = publication;
    const next = { publishedAt, areas: areaIds, counties: countiesWithAreas(publication), unknown, mark: marks.at(-1)?.mark ?? null };
    const { state, outcome, doubts } = judge(judged.at(-1)?.after ?? NOTHING_PUBLISHED, next);
    judged.push({ publication, outcome, doubts, after: state });
  }
  return judged;
}

function countiesWithAreas({ counties }: PublicationRecord): Set<CountyCode> {
  return new Set(counties.filter(([, areas]) => areas.high + areas.medium > 0).map(([county]) => county));
}

export function standingAt({ judged }: Model, index: number): PublicationStanding {
  const { publication, outcome, doubts } = judged[index]!;
  const isOvertaken = judged.slice(index + 1).some((j) => j.outcome === "in-force");
  const states = { "in-force": isOvertaken ? "replaced" : "in-force", held: isOvertaken ? "superseded" : "held", rejected: "rejected", outdone: "superseded" } as const;
  return { id: publication.id, publishedAt: publication.publishedAt, areas: publication.areaIds.length, unknown: publication.unknown, doubts, state: states[outcome] };
}

export interface CountyState {
  readonly risk: CountyRisk | undefined;
  readonly screenings: readonly Screening[];
}

/** A history that never changes. */
export function historyOf(states: ReadonlyMap<CountyCode, CountyState>): RegionHistory {
  return { generation: () => 0, risk: (county) => states.get(county)?.risk, screenings: (county) => states.get(county)?.screenings ?? [] };
}

/** What was told under an old code counts for each county of today that it became. */
export function layOut(model: Model): Map<CountyCode, CountyState> {
  const held = heldIntervals(model.judged.filter((j) => j.outcome === "in-force").map((j) => j.publication));
  const infections = byCounty([...model.infections.values()].map((v) => v.value).filter((i) => i.count > 0));
  const screenings = byCounty([...model.screenings.values()].map((v) => v.value));
  const counties = new Set([...held.keys(), ...infections.keys(), ...screenings.keys()]);
  return new Map(
    [...counties].map((county) => {
      const [areas, cases] = [held.get(county), infections.get(county)];
      return [county, { risk: areas || cases ? { held: areas ?? [], infections: cases ?? [] } : undefined, screenings: screenings.get(county) ?? [] }];
    }),
  );
}

function byCounty<Row extends { readonly county: CountyCode }>(rows: readonly Row[]): Map<CountyCode, Row[]> {
  const out = new Map<CountyCode, Row[]>();
  for (const row of rows) {
    for (const county of currentCounties(row.county)) {
      const list = out.get(county);
      if (list) list.push(row);
      else out.set(county, [row]);
    }
  }
  return out;
}

/** When each county held an area: from the publication that names it to the first one after that doesn't. */
function heldIntervals(inForce: readonly Publication[]): Map<CountyCode, Interval[]> {
  const openSince = new Map<CountyCode, Instant>();
  const held = new Map<CountyCode, Interval[]>();
  const close = (county: CountyCode, until: Instant): void => {
    const interval = { from: openSince.get(county)!, until };
    const list = held.get(county);
    if (list) list.push(interval);
    else held.set(county, [interval]);
    openSince.delete(county);
  };
  for (const [i, publication] of inForce.entries()) {
    const { publishedAt } = publication;
    if (inForce[i + 1]?.publishedAt === publishedAt) continue; // released over another one of the same hour
    const named = countiesWithAreas(publication);
    for (const county of [...openSince.keys()]) if (!named.has(county)) close(county, publishedAt);
    for (const county of named) if (!openSince.has(county)) openSince.set(county, publishedAt);
  }
  for (const county of [...openSince.keys()]) close(county, FOREVER);
  return held;
}

export function differencesBetween(before: ReadonlyMap<CountyCode, CountyState>, after: ReadonlyMap<CountyCode, CountyState>): RegionDifference[] {
  const counties = new Set([...before.keys(), ...after.keys()]);
  return [...counties].flatMap((county) => {
    const [old, next] = [before.get(county), after.get(county)];
    const isScreened = JSON.stringify(old?.screenings ?? []) !== JSON.stringify(next?.screenings ?? []);
    const during = riskDifference(old?.risk ?? NO_RISK, next?.risk ?? NO_RISK);
    return isScreened || during.from < during.until ? [{ county, isScreened, ...during }] : [];
  });
}

const NO_RISK: CountyRisk = { held: [], infections: [] };
/** No rule looks back on an infection for longer. */
const INFECTION_DAYS_MAX = 61;

/** From the first to the last instant at which two risks differ, or may differ by an infection that only one of them has; empty: they don't. */
function riskDifference(a: CountyRisk, b: CountyRisk): Interval {
  let [from, until]: [Instant, Instant] = [FOREVER, 0];
  const widen = (begins: Instant, ends: Instant): void => {
    from = Math.min(from, begins);
    until = Math.max(until, ends);
  };
  const edges = [...new Set([...a.held, ...b.held].flatMap((i) => [i.from, i.until]))].sort((x, y) => x - y);
  edges.slice(0, -1).forEach((edge, i) => {
    const isHeld = (risk: CountyRisk): boolean => risk.held.some((h) => contains(h, edge));
    if (isHeld(a) !== isHeld(b)) widen(edge, edges[i + 1]!);
  });
  const byContent = (risk: CountyRisk): Partial<Record<string, LocalInfection[]>> => Object.groupBy(risk.infections, (infection) => JSON.stringify(infection));
  const [ofA, ofB] = [byContent(a), byContent(b)];
  for (const text of new Set([...Object.keys(ofA), ...Object.keys(ofB)])) {
    const { day } = (ofA[text] ?? ofB[text])![0]!;
    if (ofA[text]?.length !== ofB[text]?.length) widen(startOfDay(day), startOfDay(day + INFECTION_DAYS_MAX));
  }
  return { from, until };
}
