// Changes that can hit a crowd (rules, risk lists, infections, screenings): measured, then applied or held; and an operator's word on them.
// Promises: nothing that a source delivers of them is in force before it was measured; what is held changes nothing; a release, a rejection and a rolled-back pack say who
// decided and on what ground, and are not measured again.
// Not here: how it is measured (blastRadius.ts), which risk list is doubtful (evidence/publicationGuard.ts), the evaluation of whom they concern (apply.ts).

import { formatInstant, type Instant, type Refusal, type RegionDifference, type RiskPublication } from "../domain/index.ts";
import type { EntryReader } from "../entry/index.ts";
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
import { createEvaluator, parsePack, venueRules, type Evaluator, type PolicyPack } from "../policy/index.ts";
import { createTally, everybody, measure, measureReach, MEASURED_MAX, type BlastLimits, type BlastReport, type Reach } from "./blastRadius.ts";
import type { Feed } from "./batch.ts";
import type { Decision, InboxRow, PublicationRow } from "./facts.ts";
import type { BatchHeader } from "./inbox.ts";

/** Feeds whose batches are measured before they are applied. */
const GUARDED_FEEDS: readonly Feed[] = ["risk-areas", "local-infections", "screenings", "packs"];
export const isGuarded = (feed: Feed): boolean => GUARDED_FEEDS.includes(feed);
/** Batches that wait for each other, and for all holders to be measured or evaluated. */
export const mayTakeLong = (feed: Feed): boolean => isGuarded(feed) || feed === "decisions";

export interface GuardParts {
  readonly evidence: EvidenceWriter;
  readonly entries: EntryReader;
  /** Under the rules in force. */
  readonly evaluator: Evaluator;
  readonly limits: BlastLimits;
  readonly now: () => Instant;
  /** Called between two steps of measuring: lets others have their turn, or gives up by throwing. */
  readonly between: () => Promise<void>;
}

/** What is left to do when a change has been put: whom to evaluate anew, and under which rules from now on. */
export interface Aftermath extends Reach {
  readonly pack: PolicyPack | null;
}

/** A change that was measured, and what putting it does. */
export interface Plan {
  /** Call inside a transaction. @returns what is kept of the change, and what is left to do. */
  readonly put: () => { record: ChangeRecord; aftermath: Aftermath };
}

const NOTHING: Aftermath = { counties: [], residents: [], pack: null };
const NO_MARK_TEXT = "what it would do was beyond the limits when it was first delivered";

/** Measures the change that a batch brings, and says whether it is held. */
export async function planChange(header: BatchHeader, rows: readonly InboxRow[], parts: GuardParts): Promise<Plan> {
  const [first] = rows;
  return first?.type === "pack" ? planPack(header, first.text, rows, parts) : planRegions(header, rows, parts);
}

/**
 * What an operator's word does. Call inside a transaction.
 * @param row which row of which batch says it: the same one again does nothing. @returns a refusal when it has no effect.
 */
export function putDecision(decision: Decision, row: string, { evidence, evaluator }: Pick<GuardParts, "evidence" | "evaluator">): Aftermath | Refusal {
  const { action, change: id, at } = decision;
  const decided = id === null ? evidence.packs().flatMap((pack) => evidence.change(pack.change ?? -1) ?? []) : [evidence.change(id)];
  if (decided.some((change) => change?.decisions.some((d) => d.row === row))) return NOTHING;
  const record = id === null ? packInForce(evidence) : evidence.change(id);
  if (!record && id === null) return { field: "action", reason: "finds nothing to roll back: the rules in force are those that the service began with" };
  if (!record) return { field: "change", reason: `names ${id ?? ""}, and there is no such change: fangxing changes lists those that there are` };
  const notFor = (what: string): Refusal => ({ field: "change", reason: `names ${record.id}, which is ${record.state}: ${what}` });
  const rows = evidence.changeRows(record.id) as readonly InboxRow[];
  const decide = (state: ChangeState): void => {
    const decisions = [...record.decisions, { action, authority: decision.authority, ground: decision.ground, at, row }];
    evidence.putChange({ ...record, state, decisions }, []);
  };
  const marked = (mark: Mark): Aftermath => settled(record.publications.flatMap((p) => evidence.regions.mark(p, mark, at)), { evidence, evaluator });
  const isHeld = record.state === "held";

  if (action === "roll-back") {
    const previous = record.kind === "pack" && record.state === "applied" ? packBefore(record, evidence) : undefined;
    if (!previous) return notFor("only the pack in force can be rolled back, leave change out to mean that one");
    decide("rolled-back");
    return putPackText(previous.text, previous.change, evidence, at);
  }
  if (action === "reject") {
    // A risk list that is in force can be rejected too: the state before it comes back.
    if (!isHeld && record.publications.length === 0) return notFor("only what is held, or a risk list, can be rejected");
    decide("rejected");
    return marked("rejected");
  }
  if (!isHeld) return notFor("only what is held can be released");
  decide("applied");
  if (record.kind === "pack") return putPackText((rows[0] as { text: string }).text, record.id, evidence, at);
  if (record.publications.length > 0) return marked("released");
  // Nothing followed from it before somebody released it.
  const { infections, screenings } = regionChangeOf(rows);
  const released: RegionChange = {
    publications: [],
    infections: infections.map((row) => ({ ...row, infection: { ...row.infection, knownFrom: at } })),
    screenings: screenings.map((row) => ({ ...row, screening: { ...row.screening, knownFrom: at } })),
  };
  return reachOf(evidence.regions.put(released, null), evaluator);
}

