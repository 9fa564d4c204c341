// Reads entries over a memory map of the store's file, without the library on the way of a read: the same contract, several keys' cache misses at once.
// Promises: an answer is that of the newest transaction when it was asked for; every record was checked by its checksum, and whatever is not as it should be is answered by the reference reader, and counted.
// Not here: the pages (pageMap.ts, treeWalk.ts). Everything but get and getMany is the reference reader's.
//
// Why no page can be reused under a read. Lines are those of lmdb 3.5.6's mdb.c.
// 1. A real read transaction of the library is held; its id T stands in the reader table (3620, mdb_txn_renew0) and T was published only when T's meta
//    page was whole (5515, at the end of mdb_env_write_meta). Only then are the meta pages read, so the newest one found, M, has an id >= T.
// 2. A page of M's tree is freed by a later transaction F > M >= T and listed under F (4206-4219, mdb_freelist_save). mdb_page_alloc takes only lists of ids below
//    the oldest reader (2623 mdb_find_oldest; 2915 ends the search forwards, and backwards, 2957, it begins below), hence below T. Pages that a
//    transaction took and dropped itself ("loose") belong to no committed tree. Pages are written in full (5070) before the meta page that leads to them (5089).
// 3. The next transaction is held before this one is let go, and M is replaced only after that.
// 4. A meta page read while it is written could show the root of M - 2 beside the id of M. Then M is not published, so T <= M - 1, and what M - 2 needs
//    was freed by M - 1 at the earliest: protected too. PageMap.newest reads twice, so that this is theory.
// 5. The lock file must not be opened here: closing it would drop the process' locks on it (fcntl), and with them its place in the reader table.

import { KEY_BYTES, type DocumentKey } from "../domain/index.ts";
import { entryFaultAt } from "./codec.ts";
import { findNamed } from "./namedTree.ts";
import { PageMap, type Tree } from "./pageMap.ts";
import { addRecord, createRecordBatch, DAMAGED, NO_ENTRY, reserveRecord, type RecordBatch } from "./recordBatch.ts";
import { openHeldReader, type EntryReader, type HeldReader } from "./store.ts";
import { ABSENT, FOUND, TreeWalk, WALK_KEYS } from "./treeWalk.ts";

/** How often the newest state is taken when nobody asks: a state that is held keeps the pages that later ones freed from being used again. */
const REFRESH_MS = 20;

export interface MappedEntryReader extends EntryReader {
  /** Answers that the reference reader had to give, because what the map showed was not sound. */
  fallbacks(): number;
  /** Why all answers are the reference reader's, or undefined: the map is used. */
  unmappedBecause(): string | undefined;
  /** The transaction that is read; 0: none. */
  transaction(): number;
  /** Takes the newest state now, for whoever lets no timer run. */
  refresh(): void;
}

/** Opens for reading. @throws when there is no store yet, as openEntryReader does. */
export function openMappedEntryReader(folder: string): MappedEntryReader {
  const held = openHeldReader(folder);
  try {
    return readerOver(held);
  } catch (error) {
    void held.reader.close();
    throw error;
  }
}

