// A service of real processes for end-to-end tests: started by the command line, ended by signals, looked at through /proc.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { processes } from "../bench/processes.ts";
import { createClient, type Client } from "../ops/client.ts";
import { dataFolder, folderClock, readRun, readState, type RunState } from "../ops/dataFolder.ts";
import type { Clock } from "../core/domain/index.ts";

export const CLI = fileURLToPath(new URL("../ops/cli.ts", import.meta.url));
const BUN = process.execPath;

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), "fangxing-test-"));
}

export function removeFolder(path: string): void {
  rmSync(path, { recursive: true, force: true });
}

/** Waits for something to become true. The bound only ends a test that would never end. */
export async function until<T>(what: string, look: () => T | undefined | false | Promise<T | undefined | false>, boundMs = 60_000): Promise<T> {
  const startMs = performance.now();
  for (;;) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    if (performance.now() - startMs > boundMs) throw new Error(`still not so after ${boundMs} ms: ${what}`);
    await Bun.sleep(10);
  }
}

/** Runs a command of the CLI to its end. */
export async function cli(words: readonly string[], input = ""): Promise<{ status: number; out: string; err: string }> {
  const child = Bun.spawn([BUN, CLI, ...words], { stdin: new TextEncoder().encode(input), stdout: "pipe", stderr: "pipe" });
  const [out, err, status] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  return { status, out, err };
}

export interface TestService {
  readonly folder: string;
  readonly run: RunState;
  readonly clock: Clock;
  readonly client: Client;
  /** Everything it has printed so far. */
  printed(): string;
  /** The process of a child of the supervisor. */
  childPid(name: "redis" | "ingest" | "worker" | "lookup"): number;
  signal(name: NodeJS.Signals): void;
  readonly exited: Promise<number>;
}

/** Starts the demo on free ports and waits until it has printed its lines. */
export async function startDemo(folder: string, options: readonly string[] = []): Promise<TestService> {
  const child = Bun.spawn([BUN, CLI, "demo", "--data", folder, "--holders", "300", "--lookup-port", "0", "--ingest-port", "0", "--explain-port", "0", ...options], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let printed = "";
  const collect = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) printed += decoder.decode(chunk, { stream: true });
  };
  void collect(child.stdout);
  void collect(child.stderr);
  await until("the demo is up", () => {
    if (child.exitCode !== null) throw new Error(`the demo ended with status ${child.exitCode}: ${printed}`);
    return printed.includes("Every person here is invented");
  });
  const paths = dataFolder(folder);
  const run = readRun(paths)!;
  const clock = folderClock(paths);
  if (!readState(paths)?.demo?.isLoaded) throw new Error("the demo says it is up but its city is not loaded");
  return {
    folder,
    run,
    clock,
    client: createClient(paths, run, clock),
    printed: () => printed,
    childPid: (name) => childOf(child.pid, name === "redis" ? /(redis|valkey)-server/ : new RegExp(`cli\\.ts\0${name}`)),
    signal: (name) => child.kill(name),
    exited: child.exited,
  };
}

/** Processes whose parent is `parent` and whose command line fits. */
function childOf(parent: number, command: RegExp): number {
  const pid = processes().find((p) => p.parent === parent && command.test(p.command))?.pid;
  if (pid === undefined) throw new Error(`process ${parent} has no child ${command.source}`);
  return pid;
}

/** Processes that name this folder in their command line or environment of ours. */
export function processesOf(folder: string): number[] {
  return processes()
    .filter(({ pid, command }) => command.includes(folder) || environmentOf(pid).includes(folder))
    .map((p) => p.pid);
}

function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8");
  } catch {
    return "";
  }
}
