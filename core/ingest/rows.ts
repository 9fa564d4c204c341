// Rows as they come over the wire, whatever the format: one shape a feed, as in the wire's description.
// Not here: how a format is read (batch.ts and the files of formats), and what becomes of a row (facts.ts).

import type { Refusal } from "../domain/index.ts";

/** A row of the feed `tests`, before any check. Instants and dates are ISO 8601 text. */
export interface TestRow {
  factId: string;
  revision?: number;
  document?: { type: string; number: string; issuer?: string };
  phone?: string;
  sampledAt: string;
  issuedAt: string;
  result: string;
  laboratory?: string;
  county?: string;
  uploaded?: boolean;
}

/**
 * What a format makes of one line, record or element: a row to check, or why there is none. `line` counts from 1. `revisionFrom` names the field of the format
 * whose time is the row's revision.
 */
export type ReadRow<Row = unknown> = { readonly line: number; readonly row: Row; readonly revisionFrom?: string } | { readonly line: number; readonly refusal: Refusal };

/** What a format hands its rows to. */
export interface RowSink {
  take(read: ReadRow): void;
  /** Parts that are no rows of the feed. */
  ignore(count: number): void;
}

/** Reads one delivery, piece by piece; pieces are borrowed. Both throw BodyError when the body as a whole can't be used. */
export interface FormatReader {
  write(piece: Uint8Array): void;
  end(): void;
}
