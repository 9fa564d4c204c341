// Changes that can hit a crowd: held beyond limits, measured before, decided by an operator, taken back.

import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { document, inboxRows, instant, keyOfDocument, keyring, NOW, openStores, phone, publication, SHANGHAI_HUANGPU, SHANGHAI_XUHUI, type Stores } from "../../test/ingestSupport.ts";
import { temporaryFolder } from "../../test/support.ts";
import { FLAGS, type Flag, type Instant } from "../domain/index.ts";
import { decodeEntry, policyIdOf, readEntryAt, type EntryState } from "../entry/index.ts";
import type { BlastLimits, ChangeRecord } from "../evidence/index.ts";
import { beijingPackText } from "../policy/index.ts";
import { readBatch } from "./batch.ts";
import type { BlastReport } from "./blastRadius.ts";
import type { InboxRow } from "./facts.ts";

const HUANGPU = "310101";
const LIMITS: BlastLimits = { gainShareMax: 0.3, lossShareMax: 0.3, crowdHolders: 10 };
const opened: Stores[] = [];
afterEach(async () => {
  for (const stores of opened.splice(0)) await stores.close();
});
function newStores(limits: BlastLimits = LIMITS, folder = join(temporaryFolder(), "stores")): Stores {
  const stores = openStores(folder, limits);
  opened.push(stores);
  return stores;
}
function flagsOf(stores: Stores, n: number, at: Instant = stores.clock.seconds): Flag[] {
  const record = stores.entries.get(keyOfDocument(n))!;
  expect(typeof decodeEntry(record)).toBe("object");
  const state: EntryState = { flags: 0, incomplete: false, shownDay: null, issuedAt: 0 };
  readEntryAt(record, 0, at, state);
  return FLAGS.filter((_, i) => (state.flags & (1 << i)) !== 0);
}
const numbers = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);

/** Holders 0 to `visitors` - 1 were in Huangpu lately, `others` more nowhere. */
async function cityWith(stores: Stores, visitors: number, others: number): Promise<void> {
  await stores.deliver("holders", numbers(0, visitors + others).map((n) => ({ documents: [document(n)], phones: [phone(n)] })));
  await stores.deliver("trips", numbers(0, visitors).map((n) => ({ factId: `trip-${n}`, phone: phone(n), county: HUANGPU, from: "2022-06-01", to: "2022-06-05" })));
}
const bound = (stores: Stores, count: number): number => numbers(0, count).filter((n) => flagsOf(stores, n).includes("popup-1")).length;
const changeOf = (stores: Stores, sequence: number): ChangeRecord => stores.evidence.change(sequence)!;
const decide = (stores: Stores, action: string, change?: number): Promise<number> => stores.deliver("decisions", [{ action, ...(change === undefined ? {} : { change }), authority: "Duty officer", ground: "looked at it" }]);
/** Why a batch of decisions did nothing. */
const ROLL_BACK = { action: "roll-back", authority: "Duty officer", ground: "looked at it" };
const undone = (stores: Stores, sequence: number): string => (stores.evidence.progress(sequence)!.undone ?? []).join();
const states = (stores: Stores, ...sequences: number[]): (string | undefined)[] => sequences.map((n) => stores.evidence.change(n)?.state);
const listAt = (time: string, places = [SHANGHAI_HUANGPU]): object => publication(time, places);

