// publications: what does the guard over risk lists hold on the real history, and what do cuts cost?
// The whole history is folded as a worker would fold it. Then every list of it is cut in many ways, where the state of the day before is in force: a cut that
// is put in force frees whoever stayed in a county that it doesn't name any more, although the state before and the whole list both name it.
// Everything invented (holders, cuts) comes from fixed seeds.

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { allCounties, formatInstant, isRefusal, type CountyCode, type Instant, type UnknownPlace } from "../core/domain/index.ts";
import { CONFIRMED_AFTER, judge, NOTHING_PUBLISHED, SAME_SHARE, type Doubt, type GuardState } from "../core/evidence/index.ts";
import { findCounties, readPublication } from "../core/ingest/index.ts";
import type { BenchResult } from "./run.ts";

const LISTS = fileURLToPath(new URL("../../shared/data/risk_levels/", import.meta.url));

/** Cuts from this size on, and those that lose a province of so many areas, must free nobody. */
const HARD_SIZE = 0.2;
const HARD_PROVINCE = 50;
const SIZES = [0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 0.95];
const LARGE_SIZES = SIZES.filter((size) => size >= HARD_SIZE);
const SMALL_SIZES = SIZES.filter((size) => size < HARD_SIZE);

/** tail: the last areas; provinces: whole ones, any; random: any areas; shares: the last areas of every province. */
const KINDS = ["tail", "provinces", "random", "shares"] as const;
type Kind = (typeof KINDS)[number];
/** Of these kinds there are many cuts of one size. */
const isDrawn = (kind: Kind): boolean => kind === "provinces" || kind === "random";

const HOUR = 3600;
const PROVINCE = 2 ** 40;

interface Position {
  readonly publishedAt: Instant;
  readonly areas: Float64Array;
  readonly counties: ReadonlySet<CountyCode>;
  readonly unknown: readonly UnknownPlace[];
}

/** Of cuts, whose every place finds its county, the guard doesn't ask where these lie. */
const READ = { counties: new Set<CountyCode>(), unknown: [] };

interface History {
  readonly positions: readonly Position[];
  readonly countiesOf: (areas: Float64Array) => ReadonlySet<CountyCode>;
}

/** Somebody's stays, by county. */
interface Holders {
  readonly stays: readonly (readonly CountyCode[])[];
  readonly byCounty: ReadonlyMap<CountyCode, readonly number[]>;
}

interface Row {
  readonly kind: string;
  /** Of the cut; of the second one in a pair. Absent for single provinces. */
  readonly size?: number;
  tried: number;
  inForce: number;
  /** Those in force that freed somebody. */
  freeing: number;
  holders: number;
  holdersWorst: number;
}

export interface Hold {
  readonly from: Instant;
  /** When a later publication, that agrees or has no doubts, was put in force. */
  readonly until: Instant | null;
  readonly end: "confirmed" | "superseded" | "open";
  readonly publications: number;
  /** Of the first one held. */
  readonly doubts: readonly Doubt[];
}

export const publications = {
  question: "which real risk lists does the guard hold, for how long, and whom do cut lists free?",
  options: [
    "--draws N     cuts of one size at each position, where there are many (5)",
    "--pairs N     pairs of two different cuts at each position, each way (6)",
    "--every N     every how many positions are tried (1: all)",
    "--holders N   how many holders are invented (100000)",
  ],
  run(option: (name: string, initial: number) => number, progress: (line: string) => void): Promise<BenchResult> {
    const draws = option("draws", 5);
    const pairs = option("pairs", 6);
    const every = option("every", 1);
    const count = option("holders", 100_000);
    if (!existsSync(LISTS)) {
      const word = "not measured: the folder with the published risk lists (shared/data/risk_levels) is not here";
      return Promise.resolve({ table: [word], json: { bench: "publications", measured: false, reason: word }, holds: true });
    }
    progress("reading the history");
    const history = readHistory();
    const { states, holds } = fold(history.positions);
    progress(`inventing ${count} holders`);
    const holders = inventHolders(history, count);
    const tries = { history, states, holders, every, rows: new Map<string, Row>(), alike: 0 };
    progress("single cuts");
    tryCuts(tries, draws);
    progress("pairs of cuts");
    tryPairs(tries, pairs);
    const kinds = [...new Set([...tries.rows.values()].map((row) => row.kind))];
    const rows = [...tries.rows.values()].sort((a, b) => kinds.indexOf(a.kind) - kinds.indexOf(b.kind) || (a.size ?? 0) - (b.size ?? 0));
    return Promise.resolve(report(history, holds, rows, tries.alike, { draws, pairs, every, holders: count }));
  },
};

