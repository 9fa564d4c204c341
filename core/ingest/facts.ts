// Rows of every feed -> facts under keys. The one place where numbers are read, checked, hashed and forgotten.
// Promises: what comes out holds keys only; a refusal names the field, what is wrong and what to do, and repeats no number.
// Not here: formats (batch.ts, hl7.ts, riskAreas.ts), storing.

import {
  BEGINNING,
  bindsFrom,
  endOf,
  formatInstant,
  freesAt,
  isRefusal,
  keyText,
  parseDocument,
  parsePhone,
  startOfDay,
  type DocumentKey,
  type Fact,
  type FactKey,
  type Instant,
  type Known,
  type LocalInfection,
  type Moment,
  type PhoneKey,
  type Refusal,
  type Refutation,
  type RiskPublication,
  type Screening,
  type SubjectKey,
} from "../domain/index.ts";
import type { Keyring } from "../access/index.ts";
import { checkRow, type DECISIONS, type Row, type RowFeed } from "./rowSchemas.ts";

/** What the inbox keeps of a row. */
export type InboxRow =
  | ({ readonly type: "holder"; readonly documents: readonly DocumentKey[]; readonly phones: readonly PhoneKey[] } & Known)
  | { readonly type: "fact"; readonly subject: SubjectKey; readonly factKey: FactKey; readonly fact: Fact }
  | { readonly type: "infection"; readonly factKey: FactKey; readonly revision: number; readonly infection: LocalInfection }
  | { readonly type: "screening"; readonly factKey: FactKey; readonly revision: number; readonly screening: Screening }
  | { readonly type: "publication"; readonly publication: PublicationRow }
  | { readonly type: "pack"; readonly text: string }
  | { readonly type: "decision"; readonly decision: Decision };

/** A publication in plain values: `areas` are the bytes of a Float64Array. */
export interface PublicationRow extends Omit<RiskPublication, "counties" | "areas" | "unknown"> {
  readonly counties: readonly (readonly [number, { high: number; medium: number }])[];
  readonly areas: Uint8Array;
  /** Absent in rows from before it was kept. */
  readonly unknown?: RiskPublication["unknown"];
}

/** An operator's word on a change that can hit many holders, or on a dead batch. */
export interface Decision {
  readonly action: (typeof DECISIONS)[number];
  /** Sequence of the batch that brought the change, or that is dead; null with `roll-back`: the pack in force. */
  readonly change: number | null;
  readonly authority: string;
  readonly ground: string;
  readonly at: Instant;
}

/** What a row is read against. */
export interface Intake {
  readonly keyring: Keyring;
  readonly source: string;
  /** When the row arrived. */
  readonly now: Instant;
  /** An operator imports history: each fact counts as known from its own publication (POLICY §0). */
  readonly isHistory: boolean;
}

/** How far a sender's clock may run ahead. */
export const AHEAD_S_MAX = 60;

/** Reads one row of a feed. @returns every fault of the row when there are any. */
export function readRow(feed: RowFeed, row: unknown, intake: Intake): InboxRow | readonly Refusal[] {
  const checked = checkRow(feed, row);
  if (Array.isArray(checked)) return checked as readonly Refusal[];
  const result = READERS[feed](checked as never, intake);
  return isRefusal(result) ? [result] : result;
}

