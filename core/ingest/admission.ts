// Who may deliver now, and who may ask: signature, nonce, feed, quota, in this order; and how deliveries went, counted.
// Promises: nobody's body is read before; a refusal says what to do; counts name sources of the registry and outcomes, nothing else.
// Not here: signatures (access), nonces' memory (nonces.ts), what the body is worth (server.ts).

import { createOverdraftLimiter, createVerifier, problemResponse, type Problem, type Registry, type Source } from "../access/index.ts";
import type { Clock } from "../domain/index.ts";
import { FEEDS, isFeed, OPERATOR_FEEDS } from "./batch.ts";
import type { Nonces } from "./nonces.ts";

/** Rows a second that a source may deliver where the registry says nothing else: a city of 22 million tested within a day is 255. */
const ROWS_PER_SECOND = 20_000;
/** Delivered at once after a rest, in seconds' worth. */
const ROWS_AT_ONCE_S = 60;

/** How deliveries end, by the status that is answered, where the reason isn't known better. */
const OUTCOMES: Readonly<Record<number, string>> = {
  202: "accepted",
  400: "bad-request",
  401: "body",
  403: "feed",
  404: "feed",
  409: "batch-taken",
  413: "too-large",
  415: "content-type",
  422: "nothing-accepted",
  429: "busy",
  503: "busy",
};

export interface Admission {
  /** The source that sends a request, or the refusal to answer. Uses up the request's nonce. */
  admit(request: Request, feed: string, kind: "delivery" | "question"): Source | Response;
  /** Rows of a delivery that were read, whatever became of them: they count against its source's quota. */
  charge(source: Source, rows: number): void;
  /** Does the work of a delivery that was admitted, and counts how it ended. */
  counted(source: Source, work: () => Promise<Response>): Promise<Response>;
  /** Prometheus text, a line each. */
  metricLines(): string[];
}

/** @param elapsedMs a clock that only goes forward: setting the service's gives nobody more, and locks nobody out. */
export function createAdmission({ registry, clock, nonces, elapsedMs }: { registry: Registry; clock: Clock; nonces: Nonces; elapsedMs: () => number }): Admission {
  const verify = createVerifier(registry, clock);
  const places = new Map(registry.sources.map(({ name }, i) => [name, i]));
  const placeOf = (source: Source): number => places.get(source.name)!;
  const rates = registry.sources.map(({ rowsPerSecond = ROWS_PER_SECOND, rowsAtOnce = ROWS_AT_ONCE_S * rowsPerSecond }) => ({ perSecond: rowsPerSecond, burst: rowsAtOnce }));
  const quotas = createOverdraftLimiter(rates);
  const counts = new Map<string, number>();
  const count = (source: string, outcome: string): void => {
    const labels = `source="${source}",outcome="${outcome}"`;
    counts.set(labels, (counts.get(labels) ?? 0) + 1);
  };

  const decide = (request: Request, feed: string, kind: "delivery" | "question"): Source | Refusal => {
    const url = new URL(request.url);
    if (url.search !== "") return { outcome: "bad-request", problem: { status: 400, title: "No query here", detail: "these addresses take no query: signatures don't cover one" } };
    const signed = verify({ method: request.method, path: url.pathname, headers: Object.fromEntries(request.headers), kind });
    if (typeof signed === "string") return { outcome: "signature", problem: { status: 401, title: "Not signed as needed", detail: signed } };
    const { source } = signed;
    const use = nonces.use(signed, Math.floor(clock.nowMs() / 1000));
    if (use === "replayed") {
      const detail = "a request with this keyid and nonce was here before: nothing was done now; who sends a request again signs it again, with another nonce, and a delivery under the same batch id";
      return { outcome: "replay", source, problem: { status: 401, title: "Signature used before", detail } };
    }
    if (use !== "used") {
      const detail = `the source ${source.name} has signed more requests within the last minutes than can be remembered: send this again, signed anew, after as many seconds as Retry-After says, and more rows in a batch`;
      return { outcome: "nonces", source, retryAfterS: use.fullForS, problem: { status: 429, title: "Too many requests", detail } };
    }
    if (!isFeed(feed)) return { outcome: "feed", source, problem: { status: 404, title: "No such feed", detail: `feeds are ${FEEDS.join(", ")}` } };
    const mayDeliver = source.feeds.includes(feed) || (source.feeds.includes("*") && !OPERATOR_FEEDS.includes(feed));
    if (!mayDeliver) return { outcome: "feed", source, problem: { status: 403, title: "Not this source's feed", detail: `the source ${source.name} may deliver to ${source.feeds.join(", ")}` } };
    const waitMs = kind === "delivery" ? quotas.waitMs(placeOf(source), elapsedMs()) : 0;
    if (waitMs > 0) {
      const { perSecond, burst } = rates[placeOf(source)]!;
      const detail = `the source ${source.name} has its quota of rows behind it, ${perSecond} a second and ${burst} at once: send this again, signed anew, after as many seconds as Retry-After says; its operator can give it other rowsPerSecond and rowsAtOnce in access.json`;
      return { outcome: "quota", source, retryAfterS: Math.ceil(waitMs / 1000), problem: { status: 429, title: "Over its quota of rows", detail } };
    }
    return source;
  };

  return {
    admit(request, feed, kind) {
      const decided = decide(request, feed, kind);
      if (!("problem" in decided)) return decided;
      const { problem, outcome, source, retryAfterS } = decided;
      if (kind === "delivery") count(source?.name ?? "", outcome);
      return problemResponse(problem, retryAfterS === undefined ? {} : { "Retry-After": String(retryAfterS) });
    },
    charge: (source, rows) => quotas.charge(placeOf(source), rows, elapsedMs()),
    async counted(source, work) {
      let outcome = "failed";
      try {
        const response = await work();
        outcome = OUTCOMES[response.status] ?? "failed";
        return response;
      } finally {
        count(source.name, outcome);
      }
    },
    metricLines: () => [
      "# HELP fangxing_deliveries_total Deliveries by source and how they ended; without a source, those whose signature was none.",
      "# TYPE fangxing_deliveries_total counter",
      ...Array.from(counts, ([labels, n]) => `fangxing_deliveries_total{${labels}} ${n}`),
    ],
  };
}

interface Refusal {
  readonly outcome: string;
  readonly problem: Problem;
  /** Known from when the signature proved valid. */
  readonly source?: Source;
  readonly retryAfterS?: number;
}
