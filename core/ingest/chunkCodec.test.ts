import { expect, test } from "vitest";
import { decodeFact } from "../evidence/index.ts";
import { document, inboxRows, phone } from "../../test/ingestSupport.ts";
import { decodeChunk, encodeChunk } from "./chunkCodec.ts";
import type { InboxRow } from "./facts.ts";

const tests = inboxRows("tests", [
  ...Array.from({ length: 50 }, (_, i) => ({ factId: `t-${i}`, document: document(i), sampledAt: "2022-06-08", issuedAt: "2022-06-09T06:00:00+08:00", result: "negative", laboratory: "海淀 lab", county: "110108" })),
  { factId: "no-county", phone: phone(1), sampledAt: "2022-06-08", issuedAt: "2022-06-09", result: "positive" },
]);
const holders = inboxRows("holders", [{ documents: [document(1)], phones: [phone(1)] }]);

/** Rows as they went in. */
function decoded(bytes: Uint8Array): unknown[] {
  return decodeChunk(bytes).map((row) => (row.type === "fact" ? { ...row, subject: hex(row.subject), factKey: hex(row.factKey), fact: decodeFact(row.fact) } : row));
}

function readable(rows: readonly InboxRow[]): unknown[] {
  return rows.map((row) => (row.type === "fact" ? { ...row, subject: hex(row.subject), factKey: hex(row.factKey) } : row));
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

test("a chunk of facts comes back whole, in the order of their subjects", () => {
  const back = decoded(encodeChunk(tests)) as { subject: string }[];
  expect(back).toHaveLength(51);
  expect(back).toEqual((readable(tests) as { subject: string }[]).toSorted((a, b) => (a.subject < b.subject ? -1 : 1)));
});

test("rows of other kinds come back in their order, with facts among them", () => {
  const mixed = [tests[3]!, ...holders, tests[0]!];
  expect(decoded(encodeChunk(mixed)).map((row) => (row as { type: string }).type)).toEqual(["fact", "holder", "fact"]);
  expect(decoded(encodeChunk([tests[3]!, tests[0]!, ...holders])).slice(0, 2)).toEqual(readable([tests[3]!, tests[0]!]));
});

test("a chunk without rows is one", () => {
  expect(decodeChunk(encodeChunk([]))).toEqual([]);
});
