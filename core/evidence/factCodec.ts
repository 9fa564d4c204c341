// Facts as bytes: when they became known, then what they say, field by field in a fixed order.
// Promises: decodeFact(encodeFact(x)) is x; two facts that say the same have the same bytes from CONTENT_AT on, whenever they became known.
// Not here: which revision of a fact holds, and under which keys they lie (store.ts).
//
// Layout, little endian: 0 knownFrom u32, 4 the instant that it arrived u32, 8 MessagePack of [kind, its fields]; no more than the instants: the fact has moved to another subject.
// A kind is its place in KINDS, and a field its place in the kind's list: add at the end, or let the data folder have another format.

import { Packr } from "msgpackr";
import type { Fact, FactKind, Known } from "../domain/index.ts";

type ContentField<Kind extends FactKind> = Exclude<keyof Extract<Fact, { kind: Kind }>, keyof Known | "kind" | "told">;

const HEAD = { source: 0, revision: 0 } as const;
const FIELDS: { readonly [Kind in FactKind]: Readonly<Record<ContentField<Kind>, 0>> } = {
  trip: { ...HEAD, county: 0, from: 0, to: 0 },
  test: { ...HEAD, sampledAt: 0, issuedAt: 0, result: 0, laboratory: 0, county: 0, uploaded: 0 },
  finding: { ...HEAD, finding: 0, level: 0, from: 0, until: 0, authority: 0, ground: 0 },
  crossing: { ...HEAD, at: 0, port: 0, origin: 0, homeSuitable: 0 },
  purchase: { ...HEAD, at: 0, drugClass: 0, county: 0 },
  "clinic-visit": { ...HEAD, at: 0, symptom: 0 },
  commuting: { ...HEAD, from: 0, until: 0 },
  report: { ...HEAD, at: 0 },
  declaration: { ...HEAD, at: 0 },
  obligation: { ...HEAD, duty: 0, at: 0, everyDays: 0, until: 0 },
  residence: { ...HEAD, county: 0, from: 0, until: 0 },
  clearance: { ...HEAD, clears: 0, at: 0, authority: 0, ground: 0 },
  refutation: { ...HEAD, subject: 0, fact: 0, county: 0, from: 0, to: 0, at: 0, authority: 0, ground: 0 },
};
const KINDS = Object.keys(FIELDS) as FactKind[];
const NAMES = KINDS.map((kind) => Object.keys(FIELDS[kind]));
const PLACES = new Map(KINDS.map((kind, place) => [kind, place]));

/** Where what a fact says begins. */
export const CONTENT_AT = 8;

const packr = new Packr({ useRecords: false });

export function encodeFact(fact: Fact): Uint8Array {
  const place = PLACES.get(fact.kind)!;
  const values: unknown[] = [place];
  for (const name of NAMES[place]!) values.push((fact as unknown as Record<string, unknown>)[name]);
  const content = packr.pack(values);
  const bytes = Buffer.allocUnsafe(CONTENT_AT + content.length);
  writeKnown(bytes, fact);
  bytes.set(content, CONTENT_AT);
  return bytes;
}

/** The mark that a fact has moved to another subject, known since then. */
export function encodeMoved(knownFrom: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(CONTENT_AT);
  writeKnown(bytes, { knownFrom });
  return bytes;
}

/** @returns undefined for a fact that has moved. */
export function decodeFact(bytes: Uint8Array): Fact | undefined {
  if (isMoved(bytes)) return undefined;
  const values = packr.unpack(bytes.subarray(CONTENT_AT)) as unknown[];
  const place = values[0] as number;
  const [knownFrom, arrivedAt] = [knownFromOf(bytes), arrivedAtOf(bytes)];
  const fact: Record<string, unknown> = arrivedAt === knownFrom ? { kind: KINDS[place], knownFrom } : { kind: KINDS[place], knownFrom, receivedAt: arrivedAt };
  const names = NAMES[place]!;
  for (let i = 0; i < names.length; i++) fact[names[i]!] = values[i + 1];
  return fact as unknown as Fact;
}

export function isMoved(bytes: Uint8Array): boolean {
  return bytes.length === CONTENT_AT;
}

export function knownFromOf(bytes: Uint8Array): number {
  return u32(bytes, 0);
}

export function arrivedAtOf(bytes: Uint8Array): number {
  return u32(bytes, 4);
}

function writeKnown(bytes: Buffer, { knownFrom, receivedAt = knownFrom }: Known): void {
  bytes.writeUInt32LE(knownFrom, 0);
  bytes.writeUInt32LE(receivedAt, 4);
}

function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}
