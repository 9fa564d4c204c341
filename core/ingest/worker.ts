// The worker: applies queued batches, and tells everyone who reads entries that it is alive.

import type { Clock } from "../domain/index.ts";
import { openEntryWriter } from "../entry/index.ts";
import { openEvidenceWriter } from "../evidence/index.ts";
import { createEvaluator, type PolicyPack } from "../policy/index.ts";
import { applyBatch, reevaluateAll, StoppedError } from "./apply.ts";
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
  let isStopping = false;
  const parts = { inbox, evidence, entries, evaluator, clock, onChange: (atMs: number) => (changedMs = atMs), isStopping: () => isStopping };
  const running = new Map<number, Promise<void>>();
  /** A batch that is being applied already is waited for, not begun a second time. */
  const applyOnce = (sequence: number): Promise<void> => {
    if (isStopping) return Promise.reject(new StoppedError("stopped before it began"));
    let run = running.get(sequence);
    if (!run) running.set(sequence, (run = applyBatch(sequence, parts).finally(() => running.delete(sequence))));
    return run;
  };

  const beat = (): void => {
    const batchesWaiting = inbox.pending().filter((sequence) => evidence.progress(sequence)?.appliedMs == null).length;
    entries.beat({ atMs: clock.nowMs(), changedMs, batchesWaiting });
    // Readers that were killed would hold old pages, and the files would grow without end.
    entries.checkReaders();
    evidence.checkReaders();
  };
  beat();
  const timer = setInterval(beat, HEARTBEAT_MS);

  const sayFault = (sequence: number, error: Error): void => {
    if (!(error instanceof StoppedError)) log(`batch ${sequence} could not be applied and will be tried again: ${error.message}`);
  };
  const queue = startQueueWorker(queueAddress, applyOnce, sayFault);

  /** What a worker before this one left over: applied from the inbox, without waiting for Redis to notice that it died; and new rules reach every entry. */
  const catchUp = async (): Promise<void> => {
    for (const sequence of inbox.pending()) {
      if (isStopping) return;
      await applyOnce(sequence).catch((error: unknown) => sayFault(sequence, error as Error));
    }
    const changed = await reevaluateAll(parts);
    if (changed > 0) log(`the rules have changed: ${changed} entries were computed anew`);
  };
  const caughtUp = catchUp().catch((error: unknown) => {
    if (!(error instanceof StoppedError)) log(`the entries could not be computed anew: ${(error as Error).message}`);
  });

  return {
    async stop() {
      isStopping = true;
      clearInterval(timer);
      await Promise.all([queue.close(), caughtUp]);
      await Promise.allSettled(running.values());
      await entries.flushed();
      await Promise.all([inbox.close(), evidence.close(), entries.close()]);
    },
  };
}
