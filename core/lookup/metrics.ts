// Counters of a lookup process: fixed arrays on the hot path, Prometheus text when somebody asks.

import { RESULTS } from "./answer.ts";

/** Upper bounds of the latency histogram, microseconds. */
const BOUNDS_US = [5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 20_000, 100_000];

/** How a scan ended: the answer's result, by its index, or why there was no answer. */
const OUTCOMES = [...RESULTS, "no-session", "bad-request", "limited"] as const;
export const NO_SESSION_OUTCOME = RESULTS.length;
export const BAD_REQUEST_OUTCOME = RESULTS.length + 1;
export const LIMITED_OUTCOME = RESULTS.length + 2;

/** Whose limit a request or frame was over. */
const LIMITED_BY = ["device", "address-failures", "address-set-ups"] as const;
export type LimitedBy = (typeof LIMITED_BY)[number];

/** How many scans of a batch ended how. */
export type Tally = Uint32Array;
export function createTally(): Tally {
  return new Uint32Array(OUTCOMES.length);
}

/** A figure that others keep; a gauge unless it says otherwise. */
export interface Figure {
  readonly help: string;
  readonly type?: "counter";
  readonly value: number;
}

export interface LookupMetrics {
  /** One scan; `us` is the time from the request's arrival in the process to its answer, microseconds. */
  count(outcome: number, us: number): void;
  /** All scans of a batch or frame, which are answered together. */
  countAll(tally: Tally, us: number): void;
  /** A record failed its checksum or version and was treated as absent. */
  countDamaged(): void;
  /** A request or frame, of however many scans, was refused by a limit. */
  countLimited(by: LimitedBy): void;
  text(others: Readonly<Record<string, Figure>>): string;
}

export function createMetrics(): LookupMetrics {
  const outcomes = new Float64Array(OUTCOMES.length);
  const buckets = new Float64Array(BOUNDS_US.length + 1);
  let sumUs = 0;
  let damaged = 0;
  const limited: Record<LimitedBy, number> = { device: 0, "address-failures": 0, "address-set-ups": 0 };
  const addDuration = (n: number, us: number): void => {
    let i = 0;
    while (i < BOUNDS_US.length && us > BOUNDS_US[i]!) i++;
    buckets[i]! += n;
    sumUs += n * us;
  };
  return {
    count(outcome, us) {
      outcomes[outcome]!++;
      addDuration(1, us);
    },
    countAll(tally, us) {
      let n = 0;
      for (let i = 0; i < tally.length; i++) {
        outcomes[i]! += tally[i]!;
        n += tally[i]!;
      }
      addDuration(n, us);
    },
    countDamaged() {
      damaged++;
    },
    countLimited(by) {
      limited[by]++;
    },
    text(others) {
      const lines = ["# HELP fangxing_scans_total Scans by outcome.", "# TYPE fangxing_scans_total counter"];
      OUTCOMES.forEach((outcome, i) => lines.push(`fangxing_scans_total{outcome="${outcome}"} ${outcomes[i]!}`));
      lines.push("# HELP fangxing_scan_duration_seconds Time from a request's arrival in the process to its answer.", "# TYPE fangxing_scan_duration_seconds histogram");
      let total = 0;
      BOUNDS_US.forEach((bound, i) => {
        total += buckets[i]!;
        lines.push(`fangxing_scan_duration_seconds_bucket{le="${bound / 1e6}"} ${total}`);
      });
      total += buckets[BOUNDS_US.length]!;
      lines.push(`fangxing_scan_duration_seconds_bucket{le="+Inf"} ${total}`, `fangxing_scan_duration_seconds_sum ${sumUs / 1e6}`, `fangxing_scan_duration_seconds_count ${total}`);
      lines.push("# HELP fangxing_damaged_entries_total Records that failed their check.", "# TYPE fangxing_damaged_entries_total counter", `fangxing_damaged_entries_total ${damaged}`);
      lines.push("# HELP fangxing_limited_total Requests and frames refused by a limit, by whose it was.", "# TYPE fangxing_limited_total counter");
      for (const by of LIMITED_BY) lines.push(`fangxing_limited_total{by="${by}"} ${limited[by]}`);
      for (const [name, { help, type = "gauge", value }] of Object.entries(others)) lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, `${name} ${value}`);
      return `${lines.join("\n")}\n`;
    },
  };
}
