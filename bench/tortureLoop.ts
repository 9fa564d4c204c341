// The processes of the bench `torture`: `write FOLDER ENTRIES_MAX` and `read FOLDER ENTRIES_MAX READS`. They speak with the bench by messages.

import { readFileSync, rmSync } from "node:fs";
import { createRecordBatch, DAMAGED, openEntryReader, openEntryWriter, openMappedEntryReader, type EntryReader, type RecordBatch } from "../core/entry/index.ts";
import { KEY_BYTES } from "../core/domain/index.ts";
import { BIRTHS, classOf, CLASSES, CLOCK_NUMBER, clockOf, isRecord, keyOf, mix, recordOf, touches, versionAfter, writeKey } from "./tortureWorld.ts";

/** A frame of the hot path. */
const FRAME = 64;
const TURN_MS = 8;
const REOPEN_READS = 8_000_000;

const [role, folder = "", entriesText = "", readsText = ""] = process.argv.slice(2);
const entriesMax = Number(entriesText);
const send = (message: object): void => {
  process.send!(message);
};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function write(): Promise<void> {
  const writer = openEntryWriter(folder);
  const found = writer.get(keyOf(CLOCK_NUMBER));
  let newest = found ? clockOf(found, 0) : 0;
  const classes: number[][] = Array.from({ length: CLASSES }, () => []);
  let entries = 0;
  /** @returns how many entries there were. */
  const grow = (): number => {
    const before = entries;
    entries = Math.min(newest * BIRTHS, entriesMax);
    for (let number = before + 1; number <= entries; number++) classes[classOf(number)]!.push(number);
    return before;
  };
  grow();
  const orders = { isPaused: false };
  let isCopying = false;
  let lost = 0;
  process.on("message", (message: { what: string; path?: string }) => {
    if (message.what === "pause") orders.isPaused = true;
    if (message.what === "resume") orders.isPaused = false;
    if (message.what === "pause") send({ what: "paused", newest });
    if (message.what === "copy" && !isCopying) {
      isCopying = true;
      void writer.copyTo(message.path!).then(() => {
        isCopying = false;
        send({ what: "copied", path: message.path });
      });
    }
    if (message.what === "state") send({ what: "state", newest, lost, entries });
  });
  send({ what: "ready", newest });
  for (;;) {
    if (orders.isPaused) {
      await Bun.sleep(5);
      continue;
    }
    newest++;
    const before = grow();
    writer.transaction(() => {
      const clock = writer.get(keyOf(CLOCK_NUMBER));
      if ((clock ? clockOf(clock, 0) : 0) !== newest - 1) lost++;
      for (const number of classes[newest % CLASSES]!) {
        if (!touches(number, newest)) continue;
        const version = versionAfter(number, newest);
        if (version === 0) writer.remove(keyOf(number));
        else writer.put(keyOf(number), recordOf(number, version));
      }
      for (let number = before + 1; number <= entries; number++) writer.put(keyOf(number), recordOf(number, newest));
      writer.put(keyOf(CLOCK_NUMBER), recordOf(CLOCK_NUMBER, newest));
    });
    await turn();
  }
}

