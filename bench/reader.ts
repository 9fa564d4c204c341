// What does it cost to read an entry, one key alone and 64 at once, with the mapped reader and with the library's?
//
// Both in one process on one core, in turn, round by round, each with keys of its own drawn evenly from all entries; CPU time, medians of the rounds, and the median of the rounds'
// ratios. Every record is verified by its checksum on both sides: by the caller where the reader doesn't.

import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ReaderRounds } from "./readerLoop.ts";
import type { BenchResult } from "./run.ts";

export const reader = {
  question: "what does it cost to read an entry, one key alone and 64 at once, with the mapped reader and with the library's?",
  options: ["--entries N: how many (1000000)", "--rounds N: rounds in turn (15)", "--keys N: keys a reader looks up in a round (200000)"],
  async run(option: (name: string, initial: number) => number, progress: (line: string) => void): Promise<BenchResult> {
    const [entries, rounds, keys] = [option("entries", 1_000_000), option("rounds", 15), option("keys", 200_000)];
    const folder = mkdtempSync(join(tmpdir(), "fangxing-reader-"));
    try {
      progress(`writing ${entries} entries`);
      await loop(["load", folder, String(entries)]);
      progress("reading");
      const { us, opened_ms, fallbacks, checksums } = JSON.parse(await loop(["measure", folder, String(entries), String(rounds), String(keys)])) as ReaderRounds;
      const ratio = (a: readonly number[], b: readonly number[]): number => round2(median(a.map((value, i) => value / b[i]!)));
      const json = {
        bench: "reader",
        entries,
        batch_us: round2(median(us.mapped_batch)),
        library_batch_us: round2(median(us.library_batch)),
        batch_vs_library: ratio(us.mapped_batch, us.library_batch),
        one_us: round2(median(us.mapped_one)),
        library_one_us: round2(median(us.library_one)),
        one_vs_library: ratio(us.mapped_one, us.library_one),
        opened_ms: round2(opened_ms),
        fallbacks,
        checksums,
        rounds: us,
      };
      const table = [
        `${entries} entries; medians of ${rounds} rounds of ${keys} keys, microseconds of CPU a key`,
        `  64 at once: mapped ${json.batch_us}, library ${json.library_batch_us}: ratio ${json.batch_vs_library}`,
        `  one alone:  mapped ${json.one_us}, library ${json.library_one_us}: ratio ${json.one_vs_library}`,
        `  opened in ${json.opened_ms} ms; answers left to the library: ${fallbacks}`,
      ];
      return { table, json, holds: json.batch_vs_library < 1 && json.one_vs_library < 1 && fallbacks === 0 && new Set(checksums).size === 1 };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function loop(words: readonly string[]): Promise<string> {
  const pinned = cpus().length > 1 && Bun.which("taskset") !== null ? ["taskset", "-c", "1"] : [];
  const child = Bun.spawn([...pinned, process.execPath, fileURLToPath(new URL("./readerLoop.ts", import.meta.url)), ...words], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  const said = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`the loop of the bench failed: ${words[0]!}`);
  return said;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function round2(value: number): number {
  return Math.round(value * 100) / 100;
}
