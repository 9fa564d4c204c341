// The gates' server: sessions and scans over HTTP, on Bun.serve.
// Promises: a scan waits for its own body and nothing else; an unknown and a known holder get answers alike but for what is asked.
// Not here: what an answer says (scan.ts, answer.ts).

import { formatInstant, isRefusal, maskNumber, now, parseDocument, type Clock, type Refusal } from "../domain/index.ts";
import { createCodes, createSessions, lengthProblem, problemResponse, type Keyring, type Problem, type Registry, type Session, type SessionFault, type SessionRequest } from "../access/index.ts";
import { openEntryReader, type EntryReader } from "../entry/index.ts";
import { BAD_REQUEST_OUTCOME, createMetrics, createTally, NO_SESSION_OUTCOME, type LookupMetrics } from "./metrics.ts";
import { answerBatch, BATCH_TYPES, isBatchType } from "./batches.ts";
import { createLook } from "./look.ts";
import { createRecordLook } from "./records.ts";
import { createScan, readQuestion } from "./scan.ts";
import { answerFrame, FRAME_BYTES_MAX, FRAME_FORM } from "./frames.ts";
import { compileVenues } from "./venues.ts";

export interface LookupSettings {
  readonly host: string;
  readonly port: number;
  readonly entriesFolder: string;
  readonly registry: Registry;
  readonly keyring: Keyring;
  readonly sessionSecret: Uint8Array;
  readonly clock: Clock;
  readonly log: (line: string) => void;
}

const BODY_BYTES_MAX = 4096;
const BATCH_BYTES_MAX = 262_144;
/** Answers of one stream that nobody has read yet. */
const BUFFERED_BYTES_MAX = 1_048_576;
/** Reasons why a stream is closed, in the range that is free for applications. */
const CLOSE = { sessionEnded: 4401, noFrame: 4400 } as const;
/** How often the venues' rules are read anew. */
const VENUES_MS = 1000;
/** Entries that nobody has confirmed for so long are old news: not ready. */
const HEARTBEAT_AGE_MS_MAX = 15_000;
const ANSWER_HEADERS = { "Content-Type": "application/json", "Cache-Control": "no-store" };

