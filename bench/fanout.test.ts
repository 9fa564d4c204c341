// The bench run small, so that it can't rot; nothing here depends on how fast it is.

import { expect, test } from "vitest";
import { fanout } from "./fanout.ts";

test("the bench of a fan-out finds that exactly the visitors turned, after the release of what was held", async () => {
  const sizes: Record<string, number> = { holders: 300, calmMs: 200, scans: 50 };
  const { json } = await fanout.run(
    (name) => sizes[name]!,
    () => undefined,
  );
  expect(json).toMatchObject({ bench: "fanout", holders: 300, turned: 300, controls: 30, controls_unchanged: 30, held: true, entries_changed: 300 });
  for (const field of ["seconds", "hold_s", "scan_p99_calm_ms", "scan_p99_during_ms", "scan_p99_ratio"]) expect(json[field]).toBeGreaterThan(0);
});
