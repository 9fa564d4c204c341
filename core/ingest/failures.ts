// What becomes of a batch that fails: tried again, and after the last try dead. A dead batch stays whole in the inbox until somebody has it tried again.
// Promises: a row or holder at fault harms no other; a reason holds no number; what the machine lacks (disk, memory) counts as nobody's fault.
// Not here: how long to wait between two tries (queue.ts), the steps of a batch (apply.ts).

import { mayHoldNumber } from "../domain/index.ts";
import type { BatchProgress, EvidenceWriter } from "../evidence/index.ts";

/** The service is stopping: what is left of the work is done after the next start. */
export class StoppedError extends Error {
  override name = "StoppedError";
}

/** So often a batch is tried, with a wait that doubles each time; then it is dead. */
export const ATTEMPTS_MAX = 5;
/** More that fail in one try are no single rows at fault, but something in us or in all of them: the try ends there. */
export const ASIDE_MAX = 1000;
const REASON_LENGTH_MAX = 300;

export const NOTHING_DONE: BatchProgress = { chunksDone: 0, entriesChanged: 0, recompute: { counties: [], after: null }, appliedMs: null };

/** Whether an error says nothing about the batch: the worker is stopping, or the disk or its map is full. Such a batch is tried again without end. */
export function isNoFault(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return error instanceof StoppedError || code === "ENOSPC" || /no space left|disk quota|map_full|mapsize limit|cannot allocate memory|input\/output error/i.test(String(message));
}

/** Does some work for all; where that fails, for one after the other, and leaves out those that fail. `work` does all that is asked of it, or throws and has done nothing. */
export function withoutFaulty<Item>(items: readonly Item[], work: (items: readonly Item[]) => void, leaveOut: (item: Item, place: number, error: unknown) => void): void {
  const attempt = (some: readonly Item[], onFault: (error: unknown) => void): void => {
    try {
      work(some);
    } catch (error) {
      if (isNoFault(error)) throw error;
      onFault(error);
    }
  };
  const oneByOne = (): void => items.forEach((item, place) => attempt([item], (error) => leaveOut(item, place, error)));
  attempt(items, items.length === 1 ? (error) => leaveOut(items[0]!, 0, error) : oneByOne);
}

/** What one try has left out. */
export interface Omissions {
  /** @throws when it is too much. */
  add(error: unknown, what: string): void;
  /** @throws when there is any. */
  end(): void;
}

export function createOmissions(): Omissions {
  let count = 0;
  let last = "";
  const fault = (): Error => new Error(`${count} could not be applied; the last: ${last}`);
  return {
    add(error, what) {
      count++;
      last = `${what}: ${errorText(error)}`;
      if (count >= ASIDE_MAX) throw fault();
    },
    end() {
      if (count > 0) throw fault();
    },
  };
}

/** Counts a try that has failed, with how far it came. Does nothing when a twin has come to the end. @returns whether the batch is dead now. */
export function putFailure(sequence: number, progress: BatchProgress, error: unknown, nowMs: number, evidence: EvidenceWriter): boolean {
  return evidence.transaction(() => {
    const current = evidence.progress(sequence);
    if ((current?.appliedMs ?? null) !== null) return false;
    const attempts = (current?.failure?.attempts ?? 0) + 1;
    const isDead = attempts >= ATTEMPTS_MAX;
    evidence.putProgress(sequence, { ...progress, failure: { attempts, atMs: nowMs, reason: reasonOf(error), isDead } });
    return isDead;
  });
}

/** What is kept of a batch that has been applied after all. */
export function withoutFaults(progress: BatchProgress): BatchProgress {
  const rest: { -readonly [Field in keyof BatchProgress]: BatchProgress[Field] } = { ...progress };
  delete rest.aside;
  delete rest.failure;
  return rest;
}

/** Whether a batch is left alone until somebody has it tried again. */
export function isDead(progress: BatchProgress | undefined): boolean {
  return progress?.failure?.isDead ?? false;
}

/** Why a dead batch can't be tried again, in words for who asked; undefined: it can. */
export function replayFault(sequence: number, evidence: Pick<EvidenceWriter, "progress">): string | undefined {
  return isDead(evidence.progress(sequence)) ? undefined : `nothing to try again: batch ${sequence} is not dead`;
}

/** Has a dead batch tried again, as often as at first, from where it came to. Call inside a transaction. */
export function revive(sequence: number, evidence: EvidenceWriter): void {
  const { failure, ...progress } = evidence.progress(sequence)!;
  evidence.putProgress(sequence, { ...progress, failure: { ...failure!, attempts: 0, isDead: false } });
}

/** An error in words that may be kept and shown: one line, short, without anything that may be somebody's number. */
export function reasonOf(error: unknown): string {
  const text = errorText(error).replace(/\s+/g, " ").slice(0, REASON_LENGTH_MAX);
  const masked = text.replace(/[\p{L}\p{Nd}]*\p{Nd}(?:[\s\p{Pd}.]?\p{Nd}){5,}[\p{L}\p{Nd}]*/gu, "(may be a number)");
  return mayHoldNumber(masked) ? "(the words of this fault may hold a number and are not kept)" : masked;
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
