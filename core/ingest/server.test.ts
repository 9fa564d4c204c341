// The ingest API over real HTTP, with a real disk, a Redis of its own and, where it says so, the worker.

import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { ask, deliver, document, eventually, inboxRows, keyOfDocument, keyring, NOW, openStores, ownRedis, phone, publication, registry, residentId, SHANGHAI_HUANGPU, signerOf, type Delivery, type TestRedis } from "../../test/ingestSupport.ts";
import { clockAt, temporaryFolder } from "../../test/support.ts";
import { rawConnection, requestText } from "../../test/rawHttp.ts";
import { signRequest, type Registry } from "../access/index.ts";
import { offsetClock, type Clock } from "../domain/index.ts";
import { decodeEntry, entryFault, openEntryReader, type Entry, type EntryReader } from "../entry/index.ts";
import { decodeFact, openEvidenceReader } from "../evidence/index.ts";
import { beijingPackText } from "../policy/index.ts";
import { FAULTS_MAX } from "./batch.ts";
import { USUAL_LIMITS } from "./blastRadius.ts";
import { openInboxReader } from "./inbox.ts";
import { USUAL_INTAKE, type IntakeLimits } from "./intake.ts";
import { readJobs } from "./jobs.ts";
import { startIngestServer } from "./server.ts";
import { startWorker } from "./worker.ts";

let redis: TestRedis;
beforeAll(async () => {
  redis = await ownRedis();
  await redis.start();
});
afterAll(() => redis.remove());

const BODY_BYTES_MAX = 8192;
const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

interface Service {
  readonly port: number;
  readonly folder: string;
  readonly clock: Clock & { seconds: number };
  /** What it logged. */
  readonly lines: string[];
  deliver(delivery: Delivery): Promise<Response>;
  ask(which?: Partial<Delivery>): Promise<Response>;
  /** The state of a batch by GET. */
  state(which?: Partial<Delivery>): Promise<string>;
  metrics(): Promise<string>;
  /** @returns how to stop it before the test's end. */
  startWorker(): () => Promise<void>;
  stop(): Promise<void>;
}

interface ServiceOptions {
  readonly folder?: string;
  readonly redisUrl?: string;
  readonly bodyBytesMax?: number;
  /** Instead of the usual one. */
  readonly sources?: Registry["sources"];
  readonly elapsedMs?: () => number;
  /** It lives for several tests, and is stopped by them. */
  readonly isShared?: boolean;
  readonly intakeLimits?: IntakeLimits;
  readonly clock?: Service["clock"];
}

function startService({ folder = temporaryFolder(), redisUrl = redis.url, bodyBytesMax = BODY_BYTES_MAX, sources = registry.sources, elapsedMs, isShared = false, intakeLimits = USUAL_INTAKE, clock = clockAt(NOW) }: ServiceOptions = {}): Service {
  const lines: string[] = [];
  const log = (line: string): number => lines.push(line);
  const folders = { inbox: join(folder, "inbox"), evidence: join(folder, "evidence"), entries: join(folder, "entries") };
  const queueAddress = { redisUrl, queueName: `test-${randomBytes(8).toString("hex")}` };
  const server = startIngestServer({ host: "127.0.0.1", port: 0, folders, queueAddress, registry: { devices: [], sources }, keyring, clock, ...(elapsedMs ? { elapsedMs } : {}), bodyBytesMax, intakeLimits, log });
  let stopped: Promise<void> | undefined;
  const service: Service = {
    port: server.port,
    folder,
    clock,
    lines,
    deliver: (delivery) => deliver(server.port, clock, delivery),
    ask: (which) => ask(server.port, clock, which),
    state: async (which) => ((await (await service.ask(which)).json()) as { state: string }).state,
    metrics: async () => (await fetch(`http://127.0.0.1:${server.port}/metrics`)).text(),
    startWorker() {
      const worker = startWorker({ folders, queueAddress, firstPack: beijingPackText(), limits: USUAL_LIMITS, clock, log });
      let ended: Promise<void> | undefined;
      const end = (): Promise<void> => (ended ??= worker.stop());
      stops.push(end);
      return end;
    },
    stop: () => (stopped ??= server.stop()),
  };
  if (!isShared) stops.push(() => service.stop());
  return service;
}

const nobodyThere = { redisUrl: "unix:/nonexistent/redis.sock" };

const row = (n: number): object => ({ factId: `test-${n}`, document: document(n), sampledAt: "2022-06-08T09:00:00+08:00", issuedAt: "2022-06-08T20:00:00+08:00", result: "negative", laboratory: "Laboratory A", county: "110105" });
const bodyOf = (...rows: object[]): string => rows.map((r) => JSON.stringify(r)).join("\n");
const GOOD = bodyOf(row(1));
const trip = (n: number): object => ({ factId: `trip-${n}`, phone: phone(n), county: "310101", from: "2022-06-01", to: "2022-06-03" });

interface ProblemBody {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly errors?: { line: number; field: string; reason: string }[];
}
/** The problem that a response is. Everything that is refused must be one, in full. */
async function problem(response: Response): Promise<ProblemBody> {
  const body = (await response.json()) as ProblemBody;
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  expect(body).toMatchObject({ type: "about:blank", status: response.status, title: expect.any(String) as string, detail: expect.any(String) as string });
  expect(body.detail.length).toBeGreaterThan(10);
  return body;
}
const answer = async (response: Response): Promise<unknown> => {
  expect(response.status).toBe(202);
  return response.json();
};
/** Batches that the disk keeps. */
async function kept(service: Service): Promise<number> {
  const reader = openInboxReader(join(service.folder, "inbox"));
  const count = reader.pending().length;
  await reader.close();
  return count;
}

