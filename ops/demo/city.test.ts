import { describe, expect, test } from "vitest";
import { isRefusal, parseDocument, parseInstant } from "../../core/domain/index.ts";
import { readHl7Rows } from "../../test/ingestSupport.ts";
import { createCity, oruMessage } from "./city.ts";
import { planCity } from "./load.ts";

const plan = planCity({ holders: 2000, seed: 7, startedAt: "2022-06-09T07:30:00+08:00" });
const holders = [...createCity(plan)];

describe("the demo city", () => {
  test("has valid numbers, each once, of people born in 1880-1899", () => {
    for (const { number } of holders) {
      expect(isRefusal(parseDocument({ type: "resident-id", number }))).toBe(false);
      expect(Number(number.slice(6, 10))).toBeGreaterThanOrEqual(1880);
      expect(Number(number.slice(6, 10))).toBeLessThanOrEqual(1899);
    }
    expect(new Set(holders.map((h) => h.number)).size).toBe(holders.length);
    expect(new Set(holders.map((h) => h.phone)).size).toBe(holders.length);
  });

  test("is the same again for the same seed, and another for another", () => {
    expect([...createCity(plan)]).toEqual(holders);
    expect([...createCity({ ...plan, seed: 8 })]).not.toEqual(holders);
  });

  test("goes only to real counties, some of them listed, and nothing in it lies in the future", () => {
    for (const { trips, tests } of holders) {
      for (const { county, from, to } of trips) {
        expect(plan.counties).toContain(county);
        expect(Math.max(from, to ?? from)).toBeLessThanOrEqual(plan.at);
      }
      for (const { sampledAt, issuedAt } of tests) expect(sampledAt < issuedAt && issuedAt < plan.at).toBe(true);
    }
    expect(holders.some((h) => h.trips.some((t) => plan.riskCounties.includes(t.county)))).toBe(true);
  });

  test("its laboratories' messages say what they are meant to: result, times, laboratory and county", () => {
    for (const { number, tests } of holders.filter((h) => h.tests.length > 0).slice(0, 200)) {
      const [sent] = tests;
      const { rows } = readHl7Rows(oruMessage(number, sent!, "order-1"));
      expect(rows).toHaveLength(1);
      const row = "row" in rows[0]! ? rows[0].row : undefined;
      expect(row).toMatchObject({ factId: "order-1/1", document: { type: "resident-id", number }, result: sent!.result, laboratory: sent!.laboratory, county: String(sent!.county) });
      expect(parseInstant(row!.sampledAt)).toBe(sent!.sampledAt);
      expect(parseInstant(row!.issuedAt)).toBe(sent!.issuedAt);
    }
  });
});
