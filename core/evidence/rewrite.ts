// Rewrites an LMDB environment, whichever: every key of every database into a new file, which then takes the old one's place.
// Promises: of what was removed no byte is left: neither in free pages nor in the gaps of pages that are used, which a copy page by page would keep. The folder holds a whole
// store at every moment: the new file is complete and on disk before one rename puts it there.
// Not here: who must not have the environment open meanwhile: any writer; readers of the old file go on with it until they open anew (ops).

import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { open, type Database, type RootDatabase } from "lmdb";

const MAP_BYTES = 512 * 2 ** 30;
/** Keys written in one transaction. */
const KEYS = 20_000;

export interface Rewritten {
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  readonly keys: number;
}

/** @param onProgress told how many keys of how many have been copied. @throws when the copy does not hold as many keys as the store: the store stays as it was. */
export async function rewriteStore(folder: string, onProgress: (done: number, all: number) => void): Promise<Rewritten> {
  dropHalfMade(folder);
  const copyFolder = copyOf(folder);
  mkdirSync(copyFolder, { mode: 0o700 });
  const dataFile = join(folder, "data.mdb");
  const bytesBefore = statSync(dataFile).size;
  const [from, to] = [openRaw(folder, true), openRaw(copyFolder, false)];
  let done = 0;
  try {
    const names = [...from.getKeys({})].map((name) => Buffer.from(name).toString("latin1"));
    const databases = names.map((name) => ({ name, source: rawDatabase(from, name), target: rawDatabase(to, name) }));
    const all = databases.reduce((sum, { source }) => sum + countOf(source), 0);
    for (const { source, target } of databases) {
      for (let after: Uint8Array | null = null, isLast = false; !isLast; ) {
        let copied = 0;
        to.transactionSync(() => {
          for (const { key, value } of source.getRange({ ...(after ? { start: Buffer.concat([after, Buffer.of(0)]) } : {}), limit: KEYS })) {
            target.putSync(key, value, { append: true });
            after = Uint8Array.prototype.slice.call(key);
            copied++;
          }
        });
        done += copied;
        isLast = copied < KEYS;
        onProgress(done, all);
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    const wrong = databases.find(({ source, target }) => countOf(source) !== countOf(target));
    if (wrong || done !== all) throw new Error(`the copy of ${folder} does not hold as many keys as the store${wrong ? ` (${wrong.name})` : ""}: the store was left as it was`);
    await to.flushed;
  } catch (error) {
    await Promise.all([from.close(), to.close()]);
    dropHalfMade(folder);
    throw error;
  }
  await Promise.all([from.close(), to.close()]);
  sync(join(copyFolder, "data.mdb"));
  // Whoever still reads the old file stands in the old reader table: the new file begins with one of its own, since its transactions are numbered anew.
  rmSync(join(folder, "lock.mdb"), { force: true });
  renameSync(join(copyFolder, "data.mdb"), dataFile);
  sync(folder);
  dropHalfMade(folder);
  sync(dirname(folder));
  return { bytesBefore, bytesAfter: statSync(dataFile).size, keys: done };
}

/** Removes what a rewriting that was cut off has left. @returns whether there was any. */
export function dropHalfMade(folder: string): boolean {
  const copyFolder = copyOf(folder);
  if (!existsSync(copyFolder)) return false;
  rmSync(copyFolder, { recursive: true });
  return true;
}

/** Without a dot: the library takes a name with one for a file. */
function copyOf(folder: string): string {
  return `${folder}-rewritten`;
}

function openRaw(path: string, readOnly: boolean): RootDatabase<Uint8Array, Uint8Array> {
  return open<Uint8Array, Uint8Array>({ path, readOnly, mapSize: MAP_BYTES, maxDbs: 64, keyEncoding: "binary", encoding: "binary" });
}

function rawDatabase(root: RootDatabase<Uint8Array, Uint8Array>, name: string): Database<Uint8Array, Uint8Array> {
  return root.openDB<Uint8Array, Uint8Array>({ name, keyEncoding: "binary", encoding: "binary" });
}

function countOf(database: Database<Uint8Array, Uint8Array>): number {
  return (database.getStats() as { entryCount: number }).entryCount;
}

function sync(path: string): void {
  const file = openSync(path, "r");
  fsyncSync(file);
  closeSync(file);
}
