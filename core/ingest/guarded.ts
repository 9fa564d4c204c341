// Changes that can hit a crowd (rules, risk lists, infections, screenings): measured, then applied or held.
// Promises: nothing that a source delivers of them is in force before it was measured; what is held changes nothing; what newer ones have outdone says so.
// Not here: an operator's word on them (decisions.ts), how it is measured (blastRadius.ts), which risk list is doubtful (evidence/publicationGuard.ts), the evaluation of
// whom they concern (apply.ts).

import { countyOf, formatInstant, provinceName, type Instant, type RegionDifference, type RiskPublication, type UnknownPlace } from "../domain/index.ts";
import type { EntryReader } from "../entry/index.ts";
import {
  publicationId,
  type ChangeRecord,
  type ChangeState,
  type Doubt,
  type DoubtKind,
  type BlastLimits,
  type EvidenceReader,
  type EvidenceWriter,
  type FlagCounts,
  type InfectionRow,
  type Mark,
  type PublicationState,
  type RegionChange,
  type RegionPreview,
  type ScreeningRow,
} from "../evidence/index.ts";
import { createEvaluator, parsePack, venueRules, type Evaluator, type PolicyPack } from "../policy/index.ts";
import { createTally, everybody, measure, measureReach, MEASURED_MAX, type BlastReport, type Excess, type Reach } from "./blastRadius.ts";
import type { Feed } from "./batch.ts";
import type { InboxRow, PublicationRow } from "./facts.ts";
import type { BatchHeader } from "./inbox.ts";

/** Feeds whose batches are measured before they are applied. */
const GUARDED_FEEDS: readonly Feed[] = ["risk-areas", "local-infections", "screenings", "packs"];
export const isGuarded = (feed: Feed): boolean => GUARDED_FEEDS.includes(feed);

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

/** Rules as they were put in force. */
export interface NumberedPack {
  readonly number: number;
  readonly pack: PolicyPack;
}

/** What is left to do when a change has been put: whom to evaluate anew, and under which rules from now on; null: the same. */
export interface Aftermath extends Reach {
  readonly rules: NumberedPack | null;
}

/** A change that was measured, and what putting it does. */
export interface Plan {
  /** Call inside a transaction. @returns what is kept of the change, or which one it `repeats` (null: what the service began with); and what is left to do. */
  readonly put: () => { readonly record?: ChangeRecord; readonly repeats?: number | null; readonly aftermath: Aftermath };
}

/** What a change would do. */
export interface Measured {
  readonly report: BlastReport;
  readonly counts: FlagCounts;
  /** Why it is to be held, in words; none: it is within the limits. */
  readonly reasons: readonly string[];
  /** Those of them that weren't seen, or not by far, when somebody decided on it. */
  readonly beyond: readonly string[];
}

export const NOTHING: Aftermath = { counties: [], residents: [], rules: null };
const NO_MARK_TEXT = "what it would do was beyond the limits when it was first delivered";

/** Measures the change that a batch brings, and says whether it is held. */
export async function planChange(header: BatchHeader, rows: readonly InboxRow[], parts: GuardParts): Promise<Plan> {
  const [first] = rows;
  return first?.type === "pack" ? planPack(header, first.text, rows, parts) : planRegions(header, rows, parts);
}

async function planPack(header: BatchHeader, text: string, rows: readonly InboxRow[], parts: GuardParts): Promise<Plan> {
  const { evidence, now } = parts;
  const known = packRepeatedBy(text, evidence);
  if (known !== undefined) return { put: () => ({ repeats: known?.id ?? null, aftermath: NOTHING }) };
  const { report, counts, reasons } = await measurePack(text, parts);
  return {
    put() {
      const at = now();
      const state = isOutdonePack(header.sequence, evidence) ? "superseded" : reasons.length > 0 ? "held" : "applied";
      const record = recordOf(header, { kind: "pack", state, reasons: state === "held" ? reasons : [], report, counts, at, publications: [] });
      evidence.putChange(record, state === "held" ? rows : []);
      return { record, aftermath: state === "applied" ? putPackText(text, header.sequence, evidence, at) : NOTHING };
    },
  };
}

/** The change that brought this very pack, when it is in force or held; null: the service began with it; undefined: it is neither. */
export function packRepeatedBy(text: string, evidence: EvidenceReader): ChangeRecord | null | undefined {
  const inForce = evidence.packs().at(-1);
  if (inForce?.text === text) return inForce.change === null ? null : evidence.change(inForce.change);
  return heldChanges(evidence).find(({ id, kind }) => kind === "pack" && packTextOf(evidence.changeRows(id)) === text);
}

