// Entries of very many invented documents, as the demo city's are mixed: a tenth flagged, four fifths tested. Here: which document is the i-th, and what its
// entry says. They are written by loader.ts.

import { allCounties, dayOf, residentIdCheck, type Instant, type TimedFlag } from "../core/domain/index.ts";
import { encodeEntry, type Entry } from "../core/entry/index.ts";

const DAY_S = 86_400;
/** Entries are of so many kinds: the i-th is of kind i modulo this. */
export const KINDS = 40;

/** A valid number (GB 11643) of somebody who would be over 120 years old; another one for each i under 500 million. */
export function numberOf(i: number): string {
  counties ??= [...allCounties().values()].filter((c) => !c.isZone).map((c) => String(c.code));
  const [county, rest] = [counties[i % counties.length]!, Math.floor(i / counties.length)];
  const [days, order] = [rest % 6720, Math.floor(rest / 6720)];
  const two = (n: number): string => String(n).padStart(2, "0");
  const first17 = `${county}${1880 + Math.floor(days / 336)}${two(1 + (Math.floor(days / 28) % 12))}${two(1 + (days % 28))}${String(order + 1).padStart(3, "0")}`;
  return first17 + residentIdCheck(first17);
}
let counties: string[] | undefined;

/** What a gate must hear of an entry of this kind, whatever its venue's rule. */
export interface KnownAnswer {
  readonly popups: readonly number[];
  readonly testAgeDays: number | null;
}

/** The kinds: of forty four are flagged and thirty-two tested. */
export function knownAnswers(): KnownAnswer[] {
  return Array.from({ length: KINDS }, (_, kind) => ({
    popups: kind % 10 === 3 ? [kind === 3 ? 1 : 4] : [],
    testAgeDays: kind % 5 === 4 ? null : 1 + (kind % 4),
  }));
}

/** Their records at an instant. */
export function recordsAt(at: Instant): Uint8Array[] {
  return knownAnswers().map(({ popups: [popup], testAgeDays }) => {
    const issuedAt = at - (testAgeDays ?? 0) * DAY_S;
    const flags: TimedFlag[] =
      popup === undefined ? [] : [{ flag: popup === 1 ? "popup-1" : "popup-4", rule: popup === 1 ? "affectedCounty" : "arrivalTest", from: at - DAY_S, until: at + 5 * DAY_S }];
    const entry: Entry = {
      registered: true,
      incomplete: false,
      evidenceSequence: 1,
      policyId: 1,
      regionRevision: 1,
      negatives: testAgeDays === null ? [] : [{ sampledAt: issuedAt - 3600, issuedAt }],
      shownTests: testAgeDays === null ? [] : [{ from: issuedAt, effectiveDay: dayOf(issuedAt) }],
      flags,
    };
    return encodeEntry(entry);
  });
}
