// A crowd of holders written straight into a folder's evidence, for benches that need more than a demo city can be loaded with in their time.
// Their keys are random, as the hashes of documents are: nobody can scan them, everything else treats them as any holder.

import { randomBytes } from "node:crypto";
import { allCounties, markSubject, type CountyCode, type DocumentKey, type Fact, type FactKey, type Instant, type PhoneKey } from "../core/domain/index.ts";
import { openEvidenceWriter } from "../core/evidence/index.ts";

const DAY_S = 86_400;
const HOLDERS_AT_ONCE = 2000;
/** In a hundred: as in the demo city. */
const [TRAVELLED, TESTED] = [18, 85];

/** Writes them; the service must not run on the folder. `evidenceFolder` is made when it isn't there. */
export async function writeCrowd(evidenceFolder: string, holders: number, at: Instant, progress: (line: string) => void): Promise<void> {
  const evidence = openEvidenceWriter(evidenceFolder);
  const elsewhere = [...allCounties().values()].filter((c) => !c.isZone && Math.floor(c.code / 10_000) !== 11).map((c) => c.code);
  // In the order of their keys, so that the file fills from left to right.
  const documents = sortedKeys(holders, "document") as DocumentKey[];
  const phones = sortedKeys(holders, "phone") as PhoneKey[];
  const base = { source: "bench", revision: 1, knownFrom: at - 30 * DAY_S };
  for (let done = 0; done < holders; done += HOLDERS_AT_ONCE) {
    evidence.transaction(() => {
      for (let i = done; i < Math.min(done + HOLDERS_AT_ONCE, holders); i++) {
        evidence.putHolder([documents[i]!], [phones[i]!], { knownFrom: 0 });
        for (const fact of tripsOf(i, elsewhere, at)) evidence.putFact(phones[i]!, factKey(), { ...base, kind: "trip", ...fact });
        if (i % 100 >= TESTED) continue;
        const sampledAt = at - (18 + (i % 90)) * 3600;
        const test: Fact = { ...base, kind: "test", sampledAt, issuedAt: sampledAt + 8 * 3600, result: "negative", laboratory: "Bench Laboratory", county: 110105, uploaded: false };
        evidence.putFact(documents[i]!, factKey(), test);
      }
    });
    if (done % 100_000 === 0) {
      await evidence.flushed();
      progress(`${done} of ${holders} holders written`);
    }
  }
  await evidence.flushed();
  await evidence.close();
}

/** Most have stayed in the city; some were elsewhere and came back within the last days. */
function tripsOf(i: number, elsewhere: readonly CountyCode[], at: Instant): { county: CountyCode; from: Instant; to: Instant | null }[] {
  const home = 110101 + (i % 2);
  const settled = at - 60 * DAY_S;
  if (i % 100 >= TRAVELLED) return [{ county: home, from: settled, to: null }];
  const back = at - (1 + (i % 10)) * DAY_S - (i % 20) * 3600;
  return [
    { county: home, from: settled, to: back - 4 * DAY_S },
    { county: elsewhere[i % elsewhere.length]!, from: back - 4 * DAY_S + 3600, to: back - 3600 },
    { county: home, from: back, to: null },
  ];
}

function sortedKeys(count: number, kind: "document" | "phone"): Uint8Array[] {
  const bytes = randomBytes(16 * count);
  const keys = Array.from({ length: count }, (_, i) => bytes.subarray(16 * i, 16 * i + 16));
  for (const key of keys) markSubject(key, kind);
  return keys.sort((a, b) => Buffer.compare(a, b));
}

function factKey(): FactKey {
  return randomBytes(16) as Uint8Array as FactKey;
}

