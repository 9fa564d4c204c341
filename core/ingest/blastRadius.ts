// The blast radius of a change: how many holders it would put under a flag or take out from under one, before it is applied.
// Promises: reads only; keys don't leave, counts under ten are not told; of very many holders an even sample is measured, and the report says so in words.
// Not here: what is done about it (guarded.ts).

import { FLAGS, KEY_BYTES, keyOf, keyText, RESTRICTING, type CountyCode, type DocumentKey, type Flag, type HolderKey, type Instant, type SubjectKey } from "../domain/index.ts";
import type { EntryReader } from "../entry/index.ts";
import type { BlastLimits, EvidenceReader, FlagCounts } from "../evidence/index.ts";
import { flagDifferences, flagsFrom, type Evaluator, type FlagDifference } from "../policy/index.ts";

/** A count that may be told, of a sample an estimate: null stands for 1 to 9. */
export type ToldCount = number | null;

export interface FlagReport {
  readonly gains: ToldCount;
  readonly losses: ToldCount;
  /** By the county of the facts behind the flag; "-" where they name none. */
  readonly byCounty: Readonly<Record<string, { readonly gains: ToldCount; readonly losses: ToldCount }>>;
}

export interface BlastReport {
  /** Holders there are. */
  readonly holders: number;
  /** Holders that were looked at. Unless they are a sample, the others can't be concerned. */
  readonly measured: number;
  /** The counts are estimates from one holder in so many; 1: everybody who can be concerned was measured. */
  readonly sampledOneIn: number;
  /** In words for an operator, that it is a sample and of how many; null: it is none. */
  readonly sample: string | null;
  readonly flags: Readonly<Partial<Record<Flag, FlagReport>>>;
}

export const USUAL_LIMITS: BlastLimits = { gainShareMax: 0.05, lossShareMax: 0.1, crowdHolders: 100 };

/** One holder in so many, chosen evenly out of those whom so many visits and residences in the counties concerned lead to. */
export interface Sample {
  readonly oneIn: number;
  readonly of: number;
}
/** Of those who have a flag: when more of them than this would be rid of it for good, few as they are among all. Only where everybody was measured. */
const FREED_SHARE_MAX = 0.5;
/** What somebody has decided on may have grown by this share since: evidence comes at any moment. */
const MORE_THAN_SEEN = 0.1;

const NOBODY = { gains: 0, losses: 0, freed: 0 };

export interface Tally {
  /** @param had the flags that the holder has before, at any instant from now on. */
  add(differences: readonly FlagDifference[], had: readonly Flag[]): void;
  /** @param sample null: everybody was measured. */
  report(options: { holders: number; sample: Sample | null }): BlastReport;
  /** The same to the last holder, or as estimated. */
  counts(sample: Sample | null): FlagCounts;
  /**
   * Which limits are exceeded: a restricting flag gained or lost by too many, and by more than was `seen` when somebody decided. `freed` means something only where everybody
   * was measured.
   */
  excess(holders: number, limits: BlastLimits, sample: Sample | null, seen?: FlagCounts): Excess;
}

/** In words; null: within the limit. */
export interface Excess {
  readonly gain: string | null;
  readonly loss: string | null;
  readonly freed: string | null;
}

