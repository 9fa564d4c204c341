import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { factKey } from "../../test/keys.ts";
import { shuffled, temporaryFolder } from "../../test/support.ts";
import { contains, FOREVER, type CountyCode, type Known, type LocalInfection, type RegionHistory, type RiskAreaCount, type RiskPublication } from "../domain/index.ts";
import type { RegionChange } from "./regionModel.ts";
import type { RegionStore } from "./regions.ts";
import { openEvidenceReader, openEvidenceWriter, type EvidenceReader, type EvidenceWriter } from "./store.ts";

const opened = new Set<EvidenceReader>();
function openWriter(folder = join(temporaryFolder(), "evidence")): EvidenceWriter {
  const store = openEvidenceWriter(folder);
  opened.add(store);
  return store;
}
async function close(store: EvidenceReader): Promise<void> {
  opened.delete(store);
  await store.close();
}
afterEach(async () => {
  for (const store of [...opened]) await close(store);
});

const COUNTIES: CountyCode[] = [110105, 310115, 440106, 650102];
const [PUDONG, TIANHE] = [310115, 440106];

const published = (publishedAt: number, counties: Record<number, RiskAreaCount>, knownFrom = publishedAt): RiskPublication => ({
  publishedAt, knownFrom, counties: new Map(Object.entries(counties).map(([code, areas]) => [Number(code), areas])), areas: areasOf(counties), unknown: [],
});
/** A number an area, as the reader of lists makes them. */
const areasOf = (counties: Record<number, RiskAreaCount>): Float64Array =>
  Float64Array.from(
    Object.entries(counties).flatMap(([code, { high, medium }]) => Array.from({ length: high + medium }, (_, i) => Math.floor(Number(code) / 10_000) * 2 ** 40 + (Number(code) % 10_000) * 2 ** 24 + i)),
  );
const medium = (count: number): RiskAreaCount => ({ high: 0, medium: count });

interface InfectionRow {
  readonly id: number;
  readonly revision: number;
  readonly infection: LocalInfection;
}
const infected = (id: number, change: Partial<LocalInfection> & { revision?: number } = {}): InfectionRow => {
  const { revision = 1, ...rest } = change;
  return { id, revision, infection: { county: PUDONG, day: 19000, count: 1, knownFrom: 500, ...rest } };
};

type Delivery = RiskPublication | readonly InfectionRow[];

const NO_CHANGE: RegionChange = { publications: [], infections: [], screenings: [] };

/**
 * Delivers one thing in a transaction of its own; lists are released, since these tests are about the layout and not about the guard. @returns the counties that the
 * store says have changed.
 */
function deliver(store: EvidenceWriter, delivery: Delivery): CountyCode[] {
  return store.transaction(() =>
    "counties" in delivery
      ? store.regions.put({ ...NO_CHANGE, publications: [delivery] }, "released")
      : store.regions.put({ ...NO_CHANGE, infections: delivery.map(({ id, revision, infection }) => ({ factKey: factKey(id), revision, infection })) }, null),
  ).map((d) => d.county);
}

/** A county's history in a form to compare: infections in a fixed order. */
const historyOf = (regions: RegionHistory, county: CountyCode): object | undefined => {
  const risk = regions.risk(county);
  return risk && { held: risk.held, infections: risk.infections.map((i) => JSON.stringify([i.county, i.day, i.count, i.knownFrom])).sort() };
};
const snapshot = (store: EvidenceReader): object => Object.fromEntries(COUNTIES.map((c) => [c, historyOf(store.regions, c)]));
/** The same as known at each instant at which something can have become known or arrived. */
const snapshots = (store: EvidenceReader): object[] =>
  [20, 60, 100, 500, 600].map((at) => {
    const regions = store.regions.historyAt(at);
    return [regions.restsOnHistory, ...COUNTIES.map((c) => historyOf(regions, c))];
  });