// --- the history ---

/** Every publication in the order in which the store folds them; of several of one hour the longest. */
function readHistory(): History {
  const folder = mkdtempSync(join(tmpdir(), "fangxing-bench-"));
  const countiesOfArea = new Map<number, readonly CountyCode[]>();
  const countiesOf = (areas: Float64Array): Set<CountyCode> => new Set([...areas].flatMap((area) => countiesOfArea.get(area)!));
  try {
    for (const archive of readdirSync(LISTS).filter((name) => name.endsWith(".tar.xz"))) execFileSync("tar", ["xJf", join(LISTS, archive), "-C", folder]);
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".json"));
    // Two archives share some days: a file of one name is the same list.
    const lists = new Map(files.map((file) => [basename(file), readFileSync(join(folder, file), "utf8")]));
    const read = [...lists.values()].map((text) => {
      const publication = readPublication(text);
      if (isRefusal(publication)) throw new Error(`a published list can't be read: ${publication.field} ${publication.reason}`);
      const { data } = JSON.parse(text) as { data: Record<"highlist" | "middlelist", { province: string; city: string; county: string; communitys: string[] }[]> };
      let i = 0;
      for (const item of [...data.highlist, ...data.middlelist]) {
        const codes = findCounties(item);
        for (let n = 0; n < item.communitys.length; n++) countiesOfArea.set(publication.areas[i++]!, codes);
      }
      return publication;
    });
    read.sort((a, b) => a.publishedAt - b.publishedAt || b.areas.length - a.areas.length);
    const ofTheirHour = read.filter(({ publishedAt }, i) => publishedAt !== read[i - 1]?.publishedAt);
    return { positions: ofTheirHour.map(({ publishedAt, areas, unknown }) => ({ publishedAt, areas, counties: countiesOf(areas), unknown })), countiesOf };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The state before each publication, and what was held on the way. */
function fold(positions: readonly Position[]): { states: GuardState[]; holds: Hold[] } {
  const states: GuardState[] = [];
  const holds: Hold[] = [];
  let state = NOTHING_PUBLISHED;
  let open: Pick<Hold, "from" | "doubts"> & { publications: number } | undefined;
  for (const { publishedAt, areas, counties, unknown } of positions) {
    states.push(state);
    const judgement = judge(state, { publishedAt, areas, counties, unknown, mark: null });
    state = judgement.state;
    if (judgement.outcome === "held") {
      open ??= { from: publishedAt, doubts: judgement.doubts, publications: 0 };
      open.publications++;
    } else if (open) {
      holds.push({ ...open, until: publishedAt, end: judgement.confirmed ? "confirmed" : "superseded" });
      open = undefined;
    }
  }
  if (open) holds.push({ ...open, until: null, end: "open" });
  return { states, holds };
}

// --- holders ---

/** Stays in counties as often as lists name them, and now and then in any other. */
function inventHolders({ positions }: History, count: number): Holders {
  const random = generator(20_220_415);
  const weights = new Map([...allCounties().values()].filter((c) => !c.isZone).map((c) => [c.code, 1]));
  for (const { counties } of positions) for (const county of counties) weights.set(county, (weights.get(county) ?? 0) + 1);
  const codes = [...weights.keys()];
  const sums: number[] = [];
  for (const weight of weights.values()) sums.push((sums.at(-1) ?? 0) + weight);
  const draw = (): CountyCode => {
    const at = random() * sums.at(-1)!;
    return codes[sums.findIndex((sum) => at < sum)]!;
  };
  const stays = Array.from({ length: count }, () => Array.from({ length: 1 + Math.floor(random() * 3) }, draw));
  const byCounty = new Map<CountyCode, number[]>();
  stays.forEach((counties, holder) => {
    for (const county of new Set(counties)) {
      const list = byCounty.get(county);
      if (list) list.push(holder);
      else byCounty.set(county, [holder]);
    }
  });
  return { stays, byCounty };
}

/** How many lose the last county that flags them, though it is in the state before and in the whole list. */
function freedBy(before: ReadonlySet<CountyCode>, whole: ReadonlySet<CountyCode>, cut: ReadonlySet<CountyCode>, { stays, byCounty }: Holders): number {
  const freed = new Set<number>();
  for (const county of before) {
    if (!whole.has(county) || cut.has(county)) continue;
    for (const holder of byCounty.get(county) ?? []) if (!stays[holder]!.some((c) => cut.has(c))) freed.add(holder);
  }
  return freed.size;
}

