// Retention: what of the evidence lies where, so that facts that are past can be removed with all their traces.
// Promises: a fact goes whole: its revisions, the marks that it moved, its place in the inverted index, which subject it was told of. A subject keeps its place in a county's
// index while a fact that is kept puts it there.
// Not here: which facts are past (policy), when that is looked at, and the entries (ingest). Holders stay: they are the register. Refutations stay too, and what they hang on.
//
// Databases that it walks or removes from: facts, subjects, stays, residents; it reads refuted. How far it has come lies in `retention`, under one name.

import type { Database, RootDatabase } from "lmdb";
import { BEGINNING, currentCounties, KEY_BYTES, keyOf, keyText, type CountyCode, type Fact, type FactKey, type HolderEvidence, type HolderKey, type Instant, type Residence, type SubjectKey, type Trip } from "../domain/index.ts";
import { decodeFact, isMoved, kindOf, knownFromOf } from "./factCodec.ts";
import { copyOf, endOf, type HolderStore } from "./holders.ts";

/** How far the removal of past facts has come. */
export interface RetentionRound {
  /** Decisions of before can't be replayed any more: facts that no verdict since then rests on are gone, or going. */
  readonly since: Instant;
  /** The last subject looked at; null: none yet. */
  readonly after: Uint8Array | null;
  readonly isDone: boolean;
  /** Facts removed in this round. */
  readonly facts: number;
}

/** A fact, and the keys that it lies under. */
export interface ToldFact {
  readonly subject: SubjectKey;
  readonly factKey: FactKey;
  readonly fact: Fact;
}

/** Everything known of one holder, by where it lies. */
export interface ToldEvidence extends HolderEvidence {
  readonly told: readonly ToldFact[];
}

export interface RetentionReader {
  /** Undefined: none has begun yet. */
  retention(): RetentionRound | undefined;
}

export interface RetentionStore extends RetentionReader {
  putRetention(round: RetentionRound): void;
  /** Whether a fact is there, in any revision. */
  isTold(factKey: FactKey): boolean;
  /** Subjects that facts were told of, ascending, behind `after`. */
  toldSubjects(options: { after: Uint8Array | null; limit: number }): SubjectKey[];
  /** What is known of one subject alone. */
  toldOf(subject: SubjectKey): ToldFact[];
  /** What is known of a holder. */
  toldOfHolder(holder: HolderKey): ToldEvidence;
  /**
   * Removes these facts of a subject, by keyText, and what nobody has seen since `since`: revisions that were outdone by then, facts that had moved to another subject.
   * Call inside a transaction. @returns how many facts it removed, and revisions beside.
   */
  purge(subject: SubjectKey, gone: ReadonlySet<string>, since: Instant): { facts: number; revisions: number };
}

export interface RetentionParts {
  readonly root: RootDatabase;
  readonly facts: Database<Uint8Array, Uint8Array>;
  readonly subjects: Database<Uint8Array, Uint8Array>;
  readonly refuted: Database<Uint8Array, Uint8Array>;
  readonly stays: Database<Uint8Array, Uint8Array>;
  readonly residents: Database<Uint8Array, Uint8Array>;
  readonly holders: HolderStore;
  readonly countyKey: (county: CountyCode, subject: Uint8Array) => Uint8Array;
}

const ROUND = "round";

