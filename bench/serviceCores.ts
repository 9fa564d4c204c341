// A service's processes on cores of their own: the lookup on the first, where the service puts it itself; everything else, the bench too, on the last.

import { cpus } from "node:os";
import { processes } from "./processes.ts";

/** Separates them. @returns what gives this process all cores back. Does nothing where there is one core, or no taskset. */
export function separateCores(supervisor: number): () => void {
  if (cpus().length < 2 || Bun.which("taskset") === null) return () => undefined;
  const last = String(cpus().length - 1);
  for (const pid of [supervisor, process.pid]) useCores(pid, last);
  for (const { pid, parent, command } of processes()) if (parent === supervisor && !command.includes("cli.ts\0lookup")) useCores(pid, last);
  return () => useCores(process.pid, `0-${last}`);
}

function useCores(pid: number, cores: string): void {
  Bun.spawnSync(["taskset", "-a", "-c", "-p", cores, String(pid)], { stdout: "ignore", stderr: "ignore" });
}
