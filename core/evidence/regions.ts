// What is known of regions: published risk lists and local infections, kept whole, and laid out as each county's history.
// Promises: the order and the repetition of deliveries never matter; of two lists with one update time the longer one holds, so that a
// list cut off can't free anyone; ties go by content.
// Not here: which counties a policy finds affected.

import { createHash } from "node:crypto";
import type { Database, RootDatabase } from "lmdb";
import {
  FOREVER,
  type CountyCode,
  type CountyRisk,
  type FactKey,
  type Instant,
  type Interval,
  type LocalInfection,
  type RegionHistory,
  type RiskAreaCount,
  type RiskPublication,
} from "../domain/index.ts";

export interface RegionStore extends RegionHistory {
  /** Counts the changes; two equal revisions are the same history. */
  revision(): number;
  /** Call inside a transaction. @returns the counties whose history changed. */
  putPublication(publication: RiskPublication): CountyCode[];
  /** Call inside a transaction; the highest revision of a fact holds. @returns the counties whose history changed. */
  putInfections(infections: readonly { factKey: FactKey; revision: number; infection: LocalInfection }[]): CountyCode[];
  /** Takes in what another process has written. */
  refresh(): void;
  /** Forgets what is in memory: the transaction it came from was given up. */
  forget(): void;
}

interface PublicationRecord {
  readonly publishedAt: Instant;
  readonly knownFrom: Instant;
  readonly counties: readonly (readonly [CountyCode, RiskAreaCount])[];
}

const REVISION = "regionRevision";

export function createRegionStore(root: RootDatabase, meta: Database<number, string>): RegionStore {
  const publications = root.openDB<PublicationRecord, Uint8Array>({ name: "publications", keyEncoding: "binary", encoding: "msgpack" });
  const infections = root.openDB<LocalInfection, Uint8Array>({ name: "infections", keyEncoding: "binary", encoding: "msgpack" });

  let loadedRevision = -1;
  let generation = 0;
  let history = new Map<CountyCode, CountyRisk>();

  const load = (): void => {
    history = layOut([...publications.getRange({})].map((r) => r.value), newestRevisions(infections));
    loadedRevision = meta.get(REVISION) ?? 0;
    generation++;
  };
  const refresh = (): void => {
    if (loadedRevision !== (meta.get(REVISION) ?? 0)) load();
  };
  /** Writes by `change`, then says which counties look different. */
  const changing = (change: () => boolean): CountyCode[] => {
    refresh();
    if (!change()) return [];
    const before = history;
    meta.putSync(REVISION, (meta.get(REVISION) ?? 0) + 1);
    load();
    return [...new Set([...before.keys(), ...history.keys()])].filter((c) => !sameRisk(before.get(c), history.get(c)));
  };

  return {
    generation() {
      if (loadedRevision < 0) load();
      return generation;
    },
    risk(county) {
      if (loadedRevision < 0) load();
      return history.get(county);
    },
    revision() {
      if (loadedRevision < 0) load();
      return loadedRevision;
    },
    putPublication({ publishedAt, knownFrom, counties }) {
      const record: PublicationRecord = { publishedAt, knownFrom, counties: [...counties].sort(([a], [b]) => a - b) };
      const key = Buffer.alloc(12);
      key.writeUInt32BE(publishedAt, 0);
      createHash("sha256").update(JSON.stringify(record.counties)).digest().copy(key, 4, 0, 8);
      return changing(() => {
        if (publications.doesExist(key)) return false;
        publications.putSync(key, record);
        return true;
      });
    },
    putInfections(rows) {
      return changing(() => {
        let isNew = false;
        for (const { factKey, revision, infection } of rows) {
          const key = Buffer.alloc(28);
          key.set(factKey, 0);
          key.writeUInt32BE(revision, 16);
          const { county, day, count } = infection;
          createHash("sha256").update(JSON.stringify([county, day, count])).digest().copy(key, 20, 0, 8);
          if (infections.doesExist(key)) continue;
          infections.putSync(key, infection);
          isNew = true;
        }
        return isNew;
      });
    },
    refresh,
    forget() {
      loadedRevision = -1;
    },
  };
}

/** The highest revision of every infection fact. */
function newestRevisions(infections: Database<LocalInfection, Uint8Array>): LocalInfection[] {
  const newest = new Map<string, LocalInfection>();
  for (const { key, value } of infections.getRange({})) newest.set(Buffer.from(key.subarray(0, 16)).toString("latin1"), value);
  return [...newest.values()];
}

function layOut(records: readonly PublicationRecord[], infections: readonly LocalInfection[]): Map<CountyCode, CountyRisk> {
  const held = heldIntervals(records);
  const byCounty = Map.groupBy(
    infections.filter((i) => i.count > 0),
    (i) => i.county,
  );
  const counties = new Set([...held.keys(), ...byCounty.keys()]);
  return new Map([...counties].map((c) => [c, { held: held.get(c) ?? [], infections: byCounty.get(c) ?? [] }]));
}

/** When each county held an area: from the publication that names it to the first one after that doesn't. */
function heldIntervals(records: readonly PublicationRecord[]): Map<CountyCode, Interval[]> {
  const inForce = new Map<Instant, PublicationRecord>();
  // Records come ordered by instant, then content hash: of equally long ones the last holds.
  for (const record of records) {
    const rival = inForce.get(record.publishedAt);
    if (!rival || areaCount(record) >= areaCount(rival)) inForce.set(record.publishedAt, record);
  }
  const openSince = new Map<CountyCode, Instant>();
  const held = new Map<CountyCode, Interval[]>();
  const close = (county: CountyCode, until: Instant): void => {
    const interval = { from: openSince.get(county)!, until };
    const list = held.get(county);
    if (list) list.push(interval);
    else held.set(county, [interval]);
    openSince.delete(county);
  };
  for (const { publishedAt, counties } of [...inForce.values()].sort((a, b) => a.publishedAt - b.publishedAt)) {
    const named = new Set(counties.filter(([, areas]) => areas.high + areas.medium > 0).map(([county]) => county));
    for (const county of [...openSince.keys()]) if (!named.has(county)) close(county, publishedAt);
    for (const county of named) if (!openSince.has(county)) openSince.set(county, publishedAt);
  }
  for (const county of [...openSince.keys()]) close(county, FOREVER);
  return held;
}

function areaCount({ counties }: PublicationRecord): number {
  return counties.reduce((sum, [, areas]) => sum + areas.high + areas.medium, 0);
}

function sameRisk(a: CountyRisk | undefined, b: CountyRisk | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
