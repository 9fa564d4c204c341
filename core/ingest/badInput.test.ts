// What senders get wrong, through the real server: a clear answer, and nothing of it is kept.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { pack } from "msgpackr";
import { afterEach, describe, expect, test } from "vitest";
import { deliver, document, DOCUMENT_SECRET, eventually, keyring, NOW, phone, registry, residentId, signerOf, type Delivery } from "../../test/ingestSupport.ts";
import type { IngestOrder } from "../../test/ingestHost.ts";
import { clockAt, temporaryFolder } from "../../test/support.ts";
import { signRequest } from "../access/index.ts";
import { CHUNK_ROWS, openInboxReader } from "./inbox.ts";
import { startIngestServer } from "./server.ts";

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

function startService(bodyBytesMax = 2 ** 32) {
  const folder = temporaryFolder();
  const clock = clockAt(NOW);
  const folders = { inbox: join(folder, "inbox"), evidence: join(folder, "evidence") };
  const server = startIngestServer({ host: "127.0.0.1", port: 0, folders, queueAddress: { redisUrl: "unix:/nonexistent/redis.sock", queueName: "test" }, registry, keyring, clock, bodyBytesMax, log: () => undefined });
  stops.push(() => server.stop());
  return {
    port: server.port,
    clock,
    deliver: (delivery: Delivery) => deliver(server.port, clock, delivery),
    /** Rows of each batch on disk. */
    async kept(): Promise<number[]> {
      const reader = openInboxReader(folders.inbox);
      const rows = reader.pending().map((sequence) => Array.from({ length: reader.header(sequence)!.chunks }, (_, i) => reader.chunk(sequence, i).length).reduce((a, b) => a + b, 0));
      // Nothing lies there that is nobody's.
      expect(reader.chunkCount()).toBe(rows.reduce((sum, count) => sum + Math.ceil(count / CHUNK_ROWS), 0));
      await reader.close();
      return rows;
    },
  };
}

const row = (n: number): object => ({ factId: `test-${n}`, document: document(n), sampledAt: "2022-06-08T09:00:00+08:00", issuedAt: "2022-06-08T20:00:00+08:00", result: "negative", laboratory: "实验室", county: "110105" });
const rows = (count: number): object[] => Array.from({ length: count }, (_, i) => row(i + 1));
const ndjson = (count: number, end = "\n"): string => rows(count).map((r) => JSON.stringify(r)).join(end);
const CSV_HEADER = "factId,document.type,document.number,sampledAt,issuedAt,result,laboratory,county,uploaded";
const csvLine = (n: number, change: Record<number, string> = {}): string =>
  [`test-${n}`, "resident-id", residentId(n), "2022-06-08T09:00:00+08:00", "2022-06-08T20:00:00+08:00", "negative", "实验室", "110105", "false"].map((cell, i) => change[i] ?? cell).join(",");

describe("taken, and the same rows in every form:", () => {
  const COUNT = 2500;
  const csv = (end: string): string => [CSV_HEADER, ...rows(COUNT).map((_, i) => csvLine(i + 1))].join(end);
  test.each<[string, Delivery]>([
    ["NDJSON", { body: ndjson(COUNT) }],
    ["a mark of the byte order in front", { body: `\uFEFF${ndjson(COUNT)}` }],
    ["lines ended by CR alone", { body: ndjson(COUNT, "\r") }],
    ["lines ended by CRLF, in chunks", { body: ndjson(COUNT, "\r\n"), chunked: true }],
    ["gzip", { body: gzipSync(ndjson(COUNT)), contentEncoding: "gzip" }],
    ["zstd", { body: zstdCompressSync(ndjson(COUNT)), contentEncoding: "zstd", chunked: true }],
    ["CSV", { body: csv("\n"), contentType: "text/csv" }],
    ["CSV with CRLF and a mark in front", { body: `\uFEFF${csv("\r\n")}`, contentType: "text/csv", chunked: true }],
    ["CSV with CR alone", { body: csv("\r"), contentType: "text/csv; charset=utf-8" }],
    ["MessagePack, one map after the other", { body: Buffer.concat(rows(COUNT).map((r) => Buffer.from(pack(r)))), contentType: "application/vnd.msgpack", chunked: true }],
    ["MessagePack, one array", { body: pack(rows(COUNT)), contentType: "application/msgpack", chunked: true }],
  ])("%s", async (_, delivery) => {
    const service = startService();
    const response = await service.deliver(delivery);
    expect([response.status, await response.json()]).toEqual([202, { batch: "batch-1", accepted: COUNT, refused: [] }]);
    expect(await service.kept()).toEqual([COUNT]);
    // A repetition is known however it was cut.
    expect((await service.deliver(delivery)).status).toBe(202);
    expect(await service.kept()).toEqual([COUNT]);
  });
});

