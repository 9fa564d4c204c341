// The inbox on a real disk: what is stored is found again, once, in chunks, by other handles and after a restart.

import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { document, eventually, inboxRows, NOW, phone, publication, SHANGHAI_HUANGPU } from "../../test/ingestSupport.ts";
import { temporaryFolder } from "../../test/support.ts";
import { encodeFact } from "../evidence/index.ts";
import type { StoredRow } from "./chunkCodec.ts";
import type { InboxRow } from "./facts.ts";
import { CHUNK_ROWS, openInbox, openInboxReader, type BatchHeader, type Inbox, type InboxReader } from "./inbox.ts";

const opened: InboxReader[] = [];
function tracked<Store extends InboxReader>(store: Store): Store {
  opened.push(store);
  return store;
}
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});
const newFolder = (): string => join(temporaryFolder(), "inbox");
const newInbox = (folder = newFolder()): Inbox => tracked(openInbox(folder));

type Batch = Omit<BatchHeader, "sequence" | "rows" | "chunks">;
const batchOf = (changes: Partial<Batch> = {}): Batch => ({
  ...{ source: "source-a", feed: "trips", batch: "batch-1", bodyHash: "hash-1", receivedMs: NOW * 1000 + 123, accepted: 2, refused: 3, ignored: 1 },
  ...changes,
});
const trips = (count: number): readonly InboxRow[] => inboxRows("trips", Array.from({ length: count }, (_, i) => ({ factId: `trip-${i}`, phone: phone(i), county: "310101", from: "2022-06-01" })));

/** Rows as texts, so that a row from the disk compares with one from memory; in no order, since facts lie in that of their subjects. */
function plain(rows: readonly (InboxRow | StoredRow)[]): string[] {
  const withBytes = rows.map((row) => (row.type === "fact" && !(row.fact instanceof Uint8Array) ? { ...row, fact: encodeFact(row.fact) } : row));
  return withBytes.map((row) => JSON.stringify(row, (_, value: unknown) => bytesAsHex(value))).sort();
}
function bytesAsHex(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  // A Buffer turns itself into this before the replacer sees it.
  const { type, data } = (value ?? {}) as { type?: unknown; data?: unknown };
  return type === "Buffer" ? Buffer.from(data as number[]).toString("hex") : value;
}

describe("a stored batch", () => {
  test("is found by its name and by its number, as it was", async () => {
    const inbox = newInbox();
    const header = await inbox.store(batchOf(), trips(2));
    expect(header).toEqual({ ...batchOf(), sequence: 1, rows: 2, chunks: 1 });
    expect(inbox.find(batchOf())).toEqual(header);
    expect(inbox.header(1)).toEqual(header);
  });
  test("gives back rows of every type as they were", async () => {
    const inbox = newInbox();
    const rows = [
      ...inboxRows("holders", [{ documents: [document(1), document(2)], phones: [phone(1)] }, { documents: [document(3)] }]),
      ...trips(2),
      ...inboxRows("tests", [{ factId: "test-1", document: document(1), sampledAt: "2022-06-08", issuedAt: "2022-06-08", result: "positive" }]),
      ...inboxRows("findings", [{ factId: "finding-1", phone: phone(1), kind: "key-place", from: "2022-06-08", authority: "x", ground: "y" }]),
      ...inboxRows("local-infections", [{ factId: "infection-1", county: "310101", day: "2022-06-08", count: 3 }]),
      ...inboxRows("risk-areas", [publication("2022-06-09 07时", [SHANGHAI_HUANGPU])]),
    ];
    await inbox.store(batchOf(), rows);
    expect(plain(inbox.chunk(1, 0))).toEqual(plain(rows));
  });
  test("keeps its keys while other chunks are read: they are no borrowed bytes", async () => {
    const inbox = newInbox();
    const rows = trips(2 * CHUNK_ROWS);
    await inbox.store(batchOf(), rows);
    const first = inbox.chunk(1, 0);
    expect(plain(inbox.chunk(1, 1))).toEqual(plain(rows.slice(CHUNK_ROWS)));
    expect(plain(first)).toEqual(plain(rows.slice(0, CHUNK_ROWS)));
  });
  test.each([
    [1, 1],
    [CHUNK_ROWS - 1, 1],
    [CHUNK_ROWS, 1],
    [CHUNK_ROWS + 1, 2],
    [2 * CHUNK_ROWS + 1, 3],
  ])("of %i rows lies in %i chunks", async (count, chunks) => {
    const inbox = newInbox();
    const header = await inbox.store(batchOf(), trips(count));
    expect([header.rows, header.chunks]).toEqual([count, chunks]);
    const sizes = Array.from({ length: chunks }, (_, i) => inbox.chunk(1, i).length);
    expect(sizes).toEqual([...Array.from({ length: chunks - 1 }, () => CHUNK_ROWS), count - (chunks - 1) * CHUNK_ROWS]);
    expect(() => inbox.chunk(1, chunks)).toThrow();
  });
  test("without any row has no chunk, and is none the less a batch", async () => {
    const inbox = newInbox();
    expect(await inbox.store(batchOf({ accepted: 0 }), [])).toMatchObject({ rows: 0, chunks: 0 });
    expect(inbox.pending()).toEqual([1]);
    await inbox.finish(1);
    expect([inbox.pending(), inbox.header(1)?.chunks]).toEqual([[], 0]);
  });
  test("that was never stored is not found, and has no chunk that could pass for an empty one", () => {
    const inbox = newInbox();
    expect([inbox.find(batchOf()), inbox.header(1), inbox.pending()]).toEqual([undefined, undefined, []]);
    expect(() => inbox.chunk(1, 0)).toThrow("chunk 0 of batch 1");
  });
});