// --- Random deliveries: few instants and counties, so that update times meet ---

/** As it came, later, and as history later still or in between: all arrived at other instants. */
const known = (from: number): fc.Arbitrary<Known> => fc.constantFrom({ knownFrom: from + 20 }, { knownFrom: from + 60 }, { knownFrom: from, receivedAt: from + 40 }, { knownFrom: from, receivedAt: from + 100 });
const publication: fc.Arbitrary<RiskPublication> = fc
  .record({
    publishedAt: fc.constantFrom(10, 20, 30, 40, 50),
    told: known(0),
    counties: fc.dictionary(fc.constantFrom(...COUNTIES.map(String)), fc.record({ high: fc.nat({ max: 2 }), medium: fc.nat({ max: 2 }) })),
  })
  .map(({ publishedAt, counties, told }) => ({ ...published(publishedAt, counties), ...told }));
const infectionRow: fc.Arbitrary<InfectionRow> = fc
  .record({
    id: fc.nat({ max: 3 }),
    revision: fc.constantFrom(1, 2, 3),
    infection: fc.record({ county: fc.constantFrom(...COUNTIES), day: fc.constantFrom(19000, 19001), count: fc.nat({ max: 2 }) }),
    told: known(500),
  })
  .map(({ infection, told, ...row }) => ({ ...row, infection: { ...infection, ...told } }));
const deliveries: fc.Arbitrary<Delivery[]> = fc.array(fc.oneof(publication, fc.array(infectionRow, { maxLength: 4 })), { maxLength: 12 });
const order = fc.array(fc.nat(), { minLength: 24, maxLength: 24 });
const areasIn = ({ counties }: RiskPublication): number => [...counties.values()].reduce((sum, { high, medium }) => sum + high + medium, 0);

describe("order and repetition", () => {
  test("of any publications and infections never matter: two stores tell the same history", async () => {
    await fc.assert(
      fc.asyncProperty(deliveries, order, async (list, numbers) => {
        const [straight, mixed] = [openWriter(), openWriter()];
        for (const d of list) deliver(straight, d);
        for (const d of shuffled([...list, ...list], numbers)) deliver(mixed, d);
        expect(snapshot(mixed)).toEqual(snapshot(straight));
        expect(snapshots(mixed)).toEqual(snapshots(straight));
        await close(straight);
        await close(mixed);
      }),
      { numRuns: 60 },
    );
  });
  test("a county holds an area at an instant exactly when the last list until then names it with one, for any lists in any order", async () => {
    const lists = fc.uniqueArray(publication, { maxLength: 10, selector: (p) => `${p.publishedAt} ${areasIn(p)}` }); // no ties
    await fc.assert(
      fc.asyncProperty(lists, order, async (list, numbers) => {
        const store = openWriter();
        for (const p of shuffled(list, numbers)) deliver(store, p);
        for (const county of COUNTIES) {
          const held = store.regions.risk(county)?.held ?? [];
          for (const at of [9, 10, 19, 20, 29, 30, 39, 40, 49, 50, FOREVER - 1]) {
            const upToNow = list.filter((p) => p.publishedAt <= at).sort((a, b) => a.publishedAt - b.publishedAt || areasIn(a) - areasIn(b));
            const areas = upToNow.at(-1)?.counties.get(county);
            expect(held.some((i) => contains(i, at))).toBe(areas !== undefined && areas.high + areas.medium > 0);
          }
          const edges = held.flatMap((i) => [i.from, i.until]);
          expect(edges.every((e, i) => i === 0 || edges[i - 1]! < e)).toBe(true);
        }
        await close(store);
      }),
      { numRuns: 60 },
    );
  });
  test("a county's infections are those of each fact's highest revision, without the zeroes, for any revisions in any order", async () => {
    const rows = fc.uniqueArray(infectionRow, { maxLength: 10, selector: (r) => `${r.id} ${r.revision}` }); // no ties
    await fc.assert(
      fc.asyncProperty(rows, order, async (list, numbers) => {
        const store = openWriter();
        for (const row of shuffled(list, numbers)) deliver(store, [row]);
        const newest = list.filter((r) => !list.some((other) => other.id === r.id && other.revision > r.revision)).map((r) => r.infection);
        for (const county of COUNTIES) {
          const expected = newest.filter((i) => i.county === county && i.count > 0);
          const byContent = (a: LocalInfection, b: LocalInfection): number => a.day - b.day || a.count - b.count || a.knownFrom - b.knownFrom || (a.receivedAt ?? 0) - (b.receivedAt ?? 0);
          expect((store.regions.risk(county)?.infections ?? []).toSorted(byContent)).toEqual(expected.toSorted(byContent));
        }
        await close(store);
      }),
      { numRuns: 60 },
    );
  });
  test("the counties said to have changed are those whose history differs from before, each once and none forgotten, for any delivery", async () => {
    await fc.assert(
      fc.asyncProperty(deliveries, async (list) => {
        const store = openWriter();
        const texts = (): string[] => COUNTIES.map((c) => JSON.stringify(historyOf(store.regions, c)));
        const textsInOrder = (): string[] => COUNTIES.map((c) => JSON.stringify(store.regions.risk(c)));
        for (const d of list) {
          const [before, beforeInOrder] = [texts(), textsInOrder()];
          const changed = deliver(store, d);
          const differs = COUNTIES.filter((_, i) => texts()[i] !== before[i]);
          // Two infections that only change places may be told as a change: a county too many is computed anew, never one too few.
          const differsInOrder = COUNTIES.filter((_, i) => textsInOrder()[i] !== beforeInOrder[i]);
          expect(changed).toEqual([...new Set(changed)]);
          expect(differs.filter((c) => !changed.includes(c))).toEqual([]);
          expect(changed.filter((c) => !differsInOrder.includes(c))).toEqual([]);
        }
        await close(store);
      }),
      { numRuns: 60 },
    );
  });
});

