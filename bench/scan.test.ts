// The benches of scans run small, so that they can't rot; nothing here depends on how fast they are.

import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { afterAll, expect, test } from "vitest";
import { isRefusal, KEY_BYTES, parseDocument, type DocumentKey } from "../core/domain/index.ts";
import { openEntryReader, openEntryWriter } from "../core/entry/index.ts";
import { buildCity, openSession, startLookup } from "./city.ts";
import { KINDS, numberOf, recordsAt } from "./entries.ts";
import { loadEntries } from "./loader.ts";
import { prepareLoops } from "./peers/lmdb.ts";
import { redisBinary } from "./peers/redis.ts";
import { runClient } from "./processes.ts";
import { buildPrograms, missingPackages } from "./programs.ts";
import { scale } from "./scale.ts";
import { scan } from "./scan.ts";
import { brokenGoals, type Figures } from "./scanGoals.ts";

/** The peers are built with Debian's packages, which not every machine has. */
const canBuild = missingPackages().length === 0;
const hasPeers = redisBinary() !== null && Bun.which("node") !== null;
const silent = (): undefined => undefined;
const given = (values: Record<string, number>) => (name: string): number => values[name]!;

const base = mkdtempSync(join(tmpdir(), "fangxing-test-"));
const children: Subprocess[] = [];
afterAll(async () => {
  for (const child of children) child.kill();
  await Promise.all(children.map((child) => child.exited));
  rmSync(base, { recursive: true, force: true });
});

test("the numbers of the entries are valid and all different", () => {
  const numbers = Array.from({ length: 20_000 }, (_, i) => numberOf(i * 997));
  expect(numbers.filter((number) => isRefusal(parseDocument({ type: "resident-id", number })))).toEqual([]);
  expect(new Set(numbers).size).toBe(numbers.length);
});

test("the loader writes each document's entry, ascending, and a store that held others is as dense as an empty one", async () => {
  const [count, at, secret] = [20_000, 1_654_731_000, new Uint8Array(32).fill(7)];
  const load = async (name: string): Promise<Buffer> => {
    await loadEntries({ folder: join(base, name), sortedFile: join(base, `${name}-sorted`), secret, count, at }, silent);
    return readFileSync(join(base, `${name}-sorted`));
  };
  const sorted = await load("empty");
  const rows = Array.from({ length: count }, (_, i) => sorted.subarray(i * (KEY_BYTES + 1), (i + 1) * (KEY_BYTES + 1)));
  expect(sorted.length).toBe(count * (KEY_BYTES + 1));
  expect(rows.slice(1).filter((row, i) => Buffer.compare(rows[i]!.subarray(0, KEY_BYTES), row.subarray(0, KEY_BYTES)) >= 0)).toEqual([]);
  const kinds = Array.from({ length: KINDS }, (_, kind) => rows.filter((row) => row[KEY_BYTES] === kind).length);
  expect(kinds).toEqual(Array.from({ length: KINDS }, () => count / KINDS));
  const reader = openEntryReader(join(base, "empty"));
  const records = recordsAt(at);
  expect(reader.count()).toBe(count);
  for (const row of rows) expect(Buffer.from(reader.get(row.subarray(0, KEY_BYTES) as Uint8Array as DocumentKey)!).equals(records[row[KEY_BYTES]!]!)).toBe(true);
  await reader.close();

  const before = openEntryWriter(join(base, "held"));
  before.transaction(() => {
    for (let i = 0; i < 256; i++) before.put(new Uint8Array(KEY_BYTES).fill(i) as DocumentKey, records[0]!);
  });
  await before.close();
  expect((await load("held")).equals(sorted)).toBe(true);
  const bytes = (name: string): number => statSync(join(base, name, "data.mdb")).size;
  expect(bytes("held") / bytes("empty")).toBeLessThan(1.2);
});

test.skipIf(!canBuild)("the clients tell answers that are not what was written", async () => {
  const folder = join(base, "wrong");
  const programs = buildPrograms(mkdtempSync(join(base, "programs-")));
  const city = await buildCity(mkdtempSync(folder), 2000, silent);
  const { questions } = city;
  const lookup = await startLookup(children, city);
  const environment = { TOKEN: await openSession(lookup, city) };
  const kinds = readFileSync(questions.kinds);
  // The first question's record is of another kind than the clients are told: another pop-up or another age.
  kinds[0] = (kinds[0]! + 1) % KINDS;
  const shifted = join(base, "kinds");
  writeFileSync(shifted, kinds);
  for (const client of [programs.frameScans, programs.httpScans]) {
    const round = (told: string) => runClient([lookup], [client, String(lookup.port), questions.questions, told, questions.known, "0", "0"], environment);
    expect((await round(questions.kinds)).wrong).toBe(0);
    expect((await round(shifted)).wrong).toBe(1);
  }
  const loop = await prepareLoops(mkdtempSync(folder), programs, city);
  for (const program of ["lmdbSequential", "lmdbOverlapped"] as const) expect(await loop(program, 64, 0)).toMatchObject({ wrong: 0, checksum: questions.recordChecksum(64) });
  expect(questions.recordChecksum(64)).not.toBe(questions.recordChecksum(0));
});

test.skipIf(!canBuild || !hasPeers)("scan runs small: all sides answer, and their answers agree", async () => {
  const { table, json } = await scan.run(given({ entries: 2000, rounds: 1, seconds: 1 }), silent, () => false);
  expect(table.length).toBeGreaterThan(0);
  expect(json["faults"]).toEqual([]);
  const figures = ["http_vs_bare", "code_vs_bare", "stream_vs_c", "stream_vs_c_batched", "vs_fastify_redis", "vs_redis_pipeline", "scans_per_s_core", "http_scans_per_s_core", "disk_bytes_per_entry"];
  for (const field of [...figures, "private_rss_mb", "cold_start_ms", "redis_memory_mb", "redis_fill_s", "redis_cold_start_ms", "load_s", "checksum"]) expect(json[field], field).toEqual(expect.any(Number));
}, 120_000);

test.skipIf(!canBuild)("scale runs small", async () => {
  const { json } = await scale.run(given({ entries: 2000, rounds: 1, seconds: 1 }), silent, () => false);
  expect(json).toMatchObject({ faults: [], bends: [], steps: [{ entries: 2000, beyond_c_us: 0, frame_us: expect.any(Number) as number, c_us: expect.any(Number) as number }] });
}, 120_000);

test("a promise is broken by the first figure beyond it, not by one exactly at it; and by one that could not be taken", () => {
  const held: Figures = {
    http_vs_bare: 1.5, code_vs_bare: 1.65, stream_vs_c: 1, stream_vs_c_batched: 99, vs_fastify_redis: 2.5, vs_redis_pipeline: 2, scans_per_s_core: 800_000, http_scans_per_s_core: 60_000,
    disk_bytes_per_entry: 128, private_rss_mb: 150, cold_start_ms: 800,
  };
  expect(brokenGoals(held)).toEqual([]);
  expect(brokenGoals({ ...held, stream_vs_c: 1.01, scans_per_s_core: 799_999 })).toEqual(["stream_vs_c", "scans_per_s_core"]);
  expect(brokenGoals({ ...held, vs_redis_pipeline: null, stream_vs_c_batched: null })).toEqual(["vs_redis_pipeline"]);
});
