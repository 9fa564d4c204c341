// The explanations' server: a process of its own, so that nobody's question stands in a gate's queue.
// Promises: only staff and kiosks may ask, gates may not; a past decision only staff; numbers never leave memory; an answer is never kept by anybody on the way.
// Not here: HTTP (front), what is said (policy), the holder's own query without a helper (it needs a proof of identity).

import { formatInstant, isRefusal, maskNumber, now, parseDocument, parseInstant, repeatableName, type Clock, type Instant, type Refusal } from "../domain/index.ts";
import { createSessions, type Keyring, type Registry, type Session } from "../access/index.ts";
import { openEvidenceReader } from "../evidence/index.ts";
import { bearerOf, jsonAnswer, jsonPost, lengthFault, problemAnswer, startFront, textAnswer, type Answer } from "../front/index.ts";
import type { Explanation, FlagExplanation } from "../policy/index.ts";
import { createExplainer, ExplainError } from "./explainer.ts";

export interface ExplainSettings {
  readonly host: string;
  readonly port: number;
  readonly evidenceFolder: string;
  readonly registry: Registry;
  readonly keyring: Keyring;
  readonly sessionSecret: Uint8Array;
  readonly clock: Clock;
  readonly log: (line: string) => void;
}

const BODY_BYTES_MAX = 4096;

/** Starts the server. @throws when the port is taken, or there is no evidence yet. @returns its port, and how to stop it. */
export function startExplainServer({ host, port, evidenceFolder, registry, keyring, sessionSecret, clock, log }: ExplainSettings): { port: number; stop(): Promise<void> } {
  const evidence = openEvidenceReader(evidenceFolder);
  const explainer = createExplainer(evidence);
  const sessions = createSessions(registry, sessionSecret, clock);

  const limits = createLimits();

  const explanations = jsonPost<Session>({
    admit(head) {
      const session = sessions.find(bearerOf(head), now(clock));
      if (!session) return NO_SESSION;
      if (session.device.class === "gate") return NOT_FOR_GATES;
      const waitS = limits.wait(session.device.name, now(clock));
      if (waitS > 0) return problemAnswer(TOO_MANY, { "Retry-After": String(waitS) });
      return lengthFault(head, BODY_BYTES_MAX) ?? session;
    },
    answer(session, body) {
      const question = readQuestion(body);
      if (isRefusal(question)) return refused(question);
      if (question.at !== null && session.device.class !== "staff") return NO_PAST;
      const document = parseDocument(question.document);
      if (isRefusal(document)) return refused(document);
      try {
        const explanation = explainer.explain(keyring.documentKey(document), question.at, now(clock));
        return jsonAnswer(answerOf(explanation, maskNumber(document.number)));
      } catch (error) {
        if (error instanceof ExplainError) return refused({ field: "at", reason: error.message });
        throw error;
      }
    },
  });

  const front = startFront(
    "bun",
    {
      posts: { "/v1/explanations": explanations },
      streams: {},
      pages: { "/healthz": () => textAnswer("ok\n"), "/readyz": () => textAnswer("ready\n") },
      notFound: problemAnswer({ status: 404, title: "Not found", detail: "there is POST /v1/explanations" }),
      failed: problemAnswer({ status: 500, title: "Internal error", detail: "the question could not be answered; please ask again" }),
      log,
    },
    { host, port, isShared: false },
  );
  return {
    port: front.port,
    async stop() {
      await front.stop();
      await evidence.close();
    },
  };
}

/** Questions of one device in a minute: a desk's day is slower, and nobody shall walk through numbers here. */
const QUESTIONS_A_MINUTE = 30;

/** Counts each device's questions, minute by minute. */
function createLimits(): { wait(device: string, now: Instant): number } {
  const counts = new Map<string, number>();
  let minute = -1;
  return {
    wait(device, now) {
      if (minute !== Math.floor(now / 60)) counts.clear();
      minute = Math.floor(now / 60);
      const asked = (counts.get(device) ?? 0) + 1;
      counts.set(device, asked);
      return asked > QUESTIONS_A_MINUTE ? 60 - (now % 60) : 0;
    },
  };
}

const TOO_MANY = { status: 429, title: "Too many questions", detail: `a device may ask ${QUESTIONS_A_MINUTE} times in a minute: wait as Retry-After says` };
const NO_SESSION = problemAnswer({ status: 401, title: "No session", detail: "send Authorization: Bearer with a session that has not ended; POST /v1/sessions of the lookup server opens one" });
const NOT_FOR_GATES = problemAnswer({ status: 403, title: "Not for gates", detail: "a gate is told whether to let pass, not why: ask with a device of the class staff or kiosk" });
const NO_PAST = problemAnswer({ status: 403, title: "Not for kiosks", detail: "past decisions are explained to staff only: leave out at" });

function refused(refusal: Refusal): Answer {
  return problemAnswer({ status: 422, title: "Question not understood", detail: `${refusal.field} ${refusal.reason}`, errors: [{ line: 1, ...refusal }] });
}

interface Question {
  readonly document: { readonly type: string; readonly number: string; readonly issuer?: string };
  readonly at: Instant | null;
}

function readQuestion(body: unknown): Question | Refusal {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return { field: "body", reason: 'must be a JSON object such as {"document": {"type": "resident-id", "number": "…"}}' };
  const { document, at, ...others } = body as Record<string, unknown>;
  const unknown = Object.keys(others)[0];
  if (unknown !== undefined) return { field: repeatableName(unknown), reason: "is no field of a question: there are document and at" };
  const { type, number, issuer, ...more } = (typeof document === "object" && document !== null ? document : {}) as Record<string, unknown>;
  if (typeof type !== "string" || typeof number !== "string" || (issuer !== undefined && typeof issuer !== "string")) {
    return { field: "document", reason: "must be an object with the texts type and number, and issuer where the type needs it" };
  }
  const [stranger] = Object.keys(more);
  if (stranger !== undefined) return { field: `document.${repeatableName(stranger)}`, reason: "is no field of a document: there are type, number and issuer" };
  const instant = at === undefined ? null : typeof at === "string" ? parseInstant(at) : undefined;
  if (instant === undefined) return { field: "at", reason: "must be an instant with offset, such as 2022-06-09T07:30:00+08:00" };
  return { document: { type, number, ...(issuer === undefined ? {} : { issuer }) }, at: instant };
}

/** The explanation as it goes over the wire: instants in words. */
function answerOf({ at, flags, newestNegative, ...rest }: Explanation, document: string): object {
  const instant = (value: Instant | null): string | null => (value === null ? null : formatInstant(value));
  const flagOf = ({ since, endsAt, policyFrom, ...flag }: FlagExplanation): object => ({ ...flag, since: instant(since), endsAt: instant(endsAt), policyFrom: instant(policyFrom) });
  return {
    document,
    at: formatInstant(at),
    ...rest,
    flags: flags.map(flagOf),
    newestNegative: newestNegative && { sampledAt: instant(newestNegative.sampledAt), issuedAt: instant(newestNegative.issuedAt) },
  };
}