const READERS: { [Feed in RowFeed]: (row: Row<Feed>, intake: Intake) => InboxRow | Refusal } = {
  holders({ documents, phones }, intake) {
    const { keyring } = intake;
    const documentKeys: DocumentKey[] = [];
    for (const [i, input] of documents.entries()) {
      const document = parseDocument(input);
      if (isRefusal(document)) return { ...document, field: document.field.replace("document", `documents.${i}`) };
      documentKeys.push(keyring.documentKey(document));
    }
    const phoneKeys: PhoneKey[] = [];
    for (const [i, text] of phones.entries()) {
      const phone = parsePhone(text);
      if (isRefusal(phone)) return { ...phone, field: `phones.${i}` };
      phoneKeys.push(keyring.phoneKey(phone));
    }
    // Rows of an imported register bear no date: whoever is in it counts as known from the beginning.
    return { type: "holder", documents: documentKeys, phones: phoneKeys, ...knownSince(BEGINNING, intake) };
  },

  trips(row, intake) {
    const from = bindsFrom(row.from);
    const to = row.to ? freesAt(row.to) : null;
    if (to !== null && to < from) return { field: "to", reason: "lies before from: a trip can't end before it began" };
    const ahead = notAhead("from", row.from, intake) ?? (row.to && notAhead("to", row.to, intake));
    return ahead ?? factRow(row, intake, to ?? from, (base) => ({ ...base, kind: "trip", county: row.county, from, to }));
  },

  tests(row, intake) {
    if (bindsFrom(row.sampledAt) > freesAt(row.issuedAt)) return { field: "issuedAt", reason: "lies before sampledAt: a result can't be issued before its sample was taken" };
    const ahead = notAhead("sampledAt", row.sampledAt, intake) ?? notAhead("issuedAt", row.issuedAt, intake);
    // A bare date of a positive result binds from the day's start; any other frees, or does nothing, at its end.
    const issuedAt = row.result === "positive" ? bindsFrom(row.issuedAt) : freesAt(row.issuedAt);
    // A sampling date without time counts to the day's end, but never behind the result itself.
    const sampledAt = Math.min(freesAt(row.sampledAt), issuedAt);
    const { result, laboratory, uploaded } = row;
    return ahead ?? factRow(row, intake, issuedAt, (base) => ({ ...base, kind: "test", sampledAt, issuedAt, result, laboratory, county: row.county ?? null, uploaded }));
  },

  findings(row, intake) {
    const from = bindsFrom(row.from);
    const until = row.to ? endOf(row.to) : null;
    if (until !== null && until <= from) return { field: "to", reason: "must lie after from: a finding can't end before it has begun" };
    const { kind: finding, level, authority, ground } = row;
    return factRow(row, intake, from, (base) => ({ ...base, kind: "finding", finding, level: level ?? null, from, until, authority, ground }));
  },

  crossings(row, intake) {
    const at = bindsFrom(row.at);
    const { port, origin, homeSuitable } = row;
    return notAhead("at", row.at, intake) ?? factRow(row, intake, at, (base) => ({ ...base, kind: "crossing", at, port, origin, homeSuitable }));
  },

  purchases(row, intake) {
    const at = bindsFrom(row.at);
    const { drugClass } = row;
    return notAhead("at", row.at, intake) ?? factRow(row, intake, at, (base) => ({ ...base, kind: "purchase", at, drugClass, county: row.county }));
  },

  "clinic-visits"(row, intake) {
    const at = bindsFrom(row.at);
    const { symptom } = row;
    return notAhead("at", row.at, intake) ?? factRow(row, intake, at, (base) => ({ ...base, kind: "clinic-visit", at, symptom }));
  },

  commuters(row, intake) {
    const from = bindsFrom(row.from);
    const until = row.to ? endOf(row.to) : null;
    if (until !== null && until <= from) return { field: "to", reason: "must lie after from: a registration can't end before it has begun" };
    return factRow(row, intake, from, (base) => ({ ...base, kind: "commuting", from, until }));
  },

  reports(row, intake) {
    const at = freesAt(row.at);
    return notAhead("at", row.at, intake) ?? factRow(row, intake, at, (base) => ({ ...base, kind: "report", at }));
  },

  declarations(row, intake) {
    const at = bindsFrom(row.at);
    return notAhead("at", row.at, intake) ?? factRow(row, intake, at, (head) => ({ ...head, kind: "declaration", at }));
  },

  obligations(row, intake) {
    const at = bindsFrom(row.at);
    const until = row.to ? endOf(row.to) : null;
    if (until !== null && until <= at) return { field: "to", reason: "must lie after at: a duty can't end before it has begun" };
    return factRow(row, intake, at, (head) => ({ ...head, kind: "obligation", duty: row.kind, at, everyDays: row.everyDays ?? null, until }));
  },

  residences(row, intake) {
    const from = bindsFrom(row.from);
    const until = row.to ? endOf(row.to) : null;
    if (until !== null && until <= from) return { field: "to", reason: "must lie after from: nobody moves out before moving in" };
    return factRow(row, intake, from, (head) => ({ ...head, kind: "residence", county: row.county, from, until }));
  },

  vaccinations(row, intake) {
    const at = freesAt(row.at);
    const { dose, product } = row;
    return notAhead("at", row.at, intake) ?? factRow(row, intake, at, (head) => ({ ...head, kind: "vaccination", at, dose, product }));
  },

  clearances(row, intake) {
    const at = freesAt(row.at);
    const { clears } = row;
    return notAhead("at", row.at, intake) ?? factRow(row, intake, at, (head) => ({ ...head, kind: "clearance", clears, at, authority: row.authority, ground: row.ground }));
  },

  refutations({ matches, ...row }, intake) {
    const { keyring, source } = intake;
    const { document, phone, factId: refutedId, source: refutedSource } = matches;
    const refuted = refutedId === undefined ? null : keyring.factKey(refutedSource ?? source, `trip|${refutedId}`);
    if (refutedSource !== undefined && refuted === null) return { field: "matches.source", reason: "says whose factId is meant: without matches.factId leave it out" };
    const namesSubject = document !== undefined || phone !== undefined;
    if (!namesSubject && refuted === null) {
      return { field: "matches", reason: "must name a phone, a document or a factId: without one it would refute the trips of everybody" };
    }
    const at = bindsFrom(row.at);
    const from = matches.from ? bindsFrom(matches.from) : null;
    const to = matches.to ? freesAt(matches.to) : null;
    if (from !== null && to !== null && to < from) return { field: "matches.to", reason: "lies before matches.from" };
    const ahead = notAhead("at", row.at, intake);
    if (ahead) return ahead;
    const subjectKey = namesSubject ? subjectOf({ document, phone }, keyring) : null;
    if (subjectKey && isRefusal(subjectKey)) return { ...subjectKey, field: `matches.${subjectKey.field}` };
    const fact: Refutation = {
      ...headOf(row, intake, at),
      kind: "refutation",
      subject: subjectKey && keyText(subjectKey),
      fact: refuted && keyText(refuted),
      county: matches.county ?? null,
      from,
      to,
      at,
      authority: row.authority,
      ground: row.ground,
    };
    // Without a subject it lies under the fact that it refutes.
    return { type: "fact", subject: subjectKey ?? (refuted as Uint8Array as SubjectKey), factKey: keyring.factKey(source, `refutation|${row.factId}`), fact };
  },

  screenings(row, intake) {
    const { keyring, source } = intake;
    const rounds = row.rounds.map(({ from, to }) => ({ from: bindsFrom(from), until: endOf(to) }));
    const empty = rounds.findIndex((r) => r.until <= r.from);
    if (empty >= 0) return { field: `rounds.${empty}.to`, reason: "must lie after from: a round can't end before it has begun" };
    const sorted = rounds.toSorted((a, b) => a.from - b.from);
    const screening = { county: row.county, rounds: sorted, ...knownSince(sorted[0]!.from, intake) };
    return { type: "screening", factKey: keyring.factKey(source, `screenings|${row.factId}`), revision: row.revision ?? 1, screening };
  },

  decisions(row, { now }) {
    if (row.change === undefined && row.action !== "roll-back") return { field: "change", reason: `is missing: name the ${row.action === "replay" ? "batch, by its number," : "change"} to ${row.action}` };
    return { type: "decision", decision: { action: row.action, change: row.change ?? null, authority: row.authority, ground: row.ground, at: now } };
  },

  "local-infections"(row, intake) {
    const { keyring, source, now } = intake;
    if (startOfDay(row.day) > now + AHEAD_S_MAX) return { field: "day", reason: `lies in the future: it is ${formatInstant(now)} here` };
    const infection = { county: row.county, day: row.day, count: row.count, ...knownSince(startOfDay(row.day), intake) };
    return { type: "infection", factKey: keyring.factKey(source, `local-infections|${row.factId}`), revision: row.revision ?? 1, infection };
  },
};