describe("a risk list", () => {
  test("that would bind more than the limit's share is held, one at the limit isn't", async () => {
    for (const [visitors, isHeld] of [[30, false], [31, true]] as const) {
      const stores = newStores();
      await cityWith(stores, visitors, 100 - visitors);
      const sequence = await stores.deliver("risk-areas", [listAt("2022-06-09 06时")]);
      expect(bound(stores, visitors)).toBe(isHeld ? 0 : visitors);
      const { state, report, reasons } = changeOf(stores, sequence);
      expect(state).toBe(isHeld ? "held" : "applied");
      expect(reasons.join()).toBe(isHeld ? "31 of 100 holders (31.0 %) would get popup-1, the limit is 30.0 %" : "");
      expect(report).toMatchObject({ holders: 100, flags: { "popup-1": { gains: visitors, losses: 0, byCounty: { [HUANGPU]: { gains: visitors, losses: 0 } } } } });
    }
  });
  test("that hits fewer than a crowd is never held for its share", async () => {
    const stores = newStores();
    await cityWith(stores, 9, 0);
    const sequence = await stores.deliver("risk-areas", [listAt("2022-06-09 06时")]);
    expect([changeOf(stores, sequence).state, bound(stores, 9)]).toEqual(["applied", 9]);
  });
  test("counts under ten are not told", async () => {
    const stores = newStores();
    await cityWith(stores, 9, 91);
    const sequence = await stores.deliver("risk-areas", [listAt("2022-06-09 06时")]);
    expect((changeOf(stores, sequence).report as BlastReport).flags["popup-1"]).toEqual({ gains: null, losses: 0, byCounty: { [HUANGPU]: { gains: null, losses: 0 } } });
  });
  test("that is held takes effect when an operator releases it, and says who did", async () => {
    const stores = newStores();
    await cityWith(stores, 40, 60);
    const sequence = await stores.deliver("risk-areas", [listAt("2022-06-09 06时")]);
    expect(bound(stores, 40)).toBe(0);
    await decide(stores, "release", sequence);
    expect(bound(stores, 40)).toBe(40);
    expect(changeOf(stores, sequence)).toMatchObject({ state: "applied", decisions: [{ action: "release", authority: "Duty officer", ground: "looked at it", at: NOW }] });
  });
  test("that is held and rejected never takes effect, not even when a like one follows within the limit of agreement", async () => {
    const stores = newStores();
    await cityWith(stores, 40, 60);
    const sequence = await stores.deliver("risk-areas", [listAt("2022-06-09 05时")]);
    await decide(stores, "reject", sequence);
    expect([changeOf(stores, sequence).state, bound(stores, 40)]).toEqual(["rejected", 0]);
    const next = await stores.deliver("risk-areas", [listAt("2022-06-09 06时")]);
    expect([changeOf(stores, next).state, bound(stores, 40)]).toEqual(["held", 0]);
  });
  test("that binds a crowd is not confirmed by a second one: an operator has to look", async () => {
    const stores = newStores();
    await cityWith(stores, 40, 60);
    await stores.deliver("risk-areas", [listAt("2022-06-09 05时")]);
    await stores.deliver("risk-areas", [listAt("2022-06-09 06时")]);
    expect(bound(stores, 40)).toBe(0);
  });
  test("that is in force can be taken back: the state before comes again", async () => {
    const stores = newStores();
    await cityWith(stores, 10, 90);
    const sequence = await stores.deliver("risk-areas", [listAt("2022-06-09 06时")]);
    expect(bound(stores, 10)).toBe(10);
    await decide(stores, "reject", sequence);
    expect([bound(stores, 10), changeOf(stores, sequence).state]).toEqual([0, "rejected"]);
  });
  test("that may be cut off frees nobody; the whole one after it takes its place by itself", async () => {
    const stores = newStores();
    await cityWith(stores, 20, 80);
    await stores.deliver("risk-areas", [listAt("2022-06-09 04时", [SHANGHAI_HUANGPU, SHANGHAI_XUHUI])]);
    expect(bound(stores, 20)).toBe(20);
    const cut = await stores.deliver("risk-areas", [listAt("2022-06-09 05时", [SHANGHAI_XUHUI])]);
    expect([bound(stores, 20), changeOf(stores, cut).state]).toEqual([20, "held"]);
    expect(changeOf(stores, cut).reasons.length).toBeGreaterThan(0);
    // What it would do is measured all the same.
    expect(changeOf(stores, cut).report).toMatchObject({ flags: { "popup-1": { losses: 20 } } });
    await stores.deliver("risk-areas", [listAt("2022-06-09 06时", [SHANGHAI_HUANGPU, SHANGHAI_XUHUI])]);
    expect([bound(stores, 20), changeOf(stores, cut).state]).toEqual([20, "superseded"]);
  });
  test("that may be cut off takes effect with the next one that agrees", async () => {
    const stores = newStores();
    await cityWith(stores, 20, 80);
    await stores.deliver("risk-areas", [listAt("2022-06-09 04时", [SHANGHAI_HUANGPU, SHANGHAI_XUHUI])]);
    await stores.deliver("risk-areas", [listAt("2022-06-09 05时", [SHANGHAI_XUHUI])]);
    await stores.deliver("risk-areas", [listAt("2022-06-09 06时", [SHANGHAI_XUHUI])]);
    expect(bound(stores, 20)).toBe(0);
  });
  test("that was overtaken and whose successor is rejected says that it is held again, and can be released", async () => {
    const places = [SHANGHAI_HUANGPU, SHANGHAI_XUHUI, { province: "广东省", city: "广州市", county: "天河区" }, { province: "江苏省", city: "苏州市", county: "昆山市" }];
    const stores = newStores();
    await cityWith(stores, 20, 80);
    await stores.deliver("risk-areas", [listAt("2022-06-09 03时", places)]);
    const cut = await stores.deliver("risk-areas", [listAt("2022-06-09 04时", places.slice(1))]);
    const like = await stores.deliver("risk-areas", [listAt("2022-06-09 05时", places.slice(1))]);
    expect([cut, like].map((n) => changeOf(stores, n).state)).toEqual(["superseded", "applied"]);
    expect(bound(stores, 20)).toBe(0);
    await decide(stores, "reject", like);
    expect([cut, like].map((n) => changeOf(stores, n).state)).toEqual(["held", "rejected"]);
    expect([bound(stores, 20), stores.evidence.heldChanges()]).toEqual([20, 1]);
    await decide(stores, "release", cut);
    expect([bound(stores, 20), stores.evidence.heldChanges()]).toEqual([0, 0]);
  });
  test("that lost a province is held, and its reason names it", async () => {
    const stores = newStores();
    await stores.deliver("risk-areas", [listAt("2022-06-09 04时", [SHANGHAI_HUANGPU, SHANGHAI_XUHUI, { province: "广东省", city: "广州市", county: "天河区" }])]);
    const cut = await stores.deliver("risk-areas", [listAt("2022-06-09 05时", [SHANGHAI_HUANGPU, SHANGHAI_XUHUI])]);
    expect(changeOf(stores, cut).reasons.join()).toContain("all 1 areas of province 44 (广东省) are missing");
  });
  test("with the update time of a longer one is superseded, and takes effect when that one is rejected", async () => {
    const stores = newStores();
    const longer = await stores.deliver("risk-areas", [listAt("2022-06-09 06时", [SHANGHAI_HUANGPU, SHANGHAI_XUHUI])]);
    const shorter = await stores.deliver("risk-areas", [listAt("2022-06-09 06时", [SHANGHAI_XUHUI])]);
    expect(states(stores, longer, shorter)).toEqual(["applied", "superseded"]);
    await decide(stores, "reject", longer);
    expect(states(stores, longer, shorter)).toEqual(["rejected", "applied"]);
  });
  test("that is rejected is not rejected a second time, nor is one in force released", async () => {
    const stores = newStores();
    const sequence = await stores.deliver("risk-areas", [listAt("2022-06-09 06时")]);
    expect(undone(stores, await decide(stores, "release", sequence))).toContain(`nothing to do: change ${sequence} is applied already`);
    expect(undone(stores, await decide(stores, "reject", sequence))).toBe("");
    expect(undone(stores, await decide(stores, "reject", sequence))).toContain(`nothing to do: change ${sequence} is rejected already`);
    expect(changeOf(stores, sequence).decisions.map((d) => d.action)).toEqual(["reject"]);
    expect(undone(stores, await decide(stores, "reject", 999))).toBe("there is no change 999");
  });
  test("that would by now bind many more than was shown stays held when it is released, and shows it; released once more it takes effect", async () => {
    const stores = newStores();
    await cityWith(stores, 40, 160);
    const sequence = await stores.deliver("risk-areas", [listAt("2022-06-09 06时")]);
    expect(changeOf(stores, sequence).state).toBe("applied");
    const held = await stores.deliver("risk-areas", [listAt("2022-06-09 07时", [SHANGHAI_XUHUI])]);
    expect(changeOf(stores, held)).toMatchObject({ state: "held", report: { flags: { "popup-1": { gains: 0, losses: 40 } } } });
    const visits = (from: number, count: number): object[] => numbers(from, count).map((n) => ({ factId: `trip-${n}`, phone: phone(n), county: HUANGPU, from: "2022-06-01", to: "2022-06-05" }));
    await stores.deliver("trips", visits(40, 30));
    const words = undone(stores, await decide(stores, "release", held));
    expect(words).toContain(`change ${held} stays held`);
    expect(words).toContain("70 of 200 holders (35.0 %) would lose popup-1, 40 when it was measured before, the limit is 30.0 %");
    expect([bound(stores, 70), changeOf(stores, held)]).toMatchObject([70, { state: "held", decisions: [], report: { flags: { "popup-1": { losses: 70 } } } }]);
    expect(changeOf(stores, held).reasons.length).toBeGreaterThan(1);
    expect(undone(stores, await decide(stores, "release", held))).toBe("");
    expect([bound(stores, 70), changeOf(stores, held).state]).toEqual([0, "applied"]);
  });
  test("that is delivered twice stands the same under both batches", async () => {
    const stores = newStores();
    await cityWith(stores, 40, 60);
    const list = listAt("2022-06-09 06时");
    const twice = [await stores.deliver("risk-areas", [list]), await stores.deliver("risk-areas", [list])];
    expect(twice.map((n) => changeOf(stores, n).state)).toEqual(["held", "held"]);
    expect(twice.every((n) => changeOf(stores, n).reasons.length > 0)).toBe(true);
    await decide(stores, "reject", twice[1]);
    expect(twice.map((n) => changeOf(stores, n).state)).toEqual(["rejected", "rejected"]);
    const third = await stores.deliver("risk-areas", [list]);
    expect([changeOf(stores, third).state, bound(stores, 40)]).toEqual(["rejected", 0]);
  });
});

