// The command line: finds the command, reads the settings, says what went wrong in one line.

import { mayHoldNumber } from "../core/domain/index.ts";
import { ServiceError, UnreachableError } from "./client.ts";
import { explain, scan, session } from "./commands/ask.ts";
import { importFile, signDelivery } from "./commands/deliver.ts";
import { changes, decide, policy } from "./commands/policy.ts";
import { ROLES, runRole } from "./commands/roles.ts";
import { readSettings, SETTINGS, UsageError, type Settings } from "./settings.ts";
import { startAll } from "./start.ts";
import { SuperviseError } from "./supervise.ts";

const say = (line: string): void => console.log(line);

/** Each command: what it is for, and what it does. `false` is exit status 1. */
const COMMANDS: Record<string, { readonly use: string; readonly words: number; readonly run: (words: readonly string[], settings: Settings) => Promise<unknown> }> = {
  start: { use: "start                    the whole service, on the system's clock", words: 0, run: (_, settings) => startAll(settings, { isDemo: false, say }) },
  demo: { use: "demo                     the same with the demo city, on its own clock (npm start)", words: 0, run: (_, settings) => startAll(settings, { isDemo: true, say }) },
  import: { use: "import [--history] FEED FILE   delivers a file and waits until it is applied; --history: as known since it was published or recorded", words: 2, run: (words, settings) => importFile(words, settings, say) },
  scan: { use: "scan                     a gate's answer for the document on standard input", words: 0, run: (_, settings) => scan(settings, say) },
  explain: { use: "explain                  why the document on standard input has its flags, and what clears them (--at, --language)", words: 0, run: (_, settings) => explain(settings, say) },
  policy: { use: "policy list|diff PACK|apply PACK|rollback   the rules in force; what a pack would change, whom it would hit; put it in force; take it back", words: 2, run: (words, settings) => policy(words, settings, say) },
  changes: { use: "changes                  changes of rules and regions that are held, and the newest others", words: 0, run: (_, settings) => changes(settings, say) },
  release: { use: "release CHANGE           applies a held change (--ground)", words: 1, run: ([change], settings) => decide("release", change, settings, say) },
  reject: { use: "reject CHANGE            drops a held change, or takes back a risk list in force (--ground)", words: 1, run: ([change], settings) => decide("reject", change, settings, say) },
  session: { use: "session                  a session token of the console, for curl", words: 0, run: (_, settings) => session(settings, say) },
  sign: { use: "sign FEED BATCH-ID       headers that sign the delivery on standard input, for curl", words: 2, run: (words, settings) => signDelivery(words, settings, say) },
  ...Object.fromEntries(ROLES.map((role) => [role, { use: `${role.padEnd(24)} this process of the service alone`, words: 0, run: (_: unknown, settings: Settings) => runRole(role, settings, say) }])),
};

/** A word as it may be repeated on a screen. */
function quoted(word: string): string {
  return mayHoldNumber(word) ? "(a word that may hold a number)" : `"${word}"`;
}

function help(): string {
  const options = Object.values(SETTINGS).map(({ option, variable, initial, meaning }) => `  --${option.padEnd(16)} ${variable.padEnd(25)} ${meaning}${initial ? ` (${initial})` : ""}`);
  return ["fangxing COMMAND [options]", "", ...Object.values(COMMANDS).map((c) => `  ${c.use}`), "", "Options, and the environment variables that stand for them:", ...options].join("\n");
}

async function main(): Promise<number> {
  const words = process.argv.slice(2);
  if (words.length === 0 || words.includes("--help") || words[0] === "help") {
    say(help());
    return words.length === 0 ? 2 : 0;
  }
  try {
    const { settings, rest } = readSettings(words, process.env);
    const [name, ...others] = rest;
    const command = COMMANDS[name ?? ""];
    if (!command) throw new UsageError(`${quoted(name ?? "")} is no command: fangxing --help lists them`);
    if (others.length > command.words) throw new UsageError(`${name ?? ""} takes ${command.words === 0 ? "no" : `only ${command.words}`} words behind it: a document comes on standard input, never as an argument`);
    return (await command.run(others, settings)) === false ? 1 : 0;
  } catch (error) {
    const isKnown = error instanceof UsageError || error instanceof SuperviseError || error instanceof ServiceError || error instanceof UnreachableError;
    console.error(isKnown ? `fangxing: ${error.message}` : `fangxing: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    return isKnown ? 2 : 1;
  }
}

process.exit(await main());