describe("publications", () => {
  test("nothing is known before the first", () => {
    expect(openWriter().regions.risk(PUDONG)).toBeUndefined();
  });
  test("a county is held from its list on, and open at the end while no list ends it", () => {
    const store = openWriter();
    expect(deliver(store, published(10, { [PUDONG]: medium(1) }))).toEqual([PUDONG]);
    expect(store.regions.risk(PUDONG)).toEqual({ held: [{ from: 10, until: FOREVER }], infections: [] });
  });
  test("the next list that doesn't name it ends it; naming it again begins a second interval", () => {
    const store = openWriter();
    for (const p of [published(10, { [PUDONG]: medium(1) }), published(20, { [TIANHE]: medium(1) }), published(30, { [PUDONG]: medium(1) })]) deliver(store, p);
    expect(store.regions.risk(PUDONG)?.held).toEqual([{ from: 10, until: 20 }, { from: 30, until: FOREVER }]);
    expect(store.regions.risk(TIANHE)?.held).toEqual([{ from: 20, until: 30 }]);
  });
  test("lists that go on naming it don't part the interval, and change nothing", () => {
    const store = openWriter();
    deliver(store, published(10, { [PUDONG]: medium(1) }));
    expect(deliver(store, published(20, { [PUDONG]: { high: 3, medium: 0 } }))).toEqual([]);
    expect(store.regions.risk(PUDONG)?.held).toEqual([{ from: 10, until: FOREVER }]);
  });
  test("a county named with no areas holds none", () => {
    const store = openWriter();
    deliver(store, published(10, { [PUDONG]: medium(1) }));
    expect(deliver(store, published(20, { [PUDONG]: medium(0) }))).toEqual([PUDONG]);
    expect(store.regions.risk(PUDONG)?.held).toEqual([{ from: 10, until: 20 }]);
  });
  test("an empty list ends everything", () => {
    const store = openWriter();
    deliver(store, published(10, { [PUDONG]: medium(1), [TIANHE]: medium(1) }));
    expect(deliver(store, published(20, {})).sort()).toEqual([PUDONG, TIANHE]);
  });
  test("a list that comes late is put between: it parts what seemed whole", () => {
    const store = openWriter();
    deliver(store, published(10, { [PUDONG]: medium(1) }));
    deliver(store, published(30, { [PUDONG]: medium(1) }));
    expect(deliver(store, published(20, {}))).toEqual([PUDONG]);
    expect(store.regions.risk(PUDONG)?.held).toEqual([{ from: 10, until: 20 }, { from: 30, until: FOREVER }]);
  });

  const whole = published(10, { [PUDONG]: medium(2), [TIANHE]: medium(1) });
  const cutOff = published(10, { [PUDONG]: medium(2) });
  test("of two lists with one update time the longer holds, whichever came first: a list cut off frees nobody", () => {
    for (const list of [[whole, cutOff], [cutOff, whole]]) {
      const store = openWriter();
      for (const p of list) deliver(store, p);
      expect(COUNTIES.filter((c) => store.regions.risk(c) !== undefined)).toEqual([PUDONG, TIANHE]);
    }
  });
  test("length is the number of areas, not of counties", () => {
    const manyAreas = published(10, { [PUDONG]: { high: 2, medium: 2 } });
    const manyCounties = published(10, { [TIANHE]: medium(1), 110105: medium(1), 650102: medium(1) });
    for (const list of [[manyAreas, manyCounties], [manyCounties, manyAreas]]) {
      const store = openWriter();
      for (const p of list) deliver(store, p);
      expect(COUNTIES.filter((c) => store.regions.risk(c) !== undefined)).toEqual([PUDONG]);
    }
  });
  test("of two equally long ones the same one holds, whichever came first", () => {
    const [one, other] = [published(10, { [PUDONG]: medium(1) }), published(10, { [TIANHE]: medium(1) })];
    const winners = [[one, other], [other, one]].map((list) => {
      const store = openWriter();
      for (const p of list) deliver(store, p);
      return COUNTIES.filter((c) => store.regions.risk(c) !== undefined);
    });
    expect(winners[0]).toHaveLength(1);
    expect(winners[0]).toEqual(winners[1]);
  });
  test("the order in which a list names its counties makes no other list", () => {
    const store = openWriter();
    deliver(store, { ...whole, counties: new Map([...whole.counties]) });
    const before = store.regions.revision();
    deliver(store, { ...whole, counties: new Map([...whole.counties].reverse()) });
    expect(store.regions.revision()).toBe(before);
  });
});