async function read(): Promise<void> {
  const readsMax = Number(readsText);
  let [reads, wrong, damaged, fallbacks, transactions, absent, large, reopened, referenceReads, referenceWrong, backwards] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
  let [mapped, reference] = [openMappedEntryReader(folder), openEntryReader(folder)];
  let last = 0;
  let seed = process.pid;
  const first: string[] = [];
  const batch = createRecordBatch(FRAME);
  const keys = new Uint8Array(FRAME * KEY_BYTES);
  const numbers = new Uint32Array(FRAME);
  const draw = (clock: number): void => {
    const range = Math.min((clock + 1) * BIRTHS, entriesMax); // those of the next transaction too: they are absent
    numbers[0] = CLOCK_NUMBER;
    for (let i = 1; i < FRAME; i++) numbers[i] = 1 + (mix(seed++, 1) % range);
    for (let i = 0; i < FRAME; i++) writeKey(numbers[i]!, keys, i * KEY_BYTES);
  };
  /** Compares all answers of a batch with the state that its own clock names. @returns how many were wrong. */
  const check = (of: RecordBatch): number => {
    const clock = of.lengths[0]! > 0 ? clockOf(of.bytes, of.starts[0]!) : 0;
    let faults = 0;
    for (let i = 0; i < FRAME; i++) {
      const length = of.lengths[i]!;
      const version = versionAfter(numbers[i]!, clock);
      if (length === DAMAGED) damaged++;
      if (length === 0) absent++;
      if (length > 2000) large++;
      if (version === 0 ? length === 0 : length > 0 && isRecord(of.bytes, of.starts[i]!, length, numbers[i]!, version)) continue;
      faults++;
      if (first.length < 20) first.push(`number ${numbers[i]!} at ${clock}: version ${version} expected, length ${length}, has ${length > 0 ? clockOf(of.bytes, of.starts[i]!) : 0}`);
    }
    if (clock < last) {
      backwards++;
      if (first.length < 20) first.push(`the clock went back from ${last} to ${clock}`);
    }
    last = Math.max(last, clock);
    return faults;
  };
  /** Answers of the mapped reader, the reference reader and the truth while nobody writes. */
  const compareAll = (): number => {
    mapped.refresh();
    const other = createRecordBatch(FRAME);
    let faults = 0;
    for (let round = 0; round < 1000; round++) {
      draw(last);
      mapped.getMany(keys, FRAME, batch);
      reference.getMany(keys, FRAME, other);
      faults += check(batch) + check(other);
      for (let i = 0; i < FRAME; i++) if (batch.lengths[i] !== other.lengths[i]) faults++;
      reads += FRAME;
    }
    return faults;
  };
  /** A compacted copy is a store of its own: exact for its own clock. */
  const checkCopy = async (path: string): Promise<void> => {
    const copy = openMappedEntryReader(path);
    for (let round = 0; round < 200; round++) {
      const before = last;
      draw(before);
      copy.getMany(keys, FRAME, batch);
      last = 0;
      wrong += check(batch);
      last = before;
      reads += FRAME;
    }
    fallbacks += copy.fallbacks();
    if (copy.unmappedBecause() !== undefined) wrong++;
    await copy.close();
    rmSync(path, { recursive: true, force: true });
  };
  const result = (): object => ({ reads, wrong, damaged, fallbacks: fallbacks + mapped.fallbacks(), transactions, absent, large, reopened, referenceReads, referenceWrong, backwards, maps: mapCount(), first, unmapped: mapped.unmappedBecause() ?? null });
  const orders: { isOver: boolean; isQuiet: boolean; copy: string | undefined } = { isOver: false, isQuiet: false, copy: undefined };
  process.on("message", (message: { what: string; path?: string }) => {
    if (message.what === "stop") orders.isOver = true;
    if (message.what === "quiet") orders.isQuiet = true;
    if (message.what === "copy") orders.copy = message.path;
  });
  send({ what: "ready" });
  let seen = 0;
  while (!orders.isOver && reads < readsMax) {
    const endMs = performance.now() + TURN_MS;
    while (performance.now() < endMs && reads < readsMax) {
      draw(last);
      mapped.getMany(keys, FRAME, batch);
      wrong += check(batch);
      reads += FRAME;
      if ((seed & 7) === 0) {
        // One by one, against the clock of the same state; nothing is renewed within a turn.
        const at = mapped.transaction();
        const clock = clockOf(batch.bytes, batch.starts[0]!);
        const number = numbers[1 + (seed % (FRAME - 1))]!;
        const record = mapped.get(keyOf(number));
        const version = versionAfter(number, clock);
        if (at === mapped.transaction() && (version === 0 ? record !== undefined : !record || !isRecord(record, 0, record.length, number, version))) wrong++;
        reads++;
      }
      if ((seed & 63) === 0) {
        referenceWrong += referenceCheck(reference);
        referenceReads += FRAME;
      }
    }
    if (mapped.transaction() !== seen) transactions++;
    seen = mapped.transaction();
    if (orders.isQuiet) {
      orders.isQuiet = false;
      wrong += compareAll();
      send({ what: "quiet" });
    }
    if (orders.copy !== undefined) {
      const path = orders.copy;
      orders.copy = undefined;
      await checkCopy(path);
    }
    if (Math.floor(reads / REOPEN_READS) > reopened) {
      reopened++;
      fallbacks += mapped.fallbacks();
      await mapped.close();
      mapped = openMappedEntryReader(folder);
      reference = openEntryReader(folder);
    }
    send({ what: "progress", ...result() });
    await turn();
  }
  send({ what: "done", ...result() });

  function referenceCheck(reader: EntryReader): number {
    const before = last;
    reader.getMany(keys, FRAME, batch);
    last = 0; // its transaction may be an older or a newer one than the map's
    const faults = check(batch);
    last = before;
    return faults;
  }
}

/** Memory maps of this process: windows that were replaced must go. */
function mapCount(): number {
  return readFileSync("/proc/self/maps", "utf8").split("data.mdb").length - 1;
}

await (role === "write" ? write() : read());
process.exit(0);
