// A steady stream of requests by the clock, whatever the server does: each has an instant at which it is due, and its time counts from then, so that a slow server can't
// slow the sender unnoticed. How late the sender itself was is told apart.

export interface Steady {
  /** Milliseconds from when each was due to its answer. */
  readonly latenciesMs: number[];
  /** How long after it was due each was begun. */
  readonly lateMs: number[];
}

/** Begins `send` so often a second until `until` is settled or so many milliseconds have passed, and waits for all answers. */
export async function steadily(perSecond: number, until: number | Promise<unknown>, send: (i: number) => Promise<unknown>): Promise<Steady> {
  const phase = { isOver: false };
  const over = (typeof until === "number" ? Bun.sleep(until) : until).finally(() => (phase.isOver = true));
  const latenciesMs: number[] = [];
  const lateMs: number[] = [];
  const sent: Promise<void>[] = [];
  const startMs = performance.now();
  for (let i = 0; !phase.isOver; ) {
    const dueMs = startMs + (i * 1000) / perSecond;
    const nowMs = performance.now();
    if (nowMs < dueMs) {
      await Bun.sleep(Math.max(dueMs - nowMs, 0.5));
      continue;
    }
    lateMs.push(nowMs - dueMs);
    sent.push(send(i++).then(() => void latenciesMs.push(performance.now() - dueMs)));
    // Others get their turn even where everything is due at once.
    if (i % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all([over, ...sent]);
  return { latenciesMs, lateMs };
}

/** Nearest rank, to a hundredth. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return Math.round(sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)]! * 100) / 100;
}
