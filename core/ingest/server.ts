// The ingest API: signed deliveries in, 202 once they are on disk, and where each batch is.
// Promises: nothing is answered 202 before it is flushed; what is refused is answered with line, field and reason; numbers never leave memory.
// Not here: applying (worker.ts).

import { formatMs, type Clock } from "../domain/index.ts";
import { bodyMatches, DIGEST_FAULT, problemResponse, type Keyring, type Problem, type Registry, type Source } from "../access/index.ts";
import { openEvidenceReader, type EvidenceReader } from "../evidence/index.ts";
import { createAdmission, type Admission } from "./admission.ts";
import { batchIdFault, contentTypesOf, formatOf, openReading, type Feed } from "./batch.ts";
import { BodyError, encodingOf, ENCODINGS, openBody, tooLarge } from "./body.ts";
import { isGuarded } from "./guarded.ts";
import { openInbox, type Inbox } from "./inbox.ts";
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
  readonly log: (line: string) => void;
}

/** How often the inbox is looked over for batches that are stored and not applied. */
const SWEEP_MS = 1000;
/** After so long a batch is queued again: Redis may have lost it. Adding one that is still queued changes nothing. */
const QUEUE_AGAIN_MS = 5000;

/** What requests are answered from. */
interface Desk extends IngestSettings {
  readonly inbox: Inbox;
  readonly admission: Admission;
  readonly queue: BatchQueue;
  /** When each pending batch was last put into the queue, milliseconds of the service's clock. */
  readonly queuedMs: Map<number, number>;
  /** Batches that the last sweep saw applied. */
  readonly appliedBefore: Set<number>;
  /** How far the worker has come; undefined while it has not made its store yet. */
  evidence(): EvidenceReader | undefined;
}

/** Starts the API. @throws when the port is taken. @returns its port, and how to stop it. */
export function startIngestServer(settings: IngestSettings): { port: number; stop(): Promise<void> } {
  const { host, port, folders, queueAddress, registry, clock, elapsedMs = () => performance.now(), log } = settings;
  let evidence: EvidenceReader | undefined;
  const inbox = openInbox(folders.inbox);
  const desk: Desk = {
    ...settings,
    inbox,
    admission: createAdmission({ registry, clock, nonces: inbox.nonces, elapsedMs }),
    queue: openQueue(queueAddress),
    queuedMs: new Map(),
    appliedBefore: new Set(),
    evidence() {
      try {
        evidence ??= openEvidenceReader(folders.evidence);
      } catch {
        // Not there yet: nothing has been applied.
      }
      return evidence;
    },
  };

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
  const timer = setInterval(() => {
    sweeping ??= sweep(desk).finally(() => (sweeping = undefined));
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

/** Drops the rows of applied batches; queues again what is stored and neither applied nor lately queued. */
async function sweep(desk: Desk): Promise<void> {
  const { inbox, queue, queuedMs, appliedBefore, clock } = desk;
  try {
    for (const sequence of inbox.pending()) {
      const appliedMs = desk.evidence()?.progress(sequence)?.appliedMs ?? null;
      if (appliedMs !== null) {
        // Seen is not yet on disk: until the next sweep the worker has time to sync what it says.
        if (!appliedBefore.delete(sequence)) appliedBefore.add(sequence);
        else await inbox.finish(sequence);
        queuedMs.delete(sequence);
      } else if (clock.nowMs() - (queuedMs.get(sequence) ?? 0) >= QUEUE_AGAIN_MS) {
        await queue.add(sequence);
        queuedMs.set(sequence, clock.nowMs());
      }
    }
  } catch {
    // Redis is away: the next sweep tries again.
  }
}

async function receive(request: Request, feed: string, desk: Desk): Promise<Response> {
  const source = desk.admission.admit(request, feed, "delivery");
  return source instanceof Response ? source : desk.admission.counted(source, () => deliver(request, feed as Feed, source, desk));
}

async function deliver(request: Request, feed: Feed, source: Source, desk: Desk): Promise<Response> {
  const { clock, keyring, bodyBytesMax, inbox, queue, queuedMs } = desk;
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
    // Not awaited: the batch is kept, and if Redis is away now the sweep queues it later.
    queue.add(header.sequence).then(
      () => queuedMs.set(header.sequence, receivedMs),
      () => undefined,
    );
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
  const { repeats, undone = [], tooLate = 0 } = progress ?? {};
  const change = isGuarded(header.feed) ? desk.evidence()?.change(repeats ?? header.sequence) : undefined;
  const appliedMs = progress?.appliedMs ?? null;
  return Response.json({
    batch: header.batch,
    feed: header.feed,
    state: appliedMs !== null ? "applied" : progress || desk.queuedMs.has(header.sequence) ? "queued" : "stored",
    accepted: header.accepted,
    refused: header.refused,
    chunks: header.chunks,
    chunksApplied: appliedMs !== null ? header.chunks : (progress?.chunksDone ?? 0),
    entriesChanged: progress?.entriesChanged ?? 0,
    receivedAt: formatMs(header.receivedMs),
    appliedAt: appliedMs === null ? null : formatMs(appliedMs),
    tookMs: appliedMs === null ? null : appliedMs - header.receivedMs,
    ...(repeats === undefined ? {} : { repeats: true }),
    ...(undone.length > 0 ? { undone } : {}),
    ...(tooLate > 0 ? { tooLate } : {}),
    ...(change ? { change: { id: change.id, state: change.state, reasons: change.reasons, report: change.report } } : {}),
  });
}

/** Prometheus text. The queue's counts are absent while Redis is away. */
async function metricsText(desk: Desk): Promise<string> {
  const { inbox, queue, clock } = desk;
  const pending = inbox.pending();
  const oldestMs = pending[0] === undefined ? undefined : inbox.header(pending[0])?.receivedMs;
  const lines = [
    "# HELP fangxing_batches_pending Batches accepted and not yet applied.",
    "# TYPE fangxing_batches_pending gauge",
    `fangxing_batches_pending ${pending.length}`,
    "# HELP fangxing_oldest_pending_batch_age_seconds Age of the oldest batch that is not yet applied.",
    "# TYPE fangxing_oldest_pending_batch_age_seconds gauge",
    `fangxing_oldest_pending_batch_age_seconds ${oldestMs === undefined ? 0 : (clock.nowMs() - oldestMs) / 1000}`,
  ];
  lines.push(
    "# HELP fangxing_changes_held Changes of rules and regions that wait for somebody to decide.",
    "# TYPE fangxing_changes_held gauge",
    `fangxing_changes_held ${desk.evidence()?.heldChanges() ?? 0}`,
    ...desk.admission.metricLines(),
  );
  const counts = await queue.counts().catch(() => undefined);
  if (counts) {
    lines.push(
      "# HELP fangxing_queue_depth Jobs in the queue.",
      "# TYPE fangxing_queue_depth gauge",
      `fangxing_queue_depth{state="waiting"} ${counts.waiting}`,
      `fangxing_queue_depth{state="active"} ${counts.active}`,
    );
  }
  return `${lines.join("\n")}\n`;
}
