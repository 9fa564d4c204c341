// The entry store: one LMDB environment, one writer, any number of readers in other processes.
// Promises: a reader never sees half a transaction; what `flushed` has resolved for survives the loss of the process and of power.
// Not here: evidence; an entry is worth nothing for computing another.

import { open, type Database, type RootDatabase, type Transaction } from "lmdb";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { KEY_BYTES, type DocumentKey, type VenueRule } from "../domain/index.ts";
import { entryFaultAt, policyIdOf } from "./codec.ts";
import { addRecord, DAMAGED, NO_ENTRY, type RecordBatch } from "./recordBatch.ts";

/** What the worker says of itself with every beat, for whoever reads entries. */
export interface Heartbeat {
  /** When it was written, milliseconds of the service's clock. */
  readonly atMs: number;
  /** When entries last changed, milliseconds of the service's clock; 0: never. */
  readonly changedMs: number;
  /** Batches accepted and not yet applied. */
  readonly batchesWaiting: number;
  /** Changes of rules and regions that wait for somebody to decide. */
  readonly changesHeld: number;
}

export interface EntryReader {
  /** The record of a document, or undefined. Borrowed: valid until the next read. */
  get(key: DocumentKey): Uint8Array | undefined;
  /**
   * The records of the first `count` keys of `keys`, one key behind the other, into `batch`. Each is sound: `entryFault` found nothing, else its length is
   * DAMAGED. Records of one batch may be of different transactions. The batch is the caller's and stays as it is until it is filled again.
   */
  getMany(keys: Uint8Array, count: number, batch: RecordBatch): void;
  heartbeat(): Heartbeat | undefined;
  /** The pass rules of all kinds of venue, ascending by time in each; empty: the worker has never run. */
  venueRules(): readonly VenueRule[];
  /** Documents that have an entry, ascending, behind `after`. */
  documents(options: { after: DocumentKey | null; limit: number }): DocumentKey[];
  /** Number of entries. */
  count(): number;
  /** Frees reader slots of processes that have died. @returns how many. */
  checkReaders(): number;
  close(): Promise<void>;
}

export interface EntryWriter extends EntryReader {
  /** Runs `change` in one write transaction. */
  transaction<T>(change: () => T): T;
  put(key: DocumentKey, record: Uint8Array): void;
  remove(key: DocumentKey): void;
  /**
   * Looks at the `scanned` documents behind `after`, ascending. @returns those of them whose entry was computed under another pack than this one, and the last one looked
   * at; null: there are no more.
   */
  documentsNotUnder(policyId: number, options: { after: DocumentKey | null; scanned: number }): { documents: DocumentKey[]; last: DocumentKey | null };
  beat(heartbeat: Heartbeat): void;
  putVenueRules(rules: readonly VenueRule[]): void;
  /** Resolves when everything committed so far is on disk. */
  flushed(): Promise<void>;
  /** Writes a compacted copy of the newest state into a new folder, while writing goes on. */
  copyTo(folder: string): Promise<void>;
}

/** Address space, not disk: the file grows as entries come. */
const MAP_BYTES = 256 * 2 ** 30;
const READERS_MAX = 1024;
const HEARTBEAT = "heartbeat";
const VENUE_RULES = "rules";

/** Opens for reading. @throws when there is no store yet: the worker makes it. */
export function openEntryReader(folder: string): EntryReader {
  return readerOf(openEnvironment(folder, true));
}

/** What the mapped reader needs of the store. */
export interface HeldReader {
  readonly reader: EntryReader;
  readonly dataFile: string;
  /**
   * Stands in the reader table with the newest transaction from now on, and only then lets go of the one held before; the reader's own reads are of that
   * transaction or a newer one.
   */
  hold(): void;
  release(): void;
}

