// Applying a batch: rows from the inbox -> evidence -> verdicts -> entries.
// Promises: evidence is read, evaluated and written inside one write transaction, so that a batch applied twice, or beside its twin, never puts an
// older verdict over a newer one; a batch cut off anywhere goes on where its entries are safely on disk; a row or a holder at fault harms no other.
// Not here: who calls (worker.ts), whose step is next (schedule.ts), what becomes of a batch that fails (failures.ts), what a fact means (policy).

import { keyOf, keyText, type Clock, type CountyCode, type DocumentKey, type SubjectKey } from "../domain/index.ts";
import { encodeEntry, entryOf, policyIdOf, sameContent, type EntryWriter } from "../entry/index.ts";
import { decodeFact, kindOf, type BatchProgress, type BlastLimits, type EvidenceWriter, type Page } from "../evidence/index.ts";
import { createRetention, type Evaluator } from "../policy/index.ts";
import { decisionText, planDecision } from "./decisions.ts";
import type { StoredRow } from "./chunkCodec.ts";
import type { InboxRow } from "./facts.ts";
import { createOmissions, isDead, isNoFault, NOTHING_DONE, putFailure, StoppedError, withoutFaults, withoutFaulty, type Omissions } from "./failures.ts";
import { changeText, isGuarded, planChange, type Aftermath, type GuardParts, type NumberedPack } from "./guarded.ts";
import type { BatchHeader, InboxReader } from "./inbox.ts";
import { REPLAYED_S } from "./retention.ts";
import { workKindOf, type Lane, type Turn } from "./schedule.ts";

export interface ApplierParts {
  readonly inbox: InboxReader;
  readonly evidence: EvidenceWriter;
  readonly entries: EntryWriter;
  /** Under the rules in force; `adopt` puts another in its place. */
  readonly evaluator: Evaluator;
  /** Number of the pack that `evaluator` evaluates under: entries say it. */
  readonly packNumber: number;
  /** Called when other rules have been put in force, on disk. */
  readonly adopt: (rules: NumberedPack) => void;
  readonly limits: BlastLimits;
  readonly clock: Clock;
  /** Words for an operator. */
  readonly say: (line: string) => void;
  /** Told after each change of entries, milliseconds of the service's clock. */
  readonly onChange: (atMs: number) => void;
  /** One change of rules or regions at a time: what was measured must be what is put. */
  readonly exclusively: <T>(work: () => Promise<T>) => Promise<T>;
  /** Every step waits for its turn. */
  readonly turn: Turn;
  /** reevaluateAll, one at a time: whoever asks meanwhile waits for the same. */
  readonly reevaluate: () => Promise<number>;
  /** Looked at between steps: whether to leave the rest for the next start. */
  readonly isStopping: () => boolean;
}

/**
 * Of a county's visitors so many are gathered at once, and their holders evaluated in the order of their keys: that is how entries lie on the pages of their store. In the
 * order of the index, which is that of phones, each holder would cost a page of its own, written and synced again and again.
 */
const GATHERED_SUBJECTS = 250_000;
/** Read before others get their turn. */
const GATHERED_AT_ONCE = 2000;
/** Holders evaluated in one transaction; between two of them others get their turn. */
const RECOMPUTE_HOLDERS = 500;
/** So many transactions are synced together: what a crash repeats at most. */
const RECOMPUTE_UNSYNCED = 32;

/** Lets one piece of work after the other run, in the order of asking. */
export function createTurns(): ApplierParts["exclusively"] {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = last.then(work);
    last = mine.catch(() => undefined);
    return mine;
  };
}