export function createRetentionStore({ root, facts, subjects, refuted, stays, residents, holders, countyKey }: RetentionParts): RetentionStore {
  const rounds = root.openDB<RetentionRound, string>({ name: "retention", encoding: "msgpack" });

  /** The revisions of each fact of a subject, ascending. */
  const revisionsOf = (subject: Uint8Array): Map<string, { key: Uint8Array; value: Uint8Array }[]> => {
    const byFact = new Map<string, { key: Uint8Array; value: Uint8Array }[]>();
    for (const { key, value } of facts.getRange({ start: subject, end: endOf(subject) })) {
      const name = keyText(key.subarray(KEY_BYTES, 2 * KEY_BYTES));
      const revisions = byFact.get(name);
      const revision = { key: copyOf(key), value: copyOf(value) };
      if (revisions) revisions.push(revision);
      else byFact.set(name, [revision]);
    }
    return byFact;
  };

  const toldOf = (subject: SubjectKey): ToldFact[] => {
    const told: ToldFact[] = [];
    for (const [name, revisions] of revisionsOf(subject)) {
      const fact = decodeFact(revisions.at(-1)!.value);
      if (!fact) continue;
      const factKey = keyOf(name) as Uint8Array as FactKey;
      told.push({ subject, factKey, fact: fact.kind === "trip" ? { ...fact, told: { subject: keyText(subject), fact: name } } : fact });
      // A refutation that names no subject lies under the fact that it refutes.
      if (fact.kind === "trip" && refuted.doesExist(factKey)) told.push(...toldOf(factKey as Uint8Array as SubjectKey));
    }
    return told;
  };

  /** The places in the inverted index that a revision gives its subject. */
  const placesOf = (value: Uint8Array): { name: string; index: Database<Uint8Array, Uint8Array>; county: CountyCode }[] => {
    if (isMoved(value)) return [];
    const kind = kindOf(value);
    if (kind !== "trip" && kind !== "residence") return [];
    const index = kind === "trip" ? stays : residents;
    return currentCounties((decodeFact(value) as Trip | Residence).county).map((county) => ({ name: `${kind} ${county}`, index, county }));
  };

  return {
    retention: () => rounds.get(ROUND),
    putRetention(round) {
      rounds.putSync(ROUND, round);
    },
    isTold: (factKey) => subjects.doesExist(factKey),

    toldSubjects({ after, limit }) {
      const found: SubjectKey[] = [];
      let start = after && endOf(after);
      while (found.length < limit) {
        const [key] = facts.getKeys({ ...(start ? { start } : {}), limit: 1 });
        if (!key) break;
        const subject = copyOf(key.subarray(0, KEY_BYTES)) as SubjectKey;
        found.push(subject);
        start = endOf(subject);
      }
      return found;
    },

    toldOf,
    toldOfHolder(holder) {
      const record = holders.record(holder);
      const told = [...(record?.documents ?? [holder]), ...(record?.phones ?? [])].flatMap(toldOf);
      return { registered: record !== undefined, facts: told.map(({ fact }) => fact), told };
    },

    purge(subject, gone, since) {
      const kept: Uint8Array[] = [];
      const removed: Uint8Array[] = [];
      let factsGone = 0;
      for (const [name, revisions] of revisionsOf(subject)) {
        const newest = revisions.at(-1)!.value;
        const isGone = gone.has(name) || (isMoved(newest) && knownFromOf(newest) <= since);
        const outdone = isGone ? revisions.length : Math.max(0, revisions.findLastIndex(({ value }) => knownFromOf(value) <= since));
        for (const { key, value } of revisions.slice(0, outdone)) {
          facts.removeSync(key);
          removed.push(value);
        }
        for (const { value } of revisions.slice(outdone)) kept.push(value);
        if (!isGone) continue;
        factsGone++;
        const factKey = keyOf(name);
        const teller = subjects.get(factKey)?.subarray(0, KEY_BYTES);
        if (teller && Buffer.compare(teller, subject) === 0) subjects.removeSync(factKey);
      }
      const places = new Set(kept.flatMap(placesOf).map(({ name }) => name));
      for (const { name, index, county } of removed.flatMap(placesOf)) if (!places.has(name)) index.removeSync(countyKey(county, subject));
      return { facts: factsGone, revisions: removed.length };
    },
  };
}

/** Whether everything known by an instant can still be told. */
export function isStillKnown(evidence: RetentionReader, at: Instant): boolean {
  return at >= (evidence.retention()?.since ?? BEGINNING);
}
