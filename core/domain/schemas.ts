// What is wrong with values from outside, in our own words: the one place where a schema's faults are put into words.
// Promises: a fault names the field, what it must be and, where a field is unknown, what to do; no value is repeated, nor a name that may be somebody's number.
// Not here: the schemas, which may give words of their own where they know better.

import type { z } from "zod";
import { repeatableName } from "./documents.ts";

export interface SchemaFault {
  readonly path: readonly PropertyKey[];
  /** The path as it is told, with dots; empty: the value as a whole. */
  readonly field: string;
  readonly reason: string;
}

/** Reads a value by its schema. @param what is read, in words, such as "the feed trips". @returns every fault when there are any. */
export function readBySchema<Output>(schema: z.ZodType<Output>, value: unknown, what: string): { readonly data: Output } | { readonly faults: readonly SchemaFault[] } {
  const parsed = schema.safeParse(value, { error: wordsOf });
  if (parsed.success) return { data: parsed.data };
  return {
    faults: parsed.error.issues.flatMap((issue) => {
      if (issue.code !== "unrecognized_keys") return [{ path: issue.path, field: fieldOf(issue.path), reason: issue.message }];
      const reason = `is no field of ${fieldOf(issue.path) || what}: remove it or correct its name`;
      return issue.keys.map((key) => ({ path: [...issue.path, key], field: fieldOf([...issue.path, key]), reason }));
    }),
  };
}

function fieldOf(path: readonly PropertyKey[]): string {
  return path.map((part) => (typeof part === "string" ? repeatableName(part) : String(part))).join(".");
}

/** What the schema library calls a kind of value. */
const KINDS: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object with named fields",
  record: "an object with named fields",
};

/** Words for what a schema has none of its own for. */
function wordsOf(issue: z.core.$ZodRawIssue): string {
  const must = issue.input === undefined ? "is missing: it must be" : "must be";
  switch (issue.code) {
    case "invalid_type":
      return `${must} ${KINDS[issue.expected] ?? "of another kind"}`;
    case "invalid_value":
      return `${must} ${issue.values.length === 1 ? "" : "one of "}${issue.values.map(String).join(", ")}`;
    case "too_small":
      return `must ${sizeWords(issue.origin)} at least ${amount(issue.minimum, issue.origin)}`;
    case "too_big":
      return `must ${sizeWords(issue.origin)} at most ${amount(issue.maximum, issue.origin)}`;
    case "invalid_key":
      return `has a name in it that can't be used: it ${issue.issues[0]?.message ?? "is not known"}`;
    default:
      return "has a value that can't be used here: see the form that this field needs";
  }
}

function sizeWords(origin: string): string {
  return origin === "string" || origin === "array" ? "have" : "be";
}

function amount(count: number | bigint, origin: string): string {
  const [one, more] = origin === "string" ? [" character", " characters"] : origin === "array" ? [" entry", " entries"] : ["", ""];
  return `${count}${Number(count) === 1 ? one : more}`;
}
