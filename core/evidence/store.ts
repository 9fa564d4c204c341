// The evidence store: one LMDB environment with every fact, who it is about, and what is known of regions. Written by the worker alone.
// Promises: the order and the repetition of deliveries never matter; nothing is overwritten: the highest revision is chosen when reading. Only retention.ts removes.
// Not here: what follows from evidence (policy), and numbers of any kind (subjects are keys).
//
// Databases and their keys (big endian, so that ranges are ordered):
//   facts      subject 16, fact 16, revision u32, content hash 8           -> the fact, or that it moved to another subject, as bytes: factCodec.ts
//   subjects   fact 16                                                     -> subject 16, revision u32, content hash 8 of the highest revision
//   refuted    fact 16                                                     -> nothing: a refutation that names no subject lies in `facts` under this fact's key
//   stays      county u32, subject 16                                      -> nothing: the inverted index region -> subjects, by the codes of today
//   residents  county u32, subject 16                                      -> nothing: the same for where they live
//   batches    sequence                                                    -> how far a batch has been applied
//   meta       name                                                        -> number
//   holders, documents, phones, links: see holders.ts; publications, infections, screenings: regions.ts; changes, packs: changes.ts; retention: retention.ts

import { open, type Database, type RootDatabase } from "lmdb";
import {
  arrivedAfter,
  currentCounties,
  FOREVER,
  KEY_BYTES,
  keyText,
  type AsKnown,
  type CountyCode,
  type DocumentKey,
  type Fact,
  type FactKey,
  type HolderEvidence,
  type HolderKey,
  type Instant,
  type Known,
  type PhoneKey,
  type Refutation,
  type Residence,
  type SubjectKey,
  type Trip,
} from "../domain/index.ts";
import { createChangeStore, type ChangeReader, type ChangeStore } from "./changes.ts";
import { arrivedAtOf, CONTENT_AT, FACT_BYTES_MAX, decodeFact, encodeFact, encodeMoved, kindOf, knownFromOf, revisionOf } from "./factCodec.ts";
import { copyOf, createHolderStore, endOf } from "./holders.ts";
import { createRetentionStore, type RetentionReader, type RetentionStore } from "./retention.ts";
import { createRegionStore, type RegionReader, type RegionStore } from "./regions.ts";

/** How far the worker has come with a batch. */
export interface BatchProgress {
  /** Chunks whose entries are on disk. */
  readonly chunksDone: number;
  readonly entriesChanged: number;
  /** Counties whose visitors are still to be evaluated anew, and the last subject in the first of them whose holders are done. */
  readonly recompute: {
    readonly counties: readonly CountyCode[];
    /** Counties whose residents are: after the visitors of all counties. */
    readonly residents?: readonly CountyCode[];
    readonly after: Uint8Array | null;
    /** Of those gathered behind `after` the last holder done; absent: none is. */
    readonly within?: Uint8Array;
  };
  /** Milliseconds of the service's clock; null: not applied yet. */
  readonly appliedMs: number | null;
  /** Decisions in it that were carried out or came to nothing so far. */
  readonly decided?: number;
  /** Decisions in it that came to nothing, and why, in words for who decided. */
  readonly undone?: readonly string[];
  /** Packs that it has put in force, by number. */
  readonly packs?: readonly number[];
  /** It brought no change, since one before said the same: that one; null: the rules that the service began with. */
  readonly repeats?: number | null;
  /** Facts in it that came too late for anything to follow from them, and are not kept. */
  readonly tooLate?: number;
  /** Phones and documents that a change of regions has it evaluate anew, in all and so far; of these `inHand` are of those that are gathered now. */
  readonly fanOut?: { readonly subjects: number; readonly done: number; readonly inHand?: number };
  /** What could not be applied so far and is tried again by the next attempt: chunks with such a row, subjects to be evaluated anew. */
  readonly aside?: { readonly chunks: readonly number[]; readonly subjects: readonly Uint8Array[] };
  /** Its last attempt failed. */
  readonly failure?: BatchFailure;
}

export interface BatchFailure {
  /** Since it was delivered, or last revived. */
  readonly attempts: number;
  /** When the last one failed, milliseconds of the service's clock. */
  readonly atMs: number;
  /** In words without numbers of people. */
  readonly reason: string;
  /** It is left alone until somebody has it tried again. */
  readonly isDead: boolean;
}

