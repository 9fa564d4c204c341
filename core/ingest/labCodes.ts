// What codes of laboratories mean, whatever the format: which test of SARS-CoV-2, and which result (WIRE, "HL7 v2 and FHIR").
// Promises: what may be a test of this virus is refused in words when it can't be read, so that no result gets lost in silence.
// Not here: where a format keeps its codes.

import { mayHoldNumber, type TestResult } from "../domain/index.ts";
import { differsInCheckDigit, isLoincShaped, loincCheckDigitHolds, virusTestKind, whyNoVirusTest } from "./loinc.ts";

/** A code as a message writes it, "" where a part is missing. */
export interface LabCode {
  readonly code: string;
  readonly name: string;
  /** The message says that it is one of LOINC. */
  readonly isLoinc: boolean;
}

const NAMES_THE_VIRUS = /SARS-CoV-2|SARS coronavirus 2|2019-nCoV/i;

/**
 * The test that these codes, of which each says the same, stand for; null when it is of something else.
 * @returns its code of the table, and why it gives no result when it gives none.
 */
export function findVirusTest(codes: readonly LabCode[]): { readonly code: string; readonly fault: string | undefined } | null {
  const first = codes[0];
  if (!first) return null;
  const { code, isLoinc } = codes.find((c) => virusTestKind(c.code) !== undefined) ?? first;
  const kind = virusTestKind(code);
  if (kind !== undefined) {
    const why = whyNoVirusTest(kind);
    return { code, fault: why === undefined ? undefined : `code ${code} ${why}` };
  }
  // From here on the code is unknown. What may yet be a test of this virus is refused, so that no result gets lost in silence.
  const name = codes.map((c) => c.name).join(" ").trim();
  const maybeVirus = NAMES_THE_VIRUS.test(name);
  const isMisspelt = isLoincShaped(code) && !loincCheckDigitHolds(code) && isLoinc && (maybeVirus || name === "");
  if (isMisspelt || differsInCheckDigit(code)) return { code, fault: `code ${code} has a wrong check digit` };
  if (maybeVirus) return { code, fault: `code ${quoteCode(code)} is named after SARS-CoV-2, but is no test of the table` };
  return null;
}

/** What a result may be written as: SNOMED CT, or a plain word. */
const WRITTEN = {
  positive: ["260373001", "10828004", "detected", "positive", "阳性"],
  negative: ["260415000", "260385009", "895231008" /* in a pool */, "not detected", "negative", "阴性"],
  // A presumption is no finding, and of a pool in which the virus was detected nobody knows whose it was.
  inconclusive: ["419984006", "720735008" /* presumptive */, "462371000124108" /* in a pool */, "42425007", "82334004", "inconclusive", "可疑"],
  invalid: ["455371000124106", "125154007" /* specimen unsatisfactory */, "invalid", "invalid result", "无效"],
} satisfies Record<TestResult, string[]>;
const RESULTS = new Map(Object.entries(WRITTEN).flatMap(([result, texts]) => texts.map((text) => [text, result as TestResult])));

/** Codes about COVID-19 that senders put where a result belongs. */
const NO_RESULT: ReadonlyMap<string, string> = new Map([
  ["840539006", "a disease"],
  ["840533007", "an organism"],
  ["840544004", "a suspicion"],
  ["840546002", "an exposure"],
  ["840534001", "a procedure"],
  ["840535000", "an antibody"],
  ["840536004", "an antigen"],
]);

/** The result that a code or a word stands for, if it is one. */
export function labResult(text: string): TestResult | undefined {
  return RESULTS.get(text.toLowerCase());
}

/** Why a code or a word is no result, in words for its sender. */
export function whyNoResult(text: string): string {
  const kind = NO_RESULT.get(text);
  return kind ? `${text} is ${kind}, not a result` : `${quoteCode(text)} is no result known here`;
}

/** A text of a message for a refusal: short, and only when it has the looks of a code. */
export function quoteCode(text: string): string {
  return mayHoldNumber(text) || !/^[\w.^+-]+$/.test(text) ? "(not repeated here)" : `"${text.slice(0, 64)}"`;
}
