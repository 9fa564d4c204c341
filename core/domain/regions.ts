// Regions: county-level divisions by code, with prefecture and province, what became of older codes, and what is known of their risk.
// Promises: the list is the real one of 2021-10-31; an older code of 2020-06-30 leads to every county that its territory went to (regions/PROVENANCE.md).
// Not here: which counties a policy finds affected, places by name (ingest).

import { readFileSync } from "node:fs";
import type { LocalInfection, Screening } from "./evidence.ts";
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
  /** An older code: on the list of 2020-06-30, no longer on the current one. */
  readonly isFormer: boolean;
}

/** How a code ended. `zone`: it was the statistics office's own, for a part of a county. */
export const SUCCESSIONS = ["merger", "split", "district", "city", "zone"] as const;

/** A county under an older code, with its old name. */
export interface FormerCounty extends County {
  readonly isFormer: true;
  readonly succession: (typeof SUCCESSIONS)[number];
  /** Every current county that now holds some of its territory; empty when that is not known. */
  readonly successors: readonly CountyCode[];
  readonly reason: string;
}

interface Index {
  readonly counties: ReadonlyMap<CountyCode, County>;
  readonly former: ReadonlyMap<CountyCode, FormerCounty>;
  readonly current: ReadonlyMap<CountyCode, readonly CountyCode[]>;
  /** By county, current or older: the current counties of its prefecture. */
  readonly peers: ReadonlyMap<CountyCode, readonly CountyCode[]>;
  /** By prefectureKey: its current counties and zones. */
  readonly sharing: ReadonlyMap<number, readonly CountyCode[]>;
}

const NONE: readonly CountyCode[] = [];
const MUNICIPALITIES: readonly number[] = [11, 12, 31, 50];

let index: Index | undefined;

function regions(): Index {
  index ??= readIndex();
  return index;
}

function readIndex(): Index {
  const counties = new Map<CountyCode, County>();
  for (const [code, name, , prefecture, , province, isZone] of readTable("counties-2021-10-31.csv")) {
    counties.set(Number(code), { code: Number(code), name: name!, prefecture: prefecture!, province: province!, isZone: isZone === "1", isFormer: false });
  }

  const namesake = new Map([...counties.values()].map((county) => [prefectureDigits(county.code), county]));
  const former = new Map<CountyCode, FormerCounty>();
  for (const [text, name, newCodes, kind, reason] of readTable("successors.csv")) {
    const code = Number(text);
    const { prefecture, province } = namesake.get(prefectureDigits(code))!;
    const successors = newCodes === "" ? NONE : newCodes!.split(";").map(Number);
    const succession = kind as FormerCounty["succession"];
    former.set(code, { code, name: name!, prefecture, province, isZone: succession === "zone", isFormer: true, succession, successors, reason: reason! });
  }

  const current = new Map<CountyCode, readonly CountyCode[]>([...counties.keys()].map((code) => [code, [code]]));
  for (const { code, successors } of former.values()) current.set(code, successors);

  const real = [...counties.values()].filter((county) => !county.isZone);
  const prefectures = Map.groupBy(real, prefectureKeyOf);
  const members = new Map([...prefectures].map(([key, group]) => [key, group.map((county) => county.code)]));
  const peers = new Map<CountyCode, readonly CountyCode[]>();
  for (const county of [...counties.values(), ...former.values()]) {
    const others = members.get(prefectureKeyOf(county)) ?? NONE;
    peers.set(county.code, county.isZone && !county.isFormer ? [...others, county.code] : others);
  }
  const sharing = new Map([...Map.groupBy(counties.values(), prefectureKeyOf)].map(([key, group]) => [key, group.map((county) => county.code)]));
  return { counties, former, current, peers, sharing };
}

/** The rows of a table beside this file, without its head. No field of ours holds a comma. */
function readTable(file: string): string[][] {
  const text = readFileSync(new URL(`./regions/${file}`, import.meta.url), "utf8");
  return text.trim().split("\n").slice(1).map((row) => row.trim().split(","));
}

/** Every county of the current list, by code. Read once. */
export function allCounties(): ReadonlyMap<CountyCode, County> {
  return regions().counties;
}

/** Every older code of the list of 2020-06-30 that the current one does not have. */
export function formerCounties(): ReadonlyMap<CountyCode, FormerCounty> {
  return regions().former;
}

