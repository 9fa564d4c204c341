// The contract of an entry reader, run on every implementation. What the store itself promises is in store.test.ts, what only a mapped reader can do wrong in
// mappedReader.test.ts.

import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { documentKey } from "../../test/keys.ts";
import { temporaryFolder } from "../../test/support.ts";
import { KEY_BYTES, type DocumentKey } from "../domain/index.ts";
import { encodeEntry, type Entry } from "./codec.ts";
import { openMappedEntryReader } from "./mappedReader.ts";
import { createRecordBatch, DAMAGED, NO_ENTRY, type RecordBatch } from "./recordBatch.ts";
import { openEntryReader, openEntryWriter, type EntryReader, type EntryWriter } from "./store.ts";

const READERS: Record<string, (folder: string) => EntryReader> = { "lmdb-js": openEntryReader, mapped: openMappedEntryReader };

const opened: EntryReader[] = [];
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

const entry = (sequence: number, flagCount = 0): Entry => ({
  evidenceSequence: sequence,
  policyId: 1,
  regionRevision: 1,
  registered: true,
  incomplete: false,
  negatives: [],
  shownTests: [],
  flags: Array.from({ length: flagCount }, (_, i) => ({ flag: "home", rule: "findings", from: i, until: i + 1 })),
});
const record = (sequence: number, flagCount = 0): Uint8Array => encodeEntry(entry(sequence, flagCount));

/** Keys as they are in life: hashes. */
const hashedKey = (number: number): DocumentKey => new Uint8Array(new Bun.CryptoHasher("sha256").update(String(number)).digest().subarray(0, KEY_BYTES)) as DocumentKey;

/** Keys of three first words, so that most pages begin with the word that the one before ends with. */
const keyOfFewWords = (number: number): DocumentKey => {
  const key = new Uint8Array(KEY_BYTES);
  new DataView(key.buffer).setUint32(0, 2 ** 31 + (number % 3));
  new DataView(key.buffer).setUint32(8, number);
  return key as DocumentKey;
};

function keysOf(keys: readonly DocumentKey[]): Uint8Array {
  return Buffer.concat(keys);
}

/** What lies at each place of a batch. */
function placesOf(batch: RecordBatch, count: number): (Uint8Array | number)[] {
  return Array.from({ length: count }, (_, i) => {
    const length = batch.lengths[i]!;
    return length > 0 ? batch.bytes.slice(batch.starts[i], batch.starts[i]! + length) : length;
  });
}

const same = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean => (a && b ? Buffer.compare(Uint8Array.from(a), Uint8Array.from(b)) === 0 : a === b);
/** A reader renews its view between macrotasks: wait for that, however long it takes. */
const seen = (condition: () => boolean): Promise<unknown> => vi.waitUntil(condition, { timeout: 50_000, interval: 1 });

