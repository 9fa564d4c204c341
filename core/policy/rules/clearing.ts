// What ends a flag from outside its rule: clearances by a named authority, and refutations of trips.

import { currentCounties, FOREVER, keyOf, subjectKind, type Clearable, type CountyCode, type Instant, type Refutation, type Trip } from "../../domain/index.ts";
import type { RuleContext } from "../evaluate.ts";

/** When an authority first cleared what began at `begun`; FOREVER when none has. What begins at the clearance or later, it does not clear. */
export function clearedAt(context: RuleContext, clears: Clearable, begun: Instant): Instant {
  let first = FOREVER;
  for (const clearance of context.known.clearance) {
    if (clearance.clears === clears && begun < clearance.at && clearance.at < first) first = clearance.at;
  }
  return first;
}

/** POLICY §2.4: the trips that no refutation matches. A refuted trip counts as never told, however often it is delivered. */
export function standingTrips(trips: Trip[], refutations: readonly Refutation[]): Trip[] {
  return refutations.length === 0 ? trips : trips.filter((trip) => !refutations.some((r) => matches(r, trip)));
}

function matches({ subject, fact, county, from, to }: Refutation, trip: Trip): boolean {
  return (
    (subject === null || subject === trip.told?.subject || isDocument(subject)) &&
    (fact === null || fact === trip.told?.fact) &&
    (county === null || shareTerritory(county, trip.county)) &&
    (from === null || from <= (trip.to ?? FOREVER)) &&
    (to === null || trip.from <= to)
  );
}

/** A document under which a refutation was found is one of the holder's, and whatever was told of the holder is meant. */
function isDocument(subject: string): boolean {
  return subjectKind(keyOf(subject)) === "document";
}

/** Whether two codes, each of whichever list, stand for a common county of today. */
function shareTerritory(a: CountyCode, b: CountyCode): boolean {
  return a === b || currentCounties(a).some((county) => currentCounties(b).includes(county));
}