export interface Holder {
  readonly key: HolderKey;
  readonly documents: readonly DocumentKey[];
  readonly evidence: HolderEvidence;
}

export interface EvidenceReader extends ChangeReader, RetentionReader {
  readonly regions: RegionReader;
  /** The holders whom a fact about `subject` concerns. A document that no holder owns yet is a holder of its own; a phone may have none or several. */
  holdersOf(subject: SubjectKey): HolderKey[];
  holder(key: HolderKey): Holder;
  /** What was known of a document's holder at `at`: the revisions, and the documents and phones, that had been told by then. */
  holderAt(document: DocumentKey, at: Instant): Holder & AsKnown;
  /** How many holders `holders` rows have told of. */
  holderCount(): number;
  /** Those holders, ascending, some at a time. */
  holderPages(): Iterable<HolderKey[]>;
  /** Whether no `holders` row names a document. */
  isUnregistered(document: DocumentKey): boolean;
  /** Subjects with a stay in `county`, a code of today, ascending, behind `after`. */
  visitorsOf(county: CountyCode, options: Page): SubjectKey[];
  /** The same for those who live or lived there. */
  residentsOf(county: CountyCode, options: Page): SubjectKey[];
  /** How many subjects have or had a stay there, live or lived there. */
  visitorCount(county: CountyCode): number;
  residentCount(county: CountyCode): number;
  /** Whether this very revision of a fact lies in the store. */
  keepsFact(subject: SubjectKey, factKey: FactKey, fact: Fact): boolean;
  progress(batch: number): BatchProgress | undefined;
  /** How many entries became others when they were computed anew under a pack, by its number. */
  entriesChangedUnder(pack: number): number;
  /** Frees reader slots of processes that have died. @returns how many. */
  checkReaders(): number;
  close(): Promise<void>;
}

export interface Page {
  readonly after: Uint8Array | null;
  readonly limit: number;
}

export interface EvidenceWriter extends EvidenceReader, ChangeStore, RetentionStore {
  readonly regions: RegionStore;
  /** Runs `change` in one write transaction and gives it the transaction's number. */
  transaction<T>(change: (sequence: number) => T): T;
  /** @param fact itself, or what encodeFact has made of it. @returns the subjects whose evidence this may have changed. */
  putFact(subject: SubjectKey, factKey: FactKey, fact: Fact | Uint8Array): SubjectKey[];
  /** Makes the owners of these documents one holder. @returns its key. */
  putHolder(documents: readonly DocumentKey[], phones: readonly PhoneKey[], known: Known): HolderKey;
  putProgress(batch: number, progress: BatchProgress): void;
  /** Numbers of batches of which it is kept how far they came, ascending, from this one on. */
  progressed(options: { from: number; limit: number }): number[];
  dropProgress(batch: number): void;
  addEntriesChangedUnder(pack: number, entries: number): void;
  /** Resolves when everything committed so far is on disk. */
  flushed(): Promise<void>;
}

const MAP_BYTES = 512 * 2 ** 30;
/** Holders whose keys are read in one go. */
const PAGE_HOLDERS = 500;
const EMPTY = new Uint8Array(0);
const SEQUENCE = "sequence";
const ENTRIES_CHANGED_UNDER = "entriesChangedUnder";

export function openEvidenceReader(folder: string): EvidenceReader {
  return createStore(folder, true);
}

export function openEvidenceWriter(folder: string): EvidenceWriter {
  return createStore(folder, false);
}

