// The ingest API: signed deliveries in, 202 once they are on disk, and where each batch is.
// Promises: nothing is answered 202 before it is flushed; what is refused is answered with line, field and reason; numbers never leave memory.
// Not here: applying (worker.ts).

import { formatMs, type Clock } from "../domain/index.ts";
import { bodyMatches, DIGEST_FAULT, problemResponse, type Keyring, type Problem, type Registry, type Source } from "../access/index.ts";
import { openEvidenceReader, type EvidenceReader } from "../evidence/index.ts";
import { createAdmission, type Admission } from "./admission.ts";
import { batchIdFault, contentTypesOf, formatOf, openReading, type Feed } from "./batch.ts";
import { BodyError, encodingOf, ENCODINGS, openBody, tooLarge } from "./body.ts";
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
  /** Milliseconds by a clock that only goes forward, for quotas. */
  readonly elapsedMs?: () => number;
  /** Largest body taken, in bytes, packed and unpacked. */
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
  readonly admission: Admission;
  readonly queue: BatchQueue;
  readonly dispatch: Dispatch;
  readonly intake: Intake;
  /** How far the worker has come; undefined while it has not made its store yet. */
  readonly evidence: () => EvidenceReader | undefined;
}

/** Starts the API. @throws when the port is taken. @returns its port, and how to stop it. */
export function startIngestServer(settings: IngestSettings): { port: number; stop(): Promise<void> } {
  const { host, port, folders, queueAddress, registry, clock, elapsedMs = () => performance.now(), log } = settings;
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
  const dispatch = createDispatch({ inbox, queue, evidence: evidenceIfThere, clock });
  const intake = createIntake(settings.intakeLimits ?? USUAL_INTAKE, folders.inbox, inbox, dispatch);
  const admission = createAdmission({ registry, clock, nonces: inbox.nonces, elapsedMs });
  const desk: Desk = { ...settings, inbox, admission, queue, dispatch, intake, evidence: evidenceIfThere };

  const server = Bun.serve({
    hostname: host,
    port,
    // The limit is kept by openBody, which tells the sender what it is.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    routes: {
      "/healthz": () => new Response("ok\n"),
      "/readyz": () => new Response("ready\n"),
      "/metrics": async () => new Response(await metricsText(desk), { headers: { "Content-Type": "text/plain; version=0.0.4" } }),
      "/v1/feeds/:feed/batches": async (request) =>
        request.method === "POST" ? receive(request, request.params.feed, desk) : problemResponse(METHOD_PROBLEM, { Allow: "POST" }),
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

async function receive(request: Request, feed: string, desk: Desk): Promise<Response> {
  const source = desk.admission.admit(request, feed, "delivery");
  return source instanceof Response ? source : desk.admission.counted(source, () => deliver(request, feed as Feed, source, desk));
}

async function deliver(request: Request, feed: Feed, source: Source, desk: Desk): Promise<Response> {
  const { clock, keyring, bodyBytesMax, inbox, dispatch, intake } = desk;
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

  const encoding = encodingOf(request.headers.get("content-encoding"));
  if (!encoding) {
    const detail = `a body may be packed by ${ENCODINGS.join(" or ")}, once, or not at all: see the header Accept-Encoding`;
    return problemResponse({ status: 415, title: "Content encoding not taken", detail }, { "Accept-Encoding": ENCODINGS.join(", ") });
  }
  if (Number(request.headers.get("content-length") ?? 0) > bodyBytesMax) return problemResponse(tooLarge(bodyBytesMax).problem);

  // A repeated batch is read as of its first arrival, so that its answer is the same; faults are answered, never kept.
  const known = inbox.find({ source: source.name, feed, batch });
  const receivedMs = known?.receivedMs ?? clock.nowMs();
  const reading = openReading(feed, format, { keyring, source: source.name, now: Math.floor(receivedMs / 1000), isHistory: source.history ?? false });
  const hasher = keyring.bodyHasher();
  const body = openBody(request.body as AsyncIterable<Uint8Array> | null, { encoding, bytesMax: bodyBytesMax, hasher });
  // Its rows go to the disk while it is read, and belong to nobody until all of it was found to be sound.
  const staged = inbox.stage();
  let isKept = false;
  try {
    let rows = 0;
    const keep = async (): Promise<void> => {
      const drained = reading.drain();
      rows += drained.length;
      if (!known) await staged.add(drained);
    };
    for await (const piece of body.pieces()) {
      const full = intake.diskFault();
      if (full) return intake.refuse(full);
      reading.write(piece);
      await keep();
    }
    // Before the last row is read: what wasn't signed is told nothing of its rows.
    if (!bodyMatches(Object.fromEntries(request.headers), body.sha256())) return problemResponse({ status: 401, title: "Not signed as needed", detail: DIGEST_FAULT });
    reading.end();
    await keep();

    const bodyHash = hasher.digest();
    if (known && known.bodyHash !== bodyHash) return problemResponse(BATCH_TAKEN);
    const { accepted, refusedCount, refused, ignored } = reading;
    // A risk list without any area has a row, the list itself; one of whose items none found its county must free nobody.
    if (accepted === 0 && (refusedCount > 0 || (rows === 0 && ignored === 0))) {
      const detail = refusedCount > 0 ? "no row could be accepted, nothing was kept: correct the rows and send them again" : "the body holds no row of this feed";
      return problemResponse({ status: 422, title: "Nothing accepted", detail, errors: refused });
    }
    const answer = { batch, accepted, refused, ...(refusedCount > refused.length ? { refusedCount } : {}), ...(ignored > 0 ? { ignored } : {}) };
    if (known) return Response.json(answer, { status: 202 });
    const header = await staged.commit({ source: source.name, feed, batch, bodyHash, receivedMs, accepted, refused: refusedCount, ignored });
    isKept = true;
    if (header.bodyHash !== bodyHash) return problemResponse(BATCH_TAKEN);
    dispatch.accepted(header);
    return Response.json(answer, { status: 202 });
  } catch (error) {
    if (error instanceof BodyError) return problemResponse(error.problem);
    throw error;
  } finally {
    desk.admission.charge(source, reading.accepted + reading.refusedCount);
    if (!isKept) await staged.abort().catch(() => undefined); // what can't be dropped now is dropped at the next start
  }
}

const BATCH_TAKEN: Problem = { status: 409, title: "Batch id taken", detail: "another body was delivered under this batch id before; nothing was changed: use a new id" };

function tell(request: Request, { feed: feedName, batch: id }: { feed: string; batch: string }, desk: Desk): Response {
  const source = desk.admission.admit(request, feedName, "question");
  if (source instanceof Response) return source;
  const header = desk.inbox.find({ source: source.name, feed: feedName as Feed, batch: id });
  if (!header) return problemResponse({ status: 404, title: "No such batch", detail: `the source ${source.name} has delivered no batch of this id to this feed` });
  const progress = desk.evidence()?.progress(header.sequence);
  const { repeats, undone = [], tooLate = 0, failure } = progress ?? {};
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
    ...(tooLate > 0 ? { tooLate } : {}),
    ...(change ? { change: { id: change.id, state: change.state, reasons: change.reasons, report: change.report } } : {}),
  });
}
