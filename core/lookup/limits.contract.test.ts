// The limits of the gates' server as a process on each front: who is refused and how, who is not, and when it is over. The limits' clock stands still.

import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DOCUMENT_SECRET, document, NOW, residentId } from "../../test/ingestSupport.ts";
import type { LookupOrder } from "../../test/frontHost.ts";
import { onEachFront } from "../../test/fronts.ts";
import { rawConnection, requestText, upgradeText } from "../../test/rawHttp.ts";
import { clockAt, temporaryFolder } from "../../test/support.ts";
import { createKeyPair, createSessions, signSessionRequest, type Registry } from "../access/index.ts";
import { formatInstant } from "../domain/index.ts";
import { openEntryWriter } from "../entry/index.ts";
import { ANSWER_RECORD_BYTES, QUESTION_BYTES } from "./records.ts";

const SESSION_SECRET = Buffer.alloc(32, 5);
const BURST = 1024;
const [SLOW_PER_SECOND, ELAPSED] = [10, 50_000];
const [slowKey, deskKey] = [createKeyPair(), createKeyPair()];
const registry: Registry = {
  devices: [
    { name: "gate-1", class: "gate", venue: "venue", publicKey: createKeyPair().publicKey },
    { name: "slow-1", class: "gate", venue: "venue", publicKey: slowKey.publicKey, scansPerSecond: SLOW_PER_SECOND },
    { name: "desk-1", class: "staff", venue: "venue", publicKey: deskKey.publicKey },
  ],
  sources: [],
};
const FAILURES = 1000;
const SET_UPS = 2000;

let nonces = 0;
const sessionRequest = (device: string, { privateKeyPem }: { privateKeyPem: string }): string =>
  JSON.stringify(signSessionRequest({ device, issuedAt: formatInstant(NOW), nonce: `nonce-${nonces++}-0000` }, privateKeyPem));
/** A session as another process would have opened it. */
const tokenOf = (device: string, key: { privateKeyPem: string }): string => {
  const opened = createSessions(registry, SESSION_SECRET, clockAt(NOW)).open(JSON.parse(sessionRequest(device, key)) as never);
  if (typeof opened === "string") throw new Error(opened);
  return opened.token;
};