describe("infections", () => {
  test("a day with infections is known with the instant at which it became known", () => {
    const store = openWriter();
    expect(deliver(store, [infected(1, { count: 3 })])).toEqual([PUDONG]);
    expect(store.regions.risk(PUDONG)).toEqual({ held: [], infections: [{ county: PUDONG, day: 19000, count: 3, knownFrom: 500 }] });
  });
  test("a count of zero is nothing known", () => {
    const store = openWriter();
    expect(deliver(store, [infected(1, { count: 0 })])).toEqual([]);
    expect(store.regions.risk(PUDONG)).toBeUndefined();
  });
  test("a revision to zero takes the day back, in both orders", () => {
    const rows = [infected(1), infected(1, { revision: 2, count: 0 })];
    for (const list of [rows, rows.toReversed()]) {
      const store = openWriter();
      for (const row of list) deliver(store, [row]);
      expect(store.regions.risk(PUDONG)).toBeUndefined();
    }
  });
  test("a revision to another county changes both", () => {
    const store = openWriter();
    deliver(store, [infected(1)]);
    expect(deliver(store, [infected(1, { revision: 2, county: TIANHE })]).sort()).toEqual([PUDONG, TIANHE]);
    expect(store.regions.risk(PUDONG)).toBeUndefined();
    expect(store.regions.risk(TIANHE)?.infections).toHaveLength(1);
  });
  test("revision 256 is higher than 255", () => {
    const store = openWriter();
    deliver(store, [infected(1, { revision: 256, count: 2 }), infected(1, { revision: 255, count: 1 })]);
    expect(store.regions.risk(PUDONG)?.infections.map((i) => i.count)).toEqual([2]);
  });
  test("two facts of one county and day are both kept", () => {
    const store = openWriter();
    deliver(store, [infected(1), infected(2)]);
    expect(store.regions.risk(PUDONG)?.infections).toHaveLength(2);
  });
  test("a repeated delivery keeps the instant at which it first became known, and changes nothing", () => {
    const store = openWriter();
    deliver(store, [infected(1, { knownFrom: 500 })]);
    expect(deliver(store, [infected(1, { knownFrom: 900 })])).toEqual([]);
    expect(store.regions.risk(PUDONG)?.infections[0]?.knownFrom).toBe(500);
  });
  test("applied the other way round it is known since it first was, too, and its county has changed", () => {
    const store = openWriter();
    deliver(store, [infected(1, { knownFrom: 900 })]);
    expect(deliver(store, [infected(1, { knownFrom: 500 })])).toEqual([PUDONG]);
    expect(store.regions.risk(PUDONG)?.infections[0]?.knownFrom).toBe(500);
    expect([499, 500].map((at) => store.regions.historyAt(at).risk(PUDONG) !== undefined)).toEqual([false, true]);
  });
  test("they don't touch the county's held intervals", () => {
    const store = openWriter();
    deliver(store, published(10, { [PUDONG]: medium(1) }));
    deliver(store, [infected(1)]);
    expect(store.regions.risk(PUDONG)).toMatchObject({ held: [{ from: 10, until: FOREVER }], infections: { length: 1 } });
  });
});

