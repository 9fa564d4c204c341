// The gates' server as a process on each front, over real HTTP and a real store: sessions, scans in every form, streams, health and metrics.

import { join } from "node:path";
import { pack, unpack } from "msgpackr";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DOCUMENT_SECRET, document, eventually, keyOfDocument, NOW, recordWith, residentId, streamOf } from "../../test/ingestSupport.ts";
import type { LookupOrder } from "../../test/frontHost.ts";
import { onEachFront } from "../../test/fronts.ts";
import { clockAt, temporaryFolder } from "../../test/support.ts";
import { createKeyPair, createSessions, signSessionRequest, type Registry, type SessionRequest } from "../access/index.ts";
import { formatInstant, RESTRICTING, type Flag, type VenueRule } from "../domain/index.ts";
import { openEntryWriter, type EntryWriter } from "../entry/index.ts";
import { ANSWER_BYTES } from "./answer.ts";
import { ANSWER_RECORD_BYTES, QUESTION_BYTES } from "./records.ts";

const SESSION_SECRET = Buffer.alloc(32, 5);
const LIFETIME_S = 8 * 3600;
const [gateKey, otherKey, staffKey] = [createKeyPair(), createKeyPair(), createKeyPair()];
const registry: Registry = {
  devices: [
    { name: "gate-1", class: "gate", venue: "venue", publicKey: gateKey.publicKey },
    { name: "kiosk-1", class: "kiosk", venue: "venue", publicKey: otherKey.publicKey },
    { name: "desk-1", class: "staff", venue: "venue", publicKey: staffKey.publicKey },
  ],
  sources: [],
};
const venueRule: VenueRule = { venue: "venue", stops: RESTRICTING, testHours: null, commuterHours: null, testIf: null, acceptsReceipt: false, from: NOW - 100 * 86_400, until: NOW + 100 * 86_400 };