describe("a delivery that is taken", () => {
  test("is answered 202 with its id and how many rows were accepted", async () => {
    const service = startService();
    const response = await service.deliver({ body: bodyOf(row(1), row(2)) });
    expect(response.headers.get("content-type")).toContain("application/json");
    expect(await answer(response)).toEqual({ batch: "batch-1", accepted: 2, refused: [] });
    expect(await kept(service)).toBe(1);
  });
  test("names the rows it refused by line, field and reason", async () => {
    const service = startService();
    const response = await service.deliver({ body: bodyOf(row(1), { ...row(2), result: "maybe" }, { ...row(3), document: undefined }) });
    expect(await answer(response)).toEqual({
      batch: "batch-1",
      accepted: 1,
      refused: [
        { line: 2, field: "result", reason: expect.any(String) as string },
        { line: 3, field: "document", reason: expect.any(String) as string },
      ],
    });
  });
  test("may leave out its content type, give parameters, or be of any case", async () => {
    const service = startService();
    for (const [i, contentType] of [null, "application/x-ndjson; charset=utf-8", "Application/X-NDJSON"].entries()) {
      expect((await service.deliver({ batch: `batch-${i}`, body: GOOD, contentType })).status).toBe(202);
    }
  });
  test("says how much of a laboratory's message was for others", async () => {
    const obx = (place: number, code: string, value: string): string => `OBX|${place}|CWE|${code}||${value}||||||F|||||||||`;
    const segments = ["MSH|^~\\&|LIS|LAB|||20220609060000+0800||ORU^R01|1|P|2.5.1", `PID|1||${residentId(1)}^^^^NNCHN`, "OBR|1|1|1|94531-1^panel^LN|||20220608093000+0800"];
    const body = [...segments, obx(1, "94500-6^RNA^LN", "260415000^Not detected^SCT"), obx(2, "8310-5^Temperature^LN", "36.5"), ""].join("\r");
    const response = await startService().deliver({ body, contentType: "application/hl7-v2" });
    expect(await answer(response)).toEqual({ batch: "batch-1", accepted: 1, refused: [], ignored: 1 });
  });
  test("with nothing but what is for others is taken too: a laboratory need not know which results we want", async () => {
    const segments = ["MSH|^~\\&|LIS|LAB|||20220609060000+0800||ORU^R01|1|P|2.5.1", `PID|1||${residentId(1)}^^^^NNCHN`, "OBR|1|1|1|1^panel^L|||20220608093000+0800", "OBX|1|NM|8310-5^Temperature^LN||36.5|Cel|||||F"];
    const service = startService();
    expect(await answer(await service.deliver({ body: segments.join("\r"), contentType: "application/hl7-v2" }))).toEqual({ batch: "batch-1", accepted: 0, refused: [], ignored: 1 });
    service.startWorker();
    await eventually(async () => (await service.state()) === "applied");
  });
  test("with more faults than are listed says how many rows were refused", async () => {
    const service = startService({ bodyBytesMax: 1_000_000 });
    const told = await answer(await service.deliver({ body: bodyOf(row(1), ...Array.from({ length: FAULTS_MAX + 5 }, () => ({ ...row(2), result: "maybe" }))) }));
    expect(told).toMatchObject({ accepted: 1, refusedCount: FAULTS_MAX + 5 });
    expect((told as { refused: unknown[] }).refused.length).toBe(FAULTS_MAX);
    expect(await (await service.ask()).json()).toMatchObject({ refused: FAULTS_MAX + 5 });
  });
  test("of exactly the largest size is taken", async () => {
    const body = GOOD.padEnd(BODY_BYTES_MAX, "\n");
    const service = startService();
    expect((await service.deliver({ batch: "whole", body })).status).toBe(202);
    expect((await service.deliver({ batch: "chunked", body, chunked: true })).status).toBe(202);
  });
  test("a source with feeds of its own may deliver to each of them", async () => {
    const service = startService();
    expect((await service.deliver({ source: "source-b", body: GOOD })).status).toBe(202);
    expect((await service.deliver({ source: "source-b", feed: "trips", body: bodyOf(trip(1)) })).status).toBe(202);
  });
  test("is known from its arrival, or from its own time when the source delivers history", async () => {
    const service = startService();
    await service.deliver({ body: GOOD });
    await service.deliver({ source: "archive", body: GOOD });
    const reader = openInboxReader(join(service.folder, "inbox"));
    const known = [1, 2].map((sequence) => decodeFact((reader.chunk(sequence, 0)[0] as { fact: Uint8Array }).fact)!.knownFrom);
    await reader.close();
    expect(known).toEqual([NOW, Date.parse("2022-06-08T20:00:00+08:00") / 1000]);
  });
  test("leaves no number, phone or factId on the disk, nor in the log", async () => {
    const service = startService();
    const findings = [{ factId: "finding-4711", phone: phone(3), kind: "key-place", from: "2022-06-08", authority: "District office", ground: "market" }];
    expect((await service.deliver({ body: bodyOf(row(1), { ...row(2), county: "999999" }) })).status).toBe(202);
    expect((await service.deliver({ feed: "findings", body: bodyOf(...findings) })).status).toBe(202);
    expect((await service.deliver({ feed: "holders", body: bodyOf({ documents: [document(4)], phones: [phone(4)] }) })).status).toBe(202);
    await service.stop();
    const disk = readFileSync(join(service.folder, "inbox", "data.mdb"), "latin1");
    expect(disk).toContain("District office");
    for (const secret of [...[1, 2, 4].map(residentId), phone(3), phone(4), "test-1", "finding-4711"]) expect(disk.includes(secret) || service.lines.join().includes(secret), secret).toBe(false);
  });
});

