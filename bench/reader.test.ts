import { expect, test } from "vitest";
import { reader } from "./reader.ts";

test("reader runs small, and all ways of reading find the same", async () => {
  const given: Record<string, number> = { entries: 20_000, rounds: 1, keys: 1000 };
  const { table, json } = await reader.run((name) => given[name]!, () => undefined);
  expect(table.length).toBeGreaterThan(0);
  for (const field of ["batch_us", "library_batch_us", "batch_vs_library", "one_us", "library_one_us", "one_vs_library", "opened_ms"]) expect(json[field]).toEqual(expect.any(Number));
  expect(json).toMatchObject({ bench: "reader", fallbacks: 0 });
  expect(new Set(json["checksums"] as number[]).size).toBe(1);
}, 120_000);
