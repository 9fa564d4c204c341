// The evidence store: one LMDB environment with every fact, who it is about, and what is known of regions. Written by the worker alone.
// Promises: the order and the repetition of deliveries never matter; nothing is overwritten: the highest revision is chosen when reading.
// Not here: what follows from evidence (policy), and numbers of any kind (subjects are keys).
//
// Databases and their keys (big endian, so that ranges are ordered):
//   facts      subject 16, fact 16, revision u32, content hash 8           -> the fact, or null: it moved to another subject
//   subjects   fact 16                                                     -> subject 16, revision u32, content hash 8 of the highest revision
//   holders    holder 16                                                   -> its documents and phones
//   documents  document 16                                                 -> holder 16
//   phones     phone 16, holder 16                                         -> nothing
//   stays      county u32, subject 16                                      -> nothing: the inverted index region -> subjects
//   regions    see regions.ts
//   batches    sequence                                                    -> how far a batch has been applied
//   meta       name                                                        -> number
//   texts      name                                                        -> text

import { createHash } from "node:crypto";
import { open, type Database, type RootDatabase } from "lmdb";
import {
  KEY_BYTES,
  keyOf,
  keyText,
  subjectKind,
  type CountyCode,
  type DocumentKey,
  type Fact,
  type FactKey,
  type HolderEvidence,
  type HolderKey,
  type PhoneKey,
  type SubjectKey,
} from "../domain/index.ts";
import { createRegionStore, type RegionStore } from "./regions.ts";

/** How far the worker has come with a batch. */
export interface BatchProgress {
  /** Chunks whose entries are on disk. */
  readonly chunksDone: number;
  readonly entriesChanged: number;
  /** Counties whose visitors are still to be evaluated anew, and the last subject done in the first of them. */
  readonly recompute: { readonly counties: readonly CountyCode[]; readonly after: Uint8Array | null };
  /** Milliseconds of the service's clock; null: not applied yet. */
  readonly appliedMs: number | null;
}

export interface Holder {
  readonly key: HolderKey;
  readonly documents: readonly DocumentKey[];
  readonly evidence: HolderEvidence;
}

export interface EvidenceReader {
  readonly regions: RegionStore;
  /** The holders whom a fact about `subject` concerns. A document that no holder owns yet is a holder of its own; a phone may have none or several. */
  holdersOf(subject: SubjectKey): HolderKey[];
  holder(key: HolderKey): Holder;
  /** Subjects with a stay in `county`, ascending, behind `after`. */
  visitorsOf(county: CountyCode, options: { after: Uint8Array | null; limit: number }): SubjectKey[];
  progress(batch: number): BatchProgress | undefined;
  /** Of the rules under which the entries were computed; undefined: none were. */
  policyFingerprint(): string | undefined;
  /** Frees reader slots of processes that have died. @returns how many. */
  checkReaders(): number;
  close(): Promise<void>;
}

export interface EvidenceWriter extends EvidenceReader {
  /** Runs `change` in one write transaction and gives it the transaction's number. */
  transaction<T>(change: (sequence: number) => T): T;
  /** @returns the subjects whose evidence this may have changed. */
  putFact(subject: SubjectKey, factKey: FactKey, fact: Fact): SubjectKey[];
  /** Makes the owners of these documents one holder. @returns its key. */
  putHolder(documents: readonly DocumentKey[], phones: readonly PhoneKey[]): HolderKey;
  putProgress(batch: number, progress: BatchProgress): void;
  putPolicyFingerprint(fingerprint: string): void;
  /** Resolves when everything committed so far is on disk. */
  flushed(): Promise<void>;
}

interface HolderRecord {
  readonly documents: readonly Uint8Array[];
  readonly phones: readonly Uint8Array[];
}

const MAP_BYTES = 512 * 2 ** 30;
const EMPTY = new Uint8Array(0);
const SEQUENCE = "sequence";
const POLICY = "policyFingerprint";

export function openEvidenceReader(folder: string): EvidenceReader {
  return createStore(folder, true);
}

export function openEvidenceWriter(folder: string): EvidenceWriter {
  return createStore(folder, false);
}

