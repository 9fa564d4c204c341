// The check of the checker: what was acknowledged and is not there is found, and so is an entry that says something else.

import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { keyOfDocument, keyring, NOW, openStores, recordWith, type Stores } from "../../test/ingestSupport.ts";
import { temporaryFolder } from "../../test/support.ts";
import { document, phone } from "../../test/ingestSupport.ts";
import { formatInstant } from "../../core/domain/index.ts";
import { openEvidenceWriter, type EvidenceWriter } from "../../core/evidence/index.ts";
import { readBatch } from "../../core/ingest/index.ts";
import { beijingPack, beijingPackText } from "../../core/policy/index.ts";
import { canonicalRows, compare, putAll, type Acknowledged, type Comparison } from "./compare.ts";

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

const DAY_S = 86_400;
const ndjson = (feed: Acknowledged["feed"], batch: string, rows: readonly object[], receivedAt = NOW): Acknowledged => ({
  ...{ source: "local", feed, batch, contentType: "application/x-ndjson", rows: rows.length, receivedAt },
  body: rows.map((row) => JSON.stringify(row)).join("\n"),
});
const test1 = (factId: string, n: number, hoursAgo: number, over: object = {}): object => ({
  ...{ factId, document: document(n), sampledAt: formatInstant(NOW - (hoursAgo + 8) * 3600), issuedAt: formatInstant(NOW - hoursAgo * 3600), result: "negative", laboratory: "Laboratory" },
  ...over,
});

const HOLDERS = ndjson("holders", "b-1", [1, 2].map((n) => ({ documents: [document(n)], phones: [phone(n)] })));
const TRIPS = ndjson("trips", "b-2", [{ factId: "t-1", phone: phone(1), county: "310101", from: formatInstant(NOW - 5 * DAY_S), to: formatInstant(NOW - 2 * DAY_S) }]);
const TESTS = ndjson("tests", "b-3", [test1("a-1", 1, 30), test1("a-2", 2, 40), test1("a-2", 2, 20, { revision: 2 })]);
const INFECTIONS = ndjson("local-infections", "b-4", [{ factId: "i-1", county: "310101", day: "2022-06-07", count: 3 }]);
const LIST: Acknowledged = {
  ...{ source: "local", feed: "risk-areas", batch: "b-5", contentType: "application/json", rows: 1, receivedAt: NOW },
  body: JSON.stringify({ data: { end_update_time: "2022-06-08 17时", hcount: 1, mcount: 0, highlist: [{ province: "上海市", city: "上海市", county: "徐汇区", communitys: ["some street"] }], middlelist: [] } }),
};
const ALL = [HOLDERS, TRIPS, TESTS, INFECTIONS, LIST];

/** A service to which these were delivered, as its worker applies them. */
async function serviceThatApplied(deliveries: readonly Acknowledged[]): Promise<Stores> {
  const stores = openStores(join(temporaryFolder(), "service"));
  opened.push(stores);
  for (const { feed, source, body, receivedAt } of deliveries) {
    const { rows } = readBatch(feed, feed === "risk-areas" ? "publication" : "ndjson", body, { keyring, source, now: receivedAt, isHistory: false });
    await stores.apply(await stores.store(feed, rows));
  }
  return stores;
}

function freshStore(): EvidenceWriter {
  const fresh = openEvidenceWriter(join(temporaryFolder(), "fresh"));
  opened.push(fresh);
  fresh.transaction(() => fresh.putPack({ name: "pack", text: beijingPackText(), fingerprint: beijingPack().fingerprint, from: NOW, change: null }));
  return fresh;
}

function compared(service: Stores, acknowledged: readonly Acknowledged[]): Comparison {
  const fresh = freshStore();
  const rows = canonicalRows(acknowledged, keyring);
  putAll(rows, fresh);
  return compare(service, fresh, rows, service.clock);
}

test("where everything is there once nothing is lost and nothing wrong, however often and in whatever order it came", async () => {
  const service = await serviceThatApplied([...ALL.toReversed(), TESTS, ndjson("tests", "b-9", [test1("a-2", 2, 40)])]);
  expect(compared(service, [...ALL, { ...TESTS, batch: "b-8" }])).toEqual({ distinctRows: 8, lostRows: 0, entries: 2, wrongEntries: 0, examples: [] });
});

test.each([
  ["holders", HOLDERS, 2],
  ["trips", TRIPS, 1],
  ["tests", TESTS, 3],
  ["local infections", INFECTIONS, 1],
  ["risk lists", LIST, 1],
] as const)("%s that were acknowledged and never applied are lost", async (_, missing, rows) => {
  const service = await serviceThatApplied(ALL.filter((one) => one !== missing));
  expect(compared(service, ALL).lostRows).toBe(rows);
});

test("a lower revision that is missing is lost, although no entry shows it", async () => {
  const newest = ndjson("tests", "b-3", [test1("a-1", 1, 30), test1("a-2", 2, 20, { revision: 2 })]);
  const service = await serviceThatApplied([HOLDERS, TRIPS, newest, INFECTIONS, LIST]);
  expect(compared(service, ALL)).toMatchObject({ lostRows: 1, wrongEntries: 0 });
});

test("an entry that says something else is wrong, and the difference is told without a key", async () => {
  const service = await serviceThatApplied(ALL);
  service.entries.transaction(() => service.entries.put(keyOfDocument(1), recordWith(["popup-5"])));
  const { wrongEntries, lostRows, examples } = compared(service, ALL);
  expect({ wrongEntries, lostRows }).toEqual({ wrongEntries: 1, lostRows: 0 });
  expect(examples[0]).toContain("popup-5");
});

test("an entry that is missing, or that nothing acknowledged explains, is wrong", async () => {
  const service = await serviceThatApplied(ALL);
  service.entries.transaction(() => {
    service.entries.remove(keyOfDocument(1));
    service.entries.put(keyOfDocument(3), recordWith(["home"]));
  });
  expect(compared(service, ALL)).toMatchObject({ entries: 3, wrongEntries: 2 });
});

test("an entry that was computed before the newest fact came is wrong", async () => {
  const service = await serviceThatApplied(ALL);
  const before = Uint8Array.from(service.entries.get(keyOfDocument(2))!);
  const late = ndjson("tests", "b-10", [test1("a-3", 2, 1)]);
  const { rows } = readBatch("tests", "ndjson", late.body, { keyring, source: "local", now: NOW, isHistory: false });
  await service.apply(await service.store("tests", rows));
  service.entries.transaction(() => service.entries.put(keyOfDocument(2), before));
  expect(compared(service, [...ALL, late])).toMatchObject({ lostRows: 0, wrongEntries: 1 });
});

test("of a row that came twice the first arrival counts, also where flags begin by it", async () => {
  const later = { ...INFECTIONS, batch: "b-11", receivedAt: NOW + 500 };
  const service = await serviceThatApplied([HOLDERS, TRIPS, TESTS, LIST, later, INFECTIONS]);
  expect(compared(service, [HOLDERS, TRIPS, TESTS, LIST, later, INFECTIONS]).wrongEntries).toBe(0);
  // As if only the later one had been acknowledged: its pop-up would begin later.
  expect(compared(service, [HOLDERS, TRIPS, TESTS, LIST, later]).wrongEntries).toBe(1);
});
