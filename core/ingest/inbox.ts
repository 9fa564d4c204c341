// The inbox: accepted batches on disk until they are applied. One LMDB environment, written by the ingest API alone.
// Promises: what `commit` has resolved for survives the loss of the process and of power; one batch id is one batch as long as its header is kept, 60 days after it was applied; of
// a batch that was not committed nobody sees anything, and what was written of it is dropped, at the next start at the latest.
// Not here: numbers (rows hold keys), and how far the worker has come (evidence).

import { open, type Database, type RootDatabase } from "lmdb";
import type { Feed } from "./batch.ts";
import { decodeChunk, encodeChunk, type StoredRow } from "./chunkCodec.ts";
import type { InboxRow } from "./facts.ts";
import { openNonces, type Nonces } from "./nonces.ts";

/** What is known of a batch from the moment it was accepted. */
export interface BatchHeader {
  readonly sequence: number;
  readonly source: string;
  readonly feed: Feed;
  readonly batch: string;
  /** Keyed hash of the body, to tell a repetition from another batch under the same id. */
  readonly bodyHash: string;
  /** Milliseconds of the service's clock. */
  readonly receivedMs: number;
  readonly rows: number;
  readonly chunks: number;
  readonly accepted: number;
  /** How many were refused; what was wrong with them was answered and is not kept. */
  readonly refused: number;
  readonly ignored: number;
}

export type NewBatch = Omit<BatchHeader, "sequence" | "rows" | "chunks">;

export interface InboxReader {
  find(name: Pick<BatchHeader, "source" | "feed" | "batch">): BatchHeader | undefined;
  header(sequence: number): BatchHeader | undefined;
  /** @throws when it isn't there: rows that are missing must never pass for none. */
  chunk(sequence: number, index: number): readonly StoredRow[];
  /** Batches whose rows are still kept, oldest first. */
  pending(): number[];
  /** Chunks on disk, of batches that are kept or being read. */
  chunkCount(): number;
  close(): Promise<void>;
}

/** A batch that is being read. Its rows go to the disk as they come, and belong to nobody until `commit`. */
export interface StagedBatch {
  readonly rows: number;
  /** Resolves when the next rows may come: memory holds less than a chunk of them. */
  add(rows: readonly InboxRow[]): Promise<void>;
  /** Keeps the batch, unless one of this name is there already. Resolves with what is kept, when it is on disk. */
  commit(batch: NewBatch): Promise<BatchHeader>;
  /** Drops what was written; does nothing once it is committed. */
  abort(): Promise<void>;
}

export interface Inbox extends InboxReader {
  /** Of the signatures of requests to this inbox's API. */
  readonly nonces: Nonces;
  stage(): StagedBatch;
  /** Keeps a batch that is whole in memory: `add` and `commit` in one. */
  store(batch: NewBatch, rows: readonly InboxRow[]): Promise<BatchHeader>;
  /** Drops the rows of applied batches; their headers stay, so that a repetition is still known. */
  finish(...sequences: readonly number[]): Promise<void>;
  /**
   * Drops headers of finished batches that were received before an instant, looking at no more than `limit` of them, and goes on there the next time. The newest stays: numbers
   * go on from it. @returns how many were dropped.
   */
  forget(options: { receivedBeforeMs: number; limit: number }): Promise<number>;
  /** How much of its map the file has taken up, 0 to 1. */
  mapShare(): number;
}

/** Rows a chunk: one write transaction of the worker. */
export const CHUNK_ROWS = 1500;
/** Chunks removed in one transaction, so that dropping a large batch doesn't hold up others. */
const DROP_CHUNKS = 50;

const MAP_BYTES = 256 * 2 ** 30;

/** A header on disk. `rowsAt`: under which number its rows lie. */
type KeptHeader = BatchHeader & { readonly rowsAt: number };

/** Where the numbers of stages go on; numbers of stages begin behind it. */
const LAST_STAGE = 0;

export function openInbox(folder: string): Inbox {
  const { root, ...inbox } = createInbox(folder, false);
  return { ...inbox, nonces: openNonces(root) };
}

export function openInboxReader(folder: string): InboxReader {
  return createInbox(folder, true);
}

