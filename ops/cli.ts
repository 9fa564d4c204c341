// The command line: finds the command, reads the settings, says what went wrong in one line.

import { explain, scan, session } from "./commands/ask.ts";
import { importFile, signDelivery } from "./commands/deliver.ts";
import { ROLES, runRole } from "./commands/roles.ts";
import { readSettings, SETTINGS, UsageError, type Settings } from "./settings.ts";
import { startAll } from "./start.ts";
import { SuperviseError } from "./supervise.ts";

const say = (line: string): void => console.log(line);

/** Each command: what it is for, and what it does. `false` is exit status 1. */
const COMMANDS: Record<string, { readonly use: string; readonly run: (words: readonly string[], settings: Settings) => Promise<unknown> }> = {
  start: { use: "start                    the whole service, on the system's clock", run: (_, settings) => startAll(settings, { isDemo: false, say }) },
  demo: { use: "demo                     the same with the demo city, on its own clock (npm start)", run: (_, settings) => startAll(settings, { isDemo: true, say }) },
  import: { use: "import FEED FILE         delivers a file and waits until it is applied", run: (words, settings) => importFile(words, settings, say) },
  scan: { use: "scan                     a gate's answer for the document on standard input", run: (_, settings) => scan(settings, say) },
  explain: { use: "explain                  flags, intervals, rules and facts of the document on standard input", run: (_, settings) => explain(settings, say) },
  session: { use: "session                  a session token of the console, for curl", run: (_, settings) => session(settings, say) },
  sign: { use: "sign FEED BATCH-ID       headers that sign the delivery on standard input, for curl", run: (words, settings) => signDelivery(words, settings, say) },
  ...Object.fromEntries(ROLES.map((role) => [role, { use: `${role.padEnd(24)} this process of the service alone`, run: (_: unknown, settings: Settings) => runRole(role, settings, say) }])),
};

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
    if (!command) throw new UsageError(`"${name ?? ""}" is no command: fangxing --help lists them`);
    return (await command.run(others, settings)) === false ? 1 : 0;
  } catch (error) {
    const isKnown = error instanceof UsageError || error instanceof SuperviseError;
    console.error(isKnown ? `fangxing: ${error.message}` : `fangxing: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    return isKnown ? 2 : 1;
  }
}

process.exit(await main());
