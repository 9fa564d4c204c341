// The bench run small, so that it can't rot. Without the folder of real lists it says that it measured nothing.

import { expect, test } from "vitest";
import { publications } from "./publications.ts";

test("the publications bench lays out what was held and what cuts cost, and large cuts free nobody", async () => {
  const small: Record<string, number> = { draws: 1, pairs: 1, every: 12, holders: 500 };
  const { json, table, holds } = await publications.run(
    (name) => small[name]!,
    () => undefined,
  );
  expect(holds).toBe(true);
  if (json["measured"] === false) {
    expect(table[0]).toContain("not measured");
    return;
  }
  expect(json).toMatchObject({ bench: "publications", measured: true, ...small, positions: 343, hard_cuts_freeing: 0 });
  const cuts = json["cuts"] as { kind: string; size: number | null; tried: number }[];
  expect([...new Set(cuts.map((c) => c.kind))]).toEqual(["tail", "provinces", "random", "shares", "a province of 50", "second of a pair", "second, the first small"]);
  expect(cuts.every((c) => c.tried > 0)).toBe(true);
  expect(json["waited_hours"]).toBeGreaterThan(0);
});
