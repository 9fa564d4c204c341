// torture: does the mapped reader ever give another answer than the store holds?
// A writer at full speed: growth, other lengths, removals, transactions of a few to many thousand changes, compacted copies made beside; it is killed and
// started again. Readers in processes of their own compare every answer, absent ones too, with the one that is right for the state they see
// (tortureWorld.ts), and at quiet points with the reference reader's; they are opened anew now and then.

import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Subprocess } from "bun";
import type { BenchResult } from "./run.ts";

interface Message {
  readonly what: string;
  readonly [field: string]: unknown;
}

interface Child {
  readonly process: Subprocess;
  /** The next message of a kind. */
  next(what: string): Promise<Message>;
  newest(what: string): Message | undefined;
}

export const torture = {
  question: "does the mapped reader ever give another answer than the store holds, while the store is rewritten, copied and its writer killed?",
  options: ["--reads N     how many answers are compared (1000000)", "--seconds S   at most so long (60)", "--entries N   how far the store grows (1000000)", "--readers N   processes that read (1)"],
  async run(option: (name: string, initial: number) => number, progress: (line: string) => void): Promise<BenchResult> {
    const [reads, seconds, entries, readerCount] = [option("reads", 1_000_000), option("seconds", 60), option("entries", 1_000_000), option("readers", 1)];
    const base = mkdtempSync(join(tmpdir(), "fangxing-torture-"));
    const folder = join(base, "entries");
    const startMs = performance.now();
    let [kills, quietPoints, copies, lost] = [0, 0, 0, 0];
    let writer = start(["write", folder, String(entries)]);
    const readers: Child[] = [];
    try {
      await writer.next("ready");
      for (let i = 0; i < readerCount; i++) readers.push(start(["read", folder, String(entries), String(Math.ceil(reads / readerCount))]));
      await Promise.all(readers.map((r) => r.next("ready")));
      const isDone = (): boolean => readers.every((r) => r.newest("done") ?? r.process.exitCode !== null);
      const everyMs = Math.max(Math.min((seconds * 1000) / 12, 5000), 300);
      for (let round = 0; !isDone() && performance.now() - startMs < seconds * 1000; round++) {
        await Bun.sleep(everyMs);
        if (round % 3 === 0) {
          const path = join(base, `copy-${round}`);
          writer.process.send({ what: "copy", path });
          const copied = await Promise.race([writer.next("copied"), Bun.sleep(30_000)]);
          if (copied && !isDone()) {
            copies++;
            readers[0]!.process.send({ what: "copy", path });
          }
        } else if (round % 3 === 1) {
          writer.process.send({ what: "state" });
          lost += Number((await writer.next("state"))["lost"]);
          writer.process.kill("SIGKILL");
          await writer.process.exited;
          kills++;
          writer = start(["write", folder, String(entries)]);
          await writer.next("ready");
        } else if (!isDone()) {
          writer.process.send({ what: "pause" });
          await writer.next("paused");
          for (const r of readers) r.process.send({ what: "quiet" });
          await Promise.race([Promise.all(readers.map((r) => r.next("quiet"))), Promise.all(readers.map((r) => r.process.exited))]);
          quietPoints++;
          writer.process.send({ what: "resume" });
        }
        const seen = readers.map((r) => r.newest("progress"));
        progress(`${Math.round((performance.now() - startMs) / 1000)} s: ${sum(seen, "reads")} reads, ${sum(seen, "wrong")} wrong, ${sum(seen, "fallbacks")} fallbacks, ${kills} kills, ${Math.round(statSync(join(folder, "data.mdb")).size / 2 ** 20)} MiB`);
      }
      for (const r of readers) if (r.process.exitCode === null && !r.newest("done")) r.process.send({ what: "stop" });
      await Promise.race([Promise.all(readers.map((r) => r.process.exited)), Bun.sleep(20_000)]);
      writer.process.send({ what: "state" });
      const state = await writer.next("state");
      lost += Number(state["lost"]);
      const results = readers.map((r) => r.newest("done"));
      const json = {
        bench: "torture",
        reads: sum(results, "reads"),
        wrong: sum(results, "wrong"),
        fallbacks: sum(results, "fallbacks"),
        damaged: sum(results, "damaged"),
        went_back: sum(results, "backwards"),
        reference_reads: sum(results, "referenceReads"),
        reference_wrong: sum(results, "referenceWrong"),
        absent: sum(results, "absent"),
        large: sum(results, "large"),
        states_seen: sum(results, "transactions"),
        reopened: sum(results, "reopened"),
        maps_max: Math.max(...results.map((r) => Number(r?.["maps"] ?? 0))),
        writer_transactions: Number(state["newest"]),
        commits_lost: lost,
        kills,
        copies,
        quiet_points: quietPoints,
        readers_finished: results.filter((r) => r !== undefined).length,
        file_mib: Math.round(statSync(join(folder, "data.mdb")).size / 2 ** 20),
        took_s: Math.round((performance.now() - startMs) / 1000),
        first_faults: results.flatMap((r) => (r?.["first"] as string[] | undefined) ?? []),
        unmapped: results.map((r) => r?.["unmapped"] ?? null).filter((u) => u !== null),
      };
      const holds = json.readers_finished === readerCount && json.reads > 0 && json.wrong + json.fallbacks + json.damaged + json.went_back + json.reference_wrong + json.commits_lost === 0 && json.unmapped.length === 0;
      const table = [
        `${json.reads} answers compared in ${json.took_s} s over ${json.states_seen} states, beside ${json.writer_transactions} transactions, ${kills} kills, ${copies} copies, ${quietPoints} quiet points; the file grew to ${json.file_mib} MiB`,
        `  mapped reader: ${json.wrong} wrong, ${json.fallbacks} left to the reference reader, ${json.went_back} went back (${json.absent} absent, ${json.large} in pages of their own)`,
        `  reference reader: ${json.reference_wrong} of ${json.reference_reads} wrong; commits lost: ${lost}`,
        ...json.first_faults.map((line) => `  ${line}`),
      ];
      return { table, json, holds };
    } finally {
      for (const child of [writer, ...readers]) if (child.process.exitCode === null) child.process.kill("SIGKILL");
      await Promise.all([writer, ...readers].map((child) => child.process.exited));
      rmSync(base, { recursive: true, force: true });
    }
  },
};

function start(words: readonly string[]): Child {
  const waiting = new Map<string, ((message: Message) => void)[]>();
  const newest = new Map<string, Message>();
  const file = fileURLToPath(new URL("./tortureLoop.ts", import.meta.url));
  const process_ = Bun.spawn([process.execPath, file, ...words], {
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
    ipc(message: Message) {
      newest.set(message.what, message);
      for (const resolve of waiting.get(message.what)?.splice(0) ?? []) resolve(message);
    },
  });
  return {
    process: process_,
    next: (what) =>
      new Promise((resolve, reject) => {
        waiting.set(what, [...(waiting.get(what) ?? []), resolve]);
        if (what === "ready") void process_.exited.then((code) => { reject(new Error(`a process of the torture ended with ${code}`)); });
      }),
    newest: (what) => newest.get(what),
  };
}

function sum(results: readonly (Message | undefined)[], field: string): number {
  return results.reduce((total, r) => total + Number(r?.[field] ?? 0), 0);
}
