// The bench's programs in C: built anew for each run, for the processor at hand.

import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Folder and name. */
const SOURCES = {
  lmdbLoad: "peers",
  lmdbSequential: "peers",
  lmdbOverlapped: "peers",
  frameScans: "clients",
  httpScans: "clients",
  redisMget: "clients",
  redisFill: "clients",
} as const;

export type Programs = Record<keyof typeof SOURCES, string>;

/** What has to be installed before the bench can run, as Debian's packages; empty: nothing. */
export function missingPackages(): string[] {
  if (Bun.which("gcc") === null) return ["gcc", "libc6-dev", "liblmdb-dev"];
  const has = (header: string): boolean => Bun.spawnSync(["gcc", "-E", "-x", "c", "-include", header, "/dev/null"], { stdout: "ignore", stderr: "ignore" }).exitCode === 0;
  return [...(has("stdlib.h") ? [] : ["libc6-dev"]), ...(has("lmdb.h") ? [] : ["liblmdb-dev"])];
}

/** @returns where each program lies. @throws with what gcc says. */
export function buildPrograms(folder: string): Programs {
  const missing = missingPackages();
  if (missing.length > 0) throw new Error(`this bench builds peers and clients in C: run \`apt-get install -y ${missing.join(" ")}\``);
  const built = Object.entries(SOURCES).map(([name, room]) => {
    const source = fileURLToPath(new URL(`./${room}/${name}.c`, import.meta.url));
    const program = join(folder, name);
    const { exitCode, stderr } = Bun.spawnSync(["gcc", "-O3", "-march=native", "-o", program, source, "-llmdb"]);
    if (exitCode !== 0) throw new Error(`gcc ${source}: ${stderr.toString()}`);
    return [name, program];
  });
  return Object.fromEntries(built) as Programs;
}