describe("one batch id", () => {
  test("with the same body again: the same answer, and nothing changed", async () => {
    const service = startService();
    const body = bodyOf(row(1), { ...row(2), result: "maybe" });
    const first = await answer(await service.deliver({ body }));
    service.clock.seconds += 60;
    expect(await answer(await service.deliver({ body }))).toEqual(first);
    expect(await kept(service)).toBe(1);
    expect(await (await service.ask()).json()).toMatchObject({ receivedAt: "2022-06-09T07:30:00.000+08:00" });
  });
  test("with another body: 409, and the first one stays", async () => {
    const service = startService();
    const first = await answer(await service.deliver({ body: GOOD }));
    expect((await problem(await service.deliver({ body: bodyOf(row(2)) }))).status).toBe(409);
    expect(await answer(await service.deliver({ body: GOOD }))).toEqual(first);
    expect(await kept(service)).toBe(1);
  });
  test("with another body that would be refused: still 409", async () => {
    const service = startService();
    await service.deliver({ body: GOOD });
    expect((await problem(await service.deliver({ body: "nonsense" }))).status).toBe(409);
  });
  test("with the same body again gets the first answer, also when what was refused as of the future lies in the past by now", async () => {
    const service = startService();
    const issuedAt = "2022-06-09T07:31:01+08:00"; // 61 s ahead
    const body = bodyOf(row(1), { ...row(2), issuedAt });
    const first = await answer(await service.deliver({ body }));
    expect(first).toMatchObject({ accepted: 1, refused: [{ line: 2, field: "issuedAt" }] });
    service.clock.seconds += 120;
    expect(await answer(await service.deliver({ body }))).toEqual(first);
    expect(await answer(await service.deliver({ batch: "batch-2", body }))).toMatchObject({ accepted: 2, refused: [] });
  });
  test("of a batch that was refused whole is still free", async () => {
    const service = startService();
    expect((await service.deliver({ body: "nonsense" })).status).toBe(422);
    expect((await service.deliver({ body: GOOD })).status).toBe(202);
  });
  test("is a name within its source and its feed", async () => {
    const service = startService();
    const deliveries: Delivery[] = [{ body: GOOD }, { source: "source-b", body: bodyOf(row(2)) }, { feed: "trips", body: bodyOf(trip(1)) }];
    for (const delivery of deliveries) expect((await service.deliver(delivery)).status).toBe(202);
    expect(await kept(service)).toBe(3);
  });
  test("used by many deliveries of one body at once: all get the same answer, one is kept", async () => {
    const service = startService();
    const answers = await Promise.all(Array.from({ length: 10 }, async () => answer(await service.deliver({ body: GOOD }))));
    expect(new Set(answers.map((a) => JSON.stringify(a))).size).toBe(1);
    expect(await kept(service)).toBe(1);
  });
  test("used by ten bodies at once: one is taken, the others get 409", async () => {
    const service = startService();
    const statuses = await Promise.all(Array.from({ length: 10 }, async (_, i) => (await service.deliver({ body: bodyOf(row(i)) })).status));
    expect(statuses.toSorted()).toEqual([202, ...Array.from({ length: 9 }, () => 409)]);
    expect(await kept(service)).toBe(1);
  });
  test("is still known after a restart", async () => {
    const first = startService();
    const before = await answer(await first.deliver({ body: GOOD }));
    await first.stop();
    const again = startService({ folder: first.folder });
    expect(await answer(await again.deliver({ body: GOOD }))).toEqual(before);
    expect((await again.deliver({ body: bodyOf(row(2)) })).status).toBe(409);
  });
});

/** Deliveries that must be refused: the edge, the delivery, the status, and what its detail says. */
const REFUSED: [string, Delivery, number, RegExp][] = [
  ["no row is acceptable", { body: bodyOf({ ...row(1), result: "maybe" }) }, 422, /nothing was kept/],
  ["the body is empty", { body: "" }, 422, /no row/],
  ["the body holds blank lines only", { body: "\n\r\n" }, 422, /no row/],
  ["the body is no UTF-8", { body: Uint8Array.of(0x7b, 0xff, 0xfe) }, 400, /UTF-8/],
  ["a risk list is cut off", { feed: "risk-areas", contentType: "application/json", body: JSON.stringify(publication("2022-06-08 17时", [SHANGHAI_HUANGPU])).replace('"hcount":1', '"hcount":2') }, 422, /nothing was kept/],
  ["it is not signed", { body: GOOD, alter: (h) => delete h["Signature"] && delete h["Signature-Input"] }, 401, /must be signed/],
  ["the signature is another one", { body: GOOD, alter: (h) => (h["Signature"] = `sig=:${Buffer.alloc(32, 9).toString("base64")}:`) }, 401, /not valid/],
  ["the signature is no signature", { body: GOOD, alter: (h) => (h["Signature"] = "hello") }, 401, /signature/],
  ["another body was signed", { body: GOOD, signedBody: bodyOf(row(2)) }, 401, /Content-Digest/],
  ["another batch id was signed", { body: GOOD, alter: (h) => (h["Batch-Id"] = "batch-2") }, 401, /not valid/],
  ["the batch id was taken away", { body: GOOD, alter: (h) => delete h["Batch-Id"] }, 401, /signature/],
  ["the digest was taken away", { body: GOOD, alter: (h) => delete h["Content-Digest"] }, 401, /content-digest/i],
  ["another source is named beside the signature", { body: GOOD, alter: (h) => (h["Source"] = "source-b") }, 401, /not valid/],
  ["nobody knows the source", { body: GOOD, alter: (h) => (h["Signature-Input"] = h["Signature-Input"]!.replace("source-a", "source-x")) }, 401, /signature/],
  ["the feed is not the source's", { source: "source-b", feed: "findings", body: GOOD }, 403, /tests/],
  ["there is no such feed", { feed: "rumours", body: GOOD }, 404, /risk-areas/],
  ["a feed has the name of something else", { feed: "toString", body: GOOD }, 404, /feeds are/],
  ["the body is one byte too large", { body: GOOD.padEnd(BODY_BYTES_MAX + 1, "\n") }, 413, /8192/],
  ["the body is one byte too large and comes in chunks", { body: GOOD.padEnd(BODY_BYTES_MAX + 1, "\n"), chunked: true }, 413, /8192/],
  ["the content type is not the feed's", { body: GOOD, contentType: "application/json" }, 415, /application\/hl7-v2/],
  ["HL7 comes to another feed", { feed: "trips", body: GOOD, contentType: "application/hl7-v2" }, 415, /application\/x-ndjson/],
  ["the batch id is empty", { batch: "", body: GOOD }, 400, /Batch-Id/],
  ["the batch id has 65 characters", { batch: "b".repeat(65), body: GOOD }, 400, /Batch-Id/],
  ["the batch id holds a blank", { batch: "batch 1", body: GOOD }, 400, /Batch-Id/],
  ["the batch id holds a slash", { batch: "batch/1", body: GOOD }, 400, /Batch-Id/],
  ["the batch id is a phone number", { batch: phone(1), body: GOOD }, 400, /phone number/],
  ["the batch id holds a resident ID", { batch: `of-${residentId(1)}`, body: GOOD }, 400, /document/],
];

