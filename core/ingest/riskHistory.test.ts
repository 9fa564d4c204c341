// The whole published history of risk lists through the stores, imported with a clock after its last day: what is held, and that the order of arrival doesn't matter.

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { instant, keyring, openStores, type Stores } from "../../test/ingestSupport.ts";
import { temporaryFolder } from "../../test/support.ts";
import { allCounties, type CountyRisk } from "../domain/index.ts";
import { readBatch } from "./batch.ts";

const listsFolder = fileURLToPath(new URL("../../../shared/data/risk_levels/", import.meta.url));
const opened: Stores[] = [];
afterEach(async () => {
  for (const stores of opened.splice(0)) await stores.close();
});

describe.skipIf(!existsSync(listsFolder))("the history as it was published", () => {
  function lists(): string[] {
    const folder = temporaryFolder();
    for (const archive of readdirSync(listsFolder)) execFileSync("tar", ["xJf", join(listsFolder, archive), "-C", folder]);
    return readdirSync(folder).filter((file) => file.endsWith(".json")).sort().map((file) => readFileSync(join(folder, file), "utf8"));
  }

  async function imported(texts: readonly string[]): Promise<Stores> {
    const stores = openStores(join(temporaryFolder(), "stores"));
    opened.push(stores);
    stores.clock.seconds = instant("2026-11-24T12:00:00+08:00");
    for (const text of texts) {
      const { rows } = readBatch("risk-areas", "publication", text, { keyring, source: "source-a", now: stores.clock.seconds, isHistory: true });
      await stores.apply(await stores.store("risk-areas", rows));
    }
    return stores;
  }
  const risks = (stores: Stores): Record<string, CountyRisk | undefined> => Object.fromEntries([...allCounties().keys()].map((county) => [county, stores.evidence.regions.risk(county)]));

  test("holds 63 of 349 lists, in whatever order they come, and none for ever", async () => {
    const texts = lists();
    expect(texts.length).toBe(349);
    const inOrder = await imported(texts);
    const states = (stores: Stores): Record<string, number> => {
      const standings = stores.evidence.regions.publications(Infinity);
      return Object.fromEntries(["in-force", "replaced", "held", "superseded", "rejected"].map((state) => [state, standings.filter((s) => s.state === state).length]));
    };
    // Replaced ones were in force; superseded ones were held, or a longer one of their hour was in force; two files tell what another one has told.
    expect(states(inOrder)).toEqual({ "in-force": 1, replaced: 280 - 1, held: 0, superseded: 63 + 4, rejected: 0 });
    expect(inOrder.evidence.heldChanges()).toBe(0);
    expect(inOrder.evidence.changes({ limit: 1000 }).length).toBe(349);
    // Each eight of them the other way round.
    const disordered = await imported(texts.map((_, i) => texts[Math.min(i - (i % 8) + 7, texts.length - 1) - (i % 8)]!));
    expect(states(disordered)).toEqual(states(inOrder));
    expect(risks(disordered)).toEqual(risks(inOrder));
  }, 120_000);
});
