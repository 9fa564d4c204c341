// The data folder: what lies where, its secrets, and whose clock it keeps.
// Promises: made with access for its owner alone; one service at a time; a demo's folder never turns into a real one or back.

import { randomBytes } from "node:crypto";
import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createKeyPair, readRegistry, ROWS_PER_SECOND_MAX, SCANS_PER_SECOND_MAX, type RegistryFile, type SourceKey } from "../core/access/index.ts";
import { OPERATOR_FEEDS } from "../core/ingest/index.ts";
import { formatInstant, offsetClock, parseInstant, systemClock, type Clock, type Instant } from "../core/domain/index.ts";
import { fileFault } from "./fileFaults.ts";
import { UsageError } from "./settings.ts";

/** What folder.json says. A real service has `demo: null`. */
export interface FolderState {
  /** Of the stores in this folder: another one can't be read. */
  readonly format: number;
  /** Tells this service from others that share its Redis. */
  readonly id: string;
  readonly demo: {
    /** The demo's clock is the system's plus this. */
    readonly offsetMs: number;
    /** The instant its city was made for. */
    readonly startedAt: string;
    readonly holders: number;
    readonly seed: number;
    /** The whole city has been delivered. */
    readonly isLoaded: boolean;
  } | null;
}

/** Where a running service listens, for the commands beside it. */
export interface RunState {
  readonly pid: number;
  readonly host: string;
  readonly lookupPort: number;
  readonly ingestPort: number;
  readonly explainPort: number;
}

export interface DataFolder {
  readonly path: string;
  readonly inbox: string;
  readonly evidence: string;
  readonly entries: string;
  readonly redis: string;
  readonly registryFile: string;
  readonly documentSecret: string;
  readonly sessionSecret: string;
  readonly consoleKey: string;
}

/** The device and the sources that come with every data folder, for the commands of its operator. */
export const CONSOLE_DEVICE = "console";
export const LOCAL_SOURCE = "local";
/** What it delivers counts as known since its publication, not since its arrival (POLICY §0). */
export const HISTORY_SOURCE = "history";
export type OwnSource = typeof LOCAL_SOURCE | typeof HISTORY_SOURCE;

/** Where the private key of one of them lies. */
export function ownKeyFile(folder: DataFolder, name: OwnSource): string {
  return join(folder.path, "secrets", `${name}.pem`);
}

export function dataFolder(path: string): DataFolder {
  const root = resolve(path);
  return {
    path: root,
    inbox: join(root, "inbox"),
    evidence: join(root, "evidence"),
    entries: join(root, "entries"),
    redis: join(root, "redis"),
    registryFile: join(root, "access.json"),
    documentSecret: join(root, "secrets", "document.key"),
    sessionSecret: join(root, "secrets", "session.key"),
    consoleKey: join(root, "secrets", "console.pem"),
  };
}

/** The folder of a service that there is: a store that is only read would otherwise be made there. @throws UsageError when there is none. */
export function existingFolder(path: string): DataFolder {
  const folder = dataFolder(path);
  if (!readState(folder)) throw new UsageError(`${folder.path} holds no service yet: fangxing start makes one, or name its folder with --data`);
  return folder;
}

/** Makes what is missing. @throws UsageError when the folder can't be written. */
export function prepareFolder(folder: DataFolder): void {
  try {
    for (const path of [folder.path, join(folder.path, "secrets"), folder.inbox, folder.evidence, folder.entries, folder.redis]) {
      mkdirSync(path, { recursive: true, mode: 0o700 });
    }
    accessSync(folder.path, constants.W_OK);
    for (const file of [folder.documentSecret, folder.sessionSecret]) if (!existsSync(file)) writePrivate(file, randomBytes(32));
    if (!existsSync(folder.registryFile)) {
      const { privateKeyPem, publicKey } = createKeyPair();
      writePrivate(folder.consoleKey, privateKeyPem);
      const registry: RegistryFile = {
        // Its key lies beside the secrets: who has it needs no scans. So a limit would only be in the way of trying things out.
        devices: [{ name: CONSOLE_DEVICE, class: "staff", publicKey, scansPerSecond: SCANS_PER_SECOND_MAX }],
        sources: [{ name: LOCAL_SOURCE, feeds: ["*", ...OPERATOR_FEEDS], ...ownSourceKeys(folder, LOCAL_SOURCE) }, newHistorySource(folder)],
      };
      writeRegistry(folder, registry);
    }
  } catch (error) {
    throw new UsageError(`the data folder ${folder.path} can't be written (${fileFault(error)}): choose another with --data or give yourself access`);
  }
}

