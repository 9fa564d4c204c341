// Keys of very many documents, hashed by as many workers as there are cores.

import { cpus } from "node:os";
import type { HashKind } from "./hashWorker.ts";

/** Documents that a worker is given at once. */
const STRETCH = 2 ** 17;

/** Hashes the documents whose places `placeOf` gives for 0 to `count` - 1. `onKeys` is told of stretches as they are done, in any order: the first one's number, and the keys one behind the other. */
export async function hashDocuments(
  { secret, kind, count, placeOf }: { secret: Uint8Array; kind: HashKind; count: number; placeOf: (i: number) => number },
  onKeys: (from: number, keys: Uint8Array) => void,
): Promise<void> {
  let next = 0;
  const work = (worker: Worker): Promise<void> =>
    new Promise((resolve, reject) => {
      let from = 0;
      const giveNext = (): void => {
        from = next;
        next = Math.min(next + STRETCH, count);
        if (from === next) {
          resolve();
          return;
        }
        worker.postMessage(Float64Array.from({ length: next - from }, (_, i) => placeOf(from + i)));
      };
      worker.onmessage = ({ data }: MessageEvent<Uint8Array>) => {
        const done = from;
        giveNext();
        onKeys(done, data);
      };
      worker.onerror = ({ message }) => reject(new Error(`hashing failed: ${message}`));
      worker.postMessage({ secret, kind });
      giveNext();
    });
  const workers = cpus().map(() => new Worker(new URL("./hashWorker.ts", import.meta.url)));
  try {
    await Promise.all(workers.map(work));
  } finally {
    for (const worker of workers) worker.terminate();
  }
}
