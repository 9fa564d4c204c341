// `fangxing jobs`: what the worker has before it, how far it is, what is dead and why; `fangxing jobs replay`: has dead batches tried again.

import { randomUUID } from "node:crypto";
import { formatMs, now, type Clock } from "../../core/domain/index.ts";
import { openEvidenceReader } from "../../core/evidence/index.ts";
import { readJobs, workKindOf, type Job } from "../../core/ingest/index.ts";
import { createClient } from "../client.ts";
import { dataFolder, existingFolder, folderClock, type DataFolder } from "../dataFolder.ts";
import { UsageError, type Settings } from "../settings.ts";
import { deliverAndApply } from "./await.ts";
import { operatorName } from "./operator.ts";
import { runningService } from "./running.ts";

type Say = (line: string) => void;

/** Lists jobs, or has dead ones tried again. @returns false when one stays dead. */
export async function jobs(words: readonly string[], settings: Settings, say: Say): Promise<boolean> {
  const [action, which] = words;
  if (action === undefined) return list(settings, say);
  if (action !== "replay" || which === undefined) throw new UsageError("jobs takes nothing, or replay and what to try again: a batch id, its number, or all");
  return replay(which, settings, say);
}

async function list(settings: Settings, say: Say): Promise<boolean> {
  const folder = existingFolder(settings.data);
  const all = await jobsOf(folder);
  for (const line of jobLines(all, folderClock(folder))) say(line);
  return true;
}

/** What `fangxing jobs` prints: those that wait by source and feed, those under way and the dead one by one. */
export function jobLines(all: readonly Job[], clock: Clock): string[] {
  if (all.length === 0) return ["nothing waits: every batch is applied"];
  const ageS = (receivedMs: number): string => `${Math.floor((clock.nowMs() - receivedMs) / 1000)} s`;
  const waiting = Map.groupBy(all.filter(({ state }) => state === "waiting"), ({ header }) => `${header.source} ${header.feed}`);
  const waitingLines = [...waiting].map(([name, batches]) => {
    const { feed, receivedMs } = batches[0]!.header;
    const rows = batches.reduce((sum, { header }) => sum + header.rows, 0);
    return `waiting  ${name}: ${batches.length} batches, ${rows} rows, the oldest since ${ageS(receivedMs)} (${workKindOf(feed)})`;
  });
  const activeLines = all.filter(({ state }) => state === "active").map(({ header, chunksDone, fanOut, failure }) => {
    const left = fanOut ? `; evaluates anew: ${fanOut.done} phones and documents done, ${fanOut.left} left, in ${fanOut.counties} counties` : "";
    const tried = failure && failure.attempts > 0 ? `; failed ${failure.attempts} times, last: ${failure.reason}` : "";
    return `active   ${nameOf(header)}: ${chunksDone} of ${header.chunks} chunks, since ${ageS(header.receivedMs)}${left}${tried}`;
  });
  const deadLines = all.filter(({ state }) => state === "dead").flatMap(({ header, failure }) => [
    `dead     ${nameOf(header)}: ${header.rows} rows, since ${formatMs(failure!.atMs)} after ${failure!.attempts} attempts: ${failure!.reason}`,
    `         fangxing jobs replay ${header.sequence}`,
  ]);
  return [...waitingLines, ...activeLines, ...deadLines];
}

/** By the feed of decisions: what is decided is kept like a fact, whatever becomes of Redis. */
async function replay(which: string, settings: Settings, say: Say): Promise<boolean> {
  const folder = dataFolder(settings.data);
  const run = runningService(folder, settings);
  const clock = folderClock(folder);
  const dead = (await jobsOf(folder)).filter(({ state }) => state === "dead");
  const meant = dead.filter(({ header }) => which === "all" || header.batch === which || String(header.sequence) === which);
  if (meant.length === 0) throw new UsageError(which === "all" ? "no batch is dead" : `no dead batch has this id or number: fangxing jobs lists them`);
  const decision = { action: "replay", authority: operatorName(), ground: "fangxing jobs replay" };
  const body = meant.map(({ header }) => JSON.stringify({ ...decision, change: header.sequence })).join("\n");
  // Letters only: what looks like somebody's number is no batch id.
  const id = `replay-${randomUUID().replace(/[^a-f]/g, "")}-${now(clock)}`;
  const { undone = [] } = await deliverAndApply(createClient(folder, run, clock), "decisions", id, body, "application/x-ndjson");
  undone.forEach(say);
  say(`${meant.length - undone.length} batches are tried again: fangxing jobs tells how far they are`);
  return undone.length === 0;
}

function nameOf({ sequence, source, feed, batch }: Job["header"]): string {
  return `${sequence} ${source} ${feed} ${batch}`;
}

async function jobsOf(folder: DataFolder): Promise<Job[]> {
  const evidence = openEvidenceReader(folder.evidence);
  try {
    return await readJobs(folder.inbox, evidence);
  } finally {
    await evidence.close();
  }
}
