// Applying a batch: rows from the inbox -> evidence -> verdicts -> entries.
// Promises: evidence is read, evaluated and written inside one write transaction, so that a batch applied twice, or beside its twin, never puts an
// older verdict over a newer one; a batch cut off anywhere goes on where its entries are safely on disk.
// Not here: who calls (worker.ts), what a fact means (policy).

import { keyOf, keyText, type Clock, type CountyCode, type DocumentKey, type SubjectKey } from "../domain/index.ts";
import { encodeEntry, entryOf, sameContent, type EntryWriter } from "../entry/index.ts";
import type { BatchProgress, EvidenceWriter } from "../evidence/index.ts";
import type { Evaluator } from "../policy/index.ts";
import type { InboxRow } from "./facts.ts";
import type { InboxReader } from "./inbox.ts";

export interface ApplierParts {
  readonly inbox: InboxReader;
  readonly evidence: EvidenceWriter;
  readonly entries: EntryWriter;
  readonly evaluator: Evaluator;
  readonly clock: Clock;
  /** Told after each change of entries, milliseconds of the service's clock. */
  readonly onChange: (atMs: number) => void;
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

/** Applies a batch to its end. Does nothing when it has been applied. */
export async function applyBatch(sequence: number, parts: ApplierParts): Promise<void> {
  const { inbox, evidence, entries, clock } = parts;
  const header = inbox.header(sequence);
  if (!header) throw new Error(`the inbox has no batch ${sequence}`);
  let progress = evidence.progress(sequence) ?? NOTHING_DONE;
  if (progress.appliedMs !== null) return;

  // Each step writes down only what was on disk *before* it, so that a crash or a power cut repeats at most one step and never skips one.
  while (progress.appliedMs === null && progress.chunksDone < header.chunks) {
    if (parts.isStopping()) throw new StoppedError("stopped between two steps");
    progress = applyChunk(sequence, inbox.chunk(sequence, progress.chunksDone), progress, parts);
    await evidence.flushed();
    await entries.flushed();
  }
  while (progress.appliedMs === null && progress.recompute.counties.length > 0) {
    if (parts.isStopping()) throw new StoppedError("stopped between two steps");
    progress = recomputeSome(sequence, progress, parts);
    await evidence.flushed();
    await entries.flushed();
  }
  evidence.transaction(() => {
    if (!isApplied(sequence, evidence)) evidence.putProgress(sequence, { ...progress, appliedMs: clock.nowMs() });
  });
  await evidence.flushed();
}

/** Inside a transaction: a twin of this run may have come to the end meanwhile, and its word is the last. */
function isApplied(sequence: number, evidence: EvidenceWriter): boolean {
  return (evidence.progress(sequence)?.appliedMs ?? null) !== null;
}

/** Holders evaluated anew in one transaction when the rules have changed. */
const REEVALUATE_DOCUMENTS = 500;

/**
 * Evaluates every holder anew when the entries were computed under other rules than the evaluator's; does nothing when they weren't. Cut off, it begins
 * again at the next start. @returns how many entries changed.
 */
export async function reevaluateAll(parts: ApplierParts): Promise<number> {
  const { evidence, entries, evaluator } = parts;
  if (evidence.policyFingerprint() === evaluator.pack.fingerprint) return 0;
  let changed = 0;
  let after: DocumentKey | null = null;
  for (;;) {
    if (parts.isStopping()) throw new StoppedError("stopped between two steps");
    const documents = entries.documents({ after, limit: REEVALUATE_DOCUMENTS });
    changed += evidence.transaction((evidenceSequence) => {
      const holders = new Set<string>();
      for (const document of documents) addHolders(holders, document, evidence);
      return evaluateHolders(holders, evidenceSequence, parts);
    });
    await entries.flushed();
    if (documents.length < REEVALUATE_DOCUMENTS) break;
    after = documents.at(-1)!;
  }
  evidence.transaction(() => {
    evidence.putPolicyFingerprint(evaluator.pack.fingerprint);
  });
  await evidence.flushed();
  return changed;
}

/** Puts one chunk's facts and evaluates whom they concern. */
function applyChunk(sequence: number, rows: readonly InboxRow[], progress: BatchProgress, parts: ApplierParts): BatchProgress {
  const { evidence } = parts;
  return evidence.transaction((evidenceSequence) => {
    if (isApplied(sequence, evidence)) return evidence.progress(sequence)!;
    // Who owns a subject is asked when all rows are in: a later row may have made two holders one.
    const subjects = new Set<string>();
    const counties = new Set<CountyCode>(progress.recompute.counties);
    const infections: Extract<InboxRow, { type: "infection" }>[] = [];
    for (const row of rows) {
      if (row.type === "holder") subjects.add(keyText(evidence.putHolder(row.documents, row.phones)));
      else if (row.type === "fact") evidence.putFact(row.subject, row.factKey, row.fact).forEach((s) => subjects.add(keyText(s)));
      else if (row.type === "infection") infections.push(row);
      else evidence.regions.putPublication({ ...row.publication, counties: new Map(row.publication.counties) }).forEach((c) => counties.add(c));
    }
    if (infections.length > 0) evidence.regions.putInfections(infections).forEach((c) => counties.add(c));
    const holders = new Set<string>();
    for (const subject of subjects) addHolders(holders, keyOf(subject), evidence);
    const changed = evaluateHolders(holders, evidenceSequence, parts);
    const after: BatchProgress = {
      ...progress,
      entriesChanged: progress.entriesChanged + changed,
      recompute: { counties: [...counties].filter((c) => parts.evaluator.mayMatter(c)).sort((a, b) => a - b), after: null },
    };
    evidence.putProgress(sequence, after);
    return { ...after, chunksDone: progress.chunksDone + 1 };
  });
}

/** Evaluates the next visitors of the first county on the list. */
function recomputeSome(sequence: number, progress: BatchProgress, parts: ApplierParts): BatchProgress {
  const { evidence } = parts;
  const [county, ...others] = progress.recompute.counties;
  return evidence.transaction((evidenceSequence) => {
    if (isApplied(sequence, evidence)) return evidence.progress(sequence)!;
    const visitors = evidence.visitorsOf(county!, { after: progress.recompute.after, limit: RECOMPUTE_SUBJECTS });
    const holders = new Set<string>();
    for (const subject of visitors) addHolders(holders, subject, evidence);
    const entriesChanged = progress.entriesChanged + evaluateHolders(holders, evidenceSequence, parts);
    evidence.putProgress(sequence, { ...progress, entriesChanged });
    const isLast = visitors.length < RECOMPUTE_SUBJECTS;
    const recompute = isLast ? { counties: others, after: null } : { counties: progress.recompute.counties, after: visitors.at(-1)! };
    return { ...progress, entriesChanged, recompute };
  });
}

function addHolders(holders: Set<string>, subject: SubjectKey, evidence: EvidenceWriter): void {
  for (const holder of evidence.holdersOf(subject)) holders.add(keyText(holder));
}

/** Writes the entries of these holders where they differ from what is there. @returns how many entries changed. */
function evaluateHolders(holders: Iterable<string>, evidenceSequence: number, parts: ApplierParts): number {
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