function readerOver(held: HeldReader): MappedEntryReader {
  const { reader: reference } = held;
  const { map, reason } = mapOf(held.dataFile);
  const walk = map && new TreeWalk(map);
  const single = createRecordBatch(1);
  /** Of the tree that the walk has taken; 0: none. */
  let transaction = 0;
  let fallbacks = 0;
  let unmappedBecause = reason;

  const refresh = (): void => {
    if (!map || !walk || unmappedBecause !== undefined) return;
    held.hold();
    if (transaction !== 0 && transaction === map.newestTransaction()) return;
    try {
      const tree = newestTree(map);
      transaction = tree && walk.take(tree) ? tree.transaction : 0;
    } catch (error) {
      // The map could not be made longer (no memory, no file handle): the file is still there, so the reference reader goes on.
      transaction = 0;
      unmappedBecause = error instanceof Error ? error.message : String(error);
      held.release();
    }
  };

  /** The reference reader's answer; what is read of the map afterwards is not older. */
  const fallBack = (keys: Uint8Array, batch: RecordBatch, i: number): void => {
    fallbacks++;
    refresh();
    const record = reference.get(keys.subarray(i * KEY_BYTES, (i + 1) * KEY_BYTES) as DocumentKey);
    if (!record) batch.lengths[i] = NO_ENTRY;
    else if (entryFaultAt(record, 0, record.length)) batch.lengths[i] = DAMAGED;
    else addRecord(batch, i, record);
  };

  /** Up to WALK_KEYS keys. */
  const readSome = (keys: Uint8Array, from: number, count: number, batch: RecordBatch): void => {
    if (map && transaction !== map.newestTransaction()) refresh();
    if (!map || !walk || transaction === 0 || !walk.find(keys, from * KEY_BYTES, count)) {
      if (count === 1) fallBack(keys, batch, from);
      else for (let i = from; i < from + count; i++) readSome(keys, i, 1, batch);
      return;
    }
    const { outcomes, windows, offsets, lengths } = walk;
    let damaged = 0;
    for (let k = 0; k < count; k++) {
      const i = from + k;
      const outcome = outcomes[k]!;
      if (outcome === ABSENT) {
        batch.lengths[i] = NO_ENTRY;
        continue;
      }
      const length = lengths[k]!;
      const start = reserveRecord(batch, i, length);
      if (outcome === FOUND) copyWithin(map.windows[windows[k]!]!, offsets[k]!, batch, start, length);
      else copyAcross(map.windows, windows[k]!, offsets[k]!, batch, start, length);
      if (entryFaultAt(batch.bytes, start, length) === undefined) continue;
      batch.lengths[i] = DAMAGED;
      damaged++;
    }
    // Only now: the reference reader's answer takes a newer state, and the walk's places are of this one.
    for (let i = from; damaged > 0; i++) {
      if (batch.lengths[i] !== DAMAGED) continue;
      fallBack(keys, batch, i);
      damaged--;
    }
  };

  const getMany = (keys: Uint8Array, count: number, batch: RecordBatch): void => {
    if (unmappedBecause !== undefined) {
      reference.getMany(keys, count, batch);
      return;
    }
    batch.usedBytes = 0;
    for (let from = 0; from < count; from += WALK_KEYS) readSome(keys, from, Math.min(count - from, WALK_KEYS), batch);
  };

  refresh();
  map?.touch();
  const timer = unmappedBecause === undefined ? setInterval(refresh, REFRESH_MS) : undefined;
  timer?.unref();

  return {
    ...reference,
    get(key) {
      if (unmappedBecause !== undefined) return reference.get(key);
      getMany(key, 1, single);
      const length = single.lengths[0]!;
      if (length === DAMAGED) return reference.get(key);
      return length === NO_ENTRY ? undefined : single.bytes.subarray(single.starts[0], single.starts[0]! + length);
    },
    getMany,
    fallbacks: () => fallbacks,
    unmappedBecause: () => unmappedBecause,
    transaction: () => transaction,
    refresh,
    async close() {
      clearInterval(timer);
      held.release();
      transaction = 0;
      unmappedBecause = "it is closed";
      map?.close();
      await reference.close();
    },
  };
}

function mapOf(path: string): { map?: PageMap; reason: string | undefined } {
  try {
    const map = new PageMap(path);
    const reason = map.formatFault();
    return reason === undefined ? { map, reason } : { reason };
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error) };
  }
}

/** The tree of entries as it is now; undefined when what leads to it is not as it should be. Call while a transaction is held. */
function newestTree(map: PageMap): Tree | undefined {
  const newest = map.newest();
  if (!newest) return undefined;
  map.extend(newest.lastPage + 1);
  const tree = findNamed(map, newest, "entries");
  return typeof tree === "object" ? tree : undefined;
}

/** Four bytes a step; what it writes behind the record's end is room that reserveRecord made. */
function copyWithin(from: DataView, at: number, batch: RecordBatch, start: number, length: number): void {
  const to = batch.view;
  const whole = length & ~3;
  for (let k = 0; k < whole; k += 4) to.setUint32(start + k, from.getUint32(at + k, true), true);
  for (let k = whole; k < length; k++) to.setUint8(start + k, from.getUint8(at + k));
}

/** A value in pages of its own can go on in the next window. */
function copyAcross(windows: readonly DataView[], window: number, offset: number, batch: RecordBatch, start: number, length: number): void {
  let [at, from, done] = [offset, windows[window]!, 0];
  for (let next = window + 1; done < length; next++) {
    const part = Math.min(length - done, from.byteLength - at);
    batch.bytes.set(new Uint8Array(from.buffer, from.byteOffset + at, part), start + done);
    done += part;
    at = 0;
    from = windows[next]!;
  }
}
