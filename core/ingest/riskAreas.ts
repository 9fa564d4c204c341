// The national risk lists as published (JSON) -> one publication, counted by county.
// Promises: a list whose own counts don't match it is refused whole; an item that finds no county is named, never dropped in silence.
// Not here: what an area means for anyone.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { z } from "zod";
import { allCounties, mayHoldNumber, parseDate, provinceOf, readBySchema, startOfDay, type CountyCode, type Instant, type Refusal, type RiskAreaCount, type SchemaFault, type UnknownPlace } from "../domain/index.ts";
import type { RowFault } from "../access/index.ts";

const itemSchema = z.looseObject({ province: z.string(), city: z.string(), county: z.string(), communitys: z.array(z.string()) });
const listSchema = z.looseObject({
  end_update_time: z.string(),
  hcount: z.int().min(0),
  mcount: z.int().min(0),
  highlist: z.array(itemSchema),
  middlelist: z.array(itemSchema),
});
/** The publications come wrapped in `data`. */
const publicationSchema = z.looseObject({ data: listSchema });

export interface ReadPublication {
  readonly publishedAt: Instant;
  readonly counties: ReadonlyMap<CountyCode, RiskAreaCount>;
  /**
   * One number for each area in the order of the list, the high ones first: the province's two digits and 40 bits that stand for the area's names.
   * An area keeps its number when its level changes. Areas that found no county are among them; 0 stands for a province that nobody knows.
   */
  readonly areas: Float64Array;
  /** What of `refused` has areas, each place once. */
  readonly unknown: readonly UnknownPlace[];
  /** Items that found their county. */
  readonly accepted: number;
  /** Items that did not; `line` counts the items of the high list, then those of the medium one. */
  readonly refused: readonly RowFault[];
}

/** Reads a publication. @returns a refusal when the list as a whole can't be used. */
export function readPublication(text: string): ReadPublication | Refusal {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { field: "body", reason: "is no JSON" };
  }
  const read = readBySchema(publicationSchema, json, "a risk list");
  if ("faults" in read) {
    const [{ field, reason }] = read.faults as [SchemaFault];
    return { field: field || "body", reason };
  }
  const { end_update_time: updateTime, hcount, mcount, highlist, middlelist } = read.data.data;
  const publishedAt = parseUpdateTime(updateTime);
  if (publishedAt === undefined) return { field: "data.end_update_time", reason: "must look like 2022-06-09 17时" };
  for (const [field, count, list] of [["hcount", hcount, highlist], ["mcount", mcount, middlelist]] as const) {
    const areas = list.reduce((sum, item) => sum + item.communitys.length, 0);
    if (areas !== count) return { field: `data.${field}`, reason: `says ${count} areas but the list holds ${areas}: is it cut off?` };
  }

  const counties = new Map<CountyCode, { high: number; medium: number }>();
  const refused: RowFault[] = [];
  const unknown = new Map<string, UnknownPlace>();
  const items = [...highlist.map((item) => ({ item, level: "high" as const })), ...middlelist.map((item) => ({ item, level: "medium" as const }))];
  items.forEach(({ item, level }, i) => {
    const codes = findCounties(item);
    if (codes.length === 0) {
      const written = nameOf(item);
      const name = repeatable(written);
      refused.push({ line: i + 1, field: "county", reason: written === "" ? "names no place" : `no county is known as ${name || "what it names, which is not repeated here"}` });
      const place = placeOf(item);
      const areas = (unknown.get(place)?.areas ?? 0) + item.communitys.length;
      if (areas > 0) unknown.set(place, { name, province: surroundingProvince(item), areas });
    }
    for (const code of codes) {
      const count = counties.get(code) ?? { high: 0, medium: 0 };
      count[level] += item.communitys.length;
      counties.set(code, count);
    }
  });
  const areas = Float64Array.from(items.flatMap(({ item }) => item.communitys.map((community) => areaNumber(item, community))));
  return { publishedAt, counties, areas, unknown: [...unknown.values()], accepted: items.length - refused.length, refused };
}

function placeOf({ province, city, county }: PlaceName): string {
  return [province, city, county].join("|");
}

function nameOf({ province, city, county }: PlaceName): string {
  return [province, city, county].join(" ").replace(/[\p{C}\s]+/gu, " ").trim();
}