async function planPack(header: BatchHeader, text: string, rows: readonly InboxRow[], parts: GuardParts): Promise<Plan> {
  const { evidence, entries, evaluator, limits, now, between } = parts;
  const pack = parsePack(text, "pack");
  const sides = { before: evaluator, after: createEvaluator(pack, evidence.regions), from: now() };
  const tally = createTally();
  for (const page of everybody(evidence, entries)) {
    for (const holder of page) measure(tally, evidence, holder, sides);
    await between();
  }
  const holders = evidence.holderCount();
  const excess = tally.excess(holders, limits, null);
  const reasons = [...packReasons(evaluator.pack, pack, sides.from), excess.gain, excess.loss, excess.freed].filter((r) => r !== null);
  const report = tally.report({ holders, sample: null });
  return {
    put() {
      const at = now();
      const record = recordOf(header, { kind: "pack", state: reasons.length > 0 ? "held" : "applied", reasons, report, at, publications: [] });
      evidence.putChange(record, reasons.length > 0 ? rows : []);
      if (reasons.length > 0) return { record, aftermath: NOTHING };
      for (const older of evidence.changes({ limit: 1000, state: "held" })) if (older.kind === "pack") evidence.putChange({ ...older, state: "superseded" }, []);
      return { record, aftermath: putPackText(text, header.sequence, evidence, at) };
    },
  };
}

/** What a pack changes for everybody at once, which no flag shows. */
export function packReasons(before: PolicyPack, after: PolicyPack, now: Instant): string[] {
  const reasons: string[] = [];
  const end = ({ validity }: PolicyPack): Instant => (validity.from <= now ? Math.max(validity.until, now) : now);
  if (end(after) < end(before)) reasons.push(`the rules would end at ${formatInstant(end(after))} and every scan then be answered no-policy; those in force end at ${formatInstant(before.validity.until)}`);
  const from = (pack: PolicyPack): Map<string, string> => {
    const rules = venueRules(pack).filter((rule) => rule.until > now).map((rule) => ({ ...rule, from: Math.max(rule.from, now), until: Math.min(rule.until, end(after), end(before)) }));
    return new Map([...Map.groupBy(rules, (rule) => rule.venue)].map(([venue, list]) => [venue, JSON.stringify(list)]));
  };
  const [old, next] = [from(before), from(after)];
  const venues = [...new Set([...old.keys(), ...next.keys()])].filter((venue) => old.get(venue) !== next.get(venue));
  if (venues.length > 0) reasons.push(`the pass rules of venues change for everybody: ${venues.join(", ")}`);
  return reasons;
}

