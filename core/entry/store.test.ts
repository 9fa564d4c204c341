import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { documentKey } from "../../test/keys.ts";
import { temporaryFolder } from "../../test/support.ts";
import type { DocumentKey, VenueRule } from "../domain/index.ts";
import { encodeEntry } from "./codec.ts";
import { openEntryReader, openEntryWriter, type EntryReader, type EntryWriter } from "./store.ts";

const opened: EntryReader[] = [];
const tracked = <Store extends EntryReader>(store: Store): Store => {
  opened.push(store);
  return store;
};
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

/** A writer and a reader with handles of their own. */
function openBoth(): { folder: string; writer: EntryWriter; reader: EntryReader } {
  const folder = join(temporaryFolder(), "entries");
  const writer = tracked(openEntryWriter(folder));
  return { folder, writer, reader: tracked(openEntryReader(folder)) };
}

/** Every field of a rule, none by default. */
const CHECKPOINT: VenueRule = { venue: "checkpoint", stops: ["popup-1", "home"], testHours: 48, commuterHours: 336, testIf: "prefecture", acceptsReceipt: true, from: 1, until: 0xffff_ffff };

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (record: Uint8Array | undefined): string | undefined => record && Buffer.from(Uint8Array.from(record)).toString();
/** A reader renews its view between macrotasks: wait for that, however long it takes. */
const seen = (condition: () => boolean): Promise<unknown> => vi.waitUntil(condition, { timeout: 50_000, interval: 1 });

describe("opening", () => {
  test("a reader of a store that isn't there throws, also the second time", () => {
    const folder = join(temporaryFolder(), "none");
    expect(() => openEntryReader(folder)).toThrow();
    expect(() => openEntryReader(folder)).toThrow();
    expect(existsSync(join(folder, "data.mdb"))).toBe(false);
  });
  test("a reader may be open before the first entry", () => {
    const { reader } = openBoth();
    expect([reader.get(documentKey(1)), reader.heartbeat(), reader.venueRules(), reader.count()]).toEqual([undefined, undefined, [], 0]);
  });
  test("what was flushed is there after closing and opening anew", async () => {
    const folder = join(temporaryFolder(), "entries");
    const first = openEntryWriter(folder);
    first.transaction(() => {
      first.put(documentKey(1), bytes("one"));
    });
    first.beat({ atMs: 1, changedMs: 2, batchesWaiting: 3, changesHeld: 3 });
    await first.flushed();
    await first.close();
    const again = tracked(openEntryReader(folder));
    expect(text(again.get(documentKey(1)))).toBe("one");
    expect(again.heartbeat()).toEqual({ atMs: 1, changedMs: 2, batchesWaiting: 3, changesHeld: 3 });
  });
});

describe("a transaction", () => {
  test("is invisible to readers until it is committed, and visible to its writer at once", async () => {
    const { writer, reader } = openBoth();
    const result = writer.transaction(() => {
      writer.put(documentKey(1), bytes("one"));
      expect(text(writer.get(documentKey(1)))).toBe("one");
      expect(reader.get(documentKey(1))).toBeUndefined();
      return 42;
    });
    expect(result).toBe(42);
    await seen(() => text(reader.get(documentKey(1))) === "one");
  });
  test("that throws leaves nothing, neither puts nor removals, and passes the error on", async () => {
    const { writer, reader } = openBoth();
    writer.put(documentKey(1), bytes("one"));
    const failing = (): void => {
      writer.transaction(() => {
        writer.put(documentKey(2), bytes("two"));
        writer.put(documentKey(1), bytes("changed"));
        writer.remove(documentKey(1));
        writer.beat({ atMs: 1, changedMs: 1, batchesWaiting: 1, changesHeld: 1 });
        writer.putVenueRules([CHECKPOINT]);
        throw new Error("half-way");
      });
    };
    expect(failing).toThrow("half-way");
    writer.put(documentKey(3), bytes("afterwards"));
    await seen(() => reader.get(documentKey(3)) !== undefined);
    for (const store of [writer, reader]) {
      expect(text(store.get(documentKey(1)))).toBe("one");
      expect(store.get(documentKey(2))).toBeUndefined();
      expect(store.heartbeat()).toBeUndefined();
      expect(store.venueRules()).toEqual([]);
      expect(store.count()).toBe(2);
    }
  });
  test("is seen whole: two entries written together are never seen apart", async () => {
    const { writer, reader } = openBoth();
    for (let round = 1; round <= 200; round++) {
      writer.transaction(() => {
        writer.put(documentKey(1), bytes(String(round)));
        writer.put(documentKey(2), bytes(String(round)));
      });
      const first = text(reader.get(documentKey(1)));
      expect(text(reader.get(documentKey(2)))).toBe(first);
      if (round % 10 === 0) await seen(() => text(reader.get(documentKey(1))) === String(round));
    }
  });
});