describe("a delivery is refused, nothing is kept, and the next one is taken, when", () => {
  let service: Service;
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "fangxing-test-"));
    service = startService({ folder, isShared: true });
  });
  afterAll(async () => {
    await service.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test.each(REFUSED)("%s", async (name, delivery, status, detail) => {
    const before = await kept(service);
    const body = await problem(await service.deliver(delivery));
    expect(body.status).toBe(status);
    expect(body.detail).toMatch(detail);
    expect(JSON.stringify(body)).not.toContain(residentId(1));
    expect(JSON.stringify(body)).not.toContain(phone(1));
    expect(await kept(service)).toBe(before);
    const id = `after-${REFUSED.findIndex(([n]) => n === name)}`;
    expect((await service.deliver({ batch: id, body: GOOD })).status).toBe(202);
  });
  test("a batch id of 64 characters, dots, hyphens and underscores is none of these", async () => {
    expect((await service.deliver({ batch: "A.b-c_9".padEnd(64, "x"), body: GOOD })).status).toBe(202);
  });
  test("a row of a body where no row is acceptable is named", async () => {
    const { errors } = await problem(await service.deliver({ batch: "named", body: `\n${bodyOf({ ...row(1), result: "maybe", town: "x" })}\nnonsense` }));
    expect(errors?.map(({ line, field }) => `${line} ${field}`)).toEqual(["2 result", "2 town", "3 row"]);
  });
  test.each([301, -301])("it was signed %i s ago by the service's clock; 300 s is fine", async (age) => {
    const signedAt = (seconds: number): Promise<Response> => deliver(service.port, clockAt(NOW - seconds), { batch: `age-${age}`, body: GOOD });
    const body = await problem(await signedAt(age));
    expect([body.status, body.detail]).toEqual([401, expect.stringContaining("300 s") as string]);
    expect((await signedAt(Math.sign(age) * 300)).status).toBe(202);
  });
  test("it was signed for another path", async () => {
    const headers = await signRequest({ method: "POST", path: "/v1/feeds/trips/batches", batchId: "path", body: Buffer.from(GOOD) }, signerOf("source-a"), service.clock);
    const response = await fetch(`http://127.0.0.1:${service.port}/v1/feeds/tests/batches`, { method: "POST", headers, body: GOOD });
    expect((await problem(response)).status).toBe(401);
  });
  test("it has a query, which no signature covers", async () => {
    const headers = await signRequest({ method: "POST", path: "/v1/feeds/tests/batches", batchId: "query", body: Buffer.from(GOOD) }, signerOf("source-a"), service.clock);
    const response = await fetch(`http://127.0.0.1:${service.port}/v1/feeds/tests/batches?x=1`, { method: "POST", headers, body: GOOD });
    expect((await problem(response)).status).toBe(400);
  });
  test.each([false, true])("its body is far too large (in chunks: %s)", async (chunked) => {
    const response = await service.deliver({ batch: "far", body: new Uint8Array(BODY_BYTES_MAX + 3 * 1024 * 1024), chunked });
    expect((await problem(response)).status).toBe(413);
    expect((await service.deliver({ batch: `after-far-${chunked ? 2 : 1}`, body: GOOD })).status).toBe(202);
  });
  test.each([
    ["GET", "/v1/feeds/tests/batches", 405, "POST"],
    ["PUT", "/v1/feeds/tests/batches", 405, "POST"],
    ["POST", "/v1/feeds/tests/batches/batch-1", 405, "GET"],
    ["DELETE", "/v1/feeds/tests/batches/batch-1", 405, "GET"],
    ["GET", "/", 404, null],
    ["POST", "/v1/feeds/tests", 404, null],
    ["GET", "/v1/feeds/tests/batches/a/b", 404, null],
  ])("it is a %s of %s", async (method, path, status, allow) => {
    const response = await fetch(`http://127.0.0.1:${service.port}${path}`, { method });
    expect((await problem(response)).status).toBe(status);
    expect(response.headers.get("allow")).toBe(allow);
  });
});

/** A signed delivery, to be sent as often as one likes. */
async function signedDelivery(service: Service, { batch = "batch-1", body = GOOD } = {}): Promise<(port?: number) => Promise<Response>> {
  const path = "/v1/feeds/tests/batches";
  const headers = await signRequest({ method: "POST", path, batchId: batch, body: Buffer.from(body), contentType: "application/x-ndjson" }, signerOf("source-a"), service.clock);
  return (port = service.port) => fetch(`http://127.0.0.1:${port}${path}`, { method: "POST", headers, body });
}

