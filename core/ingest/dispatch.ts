// From the inbox into the queue and out again: what is stored and not applied is queued, what is applied loses its rows, what is dead is left alone.
// Promises: one source's backlog keeps no other out of the queue; what it counts is counted in memory, the inbox is read through once, at the start.
// Not here: the order in which the worker goes about what is queued (schedule.ts), how much may wait (intake.ts).

import type { Clock } from "../domain/index.ts";
import type { EvidenceReader } from "../evidence/index.ts";
import { isDead } from "./failures.ts";
import type { BatchHeader, Inbox } from "./inbox.ts";
import { JOBS_MAX, type BatchQueue } from "./queue.ts";
import { workKindOf, WORK_KINDS, type WorkKind } from "./schedule.ts";

/** After so long a batch is queued again: Redis may have lost it. Adding one that is still queued changes nothing. */
const QUEUE_AGAIN_MS = 5000;
/**
 * How long it is kept that a batch was applied, and that its id is taken. Senders repeat what they aren't sure of within minutes or days. Later than that it is a new batch of
 * the same facts: each counts once by its factId, and as known since it first came.
 */
const APPLIED_KEPT_MS = 60 * 86_400_000;
/** Headers that one sweep looks at. */
const FORGET_AT_ONCE = 500;

/** Of one kind from one source. */
interface Lane {
  readonly kind: WorkKind;
  readonly source: string;
  /** Not queued yet, in the order of arrival; among the first there may be some that are applied. */
  stored: Set<number>;
  queued: number;
  batches: number;
  rows: number;
}

type Brief = Pick<BatchHeader, "sequence" | "source" | "feed" | "rows" | "receivedMs">;

export interface Waiting {
  readonly batches: number;
  readonly rows: number;
}

export interface Dispatch {
  /** A batch has been stored just now. */
  accepted(header: BatchHeader): void;
  isQueued(sequence: number): boolean;
  /** What is neither applied nor dead: in all, of one source, of one kind. */
  waiting(of?: { readonly source?: string; readonly kind?: WorkKind }): Waiting;
  deadCount(): number;
  /** When the oldest of those that wait was received, milliseconds; undefined: none waits. */
  oldestMs(): number | undefined;
  /** Subjects that batches under way are still to evaluate anew since regions have changed. */
  fanOutLeft(): number;
  /** Looks which are applied, and queues what there is room for. */
  sweep(): Promise<void>;
}

interface Parts {
  readonly inbox: Inbox;
  readonly queue: BatchQueue;
  /** How far the worker has come; undefined while it has not made its store yet. */
  readonly evidence: () => EvidenceReader | undefined;
  readonly clock: Clock;
}