onEachFront("the limits of lookup", (host, server) => {
  let port: number;
  const [slow, desk] = [tokenOf("slow-1", slowKey), tokenOf("desk-1", deskKey)];
  const setElapsed = (ms: number): Promise<object> => host.order({ elapsed: ELAPSED + ms });
  beforeEach(async () => {
    const folder = join(temporaryFolder(), "entries");
    await openEntryWriter(folder).close();
    const lookup: LookupOrder = { server, port: 0, entriesFolder: folder, registry, documentSecret: DOCUMENT_SECRET.toString("hex"), sessionSecret: SESSION_SECRET.toString("hex"), now: NOW };
    ({ port } = await host.order<{ port: number }>({ lookup }));
    await setElapsed(0);
  });
  afterEach(() => host.order({ stop: true }));

  const url = (path: string): string => `http://127.0.0.1:${port}${path}`;
  const SCAN = JSON.stringify({ document: document(1) });
  const post = (path: string, token: string, body: string | Uint8Array<ArrayBuffer> = SCAN, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(url(path), { method: "POST", headers: { Authorization: `Bearer ${token}`, ...headers }, body });
  const records = (count: number): Buffer<ArrayBuffer> => {
    const bytes = Buffer.alloc(count * QUESTION_BYTES);
    for (let i = 0; i < count; i++) {
      bytes[i * QUESTION_BYTES + 5] = 18;
      bytes.write(residentId(i % 20), i * QUESTION_BYTES + 6, "latin1");
    }
    return bytes;
  };
  const batch = (token: string, count: number): Promise<Response> => post("/v1/scans", token, records(count), { "Content-Type": "application/octet-stream" });
  /** Seconds that a refused one is told to wait. */
  const retryS = async (response: Response, title = "Too many scans"): Promise<number> => {
    expect([response.status, response.headers.get("content-type")]).toEqual([429, "application/problem+json"]);
    expect(await response.json()).toEqual({ type: "about:blank", title, status: 429, detail: expect.stringContaining("Retry-After") as string });
    expect(response.headers.get("retry-after")).toMatch(/^[1-9]\d*$/);
    return Number(response.headers.get("retry-after"));
  };
  const metric = async (name: string): Promise<number> => {
    const text = await (await fetch(url("/metrics"))).text();
    return Number(text.split("\n").find((line) => line.startsWith(`${name} `))!.slice(name.length + 1));
  };
  /** Takes all that a device may send at once. */
  const useUp = async (token: string): Promise<void> => {
    expect((await batch(token, 1000)).status).toBe(200);
    expect((await batch(token, BURST - 1000)).status).toBe(200);
  };

  describe("a device over its limit", () => {
    test("is refused one scan, told when, and let through then; another device is none the wiser", async () => {
      await useUp(slow);
      const wait = await retryS(await post("/v1/scan", slow));
      expect((await post("/v1/scan", desk)).status).toBe(200);
      await setElapsed(1000 / SLOW_PER_SECOND - 1);
      await retryS(await post("/v1/scan", slow));
      await setElapsed(1000 / SLOW_PER_SECOND);
      expect((await post("/v1/scan", slow)).status).toBe(200);
      await retryS(await post("/v1/scan", slow));
      await setElapsed(wait * 1000);
      expect((await post("/v1/scan", slow)).status).toBe(200);
    });
    test("is refused whatever the form: a code in the header, a code to be made, a batch of one, a body that is none", async () => {
      await useUp(desk);
      for (const response of [
        await fetch(url("/v1/scan"), { method: "POST", headers: { Authorization: `Bearer ${desk}`, "X-Code": "x" } }),
        await post("/v1/codes", desk),
        await batch(desk, 1),
        await post("/v1/scan", desk, "{"),
      ])
        await retryS(response);
    });
    test("what is at fault costs one too, and a code that is made", async () => {
      expect((await batch(desk, 1000)).status).toBe(200);
      for (let i = 0; i < 8; i++) {
        expect((await post("/v1/scan", desk, "{")).status).toBe(400);
        expect((await post("/v1/scans", desk, "{")).status).toBe(422);
        expect((await post("/v1/codes", desk)).status).toBe(200);
      }
      await retryS(await post("/v1/scan", desk));
    });
    test("is refused a batch as a whole, which is counted and not looked up; what is left is for smaller ones", async () => {
      expect((await batch(slow, 1000)).status).toBe(200);
      const wait = await retryS(await batch(slow, 500));
      expect(await metric('fangxing_scans_total{outcome="limited"}')).toBe(500);
      expect(await metric('fangxing_scans_total{outcome="no-policy"}')).toBe(1000);
      // 1,001 are taken: 500 need 477 more to be paid back.
      expect([47.7 <= wait, wait <= 49]).toEqual([true, true]);
      expect((await batch(slow, 23)).status).toBe(200);
      await retryS(await batch(slow, 1));
      await setElapsed((wait + 3) * 1000);
      expect((await batch(slow, 500)).status).toBe(200);
    });
    test("a batch in JSON costs as many as it holds", async () => {
      const json = (count: number): Promise<Response> => post("/v1/scans", slow, JSON.stringify({ scans: Array.from({ length: count }, () => ({ document: document(1) })) }));
      expect((await json(1000)).status).toBe(200);
      await retryS(await json(25));
      expect((await json(23)).status).toBe(200);
    });

    test("is not forgiven what it took while a batch was on its way", async () => {
      const connection = await rawConnection(port);
      const head = { Authorization: `Bearer ${slow}`, "Content-Type": "application/octet-stream", "Content-Length": String(1000 * QUESTION_BYTES) };
      connection.write(requestText("GET", "/healthz") + requestText("POST", "/v1/scans", "", head));
      await connection.until((r) => r.endsWith("ok\n"));
      await setElapsed(100_000);
      await useUp(slow);
      connection.write(records(1000));
      await connection.until((r) => r.includes("HTTP/1.1 429 "));
      connection.socket.destroy();
      await retryS(await post("/v1/scan", slow));
    });

    const connect = async (token: string): Promise<WebSocket> => {
      const socket = new WebSocket(url("/v1/stream").replace("http", "ws"), { headers: { Authorization: `Bearer ${token}` } });
      socket.binaryType = "arraybuffer";
      await new Promise((resolve) => (socket.onopen = resolve));
      return socket;
    };
    const frame = (sequence: number, count: number): Buffer => {
      const head = Buffer.alloc(6);
      head.writeUInt32LE(sequence, 0);
      head.writeUInt16LE(count, 4);
      return Buffer.concat([head, records(count)]);
    };
    test("is answered frames in their order: those over the limit say so in each record, with the seconds, and the stream goes on", async () => {
      const socket = await connect(slow);
      const answers: Buffer[] = [];
      const heard = (count: number): Promise<void> => expect.poll(() => answers.length).toBe(count);
      socket.onmessage = ({ data }) => void answers.push(Buffer.from(data as ArrayBuffer));
      const counts = [1000, 500, 20, 1024, 4, 1];
      counts.forEach((count, i) => socket.send(frame(70 + i, count)));
      await heard(counts.length);
      expect(answers.map((answer) => [answer.readUInt32LE(0), answer.readUInt16LE(4), answer.length])).toEqual(counts.map((count, i) => [70 + i, count, 6 + count * ANSWER_RECORD_BYTES]));
      const results = answers.map((answer) => new Set(Array.from({ length: answer.readUInt16LE(4) }, (_, i) => answer[6 + i * ANSWER_RECORD_BYTES])));
      expect(results).toEqual([[1], [254], [1], [254], [1], [254]].map((all) => new Set(all)));
      const waits = [1, 3, 5].map((i) => answers[i]!.readUInt16LE(6 + 6));
      for (const [i, least] of [48, 102, 1].entries()) expect([waits[i]! >= least, waits[i]! <= least + 2]).toEqual([true, true]);
      for (const record of [answers[1]!.subarray(6, 22), answers[1]!.subarray(-16)]) expect(record.toString("hex")).toBe(`fe000000ffff${Buffer.of(waits[0]!, 0).toString("hex")}0000000000000000`);
      // Four more than when that was told.
      await setElapsed((waits[1]! + 1) * 1000);
      socket.send(frame(80, 1024));
      await heard(counts.length + 1);
      expect([answers.at(-1)!.readUInt32LE(0), answers.at(-1)![6]]).toEqual([80, 1]);
      expect(await metric('fangxing_scans_total{outcome="limited"}')).toBe(500 + 1024 + 1);
      expect(await metric('fangxing_limited_total{by="device"}')).toBe(3);
      socket.close();
    });
  });

  describe("an address", () => {
    /** Sends requests at once on one connection from an address of this machine. @returns the answers, heads and bodies. */
    const from = async (address: string, requests: readonly string[]): Promise<string[]> => {
      const connection = await rawConnection(port, { from: address });
      connection.write(requests.join(""));
      const split = (received: string): string[] => received.split(/(?=HTTP\/1\.1 )/);
      const last = (received: string): string => split(received).at(-1)!;
      const received = await connection.until((r) => split(r).length === requests.length && /\r\n\r\n[^]*\n$|^HTTP\/1\.1 (101|200) [^]*\r\n\r\n/.test(last(r)));
      connection.socket.destroy();
      return split(received);
    };
    const statuses = (answers: readonly string[]): number[] => answers.map((answer) => Number(answer.slice(9, 12)));
    const scanOf = (token: string): string => requestText("POST", "/v1/scan", SCAN, { Authorization: `Bearer ${token}` });
    const openOf = (body: string): string => requestText("POST", "/v1/sessions", body);
    const times = (count: number, request: string): string[] => Array.from({ length: count }, () => request);
    /** A set-up that is none, and no failure either: its length isn't said. */
    const CHUNKED = "POST /v1/sessions HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    const refused = (answer: string, title: string): void => {
      expect(answer).toMatch(/^HTTP\/1\.1 429 [^]*\r\nretry-after: [1-9]\d*\r\n/i);
      expect(answer).toMatch(/\r\ncontent-type: application\/problem\+json\r\n/i);
      expect(JSON.parse(answer.slice(answer.indexOf("\r\n\r\n")))).toMatchObject({ title, status: 429 });
    };

    test("that sends no good session is told so, and over its limit to wait; others are not, nor its own good sessions and new ones", async () => {
      const failing = await from("127.0.0.2", times(FAILURES, scanOf("none")));
      expect(new Set(statuses(failing))).toEqual(new Set([401]));
      for (const request of [scanOf("none"), requestText("POST", "/v1/scan"), requestText("POST", "/v1/scans", "{}"), requestText("POST", "/v1/codes", "{}"), upgradeText("/v1/stream"), openOf("{}"), openOf(sessionRequest("gate-1", slowKey))])
        refused((await from("127.0.0.2", [request]))[0]!, "Too many failures");
      expect(statuses(await from("127.0.0.3", [scanOf("none")]))).toEqual([401]);
      expect(statuses(await from("127.0.0.2", [scanOf(slow), openOf(sessionRequest("slow-1", slowKey)), scanOf(slow)]))).toEqual([200, 200, 200]);
      await setElapsed(50);
      expect(statuses(await from("127.0.0.2", [scanOf("none"), scanOf("none")]))).toEqual([401, 429]);
      expect(await metric('fangxing_limited_total{by="address-failures"}')).toBe(8);
      expect(await metric('fangxing_limited_total{by="device"}')).toBe(0);
    });
    test("that opens too many sessions and streams is told to wait; others are not, nor its scans", async () => {
      expect(new Set(statuses(await from("127.0.0.2", times(SET_UPS - 2, CHUNKED))))).toEqual(new Set([411]));
      const stream = upgradeText("/v1/stream", { Authorization: `Bearer ${slow}` });
      expect(statuses(await from("127.0.0.2", [openOf(sessionRequest("slow-1", slowKey))]))).toEqual([200]);
      expect(statuses(await from("127.0.0.2", [stream]))).toEqual([101]);
      for (const request of [openOf(sessionRequest("slow-1", slowKey)), stream]) refused((await from("127.0.0.2", [request]))[0]!, "Too many at once");
      expect(statuses(await from("127.0.0.2", [scanOf(slow)]))).toEqual([200]);
      expect(statuses(await from("127.0.0.3", [openOf(sessionRequest("slow-1", slowKey))]))).toEqual([200]);
      await setElapsed(10);
      expect(statuses(await from("127.0.0.2", [openOf(sessionRequest("slow-1", slowKey)), CHUNKED]))).toEqual([200, 429]);
      expect(await metric('fangxing_limited_total{by="address-set-ups"}')).toBe(3);
      expect(await metric("fangxing_limit_evictions_total")).toBe(0);
    });
  });
});