function createStore(folder: string, readOnly: boolean): EvidenceWriter {
  const root: RootDatabase = open({ path: folder, readOnly, mapSize: MAP_BYTES, maxReaders: 256, maxDbs: 32 });
  const bytesByKey = (name: string): Database<Uint8Array, Uint8Array> => root.openDB({ name, keyEncoding: "binary", encoding: "binary" });
  const facts = bytesByKey("facts");
  const subjects = bytesByKey("subjects");
  const refuted = bytesByKey("refuted");
  const stays = bytesByKey("stays");
  const residents = bytesByKey("residents");
  const batches = root.openDB<BatchProgress, number>({ name: "batches", encoding: "msgpack" });
  const meta = root.openDB<number, string>({ name: "meta", encoding: "json" });
  const holders = createHolderStore(root);
  const changes = createChangeStore(root);
  const regions = createRegionStore(root, meta);
  const retention = createRetentionStore({ root, facts, subjects, refuted, stays, residents, holders, countyKey });

  /** The highest revision of each fact of a subject that was known at `at`. */
  const factsOf = (subject: Uint8Array, at: Instant, into: Fact[]): void => {
    let newestKey: Uint8Array | undefined;
    let newest: Uint8Array | undefined;
    const take = (): void => {
      if (!newestKey || !newest) return;
      const fact = decodeFact(newest);
      if (!fact) return;
      if (fact.kind !== "trip") return void into.push(fact);
      const name = newestKey.subarray(KEY_BYTES, 2 * KEY_BYTES);
      into.push({ ...fact, told: { subject: keyText(subject), fact: keyText(name) } });
      if (refuted.doesExist(name)) factsOf(name, at, into);
    };
    for (const { key, value } of facts.getRange({ start: subject, end: endOf(subject) })) {
      if (knownFromOf(value) > at) continue;
      if (newestKey && !isSameFact(newestKey, key)) take();
      newestKey = key;
      newest = value;
    }
    take();
  };

  const putRevision = (subject: Uint8Array, factKey: Uint8Array, version: Uint8Array, bytes: Uint8Array): void => {
    const key = Buffer.concat([subject, factKey, version]);
    // Of repeated deliveries the one that arrived first counts, in whatever order they are applied.
    const before = facts.getBinaryFast(key);
    if (!before || arrivedAtOf(bytes) < arrivedAtOf(before)) facts.putSync(key, bytes);
  };

  const putPlace = (index: Database<Uint8Array, Uint8Array>, subject: Uint8Array, { county }: Trip | Residence): void => {
    for (const code of currentCounties(county)) index.putSync(countyKey(code, subject), EMPTY);
  };

  /** What lies under the key of a fact, a refutation of it, concerns whomever that fact was told of. */
  const concernedBy = (key: Uint8Array): SubjectKey[] => {
    if (!refuted.doesExist(key)) return [key as SubjectKey];
    const told = subjects.get(key);
    return told ? [copyOf(told.subarray(0, KEY_BYTES)) as SubjectKey] : [];
  };

  const gather = (key: HolderKey, record: { documents: readonly DocumentKey[]; phones: readonly PhoneKey[] } | undefined, at: Instant): Holder => {
    const documents = record?.documents ?? [key];
    const gathered: Fact[] = [];
    for (const subject of documents) factsOf(subject, at, gathered);
    for (const phone of record?.phones ?? []) factsOf(phone, at, gathered);
    return { key, documents, evidence: { registered: record !== undefined, facts: gathered } };
  };

  const pageOf = (index: Database<Uint8Array, Uint8Array>, county: CountyCode, { after, limit }: Page): SubjectKey[] => {
    const start = after ? Buffer.concat([countyKey(county, after), Buffer.of(0)]) : countyKey(county, EMPTY);
    const keys = index.getKeys({ start, end: countyKey(county + 1, EMPTY), limit });
    return [...keys].map((key) => copyOf(key.subarray(4)) as SubjectKey);
  };

  const entriesChangedUnder = (pack: number): number => meta.get(`${ENTRIES_CHANGED_UNDER} ${pack}`) ?? 0;

  return {
    ...changes,
    ...retention,
    regions,

    transaction(change) {
      try {
        return root.transactionSync(() => {
          regions.refresh();
          const sequence = (meta.get(SEQUENCE) ?? 0) + 1;
          meta.putSync(SEQUENCE, sequence);
          return change(sequence);
        });
      } catch (error) {
        regions.forget();
        throw error;
      }
    },

    putFact(subject, factKey, told) {
      const bytes = told instanceof Uint8Array ? told : encodeFact(told);
      const version = versionOf(bytes, subject);
      const known = subjects.get(factKey);
      const knownVersion = known?.subarray(KEY_BYTES);
      const isNewest = !known || Buffer.compare(version, knownVersion!) > 0;
      if (isNewest) subjects.putSync(factKey, Buffer.concat([subject, version]));
      putRevision(subject, factKey, version, bytes);
      const kind = kindOf(bytes);
      if (kind === "trip" || kind === "residence") putPlace(kind === "trip" ? stays : residents, subject, decodeFact(bytes) as Trip | Residence);
      if (kind === "refutation" && (decodeFact(bytes) as Refutation).subject === null) refuted.putSync(subject, EMPTY);
      const other = known?.subarray(0, KEY_BYTES);
      if (!other || Buffer.compare(other, subject) === 0) return concernedBy(subject);
      // The source has said the same fact of two subjects: the lower revision's subject keeps a mark that the fact moved on, known since the higher one is.
      if (isNewest) putRevision(other, factKey, version, encodeMoved(knownFromOf(bytes)));
      else putRevision(subject, factKey, knownVersion!, encodeMoved(knownFromOf(facts.getBinary(Buffer.concat([other, factKey, knownVersion!]))!)));
      return [...concernedBy(subject), ...concernedBy(other)];
    },

    putHolder: (documents, phones, known) => holders.put(documents, phones, known),
    holdersOf: (subject) => holders.of(subject),
    holder: (key) => gather(key, holders.record(key), FOREVER),
    holderAt(document, at) {
      const record = holders.recordAt(document, at);
      const holder = gather(document, record, at);
      return { ...holder, restsOnHistory: (record?.restsOnHistory ?? false) || holder.evidence.facts.some((fact) => arrivedAfter(fact, at)) };
    },
    holderCount: () => holders.count(),
    *holderPages() {
      let after: Uint8Array | null = null;
      for (;;) {
        const page: HolderKey[] = holders.keys({ after, limit: PAGE_HOLDERS });
        if (page.length > 0) yield page;
        if (page.length < PAGE_HOLDERS) return;
        after = page.at(-1)!;
      }
    },
    isUnregistered: (document) => !holders.isOwned(document),
    visitorsOf: (county, page) => pageOf(stays, county, page),
    residentsOf: (county, page) => pageOf(residents, county, page),
    visitorCount: (county) => stays.getKeysCount(rangeOf(county)),
    residentCount: (county) => residents.getKeysCount(rangeOf(county)),

    keepsFact: (subject, factKey, fact) => facts.doesExist(Buffer.concat([subject, factKey, versionOf(encodeFact(fact), subject)])),
    progress: (batch) => batches.get(batch),
    entriesChangedUnder,
    addEntriesChangedUnder: (pack, entries) => {
      meta.putSync(`${ENTRIES_CHANGED_UNDER} ${pack}`, entriesChangedUnder(pack) + entries);
    },
    putProgress: (batch, progress) => {
      batches.putSync(batch, progress);
    },
    progressed: ({ from, limit }) => [...batches.getKeys({ start: from, limit })],
    dropProgress: (batch) => {
      batches.removeSync(batch);
    },
    flushed: async () => {
      await root.flushed;
    },
    checkReaders: () => root.readerCheck(),
    close: () => root.close(),
  };
}

