// The torture run small, so that it can't rot; nothing here depends on how fast it is.

import { expect, test } from "vitest";
import { entryFault } from "../core/entry/index.ts";
import { torture } from "./torture.ts";
import { BIRTHS, CLASSES, classOf, isRecord, lengthOf, recordOf, versionAfter } from "./tortureWorld.ts";

test("the torture ends with every answer right, after a copy, a kill and a quiet point", async () => {
  const options: Record<string, number> = { reads: 1_000_000_000, seconds: 3, entries: 20_000, readers: 1 };
  const { json, holds, table } = await torture.run(
    (name) => options[name]!,
    () => undefined,
  );
  expect(json).toMatchObject({ bench: "torture", wrong: 0, fallbacks: 0, damaged: 0, went_back: 0, reference_wrong: 0, commits_lost: 0, unmapped: [], readers_finished: 1 });
  for (const field of ["reads", "reference_reads", "states_seen", "writer_transactions", "kills", "copies", "quiet_points", "absent", "large"]) expect(json[field], field).toBeGreaterThan(0);
  expect(holds).toBe(true);
  expect(table[0]).toContain("answers compared");
});

test("the world's records are sound, have the length it tells, and are no other version's", () => {
  for (let number = 1; number < 3000; number++) {
    const record = recordOf(number, 7);
    expect(entryFault(record)).toBeUndefined();
    expect(record.length).toBe(lengthOf(number, 7));
    expect([isRecord(record, 0, record.length, number, 7), isRecord(record, 0, record.length, number, 8), isRecord(record, 0, record.length, number + 1, 7)]).toEqual([true, false, false]);
  }
});

test("an entry is there from its birth, and changes only when its class is rewritten", () => {
  const number = 5 * BIRTHS;
  expect(versionAfter(number, 4)).toBe(0);
  expect(versionAfter(number, 5)).toBe(5);
  for (let t = 6; t < 5 * CLASSES; t++) {
    const version = versionAfter(number, t);
    if (t % CLASSES !== classOf(number)) expect(version).toBe(versionAfter(number, t - 1));
    else expect([0, t, versionAfter(number, t - 1)]).toContain(version);
  }
});
