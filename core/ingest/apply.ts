// Applying a batch: rows from the inbox -> evidence -> verdicts -> entries.
// Promises: evidence is read, evaluated and written inside one write transaction, so that a batch applied twice, or beside its twin, never puts an
// older verdict over a newer one; a batch cut off anywhere goes on where its entries are safely on disk.
// Not here: who calls (worker.ts), what a fact means (policy).

import { isRefusal, keyOf, keyText, type Clock, type CountyCode, type DocumentKey, type Instant, type SubjectKey } from "../domain/index.ts";
import { encodeEntry, entryOf, sameContent, type EntryWriter } from "../entry/index.ts";
import type { BatchProgress, EvidenceWriter } from "../evidence/index.ts";
import type { Evaluator, PolicyPack } from "../policy/index.ts";
import type { BlastLimits, Reach } from "./blastRadius.ts";
import type { InboxRow } from "./facts.ts";
import { changeText, isGuarded, planChange, putDecision } from "./guarded.ts";
import type { BatchHeader, InboxReader } from "./inbox.ts";

export interface ApplierParts {
  readonly inbox: InboxReader;
  readonly evidence: EvidenceWriter;
  readonly entries: EntryWriter;
  /** Under the rules in force; `adopt` puts another in its place. */
  readonly evaluator: Evaluator;
  /** Called when other rules have been put in force. */
  readonly adopt: (pack: PolicyPack) => void;
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

/** Visitors of a county evaluated anew in one transaction. */
const RECOMPUTE_SUBJECTS = 500;
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
  const step = async (next: BatchProgress): Promise<void> => {
    progress = next;
    await evidence.flushed();
    await entries.flushed();
  };
  if (isGuarded(header.feed) && progress.chunksDone === 0) await step(await parts.exclusively(() => applyGuarded(header, progress, parts)));
  // A twin of this run may have come to the end meanwhile.
  const isOpen = (): boolean => progress.appliedMs === null;
  while (isOpen() && progress.chunksDone < header.chunks) {
    stopIfAsked(parts);
    const apply = (): BatchProgress => applyChunk(sequence, inbox.chunk(sequence, progress.chunksDone), progress, parts);
    await step(header.feed === "decisions" ? await parts.exclusively(() => Promise.resolve(apply())) : apply());
  }
  while (isOpen() && isLeft(progress.recompute)) {
    stopIfAsked(parts);
    await step(recomputeSome(sequence, progress, parts));
  }
  // Only who may have changed the rules waits until all entries are computed under them.
  const reevaluated = header.feed === "packs" || header.feed === "decisions" ? await parts.reevaluate() : 0;
  evidence.transaction(() => {
    if (!isApplied(sequence, evidence)) evidence.putProgress(sequence, { ...progress, entriesChanged: progress.entriesChanged + reevaluated, appliedMs: clock.nowMs() });
  });
  await evidence.flushed();
}

function isLeft({ counties, residents = [] }: BatchProgress["recompute"]): boolean {
  return counties.length > 0 || residents.length > 0;
}

function stopIfAsked({ isStopping }: Pick<ApplierParts, "isStopping">): void {
  if (isStopping()) throw new StoppedError("stopped between two steps");
}

/** Measures what a change of rules or regions would do, and puts it or holds it; in one step, whatever its size. */
async function applyGuarded(header: BatchHeader, progress: BatchProgress, parts: ApplierParts): Promise<BatchProgress> {
  const { inbox, evidence, entries, evaluator, clock, limits } = parts;
  const rows = Array.from({ length: header.chunks }, (_, i) => inbox.chunk(header.sequence, i)).flat();
  const now = (): Instant => Math.floor(clock.nowMs() / 1000);
  const between = async (): Promise<void> => {
    stopIfAsked(parts);
    await new Promise((resolve) => setImmediate(resolve));
  };
  // A run before this one may have put it and died before that was written down.
  const plan = evidence.change(header.sequence) ? undefined : await planChange(header, rows, { evidence, entries, evaluator, limits, now, between });
  const { after, put } = evidence.transaction(() => {
    const put = plan?.put();
    const after = withReach(progress, put?.aftermath);
    evidence.putProgress(header.sequence, after);
    return { after, put };
  });
  if (put?.record.state === "held") parts.say(changeText(put.record));
  if (put?.aftermath.pack) parts.adopt(put.aftermath.pack);
  return { ...after, chunksDone: header.chunks };
}

/** Whom is left to evaluate anew, with those whom a change concerns. */
function withReach(progress: BatchProgress, reach: Reach | undefined): BatchProgress {
  const { counties, residents = [] } = progress.recompute;
  const join = (a: readonly CountyCode[], b: readonly CountyCode[] = []): CountyCode[] => [...new Set([...a, ...b])].sort((x, y) => x - y);
  return { ...progress, recompute: { counties: join(counties, reach?.counties), residents: join(residents, reach?.residents), after: null } };
}

/** Inside a transaction: a twin of this run may have come to the end meanwhile, and its word is the last. */
function isApplied(sequence: number, evidence: EvidenceWriter): boolean {
  return (evidence.progress(sequence)?.appliedMs ?? null) !== null;
}

/** Holders evaluated anew in one transaction when the rules have changed. */
const REEVALUATE_DOCUMENTS = 500;

/**
 * Evaluates every holder anew when the entries were computed under other rules than those in force; does nothing when they weren't. Begins again when the rules change
 * meanwhile; cut off, it begins again at the next start. @returns how many entries changed.
 */
