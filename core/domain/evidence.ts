// Evidence: dated facts about holders and about regions, as the sources told them.
// A fact is no conclusion: what follows from it, policies say.

import type { Interval } from "./intervals.ts";
import type { CountyCode } from "./regions.ts";
import type { Day, Instant } from "./time.ts";

export const TEST_RESULTS = ["negative", "positive", "inconclusive", "invalid"] as const;
export type TestResult = (typeof TEST_RESULTS)[number];

export const FINDING_KINDS = ["confirmed", "suspected", "asymptomatic", "close-contact", "key-place", "risk-link"] as const;
export type FindingKind = (typeof FINDING_KINDS)[number];

/** Since when something counts as known; nothing follows from it before. */
export interface Known {
  /** When this service learned of it; of history, when it was published (POLICY §0); of a change that was held, when it was released. */
  readonly knownFrom: Instant;
  /** When it arrived; absent where that is knownFrom. */
  readonly receivedAt?: Instant;
}

/** What counts as known at an instant. */
export interface AsKnown {
  /** Some of it arrived after that instant: it is history, which counts as known since its publication. */
  readonly restsOnHistory: boolean;
}

/** Whether something counts as known at `at` though it arrived only later. */
export function arrivedAfter({ receivedAt }: Known, at: Instant): boolean {
  return receivedAt !== undefined && receivedAt > at;
}

/** Whether one delivery arrived before another. */
export function arrivedBefore(one: Known, other: Known): boolean {
  return (one.receivedAt ?? one.knownFrom) < (other.receivedAt ?? other.knownFrom);
}

interface FactBase extends Known {
  /** Who delivered it. */
  readonly source: string;
  /** The highest revision of a fact wins. */
  readonly revision: number;
}

/** A stay in a county; `to` null: still there. */
export interface Trip extends FactBase {
  readonly kind: "trip";
  /** Whom it was told of and which fact it is, as keyText; set when it is read from the store. What refutations match. */
  readonly told?: { readonly subject: string; readonly fact: string };
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

/** The holder declared a trip to the city. */
export interface Declaration extends FactBase {
  readonly kind: "declaration";
  readonly at: Instant;
}

/** A duty to be tested: once, or within every so many days (`until` half-open, null: open). */
export interface Obligation extends FactBase {
  readonly kind: "obligation";
  /** Which duty, in the source's words. */
  readonly duty: string;
  readonly at: Instant;
  readonly everyDays: number | null;
  readonly until: Instant | null;
}

/** Where the holder lives (`until` half-open, null: still). */
export interface Residence extends FactBase {
  readonly kind: "residence";
  readonly county: CountyCode;
  readonly from: Instant;
  readonly until: Instant | null;
}

export const CLEARABLE = ["popup-1", "popup-3", "popup-5", "unconfirmed"] as const;
export type Clearable = (typeof CLEARABLE)[number];

/** One dose of a vaccine. No rule asks for it yet. */
export interface Vaccination extends FactBase {
  readonly kind: "vaccination";
  readonly at: Instant;
  /** Which one of the holder's, counted from 1. */
  readonly dose: number;
  readonly product: string;
}

/** A named authority ends what was raised before. */
export interface Clearance extends FactBase {
  readonly kind: "clearance";
  readonly clears: Clearable;
  readonly at: Instant;
  readonly authority: string;
  readonly ground: string;
}

/**
 * An authority found that trips told of a phone, or of a holder, are not theirs. Matches every trip for which all that is given fits, whenever it is told of;
 * `from` and `to` are inclusive, null: open.
 */
export interface Refutation extends FactBase {
  readonly kind: "refutation";
  /** As keyText: a phone, whose trips are meant whoever has it; or a document, and all trips of its holder are, told of any document or phone, but nobody else's. */
  readonly subject: string | null;
  /** One fact, as keyText. */
  readonly fact: string | null;
  readonly county: CountyCode | null;
  readonly from: Instant | null;
  readonly to: Instant | null;
  readonly at: Instant;
  readonly authority: string;
  readonly ground: string;
}

export type Fact =
  | Trip
  | Test
  | Finding
  | Crossing
  | Purchase
  | ClinicVisit
  | Commuting
  | Report
  | Declaration
  | Obligation
  | Residence
  | Vaccination
  | Clearance
  | Refutation;
export type FactKind = Fact["kind"];

/** Everything known of one holder, in no particular order. */
export interface HolderEvidence {
  /** A `holders` row names one of the holder's documents. */
  readonly registered: boolean;
  readonly facts: readonly Fact[];
}

/** One published list of risk areas, counted by county. A county that it does not name holds no area from then on. */
export interface RiskPublication extends Known {
  readonly publishedAt: Instant;
  readonly counties: ReadonlyMap<CountyCode, RiskAreaCount>;
  /** A number for each area, in the published order: which areas two lists share. */
  readonly areas: Float64Array;
  /** Places with areas that find no county, each once: what they say has no effect. */
  readonly unknown: readonly UnknownPlace[];
}

/** A place of a risk list that finds no county. */
export interface UnknownPlace {
  /** As published; empty when there is none, or none that may be kept. */
  readonly name: string;
  /** Two digits of the province that it must lie in; 0: its names don't tell. */
  readonly province: number;
  readonly areas: number;
}

export interface RiskAreaCount {
  readonly high: number;
  readonly medium: number;
}

/** Regional screening of a county's residents, in rounds. */
export interface Screening extends Known {
  readonly county: CountyCode;
  readonly rounds: readonly Interval[];
}

/** New local infections of one county on one day. */
export interface LocalInfection extends Known {
  readonly county: CountyCode;
  readonly day: Day;
  readonly count: number;
}