describe("a risk list with a place that finds no county", () => {
  const MISSPELT = { province: "上海市", city: "上海市", county: "黄埔区" };
  const TIANHE = { province: "广东省", city: "广州市", county: "天河区" };
  /** As a source delivers it: what finds no county is refused, the rest is taken. */
  async function deliverList(stores: Stores, time: string, places: readonly typeof MISSPELT[]): Promise<number> {
    const { rows } = readBatch("risk-areas", "publication", JSON.stringify(publication(time, places)), { keyring, source: "source-a", now: stores.clock.seconds, isHistory: false });
    const sequence = await stores.store("risk-areas", rows);
    await stores.apply(sequence);
    return sequence;
  }
  /** Long enough that a list without one of its areas is no sign of a cut. */
  const OTHERS = ["徐汇区", "长宁区", "静安区", "普陀区", "虹口区", "杨浦区", "闵行区", "宝山区", "嘉定区", "浦东新区", "金山区", "松江区"].map((county) => ({ ...MISSPELT, county }));
  const REASON = "no county is known as 上海市 上海市 黄埔区; may be meant, since not named any more: 310101 (黄浦区)";

  /** 20 holders are bound by their stay in Huangpu, which the list in force names; the next one misspells it. */
  async function misspelt(stores: Stores): Promise<number> {
    await cityWith(stores, 20, 80);
    await deliverList(stores, "2022-06-09 03时", [SHANGHAI_HUANGPU, ...OTHERS]);
    expect(bound(stores, 20)).toBe(20);
    return deliverList(stores, "2022-06-09 04时", [MISSPELT, ...OTHERS]);
  }

  test("is held and frees nobody; its reason names the place and what may be meant, and what it would do is measured", async () => {
    const stores = newStores();
    const held = await misspelt(stores);
    expect(bound(stores, 20)).toBe(20);
    const note = "without effect, areas of places that find no county: 1, of 上海市 上海市 黄埔区";
    expect(changeOf(stores, held)).toMatchObject({ state: "held", reasons: [REASON], note, report: { flags: { "popup-1": { losses: 20, byCounty: { [HUANGPU]: { losses: 20 } } } } } });
    expect(stores.lines).toEqual([expect.stringContaining(`is held: ${REASON}; ${note}`) as string]);
  });
  test("is not confirmed by those behind it that misspell it again; one that doesn't takes their place", async () => {
    const stores = newStores();
    const held = [await misspelt(stores)];
    for (const hour of ["05", "06"]) held.push(await deliverList(stores, `2022-06-09 ${hour}时`, [MISSPELT, ...OTHERS]));
    expect([bound(stores, 20), stores.evidence.heldChanges(), states(stores, ...held)]).toEqual([20, 3, ["held", "held", "held"]]);
    const good = await deliverList(stores, "2022-06-09 07时", [SHANGHAI_HUANGPU, ...OTHERS]);
    expect([bound(stores, 20), stores.evidence.heldChanges(), states(stores, good, ...held)]).toEqual([20, 0, ["applied", "superseded", "superseded", "superseded"]]);
  });
  test("takes effect when an operator releases it, and the next one with that name at once", async () => {
    const stores = newStores();
    const held = await misspelt(stores);
    await decide(stores, "release", held);
    expect([bound(stores, 20), states(stores, held)]).toEqual([0, ["applied"]]);
    const next = await deliverList(stores, "2022-06-09 05时", [MISSPELT, ...OTHERS.slice(1)]);
    expect(states(stores, held, next)).toEqual(["applied", "applied"]);
  });
  test("stays out of force when an operator rejects it, and the next one with that name is held", async () => {
    const stores = newStores();
    const held = await misspelt(stores);
    await decide(stores, "reject", held);
    const next = await deliverList(stores, "2022-06-09 05时", [MISSPELT, ...OTHERS]);
    expect([bound(stores, 20), states(stores, held, next)]).toEqual([20, ["rejected", "held"]]);
  });
  test("is in force when no county is gone that may be meant, or nothing was in force before; what has no effect is told", async () => {
    const stores = newStores();
    const lists = [[MISSPELT, TIANHE, ...OTHERS], [MISSPELT, TIANHE, ...OTHERS], [MISSPELT, TIANHE, ...OTHERS, SHANGHAI_HUANGPU]];
    for (const [hour, places] of lists.entries()) {
      const sequence = await deliverList(stores, `2022-06-09 0${hour}时`, places);
      expect(changeOf(stores, sequence)).toMatchObject({ state: "applied", reasons: [], note: expect.stringContaining(MISSPELT.county) as string });
      expect(stores.lines.at(-1)).toContain(`applied: ${changeOf(stores, sequence).note}`);
    }
  });
  test("and many more such tells the first ten", async () => {
    const stores = newStores();
    const sequence = await deliverList(stores, "2022-06-09 04时", [TIANHE, ...numbers(1, 12).map((n) => ({ ...MISSPELT, county: `第${n}区` }))]);
    expect(changeOf(stores, sequence).note).toMatch(/county: 12, of 上海市 上海市 第1区, .*, 上海市 上海市 第10区 and 2 more$/);
  });
  test("gives way to one of its hour and length in which it is written right, in whatever order they come", async () => {
    for (const order of [[MISSPELT, SHANGHAI_HUANGPU], [SHANGHAI_HUANGPU, MISSPELT]]) {
      const stores = newStores();
      await cityWith(stores, 20, 80);
      for (const place of order) await deliverList(stores, "2022-06-09 04时", [place, ...OTHERS]);
      expect(bound(stores, 20)).toBe(20);
    }
  });
});

