// Clients that scan without a pause, each in its own way, and keep account of every scan that got no answer. None tries anything twice.

import { connect, type Socket } from "node:net";
import { requestText } from "./rawHttp.ts";

export interface SteadyClient {
  /** Scans that were answered as they should be. */
  answered(): number;
  /** What happened to the others. */
  readonly failed: readonly string[];
  /** Finishes what is under way. */
  stop(): Promise<void>;
}

export interface ScanTarget {
  readonly port: number;
  readonly token: string;
  /** Body of POST /v1/scan. */
  readonly body: string;
}

/** Each scan on a connection of its own. */
export function onFreshConnections(target: ScanTarget, concurrency: number): SteadyClient {
  const request = scanText(target);
  return steady(concurrency, () => async () => {
    const socket = await connected(target.port);
    try {
      await answerTo(socket, request);
    } finally {
      socket.destroy();
    }
  });
}

/** Many scans on each connection, until the server says that an answer is the last one. */
export function onKeptConnections(target: ScanTarget, concurrency: number): SteadyClient {
  const request = scanText(target);
  return steady(concurrency, () => {
    let socket: Socket | undefined;
    return async () => {
      socket ??= await connected(target.port);
      const head = await answerTo(socket, request);
      if (/\r\nconnection: close/i.test(head)) {
        socket.destroy();
        socket = undefined;
      }
    };
  });
}

/** Frames on a stream, `inFlight` at a time; moves when it is told to. */
export function onStream({ port, token }: ScanTarget, frame: Uint8Array, inFlight: number): SteadyClient {
  return steady(1, () => {
    let stream: Stream | undefined;
    return async () => {
      stream ??= await openStream(port, token);
      if (!(await stream.ask(frame, inFlight))) stream = undefined;
    };
  });
}

interface Stream {
  /** Sends a frame so many times and waits for as many answers. @returns false when the stream has been told to move, and is closed. */
  ask(frame: Uint8Array, times: number): Promise<boolean>;
}

async function openStream(port: number, token: string): Promise<Stream> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/stream`, { headers: { Authorization: `Bearer ${token}` } });
  socket.binaryType = "arraybuffer";
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error("no stream"));
  });
  let mustMove = false;
  let onAnswer: (() => void) | undefined;
  let onLoss: ((error: Error) => void) | undefined;
  socket.onmessage = ({ data }) => (data === "move" ? (mustMove = true) : onAnswer?.());
  socket.onclose = ({ code }) => onLoss?.(new Error(`the stream was closed with ${code}`));
  return {
    async ask(frame, times) {
      await new Promise<void>((resolve, reject) => {
        let left = times;
        onLoss = reject;
        onAnswer = () => {
          if (--left === 0) resolve();
        };
        if (socket.readyState !== WebSocket.OPEN) reject(new Error("the stream is closed"));
        for (let i = 0; i < times; i++) socket.send(frame);
      });
      onLoss = undefined;
      if (mustMove) socket.close();
      return !mustMove;
    },
  };
}

/** Runs as many loops, each with a scan of its own making, until it is stopped. */
function steady(concurrency: number, scanOf: () => () => Promise<void>): SteadyClient {
  let answered = 0;
  let isStopping = false;
  const failed: string[] = [];
  const loop = async (): Promise<void> => {
    let scan = scanOf();
    while (!isStopping) {
      try {
        await scan();
        answered++;
      } catch (error) {
        failed.push(error instanceof Error ? error.message : String(error));
        scan = scanOf();
      }
    }
  };
  const loops = Array.from({ length: concurrency }, loop);
  return {
    answered: () => answered,
    failed,
    async stop() {
      isStopping = true;
      await Promise.all(loops);
    },
  };
}

function scanText({ token, body }: ScanTarget): string {
  return requestText("POST", "/v1/scan", body, { Authorization: `Bearer ${token}` });
}

async function connected(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.setEncoding("latin1");
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  socket.removeAllListeners("error");
  return socket;
}

/** @returns the head of an answer with status 200. @throws when there is another, or none. */
async function answerTo(socket: Socket, request: string): Promise<string> {
  let received = "";
  return new Promise((resolve, reject) => {
    const end = (result: () => void): void => {
      socket.removeAllListeners("data").removeAllListeners("close").removeAllListeners("error");
      result();
    };
    socket.on("data", (part: string) => {
      received += part;
      const headEnd = received.indexOf("\r\n\r\n");
      if (headEnd < 0) return;
      const head = received.slice(0, headEnd);
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1]);
      if (received.length < headEnd + 4 + length) return;
      end(() => (head.startsWith("HTTP/1.1 200 ") ? resolve(head) : reject(new Error(head.slice(0, 40)))));
    });
    socket.on("error", (error) => end(() => reject(error)));
    socket.on("close", () => end(() => reject(new Error(`the connection ended after ${received.length} bytes of an answer`))));
    socket.write(request);
  });
}
