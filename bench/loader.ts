// The bulk loader: very many entries straight into a store, in the order of their keys, so that its pages fill one after the other; entries that lie there already would
// split them, and go first. Nobody else may write meanwhile. In memory are 17 bytes an entry. Not here: what the entries say (entries.ts).

import { closeSync, openSync, writeSync } from "node:fs";
import { KEY_BYTES, type DocumentKey, type Instant } from "../core/domain/index.ts";
import { openEntryWriter } from "../core/entry/index.ts";
import { KINDS, recordsAt } from "./entries.ts";
import { hashDocuments } from "./hashing.ts";

const AT_ONCE = 20_000;
/** A key and the kind of its record, as the peers' loaders read them. */
const SORTED_BYTES = KEY_BYTES + 1;
/** Keys are sorted in parts that begin with the same byte. */
const PARTS = 256;
/** Entries of a part at most: their number and 32 bits of the key make one number that sorts fast. */
const PART_MAX = 2 ** 21;

/** Writes entries for the first `count` documents into `folder`, instead of those that it holds, and what was written into `sortedFile`. @returns how long it took, milliseconds. */
export async function loadEntries(
  { folder, sortedFile, secret, count, at }: { folder: string; sortedFile: string; secret: Uint8Array; count: number; at: Instant },
  progress: (line: string) => void,
): Promise<number> {
  const startMs = performance.now();
  const parts = Array.from({ length: PARTS }, () => new Part(Math.ceil(count / PARTS)));
  await hashDocuments({ secret, kind: "service", count, placeOf: (i) => i }, (from, keys) => {
    for (let i = 0; i < keys.length / KEY_BYTES; i++) parts[keys[i * KEY_BYTES]!]!.add(keys, i * KEY_BYTES, (from + i) % KINDS);
  });
  progress(`${count} numbers hashed in ${seconds(startMs)} s`);
  const records = recordsAt(at);
  const entries = openEntryWriter(folder);
  entries.transaction(() => {
    for (const key of entries.documents({ after: null, limit: entries.count() })) entries.remove(key);
  });
  const file = openSync(sortedFile, "w");
  for (const [i, part] of parts.entries()) {
    const sorted = part.sorted();
    parts[i] = new Part(0);
    for (let done = 0; done < sorted.length; done += AT_ONCE * SORTED_BYTES) {
      entries.transaction(() => {
        const end = Math.min(done + AT_ONCE * SORTED_BYTES, sorted.length);
        for (let at = done; at < end; at += SORTED_BYTES) entries.put(sorted.subarray(at, at + KEY_BYTES) as DocumentKey, records[sorted[at + KEY_BYTES]!]!);
      });
    }
    writeSync(file, sorted);
  }
  closeSync(file);
  await entries.flushed();
  await entries.close();
  progress(`${count} entries written in ${seconds(startMs)} s`);
  return performance.now() - startMs;
}

/** Entries whose keys begin with the same byte. */
class Part {
  #bytes: Uint8Array;
  #used = 0;

  constructor(expected: number) {
    this.#bytes = new Uint8Array(Math.ceil(expected * 1.05) * SORTED_BYTES);
  }

  add(keys: Uint8Array, keyAt: number, kind: number): void {
    if (this.#used === this.#bytes.length) {
      const larger = new Uint8Array((this.#bytes.length / SORTED_BYTES + 16) * 2 * SORTED_BYTES);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    for (let k = 0; k < KEY_BYTES; k++) this.#bytes[this.#used + k] = keys[keyAt + k]!;
    this.#bytes[this.#used + KEY_BYTES] = kind;
    this.#used += SORTED_BYTES;
  }

  sorted(): Uint8Array {
    const bytes = Buffer.from(this.#bytes.buffer, 0, this.#used);
    const count = bytes.length / SORTED_BYTES;
    if (count > PART_MAX) throw new Error(`${count} entries in one part, at most ${PART_MAX}: load fewer`);
    // Bytes 1 to 4 of the key, then the place.
    const order = Float64Array.from({ length: count }, (_, i) => bytes.readUInt32BE(i * SORTED_BYTES + 1) * PART_MAX + i).sort();
    // The few that agree so far are put right by the whole key.
    for (let i = 1; i < count; i++) {
      for (let k = i; k > 0 && prefixOf(order[k - 1]!) === prefixOf(order[k]!) && compare(bytes, placeOf(order[k - 1]!), placeOf(order[k]!)) > 0; k--) [order[k - 1], order[k]] = [order[k]!, order[k - 1]!];
    }
    const sorted = new Uint8Array(bytes.length);
    order.forEach((value, i) => sorted.set(bytes.subarray(placeOf(value) * SORTED_BYTES, (placeOf(value) + 1) * SORTED_BYTES), i * SORTED_BYTES));
    return sorted;
  }
}

function placeOf(value: number): number {
  return value % PART_MAX;
}

function prefixOf(value: number): number {
  return Math.floor(value / PART_MAX);
}

function compare(bytes: Buffer, a: number, b: number): number {
  return bytes.compare(bytes, b * SORTED_BYTES, b * SORTED_BYTES + KEY_BYTES, a * SORTED_BYTES, a * SORTED_BYTES + KEY_BYTES);
}

function seconds(sinceMs: number): string {
  return ((performance.now() - sinceMs) / 1000).toFixed(1);
}
