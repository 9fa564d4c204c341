import { expect, test } from "vitest";
import type { Fact, FactKind } from "../domain/index.ts";
import { CONTENT_AT, decodeFact, encodeFact, encodeMoved, isMoved } from "./factCodec.ts";

const known = { source: "lab 实验室", revision: 4_294_967_295, knownFrom: 0 };

/** One of each kind, with ends that are open and words that are empty. */
const FACTS = {
  trip: { ...known, kind: "trip", county: 110105, from: 0, to: null },
  test: { ...known, kind: "test", sampledAt: 5, issuedAt: 4_294_967_295, result: "inconclusive", laboratory: "", county: null, uploaded: true },
  finding: { ...known, kind: "finding", finding: "close-contact", level: null, from: 1, until: null, authority: "a", ground: "\u{1f6b6} \u0000" },
  crossing: { ...known, kind: "crossing", at: 1, port: 310115, origin: "MAC", homeSuitable: false },
  purchase: { ...known, kind: "purchase", at: 1, drugClass: "fever", county: 110105 },
  "clinic-visit": { ...known, kind: "clinic-visit", at: 1, symptom: "diarrhoea" },
  commuting: { ...known, kind: "commuting", from: 1, until: 2 },
  report: { ...known, kind: "report", at: 1 },
  declaration: { ...known, kind: "declaration", at: 1 },
  obligation: { ...known, kind: "obligation", duty: "courier", at: 1, everyDays: null, until: 9 },
  residence: { ...known, kind: "residence", county: 110105, from: 1, until: null },
  clearance: { ...known, kind: "clearance", clears: "popup-5", at: 1, authority: "a", ground: "g".repeat(200) },
  refutation: { ...known, kind: "refutation", subject: "\u00ff\u0000key", fact: null, county: null, from: null, to: 7, at: 1, authority: "a", ground: "g" },
  vaccination: { ...known, kind: "vaccination", at: 1, dose: 2, product: "Vaccine A" },
} as const satisfies { [Kind in FactKind]: Extract<Fact, { kind: Kind }> };

test.each(Object.entries<Fact>(FACTS))("a fact of kind %s comes back as it went in", (_, fact) => {
  expect(decodeFact(encodeFact(fact))).toEqual(fact);
  expect(decodeFact(encodeFact({ ...fact, receivedAt: 77 }))).toEqual({ ...fact, receivedAt: 77 });
});

test("when a fact became known changes its first bytes alone, what it says the others alone", () => {
  const [fact, later, other] = [FACTS.test, { ...FACTS.test, knownFrom: 9, receivedAt: 10 }, { ...FACTS.test, uploaded: false }].map((f) => Buffer.from(encodeFact(f)));
  expect(later!.subarray(CONTENT_AT)).toEqual(fact!.subarray(CONTENT_AT));
  expect(later!.subarray(0, CONTENT_AT)).not.toEqual(fact!.subarray(0, CONTENT_AT));
  expect(other!.subarray(CONTENT_AT)).not.toEqual(fact!.subarray(CONTENT_AT));
});

test("a fact that has moved is none", () => {
  expect(isMoved(encodeMoved(5))).toBe(true);
  expect(decodeFact(encodeMoved(5))).toBeUndefined();
  expect(isMoved(encodeFact(FACTS.report))).toBe(false);
});

test("words that are too long are not cut", () => {
  expect(() => encodeFact({ ...FACTS.clearance, ground: "g".repeat(4096) })).toThrow("too long");
});
