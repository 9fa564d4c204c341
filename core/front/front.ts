// What a server is to the rooms that answer: the head of a request and its body in, a status, headers and bytes out.
// Promises: a route looks the same whichever server carries it; nothing here knows one.
// Not here: the servers (bun.ts, uws.ts), and what is answered.

import { problemText, type Problem } from "../access/index.ts";

/** The head of a request. Borrowed: valid until the function that it is given to returns. */
export interface Head {
  /** A header's value, by its name in lower case; null or empty: there is none. */
  get(name: string): string | null;
  /** The peer's IP address, 4 or 16 bytes, IPv4 always 4; none: it is not known. Borrowed as the head is. Costs more than a microsecond: for those who need it. */
  address(): Uint8Array;
}

/** What goes before an answer's body. Made once and shared between answers. */
export interface Form {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

export class Answer {
  readonly form: Form;
  /** Borrowed until it is sent; text is sent as UTF-8. */
  readonly body: string | Uint8Array;

  constructor(form: Form, body: string | Uint8Array) {
    this.form = form;
    this.body = body;
  }
}

/** A POST in two steps: only when the head is in order is the body read. */
interface PostOf<Admitted extends object, Body> {
  /** @returns what the body is answered for, or at once the answer. */
  admit(head: Head): Admitted | Answer;
  /** @param body borrowed: valid until the function returns. */
  answer(admitted: Admitted, body: Body): Answer;
}

export interface Post extends PostOf<object, unknown> {
  /** `json`: parsed, undefined when it is none. Some servers can parse it faster than we could from bytes. */
  readonly reads: "json" | "bytes";
}

export function jsonPost<Admitted extends object>(post: PostOf<Admitted, unknown>): Post {
  return { reads: "json", ...post };
}

export function bytesPost<Admitted extends object>(post: PostOf<Admitted, Uint8Array>): Post {
  return { reads: "bytes", ...post };
}

/** Why a stream is closed; codes as in RFC 6455, 7.4. */
export class Closing {
  readonly code: number;
  readonly reason: string;

  constructor(code: number, reason: string) {
    this.code = code;
    this.reason = reason;
  }
}

export const GOING_AWAY = new Closing(1001, "this server ends: open another stream");
/** The text that a stream is told when it drains: open another one, send nothing more here, and close when the last answer has come. */
export const MOVE = "move";

/** A WebSocket. Who doesn't read its answers is cut off when more than `unreadBytesMax` of them wait. */
export interface Stream {
  readonly frameBytesMax: number;
  readonly unreadBytesMax: number;
  /** @returns what frames are answered for, or why there is no stream. */
  open(head: Head): object;
  /** @param frame borrowed: valid until the function returns; null: a text. @returns an answer that is borrowed until it is sent, at once. */
  answer(opened: object, frame: Uint8Array | null): Uint8Array | Closing;
}

export function stream<Opened extends object>(of: {
  readonly frameBytesMax: number;
  readonly unreadBytesMax: number;
  open(head: Head): Opened | Answer;
  answer(opened: Opened, frame: Uint8Array | null): Uint8Array | Closing;
}): Stream {
  return of;
}

/** Everything that is at one port, by path. */
export interface Site {
  readonly posts: Readonly<Record<string, Post>>;
  readonly streams: Readonly<Record<string, Stream>>;
  readonly pages: Readonly<Record<string, () => Answer>>;
  /** Says what there is. */
  readonly notFound: Answer;
  /** What is told when an answer could not be made. */
  readonly failed: Answer;
  readonly log: (line: string) => void;
}

export interface FrontOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Whether other processes may listen on it too, each taking its share of the connections. */
  readonly isShared: boolean;
}

/** A server that is listening. */
export interface Front {
  readonly port: number;
  /**
   * From now on every answer is the last one of its connection, and says so; streams are told to move. For a process whose place another one has taken: new
   * connections are still taken.
   */
  drain(): void;
  /** Takes no more connections, answers the requests that have begun to come in, closes all others and the streams. */
  stop(): Promise<void>;
}

const PROBLEM_HEADERS = { "Content-Type": "application/problem+json" };

export function problemAnswer(problem: Problem, headers: Readonly<Record<string, string>> = {}): Answer {
  return new Answer({ status: problem.status, headers: { ...PROBLEM_HEADERS, ...headers } }, problemText(problem));
}

/** What those are told who have to wait, made beforehand for each number of seconds up to `secondsMax`: refusing must cost little. */
export function retryAnswers(problem: Omit<Problem, "status">, secondsMax: number): (seconds: number) => Answer {
  const answers = Array.from({ length: secondsMax }, (_, i) => problemAnswer({ status: 429, ...problem }, { "Retry-After": String(i + 1) }));
  return (seconds) => answers[Math.min(Math.max(seconds, 1), secondsMax) - 1]!;
}

const JSON_FORM: Form = { status: 200, headers: { "Content-Type": "application/json", "Cache-Control": "no-store" } };

/** An answer that nobody on the way may keep. */
export function jsonAnswer(value: unknown): Answer {
  return new Answer(JSON_FORM, JSON.stringify(value));
}

const TEXT_FORM: Form = { status: 200, headers: { "Content-Type": "text/plain" } };

export function textAnswer(text: string): Answer {
  return new Answer(TEXT_FORM, text);
}

const METHOD: Problem = { status: 405, title: "Method not allowed", detail: "see the header Allow" };
export const POST_ONLY = problemAnswer(METHOD, { Allow: "POST" });
export const GET_ONLY = problemAnswer(METHOD, { Allow: "GET, HEAD" });
export const NO_UPGRADE = problemAnswer({ status: 426, title: "No WebSocket", detail: "this address speaks WebSocket only" }, { Upgrade: "websocket" });

/** The token of `Authorization: Bearer …`; empty when there is none. */
export function bearerOf(head: Head): string {
  const authorization = head.get("authorization");
  return authorization?.startsWith("Bearer ") ? authorization.slice("Bearer ".length) : "";
}

/** What is answered to a body whose length isn't said, as in one in chunks, or is too much: nobody reads one here without a bound. undefined: it may come. */
export function lengthFault(head: Head, bytesMax: number): Answer | undefined {
  const length = head.get("content-length");
  if (!length) return LENGTH_REQUIRED;
  return Number(length) > bytesMax ? problemAnswer({ status: 413, title: "Body too large", detail: `a body here has at most ${bytesMax} bytes: send less at once` }) : undefined;
}
const LENGTH_REQUIRED = problemAnswer({ status: 411, title: "Length required", detail: "a body in chunks is not read here: send it with the header Content-Length, its length in bytes" });

/** What a route threw is said to the log, and answered alike by every server. */
export function failure(site: Site, error: unknown): Answer {
  site.log(`a request failed: ${error instanceof Error ? error.message : "unknown fault"}`);
  return site.failed;
}

const FAILED_STREAM = new Closing(1011, "a frame could not be answered: open another stream and send it again");

export function answerFrame(site: Site, stream: Stream, opened: object, frame: Uint8Array | null): Uint8Array | Closing {
  try {
    return stream.answer(opened, frame);
  } catch (error) {
    failure(site, error);
    return FAILED_STREAM;
  }
}
