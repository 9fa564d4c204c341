// The loop of the bench `evaluate`, in a process of its own: reads a folder's evidence into memory, evaluates it round by round, prints one JSON object.
// Arguments: evidence folder, instant, rounds.

import { crc32 } from "node:zlib";
import type { Fact, HolderEvidence } from "../core/domain/index.ts";
import { openEvidenceReader } from "../core/evidence/index.ts";
import { beijingPack, createEvaluator } from "../core/policy/index.ts";

const TEN = 10;
/** Marks in standard error around what is measured, for whoever reads the collector's log there. */
const [BEGIN, END] = ["measuring begins", "measuring ends"];

const [folder = "", roundsText = "5"] = process.argv.slice(2);
const evidence = openEvidenceReader(folder);
const city = [...evidence.holderPages()].flat().map((key) => evidence.holder(key).evidence);
const evaluator = createEvaluator(beijingPack(), evidence.regions);

/** Holders of ten facts, out of the city's own facts: as many neighbours as it takes make one. */
function holdersOfTen(): HolderEvidence[] {
  const out: HolderEvidence[] = [];
  let facts: Fact[] = [];
  for (const holder of city) {
    facts = [...facts, ...holder.facts];
    if (facts.length < TEN) continue;
    out.push({ registered: true, facts: facts.slice(0, TEN) });
    facts = [];
  }
  return out;
}

/** So few at a time that their facts stay in the cache: where holders are evaluated, their facts have just been read. */
const HOLDERS_AT_ONCE = 200;

/** Microseconds a holder: the median over the rounds for each few holders, their mean over all; and a checksum of what came out. */
function measure(holders: readonly HolderEvidence[], rounds: number): { us: number; checksum: number } {
  let [totalUs, checksum] = [0, 0];
  for (let done = 0; done < holders.length; done += HOLDERS_AT_ONCE) {
    const some = holders.slice(done, done + HOLDERS_AT_ONCE);
    const tookUs: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const startMs = performance.now();
      let reasons = 0;
      for (const holder of some) reasons += evaluator.evaluate(holder).reasons.length;
      tookUs.push((performance.now() - startMs) * 1000);
      checksum = crc32(String(reasons), checksum);
    }
    totalUs += tookUs.sort((a, b) => a - b)[Math.floor(rounds / 2)]!;
  }
  return { us: totalUs / holders.length, checksum };
}

const rounds = Number(roundsText);
const ten = holdersOfTen();
measure(city, 2);
measure(ten, 2);
console.error(BEGIN);
const startMs = performance.now();
const ofCity = measure(city, rounds);
const ofTen = measure(ten, rounds);
const measuredMs = performance.now() - startMs;
console.error(END);
const facts = city.reduce((sum, h) => sum + h.facts.length, 0);
await evidence.close();
console.log(
  JSON.stringify({ holders: city.length, facts_per_holder: facts / city.length, us_per_holder: ofCity.us, ten_holders: ten.length, us_per_holder_ten_facts: ofTen.us, measured_ms: measuredMs, checksum: `${ofCity.checksum}-${ofTen.checksum}` }),
);