describe("records", () => {
  test("of any bytes come back with their own length, whatever was read before", () => {
    const { writer } = openBoth();
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 3000, size: "max" }), { minLength: 1, maxLength: 6 }), (records) => {
        records.forEach((record, i) => {
          writer.put(documentKey(i), record);
        });
        for (const [i, record] of [...records.entries(), ...records.entries()]) {
          const got = writer.get(documentKey(i))!;
          expect(got.byteLength).toBe(record.length);
          expect(Buffer.compare(got, record)).toBe(0);
        }
      }),
      { numRuns: 30 },
    );
  });
  test("a short record after a long one carries nothing of it", () => {
    const { writer } = openBoth();
    writer.put(documentKey(1), new Uint8Array(5000).fill(7));
    writer.put(documentKey(2), bytes("ab"));
    writer.get(documentKey(1));
    expect([...writer.get(documentKey(2))!]).toEqual([97, 98]);
  });
  test("a borrowed record that is copied stays, though the next read may overwrite the loan", () => {
    const { writer } = openBoth();
    writer.put(documentKey(1), bytes("first"));
    writer.put(documentKey(2), bytes("other"));
    const copy = Uint8Array.from(writer.get(documentKey(1))!);
    writer.get(documentKey(2));
    expect(text(copy)).toBe("first");
  });
  test("a second put replaces the first, removing takes it away, and removing what isn't there is nothing", () => {
    const { writer } = openBoth();
    writer.put(documentKey(1), bytes("a longer one"));
    writer.put(documentKey(1), bytes("short"));
    expect(text(writer.get(documentKey(1)))).toBe("short");
    expect(writer.count()).toBe(1);
    writer.remove(documentKey(1));
    writer.remove(documentKey(2));
    expect(writer.get(documentKey(1))).toBeUndefined();
    expect(writer.count()).toBe(0);
  });
  test("keys that differ in one bit are two entries", () => {
    const { writer } = openBoth();
    const [one, other] = [documentKey(1), documentKey(1)];
    other[15]! ^= 0x80;
    writer.put(one, bytes("one"));
    expect(writer.get(other)).toBeUndefined();
  });
  test("the venues' rules come back as they were put, the newest whole in place of the one before, and are no entry", async () => {
    const { folder, writer, reader } = openBoth();
    expect([writer.venueRules(), reader.venueRules()]).toEqual([[], []]);
    writer.putVenueRules([CHECKPOINT, { ...CHECKPOINT, venue: "venue", from: 5 }]);
    writer.putVenueRules([CHECKPOINT]);
    expect(writer.venueRules()).toEqual([CHECKPOINT]);
    expect(writer.count()).toBe(0);
    expect(writer.heartbeat()).toBeUndefined();
    await seen(() => reader.venueRules().length === 1);
    expect(tracked(openEntryReader(folder)).venueRules()).toEqual([CHECKPOINT]);
  });
  test("the heartbeat is no entry: it isn't counted, and the newest holds", () => {
    const { writer } = openBoth();
    writer.beat({ atMs: 1, changedMs: 0, batchesWaiting: 0, changesHeld: 0 });
    writer.beat({ atMs: 1_654_732_200_123, changedMs: 1_654_732_200_000, batchesWaiting: 7, changesHeld: 7 });
    expect(writer.heartbeat()).toEqual({ atMs: 1_654_732_200_123, changedMs: 1_654_732_200_000, batchesWaiting: 7, changesHeld: 7 });
    expect(writer.count()).toBe(0);
  });
});

