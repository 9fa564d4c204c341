// The bench run small, so that it can't rot; nothing here depends on how fast it is.

import { expect, test } from "vitest";
import { freshness } from "./freshness.ts";

test("the freshness bench turns every holder green and reports its fields", async () => {
  const { json, table } = await freshness.run(
    () => 3,
    () => undefined,
  );
  expect(json).toMatchObject({ bench: "freshness", deliveries: 3, green: 3 });
  for (const field of ["p50_ms", "p99_ms", "max_ms", "accepted_p50_ms", "scan_p50_ms"]) expect(json[field]).toBeGreaterThan(0);
  expect(table[0]).toContain("3 turned green");
});

test("in a stream every holder that waits turns, and the sender says how late it was", async () => {
  const sizes: Record<string, number> = { rate: 100, batchRows: 5, seconds: 1, holders: 300 };
  const { json, table } = await freshness.run(
    (name) => sizes[name]!,
    () => undefined,
    (flag) => flag === "rate",
  );
  expect(json).toMatchObject({ bench: "freshness", rate: 100, batch_rows: 5 });
  expect(json["samples"]).toBeGreaterThan(0);
  expect(json["turned"]).toBe(json["samples"]);
  for (const field of ["p50_ms", "p99_ms", "accepted_p99_ms", "sender_late_p99_ms", "records"]) expect(json[field]).toBeGreaterThan(0);
  expect(table[0]).toContain("turned");
});