/** Applies a batch to its end. Does nothing when it has been applied, or is dead. @throws when it failed; unless that was nobody's fault, the attempt is counted. */
export async function applyBatch(sequence: number, parts: ApplierParts): Promise<void> {
  const { inbox, evidence, clock } = parts;
  const header = inbox.header(sequence);
  if (!header) throw new Error(`the inbox has no batch ${sequence}`);
  const progress = evidence.progress(sequence) ?? NOTHING_DONE;
  if (progress.appliedMs !== null || isDead(progress)) return;
  const run = { progress };
  try {
    await applyFrom(header, run, parts);
  } catch (error) {
    if (!isNoFault(error)) {
      putFailure(sequence, run.progress, error, clock.nowMs(), evidence);
      await evidence.flushed();
    }
    throw error;
  }
}

/** @param run where it stands: what is written down of an attempt that fails. */
async function applyFrom(header: BatchHeader, run: { progress: BatchProgress }, parts: ApplierParts): Promise<void> {
  const { evidence, entries, clock, turn } = parts;
  const { sequence, feed, source } = header;
  // Each step writes down only what was on disk *before* it, so that a crash or a power cut repeats at most one step and never skips one.
  const step: Step = async (next) => {
    await Promise.all([evidence.flushed(), entries.flushed()]);
    run.progress = next;
  };
  const inTurn = async (lane: Lane, work: () => BatchProgress): Promise<void> => {
    await step(
      await turn(lane, () => {
        stopIfAsked(parts);
        return work();
      }),
    );
  };
  const chunkLane: Lane = { kind: workKindOf(feed), source };
  const fanOutLane: Lane = { kind: "fan-out", source };
  const omissions = createOmissions();
  // Whoever had the turn before may have been a twin of this run.
  const newest = (): BatchProgress => evidence.progress(sequence) ?? run.progress;
  // A twin of this run may have come to the end meanwhile.
  const isOpen = (): boolean => run.progress.appliedMs === null;

  // What the attempt before this one has left out.
  const { chunks = [], subjects = [] } = run.progress.aside ?? {};
  for (const index of chunks) if (isOpen()) await inTurn(chunkLane, () => applyRows(header, index, takenUp(run.progress, { index }), parts, omissions));
  for (const subject of subjects) if (isOpen()) await inTurn(fanOutLane, () => evaluateAnew(sequence, [subject], takenUp(run.progress, { subject }), parts, omissions));

  if (isGuarded(feed) && run.progress.chunksDone === 0) await step(await parts.exclusively(() => applyGuarded(header, newest(), parts)));
  while (isOpen() && run.progress.chunksDone < header.chunks) {
    stopIfAsked(parts);
    const { chunksDone } = run.progress;
    if (feed === "decisions") await step(await parts.exclusively(() => applyDecisions(header, newest(), parts)));
    else await inTurn(chunkLane, () => ({ ...applyRows(header, chunksDone, run.progress, parts, omissions), chunksDone: chunksDone + 1 }));
  }
  while (isOpen() && isLeft(run.progress.recompute)) await recomputeSome(sequence, run, step, fanOutLane, parts, omissions);
  // Only who has changed the rules waits until all entries are computed under them.
  const packs = isOpen() ? (run.progress.packs ?? []) : [];
  if (packs.length > 0) await parts.reevaluate();
  if (isOpen()) omissions.end();
  evidence.transaction(() => {
    if (isApplied(sequence, evidence)) return;
    // Also those that a run before this one has changed, which was cut off.
    const reevaluated = packs.reduce((sum, pack) => sum + evidence.entriesChangedUnder(pack), 0);
    evidence.putProgress(sequence, { ...withoutFaults(run.progress), entriesChanged: run.progress.entriesChanged + reevaluated, appliedMs: clock.nowMs() });
  });
  await evidence.flushed();
}

/** Takes a progress for what has been done, once that is on disk. */
type Step = (next: BatchProgress) => Promise<void>;

/** Without what is tried again now: a chunk, or a subject. */
function takenUp(progress: BatchProgress, { index, subject }: { index?: number; subject?: Uint8Array }): BatchProgress {
  const { chunks = [], subjects = [] } = progress.aside ?? {};
  return { ...progress, aside: { chunks: chunks.filter((i) => i !== index), subjects: subjects.filter((s) => s !== subject) } };
}

