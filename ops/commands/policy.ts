// `fangxing policy`, `changes`, `release` and `reject`: what rules are in force, what a change would do before it is applied, and an operator's word on it.
// Not here: measuring (ingest), who may decide (the registry: the local source).

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { countyOf, formatInstant, now } from "../../core/domain/index.ts";
import { openEvidenceReader, type ChangeRecord, type EvidenceReader } from "../../core/evidence/index.ts";
import { decisionFault, type BlastReport, type ToldCount } from "../../core/ingest/index.ts";
import { beijingPackText, PackError, parseNewPack, parsePack, type PolicyPack } from "../../core/policy/index.ts";
import { createClient } from "../client.ts";
import { dataFolder, existingFolder, folderClock, readState, type DataFolder } from "../dataFolder.ts";
import { fileFault } from "../fileFaults.ts";
import { UsageError, type Settings } from "../settings.ts";
import { deliverAndApply } from "./await.ts";
import { measurePackOfFolder } from "./measure.ts";
import { operatorName } from "./operator.ts";
import { runningService } from "./running.ts";

type Say = (line: string) => void;

/** The rules in force on a folder; those that came with the service where none have been put in force yet. */
export async function packInForce(folder: DataFolder): Promise<PolicyPack> {
  const evidence = openIfThere(folder);
  try {
    const applied = evidence?.packs().at(-1);
    return parsePack(applied?.text ?? beijingPackText(), "the pack in force");
  } finally {
    await evidence?.close();
  }
}

export async function policy(words: readonly string[], settings: Settings, say: Say): Promise<boolean> {
  const [action, file] = words;
  const actions: Record<string, () => Promise<boolean>> = {
    list: () => listPacks(settings, say),
    diff: () => diff(packFile(file), settings, say),
    apply: () => apply(packFile(file), settings, say),
    rollback: () => decide("roll-back", undefined, settings, say),
  };
  const run = action === undefined ? undefined : actions[action];
  if (!run) throw new UsageError("policy needs one of: list, diff PACK, apply PACK, rollback");
  return run();
}

/** Newest changes of rules and regions, held ones first. */
export async function changes(settings: Settings, say: Say): Promise<boolean> {
  const evidence = openEvidence(existingFolder(settings.data));
  try {
    const held = evidence.changes({ limit: 1000, state: "held" });
    const others = evidence.changes({ limit: 20 }).filter((c) => c.state !== "held");
    if (held.length + others.length === 0) say("no change of rules or regions has been delivered yet");
    for (const change of held) {
      sayChange(change, say);
      sayReport(change.report as BlastReport, say);
      say(`  fangxing release ${change.id} --ground "…"   or   fangxing reject ${change.id} --ground "…"`);
    }
    for (const change of others) sayChange(change, say);
    return true;
  } finally {
    await evidence.close();
  }
}

/** Why a decision can do nothing, before it is delivered; undefined: it can. */
async function faultBefore(folder: DataFolder, action: "release" | "reject" | "roll-back", change: number | null): Promise<string | undefined> {
  const evidence = openEvidence(folder);
  try {
    return decisionFault({ action, change }, evidence);
  } finally {
    await evidence.close();
  }
}

/** An operator's word on a change. @returns whether it did anything. */
export async function decide(action: "release" | "reject" | "roll-back", word: string | undefined, settings: Settings, say: Say): Promise<boolean> {
  const change = word !== undefined && /^\d{1,10}$/.test(word) ? Number(word) : undefined;
  if (action !== "roll-back" && change === undefined) throw new UsageError(`${action} needs the number of a change: fangxing changes lists them`);
  if (settings.ground === null) throw new UsageError(`say on what ground with --ground "…": it is kept with the change`);
  const folder = dataFolder(settings.data);
  const clock = folderClock(folder);
  const run = runningService(folder, settings);
  const fault = await faultBefore(folder, action, change ?? null);
  if (fault !== undefined && change !== undefined) throw new UsageError(`${fault}: fangxing changes lists them`);
  if (fault !== undefined) {
    say(fault);
    return false;
  }
  const client = createClient(folder, run, clock);
  const row = { action, ...(change === undefined ? {} : { change }), authority: operatorName(), ground: settings.ground };
  const id = `decision-${action}-${change ?? "newest"}-${now(clock)}-${Math.floor(clock.nowMs() % 1000)}`;
  const { entriesChanged, undone = [] } = await deliverAndApply(client, "decisions", id, JSON.stringify(row), "application/x-ndjson");
  if (undone.length > 0) {
    undone.forEach(say);
    return false;
  }
  const evidence = openEvidenceReader(folder.evidence);
  try {
    const record = change === undefined ? undefined : evidence.change(change);
    say(record ? changeLine(record) : `in force: ${evidence.packs().at(-1)?.name ?? "-"} (pack ${evidence.packs().at(-1)?.number ?? 0})`);
    say(`${entriesChanged} entries changed`);
    return true;
  } finally {
    await evidence.close();
  }
}

async function listPacks(settings: Settings, say: Say): Promise<boolean> {
  const evidence = openEvidence(existingFolder(settings.data));
  try {
    const packs = evidence.packs();
    packs.forEach(({ number, name, fingerprint, from, change }, i) => {
      const origin = change === null ? "came with the service" : `change ${change}`;
      say(`${i === packs.length - 1 ? "in force" : "        "}  pack ${number}  ${name}  ${fingerprint.slice(0, 12)}  since ${formatInstant(from)}  ${origin}`);
    });
    return true;
  } finally {
    await evidence.close();
  }
}