/** Whether two keys of `facts` that begin with the same subject are of the same fact. */
function isSameFact(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = KEY_BYTES; i < 2 * KEY_BYTES; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Revision and content hash: orders the versions of one fact. Whom it is about is content, when it became known and arrived is none. */
function versionOf(bytes: Uint8Array, subject: Uint8Array): Uint8Array {
  const version = Buffer.allocUnsafe(12);
  version.writeUInt32BE(revisionOf(bytes), 0);
  hashed.set(subject);
  hashed.set(bytes.subarray(CONTENT_AT), KEY_BYTES);
  Bun.CryptoHasher.hash("blake2b256", hashed.subarray(0, KEY_BYTES + bytes.length - CONTENT_AT), digest);
  digest.copy(version, 4, 0, 8);
  return version;
}
/** Where what is hashed, and its hash, lie meanwhile. */
const hashed = new Uint8Array(KEY_BYTES + FACT_BYTES_MAX);
const digest = Buffer.alloc(32);

/** The keys of an index that belong to a county. */
function rangeOf(county: CountyCode): { start: Uint8Array; end: Uint8Array } {
  return { start: countyKey(county, EMPTY), end: countyKey(county + 1, EMPTY) };
}

function countyKey(county: CountyCode, subject: Uint8Array): Uint8Array {
  const key = Buffer.alloc(4 + subject.length);
  key.writeUInt32BE(county, 0);
  key.set(subject, 4);
  return key;
}
