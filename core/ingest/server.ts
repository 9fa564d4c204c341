// The ingest API: signed deliveries in, 202 once they are on disk, and where each batch is.
// Promises: nothing is answered 202 before it is flushed; what is refused is answered with line, field and reason; numbers never leave memory.
// Not here: applying (worker.ts).

import { formatMs, type Clock } from "../domain/index.ts";
import { bodyMatches, DIGEST_FAULT, problemResponse, verifyRequest, type Keyring, type Problem, type Registry, type Source } from "../access/index.ts";
import { openEvidenceReader, type EvidenceReader } from "../evidence/index.ts";
import { batchIdFault, contentTypesOf, FEEDS, formatOf, OPERATOR_FEEDS, isFeed, LINES_MAX, readBatch, type Feed } from "./batch.ts";
import { createDispatch, type Dispatch } from "./dispatch.ts";
import { isDead } from "./failures.ts";
import { isGuarded } from "./guarded.ts";
import { openInbox, type Inbox } from "./inbox.ts";
import { createIntake, USUAL_INTAKE, type Intake, type IntakeLimits } from "./intake.ts";
import { metricsText } from "./metrics.ts";
import { openQueue, type BatchQueue, type QueueAddress } from "./queue.ts";

export interface IngestSettings {
  readonly host: string;
  readonly port: number;
  readonly folders: { readonly inbox: string; readonly evidence: string };
  readonly queueAddress: QueueAddress;
  readonly registry: Registry;
  readonly keyring: Keyring;
  readonly clock: Clock;
  /** Largest body taken, in bytes. */
  readonly bodyBytesMax: number;
  /** How much may wait; USUAL_INTAKE when absent. */
  readonly intakeLimits?: IntakeLimits;
  readonly log: (line: string) => void;
}

/** How often what is queued is looked over: what is applied makes room for others. */
const SWEEP_MS = 500;

/** What requests are answered from. */
interface Desk extends IngestSettings {
  readonly inbox: Inbox;
  readonly queue: BatchQueue;
  readonly dispatch: Dispatch;
  readonly intake: Intake;
  /** How far the worker has come; undefined while it has not made its store yet. */
  readonly evidence: () => EvidenceReader | undefined;
}

/** Starts the API. @throws when the port is taken. @returns its port, and how to stop it. */
export function startIngestServer(settings: IngestSettings): { port: number; stop(): Promise<void> } {
  const { host, port, folders, queueAddress, log } = settings;
  let evidence: EvidenceReader | undefined;
  const evidenceIfThere = (): EvidenceReader | undefined => {
    try {
      evidence ??= openEvidenceReader(folders.evidence);
    } catch {
      // Not there yet: nothing has been applied.
    }
    return evidence;
  };
  const [inbox, queue] = [openInbox(folders.inbox), openQueue(queueAddress)];
  const dispatch = createDispatch({ inbox, queue, evidence: evidenceIfThere, clock: settings.clock });
  const intake = createIntake(settings.intakeLimits ?? USUAL_INTAKE, folders.inbox, inbox, dispatch);
  const desk: Desk = { ...settings, inbox, queue, dispatch, intake, evidence: evidenceIfThere };

  const server = Bun.serve({
    hostname: host,
    port,
    // The limit is kept in readBody, which tells the sender what it is.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    routes: {
      "/healthz": () => new Response("ok\n"),
      "/readyz": () => new Response("ready\n"),
      "/metrics": async () => new Response(await metricsText(desk), { headers: { "Content-Type": "text/plain; version=0.0.4" } }),
      "/v1/feeds/:feed/batches": async (request) =>
        request.method === "POST" ? deliver(request, request.params.feed, desk) : problemResponse(METHOD_PROBLEM, { Allow: "POST" }),
      "/v1/feeds/:feed/batches/:batch": (request) =>
        request.method === "GET" ? tell(request, request.params, desk) : problemResponse(METHOD_PROBLEM, { Allow: "GET" }),
    },
    fetch: () => problemResponse({ status: 404, title: "Not found", detail: "there are POST /v1/feeds/{feed}/batches and GET /v1/feeds/{feed}/batches/{id}" }),
    error(error) {
      log(`a request failed: ${error.message}`);
      return problemResponse({ status: 500, title: "Internal error", detail: "the request could not be served; a delivery can be sent again under the same batch id" });
    },
  });

  let sweeping: Promise<void> | undefined;
  // A disk that is full for now, above all: the next sweep tries again.
  const sweep = (): Promise<void> =>
    dispatch.sweep().catch((error: unknown) => {
      log(`the inbox could not be looked over: ${(error as Error).message}`);
    });
  const timer = setInterval(() => {
    sweeping ??= sweep().finally(() => (sweeping = undefined));
  }, SWEEP_MS);

  return {
    port: server.port ?? port,
    async stop() {
      clearInterval(timer);
      await server.stop();
      await sweeping;
      await desk.queue.close();
      await desk.inbox.close();
      await evidence?.close();
    },
  };
}

