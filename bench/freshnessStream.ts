// freshness --rate N: the same question while so many records a second come in.
// A steady stream of negative tests in small batches, by the clock, for a city's holders; four times a second one of them is for a holder whose pop-up 4 waits for it, and
// the gate is asked again and again from the 202 on until it is gone. How late the sender itself was stands beside; the lookup has a core of its own.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatInstant, now } from "../core/domain/index.ts";
import { createRandom } from "./chaos/random.ts";
import { makeDue } from "./freshness.ts";
import { documentOf, inventedNumber } from "./people.ts";
import type { BenchResult } from "./run.ts";
import { startService } from "./service.ts";
import { separateCores } from "./serviceCores.ts";
import { quantile, steadily } from "./steady.ts";
import { visitorNumber, writeVisitors } from "./visitors.ts";

const P99_MS_MAX = 1000;
/** A holder who isn't turned after so long is counted as never. */
const GIVE_UP_MS = 20_000;
const SAMPLES_PER_S = 4;
const POLL_MS = 5;

export interface StreamSizes {
  /** Records a second, and in each batch. */
  readonly rate: number;
  readonly batchRows: number;
  readonly seconds: number;
  readonly holders: number;
}

export async function freshnessInStream({ rate, batchRows, seconds, holders }: StreamSizes, progress: (line: string) => void): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), "fangxing-bench-"));
  try {
    const city = await startService(100, folder);
    await city.stop();
    await writeVisitors(folder, [{ county: null, holders }], now(city.clock), progress);
    Bun.gc(true);
    const service = await startService(100, folder);
    const shareCores = separateCores(service.pid);
    try {
      const waiting = Array.from({ length: SAMPLES_PER_S * seconds }, (_, i) => inventedNumber(i));
      const samples = waiting.length;
      await makeDue(service, waiting);
      const random = createRandom(1);
      const batchesPerS = rate / batchRows;
      const isSampled = (batch: number): boolean => Math.floor((batch * SAMPLES_PER_S) / batchesPerS) !== Math.floor(((batch - 1) * SAMPLES_PER_S) / batchesPerS);
      const latenciesMs: number[] = [];
      let [turned, records] = [0, 0];
      const turning: Promise<void>[] = [];
      const awaitTurn = async (number: string): Promise<void> => {
        const acceptedMs = performance.now();
        let hasTurned = false;
        while (!hasTurned && performance.now() - acceptedMs < GIVE_UP_MS) {
          hasTurned = (await service.scan(number)).popups.length === 0;
          if (!hasTurned) await Bun.sleep(POLL_MS);
        }
        latenciesMs.push(performance.now() - acceptedMs);
        if (hasTurned) turned++;
      };
      const send = async (batch: number): Promise<void> => {
        const at = now(service.clock);
        const test = (number: string, row: number): object => ({
          ...{ factId: `stream-${batch}-${row}`, document: documentOf(number), sampledAt: formatInstant(at - 3600 - row), issuedAt: formatInstant(at), result: "negative", laboratory: "Bench Laboratory", county: "110105" },
        });
        const sampled = isSampled(batch) ? waiting.pop() : undefined;
        const rows = Array.from({ length: batchRows }, (_, row) => test(row === 0 && sampled !== undefined ? sampled : visitorNumber(random.between(0, holders - 1)), row));
        await service.deliver("tests", `stream-${batch}`, rows);
        records += rows.length;
        if (sampled !== undefined) turning.push(awaitTurn(sampled));
      };
      progress(`${rate} records a second for ${seconds} s`);
      const startMs = performance.now();
      const { latenciesMs: acceptedMs, lateMs } = await steadily(batchesPerS, seconds * 1000, send);
      const tookS = (performance.now() - startMs) / 1000;
      await Promise.all(turning);
      const measured = samples - waiting.length;
      const json = {
        bench: "freshness",
        rate,
        batch_rows: batchRows,
        holders,
        records,
        records_per_s: Math.round(records / tookS),
        samples: measured,
        turned,
        p50_ms: quantile(latenciesMs, 0.5),
        p99_ms: quantile(latenciesMs, 0.99),
        max_ms: quantile(latenciesMs, 1),
        accepted_p50_ms: quantile(acceptedMs, 0.5),
        accepted_p99_ms: quantile(acceptedMs, 0.99),
        sender_late_p99_ms: quantile(lateMs, 0.99),
      };
      const table = [
        `${records} records in ${batchRows} a batch, ${json.records_per_s} a second of ${rate}; of ${measured} holders who waited for one ${turned} turned`,
        `  from the 202 to the changed answer: p50 ${json.p50_ms} ms   p99 ${json.p99_ms} ms (at most ${P99_MS_MAX})   max ${json.max_ms} ms`,
        `  until the 202: p50 ${json.accepted_p50_ms} ms, p99 ${json.accepted_p99_ms} ms; the sender was late by ${json.sender_late_p99_ms} ms (p99)`,
      ];
      return { table, json, holds: turned === measured && measured > 0 && json.p99_ms <= P99_MS_MAX };
    } finally {
      shareCores();
      await service.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