describe("one name is one batch for good", () => {
  test("stored again, the first is what comes back and what is kept", async () => {
    const inbox = newInbox();
    const first = await inbox.store(batchOf(), trips(2));
    const again = await inbox.store(batchOf({ bodyHash: "hash-2", accepted: 3 }), trips(3));
    expect(again).toEqual(first);
    expect(inbox.header(1)).toEqual(first);
    expect([inbox.chunk(1, 0).length, inbox.pending()]).toEqual([2, [1]]);
  });
  test("stored twice at once, both get the same one", async () => {
    const inbox = newInbox();
    const [a, b] = await Promise.all([inbox.store(batchOf(), trips(2)), inbox.store(batchOf({ bodyHash: "hash-2" }), trips(3))]);
    expect(a).toEqual(b);
    expect(inbox.pending()).toEqual([1]);
  });
  test("source, feed and id together are the name", async () => {
    const inbox = newInbox();
    const names: Partial<Batch>[] = [{}, { source: "source-b" }, { feed: "tests" }, { batch: "batch-2" }];
    for (const name of names) await inbox.store(batchOf(name), trips(1));
    expect(names.map((name) => inbox.find(batchOf(name))?.sequence)).toEqual([1, 2, 3, 4]);
  });
  test("also after it was applied and its rows are gone", async () => {
    const inbox = newInbox();
    const first = await inbox.store(batchOf(), trips(2));
    await inbox.finish(1);
    expect(await inbox.store(batchOf(), trips(3))).toEqual(first);
    expect(inbox.pending()).toEqual([]);
    expect(() => inbox.chunk(1, 0)).toThrow();
  });
});

