// How many records a second does the service take in, from the first byte of a delivery until the entries of all are visible?
//
// Millions of holders lie in the stores; tests of holders drawn at random are delivered to the real service, several batches at once. API, Redis and this client share the first
// core, the worker has the second. Beside it, on the same stores and in the same run, the plain way: one BullMQ job a record (peers/jobPerRecord.ts), which has both cores.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Subprocess } from "bun";
import { createKeyring, type Keyring } from "../core/access/index.ts";
import { isRefusal, now, parseDocument, type DocumentKey, type Instant } from "../core/domain/index.ts";
import { decodeEntry, openEntryReader } from "../core/entry/index.ts";
import { bodyOf, CONTENT_TYPES, drawn, SPAN_S, type DeliveryFormat, type Drawn } from "./deliveries.ts";
import { numberOf } from "./entries.ts";
import { loadEntries } from "./loader.ts";
import { redisBinary } from "./peers/redis.ts";
import { arePinned, childrenOf, cpuUs, median, pinTo, rounded, startServer } from "./processes.ts";
import { documentOf } from "./people.ts";
import { loadEvidence } from "./register.ts";
import type { BenchResult } from "./run.ts";
import { startService, type BenchService } from "./service.ts";

const GOALS: Record<DeliveryFormat, number> = { ndjson: 30_000, hl7: 10_000 };
const VS_JOB_PER_RECORD_MIN = 5;
/** Deliveries under way at once. */
const IN_FLIGHT = 4;
/** Entries that are looked at after each round. */
const SAMPLED = 2000;
const ROLES = ["ingest", "worker", "redis"] as const;

interface IngestRound {
  readonly recordsPerS: number;
  readonly seconds: number;
  /** CPU microseconds a record of each process. */
  readonly us: Readonly<Record<(typeof ROLES)[number], number>>;
  readonly wrong: number;
}

