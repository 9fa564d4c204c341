// The command line: finds the command, reads the settings, says what went wrong in one line.

import { RegistryError } from "../core/access/index.ts";
import { FrontError } from "../core/front/index.ts";
import { FEEDS } from "../core/ingest/index.ts";
import { ServiceError, UnreachableError } from "./client.ts";
import { explain, scan, session } from "./commands/ask.ts";
import { DeadBatchError } from "./commands/await.ts";
import { compact } from "./commands/compact.ts";
import { importFile, signDelivery } from "./commands/deliver.ts";
import { key } from "./commands/keys.ts";
import { jobs } from "./commands/jobs.ts";
import { reloadLookup, runLookup } from "./commands/lookup.ts";
import { changes, decide, policy } from "./commands/policy.ts";
import { runRole, type Role } from "./commands/roles.ts";
import { helpOf, helpOfAll, type CommandHelp } from "./help.ts";
import { withoutNumbers } from "./masking.ts";
import { readSettings, SETTINGS, UsageError, type Settings } from "./settings.ts";
import { startAll } from "./start.ts";
import { SuperviseError } from "./supervise.ts";

const say = (line: string): void => console.log(line);

interface Command extends CommandHelp {
  /** Words behind its name, at most. */
  readonly words: number;
  /** `false` is exit status 1. */
  readonly run: (words: readonly string[], settings: Settings) => Promise<unknown>;
}

const SERVICE = ["data", "redis", "host", "lookupPort", "lookupProcesses", "server", "ingestPort", "explainPort", "gainShareMax", "lossShareMax", "batchBytesMax"] as const;
const feeds = `Feeds: ${FEEDS.join(", ")}`;
const document = 'The document comes on standard input: a resident ID\'s number, or {"type": …, "number": …}';

function role(name: Role, settings: CommandHelp["settings"]): Command {
  return { form: name, use: "this process of the service alone", words: 0, settings, run: (_, given) => runRole(name, given, say) };
}

const COMMANDS: Readonly<Record<string, Command>> = {
  start: { form: "start", use: "the whole service, on the system's clock", words: 0, settings: SERVICE, run: (_, settings) => startAll(settings, { isDemo: false, say }) },
  demo: {
    form: "demo",
    use: "the same with the demo city, on its own clock (npm start)",
    words: 0,
    settings: [...SERVICE, "now", "holders", "seed"],
    run: (_, settings) => startAll(settings, { isDemo: true, say }),
  },
  import: {
    form: "import FEED FILE",
    use: "delivers a file and waits until it is applied",
    notes: [
      feeds,
      "What the file says counts as known since now; with --history since it was published or recorded: for what was known before it came here.",
      "An import that was cut off can be run again: what has been delivered already counts once.",
    ],
    words: 2,
    settings: ["data", "history"],
    run: (words, settings) => importFile(words, settings, say),
  },
  scan: { form: "scan", use: "a gate's answer for the document on standard input", notes: [document], words: 0, settings: ["data"], run: (_, settings) => scan(settings, say) },
  explain: {
    form: "explain",
    use: "why the document on standard input has its flags, and what clears them",
    notes: [document],
    words: 0,
    settings: ["data", "at", "language"],
    run: (_, settings) => explain(settings, say),
  },
  policy: {
    form: "policy list|diff PACK|apply PACK|rollback",
    use: "the rules in force; what a pack would change, whom it would hit; put it in force; take it back",
    words: 2,
    settings: ["data", "ground"],
    run: (words, settings) => policy(words, settings, say),
  },
  changes: { form: "changes", use: "changes of rules and regions that are held, and the newest others", words: 0, settings: ["data"], run: (_, settings) => changes(settings, say) },
  release: { form: "release CHANGE", use: "applies a held change", words: 1, settings: ["data", "ground"], run: ([change], settings) => decide("release", change, settings, say) },
  reject: { form: "reject CHANGE", use: "drops a held change, or takes back a risk list in force", words: 1, settings: ["data", "ground"], run: ([change], settings) => decide("reject", change, settings, say) },
  jobs: {
    form: "jobs [replay BATCH|NUMBER|all]",
    use: "what waits, how far the worker is, what is dead and why; has dead batches tried again",
    words: 2,
    settings: ["data"],
    run: (words, settings) => jobs(words, settings, say),
  },
  session: { form: "session", use: "a session token of the console, for curl", words: 0, settings: ["data"], run: (_, settings) => session(settings, say) },
  compact: {
    form: "compact",
    use: "rewrites the stores of a stopped service: of removed facts no byte is left in the files",
    words: 0,
    settings: ["data"],
    run: (_, settings) => compact(settings, say),
  },
  key: {
    form: "key add SOURCE FILE|drop SOURCE KEY",
    use: "gives a source of access.json a key, its private half in a new FILE; takes one away",
    notes: ["A source may have two, so that it can change over: add one, start the service again, sign with it, drop the other, start again."],
    words: 3,
    settings: ["data"],
    run: (words, settings) => key(words, settings, say),
  },
  sign: { form: "sign FEED BATCH-ID [CONTENT-TYPE]", use: "headers that sign the delivery on standard input, for curl", notes: [feeds], words: 3, settings: ["data"], run: (words, settings) => signDelivery(words, settings, say) },
  ingest: role("ingest", ["data", "redis", "host", "ingestPort", "batchBytesMax"]),
  worker: role("worker", ["data", "redis", "gainShareMax", "lossShareMax"]),
  lookup: {
    form: "lookup",
    use: "the lookup processes of one port alone; with --reload, replaces those that run",
    notes: ["With --reload connections go to new processes, the old ones answer what is under way and end. A lookup is named by its port when several run on the folder."],
    words: 0,
    settings: ["data", "host", "lookupPort", "lookupProcesses", "server", "reload"],
    run: (_, settings) => (settings.reload ? reloadLookup : runLookup)(settings, say),
  },
  "lookup-process": role("lookup-process", ["data", "host", "lookupPort", "server"]),
  explanations: role("explanations", ["data", "host", "explainPort"]),
};

function commandOf(name: string | undefined): Command | undefined {
  return name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
}

async function main(): Promise<number> {
  const words = process.argv.slice(2);
  if (words.length === 0 || words.includes("--help") || words[0] === "help") {
    const asked = words.map(commandOf).find((command) => command !== undefined);
    say(asked ? helpOf(asked) : helpOfAll(Object.values(COMMANDS)));
    return words.length === 0 ? 2 : 0;
  }
  try {
    const { settings, rest } = readSettings(words, process.env);
    const [name, ...others] = rest;
    const command = commandOf(name);
    if (!command) throw new UsageError(`"${name ?? ""}" is no command: fangxing --help lists them`);
    if (others.length > command.words) throw new UsageError(`${name ?? ""} takes ${command.words === 0 ? "no" : `only ${command.words}`} words behind it: a document comes on standard input, never as an argument`);
    return (await command.run(others, settings)) === false ? 1 : 0;
  } catch (error) {
    const isKnown = KNOWN_FAULTS.some((kind) => error instanceof kind);
    const text = error instanceof Error ? (isKnown ? error.message : (error.stack ?? error.message)) : String(error);
    const given = [...words, ...Object.values(SETTINGS).map(({ variable }) => process.env[variable] ?? "")];
    console.error(`fangxing: ${withoutNumbers(text, given)}`);
    return isKnown ? 2 : 1;
  }
}

/** Faults that whoever typed the command can mend: their message is enough. */
const KNOWN_FAULTS = [UsageError, SuperviseError, ServiceError, UnreachableError, DeadBatchError, RegistryError, FrontError];

process.exit(await main());
