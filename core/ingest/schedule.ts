// Who has the worker's next step: a chunk of a batch, some visitors of a county, a page of what a change is measured on. One step at a time.
// Promises: whoever waits gets the next step but a few: kinds of work by their shares, within a kind sources in turn, within a source in the order of asking; nobody starves.
// Not here: which batches the worker knows of (queue.ts, dispatch.ts), what a step does (apply.ts).

import type { Feed } from "./batch.ts";

/** What frees somebody, what binds, and the evaluation anew of whom a change of rules or regions concerns. */
export const WORK_KINDS = ["frees", "binds", "fan-out"] as const;
export type WorkKind = (typeof WORK_KINDS)[number];

/** Steps of seven when all three wait. */
const SHARES = { frees: 4, binds: 2, "fan-out": 1 } satisfies Record<WorkKind, number>;

/**
 * Feeds whose rows only or mostly free (POLICY §1, §2): a negative test ends pop-up 4, clearances and reports what they are for, a refutation takes a trip out, declarations and
 * registrations (commuters, holders) turn what is unconfirmed green. A decision is somebody's who waits at a keyboard.
 */
const FREEING: readonly Feed[] = ["tests", "clearances", "refutations", "reports", "declarations", "commuters", "holders", "decisions"];

export function workKindOf(feed: Feed): WorkKind {
  return FREEING.includes(feed) ? "frees" : "binds";
}

/** Whose step it is. */
export interface Lane {
  readonly kind: WorkKind;
  readonly source: string;
}

/** Resolves with what `work` gives when its turn has come and it is done. */
export type Turn = <T>(lane: Lane, work: () => T | Promise<T>) => Promise<T>;

interface Kind {
  /** The kind with the smallest is next: each step costs it the part of one that its share says. */
  pass: number;
  readonly stepCost: number;
  /** Sources that wait, the next one first, each with its steps. */
  readonly sources: Map<string, (() => Promise<void>)[]>;
}

/** A schedule of its own, with nobody waiting. */
export function createSchedule(): Turn {
  const kinds: Record<WorkKind, Kind> = { frees: kindOf("frees"), binds: kindOf("binds"), "fan-out": kindOf("fan-out") };
  let isRunning = false;
  /** Where the kinds stand: who comes back begins here, so that nobody saves up turns while away. */
  let passNow = 0;

  const takeNext = (): (() => Promise<void>) | undefined => {
    const waiting = WORK_KINDS.map((name) => kinds[name]).filter(({ sources }) => sources.size > 0);
    const [first] = waiting;
    if (!first) return undefined;
    const kind = waiting.reduce((best, other) => (other.pass < best.pass ? other : best), first);
    passNow = kind.pass;
    kind.pass += kind.stepCost;
    const [source, steps] = kind.sources.entries().next().value!;
    const step = steps.shift()!;
    // To the end of the row, or out of it.
    kind.sources.delete(source);
    if (steps.length > 0) kind.sources.set(source, steps);
    return step;
  };
  const runNext = async (): Promise<void> => {
    await takeNext()?.();
    // Between two steps what has arrived is let in: else a small batch would be seen only behind a crowd of steps.
    isRunning = WORK_KINDS.some((name) => kinds[name].sources.size > 0);
    if (isRunning) setImmediate(() => void runNext());
  };

  return ({ kind: name, source }, work) =>
    new Promise((resolve, reject) => {
      const step = (): Promise<void> => Promise.resolve().then(work).then(resolve, reject);
      const kind = kinds[name];
      if (kind.sources.size === 0) kind.pass = Math.max(kind.pass, passNow);
      const steps = kind.sources.get(source);
      if (steps) steps.push(step);
      else kind.sources.set(source, [step]);
      if (isRunning) return;
      isRunning = true;
      setImmediate(() => void runNext());
    });
}

function kindOf(name: WorkKind): Kind {
  return { pass: 0, stepCost: 1 / SHARES[name], sources: new Map() };
}
