// A site on uWebSockets.js, under Node 22.18 and newer. The package is an optional peer: only who chooses this front needs it.
// Promises: a body is copied only when it comes in several parts, an answer's never; no exception leaves a callback, where it would end the process.
//
// The library's objects are valid for a short time only: a request until its handler returns, a response until it has been ended or aborted, the bytes of a
// body or a frame until their callback returns.

import { STATUS_CODES } from "node:http";
import { createRequire } from "node:module";
import { setImmediate } from "node:timers/promises";
import { peerBytes } from "./addresses.ts";
import { Answer, answerFrame, Closing, failure, GET_ONLY, GOING_AWAY, MOVE, NO_UPGRADE, POST_ONLY, type Form, type Front, type FrontOptions, type Head, type Post, type Site, type Stream } from "./front.ts";
import type { Uws, UwsApp, UwsRequest, UwsResponse, UwsSocket } from "./uwsTypes.ts";

/** How to get what is missing: its author publishes nowhere else. */
const INSTALL = "npm install uNetworking/uWebSockets.js#v20.57.0";
/** Longer bodies leave in parts, as the client reads them. */
const PARTS_FROM_BYTES = 65_536;

/** This front can't be had here; the message says how it can. */
export class FrontError extends Error {
  override name = "FrontError";
}

/** Starts the server. @throws when the port is taken, FrontError when the library is not installed or does not load. */
export function startUwsFront(site: Site, { host, port, isShared }: FrontOptions): Front {
  const uws = loadLibrary();
  const app = uws.App();
  const desk = new Desk(site);
  for (const [path, post] of Object.entries(site.posts)) {
    app.post(path, (res, req) => desk.receive(post, res, req));
    app.any(path, (res, req) => desk.tell(res, req, () => POST_ONLY));
  }
  for (const [path, page] of Object.entries(site.pages)) {
    app.any(path, (res, req) => desk.tell(res, req, () => (["get", "head"].includes(req.getMethod()) ? page() : GET_ONLY)));
  }
  for (const [path, stream] of Object.entries(site.streams)) {
    desk.addStream(app, path, stream);
    app.any(path, (res, req) => desk.tell(res, req, (head) => {
      const opened = stream.open(head);
      return opened instanceof Answer ? opened : NO_UPGRADE;
    }));
  }
  app.any("/*", (res, req) => desk.tell(res, req, () => site.notFound));

  let listening: object | undefined;
  app.listen(host, port, isShared ? 0 : uws.LIBUS_LISTEN_EXCLUSIVE_PORT, (socket) => {
    if (socket) listening = socket;
  });
  if (!listening) throw Object.assign(new Error(`${host}:${port} can't be listened on`), { code: "EADDRINUSE" });
  const socket = listening;
  const stop = async (): Promise<void> => {
    uws.us_listen_socket_close(socket);
    await desk.finish();
    app.close();
  };
  // Once: the library would close what is no longer there, and crash.
  let stopped: Promise<void> | undefined;
  return { port: uws.us_socket_local_port(socket), drain: () => desk.drain(), stop: () => (stopped ??= stop()) };
}

function loadLibrary(): Uws {
  try {
    return createRequire(import.meta.url)("uWebSockets.js") as Uws;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "MODULE_NOT_FOUND") throw new FrontError(`the server uws needs uWebSockets.js, which is not installed here: run ${INSTALL}`);
    throw new FrontError(`uWebSockets.js does not load here; it needs glibc 2.38 or newer (Debian 13, Ubuntu 24.04), and a Node that it was built for: ${message}`);
  }
}

interface Opened {
  readonly opened: object;
}

/** Requests and streams of one server. */
class Desk {
  readonly #site: Site;
  readonly #head = new BorrowedHead();
  readonly #decoder = new TextDecoder();
  readonly #sockets = new Set<UwsSocket<Opened>>();
  /** Requests whose body is not all there, or whose answer is not all gone. */
  #underWay = 0;
  #isDraining = false;
  #onIdle: (() => void) | undefined;

  constructor(site: Site) {
    this.#site = site;
  }

