// What the API's own tests (server.test.ts) don't reach: quotas that nobody set, and a source whose nonces are all that can be remembered.

import { open } from "lmdb";
import { afterEach, expect, test } from "vitest";
import { NOW, registry, signerOf } from "../../test/ingestSupport.ts";
import { clockAt, temporaryFolder } from "../../test/support.ts";
import { signRequest } from "../access/index.ts";
import { createAdmission, type Admission } from "./admission.ts";
import { openNonces } from "./nonces.ts";

const closes: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closes.splice(0)) await close();
});

const clock = clockAt(NOW);
const [sourceA] = registry.sources;

function admissionWith(noncesMax?: number): { readonly admission: Admission; readonly ask: (kind?: "question") => Promise<Response | object> } {
  const root = open({ path: temporaryFolder() });
  closes.push(() => root.close());
  const admission = createAdmission({ registry, clock, nonces: openNonces(root, noncesMax), elapsedMs: () => 0 });
  return {
    admission,
    async ask(kind) {
      const path = "/v1/feeds/tests/batches";
      const method = kind ? "GET" : "POST";
      const headers = await signRequest({ method, path, ...(kind ? {} : { batchId: "batch-1", body: Buffer.from("x") }) }, signerOf("source-a"), clock);
      return admission.admit(new Request(`http://service${path}`, { method, headers }), "tests", kind ?? "delivery");
    },
  };
}

test("a quota that nobody set is 20,000 rows a second, a minute's worth at once; questions don't depend on it", async () => {
  const { admission, ask } = admissionWith();
  admission.charge(sourceA!, 60 * 20_000 - 1);
  expect(await ask()).toBe(sourceA);
  admission.charge(sourceA!, 1 + 5 * 20_000);
  const refused = (await ask()) as Response;
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "6"]);
  expect(await refused.text()).toContain("20000 a second and 1200000 at once");
  expect(await ask("question")).toBe(sourceA);
});

test("a source of whose signatures no more can be remembered is told when", async () => {
  const { admission, ask } = admissionWith(2);
  expect([await ask(), await ask("question")]).toEqual([sourceA, sourceA]);
  const refused = (await ask()) as Response;
  expect([refused.status, refused.headers.get("retry-after"), refused.headers.get("content-type")]).toEqual([429, "301", "application/problem+json"]);
  expect(admission.metricLines().at(-1)).toBe('fangxing_deliveries_total{source="source-a",outcome="nonces"} 1');
});
