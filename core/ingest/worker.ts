// The worker: applies queued batches, and tells everyone who reads entries that it is alive, and which venue rules are in force.
// Promises: the rules in force are those that its store says; a pack of another text comes into force only as a change that was measured.

import { now, type Clock } from "../domain/index.ts";
import { openEntryWriter } from "../entry/index.ts";
import { openEvidenceWriter, type BlastLimits, type EvidenceWriter } from "../evidence/index.ts";
import { createEvaluator, parsePack, venueRules, type Evaluator } from "../policy/index.ts";
import { applyBatch, createReevaluation, createTurns, type ApplierParts } from "./apply.ts";
import { isDead, reasonOf, StoppedError } from "./failures.ts";
import type { NumberedPack } from "./guarded.ts";
import { openInboxReader } from "./inbox.ts";
import { startQueueWorker, type QueueAddress } from "./queue.ts";
import { createPurge } from "./retention.ts";
import { createSchedule } from "./schedule.ts";

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
/** Records of how far batches came that one look goes through. */
const FORGET_AT_ONCE = 500;
/** Batches begun before others are let in. */
const CATCH_UP_AT_ONCE = 100;

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
    turn: createSchedule(),
    say: log,
    onChange: (atMs: number) => (changedMs = atMs),
    isStopping: () => isStopping,
    reevaluate: () => reevaluation(),
  };
  const reevaluation = createReevaluation(parts);
  const running = new Map<number, Promise<void>>();
  /** Pending in the inbox, but applied or dead. */
  const settled = new Set<number>();
  /** A batch that is being applied already is waited for, not begun a second time. */
  const applyOnce = (sequence: number): Promise<void> => {
    if (isStopping) return Promise.reject(new StoppedError("stopped before it began"));
    let run = running.get(sequence);
    if (!run) running.set(sequence, (run = applyAndTell(sequence).finally(() => running.delete(sequence))));
    return run;
  };
  const applyAndTell = async (sequence: number): Promise<void> => {
    settled.delete(sequence);
    try {
      await applyBatch(sequence, parts);
      settled.add(sequence);
    } catch (error) {
      if (error instanceof StoppedError) throw error;
      const dead = isDead(evidence.progress(sequence));
      log(`batch ${sequence} could not be applied and ${dead ? "is dead now, fangxing jobs tells more" : "will be tried again"}: ${reasonOf(error)}`);
      if (!dead) throw error;
      settled.add(sequence);
    }
  };

  const beat = (): void => {
    const pending = new Set(inbox.pending());
    for (const sequence of settled) if (!pending.has(sequence)) settled.delete(sequence);
    entries.beat({ atMs: clock.nowMs(), changedMs, batchesWaiting: pending.size - settled.size, changesHeld: evidence.heldChanges() });
    // Readers that were killed would hold old pages, and the files would grow without end.
    entries.checkReaders();
    evidence.checkReaders();
    forgetProgress();
  };
  /** Where the next look begins. */
  let lookedTo = 0;
  /** What is kept of how far batches came goes with their headers. */
  const forgetProgress = (): void => {
    const seen = evidence.progressed({ from: lookedTo + 1, limit: FORGET_AT_ONCE });
    lookedTo = seen.length < FORGET_AT_ONCE ? 0 : seen.at(-1)!;
    const gone = seen.filter((sequence) => inbox.header(sequence) === undefined);
    if (gone.length > 0) evidence.transaction(() => gone.forEach((sequence) => evidence.dropProgress(sequence)));
  };
  beat();
  const timer = setInterval(beat, HEARTBEAT_MS);
  const queue = startQueueWorker(queueAddress, applyOnce);

  /**
   * What a worker before this one left over: applied from the inbox, without waiting for Redis to notice that it died, and in turn with what comes meanwhile; and the rules in
   * force reach every entry that they haven't.
   */
  const catchUp = async (): Promise<void> => {
    const runs: Promise<unknown>[] = [];
    for (const [i, sequence] of inbox.pending().entries()) {
      if (isStopping) break;
      const progress = evidence.progress(sequence);
      if (isDead(progress) || (progress?.appliedMs ?? null) !== null) settled.add(sequence);
      // Who fails has been told of, and comes again by the queue.
      else runs.push(applyOnce(sequence).catch(() => undefined));
      if (i % CATCH_UP_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(runs);
    // Under its first pack no entry can have been computed under another.
    const changed = packNumber > 1 ? await parts.reevaluate() : 0;
    if (changed > 0) log(`${changed} entries were computed anew under the rules in force`);
  };
  const caughtUp = catchUp().catch((error: unknown) => {
    if (!(error instanceof StoppedError)) log(`the entries could not be computed anew: ${reasonOf(error)}`);
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