describe("a signature", () => {
  test("is taken once; the same delivery signed anew is answered as before", async () => {
    const service = startService();
    const send = await signedDelivery(service);
    const first = await answer(await send());
    for (const age of [0, 299, 1]) {
      service.clock.seconds = NOW + age;
      expect(await problem(await send())).toMatchObject({ status: 401, title: "Signature used before", detail: expect.stringContaining("with another nonce") as string });
    }
    expect(await answer(await service.deliver({ body: GOOD }))).toEqual(first);
    expect(await kept(service)).toBe(1);
  });
  test("of a question is taken once too", async () => {
    const service = startService();
    await service.deliver({ body: GOOD });
    const path = "/v1/feeds/tests/batches/batch-1";
    const headers = await signRequest({ method: "GET", path }, signerOf("source-a"), service.clock);
    const ask = (): Promise<Response> => fetch(`http://127.0.0.1:${service.port}${path}`, { headers });
    expect((await ask()).status).toBe(200);
    expect((await problem(await ask())).title).toBe("Signature used before");
  });
  test("is taken once also by an API that is started again, until it is too old anyway", async () => {
    const first = startService();
    const send = await signedDelivery(first);
    await answer(await send());
    await first.stop();
    const again = startService({ folder: first.folder });
    expect((await problem(await send(again.port))).title).toBe("Signature used before");
    again.clock.seconds += 301;
    expect((await problem(await send(again.port))).detail).toMatch(/created must lie/);
  });
  test("that was sent by many at once is taken once", async () => {
    const send = await signedDelivery(startService());
    const statuses = await Promise.all(Array.from({ length: 10 }, async () => (await send()).status));
    expect(statuses.toSorted()).toEqual([202, ...Array.from({ length: 9 }, () => 401)]);
  });
  test("that is none uses up no nonce: who only guesses keeps nobody from sending", async () => {
    const service = startService();
    const path = "/v1/feeds/tests/batches";
    const headers = await signRequest({ method: "POST", path, batchId: "batch-1", body: Buffer.from(GOOD) }, signerOf("source-a"), service.clock);
    const send = (given: Record<string, string>): Promise<Response> => fetch(`http://127.0.0.1:${service.port}${path}`, { method: "POST", headers: given, body: Buffer.from(GOOD) });
    expect((await send({ ...headers, Signature: `sig=:${Buffer.alloc(64, 9).toString("base64")}:` })).status).toBe(401);
    expect((await send(headers)).status).toBe(202);
  });
  test.each(["Batch-Id", "Source", "Content-Digest", "Content-Type", "Signature", "Signature-Input"])("doesn't count for a request with two headers %s", async (name) => {
    const service = startService();
    const path = "/v1/feeds/tests/batches";
    const headers = await signRequest({ method: "POST", path, batchId: "batch-1", body: Buffer.from(GOOD), contentType: "application/x-ndjson" }, signerOf("source-a"), service.clock);
    const entry = Object.entries(headers).find(([header]) => header.toLowerCase() === name.toLowerCase())!;
    const send = async (text: string): Promise<string> => {
      const connection = await rawConnection(service.port);
      connection.write(text);
      const status = /^HTTP\/1\.1 (\d+)/.exec(await connection.until((received) => received.includes("\r\n\r\n")))![1]!;
      connection.socket.destroy();
      return status;
    };
    const text = requestText("POST", path, GOOD, headers);
    const another = entry[0].toLowerCase() === "batch-id" ? "batch-2" : entry[1];
    for (const double of [`${entry[0]}: ${entry[1]}\r\n`, `${entry[0]}: ${another}\r\n`]) {
      expect(await send(text.replace("\r\n\r\n", `\r\n${double}\r\n`))).toBe("401");
      expect(await send(text.replace("Host: test\r\n", `Host: test\r\n${double}`))).toBe("401");
    }
    expect(await send(text)).toBe("202");
  });
});

describe("a source's quota of rows", () => {
  const limited = registry.sources.map((source) => ({ ...source, ...(source.name === "source-a" ? { rowsPerSecond: 2, rowsAtOnce: 10 } : {}) }));
  const rowsOf = (count: number): string => bodyOf(...Array.from({ length: count }, (_, i) => row(i)));

  test("lets a large batch through whole, and then asks to wait until it is paid back; no body is read for that, and other sources go on", async () => {
    let elapsedMs = 5000;
    const service = startService({ sources: limited, elapsedMs: () => elapsedMs });
    expect(await answer(await service.deliver({ batch: "large", body: rowsOf(20) }))).toMatchObject({ accepted: 20 });
    const refused = await service.deliver({ batch: "next", body: new Uint8Array(BODY_BYTES_MAX + 1), chunked: true });
    // 20 are owed, fewer than 10 may be: 5 s, and a bit.
    expect(refused.headers.get("retry-after")).toBe("6");
    expect(await problem(refused)).toMatchObject({ status: 429, title: "Over its quota of rows", detail: expect.stringMatching(/source-a .* 2 a second and 10 at once.*rowsPerSecond/) as string });
    expect((await service.ask({ batch: "large" })).status).toBe(200);
    expect((await service.deliver({ source: "source-b", body: GOOD })).status).toBe(202);
    elapsedMs += 6000;
    expect((await service.deliver({ batch: "next", body: GOOD })).status).toBe(202);
  });
  test("counts rows that were refused or delivered before like others: they were read", async () => {
    const service = startService({ sources: limited, elapsedMs: () => 0 });
    const statuses: number[] = [];
    for (const delivery of [{ body: bodyOf(row(1), {}, {}) }, { body: bodyOf(row(1), {}, {}) }, { batch: "bad", body: bodyOf({}, {}, {}) }, { batch: "last", body: GOOD }, { batch: "over", body: GOOD }]) {
      statuses.push((await service.deliver(delivery)).status);
    }
    expect(statuses).toEqual([202, 202, 422, 202, 429]);
  });
});

test("a risk list without any area is a delivery like others", async () => {
  const response = await startService().deliver({ feed: "risk-areas", contentType: "application/json", body: JSON.stringify(publication("2022-06-08 17时", [])) });
  expect(response.status).toBe(202);
});

