// What the worker has before it, for an operator: read from the stores, so that it can be seen with or without a service that runs.

import type { BatchFailure, EvidenceReader } from "../evidence/index.ts";
import { isDead } from "./failures.ts";
import { openInboxReader, type BatchHeader } from "./inbox.ts";

/** A batch that is not applied. */
export interface Job {
  readonly header: BatchHeader;
  /** `active`: some of it is applied, or has been tried. */
  readonly state: "waiting" | "active" | "dead";
  readonly chunksDone: number;
  /** Counties whose visitors or residents are still to be evaluated anew, and how many of these phones and documents are left and done; null: none are. */
  readonly fanOut: { readonly counties: number; readonly left: number; readonly done: number } | null;
  readonly failure: BatchFailure | null;
}

/** Batches that are not applied, the oldest first. `evidence` is undefined while the worker has not made its store. */
export async function readJobs(inboxFolder: string, evidence: EvidenceReader | undefined): Promise<Job[]> {
  const inbox = openInboxReader(inboxFolder);
  try {
    return inbox.pending().flatMap((sequence) => jobOf(inbox.header(sequence)!, evidence) ?? []);
  } finally {
    await inbox.close();
  }
}

function jobOf(header: BatchHeader, evidence: EvidenceReader | undefined): Job | undefined {
  const progress = evidence?.progress(header.sequence);
  if (!progress) return { header, state: "waiting", chunksDone: 0, fanOut: null, failure: null };
  if (progress.appliedMs !== null) return undefined;
  const { recompute, fanOut, chunksDone, failure = null } = progress;
  const counties = recompute.counties.length + (recompute.residents?.length ?? 0);
  return {
    ...{ header, chunksDone, failure, state: isDead(progress) ? "dead" : "active" },
    fanOut: fanOut && counties > 0 ? { counties, left: fanOut.subjects - fanOut.done, done: fanOut.done } : null,
  };
}