export async function reevaluateAll(parts: Omit<ApplierParts, "reevaluate">): Promise<number> {
  const { evidence, entries } = parts;
  // A text that was in force before and came back has another number: entries may be half under what lay between.
  const inForce = (): string => `${evidence.packNumber()} ${parts.evaluator.pack.fingerprint}`;
  let changed = 0;
  for (let rules = inForce(); evidence.evaluatedUnder() !== rules; rules = inForce()) {
    let after: DocumentKey | null = null;
    for (;;) {
      stopIfAsked(parts);
      const documents = entries.documents({ after, limit: REEVALUATE_DOCUMENTS });
      changed += evidence.transaction((evidenceSequence) => {
        const holders = new Set<string>();
        for (const document of documents) addHolders(holders, document, evidence);
        const inThese = evaluateHolders(holders, evidenceSequence, parts);
        if (documents.length < REEVALUATE_DOCUMENTS && inForce() === rules) evidence.putEvaluatedUnder(rules);
        return inThese;
      });
      await entries.flushed(); // lets others have their turn
      if (documents.length < REEVALUATE_DOCUMENTS || inForce() !== rules) break;
      after = documents.at(-1)!;
    }
    await evidence.flushed();
  }
  return changed;
}

/** Lets one run at a time; whoever asks meanwhile gets the same. */
export function createReevaluation(parts: Omit<ApplierParts, "reevaluate">): () => Promise<number> {
  let running: Promise<number> | undefined;
  return () => (running ??= reevaluateAll(parts).finally(() => (running = undefined)));
}

/** Puts one chunk's facts and decisions, and evaluates whom they concern. */
function applyChunk(sequence: number, rows: readonly InboxRow[], progress: BatchProgress, parts: ApplierParts): BatchProgress {
  const { evidence } = parts;
  const packs: PolicyPack[] = [];
  const next = evidence.transaction((evidenceSequence) => {
    if (isApplied(sequence, evidence)) return evidence.progress(sequence)!;
    // Who owns a subject is asked when all rows are in: a later row may have made two holders one.
    const subjects = new Set<string>();
    let after = progress;
    for (const [i, row] of rows.entries()) {
      if (row.type === "holder") subjects.add(keyText(evidence.putHolder(row.documents, row.phones, row)));
      else if (row.type === "fact") evidence.putFact(row.subject, row.factKey, row.fact).forEach((s) => subjects.add(keyText(s)));
      else if (row.type === "decision") {
        const name = `${sequence}/${progress.chunksDone}/${i}`;
        // Said when this step was taken before, and cut off.
        if (after.faults?.some((fault) => fault.row === name)) continue;
        const result = putDecision(row.decision, name, parts);
        if (isRefusal(result)) {
          after = { ...after, faults: [...(after.faults ?? []), { row: name, ...result }] };
          parts.say(`a decision to ${row.decision.action} had no effect: ${result.field} ${result.reason}`);
          continue;
        }
        after = withReach(after, result);
        if (result.pack) packs.push(result.pack);
      } else throw new Error(`a row of type ${row.type} came by a feed that is not its own`);
    }
    const holders = new Set<string>();
    for (const subject of subjects) addHolders(holders, keyOf(subject), evidence);
    after = { ...after, entriesChanged: after.entriesChanged + evaluateHolders(holders, evidenceSequence, parts) };
    evidence.putProgress(sequence, after);
    return { ...after, chunksDone: progress.chunksDone + 1 };
  });
  packs.forEach(parts.adopt);
  return next;
}

/** Evaluates the next visitors of the first county on the list; when no visitors are left, residents. */
function recomputeSome(sequence: number, progress: BatchProgress, parts: ApplierParts): BatchProgress {
  const { evidence } = parts;
  const { counties, residents = [], after } = progress.recompute;
  return evidence.transaction((evidenceSequence) => {
    if (isApplied(sequence, evidence)) return evidence.progress(sequence)!;
    const page = { after, limit: RECOMPUTE_SUBJECTS };
    const subjects = counties.length > 0 ? evidence.visitorsOf(counties[0]!, page) : evidence.residentsOf(residents[0]!, page);
    const holders = new Set<string>();
    for (const subject of subjects) addHolders(holders, subject, evidence);
    const entriesChanged = progress.entriesChanged + evaluateHolders(holders, evidenceSequence, parts);
    evidence.putProgress(sequence, { ...progress, entriesChanged });
    const isLast = subjects.length < RECOMPUTE_SUBJECTS;
    const left = counties.length > 0 ? { counties: counties.slice(1), residents } : { counties, residents: residents.slice(1) };
    const recompute = isLast ? { ...left, after: null } : { counties, residents, after: subjects.at(-1)! };
    return { ...progress, entriesChanged, recompute };
  });
}

function addHolders(holders: Set<string>, subject: SubjectKey, evidence: EvidenceWriter): void {
  for (const holder of evidence.holdersOf(subject)) holders.add(keyText(holder));
}

/** Writes the entries of these holders where they differ from what is there. @returns how many entries changed. */
function evaluateHolders(holders: Iterable<string>, evidenceSequence: number, parts: Omit<ApplierParts, "reevaluate">): number {
  const { evidence, entries, evaluator, clock, onChange } = parts;
  const nowMs = clock.nowMs();
  const origin = { evidenceSequence, policyId: evaluator.pack.id, regionRevision: evidence.regions.revision() };
  let changed = 0;
  entries.transaction(() => {
    for (const text of holders) {
      const holder = evidence.holder(keyOf(text));
      const record = encodeEntry(entryOf(evaluator.evaluate(holder.evidence), origin, Math.floor(nowMs / 1000)));
      for (const document of holder.documents) {
        const before = entries.get(document);
        if (before && sameContent(before, record)) continue;
        entries.put(document, record);
        changed++;
      }
    }
  });
  if (changed > 0) onChange(nowMs);
  return changed;
}
