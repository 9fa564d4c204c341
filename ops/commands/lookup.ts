// fangxing lookup: the lookup processes of one port; with --reload, replaces those that run.

import { lookup as resolve } from "node:dns/promises";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { existingFolder, readLookups, writeLookup, type LookupState } from "../dataFolder.ts";
import { startGates } from "../lookup/gates.ts";
import { nodeCommand } from "../node.ts";
import { UsageError, type Settings } from "../settings.ts";
import { SuperviseError } from "../supervise.ts";
import { endRequested } from "./roles.ts";

/** Starts the processes and runs until a signal, or the end of the supervisor that started it. SIGHUP replaces them. */
export async function runLookup(settings: Settings, say: (line: string) => void): Promise<void> {
  const folder = existingFolder(settings.data);
  const { server, host, lookupPort, lookupProcesses } = settings;
  const { address } = await resolve(host);
  const runtime = server === "uws" ? nodeCommand() : [process.execPath];
  const command = [...runtime, fileURLToPath(new URL("../cli.ts", import.meta.url)), "lookup-process"];
  const environment = { FANGXING_DATA: folder.path, FANGXING_HOST: address, FANGXING_SERVER: server, FANGXING_LOOKUP_PROCESSES: String(lookupProcesses) };
  const gates = await startGates({ processes: lookupProcesses, address, port: lookupPort, command, environment, say }).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    throw new UsageError(`port ${lookupPort} on ${host} is in use: stop what listens there, or choose another with --lookup-port (0: any free one)`);
  });
  let state: LookupState = { pid: process.pid, port: gates.port, reloads: 0, failure: null };
  const tell = (failure: string | null): void => writeLookup(folder, (state = { ...state, reloads: state.reloads + 1, failure }));
  writeLookup(folder, state);
  process.on("SIGHUP", () => {
    say("replacing the lookup processes");
    gates.reload().then(
      () => {
        say("the lookup processes have been replaced");
        tell(null);
      },
      (error: unknown) => {
        const failure = error instanceof Error ? error.message : String(error);
        say(`the lookup processes were not replaced, those before go on: ${failure}`);
        tell(failure);
      },
    );
  });
  say(`ready ${gates.port}`);
  await endRequested();
  await gates.stop();
}

/** Has the running processes replaced and waits until that is done. @throws UsageError when none run, SuperviseError when the new ones don't start. */
export async function reloadLookup(settings: Settings, say: (line: string) => void): Promise<void> {
  const folder = existingFolder(settings.data);
  const running = readLookups(folder);
  const before = running.length === 1 ? running[0] : running.find(({ port }) => port === settings.lookupPort);
  if (!before) {
    const ports = running.map(({ port }) => port).join(", ");
    throw new UsageError(running.length === 0 ? `no lookup runs on ${folder.path}` : `lookups run on the ports ${ports}: choose one with --lookup-port`);
  }
  process.kill(before.pid, "SIGHUP");
  for (;;) {
    const now = readLookups(folder).find(({ port, pid }) => port === before.port && pid === before.pid);
    if (!now) throw new UsageError(`the lookup on port ${before.port} has ended meanwhile`);
    if (now.reloads > before.reloads) {
      if (now.failure !== null) throw new SuperviseError(`not replaced, the processes before go on: ${now.failure}`);
      say(`The lookup processes on port ${before.port} have been replaced`);
      return;
    }
    await setTimeout(50);
  }
}
