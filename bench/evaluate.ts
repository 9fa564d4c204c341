// How long does it take to evaluate a holder, and how much of it goes into allocation?
//
// The demo city's own evidence, read into memory before; the median of many rounds over a few holders at a time, once over the city and once over holders of ten facts
// each. Allocation shows as what the garbage collector takes: a second run logs its pauses.

import { fileURLToPath } from "node:url";
import type { BenchResult } from "./run.ts";
import { startService } from "./service.ts";

const US_MAX_TEN_FACTS = 5;

interface LoopResult {
  readonly holders: number;
  readonly facts_per_holder: number;
  readonly us_per_holder: number;
  readonly ten_holders: number;
  readonly us_per_holder_ten_facts: number;
  readonly measured_ms: number;
  readonly checksum: string;
}

export const evaluate = {
  question: "how long does it take to evaluate a holder, and how much of it goes into allocation?",
  options: ["--holders N: size of the demo city (20000)", "--rounds N: rounds over all of them (31)"],
  async run(option: (name: string, initial: number) => number, progress: (line: string) => void): Promise<BenchResult> {
    const holders = option("holders", 20_000);
    const rounds = option("rounds", 31);
    progress(`loading a demo city of ${holders} holders`);
    const service = await startService(holders);
    try {
      progress("evaluating");
      const { result } = await loop(service.evidenceFolder, rounds, false);
      const logged = await loop(service.evidenceFolder, rounds, true);
      const allocationShare = logged.gcMs / logged.result.measured_ms;
      const json = {
        bench: "evaluate",
        ...result,
        us_per_holder: round(result.us_per_holder),
        us_per_holder_ten_facts: round(result.us_per_holder_ten_facts),
        facts_per_holder: round(result.facts_per_holder),
        measured_ms: Math.round(result.measured_ms),
        allocation_share: round(allocationShare),
      };
      const table = [
        `${json.holders} holders of the demo city, ${json.facts_per_holder} facts each on the average: ${json.us_per_holder} µs a holder`,
        `${json.ten_holders} holders of ten facts each: ${json.us_per_holder_ten_facts} µs a holder (goal ${US_MAX_TEN_FACTS})`,
        `of it in the garbage collector: ${(100 * json.allocation_share).toFixed(1)} %`,
      ];
      return { table, json, holds: json.us_per_holder_ten_facts <= US_MAX_TEN_FACTS };
    } finally {
      await service.stop();
    }
  },
};

/** Runs the loop; with `isLogged` the collector says each pause on standard error. */
async function loop(folder: string, rounds: number, isLogged: boolean): Promise<{ result: LoopResult; gcMs: number }> {
  const file = fileURLToPath(new URL("./evaluateLoop.ts", import.meta.url));
  const env = { ...process.env, ...(isLogged ? { BUN_JSC_logGC: "1" } : {}) };
  const child = Bun.spawn([process.execPath, file, folder, String(rounds)], { stdin: "ignore", stdout: "pipe", stderr: "pipe", env });
  const [out, log] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  if (child.exitCode !== 0) throw new Error(`the loop failed: ${log.slice(-2000)}`);
  const measured = log.slice(log.indexOf("measuring begins"), log.indexOf("measuring ends"));
  const pauses = [...measured.matchAll(/p=([\d.]+)ms \(max/g)].map((m) => Number(m[1]));
  return { result: JSON.parse(out.trim().split("\n").at(-1)!) as LoopResult, gcMs: pauses.reduce((sum, ms) => sum + ms, 0) };
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