export const ingest = {
  question: "how many records a second does the service take in, until all their entries are visible?",
  options: [
    "--holders N: holders in the stores (5000000)",
    "--records N: records a round (300000)",
    "--batch N: records a delivery (20000)",
    "--rounds N: rounds (2)",
    "--peer-records N: records of the plain way (3000)",
    "--format hl7: messages shaped as laboratories send them, instead of rows of NDJSON",
  ],
  async run(
    option: (name: string, initial: number) => number,
    progress: (line: string) => void,
    _has: (flag: string) => boolean,
    word: (name: string) => string | undefined = () => undefined,
  ): Promise<BenchResult> {
    const format: DeliveryFormat = word("format") === "hl7" ? "hl7" : "ndjson";
    const [holders, records, roundCount] = [option("holders", 5_000_000), option("records", 300_000), option("rounds", 2)];
    const [batch, peerRecords] = [option("batch", 20_000), option("peer-records", 3000)];
    const folder = mkdtempSync(join(tmpdir(), "fangxing-bench-"));
    const children: Subprocess[] = [];
    try {
      const data = join(folder, "data");
      mkdirSync(data);
      const made = await startService(100, data);
      await made.stop();
      const secret = readFileSync(join(data, "secrets", "document.key"));
      const at = now(made.clock);
      const sortedFile = join(folder, "sorted");
      await loadEntries({ folder: join(data, "entries"), sortedFile, secret, count: holders, at }, progress);
      await loadEvidence({ folder: join(data, "evidence"), sortedFile, at }, progress);

      const keyring = createKeyring(secret);
      // Each round's results are newer than those before it, and none lies in the future.
      const fromOf = (round: number): Instant => at - (roundCount + 1 - round) * SPAN_S;
      const rounds: IngestRound[] = [];
      const service = await startService(100, data);
      try {
        const pids = childrenOf(service.pid);
        const role = (name: (typeof ROLES)[number]): number => pids.find(({ command }) => new RegExp(name === "redis" ? "redis-server|valkey-server" : `cli\\.ts ${name}\\b`).test(command))!.pid;
        if (arePinned) for (const name of ROLES) pinTo(name === "worker" ? 1 : 0, role(name));
        for (let round = 0; round < roundCount; round++) {
          const found = await deliverRound(service, keyring, { format, holders, records, batch, round, from: fromOf(round) }, role);
          rounds.push(found);
          progress(`round ${round + 1}: ${rounded(found.recordsPerS)} records/s; µs a record: ${ROLES.map((name) => `${name} ${rounded(found.us[name])}`).join(", ")}`);
        }
      } finally {
        await service.stop();
      }

      const rows = Array.from({ length: peerRecords }, (_, i) => drawn(roundCount * records + i, holders, fromOf(roundCount)));
      const peer = await plainWay(children, folder, bodyOf("ndjson", 0, rows), peerRecords);
      progress(`one job a record: ${rounded(peer.recordsPerS)} records/s, ${rounded(peer.us)} µs a record of its process`);

      const recordsPerS = median(rounds.map((r) => r.recordsPerS));
      const us = (name: (typeof ROLES)[number]): number => rounded(median(rounds.map((r) => r.us[name])));
      const wrong = rounds.reduce((sum, r) => sum + r.wrong, 0);
      const json = {
        ...{ bench: "ingest", format, holders, records, batch, in_flight: IN_FLIGHT, pinned: arePinned },
        records_per_s: rounded(recordsPerS),
        vs_job_per_record: rounded(recordsPerS / peer.recordsPerS),
        ...{ ingest_us: us("ingest"), worker_us: us("worker"), redis_us: us("redis") },
        ...{ peer_records: peerRecords, peer_records_per_s: rounded(peer.recordsPerS), peer_us: rounded(peer.us) },
        ...{ wrong, rounds },
      };
      const broken = [
        ...(recordsPerS >= GOALS[format] ? [] : ["records_per_s"]),
        ...(format === "hl7" || json.vs_job_per_record >= VS_JOB_PER_RECORD_MIN ? [] : ["vs_job_per_record"]),
        ...(wrong === 0 ? [] : ["wrong"]),
      ];
      const table = [
        `${records} records of ${format} a round for ${holders} holders at random, in batches of ${batch}, ${IN_FLIGHT} under way; medians of ${roundCount} rounds${arePinned ? "" : ", ALL SHARE THE CORES"}`,
        `  ${json.records_per_s} records/s from the first byte until all entries are visible (at least ${GOALS[format]})`,
        `  CPU a record: API ${json.ingest_us} µs, worker ${json.worker_us} µs, Redis ${json.redis_us} µs`,
        `  ${json.vs_job_per_record} times one job a record (at least ${VS_JOB_PER_RECORD_MIN}), which has ${json.peer_records_per_s} records/s, ${json.peer_us} µs of its process`,
        wrong === 0 ? "  every entry looked at holds the newest test" : `  WRONG: ${wrong} entries don't hold the newest test`,
        broken.length === 0 ? "  all promises held" : `  not held: ${broken.join(", ")}`,
      ];
      return { table, json, holds: broken.length === 0 };
    } finally {
      for (const child of children) child.kill();
      await Promise.all(children.map((child) => child.exited));
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

interface RoundPlan {
  readonly format: DeliveryFormat;
  readonly holders: number;
  readonly records: number;
  readonly batch: number;
  readonly round: number;
  /** When its first result is issued. */
  readonly from: Instant;
}

async function deliverRound(service: BenchService, keyring: Keyring, { format, holders, records, batch, round, from }: RoundPlan, role: (name: (typeof ROLES)[number]) => number): Promise<IngestRound> {
  const first = round * records;
  const plan = Array.from({ length: records }, (_, i) => drawn(first + i, holders, from));
  const bodies = Array.from({ length: Math.ceil(records / batch) }, (_, b) => bodyOf(format, first + b * batch, plan.slice(b * batch, (b + 1) * batch)));
  const before = ROLES.map((name) => cpuUs(role(name)));
  const startMs = performance.now();
  const waiting = bodies.map((body, b) => ({ body, id: `bench-${round}-${b}`, accepted: Math.min(batch, records - b * batch) }));
  const sent: string[] = [];
  const send = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      await service.deliverBody("tests", next.id, next.body, { contentType: CONTENT_TYPES[format], accepted: next.accepted });
      sent.push(next.id);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, send));
  for (const id of sent) while (!(await service.isApplied("tests", id))) await Bun.sleep(20);
  const seconds = (performance.now() - startMs) / 1000;
  const used = ROLES.map((name, i) => (cpuUs(role(name)) - before[i]!) / records);
  return { recordsPerS: records / seconds, seconds, us: { ingest: used[0]!, worker: used[1]!, redis: used[2]! }, wrong: await wrongEntries(service, keyring, plan) };
}

/** Looks at entries of holders spread over the records, as a gate would read them. @returns how many don't hold the newest test that was delivered. */
async function wrongEntries(service: BenchService, keyring: Keyring, plan: readonly Drawn[]): Promise<number> {
  const newest = new Map<number, number>();
  const step = Math.max(Math.floor(plan.length / SAMPLED), 1);
  for (let i = 0; i < plan.length; i += step) newest.set(plan[i]!.place, 0);
  for (const { place, issuedAt } of plan) if (newest.has(place)) newest.set(place, Math.max(newest.get(place)!, issuedAt));
  const entries = openEntryReader(join(service.folder, "entries"));
  let wrong = 0;
  for (const [place, issuedAt] of newest) {
    const entry = decodeEntry(entries.get(keyOfPlace(place, keyring)) ?? new Uint8Array(0));
    if (typeof entry === "string" || entry.negatives.at(-1)?.issuedAt !== issuedAt) wrong++;
  }
  await entries.close();
  return wrong;
}

function keyOfPlace(place: number, keyring: Keyring): DocumentKey {
  const document = parseDocument(documentOf(numberOf(place)));
  if (isRefusal(document)) throw new Error(`number ${place} is none: ${document.reason}`);
  return keyring.documentKey(document);
}

/** One job a record, on the stores of the service that has stopped. */
async function plainWay(children: Subprocess[], folder: string, body: Uint8Array, records: number): Promise<{ recordsPerS: number; us: number }> {
  const binary = redisBinary();
  if (binary === null) throw new Error("this bench needs redis-server: install the distribution's package of that name");
  const [socket, file] = [join(folder, "peer.sock"), join(folder, "peer-records")];
  writeFileSync(file, body);
  await startServer(children, [binary, "--port", "0", "--unixsocket", socket, "--dir", folder, "--save", "", "--appendonly", "no"], /ready to accept connections()/i);
  const program = fileURLToPath(new URL("./peers/jobPerRecord.ts", import.meta.url));
  const child = Bun.spawn([process.execPath, program, "--data", join(folder, "data"), "--redis", socket, "--records", file], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  children.push(child);
  let said = "";
  let cpuBefore = 0;
  for await (const part of child.stdout) {
    said += new TextDecoder().decode(part);
    if (cpuBefore === 0 && said.includes("ready")) {
      cpuBefore = cpuUs(child.pid);
      void child.stdin.write("begin\n");
      void child.stdin.flush();
    }
    const done = /done ([\d.]+)/.exec(said);
    if (done) return { recordsPerS: (records * 1000) / Number(done[1]), us: (cpuUs(child.pid) - cpuBefore) / records };
  }
  throw new Error(`the plain way did not come to its end: ${said}`);
}