const LARGE = ndjson(3000); // three chunks: two are on the disk when the fault is found
const utf16 = Buffer.from(ndjson(2), "utf16le");
const REFUSED: [string, Delivery, number, RegExp][] = [
  ["GBK", { body: Buffer.concat([Buffer.from(`${LARGE}\n{"laboratory":"`), Buffer.of(0xca, 0xb5, 0xd1, 0xe9), Buffer.from('"}')]) }, 400, /UTF-8.*GBK/],
  ["UTF-16", { body: Buffer.concat([Buffer.of(0xff, 0xfe), utf16]) }, 400, /UTF-8/],
  ["a character cut off at the end", { body: Buffer.from(`${LARGE}\n"实`).subarray(0, -1) }, 400, /UTF-8/],
  ["a gzip that was cut off", { body: gzipSync(LARGE).subarray(0, -9), contentEncoding: "gzip" }, 400, /cut off/],
  ["a zstd that was cut off", { body: zstdCompressSync(LARGE).subarray(0, -3), contentEncoding: "zstd" }, 400, /cut off/],
  ["a gzip that is none", { body: LARGE, contentEncoding: "gzip" }, 400, /no gzip/],
  ["a coding that isn't taken", { body: LARGE, contentEncoding: "br" }, 415, /gzip or zstd/],
  ["MessagePack that was cut off", { body: pack(rows(3000)).subarray(0, -5), contentType: "application/msgpack" }, 400, /cut off/],
  ["MessagePack with something behind its array", { body: Buffer.concat([pack(rows(3000)), pack(row(1))]), contentType: "application/msgpack" }, 400, /follows the array/],
  ["a line without end", { body: `${LARGE}\n${"x".repeat(2 ** 20 + 1)}` }, 413, /line 3001/],
  ["another body than was signed", { body: LARGE, signedBody: "x" }, 401, /Content-Digest/],
  ["CSV without a header", { body: csvLine(1), contentType: "text/csv" }, 400, /name the columns/],
  ["CSV with a column twice", { body: `${CSV_HEADER},county\n`, contentType: "text/csv" }, 400, /county stands in it twice/],
  ["CSV with a column that is an object and has fields", { body: "document,document.number\n", contentType: "text/csv" }, 400, /can't both/],
  ["FHIR without a patient", { body: JSON.stringify({ resourceType: "Bundle", entry: [{ resource: { resourceType: "Observation", id: "o", status: "final", code: { coding: [{ code: "94500-6" }] }, valueString: "Detected" } }] }), contentType: "application/fhir+json" }, 422, /nothing was kept/],
  ["a result without a time", { body: JSON.stringify({ ...row(1), issuedAt: undefined }) }, 422, /nothing was kept/],
  ["a clock a day ahead", { body: JSON.stringify({ ...row(1), issuedAt: "2022-06-10T07:30:00+08:00" }) }, 422, /nothing was kept/],
];

describe("refused, and nothing of it is kept:", () => {
  test.each(REFUSED)("%s", async (_, delivery, status, detail) => {
    const service = startService();
    const response = await service.deliver(delivery);
    const problem = (await response.json()) as { status: number; detail: string };
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect([response.status, problem.status, problem.detail]).toEqual([status, status, expect.stringMatching(detail)]);
    if (status === 415) expect(response.headers.get("accept-encoding")).toBe("gzip, zstd");
    expect(JSON.stringify(problem)).not.toContain(residentId(1));
    expect(await service.kept()).toEqual([]);
    expect((await service.deliver({ body: LARGE })).status).toBe(202);
    expect(await service.kept()).toEqual([3000]);
  });
  test.each<[string, Delivery]>([
    ["as sent", { body: LARGE, chunked: true }],
    ["when it is unpacked", { body: gzipSync(LARGE), contentEncoding: "gzip" }],
    ["in chunks of a risk list", { feed: "risk-areas", contentType: "application/json", body: LARGE, chunked: true }],
  ])("a stream over the limit, %s", async (_, delivery) => {
    const service = startService(400_000);
    expect(LARGE.length).toBeGreaterThan(400_000);
    const response = await service.deliver(delivery);
    expect([response.status, ((await response.json()) as { detail: string }).detail]).toEqual([413, expect.stringContaining("400000 bytes")]);
    expect(await service.kept()).toEqual([]);
  });
});

test("CSV of thousands of rows with faulty ones between: each fault is told by line and field, the others are kept", async () => {
  const service = startService();
  const faults: Record<number, string> = { 100: csvLine(100, { 5: "maybe" }), 200: csvLine(200, { 6: '"a "b" c"' }), 300: `${csvLine(300)},x`, 400: "test-400,resident-id", 500: csvLine(500, { 2: "12345" }), 600: csvLine(600, { 8: "yes" }) };
  const lines = rows(4000).map((_, i) => faults[i + 2] ?? csvLine(i + 1));
  const response = await service.deliver({ body: [CSV_HEADER, ...lines, ""].join("\r\n"), contentType: "text/csv", chunked: true });
  const { accepted, refused } = (await response.json()) as { accepted: number; refused: { line: number; field: string; reason: string }[] };
  expect([accepted, refused.map(({ line, field }) => `${line} ${field}`)]).toEqual([3994, ["100 result", "200 row", "300 uploaded", "400 document.number", "500 document.number", "600 uploaded"]]);
  expect(await service.kept()).toEqual([3994]);
});

test("lists and objects in columns", async () => {
  const service = startService();
  const body = ["documents.0.type,documents.0.number,documents.1.type,documents.1.number,documents.1.issuer,phones.0,phones.1", `resident-id,${residentId(1)},passport,12AB34567,FRA,${phone(1)},`, `resident-id,${residentId(2)},,,,,${phone(2)}`].join("\n");
  expect(await (await service.deliver({ feed: "holders", body, contentType: "text/csv" })).json()).toEqual({ batch: "batch-1", accepted: 2, refused: [] });
});

/** Sends a body that is made while it is sent, as fast as the server takes it. @returns the answer's head and body. */
async function stream(port: number, headers: Record<string, string>, pieces: () => Iterable<Uint8Array>, bytes: number): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1" });
  let answer = "";
  socket.on("data", (part: Buffer) => (answer += part.toString("latin1")));
  const closed = new Promise((resolve) => socket.once("close", resolve));
  const head = Object.entries({ ...headers, Host: "x", "Content-Length": String(bytes), Connection: "close" }).map(([name, value]) => `${name}: ${value}`);
  socket.write(`POST /v1/feeds/tests/batches HTTP/1.1\r\n${head.join("\r\n")}\r\n\r\n`);
  for (const piece of pieces()) {
    if (!socket.write(piece)) await new Promise((resolve) => socket.once("drain", resolve));
  }
  await closed;
  return answer;
}