  receive(post: Post, res: UwsResponse, req: UwsRequest): void {
    const admitted = this.#tried(() => post.admit(this.#head.of(req, res)));
    if (admitted instanceof Answer) {
      this.#send(res, admitted);
      return;
    }
    this.#underWay++;
    res.onAborted(() => this.#ended());
    let parts: Uint8Array[] | undefined;
    res.onData((part, isLast) => {
      const bytes = new Uint8Array(part);
      if (!isLast) {
        (parts ??= []).push(bytes.slice());
        return;
      }
      const body = parts ? Buffer.concat([...parts, bytes]) : bytes;
      const answered = this.#tried(() => post.answer(admitted, post.reads === "json" ? this.#parsed(body) : body));
      res.cork(() => this.#send(res, answered, () => this.#ended()));
    });
  }

  /** Answers from the head alone. */
  tell(res: UwsResponse, req: UwsRequest, answer: (head: Head) => Answer): void {
    const answered = this.#tried(() => answer(this.#head.of(req, res)));
    if (req.getMethod() !== "head") this.#send(res, answered);
    else writeForm(res, answered.form).endWithoutBody(Buffer.byteLength(answered.body), this.#isDraining);
  }

  addStream(app: UwsApp, path: string, stream: Stream): void {
    app.ws<Opened>(path, {
      maxPayloadLength: stream.frameBytesMax,
      maxBackpressure: stream.unreadBytesMax,
      closeOnBackpressureLimit: true,
      upgrade: (res, req, context) => {
        const opened = this.#tried(() => stream.open(this.#head.of(req, res)));
        if (opened instanceof Answer) this.#send(res, opened);
        else res.upgrade({ opened }, req.getHeader("sec-websocket-key"), req.getHeader("sec-websocket-protocol"), req.getHeader("sec-websocket-extensions"), context);
      },
      open: (socket) => {
        this.#sockets.add(socket);
        if (this.#isDraining) socket.send(MOVE, false);
      },
      message: (socket, frame, isBinary) => {
        const answered = answerFrame(this.#site, stream, socket.getUserData().opened, isBinary ? new Uint8Array(frame) : null);
        if (answered instanceof Closing) socket.end(answered.code, answered.reason);
        else socket.send(answered, true);
      },
      close: (socket) => {
        this.#sockets.delete(socket);
      },
    });
  }

  /** Closes the streams, waits for the requests under way. */
  async finish(): Promise<void> {
    for (const socket of [...this.#sockets]) socket.end(GOING_AWAY.code, GOING_AWAY.reason);
    if (this.#underWay > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    await setImmediate(); // what has been written in this turn leaves at its end
  }

  drain(): void {
    this.#isDraining = true;
    for (const socket of [...this.#sockets]) socket.send(MOVE, false);
  }

  /** `onSent` is told when all of it is with the kernel. */
  #send(res: UwsResponse, { form, body }: Answer, onSent?: () => void): void {
    writeForm(res, form);
    const isLast = this.#isDraining;
    if (typeof body === "string" || body.length < PARTS_FROM_BYTES || isLast || !onSent) {
      res.end(body, isLast);
      onSent?.();
      return;
    }
    const start = res.getWriteOffset();
    const sendFrom = (at: number): boolean => {
      const [isTaken, isDone] = res.tryEnd(body.subarray(at), body.length);
      if (isDone) onSent();
      return isTaken;
    };
    res.onWritable((offset) => sendFrom(offset - start));
    sendFrom(0);
  }

  #tried<Value>(call: () => Value): Value | Answer {
    try {
      return call();
    } catch (error) {
      return failure(this.#site, error);
    }
  }

  #parsed(body: Uint8Array): unknown {
    try {
      return JSON.parse(this.#decoder.decode(body));
    } catch {
      return undefined;
    }
  }

  #ended(): void {
    if (--this.#underWay === 0) this.#onIdle?.();
  }
}

/** One for all requests: a head is borrowed until the handler returns, and one handler runs at a time. */
class BorrowedHead implements Head {
  #request: UwsRequest | undefined;
  #response: UwsResponse | undefined;

  of(request: UwsRequest, response: UwsResponse): this {
    this.#request = request;
    this.#response = response;
    return this;
  }

  get(name: string): string {
    return this.#request!.getHeader(name);
  }

  address(): Uint8Array {
    return peerBytes(new Uint8Array(this.#response!.getRemoteAddress()));
  }
}

function writeForm(res: UwsResponse, { status, headers }: Form): UwsResponse {
  res.writeStatus(`${status} ${STATUS_CODES[status] ?? ""}`);
  for (const name in headers) res.writeHeader(name, headers[name]!);
  return res;
}