describe("a release", () => {
  /** Held with 40 of 100 to be bound; `more` come before it is released. */
  const infections = [{ factId: "infection-1", county: HUANGPU, day: "2022-06-08", count: 3 }];
  test.each([
    ["a crowd more, and by more than a tenth", 10, 100, "held"],
    ["less than a crowd more", 9, 100, "applied"],
    ["no more than are within the limit", 10, 200, "applied"],
  ])("measured again, of %s", async (_, more, holders, state) => {
    const stores = newStores();
    await cityWith(stores, 40, 60);
    const sequence = await stores.deliver("local-infections", infections);
    await stores.deliver("holders", numbers(100, holders - 100).map((n) => ({ documents: [document(n)], phones: [phone(n)] })));
    await stores.deliver("trips", numbers(40, more).map((n) => ({ factId: `trip-${n}`, phone: phone(n), county: HUANGPU, from: "2022-06-01", to: "2022-06-05" })));
    await decide(stores, "release", sequence);
    expect([changeOf(stores, sequence).state, bound(stores, 40 + more)]).toEqual([state, state === "held" ? 0 : 40 + more]);
    if (state === "held") {
      expect(changeOf(stores, sequence).reasons).toEqual([`${40 + more} of 100 holders (50.0 %) would get popup-1, the limit is 30.0 %`]);
      await decide(stores, "release", sequence);
      expect([changeOf(stores, sequence).state, bound(stores, 40 + more)]).toEqual(["applied", 40 + more]);
    }
  });
  test("of a large crowd that grew by a tenth at most goes through, by one more it doesn't", async () => {
    for (const [more, state] of [[20, "applied"], [21, "held"]] as const) {
      const stores = newStores();
      await cityWith(stores, 200, 100);
      const sequence = await stores.deliver("local-infections", infections);
      await stores.deliver("trips", numbers(200, more).map((n) => ({ factId: `trip-${n}`, phone: phone(n), county: HUANGPU, from: "2022-06-01", to: "2022-06-05" })));
      await decide(stores, "release", sequence);
      expect(changeOf(stores, sequence).state).toBe(state);
    }
  });
  test("cut off when it was put goes on with what follows from it, says so, and counts every entry once", async () => {
    const stores = newStores();
    await cityWith(stores, 1200, 1200);
    const sequence = await stores.deliver("local-infections", infections);
    stores.isStopping = () => changeOf(stores, sequence).state === "applied" && bound(stores, 1200) >= 500;
    await expect(decide(stores, "release", sequence)).rejects.toThrow();
    stores.isStopping = () => false;
    expect(bound(stores, 1200)).toBe(500);
    const decision = sequence + 1;
    stores.lines.length = 0;
    await stores.apply(decision);
    expect(bound(stores, 1200)).toBe(1200);
    expect(stores.evidence.progress(decision)).toMatchObject({ entriesChanged: 1200, undone: [] });
    expect(changeOf(stores, sequence).decisions.length).toBe(1);
    expect(stores.lines.join()).not.toContain("came to nothing");
  });
  test("several in one batch are each carried out after the one before, once, however often the worker is cut off", async () => {
    const stores = newStores();
    await cityWith(stores, 40, 60);
    const first = await stores.deliver("local-infections", infections);
    const second = await stores.deliver("local-infections", [{ ...infections[0], factId: "infection-2" }]);
    const rows = inboxRows("decisions", [{ action: "release", change: first, authority: "Duty officer", ground: "a" }, { action: "release", change: second, authority: "Duty officer", ground: "b" }]);
    const sequence = await stores.store("decisions", rows);
    // The first is put; measuring the second is cut off.
    stores.isStopping = () => changeOf(stores, first).state === "applied";
    await expect(stores.apply(sequence)).rejects.toThrow();
    expect([states(stores, first, second), bound(stores, 40)]).toEqual([["applied", "held"], 0]);
    stores.isStopping = () => false;
    await stores.apply(sequence);
    expect([states(stores, first, second), bound(stores, 40)]).toEqual([["applied", "applied"], 40]);
    expect(changeOf(stores, first).decisions.length).toBe(1);
    expect(stores.lines.filter((line) => line.includes("going on"))).toEqual([`the decision to release change ${first} was put in a run before this one: going on with what follows from it`]);
  });
});

