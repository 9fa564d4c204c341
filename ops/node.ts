// Finding a Node that can run this project: its TypeScript is read by stripping types, which Node does from 22.18 on.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { UsageError } from "./settings.ts";

/** Where versions of 22 begin to strip types unasked. */
const VERSION_MIN = [22, 18] as const;

/** The first Node on the path that is new enough, with what goes before a script's name. @throws UsageError when there is none. */
export function nodeCommand(path = process.env["PATH"] ?? ""): string[] {
  const found: string[] = [];
  for (const file of path.split(delimiter).map((folder) => join(folder, "node"))) {
    const version = existsSync(file) ? versionOf(file) : undefined;
    if (version === undefined) continue;
    const [major = 0, minor = 0] = version.split(".").map(Number);
    if (major > VERSION_MIN[0] || (major === VERSION_MIN[0] && minor >= VERSION_MIN[1])) return [file, "--disable-warning=ExperimentalWarning"];
    found.push(version);
  }
  const those = found.length > 0 ? `those on the path are ${found.join(", ")}` : "there is none on the path";
  throw new UsageError(`the server uws runs under Node ${VERSION_MIN.join(".")} or newer, and ${those}: install one and put it first on the path, or choose --server bun`);
}

/** Undefined also of a Bun that answers to the name of Node. */
function versionOf(file: string): string | undefined {
  const { stdout, status } = spawnSync(file, ["-p", "process.versions.bun ? '' : process.versions.node"], { encoding: "utf8", timeout: 10_000 });
  return status === 0 && stdout.trim() !== "" ? stdout.trim() : undefined;
}