export function createTally(): Tally {
  let measured = 0;
  const flags = new Map<string, Map<string, [number, number]>>();
  const had = new Map<string, [number, number]>();
  const countHad = (flag: string, holders: number, freed: number): void => {
    const pair = had.get(flag) ?? [0, 0];
    had.set(flag, [pair[0] + holders, pair[1] + freed]);
  };
  const count = (flag: string, county: string, gains: number, losses: number): void => {
    let counties = flags.get(flag);
    if (!counties) flags.set(flag, (counties = new Map<string, [number, number]>()));
    const pair = counties.get(county) ?? [0, 0];
    counties.set(county, [pair[0] + gains, pair[1] + losses]);
  };
  const totals = (flag: string): [number, number] => {
    const sum: [number, number] = [0, 0];
    for (const [gains, losses] of flags.get(flag)?.values() ?? []) {
      sum[0] += gains;
      sum[1] += losses;
    }
    return sum;
  };
  const counts = (sample: Sample | null): FlagCounts =>
    Object.fromEntries(
      [...flags.keys()].map((flag) => {
        const [gains, losses] = totals(flag);
        return [flag, { gains: gains * (sample?.oneIn ?? 1), losses: losses * (sample?.oneIn ?? 1), freed: (had.get(flag)?.[1] ?? 0) * (sample?.oneIn ?? 1) }];
      }),
    );
  return {
    add(differences, flagsBefore) {
      measured++;
      for (const flag of flagsBefore) countHad(flag, 1, 0);
      for (const { flag, county, gained, lost, freed } of differences) {
        count(flag, county === null ? "-" : String(county), Number(gained), Number(lost));
        if (freed) countHad(flag, 0, 1);
      }
    },
    report({ holders, sample }) {
      const sampledOneIn = sample?.oneIn ?? 1;
      const reports = FLAGS.filter((flag) => flags.has(flag)).map((flag): [Flag, FlagReport] => {
        const counties = [...flags.get(flag)!].sort();
        const [gains, losses] = [toldCounts(counties.map(([, pair]) => pair[0]), sampledOneIn), toldCounts(counties.map(([, pair]) => pair[1]), sampledOneIn)];
        const byCounty = counties.map(([county], i) => [county, { gains: gains.parts[i]!, losses: losses.parts[i]! }] as const);
        return [flag, { gains: gains.total, losses: losses.total, byCounty: Object.fromEntries(byCounty) }];
      });
      const words = sample && `${measured} holders were measured, one in ${sample.oneIn} of those behind ${sample.of} visits and residences: the counts are estimates`;
      return { holders, measured, sampledOneIn, sample: words, flags: Object.fromEntries(reports) };
    },
    counts,
    excess(holders, { gainShareMax, lossShareMax, crowdHolders }, sample, seen = {}) {
      let [gain, loss, freed]: [string | null, string | null, string | null] = [null, null, null];
      const now = counts(sample);
      const percent = (n: number): string => `${((100 * n) / holders).toFixed(1)} %`;
      const isCrowd = (n: number, before: number, limit: number): boolean => n > limit && n - before >= crowdHolders && n > (1 + MORE_THAN_SEEN) * before;
      const since = (before: number): string => (before > 0 ? `, ${before} when it was measured before` : "");
      const [about, basis] = sample ? ["about ", `, by a sample of one in ${sample.oneIn}`] : ["", ""];
      const said = (n: number, does: string, flag: Flag, before: number, limit: number): string =>
        `${about}${n} of ${holders} holders (${percent(n)}) would ${does} ${flag}${since(before)}, the limit is ${percent(limit * holders)}${basis}`;
      for (const flag of RESTRICTING) {
        const { gains, losses, freed: rid } = now[flag] ?? NOBODY;
        const before = seen[flag] ?? NOBODY;
        const have = had.get(flag)?.[0] ?? 0;
        if (isCrowd(gains, before.gains, gainShareMax * holders)) gain ??= said(gains, "get", flag, before.gains, gainShareMax);
        if (isCrowd(losses, before.losses, lossShareMax * holders)) loss ??= said(losses, "lose", flag, before.losses, lossShareMax);
        if (isCrowd(rid, before.freed, FREED_SHARE_MAX * have)) freed ??= `${rid} of the ${have} holders who have ${flag} would be rid of it${since(before.freed)}`;
      }
      return { gain, loss, freed };
    },
  };
}

/** Counts as they may be told. Where a single one would be hidden, the total would tell it: the next smallest is hidden too. */
function toldCounts(found: readonly number[], sampledOneIn: number): { parts: ToldCount[]; total: ToldCount } {
  const counts = found.map((n) => n * sampledOneIn);
  const isHidden = counts.map((n) => n > 0 && n < 10);
  if (isHidden.filter(Boolean).length === 1) {
    const others = counts.flatMap((n, i) => (n >= 10 ? [{ n, i }] : [])).sort((a, b) => a.n - b.n);
    if (others[0]) isHidden[others[0].i] = true;
  }
  const total = counts.reduce((sum, n) => sum + n, 0);
  return { parts: counts.map((n, i) => (isHidden[i] ? null : n)), total: total > 0 && total < 10 ? null : total };
}

