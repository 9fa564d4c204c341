// Rows as they come over the wire, whatever the format: one shape a feed, as in the wire's description.
// Not here: how a format is read (batch.ts, hl7.ts, riskAreas.ts), and what becomes of a row (facts.ts).

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

/** What a format makes of one line or segment: a row to check, or why there is none. `line` counts from 1. */
export type ReadRow<Row = unknown> = { readonly line: number; readonly row: Row } | { readonly line: number; readonly refusal: Refusal };
