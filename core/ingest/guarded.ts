// Changes that can hit a crowd (rules, risk lists, infections, screenings): measured, then applied or held; and an operator's word on them.
// Promises: nothing of them is in force before it was measured; what is held changes nothing; a release, a rejection and a rolled-back pack say who decided and on what
// ground.
// Not here: how it is measured (blastRadius.ts), which risk list is doubtful (evidence/publicationGuard.ts), the evaluation of whom they concern (apply.ts).

import { currentCounties, formatInstant, type CountyCode, type Instant, type RiskPublication } from "../domain/index.ts";
import {
  publicationId,
  type AppliedPack,
  type ChangeRecord,
  type ChangeState,
  type Doubt,
  type DoubtKind,
  type EvidenceWriter,
  type InfectionRow,
  type Mark,
  type PublicationState,
  type RegionChange,
  type ScreeningRow,
} from "../evidence/index.ts";
import { createEvaluator, parsePack, type Evaluator, type PolicyPack } from "../policy/index.ts";
import { createTally, differencesOf, measureReach, type BlastLimits, type BlastReport, type Reach } from "./blastRadius.ts";
import type { Feed } from "./batch.ts";
import type { Decision, InboxRow, PublicationRow } from "./facts.ts";
import type { BatchHeader } from "./inbox.ts";

/** Feeds whose batches are measured before they are applied. */
const GUARDED_FEEDS: readonly Feed[] = ["risk-areas", "local-infections", "screenings", "packs"];
export const isGuarded = (feed: Feed): boolean => GUARDED_FEEDS.includes(feed);

export interface GuardParts {
  readonly evidence: EvidenceWriter;
  /** Under the rules in force. */
  readonly evaluator: Evaluator;
  readonly limits: BlastLimits;
  readonly now: Instant;
  /** Called between two steps of measuring: lets others have their turn, or gives up by throwing. */
  readonly between: () => Promise<void>;
}

/** What is left to do when a change has been put: whom to evaluate anew, and under which rules from now on. */
export interface Aftermath extends Reach {
  readonly pack: PolicyPack | null;
}

/** A change that was measured, and what putting it does. */
export interface Plan {
  readonly record: ChangeRecord;
  /** Call inside a transaction. */
  readonly put: () => Aftermath;
}

const NOTHING: Aftermath = { counties: [], residents: [], pack: null };

/** Measures the change that a batch brings, and says whether it is held. */
export async function planChange(header: BatchHeader, rows: readonly InboxRow[], parts: GuardParts): Promise<Plan> {
  const [first] = rows;
  return first?.type === "pack" ? planPack(header, first.text, rows, parts) : planRegions(header, rows, parts);
}

/** What an operator's word does. Call inside a transaction. @throws Error when there is nothing that it could be about. */
export function putDecision(decision: Decision, { evidence, evaluator, now }: Pick<GuardParts, "evidence" | "evaluator" | "now">): Aftermath {
  const { action, change: id } = decision;
  const record = id === null ? packInForce(evidence) : evidence.change(id);
  if (!record) return NOTHING;
  const decided = (state: ChangeState): ChangeRecord => ({ ...record, state, decisions: [...record.decisions, { action, authority: decision.authority, ground: decision.ground, at: decision.at }] });
  const isHeld = record.state === "held";
  if (action === "roll-back") {
    if (record.kind !== "pack" || record.state !== "applied") return NOTHING;
    const previous = packBefore(record, evidence);
    if (!previous) return NOTHING;
    evidence.putChange(decided("rolled-back"));
    return putPackText(previous.text, previous.change, evidence, now);
  }
  if (action === "release") {
    if (!isHeld) return NOTHING;
    evidence.putChange({ ...decided("applied"), rows: [] });
    if (record.kind === "pack") return putPackText((record.rows[0] as { text: string }).text, record.id, evidence, now);
    if (record.publications.length > 0) return settled(record.publications.flatMap((p) => evidence.regions.mark(p, "released", now)), { evidence, evaluator, now });
    const change = regionChangeOf(record.rows as InboxRow[]);
    return afterRegions(evidence.regions.put(change, null), change.screenings, { evaluator, now });
  }
  // A risk list that is in force can be rejected too: the state before it comes back.
  if (!isHeld && record.publications.length === 0) return NOTHING;
  evidence.putChange({ ...decided("rejected"), rows: [] });
  return settled(record.publications.flatMap((p) => evidence.regions.mark(p, "rejected", now)), { evidence, evaluator, now });
}

