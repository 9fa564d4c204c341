// The peers in C over LMDB: their store, and the keys that they are asked for.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { City } from "../city.ts";
import { runLoop, type LoopRound } from "../processes.ts";
import type { Programs } from "../programs.ts";
import { writeKeys } from "../questions.ts";

/** One round of a loop, its draws beginning with number `start`. */
export type Loop = (program: "lmdbSequential" | "lmdbOverlapped", start: number, seconds: number) => Promise<LoopRound>;

/** Writes the store of a city's entries below `folder`. */
export async function prepareLoops(folder: string, programs: Programs, { sortedFile, questions, documentSecret }: City): Promise<Loop> {
  const [store, keys] = [join(folder, "c-store"), join(folder, "c-keys")];
  mkdirSync(store);
  const load = Bun.spawn([programs.lmdbLoad, store, sortedFile, questions.records], { stdin: "ignore", stdout: "ignore", stderr: "inherit" });
  if ((await load.exited) !== 0) throw new Error("the store of the C loops could not be written");
  await writeKeys(keys, documentSecret, "service", questions);
  return (program, start, seconds) => runLoop([programs[program], store, keys, String(start), String(seconds)]);
}
