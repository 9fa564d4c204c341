// npm run bench -- NAME [--json] [options]: finds the bench, prints its table, and with --json one object as the last line.
// Exit status 0 only when what the bench promises held.

import { evaluate } from "./evaluate.ts";
import { fanout } from "./fanout.ts";
import { freshness } from "./freshness.ts";
import { ingest } from "./ingest.ts";
import { limiter } from "./limiter.ts";
import { policyDiff } from "./policyDiff.ts";
import { publications } from "./publications.ts";
import { reader } from "./reader.ts";
import { scale } from "./scale.ts";
import { scan } from "./scan.ts";
import { torture } from "./torture.ts";

export interface BenchResult {
  /** Lines of a table for people. */
  readonly table: readonly string[];
  readonly json: Readonly<Record<string, unknown>>;
  readonly holds: boolean;
}

interface Bench {
  readonly question: string;
  readonly options: readonly string[];
  readonly run: (option: (name: string, initial: number) => number, progress: (line: string) => void, has: (flag: string) => boolean, word: (name: string) => string | undefined) => Promise<BenchResult>;
}

const BENCHES: Record<string, Bench> = { evaluate, fanout, freshness, ingest, limiter, "policy-diff": policyDiff, publications, reader, scale, scan, torture };

function help(): string {
  const lines = Object.entries(BENCHES).flatMap(([name, { question, options }]) => [`  ${name}: ${question}`, ...options.map((o) => `      ${o}`)]);
  return ["npm run bench -- NAME [--json] [options]", "", ...lines].join("\n");
}

async function main(words: readonly string[]): Promise<number> {
  const [name = "", ...rest] = words;
  const bench = BENCHES[name];
  if (!bench || rest.includes("--help")) {
    console.log(help());
    return words.includes("--help") ? 0 : 2;
  }
  const option = (optionName: string, initial: number): number => {
    const at = rest.indexOf(`--${optionName}`);
    const value = at < 0 ? initial : Number(rest[at + 1]);
    if (!Number.isInteger(value) || value < 1) throw new Error(`--${optionName} must be a whole number from 1`);
    return value;
  };
  const { table, json, holds } = await bench.run(
    option,
    (line) => console.error(line),
    (flag) => rest.includes(`--${flag}`),
    (wordName) => (rest.includes(`--${wordName}`) ? rest[rest.indexOf(`--${wordName}`) + 1] : undefined),
  );
  console.log(table.join("\n"));
  if (rest.includes("--json")) console.log(JSON.stringify(json));
  return holds ? 0 : 1;
}

process.exit(await main(process.argv.slice(2)));