/** A chunk whose rows are taken in together; where one is at fault, one by one, and the chunk is set aside for the next attempt. */
function applyRows(header: BatchHeader, index: number, progress: BatchProgress, parts: ApplierParts, omissions: Omissions): BatchProgress {
  const { sequence } = header;
  let after = progress;
  const left: string[] = [];
  const leaveOut = (what: string, error: unknown): void => {
    omissions.add(error, what);
    left.push(what);
  };
  let rows: readonly StoredRow[] = [];
  try {
    rows = parts.inbox.chunk(sequence, index);
  } catch (error) {
    if (isNoFault(error)) throw error;
    leaveOut(`chunk ${index} can't be read`, error);
  }
  const apply = (some: readonly StoredRow[]): void => void (after = applyChunk(sequence, some, after, parts));
  withoutFaulty(rows, apply, (_, place, error) => leaveOut(`row ${place} of chunk ${index}`, error));
  const { chunks = [], subjects = [] } = progress.aside ?? {};
  const aside = left.length === 0 ? {} : { aside: { chunks: [...chunks, index], subjects } };
  return { ...after, chunksDone: progress.chunksDone, ...aside };
}

function isLeft({ counties, residents = [] }: BatchProgress["recompute"]): boolean {
  return counties.length > 0 || residents.length > 0;
}

function stopIfAsked({ isStopping }: Pick<ApplierParts, "isStopping">): void {
  if (isStopping()) throw new StoppedError("stopped between two steps");
}

/** Measures what a change of rules or regions would do, and puts it or holds it; in one step, whatever its size. */
async function applyGuarded(header: BatchHeader, progress: BatchProgress, parts: ApplierParts): Promise<BatchProgress> {
  const { evidence } = parts;
  // A run before this one may have put it and died before that was written down.
  if (progress.appliedMs !== null) return progress;
  if (evidence.change(header.sequence) || progress.repeats !== undefined) return { ...progress, chunksDone: header.chunks };
  const plan = await planChange(header, rowsOf(header, parts), guardParts(parts, header.source));
  const { after, put } = evidence.transaction(() => {
    const put = plan.put();
    const after = { ...withAftermath(progress, put.aftermath, evidence), ...(put.repeats === undefined ? {} : { repeats: put.repeats }) };
    evidence.putProgress(header.sequence, after);
    return { after, put };
  });
  if (put.record && (put.record.state === "held" || put.record.note !== undefined)) parts.say(changeText(put.record));
  await adopt(put.aftermath, parts);
  return { ...after, chunksDone: header.chunks };
}

/** Carries out decisions one after the other: each is measured with what those before it have done. */
async function applyDecisions(header: BatchHeader, progress: BatchProgress, parts: ApplierParts): Promise<BatchProgress> {
  const { evidence, say } = parts;
  if (progress.appliedMs !== null) return progress;
  let after = progress;
  for (const [i, row] of rowsOf(header, parts).entries()) {
    if (row.type !== "decision") throw new Error(`a row of type ${row.type} came by the feed of decisions`);
    if (i < (progress.decided ?? 0)) {
      say(`${decisionText(row.decision)} was put in a run before this one: going on with what follows from it`);
      continue;
    }
    const put = await planDecision(row.decision, guardParts(parts, header.source));
    const { undone, aftermath } = evidence.transaction(() => {
      const outcome = put();
      after = { ...withAftermath(after, outcome.aftermath, evidence), decided: i + 1, undone: [...(after.undone ?? []), ...(outcome.undone === null ? [] : [outcome.undone])] };
      evidence.putProgress(header.sequence, after);
      return outcome;
    });
    if (undone !== null) say(`${decisionText(row.decision)} came to nothing: ${undone}`);
    else if (row.decision.action === "replay") say(`${decisionText(row.decision)}, by ${row.decision.authority} (${row.decision.ground}): it is tried again`);
    await adopt(aftermath, parts);
  }
  return { ...after, chunksDone: header.chunks };
}

