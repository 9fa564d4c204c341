import { open } from "lmdb";
import { afterEach, expect, test } from "vitest";
import { temporaryFolder } from "../../test/support.ts";
import type { Signed } from "../access/index.ts";
import { openNonces, type Nonces } from "./nonces.ts";

const NOW = 1_654_732_200;
const source = (name: string): Signed["source"] => ({ name, feeds: ["*"], keys: [] });
const signed = (nonce: string, { by = "lab-1", key = "a", endsAt = NOW + 300 } = {}): Signed => ({ source: source(by), keyId: `${by}/${key}`, nonce, endsAt });

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const root of opened.splice(0)) await root.close();
});
interface Store {
  readonly nonces: Nonces;
  /** Rows on disk. */
  readonly kept: () => Promise<number>;
  readonly close: () => Promise<void>;
}
function store(folder = temporaryFolder(), max?: number): Store {
  const root = open({ path: folder });
  opened.push(root);
  const nonces = openNonces(root, max);
  return {
    nonces,
    async kept() {
      await root.flushed;
      root.resetReadTxn();
      return root.openDB({ name: "nonces", encoding: "json" }).getKeysCount({});
    },
    async close() {
      opened.splice(opened.indexOf(root), 1);
      await root.close();
    },
  };
}

test("a nonce is used once, by each key for itself", () => {
  const { nonces } = store();
  const uses = [signed("n"), signed("n"), signed("m"), signed("n", { key: "b" }), signed("n", { by: "lab-2" }), signed("n", { endsAt: NOW + 10 })];
  expect(uses.map((s) => nonces.use(s, NOW))).toEqual(["used", "replayed", "used", "used", "used", "replayed"]);
});
test("it is remembered to the last second in which its signature is taken, and no longer, in memory and on disk", async () => {
  const { nonces, kept } = store();
  nonces.use(signed("n", { endsAt: NOW + 300 }), NOW);
  nonces.use(signed("far", { endsAt: NOW + 600 }), NOW);
  expect([nonces.use(signed("n", { endsAt: NOW + 300 }), NOW + 300), await kept()]).toEqual(["replayed", 2]);
  expect([nonces.use(signed("far", { endsAt: NOW + 600 }), NOW + 301), await kept()]).toEqual(["replayed", 1]);
  expect(nonces.use(signed("n", { endsAt: NOW + 601 }), NOW + 301)).toBe("used");
});
test("a clock that is set back opens no time that is forgotten", () => {
  const { nonces } = store();
  nonces.use(signed("n"), NOW);
  nonces.use(signed("m", { endsAt: NOW + 900 }), NOW + 600);
  expect(nonces.use(signed("n"), NOW)).toBe("replayed");
});
test("a restart forgets none that still counts", async () => {
  const folder = temporaryFolder();
  const first = store(folder);
  first.nonces.use(signed("n"), NOW);
  first.nonces.use(signed("late", { endsAt: NOW + 500 }), NOW);
  await first.kept();
  await first.close();
  const { nonces, kept } = store(folder);
  expect([nonces.use(signed("n"), NOW + 100), nonces.use(signed("o"), NOW + 100), nonces.use(signed("n", { by: "lab-2" }), NOW + 100)]).toEqual(["replayed", "used", "used"]);
  expect([nonces.use(signed("late", { endsAt: NOW + 500 }), NOW + 301), await kept()]).toEqual(["replayed", 1]);
});
test("many that ended are forgotten bit by bit, and none that still counts before its time", async () => {
  const { nonces, kept } = store();
  for (let i = 0; i < 2500; i++) nonces.use(signed(`n${i}`, { endsAt: NOW + (i % 3) }), NOW);
  nonces.use(signed("late", { endsAt: NOW + 600 }), NOW);
  const counts: number[] = [];
  for (let i = 0; i < 4; i++) {
    expect(nonces.use(signed("late", { endsAt: NOW + 600 }), NOW + 400)).toBe("replayed");
    counts.push(await kept());
  }
  expect(counts).toEqual([1501, 501, 1, 1]);
});
test("no more than the most a source; who waits as long as told has room, others have it meanwhile", () => {
  const { nonces } = store(undefined, 3);
  const endings = [NOW + 250, NOW + 300, NOW + 300];
  expect(endings.map((endsAt, i) => nonces.use(signed(`n${i}`, { endsAt }), NOW))).toEqual(["used", "used", "used"]);
  expect(nonces.use(signed("more"), NOW)).toEqual({ fullForS: 251 });
  expect([nonces.use(signed("n0", { endsAt: NOW + 250 }), NOW), nonces.use(signed("more", { by: "lab-2" }), NOW)]).toEqual(["replayed", "used"]);
  expect(nonces.use(signed("more"), NOW + 250)).toEqual({ fullForS: 1 });
  expect(nonces.use(signed("more", { endsAt: NOW + 551 }), NOW + 251)).toBe("used");
});
test("what a sender puts into a nonce is not kept", async () => {
  const folder = temporaryFolder();
  const { nonces, kept } = store(folder);
  nonces.use(signed("11010519491231002X"), NOW);
  expect(await kept()).toBe(1);
  expect(await Bun.file(`${folder}/data.mdb`).text()).not.toContain("11010519491231002X");
});
