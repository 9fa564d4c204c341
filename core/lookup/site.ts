// What is at the gates' port: sessions, scans in every form, codes and streams, whatever server carries them.
// Promises: a scan waits for its own body and nothing else; an unknown and a known holder get answers alike but for what is asked.
// Not here: HTTP (front), what an answer says (scan.ts, answer.ts), health and metrics (health.ts).

import { formatInstant, isRefusal, maskNumber, now, parseDocument, type Clock, type Refusal } from "../domain/index.ts";
import type { Codes, Keyring, Problem, Session, SessionFault, SessionRequest, Sessions } from "../access/index.ts";
import { Answer, bearerOf, bytesPost, Closing, jsonAnswer, jsonPost, lengthFault, problemAnswer, stream, type Form, type Head, type Site } from "../front/index.ts";
import { answerBatch, BATCH_TYPES, isBatchType, readBatch, type BatchType } from "./batches.ts";
import { answerFrame, FRAME_BYTES_MAX, FRAME_FORM, scansOf } from "./frames.ts";
import type { Limits } from "./limits.ts";
import type { Look } from "./look.ts";
import { BAD_REQUEST_OUTCOME, createTally, NO_SESSION_OUTCOME, type LookupMetrics } from "./metrics.ts";
import type { RecordLook } from "./records.ts";
import { createRefusals } from "./refusals.ts";
import { createScan, readQuestion } from "./scan.ts";

export interface SiteParts {
  readonly look: Look;
  readonly recordLook: RecordLook;
  readonly sessions: Sessions;
  readonly limits: Limits;
  readonly codes: Codes;
  readonly keyring: Keyring;
  readonly clock: Clock;
  readonly elapsedMs: () => number;
  readonly metrics: LookupMetrics;
  readonly log: (line: string) => void;
}

const BODY_BYTES_MAX = 4096;
const BATCH_BYTES_MAX = 262_144;
/** Answers of one stream that nobody has read yet. */
const UNREAD_BYTES_MAX = 1_048_576;
/** Reasons why a stream is closed, in the range that is free for applications. */
const SESSION_ENDED = new Closing(4401, "the session has ended: open a new one");
const NO_FRAME = new Closing(4400, FRAME_FORM);

/** A request that may be answered, and when it came in. */
interface Asked {
  readonly session: Session;
  readonly startMs: number;
}