onEachFront("lookup", (host, server) => {
  let clock: ReturnType<typeof clockAt>;
  let folder: string;
  let writer: EntryWriter;
  let port: number;
  const start = (over: Partial<LookupOrder> = {}): Promise<{ port: number }> => {
    const lookup: LookupOrder = { server, port: 0, entriesFolder: folder, registry, documentSecret: DOCUMENT_SECRET.toString("hex"), sessionSecret: SESSION_SECRET.toString("hex"), now: clock.seconds, ...over };
    return host.order({ lookup });
  };
  const setClock = async (seconds: number): Promise<void> => {
    clock.seconds = seconds;
    await host.order({ now: seconds });
  };
  beforeEach(async () => {
    clock = clockAt(NOW);
    folder = join(temporaryFolder(), "entries");
    writer = openEntryWriter(folder);
    writer.putVenueRules([venueRule]);
    ({ port } = await start());
  });
  afterEach(async () => {
    await host.order({ stop: true });
    await writer.close();
  });

  const url = (path: string): string => `http://127.0.0.1:${port}${path}`;

  interface ProblemBody {
    readonly status: number;
    readonly detail: string;
    readonly errors?: { line: number; field: string; reason: string }[];
  }
  /** The problem that a response is. Everything that is refused must be one, in full. */
  async function problem(response: Response): Promise<ProblemBody> {
    const body = (await response.json()) as ProblemBody;
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect(body).toMatchObject({ type: "about:blank", status: response.status, title: expect.any(String) as string });
    expect(body.detail.length).toBeGreaterThan(10);
    return body;
  }

  // --- Sessions ---

  let nonces = 0;
  const sessionRequest = (over: Partial<SessionRequest> = {}, key = gateKey): SessionRequest =>
    signSessionRequest({ device: "gate-1", issuedAt: formatInstant(clock.seconds), nonce: `nonce-${nonces++}-0000`, ...over }, key.privateKeyPem);
  const open = (body: unknown): Promise<Response> => fetch(url("/v1/sessions"), { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) });
  const session = async (): Promise<string> => ((await (await open(sessionRequest())).json()) as { session: string }).session;

  describe("opening a session", () => {
    test("gives a token and its end, which nobody is to keep", async () => {
      const response = await open(sessionRequest());
      expect(response.status).toBe(200);
      expect(response.headers.get("cache-control")).toBe("no-store");
      expect(await response.json()).toEqual({ session: expect.stringMatching(/^gate-1\./) as string, expiresAt: formatInstant(NOW + LIFETIME_S) });
    });
    test.each<[string, () => unknown]>([
      ["no JSON", () => "{"],
      ["nothing", () => ""],
      ["null", () => null],
      ["a list", () => [sessionRequest()]],
      ["a text", () => "\"gate-1\""],
      ["a field missing", () => ({ ...sessionRequest(), signature: undefined })],
      ["a field that is no text", () => ({ ...sessionRequest(), device: 1 })],
      ["a field too many", () => ({ ...sessionRequest(), class: "staff" })],
      ["a nonce of 7 characters", () => sessionRequest({ nonce: "1234567" })],
      ["a nonce of 65 characters", () => sessionRequest({ nonce: "n".repeat(65) })],
      ["a nonce with a line end", () => sessionRequest({ nonce: "1234\n5678" })],
      ["a device's name of 513 characters", () => sessionRequest({ device: "d".repeat(513) })],
    ])("is refused with 400: %s", async (_, body) => {
      expect((await problem(await open(body()))).status).toBe(400);
    });
    test.each<[string, () => SessionRequest, RegExp]>([
      ["an unknown device", () => sessionRequest({ device: "gate-9" }), /not known, or the signature/],
      ["another device's key", () => sessionRequest({}, otherKey), /not known, or the signature/],
      ["another nonce than was signed", () => ({ ...sessionRequest(), nonce: "another-nonce" }), /not known, or the signature/],
      ["another time than was signed", () => ({ ...sessionRequest(), issuedAt: formatInstant(NOW + 1) }), /not known, or the signature/],
      ["a signature that is none", () => ({ ...sessionRequest(), signature: "hello" }), /not known, or the signature/],
      ["a clock 301 s behind", () => sessionRequest({ issuedAt: formatInstant(NOW - 301) }), /300 s.*2022-06-09T07:30:00\+08:00/],
      ["a clock 301 s ahead", () => sessionRequest({ issuedAt: formatInstant(NOW + 301) }), /300 s/],
      ["a time that is none", () => sessionRequest({ issuedAt: "now" }), /300 s/],
    ])("is refused with 401: %s", async (_, request, detail) => {
      const body = await problem(await open(request()));
      expect(body.status).toBe(401);
      expect(body.detail).toMatch(detail);
    });
    test("an unknown device and a wrong signature can't be told apart", async () => {
      const [unknown, wrong] = [await open(sessionRequest({ device: "gate-9" })), await open(sessionRequest({}, otherKey))];
      expect(await unknown.text()).toBe(await wrong.text());
    });
    test("with a clock 300 s off is fine", async () => {
      for (const off of [300, -300]) expect((await open(sessionRequest({ issuedAt: formatInstant(NOW + off) }))).status).toBe(200);
    });
    test("is refused with 413: a body of 4097 bytes; with 411: one in chunks", async () => {
      const body = JSON.stringify(sessionRequest());
      expect((await problem(await open(body.padEnd(4097)))).status).toBe(413);
      const chunked = await fetch(url("/v1/sessions"), { method: "POST", body: streamOf(new TextEncoder().encode(body)) });
      expect((await problem(chunked)).status).toBe(411);
      expect((await open(body)).status).toBe(200);
    });
    test("a second time with the same request is refused, with a new nonce it is fine", async () => {
      const request = sessionRequest();
      expect((await open(request)).status).toBe(200);
      const body = await problem(await open(request));
      expect([body.status, body.detail]).toEqual([401, expect.stringContaining("nonce") as string]);
      expect((await open(sessionRequest())).status).toBe(200);
    });
  });

  // --- Scans ---

  const scanWith = (token: string | null, body: string | ReadableStream<Uint8Array>): Promise<Response> =>
    fetch(url("/v1/scan"), { method: "POST", headers: { ...(token === null ? {} : { Authorization: `Bearer ${token}` }), "Content-Type": "application/json" }, body });
  const scan = async (n: number, token?: string): Promise<Response> => scanWith(token ?? (await session()), JSON.stringify({ document: document(n) }));
  const answer = async (response: Response): Promise<Record<string, unknown>> => {
    expect(response.status).toBe(200);
    return (await response.json()) as Record<string, unknown>;
  };
  /** Puts an entry and waits until the server's own reader sees it. */
  async function put(n: number, flags: readonly Flag[]): Promise<void> {
    const token = await session();
    writer.put(keyOfDocument(n), recordWith(flags));
    const popups = flags.filter((f) => f.startsWith("popup-")).map((f) => Number(f.slice(-1)));
    await eventually(async () => {
      const told = await answer(await scan(n, token));
      return told["unconfirmed"] === flags.includes("unconfirmed") && JSON.stringify(told["popups"]) === JSON.stringify(popups);
    });
  }

  describe("a scan", () => {
    test("of a holder whom nothing restricts: pass", async () => {
      await put(1, []);
      expect(await answer(await scan(1))).toEqual({
        ...{ pass: true, reason: null, status: "clear", popups: [], unconfirmed: false, commuter: false, testAgeDays: null },
        ...{ document: "11**************" + residentId(1).slice(-2), validUntil: "2022-06-10T00:00:00+08:00", serverTime: "2022-06-09T07:30:00.000+08:00" },
      });
    });
    test("of a holder with a pop-up: stop", async () => {
      await put(1, ["popup-4"]);
      expect(await answer(await scan(1))).toMatchObject({ pass: false, reason: "popup", popups: [4], status: null });
    });
    test("follows what the worker writes meanwhile", async () => {
      await put(1, ["popup-4"]);
      await put(1, []);
      await put(1, ["popup-1"]);
    });
    test("outside every policy: no-policy", async () => {
      await setClock(venueRule.until);
      expect(await answer(await scan(1))).toMatchObject({ pass: false, reason: "no-policy" });
    });
    test("with the largest body, filled up with blanks, is answered", async () => {
      expect((await scanWith(await session(), JSON.stringify({ document: document(1) }).padEnd(4096))).status).toBe(200);
    });
    test("beside many others, each gets its own answer", async () => {
      const flags: Flag[][] = [[], ["popup-1"], ["popup-2", "popup-3"], ["unconfirmed"]];
      for (const [n, f] of flags.entries()) await put(n, f);
      const token = await session();
      const asked = Array.from({ length: 200 }, (_, i) => i % flags.length);
      const answers = await Promise.all(asked.map(async (n) => answer(await scan(n, token))));
      const wanted = [[], [1], [2, 3], []];
      expect(answers.map((a) => [a["popups"], a["document"]])).toEqual(asked.map((n) => [wanted[n], "11**************" + residentId(n).slice(-2)]));
    });
    test("of a known and of an unknown holder: the same headers and the same length", async () => {
      await put(1, []);
      await put(2, ["unconfirmed"]);
      const token = await session();
      const looks: [object, number][] = [];
      for (const n of [1, 2, 99]) {
        const response = await scan(n, token);
        const headers = Object.fromEntries([...response.headers].filter(([name]) => name !== "date"));
        looks.push([headers, (await response.arrayBuffer()).byteLength]);
      }
      expect(looks[0]).toEqual(looks[2]);
      expect(looks[1]).toEqual(looks[2]);
      expect(looks[0]).toEqual([expect.objectContaining({ "content-type": "application/json", "cache-control": "no-store", "content-length": String(ANSWER_BYTES) }), ANSWER_BYTES]);
    });
  });

  describe("a scan without a session is refused with 401", () => {
    const refused = async (token: string | null): Promise<void> => {
      const body = await problem(await scanWith(token, JSON.stringify({ document: document(1) })));
      expect(body.status).toBe(401);
      expect(body.detail).toContain("POST /v1/sessions");
    };
    test("no header", () => refused(null));
    test("an empty token", () => refused(""));
    test("a token that is none", () => refused("hello"));
    test("a token with another device's name", async () => refused((await session()).replace("gate-1", "kiosk-1")));
    test("a token with a later end", async () => refused((await session()).replace(/\.(\w+)~/, (_, end: string) => `.${(parseInt(end, 36) + 1).toString(36)}~`)));
    test("a token of another secret", async () => {
      const opened = createSessions(registry, new Uint8Array(32).fill(6), clock).open(sessionRequest());
      await refused((opened as { token: string }).token);
    });
    test("a session that has ended; a second earlier it has not", async () => {
      const token = await session();
      await setClock(clock.seconds + LIFETIME_S - 1);
      expect((await scan(1, token)).status).toBe(200);
      await setClock(clock.seconds + 1);
      await refused(token);
    });
    test("another scheme", async () => {
      const response = await fetch(url("/v1/scan"), { method: "POST", headers: { Authorization: `Basic ${await session()}` }, body: "{}" });
      expect((await problem(response)).status).toBe(401);
    });
    test("a session of another process with the same secret is none of these", async () => {
      const opened = createSessions(registry, SESSION_SECRET, clock).open(sessionRequest());
      expect((await scan(1, (opened as { token: string }).token)).status).toBe(200);
    });
  });

  describe("a scan is refused", () => {
    test.each(["", "{", "hello", '{"document":', "{'a': 1}"])("with 400 when its body is no JSON: %s", async (body) => {
      expect((await problem(await scanWith(await session(), body))).status).toBe(400);
    });
    test.each<[string, unknown, string]>([
      ["null", null, "body"],
      ["a list", [], "body"],
      ["no document", {}, "document"],
      ["a wrong check digit", { document: { type: "resident-id", number: `${residentId(1).slice(0, 17)}${residentId(1).endsWith("0") ? "1" : "0"}` } }, "document.number"],
      ["a field too many", { document: document(1), name: "x" }, "name"],
      ["the number as a field's name", { [residentId(1)]: 1 }, "(a name that is not repeated here)"],
      ["a fever thermometer in Fahrenheit", { document: document(1), temperatureC: 98.6 }, "temperatureC"],
    ])("with 422 and its field: %s", async (_, body, field) => {
      const { status, detail, errors } = await problem(await scanWith(await session(), JSON.stringify(body)));
      expect(status).toBe(422);
      expect(errors).toEqual([{ line: 1, field, reason: expect.any(String) as string }]);
      expect(detail).toContain(field);
      expect(JSON.stringify([detail, errors])).not.toContain(residentId(1).slice(0, 17));
    });
    test("with 413 when its body has 4097 bytes", async () => {
      const body = await problem(await scanWith(await session(), JSON.stringify({ document: document(1) }).padEnd(4097)));
      expect([body.status, body.detail]).toEqual([413, expect.stringContaining("4096") as string]);
    });
    test.each([10, 4097, 100_000])("with 411 when its body of %i bytes comes in chunks: it doesn't say its length", async (bytes) => {
      const body = new TextEncoder().encode(JSON.stringify({ document: document(1) }).padEnd(bytes));
      const { status, detail } = await problem(await scanWith(await session(), streamOf(body)));
      expect([status, detail]).toEqual([411, expect.stringContaining("Content-Length") as string]);
    });
    test("and the next one is answered", async () => {
      const token = await session();
      for (const body of ["{", "{}", " ".repeat(5000)]) {
        expect((await scanWith(token, body)).ok).toBe(false);
        expect((await scan(1, token)).status).toBe(200);
      }
    });
  });

  test.each([
    ["GET", "/v1/scan", 405, "POST"],
    ["PUT", "/v1/scan", 405, "POST"],
    ["GET", "/v1/sessions", 405, "POST"],
    ["DELETE", "/v1/sessions", 405, "POST"],
    ["GET", "/", 404, null],
    ["GET", "/v1/scans", 405, "POST"],
    ["GET", "/v1/codes", 405, "POST"],
    ["POST", "/v1/scan/1", 404, null],
  ])("%s %s is refused with %i", async (method, path, status, allow) => {
    const response = await fetch(url(path), { method });
    expect((await problem(response)).status).toBe(status);
    expect(response.headers.get("allow")).toBe(allow);
  });

  const scanBytes = (n: number, over: { type?: number; receipt?: boolean; number?: string } = {}): Uint8Array => {
    const record = Buffer.alloc(QUESTION_BYTES);
    const { number = residentId(n) } = over;
    record[0] = over.type ?? 0;
    record[1] = over.receipt === true ? 1 : 0;
    record[5] = number.length;
    record.write(number, 6, "latin1");
    return record;
  };
  /** A record of an answer, in words. */
  const readRecord = (bytes: Uint8Array, i: number): object => {
    const view = new DataView(bytes.buffer, bytes.byteOffset + i * ANSWER_RECORD_BYTES, ANSWER_RECORD_BYTES);
    const u16 = (at: number): number => view.getUint16(at, true);
    return { result: view.getUint8(0), status: view.getUint8(1), popups: view.getUint8(2), bits: view.getUint8(3), age: u16(4), fault: u16(6), time: view.getUint32(8, true), until: view.getUint32(12, true) };
  };

  describe("many scans in one request", () => {
    const scans = async (body: string | Uint8Array<ArrayBuffer>, type: string, token?: string): Promise<Response> =>
      fetch(url("/v1/scans"), { method: "POST", headers: { Authorization: `Bearer ${token ?? (await session())}`, "Content-Type": type }, body });
    const wrong = { document: { type: "resident-id", number: "110101189001010001" } };

    test("JSON and MessagePack: an answer for each in its place, as a single scan's, faults in theirs", async () => {
      await put(1, ["popup-4"]);
      const body = { scans: [{ document: document(1) }, wrong, { document: document(2) }] };
      const token = await session();
      const single = (await (await scan(1, token)).json()) as object;
      const json = (await (await scans(JSON.stringify(body), "application/json", token)).json()) as { answers: { error?: object; reason?: string }[] };
      expect(json.answers).toEqual([single, { error: { field: "document.number", reason: expect.any(String) as string } }, expect.objectContaining({ reason: "unconfirmed" })]);
      const packed = await scans(pack(body) as Uint8Array<ArrayBuffer>, "application/msgpack", token);
      expect(packed.headers.get("content-type")).toBe("application/msgpack");
      expect(unpack(await packed.bytes())).toEqual(json);
    });
    test("binary records: the same in 16 bytes each", async () => {
      await put(1, ["popup-1", "popup-4"]);
      await put(2, ["home"]);
      const questions = Buffer.concat([scanBytes(1), scanBytes(2), scanBytes(3), scanBytes(4, { type: 200 }), scanBytes(5, { number: "1" }), scanBytes(6, { receipt: true })]);
      const response = await scans(questions, "application/octet-stream");
      const answers = await response.bytes();
      expect([response.status, answers.length]).toEqual([200, 6 * ANSWER_RECORD_BYTES]);
      const known = { age: 0xffff, fault: 0, time: NOW, until: Date.parse("2022-06-10T00:00:00+08:00") / 1000 };
      const refused = { result: 255, status: 0, popups: 0, bits: 0, age: 0xffff, time: 0, until: 0 };
      expect([0, 1, 2, 3, 4, 5].map((i) => readRecord(answers, i))).toEqual([
        { ...known, result: 3, status: 0, popups: 0b10010, bits: 0 },
        { ...known, result: 2, status: 2, popups: 0, bits: 0 },
        { ...known, result: 4, status: 0, popups: 0, bits: 1 },
        { ...refused, fault: 1 },
        { ...refused, fault: 2 },
        { ...refused, fault: 4 },
      ]);
    });
    test.each<[string, string | Uint8Array<ArrayBuffer>, string, number, string]>([
      ["no JSON", "{", "application/json", 422, "body"],
      ["no list", "{}", "application/json", 422, "scans"],
      ["a field too many", '{"scans":[{}],"more":1}', "application/json", 422, "scans"],
      ["an empty list", '{"scans":[]}', "application/json", 422, "scans"],
      ["1001 scans", JSON.stringify({ scans: Array(1001).fill({}) as object[] }), "application/json", 422, "scans"],
      ["no MessagePack", new Uint8Array([0xd9]), "application/msgpack", 422, "body"],
      ["half a record", new Uint8Array(QUESTION_BYTES + 1), "application/octet-stream", 422, "body"],
      ["no record", new Uint8Array(0), "application/octet-stream", 422, "scans"],
      ["another type", "{}", "text/plain", 415, ""],
      ["262,145 bytes", " ".repeat(262_145), "application/json", 413, ""],
    ])("%s is refused as a whole", async (_, body, type, status, field) => {
      const refused = await problem(await scans(body, type));
      expect([refused.status, refused.errors?.[0]?.field ?? ""]).toEqual([status, field]);
    });
    test("1000 scans are answered; without a session none", async () => {
      const body = JSON.stringify({ scans: Array(1000).fill({ document: document(1) }) as object[] });
      expect(((await (await scans(body, "application/json")).json()) as { answers: object[] }).answers.length).toBe(1000);
      expect((await scans(body, "application/json", "no")).status).toBe(401);
    });
    test("each is counted", async () => {
      const token = await session();
      await scans(JSON.stringify({ scans: [{ document: document(1) }, wrong] }), "application/json", token);
      const text = await (await fetch(url("/metrics"))).text();
      expect(text).toContain('fangxing_scans_total{outcome="unconfirmed"} 1\n');
      expect(text).toContain('fangxing_scans_total{outcome="bad-request"} 1\n');
    });
  });

  describe("codes", () => {
    const codeOf = async (device: "gate-1" | "desk-1", body: unknown): Promise<Response> => {
      const request = sessionRequest({ device }, device === "gate-1" ? gateKey : staffKey);
      const { session: token } = (await (await open(request)).json()) as { session: string };
      return fetch(url("/v1/codes"), { method: "POST", headers: { Authorization: `Bearer ${token}` }, body: JSON.stringify(body) });
    };
    test("are made for staff alone, of a document alone", async () => {
      expect((await problem(await codeOf("gate-1", { document: document(1) }))).status).toBe(403);
      expect((await problem(await codeOf("desk-1", { code: "x" }))).errors?.[0]?.field).toBe("document");
      expect((await problem(await codeOf("desk-1", { document: { type: "resident-id", number: "1" } }))).errors?.[0]?.field).toBe("document.number");
    });
    test("are scanned in the body or, without a body, in the header, and answered as the document", async () => {
      await put(1, ["popup-4"]);
      const { code, expiresAt } = (await (await codeOf("desk-1", { document: document(1) })).json()) as { code: string; expiresAt: string };
      expect(expiresAt).toBe(formatInstant(NOW + 300));
      const token = await session();
      const expected = await (await scan(1, token)).text();
      const headers = { Authorization: `Bearer ${token}` };
      expect(await (await fetch(url("/v1/scan"), { method: "POST", headers, body: JSON.stringify({ code }) })).text()).toBe(expected);
      expect(await (await fetch(url("/v1/scan"), { method: "POST", headers: { ...headers, "X-Code": code } })).text()).toBe(expected);
      expect((await problem(await fetch(url("/v1/scan"), { method: "POST", headers: { ...headers, "X-Code": code }, body: "{}" }))).status).toBe(400);
      expect((await problem(await fetch(url("/v1/scan"), { method: "POST", headers: { ...headers, "X-Code": "none" } }))).errors?.[0]?.field).toBe("code");
    });
  });

  describe("a stream", () => {
    const connect = async (token: string | null): Promise<WebSocket> => {
      const socket = new WebSocket(url("/v1/stream").replace("http", "ws"), { headers: token === null ? {} : { Authorization: `Bearer ${token}` } });
      socket.binaryType = "arraybuffer";
      await new Promise<void>((resolve, reject) => {
        socket.onopen = () => resolve();
        socket.onerror = () => reject(new Error("no stream"));
      });
      return socket;
    };
    const frame = (sequence: number, records: readonly Uint8Array[]): Buffer => {
      const head = Buffer.alloc(6);
      head.writeUInt32LE(sequence, 0);
      head.writeUInt16LE(records.length, 4);
      return Buffer.concat([head, ...records]);
    };
    const closed = (socket: WebSocket): Promise<number> => new Promise((resolve) => (socket.onclose = (event) => resolve(event.code)));

    test("answers frames in their order, each with its number and as many answers", async () => {
      await put(1, ["popup-4"]);
      const socket = await connect(await session());
      const answers: Uint8Array[] = [];
      const all = new Promise<void>((resolve) => {
        socket.onmessage = ({ data }) => {
          answers.push(new Uint8Array(data as ArrayBuffer));
          if (answers.length === 40) resolve();
        };
      });
      for (let i = 0; i < 40; i++) socket.send(frame(1000 + i, Array.from({ length: 1 + i }, (_, k) => scanBytes(k % 2 === 0 ? 1 : 2))));
      await all;
      answers.forEach((answer, i) => {
        const head = Buffer.from(answer.buffer, 0, 6);
        expect([head.readUInt32LE(0), head.readUInt16LE(4), answer.length]).toEqual([1000 + i, 1 + i, 6 + (1 + i) * ANSWER_RECORD_BYTES]);
        const records = answer.slice(6);
        expect(readRecord(records, 0)).toMatchObject({ result: 3, popups: 0b10000 });
        if (i > 0) expect(readRecord(records, 1)).toMatchObject({ result: 4 });
      });
      socket.close();
    });
    test("takes 1,024 scans a frame", async () => {
      const socket = await connect(await session());
      const answer = new Promise<number>((resolve) => (socket.onmessage = ({ data }) => resolve((data as ArrayBuffer).byteLength)));
      socket.send(frame(1, Array.from({ length: 1024 }, () => scanBytes(1))));
      expect(await answer).toBe(6 + 1024 * ANSWER_RECORD_BYTES);
      socket.close();
    });
    test.each<[string, () => string | Buffer, number]>([
      ["text", () => "hello", 4400],
      ["too short a frame", () => Buffer.alloc(5), 4400],
      ["a frame of no scan", () => frame(1, []), 4400],
      ["a frame with half a record", () => Buffer.concat([frame(1, [scanBytes(1)]), Buffer.alloc(1)]), 4400],
      ["a frame whose count is another", () => frame(1, [scanBytes(1), scanBytes(2)]).subarray(0, 6 + QUESTION_BYTES), 4400],
    ])("is closed on %s", async (_, sent, code) => {
      const socket = await connect(await session());
      const end = closed(socket);
      socket.send(sent());
      expect(await end).toBe(code);
    });
    test("ends with its session", async () => {
      const socket = await connect(await session());
      const end = closed(socket);
      await setClock(clock.seconds + LIFETIME_S);
      socket.send(frame(1, [scanBytes(1)]));
      expect(await end).toBe(4401);
    });
    test("needs a session, and a WebSocket", async () => {
      await expect(connect(null)).rejects.toThrow();
      await expect(connect("no")).rejects.toThrow();
      expect((await problem(await fetch(url("/v1/stream"), { headers: { Authorization: `Bearer ${await session()}` } }))).status).toBe(426);
    });
  });

  describe("health", () => {
    const readyz = (): Promise<Response> => fetch(url("/readyz"));
    const beatAt = async (atMs: number): Promise<void> => {
      writer.beat({ atMs, changedMs: 0, batchesWaiting: 0, changesHeld: 0 });
      const age = (clock.nowMs() - atMs) / 1000;
      await eventually(async () => (await (await fetch(url("/metrics"))).text()).includes(`fangxing_worker_heartbeat_age_seconds ${age}\n`));
    };
    test("it is alive with and without a worker", async () => {
      expect((await fetch(url("/healthz"))).status).toBe(200);
    });
    test("it is not ready before the worker has written anything", async () => {
      const body = await problem(await readyz());
      expect([body.status, body.detail]).toEqual([503, expect.stringContaining("not written") as string]);
    });
    test("it is ready while the worker was heard of in the last 15 s, and not a millisecond longer", async () => {
      await beatAt(NOW * 1000);
      expect((await readyz()).status).toBe(200);
      await setClock(clock.seconds + 15);
      expect((await readyz()).status).toBe(200);
      await beatAt(clock.nowMs() - 15_001);
      const body = await problem(await readyz());
      expect([body.status, body.detail]).toEqual([503, expect.stringContaining("15 s") as string]);
    });
    test("it is ready again when the worker is back", async () => {
      await beatAt(NOW * 1000 - 60_000);
      expect((await readyz()).status).toBe(503);
      await beatAt(NOW * 1000);
      expect((await readyz()).status).toBe(200);
    });
    test("it answers scans although it is not ready", async () => {
      expect((await scan(1)).status).toBe(200);
    });
  });

  describe("metrics", () => {
    const text = async (): Promise<string> => (await fetch(url("/metrics"))).text();
    const value = (from: string, name: string): number => Number(from.split("\n").find((line) => line.startsWith(`${name} `))!.slice(name.length + 1));
    const outcome = (from: string, name: string): number => value(from, `fangxing_scans_total{outcome="${name}"}`);

    test("count scans by outcome, and nothing else as a scan", async () => {
      const states: [number, Flag[]][] = [[1, []], [2, ["popup-1"]], [3, ["home", "popup-2"]]];
      for (const [n, flags] of states) await put(n, flags);
      const before = await text();
      const token = await session();
      for (const n of [1, 1, 1, 2, 2, 3, 99]) await scan(n, token);
      await scanWith("no session", "{}");
      for (const body of ["{", "{}", " ".repeat(5000)]) await scanWith(token, body);
      await fetch(url("/v1/nowhere"));
      await setClock(venueRule.until);
      await scan(1);
      const after = await text();
      const more = (name: string): number => outcome(after, name) - outcome(before, name);
      expect(["pass", "popup", "status", "unconfirmed", "no-policy", "venue-rule", "no-session", "bad-request"].map(more)).toEqual([3, 2, 1, 1, 1, 0, 1, 3]);
    });
    test("the histogram counts every scan once, in buckets that only grow", async () => {
      const token = await session();
      for (let i = 0; i < 20; i++) await scan(i, token);
      await scanWith(null, "{}");
      const seen = await text();
      const buckets = [...seen.matchAll(/^fangxing_scan_duration_seconds_bucket\{le="([^"]+)"\} (\d+)$/gm)].map((m) => [Number(m[1]!.replace("+Inf", "Infinity")), Number(m[2])] as const);
      expect(buckets.length).toBeGreaterThan(5);
      buckets.slice(1).forEach(([bound, count], i) => expect([bound > buckets[i]![0], count >= buckets[i]![1]]).toEqual([true, true]));
      expect(buckets.at(-1)).toEqual([Infinity, 21]);
      expect(value(seen, "fangxing_scan_duration_seconds_count")).toBe(21);
      expect(value(seen, "fangxing_scan_duration_seconds_sum")).toBeGreaterThan(0);
    });
    test("tell of the store and of the worker; -1 where nothing has happened yet", async () => {
      const empty = await text();
      expect(["fangxing_entries", "fangxing_newest_entry_age_seconds", "fangxing_worker_heartbeat_age_seconds", "fangxing_queue_depth"].map((name) => value(empty, name))).toEqual([0, -1, -1, 0]);
      for (const n of [1, 2, 3]) writer.put(keyOfDocument(n), recordWith([]));
      writer.beat({ atMs: NOW * 1000 - 500, changedMs: NOW * 1000 - 90_000, batchesWaiting: 4, changesHeld: 2 });
      await eventually(async () => value(await text(), "fangxing_entries") === 3 && value(await text(), "fangxing_queue_depth") === 4);
      const full = await text();
      expect(["fangxing_newest_entry_age_seconds", "fangxing_worker_heartbeat_age_seconds"].map((name) => value(full, name))).toEqual([90, 0.5]);
    });
    test("count damaged records", async () => {
      await put(1, []);
      const token = await session();
      expect(value(await text(), "fangxing_damaged_entries_total")).toBe(0);
      writer.put(keyOfDocument(1), Uint8Array.of(1, 2, 3));
      await eventually(async () => (await answer(await scan(1, token)))["unconfirmed"] === true);
      expect(value(await text(), "fangxing_damaged_entries_total")).toBe(1);
    });
    test("are in Prometheus' form: each metric with its help and type before its values", async () => {
      const response = await fetch(url("/metrics"));
      expect(response.headers.get("content-type")).toContain("text/plain; version=0.0.4");
      const types = new Map<string, string>();
      for (const line of (await response.text()).trimEnd().split("\n")) {
        const type = /^# TYPE (\w+) (gauge|counter|histogram)$/.exec(line);
        if (type) types.set(type[1]!, type[2]!);
        if (line.startsWith("#")) continue;
        const name = /^(\w+)(\{[^}]*\})? -?[\d.e+-]+$/.exec(line)?.[1] ?? "";
        expect([line, types.has(name) || types.get(name.replace(/_(bucket|sum|count)$/, "")) === "histogram"]).toEqual([line, true]);
      }
    });
  });

  describe("starting", () => {
    test("before there are entries is an error", async () => {
      await expect(start({ entriesFolder: join(temporaryFolder(), "none") })).rejects.toThrow();
    });
    test("on a port that is taken is an error", async () => {
      await expect(start({ port })).rejects.toThrow();
    });
    test("and stopping: nobody listens any more", async () => {
      await host.order({ stop: true });
      await expect(fetch(url("/healthz"))).rejects.toThrow();
    });
  });
});