/** All rows of a batch that is measured before it applies. */
function rowsOf({ sequence, chunks }: BatchHeader, { inbox }: ApplierParts): InboxRow[] {
  return Array.from({ length: chunks }, (_, i) => inbox.chunk(sequence, i)).flat().map((row) => {
    if (row.type === "fact") throw new Error(`a row of type ${row.type} came by a feed that is not its own`);
    return row;
  });
}

function guardParts(parts: ApplierParts, source: string): GuardParts {
  const { evidence, entries, evaluator, limits, clock } = parts;
  return {
    ...{ evidence, entries, evaluator, limits },
    now: () => Math.floor(clock.nowMs() / 1000),
    // What is measured until the next call is its step.
    between: () => parts.turn({ kind: "fan-out", source }, () => stopIfAsked(parts)),
  };
}

/** Other rules are on disk before anything is evaluated under them: an entry's pack number never means another pack. */
async function adopt({ rules }: Aftermath, { evidence, adopt }: ApplierParts): Promise<void> {
  if (!rules) return;
  await evidence.flushed();
  adopt(rules);
}

/** With those whom a change concerns, who are left to evaluate anew, and the pack that it has put in force. */
function withAftermath(progress: BatchProgress, { counties, residents, rules }: Aftermath, evidence: EvidenceWriter): BatchProgress {
  const { recompute, fanOut = { subjects: 0, done: 0 } } = progress;
  const added = counties.reduce((sum, county) => sum + evidence.visitorCount(county), 0) + residents.reduce((sum, county) => sum + evidence.residentCount(county), 0);
  const join = (a: readonly CountyCode[], b: readonly CountyCode[]): CountyCode[] => [...new Set([...a, ...b])].sort((x, y) => x - y);
  return {
    ...progress,
    recompute: { counties: join(recompute.counties, counties), residents: join(recompute.residents ?? [], residents), after: null },
    ...(added > 0 ? { fanOut: { ...fanOut, subjects: fanOut.subjects + added } } : {}),
    ...(rules ? { packs: [...(progress.packs ?? []), rules.number] } : {}),
  };
}

/** Inside a transaction: a twin of this run may have come to the end meanwhile, and its word is the last. */
function isApplied(sequence: number, evidence: EvidenceWriter): boolean {
  return (evidence.progress(sequence)?.appliedMs ?? null) !== null;
}

/** Holders evaluated anew in one transaction when the rules have changed. */
const REEVALUATE_DOCUMENTS = 500;

/**
 * Evaluates every holder anew whose entry was computed under other rules than those in force: entries say under which. Begins again when the rules change meanwhile; cut off,
 * it goes on at the next start. @returns how many entries changed.
 */
export async function reevaluateAll(parts: Omit<ApplierParts, "reevaluate">): Promise<number> {
  const { evidence, entries } = parts;
  const omissions = createOmissions();
  let changed = 0;
  let after: DocumentKey | null = null;
  let pack = parts.packNumber;
  const evaluate = (documents: readonly DocumentKey[]): void => {
    changed += evidence.transaction((evidenceSequence) => {
      const holders = new Set<string>();
      for (const document of documents) addHolders(holders, document, evidence);
      const inThese = evaluateHolders(holders, evidenceSequence, parts);
      evidence.addEntriesChangedUnder(pack, inThese);
      return inThese;
    });
  };
  do {
    after = await parts.turn({ kind: "fan-out", source: "" }, () => {
      stopIfAsked(parts);
      const from = pack === parts.packNumber ? after : null;
      pack = parts.packNumber;
      const { documents, last } = entries.documentsNotUnder(policyIdFor(pack), { after: from, scanned: REEVALUATE_DOCUMENTS });
      if (documents.length > 0) withoutFaulty(documents, evaluate, (_, __, error) => omissions.add(error, "an entry under the rules in force"));
      return last;
    });
    await entries.flushed();
  } while (after !== null || pack !== parts.packNumber);
  await evidence.flushed();
  omissions.end();
  return changed;
}