describe("other changes of regions", () => {
  const infections = [{ factId: "infection-1", county: HUANGPU, day: "2022-06-08", count: 3 }];
  test("infections that would bind a crowd are held with their rows, and put when released", async () => {
    const stores = newStores();
    await cityWith(stores, 40, 60);
    const sequence = await stores.deliver("local-infections", infections);
    expect([bound(stores, 40), changeOf(stores, sequence).state]).toEqual([0, "held"]);
    await decide(stores, "release", sequence);
    expect([bound(stores, 40), changeOf(stores, sequence).state, stores.evidence.changeRows(sequence)]).toEqual([40, "applied", []]);
  });
  test("infections released later count as known from then on: nothing followed from them before", async () => {
    const stores = newStores();
    await cityWith(stores, 40, 60);
    const sequence = await stores.deliver("local-infections", infections);
    stores.clock.seconds = NOW + 600;
    await decide(stores, "release", sequence);
    const known = (at: Instant): number => stores.evidence.regions.historyAt(at).risk(Number(HUANGPU))?.infections.length ?? 0;
    expect([known(NOW + 599), known(NOW + 600)]).toEqual([0, 1]);
    // The same told while it was held, and applied only now.
    await stores.apply(await stores.store("local-infections", inboxRows("local-infections", infections, "source-a", NOW + 300)));
    expect([known(NOW + 599), known(NOW + 600)]).toEqual([0, 1]);
  });
  test("rejected ones leave nothing", async () => {
    const stores = newStores();
    await cityWith(stores, 40, 60);
    const sequence = await stores.deliver("local-infections", infections);
    await decide(stores, "reject", sequence);
    await decide(stores, "release", sequence);
    expect([bound(stores, 40), stores.evidence.regions.risk(Number(HUANGPU))]).toEqual([0, undefined]);
  });
  /** Of a county where many live, or nobody. */
  const screening = (revision: number, county: "110105" | "110101"): object => ({ factId: "screening-1", revision, county, rounds: [{ from: "2022-06-06", to: "2022-06-06" }] });
  async function residents(stores: Stores): Promise<void> {
    await stores.deliver("holders", numbers(0, 100).map((n) => ({ documents: [document(n)] })));
    await stores.deliver("residences", numbers(0, 40).map((n) => ({ factId: `home-${n}`, document: document(n), county: "110105", from: "2020-01-01" })));
  }
  const screenedIn = (stores: Stores): number[] => [110101, 110105].filter((county) => stores.evidence.regions.screenings(county).length > 0);

  test("a held revision of a screening is superseded by a newer one that is applied, and can't be released", async () => {
    const stores = newStores();
    await residents(stores);
    const older = await stores.deliver("screenings", [screening(1, "110105")]);
    const newer = await stores.deliver("screenings", [screening(2, "110101")]);
    expect(states(stores, older, newer)).toEqual(["superseded", "applied"]);
    expect(undone(stores, await decide(stores, "release", older))).toContain(`change ${older} is superseded`);
    expect(screenedIn(stores)).toEqual([110101]);
  });
  test("also by a newer one that is released; one beside it that says more stays held", async () => {
    const stores = newStores();
    await residents(stores);
    const older = await stores.deliver("screenings", [screening(1, "110105")]);
    const beside = await stores.deliver("screenings", [screening(1, "110105"), { ...screening(1, "110105"), factId: "screening-2" }]);
    const newer = await stores.deliver("screenings", [screening(2, "110105")]);
    await decide(stores, "release", newer);
    expect(states(stores, older, beside, newer)).toEqual(["superseded", "held", "applied"]);
  });
  test("an older revision delivered behind a newer one is superseded, not applied; the same one again is in force", async () => {
    const stores = newStores();
    await residents(stores);
    const newer = await stores.deliver("screenings", [screening(2, "110101")]);
    const [older, again] = [await stores.deliver("screenings", [screening(1, "110105")]), await stores.deliver("screenings", [screening(2, "110101")])];
    expect(states(stores, newer, older, again)).toEqual(["applied", "superseded", "applied"]);
    expect(screenedIn(stores)).toEqual([110101]);
  });
  test("a screening reaches the residents, and is held when it would bind a crowd of them", async () => {
    for (const [residents, isHeld] of [[20, false], [40, true]] as const) {
      const stores = newStores();
      await stores.deliver("holders", numbers(0, 100).map((n) => ({ documents: [document(n)] })));
      await stores.deliver("residences", numbers(0, residents).map((n) => ({ factId: `home-${n}`, document: document(n), county: "110105", from: "2020-01-01" })));
      const rounds = [{ from: "2022-06-06", to: "2022-06-06" }, { from: "2022-06-08", to: "2022-06-08" }];
      const sequence = await stores.deliver("screenings", [{ factId: "screening-1", county: "110105", rounds }]);
      expect(changeOf(stores, sequence).state).toBe(isHeld ? "held" : "applied");
      expect(numbers(0, 100).filter((n) => flagsOf(stores, n).includes("popup-4")).length).toBe(isHeld ? 0 : residents);
      if (isHeld) await decide(stores, "release", sequence);
      expect(numbers(0, 100).filter((n) => flagsOf(stores, n).includes("popup-4")).length).toBe(residents);
    }
  });
});

