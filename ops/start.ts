// Starting the whole service: Redis, ingest API, worker, lookup, supervised; and the demo city on top.

import { SingleBar } from "cli-progress";
import { fileURLToPath } from "node:url";
import { contains, countiesWithoutSuccessor, formatInstant, now } from "../core/domain/index.ts";
import { incompleteRules } from "../core/policy/index.ts";
import { createClient, httpUrl } from "./client.ts";
import { onGateCores } from "./cores.ts";
import { packInForce } from "./commands/policy.ts";
import {
  claimForDemo,
  claimForService,
  dataFolder,
  folderClock,
  HISTORY_SOURCE,
  lockFolder,
  prepareFolder,
  separateHistory,
  writeRun,
  writeState,
  type DataFolder,
  type FolderState,
  type RunState,
} from "./dataFolder.ts";
import { demoLines } from "./demo/lines.ts";
import { loadCity, planCity } from "./demo/load.ts";
import { awaitRedis, clearLeftover, ownServerCommand, ownSocket, redisBinary } from "./redis.ts";
import type { Settings } from "./settings.ts";
import { giveOwnSourcesKeys } from "./sourceKeys.ts";
import { createSupervisor, type Supervisor } from "./supervise.ts";

const REDIS_READY_MS_MAX = 15_000;

/** Runs until a signal ends it. Says everything through `say`. */
export async function startAll(settings: Settings, { isDemo, say }: { isDemo: boolean; say: (line: string) => void }): Promise<void> {
  const folder = dataFolder(settings.data);
  prepareFolder(folder);
  const lock = lockFolder(folder);
  const supervisor = createSupervisor(say);
  const stopRequested = new Promise<void>((resolve) => {
    process.once("SIGINT", () => resolve());
    process.once("SIGTERM", () => resolve());
  });
  try {
    const state = isDemo ? claimForDemo(folder, { wanted: settings.now, holders: settings.holders, seed: settings.seed }) : claimForService(folder);
    giveOwnSourcesKeys(folder, say);
    separateHistory(folder, say);
    await Promise.race([bringUp(settings, folder, state, supervisor, say), stopRequested]);
    await stopRequested;
    say("Stopping");
    await supervisor.stop();
    say("Stopped");
  } finally {
    await supervisor.stop();
    lock.release();
  }
}

async function bringUp(settings: Settings, folder: DataFolder, state: FolderState, supervisor: Supervisor, say: (line: string) => void): Promise<void> {
  const redisUrl = settings.redis ?? (await startOwnRedis(folder, supervisor, say));
  await awaitRedis(redisUrl, REDIS_READY_MS_MAX);
  const environment = {
    FANGXING_DATA: folder.path,
    REDIS_URL: redisUrl,
    FANGXING_HOST: settings.host,
    FANGXING_LOOKUP_PORT: String(settings.lookupPort),
    FANGXING_LOOKUP_PROCESSES: String(settings.lookupProcesses),
    FANGXING_SERVER: settings.server,
    FANGXING_INGEST_PORT: String(settings.ingestPort),
    FANGXING_EXPLAIN_PORT: String(settings.explainPort),
    FANGXING_BATCH_BYTES_MAX: String(settings.batchBytesMax),
    FANGXING_GAIN_SHARE_MAX: String(settings.gainShareMax),
    FANGXING_LOSS_SHARE_MAX: String(settings.lossShareMax),
    FANGXING_RELOAD: "",
    FANGXING_AT: "",
    FANGXING_NOW: "",
  };
  const role = async (name: "ingest" | "worker" | "lookup" | "explanations"): Promise<number> => {
    const command = [...(name === "lookup" ? onGateCores() : []), process.execPath, fileURLToPath(new URL("./cli.ts", import.meta.url)), name];
    return Number(await supervisor.start({ name, command, environment }));
  };
  // In this order: each finds the stores that the one before has made.
  const ingestPort = await role("ingest");
  await role("worker");
  const lookupPort = await role("lookup");
  const explainPort = await role("explanations");
  // A child that is started again comes back where it was, also when any free port would do at first.
  environment.FANGXING_INGEST_PORT = String(ingestPort);
  environment.FANGXING_LOOKUP_PORT = String(lookupPort);
  environment.FANGXING_EXPLAIN_PORT = String(explainPort);
  const run: RunState = { pid: process.pid, host: settings.host, ingestPort, lookupPort, explainPort };
  writeRun(folder, run);

  const clock = folderClock(folder);
  const pack = await packInForce(folder);
  const { validity } = pack;
  for (const rule of incompleteRules(pack)) say(`Incomplete rule ${rule}`);
  for (const county of countiesWithoutSuccessor()) say(`County without a successor: ${county.code} ${county.name} (${county.reason}): rows that name it are refused`);
  if (!contains(validity, now(clock))) {
    say(`No policy is in force at ${formatInstant(now(clock))}: the rules run from ${formatInstant(validity.from)} to ${formatInstant(validity.until)}. Every scan will be answered with no-policy.`);
  }
  if (!state.demo) {
    printAddresses(run, formatInstant(now(clock)), say);
    return;
  }
  if (state.demo.holders !== settings.holders || state.demo.seed !== settings.seed) {
    say(`This folder's city has ${state.demo.holders} holders of seed ${state.demo.seed}; for another, choose another folder with --data`);
  }
  const plan = planCity(state.demo);
  const client = createClient(folder, run, clock);
  if (!state.demo.isLoaded) {
    say(`Loading the demo city: ${plan.holders} invented holders, real counties, the risk lists published from 2022-05-20 to 2022-06-08`);
    const bar = new SingleBar({ format: "  {bar} {percentage} %", clearOnComplete: false, noTTYOutput: false });
    bar.start(100, 0);
    await loadCity(createClient(folder, run, clock, HISTORY_SOURCE), plan, (share) => bar.update(Math.floor(share * 100)));
    bar.stop();
    writeState(folder, { ...state, demo: { ...state.demo, isLoaded: true } });
  }
  printAddresses(run, formatInstant(now(clock)), say);
  say(await demoLines(client, plan, run, folder, clock));
  say("Every person here is invented. Ctrl-C stops the city; the next npm start goes on with it.");
}

async function startOwnRedis(folder: DataFolder, supervisor: Supervisor, say: (line: string) => void): Promise<string> {
  const binary = await redisBinary(say);
  await clearLeftover(folder);
  const url = `unix:${ownSocket(folder)}`;
  const isReady = async (): Promise<boolean> => {
    await awaitRedis(url, 1000);
    return true;
  };
  await supervisor.start({ name: "redis", command: ownServerCommand(binary, folder), isReady, isQuiet: true });
  return url;
}

function printAddresses({ host, lookupPort, ingestPort, explainPort }: RunState, clock: string, say: (line: string) => void): void {
  say("");
  say(`Lookup for gates  ${httpUrl(host, lookupPort)}   (POST /v1/sessions, POST /v1/scan, /healthz, /readyz, /metrics)`);
  say(`Ingest for feeds  ${httpUrl(host, ingestPort)}   (POST /v1/feeds/{feed}/batches, /healthz, /readyz, /metrics)`);
  say(`Explanations      ${httpUrl(host, explainPort)}   (POST /v1/explanations, /healthz, /readyz)`);
  say(`The clock stands at ${clock}`);
  say("");
}