async function planRegions(header: BatchHeader, rows: readonly InboxRow[], parts: GuardParts): Promise<Plan> {
  const { evidence, evaluator, limits, now, between } = parts;
  const { regions } = evidence;
  const change = regionChangeOf(rows);
  const publications = change.publications.map(publicationId);
  const expected = regions.preview(change, null);
  // Of a doubtful list an operator wants to know what it would do, were it released.
  const measured = expected.isHeld ? regions.preview(change, "released") : expected;
  const reach = reachOf(measured.differences, evaluator);
  const { tally, sample } = await measureReach(evidence, reach, { before: evaluator, after: createEvaluator(evaluator.pack, measured.history), from: now() }, MEASURED_MAX, between);
  const holders = evidence.holderCount();
  const { gain, loss } = tally.excess(holders, limits, sample);
  // A list that loses much may be confirmed by the one before it; a crowd that gains a flag waits for an operator.
  const mark: Mark | null = gain ? "gain" : loss ? "loss" : null;
  const report = tally.report({ holders, sample });
  return {
    put() {
      const at = now();
      if (publications.length === 0) {
        const reasons = [gain, loss].filter((r) => r !== null);
        const record = recordOf(header, { kind: "regions", state: mark ? "held" : "applied", reasons, report, at, publications });
        evidence.putChange(record, mark ? rows : []);
        return { record, aftermath: mark ? NOTHING : reachOf(regions.put(change, null), evaluator) };
      }
      // A held list is kept with the others: the next one is compared with it.
      const differences = regions.put(change, mark);
      const standing = regions.standing(publications[0]!)!;
      const state = CHANGE_STATES[standing.state];
      const doubts = standing.doubts.map((d) => DOUBT_TEXTS[d.kind](d) ?? (d.kind === "gain" ? gain : loss) ?? NO_MARK_TEXT);
      const record = recordOf(header, { kind: "regions", state, reasons: state === "held" ? doubts : [], report, at, publications });
      evidence.putChange(record, []);
      return { record, aftermath: settled(differences, parts) };
    },
  };
}

/** After risk lists have changed every change that brought one says where that stands now. @returns whom to evaluate anew. */
function settled(differences: readonly RegionDifference[], { evidence, evaluator }: Pick<GuardParts, "evidence" | "evaluator">): Aftermath {
  for (const { id, state } of evidence.regions.publications(Infinity)) {
    for (const change of evidence.changesOf(id)) if (change.state !== CHANGE_STATES[state]) evidence.putChange({ ...change, state: CHANGE_STATES[state] }, []);
  }
  return reachOf(differences, evaluator);
}

const CHANGE_STATES: Record<PublicationState, ChangeState> = { "in-force": "applied", replaced: "applied", held: "held", superseded: "superseded", rejected: "rejected" };

/** Visitors of the counties whose risk differs; residents where the screenings do. */
function reachOf(differences: readonly RegionDifference[], evaluator: Evaluator): Aftermath {
  const screened = differences.filter((d) => d.isScreened).map((d) => d.county);
  return { counties: evaluator.reach(differences.filter((d) => d.from < d.until)), residents: screened.sort((a, b) => a - b), pack: null };
}

function putPackText(text: string, change: number | null, evidence: EvidenceWriter, from: Instant): Aftermath {
  const pack = parsePack(text, "pack");
  evidence.putPack({ name: pack.name, text, fingerprint: pack.fingerprint, from, change });
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

function recordOf({ sequence, source, feed, batch }: BatchHeader, measured: Pick<ChangeRecord, "kind" | "state" | "reasons" | "at" | "publications"> & { report: BlastReport }): ChangeRecord {
  return { id: sequence, source, feed, batch, decisions: [], ...measured };
}

/** What a delivery says of regions. */
export function regionChangeOf(rows: readonly InboxRow[]): RegionChange {
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

/** What makes a risk list doubtful, for an operator. Null: the words come with the measure that set the mark. */
const DOUBT_TEXTS: Record<DoubtKind, (doubt: Doubt) => string | null> = {
  gone: ({ lost, of }) => `${lost} of ${of} areas are missing`,
  signs: ({ lost, of }) => `${lost} of ${of} areas are missing, among them too many that were listed only lately or lie where many others remain`,
  province: ({ of, province }) => `all ${of} areas of province ${province ?? "?"} are missing`,
  tail: ({ lost, of }) => `the last ${lost} of ${of} areas are missing without a gap`,
  loss: () => null,
  gain: () => null,
};

/** One line on a change, for a log. */
export function changeText({ id, source, feed, batch, state, reasons, at }: ChangeRecord): string {
  const why = reasons.length > 0 ? `: ${reasons.join("; ")}` : "";
  return `change ${id} (${feed} ${batch} of ${source}, ${formatInstant(at)}) ${state === "held" ? "is held" : state}${why}`;
}
