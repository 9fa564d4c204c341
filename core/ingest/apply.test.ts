// Applying batches with real stores: whose entries change and whose don't, in any order, twice, and cut off anywhere.

import { join } from "node:path";
import fc from "fast-check";
import { open, type Database } from "lmdb";
import { afterEach, describe, expect, test } from "vitest";
import { contentOf, document, inboxRows, instant, keyOfDocument, NOW, openStores, pack, phone, publication, residentId, SHANGHAI_HUANGPU, SHANGHAI_XUHUI, type Stores } from "../../test/ingestSupport.ts";
import { shuffled, temporaryFolder } from "../../test/support.ts";
import { formatInstant, type Flag } from "../domain/index.ts";
import { decodeEntry, type Entry } from "../entry/index.ts";
import type { BatchProgress } from "../evidence/index.ts";
import { beijingPackText, createEvaluator, parsePack, type Evaluator } from "../policy/index.ts";
import type { Feed } from "./batch.ts";
import { ATTEMPTS_MAX, StoppedError } from "./failures.ts";
import { CHUNK_ROWS } from "./inbox.ts";

const HUANGPU = "310101";
const CHAOYANG = "110105";

const opened: Stores[] = [];
function newStores(): Stores {
  const stores = openStores(temporaryFolder());
  opened.push(stores);
  return stores;
}
afterEach(async () => {
  for (const stores of opened.splice(0)) await stores.close();
});

// --- What stands in the stores ---

function entryOf(stores: Stores, n: number): Entry | undefined {
  const record = stores.entries.get(keyOfDocument(n));
  if (!record) return undefined;
  const entry = decodeEntry(Uint8Array.from(record));
  if (typeof entry === "string") throw new Error(`the entry of document ${n} is damaged: ${entry}`);
  return entry;
}
/** Flags of a document that are active at an instant; undefined: there is no entry. */
function flagsOf(stores: Stores, n: number, at = NOW): Flag[] | undefined {
  return entryOf(stores, n)?.flags.filter((f) => f.from <= at && at < f.until).map((f) => f.flag);
}
/** All bytes of an entry, with origin and checksum. */
function bytesOf(stores: Stores, n: number): string | undefined {
  const record = stores.entries.get(keyOfDocument(n));
  return record && Buffer.from(Uint8Array.from(record)).toString("hex");
}
const numbers = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);
const contents = (stores: Stores, documents: readonly number[]): (string | undefined)[] => documents.map((n) => contentOf(stores.entries, keyOfDocument(n)));
/** How far a batch has come; when it was applied is checked apart. */
function progressOf(stores: Stores, sequence: number): Omit<BatchProgress, "appliedMs"> & { isApplied: boolean } {
  const { appliedMs, ...progress } = stores.evidence.progress(sequence)!;
  return { ...progress, isApplied: appliedMs !== null };
}
const entriesChanged = (stores: Stores, sequence: number): number => stores.evidence.progress(sequence)!.entriesChanged;

// --- Rows ---

const holder = (documents: readonly number[], phones: readonly number[] = []): object => ({ documents: documents.map(document), phones: phones.map(phone) });
const tripTo = (county: string, n: number, days: { from?: string; to?: string } = {}): object => ({ factId: `trip-${county}-${n}`, phone: phone(n), county, from: days.from ?? "2022-06-01", to: days.to ?? "2022-06-05" });
const negative = (n: number, factId = `test-${n}`): object => ({ factId, document: document(n), sampledAt: "2022-06-08T09:00:00+08:00", issuedAt: "2022-06-08T20:00:00+08:00", result: "negative", laboratory: "Laboratory A", county: CHAOYANG });
const positive = (n: number): object => ({ ...negative(n, `positive-${n}`), result: "positive" });
const finding = (n: number, kind = "close-contact"): object => ({ factId: `finding-${n}`, document: document(n), kind, from: "2022-06-08", authority: "District office", ground: "same carriage" });
const refutation = (matches: object): object => ({ factId: "refutation-1", matches, at: "2022-06-09T07:00:00+08:00", authority: "Community", ground: "number kept" });
/** Away, and back in the city since 2022-06-02: pop-up 4 from 2022-06-05. */
const arrival = (n: number): object[] => [
  { factId: `away-${n}`, phone: phone(n), county: "320583", from: "2022-05-20", to: "2022-05-30" },
  { factId: `back-${n}`, phone: phone(n), county: CHAOYANG, from: "2022-06-02T00:00:00+08:00" },
];

/** An evaluator that is stopped at its call number `calls` + 1. */
function failingAfter(calls: number, evaluator: Evaluator): Evaluator {
  let done = 0;
  return {
    pack: evaluator.pack,
    reach: (changes) => evaluator.reach(changes),
    evaluate(evidence) {
      if (done++ >= calls) throw new StoppedError("gave up");
      return evaluator.evaluate(evidence);
    },
  };
}

