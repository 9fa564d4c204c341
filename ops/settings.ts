// Settings: every one is an option, an environment variable and a line of the README, checked at start.
// Promises: a value that can't be used is refused with its name, its fault and what to do; unknown options are refused.

import { mayHoldNumber, parseInstant, type Instant } from "../core/domain/index.ts";
import type { Server } from "../core/front/index.ts";

export interface Settings {
  readonly data: string;
  readonly redis: string | null;
  readonly host: string;
  readonly lookupPort: number;
  readonly lookupProcesses: number;
  readonly server: Server;
  readonly ingestPort: number;
  readonly explainPort: number;
  readonly batchBytesMax: number;
  readonly gainShareMax: number;
  readonly lossShareMax: number;
  readonly at: Instant | null;
  readonly language: "zh" | "en";
  readonly ground: string | null;
  readonly reload: boolean;
  readonly history: boolean;
  readonly now: Instant | null;
  readonly holders: number;
  readonly seed: number;
}

interface Setting<Value> {
  readonly option: string;
  readonly variable: string;
  readonly initial: string;
  readonly meaning: string;
  /** @returns undefined when the text can't be used. */
  readonly read: (text: string) => Value | undefined;
  /** What a usable text looks like. */
  readonly form: string;
  /** What the option alone stands for; one without it needs a value behind it. */
  readonly alone?: string;
}

const text = (value: string): string | undefined => (value === "" ? undefined : value);
const integer =
  (min: number, max: number) =>
  (value: string): number | undefined =>
    /^\d{1,15}$/.test(value) && Number(value) >= min && Number(value) <= max ? Number(value) : undefined;

const share = (value: string): number | undefined => (/^(0(\.\d{1,6})?|1(\.0{1,6})?)$/.test(value) ? Number(value) : undefined);

const yes = (value: string): boolean | undefined => (value === "" ? false : value === "yes" ? true : undefined);

/** The table of all settings; the README's is checked against it. */
export const SETTINGS: { readonly [Name in keyof Settings]: Setting<Settings[Name]> } = {
  data: { option: "data", variable: "FANGXING_DATA", initial: "./data", meaning: "folder that holds everything the service keeps", form: "a path that holds nobody's document or phone number", read: (value) => (value === "" || mayHoldNumber(value, "id") ? undefined : value) },
  redis: {
    option: "redis",
    variable: "REDIS_URL",
    initial: "",
    meaning: "Redis or Valkey to use, with `noeviction`; empty: an own one on a socket in the data folder",
    form: "redis://…, rediss://…, unix:/path or empty",
    read: (value) => (value === "" ? null : /^(rediss?:\/\/.+|unix:\/.+)$/.test(value) ? value : undefined),
  },
  host: { option: "host", variable: "FANGXING_HOST", initial: "127.0.0.1", meaning: "address that the servers listen on", form: "an address or a host name", read: text },
  lookupPort: { option: "lookup-port", variable: "FANGXING_LOOKUP_PORT", initial: "8080", meaning: "port of the lookup server; 0: any free one", form: "a port from 0 to 65535", read: integer(0, 65_535) },
  lookupProcesses: {
    option: "lookup-processes",
    variable: "FANGXING_LOOKUP_PROCESSES",
    initial: "1",
    meaning: "how many lookup processes share that port",
    form: "a number from 1 to 64",
    read: integer(1, 64),
  },
  server: {
    option: "server",
    variable: "FANGXING_SERVER",
    initial: "bun",
    meaning: "what the lookup processes run on: bun, or uws (uWebSockets.js on Node 22.18 or newer)",
    form: "bun or uws",
    read: (value) => (value === "bun" || value === "uws" ? value : undefined),
  },
  ingestPort: { option: "ingest-port", variable: "FANGXING_INGEST_PORT", initial: "8081", meaning: "port of the ingest API; 0: any free one", form: "a port from 0 to 65535", read: integer(0, 65_535) },
  explainPort: { option: "explain-port", variable: "FANGXING_EXPLAIN_PORT", initial: "8082", meaning: "port of the explanations' server; 0: any free one", form: "a port from 0 to 65535", read: integer(0, 65_535) },
  gainShareMax: {
    option: "gain-share-max",
    variable: "FANGXING_GAIN_SHARE_MAX",
    initial: "0.05",
    meaning: "a change of rules or regions that puts a larger share of all holders, and at least 100, under a flag is held",
    form: "a share from 0 to 1, such as 0.05",
    read: share,
  },
  lossShareMax: {
    option: "loss-share-max",
    variable: "FANGXING_LOSS_SHARE_MAX",
    initial: "0.1",
    meaning: "a change of rules or regions that frees a larger share of all holders, and at least 100, from a flag is held; of rules also one that rids more than half of those who have a flag, and at least 100, of it",
    form: "a share from 0 to 1, such as 0.1",
    read: share,
  },
  at: {
    option: "at",
    variable: "FANGXING_AT",
    initial: "",
    meaning: "explain only: the decision of this instant, as it was made from what was known then",
    form: "an instant with offset, such as 2022-06-09T07:30:00+08:00",
    read: (value) => (value === "" ? null : parseInstant(value)),
  },
  language: {
    option: "language",
    variable: "FANGXING_LANGUAGE",
    initial: "en",
    meaning: "explain only: the language of its words, zh or en",
    form: "zh or en",
    read: (value) => (value === "zh" || value === "en" ? value : undefined),
  },
  ground: {
    option: "ground",
    variable: "FANGXING_GROUND",
    initial: "",
    meaning: "release, reject and policy rollback only: on what ground it is decided, kept with the change",
    form: "some words",
    read: (value) => (value === "" ? null : value),
  },
  reload: {
    option: "reload",
    variable: "FANGXING_RELOAD",
    initial: "",
    meaning: "lookup only: replaces the processes of the lookup that runs on this folder, without losing a scan",
    form: "yes or empty",
    alone: "yes",
    read: yes,
  },
  history: {
    option: "history",
    variable: "FANGXING_HISTORY",
    initial: "",
    meaning: "import only: what the file says counts as known since it was published or recorded, not since now",
    form: "yes or empty",
    alone: "yes",
    read: yes,
  },
  batchBytesMax: {
    option: "batch-bytes-max",
    variable: "FANGXING_BATCH_BYTES_MAX",
    initial: "4294967296",
    meaning: "largest body of a delivery, in bytes, packed and unpacked",
    form: "a number from 1024 to 1099511627776",
    read: integer(1024, 2 ** 40),
  },
  now: {
    option: "now",
    variable: "FANGXING_NOW",
    initial: "",
    meaning: "demo only: the instant its clock starts at, 2022-06-09T07:30:00+08:00 when empty; a clock that has started only goes forward",
    form: "an instant with offset, such as 2022-06-09T07:30:00+08:00",
    read: (value) => (value === "" ? null : parseInstant(value)),
  },
  holders: { option: "holders", variable: "FANGXING_HOLDERS", initial: "20000", meaning: "demo only: how many holders its city has", form: "a number from 100 to 2000000", read: integer(100, 2_000_000) },
  seed: { option: "seed", variable: "FANGXING_SEED", initial: "1", meaning: "demo only: seed of the invented holders", form: "a whole number", read: integer(0, 4_294_967_295) },
};

