import { expect, test } from "vitest";
import { evaluate } from "./evaluate.ts";

test("evaluate runs small and reports what it promises", async () => {
  const given: Record<string, number> = { holders: 300, rounds: 3 };
  const { table, json } = await evaluate.run((name) => given[name]!, () => undefined);
  expect(table.length).toBeGreaterThan(0);
  expect(json).toMatchObject({ bench: "evaluate", holders: 300 });
  for (const field of ["us_per_holder", "us_per_holder_ten_facts", "allocation_share"]) expect(json[field]).toEqual(expect.any(Number));
}, 120_000);