describe("a batch that is being read", () => {
  const rows = trips(2 * CHUNK_ROWS + 10);
  const staged = async (inbox: Inbox) => {
    const stage = inbox.stage();
    for (let at = 0; at < rows.length; at += 700) await stage.add(rows.slice(at, at + 700));
    return stage;
  };
  test("is nobody's until it is committed, and then whole, whatever the pieces", async () => {
    const folder = newFolder();
    const inbox = newInbox(folder);
    const stage = await staged(inbox);
    const reader = tracked(openInboxReader(folder));
    for (const view of [inbox, reader]) {
      expect([view.pending(), view.find(batchOf()), view.header(1)]).toEqual([[], undefined, undefined]);
      expect(() => view.chunk(1, 0)).toThrow();
    }
    expect(await stage.commit(batchOf())).toMatchObject({ sequence: 1, rows: rows.length, chunks: 3 });
    expect(plain([0, 1, 2].flatMap((i) => inbox.chunk(1, i)))).toEqual(plain(rows));
  });
  test("gets its number when it is committed: who came later and was done earlier is before it", async () => {
    const inbox = newInbox();
    const slow = await staged(inbox);
    await inbox.store(batchOf({ batch: "batch-2" }), trips(1));
    expect((await slow.commit(batchOf())).sequence).toBe(2);
    expect([inbox.chunk(1, 0).length, inbox.chunk(2, 2).length]).toEqual([1, 10]);
  });
  test("that loses its name to another one leaves nothing", async () => {
    const inbox = newInbox();
    const [a, b] = [await staged(inbox), await staged(inbox)];
    const first = await a.commit(batchOf());
    expect(await b.commit(batchOf({ bodyHash: "hash-2" }))).toEqual(first);
    expect(inbox.chunkCount()).toBe(3);
  });
  test("that is given up leaves nothing, and giving up after committing changes nothing", async () => {
    const inbox = newInbox();
    const [a, b] = [await staged(inbox), await staged(inbox)];
    await a.abort();
    await b.commit(batchOf());
    await b.abort();
    expect([inbox.chunkCount(), inbox.chunk(1, 2).length, inbox.pending()]).toEqual([3, 10, [1]]);
  });
  test("when its process ends leaves nothing for the next start", async () => {
    const folder = newFolder();
    const first = openInbox(folder);
    await first.store(batchOf({ batch: "batch-0" }), trips(1));
    await staged(first);
    expect(first.chunkCount()).toBe(3);
    await first.close();
    const again = newInbox(folder);
    await eventually(() => again.chunkCount() === 1);
    expect([again.pending(), again.chunk(1, 0).length]).toEqual([[1], 1]);
    expect((await (await staged(again)).commit(batchOf())).sequence).toBe(2);
    expect(again.chunk(2, 2).length).toBe(10);
  });
});

