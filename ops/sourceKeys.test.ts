// Keys of sources in access.json: made, dropped, and put where secrets stood.

import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createKeyPair, createSigner, readRegistry, type Source } from "../core/access/index.ts";
import { temporaryFolder } from "../test/support.ts";
import { cli } from "../test/service.ts";
import { dataFolder, prepareFolder, writeState, type DataFolder } from "./dataFolder.ts";
import { addSourceKey, dropSourceKey, giveOwnSourcesKeys, ownSigner } from "./sourceKeys.ts";

const secret = Buffer.alloc(32, 7).toString("base64");
const lab = { name: "laboratory-a", feeds: ["tests"], rowsPerSecond: 500 };

/** A folder whose access.json has these sources, beside its own. */
function folderWith(...sources: object[]): DataFolder {
  const folder = dataFolder(temporaryFolder());
  prepareFolder(folder);
  writeSources(folder, [...contentOf(folder).sources, ...sources]);
  return folder;
}
const contentOf = (folder: DataFolder): { sources: { name: string }[] } => JSON.parse(readFileSync(folder.registryFile, "utf8")) as { sources: { name: string }[] };
const writeSources = (folder: DataFolder, sources: object[]): void => writeFileSync(folder.registryFile, JSON.stringify({ ...contentOf(folder), sources }));
const labOf = (folder: DataFolder): Source => readRegistry(folder.registryFile).sources.find((s) => s.name === lab.name)!;

describe("a key that is added", () => {
  test.each([["no key", lab], ["a secret, whose place it takes", { ...lab, secret }]])("to a source with %s signs for it; its private half is for its owner alone", (_, source) => {
    const folder = folderWith(source);
    const before = contentOf(folder).sources.filter((s) => s.name !== lab.name);
    const file = join(folder.path, "laboratory-a.pem");
    const keyId = addSourceKey(folder, lab.name, file);
    expect(keyId).toMatch(/^laboratory-a\/\d{4}-\d\d-\d\d$/);
    expect(createSigner(labOf(folder), readFileSync(file, "utf8"))?.keyId).toBe(keyId);
    for (const path of [file, folder.registryFile]) expect(statSync(path).mode & 0o777).toBe(0o600);
    const { keys, ...rest } = labOf(folder);
    expect([keys.length, rest, contentOf(folder).sources.filter((s) => s.name !== lab.name)]).toEqual([1, lab, before]);
  });
  test("is the second at most, with an id of its own; a third is refused and nothing written", () => {
    const folder = folderWith(lab);
    const files = [1, 2, 3].map((n) => join(folder.path, `${n}.pem`));
    const [first, second] = [addSourceKey(folder, lab.name, files[0]!), addSourceKey(folder, lab.name, files[1]!)];
    expect(second).toBe(`${first}-2`);
    const before = readFileSync(folder.registryFile, "utf8");
    expect(() => addSourceKey(folder, lab.name, files[2]!)).toThrow("drop the one that is signed with no more, fangxing key drop laboratory-a KEY");
    expect([readFileSync(folder.registryFile, "utf8"), existsSync(files[2]!)]).toEqual([before, false]);
  });
  test("goes into no file that there is, nor into a folder that there isn't; access.json stays as it is", () => {
    const folder = folderWith(lab);
    const before = readFileSync(folder.registryFile, "utf8");
    const file = join(folder.path, "precious");
    writeFileSync(file, "precious");
    expect(() => addSourceKey(folder, lab.name, file)).toThrow("something else has its name");
    expect(() => addSourceKey(folder, lab.name, join(folder.path, "nowhere", "x.pem"))).toThrow("it isn't there");
    expect([readFileSync(folder.registryFile, "utf8"), readFileSync(file, "utf8")]).toEqual([before, "precious"]);
  });
  test("is for a source that there is", () => {
    expect(() => addSourceKey(folderWith(), "laboratory-z", "x.pem")).toThrow("has no source of that name");
  });
});