describe.each(Object.entries(READERS))("the reader %s", (_, open) => {
  const openBoth = (): { folder: string; writer: EntryWriter; reader: EntryReader } => {
    const folder = join(temporaryFolder(), "entries");
    const writer = openEntryWriter(folder);
    const reader = open(folder);
    opened.push(writer, reader);
    return { folder, writer, reader };
  };

  test("of a store that isn't there throws, also the second time", () => {
    const folder = join(temporaryFolder(), "none");
    expect(() => open(folder)).toThrow();
    expect(() => open(folder)).toThrow();
  });

  test("of an empty store finds nothing, one by one or together", () => {
    const { reader } = openBoth();
    const batch = createRecordBatch(3);
    batch.lengths.fill(9);
    expect(reader.get(documentKey(1))).toBeUndefined();
    reader.getMany(keysOf([documentKey(1), documentKey(2), documentKey(3)]), 3, batch);
    expect([...batch.lengths]).toEqual([NO_ENTRY, NO_ENTRY, NO_ENTRY]);
    expect([reader.count(), reader.heartbeat(), reader.venueRules()]).toEqual([0, undefined, []]);
  });

  test("finds a single entry: a tree that is one leaf", async () => {
    const { writer, reader } = openBoth();
    writer.put(documentKey(5), record(5, 2));
    await seen(() => same(reader.get(documentKey(5)), record(5, 2)));
    expect([documentKey(4), documentKey(6)].map((key) => reader.get(key))).toEqual([undefined, undefined]);
    expect(reader.count()).toBe(1);
  });

  test.each([
    ["hashed", hashedKey],
    ["crowded together", documentKey],
    ["of the same few first words", keyOfFewWords],
  ])("finds each of 30,000 %s keys, and none that isn't there, in batches of any size", async (_kind, keyOf) => {
    const { writer, reader } = openBoth();
    const total = 30_000;
    writer.transaction(() => {
      // Even numbers only, so that there is a gap beside each.
      for (let i = 0; i < total; i++) writer.put(keyOf(2 * i), record(i, i % 7));
    });
    await seen(() => reader.get(keyOf(0)) !== undefined);
    const batch = createRecordBatch(1024);
    for (let from = 0, size = 1; from < 2 * total; from += size, size = (size * 3) % 1021) {
      const numbers = Array.from({ length: Math.min(size, 2 * total - from) }, (_n, i) => from + i);
      reader.getMany(keysOf(numbers.map(keyOf)), numbers.length, batch);
      const expected = numbers.map((n) => (n % 2 === 0 ? record(n / 2, (n / 2) % 7) : NO_ENTRY));
      const places = placesOf(batch, numbers.length);
      expect(places.every((place, i) => (typeof place === "number" ? place === expected[i] : same(place, expected[i] as Uint8Array)))).toBe(true);
    }
    for (let n = 0; n < 2 * total; n += 997) expect(same(reader.get(keyOf(n)), n % 2 === 0 ? record(n / 2, (n / 2) % 7) : undefined)).toBe(true);
    for (const edge of [0x00, 0xff]) expect(reader.get(new Uint8Array(KEY_BYTES).fill(edge) as DocumentKey) === undefined || edge === 0).toBe(true);
  });

  test("finds the first and the last key that can be", async () => {
    const { writer, reader } = openBoth();
    const [lowest, highest] = [new Uint8Array(KEY_BYTES), new Uint8Array(KEY_BYTES).fill(255)] as [DocumentKey, DocumentKey];
    writer.transaction(() => {
      for (let i = 0; i < 3000; i++) writer.put(hashedKey(i), record(i, 4));
      writer.put(lowest, record(1));
      writer.put(highest, record(2));
    });
    await seen(() => same(reader.get(highest), record(2)));
    expect(same(reader.get(lowest), record(1))).toBe(true);
  });

  test("finds records of every length, those in pages of their own too", async () => {
    const { writer, reader } = openBoth();
    const counts = [0, 1, 100, 195, 196, 197, 198, 199, 200, 205, 250, 255];
    counts.forEach((count, i) => {
      writer.put(documentKey(i), record(i, count));
    });
    await seen(() => reader.get(documentKey(counts.length - 1)) !== undefined);
    const batch = createRecordBatch(2 * counts.length);
    const numbers = [...counts.keys(), ...counts.keys()];
    reader.getMany(keysOf(numbers.map(documentKey)), numbers.length, batch);
    expect(placesOf(batch, numbers.length).map((place, i) => same(place as Uint8Array, record(numbers[i]!, counts[numbers[i]!])))).toEqual(numbers.map(() => true));
    for (const [i, count] of counts.entries()) expect(same(reader.get(documentKey(i)), record(i, count))).toBe(true);
  });

  test("tells a damaged record in a batch, and its neighbours are right", async () => {
    const { writer, reader } = openBoth();
    const damaged = record(2, 3);
    damaged[25]! ^= 1;
    writer.put(documentKey(1), record(1));
    writer.put(documentKey(2), damaged);
    writer.put(documentKey(3), new Uint8Array(5000).fill(7));
    writer.put(documentKey(4), record(4));
    await seen(() => reader.get(documentKey(4)) !== undefined);
    const batch = createRecordBatch(4);
    reader.getMany(keysOf([1, 2, 3, 4].map(documentKey)), 4, batch);
    expect(placesOf(batch, 4)).toEqual([new Uint8Array(record(1)), DAMAGED, DAMAGED, new Uint8Array(record(4))]);
    expect(same(reader.get(documentKey(2)), damaged)).toBe(true);
    expect(same(reader.get(documentKey(3)), new Uint8Array(5000).fill(7))).toBe(true);
  });

  test("leaves what lies in a batch alone until it is filled again", async () => {
    const { writer, reader } = openBoth();
    writer.put(documentKey(1), record(1, 5));
    writer.put(documentKey(2), record(2, 9));
    await seen(() => reader.get(documentKey(2)) !== undefined);
    const [first, second] = [createRecordBatch(1), createRecordBatch(1)];
    reader.getMany(documentKey(1), 1, first);
    reader.getMany(documentKey(2), 1, second);
    reader.get(documentKey(2));
    writer.put(documentKey(1), record(3));
    await seen(() => same(reader.get(documentKey(1)), record(3)));
    expect(same(placesOf(first, 1)[0] as Uint8Array, record(1, 5))).toBe(true);
  });

  test("sees what was put, replaced and removed, whatever it was", async () => {
    const { writer, reader } = openBoth();
    const change = fc.record({ key: fc.integer({ min: 0, max: 400 }), flags: fc.option(fc.integer({ min: 0, max: 255 })) });
    let round = 0;
    const truth = new Map<number, Uint8Array>();
    const batch = createRecordBatch(512);
    const keys = keysOf(Array.from({ length: 401 }, (_n, i) => hashedKey(i)));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 300 }), async (changes) => {
        round++;
        writer.transaction(() => {
          for (const { key, flags } of changes) {
            if (flags === null) {
              writer.remove(hashedKey(key));
              truth.delete(key);
            } else {
              writer.put(hashedKey(key), record(round, flags));
              truth.set(key, record(round, flags));
            }
          }
          writer.put(documentKey(0), record(round));
        });
        await seen(() => same(reader.get(documentKey(0)), record(round)));
        reader.getMany(keys, 401, batch);
        expect(placesOf(batch, 401).every((place, i) => same(typeof place === "number" ? undefined : place, truth.get(i)))).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  test("sees the heartbeat, the venues' rules and the documents", async () => {
    const { writer, reader } = openBoth();
    writer.put(documentKey(1), record(1));
    writer.put(documentKey(2), record(2));
    writer.beat({ atMs: 1, changedMs: 2, batchesWaiting: 3, changesHeld: 4 });
    await seen(() => reader.heartbeat() !== undefined && reader.count() === 2);
    expect(reader.documents({ after: null, limit: 5 }).map((key) => Buffer.from(key).readUInt32BE(0))).toEqual([1, 2]);
    expect(reader.checkReaders()).toBe(0);
  });

  test("refuses to read when it is closed", async () => {
    const { folder } = openBoth();
    const reader = open(folder);
    await reader.close();
    expect(() => reader.get(documentKey(1))).toThrow();
  });
});
