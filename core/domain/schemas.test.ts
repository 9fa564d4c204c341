// Faults of values from outside, in our own words: every kind that our schemas can find.

import { describe, expect, test } from "vitest";
import { z } from "zod";
import { readBySchema, type SchemaFault } from "./schemas.ts";

const schema = z.strictObject({
  text: z.string().min(2).max(5),
  count: z.int().min(1).max(60),
  share: z.number(),
  is: z.boolean(),
  list: z.array(z.string()).min(1).max(2),
  inner: z.strictObject({ a: z.string() }),
  one: z.literal([1, 2]),
  kind: z.enum(["home", "central"]),
  only: z.literal("x"),
  byName: z.record(z.string().regex(/^[a-z]+$/, "must be of a-z"), z.int()),
  own: z.string().min(1, "must say who decided"),
});
const sound = { text: "abc", count: 1, share: 0.5, is: true, list: ["a"], inner: { a: "b" }, one: 1, kind: "home", only: "x", byName: { a: 1 }, own: "o" };
const faultsOf = (value: unknown): readonly SchemaFault[] => {
  const read = readBySchema(schema, value, "the feed x");
  return "faults" in read ? read.faults : [];
};
const told = (change: object): string[] => faultsOf({ ...sound, ...change }).map(({ field, reason }) => `${field} ${reason}`);

test("a sound value comes back", () => {
  expect(readBySchema(schema, sound, "the feed x")).toEqual({ data: sound });
});

test.each<[object, string]>([
  [{ text: 1 }, "text must be a text"],
  [{ text: undefined }, "text is missing: it must be a text"],
  [{ text: null }, "text must be a text"],
  [{ text: "a" }, "text must have at least 2 characters"],
  [{ text: "abcdef" }, "text must have at most 5 characters"],
  [{ count: "1" }, "count must be a number"],
  [{ count: 1.5 }, "count must be a whole number"],
  [{ count: 0 }, "count must be at least 1"],
  [{ count: 61 }, "count must be at most 60"],
  [{ share: true }, "share must be a number"],
  [{ is: "yes" }, "is must be true or false"],
  [{ list: "a" }, "list must be a list"],
  [{ list: [] }, "list must have at least 1 entry"],
  [{ list: ["a", "b", "c"] }, "list must have at most 2 entries"],
  [{ list: [1] }, "list.0 must be a text"],
  [{ inner: [] }, "inner must be an object with named fields"],
  [{ inner: undefined }, "inner is missing: it must be an object with named fields"],
  [{ inner: { a: "b", colour: "red" } }, "inner.colour is no field of inner: remove it or correct its name"],
  [{ colour: "red" }, "colour is no field of the feed x: remove it or correct its name"],
  [{ one: 3 }, "one must be one of 1, 2"],
  [{ kind: "house" }, "kind must be one of home, central"],
  [{ kind: undefined }, "kind is missing: it must be one of home, central"],
  [{ only: "y" }, "only must be x"],
  [{ byName: { a: "1" } }, "byName.a must be a number"],
  [{ byName: { A: 1 } }, "byName.A has a name in it that can't be used: it must be of a-z"],
  [{ own: "" }, "own must say who decided"],
])("%j", (change, words) => {
  expect(told(change)).toEqual([words]);
});

describe("a fault", () => {
  test.each([null, [], "text", 1])("of %j as a whole has no field", (value) => {
    expect(faultsOf(value)).toEqual([{ path: [], field: "", reason: "must be an object with named fields" }]);
  });
  test("repeats neither a value nor a name that may be somebody's number", () => {
    const number = "11010519491231002X";
    expect(JSON.stringify(told({ text: number, kind: number, [number]: 1, byName: { [number]: 1 }, one: number }))).not.toContain(number);
  });
  test("still says at which path it is, whatever is told of it", () => {
    expect(faultsOf({ ...sound, "110105": 1 })).toMatchObject([{ path: ["110105"], field: "(a name that is not repeated here)" }]);
  });
});