const METHOD_PROBLEM: Problem = { status: 405, title: "Method not allowed", detail: "see the header Allow" };

async function deliver(request: Request, feedName: string, desk: Desk): Promise<Response> {
  const { clock, keyring, bodyBytesMax, inbox, dispatch, intake } = desk;
  const source = authorise(request, feedName, desk, "delivery");
  if (!("feeds" in source)) return problemResponse(source);
  const feed = feedName as Feed;
  const full = intake.fault({ source: source.name, feed });
  if (full) return intake.refuse(full);
  const batch = request.headers.get("batch-id") ?? "";
  const idFault = batchIdFault(batch);
  if (idFault !== undefined) return problemResponse({ status: 400, title: "Bad Batch-Id", detail: `the header Batch-Id ${idFault}` });
  const contentType = request.headers.get("content-type") ?? contentTypesOf(feed)[0]!;
  const format = formatOf(feed, contentType);
  if (!format) {
    return problemResponse({ status: 415, title: "Content type not taken", detail: `the feed ${feed} takes ${contentTypesOf(feed).join(", ")}` });
  }

  const body = await readBody(request, bodyBytesMax);
  if (!body) {
    return problemResponse({ status: 413, title: "Body too large", detail: `a batch may have ${bodyBytesMax} bytes: send it in parts, each with a batch id of its own` });
  }
  if (!bodyMatches(Object.fromEntries(request.headers), body)) {
    return problemResponse({ status: 401, title: "Not signed as needed", detail: DIGEST_FAULT });
  }
  const text = decodeUtf8(body);
  if (text === undefined) return problemResponse({ status: 400, title: "Bad body", detail: "the body is no UTF-8 text" });
  if (lineCount(text) > LINES_MAX) {
    return problemResponse({ status: 413, title: "Too many lines", detail: `a batch may have ${LINES_MAX} lines: send it in parts, each with a batch id of its own` });
  }

  // A repeated batch is read as of its first arrival, so that its answer is the same; faults are answered, never kept.
  const bodyHash = keyring.bodyHash(body);
  const known = inbox.find({ source: source.name, feed, batch });
  if (known && known.bodyHash !== bodyHash) return problemResponse(BATCH_TAKEN);
  const receivedMs = known?.receivedMs ?? clock.nowMs();
  const { rows, ...read } = readBatch(feed, format, text, { keyring, source: source.name, now: Math.floor(receivedMs / 1000), isHistory: source.history ?? false });
  const { accepted, refusedCount, refused, ignored } = read;
  // A risk list without any area has a row, the list itself; one of whose items none found its county must free nobody.
  if (accepted === 0 && (refusedCount > 0 || (rows.length === 0 && ignored === 0))) {
    const detail = refusedCount > 0 ? "no row could be accepted, nothing was kept: correct the rows and send them again" : "the body holds no row of this feed";
    return problemResponse({ status: 422, title: "Nothing accepted", detail, errors: refused });
  }
  const answer = { batch, accepted, refused, ...(refusedCount > refused.length ? { refusedCount } : {}), ...(ignored > 0 ? { ignored } : {}) };
  if (known) return Response.json(answer, { status: 202 });
  const header = await inbox.store({ source: source.name, feed, batch, bodyHash, receivedMs, accepted, refused: refusedCount, ignored }, rows);
  if (header.bodyHash !== bodyHash) return problemResponse(BATCH_TAKEN);
  dispatch.accepted(header);
  return Response.json(answer, { status: 202 });
}