test("200 MB go through in bounded memory, also of a process that has just started", async () => {
  const folder = temporaryFolder();
  const order: IngestOrder = { folders: { inbox: join(folder, "inbox"), evidence: join(folder, "evidence") }, registry, documentSecret: DOCUMENT_SECRET.toString("hex"), now: NOW };
  const host = Bun.spawn([process.execPath, fileURLToPath(new URL("../../test/ingestHost.ts", import.meta.url)), JSON.stringify(order)], { stdout: "pipe", stderr: "inherit" });
  stops.push(async () => {
    host.kill("SIGTERM");
    await host.exited;
  });
  const port = Number(new TextDecoder().decode((await host.stdout.getReader().read()).value));
  const [BYTES, LINE_BYTES] = [200_000_000, 20_000];
  // Blanks around a row are no part of it.
  const lineOf = (n: number): Buffer => Buffer.from(`${JSON.stringify({ ...row(n), laboratory: "Laboratory A" }).padEnd(LINE_BYTES - 1)}\n`);
  function* pieces(): Generator<Uint8Array> {
    for (let n = 1; n <= BYTES / LINE_BYTES; n++) yield lineOf(n);
  }
  const sha256 = createHash("sha256");
  for (const piece of pieces()) sha256.update(piece);
  const headers = await signRequest({ method: "POST", path: "/v1/feeds/tests/batches", batchId: "large", sha256: sha256.digest(), contentType: "application/x-ndjson" }, signerOf("source-a"), clockAt(NOW));
  const answer = await stream(port, headers, pieces, BYTES);
  expect(answer).toContain('"accepted":10000');
  // The most that it ever had, its own 80 MB among it; the body alone is 200.
  const mostMb = Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${host.pid}/status`, "utf8"))![1]) / 1000;
  expect(mostMb).toBeLessThan(300);
});

test("a connection that ends in the middle leaves nothing, and the batch id free", async () => {
  const service = startService();
  const headers = await signRequest({ method: "POST", path: "/v1/feeds/tests/batches", batchId: "batch-1", body: Buffer.from(LARGE), contentType: "application/x-ndjson" }, signerOf("source-a"), service.clock);
  const socket = connect({ port: service.port, host: "127.0.0.1" });
  const head = Object.entries({ ...headers, Host: "x", "Content-Length": String(Buffer.byteLength(LARGE)) }).map(([name, value]) => `${name}: ${value}`);
  await new Promise<void>((resolve) => socket.write(`POST /v1/feeds/tests/batches HTTP/1.1\r\n${head.join("\r\n")}\r\n\r\n${LARGE.slice(0, LARGE.length / 2)}`, () => resolve()));
  socket.destroy();
  const response = await service.deliver({ body: LARGE });
  expect(response.status).toBe(202);
  await eventually(async () => service.kept().then((rows) => rows.length === 1 && rows[0] === 3000, () => false)); // the other one may be on its way out yet
});
