// Removing what is past, from the evidence and from the entries: a round a day through everybody, a few at a time between other work.
// Promises: what is removed changes no answer from the first instant on that can still be replayed; a round that is cut off goes on where it was; whoever's facts went is
// evaluated anew in the same transaction, so that no entry shows what no fact says any more.
// Not here: which facts are past (policy), where they lie (evidence), the bytes that a file still holds (ops: compact).

import { dayOf, keyOf, keyText, now, startOfDay, type Fact, type Instant, type SubjectKey } from "../domain/index.ts";
import { createEvaluator, createRetention, parsePack, type Evaluator, type Retention } from "../policy/index.ts";
import { addHolders, evaluateHolders, type ApplierParts } from "./apply.ts";

/** So long past decisions can be replayed from what was known then. */
export const REPLAYED_DAYS = 30;
export const REPLAYED_S = REPLAYED_DAYS * 86_400;

/** Subjects looked at in one transaction. */
const SUBJECTS = 200;

type PurgeParts = Omit<ApplierParts, "reevaluate">;

export interface Purge {
  /** Does what is due: begins the day's round, or goes on with one that was cut off. @returns the facts that the round removed; undefined: nothing is due, or it was stopped. */
  run(): Promise<number | undefined>;
}

export function createPurge(parts: PurgeParts): Purge {
  const { evidence, entries, clock, isStopping } = parts;
  let known: { readonly packs: string; readonly retention: Retention } | undefined;

  /** Under the rules in force and those that were so at any instant since. */
  const retentionSince = (since: Instant): Retention => {
    const packs = evidence.packs();
    const lately = packs.filter(({ number }, i) => number !== parts.packNumber && (packs[i + 1]?.from ?? Infinity) > since);
    const names = [parts.packNumber, ...lately.map(({ number }) => number)].join(" ");
    if (known?.packs !== names) {
      const evaluators: Evaluator[] = [parts.evaluator, ...lately.map(({ number, text }) => createEvaluator(parsePack(text, `pack ${number}`), evidence.regions))];
      known = { packs: names, retention: createRetention(evaluators) };
    }
    return known.retention;
  };

  /** Looks at the next subjects in one transaction. @returns whether the round has come to its end. */
  const step = (): boolean =>
    evidence.transaction((evidenceSequence) => {
      const round = evidence.retention()!;
      const retention = retentionSince(round.since);
      const subjects = evidence.toldSubjects({ after: round.after, limit: SUBJECTS });
      const holders = new Set<string>();
      let facts = 0;
      for (const subject of subjects) {
        const gone = evidence.purge(subject, pastOf(subject, round.since, retention, parts), round.since);
        facts += gone.facts;
        if (gone.revisions > 0) addHolders(holders, subject, evidence);
      }
      evaluateHolders(holders, evidenceSequence, parts);
      entries.transaction(() => removeStrangers(holders, parts));
      const isDone = subjects.length < SUBJECTS;
      evidence.putRetention({ ...round, after: isDone ? null : subjects.at(-1)!, isDone, facts: round.facts + facts });
      return isDone;
    });

  return {
    async run() {
      const since = startOfDay(dayOf(now(clock))) - REPLAYED_S;
      const before = evidence.retention();
      if (before?.isDone !== false) {
        if (before && since <= before.since) return undefined;
        evidence.transaction(() => evidence.putRetention({ since, after: null, isDone: false, facts: 0 }));
      }
      for (let isDone = false; !isDone; ) {
        if (isStopping()) return undefined;
        isDone = await parts.turn({ kind: "fan-out", source: "" }, step);
        await evidence.flushed();
        await entries.flushed();
      }
      return evidence.retention()!.facts;
    },
  };
}

/** The facts told of a subject that are past for all whom they concern, by keyText. */
function pastOf(subject: SubjectKey, since: Instant, retention: Retention, { evidence }: PurgeParts): Set<string> {
  const told = evidence.toldOf(subject);
  if (!told.some(({ fact }) => retention.isPast(fact, since))) return new Set();
  const holders = evidence.holdersOf(subject);
  // A phone that no holder has yet: what was told of it stands alone.
  const all = holders.length > 0 ? holders.map((holder) => evidence.toldOfHolder(holder)) : [{ registered: false, facts: told.map(({ fact }) => fact), told }];
  const pastFor = all.map((one) => {
    const past: ReadonlySet<Fact> = retention.pastFacts(one, since);
    return new Set(one.told.filter((t) => past.has(t.fact) && Buffer.compare(t.subject, subject) === 0).map(({ factKey }) => keyText(factKey)));
  });
  return pastFor.reduce((one, other) => one.intersection(other));
}

/** Of whom nothing is known any more, nor any row has told, there is no entry: they are answered as anybody unknown. */
function removeStrangers(holders: Iterable<string>, { evidence, entries }: PurgeParts): void {
  for (const text of holders) {
    const { documents, evidence: left } = evidence.holder(keyOf(text));
    if (!left.registered && left.facts.length === 0) documents.forEach((document) => entries.remove(document));
  }
}
