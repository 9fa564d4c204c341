// What rules ask of the history of regions, for codes of whichever list, remembered until the history changes.

import { countiesOfPrefecture, currentCounties, union, type CountyCode, type Interval, type RegionHistory } from "../domain/index.ts";
import { affectedIntervals } from "./rules/risk.ts";

export interface RegionViews {
  /** When a county, of whichever list, held an area. */
  held(county: CountyCode): readonly Interval[];
  /** When it is affected, for a window of so many days, with or without held areas. */
  affected(county: CountyCode, windowDays: number, heldAreas: boolean): readonly Interval[];
  /** When any other county of its prefecture is. */
  affectedBeside(county: CountyCode, windowDays: number, heldAreas: boolean): readonly Interval[];
}

export function createRegionViews(regions: RegionHistory): RegionViews {
  // Keys are numbers: a county's code, the window and what is asked.
  const remembered = new Map<number, readonly Interval[]>();
  let generation = -1;

  const remember = (key: number, lookUp: () => readonly Interval[]): readonly Interval[] => {
    if (generation !== regions.generation()) {
      remembered.clear();
      generation = regions.generation();
    }
    let intervals = remembered.get(key);
    if (!intervals) remembered.set(key, (intervals = lookUp()));
    return intervals;
  };
  const keyOf = (county: CountyCode, windowDays: number, kind: number): number => (county * 100 + windowDays) * 8 + kind;
  const joined = (counties: readonly CountyCode[], of: (county: CountyCode) => readonly Interval[]): readonly Interval[] =>
    counties.length === 1 ? of(counties[0]!) : union(counties.flatMap(of));
  const affectedNow = (county: CountyCode, windowDays: number, heldAreas: boolean): readonly Interval[] => {
    const risk = regions.risk(county);
    return risk ? affectedIntervals(risk, windowDays, heldAreas) : [];
  };
  const affected = (county: CountyCode, windowDays: number, heldAreas: boolean): readonly Interval[] =>
    remember(keyOf(county, windowDays, heldAreas ? 1 : 2), () => joined(currentCounties(county), (c) => affectedNow(c, windowDays, heldAreas)));

  return {
    held: (county) => remember(keyOf(county, 0, 0), () => joined(currentCounties(county), (c) => regions.risk(c)?.held ?? [])),
    affected,
    affectedBeside(county, windowDays, heldAreas) {
      return remember(keyOf(county, windowDays, heldAreas ? 3 : 4), () => {
        const own = currentCounties(county);
        const others = countiesOfPrefecture(county).filter((c) => !own.includes(c));
        return joined(others, (c) => affected(c, windowDays, heldAreas));
      });
    },
  };
}
