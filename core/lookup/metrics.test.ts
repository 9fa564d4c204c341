import { expect, test } from "vitest";
import { createMetrics } from "./metrics.ts";

test("a scan of exactly a bound's time counts below it, one beyond all bounds counts in the last bucket only", () => {
  const metrics = createMetrics();
  const bucketsOf = (): number[] => [...metrics.text({}).matchAll(/_bucket\{le="[^"]+"\} (\d+)/g)].map((m) => Number(m[1]));
  const bounds = [...metrics.text({}).matchAll(/_bucket\{le="([\d.e-]+)"\}/g)].map((m) => Number(m[1]) * 1e6);
  bounds.forEach((bound, i) => {
    const before = bucketsOf();
    metrics.count(0, bound);
    expect(bucketsOf().map((count, k) => count - before[k]!)).toEqual([...bounds, Infinity].map((_, k) => (k >= i ? 1 : 0)));
  });
  const before = bucketsOf();
  metrics.count(0, 1e9);
  expect(bucketsOf().map((count, k) => count - before[k]!)).toEqual([...bounds.map(() => 0), 1]);
});