describe("facts become entries", () => {
  test("a refuted trip delivered again, under whatever id, stays refuted; the holder's other trips count", async () => {
    const stores = newStores();
    await stores.deliver("risk-areas", [publication("2022-06-08 17时", [SHANGHAI_HUANGPU])]);
    await stores.deliver("holders", [holder([1], [1, 2])]);
    await stores.deliver("trips", [tripTo(HUANGPU, 1)]);
    expect(flagsOf(stores, 1)).toEqual(["popup-1"]);
    await stores.deliver("refutations", [refutation({ phone: phone(1), county: HUANGPU, from: "2022-06-01", to: "2022-06-05" })]);
    expect(flagsOf(stores, 1)).toEqual([]);
    await stores.deliver("trips", [{ ...tripTo(HUANGPU, 1), factId: "told again" }]);
    expect(flagsOf(stores, 1)).toEqual([]);
    await stores.deliver("trips", [tripTo(HUANGPU, 2)]);
    expect(flagsOf(stores, 1)).toEqual(["popup-1"]);
  });
  test("a refutation by document takes out its holder's trips, told of any document or phone, in whatever order all is told", async () => {
    const told = { "of the phone": { phone: phone(1) }, "of the document": { document: document(1) }, "of the other document": { document: document(2) } };
    const flags: Record<string, (Flag[] | undefined)[]> = {};
    for (const [whom, subject] of Object.entries(told)) {
      const deliveries = {
        holder: ["holders", holder([1, 2], [1])],
        trip: ["trips", { ...tripTo(HUANGPU, 1), phone: undefined, ...subject }],
        refutation: ["refutations", refutation({ document: document(1), county: HUANGPU, from: "2022-06-01", to: "2022-06-05" })],
      } as const;
      for (const order of ["holder trip refutation", "holder refutation trip", "trip holder refutation", "trip refutation holder", "refutation holder trip", "refutation trip holder"]) {
        const stores = newStores();
        await stores.deliver("risk-areas", [publication("2022-06-08 17时", [SHANGHAI_HUANGPU])]);
        for (const name of order.split(" ")) {
          const [feed, row] = deliveries[name as keyof typeof deliveries];
          await stores.deliver(feed, [row]);
        }
        flags[`${whom}: ${order}`] = [flagsOf(stores, 1), flagsOf(stores, 2)];
      }
    }
    expect(flags).toEqual(Object.fromEntries(Object.keys(flags).map((name) => [name, [[], []]])));
  });
  test("of a phone that two holders share: refuted by document for one of them alone, by phone for both", async () => {
    const stores = newStores();
    await stores.deliver("risk-areas", [publication("2022-06-08 17时", [SHANGHAI_HUANGPU])]);
    await stores.deliver("holders", [holder([1], [1]), holder([2], [1])]);
    await stores.deliver("trips", [tripTo(HUANGPU, 1)]);
    const flags = (): unknown[] => [flagsOf(stores, 1), flagsOf(stores, 2)];
    expect(flags()).toEqual([["popup-1"], ["popup-1"]]);
    await stores.deliver("refutations", [refutation({ document: document(1), county: HUANGPU })]);
    await stores.deliver("trips", [{ ...tripTo(HUANGPU, 1), factId: "told again" }]);
    expect(flags()).toEqual([[], ["popup-1"]]);
    await stores.deliver("refutations", [{ ...refutation({ phone: phone(1), county: HUANGPU }), factId: "refutation-2" }]);
    expect(flags()).toEqual([[], []]);
  });
  test("a phone that a holder gets later: the trips told of it were refuted by document before", async () => {
    const stores = newStores();
    await stores.deliver("risk-areas", [publication("2022-06-08 17时", [SHANGHAI_HUANGPU])]);
    await stores.deliver("holders", [holder([1]), holder([2])]);
    await stores.deliver("trips", [tripTo(HUANGPU, 1)]);
    await stores.deliver("refutations", [refutation({ document: document(1) })]);
    await stores.deliver("holders", [holder([1], [1]), holder([2], [1])]);
    expect([flagsOf(stores, 1), flagsOf(stores, 2)]).toEqual([[], ["popup-1"]]);
  });
  test("a refutation of one fact, told before it, holds when the trip comes; its source may be named", async () => {
    const stores = newStores();
    await stores.deliver("risk-areas", [publication("2022-06-08 17时", [SHANGHAI_HUANGPU])]);
    await stores.deliver("holders", [holder([1], [1])]);
    const row = (source: string): object => ({ ...refutation({ factId: `trip-${HUANGPU}-1`, source }), factId: `refutation-${source}` });
    await stores.deliver("refutations", [row("source-b")]);
    await stores.deliver("trips", [tripTo(HUANGPU, 1)]);
    expect(flagsOf(stores, 1)).toEqual(["popup-1"]);
    await stores.deliver("refutations", [row("source-a")]);
    expect(flagsOf(stores, 1)).toEqual([]);
  });
  test("a holder of whom nothing is known but that there is one: an entry without flags", async () => {
    const stores = newStores();
    await stores.deliver("holders", [holder([1])]);
    expect(entryOf(stores, 1)).toMatchObject({ registered: true, flags: [] });
    expect(entryOf(stores, 2)).toBeUndefined();
  });
  test("a document that no holder owns yet: its facts count, and it is unconfirmed", async () => {
    const stores = newStores();
    await stores.deliver("findings", [finding(1)]);
    expect(entryOf(stores, 1)?.registered).toBe(false);
    expect(flagsOf(stores, 1)).toEqual(["central", "unconfirmed"]);
  });
  test("a phone that no holder owns yet: nobody's entry changes", async () => {
    const stores = newStores();
    const sequence = await stores.deliver("trips", arrival(1));
    expect([stores.entries.count(), entriesChanged(stores, sequence)]).toEqual([0, 0]);
  });
  test("holders delivered after their facts get all of them, by document and by phone", async () => {
    const stores = newStores();
    await stores.deliver("trips", arrival(1));
    await stores.deliver("findings", [finding(1, "key-place")]);
    await stores.deliver("holders", [holder([1, 2], [1])]);
    expect(flagsOf(stores, 1)).toEqual(["popup-4", "home"]);
    expect(flagsOf(stores, 2)).toEqual(["popup-4", "home"]);
  });
  test("a phone that two holders share: its trips count for each", async () => {
    const stores = newStores();
    await stores.deliver("holders", [holder([1], [1]), holder([2], [1])]);
    const sequence = await stores.deliver("trips", arrival(1));
    expect([flagsOf(stores, 1), flagsOf(stores, 2)]).toEqual([["popup-4"], ["popup-4"]]);
    expect(entriesChanged(stores, sequence)).toBe(2);
  });
  test("a negative test frees at its issue, the second before not", async () => {
    const stores = newStores();
    await stores.deliver("holders", [holder([1], [1])]);
    await stores.deliver("trips", arrival(1));
    const due = instant("2022-06-05T00:00:00+08:00");
    expect([flagsOf(stores, 1, due - 1), flagsOf(stores, 1, due), flagsOf(stores, 1)]).toEqual([[], ["popup-4"], ["popup-4"]]);
    await stores.deliver("tests", [negative(1)]);
    const issued = instant("2022-06-08T20:00:00+08:00");
    expect([flagsOf(stores, 1, issued - 1), flagsOf(stores, 1, issued), flagsOf(stores, 1)]).toEqual([["popup-4"], [], []]);
    expect(entryOf(stores, 1)?.negatives).toEqual([{ sampledAt: instant("2022-06-08T09:00:00+08:00"), issuedAt: issued }]);
  });
  test("a higher revision takes the place of a lower one, whichever comes first", async () => {
    const stores = newStores();
    await stores.deliver("holders", [holder([1]), holder([2])]);
    const corrected = (n: number): object => ({ ...positive(n), revision: 2, result: "negative" });
    await stores.deliver("tests", [positive(1), corrected(2)]);
    expect([flagsOf(stores, 1), flagsOf(stores, 2)]).toEqual([["unconfirmed"], []]);
    await stores.deliver("tests", [corrected(1), positive(2)]);
    expect([flagsOf(stores, 1), flagsOf(stores, 2)]).toEqual([[], []]);
  });
  test("a fact that moves to another document leaves the first one", async () => {
    const stores = newStores();
    await stores.deliver("holders", [holder([1]), holder([2])]);
    await stores.deliver("findings", [finding(1)]);
    const sequence = await stores.deliver("findings", [{ ...finding(1), document: document(2), revision: 2 }]);
    expect([flagsOf(stores, 1), flagsOf(stores, 2)]).toEqual([[], ["central"]]);
    expect(entriesChanged(stores, sequence)).toBe(2);
  });
  test("a batch that the inbox does not have is an error", async () => {
    await expect(newStores().apply(7)).rejects.toThrow("the inbox has no batch 7");
  });
});