function createStore(folder: string, readOnly: boolean): EvidenceWriter {
  const root: RootDatabase = open({ path: folder, readOnly, mapSize: MAP_BYTES, maxReaders: 256, maxDbs: 16 });
  const binaryKeys = <Value>(name: string): Database<Value, Uint8Array> => root.openDB({ name, keyEncoding: "binary", encoding: "msgpack" });
  const bytesByKey = (name: string): Database<Uint8Array, Uint8Array> => root.openDB({ name, keyEncoding: "binary", encoding: "binary" });
  const facts = binaryKeys<Fact | null>("facts");
  const subjects = bytesByKey("subjects");
  const holders = binaryKeys<HolderRecord>("holders");
  const documents = bytesByKey("documents");
  const phones = bytesByKey("phones");
  const stays = bytesByKey("stays");
  const batches = root.openDB<BatchProgress, number>({ name: "batches", encoding: "msgpack" });
  const meta = root.openDB<number, string>({ name: "meta", encoding: "json" });
  const texts = root.openDB<string, string>({ name: "texts", encoding: "json" });
  const regions = createRegionStore(root, meta);

  const factsOf = (subject: Uint8Array, into: Fact[]): void => {
    let factName: Uint8Array | undefined;
    let newest: Fact | null = null;
    for (const { key, value } of facts.getRange({ start: subject, end: endOf(subject) })) {
      const name = key.subarray(KEY_BYTES, 2 * KEY_BYTES);
      if (!factName || Buffer.compare(name, factName) !== 0) {
        if (newest) into.push(newest);
        factName = Buffer.from(name);
      }
      newest = value;
    }
    if (newest) into.push(newest);
  };

  const putRevision = (subject: Uint8Array, factKey: Uint8Array, version: Uint8Array, fact: Fact | null): void => {
    const key = Buffer.concat([subject, factKey, version]);
    // Repeated deliveries keep the instant at which the fact first became known.
    if (!facts.doesExist(key)) facts.putSync(key, fact);
    if (fact?.kind === "trip") stays.putSync(countyKey(fact.county, subject), EMPTY);
  };

  return {
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

    putFact(subject, factKey, fact) {
      const version = versionOf(fact, subject);
      const known = subjects.get(factKey);
      const knownVersion = known?.subarray(KEY_BYTES);
      if (!known || Buffer.compare(version, knownVersion!) > 0) subjects.putSync(factKey, Buffer.concat([subject, version]));
      putRevision(subject, factKey, version, fact);
      const other = known?.subarray(0, KEY_BYTES);
      if (!other || Buffer.compare(other, subject) === 0) return [subject];
      // The source has said the same fact of two subjects: the lower revision's subject keeps a mark that the fact moved on.
      if (Buffer.compare(version, knownVersion!) > 0) putRevision(other, factKey, version, null);
      else putRevision(subject, factKey, knownVersion!, null);
      return [subject, other as SubjectKey];
    },

    putHolder(newDocuments, newPhones) {
      const owners = new Set(newDocuments.map((d) => keyText(documents.get(d) ?? d)));
      const allDocuments = new Set(newDocuments.map(keyText));
      const allPhones = new Set(newPhones.map(keyText));
      for (const owner of owners) {
        const record = holders.get(keyOf(owner));
        record?.documents.forEach((d) => allDocuments.add(keyText(d)));
        record?.phones.forEach((p) => allPhones.add(keyText(p)));
      }
      const holder = keyOf([...allDocuments].sort()[0]!);
      for (const owner of owners) {
        if (owner === keyText(holder)) continue;
        const previous = keyOf(owner);
        holders.get(previous)?.phones.forEach((p) => phones.removeSync(Buffer.concat([p, previous])));
        holders.removeSync(previous);
      }
      for (const d of allDocuments) documents.putSync(keyOf(d), holder);
      for (const p of allPhones) phones.putSync(Buffer.concat([keyOf(p), holder]), EMPTY);
      holders.putSync(holder, { documents: [...allDocuments].sort().map((d) => keyOf(d)), phones: [...allPhones].sort().map((p) => keyOf(p)) });
      return holder;
    },

    holdersOf(subject) {
      if (subjectKind(subject) === "document") return [(documents.get(subject) ?? subject) as HolderKey];
      return [...phones.getKeys({ start: subject, end: endOf(subject) })].map((key) => copyOf(key.subarray(KEY_BYTES)) as HolderKey);
    },

    holder(key) {
      const record = holders.get(key);
      const own = (record?.documents ?? [key]) as DocumentKey[];
      const gathered: Fact[] = [];
      for (const subject of own) factsOf(subject, gathered);
      for (const phone of record?.phones ?? []) factsOf(phone, gathered);
      return { key, documents: own, evidence: { registered: record !== undefined, facts: gathered } };
    },

    visitorsOf(county, { after, limit }) {
      const start = after ? Buffer.concat([countyKey(county, after), Buffer.of(0)]) : countyKey(county, EMPTY);
      const keys = stays.getKeys({ start, end: countyKey(county + 1, EMPTY), limit });
      return [...keys].map((key) => copyOf(key.subarray(4)) as SubjectKey);
    },

    progress: (batch) => batches.get(batch),
    policyFingerprint: () => texts.get(POLICY),
    putPolicyFingerprint: (fingerprint) => {
      texts.putSync(POLICY, fingerprint);
    },
    putProgress: (batch, progress) => {
      batches.putSync(batch, progress);
    },
    flushed: async () => {
      await root.flushed;
    },
    checkReaders: () => root.readerCheck(),
    close: () => root.close(),
  };
}

/** Revision and content hash: orders the versions of one fact. Whom it is about is content, the instant it became known is none. */
function versionOf(fact: Fact, subject: Uint8Array): Uint8Array {
  const names = Object.keys(fact).filter((name) => name !== "knownFrom");
  const text = JSON.stringify(fact, names.sort());
  const version = Buffer.alloc(12);
  version.writeUInt32BE(fact.revision, 0);
  createHash("sha256").update(subject).update(text).digest().copy(version, 4, 0, 8);
  return version;
}

function copyOf(bytes: Uint8Array): Uint8Array {
  return Uint8Array.prototype.slice.call(bytes);
}

/** Behind the last key that begins with `prefix`, whatever follows it. */
function endOf(prefix: Uint8Array): Uint8Array {
  return Buffer.concat([prefix, Buffer.alloc(48, 0xff)]);
}

function countyKey(county: CountyCode, subject: Uint8Array): Uint8Array {
  const key = Buffer.alloc(4 + subject.length);
  key.writeUInt32BE(county, 0);
  key.set(subject, 4);
  return key;
}
