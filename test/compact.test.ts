// Retention from end to end, on real files: what is past is removed, and after fangxing compact no byte of it is left anywhere in the data folder.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { SubjectKey } from "../core/domain/index.ts";
import { createExplainer } from "../core/explain/explainer.ts";
import { createSchedule } from "../core/ingest/schedule.ts";
import { createPurge } from "../core/ingest/retention.ts";
import { createTurns } from "../core/ingest/apply.ts";
import { USUAL_LIMITS } from "../core/ingest/index.ts";
import { claimForService, dataFolder, prepareFolder } from "../ops/dataFolder.ts";
import { contentOf, document, inboxRows, instant, keyOfDocument, NOW, openStores, phone, type Stores } from "./ingestSupport.ts";
import { cli, removeFolder, temporaryFolder } from "./service.ts";

const DAY = 86_400;
const folders: string[] = [];
afterEach(() => folders.splice(0).forEach(removeFolder));

function purgeOf({ inbox, evidence, entries, clock, evaluator }: Stores) {
  const packNumber = evidence.packNumber();
  const nothing = (): void => undefined;
  return createPurge({ ...{ inbox, evidence, entries, evaluator, packNumber, clock }, adopt: nothing, limits: USUAL_LIMITS, say: nothing, onChange: nothing, exclusively: createTurns(), turn: createSchedule(), isStopping: () => false });
}

/** All bytes of all files below a folder. */
function bytesOf(folder: string): Buffer {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Buffer.concat(names.map((entry) => readFileSync(join(entry.parentPath, entry.name))));
}

test("of facts that are past no byte is left after compact; those that are not, and the entries, stay", async () => {
  const folder = dataFolder(temporaryFolder());
  folders.push(folder.path);
  prepareFolder(folder);
  claimForService(folder);
  let stores = openStores(folder.path);
  const at = (days: number): string => new Date((NOW + days * DAY) * 1000).toISOString().replace(/\.\d+/, "");
  const old: string[] = [];
  for (let i = 0; i < 300; i++) {
    await stores.deliver("holders", [{ documents: [document(i)], phones: [phone(i)] }]);
    await stores.deliver("trips", [
      { factId: `past-${i}`, phone: phone(i), county: "310101", from: at(-9), to: at(-5) },
      { factId: `home-${i}`, phone: phone(i), county: "110101", from: at(-4) },
    ]);
    const result = { document: document(i), result: "negative", county: "110105" };
    await stores.deliver("tests", [
      { ...result, factId: `old-${i}`, sampledAt: at(-3), issuedAt: at(-3), laboratory: `Bygone Laboratory ${i}` },
      { ...result, factId: `new-${i}`, sampledAt: at(-1), issuedAt: at(-1), laboratory: `Lasting Laboratory ${i}` },
    ]);
    old.push(`past-${i}`);
  }
  for (const sequence of stores.inbox.pending()) await stores.inbox.finish(sequence);
  const rows = old.flatMap((factId, i) => inboxRows("trips", [{ factId, phone: phone(i), county: "310101", from: at(-9), to: at(-5) }]));
  const facts = rows.map((row) => row as { subject: SubjectKey; factKey: Uint8Array });
  const countyKeys = facts.map(({ subject }) => Buffer.concat([Buffer.from([0, 4, 0xbb, 0x55]), subject]));
  // Part of what a key of each fact, of its place in the index and of its text is made of.
  const traces = [...facts.map(({ factKey }) => Buffer.from(factKey)), ...countyKeys, ...old.map((_, i) => Buffer.from(`Bygone Laboratory ${i}`))];
  const found = (): number => {
    const bytes = bytesOf(folder.path);
    return traces.filter((trace) => bytes.includes(trace)).length;
  };
  expect(stores.evidence.visitorCount(310101)).toBe(300);
  expect(found()).toBe(traces.length);

  stores.clock.seconds = NOW + 70 * DAY;
  expect(await purgeOf(stores).run()).toBe(600);
  // Once a day.
  expect(await purgeOf(stores).run()).toBeUndefined();
  expect(stores.evidence.visitorCount(310101)).toBe(0);
  expect(stores.evidence.visitorCount(110101)).toBe(300);
  const kept = stores.evidence.holder(keyOfDocument(7)).evidence.facts;
  expect(kept.map((f) => [f.kind, f.kind === "test" ? f.laboratory : ""])).toEqual([["test", "Lasting Laboratory 7"], ["trip", ""]]);
  const explainer = createExplainer(stores.evidence);
  expect(() => explainer.explain(keyOfDocument(7), NOW, stores.clock.seconds)).toThrow(/lies before what is still known.*2022-07-19/);
  expect(explainer.explain(keyOfDocument(7), instant("2022-07-19T00:00:00+08:00"), stores.clock.seconds).registered).toBe(true);
  // Told again by a source that still has it, it is not taken in, and nothing follows from it.
  const content = contentOf(stores.entries, keyOfDocument(7));
  const again = await stores.deliver("trips", [{ factId: "past-7", phone: phone(7), county: "310101", from: at(-9), to: at(-5) }]);
  expect([stores.evidence.progress(again)!.tooLate, contentOf(stores.entries, keyOfDocument(7))]).toEqual([1, content]);
  await stores.inbox.finish(again);
  await stores.evidence.flushed();
  const before = Array.from({ length: 300 }, (_, i) => [contentOf(stores.entries, keyOfDocument(i)), stores.evidence.holder(keyOfDocument(i)).evidence]);
  await stores.close();
  // Removed, and still in the files: else the rest would show nothing.
  expect(found()).toBeGreaterThan(traces.length / 2);

  // As a command that was killed would leave it.
  mkdirSync(`${folder.evidence}-rewritten`);
  writeFileSync(join(`${folder.evidence}-rewritten`, "data.mdb"), "half");
  const done = await cli(["compact", "--data", folder.path]);
  expect(done).toMatchObject({ status: 0, err: "" });
  expect(done.out).toMatch(/evidence: \d+ keys, \d+ bytes before, \d+ after/);
  expect(found()).toBe(0);
  expect(readdirSync(folder.path).filter((name) => name.includes("rewritten"))).toEqual([]);
  stores = openStores(folder.path);
  expect(Array.from({ length: 300 }, (_, i) => [contentOf(stores.entries, keyOfDocument(i)), stores.evidence.holder(keyOfDocument(i)).evidence])).toEqual(before);
  stores.clock.seconds = NOW + 70 * DAY;
  await stores.deliver("tests", [{ factId: "after", document: document(1), sampledAt: at(69), issuedAt: at(69), result: "negative", laboratory: "Next Laboratory", county: "110105" }]);
  await stores.close();
});