async function diff(text: string, settings: Settings, say: Say): Promise<boolean> {
  const folder = existingFolder(settings.data);
  const { report, excess, limits, repeats, tookMs } = await measurePackOfFolder(folder, text);
  sayReport(report, say);
  const percent = (share: number): string => `${Number((100 * share).toFixed(4))} %`;
  say(`this service holds what more than ${percent(limits.gainShareMax)} of all holders would gain, more than ${percent(limits.lossShareMax)} lose, or more than half of those who have it be rid of, from ${limits.crowdHolders} holders on`);
  if (repeats !== undefined) say(repeats?.state === "held" ? `held already as change ${repeats.id}` : "in force already");
  else if (excess.length === 0) say("within the limits: it would be applied");
  else for (const reason of excess) say(`would be held: ${reason}`);
  say(`measured ${report.measured} holders in ${(tookMs / 1000).toFixed(1)} s`);
  return true;
}

/** Delivers a pack; the worker measures it once more and applies or holds it. @returns whether it is in force. */
async function apply(text: string, settings: Settings, say: Say): Promise<boolean> {
  const folder = dataFolder(settings.data);
  const clock = folderClock(folder);
  const client = createClient(folder, runningService(folder, settings), clock);
  // Letters only: what looks like somebody's number is no batch id.
  const id = `pack-${randomUUID().replace(/[^a-f]/g, "")}-${now(clock)}`;
  const { change, repeats, entriesChanged } = await deliverAndApply(client, "packs", id, text, "application/yaml");
  if (change?.state === "held") say(`${repeats ? "already held" : "held"} as change ${change.id}: ${change.reasons.join("; ")}`);
  else if (change?.state === "superseded") say(`change ${change.id} is superseded: a pack that was delivered after it came into force before`);
  else say(repeats ? "already in force: nothing changes" : `in force; ${entriesChanged} entries changed`);
  return change?.state !== "held" && change?.state !== "superseded";
}

function packFile(file: string | undefined): string {
  if (file === undefined) throw new UsageError("name the pack's file: fangxing policy diff rules.yaml");
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UsageError(`${file} can't be read: ${fileFault(error)}`);
  }
  try {
    parseNewPack(text, file);
  } catch (error) {
    if (error instanceof PackError) throw new UsageError(`the pack can't be used:\n${error.message}`);
    throw error;
  }
  return text;
}

/** @throws UsageError when the worker hasn't made the store yet. */
function openEvidence(folder: DataFolder): EvidenceReader {
  const evidence = openIfThere(folder);
  if (!evidence) throw new UsageError(`${folder.path} has no evidence yet: wait until its service is ready`);
  return evidence;
}

function openIfThere(folder: DataFolder): EvidenceReader | undefined {
  // Opening would make a store in an empty folder.
  if (!readState(folder)) return undefined;
  try {
    return openEvidenceReader(folder.evidence);
  } catch {
    return undefined;
  }
}

function changeLine({ id, feed, batch, source, at, state, reasons }: ChangeRecord): string {
  return `change ${id}  ${state.padEnd(11)}  ${feed} ${batch} of ${source}, ${formatInstant(at)}${reasons.length > 0 ? `: ${state === "held" ? "" : "was held, "}${reasons.join("; ")}` : ""}`;
}

function sayChange(change: ChangeRecord, say: Say): void {
  say(changeLine(change));
  if (change.note !== undefined) say(`  ${change.note}`);
  for (const { action, authority, ground, at } of change.decisions) say(`  ${action} by ${authority} at ${formatInstant(at)}: ${ground}`);
}

/** How many counties of a flag are shown; the others are summed up. */
const COUNTIES_SHOWN = 10;

/** How many holders would gain and lose each flag, by county. */
export function sayReport({ holders, sampledOneIn, sample, flags }: BlastReport, say: Say): void {
  const told = (count: ToldCount): string => (count === null ? "under 10" : `${sampledOneIn > 1 ? "about " : ""}${count}`);
  say(`  of ${holders} holders, from now on:`);
  if (sample) say(`    ${sample}`);
  if (Object.keys(flags).length === 0) say("    nobody gains or loses a flag");
  for (const [flag, { gains, losses, byCounty }] of Object.entries(flags)) {
    say(`    ${flag.padEnd(12)} ${told(gains)} would gain it, ${told(losses)} would lose it`);
    const size = (pair: { gains: ToldCount; losses: ToldCount }): number => (pair.gains ?? 5) + (pair.losses ?? 5);
    const counties = Object.entries(byCounty).sort(([, a], [, b]) => size(b) - size(a));
    for (const [code, pair] of counties.slice(0, COUNTIES_SHOWN)) {
      const county = code === "-" ? undefined : countyOf(Number(code));
      say(`      ${code === "-" ? "no county" : `${code} ${county ? `${county.province} ${county.name}` : ""}`}: ${told(pair.gains)} gain, ${told(pair.losses)} lose`);
    }
    if (counties.length > COUNTIES_SHOWN) say(`      and ${counties.length - COUNTIES_SHOWN} other counties`);
  }
}
