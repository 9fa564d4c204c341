// Held against everything that was acknowledged: is each fact in the evidence, and does each entry say what a fresh evaluation says?
// The other side is a second evidence store, into which each acknowledged row is put once, in an order of its own, without any process that dies, without inbox, queue
// and plan; then every document's holder is evaluated from it. A row counts as known since the earliest arrival that the service told of, as it must have.
// Compared is what an entry says, not what it was computed from (sequence, pack, revision of regions): those count transactions.

import { keyOf, keyText, now, subjectKind, type Clock, type DocumentKey, type Instant } from "../../core/domain/index.ts";
import type { Keyring } from "../../core/access/index.ts";
import { decodeEntry, encodeEntry, entryOf, sameContent, type EntryReader } from "../../core/entry/index.ts";
import { publicationId, type EvidenceReader, type EvidenceWriter } from "../../core/evidence/index.ts";
import { readBatch, regionChangeOf, type InboxRow } from "../../core/ingest/index.ts";
import { createEvaluator, parsePack } from "../../core/policy/index.ts";
import type { Delivery } from "./deliveries.ts";

/** A delivery that was answered 202, and when it had arrived, as the service says. */
export interface Acknowledged extends Delivery {
  readonly receivedAt: Instant;
}

export interface Comparison {
  /** Rows that differ from each other. */
  readonly distinctRows: number;
  /** Of them, those that aren't in the evidence. */
  readonly lostRows: number;
  readonly entries: number;
  readonly wrongEntries: number;
  /** Which flags wrong entries have and should have, for whoever looks for the fault; no keys. */
  readonly examples: readonly string[];
}

/** Rows put into the fresh store in one transaction. */
const ROWS_AT_ONCE = 2000;
const EXAMPLES = 5;

/** Each row once, with its earliest arrival, in an order that has nothing to do with how they came. */
export function canonicalRows(acknowledged: readonly Acknowledged[], keyring: Keyring): InboxRow[] {
  const earliest = new Map<string, { feed: Delivery["feed"]; source: Delivery["source"]; text: string; receivedAt: Instant }>();
  for (const { source, feed, body, receivedAt } of acknowledged) {
    for (const text of feed === "risk-areas" ? [body] : body.split("\n")) {
      const name = `${feed} ${source} ${text}`;
      const known = earliest.get(name);
      if (!known || receivedAt < known.receivedAt) earliest.set(name, { feed, source, text, receivedAt });
    }
  }
  const sorted = [...earliest].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.flatMap(([, { feed, source, text, receivedAt }]) => {
    const format = feed === "risk-areas" ? "publication" : "ndjson";
    const { rows, refused } = readBatch(feed, format, text, { keyring, source, now: receivedAt, isHistory: source === "history" });
    if (refused.length > 0) throw new Error(`a row of ${feed} that was acknowledged is refused now: ${refused[0]!.field} ${refused[0]!.reason}`);
    return rows;
  });
}

/** Puts them into the fresh store; what is told of regions all at once. */
export function putAll(rows: readonly InboxRow[], fresh: EvidenceWriter): void {
  for (let done = 0; done < rows.length; done += ROWS_AT_ONCE) {
    fresh.transaction(() => {
      for (const row of rows.slice(done, done + ROWS_AT_ONCE)) {
        if (row.type === "holder") fresh.putHolder(row.documents, row.phones, row);
        else if (row.type === "fact") fresh.putFact(row.subject, row.factKey, row.fact);
      }
    });
  }
  fresh.transaction(() => fresh.regions.put(regionChangeOf(rows), null));
}

/** Compares the service's stores with the fresh evidence, which holds all `rows` and what was there before them. */
export function compare(service: { readonly evidence: EvidenceReader; readonly entries: EntryReader }, fresh: EvidenceReader, rows: readonly InboxRow[], clock: Clock): Comparison {
  const lostRows = rows.filter((row) => !isKept(row, service.evidence)).length;
  const evaluator = createEvaluator(parsePack(fresh.packs().at(-1)!.text, "the pack in force"), fresh.regions);
  const origin = { evidenceSequence: 0, policyId: 0, regionRevision: 0 };
  const writtenAt = now(clock);
  const records = new Map<string, Uint8Array>();
  let [entries, wrongEntries] = [0, 0];
  const examples: string[] = [];
  for (const text of documentsOf(service.entries, rows)) {
    entries++;
    const document = keyOf(text);
    const [holder] = fresh.holdersOf(document);
    const name = keyText(holder!);
    let expected = records.get(name);
    if (!expected) {
      const verdict = evaluator.evaluate(fresh.holder(keyOf(name)).evidence);
      records.set(name, (expected = encodeEntry(entryOf(verdict, origin, writtenAt))));
    }
    const found = service.entries.get(document);
    if (found && sameContent(found, expected)) continue;
    wrongEntries++;
    if (examples.length < EXAMPLES) examples.push(differenceText(found && Uint8Array.from(found), expected));
  }
  return { distinctRows: rows.length, lostRows, entries, wrongEntries, examples };
}

/** Whether the evidence holds what a row says; of infections and screenings a newer revision may stand for it. */
export function isKept(row: InboxRow, evidence: EvidenceReader): boolean {
  switch (row.type) {
    case "fact":
      return evidence.keepsFact(row.subject, row.factKey, row.fact);
    case "holder": {
      const owners = new Set(row.documents.map((document) => keyText(evidence.holdersOf(document)[0]!)));
      const [owner] = owners;
      return owners.size === 1 && row.documents.every((d) => !evidence.isUnregistered(d)) && row.phones.every((phone) => evidence.holdersOf(phone).some((holder) => keyText(holder) === owner));
    }
    case "publication": {
      const [publication] = regionChangeOf([row]).publications;
      return evidence.regions.standing(publicationId(publication!)) !== undefined;
    }
    case "infection":
    case "screening":
      return evidence.regions.news(regionChangeOf([row])) !== "new";
    default:
      throw new Error(`rows of type ${row.type} are not delivered here`);
  }
}

/** Every document that has an entry, or that a row names: it must have one. */
function documentsOf(entries: EntryReader, rows: readonly InboxRow[]): Set<string> {
  const documents = new Set<string>();
  let after: DocumentKey | null = null;
  do {
    const page: DocumentKey[] = entries.documents({ after, limit: 10_000 });
    for (const document of page) documents.add(keyText(document));
    after = page.at(-1) ?? null;
  } while (after !== null);
  for (const row of rows) {
    if (row.type === "holder") row.documents.forEach((d) => documents.add(keyText(d)));
    // A refutation that names no subject lies under its fact, which is nobody's document.
    else if (row.type === "fact" && !(row.fact.kind === "refutation" && row.fact.subject === null) && subjectKind(row.subject) === "document") documents.add(keyText(row.subject));
  }
  return documents;
}

function differenceText(found: Uint8Array | undefined, expected: Uint8Array): string {
  const say = (record: Uint8Array): string => JSON.stringify(contentOf(record));
  return found ? `found ${say(found)}, expected ${say(expected)}` : `found none, expected ${say(expected)}`;
}

function contentOf(record: Uint8Array): unknown {
  const entry = decodeEntry(record);
  if (typeof entry === "string") return entry;
  const { registered, incomplete, negatives, shownTests, flags } = entry;
  return { registered, incomplete, negatives, shownTests, flags };
}
