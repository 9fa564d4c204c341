// How does the cost of a scan grow with the number of entries?
//
// The same lookup process on stores of more and more entries, and the sequential loop of mdb_get in C over the same entries: what the loop's cost grows by is what the
// tree's depth and the processor's caches cost on this machine, and a scan may not grow by more. CPU of the serving process, medians of alternating rounds.

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { buildCity, openSession, startLookup } from "./city.ts";
import { prepareLoops } from "./peers/lmdb.ts";
import { median, rounded, runClient, type LoopRound, type Round } from "./processes.ts";
import { buildPrograms, type Programs } from "./programs.ts";
import type { BenchResult } from "./run.ts";

const SIZES = [100_000, 1_000_000, 10_000_000, 22_000_000];
const FULL_SIZE = 100_000_000;
const ROUND_STEP = 397 * 1024;
/** What a scan may grow by beyond the loop's growth, as a share of its cost at the smallest size: the noise of such a measurement. */
const NOISE = 0.1;

interface Step {
  readonly entries: number;
  readonly frame_us: number;
  readonly c_us: number;
  readonly depth: number;
  readonly file_mib: number;
  readonly load_s: number;
  readonly rounds: { readonly frames: readonly Round[]; readonly cSequential: readonly LoopRound[] };
}

export const scale = {
  question: "how does the cost of a scan grow with the number of entries?",
  options: ["--entries N: only sizes up to N (22000000)", "--rounds N: rounds in turn (5)", "--seconds N: length of a round (3)", "--full: 100 million too"],
  async run(option: (name: string, initial: number) => number, progress: (line: string) => void, has: (flag: string) => boolean): Promise<BenchResult> {
    const largest = option("entries", has("full") ? FULL_SIZE : SIZES.at(-1)!);
    const [rounds, seconds] = [option("rounds", 5), option("seconds", 3)];
    const sizes = [...new Set([...SIZES, FULL_SIZE].filter((size) => size < largest)), largest];
    const base = mkdtempSync(join(tmpdir(), "fangxing-bench-"));
    try {
      const programs = buildPrograms(base);
      const steps: Step[] = [];
      for (const entries of sizes) {
        progress(`${entries} entries`);
        const folder = join(base, String(entries));
        mkdirSync(folder);
        steps.push(await measure(folder, programs, { entries, rounds, seconds }, progress));
        rmSync(folder, { recursive: true });
      }
      const [first] = steps as [Step];
      const beyond = steps.map((step) => rounded(step.frame_us - first.frame_us - (step.c_us - first.c_us)));
      const faults = steps.flatMap((step) => step.rounds.frames.filter(({ wrong }) => wrong > 0).map(({ wrong }) => `${wrong} wrong answers at ${step.entries} entries`));
      const bends = bendsOf(steps);
      const json = { bench: "scale", steps: steps.map((step, i) => ({ ...step, beyond_c_us: beyond[i] })), bends, last_level_cache_mib: lastLevelCacheMib(), faults };
      const table = [
        `CPU of a scan in frames of 64, medians of ${rounds} rounds; a scan may grow by what mdb_get in C grows by, and ${NOISE * 100} % of its first cost for noise`,
        "      entries  µs a scan  C loop, µs  grown beyond it  depth  file, MiB",
        ...steps.map((s, i) => `  ${String(s.entries).padStart(11)} ${String(s.frame_us).padStart(10)} ${String(s.c_us).padStart(11)} ${String(beyond[i]).padStart(16)} ${String(s.depth).padStart(6)} ${String(s.file_mib).padStart(10)}`),
        ...bends.map((bend) => `  ${bend}`),
        ...faults.map((fault) => `  WRONG ANSWERS: ${fault}`),
      ];
      return { table, json, holds: faults.length === 0 && beyond.every((us) => us <= first.frame_us * NOISE) };
    } finally {
      rmSync(base, { recursive: true, force: true });
    }
  },
};

async function measure(folder: string, programs: Programs, { entries, rounds, seconds }: { entries: number; rounds: number; seconds: number }, progress: (line: string) => void): Promise<Step> {
  const children: Subprocess[] = [];
  try {
    const city = await buildCity(folder, entries, progress);
    const { questions, questions: { drawn } } = city;
    const loop = await prepareLoops(folder, programs, city);
    const lookup = await startLookup(children, city);
    const token = await openSession(lookup, city);
    const frames: Round[] = [];
    const cSequential: LoopRound[] = [];
    // Round 0 warms up.
    for (let round = 0; round <= rounds; round++) {
      const start = (round * ROUND_STEP) % drawn;
      const command = [programs.frameScans, String(lookup.port), questions.questions, questions.kinds, questions.known, String(start), String(seconds)];
      const found = [await runClient([lookup], command, { TOKEN: token }), await loop("lmdbSequential", start, seconds)] as const;
      if (round === 0) continue;
      frames.push(found[0]);
      cSequential.push(found[1]);
    }
    return {
      entries,
      frame_us: rounded(median(frames.map((r) => r.us))),
      c_us: rounded(median(cSequential.map((r) => r.us))),
      depth: cSequential[0]!.depth,
      file_mib: rounded((city.bytesAnEntry * entries) / 2 ** 20),
      load_s: rounded(city.loadS),
      rounds: { frames, cSequential },
    };
  } finally {
    for (const child of children) child.kill();
    await Promise.all(children.map((child) => child.exited));
  }
}

/** What lies between two sizes that makes the second dearer. */
function bendsOf(steps: readonly Step[]): string[] {
  const cacheMib = lastLevelCacheMib();
  return steps.slice(1).map((step, i) => {
    const before = steps[i]!;
    const reasons = [
      ...(step.depth > before.depth ? [`the tree is ${step.depth} pages deep instead of ${before.depth}`] : []),
      ...(cacheMib !== null && before.file_mib <= cacheMib && step.file_mib > cacheMib ? [`the file no longer fits into the last cache (${cacheMib} MiB)`] : []),
      ...(cacheMib !== null && before.file_mib > cacheMib ? [`less of the file is in the last cache: ${rounded((cacheMib / before.file_mib) * 100)} % before, ${rounded((cacheMib / step.file_mib) * 100)} % now`] : []),
    ];
    return `from ${before.entries} to ${step.entries}: ${rounded(step.frame_us - before.frame_us)} µs more (C ${rounded(step.c_us - before.c_us)})${reasons.length === 0 ? "" : `: ${reasons.join(", ")}`}`;
  });
}

/** Of the first core, as the kernel tells; null: it doesn't. A virtual machine may have to share it. */
function lastLevelCacheMib(): number | null {
  try {
    return Number(/(\d+)K/.exec(readFileSync("/sys/devices/system/cpu/cpu0/cache/index3/size", "utf8"))![1]) / 1024;
  } catch {
    return null;
  }
}