export class UsageError extends Error {
  override name = "UsageError";
}

/** Takes options out of `words`, fills up from the environment and the defaults. @throws UsageError naming the setting at fault. */
export function readSettings(words: readonly string[], environment: Readonly<Record<string, string | undefined>>): { settings: Settings; rest: string[] } {
  const given = new Map<string, string>();
  const rest: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (!word.startsWith("--")) {
      rest.push(word);
      continue;
    }
    const [name, inline] = splitOnce(word.slice(2), "=");
    const setting = Object.values(SETTINGS).find((s) => s.option === name);
    if (!setting) throw new UsageError(`--${name} is no option: there are ${Object.values(SETTINGS).map((s) => `--${s.option}`).join(", ")}`);
    const value = inline ?? setting.alone ?? words[++i];
    if (value === undefined) throw new UsageError(`--${name} needs a value: ${setting.form}`);
    given.set(name, value);
  }
  const read = <Value>(setting: Setting<Value>): Value => {
    const [value, from] = given.has(setting.option)
      ? [given.get(setting.option)!, `--${setting.option}`]
      : environment[setting.variable] !== undefined
        ? [environment[setting.variable]!, setting.variable]
        : [setting.initial, setting.option];
    const result = setting.read(value);
    if (result === undefined) throw new UsageError(`${from} is "${value}": it must be ${setting.form}`);
    return result;
  };
  const settings: Settings = {
    data: read(SETTINGS.data),
    redis: read(SETTINGS.redis),
    host: read(SETTINGS.host),
    lookupPort: read(SETTINGS.lookupPort),
    lookupProcesses: read(SETTINGS.lookupProcesses),
    server: read(SETTINGS.server),
    ingestPort: read(SETTINGS.ingestPort),
    explainPort: read(SETTINGS.explainPort),
    batchBytesMax: read(SETTINGS.batchBytesMax),
    gainShareMax: read(SETTINGS.gainShareMax),
    lossShareMax: read(SETTINGS.lossShareMax),
    at: read(SETTINGS.at),
    language: read(SETTINGS.language),
    ground: read(SETTINGS.ground),
    reload: read(SETTINGS.reload),
    history: read(SETTINGS.history),
    now: read(SETTINGS.now),
    holders: read(SETTINGS.holders),
    seed: read(SETTINGS.seed),
  };
  return { settings, rest };
}

function splitOnce(word: string, separator: string): [string, string | undefined] {
  const at = word.indexOf(separator);
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}
