// `fangxing compact`: rewrites the stores of a data folder, so that no byte of what was removed is left in their files.
// Promises: a folder that is in use is left alone; a command that is killed leaves whole stores, the old or the new ones.
// Not here: what is removed, and when (the worker).

import { existsSync } from "node:fs";
import { join } from "node:path";
import { SingleBar } from "cli-progress";
import { dropHalfMade, rewriteStore } from "../../core/evidence/index.ts";
import { existingFolder, lockFolder, readLookups, type DataFolder } from "../dataFolder.ts";
import { UsageError, type Settings } from "../settings.ts";

const STORES = ["inbox", "evidence", "entries"] as const;

/** @throws UsageError when a service, a worker or a lookup runs on the folder. */
export async function compact(settings: Settings, say: (line: string) => void): Promise<void> {
  const folder = existingFolder(settings.data);
  if (readLookups(folder).length > 0) throw new UsageError(`a lookup runs on ${folder.path}: stop it first, it would go on with the files of before`);
  const locks = (["service", "worker", "ingest"] as const).map((as) => lockFolder(folder, as));
  try {
    for (const name of STORES.filter((store) => existsSync(join(folder[store], "data.mdb")))) {
      const bar = new SingleBar({ format: `  ${name} {bar} {percentage} %`, clearOnComplete: true, noTTYOutput: false });
      bar.start(1, 0);
      const { bytesBefore, bytesAfter, keys } = await rewriteStore(folder[name], (done, all) => {
        bar.setTotal(Math.max(all, 1));
        bar.update(done);
      });
      bar.stop();
      say(`${name}: ${keys} keys, ${bytesBefore} bytes before, ${bytesAfter} after`);
    }
  } finally {
    for (const lock of locks) lock.release();
  }
}

/** Removes what a command that was killed has left in a folder. Call with the folder taken. */
export function dropHalfMadeStores(folder: DataFolder, stores: readonly (typeof STORES)[number][]): void {
  for (const store of stores) dropHalfMade(folder[store]);
}