describe("where a batch is", () => {
  test("stored, while there is no Redis to queue it; with all that is known of it", async () => {
    const service = startService(nobodyThere);
    await service.deliver({ body: bodyOf(row(1), row(2), { ...row(3), result: "maybe" }) });
    expect(await (await service.ask()).json()).toEqual({
      ...{ batch: "batch-1", feed: "tests", number: 1, state: "stored", accepted: 2, refused: 1, chunks: 1, chunksApplied: 0, entriesChanged: 0 },
      ...{ receivedAt: "2022-06-09T07:30:00.000+08:00", appliedAt: null, tookMs: null },
    });
  });
  test("queued, while no worker has taken it", async () => {
    const service = startService();
    await service.deliver({ body: GOOD });
    await eventually(async () => (await service.state()) === "queued");
  });
  test("applied, with the time it took and how many entries it changed", async () => {
    const service = startService();
    await service.deliver({ body: bodyOf(row(1), row(2)) });
    service.clock.seconds += 7;
    service.startWorker();
    await eventually(async () => (await service.state()) === "applied");
    expect(await (await service.ask()).json()).toMatchObject({ chunks: 1, chunksApplied: 1, entriesChanged: 2, appliedAt: "2022-06-09T07:30:07.000+08:00", tookMs: 7000 });
    const entries = openEntryReader(join(service.folder, "entries"));
    expect([1, 2].map((n) => entryFault(Uint8Array.from(entries.get(keyOfDocument(n))!)))).toEqual([undefined, undefined]);
    await entries.close();
  });
  test("applied through the queue, for what comes while the worker runs", async () => {
    const service = startService();
    service.startWorker();
    for (let i = 1; i <= 5; i++) await service.deliver({ batch: `batch-${i}`, body: bodyOf(row(i)) });
    for (let i = 1; i <= 5; i++) await eventually(async () => (await service.state({ batch: `batch-${i}` })) === "applied");
  });
  test("still known when its rows are dropped, as is its id", async () => {
    const service = startService();
    const first = await answer(await service.deliver({ body: GOOD }));
    service.startWorker();
    await eventually(async () => (await service.state()) === "applied");
    service.clock.seconds += 2; // the rows are dropped when the worker has had time to sync
    await eventually(async () => (await kept(service)) === 0);
    expect(await service.state()).toBe("applied");
    expect(await answer(await service.deliver({ body: GOOD }))).toEqual(first);
    expect(await service.state()).toBe("applied");
    expect(await kept(service)).toBe(0);
  });

  test.each<[string, Partial<Delivery>, number]>([
    ["of an id that nobody delivered", { batch: "batch-2" }, 404],
    ["of another feed's batch", { feed: "trips" }, 404],
    ["of another source's batch", { source: "source-b" }, 404],
    ["of a feed that is not the source's", { source: "source-b", feed: "findings" }, 403],
    ["of no feed at all", { feed: "rumours" }, 404],
  ])("is not told %s", async (_, which, status) => {
    const service = startService();
    await service.deliver({ body: GOOD });
    expect((await problem(await service.ask(which))).status).toBe(status);
  });
  test("is not told to somebody who has not signed the question, or another one", async () => {
    const service = startService();
    await service.deliver({ body: GOOD });
    const url = `http://127.0.0.1:${service.port}/v1/feeds/tests/batches/batch-1`;
    expect((await problem(await fetch(url))).status).toBe(401);
    const headers = await signRequest({ method: "GET", path: "/v1/feeds/tests/batches/batch-2" }, signerOf("source-a"), service.clock);
    expect((await problem(await fetch(url, { headers }))).status).toBe(401);
  });
});

describe("without Redis", () => {
  test("deliveries are taken; when it comes they are queued and applied, the oldest too", async () => {
    const late = await ownRedis();
    stops.push(() => late.remove());
    const service = startService({ redisUrl: late.url });
    for (const batch of ["batch-1", "batch-2"]) expect((await service.deliver({ batch, body: GOOD })).status).toBe(202);
    expect([await service.state({ batch: "batch-1" }), await service.state({ batch: "batch-2" })]).toEqual(["stored", "stored"]);
    await late.start();
    for (const batch of ["batch-1", "batch-2"]) await eventually(async () => (await service.state({ batch })) === "queued");
    service.startWorker();
    for (const batch of ["batch-1", "batch-2"]) await eventually(async () => (await service.state({ batch })) === "applied");
  });
  test("that died, deliveries are taken; when it is back they are applied", async () => {
    const mortal = await ownRedis();
    await mortal.start();
    stops.push(() => mortal.remove());
    const service = startService({ redisUrl: mortal.url });
    service.startWorker();
    await service.deliver({ batch: "batch-1", body: GOOD });
    await eventually(async () => (await service.state({ batch: "batch-1" })) === "applied");
    await mortal.kill();
    expect((await service.deliver({ batch: "batch-2", body: bodyOf(row(2)) })).status).toBe(202);
    expect(["stored", "queued"]).toContain(await service.state({ batch: "batch-2" }));
    await mortal.start();
    await eventually(async () => {
      service.clock.seconds += 1; // so that what a dying Redis took without a word is queued again
      return (await service.state({ batch: "batch-2" })) === "applied";
    });
  });
  test("that forgot everything, what was queued is queued again after five seconds", async () => {
    const forgetful = await ownRedis();
    await forgetful.start();
    stops.push(() => forgetful.remove());
    const service = startService({ redisUrl: forgetful.url });
    await service.deliver({ body: GOOD });
    await eventually(async () => (await service.metrics()).includes('fangxing_queue_depth{state="waiting"} 1'));
    await forgetful.flush();
    await eventually(async () => (await service.metrics()).includes('fangxing_queue_depth{state="waiting"} 0'));
    service.clock.seconds += 5;
    await eventually(async () => (await service.metrics()).includes('fangxing_queue_depth{state="waiting"} 1'));
  });
  test("the worker applies what a worker before it left over, and stops as ordered", async () => {
    const service = startService(nobodyThere);
    await service.deliver({ body: GOOD });
    const stopWorker = service.startWorker();
    await eventually(async () => (await service.state()) === "applied");
    await stopWorker();
  });
  test("that died, workers stop as ordered", async () => {
    const mortal = await ownRedis();
    await mortal.start();
    stops.push(() => mortal.remove());
    // Whether a worker would hang depends on what it was asking Redis just then: so a handful of them.
    const services = Array.from({ length: 6 }, () => startService({ redisUrl: mortal.url }));
    const stopWorkers = services.map((service) => service.startWorker());
    for (const service of services) await service.deliver({ body: GOOD });
    for (const service of services) await eventually(async () => (await service.state()) === "applied");
    await mortal.kill();
    await Promise.all(stopWorkers.map((stopWorker) => stopWorker()));
  });
  test("a stored batch is queued by the API that comes after", async () => {
    const first = startService(nobodyThere);
    await first.deliver({ body: GOOD });
    await first.stop();
    const again = startService({ folder: first.folder });
    await eventually(async () => (await again.state()) === "queued");
  });
  test("the API stops as ordered", async () => {
    const service = startService(nobodyThere);
    await service.deliver({ body: GOOD });
    await service.stop();
    await expect(service.ask()).rejects.toThrow();
  });
});

