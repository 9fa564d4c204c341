// freshness: how long is it from sending a negative test to a green scan?
// One delivery after the other, each for a holder whose pop-up 4 waits for that test; the gate is asked again without a pause until it is green.
// Beside it the time of a scan alone, which is the grain of the measure. With --rate: freshnessStream.ts.

import { formatInstant, now } from "../core/domain/index.ts";
import type { BenchResult } from "./run.ts";
import { documentOf, inventedNumber } from "./people.ts";
import { startService, type BenchService } from "./service.ts";
import { freshnessInStream } from "./freshnessStream.ts";
import { quantile } from "./steady.ts";

const P99_MS_MAX = 1000;
/** A holder who isn't green after so long is counted as never. */
const GIVE_UP_MS = 10_000;
const DAY_S = 86_400;

export const freshness = {
  question: "how long is it from sending a negative test to a green scan?",
  options: [
    "--deliveries N   how many tests are delivered (200)",
    "--rate N         instead: a steady stream of so many records a second, measured from the 202 on",
    "--seconds N      with --rate: for so long (30)",
    "--batchRows N    with --rate: records in a batch (50)",
    "--holders N      with --rate: of a city of so many (100000)",
  ],
  async run(option: (name: string, initial: number) => number, progress: (line: string) => void, has: (flag: string) => boolean = () => false): Promise<BenchResult> {
    if (has("rate")) {
      return freshnessInStream({ rate: option("rate", 2000), batchRows: option("batchRows", 50), seconds: option("seconds", 30), holders: option("holders", 100_000) }, progress);
    }
    const deliveries = option("deliveries", 200);
    progress("starting a service of its own");
    const service = await startService();
    try {
      const numbers = Array.from({ length: deliveries }, (_, i) => inventedNumber(i));
      await makeDue(service, numbers);
      const latenciesMs: number[] = [];
      const acceptedMs: number[] = [];
      const scanMs: number[] = [];
      let green = 0;
      for (const [i, number] of numbers.entries()) {
        scanMs.push(await timed(() => service.scan(number)));
        const startMs = performance.now();
        const at = now(service.clock);
        const row = { factId: `bench-${i}`, document: documentOf(number), sampledAt: formatInstant(at - 3600), issuedAt: formatInstant(at), result: "negative", county: "110105" };
        await service.deliver("tests", `bench-test-${i}`, [row]);
        acceptedMs.push(performance.now() - startMs);
        let isGreen = false;
        while (!isGreen && performance.now() - startMs < GIVE_UP_MS) isGreen = (await service.scan(number)).pass;
        latenciesMs.push(performance.now() - startMs);
        if (isGreen) green++;
        if ((i + 1) % 50 === 0) progress(`${i + 1} of ${deliveries}`);
      }
      const json = {
        bench: "freshness",
        deliveries,
        green,
        p50_ms: quantile(latenciesMs, 0.5),
        p99_ms: quantile(latenciesMs, 0.99),
        max_ms: quantile(latenciesMs, 1),
        accepted_p50_ms: quantile(acceptedMs, 0.5),
        scan_p50_ms: quantile(scanMs, 0.5),
      };
      const table = [
        `from sending a negative test to a green scan, ${deliveries} deliveries one after the other: ${green} turned green`,
        `  p50 ${json.p50_ms} ms   p99 ${json.p99_ms} ms   max ${json.max_ms} ms`,
        `  of which until the 202: p50 ${json.accepted_p50_ms} ms; a scan alone: p50 ${json.scan_p50_ms} ms`,
      ];
      return { table, json, holds: green === deliveries && json.p99_ms <= P99_MS_MAX };
    } finally {
      await service.stop();
    }
  },
};

/** Holders who came from elsewhere five days ago and have not been tested since. */
export async function makeDue(service: BenchService, numbers: readonly string[]): Promise<void> {
  const at = now(service.clock);
  const phone = (i: number): string => `129${String(i).padStart(8, "0")}`;
  await service.deliver("holders", "bench-holders", numbers.map((number, i) => ({ documents: [documentOf(number)], phones: [phone(i)] })));
  const trips = numbers.flatMap((_, i) => [
    { factId: `bench-${i}-away`, phone: phone(i), county: "440825", from: formatInstant(at - 20 * DAY_S), to: formatInstant(at - 5 * DAY_S - 3600) },
    { factId: `bench-${i}-back`, phone: phone(i), county: "110105", from: formatInstant(at - 5 * DAY_S) },
  ]);
  await service.deliver("trips", "bench-trips", trips);
  while (!(await service.isApplied("trips", "bench-trips"))) await Bun.sleep(20);
  for (const number of numbers) {
    const { popups } = await service.scan(number);
    if (popups.join() !== "4") throw new Error("a holder who should have pop-up 4 does not: the measure would be void");
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}
