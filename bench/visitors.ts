// Holders with numbers that can be scanned, written straight into a stopped service's stores: visitors of one county, and beside them control groups of others.
// Promises: every database is filled in the order of its keys, and who has which phone follows no order; each holder's entry is there, as the worker would have written it.
// Not here: a crowd that nobody scans (crowd.ts).

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createKeyring } from "../core/access/index.ts";
import type { CountyCode, DocumentKey, Fact, FactKey, Instant, PhoneKey } from "../core/domain/index.ts";
import { encodeEntry, entryOf, openEntryWriter } from "../core/entry/index.ts";
import { openEvidenceWriter, type EvidenceWriter } from "../core/evidence/index.ts";
import { createEvaluator, parsePack } from "../core/policy/index.ts";
import { numberOf } from "./entries.ts";

const DAY_S = 86_400;
const AT_ONCE = 5000;
const CITY_HOME = 110105;
/** In a hundred: as in the demo city. */
const TESTED = 85;
/** Beyond the numbers that other benches use. */
const FIRST_PLACE = 50_000_000;

/** So many holders each, who have been in this county; null: who never left the city. */
export interface VisitorGroup {
  readonly county: CountyCode | null;
  readonly holders: number;
}

/** The number of the i-th holder, groups one behind the other. */
export function visitorNumber(i: number): string {
  return numberOf(FIRST_PLACE + i);
}

/** @returns the document keys of all groups, one behind the other. */
export function visitorKeys(dataFolder: string, groups: readonly VisitorGroup[]): DocumentKey[] {
  const keyring = keyringOf(dataFolder);
  return Array.from({ length: total(groups) }, (_, i) => keyring.documentKey({ type: "resident-id", number: "", canonical: `resident-id|${visitorNumber(i)}` }));
}

/** Writes them; the service must not run on the folder. */
export async function writeVisitors(dataFolder: string, groups: readonly VisitorGroup[], at: Instant, progress: (line: string) => void): Promise<void> {
  const count = total(groups);
  const counties = groups.flatMap(({ county, holders }) => Array.from({ length: holders }, () => county));
  const keyring = keyringOf(dataFolder);
  const documents = visitorKeys(dataFolder, groups);
  const phones = Array.from({ length: count }, (_, i) => keyring.phoneKey({ canonical: `+86128${String(i).padStart(8, "0")}` }));
  const evidence = openEvidenceWriter(join(dataFolder, "evidence"));
  const byDocument = inOrder(documents);
  await inSteps(evidence, "holders", byDocument, progress, (i) => evidence.putHolder([documents[i]!], [phones[i]!], { knownFrom: 0 }));

  const base = { source: "bench", revision: 1, knownFrom: at - DAY_S };
  const subjects = [...documents, ...phones];
  let facts = 0;
  const putFact = (subject: DocumentKey | PhoneKey, fact: Fact): void => {
    evidence.putFact(subject, ascendingKey(facts++, 4 * count), fact);
  };
  await inSteps(evidence, "holders' facts", inOrder(subjects), progress, (s) => {
    const subject = subjects[s]!;
    const i = s % count;
    if (s >= count) for (const trip of tripsOf(counties[i]!, i, at)) putFact(subject, { ...base, kind: "trip", ...trip });
    else if (i % 100 < TESTED) {
      const sampledAt = at - (18 + (i % 90)) * 3600;
      putFact(subject, { ...base, kind: "test", sampledAt, issuedAt: sampledAt + 8 * 3600, result: "negative", laboratory: "Bench Laboratory", county: CITY_HOME, uploaded: false });
    }
  });

  const entries = openEntryWriter(join(dataFolder, "entries"));
  const pack = evidence.packs().at(-1)!;
  const evaluator = createEvaluator(parsePack(pack.text, "the pack in force"), evidence.regions);
  const origin = { evidenceSequence: 1, policyId: pack.number, regionRevision: evidence.regions.revision() };
  for (let done = 0; done < count; done += AT_ONCE) {
    entries.transaction(() => {
      for (const i of byDocument.subarray(done, done + AT_ONCE)) {
        const key = documents[i]!;
        entries.put(key, encodeEntry(entryOf(evaluator.evaluate(evidence.holder(key).evidence), origin, at)));
      }
    });
    if (done % 200_000 === 0) {
      await entries.flushed();
      progress(`${done} of ${count} entries written`);
    }
  }
  await Promise.all([evidence.flushed(), entries.flushed()]);
  await Promise.all([evidence.close(), entries.close()]);
}

function keyringOf(dataFolder: string): ReturnType<typeof createKeyring> {
  return createKeyring(readFileSync(join(dataFolder, "secrets", "document.key")));
}

function total(groups: readonly VisitorGroup[]): number {
  return groups.reduce((sum, group) => sum + group.holders, 0);
}

/** Places of `keys` in the order of the keys. */
function inOrder(keys: readonly Uint8Array[]): Uint32Array {
  return Uint32Array.from(keys.keys()).sort((a, b) => Buffer.compare(keys[a]!, keys[b]!));
}

async function inSteps(evidence: EvidenceWriter, what: string, places: Uint32Array, progress: (line: string) => void, put: (place: number) => unknown): Promise<void> {
  for (let done = 0; done < places.length; done += AT_ONCE) {
    evidence.transaction(() => {
      for (const place of places.subarray(done, done + AT_ONCE)) put(place);
    });
    if (done % 200_000 === 0) {
      await evidence.flushed();
      progress(`${done} of ${places.length} ${what} written`);
    }
  }
}

/** Away for three days, and back within the last ten. */
function tripsOf(county: CountyCode | null, i: number, at: Instant): { county: CountyCode; from: Instant; to: Instant | null }[] {
  const settled = at - 60 * DAY_S;
  if (county === null) return [{ county: CITY_HOME, from: settled, to: null }];
  const back = at - (1 + (i % 10)) * DAY_S - (i % 20) * 3600;
  return [
    { county: CITY_HOME, from: settled, to: back - 4 * DAY_S },
    { county, from: back - 4 * DAY_S + 3600, to: back - 3600 },
    { county: CITY_HOME, from: back, to: null },
  ];
}

/** The i-th of `count` keys, ascending: whoever looks facts up doesn't care, and the index of them fills in order. */
function ascendingKey(i: number, count: number): FactKey {
  const key = Buffer.alloc(16);
  key.writeUIntBE(Math.floor((i / count) * 2 ** 48), 0, 6);
  key.writeUInt32BE(i, 12);
  return key as Uint8Array as FactKey;
}
