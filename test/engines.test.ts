// Which Node is needed is said once: README, package.json and what the dependencies ask for agree.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const read = (name: string): string => readFileSync(new URL(`../${name}`, import.meta.url), "utf8");
const { engines } = JSON.parse(read("package.json")) as { engines: { node: string } };
const { packages } = JSON.parse(read("package-lock.json")) as { packages: Record<string, { engines?: { node?: string } }> };
const oldest = /^>=(\d+\.\d+)$/.exec(engines.node)![1]!;

test("the README names the oldest Node that package.json takes, and the lock the same", () => {
  expect(read("README.md")).toContain(`Node ${oldest} or newer`);
  expect(packages[""]?.engines?.node).toBe(engines.node);
});

test("every package takes that Node but the test tool, which takes the Bun that runs it", () => {
  const asking = Object.entries(packages).flatMap(([name, { engines }]) => (engines?.node === undefined ? [] : [{ name, range: engines.node }]));
  expect(asking.length).toBeGreaterThan(50);
  expect(asking.filter(({ range }) => !Bun.semver.satisfies(`${oldest}.0`, range)).map(({ name }) => name)).toEqual(["node_modules/vitest"]);
  expect(Bun.semver.satisfies(process.versions.node, packages["node_modules/vitest"]!.engines!.node!)).toBe(true);
});