async function planPack(header: BatchHeader, text: string, rows: readonly InboxRow[], parts: GuardParts): Promise<Plan> {
  const { evidence, evaluator, limits, now, between } = parts;
  const pack = parsePack(text, "pack");
  const sides = { before: evaluator, after: createEvaluator(pack, evidence.regions), from: now };
  const tally = createTally();
  const holders = evidence.holderCount();
  for (const page of evidence.holderPages()) {
    for (const holder of page) tally.add(differencesOf(evidence, holder, sides));
    await between();
  }
  const excess = tally.excess(holders, limits, 1);
  const reasons = [excess.gain, excess.loss].filter((r) => r !== null);
  const record = recordOf(header, "pack", reasons, tally.report({ holders, sampledOneIn: 1 }), now, [], rows);
  return {
    record,
    put() {
      for (const older of evidence.changes({ limit: 100, state: "held" })) if (older.kind === "pack" && reasons.length === 0) evidence.putChange({ ...older, state: "superseded", rows: [] });
      evidence.putChange(record);
      return reasons.length > 0 ? NOTHING : putPackText(text, header.sequence, evidence, now);
    },
  };
}

async function planRegions(header: BatchHeader, rows: readonly InboxRow[], parts: GuardParts): Promise<Plan> {
  const { evidence, evaluator, limits, now, between } = parts;
  const { regions } = evidence;
  const change = regionChangeOf(rows);
  const publications = change.publications.map(publicationId);
  const expected = regions.preview(change, null);
  // Of a doubtful list an operator wants to know what it would do, were it released.
  const measured = expected.isHeld ? regions.preview(change, "released") : expected;
  const after = createEvaluator(evaluator.pack, measured.history);
  const reach = afterRegions(measured.counties, change.screenings, parts);
  const { tally, sampledOneIn } = await measureReach(evidence, reach, { before: evaluator, after, from: now }, between);
  const holders = evidence.holderCount();
  const { gain, loss } = tally.excess(holders, limits, sampledOneIn);
  const mark: Mark | null = gain ? "gain" : loss ? "loss" : null;
  // A list that loses much may be confirmed by the one before it; a crowd that gains a flag waits for an operator.
  const judged = publications.length > 0 && mark !== null ? regions.preview(change, mark) : expected;
  const isHeld = publications.length > 0 ? judged.isHeld : mark !== null;
  const reasons = isHeld ? [...judged.doubts.map((d) => DOUBT_TEXTS[d.kind](d)), gain, loss].filter((r) => r !== null && r !== "") : [];
  const record = recordOf(header, "regions", reasons as string[], tally.report({ holders, sampledOneIn }), now, publications, publications.length > 0 ? [] : rows);
  return {
    record,
    put() {
      evidence.putChange(record);
      // A held list is kept with the others: the next one is compared with it.
      if (isHeld && publications.length === 0) return NOTHING;
      const counties = regions.put(change, mark);
      return publications.length > 0 ? settled(counties, parts) : afterRegions(counties, change.screenings, parts);
    },
  };
}

/** After risk lists have changed: held ones that were overtaken say so. @returns whom to evaluate anew. */
function settled(counties: readonly CountyCode[], parts: Pick<GuardParts, "evidence" | "evaluator" | "now">): Aftermath {
  const { evidence } = parts;
  for (const held of evidence.changes({ limit: 1000, state: "held" })) {
    const standing = held.publications.length > 0 ? evidence.regions.standing(held.publications[0]!) : undefined;
    const state = standing && CHANGE_STATES[standing.state];
    if (state && state !== "held") evidence.putChange({ ...held, state });
  }
  return afterRegions(counties, [], parts);
}

