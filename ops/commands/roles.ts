// The processes of the service, each the command of its name: wires a room's server to the data folder and the settings.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { createKeyring, readRegistry } from "../../core/access/index.ts";
import { startExplainServer } from "../../core/explain/index.ts";
import { FEEDS, isFeed, startIngestServer, startWorker, USUAL_LIMITS } from "../../core/ingest/index.ts";
import { startLookupServer } from "../../core/lookup/index.ts";
import { beijingPackText } from "../../core/policy/index.ts";
import { yieldToOthers } from "../cores.ts";
import { dataFolder, folderClock, lockFolder, readState, type DataFolder } from "../dataFolder.ts";
import { ownSocket } from "../redis.ts";
import { dropHalfMadeStores } from "./compact.ts";
import { UsageError, type Settings } from "../settings.ts";

/** `lookup-process` is one of those that `lookup` starts. */
export type Role = "ingest" | "worker" | "lookup-process" | "explanations";

/** Starts a role and runs until a signal, or the end of the supervisor that started it. */
export async function runRole(role: Role, settings: Settings, say: (line: string) => void): Promise<void> {
  const { host } = settings;
  const folder = dataFolder(settings.data);
  const state = readState(folder);
  if (!state) throw new UsageError(`${folder.path} holds no service yet: fangxing start makes one`);
  const queueAddress = { redisUrl: settings.redis ?? `unix:${ownSocket(folder)}`, queueName: `batches-${state.id}` };
  const clock = folderClock(folder);
  const registry = readRegistry(folder.registryFile);
  for (const { name, feeds } of registry.sources) {
    const unknown = feeds.find((feed) => feed !== "*" && !isFeed(feed));
    if (unknown !== undefined) throw new UsageError(`${folder.registryFile}: source ${name}: "${unknown}" is no feed: there are ${FEEDS.join(", ")}, or * for all`);
  }
  const keyring = createKeyring(readFileSync(folder.documentSecret));
  const sessionSecret = (): Uint8Array => readFileSync(folder.sessionSecret);
  const limits = { ...USUAL_LIMITS, gainShareMax: settings.gainShareMax, lossShareMax: settings.lossShareMax };
  const log = say;
  const start = {
    ingest: () =>
      listening(settings.ingestPort, "--ingest-port", host, (port) =>
        startIngestServer({ host, port, folders: folder, queueAddress, registry, keyring, clock, bodyBytesMax: settings.batchBytesMax, log }),
      ),
    worker: () => ({ port: 0, ...startWorker({ folders: folder, queueAddress, firstPack: beijingPackText(), limits, clock, log }) }),
    "lookup-process": () =>
      listening(settings.lookupPort, "--lookup-port", host, (port) =>
        startLookupServer({ server: settings.server, host, port, isShared: true, processes: settings.lookupProcesses, entriesFolder: folder.entries, registry, keyring, sessionSecret: sessionSecret(), clock, log }),
      ),
    explanations: () =>
      listening(settings.explainPort, "--explain-port", host, (port) =>
        startExplainServer({ host, port, evidenceFolder: folder.evidence, registry, keyring, sessionSecret: sessionSecret(), clock, log }),
      ),
  };
  if (role === "worker") yieldToOthers();
  const lock = role === "worker" || role === "ingest" ? await lockFor(role, folder) : undefined;
  if (lock) dropHalfMadeStores(folder, role === "ingest" ? ["inbox"] : ["evidence", "entries"]);
  const server = start[role]();
  say(`ready ${server.port}`);
  await endRequested((line) => {
    if (line === "drain" && "drain" in server) server.drain();
  });
  await server.stop();
  lock?.release();
}

/** Resolves at a signal, or when the supervisor is gone. `onLine` is told what it says meanwhile. */
export async function endRequested(onLine: (line: string) => void = () => undefined): Promise<void> {
  await new Promise<void>((resolve) => {
    process.once("SIGTERM", () => resolve());
    process.once("SIGINT", () => resolve());
    // A supervisor holds the other end of standard input: when it is gone, however it went, so are we.
    if (!process.stdin.isTTY) createInterface({ input: process.stdin }).on("line", onLine).once("close", () => resolve());
  });
}

/** Two ingest APIs would write one inbox; two workers would each keep the pack in force and its limits in mind, and one would go on with what the other has replaced. The one before may still be ending. */
async function lockFor(role: "worker" | "ingest", folder: DataFolder): Promise<{ release(): void }> {
  for (let attempt = 1; ; attempt++) {
    try {
      return lockFolder(folder, role);
    } catch (error) {
      if (attempt === 50) throw error;
      await setTimeout(100);
    }
  }
}

function listening<Server>(port: number, option: string, host: string, start: (port: number) => Server): Server {
  try {
    return start(port);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") {
      throw new UsageError(`port ${port} on ${host} is in use: stop what listens there, or choose another with ${option} (0: any free one)`);
    }
    throw error;
  }
}