/** Empty for a name that may not be kept. */
function repeatable(name: string): string {
  return name.length > 80 || mayHoldNumber(name) ? "" : name;
}

/** The province in which a place must lie that finds no county; 0 where its city is no city of its province: then either may be wrong. */
function surroundingProvince({ province, city }: PlaceName): number {
  prefectures ??= new Set([...allCounties().values()].map((c) => `${c.province}|${c.prefecture}`));
  const isItsCity = MUNICIPALITIES.has(province) || isDirectlyAdministered(city) || prefectures.has(`${province}|${city}`);
  return isItsCity ? provinceCode(province) : 0;
}

/** Province, then 16 bits of the place (province, city, county), then 24 of the area in it: areas of one place lie together when they are sorted. */
function areaNumber(item: PlaceName, community: string): number {
  const place = placeOf(item);
  return provinceCode(item.province) * 2 ** 40 + hashBits(place, 2) * 2 ** 24 + hashBits(`${place}|${community}`, 3);
}

/** Two digits; 0 for a province that nobody knows. */
function provinceCode(province: string): number {
  provinces ??= new Map([...allCounties().values()].map((c) => [c.province, provinceOf(c.code)]));
  return provinces.get(province) ?? 0;
}

function hashBits(text: string, bytes: number): number {
  return createHash("sha256").update(text).digest().readUIntBE(0, bytes);
}

/** "2022-06-09 17时", Beijing time. */
function parseUpdateTime(text: string): Instant | undefined {
  const match = /^(\d{4})-(\d\d)-(\d\d) (\d{1,2})时$/.exec(text);
  if (!match) return undefined;
  const day = parseDate(match[1]!, match[2]!, match[3]!);
  const hour = Number(match[4]);
  return day === undefined || hour > 24 ? undefined : startOfDay(day) + hour * 3600;
}

interface PlaceName {
  readonly province: string;
  readonly city: string;
  readonly county: string;
}

const MUNICIPALITIES = new Set(["北京市", "上海市", "天津市", "重庆市"]);
const DIRECTLY_ADMINISTERED = "省直辖县级行政区划";

let provinces: ReadonlyMap<string, number> | undefined;
let prefectures: ReadonlySet<string> | undefined;
let places: ReadonlyMap<string, readonly CountyCode[]> | undefined;

/**
 * The counties that a published place lies in; several for a development zone that spans them; none when nobody knows it. Names are tried in
 * this order: as they stand; a municipality's county or (Beijing) the city as its district; a county that its province administers; a prefecture that is
 * one county; the table of aliases, which gives a reason for each.
 */
export function findCounties({ province, city, county }: PlaceName): readonly CountyCode[] {
  places ??= indexPlaces();
  const tries = MUNICIPALITIES.has(province)
    ? [[province, county], [province, city]]
    : isDirectlyAdministered(city)
      ? [[province, DIRECTLY_ADMINISTERED, county]]
      : [[province, city, county], [province, city]];
  for (const names of [...tries, ["alias", province, city, county]]) {
    const codes = places.get(names.join("|"));
    if (codes) return codes;
  }
  return [];
}

/** What stands in the place of the city where a province administers a county. */
function isDirectlyAdministered(city: string): boolean {
  return city.endsWith("直辖县级行政单位") || city.endsWith("直辖县级行政区划");
}

function indexPlaces(): ReadonlyMap<string, readonly CountyCode[]> {
  const index = new Map<string, CountyCode[]>();
  const real = [...allCounties().values()].filter((c) => !c.isZone);
  for (const { code, name, prefecture, province } of real) {
    if (MUNICIPALITIES.has(province)) index.set(`${province}|${name}`, [code]);
    else if (prefecture.endsWith("直辖县级行政区划")) index.set(`${province}|${DIRECTLY_ADMINISTERED}|${name}`, [code]);
    else {
      index.set(`${province}|${prefecture}|${name}`, [code]);
      // Prefectures without counties stand in the list as a county of their own name: 东莞, 中山, 儋州, 嘉峪关.
      if (name === prefecture) index.set(`${province}|${prefecture}`, [code]);
    }
  }
  const table = readFileSync(new URL("./riskAreas/aliases.csv", import.meta.url), "utf8").trim().split("\n").slice(1);
  for (const row of table) {
    const [province, city, county, codes] = row.split(",");
    index.set(["alias", province, city, county].join("|"), codes!.split(";").map(Number));
  }
  return index;
}