/** How an entry names a pack: a text that was in force before and came back has another number. */
function policyIdFor(packNumber: number): number {
  return packNumber % 2 ** 16;
}

/** Lets one run at a time; whoever asks meanwhile gets the same. */
export function createReevaluation(parts: Omit<ApplierParts, "reevaluate">): () => Promise<number> {
  let running: Promise<number> | undefined;
  return () => (running ??= reevaluateAll(parts).finally(() => (running = undefined)));
}

/** Puts one chunk's facts, and evaluates whom they concern. */
function applyChunk(sequence: number, rows: readonly StoredRow[], progress: BatchProgress, parts: ApplierParts): BatchProgress {
  const { evidence } = parts;
  return evidence.transaction((evidenceSequence) => {
    if (isApplied(sequence, evidence)) return evidence.progress(sequence)!;
    // Who owns a subject is asked when all rows are in: a later row may have made two holders one.
    const subjects = new Set<string>();
    const retention = createRetention([parts.evaluator]);
    let tooLate = progress.tooLate ?? 0;
    for (const row of rows) {
      if (row.type === "holder") subjects.add(keyText(evidence.putHolder(row.documents, row.phones, row)));
      else if (row.type === "fact" && retention.canBeTooLate(kindOf(row.fact)) && retention.isTooLate(decodeFact(row.fact)!, REPLAYED_S) && !evidence.isTold(row.factKey)) tooLate++;
      else if (row.type === "fact") evidence.putFact(row.subject, row.factKey, row.fact).forEach((s) => subjects.add(keyText(s)));
      else throw new Error(`a row of type ${row.type} came by a feed that is not its own`);
    }
    const holders = new Set<string>();
    for (const subject of subjects) addHolders(holders, keyOf(subject), evidence);
    const after = { ...progress, entriesChanged: progress.entriesChanged + evaluateHolders(holders, evidenceSequence, parts) };
    evidence.putProgress(sequence, after);
    return { ...after, chunksDone: progress.chunksDone + 1, ...(tooLate > 0 ? { tooLate } : {}) };
  });
}

/** Evaluates the visitors of the first county on the list anew, so many as are gathered at once; when no visitors are left, residents. */
async function recomputeSome(sequence: number, run: { readonly progress: BatchProgress }, step: Step, lane: Lane, parts: ApplierParts, omissions: Omissions): Promise<void> {
  const { recompute, fanOut = { subjects: 0, done: 0 } } = run.progress;
  const { holders, subjects, next } = await gatherHolders(recompute, lane, parts);
  const doneBefore = fanOut.done - (fanOut.inHand ?? 0);
  let progress = run.progress;
  for (let done = 0, transactions = 1; done < holders.length; transactions++) {
    const some = holders.slice(done, (done += RECOMPUTE_HOLDERS));
    progress = await parts.turn(lane, () => {
      stopIfAsked(parts);
      return evaluateAnew(sequence, some.map(keyOf), progress, parts, omissions);
    });
    if (progress.appliedMs !== null) return step(progress);
    if (transactions % RECOMPUTE_UNSYNCED !== 0) continue;
    const inHand = Math.floor((subjects * done) / holders.length);
    progress = { ...progress, recompute: { ...recompute, within: keyOf(some.at(-1)!) }, fanOut: { subjects: fanOut.subjects, done: doneBefore + inHand, inHand } };
    await step(progress);
  }
  await step({ ...progress, recompute: next, fanOut: { subjects: fanOut.subjects, done: doneBefore + subjects } });
}

