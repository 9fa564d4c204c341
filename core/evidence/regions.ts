// What is known of regions: published risk lists, local infections and screenings, kept whole.
// Promises: the order and the repetition of deliveries never matter; a list that may be cut off does not come into force by itself (publicationGuard.ts); of two lists
// with one update time the one with more areas that find a county holds, ties go by content; nothing is deleted, so that what was known at an instant can be laid out again.
// Not here: how a history is laid out (regionModel.ts), which counties a policy finds affected, and whom a change would hit (ingest).

import type { Database, RootDatabase } from "lmdb";
import { arrivedAfter, arrivedBefore, FOREVER, type AsKnown, type CountyCode, type Instant, type Known, type LocalInfection, type RegionDifference, type RegionHistory, type Screening } from "../domain/index.ts";
import type { Doubt, Mark } from "./publicationGuard.ts";
import {
  byTurn,
  differencesBetween,
  historyOf,
  infectionKey,
  judgeFrom,
  layOut,
  newsOf,
  NOTHING,
  publicationId,
  publicationOf,
  putNewest,
  recordOf,
  screeningKey,
  standingAt,
  withChange,
  withPublication,
  type CountyState,
  type Model,
  type Newest,
  type Publication,
  type PublicationRecord,
  type PublicationStanding,
  type RegionChange,
  type Versioned,
} from "./regionModel.ts";

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
  historyAt(at: Instant): RegionHistory & AsKnown;
  /** The newest publications first. */
  publications(limit: number): PublicationStanding[];
  standing(id: string): PublicationStanding | undefined;
  /** `mark` for the publications in it. */
  preview(change: RegionChange, mark: Mark | null): RegionPreview;
  /** The same for an operator's word on publications that are known. */
  previewMark(ids: readonly string[], mark: Mark, at: Instant): RegionPreview;
  /** Whether infections and screenings in a change say anything `new`; `outdone`: of each a newer revision is known. */
  news(change: RegionChange): "new" | "known" | "outdone";
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

const REVISION = "regionRevision";

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
  const previewOf = (next: Model, ids: readonly string[]): RegionPreview => {
    const held = next.judged.flatMap(({ publication }, i) => (ids.includes(publication.id) ? standingAt(next, i) : [])).filter((p) => p.state === "held");
    const laidOut = next === model ? history : layOut(next);
    return { history: historyOf(laidOut), differences: differencesBetween(history, laidOut), isHeld: held.length > 0, doubts: held.flatMap((s) => s.doubts) };
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
    historyAt(at) {
      const model = readAll(at);
      const told: Known[] = [...model.judged.map((j) => j.publication), ...[model.infections, model.screenings].flatMap((rows) => [...rows.values()].map((v) => v.value))];
      return { ...historyOf(layOut(model)), restsOnHistory: told.some((one) => arrivedAfter(one, at)) };
    },
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
      return previewOf(withChange(model, change, mark), change.publications.map(publicationId));
    },
    previewMark(ids, mark, from) {
      loaded();
      const marked = (id: string): Publication => publicationOf(id, withMark(publications.get(id)!, mark, from));
      return previewOf(ids.reduce((next, id) => withPublication(next, marked(id)), model), ids);
    },
    news(change) {
      loaded();
      return newsOf(model, change);
    },
    put(change, mark) {
      refresh();
      const next = withChange(model, change, mark);
      for (const publication of change.publications) {
        const id = publicationId(publication);
        const before = publications.get(id);
        if (!before) publications.putSync(id, recordOf(publication, mark));
        else if (arrivedBefore(publication, before)) publications.putSync(id, withArrival(before, publication));
      }
      for (const row of change.infections) putFirst(infections, infectionKey(row), row.infection);
      for (const row of change.screenings) putFirst(screenings, screeningKey(row), row.screening);
      return next === model ? [] : bump(next);
    },
    mark(id, mark, from) {
      refresh();
      const record = publications.get(id);
      if (!record || record.marks.at(-1)?.mark === mark) return [];
      const marked = withMark(record, mark, from);
      publications.putSync(id, marked);
      return bump(withPublication(model, publicationOf(id, marked)));
    },
    refresh,
    forget() {
      loadedRevision = -1;
    },
  };
}

/** Of repeated deliveries the one that arrived first counts, in whatever order they are applied. */
function putFirst<Value extends Known>(database: Database<Value, Uint8Array>, key: Uint8Array, value: Value): void {
  const before = database.get(key);
  if (!before || arrivedBefore(value, before)) database.putSync(key, value);
}

/** The same publication from a delivery that arrived earlier. The mark that it came into the store with goes with it. */
function withArrival({ publishedAt, counties, areas, marks, ...before }: PublicationRecord, { knownFrom, receivedAt }: Known): PublicationRecord {
  const moved = marks.map((m, i) => (i === 0 && m.from === before.knownFrom ? { ...m, from: knownFrom } : m));
  return { publishedAt, counties, areas, knownFrom, ...(receivedAt === undefined ? {} : { receivedAt }), marks: moved };
}

function withMark(record: PublicationRecord, mark: Mark, from: Instant): PublicationRecord {
  return { ...record, marks: [...record.marks, { mark, from }] };
}

/** The highest revision of every fact that was known at `knownAt`. */
function newestRevisions<Value extends Known>(database: Database<Value, Uint8Array>, knownAt: Instant): Newest<Value> {
  const newest = new Map<string, Versioned<Value>>();
  for (const { key, value } of database.getRange({})) if (value.knownFrom <= knownAt) putNewest(newest, key, value);
  return newest;
}