describe("a merge of holders", () => {
  const byKey = (...documents: number[]): number[] => documents.sort((a, b) => Buffer.compare(keyOfDocument(a), keyOfDocument(b)));

  test("joins the evidence of both under every document of both", async () => {
    const stores = newStores();
    await stores.deliver("holders", [holder([1], [1]), holder([2])]);
    await stores.deliver("trips", arrival(1));
    await stores.deliver("findings", [finding(2, "key-place")]);
    expect([flagsOf(stores, 1), flagsOf(stores, 2)]).toEqual([["popup-4"], ["home"]]);
    const sequence = await stores.deliver("holders", [holder([1, 2])]);
    expect([flagsOf(stores, 1), flagsOf(stores, 2)]).toEqual([["popup-4", "home"], ["popup-4", "home"]]);
    expect(entriesChanged(stores, sequence)).toBe(2);
  });
  test("over a chain of documents makes one holder of all", async () => {
    const stores = newStores();
    await stores.deliver("holders", [holder([1, 2])]);
    await stores.deliver("holders", [holder([3, 4])]);
    await stores.deliver("findings", [finding(4)]);
    await stores.deliver("holders", [holder([2, 3])]);
    expect([1, 2, 3, 4].map((n) => flagsOf(stores, n))).toEqual([["central"], ["central"], ["central"], ["central"]]);
  });
  test("is there for what comes later: a phone of either is a phone of all", async () => {
    const stores = newStores();
    await stores.deliver("holders", [holder([1], [1]), holder([2], [2])]);
    await stores.deliver("holders", [holder([1, 2])]);
    await stores.deliver("trips", [...arrival(2)]);
    expect([flagsOf(stores, 1), flagsOf(stores, 2)]).toEqual([["popup-4"], ["popup-4"]]);
  });
  test("is there for what comes later: a fact about any document of either is one about all", async () => {
    for (const named of [1, 2, 3, 4]) {
      const stores = newStores();
      await stores.deliver("holders", [holder([1, 2]), holder([3, 4])]);
      await stores.deliver("holders", [holder([2, 3])]);
      await stores.deliver("findings", [finding(named)]);
      expect([1, 2, 3, 4].map((n) => flagsOf(stores, n))).toEqual([["central"], ["central"], ["central"], ["central"]]);
    }
  });
  test("a document that joins a holder gets the entry that the others have", async () => {
    const stores = newStores();
    await stores.deliver("holders", [holder([1])]);
    await stores.deliver("findings", [finding(1)]);
    const sequence = await stores.deliver("holders", [holder([1, 5])]);
    expect(flagsOf(stores, 5)).toEqual(["central"]);
    expect(entriesChanged(stores, sequence)).toBe(1);
  });
  test("in the batch that also told of both, the smaller key first", async () => {
    const [small, large] = byKey(1, 2);
    const stores = newStores();
    await stores.deliver("holders", [holder([small!]), holder([large!]), holder([small!, large!])]);
    expect([flagsOf(stores, small!), flagsOf(stores, large!)]).toEqual([[], []]);
  });
  test("of two known before, in a batch that also repeats both", async () => {
    const [small, large] = byKey(1, 2);
    const stores = newStores();
    await stores.deliver("holders", [holder([small!, 3]), holder([large!, 4])]);
    await stores.deliver("holders", [holder([small!]), holder([large!]), holder([3, 4])]);
    expect([small!, large!, 3, 4].map((n) => flagsOf(stores, n))).toEqual([[], [], [], []]);
  });
  test("in the batch that also told of both, the larger key first", async () => {
    const [small, large] = byKey(1, 2);
    const stores = newStores();
    await stores.deliver("holders", [holder([large!]), holder([small!, large!])]);
    expect([flagsOf(stores, small!), flagsOf(stores, large!)]).toEqual([[], []]);
  });
});

describe("a change of regions", () => {
  const LIST = publication("2022-06-08 17时", [SHANGHAI_HUANGPU]);

  /** Visitors of Huangpu are the documents up to `visitors`; behind them come others of Xuhui. */
  async function cityWith(stores: Stores, visitors: number, others: number): Promise<void> {
    const all = numbers(0, visitors + others);
    await stores.deliver("holders", all.map((n) => holder([n], [n])));
    await stores.deliver("trips", all.map((n) => tripTo(n < visitors ? HUANGPU : "310104", n)));
  }

  test.each([0, 1, 499, 500, 501, 1000, 1001])("turns the entries of its %i visitors and no other byte", async (visitors) => {
    const stores = newStores();
    await cityWith(stores, visitors, 3);
    const others = numbers(visitors, 3);
    const before = others.map((n) => bytesOf(stores, n));
    const sequence = await stores.deliver("risk-areas", [LIST]);
    const turned = numbers(0, visitors).filter((n) => flagsOf(stores, n)!.join() === "popup-1");
    expect(turned.length).toBe(visitors);
    expect(others.map((n) => bytesOf(stores, n))).toEqual(before);
    expect(progressOf(stores, sequence)).toMatchObject({ entriesChanged: visitors, isApplied: true });
  });
  test("holds from the publication on", async () => {
    const stores = newStores();
    await cityWith(stores, 1, 0);
    await stores.deliver("risk-areas", [LIST]);
    const published = instant("2022-06-08T17:00:00+08:00");
    expect([flagsOf(stores, 0, published - 1), flagsOf(stores, 0, published)]).toEqual([[], ["popup-1"]]);
  });
  test("ends with the second publication that no longer names the county: the first may be cut off", async () => {
    const stores = newStores();
    await cityWith(stores, 3, 3);
    await stores.deliver("risk-areas", [LIST]);
    await stores.deliver("risk-areas", [publication("2022-06-09 06时", [SHANGHAI_XUHUI])]);
    expect(numbers(0, 6).map((n) => flagsOf(stores, n))).toEqual([["popup-1"], ["popup-1"], ["popup-1"], [], [], []]);
    const sequence = await stores.deliver("risk-areas", [publication("2022-06-09 07时", [SHANGHAI_XUHUI])]);
    expect(numbers(0, 6).map((n) => flagsOf(stores, n))).toEqual([[], [], [], ["popup-1"], ["popup-1"], ["popup-1"]]);
    expect(entriesChanged(stores, sequence)).toBe(6);
  });
  test("of a second list without any area frees everybody, of a single one nobody", async () => {
    const stores = newStores();
    await cityWith(stores, 3, 0);
    await stores.deliver("risk-areas", [LIST]);
    await stores.deliver("risk-areas", [publication("2022-06-09 06时", [])]);
    expect(numbers(0, 3).map((n) => flagsOf(stores, n))).toEqual([["popup-1"], ["popup-1"], ["popup-1"]]);
    await stores.deliver("risk-areas", [publication("2022-06-09 07时", [])]);
    expect(numbers(0, 3).map((n) => flagsOf(stores, n))).toEqual([[], [], []]);
  });
  test("reaches who stayed there by document and by phone, and everybody who shares the phone", async () => {
    const stores = newStores();
    await stores.deliver("holders", [holder([1], [1]), holder([2], [1]), holder([3, 4])]);
    await stores.deliver("trips", [tripTo(HUANGPU, 1), { ...tripTo(HUANGPU, 3), phone: undefined, document: document(4) }]);
    const sequence = await stores.deliver("risk-areas", [LIST]);
    expect([1, 2, 3, 4].map((n) => flagsOf(stores, n))).toEqual([["popup-1"], ["popup-1"], ["popup-1"], ["popup-1"]]);
    expect(entriesChanged(stores, sequence)).toBe(4);
  });
  test("reaches nobody whose stay there was revised away", async () => {
    const stores = newStores();
    await cityWith(stores, 2, 0);
    await stores.deliver("trips", [{ ...tripTo(HUANGPU, 1), revision: 2, county: CHAOYANG }]);
    const before = bytesOf(stores, 1);
    await stores.deliver("risk-areas", [LIST]);
    expect(flagsOf(stores, 0)).toEqual(["popup-1"]);
    expect(bytesOf(stores, 1)).toBe(before);
  });
  test("is seen by trips that come after it", async () => {
    const stores = newStores();
    await stores.deliver("risk-areas", [LIST]);
    await cityWith(stores, 1, 1);
    expect([flagsOf(stores, 0), flagsOf(stores, 1)]).toEqual([["popup-1"], []]);
  });
  test("by new local infections turns the visitors too, many counties at once", async () => {
    const stores = newStores();
    await cityWith(stores, 501, 501);
    await stores.deliver("holders", [holder([2000])]);
    const rows = [HUANGPU, "310104"].map((county) => ({ factId: `infection-${county}`, county, day: "2022-06-08", count: 1 }));
    const sequence = await stores.deliver("local-infections", rows);
    expect(numbers(0, 1002).filter((n) => flagsOf(stores, n)!.join() !== "popup-1")).toEqual([]);
    expect(progressOf(stores, sequence)).toEqual({ chunksDone: 1, entriesChanged: 1002, recompute: { counties: [], residents: [], after: null }, fanOut: { subjects: 1002, done: 1002 }, isApplied: true });
  });
  test("of the city's own counties evaluates nobody: those come as findings", async () => {
    const stores = newStores();
    await stores.deliver("holders", [holder([1], [1])]);
    await stores.deliver("trips", [tripTo(CHAOYANG, 1)]);
    const rows = inboxRows("risk-areas", [publication("2022-06-08 17时", [{ province: "北京市", city: "朝阳区", county: "建外街道" }])]);
    const sequence = await stores.store("risk-areas", rows);
    await stores.apply(sequence, failingAfter(0, stores.evaluator));
    expect([flagsOf(stores, 1), entriesChanged(stores, sequence)]).toEqual([[], 0]);
    expect(stores.evidence.regions.risk(Number(CHAOYANG))?.held.length).toBe(1);
  });
  test("that changes nothing evaluates nobody", async () => {
    const stores = newStores();
    await cityWith(stores, 3, 0);
    await stores.deliver("risk-areas", [LIST]);
    const again = await stores.store("risk-areas", inboxRows("risk-areas", [LIST]));
    await stores.apply(again, failingAfter(0, stores.evaluator));
    expect(entriesChanged(stores, again)).toBe(0);
  });
});