const BATCH_TAKEN: Problem = { status: 409, title: "Batch id taken", detail: "another body was delivered under this batch id before; nothing was changed: use a new id" };

function tell(request: Request, { feed: feedName, batch: id }: { feed: string; batch: string }, desk: Desk): Response {
  const source = authorise(request, feedName, desk, "question");
  if (!("feeds" in source)) return problemResponse(source);
  const header = desk.inbox.find({ source: source.name, feed: feedName as Feed, batch: id });
  if (!header) return problemResponse({ status: 404, title: "No such batch", detail: `the source ${source.name} has delivered no batch of this id to this feed` });
  const progress = desk.evidence()?.progress(header.sequence);
  const { repeats, undone = [], failure } = progress ?? {};
  const change = isGuarded(header.feed) ? desk.evidence()?.change(repeats ?? header.sequence) : undefined;
  const appliedMs = progress?.appliedMs ?? null;
  return Response.json({
    batch: header.batch,
    feed: header.feed,
    number: header.sequence,
    state: appliedMs !== null ? "applied" : isDead(progress) ? "dead" : progress || desk.dispatch.isQueued(header.sequence) ? "queued" : "stored",
    accepted: header.accepted,
    refused: header.refused,
    chunks: header.chunks,
    chunksApplied: appliedMs !== null ? header.chunks : (progress?.chunksDone ?? 0),
    entriesChanged: progress?.entriesChanged ?? 0,
    receivedAt: formatMs(header.receivedMs),
    appliedAt: appliedMs === null ? null : formatMs(appliedMs),
    tookMs: appliedMs === null ? null : appliedMs - header.receivedMs,
    ...(failure ? { failure: { attempts: failure.attempts, at: formatMs(failure.atMs), reason: failure.reason } } : {}),
    ...(repeats === undefined ? {} : { repeats: true }),
    ...(undone.length > 0 ? { undone } : {}),
    ...(change ? { change: { id: change.id, state: change.state, reasons: change.reasons, report: change.report } } : {}),
  });
}

/** Who sends, if it may: the source, or the problem to answer. */
function authorise(request: Request, feed: string, { registry, clock }: Desk, kind: "delivery" | "question"): Source | Problem {
  const url = new URL(request.url);
  if (url.search !== "") return { status: 400, title: "No query here", detail: "these addresses take no query: signatures don't cover one" };
  const headers = Object.fromEntries(request.headers);
  const source = verifyRequest({ method: request.method, path: url.pathname, headers, kind }, registry, clock);
  if (typeof source === "string") return { status: 401, title: "Not signed as needed", detail: source };
  if (!isFeed(feed)) return { status: 404, title: "No such feed", detail: `feeds are ${FEEDS.join(", ")}` };
  const mayDeliver = source.feeds.includes(feed) || (source.feeds.includes("*") && !OPERATOR_FEEDS.includes(feed));
  if (!mayDeliver) return { status: 403, title: "Not this source's feed", detail: `the source ${source.name} may deliver to ${source.feeds.join(", ")}` };
  return source;
}

/** The body, or undefined as soon as it is larger than it may be. */
async function readBody(request: Request, bytesMax: number): Promise<Uint8Array | undefined> {
  if (Number(request.headers.get("content-length") ?? 0) > bytesMax) return undefined;
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of (request.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += part.length;
    if (bytes > bytesMax) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** Lines end with LF, CR or both: HL7 has CR alone. */
function lineCount(text: string): number {
  let count = 1;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
  for (let at = text.indexOf("\r"); at >= 0; at = text.indexOf("\r", at + 1)) if (text[at + 1] !== "\n") count++;
  return count;
}

function decodeUtf8(body: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    return undefined;
  }
}
