// HTTP and WebSocket by hand over a socket, for what no client library lets one send or see.

import { connect, type Socket } from "node:net";

export interface RawConnection {
  readonly socket: Socket;
  write(data: string | Uint8Array): void;
  /** Everything received so far, one character a byte. */
  received(): string;
  /** Resolves when `is` says yes of what was received, rejects when the connection ends before. */
  until(is: (received: string) => boolean): Promise<string>;
  /** Resolves when the other side has closed. */
  readonly closed: Promise<void>;
}

/** `from`: the address to connect from, one of this machine. */
export async function rawConnection(port: number, { host = "127.0.0.1", from }: { host?: string; from?: string } = {}): Promise<RawConnection> {
  const socket = connect({ port, host, ...(from === undefined ? {} : { localAddress: from }) });
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  let received = "";
  let isClosed = false;
  const looks = new Set<() => void>();
  const look = (): void => looks.forEach((l) => l());
  socket.setEncoding("latin1").on("data", (part: string) => {
    received += part;
    look();
  });
  socket.on("error", () => undefined); // the end says it too
  const closed = new Promise<void>((resolve) =>
    socket.once("close", () => {
      isClosed = true;
      look();
      resolve();
    }),
  );
  return {
    socket,
    write: (data) => void socket.write(data),
    received: () => received,
    until: (is) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          if (!is(received) && !isClosed) return;
          looks.delete(check);
          if (is(received)) resolve(received);
          else reject(new Error(`the connection ended after ${JSON.stringify(received.slice(-500))}`));
        };
        looks.add(check);
        check();
      }),
    closed,
  };
}

/** A request's text. Content-Length is of `body`, unless a header says another. */
export function requestText(method: string, path: string, body = "", headers: Readonly<Record<string, string>> = {}): string {
  const all = { Host: "test", ...(method === "POST" ? { "Content-Length": String(Buffer.byteLength(body)) } : {}), ...headers };
  return `${method} ${path} HTTP/1.1\r\n${Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${body}`;
}

/** Asks for a WebSocket by hand. */
export function upgradeText(path: string, headers: Readonly<Record<string, string>> = {}): string {
  return requestText("GET", path, "", { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13", ...headers });
}

/** A binary frame of a client, masked with zeroes. */
export function frameBytes(payload: Uint8Array): Buffer {
  const length = payload.length < 126 ? Buffer.of(0x80 | payload.length) : Buffer.of(0x80 | 126, payload.length >> 8, payload.length & 0xff);
  return Buffer.concat([Buffer.of(0x82), length, Buffer.alloc(4), payload]);
}