describe("what is told of a batch", () => {
  test("entriesChanged counts documents whose answer may differ, and no others", async () => {
    const stores = newStores();
    const changed = async (feed: Feed, rows: readonly object[]): Promise<number> => entriesChanged(stores, await stores.deliver(feed, rows));
    expect(await changed("holders", [holder([1, 2, 3], [1]), holder([4])])).toBe(4);
    expect(await changed("holders", [holder([1, 2, 3], [1])])).toBe(0);
    expect(await changed("holders", [holder([1], [9])])).toBe(0);
    expect(await changed("trips", [tripTo(HUANGPU, 1)])).toBe(0);
    expect(await changed("findings", [finding(2)])).toBe(3);
    expect(await changed("findings", [finding(2)])).toBe(0);
    expect(await changed("findings", [finding(4), finding(5)])).toBe(2);
  });
  test("readers are told of each change with its instant, and of nothing when nothing changed", async () => {
    const stores = newStores();
    await stores.deliver("holders", [holder([1])]);
    stores.clock.seconds += 60;
    await stores.deliver("holders", [holder([1])]);
    await stores.deliver("findings", [finding(1)]);
    expect(stores.changes).toEqual([NOW * 1000, (NOW + 60) * 1000]);
  });
  test("when it was applied is written last, with the clock of that moment", async () => {
    const stores = newStores();
    const sequence = await stores.store("holders", inboxRows("holders", [holder([1])]));
    expect(stores.evidence.progress(sequence)).toBeUndefined();
    stores.clock.seconds += 5;
    await stores.apply(sequence);
    expect(stores.evidence.progress(sequence)?.appliedMs).toBe((NOW + 5) * 1000);
  });
});

describe("applied twice", () => {
  test("the same batch changes no byte, not even of what it was computed from", async () => {
    const stores = newStores();
    await stores.deliver("holders", [holder([1], [1])]);
    const sequence = await stores.deliver("trips", arrival(1));
    const before = [bytesOf(stores, 1), stores.evidence.progress(sequence)];
    stores.clock.seconds += 60;
    await stores.apply(sequence, failingAfter(0, stores.evaluator));
    expect([bytesOf(stores, 1), stores.evidence.progress(sequence)]).toEqual(before);
  });
  test.each<[Feed, object[]]>([
    ["holders", [holder([1, 2], [1])]],
    ["trips", [...arrival(1), tripTo(HUANGPU, 1)]],
    ["tests", [negative(1), positive(2)]],
    ["findings", [finding(1)]],
    ["local-infections", [{ factId: "infection-1", county: HUANGPU, day: "2022-06-08", count: 1 }]],
    ["risk-areas", [publication("2022-06-08 17时", [SHANGHAI_HUANGPU])]],
  ])("the rows of %s again in another batch change no byte", async (feed, rows) => {
    const stores = newStores();
    await stores.deliver("holders", [holder([1, 2], [1])]);
    await stores.deliver("trips", [tripTo(HUANGPU, 1)]);
    await stores.deliver(feed, rows);
    const before = [bytesOf(stores, 1), bytesOf(stores, 2)];
    stores.clock.seconds += 60;
    const again = await stores.deliver(feed, rows);
    expect([bytesOf(stores, 1), bytesOf(stores, 2)]).toEqual(before);
    expect(entriesChanged(stores, again)).toBe(0);
  });
  test("by two at once, it is applied once", async () => {
    const stores = newStores();
    const rows = inboxRows("holders", numbers(0, CHUNK_ROWS + 5).map((n) => holder([n])));
    const sequence = await stores.store("holders", rows);
    await Promise.all([stores.apply(sequence), stores.apply(sequence)]);
    expect(stores.entries.count()).toBe(CHUNK_ROWS + 5);
    expect(progressOf(stores, sequence).isApplied).toBe(true);
    expect(numbers(0, CHUNK_ROWS + 5).filter((n) => flagsOf(stores, n)?.length !== 0)).toEqual([]);
  });
  test.each<[string, Feed, object[]]>([
    ["rows", "holders", numbers(0, CHUNK_ROWS + 1).map((n) => holder([n]))],
    ["visitors", "risk-areas", [publication("2022-06-08 17时", [SHANGHAI_HUANGPU])]],
  ])("by one that was held up while another came to the end: it leaves the rest of the %s and the other's word", async (_, feed, rows) => {
    const stores = newStores();
    await stores.deliver("holders", numbers(0, 600).map((n) => holder([n], [n])));
    await stores.deliver("trips", numbers(0, 600).map((n) => tripTo(HUANGPU, n)));
    const sequence = await stores.store(feed, inboxRows(feed, rows));
    let goOn: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (goOn = resolve));
    const slow = stores.apply(sequence, stores.evaluator, { ...stores.evidence, flushed: () => held });
    await stores.apply(sequence);
    const before = stores.evidence.progress(sequence);
    const bytes = numbers(0, 600).map((n) => bytesOf(stores, n));
    stores.clock.seconds += 60;
    goOn();
    await slow;
    expect(stores.evidence.progress(sequence)).toEqual(before);
    expect(before?.appliedMs).toBe(NOW * 1000);
    expect(numbers(0, 600).map((n) => bytesOf(stores, n))).toEqual(bytes);
  });
});

// --- Any order ---

interface RandomBatch {
  readonly feed: Feed;
  readonly rows: readonly object[];
}
const DOCUMENTS = [1, 2, 3, 4, 5];
const PHONES = [1, 2, 3];
const COUNTIES = [HUANGPU, "310104", CHAOYANG, "110101", "320583"];