describe("a pack", () => {
  /** Rules with other hours for the test after an arrival. */
  const withHours = (hours: number): string => beijingPackText().replace("arrivalTest: { popup: 4, withinHours: 72 }", `arrivalTest: { popup: 4, withinHours: ${hours} }`);
  /** Came back 60 hours ago: due after 72 hours, not yet. */
  async function arrivals(stores: Stores, count: number, others: number): Promise<void> {
    await stores.deliver("holders", numbers(0, count + others).map((n) => ({ documents: [document(n)], phones: [phone(n)] })));
    const back = instant("2022-06-06T19:30:00+08:00");
    expect(NOW - back).toBe(60 * 3600);
    await stores.deliver("trips", numbers(0, count).flatMap((n) => [
      { factId: `away-${n}`, phone: phone(n), county: "320583", from: "2022-05-20", to: "2022-05-30" },
      { factId: `back-${n}`, phone: phone(n), county: "110105", from: "2022-06-06T19:30:00+08:00" },
    ]));
  }
  const due = (stores: Stores, count: number): number => numbers(0, count).filter((n) => flagsOf(stores, n).includes("popup-4")).length;

  test("within the limits comes into force and reaches every entry", async () => {
    const stores = newStores();
    await arrivals(stores, 20, 80);
    expect(due(stores, 20)).toBe(0);
    const sequence = await stores.deliverPack(withHours(48));
    expect([due(stores, 20), changeOf(stores, sequence).state]).toEqual([20, "applied"]);
    expect(stores.evaluator.pack.spans.arrivalTest[0]?.parameters.withinHours).toBe(48);
    expect(numbers(0, 100).map((n) => policyIdOf(stores.entries.get(keyOfDocument(n))!))).toEqual(numbers(0, 100).map(() => 2));
  });
  test("beyond the limits is held: the old rules stay in force until an operator releases it", async () => {
    const stores = newStores();
    await arrivals(stores, 40, 60);
    const sequence = await stores.deliverPack(withHours(48));
    expect([due(stores, 40), changeOf(stores, sequence).state, stores.evidence.packs().length]).toEqual([0, "held", 1]);
    expect(changeOf(stores, sequence).reasons.join()).toContain("40 of 100 holders (40.0 %) would get popup-4");
    await decide(stores, "release", sequence);
    expect([due(stores, 40), changeOf(stores, sequence).state, stores.evidence.packs().length]).toEqual([40, "applied", 2]);
  });
  test("that was applied can be rolled back, and the one before it too, each with its ground", async () => {
    const stores = newStores();
    await arrivals(stores, 20, 80);
    const first = await stores.deliverPack(withHours(48));
    const second = await stores.deliverPack(withHours(240));
    expect(due(stores, 20)).toBe(0);
    await decide(stores, "roll-back");
    expect([due(stores, 20), changeOf(stores, second).state]).toEqual([20, "rolled-back"]);
    await decide(stores, "roll-back");
    expect([due(stores, 20), changeOf(stores, first).state]).toEqual([0, "rolled-back"]);
    expect(stores.evaluator.pack.fingerprint).toBe(stores.evidence.packs()[0]!.fingerprint);
    // Nothing is left to take back.
    const before = stores.evidence.packs().length;
    expect(undone(stores, await decide(stores, "roll-back"))).toBe("there is nothing to take back: the rules in force (beijing, pack 5) are those that the service began with");
    expect(stores.evidence.packs().length).toBe(before);
  });
  test("a good newer pack takes the place of a held one", async () => {
    const stores = newStores();
    await arrivals(stores, 40, 60);
    const held = await stores.deliverPack(withHours(48));
    await stores.deliverPack(`${beijingPackText()}\n# the same rules in other words\n`);
    expect(changeOf(stores, held).state).toBe("superseded");
    await decide(stores, "release", held);
    expect(due(stores, 40)).toBe(0);
  });
  test("held takes the place of older held ones when it is released, and leaves newer ones held", async () => {
    const stores = newStores();
    await arrivals(stores, 40, 60);
    const [first, second, third] = [await stores.deliverPack(withHours(48)), await stores.deliverPack(withHours(36)), await stores.deliverPack(withHours(24))];
    await decide(stores, "release", second);
    expect(states(stores, first, second, third)).toEqual(["superseded", "applied", "held"]);
    expect(undone(stores, await decide(stores, "release", first))).toContain(`change ${first} is superseded`);
    expect(stores.evaluator.pack.spans.arrivalTest[0]?.parameters.withinHours).toBe(36);
  });
  test("held is measured again when other rules came into force: what it would do then nobody has seen", async () => {
    const stores = newStores();
    await arrivals(stores, 40, 60);
    const hours = await stores.deliverPack(withHours(48));
    const venues = await stores.deliverPack(beijingPackText().replaceAll("        boarding: { testHours: 48, commuterHours: 168 }", "        boarding: { testHours: 48, commuterHours: 168 }\n        venue: { testHours: 72 }"));
    expect(changeOf(stores, venues).reasons).toEqual(["the pass rules of venues change for everybody: venue"]);
    await decide(stores, "release", hours);
    expect(undone(stores, await decide(stores, "release", venues))).toContain("40 of 100 holders (40.0 %) would lose popup-4");
    expect([due(stores, 40), changeOf(stores, venues).state]).toEqual([40, "held"]);
    await decide(stores, "release", venues);
    expect([due(stores, 40), states(stores, hours, venues)]).toEqual([0, ["applied", "applied"]]);
  });
  test("that is held already is not held twice, and one in force is not put in force twice", async () => {
    const stores = newStores();
    await arrivals(stores, 40, 60);
    const held = await stores.deliverPack(withHours(48));
    const again = await stores.deliverPack(withHours(48));
    expect([stores.evidence.heldChanges(), stores.evidence.change(again), stores.evidence.progress(again)?.repeats]).toEqual([1, undefined, held]);
    await decide(stores, "release", held);
    const packs = stores.evidence.packs().length;
    const third = await stores.deliverPack(withHours(48));
    expect([stores.evidence.packs().length, stores.evidence.change(third), stores.evidence.progress(third)]).toMatchObject([packs, undefined, { repeats: held, entriesChanged: 0 }]);
    // What the service began with has no change to name.
    await decide(stores, "roll-back");
    expect(stores.evidence.progress(await stores.deliverPack(beijingPackText()))?.repeats).toBe(null);
  });
  test("that was rejected or rolled back is another change when it comes again", async () => {
    const stores = newStores();
    await arrivals(stores, 40, 60);
    const held = await stores.deliverPack(withHours(48));
    await decide(stores, "reject", held);
    const again = await stores.deliverPack(withHours(48));
    await decide(stores, "release", again);
    await decide(stores, "roll-back");
    const third = await stores.deliverPack(withHours(48));
    expect(states(stores, held, again, third)).toEqual(["rejected", "rolled-back", "held"]);
  });
  test("applied late, behind a newer one, is superseded", async () => {
    const stores = newStores();
    await stores.deliver("holders", [{ documents: [document(1)] }]);
    const packRows = (text: string): readonly InboxRow[] => [{ type: "pack", text }];
    const [older, newer] = [await stores.store("packs", packRows(withHours(48))), await stores.store("packs", packRows(withHours(36)))];
    await stores.apply(newer);
    await stores.apply(older);
    expect(states(stores, older, newer)).toEqual(["superseded", "applied"]);
    expect(stores.evaluator.pack.spans.arrivalTest[0]?.parameters.withinHours).toBe(36);
  });
  test("released and cut off while entries are computed under it goes on, says so, and counts every entry once", async () => {
    const stores = newStores();
    await arrivals(stores, 1200, 1200);
    const held = await stores.deliverPack(withHours(48));
    stores.isStopping = () => stores.evidence.packs().length === 2 && due(stores, 1200) > 0;
    await expect(decide(stores, "release", held)).rejects.toThrow();
    stores.isStopping = () => false;
    const half = due(stores, 1200);
    expect([half > 0, half < 1200]).toEqual([true, true]);
    stores.lines.length = 0;
    await stores.apply(held + 1);
    expect(due(stores, 1200)).toBe(1200);
    expect(stores.evidence.progress(held + 1)).toMatchObject({ entriesChanged: 1200, undone: [] });
    expect(stores.lines).toEqual([`the decision to release change ${held} was put in a run before this one: going on with what follows from it`]);
  });
  test("rolled back, and cut off when that was put, is not rolled back a second time", async () => {
    const stores = newStores();
    await arrivals(stores, 20, 80);
    const [first, second] = [await stores.deliverPack(withHours(48)), await stores.deliverPack(withHours(240))];
    stores.isStopping = () => changeOf(stores, second).state === "rolled-back";
    await expect(decide(stores, "roll-back")).rejects.toThrow();
    stores.isStopping = () => false;
    await stores.apply(second + 1);
    expect([states(stores, first, second), due(stores, 20), stores.evidence.packs().length]).toEqual([["applied", "rolled-back"], 20, 4]);
    expect(stores.evidence.progress(second + 1)?.undone).toEqual([]);
    // Two in one batch are two: the first finds the pack that is left, the second nothing.
    const twice = await stores.deliver("decisions", [ROLL_BACK, ROLL_BACK]);
    expect([states(stores, first, second), due(stores, 20), stores.evidence.packs().length]).toEqual([["rolled-back", "rolled-back"], 0, 5]);
    expect(stores.evidence.progress(twice)?.undone).toEqual([expect.stringContaining("there is nothing to take back") as string]);
  });
  test("under which an entry was computed is found: one left under other rules is computed anew, and no other", async () => {
    const stores = newStores();
    await arrivals(stores, 20, 80);
    const before = stores.evaluator;
    await stores.deliverPack(withHours(48));
    // As by a worker that never heard of the new rules.
    const sequence = await stores.store("trips", inboxRows("trips", [{ factId: "back-0", revision: 2, phone: phone(0), county: "110105", from: "2022-06-06T20:00:00+08:00" }]));
    await stores.applyUnder(sequence, before, 1);
    expect(due(stores, 20)).toBe(19);
    expect(await stores.reevaluateAll()).toBe(1);
    expect(due(stores, 20)).toBe(20);
    expect(await stores.reevaluateAll()).toBe(0);
  });
  test("what was in force when can be told", async () => {
    const stores = newStores();
    await stores.deliver("holders", [{ documents: [document(1)] }]);
    stores.clock.seconds = NOW + 100;
    await stores.deliverPack(withHours(48));
    const hoursAt = (at: number): string => /withinHours: (\d+) \}/.exec(stores.evidence.packAt(at)!.text.split("arrivalTest")[1]!)![1]!;
    expect([hoursAt(0), hoursAt(NOW + 99), hoursAt(NOW + 100)]).toEqual(["72", "72", "48"]);
  });
  test("under which no policy would be in force is held, however few flags it changes", async () => {
    const stores = newStores();
    await stores.deliver("holders", [{ documents: [document(1)] }]);
    const sequence = await stores.deliverPack(beijingPackText().replace("until: 2022-12-20T00:00:00+08:00", "until: 2022-08-01T00:00:00+08:00"));
    expect([changeOf(stores, sequence).state, changeOf(stores, sequence).reasons.join()]).toEqual(["held", expect.stringContaining("no-policy") as string]);
  });
  test("that changes what venues ask of everybody is held, and says at which kind", async () => {
    const stores = newStores();
    await stores.deliver("holders", [{ documents: [document(1)] }]);
    const usual = beijingPackText().replaceAll("        boarding: { testHours: 48, commuterHours: 168 }", "        boarding: { testHours: 48, commuterHours: 168 }\n        venue: { testHours: 72 }");
    const sequence = await stores.deliverPack(usual);
    expect([changeOf(stores, sequence).state, changeOf(stores, sequence).reasons.join()]).toEqual(["held", "the pass rules of venues change for everybody: venue"]);
  });
  test("that rids most of those who have a rare flag of it is held, few as they are among all", async () => {
    const stores = newStores({ gainShareMax: 0.9, lossShareMax: 0.9, crowdHolders: 10 });
    await stores.deliver("holders", numbers(0, 400).map((n) => ({ documents: [document(n)] })));
    await stores.deliver("findings", numbers(0, 20).map((n) => ({ factId: `finding-${n}`, document: document(n), kind: "confirmed", from: "2022-06-08", authority: "District office", ground: "test" })));
    const sequence = await stores.deliverPack(beijingPackText().replace("        confirmed: central\n", ""));
    expect([changeOf(stores, sequence).state, changeOf(stores, sequence).reasons.join()]).toEqual(["held", "20 of the 20 holders who have central would be rid of it"]);
    expect(flagsOf(stores, 0)).toEqual(["central"]);
  });
  test("is measured on documents too that nobody has registered", async () => {
    const stores = newStores();
    await stores.deliver("holders", numbers(0, 20).map((n) => ({ documents: [document(n)] })));
    await stores.deliver("tests", numbers(100, 20).map((n) => ({ factId: `test-${n}`, document: document(n), sampledAt: "2022-06-08T09:00:00+08:00", issuedAt: "2022-06-08T20:00:00+08:00", result: "negative" })));
    const sequence = await stores.deliverPack(beijingPackText().replace("unregistered: { flag: unconfirmed }", "unregistered: null"));
    expect(changeOf(stores, sequence)).toMatchObject({ state: "held", report: { measured: 40, flags: { unconfirmed: { losses: 20 } } } });
  });
  test("rolled back while the entries are being computed under it leaves nobody under it", async () => {
    const stores = newStores();
    await arrivals(stores, 1200, 6000);
    let steps = 0;
    // Cut off half-way, as by a stop of the worker.
    stores.isStopping = () => stores.evidence.packs().length === 2 && steps++ > 5;
    await expect(stores.deliverPack(withHours(48))).rejects.toThrow();
    stores.isStopping = () => false;
    expect(stores.evidence.packs().length).toBe(2);
    const half = due(stores, 1200);
    expect([half > 0, half < 1200]).toEqual([true, true]);
    await decide(stores, "roll-back");
    expect(due(stores, 1200)).toBe(0);
  }, 120_000);
  test("is in force from the instant on at which it was put, not from when measuring it began", async () => {
    const stores = newStores();
    await stores.deliver("holders", [{ documents: [document(1)] }]);
    let steps = 0;
    stores.isStopping = () => {
      if (steps++ === 0) stores.clock.seconds += 90;
      return false;
    };
    await stores.deliverPack(withHours(48));
    expect(stores.evidence.packs().at(-1)?.from).toBe(NOW + 90);
  });
});

