// Applying a batch: rows from the inbox -> evidence -> verdicts -> entries.
// Promises: evidence is read, evaluated and written inside one write transaction, so that a batch applied twice, or beside its twin, never puts an
// older verdict over a newer one; a batch cut off anywhere goes on where its entries are safely on disk.
// Not here: who calls (worker.ts), what a fact means (policy).

import { keyOf, keyText, type Clock, type CountyCode, type DocumentKey, type SubjectKey } from "../domain/index.ts";
import { encodeEntry, entryOf, policyIdOf, sameContent, type EntryWriter } from "../entry/index.ts";
import { decodeFact, kindOf, type BatchProgress, type BlastLimits, type EvidenceWriter } from "../evidence/index.ts";
import { createRetention, type Evaluator } from "../policy/index.ts";
import { decisionText, planDecision } from "./decisions.ts";
import type { StoredRow } from "./chunkCodec.ts";
import type { InboxRow } from "./facts.ts";
import { changeText, isGuarded, planChange, type Aftermath, type GuardParts, type NumberedPack } from "./guarded.ts";
import type { BatchHeader, InboxReader } from "./inbox.ts";
import { REPLAYED_S } from "./retention.ts";

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
  /** reevaluateAll, one at a time: whoever asks meanwhile waits for the same. */
  readonly reevaluate: () => Promise<number>;
  /** Looked at between steps: whether to leave the rest for the next start. */
  readonly isStopping: () => boolean;
}

/** The service is stopping: what is left of the work is done after the next start. */
export class StoppedError extends Error {
  override name = "StoppedError";
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
const NOTHING_DONE: BatchProgress = { chunksDone: 0, entriesChanged: 0, recompute: { counties: [], after: null }, appliedMs: null };

/** Lets one piece of work after the other run, in the order of asking. */
export function createTurns(): ApplierParts["exclusively"] {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = last.then(work);
    last = mine.catch(() => undefined);
    return mine;
  };
}

/** Applies a batch to its end. Does nothing when it has been applied. */
export async function applyBatch(sequence: number, parts: ApplierParts): Promise<void> {
  const { inbox, evidence, entries, clock } = parts;
  const header = inbox.header(sequence);
  if (!header) throw new Error(`the inbox has no batch ${sequence}`);
  let progress = evidence.progress(sequence) ?? NOTHING_DONE;
  if (progress.appliedMs !== null) return;

  // Each step writes down only what was on disk *before* it, so that a crash or a power cut repeats at most one step and never skips one.
  const step: Step = async (next) => {
    progress = next;
    await Promise.all([evidence.flushed(), entries.flushed()]);
  };
  // Whoever had the turn before may have been a twin of this run.
  const newest = (): BatchProgress => evidence.progress(sequence) ?? progress;
  if (isGuarded(header.feed) && progress.chunksDone === 0) await step(await parts.exclusively(() => applyGuarded(header, newest(), parts)));
  // A twin of this run may have come to the end meanwhile.
  const isOpen = (): boolean => progress.appliedMs === null;
  while (isOpen() && progress.chunksDone < header.chunks) {
    stopIfAsked(parts);
    if (header.feed === "decisions") await step(await parts.exclusively(() => applyDecisions(header, newest(), parts)));
    else await step(applyChunk(sequence, inbox.chunk(sequence, progress.chunksDone), progress, parts));
  }
  while (isOpen() && isLeft(progress.recompute)) await recomputeSome(sequence, progress, step, parts);
  // Only who has changed the rules waits until all entries are computed under them.
  const packs = isOpen() ? (progress.packs ?? []) : [];
  if (packs.length > 0) await parts.reevaluate();
  evidence.transaction(() => {
    if (isApplied(sequence, evidence)) return;
    // Also those that a run before this one has changed, which was cut off.
    const reevaluated = packs.reduce((sum, pack) => sum + evidence.entriesChangedUnder(pack), 0);
    evidence.putProgress(sequence, { ...progress, entriesChanged: progress.entriesChanged + reevaluated, appliedMs: clock.nowMs() });
  });
  await evidence.flushed();
}

