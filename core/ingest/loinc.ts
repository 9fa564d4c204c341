// LOINC codes of SARS-CoV-2: which are tests for the virus, which are not, and whether a code is spelt right.
// Promises: the table is CDC's of 2022-01-12 (LOINC-PROVENANCE.md); a code it does not hold has no kind.
// Not here: the rest of LOINC, and where a message keeps its code (hl7.ts).

import { readFileSync } from "node:fs";

/** Kinds of tests that find the virus itself, present or not. Only these give a result. */
export const VIRUS_TEST_KINDS = ["nucleic-acid", "antigen"] as const;
export type VirusTestKind = (typeof VIRUS_TEST_KINDS)[number];

/** Codes about SARS-CoV-2 that are no test for it, and why. */
const NO_TEST = {
  antibody: "detects antibodies, not the virus",
  "immune-response": "detects a response of the immune system, not the virus",
  panel: "is a panel of several tests, whose one value does not say which of them it is",
  related: "detects the SARS-related coronaviruses as a group, not this one",
  sequence: "is a genome sequence, not a result",
} as const;
export type LoincKind = VirusTestKind | keyof typeof NO_TEST;

let table: ReadonlyMap<string, LoincKind> | undefined;
let stems: ReadonlySet<string> | undefined;

/** The table, by code. Read once. */
export function sarsCov2Codes(): ReadonlyMap<string, LoincKind> {
  table ??= readTable();
  return table;
}

function readTable(): ReadonlyMap<string, LoincKind> {
  const text = readFileSync(new URL("./loinc.csv", import.meta.url), "utf8");
  // The name stands last because it may hold commas; nobody reads it but people.
  const rows = text.trim().split("\n").slice(1);
  return new Map(
    rows.map((row) => {
      const [code, kind] = row.split(",", 2);
      if (!isKind(kind!)) throw new Error(`loinc.csv: ${code!} has no kind of this program`);
      return [code!, kind];
    }),
  );
}

function isKind(text: string): text is LoincKind {
  return (VIRUS_TEST_KINDS as readonly string[]).includes(text) || Object.hasOwn(NO_TEST, text);
}

/** What kind of test a code is, or undefined when the table does not hold it. */
export function virusTestKind(code: string): LoincKind | undefined {
  return sarsCov2Codes().get(code);
}

let kits: ReadonlyMap<string, string> | undefined;

/** The code of a test kit, by its model's or kit's name in CDC's LIVD table; undefined when the table doesn't hold it, or names several codes, or one that is no test of the table. */
export function virusTestOfKit(name: string): string | undefined {
  kits ??= new Map(
    readFileSync(new URL("./livd.csv", import.meta.url), "utf8")
      .trim()
      .split("\n")
      .slice(1)
      .map((row) => [row.slice(row.indexOf(",") + 1), row.slice(0, row.indexOf(","))]),
  );
  return kits.get(name.replace(/\s+/g, " ").replace(/\*$/, "").trim().toLowerCase());
}

/** Why a code of this kind gives no result, or undefined when it does. */
export function whyNoVirusTest(kind: LoincKind): string | undefined {
  return Object.hasOwn(NO_TEST, kind) ? NO_TEST[kind as keyof typeof NO_TEST] : undefined;
}

/** Whether a code differs from one of the table in its check digit only. */
export function differsInCheckDigit(code: string): boolean {
  stems ??= new Set([...sarsCov2Codes().keys()].map(stemOf));
  return isLoincShaped(code) && stems.has(stemOf(code)) && !sarsCov2Codes().has(code);
}

function stemOf(code: string): string {
  return code.slice(0, code.indexOf("-"));
}

export function isLoincShaped(code: string): boolean {
  return /^\d{1,7}-\d$/.test(code);
}

/** Whether the digit after the hyphen is the check digit (Luhn, modulus 10) of those before it. */
export function loincCheckDigitHolds(code: string): boolean {
  if (!isLoincShaped(code)) return false;
  const stem = stemOf(code);
  let sum = Number(code.at(-1));
  for (let i = 0; i < stem.length; i++) {
    const digit = Number(stem[stem.length - 1 - i]);
    const doubled = i % 2 === 0 ? digit * 2 : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}