const factBase = fc.record({ factId: fc.constantFrom("f1", "f2", "f3", "f4"), revision: fc.integer({ min: 1, max: 3 }) });
const someSubject = fc.oneof(fc.constantFrom(...DOCUMENTS).map((n) => ({ document: document(n) })), fc.constantFrom(...PHONES).map((n) => ({ phone: phone(n) })));
const dayIn = (min: number, max: number): fc.Arbitrary<number> => fc.integer({ min, max }).map((d) => NOW - d * 86_400);
const tripRow = fc.tuple(factBase, someSubject, fc.constantFrom(...COUNTIES), dayIn(3, 20), fc.integer({ min: 0, max: 2 })).map(([base, subject, county, from, days]) => ({
  ...base,
  ...subject,
  ...{ county, from: formatInstant(from), to: formatInstant(from + days * 86_400) },
}));
const testRow = fc.tuple(factBase, someSubject, fc.constantFrom("negative", "positive", "invalid"), dayIn(1, 10)).map(([base, subject, result, at]) => ({
  ...base,
  ...subject,
  ...{ sampledAt: formatInstant(at), issuedAt: formatInstant(at + 3600), result, laboratory: "Laboratory A", county: CHAOYANG },
}));
const findingRow = fc.tuple(factBase, someSubject, fc.constantFrom("close-contact", "key-place", "risk-link"), dayIn(0, 5)).map(([base, subject, kind, at]) => ({
  ...base,
  ...subject,
  ...{ kind, from: formatInstant(at), authority: "x", ground: "y" },
}));
const infectionRow = fc.tuple(factBase, fc.constantFrom(...COUNTIES), fc.constantFrom("2022-06-01", "2022-06-05", "2022-06-08"), fc.integer({ min: 0, max: 2 })).map(([base, county, day, count]) => ({ ...base, county, day, count }));
const holderRow = fc.tuple(fc.subarray(DOCUMENTS, { minLength: 1, maxLength: 3 }), fc.subarray(PHONES)).map(([documents, phones]) => holder(documents, phones));
const crossingRow = fc.tuple(factBase, someSubject, dayIn(1, 20), fc.constantFrom("FRA", "MAC")).map(([base, subject, at, origin]) => ({ ...base, ...subject, at: formatInstant(at), port: "110113", origin }));
const purchaseRow = fc.tuple(factBase, someSubject, dayIn(1, 8), fc.constantFrom("fever", "cough")).map(([base, subject, at, drugClass]) => ({ ...base, ...subject, at: formatInstant(at), drugClass, county: CHAOYANG }));
const commuterRow = fc.tuple(factBase, someSubject, dayIn(0, 30)).map(([base, subject, from]) => ({ ...base, ...subject, from: formatInstant(from) }));
const reportRow = fc.tuple(factBase, someSubject, dayIn(0, 10)).map(([base, subject, at]) => ({ ...base, ...subject, at: formatInstant(at), community: "x" }));
const list = fc.tuple(fc.constantFrom("2022-06-01 08时", "2022-06-05 17时", "2022-06-09 07时"), fc.subarray([SHANGHAI_HUANGPU, SHANGHAI_XUHUI])).map(([time, places]) => [publication(time, places)]);
const some = (row: fc.Arbitrary<object>): fc.Arbitrary<object[]> => fc.array(row, { minLength: 1, maxLength: 5 });
const randomBatch: fc.Arbitrary<RandomBatch> = fc.oneof(
  some(holderRow).map((rows) => ({ feed: "holders" as const, rows })),
  some(tripRow).map((rows) => ({ feed: "trips" as const, rows })),
  some(testRow).map((rows) => ({ feed: "tests" as const, rows })),
  some(findingRow).map((rows) => ({ feed: "findings" as const, rows })),
  some(crossingRow).map((rows) => ({ feed: "crossings" as const, rows })),
  some(purchaseRow).map((rows) => ({ feed: "purchases" as const, rows })),
  some(commuterRow).map((rows) => ({ feed: "commuters" as const, rows })),
  some(reportRow).map((rows) => ({ feed: "reports" as const, rows })),
  some(infectionRow).map((rows) => ({ feed: "local-infections" as const, rows })),
  list.map((rows) => ({ feed: "risk-areas" as const, rows })),
);
/** Every run opens stores of its own and waits for a real disk. */
const PROPERTY_MS_MAX = 300_000;
const randomBatches = fc.array(randomBatch, { minLength: 2, maxLength: 7 });

/** What the gates would see after these batches, in this order. Their rows may say one fact of several subjects, and merge holders as they like. */
async function outcomeOf(batches: readonly RandomBatch[], apply: (stores: Stores, sequence: number) => Promise<void> = (stores, sequence) => stores.apply(sequence)): Promise<(string | undefined)[]> {
  const stores = openStores(temporaryFolder());
  try {
    for (const { feed, rows } of batches) await apply(stores, await stores.store(feed, inboxRows(feed, rows)));
    return contents(stores, DOCUMENTS);
  } finally {
    await stores.close();
  }
}