/** Takes a progress for what has been done, once that is on disk. */
type Step = (next: BatchProgress) => Promise<void>;

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
  const plan = await planChange(header, rowsOf(header, parts), guardParts(parts));
  const { after, put } = evidence.transaction(() => {
    const put = plan.put();
    const after = { ...withAftermath(progress, put.aftermath), ...(put.repeats === undefined ? {} : { repeats: put.repeats }) };
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
    const put = await planDecision(row.decision, guardParts(parts));
    const { undone, aftermath } = evidence.transaction(() => {
      const outcome = put();
      after = { ...withAftermath(after, outcome.aftermath), decided: i + 1, undone: [...(after.undone ?? []), ...(outcome.undone === null ? [] : [outcome.undone])] };
      evidence.putProgress(header.sequence, after);
      return outcome;
    });
    if (undone !== null) say(`${decisionText(row.decision)} came to nothing: ${undone}`);
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

function guardParts(parts: ApplierParts): GuardParts {
  const { evidence, entries, evaluator, limits, clock } = parts;
  return {
    ...{ evidence, entries, evaluator, limits },
    now: () => Math.floor(clock.nowMs() / 1000),
    async between() {
      stopIfAsked(parts);
      await turn();
    },
  };
}

/** Other rules are on disk before anything is evaluated under them: an entry's pack number never means another pack. */
async function adopt({ rules }: Aftermath, { evidence, adopt }: ApplierParts): Promise<void> {
  if (!rules) return;
  await evidence.flushed();
  adopt(rules);
}

/** With those whom a change concerns, who are left to evaluate anew, and the pack that it has put in force. */
function withAftermath(progress: BatchProgress, { counties, residents, rules }: Aftermath): BatchProgress {
  const { recompute } = progress;
  const join = (a: readonly CountyCode[], b: readonly CountyCode[]): CountyCode[] => [...new Set([...a, ...b])].sort((x, y) => x - y);
  return {
    ...progress,
    recompute: { counties: join(recompute.counties, counties), residents: join(recompute.residents ?? [], residents), after: null },
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
  let changed = 0;
  let after: DocumentKey | null = null;
  let pack = parts.packNumber;
  do {
    stopIfAsked(parts);
    if (pack !== parts.packNumber) [pack, after] = [parts.packNumber, null];
    const { documents, last } = entries.documentsNotUnder(policyIdFor(pack), { after, scanned: REEVALUATE_DOCUMENTS });
    if (documents.length > 0) {
      changed += evidence.transaction((evidenceSequence) => {
        const holders = new Set<string>();
        for (const document of documents) addHolders(holders, document, evidence);
        const inThese = evaluateHolders(holders, evidenceSequence, parts);
        evidence.addEntriesChangedUnder(pack, inThese);
        return inThese;
      });
      await entries.flushed();
    }
    await turn();
    after = last;
  } while (after !== null || pack !== parts.packNumber);
  await evidence.flushed();
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

/** Evaluates the next visitors of the first county on the list; when no visitors are left, residents. */
async function recomputeSome(sequence: number, before: BatchProgress, step: Step, parts: ApplierParts): Promise<void> {
  const { recompute } = before;
  const { holders, next } = await gatherHolders(recompute, parts);
  let progress = before;
  for (let done = 0, transactions = 1; done < holders.length; transactions++) {
    stopIfAsked(parts);
    const some = holders.slice(done, (done += RECOMPUTE_HOLDERS));
    progress = recomputeHolders(sequence, some, progress, parts);
    if (progress.appliedMs !== null) return step(progress);
    if (transactions % RECOMPUTE_UNSYNCED === 0) await step((progress = { ...progress, recompute: { ...recompute, within: keyOf(some.at(-1)!) } }));
    else await turn();
  }
  await step({ ...progress, recompute: next });
}

/** The holders behind the next visitors or residents, ascending, without those who are done; and what is left when they are. */
async function gatherHolders({ counties, residents = [], after, within }: BatchProgress["recompute"], parts: ApplierParts): Promise<{ holders: string[]; next: BatchProgress["recompute"] }> {
  const { evidence } = parts;
  const found = new Set<string>();
  let last = after;
  let isLast = false;
  for (let gathered = 0; gathered < GATHERED_SUBJECTS && !isLast; gathered += GATHERED_AT_ONCE) {
    stopIfAsked(parts);
    const page = { after: last, limit: GATHERED_AT_ONCE };
    const subjects = counties.length > 0 ? evidence.visitorsOf(counties[0]!, page) : evidence.residentsOf(residents[0]!, page);
    for (const subject of subjects) addHolders(found, subject, evidence);
    isLast = subjects.length < GATHERED_AT_ONCE;
    last = subjects.at(-1) ?? last;
    await turn();
  }
  const doneText = within ? keyText(within) : "";
  const holders = [...found].filter((holder) => holder > doneText).sort();
  const left = counties.length > 0 ? { counties: counties.slice(1), residents } : { counties, residents: residents.slice(1) };
  return { holders, next: isLast ? { ...left, after: null } : { counties, residents, after: last } };
}

function recomputeHolders(sequence: number, gathered: readonly string[], progress: BatchProgress, parts: ApplierParts): BatchProgress {
  const { evidence } = parts;
  return evidence.transaction((evidenceSequence) => {
    if (isApplied(sequence, evidence)) return evidence.progress(sequence)!;
    // Since they were gathered, two may have become one.
    const holders = new Set<string>();
    for (const text of gathered) addHolders(holders, keyOf(text), evidence);
    const entriesChanged = progress.entriesChanged + evaluateHolders(holders, evidenceSequence, parts);
    evidence.putProgress(sequence, { ...progress, entriesChanged });
    return { ...progress, entriesChanged };
  });
}

/** Lets others have their turn. */
async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
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