/**
 * Folders used to be made with one source for the commands, which delivered everything as history. Such a one gets the source for history, and what `local` delivers from
 * now on counts as known since it arrives; what it has delivered stays as it is. @throws when access.json can't be read.
 */
export function separateHistory(folder: DataFolder, say: (line: string) => void): void {
  const { sources } = readRegistry(folder.registryFile);
  if (!sources.some((s) => s.name === LOCAL_SOURCE) || sources.some((s) => s.name === HISTORY_SOURCE)) return;
  const file = JSON.parse(readFileSync(folder.registryFile, "utf8")) as RegistryFile;
  const separated = file.sources.map(({ history, ...source }) => (source.name === LOCAL_SOURCE || history === undefined ? source : { ...source, history }));
  writeRegistry(folder, { ...file, sources: [...separated, newHistorySource(folder)] });
  say(`access.json has a source ${HISTORY_SOURCE} from now on, for fangxing import --history; what ${LOCAL_SOURCE} delivers counts as known since it arrives`);
}

function newHistorySource(folder: DataFolder): RegistryFile["sources"][number] {
  return { name: HISTORY_SOURCE, feeds: ["*"], ...ownSourceKeys(folder, HISTORY_SOURCE), history: true };
}

/** What one of the folder's own sources is made with: its key lies beside the other secrets, so a quota would only be in the way. */
export function ownSourceKeys(folder: DataFolder, name: OwnSource): { keys: SourceKey[]; rowsPerSecond: number } {
  const { privateKeyPem, publicKey } = createKeyPair();
  writePrivate(ownKeyFile(folder, name), privateKeyPem);
  return { keys: [{ id: "1", publicKey }], rowsPerSecond: ROWS_PER_SECOND_MAX };
}

function writeRegistry(folder: DataFolder, registry: RegistryFile): void {
  writePrivate(folder.registryFile, `${JSON.stringify(registry, null, 2)}\n`);
}

/** The clock of a folder: a demo's own, else the system's. */
export function folderClock(folder: DataFolder): Clock {
  const demo = readState(folder)?.demo;
  return demo ? offsetClock(demo.offsetMs) : systemClock;
}

export function readState(folder: DataFolder): FolderState | undefined {
  const file = join(folder.path, "folder.json");
  if (!existsSync(file)) return undefined;
  const state = JSON.parse(readFileSync(file, "utf8")) as FolderState;
  if (state.format !== FORMAT) throw new UsageError(`${folder.path} holds stores of format ${state.format}, this version reads format ${FORMAT}: choose another folder with --data`);
  return state;
}

const FORMAT = 4;

export function writeState(folder: DataFolder, state: FolderState): void {
  writePrivate(join(folder.path, "folder.json"), `${JSON.stringify(state, null, 2)}\n`);
}

/** Marks the folder as a real service's. @throws UsageError when it is a demo's. */
export function claimForService(folder: DataFolder): FolderState {
  const state = readState(folder);
  if (state?.demo) throw new UsageError(`${folder.path} holds the demo city: start it with npm start, or choose another folder with --data`);
  if (state) return state;
  const made: FolderState = { format: FORMAT, id: newId(), demo: null };
  writeState(folder, made);
  return made;
}

/**
 * Marks the folder as a demo's and settles its clock: it begins at `startAt`, runs on while nobody looks, and never goes back.
 * @throws UsageError when the folder is a real service's, or `wanted` lies before its clock.
 */