/** The holders behind the next visitors or residents, ascending, without those who are done; behind how many subjects; and what is left when they are. */
async function gatherHolders(
  { counties, residents = [], after, within }: BatchProgress["recompute"],
  lane: Lane,
  parts: ApplierParts,
): Promise<{ holders: string[]; subjects: number; next: BatchProgress["recompute"] }> {
  const { evidence } = parts;
  const found = new Set<string>();
  const gatherPage = (page: Page): SubjectKey[] => {
    stopIfAsked(parts);
    const subjects = counties.length > 0 ? evidence.visitorsOf(counties[0]!, page) : evidence.residentsOf(residents[0]!, page);
    for (const subject of subjects) addHolders(found, subject, evidence);
    return subjects;
  };
  let last = after;
  let count = 0;
  let subjects: readonly SubjectKey[];
  do {
    const page = { after: last, limit: GATHERED_AT_ONCE };
    subjects = await parts.turn(lane, () => gatherPage(page));
    count += subjects.length;
    last = subjects.at(-1) ?? last;
  } while (count < GATHERED_SUBJECTS && subjects.length === GATHERED_AT_ONCE);
  const isLast = subjects.length < GATHERED_AT_ONCE;
  const doneText = within ? keyText(within) : "";
  const holders = [...found].filter((holder) => holder > doneText).sort();
  const left = counties.length > 0 ? { counties: counties.slice(1), residents } : { counties, residents: residents.slice(1) };
  return { holders, subjects: count, next: isLast ? { ...left, after: null } : { counties, residents, after: last } };
}

/** Evaluates the holders whom these subjects concern; who can't be is set aside for the next attempt. */
function evaluateAnew(sequence: number, all: readonly Uint8Array[], progress: BatchProgress, parts: ApplierParts, omissions: Omissions): BatchProgress {
  const { evidence } = parts;
  let done = progress;
  const left: Uint8Array[] = [];
  const evaluate = (subjects: readonly Uint8Array[]): void => {
    done = evidence.transaction((evidenceSequence) => {
      if (isApplied(sequence, evidence)) return evidence.progress(sequence)!;
      const holders = new Set<string>();
      for (const subject of subjects) addHolders(holders, subject as SubjectKey, evidence);
      const after = { ...done, entriesChanged: done.entriesChanged + evaluateHolders(holders, evidenceSequence, parts) };
      evidence.putProgress(sequence, after);
      return after;
    });
  };
  withoutFaulty(all, evaluate, (subject, _, error) => {
    omissions.add(error, "a holder");
    left.push(subject);
  });
  const { chunks = [], subjects = [] } = done.aside ?? {};
  return left.length === 0 ? done : { ...done, aside: { chunks, subjects: [...subjects, ...left] } };
}

export function addHolders(holders: Set<string>, subject: SubjectKey, evidence: EvidenceWriter): void {
  for (const holder of evidence.holdersOf(subject)) holders.add(keyText(holder));
}

/** Writes the entries of these holders where they differ from what is there, or don't say that they hold under these rules too. @returns how many became others. */
export function evaluateHolders(holders: Iterable<string>, evidenceSequence: number, parts: Omit<ApplierParts, "reevaluate">): number {
  const { evidence, entries, evaluator, packNumber, clock, onChange } = parts;
  const nowMs = clock.nowMs();
  const origin = { evidenceSequence, policyId: policyIdFor(packNumber), regionRevision: evidence.regions.revision() };
  let changed = 0;
  entries.transaction(() => {
    for (const text of holders) {
      const holder = evidence.holder(keyOf(text));
      const record = encodeEntry(entryOf(evaluator.evaluate(holder.evidence), origin, Math.floor(nowMs / 1000)));
      for (const document of holder.documents) {
        const before = entries.get(document);
        const isSame = before !== undefined && sameContent(before, record);
        if (isSame && policyIdOf(before) === origin.policyId) continue;
        entries.put(document, record);
        if (!isSame) changed++;
      }
    }
  });
  if (changed > 0) onChange(nowMs);
  return changed;
}