// --- cuts ---

interface Tries {
  readonly history: History;
  readonly states: readonly GuardState[];
  readonly holders: Holders;
  readonly every: number;
  readonly rows: Map<string, Row>;
  /** Pairs whose areas are the same to 95 %: the exception, not tried. */
  alike: number;
}

function tryCuts(tries: Tries, draws: number): void {
  const { history, states, every } = tries;
  const random = generator(1);
  for (let i = 1; i < history.positions.length; i += every) {
    const position = history.positions[i]!;
    for (const kind of KINDS) {
      for (const size of SIZES) {
        for (let n = 0; n < (isDrawn(kind) ? draws : 1); n++) tryOne(tries, { kind, size }, states[i]!, position, position.publishedAt, cutOf(position.areas, kind, size, random));
      }
    }
    for (const province of largeProvinces(position.areas)) tryOne(tries, { kind: "a province of 50" }, states[i]!, position, position.publishedAt, without(position.areas, province));
  }
}

/** Two different cuts in a row: of one publication, half an hour apart, or of one and the next. */
function tryPairs(tries: Tries, pairs: number): void {
  const { history, states, every } = tries;
  const random = generator(2);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const pickProvince = (list: readonly number[]): number | undefined => list[Math.floor(random() * list.length)];
  for (let i = 1; i < history.positions.length; i += every) {
    const first = history.positions[i]!;
    for (const second of [first, history.positions[i + 1]]) {
      if (!second) continue;
      const secondAt = second === first ? first.publishedAt + CONFIRMED_AFTER : second.publishedAt;
      for (let n = 0; n < pairs; n++) {
        // Every other pair is of one kind, so that the larger one holds most of the smaller.
        const kind = pick(KINDS);
        const otherKind = n % 2 === 0 ? kind : pick(KINDS);
        const sizes = [pick(LARGE_SIZES), pick(LARGE_SIZES)] as const;
        const province = pickProvince(largeProvinces(first.areas));
        const firsts: readonly [string, Float64Array][] = [
          ["second of a pair", province !== undefined && n % 4 === 3 ? without(first.areas, province) : cutOf(first.areas, kind, sizes[0], random)],
          ["second, the first small", cutOf(first.areas, kind, pick(SMALL_SIZES), random)],
        ];
        const cut = cutOf(second.areas, otherKind, sizes[1], random);
        for (const [name, firstCut] of firsts) {
          if (sameShare(firstCut, cut) >= SAME_SHARE) tries.alike++;
          else {
            const { state } = judge(states[i]!, { publishedAt: first.publishedAt, areas: firstCut, ...READ, mark: null });
            tryOne(tries, { kind: name, size: sizes[1] }, state, second, secondAt, cut);
          }
        }
      }
    }
  }
}

function tryOne(tries: Tries, what: { kind: string; size?: number }, state: GuardState, whole: Position, publishedAt: Instant, cut: Float64Array): void {
  const { history, holders, rows } = tries;
  const name = `${what.kind} ${what.size ?? ""}`;
  const row = rows.get(name) ?? { ...what, tried: 0, inForce: 0, freeing: 0, holders: 0, holdersWorst: 0 };
  rows.set(name, row);
  row.tried++;
  if (judge(state, { publishedAt, areas: cut, ...READ, mark: null }).outcome !== "in-force") return;
  row.inForce++;
  const freed = freedBy(history.countiesOf(state.inForce?.inOrder ?? new Float64Array()), whole.counties, history.countiesOf(cut), holders);
  if (freed > 0) row.freeing++;
  row.holders += freed;
  row.holdersWorst = Math.max(row.holdersWorst, freed);
}

/** A list that lost at least `size` of its areas. */
function cutOf(areas: Float64Array, kind: Kind, size: number, random: () => number): Float64Array {
  const lost = Math.ceil(areas.length * size - 1e-9);
  if (kind === "tail") return areas.slice(0, areas.length - lost);
  if (kind === "random") {
    const gone = new Set(shuffled([...areas.keys()], random).slice(0, lost));
    return areas.filter((_, i) => !gone.has(i));
  }
  const byProvince = countByProvince(areas);
  if (kind === "provinces") {
    const gone = new Set<number>();
    let sum = 0;
    for (const [province, count] of shuffled([...byProvince], random)) {
      if (sum >= lost) break;
      gone.add(province);
      sum += count;
    }
    return areas.filter((area) => !gone.has(Math.floor(area / PROVINCE)));
  }
  const seen = new Map<number, number>();
  return areas.filter((area) => {
    const province = Math.floor(area / PROVINCE);
    const nth = (seen.get(province) ?? 0) + 1;
    seen.set(province, nth);
    return nth <= byProvince.get(province)! * (1 - size) + 1e-9;
  });
}

