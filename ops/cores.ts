// Which processor cores a process may use, so that what works through all holders never stands in a gate's way: the last core is for such work, gates have all others.
// A machine with one core, or without taskset, shares what it has.

import { readdirSync } from "node:fs";
import { cpus, setPriority } from "node:os";

const cores = cpus().length;

function canChoose(): boolean {
  return cores > 1 && Bun.which("taskset") !== null;
}

/** In front of the command of a gates' server. */
export function onGateCores(): string[] {
  return canChoose() ? ["taskset", "-c", `0-${cores - 2}`] : [];
}

/** Moves this process, with all its threads, to the core that gates don't use. */
export function leaveGateCores(): void {
  if (canChoose()) Bun.spawnSync(["taskset", "-a", "-c", "-p", String(cores - 1), String(process.pid)], { stdout: "ignore", stderr: "ignore" });
}

const WORKER_NICE = 10;

/** Lets every other process of the machine go first, with all threads that this one has and will have. */
export function yieldToOthers(): void {
  setPriority(WORKER_NICE);
  // On Linux that was this thread alone.
  if (process.platform !== "linux") return;
  for (const thread of readdirSync("/proc/self/task")) {
    try {
      setPriority(Number(thread), WORKER_NICE);
    } catch {
      // it has ended meanwhile
    }
  }
}