describe("a row or holder at fault", () => {
  /** An evaluator that can't take a holder with a finding of this authority. */
  const poisonedBy = (authority: string, evaluator: Evaluator): Evaluator => ({
    pack: evaluator.pack,
    reach: (changes) => evaluator.reach(changes),
    evaluate(evidence) {
      if (evidence.facts.some((fact) => fact.kind === "finding" && fact.authority === authority)) throw new Error(`can't evaluate ${residentId(7)}`);
      return evaluator.evaluate(evidence);
    },
  });
  const bad = (n: number): object => ({ ...finding(n), authority: "Poison" });
  const failureOf = (stores: Stores, sequence: number): unknown => stores.evidence.progress(sequence)?.failure;

  test("harms no other of its batch: they are applied by the first attempt; the batch is tried five times and then dead, its reason without numbers", async () => {
    const stores = newStores();
    const sequence = await stores.store("findings", inboxRows("findings", [finding(1), bad(2), finding(3)]));
    const poisoned = poisonedBy("Poison", stores.evaluator);
    await expect(stores.apply(sequence, poisoned)).rejects.toThrow("1 could not be applied");
    expect([1, 2, 3].map((n) => flagsOf(stores, n))).toEqual([["central", "unconfirmed"], undefined, ["central", "unconfirmed"]]);
    // What stands in the entries follows from what stands in the evidence, also for whom was left out.
    expect(stores.evidence.holder(keyOfDocument(2)).evidence.facts).toEqual([]);
    for (let attempt = 2; attempt <= ATTEMPTS_MAX; attempt++) {
      expect(failureOf(stores, sequence)).toMatchObject({ attempts: attempt - 1, isDead: false });
      await expect(stores.apply(sequence, poisoned)).rejects.toThrow();
    }
    expect(failureOf(stores, sequence)).toEqual({ attempts: ATTEMPTS_MAX, atMs: NOW * 1000, isDead: true, reason: expect.stringMatching(/^1 could not be applied; the last: row [012] of chunk 0: can't evaluate \(may be a number\)$/) as string });
    // Left alone, even when it could be applied by now.
    await stores.apply(sequence);
    expect([flagsOf(stores, 2), stores.evidence.progress(sequence)?.appliedMs]).toEqual([undefined, null]);
    expect(stores.inbox.chunk(sequence, 0).length).toBe(3);
  });
  test("harms no other batch, neither before nor after it", async () => {
    const stores = newStores();
    const dead = await stores.store("findings", inboxRows("findings", [bad(1)]));
    const later = await stores.store("findings", inboxRows("findings", [finding(2)]));
    const poisoned = poisonedBy("Poison", stores.evaluator);
    await Promise.allSettled([stores.apply(dead, poisoned), stores.apply(later, poisoned)]);
    expect([flagsOf(stores, 1), flagsOf(stores, 2)]).toEqual([undefined, ["central", "unconfirmed"]]);
  });
  test("replayed by an operator's decision it is tried again and applied, its counts as if it had been at once", async () => {
    const [stores, calm] = [newStores(), newStores()];
    const rows = inboxRows("findings", [...numbers(0, CHUNK_ROWS).map((n) => finding(n)), bad(CHUNK_ROWS), ...numbers(CHUNK_ROWS + 1, 9).map((n) => finding(n))]);
    const [sequence, calmly] = [await stores.store("findings", rows), await calm.store("findings", rows)];
    await calm.apply(calmly);
    for (let i = 0; i < ATTEMPTS_MAX; i++) await expect(stores.apply(sequence, poisonedBy("Poison", stores.evaluator))).rejects.toThrow();
    expect(flagsOf(stores, CHUNK_ROWS + 9)).toEqual(["central", "unconfirmed"]);
    const decision = { action: "replay", change: sequence, authority: "operator", ground: "mended" };
    await stores.deliver("decisions", [decision]);
    expect(failureOf(stores, sequence)).toMatchObject({ attempts: 0, isDead: false });
    await stores.apply(sequence);
    expect(progressOf(stores, sequence)).toEqual(progressOf(calm, calmly));
    const people = numbers(0, CHUNK_ROWS + 10);
    expect(contents(stores, people)).toEqual(contents(calm, people));
    // Twice, or of one that isn't dead, it does nothing and says so.
    const again = await stores.deliver("decisions", [decision]);
    expect(stores.evidence.progress(again)?.undone).toEqual([`nothing to try again: batch ${sequence} is not dead`]);
  });
  test("a chunk that the disk has lost is left out, the others are applied", async () => {
    const folder = temporaryFolder();
    const stores = openStores(folder);
    opened.push(stores);
    const sequence = await stores.store("findings", inboxRows("findings", numbers(0, 2 * CHUNK_ROWS + 1).map((n) => finding(n))));
    const disk = open({ path: join(folder, "inbox"), mapSize: 2 ** 30 });
    const rows: Database<Uint8Array, [number, number]> = disk.openDB({ name: "rows", encoding: "binary" });
    const bytes = Uint8Array.from(rows.get([sequence, 1])!);
    rows.removeSync([sequence, 1]);
    await expect(stores.apply(sequence)).rejects.toThrow("chunk 1 can't be read: the inbox has lost chunk 1 of batch");
    expect([flagsOf(stores, 0), flagsOf(stores, CHUNK_ROWS), flagsOf(stores, 2 * CHUNK_ROWS)]).toEqual([["central", "unconfirmed"], undefined, ["central", "unconfirmed"]]);
    rows.putSync([sequence, 1], bytes);
    await stores.apply(sequence);
    expect(flagsOf(stores, CHUNK_ROWS)).toEqual(["central", "unconfirmed"]);
    expect(progressOf(stores, sequence)).toMatchObject({ chunksDone: 3, entriesChanged: 2 * CHUNK_ROWS + 1, isApplied: true });
  });
  test("nobody's fault, such as a full disk, is not counted", async () => {
    const stores = newStores();
    const sequence = await stores.store("findings", inboxRows("findings", [finding(1)]));
    const full: Evaluator = {
      ...poisonedBy("", stores.evaluator),
      evaluate() {
        throw new Error("No space left on device");
      },
    };
    for (let i = 0; i <= ATTEMPTS_MAX; i++) await expect(stores.apply(sequence, full)).rejects.toThrow("No space");
    expect(stores.evidence.progress(sequence)).toBeUndefined();
    await stores.apply(sequence);
    expect(flagsOf(stores, 1)).toEqual(["central", "unconfirmed"]);
  });
  test("among the visitors of a county keeps none of the others from being evaluated anew; later it is", async () => {
    const stores = newStores();
    const visitors = numbers(0, 700);
    await stores.deliver("holders", visitors.map((n) => holder([n], [n])));
    await stores.deliver("trips", visitors.map((n) => tripTo(HUANGPU, n)));
    const list = await stores.store("risk-areas", inboxRows("risk-areas", [publication("2022-06-08 17时", [SHANGHAI_HUANGPU])]));
    // Measured while all was well; then, before its visitors are evaluated, one of them is at fault.
    stores.isStopping = () => (stores.evidence.progress(list)?.recompute.counties.length ?? 0) > 0;
    await expect(stores.apply(list)).rejects.toThrow(StoppedError);
    stores.isStopping = () => false;
    const [row] = inboxRows("findings", [{ ...bad(5), kind: "key-place" }]);
    if (row?.type === "fact") stores.evidence.transaction(() => stores.evidence.putFact(row.subject, row.factKey, row.fact));
    await expect(stores.apply(list, poisonedBy("Poison", stores.evaluator))).rejects.toThrow("a holder");
    expect(visitors.filter((n) => !flagsOf(stores, n)!.includes("popup-1"))).toEqual([5]);
    expect(stores.evidence.progress(list)).toMatchObject({ fanOut: { subjects: 700, done: 700 }, failure: { attempts: 1 } });
    await stores.apply(list);
    expect(visitors.filter((n) => !flagsOf(stores, n)!.includes("popup-1"))).toEqual([]);
    expect(entriesChanged(stores, list)).toBe(700);
  });
  test("keeps nobody else from the rules that are put in force", async () => {
    const stores = newStores();
    await stores.deliver("holders", numbers(0, 9).map((n) => holder([n])));
    await stores.deliver("findings", [...numbers(0, 8).map((n) => finding(n)), bad(8)]);
    const rules = createEvaluator(parsePack(beijingPackText().replace("        close-contact: central\n", ""), "pack"), stores.evidence.regions);
    await expect(stores.reevaluateAll(poisonedBy("Poison", rules))).rejects.toThrow("1 could not be applied");
    expect(numbers(0, 9).filter((n) => flagsOf(stores, n)!.length > 0)).toEqual([8]);
  });
});

describe("two workers on one store", () => {
  /** Another worker's own handles and memory on the same files. */
  async function twins(): Promise<[Stores, Stores]> {
    const folder = temporaryFolder();
    const one = openStores(folder);
    opened.push(one);
    await one.deliver("holders", numbers(0, 3).map((n) => holder([n], [n])));
    const other = openStores(folder);
    opened.push(other);
    return [one, other];
  }
  test("one that was held up after its first chunk puts nothing older over what the other has put since", async () => {
    const [one, other] = await twins();
    const rows = inboxRows("findings", [...numbers(0, CHUNK_ROWS).map((n) => finding(n)), finding(0, "key-place")]);
    const sequence = await one.store("findings", rows);
    let goOn: () => void = () => undefined;
    let hasBegun: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (goOn = resolve));
    const begun = new Promise<void>((resolve) => (hasBegun = resolve));
    const slow = one.apply(sequence, undefined, {
      ...one.evidence,
      flushed() {
        hasBegun();
        return held;
      },
    });
    await begun;
    // The other one ends the batch, and then applies what frees the same holders.
    await other.apply(sequence);
    await other.deliver("findings", numbers(0, 3).map((n) => ({ ...finding(n), revision: 2, to: "2022-06-08" })));
    const before = numbers(0, 3).map((n) => bytesOf(other, n));
    expect(flagsOf(other, 1)).toEqual([]);
    goOn();
    await slow;
    expect(numbers(0, 3).map((n) => bytesOf(one, n))).toEqual(before);
  });
  test("both in the middle of the same batches, whatever each comes to first, leave what one alone leaves", async () => {
    const [one, other] = await twins();
    const calm = newStores();
    await calm.deliver("holders", numbers(0, 3).map((n) => holder([n], [n])));
    const batches: [Feed, object[]][] = [
      ["trips", numbers(0, 3).flatMap((n) => arrival(n))],
      ["risk-areas", [publication("2022-06-08 17时", [SHANGHAI_HUANGPU])]],
      ["findings", numbers(0, 2 * CHUNK_ROWS).map((n) => finding(n % 3, "key-place"))],
      ["tests", [negative(0), positive(1), { ...positive(1), revision: 2, result: "negative" }]],
      ["trips", [tripTo(HUANGPU, 0), { ...tripTo(HUANGPU, 0), revision: 2, county: CHAOYANG }, tripTo(HUANGPU, 2)]],
    ];
    const sequences: number[] = [];
    for (const [feed, rows] of batches) {
      sequences.push(await one.store(feed, inboxRows(feed, rows)));
      await calm.deliver(feed, rows);
    }
    await Promise.all([...sequences.map((sequence) => one.apply(sequence)), ...sequences.toReversed().map((sequence) => other.apply(sequence))]);
    expect(contents(one, [0, 1, 2])).toEqual(contents(calm, [0, 1, 2]));
    expect(sequences.map((sequence) => progressOf(other, sequence).isApplied)).toEqual(sequences.map(() => true));
  });
});

describe("turns", () => {
  test("a test that comes while thousands are evaluated anew is applied in between", async () => {
    const stores = newStores();
    const visitors = numbers(0, 3000);
    await stores.deliver("holders", visitors.map((n) => holder([n], [n])));
    await stores.deliver("trips", visitors.map((n) => tripTo(HUANGPU, n)));
    const list = await stores.store("risk-areas", inboxRows("risk-areas", [publication("2022-06-08 17时", [SHANGHAI_HUANGPU])]));
    const result = await stores.store("tests", inboxRows("tests", [negative(1)]));
    let done: number | undefined;
    // Asked before each step: at the first of the evaluation anew the test comes.
    stores.isStopping = () => {
      if (done === undefined && (stores.evidence.progress(list)?.recompute.counties.length ?? 0) > 0) {
        done = -1;
        void stores.apply(result).then(() => (done = stores.evidence.progress(list)?.fanOut?.done));
      }
      return false;
    };
    await stores.apply(list);
    expect(done).toBeGreaterThanOrEqual(0);
    expect(done).toBeLessThanOrEqual(1000);
  });
});

describe("in any order", () => {
  test("two batches leave the same bytes, but for what they were computed from", async () => {
    await fc.assert(
      fc.asyncProperty(randomBatch, randomBatch, async (a, b) => {
        expect(await outcomeOf([b, a])).toEqual(await outcomeOf([a, b]));
      }),
      { numRuns: 15 },
    );
  }, PROPERTY_MS_MAX);
  test("many batches leave the same bytes, some of them twice", async () => {
    await fc.assert(
      fc.asyncProperty(randomBatches, fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 14, maxLength: 14 }), fc.integer({ min: 0, max: 6 }), async (batches, tags, again) => {
        const other = shuffled([...batches, ...batches.slice(again)], tags);
        expect(await outcomeOf(other)).toEqual(await outcomeOf(batches));
      }),
      { numRuns: 15 },
    );
  }, PROPERTY_MS_MAX);
});

