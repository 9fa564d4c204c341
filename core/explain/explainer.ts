// Evidence, region history and rules, of now or of an instant, put together for an explanation.
// Promises: a past decision is laid out from what was known then, with the rules and the risk history of that day; nothing is written.
// Not here: the words (policy), who may ask (server.ts).

import { formatInstant, type DocumentKey, type Instant } from "../domain/index.ts";
import { isStillKnown, type EvidenceReader } from "../evidence/index.ts";
import { createEvaluator, explain, parsePack, type Evaluator, type Explanation, type PolicyPack } from "../policy/index.ts";

export interface Explainer {
  /** @param at replay the decision of this instant; null: as of now. @throws ExplainError */
  explain(document: DocumentKey, at: Instant | null, now: Instant): Explanation;
}

/** Nothing can be explained; the message says why. */
export class ExplainError extends Error {
  override name = "ExplainError";
}

export function createExplainer(evidence: EvidenceReader): Explainer {
  const packs = new Map<string, PolicyPack>();
  let current: Evaluator | undefined;

  const packAt = (at: Instant): PolicyPack => {
    const applied = evidence.packAt(at);
    if (!applied) throw new ExplainError("no rules have been put in force yet: the worker has never run on this folder");
    let pack = packs.get(applied.fingerprint);
    if (!pack) packs.set(applied.fingerprint, (pack = parsePack(applied.text, `pack ${applied.number}`)));
    return pack;
  };

  return {
    explain(document, at, now) {
      if (at !== null && at > now) throw new ExplainError(`at lies in the future: it is ${formatInstant(now)} here`);
      if (at !== null && !isStillKnown(evidence, at)) {
        const { since } = evidence.retention()!;
        throw new ExplainError(`lies before what is still known: facts that no rule looks back on any more are removed, and decisions can be explained since ${formatInstant(since)}`);
      }
      if (at !== null) {
        const pack = packAt(at);
        const regions = evidence.regions.historyAt(at);
        const holder = evidence.holderAt(document, at);
        const verdict = createEvaluator(pack, regions).evaluate(holder.evidence);
        // What is known of regions matters to whoever was or lives somewhere.
        const isSomewhere = holder.evidence.facts.some(({ kind }) => kind === "trip" || kind === "residence");
        return explain({ verdict, pack, at, asKnownAt: true, restsOnHistory: holder.restsOnHistory || (isSomewhere && regions.restsOnHistory) });
      }
      evidence.regions.refresh();
      const pack = packAt(now);
      if (current?.pack !== pack) current = createEvaluator(pack, evidence.regions);
      const verdict = current.evaluate(evidence.holder(evidence.holdersOf(document)[0]!).evidence);
      return explain({ verdict, pack, at: now, asKnownAt: false });
    },
  };
}
