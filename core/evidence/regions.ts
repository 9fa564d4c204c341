// What is known of regions: published risk lists, local infections and screenings, kept whole, and laid out as each county's history.
// Promises: the order and the repetition of deliveries never matter; a list that may be cut off does not come into force by itself (publicationGuard.ts); of two lists
// with one update time the longer one holds, ties go by content; nothing is deleted, so that what was known at an instant can be laid out again.
// Not here: which counties a policy finds affected, and whom a change would hit (ingest).

import { createHash } from "node:crypto";
import type { Database, RootDatabase } from "lmdb";
import {
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
  type LocalInfection,
  type RegionDifference,
  type RegionHistory,
  type RiskAreaCount,
  type RiskPublication,
  type Screening,
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

/** Where a publication stands: held ones wait, superseded ones waited until a newer one came into force. */
export type PublicationState = "in-force" | "held" | "superseded" | "rejected" | "replaced";

export interface PublicationStanding {
  readonly id: string;
  readonly publishedAt: Instant;
  readonly state: PublicationState;
  readonly doubts: readonly Doubt[];
  readonly areas: number;
}

/** What would be, were a change put. */
export interface RegionPreview {
  readonly history: RegionHistory;
  /** Where the history would be another. */
  readonly differences: RegionDifference[];
  /** A publication in it would be held, and why. */
  readonly isHeld: boolean;
  readonly doubts: readonly Doubt[];
}

export interface RegionReader extends RegionHistory {
  /** Counts the changes; two equal revisions are the same history. */
  revision(): number;
  /** What was known at `at`, as it was judged then. */
  historyAt(at: Instant): RegionHistory;
  /** The newest publications first. */
  publications(limit: number): PublicationStanding[];
  standing(id: string): PublicationStanding | undefined;
  /** `mark` for the publications in it. */
  preview(change: RegionChange, mark: Mark | null): RegionPreview;
  /** Takes in what another process has written. */
  refresh(): void;
  /** Forgets what is in memory: the transaction it came from was given up. */
  forget(): void;
}

export interface RegionStore extends RegionReader {
  /** Call inside a transaction. @returns where the history has changed. */
  put(change: RegionChange, mark: Mark | null): RegionDifference[];
  /** An operator's word on a publication, from `at` on. Call inside a transaction. @returns where the history has changed. */
  mark(id: string, mark: Mark, at: Instant): RegionDifference[];
}

/** The name of a publication: its update time and what it says. */
export function publicationId({ publishedAt, counties, areas }: RiskPublication): string {
  const sorted = [...counties].sort(([a], [b]) => a - b);
  const hash = createHash("sha256").update(JSON.stringify(sorted)).update(Buffer.from(areas.buffer, areas.byteOffset, areas.byteLength)).digest("hex").slice(0, 16);
  return `${publishedAt.toString(16).padStart(8, "0")}${hash}`;
}

interface PublicationRecord {
  readonly publishedAt: Instant;
  readonly knownFrom: Instant;
  readonly counties: readonly (readonly [CountyCode, RiskAreaCount])[];
  /** A Float64Array's bytes. */
  readonly areas: Uint8Array;
  /** Words on it, ascending; the last one counts. */
  readonly marks: readonly { readonly mark: Mark; readonly from: Instant }[];
}

interface Publication extends PublicationRecord {
  readonly id: string;
  readonly areaIds: Float64Array;
}

interface Judged {
  readonly publication: Publication;
  readonly outcome: Judgement["outcome"];
  readonly doubts: readonly Doubt[];
  /** The guard's state behind it. */
  readonly after: GuardState;
}

/** Everything in memory that a history is laid out from. */
interface Model {
  /** All, in the order in which they are judged. */
  readonly judged: readonly Judged[];
  readonly infections: Newest<LocalInfection>;
  readonly screenings: Newest<Screening>;
}

/** By fact; versions are ordered as text. */
type Newest<Value> = ReadonlyMap<string, Versioned<Value>>;
interface Versioned<Value> {
  readonly version: string;
  readonly value: Value;
}

const REVISION = "regionRevision";
const NOTHING: Model = { judged: [], infections: new Map(), screenings: new Map() };

export function createRegionStore(root: RootDatabase, meta: Database<number, string>): RegionStore {
  const publications = root.openDB<PublicationRecord, string>({ name: "publications", encoding: "msgpack" });
  const infections = root.openDB<LocalInfection, Uint8Array>({ name: "infections", keyEncoding: "binary", encoding: "msgpack" });
  const screenings = root.openDB<Screening, Uint8Array>({ name: "screenings", keyEncoding: "binary", encoding: "msgpack" });

  let loadedRevision = -1;
  let generation = 0;
  let model = NOTHING;
  let history = new Map<CountyCode, CountyState>();

  const readAll = (knownAt: Instant): Model => {
    const known = [...publications.getRange({})]
      .filter(({ value }) => value.knownFrom <= knownAt)
      .map(({ key, value }) => publicationOf(key, { ...value, marks: value.marks.filter((m) => m.from <= knownAt) }));
    return {
      judged: judgeFrom(known.sort(byTurn), [], 0),
      infections: newestRevisions(infections, knownAt),
      screenings: newestRevisions(screenings, knownAt),
    };
  };
  const adopt = (next: Model): RegionDifference[] => {
    const before = history;
    model = next;
    history = layOut(next);
    loadedRevision = meta.get(REVISION) ?? 0;
    generation++;
    return differencesBetween(before, history);
  };
  const refresh = (): void => {
    if (loadedRevision !== (meta.get(REVISION) ?? 0)) adopt(readAll(FOREVER));
  };
  const loaded = (): void => {
    if (loadedRevision < 0) refresh();
  };
  const bump = (next: Model): RegionDifference[] => {
    meta.putSync(REVISION, (meta.get(REVISION) ?? 0) + 1);
    return adopt(next);
  };

  return {
    generation() {
      loaded();
      return generation;
    },
    risk(county) {
      loaded();
      return history.get(county)?.risk;
    },
    screenings(county) {
      loaded();
      return history.get(county)?.screenings ?? [];
    },
    revision() {
      loaded();
      return loadedRevision;
    },
    historyAt: (at) => historyOf(layOut(readAll(at))),
    publications(limit) {
      loaded();
      return model.judged.map((_, i) => standingAt(model, i)).slice(-limit).toReversed();
    },
    standing(id) {
      loaded();
      const index = model.judged.findIndex((j) => j.publication.id === id);
      return index < 0 ? undefined : standingAt(model, index);
    },
    preview(change, mark) {
      loaded();
      const next = withChange(model, change, mark);
      const ids = change.publications.map(publicationId);
      const held = next.judged.flatMap(({ publication }, i) => (ids.includes(publication.id) ? standingAt(next, i) : [])).filter((p) => p.state === "held");
      const laidOut = next === model ? history : layOut(next);
      return { history: historyOf(laidOut), differences: differencesBetween(history, laidOut), isHeld: held.length > 0, doubts: held.flatMap((s) => s.doubts) };
    },
    put(change, mark) {
      refresh();
      const next = withChange(model, change, mark);
      for (const publication of change.publications) {
        const id = publicationId(publication);
        if (!publications.doesExist(id)) publications.putSync(id, recordOf(publication, mark));
      }
      // A repetition keeps the instant at which it first became known.
      for (const row of change.infections) if (!infections.doesExist(infectionKey(row))) infections.putSync(infectionKey(row), row.infection);
      for (const row of change.screenings) if (!screenings.doesExist(screeningKey(row))) screenings.putSync(screeningKey(row), row.screening);
      return next === model ? [] : bump(next);
    },
    mark(id, mark, from) {
      refresh();
      const record = publications.get(id);
      if (!record || record.marks.at(-1)?.mark === mark) return [];
      const marked = { ...record, marks: [...record.marks, { mark, from }] };
      publications.putSync(id, marked);
      return bump(withPublication(model, publicationOf(id, marked)));
    },
    refresh,
    forget() {
      loadedRevision = -1;
    },
  };
}

function recordOf({ publishedAt, knownFrom, counties, areas }: RiskPublication, mark: Mark | null): PublicationRecord {
  const bytes = Buffer.from(areas.buffer, areas.byteOffset, areas.byteLength);
  return { publishedAt, knownFrom, counties: [...counties].sort(([a], [b]) => a - b), areas: bytes, marks: mark === null ? [] : [{ mark, from: knownFrom }] };
}

function publicationOf(id: string, record: PublicationRecord): Publication {
  // Copied: what comes from the store need not lie on a multiple of eight.
  return { ...record, id, areaIds: new Float64Array(Uint8Array.prototype.slice.call(record.areas).buffer) };
}

function infectionKey({ factKey, revision, infection: { county, day, count } }: InfectionRow): Uint8Array {
  return revisionKey(factKey, revision, [county, day, count]);
}

function screeningKey({ factKey, revision, screening: { county, rounds } }: ScreeningRow): Uint8Array {
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

/** The highest revision of every fact that was known at `knownAt`. */
function newestRevisions<Value extends { readonly knownFrom: Instant }>(database: Database<Value, Uint8Array>, knownAt: Instant): Newest<Value> {
  const newest = new Map<string, Versioned<Value>>();
  for (const { key, value } of database.getRange({})) if (value.knownFrom <= knownAt) putNewest(newest, key, value);
  return newest;
}

/** Keeps the value if its version is the highest. @returns whether it is. */
function putNewest<Value>(newest: Map<string, Versioned<Value>>, key: Uint8Array, value: Value): boolean {
  const text = keyText(key);
  const [fact, version] = [text.slice(0, 16), text.slice(16)];
  const known = newest.get(fact);
  if (known && known.version >= version) return false;
  newest.set(fact, { version, value });
  return true;
}

/** The model with a change in it; the same object when the change says nothing new. */
function withChange(model: Model, change: RegionChange, mark: Mark | null): Model {
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

/** Puts a publication in its place, or in the place of its namesake, and judges anew from there on. */
function withPublication(model: Model, publication: Publication): Model {
  const others = model.judged.map((j) => j.publication).filter((p) => p.id !== publication.id);
  const all = [...others, publication].sort(byTurn);
  const changed = model.judged.findIndex((j, i) => j.publication !== all[i]);
  return { ...model, judged: judgeFrom(all, model.judged, changed < 0 ? model.judged.length : changed) };
}

/**
 * The order in which publications are judged: by update time; of one hour the longest first, since the guard keeps what came into force first; those that an operator
 * released last, and the longest of them at the end.
 */
function byTurn(a: Publication, b: Publication): number {
  const [isReleased, isOtherReleased] = [isMarked(a, "released"), isMarked(b, "released")];
  const length = (b.areaIds.length - a.areaIds.length || (a.id < b.id ? 1 : -1)) * (isReleased ? -1 : 1);
  return a.publishedAt - b.publishedAt || Number(isReleased) - Number(isOtherReleased) || length;
}

function isMarked({ marks }: Publication, mark: Mark): boolean {
  return marks.at(-1)?.mark === mark;
}

/** Judges in the order of publication; the first `kept` of `before` stand. */
function judgeFrom(inTurn: readonly Publication[], before: readonly Judged[], kept: number): Judged[] {
  const judged = before.slice(0, kept);
  for (const publication of inTurn.slice(kept)) {
    const { publishedAt, areaIds, marks } = publication;
    const { state, outcome, doubts } = judge(judged.at(-1)?.after ?? NOTHING_PUBLISHED, { publishedAt, areas: areaIds, mark: marks.at(-1)?.mark ?? null });
    judged.push({ publication, outcome, doubts, after: state });
  }
  return judged;
}

function standingAt({ judged }: Model, index: number): PublicationStanding {
  const { publication, outcome, doubts } = judged[index]!;
  const isOvertaken = judged.slice(index + 1).some((j) => j.outcome === "in-force");
  const states = { "in-force": isOvertaken ? "replaced" : "in-force", held: isOvertaken ? "superseded" : "held", rejected: "rejected", outdone: "replaced" } as const;
  return { id: publication.id, publishedAt: publication.publishedAt, areas: publication.areaIds.length, doubts, state: states[outcome] };
}

interface CountyState {
  readonly risk: CountyRisk | undefined;
  readonly screenings: readonly Screening[];
}

/** A history that never changes. */
function historyOf(states: ReadonlyMap<CountyCode, CountyState>): RegionHistory {
  return { generation: () => 0, risk: (county) => states.get(county)?.risk, screenings: (county) => states.get(county)?.screenings ?? [] };
}

/** What was told under an old code counts for each county of today that it became. */
function layOut(model: Model): Map<CountyCode, CountyState> {
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
  for (const [i, { publishedAt, counties }] of inForce.entries()) {
    if (inForce[i + 1]?.publishedAt === publishedAt) continue; // released over another one of the same hour
    const named = new Set(counties.filter(([, areas]) => areas.high + areas.medium > 0).map(([county]) => county));
    for (const county of [...openSince.keys()]) if (!named.has(county)) close(county, publishedAt);
    for (const county of named) if (!openSince.has(county)) openSince.set(county, publishedAt);
  }
  for (const county of [...openSince.keys()]) close(county, FOREVER);
  return held;
}

function differencesBetween(before: ReadonlyMap<CountyCode, CountyState>, after: ReadonlyMap<CountyCode, CountyState>): RegionDifference[] {
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
