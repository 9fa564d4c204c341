// A service's processes on cores of their own: the lookup on the first, where the service puts it itself; everything else, the bench too, on the last.

import { readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";

/** Separates them. @returns what gives this process all cores back. Does nothing where there is one core, or no taskset. */
export function separateCores(supervisor: number): () => void {
  if (cpus().length < 2 || Bun.which("taskset") === null) return () => undefined;
  const last = String(cpus().length - 1);
  for (const pid of [supervisor, process.pid]) useCores(pid, last);
  for (const { pid, command } of childrenOf(supervisor)) if (!command.includes("cli.ts\0lookup")) useCores(pid, last);
  return () => useCores(process.pid, `0-${last}`);
}

function useCores(pid: number, cores: string): void {
  Bun.spawnSync(["taskset", "-a", "-c", "-p", cores, String(pid)], { stdout: "ignore", stderr: "ignore" });
}

function childrenOf(parent: number): { pid: number; command: string }[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        if (Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${name}/status`, "utf8"))![1]) !== parent) return [];
        return [{ pid: Number(name), command: readFileSync(`/proc/${name}/cmdline`, "utf8") }];
      } catch {
        return []; // it has ended meanwhile
      }
    });
}