describe("a key that is dropped", () => {
  test("is gone, the other stays and may then have another beside it", () => {
    const folder = folderWith(lab);
    const [first, second] = [1, 2].map((n) => addSourceKey(folder, lab.name, join(folder.path, `${n}.pem`)).split("/")[1]!);
    dropSourceKey(folder, lab.name, first!);
    expect(labOf(folder).keys.map((key) => key.id)).toEqual([second]);
    expect(() => addSourceKey(folder, lab.name, join(folder.path, "3.pem"))).not.toThrow();
    expect(new Set(labOf(folder).keys.map((key) => key.id)).size).toBe(2);
  });
  test("is not the only one, and one that there is", () => {
    const folder = folderWith({ ...lab, keys: [{ id: "a", publicKey: createKeyPair().publicKey }] });
    expect(() => dropSourceKey(folder, lab.name, "a")).toThrow("only key of the source laboratory-a");
    expect(() => dropSourceKey(folder, lab.name, "b")).toThrow("it has a");
    expect(labOf(folder).keys.length).toBe(1);
  });
});

describe("a folder of the time of secrets", () => {
  test("gets keys for its own sources, once, and says so; those of others are for their operator", () => {
    const folder = folderWith();
    const [local, history] = [{ name: "local", feeds: ["*", "packs"], secret }, { name: "history", feeds: ["*"], secret, history: true }];
    writeSources(folder, [local, history]);
    const lines: string[] = [];
    giveOwnSourcesKeys(folder, (line) => lines.push(line));
    expect(lines).toEqual(["local and history have keys from now on instead of a secret, in the folder's secrets"]);
    const after = readRegistry(folder.registryFile).sources;
    expect(after.map(({ name, feeds, history }) => ({ name, feeds, history }))).toEqual([{ name: "local", feeds: ["*", "packs"] }, { name: "history", feeds: ["*"], history: true }]);
    for (const name of ["local", "history"] as const) expect(ownSigner(folder, name).source).toBe(name);
    expect(readFileSync(folder.registryFile, "utf8")).not.toContain(secret);
    giveOwnSourcesKeys(folder, (line) => lines.push(line));
    expect([lines.length, readRegistry(folder.registryFile).sources]).toEqual([1, after]);

    writeSources(folder, [local, { ...lab, secret }]);
    giveOwnSourcesKeys(folder, (line) => lines.push(line));
    expect(lines[1]).toContain("local has a key");
    expect(() => readRegistry(folder.registryFile)).toThrow("run fangxing key add laboratory-a FILE");
  });
});

test("a private key of the folder's own that fits none in access.json is an error that says what to do", () => {
  const folder = folderWith();
  writeFileSync(join(folder.path, "secrets", "local.pem"), createKeyPair().privateKeyPem);
  expect(() => ownSigner(folder, "local")).toThrow("holds none of the keys that");
});

describe("fangxing key", () => {
  test("adds and drops, by the name that signatures use", async () => {
    const folder = folderWith(lab);
    writeState(folder, { format: 4, id: "x", demo: null });
    const run = (...words: string[]) => cli(["key", ...words, "--data", folder.path]);
    const added = await run("add", lab.name, join(folder.path, "1.pem"));
    expect([added.status, added.out]).toEqual([0, expect.stringMatching(/^laboratory-a\/\d{4}-\d\d-\d\d signs as the source laboratory-a when the service is started again/) as string]);
    await run("add", lab.name, join(folder.path, "2.pem"));
    const third = await run("add", lab.name, join(folder.path, "3.pem"));
    expect([third.status, third.err]).toEqual([2, expect.stringContaining("has 2 keys") as string]);
    expect((await run("drop", lab.name, labOf(folder).keys[0]!.id)).status).toBe(0);
    expect(labOf(folder).keys.length).toBe(1);
  });
  test.each([[[]], [["add"]], [["add", "laboratory-a"]], [["drop", "laboratory-a"]], [["list", "laboratory-a", "x"]]])("without the words it needs says which: %j", async (words) => {
    const { status, err } = await cli(["key", ...words, "--data", temporaryFolder()]);
    expect([status, err]).toEqual([2, expect.stringContaining("key add SOURCE FILE") as string]);
  });
});
