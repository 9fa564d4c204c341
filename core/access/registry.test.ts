import { generateKeyPairSync } from "node:crypto";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../test/support.ts";
import { readRegistry, RegistryError } from "./registry.ts";
import { createKeyPair } from "./keyPair.ts";

const { publicKey } = createKeyPair();
const gate = { name: "gate-1", class: "gate", venue: "boarding", publicKey };
const labKey = { id: "2022-06", publicKey };
const lab = { name: "lab-1", feeds: ["tests"], keys: [labKey] };

/** Writes access.json with these contents and mode. */
function fileOf(content: unknown, mode = 0o600): string {
  const file = join(temporaryFolder(), "access.json");
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  chmodSync(file, mode);
  return file;
}
const read = (devices: unknown, sources: unknown = []): unknown => readRegistry(fileOf({ devices, sources }));

test("a sound file comes back as it is", () => {
  const registry = { devices: [gate, { name: "desk.2", class: "staff", venue: "venue", publicKey }], sources: [lab, { ...lab, name: "city", history: true, rowsPerSecond: 500, rowsAtOnce: 1000 }] };
  expect(readRegistry(fileOf(registry))).toEqual(registry);
});
test("a device without a kind of venue stands at a usual one", () => {
  expect(readRegistry(fileOf({ devices: [{ name: "gate-2", class: "gate", publicKey }], sources: [] })).devices[0]?.venue).toBe("venue");
});
test.each([10, 2000, 10_000_000])("a device may have a rate of its own: %i scans a second", (scansPerSecond) => {
  expect(readRegistry(fileOf({ devices: [{ ...gate, scansPerSecond }], sources: [] })).devices[0]?.scansPerSecond).toBe(scansPerSecond);
});
test("nobody at all is a registry too", () => {
  expect(read([])).toEqual({ devices: [], sources: [] });
});

describe("who can read the file", () => {
  test.each([0o600, 0o400, 0o700])("mode %o: its owner alone, fine", (mode) => {
    expect(() => readRegistry(fileOf({ devices: [], sources: [] }, mode))).not.toThrow();
  });
  test.each([0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o644, 0o666, 0o777])("mode %o: others too, refused with what to do", (mode) => {
    const file = fileOf({ devices: [], sources: [] }, mode);
    expect(() => readRegistry(file)).toThrow(`${file} can be read by others: run chmod 600`);
  });
  test("the mode is looked at first: a broken file that others can read is told of by its mode", () => {
    expect(() => readRegistry(fileOf("{", 0o644))).toThrow(/chmod 600/);
  });
});

