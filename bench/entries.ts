// Entries of very many invented documents, written straight into a store in the order of their keys: a tenth flagged, four fifths tested, as in the demo city.

import { createKeyring } from "../core/access/index.ts";
import { allCounties, dayOf, parseDocument, isRefusal, residentIdCheck, type Instant, type TimedFlag } from "../core/domain/index.ts";
import { encodeEntry, openEntryWriter, type Entry } from "../core/entry/index.ts";

const DAY_S = 86_400;
const AT_ONCE = 20_000;

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

/** Writes entries for the first `count` numbers; nobody else may write meanwhile. @returns how long it took, milliseconds. */
export async function loadEntries(folder: string, secret: Uint8Array, count: number, at: Instant, progress: (line: string) => void): Promise<number> {
  const startMs = performance.now();
  const keyring = createKeyring(secret);
  const keys = Array.from({ length: count }, (_, i) => {
    const document = parseDocument({ type: "resident-id", number: numberOf(i) });
    if (isRefusal(document)) throw new Error(`number ${i} is none: ${document.reason}`);
    return { key: keyring.documentKey(document), i };
  });
  progress(`${count} numbers hashed`);
  keys.sort((a, b) => Buffer.compare(a.key, b.key));
  const records = recordsAt(at);
  const entries = openEntryWriter(folder);
  for (let done = 0; done < count; done += AT_ONCE) {
    entries.transaction(() => {
      for (const { key, i } of keys.slice(done, done + AT_ONCE)) entries.put(key, records[i % records.length]!);
    });
  }
  await entries.flushed();
  await entries.close();
  progress(`${count} entries written`);
  return performance.now() - startMs;
}

/** Forty records that stand for everybody's: four flagged, thirty-two tested. */
function recordsAt(at: Instant): Uint8Array[] {
  return Array.from({ length: 40 }, (_, i) => {
    const flags: TimedFlag[] = i % 10 === 3 ? [{ flag: i === 3 ? "popup-1" : "popup-4", rule: i === 3 ? "affectedCounty" : "arrivalTest", from: at - DAY_S, until: at + 5 * DAY_S }] : [];
    const issuedAt = at - (1 + (i % 4)) * DAY_S;
    const isTested = i % 5 !== 4;
    const entry: Entry = {
      registered: true,
      incomplete: false,
      evidenceSequence: 1,
      policyId: 1,
      regionRevision: 1,
      negatives: isTested ? [{ sampledAt: issuedAt - 3600, issuedAt }] : [],
      shownTests: isTested ? [{ from: issuedAt, effectiveDay: dayOf(issuedAt) }] : [],
      flags,
    };
    return encodeEntry(entry);
  });
}