/** Starts the server. @throws when the port is taken, or there are no entries yet. @returns its port, and how to stop it. */
export function startLookupServer(settings: LookupSettings): { port: number; stop(): Promise<void> } {
  const { host, port, entriesFolder, registry, keyring, sessionSecret, clock, log } = settings;
  const entries = openEntryReader(entriesFolder);
  const sessions = createSessions(registry, sessionSecret, clock);
  const metrics = createMetrics();
  let venues = compileVenues(entries.venueRules());
  const codes = createCodes(sessionSecret);
  const parts = { entries, keyring, codes, venues: () => venues, clock, metrics };
  const look = createLook(parts);
  const recordLook = createRecordLook(parts);
  const scan = createScan(look);
  for (const { name, venue } of registry.devices) {
    if (!venues.has(venue)) log(`device ${name} stands at a venue of the kind "${venue}", of which the rules in force say nothing: it will be answered no-policy`);
  }
  // The rules may change while we run; the worker writes them beside the entries.
  const timer = setInterval(() => (venues = compileVenues(entries.venueRules())), VENUES_MS);

  const sessionOf = (request: Request): Session | undefined => {
    const authorization = request.headers.get("authorization") ?? "";
    return authorization.startsWith("Bearer ") ? sessions.find(authorization.slice(7), now(clock)) : undefined;
  };
  const refuse = (outcome: number, problem: Problem, startMs: number, headers: Record<string, string> = {}): Response => {
    metrics.count(outcome, (performance.now() - startMs) * 1000);
    return problemResponse(problem, headers);
  };

  const handleScan = async (request: Request): Promise<Response> => {
    const startMs = performance.now();
    const session = sessionOf(request);
    if (!session) return refuse(NO_SESSION_OUTCOME, NO_SESSION, startMs);
    const code = request.headers.get("x-code");
    const unread = code === null ? lengthProblem(request, BODY_BYTES_MAX) : undefined;
    if (unread) return refuse(BAD_REQUEST_OUTCOME, unread, startMs);
    if (code !== null && (request.headers.get("content-length") ?? "0") !== "0") return refuse(BAD_REQUEST_OUTCOME, CODE_AND_BODY, startMs);
    const body = code === null ? await readJson(request) : { code };
    if (body === undefined) return refuse(BAD_REQUEST_OUTCOME, NO_JSON, startMs);
    const result = scan(body, session.device.venue);
    if (isRefusal(result)) return refuse(BAD_REQUEST_OUTCOME, notUnderstood(result), startMs);
    metrics.count(result.outcome, (performance.now() - startMs) * 1000);
    return new Response(result.text, { headers: ANSWER_HEADERS });
  };

  const handleScans = async (request: Request): Promise<Response> => {
    const startMs = performance.now();
    const session = sessionOf(request);
    if (!session) return refuse(NO_SESSION_OUTCOME, NO_SESSION, startMs);
    const type = (request.headers.get("content-type") ?? BATCH_TYPES[0]).split(";")[0]!.trim().toLowerCase();
    if (!isBatchType(type)) return refuse(BAD_REQUEST_OUTCOME, BATCH_TYPE_PROBLEM, startMs);
    const unread = lengthProblem(request, BATCH_BYTES_MAX);
    if (unread) return refuse(BAD_REQUEST_OUTCOME, unread, startMs);
    const body = await request.bytes();
    const tally = createTally();
    const answers = answerBatch(body, type, { look, recordLook }, session.device.venue, tally);
    if (isRefusal(answers)) return refuse(BAD_REQUEST_OUTCOME, notUnderstood(answers), startMs);
    metrics.countAll(tally, (performance.now() - startMs) * 1000);
    return new Response(answers, { headers: { ...ANSWER_HEADERS, "Content-Type": type } });
  };

  const handleCode = async (request: Request): Promise<Response> => {
    const session = sessionOf(request);
    if (!session) return problemResponse(NO_SESSION);
    if (session.device.class !== "staff") return problemResponse(CODES_FOR_STAFF);
    const unread = lengthProblem(request, BODY_BYTES_MAX);
    if (unread) return problemResponse(unread);
    const body = await readJson(request);
    const question = body === undefined ? undefined : readQuestion(body);
    if (!question) return problemResponse(NO_JSON);
    if (isRefusal(question)) return problemResponse(notUnderstood(question));
    if (!question.document) return problemResponse(notUnderstood({ field: "document", reason: "is missing: a code is made of a document" }));
    const document = parseDocument(question.document);
    if (isRefusal(document)) return problemResponse(notUnderstood(document));
    const { code, expiresAt } = codes.seal({ key: keyring.documentKey(document), masked: maskNumber(document.number) }, now(clock));
    return Response.json({ code, expiresAt: formatInstant(expiresAt) }, { headers: { "Cache-Control": "no-store" } });
  };

  const handleSession = async (request: Request): Promise<Response> => {
    const unread = lengthProblem(request, BODY_BYTES_MAX);
    if (unread) return problemResponse(unread);
    const body = await readJson(request);
    if (!isSessionRequest(body)) return problemResponse(BAD_SESSION_REQUEST);
    const opened = sessions.open(body);
    if (typeof opened === "string") return problemResponse({ status: 401, title: "No session", detail: SESSION_FAULTS[opened](now(clock)) });
    return Response.json({ session: opened.token, expiresAt: formatInstant(opened.expiresAt) }, { headers: { "Cache-Control": "no-store" } });
  };

  const server = Bun.serve({
    hostname: host,
    port,
    routes: {
      "/v1/scan": (request) => (request.method === "POST" ? handleScan(request) : problemResponse(METHOD_PROBLEM, { Allow: "POST" })),
      "/v1/scans": (request) => (request.method === "POST" ? handleScans(request) : problemResponse(METHOD_PROBLEM, { Allow: "POST" })),
      "/v1/codes": (request) => (request.method === "POST" ? handleCode(request) : problemResponse(METHOD_PROBLEM, { Allow: "POST" })),
      "/v1/stream": (request, streams) => {
        const session = sessionOf(request);
        if (!session) return refuse(NO_SESSION_OUTCOME, NO_SESSION, performance.now());
        return streams.upgrade(request, { data: { session } }) ? undefined : problemResponse(NO_UPGRADE, { Upgrade: "websocket" });
      },
      "/v1/sessions": (request) => (request.method === "POST" ? handleSession(request) : problemResponse(METHOD_PROBLEM, { Allow: "POST" })),
      "/healthz": () => new Response("ok\n"),
      "/readyz": () => readiness(entries, clock),
      "/metrics": () => new Response(metricsText(metrics, entries, clock), { headers: { "Content-Type": "text/plain; version=0.0.4" } }),
    },
    websocket: {
      data: {} as { session: Session },
      maxPayloadLength: FRAME_BYTES_MAX,
      // Who doesn't read its answers is cut off before they pile up.
      backpressureLimit: BUFFERED_BYTES_MAX,
      closeOnBackpressureLimit: true,
      message(socket, frame) {
        const { session } = socket.data;
        if (session.expiresAt <= now(clock)) {
          socket.close(CLOSE.sessionEnded, "the session has ended: open a new one");
          return;
        }
        const startMs = performance.now();
        const tally = createTally();
        const answer = typeof frame === "string" ? undefined : answerFrame(frame, recordLook, session.device.venue, tally);
        if (!answer) {
          socket.close(CLOSE.noFrame, FRAME_FORM);
          return;
        }
        socket.sendBinary(answer);
        metrics.countAll(tally, (performance.now() - startMs) * 1000);
      },
    },
    fetch: () => problemResponse({ status: 404, title: "Not found", detail: "there are POST /v1/sessions, /v1/scan, /v1/scans and /v1/codes, and the WebSocket /v1/stream" }),
    error(error) {
      log(`a request failed: ${error.message}`);
      return problemResponse({ status: 500, title: "Internal error", detail: "the scan could not be answered; please scan again" });
    },
  });

  return {
    port: server.port ?? port,
    async stop() {
      clearInterval(timer);
      await server.stop();
      await entries.close();
    },
  };
}

