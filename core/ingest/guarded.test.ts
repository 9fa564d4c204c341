// Changes that can hit a crowd: held beyond limits, measured before, decided by an operator, taken back.

import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { document, inboxRows, instant, keyOfDocument, NOW, openStores, phone, publication, SHANGHAI_HUANGPU, SHANGHAI_XUHUI, type Stores } from "../../test/ingestSupport.ts";
import { temporaryFolder } from "../../test/support.ts";
import { FLAGS, type Flag, type Instant } from "../domain/index.ts";
import { decodeEntry, readEntryAt, type EntryState } from "../entry/index.ts";
import type { ChangeRecord } from "../evidence/index.ts";
import { beijingPackText } from "../policy/index.ts";
import type { BlastLimits, BlastReport } from "./blastRadius.ts";

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
const ROLL_BACK = { action: "roll-back", authority: "Duty officer", ground: "looked at it" };
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
  });
  test("rejected ones leave nothing", async () => {
    const stores = newStores();
    await cityWith(stores, 40, 60);
    const sequence = await stores.deliver("local-infections", infections);
    await decide(stores, "reject", sequence);
    await decide(stores, "release", sequence);
    expect([bound(stores, 40), stores.evidence.regions.risk(Number(HUANGPU))]).toEqual([0, undefined]);
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
    expect(stores.evidence.evaluatedUnder()).toContain(stores.evaluator.pack.fingerprint);
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
    await decide(stores, "roll-back");
    expect(stores.evidence.packs().length).toBe(before);
  });
  test("rolled back by a decision whose batch was cut off and is applied again is rolled back once", async () => {
    const stores = newStores();
    await arrivals(stores, 20, 80);
    await stores.deliverPack(withHours(48));
    await stores.deliverPack(withHours(240));
    stores.isStopping = () => stores.evidence.packs().length === 4;
    const sequence = await stores.store("decisions", inboxRows("decisions", [ROLL_BACK]));
    await expect(stores.apply(sequence)).rejects.toThrow();
    stores.isStopping = () => false;
    await stores.apply(sequence);
    expect(stores.evaluator.pack.spans.arrivalTest[0]?.parameters.withinHours).toBe(48);
    expect([stores.evidence.packs().length, stores.evidence.progress(sequence)?.faults]).toEqual([4, undefined]);
    // Two in one batch are two.
    await stores.deliver("decisions", [ROLL_BACK, ROLL_BACK]).then((twice) => expect(stores.evidence.progress(twice)?.faults).toHaveLength(1));
    expect(stores.evaluator.pack.spans.arrivalTest[0]?.parameters.withinHours).toBe(72);
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
test.each<[string, object, string, string]>([
  ["releases a change that there isn't", { action: "release", change: 99 }, "change", "there is no such change"],
  ["rejects a change that there isn't", { action: "reject", change: 99 }, "change", "there is no such change"],
  ["releases what is in force", { action: "release", change: INFECTIONS }, "change", "names 3, which is applied: only what is held can be released"],
  ["rejects infections that are in force", { action: "reject", change: INFECTIONS }, "change", "names 3, which is applied: only what is held, or a risk list, can be rejected"],
  ["rolls back what is no pack", { action: "roll-back", change: INFECTIONS }, "change", "only the pack in force can be rolled back"],
  ["rolls back the rules that the service began with", { action: "roll-back" }, "action", "nothing to roll back"],
])("a decision that %s has no effect, and says so", async (_, decision, field, words) => {
  const stores = newStores();
  await cityWith(stores, 1, 0);
  expect(await stores.deliver("local-infections", [{ factId: "infection-1", county: HUANGPU, day: "2022-06-08", count: 3 }])).toBe(INFECTIONS);
  const sequence = await stores.deliver("decisions", [{ ...decision, authority: "Duty officer", ground: "looked at it" }]);
  expect(stores.evidence.progress(sequence)?.faults).toEqual([{ row: `${sequence}/0/0`, field, reason: expect.stringContaining(words) as string }]);
  expect(stores.lines).toEqual([expect.stringContaining("had no effect") as string]);
  expect(changeOf(stores, INFECTIONS)).toMatchObject({ state: "applied", decisions: [] });
});
