// A site on Bun.serve.

import { addressBytes, peerBytes } from "./addresses.ts";
import { Answer, answerFrame, Closing, failure, GET_ONLY, GOING_AWAY, MOVE, NO_UPGRADE, POST_ONLY, type Front, type FrontOptions, type Head, type Post, type Site, type Stream } from "./front.ts";

/** Starts the server. @throws when the port is taken. */
export function startBunFront(site: Site, { host, port, isShared }: FrontOptions): Front {
  let isDraining = false;
  const sockets = new Set<Bun.ServerWebSocket<Opened>>();
  const head = new BorrowedHead();

  const responseOf = ({ form, body }: Answer): Response => {
    if (!isDraining) return new Response(body, form);
    return new Response(body, { status: form.status, headers: { ...form.headers, Connection: "close" } });
  };
  // By `then`: async functions would make two promises more.
  const answerBody = (post: Post, admitted: object, request: Request): Promise<Response> => {
    const answered = (body: unknown): Response => responseOf(post.answer(admitted, body));
    return post.reads === "json" ? request.json().then(answered, () => answered(undefined)) : request.bytes().then(answered);
  };
  // What needs no body is answered without a promise: that takes less time.
  const receive = (post: Post, request: Request, of: Bun.Server<Opened>): Response | Promise<Response> => {
    const admitted = post.admit(head.of(request, of));
    return admitted instanceof Answer ? responseOf(admitted) : answerBody(post, admitted, request);
  };

  const server = Bun.serve({
    hostname: host,
    port,
    reusePort: isShared,
    routes: {
      ...mapped(site.posts, (post) => ({ POST: (request, of) => receive(post, request, of) })),
      ...mapped(site.pages, (page) => (request) => responseOf(isRead(request) ? page() : GET_ONLY)),
      ...mapped(site.streams, (stream) => (request, streams) => {
        const opened = stream.open(head.of(request, streams));
        if (opened instanceof Answer) return responseOf(opened);
        return streams.upgrade(request, { data: { stream, opened } }) ? undefined : responseOf(NO_UPGRADE);
      }),
    },
    websocket: {
      data: {} as Opened,
      maxPayloadLength: Math.max(0, ...Object.values(site.streams).map((s) => s.frameBytesMax)),
      backpressureLimit: Math.max(0, ...Object.values(site.streams).map((s) => s.unreadBytesMax)),
      closeOnBackpressureLimit: true,
      open(socket) {
        sockets.add(socket);
        if (isDraining) socket.sendText(MOVE);
      },
      message(socket, frame) {
        const { stream, opened } = socket.data;
        const answered = answerFrame(site, stream, opened, typeof frame === "string" ? null : frame);
        if (answered instanceof Closing) socket.close(answered.code, answered.reason);
        else socket.sendBinary(answered);
      },
      close: (socket) => {
        sockets.delete(socket);
      },
    },
    // What no route takes: other methods of what takes POST only come here too.
    fetch: ({ url }) => responseOf(Object.hasOwn(site.posts, new URL(url).pathname) ? POST_ONLY : site.notFound),
    error: (error) => responseOf(failure(site, error)),
  });
  return {
    port: server.port ?? port,
    drain() {
      isDraining = true;
      for (const socket of [...sockets]) socket.sendText(MOVE);
    },
    async stop() {
      const stopped = server.stop();
      for (const socket of [...sockets]) socket.close(GOING_AWAY.code, GOING_AWAY.reason);
      await stopped;
    },
  };
}

/** One for all requests: a head is borrowed until the function that it is given to returns, and one such function runs at a time. */
class BorrowedHead implements Head {
  #request: Request | undefined;
  #headers: Headers | undefined;
  #server: Bun.Server<Opened> | undefined;

  of(request: Request, server: Bun.Server<Opened>): this {
    this.#request = request;
    this.#headers = request.headers;
    this.#server = server;
    return this;
  }

  get(name: string): string | null {
    return this.#headers!.get(name);
  }

  address(): Uint8Array {
    return peerBytes(addressBytes(this.#server!.requestIP(this.#request!)?.address ?? ""));
  }
}

interface Opened {
  readonly stream: Stream;
  readonly opened: object;
}

type Handler = (request: Request, server: Bun.Server<Opened>) => Response | undefined | Promise<Response>;

function mapped<Value, Route extends Handler | { readonly POST: Handler }>(table: Readonly<Record<string, Value>>, handlerOf: (value: Value) => Route): Record<string, Route> {
  return Object.fromEntries(Object.entries(table).map(([path, value]) => [path, handlerOf(value)]));
}

function isRead({ method }: Request): boolean {
  return method === "GET" || method === "HEAD";
}
