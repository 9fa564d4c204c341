// The worker: applies queued batches, and tells everyone who reads entries that it is alive.

import type { Clock } from "../domain/index.ts";
import { openEntryWriter } from "../entry/index.ts";
import { openEvidenceWriter } from "../evidence/index.ts";
import { createEvaluator, type PolicyPack } from "../policy/index.ts";
import { applyBatch } from "./apply.ts";
import { openInboxReader } from "./inbox.ts";
import { startQueueWorker, type QueueAddress } from "./queue.ts";

export interface WorkerSettings {
  readonly folders: { readonly inbox: string; readonly evidence: string; readonly entries: string };
  readonly queueAddress: QueueAddress;
  readonly pack: PolicyPack;
  readonly clock: Clock;
  readonly log: (line: string) => void;
}

const HEARTBEAT_MS = 1000;

/** Starts the worker. @returns how to stop it. */
export function startWorker({ folders, queueAddress, pack, clock, log }: WorkerSettings): { stop(): Promise<void> } {
  const inbox = openInboxReader(folders.inbox);
  const evidence = openEvidenceWriter(folders.evidence);
  const entries = openEntryWriter(folders.entries);
  const evaluator = createEvaluator(pack, evidence.regions);
  let changedMs = entries.heartbeat()?.changedMs ?? 0;
  const parts = { inbox, evidence, entries, evaluator, clock, onChange: (atMs: number) => (changedMs = atMs) };

  const beat = (): void => {
    const batchesWaiting = inbox.pending().filter((sequence) => evidence.progress(sequence)?.appliedMs == null).length;
    entries.beat({ atMs: clock.nowMs(), changedMs, batchesWaiting });
    // Readers that were killed would hold old pages, and the files would grow without end.
    entries.checkReaders();
    evidence.checkReaders();
  };
  beat();
  const timer = setInterval(beat, HEARTBEAT_MS);

  const sayFault = (sequence: number, error: Error): void => log(`batch ${sequence} could not be applied and will be tried again: ${error.message}`);
  let isStopping = false;
  /** What a worker before this one left over: applied from the inbox, without waiting for Redis to notice that it died. */
  const catchUp = async (): Promise<void> => {
    for (const sequence of inbox.pending()) {
      if (isStopping) return;
      await applyBatch(sequence, parts).catch((error: unknown) => sayFault(sequence, error as Error));
    }
  };
  const queue = catchUp().then(() => (isStopping ? undefined : startQueueWorker(queueAddress, (sequence) => applyBatch(sequence, parts), sayFault)));
  return {
    async stop() {
      isStopping = true;
      clearInterval(timer);
      await (await queue)?.close();
      await entries.flushed();
      await Promise.all([inbox.close(), evidence.close(), entries.close()]);
    },
  };
}