function createInbox(folder: string, readOnly: boolean): Omit<Inbox, "nonces"> & { readonly root: RootDatabase } {
  const root = open({ path: folder, readOnly, mapSize: MAP_BYTES, maxReaders: 256 });
  const names = root.openDB<number, string>({ name: "names", encoding: "json" });
  const headers = root.openDB<KeptHeader, number>({ name: "headers", encoding: "msgpack" });
  const rowsDb: Database<Uint8Array, [number, number]> = root.openDB({ name: "rows", encoding: "binary" });
  const pending = root.openDB<boolean, number>({ name: "pending", encoding: "json" });
  // Of no use to a reader: what is staged belongs to nobody yet.
  const stages = readOnly ? undefined : root.openDB<number, number>({ name: "stages", encoding: "json" });

  const nameOf = ({ source, feed, batch }: Pick<BatchHeader, "source" | "feed" | "batch">): string => `${source}\n${feed}\n${batch}`;
  /** Where `forget` goes on. */
  let forgottenTo = 0;
  const told = (kept: KeptHeader | undefined): BatchHeader | undefined => {
    if (!kept) return undefined;
    const header: Partial<KeptHeader> = { ...kept };
    delete (header as { rowsAt?: number }).rowsAt;
    return header as BatchHeader;
  };
  const find = (name: Pick<BatchHeader, "source" | "feed" | "batch">): KeptHeader | undefined => {
    const sequence = names.get(nameOf(name));
    return sequence === undefined ? undefined : headers.get(sequence);
  };
  const keptHeader = (sequence: number): KeptHeader | undefined => {
    const known = headers.get(sequence);
    if (known) return known;
    // A job may be here before this process has looked at the file anew.
    root.resetReadTxn();
    return headers.get(sequence);
  };

  /** Removes the chunks under one number, and then its mark. */
  const drop = async (rowsAt: number): Promise<void> => {
    for (;;) {
      const keys = [...rowsDb.getKeys({ start: [rowsAt, 0], end: [rowsAt + 1, 0], limit: DROP_CHUNKS })];
      await root.transaction(() => {
        for (const key of keys) rowsDb.removeSync(key);
        if (keys.length < DROP_CHUNKS) stages!.removeSync(rowsAt);
      });
      if (keys.length < DROP_CHUNKS) return;
    }
  };

  let lastStage = stages?.get(LAST_STAGE) ?? 0;
  // Whoever was writing these is gone.
  const left = [...(stages?.getKeys({ start: LAST_STAGE + 1 }) ?? [])];
  const swept = Promise.all(left.map(drop)).catch(() => undefined); // the next start tries again

  const stage = (): StagedBatch => {
    const rowsAt = ++lastStage;
    let held: InboxRow[] = [];
    let chunks = 0;
    let rows = 0;
    let isCommitted = false;
    const keepHeld = async (): Promise<void> => {
      const [key, bytes] = [[rowsAt, chunks++] as [number, number], encodeChunk(held)];
      held = [];
      if (chunks > 1) await rowsDb.put(key, bytes);
      else
        await root.transaction(() => {
          stages!.putSync(LAST_STAGE, lastStage);
          stages!.putSync(rowsAt, 1);
          rowsDb.putSync(key, bytes);
        });
    };
    const staged: StagedBatch = {
      get rows() {
        return rows;
      },
      async add(more) {
        rows += more.length;
        for (const row of more) {
          if (held.length === CHUNK_ROWS) await keepHeld();
          held.push(row);
        }
      },
      async commit(batch) {
        const header = await root.transaction(() => {
          const known = find(batch);
          if (known) return known;
          const sequence = 1 + ([...headers.getKeys({ reverse: true, limit: 1 })][0] ?? 0);
          if (held.length > 0) rowsDb.putSync([rowsAt, chunks++], encodeChunk(held));
          const stored: KeptHeader = { ...batch, sequence, rows, chunks, rowsAt };
          headers.putSync(sequence, stored);
          names.putSync(nameOf(batch), sequence);
          pending.putSync(sequence, true);
          // The number is used up, also after a restart: rows that are gone must never be found under it again.
          stages!.putSync(LAST_STAGE, lastStage);
          stages!.removeSync(rowsAt);
          return stored;
        });
        if (header.rowsAt === rowsAt) isCommitted = true;
        else await staged.abort();
        await root.flushed;
        return told(header)!;
      },
      async abort() {
        held = [];
        if (chunks > 0 && !isCommitted) await drop(rowsAt);
      },
    };
    return staged;
  };

  return {
    root,
    find: (name) => told(find(name)),
    header: (sequence) => told(keptHeader(sequence)),
    chunk(sequence, index) {
      const rowsAt = keptHeader(sequence)?.rowsAt;
      const bytes = rowsAt === undefined ? undefined : rowsDb.get([rowsAt, index]);
      if (!bytes) throw new Error(`the inbox has lost chunk ${index} of batch ${sequence}`);
      return decodeChunk(bytes);
    },
    stage,
    chunkCount: () => rowsDb.getKeysCount({}),
    async store(batch, rows) {
      const staged = stage();
      await staged.add(rows);
      return staged.commit(batch);
    },
    pending: () => [...pending.getKeys({})],
    async finish(...sequences) {
      const places = sequences.flatMap((sequence) => keptHeader(sequence)?.rowsAt ?? []);
      await root.transaction(() => {
        for (const sequence of sequences) pending.removeSync(sequence);
        for (const rowsAt of places) stages!.putSync(rowsAt, 1); // so that a start after a crash goes on dropping
      });
      await Promise.all(places.map(drop));
    },
    async close() {
      await swept;
      await root.close();
    },
    async forget({ receivedBeforeMs, limit }) {
      const newest = [...headers.getKeys({ reverse: true, limit: 1 })][0] ?? 0;
      const seen = [...headers.getRange({ start: forgottenTo + 1, end: newest, limit })].map(({ value }) => value);
      const young = seen.findIndex((header) => header.receivedMs >= receivedBeforeMs);
      const old = young < 0 ? seen : seen.slice(0, young);
      // Those that are kept for longer, dead ones, are looked at again in the next round.
      forgottenTo = young < 0 && seen.length === limit ? seen.at(-1)!.sequence : 0;
      const dropped = old.filter(({ sequence }) => !pending.doesExist(sequence));
      if (dropped.length === 0) return 0;
      await root.transaction(() => {
        for (const header of dropped) {
          headers.removeSync(header.sequence);
          names.removeSync(nameOf(header));
        }
      });
      return dropped.length;
    },
    mapShare() {
      const { lastPageNumber, pageSize, mapSize } = root.getStats() as { lastPageNumber: number; pageSize: number; mapSize: number };
      return ((lastPageNumber + 1) * pageSize) / mapSize;
    },
  };
}
