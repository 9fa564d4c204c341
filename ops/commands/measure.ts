// What a pack would do to every holder, measured here and now.
// Promises: reads only; runs at the lowest priority and away from the gates' cores, so that they don't feel it.

import { constants, setPriority } from "node:os";
import { now } from "../../core/domain/index.ts";
import { openEntryReader } from "../../core/entry/index.ts";
import { openEvidenceReader, type BlastLimits, type ChangeRecord } from "../../core/evidence/index.ts";
import { createTally, everybody, measure, packReasons, packRepeatedBy, type BlastReport } from "../../core/ingest/index.ts";
import { createEvaluator, parsePack } from "../../core/policy/index.ts";
import { leaveGateCores } from "../cores.ts";
import { folderClock, type DataFolder } from "../dataFolder.ts";
import { UsageError } from "../settings.ts";

export interface PackMeasure {
  readonly report: BlastReport;
  /** Limits that are exceeded, and what changes for everybody at once, in words. */
  readonly excess: readonly string[];
  /** What the folder's worker holds changes to. */
  readonly limits: BlastLimits;
  /** The change that holds this very pack, or has put it in force; null: the service began with it; undefined: neither. */
  readonly repeats: ChangeRecord | null | undefined;
  readonly tookMs: number;
}

/** Measures what a pack would change for every holder from now on. */
export async function measurePackOfFolder(folder: DataFolder, text: string): Promise<PackMeasure> {
  const startMs = performance.now();
  setPriority(constants.priority.PRIORITY_LOW);
  leaveGateCores();
  const evidence = openEvidenceReader(folder.evidence);
  const entries = openEntryReader(folder.entries);
  try {
    const from = now(folderClock(folder));
    const [applied, limits] = [evidence.packs().at(-1), evidence.limits()];
    if (!applied || !limits) throw new UsageError("no rules are in force yet: the worker has never run on this folder");
    const [inForce, candidate] = [parsePack(applied.text, "the pack in force"), parsePack(text, "pack")];
    const sides = { before: createEvaluator(inForce, evidence.regions), after: createEvaluator(candidate, evidence.regions), from };
    const tally = createTally();
    for (const page of everybody(evidence, entries)) for (const holder of page) measure(tally, evidence, holder, sides);
    const holders = evidence.holderCount();
    const { gain, loss, freed } = tally.excess(holders, limits, null);
    const excess = [...packReasons(inForce, candidate, from), gain, loss, freed].filter((e) => e !== null);
    return { report: tally.report({ holders, sample: null }), excess, limits, repeats: packRepeatedBy(text, evidence), tookMs: performance.now() - startMs };
  } finally {
    await Promise.all([evidence.close(), entries.close()]);
  }
}
