// What does a scan cost, beside a bare handler of the same server, beside loops in C over the same entries, and beside Redis and a service on it?
//
// The real lookup process on a store of very many entries, pinned to one core, its client to another; CPU of the serving processes from the kernel's accounting; all
// sides in turn, round by round, medians; a round's ratio is of what was measured in that round. Documents are drawn evenly from all entries, other ones in each round. Every answer is
// compared with what the loader wrote, and the checksums of a round's first answers with those of the peers.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Subprocess } from "bun";
import { buildCity, coldStartMs } from "./city.ts";
import { arePinned, median, privateRssMib, rounded, type Round } from "./processes.ts";
import { buildPrograms } from "./programs.ts";
import type { BenchResult } from "./run.ts";
import { brokenGoals, goalLines, LOAD_ENTRIES, LOAD_S_MAX, type Figures } from "./scanGoals.ts";
import { requireTools, SIDES, startSides, type Side } from "./scanSides.ts";

const FULL_ENTRIES = 100_000_000;
/** How far the draws of one round lie from those of the next. */
const ROUND_STEP = 397 * 1024;

export const scan = {
  question: "what does a scan cost beside a bare handler, loops in C, Redis, and Fastify with Redis?",
  options: ["--entries N: how many (1000000)", "--rounds N: rounds in turn (5)", "--seconds N: length of a round (3)", "--full: 100 million entries"],
  async run(option: (name: string, initial: number) => number, progress: (line: string) => void, has: (flag: string) => boolean): Promise<BenchResult> {
    const count = option("entries", has("full") ? FULL_ENTRIES : 1_000_000);
    const [roundCount, seconds] = [option("rounds", 5), option("seconds", 3)];
    requireTools();
    const folder = mkdtempSync(join(tmpdir(), "fangxing-bench-"));
    const children: Subprocess[] = [];
    try {
      const loadBefore = loadavg()[0]!;
      const programs = buildPrograms(folder);
      const city = await buildCity(folder, count, progress);
      const { questions } = city;
      const sides = await startSides(children, folder, programs, city, progress);
      const { lookup, redis } = sides;
      const rounds = Object.fromEntries(SIDES.map((side) => [side, [] as Round[]])) as Record<Side, Round[]>;
      const faults: string[] = [];
      // Round 0 warms up: compilers, page tables.
      for (let round = 0; round <= roundCount; round++) {
        progress(round === 0 ? "warming up" : `round ${round} of ${roundCount}`);
        const start = (round * ROUND_STEP) % questions.drawn;
        const found = await sides.round(start, seconds);
        faults.push(...faultsOf(found, questions.recordChecksum(start)).map((fault) => `round ${round}: ${fault}`));
        for (const [side, measured] of Object.entries(found)) if (round > 0) rounds[side as Side].push(measured);
      }
      const privateMib = privateRssMib(lookup.pid, city.dataFile);
      const coldStarts: number[] = [];
      for (let i = 0; i < roundCount; i++) coldStarts.push(await coldStartMs(children, sides.token, city));
      if (redis) progress("restarting Redis");
      const redisColdMs = await redis?.restart();

      const ratio = (over: Side, under: Side): number | null => (rounds[over].length === 0 ? null : median(rounds[over].map(({ us }, i) => us / rounds[under][i]!.us)));
      const us = (side: Side): number | null => (rounds[side].length === 0 ? null : rounded(median(rounds[side].map((r) => r.us))));
      const perSecond = (side: Side): number => Math.round(median(rounds[side].map((r) => r.perSecond)));
      const figures: Figures = {
        http_vs_bare: ratio("http", "bareHttp"),
        code_vs_bare: ratio("code", "bareCode"),
        stream_vs_c: ratio("frames", "cSequential"),
        stream_vs_c_batched: ratio("frames", "cOverlapped"),
        vs_fastify_redis: ratio("fastifyRedis", "http"),
        vs_redis_pipeline: ratio("redisMget", "frames"),
        scans_per_s_core: perSecond("frames"),
        http_scans_per_s_core: perSecond("http"),
        disk_bytes_per_entry: city.bytesAnEntry,
        private_rss_mb: privateMib,
        cold_start_ms: median(coldStarts),
      };
      const json = {
        bench: "scan",
        entries: count,
        ...Object.fromEntries(Object.entries(figures).map(([field, value]) => [field, value === null ? null : rounded(value)])),
        us: Object.fromEntries(SIDES.map((side) => [side, us(side)])),
        bare_per_s_core: perSecond("bareHttp"),
        http_share_of_bare_rate: rounded(median(rounds.http.map((r, i) => r.perSecond / rounds.bareHttp[i]!.perSecond))),
        load_s: rounded(city.loadS),
        redis_memory_mb: redis ? rounded(redis.memoryMib) : null,
        redis_fill_s: redis ? rounded(redis.fillS) : null,
        redis_cold_start_ms: redisColdMs === undefined ? null : rounded(redisColdMs),
        checksum: rounds.frames[0]!.checksum,
        faults,
        machine: { processor: cpus()[0]!.model, cores: cpus().length, pinned: arePinned, load_before: loadBefore, load_after: loadavg()[0]! },
        versions: { bun: Bun.version, node: redis ? Bun.spawnSync(["node", "--version"]).stdout.toString().trim() : null, fastify: packageVersion("fastify"), ioredis: packageVersion("ioredis"), redis: redis?.version ?? null },
        rounds: { ...rounds, coldStarts },
      };
      const broken = [...brokenGoals(figures), ...(count >= LOAD_ENTRIES && city.loadS > LOAD_S_MAX * (count / LOAD_ENTRIES) ? ["load_s"] : [])];
      const table = [
        `${count} entries, loaded in ${json.load_s} s (22 million in at most ${LOAD_S_MAX}); medians of ${roundCount} rounds${arePinned ? "" : ", SERVERS AND CLIENTS SHARE CORES"}`,
        ...goalLines(figures, {
          http_vs_bare: `${us("http")} / ${us("bareHttp")} µs`,
          code_vs_bare: `${us("code")} / ${us("bareCode")} µs`,
          stream_vs_c: `${us("frames")} / ${us("cSequential")} µs`,
          stream_vs_c_batched: `${us("frames")} / ${us("cOverlapped")} µs`,
          vs_fastify_redis: redis ? `${us("fastifyRedis")} / ${us("http")} µs` : "no memory for Redis",
          vs_redis_pipeline: redis ? `${us("redisMget")} / ${us("frames")} µs` : "no memory for Redis",
          http_scans_per_s_core: `${json.http_share_of_bare_rate} of the bare handler's ${json.bare_per_s_core}`,
          ...(redis ? { private_rss_mb: `Redis ${json.redis_memory_mb}`, cold_start_ms: `Redis ${json.redis_cold_start_ms} from its dump, ${json.redis_fill_s} s to fill` } : {}),
        }),
        faults.length === 0 ? `  every answer as it was written, checksums of all sides agree` : `  WRONG ANSWERS: ${faults.join("; ")}`,
        broken.length === 0 ? "  all promises held" : `  not held: ${broken.join(", ")}`,
      ];
      return { table, json, holds: broken.length === 0 && faults.length === 0 };
    } finally {
      for (const child of children) child.kill();
      await Promise.all(children.map((child) => child.exited));
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** Sides whose answers were not what the loader wrote, or not each other's. */
function faultsOf(found: Partial<Record<Side, Round>>, records: number): string[] {
  const wrong = SIDES.filter((side) => (found[side]?.wrong ?? 0) > 0).map((side) => `${found[side]!.wrong} answers of ${side} are wrong`);
  const raw = (["cSequential", "cOverlapped", "redisMget"] as const).filter((side) => found[side] && found[side].checksum !== records).map((side) => `the records that ${side} read are others`);
  const texts = found.fastifyRedis && found.fastifyRedis.checksum !== found.http?.checksum ? ["Fastify's answers have other bytes"] : [];
  return [...wrong, ...raw, ...texts];
}

function packageVersion(name: string): string {
  return (JSON.parse(readFileSync(fileURLToPath(new URL(`../node_modules/${name}/package.json`, import.meta.url)), "utf8")) as { version: string }).version;
}
