// An operator's word on a change: release, reject, roll back; and on a dead batch: replay.
// Promises: a change says who decided and on what ground; a release is measured again, and goes through unless it would by now hit a crowd that nobody has seen; a decision
// that can do nothing does nothing and says why.
// Not here: who may decide (access), the evaluation of whom it concerns (apply.ts).

import type { Instant, Known } from "../domain/index.ts";
import type { AppliedPack, ChangeRecord, ChangeState, EvidenceReader, EvidenceWriter, RegionChange } from "../evidence/index.ts";
import type { Decision, InboxRow } from "./facts.ts";
import { replayFault, revive } from "./failures.ts";
import {
  isOutdone,
  measurePack,
  measureRegions,
  NOTHING,
  packTextOf,
  putPackText,
  putRegionRows,
  regionChangeOf,
  settled,
  type Aftermath,
  type GuardParts,
  type Measured,
} from "./guarded.ts";

/** What a decision has come to. */
export interface Outcome {
  /** Why it did nothing, in words for who decided; null: it was carried out. */
  readonly undone: string | null;
  readonly aftermath: Aftermath;
}

/** Call inside a transaction. */
type Put = () => Outcome;

/** Why a decision can do nothing as things stand, in words for who decides; undefined: it can. */
export function decisionFault({ action, change: id }: Pick<Decision, "action" | "change">, evidence: EvidenceReader): string | undefined {
  if (action === "replay") return replayFault(id!, evidence);
  const record = id === null ? undefined : evidence.change(id);
  if (id !== null && !record) return `there is no change ${id}`;
  if (action === "roll-back") return rollBackFault(record, evidence);
  const { state, publications } = record!;
  // A risk list that is in force can be rejected too: the state before it comes back.
  const isOpen = state === "held" || (action === "reject" && publications.length > 0 && state !== "rejected");
  const already = state === (action === "release" ? "applied" : "rejected") ? " already" : "";
  if (!isOpen) return `nothing to do: change ${id} is ${state}${already}; ${action === "release" ? "only a held change can be released" : "only a held change, or a risk list, can be rejected"}`;
  if (action === "release" && isOutdone(record!, evidence)) return `change ${id} can't take effect any more: newer ones came into force since it was held`;
  return undefined;
}

function rollBackFault(record: ChangeRecord | undefined, evidence: EvidenceReader): string | undefined {
  const inForce = evidence.packs().at(-1);
  if (!inForce) return "there is nothing to take back: no rules are in force yet";
  if (record && record.id !== inForce.change) return `change ${record.id} didn't bring the rules in force: only what did can be taken back`;
  return packBefore(evidence) ? undefined : `there is nothing to take back: the rules in force (${inForce.name}, pack ${inForce.number}) are those that the service began with`;
}

/** What was in force before the pack in force was first put so; undefined: the service began with it. */
function packBefore(evidence: EvidenceReader): AppliedPack | undefined {
  const packs = evidence.packs();
  return packs[packs.findIndex((p) => p.change === packs.at(-1)?.change) - 1];
}

/** Measures what a decision would do, where it is one to let something come into force, and says what putting it does. */
export async function planDecision(decision: Decision, parts: GuardParts): Promise<Put> {
  const { evidence } = parts;
  const fault = decisionFault(decision, evidence);
  if (fault !== undefined) return () => ({ undone: fault, aftermath: NOTHING });
  if (decision.action === "replay") {
    return () => {
      // Told twice in one delivery, or by a batch applied twice, it is alive already.
      const late = decisionFault(decision, evidence);
      if (late === undefined) revive(decision.change!, evidence);
      return { undone: late ?? null, aftermath: NOTHING };
    };
  }
  const record = evidence.change(decision.change ?? evidence.packs().at(-1)!.change!)!;
  if (decision.action === "roll-back") return () => done(rollBack(record, decision, parts));
  if (decision.action === "reject") return () => done(reject(record, decision, parts));
  const { report, counts, reasons, beyond } = await measureAgain(record, parts);
  if (beyond.length === 0) return () => done(release(record, decision, parts));
  return () => {
    evidence.putChange({ ...record, reasons, report, counts }, evidence.changeRows(record.id));
    return { undone: `change ${record.id} stays held, since it was measured again and would do more than was shown: ${beyond.join("; ")}`, aftermath: NOTHING };
  };
}

function done(aftermath: Aftermath): Outcome {
  return { undone: null, aftermath };
}

/** What a held change would do by now. */
async function measureAgain(record: ChangeRecord, parts: GuardParts): Promise<Measured> {
  const { evidence, now } = parts;
  const rows = evidence.changeRows(record.id);
  if (record.kind === "pack") return measurePack(packTextOf(rows), parts, record);
  if (record.publications.length === 0) return measureRegions(evidence.regions.preview(regionChangeOf(rows as readonly InboxRow[]), null), parts, record);
  const measured = await measureRegions(evidence.regions.previewMark(record.publications, "released", now()), parts, record);
  // What made the lists doubtful goes on to be said.
  return { ...measured, reasons: [...new Set([...record.reasons, ...measured.beyond])] };
}

function release(record: ChangeRecord, decision: Decision, parts: GuardParts): Aftermath {
  const { evidence, now } = parts;
  const rows = evidence.changeRows(record.id);
  putDecided(record, "applied", decision, evidence);
  if (record.kind === "pack") return putPackText(packTextOf(rows), record.id, evidence, now());
  if (record.publications.length > 0) return settled(record.publications.flatMap((p) => evidence.regions.mark(p, "released", now())), parts);
  return putRegionRows(releasedAt(now(), regionChangeOf(rows as readonly InboxRow[])), parts);
}

/** Nothing followed from it before somebody released it. It keeps its arrival, so that the same told later meanwhile doesn't make it known before. */
function releasedAt(at: Instant, { infections, screenings }: RegionChange): RegionChange {
  const released = ({ knownFrom, receivedAt = knownFrom }: Known): Known => ({ knownFrom: at, receivedAt });
  return {
    publications: [],
    infections: infections.map((row) => ({ ...row, infection: { ...row.infection, ...released(row.infection) } })),
    screenings: screenings.map((row) => ({ ...row, screening: { ...row.screening, ...released(row.screening) } })),
  };
}

function reject(record: ChangeRecord, decision: Decision, parts: GuardParts): Aftermath {
  const { evidence, now } = parts;
  putDecided(record, "rejected", decision, evidence);
  return settled(record.publications.flatMap((p) => evidence.regions.mark(p, "rejected", now())), parts);
}

function rollBack(record: ChangeRecord, decision: Decision, { evidence, now }: GuardParts): Aftermath {
  const { text, change } = packBefore(evidence)!;
  putDecided(record, "rolled-back", decision, evidence);
  return putPackText(text, change, evidence, now());
}

function putDecided(record: ChangeRecord, state: ChangeState, { action, authority, ground, at }: Decision, evidence: EvidenceWriter): void {
  evidence.putChange({ ...record, state, decisions: [...record.decisions, { action, authority, ground, at }] }, []);
}

/** A decision in words, for a log. */
export function decisionText({ action, change }: Pick<Decision, "action" | "change">): string {
  const what = action === "replay" ? `batch ${change}` : change === null ? "the pack in force" : `change ${change}`;
  return `the decision to ${action} ${what}`;
}
