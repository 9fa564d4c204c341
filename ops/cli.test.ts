// The command line by itself, without a service: what it says of words that it can't use, and its help.

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cli } from "../test/service.ts";
import { temporaryFolder } from "../test/support.ts";
import { SETTINGS } from "./settings.ts";

describe("a document number among the words of a command", () => {
  const [valid, wrongDigit, passport] = ["11010519491231002X", "110105194912310021", "E12345678"];
  const commands: (readonly string[])[] = [
    ["N"], ["N", "--data", "x"], ["import", "N"], ["import", "N", "file"], ["import", "tests", "N"], ["import", "tests", "N/N.ndjson"], ["import", "tests", "file", "N"],
    ["--N"], ["--N=x", "scan"], ["scan", "--N"], ["scan", "--data", "N"], ["changes", "--data", "./N"], ["worker", "--data=a/N"], ["start", "--lookup-port", "N"], ["explain", "--at", "N"],
    ["demo", "--now", "N"], ["policy", "N"], ["policy", "diff", "N"], ["release", "N"], ["reject", "N", "--ground", "x"], ["sign", "N", "batch"], ["sign", "tests", "N", "--data", "x"],
    ["key", "N"], ["key", "add", "N", "x", "--data", "x"], ["key", "drop", "laboratory-a", "N", "--data", "x"],
  ];
  test.each([
    [wrongDigit, commands],
    [valid, [["import", "N"], ["import", "tests", "N"], ["--N"], ["changes", "--data", "./N"]]],
    [passport, [["import", "N"], ["import", "tests", "N"], ["--N"], ["changes", "--data", "./N"]]],
  ])("is repeated by none: %s", async (number, commands) => {
    const answers = await Promise.all(commands.map(async (words) => ({ words, ...(await cli(words.map((w) => w.replaceAll("N", number)))) })));
    for (const { words, status, out, err } of answers) {
      expect([words, status, out]).toEqual([words, 2, ""]);
      expect(err).toMatch(/^fangxing: .{20}/);
      expect(err).not.toContain("\n    at ");
      expect(err, words.join(" ")).not.toMatch(/\d{6}/);
    }
  });
  test("names no folder, and none is made", async () => {
    const folder = join(temporaryFolder(), valid);
    for (const name of ["demo", "start"]) {
      const { status, err } = await cli([name, "--data", folder]);
      expect([status, err]).toEqual([2, expect.stringContaining("it must be a path that holds nobody's document or phone number") as string]);
    }
    expect(existsSync(folder)).toBe(false);
  });
});

describe("--help", () => {
  const optionsIn = (text: string): string[] => [...text.matchAll(/^ {2}--([a-z-]+)/gm)].map((m) => m[1]!);
  const all = Object.values(SETTINGS).map((s) => s.option);

  test("alone tells of every command and every option", async () => {
    const { status, out } = await cli(["--help"]);
    expect([status, optionsIn(out).sort()]).toEqual([0, all.toSorted()]);
    expect((await cli([])).status).toBe(2);
  });
  test("with a command, before or behind it, tells of that one and its options", async () => {
    const { status, out } = await cli(["import", "--help"]);
    expect([status, optionsIn(out)]).toEqual([0, ["data", "history"]]);
    expect(out).toMatch(/^fangxing import FEED FILE/);
    expect(out).toContain("local-infections");
    expect(out).not.toMatch(/rollback|a gate's answer/);
    for (const words of [["--help", "import"], ["help", "import"], ["import", "tests", "file", "--help"]]) expect((await cli(words)).out).toBe(out);
  });
  test("every command has its own, and every option belongs to one", async () => {
    const names = [...(await cli(["--help"])).out.split("Options")[0]!.matchAll(/^ {2}([a-z]+)/gm)].map((m) => m[1]!);
    expect(names).toContain("explanations");
    const texts = await Promise.all(names.map(async (name) => (await cli([name, "--help"])).out));
    expect(texts.map((text) => /^fangxing ([a-z]+)/.exec(text)?.[1])).toEqual(names);
    expect([...new Set(texts.flatMap(optionsIn))].sort()).toEqual(all.toSorted());
  });
  test("of a word that is no command tells of all", async () => {
    expect((await cli(["dance", "--help"])).out).toBe((await cli(["--help"])).out);
    expect((await cli(["constructor"])).err).toContain('"constructor" is no command');
  });
});

test.each(["a b", "", "a/b", "x".repeat(65), "of-11010519491231002X"])("sign refuses the batch id %j at once, as the service would", async (id) => {
  const folder = temporaryFolder();
  const { status, out, err } = await cli(["sign", "tests", id, "--data", folder], "{}");
  expect([status, out, err]).toEqual([2, "", expect.stringContaining("BATCH-ID must be 1 to 64 of A-Z") as string]);
  expect(readdirSync(folder)).toEqual([]);
});

test("a file that can't be read, or is no text, is said in our own words", async () => {
  const folder = temporaryFolder();
  expect((await cli(["import", "tests", join(folder, "none.ndjson")])).err).toMatch(/none\.ndjson can't be read: it isn't there\n$/);
  expect((await cli(["import", "tests", folder])).err).toMatch(/can't be read: it is a folder\n$/);
  await Bun.write(join(folder, "bytes"), Uint8Array.of(0xff, 0xfe));
  expect((await cli(["import", "tests", join(folder, "bytes")])).err).toMatch(/is no UTF-8 text: write it out again in UTF-8\n$/);
});
