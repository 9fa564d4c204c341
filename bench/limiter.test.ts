import { expect, test } from "vitest";
import { limiter } from "./limiter.ts";

test("the limiter's bench runs small: the half that comes from one network is refused but for its burst and what is paid back", async () => {
  const { json, table } = await limiter.run(() => 20_000);
  expect(table.length).toBeGreaterThan(0);
  // 20 ms pass, a failure is paid back in 50.
  expect(json).toMatchObject({ bench: "limiter", keys: 20_000, refused: 10_000 - 1000, evictions: 0 });
  for (const field of ["ns_per_decision", "ns_per_device_decision", "mb"]) expect(json[field], field).toEqual(expect.any(Number));
});
