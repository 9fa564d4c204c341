// Measuring more people than are measured: what a sample says of itself, and whom it counts.

import { afterEach, describe, expect, test } from "vitest";
import { document, inboxRows, NOW, openStores, phone, publication, SHANGHAI_HUANGPU, SHANGHAI_XUHUI, type Stores } from "../../test/ingestSupport.ts";
import { temporaryFolder } from "../../test/support.ts";
import { createEvaluator } from "../policy/index.ts";
import { measureReach, USUAL_LIMITS, type BlastReport, type Sample } from "./blastRadius.ts";
import { regionChangeOf } from "./guarded.ts";

let stores: Stores;
afterEach(() => stores.close());

const numbers = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);
const COUNTIES = ["310101", "310104", "440106"];
const LIST = publication("2022-06-09 06时", [SHANGHAI_HUANGPU, SHANGHAI_XUHUI, { province: "广东省", city: "广州市", county: "天河区" }]);

/** Holders 0 to `visitors` - 1 were lately in each of `counties`, by each of their phones; `others` more nowhere. */
async function cityWith(visitors: number, others: number, { counties = ["310101"], phones = 1 } = {}): Promise<void> {
  stores = openStores(temporaryFolder());
  const phonesOf = (n: number): string[] => numbers(0, phones).map((i) => phone(i * 5000 + n));
  await stores.deliver("holders", numbers(0, visitors + others).map((n) => ({ documents: [document(n)], phones: phonesOf(n) })));
  const trips = counties.flatMap((county) => numbers(0, visitors).flatMap(phonesOf).map((p, i) => ({ factId: `trip-${county}-${i}`, phone: p, county, from: "2022-06-01", to: "2022-06-05" })));
  await stores.deliver("trips", trips);
}

/** What the list of these counties would do, measured on so many at most. */
async function measured(measuredMax: number): Promise<{ report: BlastReport; gain: string | null; sample: Sample | null }> {
  const { evidence, evaluator } = stores;
  const { history } = evidence.regions.preview(regionChangeOf(inboxRows("risk-areas", [LIST])), null);
  const sides = { before: evaluator, after: createEvaluator(evaluator.pack, history), from: NOW };
  const { tally, sample } = await measureReach(evidence, { counties: COUNTIES.map(Number), residents: [] }, sides, measuredMax, () => Promise.resolve());
  const holders = evidence.holderCount();
  return { report: tally.report({ holders, sample }), gain: tally.excess(holders, USUAL_LIMITS, sample).gain, sample };
}

describe("of more visits than are measured", () => {
  test("a sample is looked at, and the report says so, of how many it is, and that counts are estimates", async () => {
    await cityWith(201, 800);
    const { report, gain } = await measured(200);
    const gains = report.flags["popup-1"]!.gains!;
    expect([report.holders, report.sampledOneIn, gains]).toEqual([1001, 2, 2 * report.measured]);
    expect(report.sample).toBe(`${report.measured} holders were measured, one in 2 of those behind 201 visits and residences: the counts are estimates`);
    expect(gain).toBe(`about ${gains} of 1001 holders (${((100 * gains) / 1001).toFixed(1)} %) would get popup-1, the limit is 5.0 %, by a sample of one in 2`);
  });
  test("of exactly as many everybody is, and nothing is said of a sample", async () => {
    await cityWith(200, 800);
    const { report, gain } = await measured(200);
    expect(report).toMatchObject({ holders: 1000, measured: 200, sampledOneIn: 1, sample: null, flags: { "popup-1": { gains: 200 } } });
    expect(gain).toBe("200 of 1000 holders (20.0 %) would get popup-1, the limit is 5.0 %");
  });
  test("each holder has the same chance, however many counties and phones lead to them", async () => {
    await cityWith(300, 700, { counties: COUNTIES, phones: 2 });
    const { report, sample } = await measured(300);
    expect(sample).toEqual({ oneIn: 6, of: 1800 });
    // One in six of 300 is 50, give or take 6.5: the bounds are four times that.
    expect(Math.abs(report.flags["popup-1"]!.gains! - 300)).toBeLessThan(4 * 6.5 * 6);
  });
  test("estimates under ten are hidden, not what was found under ten times in the sample", async () => {
    await cityWith(60, 40);
    const { report } = await measured(2);
    expect([report.sampledOneIn, report.measured > 0 && report.measured < 10]).toEqual([30, true]);
    expect(report.flags["popup-1"]!.gains).toBe(30 * report.measured);
  });
});
