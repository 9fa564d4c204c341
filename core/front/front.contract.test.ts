// What every front promises, asked of each as a process of its own: bodies and heads as they were sent, answers whole and in order, faults contained, streams
// that don't grow, an orderly stop.

import { networkInterfaces } from "node:os";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { onEachFront } from "../../test/fronts.ts";
import { PROBE_FRAME_BYTES_MAX, PROBE_UNREAD_BYTES_MAX } from "../../test/probeSite.ts";
import { frameBytes, rawConnection, requestText, upgradeText } from "../../test/rawHttp.ts";

onEachFront("the front", (host, server) => {
  let port: number;
  const start = async (): Promise<void> => {
    ({ port } = await host.order<{ port: number }>({ probe: { server } }));
  };
  beforeAll(start);
  const url = (path: string): string => `http://127.0.0.1:${port}${path}`;
  const post = (path: string, body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}): Promise<Response> => fetch(url(path), { method: "POST", body, headers });
  const raw = () => rawConnection(port);
  const answers = (count: number) => (received: string): boolean => received.split("HTTP/1.1 ").length > count;

  describe("a body", () => {
    test.each<[string, string | Uint8Array<ArrayBuffer>, object]>([
      ["JSON", '{"a":[1,"二"]}', { body: { a: [1, "二"] } }],
      ["null", "null", { body: null }],
      ["blanks around", " 1 \n", { body: 1 }],
      ["a byte order mark", '\uFEFF"x"', { body: "x" }],
      ["bytes that are no UTF-8", Uint8Array.of(0x22, 0xff, 0x22), { body: "\uFFFD" }],
      ["no JSON", "{", { none: true }],
      ["nothing", "", { none: true }],
    ])("%s reaches a JSON route parsed", async (_, body, read) => {
      expect(await (await post("/json", body)).json()).toEqual(read);
    });
    test.each([0, 1, 4096, 300_000])("%i bytes reach a bytes route as they were sent", async (length) => {
      const body = Uint8Array.from({ length }, (_, i) => (i * 7) & 0xff);
      const back = await (await post("/echo", body)).bytes();
      expect([back.length, Buffer.compare(back, body)]).toEqual([length, 0]);
    });
    test("that comes a byte at a time is put together, inside a character too", async () => {
      const body = Buffer.from('{"a":"放行"}');
      const connection = await raw();
      connection.write(requestText("POST", "/json", "", { "Content-Length": String(body.length) }));
      for (const byte of body) {
        connection.write(Uint8Array.of(byte));
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      await connection.until((received) => Buffer.from(received, "latin1").toString().includes('{"body":{"a":"放行"}}'));
      connection.socket.destroy();
    });
    test("is not read when the head is refused, and the connection stays in step", async () => {
      const connection = await raw();
      connection.write(requestText("POST", "/json", '{"refused":1}', { "X-Refuse": "1" }));
      connection.write(requestText("POST", "/json", '{"answered":1}'));
      const received = await connection.until((r) => r.includes('{"body":{"answered":1}}'));
      expect(received).toMatch(/^HTTP\/1\.1 403 /);
      expect(received).not.toContain('"body":{"refused"');
      connection.socket.destroy();
    });
    test("whose sender leaves in the middle harms nobody", async () => {
      const connection = await raw();
      connection.write(requestText("POST", "/echo", "", { "Content-Length": "10" }) + "abc");
      await new Promise((resolve) => setTimeout(resolve, 20));
      connection.socket.destroy();
      expect((await post("/echo", "x")).status).toBe(200);
    });
  });

  test("a header is found whatever its letters; one that is missing or empty is none", async () => {
    const connection = await raw();
    connection.write(requestText("POST", "/head", "", { "X-oNe": "Value 1", "X-Empty": "" }));
    expect(await connection.until(answers(1))).toContain('["Value 1",null,null]');
    connection.socket.destroy();
  });

  describe("the peer's address", () => {
    const startOn = async (listen: string): Promise<void> => {
      await host.order({ stop: true });
      ({ port } = await host.order<{ port: number }>({ probe: { server, host: listen } }));
    };
    afterAll(() => startOn("127.0.0.1"));
    const hasV6 = Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === "::1"));
    const cases: readonly (readonly [string, string, string, number[]])[] = [
      ["127.0.0.1", "127.0.0.1", "127.0.0.1", [127, 0, 0, 1]],
      ["127.0.0.1", "127.0.0.1", "127.0.0.2", [127, 0, 0, 2]],
      ["::1", "::1", "::1", [...new Uint8Array(15), 1]],
      ["::", "::1", "::1", [...new Uint8Array(15), 1]],
      ["::", "127.0.0.1", "127.0.0.3", [127, 0, 0, 3]],
    ];
    test.each(cases.filter(([listen]) => hasV6 || !listen.includes(":")))("listening on %s, asked at %s from %s", async (listen, at, from, bytes) => {
      await startOn(listen);
      const connection = await rawConnection(port, { host: at, from });
      connection.write(requestText("POST", "/address", "1"));
      expect(await connection.until((r) => r.endsWith("]"))).toContain(`\r\n\r\n${JSON.stringify(bytes)}`);
      const second = await rawConnection(port, { host: at, from });
      second.write(upgradeText("/stream"));
      await second.until((r) => r.endsWith("\r\n\r\n"));
      second.write(Buffer.of(0x81, 0x80, 0, 0, 0, 0)); // a text, empty: the stream is closed with what was opened
      await second.until((r) => r.endsWith(`no text, ${bytes.join(".")}`));
      for (const { socket } of [connection, second]) socket.destroy();
    });
  });

  test.each([
    ["GET", "/json", 405, "POST"],
    ["DELETE", "/json", 405, "POST"],
    ["POST", "/page", 405, "GET, HEAD"],
    ["GET", "/page", 200, null],
    ["GET", "/page?query=1", 200, null],
    ["HEAD", "/page", 200, null],
    ["GET", "/page/", 404, null],
    ["GET", "/PAGE", 404, null],
    ["GET", "/", 404, null],
    ["POST", "/nowhere", 404, null],
    ["GET", "/stream", 426, null],
  ])("%s %s is answered %i", async (method, path, status, allow) => {
    const response = await fetch(url(path), { method });
    expect([response.status, response.headers.get("allow")]).toEqual([status, allow]);
    if (status !== 200) expect(await response.json()).toMatchObject({ status });
  });

  test("HEAD has the headers of GET and no body, and the connection stays in step", async () => {
    const connection = await raw();
    connection.write(requestText("HEAD", "/page"));
    const head = await connection.until((r) => r.endsWith("\r\n\r\n"));
    expect(head.toLowerCase()).toContain("content-length: 7\r\n");
    connection.write(requestText("GET", "/page"));
    expect((await connection.until((r) => r.endsWith("a page\n"))).match(/a page/g)).toHaveLength(1);
    connection.socket.destroy();
  });

  test("requests of one connection are answered in their order, also when they come at once", async () => {
    const connection = await raw();
    const bodies = Array.from({ length: 20 }, (_, i) => `{"n":${i}}`);
    connection.write(bodies.map((body) => requestText("POST", "/json", body)).join(""));
    const received = await connection.until((r) => r.includes('{"n":19}'));
    expect(received.match(/"n":\d+/g)).toEqual(bodies.map((body) => body.slice(1, -1)));
    connection.socket.destroy();
  });

  test("answers that are written to one place, one over the other, arrive each as it was", async () => {
    const connection = await raw();
    connection.socket.pause();
    const bodies = Array.from({ length: 300 }, (_, i) => String(i).padStart(4, "0").repeat(1000));
    for (const body of bodies) connection.write(requestText("POST", "/echo", body));
    await new Promise((resolve) => setTimeout(resolve, 50));
    connection.socket.resume();
    const received = await connection.until((r) => r.endsWith(bodies.at(-1)!));
    expect(received.match(/\r\n\r\n\d{4000}/g)).toEqual(bodies.map((body) => `\r\n\r\n${body}`));
    connection.socket.destroy();
  });

  test("a large answer arrives whole, however slowly it is read", async () => {
    const connection = await raw();
    connection.socket.pause();
    connection.write(requestText("POST", "/large", "12000000"));
    await new Promise((resolve) => setTimeout(resolve, 50));
    connection.socket.resume();
    const received = await connection.until((r) => r.length > 12_000_000);
    const body = received.slice(received.indexOf("\r\n\r\n") + 4);
    expect([body.length, body === "\u0007".repeat(12_000_000)]).toEqual([12_000_000, true]);
    connection.socket.destroy();
  });

  test.each(["head", "body"])("what a route throws at the %s is a 500 and a line of the log, and the next one is answered", async (where) => {
    const response = await post(`/broken-${where}`, "1");
    expect([response.status, response.headers.get("content-type")]).toEqual([500, "application/problem+json"]);
    expect(await response.text()).not.toContain("broken");
    await expect.poll(() => host.logged()).toContain(`broken at the ${where}`);
    expect((await post("/json", "1")).status).toBe(200);
  });
  test("so is what a page throws", async () => {
    expect((await fetch(url("/broken-page"))).status).toBe(500);
  });

  describe("a stream", () => {
    const connect = async (headers: Record<string, string> = {}): Promise<WebSocket> => {
      const socket = new WebSocket(url("/stream").replace("http", "ws"), { headers });
      socket.binaryType = "arraybuffer";
      await new Promise<void>((resolve, reject) => {
        socket.onopen = () => resolve();
        socket.onerror = () => reject(new Error("no stream"));
      });
      return socket;
    };
    const ending = (socket: WebSocket): Promise<{ code: number; reason: string }> => new Promise((resolve) => (socket.onclose = ({ code, reason }) => resolve({ code, reason })));

    test("answers its frames in their order", async () => {
      const socket = await connect();
      const back: number[] = [];
      const all = new Promise<void>((resolve) => {
        socket.onmessage = ({ data }) => {
          back.push(new DataView(data as ArrayBuffer).getUint32(4));
          if (back.length === 500) resolve();
        };
      });
      for (let i = 0; i < 500; i++) {
        const frame = Buffer.alloc(8 + i);
        frame.writeUInt32BE(i, 4);
        socket.send(frame);
      }
      await all;
      expect(back).toEqual(Array.from({ length: 500 }, (_, i) => i));
      socket.close();
    });
    test("is refused by its head", async () => {
      await expect(connect({ "X-Refuse": "1" })).rejects.toThrow();
      const connection = await raw();
      connection.write(upgradeText("/stream", { "X-Refuse": "1" }));
      expect(await connection.until(answers(1))).toMatch(/^HTTP\/1\.1 403 /);
      connection.socket.destroy();
    });
    test("is closed as the route says, which knows what was opened", async () => {
      const socket = await connect({ "X-One": "gate 1" });
      const end = ending(socket);
      socket.send("text");
      expect(await end).toEqual({ code: 4400, reason: "no text, gate 1" });
    });
    test("is closed with 1011 on what a route throws, and others go on", async () => {
      const [broken, other] = [await connect(), await connect()];
      const end = ending(broken);
      broken.send(Uint8Array.of(1));
      expect((await end).code).toBe(1011);
      await expect.poll(() => host.logged()).toContain("broken at a frame");
      const answer = new Promise((resolve) => (other.onmessage = resolve));
      other.send(Uint8Array.of(9));
      await answer;
      other.close();
    });
    test.each([
      [PROBE_FRAME_BYTES_MAX, true],
      [PROBE_FRAME_BYTES_MAX + 1, false],
    ])("a frame of %i bytes: answered %s", async (length, isAnswered) => {
      const socket = await connect();
      const answered = new Promise<boolean>((resolve) => {
        socket.onmessage = () => resolve(true);
        socket.onclose = () => resolve(false);
      });
      socket.send(new Uint8Array(length));
      expect(await answered).toBe(isAnswered);
      socket.close();
    });
    test("whose answers nobody reads is cut off before they pile up, and others go on", async () => {
      const connection = await raw();
      connection.write(upgradeText("/stream"));
      await connection.until((r) => r.endsWith("\r\n\r\n"));
      connection.socket.pause();
      const COUNT = 2000;
      const ANSWERS_BYTES = COUNT * 65_536;
      connection.write(Buffer.concat(Array.from({ length: COUNT }, () => frameBytes(Uint8Array.of(2)))));
      const other = await connect();
      const answer = new Promise((resolve) => (other.onmessage = resolve));
      other.send(Uint8Array.of(9));
      await answer;
      other.close();
      connection.socket.resume();
      await connection.closed;
      // What the kernel holds for both sides comes on top of the limit.
      expect(connection.received().length).toBeLessThan(ANSWERS_BYTES / 4);
      expect(connection.received().length).toBeGreaterThan(PROBE_UNREAD_BYTES_MAX / 2);
    });
  });

  describe("a drain", () => {
    beforeEach(async () => {
      await host.order({ stop: true });
      await start();
    });
    test("makes every answer the last one of its connection, and takes new ones", async () => {
      const kept = await raw();
      kept.write(requestText("POST", "/json", "1"));
      expect(await kept.until((r) => r.endsWith('{"body":1}'))).not.toMatch(/connection: close/i);
      await host.order({ drain: true });
      kept.write(requestText("POST", "/json", "2"));
      expect(await kept.until((r) => r.endsWith('{"body":2}'))).toMatch(/connection: close/i);
      await kept.closed;
      for (const request of [requestText("POST", "/echo", "x"), requestText("POST", "/large", "100000"), requestText("GET", "/page"), requestText("GET", "/none"), requestText("HEAD", "/page"), requestText("POST", "/json", "", { "X-Refuse": "1" })]) {
        const fresh = await raw();
        fresh.write(request);
        await fresh.closed;
        expect(fresh.received()).toMatch(/^HTTP\/1\.1 \d+ [^]*connection: close/i);
      }
    });
    test("tells streams to move, old and new ones, and answers their frames", async () => {
      const connect = async (): Promise<{ told: unknown[]; socket: WebSocket }> => {
        const socket = new WebSocket(url("/stream").replace("http", "ws"));
        socket.binaryType = "arraybuffer";
        const told: unknown[] = [];
        socket.onmessage = ({ data }) => void told.push(typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer)[0]);
        await new Promise((resolve) => (socket.onopen = resolve));
        return { told, socket };
      };
      const before = await connect();
      await host.order({ drain: true });
      const after = await connect();
      for (const { told, socket } of [before, after]) {
        await expect.poll(() => told).toEqual(["move"]);
        socket.send(Uint8Array.of(9));
        await expect.poll(() => told).toEqual(["move", 9]);
        socket.close();
      }
    });
  });

  describe("a stop", () => {
    beforeEach(async () => {
      await host.order({ stop: true });
      await start();
    });
    test("finishes the request that is under way; then nobody listens", async () => {
      const [connection, idle] = [await raw(), await raw()];
      idle.write(requestText("GET", "/page"));
      await idle.until((r) => r.endsWith("a page\n"));
      connection.write(requestText("POST", "/echo", "", { "Content-Length": "4" }) + "ab");
      await new Promise((resolve) => setTimeout(resolve, 50)); // until it has been read
      const stopped = host.order({ stop: true });
      await expect.poll(() => raw().then(() => "listens", () => "does not")).toBe("does not");
      connection.write("cd");
      expect(await connection.until((r) => r.endsWith("abcd"))).toMatch(/^HTTP\/1\.1 200 /);
      await Promise.all([stopped, idle.closed]);
    });
    test("sends a large answer to its end", async () => {
      const connection = await raw();
      connection.socket.pause();
      connection.write(requestText("POST", "/large", "12000000"));
      await new Promise((resolve) => setTimeout(resolve, 50));
      const stopped = host.order({ stop: true });
      connection.socket.resume();
      await connection.until((r) => r.length > 12_000_000);
      await stopped;
    });
    test("closes streams as going away", async () => {
      const socket = new WebSocket(url("/stream").replace("http", "ws"));
      await new Promise((resolve) => (socket.onopen = resolve));
      const end = new Promise<number>((resolve) => (socket.onclose = ({ code }) => resolve(code)));
      await host.order({ stop: true });
      expect(await end).toBe(1001);
    });
    test("the port can be taken again", async () => {
      const before = port;
      await host.order({ stop: true });
      await expect(rawConnection(before)).rejects.toThrow();
      await start();
      expect((await fetch(url("/page"))).status).toBe(200);
    });
  });
});
