// What gets into the queue, and what makes room: a real inbox, a real evidence store, a real Redis.

import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { Queue } from "bullmq";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { eventually, inboxRows, openStores, ownRedis, phone, type Stores, type TestRedis } from "../../test/ingestSupport.ts";
import { temporaryFolder } from "../../test/support.ts";
import type { Feed } from "./batch.ts";
import { createDispatch, type Dispatch } from "./dispatch.ts";
import { ATTEMPTS_MAX, NOTHING_DONE } from "./failures.ts";
import type { BatchHeader } from "./inbox.ts";
import { createIntake, USUAL_INTAKE, type IntakeLimits } from "./intake.ts";
import { JOBS_MAX, openQueue } from "./queue.ts";

let redis: TestRedis;
beforeAll(async () => {
  redis = await ownRedis();
  await redis.start();
});
afterAll(() => redis.remove());
const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

interface Bench {
  readonly stores: Stores;
  readonly dispatch: Dispatch;
  readonly store: (source: string, feed: Feed, count: number) => Promise<BatchHeader[]>;
  /** Numbers of the batches in Redis, ascending. */
  readonly queued: () => Promise<number[]>;
}

async function bench(before: (stores: Stores) => Promise<unknown> = () => Promise.resolve()): Promise<Bench> {
  const stores = openStores(join(temporaryFolder()));
  await before(stores);
  const queueName = `test-${randomBytes(8).toString("hex")}`;
  const queue = openQueue({ redisUrl: redis.url, queueName });
  await eventually(() => {
    try {
      queue.demand();
      return true;
    } catch {
      return false;
    }
  });
  const connection = new Redis({ path: redis.url.slice("unix:".length), maxRetriesPerRequest: null });
  const look = new Queue(queueName, { connection, prefix: "fangxing" });
  stops.push(async () => {
    await look.close();
    connection.disconnect();
    await queue.close();
    await stores.close();
  });
  let batches = 0;
  return {
    stores,
    dispatch: createDispatch({ inbox: stores.inbox, queue, evidence: () => stores.evidence, clock: stores.clock }),
    store: (source, feed, count) =>
      Promise.all(Array.from({ length: count }, () => stores.inbox.store({ source, feed, batch: `batch-${batches++}`, bodyHash: "", receivedMs: stores.clock.nowMs(), accepted: 1, refused: 0, ignored: 0 }, oneTrip))),
    queued: async () => (await look.getJobs(["waiting", "delayed", "active"])).map((job) => (job.data as { sequence: number }).sequence).sort((a, b) => a - b),
  };
}
const oneTrip = inboxRows("trips", [{ factId: "trip-1", phone: phone(1), county: "310101", from: "2022-06-01" }]);
const markApplied = (stores: Stores, sequences: readonly number[]): void => stores.evidence.transaction(() => sequences.forEach((sequence) => stores.evidence.putProgress(sequence, { ...NOTHING_DONE, appliedMs: 1 })));
const markDead = (stores: Stores, sequence: number): void =>
  stores.evidence.transaction(() => stores.evidence.putProgress(sequence, { ...NOTHING_DONE, failure: { attempts: ATTEMPTS_MAX, atMs: 1, reason: "at fault", isDead: true } }));
const sequencesOf = (headers: readonly BatchHeader[]): number[] => headers.map(({ sequence }) => sequence);

describe("the places in the queue", () => {
  test("are never all one source's: of thousands half of the places, and another source's batch is queued at once", async () => {
    const { dispatch, store, queued } = await bench();
    for (const header of await store("hog", "trips", JOBS_MAX + 500)) dispatch.accepted(header);
    await dispatch.sweep();
    expect((await queued()).length).toBe(JOBS_MAX / 2);
    const [test] = await store("laboratory", "tests", 1);
    dispatch.accepted(test!);
    await eventually(async () => (await queued()).includes(test!.sequence));
    // Also what the hog itself sends that frees.
    const [own] = await store("hog", "tests", 1);
    dispatch.accepted(own!);
    await eventually(async () => (await queued()).includes(own!.sequence));
  });
  test("however many sources wait, are never more than there are, and go on as batches are applied, to the last", async () => {
    const { stores, dispatch, store, queued } = await bench();
    const all = (await Promise.all(["a", "b", "c"].map((source) => store(source, "trips", 900)))).flat();
    for (const header of all) dispatch.accepted(header);
    await dispatch.sweep();
    const first = await queued();
    expect(first.length).toBeLessThanOrEqual(JOBS_MAX);
    expect(first.length).toBeGreaterThanOrEqual(JOBS_MAX * 0.75);
    markApplied(stores, first);
    await dispatch.sweep();
    const then = (await queued()).filter((sequence) => !first.includes(sequence));
    expect(then.sort((a, b) => a - b)).toEqual(sequencesOf(all).filter((sequence) => !first.includes(sequence)).sort((a, b) => a - b));
  });
});