function without(areas: Float64Array, province: number): Float64Array {
  return areas.filter((area) => Math.floor(area / PROVINCE) !== province);
}

function largeProvinces(areas: Float64Array): number[] {
  return [...countByProvince(areas)].filter(([, count]) => count >= HARD_PROVINCE).map(([province]) => province);
}

function countByProvince(areas: Float64Array): Map<number, number> {
  const counts = new Map<number, number>();
  for (const area of areas) counts.set(Math.floor(area / PROVINCE), (counts.get(Math.floor(area / PROVINCE)) ?? 0) + 1);
  return counts;
}

function sameShare(a: Float64Array, b: Float64Array): number {
  const [first, second] = [new Set(a), new Set(b)];
  const larger = Math.max(first.size, second.size);
  return larger === 0 ? 1 : first.intersection(second).size / larger;
}

function shuffled<T>(list: T[], random: () => number): T[] {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [list[i], list[j]] = [list[j]!, list[i]!];
  }
  return list;
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

// --- the report ---

function report({ positions }: History, holds: readonly Hold[], rows: readonly Row[], alike: number, settings: Record<string, number>): BenchResult {
  const hoursOf = ({ from, until }: Hold): number => ((until ?? positions.at(-1)!.publishedAt) - from) / HOUR;
  const hours = holds.map(hoursOf);
  const total = hours.reduce((sum, h) => sum + h, 0);
  const worst = Math.max(0, ...hours);
  const isHard = ({ size }: Row): boolean => size === undefined || size >= HARD_SIZE;
  const hardFreeing = rows.filter(isHard).reduce((sum, row) => sum + row.freeing, 0);
  const mean = ({ holders, tried }: Row): number => Math.round((holders / tried) * 100) / 100;
  const date = (at: Instant): string => formatInstant(at).slice(0, 13);
  const table = [
    `${positions.length} publications from ${date(positions[0]!.publishedAt)} to ${date(positions.at(-1)!.publishedAt)}: ${holds.reduce((sum, h) => sum + h.publications, 0)} held in ${holds.length} stretches`,
    "",
    "held from      waited h  lists  end         why (the first list held)",
    ...holds.map((h) => `${date(h.from)}  ${String(hoursOf(h)).padStart(8)}  ${String(h.publications).padStart(5)}  ${h.end.padEnd(10)}  ${h.doubts.map(wordsOf).join("; ")}`),
    `waited in all ${total} h, at most ${worst} h`,
    "",
    `cuts, and how many of ${settings["holders"]} holders they freed wrongly`,
    "kind                        size   tried  in force  freeing  holders: mean   worst",
    ...rows.map((row) =>
      [
        row.kind.padEnd(26),
        (row.size === undefined ? "" : `${Math.round(row.size * 100)} %`).padStart(6),
        String(row.tried).padStart(7),
        String(row.inForce).padStart(9),
        String(row.freeing).padStart(8),
        String(mean(row)).padStart(14),
        String(row.holdersWorst).padStart(7),
      ].join(" "),
    ),
    `not tried: ${alike} pairs whose areas are the same to ${SAME_SHARE * 100} %`,
    `cuts of 20 % or more, single or behind another cut of any size, and cuts that lose a province of ${HARD_PROVINCE} areas: ${hardFreeing} freed anybody`,
  ];
  const json = {
    bench: "publications",
    measured: true,
    ...settings,
    positions: positions.length,
    holds: holds.map((h) => ({ from: formatInstant(h.from), until: h.until === null ? null : formatInstant(h.until), hours: hoursOf(h), publications: h.publications, end: h.end, doubts: h.doubts })),
    waited_hours: total,
    waited_hours_worst: worst,
    cuts: rows.map((row) => ({ kind: row.kind, size: row.size ?? null, tried: row.tried, in_force: row.inForce, freeing: row.freeing, holders_mean: mean(row), holders_worst: row.holdersWorst })),
    pairs_alike: alike,
    hard_cuts_freeing: hardFreeing,
  };
  return { table, json, holds: hardFreeing === 0 };
}

function wordsOf({ kind, lost, of, province, sum }: Doubt): string {
  return `${kind}${province === undefined ? "" : ` ${province}`} ${lost} of ${of}${sum === undefined ? "" : ` (${sum})`}`;
}