const NO_SESSION: Problem = { status: 401, title: "No session", detail: "send Authorization: Bearer with a session that has not ended; POST /v1/sessions opens one" };
const NO_JSON: Problem = { status: 400, title: "Bad body", detail: "the body is no JSON" };
const CODE_AND_BODY: Problem = { status: 400, title: "Code and body", detail: "a scan with the header X-Code has no body: send one or the other" };
const BATCH_TYPE_PROBLEM: Problem = { status: 415, title: "Content type not taken", detail: `batches come as ${BATCH_TYPES.join(", ")}` };
const CODES_FOR_STAFF: Problem = { status: 403, title: "Not for this device", detail: "codes are made for devices of the class staff" };
const NO_UPGRADE: Problem = { status: 426, title: "No WebSocket", detail: "this address speaks WebSocket only" };
const METHOD_PROBLEM: Problem = { status: 405, title: "Method not allowed", detail: "see the header Allow" };
const BAD_SESSION_REQUEST: Problem = { status: 400, title: "Bad session request", detail: "the body must be a JSON object of the texts device, issuedAt, nonce (8 to 64 characters) and signature" };
const SESSION_FAULTS: Record<SessionFault, (at: number) => string> = {
  "unknown-device-or-signature": () => "the device is not known, or the signature is not its own",
  clock: (at) => `issuedAt must lie within 300 s of the server's time, which is ${formatInstant(at)}`,
  replay: () => "this request has been used before: make one with a new nonce",
};

function notUnderstood(refusal: Refusal): Problem {
  return { status: 422, title: "Scan not understood", detail: `${refusal.field} ${refusal.reason}`, errors: [{ line: 1, ...refusal }] };
}

async function readJson(request: Request): Promise<unknown> {
  try {
    return await request.json();
  } catch {
    return undefined;
  }
}

function isSessionRequest(body: unknown): body is SessionRequest {
  if (typeof body !== "object" || body === null) return false;
  const { device, issuedAt, nonce, signature, ...others } = body as Record<string, unknown>;
  const areTexts = [device, issuedAt, nonce, signature].every((v) => typeof v === "string" && v.length <= 512);
  return areTexts && /^[\w.~+/=-]{8,64}$/.test(nonce as string) && Object.keys(others).length === 0;
}

function readiness(entries: EntryReader, clock: Clock): Response {
  const heartbeat = entries.heartbeat();
  const ageMs = heartbeat ? clock.nowMs() - heartbeat.atMs : Infinity;
  if (ageMs <= HEARTBEAT_AGE_MS_MAX) return new Response("ready\n");
  return problemResponse({ status: 503, title: "Not ready", detail: heartbeat ? `the worker has not been heard of for ${Math.round(ageMs / 1000)} s` : "the worker has not written anything yet" });
}

function metricsText(metrics: LookupMetrics, entries: EntryReader, clock: Clock): string {
  const heartbeat = entries.heartbeat();
  const ageS = (ms: number | undefined): number => (ms ? (clock.nowMs() - ms) / 1000 : -1);
  return metrics.text({
    fangxing_entries: { help: "Entries in the store.", value: entries.count() },
    fangxing_newest_entry_age_seconds: { help: "Time since an entry last changed; -1: never.", value: ageS(heartbeat?.changedMs) },
    fangxing_worker_heartbeat_age_seconds: { help: "Time since the worker was last heard of; -1: never.", value: ageS(heartbeat?.atMs) },
    fangxing_changes_held: { help: "Changes of rules and regions that wait for somebody to decide, as of the worker's last heartbeat.", value: heartbeat?.changesHeld ?? 0 },
    fangxing_queue_depth: { help: "Batches accepted and not yet applied, as of the worker's last heartbeat.", value: heartbeat?.batchesWaiting ?? 0 },
  });
}