export function claimForDemo(folder: DataFolder, { wanted, holders, seed }: { wanted: Instant | null; holders: number; seed: number }): FolderState {
  const state = readState(folder);
  if (state && !state.demo) throw new UsageError(`${folder.path} holds a real service's data: start it with fangxing start, or choose another folder with --data`);
  const before = state?.demo;
  const start = wanted ?? DEMO_START;
  // The instant that the city began at, given once more, means the city as it is.
  const goesOn = before && (wanted === null || formatInstant(wanted) === before.startedAt);
  const offsetMs = goesOn ? before.offsetMs : start * 1000 - systemClock.nowMs();
  if (before && offsetMs < before.offsetMs) {
    const clock = formatInstant(Math.floor(offsetClock(before.offsetMs).nowMs() / 1000));
    throw new UsageError(`--now ${formatInstant(start)} lies before this city's clock, which is ${clock}: a clock never goes back; choose a later instant or another folder with --data`);
  }
  const demo = before ? { ...before, offsetMs } : { offsetMs, startedAt: formatInstant(start), holders, seed, isLoaded: false };
  const next: FolderState = { format: FORMAT, id: state?.id ?? newId(), demo };
  writeState(folder, next);
  return next;
}

function newId(): string {
  return randomBytes(6).toString("hex");
}

/** Thursday morning in the middle of Beijing's outbreak of 2022, with pop-ups numbered and shown. */
const DEMO_START: Instant = parseInstant("2022-06-09T07:30:00+08:00")!;

/** Takes the folder for this process: as the service, as the one worker that writes its stores, or as the one that writes its inbox. @throws UsageError when another one that lives has it. */
export function lockFolder(folder: DataFolder, as: "service" | "worker" | "ingest" = "service"): { release(): void } {
  const file = join(folder.path, as === "service" ? "run.lock" : `${as}.lock`);
  const holder = existsSync(file) ? Number(readFileSync(file, "utf8")) : NaN;
  if (holder > 0 && holder !== process.pid && isService(holder)) {
    throw new UsageError(`${folder.path} is in use by process ${holder}: stop that one, or choose another folder with --data`);
  }
  writePrivate(file, String(process.pid));
  return { release: () => rmSync(file, { force: true }) };
}

export function writeRun(folder: DataFolder, run: RunState): void {
  writePrivate(join(folder.path, "run.json"), JSON.stringify(run));
}

/** Where the service of this folder listens, or undefined when none runs. */
export function readRun(folder: DataFolder): RunState | undefined {
  const file = join(folder.path, "run.json");
  if (!existsSync(file)) return undefined;
  const run = JSON.parse(readFileSync(file, "utf8")) as RunState;
  return isService(run.pid) ? run : undefined;
}

/** What the lookup of a port says of itself, for whoever wants its processes replaced. */
export interface LookupState {
  readonly pid: number;
  readonly port: number;
  /** How often that has been asked for and done, or not done. */
  readonly reloads: number;
  /** Why it was not done the last time. */
  readonly failure: string | null;
}

export function writeLookup(folder: DataFolder, state: LookupState): void {
  writePrivate(join(folder.path, `lookup-${state.port}.json`), JSON.stringify(state));
}

/** The lookups that run on this folder. */
export function readLookups(folder: DataFolder): LookupState[] {
  return readdirSync(folder.path)
    .filter((name) => /^lookup-\d+\.json$/.test(name))
    .map((name) => JSON.parse(readFileSync(join(folder.path, name), "utf8")) as LookupState)
    .filter(({ pid }) => isService(pid));
}

/** Whether a process lives and is one of ours: after a reboot its number may be somebody else's. */
function isService(pid: number): boolean {
  const commandFile = `/proc/${pid}/cmdline`;
  return isAlive(pid) && (!existsSync(commandFile) || readFileSync(commandFile, "utf8").includes("cli.ts"));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** For its owner alone. Written beside and moved into place, so that nobody reads half a file. */
export function writePrivate(file: string, content: string | Uint8Array): void {
  writeFileSync(`${file}.new`, content, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
