// The worker: applies queued batches, and tells everyone who reads entries that it is alive, and which venue rules are in force.
// Promises: the rules in force are those that its store says; a pack of another text comes into force only as a change that was measured.

import { now, type Clock } from "../domain/index.ts";
import { openEntryWriter } from "../entry/index.ts";
import { openEvidenceWriter, type BlastLimits, type EvidenceWriter } from "../evidence/index.ts";
import { createEvaluator, parsePack, venueRules, type Evaluator } from "../policy/index.ts";
import { applyBatch, createReevaluation, createTurns, StoppedError, type ApplierParts } from "./apply.ts";
import { mayTakeLong, type NumberedPack } from "./guarded.ts";
import { openInboxReader } from "./inbox.ts";
import { startQueueWorker, type QueueAddress } from "./queue.ts";
import { createPurge } from "./retention.ts";

export interface WorkerSettings {
  readonly folders: { readonly inbox: string; readonly evidence: string; readonly entries: string };
  readonly queueAddress: QueueAddress;
  /** Text of the pack that a service without any begins with. */
  readonly firstPack: string;
  readonly limits: BlastLimits;
  readonly clock: Clock;
  readonly log: (line: string) => void;
}

const HEARTBEAT_MS = 1000;
/** How often it is looked whether a day has begun, and past facts are to be removed. */
const RETENTION_MS = 60_000;

/** Starts the worker. @returns how to stop it. */
export function startWorker({ folders, queueAddress, firstPack, limits, clock, log }: WorkerSettings): { stop(): Promise<void> } {
  const inbox = openInboxReader(folders.inbox);
  const evidence = openEvidenceWriter(folders.evidence);
  const entries = openEntryWriter(folders.entries);
  evidence.transaction(() => evidence.putLimits(limits));
  let evaluator: Evaluator;
  let packNumber: number;
  const adopt = ({ number, pack }: NumberedPack): void => {
    evaluator = createEvaluator(pack, evidence.regions);
    packNumber = number;
    entries.putVenueRules(venueRules(pack));
  };
  adopt(packInForce(evidence, firstPack, clock, log));
  let changedMs = entries.heartbeat()?.changedMs ?? 0;
  let isStopping = false;
  const parts: ApplierParts = {
    inbox,
    evidence,
    entries,
    get evaluator() {
      return evaluator;
    },
    get packNumber() {
      return packNumber;
    },
    adopt,
    limits,
    clock,
    exclusively: createTurns(),
    say: log,
    onChange: (atMs: number) => (changedMs = atMs),
    isStopping: () => isStopping,
    reevaluate: () => reevaluation(),
  };
  const reevaluation = createReevaluation(parts);
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
    entries.beat({ atMs: clock.nowMs(), changedMs, batchesWaiting, changesHeld: evidence.heldChanges() });
    // Readers that were killed would hold old pages, and the files would grow without end.
    entries.checkReaders();
    evidence.checkReaders();
  };
  beat();
  const timer = setInterval(beat, HEARTBEAT_MS);

  const sayFault = (sequence: number, error: Error): void => {
    if (!(error instanceof StoppedError)) log(`batch ${sequence} could not be applied and will be tried again: ${error.message}`);
  };
  /**
   * A change of rules or regions may be measured for long, and others wait for their turn behind it: its job doesn't. It goes on here, and until it is applied the
   * batch is queued again and again.
   */
  const applyQueued = async (sequence: number): Promise<void> => {
    const run = applyOnce(sequence);
    const feed = inbox.header(sequence)?.feed;
    if (feed === undefined || !mayTakeLong(feed)) return run;
    run.catch((error: unknown) => sayFault(sequence, error as Error));
  };
  const queue = startQueueWorker(queueAddress, applyQueued, sayFault);

  /** What a worker before this one left over: applied from the inbox, without waiting for Redis to notice that it died; and the rules in force reach every entry that they haven't. */
  const catchUp = async (): Promise<void> => {
    for (const sequence of inbox.pending()) {
      if (isStopping) return;
      await applyOnce(sequence).catch((error: unknown) => sayFault(sequence, error as Error));
    }
    // Under its first pack no entry can have been computed under another.
    const changed = packNumber > 1 ? await parts.reevaluate() : 0;
    if (changed > 0) log(`${changed} entries were computed anew under the rules in force`);
  };
  const caughtUp = catchUp().catch((error: unknown) => {
    if (!(error instanceof StoppedError)) log(`the entries could not be computed anew: ${(error as Error).message}`);
  });

  const purge = createPurge(parts);
  let purging: Promise<void> | undefined;
  const purgePast = (): void => {
    purging ??= purge
      .run()
      .then(
        (facts = 0) => facts > 0 && log(`${facts} facts that no rule looks back on any more were removed`),
        (error: unknown) => log(`past facts could not be removed, which will be tried again: ${(error as Error).message}`),
      )
      .then(() => (purging = undefined));
  };
  const retentionTimer = setInterval(purgePast, RETENTION_MS);
  void caughtUp.then(purgePast);

  return {
    async stop() {
      isStopping = true;
      clearInterval(timer);
      clearInterval(retentionTimer);
      await Promise.all([queue.close(), caughtUp]);
      await purging;
      await Promise.allSettled(running.values());
      await entries.flushed();
      await Promise.all([inbox.close(), evidence.close(), entries.close()]);
    },
  };
}

/** The rules in force; a service without any begins with those that it was given. */
function packInForce(evidence: EvidenceWriter, firstPack: string, clock: Clock, log: (line: string) => void): NumberedPack {
  const at = now(clock);
  const given = parsePack(firstPack, "the pack that came with the service");
  const applied =
    evidence.packs().at(-1) ??
    evidence.transaction(() => evidence.putPack({ name: given.name, text: firstPack, fingerprint: given.fingerprint, from: at, change: null }));
  if (applied.fingerprint !== given.fingerprint) {
    log(`the rules in force (pack ${applied.number}, ${applied.name}) are not those that came with the service: fangxing policy diff measures a change`);
  }
  return { number: applied.number, pack: parsePack(applied.text, `pack ${applied.number}`) };
}
