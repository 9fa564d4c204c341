// Whose step is next: by a log of the order, with no time in it.

import { describe, expect, test } from "vitest";
import { FEEDS } from "./batch.ts";
import { createSchedule, workKindOf, type Lane, type Turn } from "./schedule.ts";

const lane = (kind: Lane["kind"], source = "source-a"): Lane => ({ kind, source });

/** Asks for so many steps at once, as many batches of one step each would. */
function ask(turn: Turn, log: string[], count: number, of: Lane, name = `${of.kind} ${of.source}`): Promise<unknown>[] {
  return Array.from({ length: count }, () => turn(of, () => log.push(name)));
}
/** One batch of so many steps, each asked for when the one before is done. */
async function batch(turn: Turn, log: string[], steps: number, of: Lane, name: string): Promise<void> {
  for (let i = 0; i < steps; i++) await turn(of, () => log.push(name));
}
const placesOf = (log: readonly string[], name: string): number[] => log.flatMap((entry, i) => (entry === name ? [i] : []));

describe("among kinds", () => {
  test("that all wait, of seven steps four free, two bind and one evaluates anew", async () => {
    const [turn, log]: [Turn, string[]] = [createSchedule(), []];
    await Promise.all([...ask(turn, log, 40, lane("fan-out"), "fan-out"), ...ask(turn, log, 40, lane("binds"), "binds"), ...ask(turn, log, 40, lane("frees"), "frees")]);
    const of = (name: string, steps: readonly string[]): number => steps.filter((entry) => entry === name).length;
    for (const from of [0, 7, 14, 21, 28]) {
      const seven = log.slice(from, from + 7);
      expect([of("frees", seven), of("binds", seven), of("fan-out", seven)]).toEqual([4, 2, 1]);
    }
  });
  test("what frees goes first; what binds comes within three steps all the same", async () => {
    const [turn, log]: [Turn, string[]] = [createSchedule(), []];
    await Promise.all([...ask(turn, log, 100, lane("frees"), "frees"), ...ask(turn, log, 1, lane("binds"), "binds")]);
    expect(log[0]).toBe("frees");
    expect(placesOf(log, "binds")[0]).toBeLessThanOrEqual(3);
  });
  test("a test that comes in the middle of a large evaluation anew has its step within two", async () => {
    const [turn, log]: [Turn, string[]] = [createSchedule(), []];
    let come: Promise<void> | undefined;
    const fanOut = (async () => {
      for (let i = 0; i < 100; i++) {
        await turn(lane("fan-out", "lists"), () => log.push("fan-out"));
        if (i === 50) come = batch(turn, log, 1, lane("frees"), "test");
      }
    })();
    await fanOut;
    await come;
    expect(placesOf(log, "test")[0]! - 51).toBeLessThanOrEqual(2);
  });
  test("who was away has saved up no turns", async () => {
    const [turn, log]: [Turn, string[]] = [createSchedule(), []];
    await Promise.all(ask(turn, log, 70, lane("binds"), "binds"));
    log.length = 0;
    await Promise.all([...ask(turn, log, 70, lane("binds"), "binds"), ...ask(turn, log, 70, lane("fan-out"), "fan-out")]);
    expect(log.slice(0, 30).filter((entry) => entry === "fan-out").length).toBe(10);
  });
});

describe("among sources of a kind", () => {
  test("one of a thousand waiting batches keeps none of the others waiting", async () => {
    const [turn, log]: [Turn, string[]] = [createSchedule(), []];
    const hog = ask(turn, log, 1000, lane("binds", "hog"), "hog");
    const others = ["b", "c"].flatMap((source) => ask(turn, log, 2, lane("binds", source), source));
    await Promise.all([...hog, ...others]);
    expect(log.slice(0, 6).sort()).toEqual(["b", "b", "c", "c", "hog", "hog"]);
  });
  test("batches of one source take turns, step by step: a small one isn't behind a large one", async () => {
    const [turn, log]: [Turn, string[]] = [createSchedule(), []];
    await Promise.all([batch(turn, log, 50, lane("binds"), "large"), batch(turn, log, 2, lane("binds"), "small")]);
    expect(placesOf(log, "small")[1]).toBeLessThanOrEqual(4);
  });
  test("steps of one batch come in the order of asking", async () => {
    const [turn, seen]: [Turn, number[]] = [createSchedule(), []];
    await Promise.all(Array.from({ length: 20 }, (_, i) => turn(lane("frees"), () => seen.push(i))));
    expect(seen).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });
});

test("one step at a time, also one that waits; a step that throws rejects and stops nobody", async () => {
  const turn = createSchedule();
  let running = 0;
  const slow = async (): Promise<number> => {
    running++;
    const seen = running;
    await new Promise((resolve) => setImmediate(resolve));
    running--;
    return seen;
  };
  const failing = turn(lane("frees"), () => {
    throw new Error("this step alone");
  });
  const all = await Promise.allSettled([turn(lane("binds"), slow), failing, turn(lane("frees", "b"), slow), turn(lane("fan-out"), slow)]);
  expect(all.map((one) => (one.status === "fulfilled" ? one.value : (one.reason as Error).message))).toEqual([1, "this step alone", 1, 1]);
});

test("what a negative result, a clearing or a report comes by frees; lists, trips and findings bind", () => {
  const frees = FEEDS.filter((feed) => workKindOf(feed) === "frees");
  expect(frees).toEqual(expect.arrayContaining(["tests", "clearances", "refutations", "reports"]));
  expect(FEEDS.filter((feed) => workKindOf(feed) === "binds")).toEqual(expect.arrayContaining(["trips", "findings", "crossings", "purchases", "risk-areas"]));
});
