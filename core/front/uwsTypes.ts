// What we use of uWebSockets.js 20, as its index.d.ts has it: the package is an optional peer, so its own types may not be there.

export interface Uws {
  App(): UwsApp;
  readonly LIBUS_LISTEN_EXCLUSIVE_PORT: number;
  us_listen_socket_close(socket: object): void;
  us_socket_local_port(socket: object): number;
}

type Handler = (res: UwsResponse, req: UwsRequest) => void;

export interface UwsApp {
  post(pattern: string, handler: Handler): UwsApp;
  any(pattern: string, handler: Handler): UwsApp;
  ws<Data>(pattern: string, behaviour: UwsBehaviour<Data>): UwsApp;
  listen(host: string, port: number, options: number, onListening: (socket: object | false) => void): UwsApp;
  /** Closes all sockets at once. */
  close(): UwsApp;
}

export interface UwsRequest {
  /** Empty when there is none. */
  getHeader(lowerCaseName: string): string;
  /** In lower case. */
  getMethod(): string;
}

export interface UwsResponse {
  /** 4 or 16 bytes; none when it is not known. */
  getRemoteAddress(): ArrayBuffer;
  writeStatus(status: string): UwsResponse;
  writeHeader(name: string, value: string): UwsResponse;
  end(body: string | Uint8Array, closesConnection: boolean): UwsResponse;
  endWithoutBody(reportedBytes: number, closesConnection: boolean): UwsResponse;
  /** @returns whether all of it was taken, and whether the response is complete. */
  tryEnd(part: Uint8Array, totalBytes: number): [boolean, boolean];
  getWriteOffset(): number;
  onWritable(handler: (offset: number) => boolean): UwsResponse;
  onAborted(handler: () => void): UwsResponse;
  onData(handler: (part: ArrayBuffer, isLast: boolean) => void): UwsResponse;
  cork(write: () => void): UwsResponse;
  upgrade(data: object, key: string, protocol: string, extensions: string, context: object): void;
}

export interface UwsSocket<Data> {
  send(message: Uint8Array | string, isBinary: boolean): number;
  /** Closes with a code. */
  end(code: number, reason: string): void;
  getUserData(): Data;
}

export interface UwsBehaviour<Data> {
  maxPayloadLength: number;
  maxBackpressure: number;
  closeOnBackpressureLimit: boolean;
  upgrade(res: UwsResponse, req: UwsRequest, context: object): void;
  open(socket: UwsSocket<Data>): void;
  message(socket: UwsSocket<Data>, frame: ArrayBuffer, isBinary: boolean): void;
  close(socket: UwsSocket<Data>): void;
}
