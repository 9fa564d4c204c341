// The blast radius of a change: how many holders it would put under a flag or take out from under one, before it is applied.
// Promises: reads only; keys don't leave, counts under ten are not told; of very many holders an even sample is measured and the figures say so.
// Not here: what is done about it (guarded.ts).

import { FLAGS, keyOf, keyText, RESTRICTING, type CountyCode, type Flag, type HolderKey, type Instant, type SubjectKey } from "../domain/index.ts";
import type { EvidenceReader } from "../evidence/index.ts";
import { flagDifferences, type Evaluator, type FlagDifference } from "../policy/index.ts";

/** A count that may be told: null stands for 1 to 9. */
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
  /** Holders that were looked at; the others can't be concerned. */
  readonly measured: number;
  /** The counts are estimates from one holder in so many. */
  readonly sampledOneIn: number;
  readonly flags: Readonly<Partial<Record<Flag, FlagReport>>>;
}

/** Above which share of all holders a change is held, and the least number of holders that counts as a crowd. */
export interface BlastLimits {
  readonly gainShareMax: number;
  readonly lossShareMax: number;
  readonly crowdHolders: number;
}

export const USUAL_LIMITS: BlastLimits = { gainShareMax: 0.05, lossShareMax: 0.1, crowdHolders: 100 };

export interface Tally {
  add(differences: readonly FlagDifference[]): void;
  /** Adds what another process has counted. */
  merge(counts: TallyCounts): void;
  counts(): TallyCounts;
  report(options: { holders: number; sampledOneIn: number }): BlastReport;
  /** Which limits are exceeded: a restricting flag gained or lost by too many. */
  excess(holders: number, limits: BlastLimits, sampledOneIn: number): { gain: string | null; loss: string | null };
}

/** Plain counts: [gains, losses] by flag and county. */
export interface TallyCounts {
  readonly measured: number;
  readonly flags: Readonly<Record<string, Readonly<Record<string, readonly [number, number]>>>>;
}

export function createTally(): Tally {
  let measured = 0;
  const flags = new Map<string, Map<string, [number, number]>>();
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
  return {
    add(differences) {
      measured++;
      for (const { flag, county, gained, lost } of differences) count(flag, county === null ? "-" : String(county), Number(gained), Number(lost));
    },
    merge(counts) {
      measured += counts.measured;
      for (const [flag, counties] of Object.entries(counts.flags)) for (const [county, [gains, losses]] of Object.entries(counties)) count(flag, county, gains, losses);
    },
    counts: () => ({ measured, flags: Object.fromEntries([...flags].map(([flag, counties]) => [flag, Object.fromEntries(counties)])) }),
    report({ holders, sampledOneIn }) {
      const told = (number: number): ToldCount => (number > 0 && number < 10 ? null : number * sampledOneIn);
      const reports = FLAGS.filter((flag) => flags.has(flag)).map((flag): [Flag, FlagReport] => {
        const [gains, losses] = totals(flag);
        const byCounty = [...flags.get(flag)!].sort().map(([county, pair]) => [county, { gains: told(pair[0]), losses: told(pair[1]) }] as const);
        return [flag, { gains: told(gains), losses: told(losses), byCounty: Object.fromEntries(byCounty) }];
      });
      return { holders, measured, sampledOneIn, flags: Object.fromEntries(reports) };
    },
    excess(holders, { gainShareMax, lossShareMax, crowdHolders }, sampledOneIn) {
      let [gain, loss]: [string | null, string | null] = [null, null];
      for (const flag of RESTRICTING) {
        const [gains, losses] = totals(flag).map((n) => n * sampledOneIn) as [number, number];
        const percent = (n: number): string => `${((100 * n) / holders).toFixed(1)} %`;
        if (gains >= crowdHolders && gains > gainShareMax * holders) gain ??= `${gains} of ${holders} holders (${percent(gains)}) would get ${flag}, the limit is ${percent(gainShareMax * holders)}`;
        if (losses >= crowdHolders && losses > lossShareMax * holders) loss ??= `${losses} of ${holders} holders (${percent(losses)}) would lose ${flag}, the limit is ${percent(lossShareMax * holders)}`;
      }
      return { gain, loss };
    },
  };
}

/** Subjects read in one go; between two of them others get their turn. */
const SUBJECTS_AT_ONCE = 500;
/** Of a crowd larger than this an even sample is measured. */
const MEASURED_MAX = 200_000;

/** Where the subjects of a change lie: visitors of these counties, residents of those. */
export interface Reach {
  readonly counties: readonly CountyCode[];
  readonly residents: readonly CountyCode[];
}

/** Measures everybody within `reach`. `between` is called between two steps, to let others have their turn or to give up by throwing. */
export async function measureReach(
  evidence: EvidenceReader,
  reach: Reach,
  sides: { before: Evaluator; after: Evaluator; from: Instant },
  between: () => Promise<void>,
): Promise<{ tally: Tally; sampledOneIn: number }> {
  const tally = createTally();
  const seen = new Set<string>();
  const sampledOneIn = 1 + Math.floor(countSubjects(evidence, reach) / MEASURED_MAX);
  let index = 0;
  for (const subjects of subjectPages(evidence, reach)) {
    for (const subject of subjects) {
      if (index++ % sampledOneIn !== 0) continue;
      for (const holder of evidence.holdersOf(subject)) {
        const text = keyText(holder);
        if (seen.has(text)) continue;
        seen.add(text);
        tally.add(differencesOf(evidence, keyOf(text), sides));
      }
    }
    await between();
  }
  return { tally, sampledOneIn };
}

/** What a change makes of one holder. */
export function differencesOf(evidence: EvidenceReader, holder: HolderKey, { before, after, from }: { before: Evaluator; after: Evaluator; from: Instant }): FlagDifference[] {
  const { evidence: known } = evidence.holder(holder);
  return flagDifferences(before.evaluate(known), after.evaluate(known), from);
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