/** Subjects read in one go; between two of them others get their turn. */
const SUBJECTS_AT_ONCE = 500;
/** Where more visits and residences than these are concerned, an even sample is measured. */
export const MEASURED_MAX = 200_000;

/** Where the subjects of a change lie: visitors of these counties, residents of those. */
export interface Reach {
  readonly counties: readonly CountyCode[];
  readonly residents: readonly CountyCode[];
}

/**
 * Measures everybody within `reach`, or a sample of so many where it leads to more. `between` is called between two steps, to let others have their turn or to give up by throwing.
 * @returns a sample of null: everybody was measured.
 */
export async function measureReach(
  evidence: EvidenceReader,
  reach: Reach,
  sides: Sides,
  measuredMax: number,
  between: () => Promise<void>,
): Promise<{ tally: Tally; sample: Sample | null }> {
  const tally = createTally();
  const seen = new Set<string>();
  const of = countSubjects(evidence, reach);
  const oneIn = Math.max(1, Math.ceil(of / measuredMax));
  for (const subjects of subjectPages(evidence, reach)) {
    for (const subject of subjects) {
      for (const holder of evidence.holdersOf(subject)) {
        if (!isInSample(holder, oneIn)) continue;
        const text = keyText(holder);
        if (seen.has(text)) continue;
        seen.add(text);
        measure(tally, evidence, keyOf(text), sides);
      }
    }
    await between();
  }
  return { tally, sample: oneIn > 1 ? { oneIn, of } : null };
}

/** Holders have the same chance, however many phones, documents and counties lead to them: their keys decide, by bytes that are even although a holder's key is the smallest of several. */
function isInSample(holder: HolderKey, oneIn: number): boolean {
  return new DataView(holder.buffer, holder.byteOffset).getUint32(KEY_BYTES / 2) % oneIn === 0;
}

/** The rules and regions before and after a change, and from when on it counts. */
export interface Sides {
  readonly before: Evaluator;
  readonly after: Evaluator;
  readonly from: Instant;
}

/** Counts what a change makes of one holder. */
export function measure(tally: Tally, evidence: EvidenceReader, holder: HolderKey, { before, after, from }: Sides): void {
  const { evidence: known } = evidence.holder(holder);
  const old = before.evaluate(known);
  tally.add(flagDifferences(old, after.evaluate(known), from), flagsFrom(old, from));
}

/** Whoever has an entry, some at a time: registered holders, then documents that nobody has registered. */
export function* everybody(evidence: EvidenceReader, entries: EntryReader): Iterable<HolderKey[]> {
  yield* evidence.holderPages();
  let after: DocumentKey | null = null;
  for (;;) {
    const documents: DocumentKey[] = entries.documents({ after, limit: SUBJECTS_AT_ONCE });
    yield documents.filter((document) => evidence.isUnregistered(document));
    if (documents.length < SUBJECTS_AT_ONCE) return;
    after = documents.at(-1)!;
  }
}

function countSubjects(evidence: EvidenceReader, { counties, residents }: Reach): number {
  return counties.reduce((sum, c) => sum + evidence.visitorCount(c), 0) + residents.reduce((sum, c) => sum + evidence.residentCount(c), 0);
}

function* subjectPages(evidence: EvidenceReader, { counties, residents }: Reach): Iterable<SubjectKey[]> {
  type PageOf = (page: { after: Uint8Array | null; limit: number }) => SubjectKey[];
  const sources: PageOf[] = [...counties.map((c): PageOf => (page) => evidence.visitorsOf(c, page)), ...residents.map((c): PageOf => (page) => evidence.residentsOf(c, page))];
  for (const pageOf of sources) {
    let after: Uint8Array | null = null;
    for (;;) {
      const subjects = pageOf({ after, limit: SUBJECTS_AT_ONCE });
      yield subjects;
      if (subjects.length < SUBJECTS_AT_ONCE) break;
      after = subjects.at(-1)!;
    }
  }
}