// --- Cut off ---

/** Applies, giving up after so many evaluations, and then goes on with a sound evaluator. @returns whether it gave up. */
async function applyCutOff(stores: Stores, sequence: number, calls: number): Promise<boolean> {
  const failed = await stores.apply(sequence, failingAfter(calls, stores.evaluator)).then(
    () => false,
    () => true,
  );
  await stores.apply(sequence);
  return failed;
}

describe("a batch that was cut off", () => {
  const people = numbers(0, CHUNK_ROWS + 200);

  test.each([0, 1, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 100])("after %i evaluations of two chunks goes on to the same end", async (calls) => {
    const [disturbed, calm] = [newStores(), newStores()];
    const rows = inboxRows("holders", people.map((n) => holder([n])));
    const [a, b] = [await disturbed.store("holders", rows), await calm.store("holders", rows)];
    expect(await applyCutOff(disturbed, a, calls)).toBe(true);
    await calm.apply(b);
    expect(contents(disturbed, people)).toEqual(contents(calm, people));
    expect(progressOf(disturbed, a)).toEqual(progressOf(calm, b));
    expect(progressOf(disturbed, a)).toEqual({ chunksDone: 2, entriesChanged: people.length, recompute: { counties: [], after: null }, isApplied: true });
  });
  test("leaves no fact and no entry of the chunk that failed, and all of those before", async () => {
    const stores = newStores();
    const sequence = await stores.store("findings", inboxRows("findings", people.map((n) => finding(n))));
    await expect(stores.apply(sequence, failingAfter(CHUNK_ROWS + 100, stores.evaluator))).rejects.toThrow("gave up");
    expect(stores.entries.count()).toBe(CHUNK_ROWS);
    const withFacts = people.filter((n) => stores.evidence.holder(keyOfDocument(n)).evidence.facts.length > 0);
    expect(withFacts).toEqual(people.slice(0, CHUNK_ROWS));
    expect(stores.evidence.progress(sequence)).toMatchObject({ appliedMs: null });
    await stores.apply(sequence);
    expect(stores.entries.count()).toBe(people.length);
  });
  test("leaves no holder of the chunk that failed", async () => {
    const stores = newStores();
    const sequence = await stores.store("holders", inboxRows("holders", [holder([1, 2], [1])]));
    await expect(stores.apply(sequence, failingAfter(0, stores.evaluator))).rejects.toThrow("gave up");
    expect(stores.evidence.holder(keyOfDocument(1))).toMatchObject({ documents: [keyOfDocument(1)], evidence: { registered: false } });
    expect(stores.evidence.holdersOf(keyOfDocument(2))).toEqual([keyOfDocument(2)]);
  });
  test("leaves nothing of regions when measuring them failed, in memory neither", async () => {
    const stores = newStores();
    await stores.deliver("holders", [holder([1], [1])]);
    await stores.deliver("trips", [tripTo(HUANGPU, 1)]);
    const sequence = await stores.store("risk-areas", inboxRows("risk-areas", [publication("2022-06-08 17时", [SHANGHAI_HUANGPU])]));
    await expect(stores.apply(sequence, failingAfter(0, stores.evaluator))).rejects.toThrow("gave up");
    expect(stores.evidence.regions.risk(310_101)).toBeUndefined();
    expect(stores.evidence.change(sequence)).toBeUndefined();
    expect(flagsOf(stores, 1)).toEqual([]);
    await stores.apply(sequence);
    expect(stores.evidence.regions.risk(310_101)?.held.length).toBe(1);
    expect(flagsOf(stores, 1)).toEqual(["popup-1"]);
  });
  test.each([0, 1, 499, 500, 501, 700])("after %i of 701 visitors of two counties goes on to the same end", async (calls) => {
    const [disturbed, calm] = [newStores(), newStores()];
    const visitors = numbers(0, 701);
    const sequences: number[] = [];
    for (const stores of [disturbed, calm]) {
      await stores.deliver("holders", visitors.map((n) => holder([n], [n])));
      await stores.deliver("trips", visitors.map((n) => tripTo(n < 600 ? HUANGPU : "310104", n)));
      sequences.push(await stores.store("risk-areas", inboxRows("risk-areas", [publication("2022-06-08 17时", [SHANGHAI_HUANGPU, SHANGHAI_XUHUI])])));
    }
    expect(await applyCutOff(disturbed, sequences[0]!, calls)).toBe(true);
    await calm.apply(sequences[1]!);
    expect(visitors.filter((n) => flagsOf(disturbed, n)!.join() !== "popup-1")).toEqual([]);
    expect(contents(disturbed, visitors)).toEqual(contents(calm, visitors));
    expect(progressOf(disturbed, sequences[0]!)).toEqual(progressOf(calm, sequences[1]!));
  });
  test("goes on after the stores were closed and opened anew", async () => {
    const folder = temporaryFolder();
    const first = openStores(folder);
    const sequence = await first.store("holders", inboxRows("holders", people.map((n) => holder([n]))));
    await expect(first.apply(sequence, failingAfter(CHUNK_ROWS + 1, first.evaluator))).rejects.toThrow("gave up");
    await first.close();
    const again = openStores(folder);
    opened.push(again);
    expect(again.entries.count()).toBe(CHUNK_ROWS);
    await again.apply(sequence);
    expect(again.entries.count()).toBe(people.length);
    expect(progressOf(again, sequence)).toMatchObject({ chunksDone: 2, entriesChanged: people.length, isApplied: true });
  });
  test("anywhere in any batches leaves what undisturbed ones leave", async () => {
    await fc.assert(
      fc.asyncProperty(randomBatches, fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 7, maxLength: 7 }), async (batches, calls) => {
        const disturbed = await outcomeOf(batches, async (stores, sequence) => {
          await applyCutOff(stores, sequence, calls[sequence % calls.length]!);
        });
        expect(disturbed).toEqual(await outcomeOf(batches));
      }),
      { numRuns: 15 },
    );
  }, PROPERTY_MS_MAX);
  test("by a stop keeps the steps that are done and goes on with the next", async () => {
    const stores = newStores();
    const sequence = await stores.store("holders", inboxRows("holders", people.map((n) => holder([n]))));
    stores.isStopping = () => true;
    await expect(stores.apply(sequence)).rejects.toThrow(StoppedError);
    expect(stores.entries.count()).toBe(0);
    stores.isStopping = () => stores.entries.count() > 0;
    await expect(stores.apply(sequence)).rejects.toThrow(StoppedError);
    expect(stores.entries.count()).toBe(CHUNK_ROWS);
    stores.isStopping = () => false;
    await stores.apply(sequence);
    expect(progressOf(stores, sequence)).toEqual({ chunksDone: 2, entriesChanged: people.length, recompute: { counties: [], after: null }, isApplied: true });
  });
  test("by a stop between two pages of visitors turns the rest later", async () => {
    const stores = newStores();
    const visitors = numbers(0, 701);
    await stores.deliver("holders", visitors.map((n) => holder([n], [n])));
    await stores.deliver("trips", visitors.map((n) => tripTo(HUANGPU, n)));
    const sequence = await stores.store("risk-areas", inboxRows("risk-areas", [publication("2022-06-08 17时", [SHANGHAI_HUANGPU])]));
    const turned = (): number => visitors.filter((n) => flagsOf(stores, n)!.join() === "popup-1").length;
    stores.isStopping = () => turned() > 0;
    await expect(stores.apply(sequence)).rejects.toThrow(StoppedError);
    expect(turned()).toBe(500);
    stores.isStopping = () => false;
    await stores.apply(sequence);
    expect([turned(), entriesChanged(stores, sequence)]).toEqual([701, 701]);
  });
  test("among those who were gathered goes on behind the last holder that is on disk, and does not skip any other", async () => {
    const stores = newStores();
    const visitors = numbers(0, 9);
    await stores.deliver("holders", visitors.map((n) => holder([n], [n])));
    await stores.deliver("trips", visitors.map((n) => tripTo(HUANGPU, n)));
    const sequence = await stores.store("risk-areas", inboxRows("risk-areas", [publication("2022-06-08 17时", [SHANGHAI_HUANGPU])]));
    stores.isStopping = () => stores.evidence.change(sequence) !== undefined;
    await expect(stores.apply(sequence)).rejects.toThrow(StoppedError);
    stores.isStopping = () => false;
    const keys = visitors.map((n) => keyOfDocument(n)).sort((a, b) => Buffer.compare(a, b));
    const left = stores.evidence.progress(sequence)!;
    stores.evidence.transaction(() => stores.evidence.putProgress(sequence, { ...left, chunksDone: 1, recompute: { ...left.recompute, within: keys[3]! } }));
    await stores.apply(sequence);
    const turned = visitors.filter((n) => flagsOf(stores, n)!.join() === "popup-1").map((n) => Buffer.from(keyOfDocument(n)).toString("hex"));
    expect(turned.sort()).toEqual(keys.slice(4).map((key) => Buffer.from(key).toString("hex")));
    expect(progressOf(stores, sequence)).toMatchObject({ entriesChanged: 5, isApplied: true });
  });
  test("by another batch in between: the older one does not put old verdicts over the newer", async () => {
    const stores = newStores();
    const older = await stores.store("findings", inboxRows("findings", [finding(1)]));
    await expect(stores.apply(older, failingAfter(0, stores.evaluator))).rejects.toThrow("gave up");
    await stores.deliver("findings", [{ ...finding(1), revision: 2, kind: "key-place" }]);
    await stores.apply(older);
    expect(flagsOf(stores, 1)).toEqual(["home", "unconfirmed"]);
  });
});