describe("revision and generation", () => {
  const list = published(10, { [PUDONG]: medium(1) });
  const numbers = (regions: RegionStore): number[] => [regions.revision(), regions.generation()];

  test("a delivery that says something new is a new revision and generation, a repeated one is neither", () => {
    const store = openWriter();
    const empty = numbers(store.regions);
    deliver(store, list);
    const first = numbers(store.regions);
    deliver(store, list);
    const repeated = numbers(store.regions);
    deliver(store, [infected(1)]);
    const second = numbers(store.regions);
    expect(first.map((n, i) => n > empty[i]!)).toEqual([true, true]);
    expect(repeated).toEqual(first);
    expect(second.map((n, i) => n > first[i]!)).toEqual([true, true]);
  });
  test("a transaction that is given up is another generation: what was computed inside it is void", () => {
    const store = openWriter();
    deliver(store, list);
    let inside = -1;
    expect(() => {
      store.transaction(() => {
        store.regions.put({ ...NO_CHANGE, publications: [published(20, {})] }, "released");
        inside = store.regions.generation();
        throw new Error("half-way");
      });
    }).toThrow();
    expect(store.regions.generation()).not.toBe(inside);
    expect(store.regions.risk(PUDONG)?.held).toEqual([{ from: 10, until: FOREVER }]);
  });
  test("the history is the same after opening anew", async () => {
    await fc.assert(
      fc.asyncProperty(deliveries, async (all) => {
        const folder = join(temporaryFolder(), "evidence");
        const first = openWriter(folder);
        for (const d of all) deliver(first, d);
        const before = snapshot(first);
        await first.flushed();
        await close(first);
        const reader = openEvidenceReader(folder);
        opened.add(reader);
        expect(snapshot(reader)).toEqual(before);
        await close(reader);
      }),
      { numRuns: 15 },
    );
  });
  test("the revision is the same after opening anew, asked for before anything else", async () => {
    const folder = join(temporaryFolder(), "evidence");
    const first = openWriter(folder);
    deliver(first, list);
    const before = first.regions.revision();
    await first.flushed();
    await close(first);
    expect(openWriter(folder).regions.revision()).toBe(before);
  });
});

