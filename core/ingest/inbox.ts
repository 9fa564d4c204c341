// The inbox: accepted batches on disk until they are applied. One LMDB environment, written by the ingest API alone.
// Promises: what `store` has resolved for survives the loss of the process and of power; one batch id is one batch as long as its header is kept, 60 days after it was applied.
// Not here: numbers (rows hold keys), and how far the worker has come (evidence).

import { open, type Database } from "lmdb";
import type { Feed } from "./batch.ts";
import type { InboxRow } from "./facts.ts";

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

export interface InboxReader {
  find(name: Pick<BatchHeader, "source" | "feed" | "batch">): BatchHeader | undefined;
  header(sequence: number): BatchHeader | undefined;
  /** @throws when it isn't there: rows that are missing must never pass for none. */
  chunk(sequence: number, index: number): readonly InboxRow[];
  /** Batches whose rows are still kept, oldest first. */
  pending(): number[];
  close(): Promise<void>;
}

export interface Inbox extends InboxReader {
  /** Keeps a batch, unless one of this name is there already. Resolves with what is kept, when it is on disk. */
  store(batch: Omit<BatchHeader, "sequence" | "rows" | "chunks">, rows: readonly InboxRow[]): Promise<BatchHeader>;
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
export const CHUNK_ROWS = 1000;

const MAP_BYTES = 256 * 2 ** 30;

export function openInbox(folder: string): Inbox {
  return createInbox(folder, false);
}

export function openInboxReader(folder: string): InboxReader {
  return createInbox(folder, true);
}

function createInbox(folder: string, readOnly: boolean): Inbox {
  const root = open({ path: folder, readOnly, mapSize: MAP_BYTES, maxReaders: 256 });
  const names = root.openDB<number, string>({ name: "names", encoding: "json" });
  const headers = root.openDB<BatchHeader, number>({ name: "headers", encoding: "msgpack" });
  const rowsDb: Database<readonly InboxRow[], [number, number]> = root.openDB({ name: "rows", encoding: "msgpack" });
  const pending = root.openDB<boolean, number>({ name: "pending", encoding: "json" });

  const nameOf = ({ source, feed, batch }: Pick<BatchHeader, "source" | "feed" | "batch">): string => `${source}\n${feed}\n${batch}`;
  /** Where `forget` goes on. */
  let forgottenTo = 0;
  const find = (name: Pick<BatchHeader, "source" | "feed" | "batch">): BatchHeader | undefined => {
    const sequence = names.get(nameOf(name));
    return sequence === undefined ? undefined : headers.get(sequence);
  };

  return {
    find,
    header(sequence) {
      const known = headers.get(sequence);
      if (known) return known;
      // A job may be here before this process has looked at the file anew.
      root.resetReadTxn();
      return headers.get(sequence);
    },
    chunk(sequence, index) {
      const rows = rowsDb.get([sequence, index]);
      if (!rows) throw new Error(`the inbox has lost chunk ${index} of batch ${sequence}`);
      return rows;
    },
    async store(batch, rows) {
      const header = await root.transaction(() => {
        const known = find(batch);
        if (known) return known;
        const sequence = 1 + ([...headers.getKeys({ reverse: true, limit: 1 })][0] ?? 0);
        const chunks = Math.ceil(rows.length / CHUNK_ROWS);
        for (let i = 0; i < chunks; i++) rowsDb.putSync([sequence, i], rows.slice(i * CHUNK_ROWS, (i + 1) * CHUNK_ROWS));
        const stored: BatchHeader = { ...batch, sequence, rows: rows.length, chunks };
        headers.putSync(sequence, stored);
        names.putSync(nameOf(batch), sequence);
        pending.putSync(sequence, true);
        return stored;
      });
      await root.flushed;
      return header;
    },
    pending: () => [...pending.getKeys({})],
    async finish(...sequences) {
      await root.transaction(() => {
        for (const sequence of sequences) {
          const chunks = headers.get(sequence)?.chunks ?? 0;
          for (let i = 0; i < chunks; i++) rowsDb.removeSync([sequence, i]);
          pending.removeSync(sequence);
        }
      });
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
    close: () => root.close(),
  };
}
