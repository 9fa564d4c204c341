// What a batch that fails is told by, and what is nobody's fault.

import { describe, expect, test } from "vitest";
import { phone, residentId } from "../../test/ingestSupport.ts";
import { ASIDE_MAX, createOmissions, isNoFault, reasonOf, StoppedError, withoutFaulty } from "./failures.ts";

describe("a reason", () => {
  test.each([
    ["a resident ID", residentId(1)],
    ["a phone number", phone(1)],
    ["a phone number with blanks", "139 0000 0001"],
    ["a resident ID with hyphens", `${residentId(2).slice(0, 6)}-${residentId(2).slice(6, 14)}-${residentId(2).slice(14)}`],
    ["a passport", "E12345678"],
    ["a permit of Hong Kong", "H1234567890"],
  ])("doesn't hold %s", (_, number) => {
    const reason = reasonOf(new Error(`can't read "${number}" of row 7`));
    expect(reason).not.toContain(number);
    expect(reason.replace(/\D/g, "").length).toBeLessThan(6);
  });
  test("says what else there was, in one short line", () => {
    expect(reasonOf(new TypeError("undefined is not\nan object (row 17)"))).toBe("undefined is not an object (row 17)");
    expect(reasonOf(new Error("x".repeat(5000))).length).toBeLessThanOrEqual(300);
    expect(reasonOf("no error at all")).toBe("no error at all");
  });
});

describe("nobody's fault", () => {
  test.each(["No space left on device", "MDB_MAP_FULL: Environment mapsize limit reached", "Disk quota exceeded"])("%s", (message) => {
    expect([isNoFault(new Error(message)), isNoFault(new Error("undefined is not an object"))]).toEqual([true, false]);
  });
  test("a worker that stops", () => expect(isNoFault(new StoppedError("stopped"))).toBe(true));
});

describe("without the faulty", () => {
  const faulty = (numbers: readonly number[], ...bad: number[]): { done: number[]; left: number[] } => {
    const [done, left]: [number[], number[]] = [[], []];
    const work = (some: readonly number[]): void => {
      if (some.some((n) => bad.includes(n))) throw new Error("at fault");
      done.push(...some);
    };
    withoutFaulty(numbers, work, (n) => left.push(n));
    return { done, left };
  };
  test("all at once when none is, else each that isn't, once", () => {
    expect(faulty([1, 2, 3])).toEqual({ done: [1, 2, 3], left: [] });
    expect(faulty([1, 2, 3, 4], 2, 4)).toEqual({ done: [1, 3], left: [2, 4] });
    expect(faulty([5], 5)).toEqual({ done: [], left: [5] });
  });
  test("nobody's fault stops all", () => {
    const full = (): void => {
      throw new Error("No space left on device");
    };
    expect(() => withoutFaulty([1, 2], full, () => undefined)).toThrow("No space");
  });
  test("so many that it is no single one's fault end the attempt", () => {
    const omissions = createOmissions();
    omissions.end();
    for (let i = 1; i < ASIDE_MAX; i++) omissions.add(new Error("x"), "a row");
    expect(() => omissions.add(new Error("x"), "a row")).toThrow(`${ASIDE_MAX} could not be applied`);
    expect(() => omissions.end()).toThrow();
  });
});
