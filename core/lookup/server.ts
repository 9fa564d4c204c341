// The gates' server: sessions and scans over HTTP, on Bun.serve.
// Promises: a scan waits for its own body and nothing else; an unknown and a known holder get answers alike but for what is asked.
// Not here: what an answer says (scan.ts, answer.ts).

import { formatInstant, isRefusal, now, type Clock } from "../domain/index.ts";
import { createSessions, problemResponse, type Keyring, type Problem, type Registry, type SessionFault, type SessionRequest } from "../access/index.ts";
import { openEntryReader, type EntryReader } from "../entry/index.ts";
import { createMetrics, type LookupMetrics } from "./metrics.ts";
import { createScan } from "./scan.ts";
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
  const scan = createScan({ entries, keyring, venues: () => venues, clock, metrics });
  for (const { name, venue } of registry.devices) {
    if (!venues.has(venue)) log(`device ${name} stands at a venue of the kind "${venue}", of which the rules in force say nothing: it will be answered no-policy`);
  }
  // The rules may change while we run; the worker writes them beside the entries.
  const timer = setInterval(() => (venues = compileVenues(entries.venueRules())), VENUES_MS);

  const handleScan = async (request: Request): Promise<Response> => {
    const startMs = performance.now();
    const refuse = (outcome: "no-session" | "bad-request", problem: Problem): Response => {
      metrics.count(outcome, (performance.now() - startMs) * 1000);
      return problemResponse(problem);
    };
    const authorization = request.headers.get("authorization") ?? "";
    const session = authorization.startsWith("Bearer ") ? sessions.find(authorization.slice(7), now(clock)) : undefined;
    if (!session) return refuse("no-session", NO_SESSION);
    if (isTooLarge(request)) return refuse("bad-request", BODY_TOO_LARGE);
    const body = await readJson(request);
    if (body === undefined) return refuse("bad-request", NO_JSON);
    const result = scan(body, session.device.venue);
    if (isRefusal(result)) return refuse("bad-request", { status: 422, title: "Scan not understood", detail: `${result.field} ${result.reason}`, errors: [{ line: 1, ...result }] });
    metrics.count(result.outcome, (performance.now() - startMs) * 1000);
    return new Response(result.text, { headers: ANSWER_HEADERS });
  };

  const handleSession = async (request: Request): Promise<Response> => {
    if (isTooLarge(request)) return problemResponse(BODY_TOO_LARGE);
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
      "/v1/sessions": (request) => (request.method === "POST" ? handleSession(request) : problemResponse(METHOD_PROBLEM, { Allow: "POST" })),
      "/healthz": () => new Response("ok\n"),
      "/readyz": () => readiness(entries, clock),
      "/metrics": () => new Response(metricsText(metrics, entries, clock), { headers: { "Content-Type": "text/plain; version=0.0.4" } }),
    },
    fetch: () => problemResponse({ status: 404, title: "Not found", detail: "there are POST /v1/sessions and POST /v1/scan" }),
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
const BODY_TOO_LARGE: Problem = { status: 413, title: "Body too large", detail: `a body here has at most ${BODY_BYTES_MAX} bytes and says its length in Content-Length` };
const METHOD_PROBLEM: Problem = { status: 405, title: "Method not allowed", detail: "see the header Allow" };
const BAD_SESSION_REQUEST: Problem = { status: 400, title: "Bad session request", detail: "the body must be a JSON object of the texts device, issuedAt, nonce (8 to 64 characters) and signature" };
const SESSION_FAULTS: Record<SessionFault, (at: number) => string> = {
  "unknown-device-or-signature": () => "the device is not known, or the signature is not its own",
  clock: (at) => `issuedAt must lie within 300 s of the server's time, which is ${formatInstant(at)}`,
  replay: () => "this request has been used before: make one with a new nonce",
};

/** A body whose length isn't said up front counts as too large: nobody reads one here without a bound. */
function isTooLarge(request: Request): boolean {
  const length = request.headers.get("content-length");
  return length === null || Number(length) > BODY_BYTES_MAX;
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
