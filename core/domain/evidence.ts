// Evidence: dated facts about holders and about regions, as the sources told them.
// A fact is no conclusion: what follows from it, policies say.

import type { CountyCode } from "./regions.ts";
import type { Day, Instant } from "./time.ts";

export const TEST_RESULTS = ["negative", "positive", "inconclusive", "invalid"] as const;
export type TestResult = (typeof TEST_RESULTS)[number];

export const FINDING_KINDS = ["confirmed", "suspected", "asymptomatic", "close-contact", "key-place", "risk-link"] as const;
export type FindingKind = (typeof FINDING_KINDS)[number];

interface FactBase {
  /** Who delivered it. */
  readonly source: string;
  /** The highest revision of a fact wins. */
  readonly revision: number;
  /** When this service learned of it. */
  readonly knownFrom: Instant;
}

/** A stay in a county; `to` null: still there. */
export interface Trip extends FactBase {
  readonly kind: "trip";
  readonly county: CountyCode;
  readonly from: Instant;
  readonly to: Instant | null;
}

/** One result of one laboratory. */
export interface Test extends FactBase {
  readonly kind: "test";
  readonly sampledAt: Instant;
  readonly issuedAt: Instant;
  readonly result: TestResult;
  readonly laboratory: string;
  /** Where the laboratory is; null when the source did not say. */
  readonly county: CountyCode | null;
  /** Uploaded to the national platform and asked for by the holder. */
  readonly uploaded: boolean;
}

/** What investigators found, with its own end (`until` half-open, null: until the authority revises it). */
export interface Finding extends FactBase {
  readonly kind: "finding";
  readonly finding: FindingKind;
  readonly level: string | null;
  readonly from: Instant;
  readonly until: Instant | null;
  readonly authority: string;
  readonly ground: string;
}

/** An entry into the country. */
export interface Crossing extends FactBase {
  readonly kind: "crossing";
  readonly at: Instant;
  /** County of the port. */
  readonly port: CountyCode;
  /** Where from, ISO 3166-1 alpha-3. */
  readonly origin: string;
  /** Whether the holder's home allows isolation there. */
  readonly homeSuitable: boolean;
}

export const DRUG_CLASSES = ["fever", "cough", "anti-infective", "throat"] as const;
export type DrugClass = (typeof DRUG_CLASSES)[number];

/** A purchase at a retail pharmacy. */
export interface Purchase extends FactBase {
  readonly kind: "purchase";
  readonly at: Instant;
  readonly drugClass: DrugClass;
  readonly county: CountyCode;
}

export const SYMPTOMS = [
  "fever",
  "dry-cough",
  "fatigue",
  "loss-of-smell",
  "loss-of-taste",
  "blocked-nose",
  "runny-nose",
  "sore-throat",
  "conjunctivitis",
  "muscle-pain",
  "diarrhoea",
] as const;
export type Symptom = (typeof SYMPTOMS)[number];

/** A visit to a primary clinic. */
export interface ClinicVisit extends FactBase {
  readonly kind: "clinic-visit";
  readonly at: Instant;
  readonly symptom: Symptom;
}

/** A registration as a commuter (`until` half-open, null: open). */
export interface Commuting extends FactBase {
  readonly kind: "commuting";
  readonly from: Instant;
  readonly until: Instant | null;
}

/** The holder told the community. */
export interface Report extends FactBase {
  readonly kind: "report";
  readonly at: Instant;
}

export type Fact = Trip | Test | Finding | Crossing | Purchase | ClinicVisit | Commuting | Report;
export type FactKind = Fact["kind"];

/** Everything known of one holder, in no particular order. */
export interface HolderEvidence {
  /** A `holders` row names one of the holder's documents. */
  readonly registered: boolean;
  readonly facts: readonly Fact[];
}

/** One published list of risk areas, counted by county. A county that it does not name holds no area from then on. */
export interface RiskPublication {
  readonly publishedAt: Instant;
  readonly knownFrom: Instant;
  readonly counties: ReadonlyMap<CountyCode, RiskAreaCount>;
}

export interface RiskAreaCount {
  readonly high: number;
  readonly medium: number;
}

/** New local infections of one county on one day. */
export interface LocalInfection {
  readonly county: CountyCode;
  readonly day: Day;
  readonly count: number;
  /** When it became known; nothing follows from it before. */
  readonly knownFrom: Instant;
}
