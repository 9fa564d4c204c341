// How long does `fangxing policy diff` take over very many holders, and do gates feel it?
//
// A service with real processes and a crowd in its evidence; one scan after the other at a fixed pace, first in the calm, then while the real command runs; both phases in
// turn, several times.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { now } from "../core/domain/index.ts";
import { beijingPackText } from "../core/policy/index.ts";
import { writeCrowd } from "./crowd.ts";
import { documentOf, inventedNumber } from "./people.ts";
import type { BenchResult } from "./run.ts";
import { startService, type BenchService } from "./service.ts";

const SECONDS_MAX = 30;
const P99_RATIO_MAX = 2;
/** Between the ends of two scans. */
const PACE_MS = 2;


export const policyDiff = {
  question: "how long does it take to measure what a pack of rules would change for every holder, and do gates feel it?",
  options: ["--holders N: how many (1000000)", "--rounds N: calm and measuring in turn (5)", "--calmMs N: length of the calm, milliseconds (10000)"],
  async run(option: (name: string, initial: number) => number, progress: (line: string) => void): Promise<BenchResult> {
    const holders = option("holders", 1_000_000);
    const rounds = option("rounds", 5);
    const calmMs = option("calmMs", 10_000);
    const numbers = Array.from({ length: 500 }, (_, i) => inventedNumber(i));
    const folder = mkdtempSync(join(tmpdir(), "fangxing-bench-"));
    try {
      // The city first: its people can be scanned. Then the crowd, while nobody runs on the folder.
      const city = await startService(1000, folder);
      const at = now(city.clock);
      await city.deliver("holders", "bench-scanned", numbers.map((number) => ({ documents: [documentOf(number)] })));
      while (!(await city.isApplied("holders", "bench-scanned"))) await Bun.sleep(20);
      await city.stop();
      await writeCrowd(join(folder, "evidence"), holders, at, progress);
      const pack = join(folder, "candidate.yaml");
      writeFileSync(pack, beijingPackText().replace("arrivalTest: { popup: 4, withinHours: 72 }", "arrivalTest: { popup: 4, withinHours: 48 }"));
      const service = await startService(1000, folder);
      // The scanning side stands for other machines: where there are several cores, it shares the gates'.
      useCores(Math.max(cpus().length - 1, 1));
      try {
        await scanFor(service, numbers, 2000);
        const results: { seconds: number; calm: number; during: number; measured: number }[] = [];
        for (let round = 0; round < rounds; round++) {
          progress(`round ${round + 1} of ${rounds}: calm`);
          const calm = await scanFor(service, numbers, calmMs);
          progress(`round ${round + 1} of ${rounds}: measuring`);
          const diff = runDiff(folder, pack);
          const during = await scanFor(service, numbers, diff.ended);
          const { seconds, measured } = await diff.result;
          results.push({ seconds, measured, calm: p99(calm), during: p99(during) });
        }
        const seconds = median(results.map((r) => r.seconds));
        const ratio = median(results.map((r) => r.during / r.calm));
        const json = {
          bench: "policy-diff",
          holders: results[0]!.measured,
          seconds: round2(seconds),
          scan_p99_calm_ms: round2(median(results.map((r) => r.calm))),
          scan_p99_during_ms: round2(median(results.map((r) => r.during))),
          scan_p99_ratio: round2(ratio),
          rounds: results.map((r) => ({ seconds: round2(r.seconds), calm_ms: round2(r.calm), during_ms: round2(r.during) })),
        };
        const table = [
          `${json.holders} holders measured in ${json.seconds} s (at most ${SECONDS_MAX}); medians of ${rounds} rounds`,
          `p99 of scans: ${json.scan_p99_calm_ms} ms in the calm, ${json.scan_p99_during_ms} ms meanwhile, ratio ${json.scan_p99_ratio} (at most ${P99_RATIO_MAX})`,
        ];
        return { table, json, holds: seconds <= SECONDS_MAX && ratio <= P99_RATIO_MAX };
      } finally {
        useCores(cpus().length);
        await service.stop();
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** Keeps this process to the first so many cores. */
function useCores(count: number): void {
  Bun.spawnSync(["taskset", "-a", "-c", "-p", `0-${count - 1}`, String(process.pid)], { stdout: "ignore", stderr: "ignore" });
}

/** The command as an operator calls it. `ended` is settled when it is over, however. */
function runDiff(folder: string, pack: string): { ended: Promise<unknown>; result: Promise<{ seconds: number; measured: number }> } {
  const cli = fileURLToPath(new URL("../ops/cli.ts", import.meta.url));
  const startMs = performance.now();
  const child = Bun.spawn([process.execPath, cli, "policy", "diff", pack, "--data", folder], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  const ended = child.exited;
  const result = (async () => {
    const out = await new Response(child.stdout).text();
    await ended;
    const measured = /measured (\d+) holders/.exec(out);
    if (child.exitCode !== 0 || !measured) throw new Error("policy diff failed");
    return { seconds: (performance.now() - startMs) / 1000, measured: Number(measured[1]) };
  })();
  return { ended, result };
}

/** Scans one after the other for so many milliseconds, or until a promise is settled. @returns latencies, milliseconds. */
async function scanFor(service: BenchService, numbers: readonly string[], until: number | Promise<unknown>): Promise<number[]> {
  const phase = { isOver: false };
  const over = typeof until === "number" ? Bun.sleep(until) : until;
  void over.then(() => (phase.isOver = true));
  const latenciesMs: number[] = [];
  for (let i = 0; !phase.isOver; i++) {
    const startMs = performance.now();
    await service.scan(numbers[i % numbers.length]!);
    latenciesMs.push(performance.now() - startMs);
    await Bun.sleep(PACE_MS);
  }
  return latenciesMs;
}

function p99(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(Math.ceil(0.99 * sorted.length) - 1, 0)]!;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function round2(value: number): number {
  return Math.round(value * 100) / 100;
}