export function createDispatch({ inbox, queue, evidence, clock }: Parts): Dispatch {
  const lanes = new Map<string, Lane>();
  /** Neither applied nor dead, the oldest first. */
  const open = new Map<number, Brief>();
  /** When each was last put into the queue, milliseconds of the service's clock. */
  const queuedMs = new Map<number, number>();
  const dead = new Map<number, Brief>();
  /** Seen applied by this sweep and not by the one before. */
  let applied: number[] = [];

  const laneOf = ({ source, feed }: Brief): Lane => {
    const kind = workKindOf(feed);
    const name = `${kind} ${source}`;
    let lane = lanes.get(name);
    if (!lane) lanes.set(name, (lane = { kind, source, stored: new Set(), queued: 0, batches: 0, rows: 0 }));
    return lane;
  };
  const enter = ({ sequence, source, feed, rows, receivedMs }: Brief): void => {
    const brief = { sequence, source, feed, rows, receivedMs };
    const lane = laneOf(brief);
    open.set(sequence, brief);
    lane.stored.add(sequence);
    lane.batches++;
    lane.rows += rows;
  };
  const leave = (brief: Brief): void => {
    const lane = laneOf(brief);
    open.delete(brief.sequence);
    if (queuedMs.delete(brief.sequence)) lane.queued--;
    lane.batches--;
    lane.rows -= brief.rows;
  };
  /** Takes a batch out that is applied or dead. @returns whether it is open still. */
  const settle = (sequence: number): boolean => {
    const brief = open.get(sequence);
    if (!brief) return false;
    const progress = evidence()?.progress(sequence);
    const isApplied = (progress?.appliedMs ?? null) !== null;
    if (!isApplied && !isDead(progress)) return true;
    leave(brief);
    if (isApplied) applied.push(sequence);
    else dead.set(sequence, brief);
    return false;
  };

  /** The first of a lane that is neither queued nor settled: the worker may have applied it without a job, at its start. */
  const firstStored = ({ stored }: Lane): number | undefined => {
    for (const sequence of stored) {
      if (settle(sequence)) return sequence;
      stored.delete(sequence);
    }
    return undefined;
  };

  /** The next ones for the queue, a lane after the other, those that free first. A lane gets no more of the places than are free: however many lanes wait, another one finds room. */
  const take = (): number[] => {
    const row = [...lanes.values()].sort((a, b) => WORK_KINDS.indexOf(a.kind) - WORK_KINDS.indexOf(b.kind));
    const taken: number[] = [];
    for (let before = -1; before < taken.length; ) {
      before = taken.length;
      for (const lane of row) {
        if (lane.queued >= JOBS_MAX - queuedMs.size) continue;
        const sequence = firstStored(lane);
        if (sequence === undefined) continue;
        lane.stored.delete(sequence);
        queuedMs.set(sequence, clock.nowMs());
        lane.queued++;
        taken.push(sequence);
      }
    }
    return taken;
  };
  const putBack = (sequences: readonly number[]): void => {
    for (const sequence of sequences) {
      const brief = open.get(sequence);
      if (!brief || !queuedMs.delete(sequence)) continue;
      const lane = laneOf(brief);
      lane.queued--;
      lane.stored.add(sequence);
    }
  };
  let feeding: Promise<void> | undefined;
  /** Queues what there is room for. What arrives meanwhile goes along. Rejects while Redis is away. */
  const feed = (): Promise<void> =>
    (feeding ??= (async () => {
      queue.demand();
      for (let taken = take(); taken.length > 0; taken = take()) {
        try {
          await queue.add(taken);
        } catch (error) {
          putBack(taken);
          throw error;
        }
      }
    })().finally(() => (feeding = undefined)));
  const queueAgain = async (): Promise<void> => {
    const nowMs = clock.nowMs();
    const late = [...queuedMs].filter(([, ms]) => nowMs - ms >= QUEUE_AGAIN_MS).map(([sequence]) => sequence);
    if (late.length === 0) return;
    await queue.add(late);
    for (const sequence of late) if (queuedMs.has(sequence)) queuedMs.set(sequence, nowMs);
  };

  for (const sequence of inbox.pending()) enter(inbox.header(sequence)!);

  return {
    accepted(header) {
      if (!open.has(header.sequence)) enter(header);
      // Not awaited: the batch is kept, and if Redis is away now a sweep queues it later.
      feed().catch(() => undefined);
    },
    isQueued: (sequence) => queuedMs.has(sequence),
    waiting({ source, kind } = {}) {
      let [batches, rows] = [0, 0];
      for (const lane of lanes.values()) {
        if ((source !== undefined && lane.source !== source) || (kind !== undefined && lane.kind !== kind)) continue;
        batches += lane.batches;
        rows += lane.rows;
      }
      return { batches, rows };
    },
    deadCount: () => dead.size,
    oldestMs: () => open.values().next().value?.receivedMs,
    fanOutLeft() {
      let left = 0;
      for (const sequence of queuedMs.keys()) {
        const { subjects = 0, done = 0 } = evidence()?.progress(sequence)?.fanOut ?? {};
        left += subjects - done;
      }
      return left;
    },
    async sweep() {
      // Seen is not yet on disk: until the next sweep the worker has time to sync what it says.
      const finished = applied;
      applied = [];
      for (const sequence of [...queuedMs.keys()]) settle(sequence);
      for (const lane of lanes.values()) firstStored(lane);
      for (const [sequence, brief] of dead) {
        if (isDead(evidence()?.progress(sequence))) continue;
        dead.delete(sequence);
        enter(brief);
      }
      if (finished.length > 0) await inbox.finish(...finished);
      await inbox.forget({ receivedBeforeMs: clock.nowMs() - APPLIED_KEPT_MS, limit: FORGET_AT_ONCE });
      try {
        await queueAgain();
        await feed();
      } catch {
        // Redis is away: the next sweep tries again.
      }
    },
  };
}