describe("as of an instant", () => {
  test("what rests on history says so until that has arrived: lists, infections and screenings", () => {
    const known = { knownFrom: 200, receivedAt: 300 };
    const changes: RegionChange[] = [
      { ...NO_CHANGE, publications: [{ ...published(200, { [PUDONG]: medium(1) }), ...known }] },
      { ...NO_CHANGE, infections: [{ factKey: factKey(1), revision: 1, infection: { county: PUDONG, day: 19000, count: 1, ...known } }] },
      { ...NO_CHANGE, screenings: [{ factKey: factKey(1), revision: 1, screening: { county: PUDONG, rounds: [{ from: 200, until: 250 }], ...known } }] },
    ];
    for (const change of changes) {
      const store = openWriter();
      store.transaction(() => store.regions.put(change, null));
      expect([199, 200, 299, 300].map((at) => store.regions.historyAt(at).restsOnHistory)).toEqual([false, true, true, false]);
    }
  });
  test("of one thing told twice what arrived first counts, in whatever order it is applied: lists, infections and screenings", () => {
    const changeOf = (known: Known): RegionChange[] => [
      { ...NO_CHANGE, publications: [{ ...published(200, { [PUDONG]: medium(1) }), ...known }] },
      { ...NO_CHANGE, infections: [{ factKey: factKey(1), revision: 1, infection: { county: PUDONG, day: 19000, count: 1, ...known } }] },
      { ...NO_CHANGE, screenings: [{ factKey: factKey(1), revision: 1, screening: { county: PUDONG, rounds: [{ from: 200, until: 250 }], ...known } }] },
    ];
    const [live, later, history] = [{ knownFrom: 300 }, { knownFrom: 400 }, { knownFrom: 200, receivedAt: 350 }];
    const since = (...told: Known[]): number[][] =>
      [0, 1, 2].map((kind) => {
        const store = openWriter();
        for (const known of told) store.transaction(() => store.regions.put(changeOf(known)[kind]!, null));
        const isKnown = (at: number): boolean => {
          const regions = store.regions.historyAt(at);
          return regions.risk(PUDONG) !== undefined || regions.screenings(PUDONG).length > 0;
        };
        return [[200, 300, 400].find(isKnown)!, [200, 300, 349].filter((at) => store.regions.historyAt(at).restsOnHistory).length];
      });
    // Since when, and at how many instants it rests on history.
    for (const told of [[live, later], [later, live], [live, history], [history, live]]) expect(since(...told)).toEqual(Array(3).fill([300, 0]));
    for (const told of [[history, later], [later, history]]) expect(since(...told)).toEqual(Array(3).fill([200, 3]));
  });
  test("a list that waits for its crowd goes on waiting at each instant, also when it turns out to have arrived earlier", () => {
    const store = openWriter();
    for (const knownFrom of [400, 300]) store.transaction(() => store.regions.put({ ...NO_CHANGE, publications: [published(200, { [PUDONG]: medium(1) }, knownFrom)] }, "gain"));
    store.transaction(() => store.regions.mark(store.regions.publications(1)[0]!.id, "released", 500));
    expect([300, 399, 400, 499, 500].map((at) => store.regions.historyAt(at).risk(PUDONG) !== undefined)).toEqual([false, false, false, false, true]);
  });
  test("what arrived when it became known rests on none", () => {
    const store = openWriter();
    deliver(store, published(200, { [PUDONG]: medium(1) }));
    deliver(store, [infected(1, { knownFrom: 200 })]);
    expect([199, 200, 300].map((at) => store.regions.historyAt(at).restsOnHistory)).toEqual([false, false, false]);
  });
});
