// Changes that can hit many holders at once (rules, risk lists, infections, screenings): what each would do, whether it is held, who decided, and which rules were in force
// when; and the limits that the worker holds them to.
// Promises: nothing is overwritten but a change's state; the rules in force at any instant can be told.
// Not here: measuring (ingest), and what a held risk list does to the history (regions.ts).

import type { RootDatabase } from "lmdb";
import type { Instant } from "../domain/index.ts";

/** `held`: the old state stays in force until somebody decides or a newer change takes its place. */
export type ChangeState = "applied" | "held" | "rejected" | "superseded" | "rolled-back";

export interface ChangeDecision {
  readonly action: string;
  readonly authority: string;
  readonly ground: string;
  readonly at: Instant;
}

export interface ChangeRecord {
  /** Sequence of the batch that brought it. */
  readonly id: number;
  readonly kind: "regions" | "pack";
  readonly source: string;
  readonly feed: string;
  readonly batch: string;
  readonly at: Instant;
  readonly state: ChangeState;
  /** Why it is or was held, in words for an operator. */
  readonly reasons: readonly string[];
  /** What of it has no effect, in words for an operator. */
  readonly note?: string;
  /** How many holders it would hit, as measured before it was applied. */
  readonly report: unknown;
  /** The same by flag and to the last holder, not to be told: what a release is compared with. Absent in changes from before it was. */
  readonly counts?: FlagCounts;
  readonly decisions: readonly ChangeDecision[];
  /** Risk lists in it, by id. */
  readonly publications: readonly string[];
}

/** By flag how many holders gain it, lose it, and of these don't have it any more at all. */
export type FlagCounts = Readonly<Record<string, { readonly gains: number; readonly losses: number; readonly freed: number }>>;

/** Above which share of all holders a change is held, and the least number of holders that counts as a crowd. */
export interface BlastLimits {
  readonly gainShareMax: number;
  readonly lossShareMax: number;
  readonly crowdHolders: number;
}

/** A pack that was put in force. */
export interface AppliedPack {
  readonly number: number;
  readonly name: string;
  readonly text: string;
  readonly fingerprint: string;
  readonly from: Instant;
  /** The change that brought it; null: the service began with it. */
  readonly change: number | null;
}

export interface ChangeReader {
  change(id: number): ChangeRecord | undefined;
  /** What is to be applied when a held change is released, as it lay in the inbox. */
  changeRows(id: number): readonly unknown[];
  /** Newest first; those that are held are found at once, however many others there are. */
  changes(options: { limit: number; state?: "held" }): ChangeRecord[];
  heldChanges(): number;
  /** The changes that brought a risk list. */
  changesOf(publication: string): ChangeRecord[];
  /** Of the newest pack; 0: none has been put in force yet. Never the same twice, also when an older text comes back. */
  packNumber(): number;
  /** Every pack that was in force, oldest first. */
  packs(): AppliedPack[];
  /** The rules in force at `at`: the first pack counts for the time before it too. Undefined: none has been put in force yet. */
  packAt(at: Instant): AppliedPack | undefined;
  /** What the worker holds changes to; undefined: none has run yet. */
  limits(): BlastLimits | undefined;
}

export interface ChangeStore extends ChangeReader {
  /** @param rows what is to be applied on release; empty: nothing, or it lies elsewhere. */
  putChange(record: ChangeRecord, rows: readonly unknown[]): void;
  /** Call inside a transaction. @returns the pack as it is kept. */
  putPack(pack: Omit<AppliedPack, "number">): AppliedPack;
  putLimits(limits: BlastLimits): void;
}

const LIMITS = "inForce";

export function createChangeStore(root: RootDatabase): ChangeStore {
  const changes = root.openDB<ChangeRecord, number>({ name: "changes", encoding: "msgpack" });
  const rowsDb = root.openDB<readonly unknown[], number>({ name: "changeRows", encoding: "msgpack" });
  const held = root.openDB<boolean, number>({ name: "changesHeld", encoding: "json" });
  const byPublication = root.openDB<readonly number[], string>({ name: "changesOfPublications", encoding: "json" });
  const packs = root.openDB<AppliedPack, number>({ name: "packs", encoding: "msgpack" });
  const limits = root.openDB<BlastLimits, string>({ name: "limits", encoding: "json" });
  const allPacks = (): AppliedPack[] => [...packs.getRange({})].map(({ value }) => value);
  const packNumber = (): number => [...packs.getKeys({ reverse: true, limit: 1 })][0] ?? 0;
  const newest = (ids: Iterable<number>): ChangeRecord[] => [...ids].map((id) => changes.get(id)!);
  return {
    change: (id) => changes.get(id),
    changeRows: (id) => rowsDb.get(id) ?? [],
    changes: ({ limit, state }) => newest((state === "held" ? held : changes).getKeys({ reverse: true, limit })),
    heldChanges: () => (held.getStats() as { entryCount: number }).entryCount,
    changesOf: (publication) => newest(byPublication.get(publication) ?? []),
    packNumber,
    packs: allPacks,
    packAt(at) {
      const all = allPacks();
      return all.findLast((p) => p.from <= at) ?? all[0];
    },
    limits: () => limits.get(LIMITS),
    putLimits(inForce) {
      limits.putSync(LIMITS, inForce);
    },
    putChange(record, rows) {
      changes.putSync(record.id, record);
      if (rows.length > 0) rowsDb.putSync(record.id, rows);
      else rowsDb.removeSync(record.id);
      if (record.state === "held") held.putSync(record.id, true);
      else held.removeSync(record.id);
      for (const publication of record.publications) {
        const ids = byPublication.get(publication) ?? [];
        if (!ids.includes(record.id)) byPublication.putSync(publication, [...ids, record.id]);
      }
    },
    putPack(pack) {
      const number = 1 + packNumber();
      packs.putSync(number, { ...pack, number });
      return { ...pack, number };
    },
  };
}
