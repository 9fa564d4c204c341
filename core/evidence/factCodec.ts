// Facts as bytes: when they became known, then what they say, field by field in a fixed order.
// Promises: decodeFact(encodeFact(x)) is x; two facts that say the same have the same bytes from CONTENT_AT on, whenever they became known.
// Not here: which revision of a fact holds, and under which keys they lie (store.ts).
//
// Layout, little endian: 0 knownFrom u32, 4 the instant that it arrived u32; then, unless the fact has moved to another subject, 8 revision u32, 12 kind u8 (its place in KINDS), and
// the fields of the kind in their order, each a tag and its value. Add kinds and fields at the end, or let the data folder have another format.

import type { Fact, FactKind, Known } from "../domain/index.ts";

type ContentField<Kind extends FactKind> = Exclude<keyof Extract<Fact, { kind: Kind }>, keyof Known | "kind" | "told" | "revision">;

const FIELDS: { readonly [Kind in FactKind]: Readonly<Record<ContentField<Kind>, 0>> } = {
  trip: { source: 0, county: 0, from: 0, to: 0 },
  test: { source: 0, sampledAt: 0, issuedAt: 0, result: 0, laboratory: 0, county: 0, uploaded: 0 },
  finding: { source: 0, finding: 0, level: 0, from: 0, until: 0, authority: 0, ground: 0 },
  crossing: { source: 0, at: 0, port: 0, origin: 0, homeSuitable: 0 },
  purchase: { source: 0, at: 0, drugClass: 0, county: 0 },
  "clinic-visit": { source: 0, at: 0, symptom: 0 },
  commuting: { source: 0, from: 0, until: 0 },
  report: { source: 0, at: 0 },
  declaration: { source: 0, at: 0 },
  obligation: { source: 0, duty: 0, at: 0, everyDays: 0, until: 0 },
  residence: { source: 0, county: 0, from: 0, until: 0 },
  clearance: { source: 0, clears: 0, at: 0, authority: 0, ground: 0 },
  refutation: { source: 0, subject: 0, fact: 0, county: 0, from: 0, to: 0, at: 0, authority: 0, ground: 0 },
  vaccination: { source: 0, at: 0, dose: 0, product: 0 },
};
const KINDS = Object.keys(FIELDS) as FactKind[];
const NAMES = KINDS.map((kind) => Object.keys(FIELDS[kind]));
const PLACES = new Map(KINDS.map((kind, place) => [kind, place]));

/** Where what a fact says begins. */
export const CONTENT_AT = 8;
const KIND_AT = 12;
const FIELDS_AT = 13;
export const FACT_BYTES_MAX = 4096;
const [NULL, FALSE, TRUE, U32, TEXT] = [0, 1, 2, 3, 4];

/** Facts are put together here. */
const scratch = Buffer.allocUnsafe(FACT_BYTES_MAX);

/** @throws RangeError when the fact is larger than any that a feed lets through. */
export function encodeFact(fact: Fact): Uint8Array {
  const place = PLACES.get(fact.kind)!;
  writeKnown(scratch, fact);
  scratch.writeUInt32LE(fact.revision, CONTENT_AT);
  scratch[KIND_AT] = place;
  let at = FIELDS_AT;
  for (const name of NAMES[place]!) at = writeValue((fact as unknown as Record<string, unknown>)[name], at);
  return Uint8Array.prototype.slice.call(scratch, 0, at);
}

function writeValue(value: unknown, at: number): number {
  if (typeof value === "number") {
    scratch[at] = U32;
    return scratch.writeUInt32LE(value, at + 1);
  }
  if (typeof value === "string") {
    if (at + 3 + 3 * value.length > FACT_BYTES_MAX) throw new RangeError("the fact's words are too long to be kept");
    const length = scratch.write(value, at + 3);
    scratch[at] = TEXT;
    scratch.writeUInt16LE(length, at + 1);
    return at + 3 + length;
  }
  scratch[at] = value === null ? NULL : value === true ? TRUE : FALSE;
  return at + 1;
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
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const [kind, knownFrom, receivedAt, revision] = [kindOf(bytes), knownFromOf(bytes), arrivedAtOf(bytes), revisionOf(bytes)];
  const fact: Record<string, unknown> = receivedAt === knownFrom ? { kind, knownFrom, revision } : { kind, knownFrom, receivedAt, revision };
  let at = FIELDS_AT;
  for (const name of NAMES[bytes[KIND_AT]!]!) {
    const tag = bytes[at++];
    if (tag === U32) {
      fact[name] = u32(bytes, at);
      at += 4;
    } else if (tag === TEXT) {
      const end = at + 2 + (bytes[at]! | (bytes[at + 1]! << 8));
      fact[name] = buffer.toString("utf8", at + 2, end);
      at = end;
    } else fact[name] = tag === NULL ? null : tag === TRUE;
  }
  return fact as unknown as Fact;
}

/** Of a fact that has not moved. */
export function kindOf(bytes: Uint8Array): FactKind {
  return KINDS[bytes[KIND_AT]!]!;
}

export function revisionOf(bytes: Uint8Array): number {
  return u32(bytes, CONTENT_AT);
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