/** The county of a code, current or older: what an answer names it by. */
export function countyOf(code: CountyCode): County | undefined {
  return regions().counties.get(code) ?? regions().former.get(code);
}

/**
 * A county's code out of six digits, as it was sent: one of the current list, or an older one that has successors. Undefined for any other, and
 * `countyFault` says why.
 */
export function parseCounty(text: string, former: ReadonlyMap<CountyCode, FormerCounty> = formerCounties()): CountyCode | undefined {
  if (!/^\d{6}$/.test(text)) return undefined;
  const code = Number(text);
  return allCounties().has(code) || former.get(code)?.successors.length ? code : undefined;
}

/** What is wrong with a text that `parseCounty` refuses, for behind the field's name; empty when nothing is. */
export function countyFault(text: string, former: ReadonlyMap<CountyCode, FormerCounty> = formerCounties()): string {
  if (parseCounty(text, former) !== undefined) return "";
  if (!/^\d{6}$/.test(text)) return "must be the six digits of a county's code, such as 110105";
  const county = former.get(Number(text));
  if (!county) return "must be the code of a county: it is neither on the list of 2021-10-31 nor on that of 2020-06-30";
  return `is the older code of ${county.name} (${county.province}), which was dissolved and has no known successor: send the code of the county that covers the place now`;
}

/** The current counties that hold the territory of a code: a current code itself, an older one's successors, none for an unknown one. */
export function currentCounties(code: CountyCode): readonly CountyCode[] {
  return regions().current.get(code) ?? NONE;
}

/** Older codes that nothing can match and that are refused when sent: to be told at start. */
export function countiesWithoutSuccessor(former: ReadonlyMap<CountyCode, FormerCounty> = formerCounties()): readonly FormerCounty[] {
  return [...former.values()].filter((county) => county.successors.length === 0);
}

/**
 * Equal for two counties of one prefecture, current or older. A municipality is one prefecture; a county directly under its province or region
 * shares one with nobody, nor does an unknown code.
 */
export function prefectureKey(code: CountyCode): number {
  const county = countyOf(code);
  return county ? prefectureKeyOf(county) : code;
}

function prefectureKeyOf({ code, prefecture }: County): number {
  const province = provinceOf(code);
  if (MUNICIPALITIES.includes(province)) return province;
  return prefecture.endsWith("直辖县级行政区划") ? code : prefectureDigits(code);
}

function prefectureDigits(code: CountyCode): number {
  return Math.floor(code / 100);
}

/** The current counties of a code's prefecture, itself among them when it is current. Other zones are left out; an unknown code has none. */
export function countiesOfPrefecture(code: CountyCode): readonly CountyCode[] {
  return regions().peers.get(code) ?? NONE;
}

/** The same with the zones that the statistics office has there, and at least the county itself: stays may be told of a zone. */
export function sharingPrefecture(code: CountyCode): readonly CountyCode[] {
  return regions().sharing.get(prefectureKey(code)) ?? [code];
}

/** The first two digits of a code: 11 is Beijing. */
export function provinceOf(code: CountyCode): number {
  return Math.floor(code / 10_000);
}

/** The name of a province by its two digits; undefined when the list has none of its counties. */
export function provinceName(province: number): string | undefined {
  for (const county of regions().counties.values()) if (provinceOf(county.code) === province) return county.province;
  return undefined;
}

/** What is known of one county's risk. */
export interface CountyRisk {
  /** When it held a high- or medium-risk area: from publication to publication; open at the end while it still does. */
  readonly held: readonly Interval[];
  /** Days with new local infections, in no particular order. */
  readonly infections: readonly LocalInfection[];
}

/** Where a county differs between two histories. Its risk differs nowhere before `from` or from `until` on; not at all when that is empty. */
export interface RegionDifference extends Interval {
  readonly county: CountyCode;
  /** Its screenings differ. */
  readonly isScreened: boolean;
}

/** What is known of all counties. A county without anything is undefined. */
export interface RegionHistory {
  /** Another number whenever anything may have changed; what was computed under an older one is void. */
  generation(): number;
  risk(county: CountyCode): CountyRisk | undefined;
  screenings(county: CountyCode): readonly Screening[];
}