describe("flushed", () => {
  test("resolves after a commit, and when there is nothing to flush", async () => {
    const { writer } = openBoth();
    await expect(writer.flushed()).resolves.toBeUndefined();
    writer.put(documentKey(1), bytes("one"));
    await expect(writer.flushed()).resolves.toBeUndefined();
  });
});

describe("readers in another process", () => {
  /** Says "ready" with what it sees of key 1, then one line each time that changes; `see` waits for the next one. */
  const startReader = (folder: string): { see: () => Promise<string>; kill: () => Promise<void> } => {
    const script = `
      import { openEntryReader } from ${JSON.stringify(join(import.meta.dirname, "store.ts"))};
      import { documentKey } from ${JSON.stringify(join(import.meta.dirname, "../../test/keys.ts"))};
      const reader = openEntryReader(${JSON.stringify(folder)});
      let before;
      setInterval(() => {
        const record = reader.get(documentKey(1));
        const now = (record ? Buffer.from(Uint8Array.from(record)).toString() : "nothing") + " of " + reader.count();
        if (now !== before) console.log(before = now);
      }, 1);`;
    const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(child, "exit");
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    return {
      see: async () => (await lines.next()).value as string,
      kill: async () => {
        child.kill("SIGKILL");
        await ended;
      },
    };
  };

  test("see what is committed, each transaction once and whole, and nothing of one that throws", async () => {
    const { folder, writer } = openBoth();
    const other = startReader(folder);
    try {
      expect(await other.see()).toBe("nothing of 0");
      writer.transaction(() => {
        writer.put(documentKey(1), bytes("one"));
        writer.put(documentKey(2), bytes("two"));
      });
      expect(await other.see()).toBe("one of 2");
      expect(() => {
        writer.transaction(() => {
          writer.put(documentKey(1), bytes("half"));
          throw new Error("half-way");
        });
      }).toThrow();
      writer.remove(documentKey(1));
      expect(await other.see()).toBe("nothing of 1");
    } finally {
      await other.kill();
    }
  });
  test("that are killed leave a slot behind, which checkReaders frees once", async () => {
    const { folder, writer } = openBoth();
    const other = startReader(folder);
    await other.see();
    expect(writer.checkReaders()).toBe(0);
    await other.kill();
    expect(writer.checkReaders()).toBe(1);
    expect(writer.checkReaders()).toBe(0);
  });
});

describe("documents whose entry was computed under another pack", () => {
  const record = (policyId: number): Uint8Array => encodeEntry({ evidenceSequence: 1, policyId, regionRevision: 1, registered: true, incomplete: false, negatives: [], shownTests: [], flags: [] });
  test.each([1, 2, 3, 5, 6, 7])("are all found, and no others, %i looked at in one go", (scanned) => {
    const { writer } = openBoth();
    const ids = [0, 1, 0xffff, 1, 256, 1];
    for (const [i, id] of ids.entries()) writer.put(documentKey(i), record(id));
    const found: DocumentKey[] = [];
    for (let after: DocumentKey | null = null, isFirst = true; isFirst || after !== null; isFirst = false) {
      const { documents, last } = writer.documentsNotUnder(1, { after, scanned });
      found.push(...documents);
      after = last;
    }
    expect(found.map((key) => Buffer.from(key).toString("hex"))).toEqual([0, 2, 4].map((i) => Buffer.from(documentKey(i)).toString("hex")));
  });
  test("are those of records too that nobody of this version has written", () => {
    const { writer } = openBoth();
    writer.put(documentKey(1), bytes("one"));
    writer.put(documentKey(2), record(1).with(0, 1));
    expect(writer.documentsNotUnder(1, { after: null, scanned: 10 })).toMatchObject({ documents: [documentKey(1), documentKey(2)], last: null });
  });
});
