// The data folder: the sources that it is made with, and those of a folder that was made before there was one for history.

import { readFileSync, statSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createKeyPair, readRegistry, type RegistryFile } from "../core/access/index.ts";
import { temporaryFolder } from "../test/support.ts";
import { dataFolder, prepareFolder, separateHistory, type DataFolder } from "./dataFolder.ts";
import { ownSigner } from "./sourceKeys.ts";

type Sources = RegistryFile["sources"];
const keys = [{ id: "2022-06", publicKey: createKeyPair().publicKey }];

/** A folder whose access.json has these sources. */
function folderWith(sources: Sources): DataFolder {
  const folder = dataFolder(temporaryFolder());
  prepareFolder(folder);
  const { devices } = readRegistry(folder.registryFile);
  writeFileSync(folder.registryFile, JSON.stringify({ devices, sources }));
  return folder;
}

/** @returns its sources afterwards, and what was said. */
function separated(folder: DataFolder): { sources: Sources; lines: string[] } {
  const lines: string[] = [];
  separateHistory(folder, (line) => lines.push(line));
  return { sources: readRegistry(folder.registryFile).sources, lines };
}

describe("the sources of the commands", () => {
  test("are made with the folder: local counts from arrival, history from publication and decides nothing", () => {
    const folder = dataFolder(temporaryFolder());
    prepareFolder(folder);
    const { sources } = readRegistry(folder.registryFile);
    expect(sources.map(({ name, feeds, history }) => ({ name, feeds, history }))).toEqual([
      { name: "local", feeds: ["*", "packs", "decisions"], history: undefined },
      { name: "history", feeds: ["*"], history: true },
    ]);
    expect(new Set(sources.map((s) => s.keys[0]!.publicKey)).size).toBe(2);
    expect(sources.map((s) => [s.keys.length, s.rowsPerSecond])).toEqual([[1, 10_000_000], [1, 10_000_000]]);
    for (const name of ["local", "history"] as const) expect(ownSigner(folder, name).keyId).toBe(`${name}/1`);
    expect(separated(folder)).toEqual({ sources, lines: [] });
  });

  test("of an older folder are parted: local keeps its keys and feeds, the others stay as they are", () => {
    const local = { name: "local", feeds: ["*", "packs", "decisions"], keys };
    const other = { name: "archive", feeds: ["tests"], keys, history: true };
    const folder = folderWith([{ ...local, history: true }, other]);
    const { sources, lines } = separated(folder);
    expect(sources).toEqual([local, other, { name: "history", feeds: ["*"], keys: [{ id: "1", publicKey: expect.any(String) as string }], rowsPerSecond: 10_000_000, history: true }]);
    expect(lines).toEqual([expect.stringContaining("a source history from now on") as string]);
    expect(statSync(folder.registryFile).mode & 0o077).toBe(0);
    // Once: what an operator says of them later holds.
    const after = readFileSync(folder.registryFile, "utf8");
    expect(separated(folder)).toEqual({ sources, lines: [] });
    expect(readFileSync(folder.registryFile, "utf8")).toBe(after);
  });

  test.each<[string, Sources]>([
    ["has a source of that name", [{ name: "local", feeds: ["*"], keys, history: true }, { name: "history", feeds: ["tests"], keys }]],
    ["has no local source", [{ name: "archive", feeds: ["*"], keys, history: true }]],
  ])("are left alone in a folder that %s", (_, sources) => {
    expect(separated(folderWith(sources))).toEqual({ sources, lines: [] });
  });
});