describe("a batch that can't be applied", () => {
  /** A row that came by another feed than its own: an inbox as only damage makes it. */
  const damaged = inboxRows("local-infections", [{ factId: "infection-1", county: "310101", day: "2022-06-08", count: 1 }]);
  const name = { source: "source-a" as const, feed: "tests" as const };

  test("is tried five times, then dead and in nobody's way: told with its reason, counted, listed, kept over a new start and Redis' loss; replayed it is tried again", async () => {
    const folder = temporaryFolder();
    const stores = openStores(folder);
    const rows = [...inboxRows("tests", [row(1)]), ...damaged];
    await stores.inbox.store({ ...name, batch: "poison", bodyHash: "", receivedMs: NOW * 1000, accepted: 2, refused: 0, ignored: 0 }, rows);
    await stores.close();
    const forgetful = await ownRedis();
    await forgetful.start();
    stops.push(() => forgetful.remove());

    const service = startService({ folder, redisUrl: forgetful.url });
    const stopWorker = service.startWorker();
    const dead = async (): Promise<boolean> => (await service.state({ batch: "poison" })) === "dead";
    await service.deliver({ batch: "after", body: bodyOf(row(2)) });
    await eventually(async () => (await service.state({ batch: "after" })) === "applied");
    await eventually(dead);
    const told = (await (await service.ask({ batch: "poison" })).json()) as { number: number };
    expect(told).toMatchObject({ state: "dead", appliedAt: null, failure: { attempts: 5, at: "2022-06-09T07:30:00.000+08:00", reason: expect.stringContaining("row 1 of chunk 0: a row of type infection came by a feed") as string } });
    await eventually(async () => (await service.metrics()).includes("fangxing_batches_dead 1\n"));
    expect(service.lines.filter((line) => line.startsWith(`batch ${told.number} could not be applied`)).length).toBe(5);
    expect(service.lines.at(-1)).toContain("is dead now");
    // The row beside the damaged one is applied.
    const entries = openEntryReader(join(folder, "entries"));
    expect([1, 2].map((n) => entries.get(keyOfDocument(n)) !== undefined)).toEqual([true, true]);
    await entries.close();

    await stopWorker();
    await service.stop();
    await forgetful.flush();
    const again = startService({ folder, redisUrl: forgetful.url });
    again.startWorker();
    await again.deliver({ batch: "third", body: bodyOf(row(3)) });
    await eventually(async () => (await again.state({ batch: "third" })) === "applied");
    expect(await again.state({ batch: "poison" })).toBe("dead");
    expect(again.lines).toEqual([]);
    const evidence = openEvidenceReader(join(folder, "evidence"));
    const jobs = await readJobs(join(folder, "inbox"), evidence);
    await evidence.close();
    expect(jobs.map(({ header, state, failure }) => [header.batch, state, failure?.attempts])).toContainEqual(["poison", "dead", 5]);

    const decision = { action: "replay", change: told.number, authority: "operator", ground: "looked at it" };
    await again.deliver({ source: "operator", feed: "decisions", batch: "replay", body: bodyOf(decision) });
    await eventually(async () => (await again.state({ source: "operator", feed: "decisions", batch: "replay" })) === "applied");
    // Nobody has mended it: five more times.
    await eventually(() => again.lines.filter((line) => line.includes("is dead now")).length === 1);
    expect(again.lines.filter((line) => line.startsWith(`batch ${told.number} could not be applied`)).length).toBe(5);
  });
});

describe("a backlog", () => {
  test("of one source is applied in turn with what another delivers, and a test comes first", async () => {
    const folder = temporaryFolder();
    const stores = openStores(folder);
    for (let i = 0; i < 300; i++) await stores.store("trips", inboxRows("trips", [trip(i)]));
    await stores.close();
    // A clock that goes on with each look, so that it tells the order.
    const ticking = Object.assign(clockAt(NOW), { ticks: 0 });
    ticking.nowMs = () => NOW * 1000 + ticking.ticks++;
    const service = startService({ ...nobodyThere, folder, clock: ticking });
    expect((await service.deliver({ source: "source-b", body: GOOD })).status).toBe(202);
    service.startWorker();
    const evidence = openEvidenceReader(join(folder, "evidence"));
    const order = (): number[] => Array.from({ length: 301 }, (_, i) => evidence.progress(i + 1)?.appliedMs ?? Infinity);
    await eventually(() => order().every((ms) => ms < Infinity));
    const [...applied] = order();
    const test = applied.at(-1)!;
    // The worker begins a hundred batches before it looks who else is there.
    expect(applied.filter((ms) => ms < test).length).toBeLessThanOrEqual(110);
    await evidence.close();
  });
});

describe("too much", () => {
  test("waits: 429 with Retry-After and what to do, before the body is read; the same batch is taken when there is room", async () => {
    const service = startService({ intakeLimits: { ...USUAL_INTAKE, batchesMax: 2 } });
    expect((await service.deliver({ batch: "batch-1", body: GOOD })).status).toBe(202);
    const response = await service.deliver({ batch: "batch-2", body: new Uint8Array(BODY_BYTES_MAX + 1) });
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThanOrEqual(10);
    expect(await problem(response)).toMatchObject({ status: 429, title: "Too much of this source waits", detail: expect.stringContaining("under the same batch id") as string });
    expect((await service.deliver({ source: "source-b", batch: "batch-1", body: GOOD })).status).toBe(202);
    expect(await problem(await service.deliver({ source: "archive", body: GOOD }))).toMatchObject({ status: 429, title: "Too much waits" });
    expect(await service.metrics()).toContain('fangxing_deliveries_held_off_total{full="backlog"} 2\n');
    service.startWorker();
    await eventually(async () => (await service.deliver({ batch: "batch-2", body: bodyOf(row(2)) })).status === 202);
    expect(await kept(service)).toBeGreaterThanOrEqual(1);
  });
  test("is on the disk: 429, and nothing is kept", async () => {
    const service = startService({ intakeLimits: { ...USUAL_INTAKE, diskFreeBytesMin: Infinity } });
    expect(await problem(await service.deliver({ body: GOOD }))).toMatchObject({ status: 429, title: "Disk almost full" });
    expect(await kept(service)).toBe(0);
    expect((await service.ask()).status).toBe(404);
  });
});

