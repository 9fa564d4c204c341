// The processes of the bench `reader`: `load FOLDER ENTRIES` writes a store, `measure FOLDER ENTRIES ROUNDS KEYS` prints ReaderRounds as one JSON object.

import { crc32 } from "node:zlib";
import { createRecordBatch, entryFault, openEntryReader, openEntryWriter, openMappedEntryReader, type EntryReader } from "../core/entry/index.ts";
import { KEY_BYTES, type DocumentKey } from "../core/domain/index.ts";
import { recordsAt } from "./entries.ts";
import { mix } from "./tortureWorld.ts";

export interface ReaderRounds {
  /** Microseconds of CPU a key, round by round. */
  readonly us: Readonly<Record<"mapped_batch" | "library_batch" | "mapped_one" | "library_one", readonly number[]>>;
  /** What it took to open the mapped reader. */
  readonly opened_ms: number;
  readonly fallbacks: number;
  /** Of what each way of reading found for the same keys. */
  readonly checksums: readonly number[];
}

/** Keys of one getMany. */
const FRAME = 64;
const AT_ONCE = 20_000;

/** The first half of the key of a number; the second half follows from it, so that keys can be sorted as numbers. */
function headOf(number: number): bigint {
  return (BigInt(mix(number, 1)) << 32n) | BigInt(mix(number, 2));
}

function writeKey(high: number, low: number, into: DataView, at: number): void {
  into.setUint32(at, high);
  into.setUint32(at + 4, low);
  into.setUint32(at + 8, mix(high, 3));
  into.setUint32(at + 12, mix(low, 4));
}

async function load(folder: string, entries: number): Promise<void> {
  const heads = new BigUint64Array(entries);
  for (let number = 0; number < entries; number++) heads[number] = headOf(number);
  heads.sort();
  const records = recordsAt(1_650_000_000);
  const writer = openEntryWriter(folder);
  const key = new Uint8Array(KEY_BYTES) as DocumentKey;
  const view = new DataView(key.buffer);
  for (let done = 0; done < entries; done += AT_ONCE) {
    writer.transaction(() => {
      for (let i = done; i < Math.min(done + AT_ONCE, entries); i++) {
        const head = heads[i]!;
        writeKey(Number(head >> 32n), Number(head & 0xffff_ffffn), view, 0);
        writer.put(key, records[mix(i, 5) % records.length]!);
      }
    });
  }
  await writer.flushed();
  await writer.close();
}

/** Keys drawn evenly from all entries, one behind the other; others for each seed. */
function draw(entries: number, count: number, seed: number): Uint8Array {
  const keys = new Uint8Array(count * KEY_BYTES);
  const view = new DataView(keys.buffer);
  for (let i = 0; i < count; i++) {
    const number = mix(i, seed) % entries;
    writeKey(mix(number, 1), mix(number, 2), view, i * KEY_BYTES);
  }
  return keys;
}

/** Reads all keys a frame at a time. @returns a checksum. */
function readBatches(reader: EntryReader, keys: Uint8Array): number {
  const count = keys.length / KEY_BYTES;
  let checksum = 0;
  for (let from = 0; from < count; from += FRAME) {
    const some = Math.min(FRAME, count - from);
    reader.getMany(keys.subarray(from * KEY_BYTES, (from + some) * KEY_BYTES), some, batch);
    for (let i = 0; i < some; i++) {
      const length = batch.lengths[i]!;
      if (length <= 0) throw new Error("an entry was not found");
      checksum = (Math.imul(checksum, 31) + length * 256 + batch.bytes[batch.starts[i]! + 4]!) | 0;
    }
  }
  return checksum;
}
const batch = createRecordBatch(FRAME);

/** Reads all keys one by one. `isChecked`: the reader has verified what it gives. @returns a checksum. */
function readEach(reader: EntryReader, keys: Uint8Array, isChecked: boolean): number {
  const key = new Uint8Array(KEY_BYTES) as DocumentKey;
  let checksum = 0;
  for (let from = 0; from < keys.length; from += KEY_BYTES) {
    for (let i = 0; i < KEY_BYTES; i++) key[i] = keys[from + i]!;
    const record = reader.get(key);
    if (!record || (!isChecked && entryFault(record) !== undefined)) throw new Error("an entry was not found");
    checksum = (Math.imul(checksum, 31) + record.length * 256 + record[4]!) | 0;
  }
  return checksum;
}

/** CPU that this process has used, microseconds: others may run beside it. */
function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

async function measure(folder: string, entries: number, rounds: number, keysEach: number): Promise<void> {
  const startMs = performance.now();
  const mapped = openMappedEntryReader(folder);
  const opened_ms = performance.now() - startMs;
  const library = openEntryReader(folder);
  const us: Record<keyof ReaderRounds["us"], number[]> = { mapped_batch: [], library_batch: [], mapped_one: [], library_one: [] };
  const ways: Record<keyof ReaderRounds["us"], (keys: Uint8Array) => number> = {
    mapped_batch: (keys) => readBatches(mapped, keys),
    library_batch: (keys) => readBatches(library, keys),
    mapped_one: (keys) => readEach(mapped, keys, true),
    library_one: (keys) => readEach(library, keys, false),
  };
  const names = Object.keys(ways) as (keyof typeof ways)[];
  const same = draw(entries, Math.min(keysEach, 20_000), 11);
  const checksums = names.map((name) => crc32(String(ways[name](same))));
  // Every page has been touched by both, before anything is measured.
  for (const name of ["mapped_batch", "library_batch"] as const) ways[name](draw(entries, Math.max(Math.ceil(entries / 10), keysEach), 12));
  for (const name of ["mapped_one", "library_one"] as const) ways[name](draw(entries, keysEach, 13));
  for (let round = 0; round < rounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const keys = draw(entries, keysEach, 100 + round * names.length + names.indexOf(name));
      Bun.gc(true);
      await new Promise((resolve) => setImmediate(resolve));
      const beganUs = cpuUs();
      ways[name](keys);
      us[name].push((cpuUs() - beganUs) / keysEach);
    }
  }
  const result: ReaderRounds = { us, opened_ms, fallbacks: mapped.fallbacks(), checksums };
  await mapped.close();
  await library.close();
  console.log(JSON.stringify(result));
}

const [role, folder = "", ...numbers] = process.argv.slice(2);
const [entries = 0, rounds = 0, keysEach = 0] = numbers.map(Number);
await (role === "load" ? load(folder, entries) : measure(folder, entries, rounds, keysEach));
process.exit(0);
