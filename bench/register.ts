// A register of very many holders for the bench of ingest: a city's entries (loader.ts), and the evidence that goes with them, in the order of their keys. Each holder has one
// document, most have been tested before. Not here: what is delivered then (deliveries.ts).

import { closeSync, openSync, readSync } from "node:fs";
import { KEY_BYTES, type DocumentKey, type FactKey, type Instant, type Test } from "../core/domain/index.ts";
import { openEvidenceWriter } from "../core/evidence/index.ts";
import { knownAnswers } from "./entries.ts";
import { rounded } from "./processes.ts";

/** Holders of one transaction. */
const AT_ONCE = 10_000;
const RECORD_BYTES = KEY_BYTES + 1;
const DAY_S = 86_400;

/** Registers the holders of `sortedFile`, as loader.ts has written it, with the tests that their entries tell of and up to three older ones. */
export async function loadEvidence({ folder, sortedFile, at }: { folder: string; sortedFile: string; at: Instant }, progress: (line: string) => void): Promise<void> {
  const startMs = performance.now();
  const tests = knownAnswers().map(({ testAgeDays }, kind) => testsOf(kind, testAgeDays, at));
  const known = { knownFrom: at - 60 * DAY_S };
  const evidence = openEvidenceWriter(folder);
  const file = openSync(sortedFile, "r");
  const part = Buffer.alloc(AT_ONCE * RECORD_BYTES);
  let holders = 0;
  let facts = 0;
  for (let bytes = readSync(file, part); bytes > 0; bytes = readSync(file, part)) {
    evidence.transaction(() => {
      for (let i = 0; i < bytes; i += RECORD_BYTES) {
        const document = Buffer.from(part.subarray(i, i + KEY_BYTES)) as Uint8Array as DocumentKey;
        evidence.putHolder([document], [], known);
        for (const [n, test] of tests[part[i + KEY_BYTES]!]!.entries()) evidence.putFact(document, factKeyOf(document, n), test);
        facts += tests[part[i + KEY_BYTES]!]!.length;
      }
    });
    holders += bytes / RECORD_BYTES;
    if (holders % (100 * AT_ONCE) === 0) progress(`${holders} holders registered`);
  }
  closeSync(file);
  await evidence.flushed();
  await evidence.close();
  progress(`${holders} holders registered with ${facts} tests in ${rounded((performance.now() - startMs) / 1000)} s`);
}

/** The newest test first, then older ones: as many as the kind says. */
function testsOf(kind: number, testAgeDays: number | null, at: Instant): Test[] {
  const days = [...(testAgeDays === null ? [] : [testAgeDays]), ...[6, 9, 13].slice(0, kind % 4)];
  return days.map((day) => {
    const issuedAt = at - day * DAY_S;
    return {
      ...{ kind: "test", source: "local", revision: 1, knownFrom: issuedAt, sampledAt: issuedAt - 3600, issuedAt },
      ...{ result: "negative", laboratory: "bench", county: 110105, uploaded: false },
    };
  });
}

/** Facts that are never told again need no key of a source: these lie in the order of their documents. */
function factKeyOf(document: DocumentKey, n: number): FactKey {
  const key = Buffer.from(document);
  key[KEY_BYTES - 1] = (key[KEY_BYTES - 1]! & 0xf0) | n;
  return key as Uint8Array as FactKey;
}