describe("the worker at its start", () => {
  const redFrom = (n: number): object => ({ factId: `finding-${n}`, document: document(n), kind: "close-contact", from: "2022-06-08", authority: "District office", ground: "market" });
  test("computes anew what was computed under other rules than those in force, and says how many entries that changed", async () => {
    const folder = temporaryFolder();
    const stores = openStores(folder);
    const before = stores.evaluator;
    await stores.deliver("holders", [1, 2, 3].map((n) => ({ documents: [document(n)] })));
    await stores.deliverPack(beijingPackText().replace("        close-contact: central\n", ""));
    // As by a worker that never heard of the new rules.
    await stores.applyUnder(await stores.store("findings", inboxRows("findings", [redFrom(1)])), before, 1);
    const flagCount = (entries: EntryReader, n: number): number => (decodeEntry(Uint8Array.from(entries.get(keyOfDocument(n))!)) as Entry).flags.length;
    expect(flagCount(stores.entries, 1)).toBe(1);
    await stores.close();
    const service = startService({ ...nobodyThere, folder });
    const stopWorker = service.startWorker();
    await eventually(() => service.lines.includes("1 entries were computed anew under the rules in force"));
    await stopWorker();
    const entries = openEntryReader(join(folder, "entries"));
    expect(flagCount(entries, 1)).toBe(0);
    await entries.close();
  });
  test("writes down the limits that it holds changes to", async () => {
    const service = startService(nobodyThere);
    service.startWorker();
    const evidence = openEvidenceReader(join(service.folder, "evidence"));
    expect(evidence.limits()).toEqual(USUAL_LIMITS);
    await evidence.close();
  });
});

describe("health and metrics", () => {
  test("it is alive and ready, with Redis and without", async () => {
    for (const service of [startService(), startService(nobodyThere)]) {
      for (const path of ["/healthz", "/readyz"]) expect((await fetch(`http://127.0.0.1:${service.port}${path}`)).status).toBe(200);
    }
  });
  test("pending batches, the age of the oldest, and the queue's depth", async () => {
    const service = startService();
    expect(await service.metrics()).toContain("fangxing_batches_pending 0\n");
    expect(await service.metrics()).toContain("fangxing_oldest_pending_batch_age_seconds 0\n");
    await service.deliver({ batch: "batch-1", body: GOOD });
    service.clock.seconds += 3;
    await service.deliver({ batch: "batch-2", body: GOOD });
    service.clock.seconds += 1;
    const text = await service.metrics();
    expect(text).toContain("fangxing_batches_pending 2\n");
    expect(text).toContain("fangxing_oldest_pending_batch_age_seconds 4\n");
    await eventually(async () => (await service.metrics()).includes('fangxing_queue_depth{state="waiting"} 2\n'));
    expect(await service.metrics()).toContain('fangxing_queue_depth{state="active"} 0\n');
  });
  test("deliveries by source and how they ended; who signs as nobody is counted as nobody", async () => {
    const service = startService();
    const replayed = await signedDelivery(service);
    await replayed();
    await replayed();
    await service.deliver({ body: bodyOf(row(2)) });
    await service.deliver({ source: "source-b", body: "nonsense" });
    await service.deliver({ source: "source-b", feed: "findings", body: GOOD });
    await service.deliver({ body: GOOD, alter: (h) => (h["Source"] = "source-b") });
    await service.deliver({ body: GOOD, alter: (h) => (h["Signature-Input"] = h["Signature-Input"]!.replace("source-a", residentId(1))) });
    await service.ask();
    const lines = (await service.metrics()).split("\n").filter((line) => line.startsWith("fangxing_deliveries_total"));
    expect(lines.toSorted()).toEqual([
      'fangxing_deliveries_total{source="",outcome="signature"} 2',
      'fangxing_deliveries_total{source="source-a",outcome="accepted"} 1',
      'fangxing_deliveries_total{source="source-a",outcome="batch-taken"} 1',
      'fangxing_deliveries_total{source="source-a",outcome="replay"} 1',
      'fangxing_deliveries_total{source="source-b",outcome="feed"} 1',
      'fangxing_deliveries_total{source="source-b",outcome="nothing-accepted"} 1',
    ]);
  });
  test("without Redis they are told but for the queue's depth", async () => {
    const service = startService(nobodyThere);
    await service.deliver({ body: GOOD });
    const text = await service.metrics();
    expect(text).toContain("fangxing_batches_pending 1\n");
    expect(text).not.toContain("fangxing_queue_depth");
  });
  test("are in Prometheus' form: each metric with its help and type before its values", async () => {
    const service = startService();
    await eventually(async () => (await service.metrics()).includes("fangxing_queue_depth"));
    const response = await fetch(`http://127.0.0.1:${service.port}/metrics`);
    expect(response.headers.get("content-type")).toContain("text/plain; version=0.0.4");
    const described = new Set<string>();
    for (const line of (await response.text()).trimEnd().split("\n")) {
      const type = /^# TYPE (\w+) (gauge|counter|histogram)$/.exec(line);
      if (type) described.add(type[1]!);
      else if (!line.startsWith("# HELP ")) expect([line, described.has(/^(\w+)(\{[^}]*\})? -?[\d.]+$/.exec(line)?.[1] ?? "")]).toEqual([line, true]);
    }
  });
  test("a port that is taken is an error at the start", () => {
    const service = startService();
    const second = { inbox: join(service.folder, "other-inbox"), evidence: join(service.folder, "other-evidence") };
    const start = (): unknown => startIngestServer({ host: "127.0.0.1", port: service.port, folders: second, queueAddress: { redisUrl: redis.url, queueName: "x" }, registry, keyring, clock: offsetClock(0), bodyBytesMax: 1024, log: () => undefined });
    expect(start).toThrow();
  });
});