describe("new rules", () => {
  /** Rules under which findings raise nothing. */
  const otherRules = (stores: Stores): Evaluator => createEvaluator({ ...pack, fingerprint: "others", spans: { ...pack.spans, findings: [] } }, stores.evidence.regions);
  const people = numbers(0, 1001);

  test.each([0, 1, 499, 500, 501, 1001])("reach every one of %i entries, and only once", async (count) => {
    const stores = newStores();
    if (count > 0) await stores.deliver("holders", people.slice(0, count).map((n) => holder([n])));
    if (count > 0) await stores.deliver("findings", people.slice(0, count).map((n) => finding(n)));
    const rules = otherRules(stores);
    expect(await stores.reevaluateAll(rules)).toBe(count);
    expect(people.slice(0, count).filter((n) => flagsOf(stores, n)!.length > 0)).toEqual([]);
    expect(await stores.reevaluateAll(failingAfter(0, rules))).toBe(0);
  });
  test("leave alone what they don't change, but for the pack that it holds under", async () => {
    const stores = newStores();
    await stores.deliver("holders", [holder([1]), holder([2])]);
    await stores.deliver("findings", [finding(1)]);
    const before = contents(stores, [2]);
    expect(await stores.reevaluateAll(otherRules(stores))).toBe(1);
    expect([contents(stores, [2]), entryOf(stores, 2)?.policyId]).toEqual([before, 2]);
  });
  test("reach every document of a holder", async () => {
    const stores = newStores();
    await stores.deliver("holders", [holder([1, 2, 3])]);
    await stores.deliver("findings", [finding(2)]);
    expect(await stores.reevaluateAll(otherRules(stores))).toBe(3);
    expect([1, 2, 3].map((n) => flagsOf(stores, n))).toEqual([[], [], []]);
  });
  test("that a stop or a fault cut off begin again, and reach the rest", async () => {
    const stores = newStores();
    await stores.deliver("holders", people.map((n) => holder([n])));
    await stores.deliver("findings", people.map((n) => finding(n)));
    const rules = otherRules(stores);
    await expect(stores.reevaluateAll(failingAfter(600, rules))).rejects.toThrow("gave up");
    const left = (): number => people.filter((n) => flagsOf(stores, n)!.length > 0).length;
    expect(left()).toBe(501);
    let steps = 0;
    stores.isStopping = () => steps++ > 1;
    await expect(stores.reevaluateAll(rules)).rejects.toThrow(StoppedError);
    expect(left()).toBe(1);
    stores.isStopping = () => false;
    expect(await stores.reevaluateAll(rules)).toBe(1);
    expect(left()).toBe(0);
  });
});
