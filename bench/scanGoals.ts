// What the bench of scans must reach, and what it aims for; and how that is shown.

import { rounded } from "./processes.ts";

interface Goal {
  readonly what: string;
  /** Whether more or less is better. */
  readonly better: "less" | "more";
  /** null: only told. */
  readonly must: number | null;
  readonly aim: number | null;
}

export const GOALS = {
  http_vs_bare: { what: "POST /v1/scan ÷ bare handler", better: "less", must: 1.5, aim: 1.3 },
  code_vs_bare: { what: "X-Code without a body ÷ bare handler", better: "less", must: 1.65, aim: 1.4 },
  stream_vs_c: { what: "frames of 64 ÷ sequential mdb_get in C", better: "less", must: 1, aim: 0.6 },
  stream_vs_c_batched: { what: "frames of 64 ÷ overlapped walk in C", better: "less", must: null, aim: null },
  vs_fastify_redis: { what: "Fastify + ioredis + Redis ÷ POST /v1/scan", better: "more", must: 2.5, aim: 3.5 },
  vs_redis_pipeline: { what: "Redis, MGET of 64 ÷ frames of 64", better: "more", must: 2, aim: 4 },
  scans_per_s_core: { what: "scans a second in frames of 64", better: "more", must: 800_000, aim: 1_500_000 },
  http_scans_per_s_core: { what: "scans a second over HTTP", better: "more", must: 60_000, aim: 75_000 },
  disk_bytes_per_entry: { what: "bytes on disk an entry", better: "less", must: 128, aim: 80 },
  private_rss_mb: { what: "own memory of the lookup process, MiB", better: "less", must: 150, aim: null },
  cold_start_ms: { what: "start to first right answer, ms", better: "less", must: 800, aim: 300 },
} as const satisfies Record<string, Goal>;

export type Figures = Record<keyof typeof GOALS, number | null>;

/** Loading 22 million may take so long; fewer may too. */
export const LOAD_S_MAX = 90;
export const LOAD_ENTRIES = 22_000_000;

/** Which promises are not held, by their fields: a figure that could not be taken holds none. */
export function brokenGoals(figures: Figures): string[] {
  return Object.entries<Goal>(GOALS).flatMap(([field, { better, must }]) => {
    const value = figures[field as keyof Figures];
    if (must === null) return [];
    if (value === null) return [field];
    return (better === "less" ? value <= must : value >= must) ? [] : [field];
  });
}

/** A line a figure: what it is, its goal and its aim, what else belongs beside it. */
export function goalLines(figures: Figures, beside: Partial<Record<keyof Figures, string>>): string[] {
  const broken = brokenGoals(figures);
  return Object.entries<Goal>(GOALS).map(([name, { what, better, must, aim }]) => {
    const field = name as keyof Figures;
    const value = figures[field];
    const bound = (limit: number | null): string => (limit === null ? "–" : `${better === "less" ? "≤" : "≥"} ${limit}`);
    const isReached = value === null ? "?" : must === null ? " " : broken.includes(field) ? "✗" : "✓";
    return `  ${isReached} ${field.padEnd(22)} ${String(value === null ? "–" : rounded(value)).padStart(9)}  must ${bound(must).padEnd(10)} aim ${bound(aim).padEnd(10)} ${what}${beside[field] === undefined ? "" : `; ${beside[field]}`}`;
  });
}
