// Changes that can hit many holders at once (rules, risk lists, infections, screenings): what each would do, whether it is held, who decided, and which rules were in force
// when.
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
  /** How many holders it would hit, as measured before it was applied. */
  readonly report: unknown;
  readonly decisions: readonly ChangeDecision[];
  /** Risk lists in it, by id. */
  readonly publications: readonly string[];
  /** What is to be applied on release, as it lay in the inbox. */
  readonly rows: readonly unknown[];
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
  /** Newest first. */
  changes(options: { limit: number; state?: ChangeState }): ChangeRecord[];
  /** Every pack that was in force, oldest first. */
  packs(): AppliedPack[];
  /** The rules in force at `at`: the first pack counts for the time before it too. Undefined: none has been put in force yet. */
  packAt(at: Instant): AppliedPack | undefined;
}

export interface ChangeStore extends ChangeReader {
  putChange(record: ChangeRecord): void;
  /** Call inside a transaction. @returns the pack as it is kept. */
  putPack(pack: Omit<AppliedPack, "number">): AppliedPack;
}

export function createChangeStore(root: RootDatabase): ChangeStore {
  const changes = root.openDB<ChangeRecord, number>({ name: "changes", encoding: "msgpack" });
  const packs = root.openDB<AppliedPack, number>({ name: "packs", encoding: "msgpack" });
  const allPacks = (): AppliedPack[] => [...packs.getRange({})].map(({ value }) => value);
  return {
    change: (id) => changes.get(id),
    changes({ limit, state }) {
      const found: ChangeRecord[] = [];
      for (const { value } of changes.getRange({ reverse: true })) {
        if (state === undefined || value.state === state) found.push(value);
        if (found.length >= limit) break;
      }
      return found;
    },
    packs: allPacks,
    packAt(at) {
      const all = allPacks();
      return all.findLast((p) => p.from <= at) ?? all[0];
    },
    putChange(record) {
      changes.putSync(record.id, record);
    },
    putPack(pack) {
      const number = 1 + ([...packs.getKeys({ reverse: true, limit: 1 })][0] ?? 0);
      packs.putSync(number, { ...pack, number });
      return { ...pack, number };
    },
  };
}
