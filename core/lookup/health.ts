// The pages about the lookup process itself: alive, ready, and its figures.

import type { Clock } from "../domain/index.ts";
import type { MappedEntryReader } from "../entry/index.ts";
import { Answer, problemAnswer, textAnswer, type Site } from "../front/index.ts";
import type { Limits } from "./limits.ts";
import type { LookupMetrics } from "./metrics.ts";

/** Entries that nobody has confirmed for so long are old news: not ready. */
const HEARTBEAT_AGE_MS_MAX = 15_000;

export function healthPages(entries: MappedEntryReader, clock: Clock, metrics: LookupMetrics, limits: Limits): Site["pages"] {
  return {
    "/healthz": () => textAnswer("ok\n"),
    "/readyz": () => readiness(entries, clock),
    "/metrics": () => new Answer(METRICS_FORM, metricsText(metrics, limits, entries, clock)),
  };
}

const METRICS_FORM = { status: 200, headers: { "Content-Type": "text/plain; version=0.0.4" } };

function readiness(entries: MappedEntryReader, clock: Clock): Answer {
  const heartbeat = entries.heartbeat();
  const ageMs = heartbeat ? clock.nowMs() - heartbeat.atMs : Infinity;
  if (ageMs <= HEARTBEAT_AGE_MS_MAX) return textAnswer("ready\n");
  return problemAnswer({ status: 503, title: "Not ready", detail: heartbeat ? `the worker has not been heard of for ${Math.round(ageMs / 1000)} s` : "the worker has not written anything yet" });
}

function metricsText(metrics: LookupMetrics, limits: Limits, entries: MappedEntryReader, clock: Clock): string {
  const heartbeat = entries.heartbeat();
  const ageS = (ms: number | undefined): number => (ms ? (clock.nowMs() - ms) / 1000 : -1);
  return metrics.text({
    fangxing_entries: { help: "Entries in the store.", value: entries.count() },
    fangxing_entries_mapped: { help: "1: entries are read from the memory map; 0: by the library alone.", value: entries.unmappedBecause() === undefined ? 1 : 0 },
    fangxing_entry_fallbacks_total: { help: "Reads of the memory map that were left to the library because a page or a checksum was not as it should be.", type: "counter", value: entries.fallbacks() },
    fangxing_limit_evictions_total: { help: "Addresses that limits forgot for others while they still held them back.", type: "counter", value: limits.evictions() },
    fangxing_newest_entry_age_seconds: { help: "Time since an entry last changed; -1: never.", value: ageS(heartbeat?.changedMs) },
    fangxing_worker_heartbeat_age_seconds: { help: "Time since the worker was last heard of; -1: never.", value: ageS(heartbeat?.atMs) },
    fangxing_changes_held: { help: "Changes of rules and regions that wait for somebody to decide, as of the worker's last heartbeat.", value: heartbeat?.changesHeld ?? 0 },
    fangxing_queue_depth: { help: "Batches accepted and not yet applied, as of the worker's last heartbeat.", value: heartbeat?.batchesWaiting ?? 0 },
  });
}
