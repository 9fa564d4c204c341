// Regions: county-level divisions by code, with prefecture and province, and what is known of their risk.
// Promises: the list is the real one of 2021-10-31 (regions/PROVENANCE.md).
// Not here: which counties a policy finds affected.

import { readFileSync } from "node:fs";
import type { LocalInfection } from "./evidence.ts";
import type { Interval } from "./intervals.ts";

/** Six digits in the shape of GB/T 2260, as a number: 110105. */
export type CountyCode = number;

export interface County {
  readonly code: CountyCode;
  readonly name: string;
  readonly prefecture: string;
  readonly province: string;
  /** A development zone of the statistics office that GB/T 2260 does not have. */
  readonly isZone: boolean;
}

let counties: ReadonlyMap<CountyCode, County> | undefined;

/** Every county, by code. Read once. */
export function allCounties(): ReadonlyMap<CountyCode, County> {
  counties ??= readCounties();
  return counties;
}

function readCounties(): ReadonlyMap<CountyCode, County> {
  const text = readFileSync(new URL("./regions/counties-2021-10-31.csv", import.meta.url), "utf8");
  const rows = text.trim().split("\n").slice(1);
  return new Map(
    rows.map((row) => {
      const [code, name, , prefecture, , province, isZone] = row.trim().split(",");
      const county = { code: Number(code), name: name!, prefecture: prefecture!, province: province!, isZone: isZone === "1" };
      return [county.code, county];
    }),
  );
}

/** A county's code out of six digits, or undefined when the list has none such. */
export function parseCounty(text: string): CountyCode | undefined {
  const code = /^\d{6}$/.test(text) ? Number(text) : undefined;
  return code !== undefined && allCounties().has(code) ? code : undefined;
}

/** The first two digits of a code: 11 is Beijing. */
export function provinceOf(code: CountyCode): number {
  return Math.floor(code / 10_000);
}

/** What is known of one county's risk. */
export interface CountyRisk {
  /** When it held a high- or medium-risk area: from publication to publication; open at the end while it still does. */
  readonly held: readonly Interval[];
  /** Days with new local infections, in no particular order. */
  readonly infections: readonly LocalInfection[];
}

/** What is known of all counties. A county without anything is undefined. */
export interface RegionHistory {
  /** Another number whenever anything may have changed; what was computed under an older one is void. */
  generation(): number;
  risk(county: CountyCode): CountyRisk | undefined;
}