/** Measures a pack on everybody. `seen`: what it would have done when somebody decided on it; `beyond` then is what exceeds the limits since. */
export async function measurePack(text: string, { evidence, entries, evaluator, limits, now, between }: GuardParts, seen: Pick<ChangeRecord, "counts" | "reasons"> = { reasons: [] }): Promise<Measured> {
  const pack = parsePack(text, "pack");
  const sides = { before: evaluator, after: createEvaluator(pack, evidence.regions), from: now() };
  const tally = createTally();
  for (const page of everybody(evidence, entries)) {
    for (const holder of page) measure(tally, evidence, holder, sides);
    await between();
  }
  const holders = evidence.holderCount();
  const all = packReasons(evaluator.pack, pack, sides.from);
  const reasonsOver = ({ gain, loss, freed }: Excess, others: readonly string[]): string[] => [...others, gain, loss, freed].filter((r) => r !== null);
  const unseen = all.filter((reason) => !seen.reasons.includes(reason));
  return {
    report: tally.report({ holders, sample: null }),
    counts: tally.counts(null),
    reasons: reasonsOver(tally.excess(holders, limits, null), all),
    beyond: reasonsOver(tally.excess(holders, limits, null, seen.counts), unseen),
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
  const { evidence, evaluator, now } = parts;
  const { regions } = evidence;
  const change = regionChangeOf(rows);
  const publications = change.publications.map(publicationId);
  const expected = regions.preview(change, null);
  // Of a doubtful list an operator wants to know what it would do, were it released.
  const { report, counts, excess } = await measureRegions(expected.isHeld ? regions.preview(change, "released") : expected, parts);
  const { gain, loss } = excess;
  // A list that loses much may be confirmed by the one before it; a crowd that gains a flag waits for an operator.
  const mark: Mark | null = gain ? "gain" : loss ? "loss" : null;
  return {
    put() {
      const at = now();
      if (publications.length === 0) {
        const reasons = [gain, loss].filter((r) => r !== null);
        const state = regions.news(change) === "outdone" ? "superseded" : mark ? "held" : "applied";
        const record = recordOf(header, { kind: "regions", state, reasons: state === "held" ? reasons : [], report, counts, at, publications });
        evidence.putChange(record, state === "held" ? rows : []);
        return { record, aftermath: state === "held" ? NOTHING : putRegionRows(change, parts) };
      }
      // A held list is kept with the others: the next one is compared with it.
      const differences = regions.put(change, mark);
      const { state, doubts } = standingOf(publications, excess, evidence);
      const unknown = change.publications.flatMap((p) => p.unknown);
      const note = unknown.length > 0 ? { note: noteOn(unknown) } : {};
      const record = recordOf(header, { kind: "regions", state, reasons: state === "held" ? doubts : [], ...note, report, counts, at, publications });
      evidence.putChange(record, []);
      return { record, aftermath: settled(differences, { evidence, evaluator }) };
    },
  };
}

/** Measures what regions would be on everybody whom it concerns. */
export async function measureRegions(
  { differences, history }: RegionPreview,
  { evidence, evaluator, limits, now, between }: GuardParts,
  seen: Pick<ChangeRecord, "counts"> = {},
): Promise<Measured & { excess: Excess }> {
  const sides = { before: evaluator, after: createEvaluator(evaluator.pack, history), from: now() };
  const { tally, sample } = await measureReach(evidence, reachOf(differences, evaluator), sides, MEASURED_MAX, between);
  const holders = evidence.holderCount();
  const excess = tally.excess(holders, limits, sample);
  const since = tally.excess(holders, limits, sample, seen.counts);
  return {
    report: tally.report({ holders, sample }),
    counts: tally.counts(sample),
    excess,
    reasons: [excess.gain, excess.loss].filter((r) => r !== null),
    beyond: [since.gain, since.loss].filter((r) => r !== null),
  };
}

/** Where a change's risk lists stand, and what is doubtful about them in words. */
function standingOf([first]: readonly string[], { gain, loss }: Excess, evidence: EvidenceReader): { state: ChangeState; doubts: string[] } {
  const { state, doubts } = evidence.regions.standing(first!)!;
  return { state: CHANGE_STATES[state], doubts: doubts.map((d) => DOUBT_TEXTS[d.kind](d) ?? (d.kind === "gain" ? gain : loss) ?? NO_MARK_TEXT) };
}

/** Puts infections and screenings. Call inside a transaction. @returns whom to evaluate anew. */
export function putRegionRows(change: RegionChange, { evidence, evaluator }: Pick<GuardParts, "evidence" | "evaluator">): Aftermath {
  const aftermath = reachOf(evidence.regions.put(change, null), evaluator);
  supersedeOutdone(evidence);
  return aftermath;
}

/** Held changes that can't take effect any more say so. */
function supersedeOutdone(evidence: EvidenceWriter): void {
  for (const held of heldChanges(evidence)) if (isOutdone(held, evidence)) evidence.putChange({ ...held, state: "superseded" }, []);
}

/** Whether newer ones came into force since a change was held: a pack, or revisions of all its infections and screenings. Of risk lists the guard says it. */
export function isOutdone({ id, kind, publications }: ChangeRecord, evidence: EvidenceReader): boolean {
  if (kind === "pack") return isOutdonePack(id, evidence);
  return publications.length === 0 && evidence.regions.news(regionChangeOf(evidence.changeRows(id) as readonly InboxRow[])) !== "new";
}

function isOutdonePack(change: number, evidence: EvidenceReader): boolean {
  return change < (evidence.packs().at(-1)?.change ?? 0);
}

function heldChanges(evidence: EvidenceReader): ChangeRecord[] {
  return evidence.changes({ limit: evidence.heldChanges(), state: "held" });
}

/** After risk lists have changed, every change that brought one says where that stands now. @returns whom to evaluate anew. */
export function settled(differences: readonly RegionDifference[], { evidence, evaluator }: Pick<GuardParts, "evidence" | "evaluator">): Aftermath {
  for (const { id, state } of evidence.regions.publications(Infinity)) {
    for (const change of evidence.changesOf(id)) if (change.state !== CHANGE_STATES[state]) evidence.putChange({ ...change, state: CHANGE_STATES[state] }, []);
  }
  return reachOf(differences, evaluator);
}

const CHANGE_STATES: Record<PublicationState, ChangeState> = { "in-force": "applied", replaced: "applied", held: "held", superseded: "superseded", rejected: "rejected" };

/** Visitors of the counties whose risk differs; residents where the screenings do. */
function reachOf(differences: readonly RegionDifference[], evaluator: Evaluator): Aftermath {
  const screened = differences.filter((d) => d.isScreened).map((d) => d.county);
  return { ...NOTHING, counties: evaluator.reach(differences.filter((d) => d.from < d.until)), residents: screened.sort((a, b) => a - b) };
}

/** Puts a pack in force from now on. Call inside a transaction. */
export function putPackText(text: string, change: number | null, evidence: EvidenceWriter, from: Instant): Aftermath {
  const pack = parsePack(text, "pack");
  const { number } = evidence.putPack({ name: pack.name, text, fingerprint: pack.fingerprint, from, change });
  supersedeOutdone(evidence);
  return { ...NOTHING, rules: { number, pack } };
}

/** The text of the pack that a change brings. */
export function packTextOf(rows: readonly unknown[]): string {
  return (rows as readonly { readonly text: string }[])[0]!.text;
}

function recordOf({ sequence, source, feed, batch }: BatchHeader, measured: Pick<ChangeRecord, "kind" | "state" | "reasons" | "note" | "counts" | "at" | "publications"> & { report: BlastReport }): ChangeRecord {
  return { id: sequence, source, feed, batch, decisions: [], ...measured };
}

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

function publicationOf({ counties, areas, unknown = [], ...rest }: PublicationRow): RiskPublication {
  // Copied: what comes from the inbox need not lie on a multiple of eight.
  return { ...rest, unknown, counties: new Map(counties), areas: new Float64Array(Uint8Array.prototype.slice.call(areas).buffer) };
}

/** 0 stands for a province that nobody knows. */
function provinceText(code: number): string {
  return code === 0 ? "an unknown province" : `province ${code} (${provinceName(code) ?? "unknown"})`;
}

/** What makes a risk list doubtful, for an operator. Null: the words come with the measure that set the mark. */
const DOUBT_TEXTS: Record<DoubtKind, (doubt: Doubt) => string | null> = {
  gone: ({ lost, of }) => `${lost} of ${of} areas are missing`,
  signs: ({ lost, of }) => `${lost} of ${of} areas are missing, among them too many that were listed only lately or lie where many others remain`,
  province: ({ of, province }) => `all ${of} areas of ${province === undefined ? "a province" : provinceText(province)} are missing`,
  tail: ({ lost, of }) => `the last ${lost} of ${of} areas are missing without a gap`,
  unknown: ({ names = [], counties = [] }) =>
    `no county is known as ${fewOf(names.map(placeText))}; may be meant, since not named any more: ${fewOf(counties.map((code) => `${code} (${countyOf(code)?.name ?? "unknown"})`))}`,
  loss: () => null,
  gain: () => null,
};

/** How many names are told of many. */
const NAMES_TOLD = 10;

function fewOf(names: readonly string[]): string {
  const more = names.length - NAMES_TOLD;
  return `${names.slice(0, NAMES_TOLD).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

function placeText(name: string): string {
  return name === "" ? "(a place without a name that can be told)" : name;
}

/** On places of a risk list that find no county, whether it is held or not. */
function noteOn(unknown: readonly UnknownPlace[]): string {
  const areas = unknown.reduce((sum, place) => sum + place.areas, 0);
  return `without effect, areas of places that find no county: ${areas}, of ${fewOf(unknown.map((place) => placeText(place.name)))}`;
}

/** One line on a change, for a log. */
export function changeText({ id, source, feed, batch, state, reasons, note, at }: ChangeRecord): string {
  const words = note === undefined ? reasons : [...reasons, note];
  const why = words.length > 0 ? `: ${words.join("; ")}` : "";
  return `change ${id} (${feed} ${batch} of ${source}, ${formatInstant(at)}) ${state === "held" ? "is held" : state}${why}`;
}
