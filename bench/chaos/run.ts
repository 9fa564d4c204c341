// npm run chaos -- NAME [--kills N] [--seed N] [--json]: finds the run, prints its table, and with --json one object as the last line.
// Exit status 0 only when nothing was lost and nothing is wrong.

import { chaosIngest, type ChaosOptions } from "./ingest.ts";

const HELP = [
  "npm run chaos -- ingest [--json] [options]",
  "",
  "  ingest: is anything that was answered 202 lost, and is any entry wrong, when the ingest API, the worker and Redis are killed at random?",
  "      --kills N     how many processes are killed (200; some 5 minutes)",
  "      --seed N      of deliveries and kills (1)",
  "      --holders N   people that facts are told of (3000)",
];

const INITIAL: ChaosOptions = { kills: 200, seed: 1, holders: 3000 };

async function main([name, ...rest]: readonly string[]): Promise<number> {
  if (name !== "ingest" || rest.includes("--help")) {
    console.log(HELP.join("\n"));
    return name === "--help" || rest.includes("--help") ? 0 : 2;
  }
  const options: { -readonly [Name in keyof ChaosOptions]: ChaosOptions[Name] } = { ...INITIAL };
  let isJson = false;
  for (let i = 0; i < rest.length; i++) {
    const word = rest[i]!.replace(/^--/, "");
    if (word === "json") isJson = true;
    else if (!Object.hasOwn(INITIAL, word)) throw new Error(`${rest[i]!} is no option: see npm run chaos -- --help`);
    else {
      const value = Number(rest[++i]);
      if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${word} must be a whole number from 1`);
      options[word as keyof ChaosOptions] = value;
    }
  }
  const { table, json, holds } = await chaosIngest(options, (line) => console.error(line));
  console.log(table.join("\n"));
  if (isJson) console.log(JSON.stringify(json));
  return holds ? 0 : 1;
}

process.exit(await main(process.argv.slice(2)));