describe("pending and finished", () => {
  test("pending are the numbers that are not finished, the oldest first, over ten too", async () => {
    const inbox = newInbox();
    for (let i = 1; i <= 12; i++) await inbox.store(batchOf({ batch: `batch-${i}` }), trips(1));
    expect(inbox.pending()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    await inbox.finish(2);
    await inbox.finish(12);
    expect(inbox.pending()).toEqual([1, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });
  test("finishing drops every chunk of that batch and of no other, and keeps its header", async () => {
    const inbox = newInbox();
    await inbox.store(batchOf({ batch: "batch-1" }), trips(CHUNK_ROWS + 1));
    await inbox.store(batchOf({ batch: "batch-2" }), trips(CHUNK_ROWS + 1));
    await inbox.finish(1);
    for (const i of [0, 1]) expect(() => inbox.chunk(1, i)).toThrow();
    expect([0, 1].map((i) => inbox.chunk(2, i).length)).toEqual([CHUNK_ROWS, 1]);
    expect(inbox.header(1)).toMatchObject({ batch: "batch-1", chunks: 2 });
  });
  test("finishing twice, or what was never there, changes nothing", async () => {
    const inbox = newInbox();
    await inbox.store(batchOf(), trips(1));
    await inbox.finish(7);
    await inbox.finish(1);
    await inbox.finish(1);
    expect(inbox.pending()).toEqual([]);
  });
  test("a number is not used again when the newest batch is finished", async () => {
    const inbox = newInbox();
    await inbox.store(batchOf(), trips(1));
    await inbox.finish(1);
    expect((await inbox.store(batchOf({ batch: "batch-2" }), trips(1))).sequence).toBe(2);
  });
});

describe("headers of old batches", () => {
  const DAY_MS = 86_400_000;
  /** One batch a day, the first at NOW; all but those of `pending` are finished. */
  async function inboxOf(days: number, pending: readonly number[] = []): Promise<Inbox> {
    const inbox = newInbox();
    for (let i = 0; i < days; i++) await inbox.store(batchOf({ batch: `batch-${i + 1}`, receivedMs: NOW * 1000 + i * DAY_MS }), trips(1));
    await inbox.finish(...Array.from({ length: days }, (_, i) => i + 1).filter((n) => !pending.includes(n)));
    return inbox;
  }
  const kept = (inbox: Inbox, days: number): number[] => Array.from({ length: days }, (_, i) => i + 1).filter((n) => inbox.header(n) !== undefined);
  const before = (days: number): number => NOW * 1000 + days * DAY_MS;

  test("are dropped with their names, those received at the instant itself are not", async () => {
    const inbox = await inboxOf(5);
    expect(await inbox.forget({ receivedBeforeMs: before(2), limit: 100 })).toBe(2);
    expect(kept(inbox, 5)).toEqual([3, 4, 5]);
    expect([inbox.find(batchOf({ batch: "batch-2" })), inbox.find(batchOf({ batch: "batch-3" }))?.sequence]).toEqual([undefined, 3]);
    // Their id is free again, and a batch of its own.
    expect((await inbox.store(batchOf({ batch: "batch-1" }), trips(1))).sequence).toBe(6);
  });
  test("of batches that are not finished stay, however old", async () => {
    const inbox = await inboxOf(5, [1, 3]);
    await inbox.forget({ receivedBeforeMs: before(100), limit: 100 });
    expect(kept(inbox, 5)).toEqual([1, 3, 5]);
    expect(inbox.chunk(1, 0).length).toBe(1);
  });
  test("but the newest stays, since numbers go on from it", async () => {
    const inbox = await inboxOf(3);
    await inbox.forget({ receivedBeforeMs: before(100), limit: 100 });
    expect(kept(inbox, 3)).toEqual([3]);
    expect((await inbox.store(batchOf({ batch: "next" }), trips(1))).sequence).toBe(4);
  });
  test("are dropped in steps that look at so many; what stays in front is in nobody's way", async () => {
    const inbox = await inboxOf(9, [1, 2, 3]);
    const dropped: number[] = [];
    for (let i = 0; i < 4; i++) dropped.push(await inbox.forget({ receivedBeforeMs: before(7), limit: 3 }));
    expect(dropped).toEqual([0, 3, 1, 0]);
    expect(kept(inbox, 9)).toEqual([1, 2, 3, 8, 9]);
  });
});

describe("other handles", () => {
  test("after closing and opening anew everything is there, and numbers go on", async () => {
    const folder = newFolder();
    const first = openInbox(folder);
    const rows = trips(CHUNK_ROWS + 1);
    const header = await first.store(batchOf(), rows);
    await first.store(batchOf({ batch: "batch-2" }), trips(1));
    await first.finish(2);
    await first.close();

    const again = newInbox(folder);
    expect(again.find(batchOf())).toEqual(header);
    expect(plain([...again.chunk(1, 0), ...again.chunk(1, 1)])).toEqual(plain(rows));
    expect(again.pending()).toEqual([1]);
    expect((await again.store(batchOf({ batch: "batch-3" }), trips(1))).sequence).toBe(3);
  });
  test("a reader sees what was stored before it came, and soon what comes after", async () => {
    const folder = newFolder();
    const inbox = newInbox(folder);
    await inbox.store(batchOf(), trips(2));
    const reader = tracked(openInboxReader(folder));
    expect(reader.find(batchOf())).toEqual(inbox.header(1));
    expect(plain(reader.chunk(1, 0))).toEqual(plain(trips(2)));

    await inbox.store(batchOf({ batch: "batch-2" }), trips(3));
    await eventually(() => reader.pending().length === 2);
    expect(reader.chunk(2, 0).length).toBe(3);
    await inbox.finish(1);
    await eventually(() => reader.pending().length === 1);
    expect(() => reader.chunk(1, 0)).toThrow();
  });
  test("a reader of an inbox that isn't there throws", () => {
    expect(() => openInboxReader(newFolder())).toThrow();
  });
});
