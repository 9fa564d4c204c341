// What a pack would do to every holder, measured by several processes side by side, each on its share of the keys.
// Promises: reads only; the processes run at the lowest priority, so that gates don't feel them; what they pass on are counts.

import { writeFileSync } from "node:fs";
import { constants, cpus, setPriority } from "node:os";
import { fileURLToPath } from "node:url";
import { now } from "../../core/domain/index.ts";
import { openEvidenceReader } from "../../core/evidence/index.ts";
import { createTally, differencesOf, USUAL_LIMITS, type BlastReport, type TallyCounts } from "../../core/ingest/index.ts";
import { createEvaluator, parsePack } from "../../core/policy/index.ts";
import { folderClock, type DataFolder } from "../dataFolder.ts";
import { UsageError, type Settings } from "../settings.ts";

export interface PackMeasure {
  readonly report: BlastReport;
  /** Limits that are exceeded, in words. */
  readonly excess: readonly string[];
  readonly tookMs: number;
}

/** Measures what a pack would change for every holder from now on. */
export async function measurePack(folder: DataFolder, text: string, settings: Settings): Promise<PackMeasure> {
  const startMs = performance.now();
  const parts = Math.max(cpus().length, 1);
  const cli = fileURLToPath(new URL("../cli.ts", import.meta.url));
  const environment = { ...process.env, FANGXING_DATA: folder.path };
  const children = Array.from({ length: parts }, (_, part) =>
    Bun.spawn([process.execPath, cli, "measure-pack", String(part), String(parts)], { stdin: new Blob([text]), stdout: "pipe", stderr: "pipe", env: environment }),
  );
  const tally = createTally();
  for (const child of children) {
    const [out, fault] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
    if (child.exitCode !== 0) throw new UsageError(`measuring failed: ${fault.trim()}`);
    tally.merge(JSON.parse(out) as TallyCounts);
  }
  const evidence = openEvidenceReader(folder.evidence);
  const holders = evidence.holderCount();
  await evidence.close();
  const limits = { ...USUAL_LIMITS, gainShareMax: settings.gainShareMax, lossShareMax: settings.lossShareMax };
  const { gain, loss } = tally.excess(holders, limits, 1);
  return { report: tally.report({ holders, sampledOneIn: 1 }), excess: [gain, loss].filter((e) => e !== null), tookMs: performance.now() - startMs };
}

/** One such process: reads the pack from standard input and prints its counts. Not for people. */
export async function measurePart(words: readonly string[], folder: DataFolder): Promise<void> {
  const [part, parts] = words.map(Number);
  if (part === undefined || parts === undefined) throw new UsageError("measure-pack is a part of policy diff: call that");
  setPriority(constants.priority.PRIORITY_LOW);
  const candidate = parsePack(await Bun.stdin.text(), "pack");
  const evidence = openEvidenceReader(folder.evidence);
  const from = now(folderClock(folder));
  const inForce = evidence.packAt(from);
  if (!inForce) throw new UsageError("no rules are in force yet: the worker has never run on this folder");
  const sides = { before: createEvaluator(parsePack(inForce.text, "the pack in force"), evidence.regions), after: createEvaluator(candidate, evidence.regions), from };
  const tally = createTally();
  for (const page of evidence.holderPages({ part, parts })) for (const holder of page) tally.add(differencesOf(evidence, holder, sides));
  writeFileSync(1, JSON.stringify(tally.counts()));
  await evidence.close();
}
