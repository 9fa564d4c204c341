// The queue between the ingest API and the worker: BullMQ on Redis. Jobs carry a batch's number and nothing else.
// Promises: adding the same batch twice is adding it once; what Redis loses is in the inbox and gets queued again; never more than JOBS_MAX jobs.
// Not here: what applying a batch means (apply.ts), which batches are queued (dispatch.ts), in which order the worker goes about them (schedule.ts).

import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import { ATTEMPTS_MAX } from "./failures.ts";

/** Where the queue is: Redis, and the name that keeps services apart which share one. */
export interface QueueAddress {
  readonly redisUrl: string;
  readonly queueName: string;
}

/** In front of every key in Redis. */
const PREFIX = "fangxing";
/** Jobs in Redis at a time; the rest waits in the inbox. The worker takes all of them at once, so that the order is its schedule's. */
export const JOBS_MAX = 2000;
/** Before the second try; it doubles with each. */
const RETRY_MS = 250;

export interface BatchQueue {
  /** @throws while Redis is away. */
  demand(): void;
  /** Rejects at once while Redis is away: whoever calls tries again later. */
  add(sequences: readonly number[]): Promise<void>;
  counts(): Promise<{ waiting: number; active: number }>;
  close(): Promise<void>;
}

export function openQueue({ redisUrl, queueName }: QueueAddress): BatchQueue {
  const connection = connect(redisUrl, { enableOfflineQueue: false });
  const queue = new Queue(queueName, { connection, prefix: PREFIX });
  queue.on("error", ignore);
  // BullMQ would wait for a connection that isn't there; nobody here can.
  const demand = (): void => {
    if (connection.status !== "ready") throw new Error("Redis is away");
  };
  return {
    demand,
    async add(sequences) {
      demand();
      const kept = { removeOnComplete: true, removeOnFail: true, attempts: ATTEMPTS_MAX, backoff: { type: "exponential", delay: RETRY_MS } };
      await queue.addBulk(sequences.map((sequence) => ({ name: "apply", data: { sequence }, opts: { jobId: `batch-${sequence}`, ...kept } })));
    },
    async counts() {
      demand();
      const { waiting = 0, delayed = 0, active = 0 } = await queue.getJobCounts("waiting", "delayed", "active");
      return { waiting: waiting + delayed, active };
    },
    async close() {
      await queue.close();
      connection.disconnect();
    },
  };
}

export interface QueueWorker {
  /** Takes no more batches and waits for those at hand, but not for a Redis that is away. */
  close(): Promise<void>;
}

const CLOSE_MS_MAX = 1000;

/** Calls `apply` for every queued batch, for all of them at once. A batch for which it throws is tried again. */
export function startQueueWorker({ redisUrl, queueName }: QueueAddress, apply: (sequence: number) => Promise<void>): QueueWorker {
  const connection = connect(redisUrl, { maxRetriesPerRequest: null });
  const worker = new Worker<{ sequence: number }>(queueName, (job) => apply(job.data.sequence), {
    connection,
    prefix: PREFIX,
    concurrency: JOBS_MAX,
    lockDuration: 5_000,
    stalledInterval: 2_000,
    maxStalledCount: 100, // a batch is safe to apply any number of times
  });
  worker.on("error", ignore);
  return {
    async close() {
      // BullMQ waits for a Redis that is away; what it would tell Redis, the inbox knows.
      await Promise.race([worker.close(), Bun.sleep(CLOSE_MS_MAX)]);
      connection.disconnect();
    },
  };
}

function connect(redisUrl: string, options: { enableOfflineQueue?: boolean; maxRetriesPerRequest?: null }): Redis {
  const settings = { ...options, retryStrategy: (attempt: number) => Math.min(attempt * 50, 1000) };
  const redis = redisUrl.startsWith("unix:") ? new Redis({ path: redisUrl.slice("unix:".length), ...settings }) : new Redis(redisUrl, settings);
  redis.on("error", ignore);
  return redis;
}

/** Connection faults: ioredis goes on trying by itself, and whoever needs Redis now gets a rejection of its own. */
function ignore(): void {
  // nothing to do
}
