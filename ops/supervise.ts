// Supervision: starts child processes in order, starts again what dies, stops all of it in order.
// Promises: a child that can't start is one clear message; one that dies later is started again, ever more slowly, and the others go on meanwhile.
// Not here: what the children do.

import { spawn, type ChildProcess } from "node:child_process";

export interface ChildPlan {
  readonly name: string;
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Called until it resolves to true; a child of our own says so by a line that begins with `ready`. */
  readonly isReady?: () => Promise<boolean>;
  /** Whether lines of its output are shown. */
  readonly isQuiet?: boolean;
}

export interface Supervisor {
  /** Starts a child and waits until it is ready. @returns what followed the word `ready` in its line. @throws SuperviseError when it ends before. */
  start(plan: ChildPlan): Promise<string>;
  /** Starts none again from now on, and says a line to each on its standard input. */
  retire(line: string): void;
  /** The processes of the children that live. */
  pids(): number[];
  /** Stops the children, the last one started first. */
  stop(): Promise<void>;
}

export class SuperviseError extends Error {
  override name = "SuperviseError";
}

const READY_MS_MAX = 30_000;
/** Deaths within this time slow the next start down. */
const DEATHS_WITHIN_MS = 60_000;
const PAUSE_MS_MIN = 100;
const PAUSE_MS_MAX = 10_000;
const STOP_MS_MAX = 20_000;

interface Child {
  readonly plan: ChildPlan;
  process: ChildProcess;
  deathsMs: number[];
}

export function createSupervisor(say: (line: string) => void): Supervisor {
  const children: Child[] = [];
  let isStopping = false;

  /** Spawns and waits for readiness. */
  const launch = (plan: ChildPlan): { process: ChildProcess; ready: Promise<string> } => {
    // Groups of their own: Ctrl-C reaches the supervisor alone, which then stops the children in order.
    const child = spawn(plan.command[0]!, plan.command.slice(1), {
      env: { ...process.env, ...plan.environment },
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
    });
    const ready = new Promise<string>((resolve, reject) => {
      let lastLine = "";
      const onLine = (line: string): void => {
        lastLine = line.trim() || lastLine;
        if (!plan.isReady && line.startsWith("ready")) resolve(line.slice("ready".length).trim());
        else if (!plan.isQuiet && line.trim() !== "") say(`${plan.name}: ${line}`);
      };
      forEachLine(child.stdout, onLine);
      forEachLine(child.stderr, onLine);
      child.once("error", (error) => reject(new SuperviseError(`${plan.name} can't be started: ${error.message}`)));
      child.once("exit", (code, signal) => reject(new SuperviseError(`${plan.name} ended before it was ready (${signal ?? `status ${code ?? "?"}`})${lastLine ? `: ${lastLine}` : ""}`)));
      setTimeout(() => reject(new SuperviseError(`${plan.name} was not ready within ${READY_MS_MAX / 1000} s`)), READY_MS_MAX).unref();
      if (plan.isReady) void poll(plan.isReady, () => child.exitCode === null).then(() => resolve(""));
    });
    return { process: child, ready };
  };

  const watch = (child: Child): void => {
    child.process.once("exit", (code, signal) => {
      if (isStopping) return;
      const nowMs = performance.now();
      child.deathsMs = [...child.deathsMs.filter((at) => nowMs - at < DEATHS_WITHIN_MS), nowMs];
      const how = signal ?? `status ${code ?? "?"}`;
      const deaths = child.deathsMs.length;
      const pauseMs = Math.min(PAUSE_MS_MIN * 2 ** (deaths - 1), PAUSE_MS_MAX);
      const often = deaths > 1 ? `, ${deaths} times within a minute` : "";
      say(`${child.plan.name} ended unexpectedly (${how})${often}; starting it again in ${pauseMs / 1000} s`);
      const again = (): void => {
        if (isStopping) return;
        const { process: next, ready } = launch(child.plan);
        child.process = next;
        watch(child);
        ready.then(
          () => say(`${child.plan.name} is back`),
          () => undefined, // its end is watched
        );
      };
      setTimeout(again, pauseMs);
    });
  };

  const living = (): ChildProcess[] => children.map((child) => child.process).filter((child) => child.exitCode === null && child.signalCode === null && child.pid !== undefined);

  return {
    retire(line) {
      isStopping = true;
      for (const child of living()) child.stdin?.write(`${line}\n`);
    },
    pids: () => living().map((child) => child.pid!),
    async start(plan) {
      const { process: first, ready } = launch(plan);
      const child = { plan, process: first, deathsMs: [] };
      children.push(child);
      const what = await ready;
      watch(child);
      return what;
    },
    async stop() {
      isStopping = true;
      for (const child of living().toReversed()) {
        const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
        child.kill("SIGTERM");
        const killer = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
        await ended;
        clearTimeout(killer);
      }
    },
  };
}

async function poll(isReady: () => Promise<boolean>, goesOn: () => boolean): Promise<void> {
  while (goesOn() && !(await isReady().catch(() => false))) await Bun.sleep(30);
}

function forEachLine(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    lines.forEach(onLine);
  });
}
