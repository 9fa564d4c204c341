// The run small, so that it can't rot; and what it delivers.

import { expect, test } from "vitest";
import { parseInstant } from "../../core/domain/index.ts";
import { FEEDS, readBatch } from "../../core/ingest/index.ts";
import { keyring } from "../../test/ingestSupport.ts";
import { createDeliveries, type Delivery } from "./deliveries.ts";
import { chaosIngest } from "./ingest.ts";

const AT = parseInstant("2022-06-09T07:30:00+08:00")!;

function first(count: number, seed: number): Delivery[] {
  const deliveries = createDeliveries({ seed, holders: 300, at: AT });
  return Array.from({ length: count }, () => deliveries.next().value!);
}

test("a few kills lose nothing", async () => {
  const { json, holds } = await chaosIngest({ kills: 4, seed: 5, holders: 200 }, () => undefined);
  expect(json).toMatchObject({ chaos: "ingest", kills: 4, lost: 0, wrong_entries: 0 });
  expect(json["acknowledged"]).toBeGreaterThan(0);
  expect(json["entries"]).toBeGreaterThan(100);
  expect(holds).toBe(true);
});

test("deliveries are those of their seed, of every feed but an operator's, all acceptable, some again and some in another batch", () => {
  const deliveries = first(800, 1);
  expect(first(800, 1)).toEqual(deliveries);
  expect(first(800, 2)).not.toEqual(deliveries);
  expect(new Set(deliveries.map((d) => d.feed))).toEqual(new Set(FEEDS.filter((feed) => feed !== "packs" && feed !== "decisions")));
  for (const { feed, source, body, rows } of deliveries) {
    const read = readBatch(feed, feed === "risk-areas" ? "publication" : "ndjson", body, { keyring, source, now: AT, isHistory: source === "history" });
    expect(read.refused).toEqual([]);
    expect(read.accepted).toBe(rows);
  }
  const ids = deliveries.map((d) => d.batch);
  expect(new Set(ids).size).toBeLessThan(ids.length);
  const rows = [...new Map(deliveries.map((d) => [d.batch, d])).values()].flatMap((d) => (d.feed === "risk-areas" ? [] : d.body.split("\n").map((row) => `${d.source} ${d.feed} ${row}`)));
  expect(new Set(rows).size).toBeLessThan(rows.length);
});

test("revisions come in any order", () => {
  const seen = new Map<string, number>();
  let late = 0;
  for (const { source, feed, body } of first(400, 3).filter((d) => d.feed === "tests")) {
    for (const { factId, revision } of body.split("\n").map((row) => JSON.parse(row) as { factId: string; revision: number })) {
      const before = seen.get(`${source} ${feed} ${factId}`) ?? 0;
      if (revision < before) late++;
      seen.set(`${source} ${feed} ${factId}`, Math.max(before, revision));
    }
  }
  expect(late).toBeGreaterThan(10);
});