describe("at the start of the API", () => {
  test("what was stored and not applied is queued; what is applied loses its rows, what is dead is left alone", async () => {
    const made: number[] = [];
    const { stores, dispatch, queued } = await bench(async (stores) => {
      for (let i = 0; i < 4; i++) made.push(await stores.store("trips", oneTrip));
      markApplied(stores, [made[0]!]);
      markDead(stores, made[1]!);
    });
    await dispatch.sweep();
    expect(await queued()).toEqual([made[2], made[3]]);
    expect([dispatch.waiting(), dispatch.deadCount()]).toEqual([{ batches: 2, rows: 2 }, 1]);
    await dispatch.sweep();
    expect(stores.inbox.pending()).toEqual(made.slice(1));
    expect(stores.inbox.chunk(made[1]!, 0).length).toBe(1);
  });
});

describe("a dead batch", () => {
  test("isn't queued again, not when Redis has lost everything either, until it is revived", async () => {
    const { stores, dispatch, store, queued } = await bench();
    const headers = await store("a", "trips", 2);
    for (const header of headers) dispatch.accepted(header);
    const [dead, live] = sequencesOf(headers);
    markDead(stores, dead!);
    await dispatch.sweep();
    await redis.flush();
    stores.clock.seconds += 60;
    await dispatch.sweep();
    expect(await queued()).toEqual([live]);
    expect([dispatch.deadCount(), dispatch.waiting().batches, dispatch.isQueued(dead!)]).toEqual([1, 1, false]);
    stores.evidence.transaction(() => stores.evidence.putProgress(dead!, NOTHING_DONE));
    await dispatch.sweep();
    expect(await queued()).toEqual([dead, live]);
    expect([dispatch.deadCount(), dispatch.waiting().batches]).toEqual([0, 2]);
  });
});

describe("what is counted", () => {
  test("by source and by kind, with the age of the oldest that isn't dead", async () => {
    const { stores, dispatch, store } = await bench();
    for (const header of await store("a", "trips", 2)) dispatch.accepted(header);
    stores.clock.seconds += 10;
    for (const header of [...(await store("a", "tests", 1)), ...(await store("b", "tests", 1))]) dispatch.accepted(header);
    expect([dispatch.waiting(), dispatch.waiting({ source: "a" }), dispatch.waiting({ kind: "frees" }), dispatch.waiting({ kind: "binds" })].map(({ batches }) => batches)).toEqual([4, 3, 2, 2]);
    markApplied(stores, [1]);
    markDead(stores, 2);
    await dispatch.sweep();
    expect([dispatch.waiting().batches, dispatch.oldestMs()]).toEqual([2, stores.clock.nowMs()]);
  });
});

describe("intake", () => {
  const intakeOf = ({ stores, dispatch }: Bench, limits: Partial<IntakeLimits>, random = 0): ReturnType<typeof createIntake> =>
    createIntake({ ...USUAL_INTAKE, ...limits }, temporaryFolder(), stores.inbox, dispatch, () => random);

  test("of a source ends where it has as much as others leave free; theirs goes on until all is full, an operator's word even then", async () => {
    const made = await bench();
    const intake = intakeOf(made, { batchesMax: 8 });
    const accepted = async (source: string): Promise<number> => {
      for (let count = 0; ; count++) {
        if (intake.fault({ source, feed: "trips" })) return count;
        made.dispatch.accepted((await made.store(source, "trips", 1))[0]!);
      }
    };
    expect([await accepted("hog"), await accepted("b"), await accepted("c"), await accepted("d")]).toEqual([4, 2, 1, 1]);
    expect(intake.fault({ source: "e", feed: "tests" })).toMatchObject({ status: 429, title: "Too much waits", what: "backlog" });
    expect(intake.fault({ source: "hog", feed: "decisions" })).toBeUndefined();
    expect(intake.diskFault()).toBeUndefined();
    markApplied(made.stores, [1, 2, 3, 4]);
    await made.dispatch.sweep();
    expect(intake.fault({ source: "e", feed: "tests" })).toBeUndefined();
  });
  test("counts rows too", async () => {
    const made = await bench();
    const intake = intakeOf(made, { rowsMax: 3 });
    for (const header of await made.store("a", "trips", 2)) made.dispatch.accepted(header);
    expect([intake.fault({ source: "a", feed: "trips" })?.title, intake.fault({ source: "b", feed: "trips" })]).toEqual(["Too much of this source waits", undefined]);
  });
  test("ends when the disk or the map is almost full, for an operator's word too; and says when to come again, spread", async () => {
    const made = await bench();
    for (const limits of [{ diskFreeBytesMin: Infinity }, { mapShareMax: 0 }]) {
      const intake = intakeOf(made, limits);
      for (const fault of [intake.diskFault(), intake.fault({ source: "a", feed: "decisions" })]) expect(fault).toMatchObject({ status: 429, what: "disk", retryAfterS: 60 });
      expect(intakeOf(made, limits, 0.999).diskFault()?.retryAfterS).toBe(119);
      const response = intake.refuse(intake.diskFault()!);
      expect([response.status, response.headers.get("retry-after"), response.headers.get("content-type")]).toEqual([429, "60", "application/problem+json"]);
      expect([intake.refusedCount("disk"), intake.refusedCount("backlog")]).toEqual([1, 0]);
    }
  });
});
