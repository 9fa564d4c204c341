// What only a mapped reader can do wrong: page numbers beyond 4 GiB, values across windows, pages that are not what they should be, formats it must refuse.

import { closeSync, cpSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { open as openEnvironment } from "lmdb";
import { afterEach, describe, expect, test, vi } from "vitest";
import { documentKey } from "../../test/keys.ts";
import { temporaryFolder } from "../../test/support.ts";
import { KEY_BYTES, type DocumentKey } from "../domain/index.ts";
import { encodeEntry } from "./codec.ts";
import { openMappedEntryReader } from "./mappedReader.ts";
import { findNamed } from "./namedTree.ts";
import { offsetOf, PAGE_BYTES, PAGE_HEADER_BYTES, PageMap, windowOf, type Tree } from "./pageMap.ts";
import { createRecordBatch } from "./recordBatch.ts";
import { openEntryWriter, type EntryReader } from "./store.ts";
import { ABSENT, FOUND, FOUND_LARGE, TreeWalk } from "./treeWalk.ts";

const opened: EntryReader[] = [];
const tracked = <Store extends EntryReader>(store: Store): Store => {
  opened.push(store);
  return store;
};
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

const record = (sequence: number, flags = 3): Uint8Array =>
  encodeEntry({ evidenceSequence: sequence, policyId: 1, regionRevision: 1, registered: true, incomplete: false, negatives: [], shownTests: [], flags: Array.from({ length: flags }, () => ({ flag: "home", rule: "findings", from: 1, until: 2 }) as const) });

/** A closed store with `count` entries; `flags` says how long each is. */
async function storeOf(count: number, flags: (i: number) => number = () => 3): Promise<string> {
  const folder = join(temporaryFolder(), "entries");
  const writer = openEntryWriter(folder);
  writer.transaction(() => {
    for (let i = 0; i < count; i++) writer.put(documentKey(i), record(i, flags(i)));
  });
  await writer.flushed();
  await writer.close();
  return folder;
}

/** The same pages as the tree of entries and the map they lie in. */
function treeOf(path: string): { map: PageMap; tree: Tree } {
  const map = new PageMap(path);
  const newest = map.newest()!;
  map.extend(newest.lastPage + 1);
  const tree = findNamed(map, newest, "entries");
  if (typeof tree !== "object") throw new Error("no entries");
  return { map, tree };
}

describe("page numbers", () => {
  test("up to the last of 16 TiB lead to a window and an offset without losing a bit", () => {
    expect([windowOf(0xffff_ffff), offsetOf(0xffff_ffff)]).toEqual([2 ** 18 - 1, (2 ** 14 - 1) * PAGE_BYTES]);
    expect([windowOf(2 ** 31 + 5), offsetOf(2 ** 31 + 5)]).toEqual([2 ** 17, 5 * PAGE_BYTES]);
  });

  test.each([2 ** 20 + 7, 3 * 2 ** 20 + 2 ** 14 - 1])("beyond 4 GiB are followed: a leaf in page %i of a sparse file", async (pageNumber) => {
    const folder = await storeOf(20);
    const path = join(folder, "data.mdb");
    const { map, tree } = treeOf(path);
    expect(tree.depth).toBe(1);
    const page = readFileSync(path).subarray(tree.root * PAGE_BYTES, (tree.root + 1) * PAGE_BYTES);
    map.close();
    page.writeBigUInt64LE(BigInt(pageNumber), 0);
    const file = openSync(path, "r+");
    ftruncateSync(file, (pageNumber + 1) * PAGE_BYTES);
    writeSync(file, page, 0, PAGE_BYTES, pageNumber * PAGE_BYTES);
    closeSync(file);
    const large = new PageMap(path);
    large.extend(pageNumber + 1);
    const walk = new TreeWalk(large);
    const follows = (root: number): boolean => walk.take({ ...tree, root }) && walk.find(documentKey(7), 0, 1);
    expect([follows(pageNumber), walk.outcomes[0], walk.lengths[0]]).toEqual([true, FOUND, record(7).length]);
    // The number is compared in full: a page that says it is another one is not followed, and none that no 32 bits can tell.
    expect(follows(pageNumber - 1)).toBe(false);
    expect(follows(2 ** 33 + tree.root)).toBe(false);
    large.close();
  });
});

describe("the map", () => {
  test("answers all by itself: nothing is left to the reference reader, large values and a growing file included", () => {
    const folder = join(temporaryFolder(), "entries");
    const writer = tracked(openEntryWriter(folder));
    const reader = tracked(openMappedEntryReader(folder));
    const batch = createRecordBatch(64);
    const keys = Buffer.concat(Array.from({ length: 64 }, (_, i) => documentKey(i * 100)));
    for (let round = 1; round <= 8; round++) {
      writer.transaction(() => {
        for (let i = 0; i < 6400; i++) writer.put(documentKey(i), record(round, i % 500 === 0 ? 250 : i % 9));
      });
      reader.refresh();
      reader.getMany(keys, 64, batch);
      expect(batch.lengths.every((length, i) => length === 22 + 10 * (i % 5 === 0 ? 250 : (i * 100) % 9))).toBe(true);
    }
    expect([reader.fallbacks(), reader.unmappedBecause()]).toEqual([0, undefined]);
  });

  test("of a compacted copy is read as well", async () => {
    const folder = join(temporaryFolder(), "entries");
    const copy = join(temporaryFolder(), "copy");
    const writer = tracked(openEntryWriter(folder));
    writer.transaction(() => {
      for (let i = 0; i < 5000; i++) writer.put(documentKey(i), record(i, i % 700 === 0 ? 250 : 2));
    });
    await writer.copyTo(copy);
    const reader = tracked(openMappedEntryReader(copy));
    for (let i = 0; i < 5000; i += 7) expect(reader.get(documentKey(i))?.length).toBe(record(i, i % 700 === 0 ? 250 : 2).length);
    expect(reader.fallbacks()).toBe(0);
  });

  test("shows what was committed before the question, each time, and never an older state", () => {
    const folder = join(temporaryFolder(), "entries");
    const writer = tracked(openEntryWriter(folder));
    const reader = tracked(openMappedEntryReader(folder));
    let last = reader.transaction();
    for (let round = 1; round <= 50; round++) {
      writer.transaction(() => writer.put(documentKey(1), record(round, round % 6)));
      expect(reader.get(documentKey(1))?.length).toBe(22 + 10 * (round % 6));
      expect(reader.transaction()).toBeGreaterThan(last);
      last = reader.transaction();
    }
    expect(reader.fallbacks()).toBe(0);
  });

  test("is renewed when nobody asks, so that the store need not keep old pages", async () => {
    const folder = join(temporaryFolder(), "entries");
    const writer = tracked(openEntryWriter(folder));
    const reader = tracked(openMappedEntryReader(folder));
    const before = reader.transaction();
    writer.transaction(() => writer.put(documentKey(1), record(1)));
    await vi.waitUntil(() => reader.transaction() > before, { timeout: 5000 });
  });
});

const FAULT = -1;

/** Keys that are spread evenly, as hashes are: where the i-th lies no other does. */
const spreadKey = (i: number): DocumentKey => {
  const key = new Uint8Array(KEY_BYTES);
  new DataView(key.buffer).setUint32(0, Math.imul(i, 0x9e37_79b1) >>> 0);
  return key as DocumentKey;
};

describe("leaves that are listed", () => {
  test("are those of the state that is read, whatever was split, merged or written in between, the same as by the branch pages", async () => {
    const folder = join(temporaryFolder(), "entries");
    const writer = tracked(openEntryWriter(folder));
    writer.transaction(() => writer.put(spreadKey(0), record(0)));
    const reader = tracked(openMappedEntryReader(folder));
    const [batch, frame] = [createRecordBatch(1024), 1024];
    const total = 20 * frame;
    const keys = Buffer.concat(Array.from({ length: total }, (_, i) => spreadKey(i)));
    const truth = new Uint32Array(total);
    truth[0] = record(0).length;
    let commits = 0;
    let newest = 0;
    /** A transaction that puts or removes `count` of the keys; by a step that meets each of them. */
    const change = async (count: number, isRemoved: boolean): Promise<void> => {
      commits++;
      writer.transaction(() => {
        for (let i = 0; i < count; i++) {
          const number = (commits * 7919 + i * 61) % total;
          const flags = (commits + i) % 5;
          if (isRemoved) writer.remove(spreadKey(number));
          else writer.put(spreadKey(number), record(commits, flags));
          truth[number] = isRemoved ? 0 : record(commits, flags).length;
        }
      });
      await writer.flushed();
    };
    const readsRight = (): void => {
      reader.refresh();
      newest = reader.transaction();
      for (let from = 0; from < total; from += frame) {
        reader.getMany(keys.subarray(from * KEY_BYTES, (from + frame) * KEY_BYTES), frame, batch);
        expect([...batch.lengths]).toEqual([...truth.subarray(from, from + frame)]);
      }
    };
    // Growth from one leaf to a tree of three levels; small changes, several between two reads; and back to few leaves.
    for (const count of [10, 300, 2000, total, 1, 5, 1, 40]) {
      await change(count, false);
      readsRight();
    }
    const { map, tree } = treeOf(join(folder, "data.mdb"));
    expect(tree.depth).toBe(3);
    expect(tree.transaction).toBe(newest);
    const outcomesOf = (walk: TreeWalk): number[] => (walk.take(tree) && walk.find(keys, 640 * KEY_BYTES, 64) ? [...walk.outcomes, ...walk.windows, ...walk.offsets, ...walk.lengths] : []);
    expect(outcomesOf(new TreeWalk(map, 0)).length).toBe(4 * 64);
    expect(outcomesOf(new TreeWalk(map))).toEqual(outcomesOf(new TreeWalk(map, 0)));
    map.close();
    for (let round = 0; round < 60; round++) {
      for (let k = 0; k <= round % 4; k++) await change(1 + (round % 3) * 30, round % 5 === 4);
      readsRight();
    }
    for (const count of [total / 2, total / 2, total / 2, total - 20]) {
      await change(count, true);
      readsRight();
    }
    expect(reader.fallbacks()).toBe(0);
  });

  test("are listed anew when a page has been used again for another content in the same place", async () => {
    const folder = await storeOf(6000);
    const { map, tree } = treeOf(join(folder, "data.mdb"));
    const walk = new TreeWalk(map);
    // The second leaf begins with the key that the root's second node has.
    const view = map.windows[0]!;
    const at = tree.root * PAGE_BYTES;
    const nodeAt = (place: number): number => at + PAGE_HEADER_BYTES + view.getUint16(at + PAGE_HEADER_BYTES + 2 * place, true);
    const key = new Uint8Array(view.buffer.slice(view.byteOffset + nodeAt(1) + 8, view.byteOffset + nodeAt(1) + 8 + KEY_BYTES));
    const outcomeOf = (state: Tree): number => (walk.take(state) && walk.find(key, 0, 1) ? walk.outcomes[0]! : FAULT);
    expect(outcomeOf(tree)).toBe(FOUND);
    // As a later transaction could leave it: other children, the same number.
    const [second, third] = [view.getUint32(nodeAt(1), true), view.getUint32(nodeAt(2), true)];
    view.setUint32(nodeAt(1), third, true);
    view.setUint32(nodeAt(2), second, true);
    view.setUint32(at + 8, tree.transaction + 1, true);
    expect(outcomeOf({ ...tree, transaction: tree.transaction + 1 })).toBe(ABSENT);
    map.close();
  });

  test("are not taken from a branch page that says what can't be, and nothing outside it is touched", async () => {
    const folder = await storeOf(6000);
    const { map, tree } = treeOf(join(folder, "data.mdb"));
    expect(tree.depth).toBe(2);
    const view = map.windows[0]!;
    const at = tree.root * PAGE_BYTES;
    const keys = Buffer.concat(Array.from({ length: 64 }, (_, i) => documentKey(i * 90)));
    const findsAll = (): boolean => {
      const walk = new TreeWalk(map);
      return walk.take(tree) && walk.find(keys, 0, 64) && walk.outcomes.every((outcome) => outcome === FOUND);
    };
    expect(findsAll()).toBe(true);
    /** Another page number, a later transaction, another kind, more nodes than there is room for, a node and a child behind the end, a key of another length. */
    const node = at + PAGE_HEADER_BYTES + view.getUint16(at + PAGE_HEADER_BYTES + 2, true);
    for (const [place, value] of [[at, 9], [at + 14, 1], [at + 18, 2], [at + 20, 0xfffe], [at + PAGE_HEADER_BYTES + 2, 0xffff], [at + PAGE_HEADER_BYTES + 2, PAGE_BYTES - PAGE_HEADER_BYTES - 8], [node + 2, 0x7fff], [node + 6, 15]] as const) {
      const before = view.getUint16(place, true);
      view.setUint16(place, value, true);
      expect(findsAll(), `${value} at ${place - at}`).toBe(false);
      view.setUint16(place, before, true);
    }
    expect(findsAll()).toBe(true);
    for (let byte = at; byte < at + PAGE_BYTES; byte += 3) {
      const before = view.getUint8(byte);
      view.setUint8(byte, before ^ 0xff);
      expect(findsAll()).toBeTypeOf("boolean");
      view.setUint8(byte, before);
    }
    map.close();
  });
});

describe("what is not as it should be", () => {
  test("is told as a fault, whichever byte of the pages is another one, and nothing outside them is touched", async () => {
    const folder = await storeOf(400, (i) => (i === 50 ? 250 : 3));
    const { map, tree } = treeOf(join(folder, "data.mdb"));
    const walk = new TreeWalk(map);
    const key = documentKey(50);
    const outcomeOf = (): number => (walk.take(tree) && walk.find(key, 0, 1) ? walk.outcomes[0]! : FAULT);
    expect(outcomeOf()).toBe(FOUND_LARGE);
    const outcomes = new Set<number>();
    const view = map.windows[0]!;
    for (const page of [tree.root, Math.floor(walk.offsets[0]! / PAGE_BYTES)]) {
      for (let at = page * PAGE_BYTES; at < page * PAGE_BYTES + 400; at++) {
        const before = view.getUint8(at);
        for (const value of [0, 255, before ^ 1, before ^ 0x80]) {
          view.setUint8(at, value);
          outcomes.add(outcomeOf());
        }
        view.setUint8(at, before);
      }
    }
    expect(outcomes).toContain(FAULT);
    expect(outcomes).toContain(FOUND_LARGE);
    map.close();
  });

  test("falls back to the reference reader and is counted: a damaged record", () => {
    const folder = join(temporaryFolder(), "entries");
    const writer = tracked(openEntryWriter(folder));
    const damaged = record(1);
    damaged[30]! ^= 1;
    writer.put(documentKey(1), damaged);
    writer.put(documentKey(2), record(2));
    const reader = tracked(openMappedEntryReader(folder));
    expect(reader.get(documentKey(2))?.length).toBe(52);
    expect(reader.fallbacks()).toBe(0);
    expect(Buffer.from(reader.get(documentKey(1))!).subarray(0, 52).equals(damaged)).toBe(true);
    expect(reader.fallbacks()).toBe(1);
  });
});

describe("formats", () => {
  test("pages of another size are left to the reference reader, with the reason", async () => {
    const folder = join(temporaryFolder(), "entries");
    const root = openEnvironment({ path: folder, pageSize: 8192 });
    const entries = root.openDB<Uint8Array, Uint8Array>({ name: "entries", encoding: "binary", keyEncoding: "binary" });
    root.openDB({ name: "meta", encoding: "json" });
    root.openDB({ name: "venues", encoding: "json" });
    await entries.put(documentKey(1), record(1));
    const reader = tracked(openMappedEntryReader(folder));
    expect(reader.unmappedBecause()).toContain("8192");
    expect(reader.get(documentKey(1))?.length).toBe(52);
    const batch = createRecordBatch(1);
    reader.getMany(documentKey(1), 1, batch);
    expect([batch.lengths[0], reader.fallbacks()]).toEqual([52, 0]);
    await root.close();
  });

  test.each([
    ["magic", 24],
    ["version", 28],
    ["kind of page", 18],
  ])("another %s is refused", async (_name, at) => {
    const folder = await storeOf(3);
    const other = join(temporaryFolder(), "other");
    mkdirSync(other);
    cpSync(join(folder, "data.mdb"), join(other, "data.mdb"));
    const file = openSync(join(other, "data.mdb"), "r+");
    writeSync(file, Buffer.of(0x55), 0, 1, at);
    closeSync(file);
    expect(new PageMap(join(other, "data.mdb")).formatFault()).toBeDefined();
  });
});
