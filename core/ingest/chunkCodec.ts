// A chunk of rows as bytes, as the inbox keeps it.
// Promises: what comes out is what went in, but that facts stay the bytes that the evidence store keeps: the worker puts them as they are.
//
// Layout: first byte 1: facts, in the order of their subjects, each subject 16, fact key 16, length u16 little endian, fact; the worker then writes neighbours one after the
// other. First byte 0: rows of any kind, in their order, as MessagePack.

import { Packr } from "msgpackr";
import { KEY_BYTES, type FactKey, type SubjectKey } from "../domain/index.ts";
import { encodeFact } from "../evidence/index.ts";
import type { InboxRow } from "./facts.ts";

type FactRow = Extract<InboxRow, { type: "fact" }>;

/** A row as it comes out of the inbox. */
export type StoredRow = Exclude<InboxRow, FactRow> | (Omit<FactRow, "fact"> & { readonly fact: Uint8Array });

const [MIXED, FACTS] = [0, 1];
const HEAD_BYTES = 2 * KEY_BYTES + 2;
const packr = new Packr();

export function encodeChunk(rows: readonly InboxRow[]): Uint8Array {
  return rows.every(isFact) ? encodeFacts(rows) : encodeMixed(rows);
}

function isFact(row: InboxRow): row is FactRow {
  return row.type === "fact";
}

function encodeFacts(rows: readonly FactRow[]): Uint8Array {
  const inOrder = rows
    .map((row) => ({ row, at: Buffer.from(row.subject.buffer, row.subject.byteOffset, KEY_BYTES).readUIntBE(0, 6) }))
    .sort((a, b) => a.at - b.at);
  const facts = inOrder.map(({ row }) => encodeFact(row.fact));
  const bytes = Buffer.allocUnsafe(facts.reduce((sum, fact) => sum + HEAD_BYTES + fact.length, 1));
  bytes[0] = FACTS;
  let at = 1;
  for (const [i, { row }] of inOrder.entries()) {
    const fact = facts[i]!;
    bytes.set(row.subject, at);
    bytes.set(row.factKey, at + KEY_BYTES);
    bytes.writeUInt16LE(fact.length, at + 2 * KEY_BYTES);
    bytes.set(fact, at + HEAD_BYTES);
    at += HEAD_BYTES + fact.length;
  }
  return bytes;
}

function encodeMixed(rows: readonly InboxRow[]): Uint8Array {
  return Buffer.concat([Buffer.of(MIXED), packr.pack(rows.map((row) => (isFact(row) ? { ...row, fact: encodeFact(row.fact) } : row)))]);
}

export function decodeChunk(bytes: Uint8Array): StoredRow[] {
  if (bytes[0] === MIXED) return packr.unpack(bytes.subarray(1)) as StoredRow[];
  const rows: StoredRow[] = [];
  for (let at = 1; at < bytes.length; ) {
    const factAt = at + HEAD_BYTES;
    const end = factAt + (bytes[factAt - 2]! | (bytes[factAt - 1]! << 8));
    const [subject, factKey] = [bytes.subarray(at, at + KEY_BYTES) as SubjectKey, bytes.subarray(at + KEY_BYTES, at + 2 * KEY_BYTES) as FactKey];
    rows.push({ type: "fact", subject, factKey, fact: bytes.subarray(factAt, end) });
    at = end;
  }
  return rows;
}