interface SubjectFields {
  readonly factId: string;
  readonly revision?: number | undefined;
  readonly document?: { readonly type: string; readonly number: string; readonly issuer?: string | undefined } | undefined;
  readonly phone?: string | undefined;
}

/** What every fact begins with. */
interface FactHead extends Known {
  readonly source: string;
  readonly revision: number;
}

function headOf({ revision: told }: Pick<SubjectFields, "revision">, intake: Intake, publishedAt: Instant): FactHead {
  return { source: intake.source, revision: told ?? 1, ...knownSince(publishedAt, intake) };
}

/** History counts as known since its publication, and says when it arrived; anything else since its arrival. */
export function knownSince(publishedAt: Instant, { now, isHistory }: Pick<Intake, "now" | "isHistory">): Known {
  return isHistory && publishedAt < now ? { knownFrom: publishedAt, receivedAt: now } : { knownFrom: now };
}

function factRow(row: SubjectFields, intake: Intake, publishedAt: Instant, build: (head: FactHead) => Fact): InboxRow | Refusal {
  const { keyring, source } = intake;
  const key = subjectOf(row, keyring);
  if (isRefusal(key)) return key;
  const fact = build(headOf(row, intake, publishedAt));
  return { type: "fact", subject: key, factKey: keyring.factKey(source, `${fact.kind}|${row.factId}`), fact };
}

/** The key of the document or phone that a row names. */
function subjectOf({ document: input, phone: number }: Pick<SubjectFields, "document" | "phone">, keyring: Keyring): SubjectKey | Refusal {
  if ((input === undefined) === (number === undefined)) return { field: "document", reason: "a row must name either a document or a phone, and not both" };
  if (input) {
    const document = parseDocument(input);
    return isRefusal(document) ? document : keyring.documentKey(document);
  }
  const phone = parsePhone(number!);
  return isRefusal(phone) ? phone : keyring.phoneKey(phone);
}

/** A bare date is ahead only when its day has not begun. */
function notAhead(field: string, at: Moment, { now }: Intake): Refusal | undefined {
  return bindsFrom(at) > now + AHEAD_S_MAX ? { field, reason: `lies in the future: it is ${formatInstant(now)} here` } : undefined;
}