describe("a fault names the file and the field", () => {
  test.each([
    ["a name in capitals", [{ ...gate, name: "Gate-1" }], [], "devices.0.name"],
    ["a name that begins with a dot", [{ ...gate, name: ".gate" }], [], "devices.0.name"],
    ["an empty name", [{ ...gate, name: "" }], [], "devices.0.name"],
    ["a name of 65 characters", [{ ...gate, name: "g".repeat(65) }], [], "devices.0.name"],
    ["a name with the bar that parts a fact's source from its id", [], [{ ...lab, name: "lab|1" }], "sources.0.name"],
    ["a name with the sign that parts a token", [{ ...gate, name: "gate~1" }], [], "devices.0.name"],
    ["a name with a line feed", [{ ...gate, name: "gate\n" }], [], "devices.0.name"],
    ["a class that there isn't", [gate, { ...gate, name: "b", class: "door" }], [], "devices.1.class"],
    ["a key that isn't base64", [{ ...gate, publicKey: "no key!" }], [], "devices.0.publicKey"],
    ["no key", [{ name: "a", class: "gate" }], [], "devices.0.publicKey"],
    ["a source without feeds", [], [{ ...lab, feeds: [] }], "sources.0.feeds"],
    ["a source without keys", [], [{ ...lab, keys: [] }], "sources.0.keys: must have at least 1 entry"],
    ["a source that doesn't name its keys", [], [{ name: "lab-1", feeds: ["tests"] }], "sources.0.keys: is missing"],
    ["a source with three keys", [], [{ ...lab, keys: [labKey, { ...labKey, id: "b" }, { ...labKey, id: "c" }] }], "sources.0.keys: must have at most 2 entries"],
    ["a source's key that isn't base64", [], [{ ...lab, keys: [{ ...labKey, publicKey: "…" }] }], "sources.0.keys.0.publicKey"],
    ["a source's key without an id", [], [{ ...lab, keys: [{ publicKey }] }], "sources.0.keys.0.id"],
    ["a key's id with the slash that parts a source from its key", [], [{ ...lab, keys: [{ ...labKey, id: "a/b" }] }], "sources.0.keys.0.id"],
    ["a quota of no row", [], [{ ...lab, rowsPerSecond: 0 }], "sources.0.rowsPerSecond: must be at least 1"],
    ["a quota of ten million rows and one", [], [{ ...lab, rowsPerSecond: 10_000_001 }], "sources.0.rowsPerSecond: must be at most 10000000"],
    ["no row at once", [], [{ ...lab, rowsAtOnce: 0 }], "sources.0.rowsAtOnce: must be at least 1"],
    ["history that is neither true nor false", [], [{ ...lab, history: "yes" }], "sources.0.history"],
    ["a rate of 9 scans a second", [{ ...gate, scansPerSecond: 9 }], [], "devices.0.scansPerSecond: must be at least 10"],
    ["a rate of ten million and one", [{ ...gate, scansPerSecond: 10_000_001 }], [], "devices.0.scansPerSecond: must be at most 10000000"],
    ["a rate that is no whole number", [{ ...gate, scansPerSecond: 10.5 }], [], "devices.0.scansPerSecond: must be a whole number"],
    ["a rate that is no number", [{ ...gate, scansPerSecond: "2000" }], [], "devices.0.scansPerSecond: must be a number"],
    ["an unknown field", [{ ...gate, colour: "red" }], [], "colour"],
    ["devices that are no list", {}, [], "devices"],
  ])("%s", (_, devices, sources, field) => {
    const file = fileOf({ devices, sources });
    expect(() => readRegistry(file)).toThrow(field);
    expect(() => readRegistry(file)).toThrow(file);
  });
  test("several faults are told at once, one a line", () => {
    expect(() => read([{ ...gate, name: "A" }, { ...gate, class: "door" }])).toThrow(/devices\.0\.name.*\n.*devices\.1\.class/);
  });
  test("a name of 64 characters is fine", () => {
    expect(() => read([{ ...gate, name: "g".repeat(64) }])).not.toThrow();
  });
  test.each<[string, unknown, string]>([
    ["history that is no boolean", { devices: [], sources: [{ ...lab, history: "yes" }] }, "sources.0.history: must be true or false"],
    ["no key", { devices: [{ name: "a", class: "gate" }], sources: [] }, "devices.0.publicKey: is missing: it must be a text"],
    ["an unknown field", { devices: [], sources: [], people: [] }, "people: is no field of access.json: remove it or correct its name"],
    ["a list", [], "it: must be an object with named fields"],
    ["no JSON", '{"devices": [', "is no JSON: look for a comma, a quote or a bracket"],
  ])("%s is said in our own words", (_, content, words) => {
    expect(() => readRegistry(fileOf(content))).toThrow(RegistryError);
    expect(() => readRegistry(fileOf(content))).toThrow(words);
  });
  test("a file that isn't there is an error with its name", () => {
    const file = join(temporaryFolder(), "access.json");
    expect(() => readRegistry(file)).toThrow(file);
  });
  test("a file that is no JSON is an error with its name", () => {
    const file = fileOf('{"devices": [');
    expect(() => readRegistry(file)).toThrow(file);
  });
});

describe("names", () => {
  test("twice among the devices: refused with the name", () => {
    expect(() => read([gate, { ...gate, class: "kiosk" }])).toThrow(/devices: the name gate-1 stands twice/);
  });
  test("twice among the sources: refused with the name", () => {
    expect(() => read([], [lab, { ...lab, feeds: ["trips"] }])).toThrow(/sources: the name lab-1 stands twice/);
  });
  test("of a device and of a source may be the same", () => {
    expect(() => read([{ ...gate, name: "a" }], [{ ...lab, name: "a" }])).not.toThrow();
  });
});

describe("keys of sources", () => {
  test("are one or two, each with an id of its own", () => {
    const two = [labKey, { id: "2022-07", publicKey: createKeyPair().publicKey }];
    expect(readRegistry(fileOf({ devices: [], sources: [{ ...lab, keys: two }] })).sources[0]?.keys).toEqual(two);
    expect(() => read([], [{ ...lab, keys: [labKey, { ...two[1], id: labKey.id }] }])).toThrow("the source lab-1 has two keys of the id 2022-06");
  });
  test("of two sources may have the same id", () => {
    expect(() => read([], [lab, { ...lab, name: "lab-2" }])).not.toThrow();
  });
  test.each([
    ["half a key", publicKey.slice(0, 28)],
    ["a key for another use", generateKeyPairSync("x25519").publicKey.export({ type: "spki", format: "der" }).toString("base64")],
  ])("must be of Ed25519: %s is none", (_, unusable) => {
    expect(() => read([], [lab, { ...lab, name: "lab-2", keys: [{ ...labKey, publicKey: unusable }] }])).toThrow("the publicKey of lab-2/2022-06 is no Ed25519 key");
  });
  test("in the place of which a secret stands, as it did once: an error that says what to do, and not the secret", () => {
    const secret = Buffer.alloc(32, 7).toString("base64");
    const reading = (): unknown => read([], [lab, { name: "lab-2", feeds: ["tests"], secret }]);
    expect(reading).toThrow("run fangxing key add lab-2 FILE");
    expect(reading).not.toThrow(secret);
  });
});