/** Opens for reading, with a transaction that can be held. */
export function openHeldReader(folder: string): HeldReader {
  const environment = openEnvironment(folder, true);
  const { root } = environment;
  let held: Transaction | undefined;
  const release = (): void => {
    held?.done();
    held = undefined;
  };
  return {
    reader: readerOf(environment),
    dataFile: join(folder, "data.mdb"),
    hold() {
      root.resetReadTxn();
      const next = root.useReadTransaction();
      release();
      held = next;
    },
    release,
  };
}

export function openEntryWriter(folder: string): EntryWriter {
  const environment = openEnvironment(folder, false);
  const { root, entries, meta, venues } = environment;
  return {
    ...readerOf(environment),
    transaction: (change) => root.transactionSync(change),
    put: (key, record) => {
      entries.putSync(key, record);
    },
    remove: (key) => {
      entries.removeSync(key);
    },
    documentsNotUnder(policyId, { after, scanned }) {
      const documents: DocumentKey[] = [];
      let last: DocumentKey | null = null;
      let count = 0;
      for (const { key, value } of entries.getRange({ ...behind(after), limit: scanned })) {
        if (++count === scanned) last = copyOf(key);
        if (policyIdOf(value) !== policyId) documents.push(copyOf(key));
      }
      return { documents, last };
    },
    beat: (heartbeat) => {
      meta.putSync(HEARTBEAT, heartbeat);
    },
    putVenueRules: (rules) => {
      venues.putSync(VENUE_RULES, rules);
    },
    flushed: async () => {
      await root.flushed;
    },
    copyTo: async (copyFolder) => {
      mkdirSync(copyFolder, { recursive: true });
      await root.backup(copyFolder, true);
    },
  };
}

interface Environment {
  readonly root: RootDatabase;
  readonly entries: Database<Uint8Array, Uint8Array>;
  readonly meta: Database<Heartbeat, string>;
  readonly venues: Database<readonly VenueRule[], string>;
}

function openEnvironment(folder: string, readOnly: boolean): Environment {
  const root = open({ path: folder, readOnly, mapSize: MAP_BYTES, maxReaders: READERS_MAX });
  return {
    root,
    entries: root.openDB<Uint8Array, Uint8Array>({ name: "entries", encoding: "binary", keyEncoding: "binary" }),
    meta: root.openDB<Heartbeat, string>({ name: "meta", encoding: "json" }),
    venues: root.openDB<readonly VenueRule[], string>({ name: "venues", encoding: "json" }),
  };
}

/** A key of one's own out of one that the store lends. */
function copyOf(key: Uint8Array): DocumentKey {
  return Uint8Array.prototype.slice.call(key) as DocumentKey;
}

/** The range of keys behind one. */
function behind(after: DocumentKey | null): { start?: Uint8Array } {
  return after ? { start: Buffer.concat([after, Buffer.of(0)]) } : {};
}

function readerOf({ root, entries, meta, venues }: Environment): EntryReader {
  return {
    get(key) {
      // The shared buffer is larger than the record: only `length` of what comes back is right, so cut it here.
      const shared = entries.getBinaryFast(key) as Uint8Array | undefined;
      return shared?.subarray(0, shared.length);
    },
    getMany(keys, count, batch) {
      batch.usedBytes = 0;
      for (let i = 0; i < count; i++) {
        const shared = entries.getBinaryFast(keys.subarray(i * KEY_BYTES, (i + 1) * KEY_BYTES)) as Uint8Array | undefined;
        if (!shared) batch.lengths[i] = NO_ENTRY;
        else if (entryFaultAt(shared, 0, shared.length)) batch.lengths[i] = DAMAGED;
        else addRecord(batch, i, shared.subarray(0, shared.length));
      }
    },
    heartbeat: () => meta.get(HEARTBEAT),
    venueRules: () => venues.get(VENUE_RULES) ?? [],
    documents({ after, limit }) {
      const keys = entries.getKeys({ ...behind(after), limit });
      return [...keys].map(copyOf);
    },
    count: () => (entries.getStats() as { entryCount: number }).entryCount,
    checkReaders: () => root.readerCheck(),
    close: () => root.close(),
  };
}
