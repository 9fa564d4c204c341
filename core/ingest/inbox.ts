// The inbox: accepted batches on disk until they are applied. One LMDB environment, written by the ingest API alone.
// Promises: what `store` has resolved for survives the loss of the process and of power; one batch id is one batch for good.
// Not here: numbers (rows hold keys), and how far the worker has come (evidence).

import { open, type Database, type RootDatabase } from "lmdb";
import type { Feed } from "./batch.ts";
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
  /** Of the signatures of requests to this inbox's API. */
  readonly nonces: Nonces;
  /** Keeps a batch, unless one of this name is there already. Resolves with what is kept, when it is on disk. */
  store(batch: Omit<BatchHeader, "sequence" | "rows" | "chunks">, rows: readonly InboxRow[]): Promise<BatchHeader>;
  /** Drops the rows of an applied batch; its header stays, so that a repetition is still known. */
  finish(sequence: number): Promise<void>;
}

/** Rows a chunk: one write transaction of the worker. */
export const CHUNK_ROWS = 1000;

const MAP_BYTES = 256 * 2 ** 30;

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
  const headers = root.openDB<BatchHeader, number>({ name: "headers", encoding: "msgpack" });
  const rowsDb: Database<readonly InboxRow[], [number, number]> = root.openDB({ name: "rows", encoding: "msgpack" });
  const pending = root.openDB<boolean, number>({ name: "pending", encoding: "json" });

  const nameOf = ({ source, feed, batch }: Pick<BatchHeader, "source" | "feed" | "batch">): string => `${source}\n${feed}\n${batch}`;
  const find = (name: Pick<BatchHeader, "source" | "feed" | "batch">): BatchHeader | undefined => {
    const sequence = names.get(nameOf(name));
    return sequence === undefined ? undefined : headers.get(sequence);
  };

  return {
    root,
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
    async finish(sequence) {
      const chunks = headers.get(sequence)?.chunks ?? 0;
      await root.transaction(() => {
        for (let i = 0; i < chunks; i++) rowsDb.removeSync([sequence, i]);
        pending.removeSync(sequence);
      });
    },
    close: () => root.close(),
  };
}