/** @returns all that is there but health and metrics. */
export function createSite({ look, recordLook, sessions, limits, codes, keyring, clock, elapsedMs, metrics, log }: SiteParts): Omit<Site, "pages"> {
  const scan = createScan(look);
  const refusals = createRefusals(limits, metrics, elapsedMs);
  const sessionOf = (head: Head): Session | undefined => sessions.find(bearerOf(head), now(clock));
  const counted = (outcome: number, answer: Answer, startMs: number): Answer => {
    metrics.count(outcome, (elapsedMs() - startMs) * 1000);
    return answer;
  };
  const noSession = (head: Head, nowMs: number): Answer => refusals.failure(NO_SESSION, head.address(), nowMs);
  const answerScan = ({ session, startMs }: Asked, body: unknown): Answer => {
    if (body === undefined) return counted(BAD_REQUEST_OUTCOME, NO_JSON, startMs);
    const result = scan(body, session.device.venue);
    if (isRefusal(result)) return counted(BAD_REQUEST_OUTCOME, notUnderstood(result), startMs);
    metrics.count(result.outcome, (elapsedMs() - startMs) * 1000);
    return new Answer(ANSWER_FORM, result.bytes);
  };

  return {
    posts: {
      "/v1/scan": jsonPost<Asked>({
        admit(head) {
          const startMs = elapsedMs();
          const session = sessionOf(head);
          if (!session) return counted(NO_SESSION_OUTCOME, noSession(head, startMs), startMs);
          const refused = refusals.scan(session, startMs);
          if (refused) return refused;
          const code = head.get("x-code");
          if (!code) {
            const fault = lengthFault(head, BODY_BYTES_MAX);
            return fault ? counted(BAD_REQUEST_OUTCOME, fault, startMs) : { session, startMs };
          }
          return (head.get("content-length") || "0") !== "0" ? counted(BAD_REQUEST_OUTCOME, CODE_AND_BODY, startMs) : answerScan({ session, startMs }, { code });
        },
        answer: answerScan,
      }),
      "/v1/scans": bytesPost<Asked & { readonly type: BatchType }>({
        admit(head) {
          const startMs = elapsedMs();
          const session = sessionOf(head);
          if (!session) return counted(NO_SESSION_OUTCOME, noSession(head, startMs), startMs);
          // Taken as one scan before it is read, so that reading isn't free for who is over the limit.
          const refused = refusals.scan(session, startMs);
          if (refused) return refused;
          const type = (head.get("content-type") || BATCH_TYPES[0]).split(";")[0]!.trim().toLowerCase();
          if (!isBatchType(type)) return counted(BAD_REQUEST_OUTCOME, BATCH_TYPE_PROBLEM, startMs);
          const fault = lengthFault(head, BATCH_BYTES_MAX);
          return fault ? counted(BAD_REQUEST_OUTCOME, fault, startMs) : { session, startMs, type };
        },
        answer({ session, startMs, type }, body) {
          const batch = readBatch(body, type);
          if (isRefusal(batch)) return counted(BAD_REQUEST_OUTCOME, notUnderstood(batch), startMs);
          const refused = refusals.batch(session, batch.count, startMs);
          if (refused) return refused;
          const tally = createTally();
          const answers = answerBatch(batch, { look, recordLook }, session.device.venue, tally);
          metrics.countAll(tally, (elapsedMs() - startMs) * 1000);
          return new Answer(BATCH_FORMS[type]!, answers);
        },
      }),
      "/v1/codes": jsonPost<Session>({
        admit(head) {
          const nowMs = elapsedMs();
          const session = sessionOf(head);
          if (!session) return noSession(head, nowMs);
          if (session.device.class !== "staff") return CODES_FOR_STAFF;
          return refusals.code(session, nowMs) ?? lengthFault(head, BODY_BYTES_MAX) ?? session;
        },
        answer(_, body) {
          const question = body === undefined ? undefined : readQuestion(body);
          if (!question) return NO_JSON;
          if (isRefusal(question)) return notUnderstood(question);
          if (!question.document) return notUnderstood({ field: "document", reason: "is missing: a code is made of a document" });
          const document = parseDocument(question.document);
          if (isRefusal(document)) return notUnderstood(document);
          const { code, expiresAt } = codes.seal({ key: keyring.documentKey(document), masked: maskNumber(document.number) }, now(clock));
          return jsonAnswer({ code, expiresAt: formatInstant(expiresAt) });
        },
      }),
      "/v1/sessions": jsonPost<{ readonly address: Uint8Array }>({
        admit(head) {
          const address = head.address().slice();
          return refusals.setUp(address, elapsedMs()) ?? lengthFault(head, BODY_BYTES_MAX) ?? { address };
        },
        answer({ address }, body) {
          if (!isSessionRequest(body)) return refusals.failure(BAD_SESSION_REQUEST, address, elapsedMs());
          const opened = sessions.open(body);
          if (typeof opened === "string") return refusals.failure(problemAnswer({ status: 401, title: "No session", detail: SESSION_FAULTS[opened](now(clock)) }), address, elapsedMs());
          return jsonAnswer({ session: opened.token, expiresAt: formatInstant(opened.expiresAt) });
        },
      }),
    },
    streams: {
      "/v1/stream": stream<Session>({
        frameBytesMax: FRAME_BYTES_MAX,
        unreadBytesMax: UNREAD_BYTES_MAX,
        open(head) {
          const startMs = elapsedMs();
          const session = sessionOf(head);
          if (!session) return counted(NO_SESSION_OUTCOME, noSession(head, startMs), startMs);
          return refusals.setUp(head.address(), startMs) ?? session;
        },
        answer(session, frame) {
          if (session.expiresAt <= now(clock)) return SESSION_ENDED;
          const startMs = elapsedMs();
          const count = frame === null ? 0 : scansOf(frame);
          if (frame === null || count === 0) return NO_FRAME;
          const refused = refusals.frame(session, frame, count, startMs);
          if (refused) return refused;
          const tally = createTally();
          const answer = answerFrame(frame, count, recordLook, session.device.venue, tally);
          metrics.countAll(tally, (elapsedMs() - startMs) * 1000);
          return answer;
        },
      }),
    },
    notFound: problemAnswer({ status: 404, title: "Not found", detail: "there are POST /v1/sessions, /v1/scan, /v1/scans and /v1/codes, and the WebSocket /v1/stream" }),
    failed: problemAnswer({ status: 500, title: "Internal error", detail: "the scan could not be answered; please scan again" }),
    log,
  };
}

const formOf = (type: BatchType): Form => ({ status: 200, headers: { "Content-Type": type, "Cache-Control": "no-store" } });
const ANSWER_FORM = formOf("application/json");
const BATCH_FORMS = Object.fromEntries(BATCH_TYPES.map((type) => [type, formOf(type)]));

const NO_SESSION = problemAnswer({ status: 401, title: "No session", detail: "send Authorization: Bearer with a session that has not ended; POST /v1/sessions opens one" });
const NO_JSON = problemAnswer({ status: 400, title: "Bad body", detail: "the body is no JSON" });
const CODE_AND_BODY = problemAnswer({ status: 400, title: "Code and body", detail: "a scan with the header X-Code has no body: send one or the other" });
const BATCH_TYPE_PROBLEM = problemAnswer({ status: 415, title: "Content type not taken", detail: `batches come as ${BATCH_TYPES.join(", ")}` });
const CODES_FOR_STAFF = problemAnswer({ status: 403, title: "Not for this device", detail: "codes are made for devices of the class staff" });
const BAD_SESSION_REQUEST = problemAnswer({ status: 400, title: "Bad session request", detail: "the body must be a JSON object of the texts device, issuedAt, nonce (8 to 64 characters) and signature" });
const SESSION_FAULTS: Record<SessionFault, (at: number) => string> = {
  "unknown-device-or-signature": () => "the device is not known, or the signature is not its own",
  clock: (at) => `issuedAt must lie within 300 s of the server's time, which is ${formatInstant(at)}`,
  replay: () => "this request has been used before: make one with a new nonce",
};

function notUnderstood(refusal: Refusal): Answer {
  const problem: Problem = { status: 422, title: "Scan not understood", detail: `${refusal.field} ${refusal.reason}`, errors: [{ line: 1, ...refusal }] };
  return problemAnswer(problem);
}

function isSessionRequest(body: unknown): body is SessionRequest {
  if (typeof body !== "object" || body === null) return false;
  const { device, issuedAt, nonce, signature, ...others } = body as Record<string, unknown>;
  const areTexts = [device, issuedAt, nonce, signature].every((v) => typeof v === "string" && v.length <= 512);
  return areTexts && /^[\w.~+/=-]{8,64}$/.test(nonce as string) && Object.keys(others).length === 0;
}
