import { expect, test } from "vitest";
import { numberOf } from "./entries.ts";
import { scan } from "./scan.ts";
import { isRefusal, parseDocument } from "../core/domain/index.ts";

test("the numbers of the entries are valid and all different", () => {
  const numbers = Array.from({ length: 20_000 }, (_, i) => numberOf(i * 997));
  expect(numbers.filter((number) => isRefusal(parseDocument({ type: "resident-id", number })))).toEqual([]);
  expect(new Set(numbers).size).toBe(numbers.length);
});

test.skipIf(Bun.which("wrk") === null)("scan runs small, and both sides answer", async () => {
  const given: Record<string, number> = { entries: 2000, rounds: 1, seconds: 1 };
  const { table, json } = await scan.run((name) => given[name]!, () => undefined);
  expect(table.length).toBeGreaterThan(0);
  for (const field of ["http_vs_bare", "code_vs_bare", "http_scans_per_s_core", "frame_us_per_scan", "scans_per_s_core", "checksum"]) expect(json[field]).toEqual(expect.any(Number));
}, 120_000);
