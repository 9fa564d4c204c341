// The processes of a bench: servers on the first core, clients on the second, CPU and memory as the kernel counts them.

import { readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import type { Subprocess } from "bun";

export interface Serving {
  readonly pid: number;
  /** What it said behind `ready`: its port. */
  readonly port: number;
  stop(): Promise<void>;
}

/** What a client or a loop found. */
export interface Round {
  readonly answers: number;
  readonly seconds: number;
  /** CPU of the serving processes, microseconds an answer. */
  readonly us: number;
  readonly perSecond: number;
  readonly checksum: number;
  readonly wrong: number;
}

/** The same of a loop in C, with the depth of its tree. */
export interface LoopRound extends Round {
  readonly depth: number;
}

const SERVER_CORE = 0;
const CLIENT_CORE = 1;

/** Whether servers and clients have cores of their own here. */
export const arePinned = cpus().length > 1 && Bun.which("taskset") !== null;

/** In front of a client's command that is not measured. */
export const onClientCore: readonly string[] = onCore(CLIENT_CORE);

function onCore(core: number): string[] {
  return arePinned ? ["taskset", "-c", String(core)] : [];
}

/** Starts a server and waits until `isReady` finds in its output that it is; killed with `children`. */
export async function startServer(children: Subprocess[], command: readonly string[], isReady = /ready (\d+)/): Promise<Serving> {
  const child = Bun.spawn([...onCore(SERVER_CORE), ...command], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  children.push(child);
  let said = "";
  const reader = child.stdout.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`${command.join(" ")} did not start: ${said}`);
    said += new TextDecoder().decode(value);
    const ready = isReady.exec(said);
    if (!ready) continue;
    void drain(reader);
    return {
      pid: child.pid,
      port: Number(ready[1]),
      async stop() {
        child.kill();
        await child.exited;
      },
    };
  }
}

/** So that a talkative server never waits for its reader. */
async function drain(reader: { read(): Promise<{ done: boolean }> }): Promise<void> {
  while (!(await reader.read()).done);
}

/** Runs a client against servers from the other core. @throws when it ends with a fault. */
export async function runClient(servers: readonly { readonly pid: number }[], command: readonly string[], environment: Record<string, string> = {}): Promise<Round> {
  const before = servers.reduce((sum, { pid }) => sum + cpuUs(pid), 0);
  const { answers, seconds, checksum, wrong } = await run(CLIENT_CORE, command, environment);
  const used = servers.reduce((sum, { pid }) => sum + cpuUs(pid), 0) - before;
  return { answers, seconds, us: used / answers, perSecond: answers / seconds, checksum, wrong };
}

/** Runs a loop that serves itself, on the servers' core. */
export async function runLoop(command: readonly string[]): Promise<LoopRound> {
  const { answers, seconds, checksum, wrong, cpuUs: used = NaN, depth = NaN } = await run(SERVER_CORE, command, {});
  return { answers, seconds, us: used / answers, perSecond: answers / seconds, checksum, wrong, depth };
}

interface Said {
  readonly answers: number;
  readonly seconds: number;
  readonly checksum: number;
  readonly wrong: number;
  readonly cpuUs?: number;
  readonly depth?: number;
}

async function run(core: number, command: readonly string[], environment: Record<string, string>): Promise<Said> {
  const child = Bun.spawn([...onCore(core), ...command], { stdin: "ignore", stdout: "pipe", stderr: "inherit", env: { ...process.env, ...environment } });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`${command[0]!} ended with a fault`);
  return JSON.parse(text) as Said;
}

/** All processes that live, zombies left out. Commands have a NUL behind each word. */
export function processes(): { pid: number; parent: number; command: string }[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const status = readFileSync(`/proc/${name}/status`, "utf8");
        if (/^State:\s+Z/m.test(status)) return [];
        return [{ pid: Number(name), parent: Number(/^PPid:\s+(\d+)/m.exec(status)![1]), command: readFileSync(`/proc/${name}/cmdline`, "utf8") }];
      } catch {
        return []; // it has ended meanwhile
      }
    });
}

/** The processes that a process has started and that live, with their command lines. */
export function childrenOf(pid: number): { pid: number; command: string }[] {
  const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
  return pids.filter(Boolean).map((child) => ({ pid: Number(child), command: readFileSync(`/proc/${child}/cmdline`, "utf8").replaceAll("\0", " ") }));
}

/** Moves a process with all its threads to a core. */
export function pinTo(core: number, pid: number): void {
  Bun.spawnSync(["taskset", "-a", "-c", "-p", String(core), String(pid)], { stdout: "ignore", stderr: "ignore" });
}

/** CPU that a process has used with all its threads, microseconds, as the kernel counts it. */
export function cpuUs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

/**
 * Memory that a process has for itself, MiB: Private_* of all its mappings but that of `sharedFile`. The kernel counts pages of the page cache as private
 * while only one process maps them, though any other may.
 */
export function privateRssMib(pid: number, sharedFile: string): number {
  let [kib, isShared] = [0, false];
  for (const line of readFileSync(`/proc/${pid}/smaps`, "utf8").split("\n")) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) isShared = line.endsWith(sharedFile);
    const size = /^Private_(?:Clean|Dirty): +(\d+) kB/.exec(line);
    if (size && !isShared) kib += Number(size[1]);
  }
  return kib / 1024;
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

/** Three significant digits, whole numbers whole. */
export function rounded(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}