const CHANGE_STATES: Record<PublicationState, ChangeState> = { "in-force": "applied", replaced: "applied", held: "held", superseded: "superseded", rejected: "rejected" };

/** Visitors of the changed counties; residents where their screenings have changed. */
function afterRegions(changed: readonly CountyCode[], screenings: readonly ScreeningRow[], { evaluator, now }: Pick<GuardParts, "evaluator" | "now">): Aftermath {
  const screened = new Set(screenings.flatMap((row) => currentCounties(row.screening.county)));
  return { counties: evaluator.reach(changed, now), residents: changed.filter((c) => screened.has(c)).sort((a, b) => a - b), pack: null };
}

function putPackText(text: string, change: number | null, evidence: EvidenceWriter, now: Instant): Aftermath {
  const pack = parsePack(text, "pack");
  evidence.putPack({ name: pack.name, text, fingerprint: pack.fingerprint, from: now, change });
  return { ...NOTHING, pack };
}

/** The change that brought the pack in force; undefined when the service began with it. */
function packInForce(evidence: EvidenceWriter): ChangeRecord | undefined {
  const change = evidence.packs().at(-1)?.change ?? null;
  return change === null ? undefined : evidence.change(change);
}

/** What was in force before a pack was first applied; only the one in force can be taken back. */
function packBefore(record: ChangeRecord, evidence: EvidenceWriter): AppliedPack | undefined {
  const packs = evidence.packs();
  return packs.at(-1)?.change === record.id ? packs[packs.findIndex((p) => p.change === record.id) - 1] : undefined;
}

function recordOf(
  { sequence, source, feed, batch }: BatchHeader,
  kind: ChangeRecord["kind"],
  reasons: readonly string[],
  report: BlastReport,
  at: Instant,
  publications: readonly string[],
  rows: readonly InboxRow[],
): ChangeRecord {
  const isHeld = reasons.length > 0;
  return { id: sequence, kind, source, feed, batch, at, state: isHeld ? "held" : "applied", reasons, report, decisions: [], publications, rows: isHeld ? rows : [] };
}

function regionChangeOf(rows: readonly InboxRow[]): RegionChange {
  const publications: RiskPublication[] = [];
  const infections: InfectionRow[] = [];
  const screenings: ScreeningRow[] = [];
  for (const row of rows) {
    if (row.type === "publication") publications.push(publicationOf(row.publication));
    else if (row.type === "infection") infections.push(row);
    else if (row.type === "screening") screenings.push(row);
  }
  return { publications, infections, screenings };
}

function publicationOf({ counties, areas, ...rest }: PublicationRow): RiskPublication {
  // Copied: what comes from the inbox need not lie on a multiple of eight.
  return { ...rest, counties: new Map(counties), areas: new Float64Array(Uint8Array.prototype.slice.call(areas).buffer) };
}

/** What makes a risk list doubtful, for an operator. A mark's words come with the measure that set it. */
const DOUBT_TEXTS: Record<DoubtKind, (doubt: Doubt) => string> = {
  gone: ({ lost, of }) => `${lost} of ${of} areas are missing`,
  signs: ({ lost, of }) => `${lost} of ${of} areas are missing, among them too many that were listed only lately or lie where many others remain`,
  province: ({ of, province }) => `all ${of} areas of province ${province ?? "?"} are missing`,
  tail: ({ lost, of }) => `the last ${lost} of ${of} areas are missing without a gap`,
  loss: () => "",
  gain: () => "",
};

/** One line on a change, for a log. */
export function changeText({ id, source, feed, batch, state, reasons, at }: ChangeRecord): string {
  const why = reasons.length > 0 ? `: ${reasons.join("; ")}` : "";
  return `change ${id} (${feed} ${batch} of ${source}, ${formatInstant(at)}) ${state === "held" ? "is held" : state}${why}`;
}
