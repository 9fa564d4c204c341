// The bench run small, so that it can't rot; nothing here depends on how fast it is.

import { expect, test } from "vitest";
import { ingest } from "./ingest.ts";

const SMALL: Record<string, number> = { holders: 2000, records: 600, batch: 250, rounds: 2, "peer-records": 40 };

test.each(["ndjson", "hl7"] as const)("the ingest bench takes in %s, finds every entry right, and reports its fields", async (format) => {
  const { json, table } = await ingest.run(
    (name) => SMALL[name]!,
    () => undefined,
    () => false,
    () => format,
  );
  expect(json).toMatchObject({ bench: "ingest", format, holders: 2000, records: 600, wrong: 0 });
  for (const field of ["records_per_s", "vs_job_per_record", "peer_records_per_s"]) expect(json[field]).toBeGreaterThan(0);
  expect(json["rounds"]).toHaveLength(2);
  expect(table.join("\n")).toContain("every entry looked at holds the newest test");
});
