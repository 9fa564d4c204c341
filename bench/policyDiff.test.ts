import { expect, test } from "vitest";
import { policyDiff } from "./policyDiff.ts";

test("policy-diff runs small and measures everybody", async () => {
  const given: Record<string, number> = { holders: 500, rounds: 1, calmMs: 300 };
  const { table, json } = await policyDiff.run((name) => given[name]!, () => undefined);
  expect(table.length).toBeGreaterThan(0);
  // The crowd, the demo city and the people whom the gates scan.
  expect(json).toMatchObject({ bench: "policy-diff", holders: 500 + 1000 + 500 });
  for (const field of ["seconds", "scan_p99_calm_ms", "scan_p99_during_ms", "scan_p99_ratio"]) expect(json[field]).toEqual(expect.any(Number));
}, 120_000);