/** The batch behind those of a city. */
const INFECTIONS = 3;
test.each<[string, object, string]>([
  ["releases a change that there isn't", { action: "release", change: 99 }, "there is no change 99"],
  ["rejects a change that there isn't", { action: "reject", change: 99 }, "there is no change 99"],
  ["rolls back a change that there isn't", { action: "roll-back", change: 99 }, "there is no change 99"],
  ["releases what is in force", { action: "release", change: INFECTIONS }, "change 3 is applied already; only a held change can be released"],
  ["rejects infections that are in force", { action: "reject", change: INFECTIONS }, "change 3 is applied; only a held change, or a risk list, can be rejected"],
  ["rolls back what is no pack", { action: "roll-back", change: INFECTIONS }, "only what did can be taken back"],
  ["rolls back the rules that the service began with", { action: "roll-back" }, "nothing to take back"],
])("a decision that %s has no effect, and says so", async (_, decision, words) => {
  const stores = newStores();
  await cityWith(stores, 1, 0);
  expect(await stores.deliver("local-infections", [{ factId: "infection-1", county: HUANGPU, day: "2022-06-08", count: 3 }])).toBe(INFECTIONS);
  const sequence = await stores.deliver("decisions", [{ ...decision, authority: "Duty officer", ground: "looked at it" }]);
  expect(stores.evidence.progress(sequence)?.undone).toEqual([expect.stringContaining(words) as string]);
  expect(stores.lines).toEqual([expect.stringContaining(words) as string]);
  expect(changeOf(stores, INFECTIONS)).toMatchObject({ state: "applied", decisions: [] });
});
