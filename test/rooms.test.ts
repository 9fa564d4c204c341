// The rooms and who may know whom: reads every import as text and fails on one that is not allowed.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Which rooms each room may import. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  "core/domain": [],
  "core/policy": ["core/domain"],
  "core/evidence": ["core/domain"],
  "core/entry": ["core/domain"],
  "core/access": ["core/domain"],
  "core/front": ["core/domain", "core/access"],
  "core/ingest": ["core/domain", "core/policy", "core/evidence", "core/entry", "core/access"],
  "core/explain": ["core/domain", "core/policy", "core/evidence", "core/access", "core/front"],
  "core/lookup": ["core/domain", "core/entry", "core/access", "core/front"],
  bench: ["core/explain", "core/domain", "core/policy", "core/evidence", "core/entry", "core/access", "core/front", "core/ingest", "core/lookup"],
  loadtest: [],
  ops: ["core/explain", "core/domain", "core/policy", "core/evidence", "core/entry", "core/access", "core/front", "core/ingest", "core/lookup"],
};

/** Libraries and calls that belong to files of one kind. */
const KEPT: readonly { readonly what: string; readonly found: RegExp; readonly files: RegExp }[] = [
  { what: "lmdb", found: /["']lmdb["']/, files: /^core\/entry\/store\.ts$|^core\/evidence\/(store|regions|holders|changes|retention|rewrite)\.ts$|^core\/ingest\/(inbox|nonces)\.ts$/ },
  { what: "bullmq", found: /["']bullmq["']/, files: /^core\/ingest\/queue\.ts$|^bench\/peers\// },
  { what: "Bun.serve", found: /Bun\.serve\(/, files: /^core\/front\/bun\.ts$|^core\/ingest\/server\.ts$|^bench\/peers\// },
  { what: "uWebSockets.js", found: /["']uWebSockets\.js["']/, files: /^core\/front\/uws\.ts$/ },
  { what: "Date.now", found: /Date\.now\(|new Date\(\)/, files: /^core\/domain\/clock\.ts$/ },
];

interface SourceFile {
  readonly path: string;
  readonly text: string;
}

function sourceFiles(): SourceFile[] {
  const folders = ["core", "bench", "loadtest", "ops"].filter((folder) => existsSync(join(ROOT, folder)));
  return folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => /\.(ts|mjs)$/.test(name) && !name.endsWith(".test.ts"))
      .map((name) => ({ path: join(folder, name), text: readFileSync(join(ROOT, folder, name), "utf8") })),
  );
}

function roomOf(path: string): string | undefined {
  return Object.keys(MAY_IMPORT).find((room) => path.startsWith(`${room}/`));
}

/** Paths of the project that a file imports, statically or not. */
function importsOf({ path, text }: SourceFile): string[] {
  const found = text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g);
  return [...found].map((m) => relative(ROOT, resolve(join(ROOT, dirname(path)), m[1]!)));
}

/** What is wrong with a file's imports. */
export function importFaults(file: SourceFile): string[] {
  const room = roomOf(file.path);
  if (room === undefined) return [`${file.path} lies in no room`];
  return importsOf(file).flatMap((target) => {
    const other = roomOf(target);
    if (other === room) return [];
    if (other === undefined) return [`${file.path} imports ${target}, which lies in no room`];
    if (!MAY_IMPORT[room]!.includes(other)) return [`${file.path} imports ${target}: ${room} may not know ${other}`];
    return target === `${other}/index.ts` ? [] : [`${file.path} imports ${target}: another room is imported through its index.ts`];
  });
}

describe("rooms", () => {
  const files = sourceFiles();

  test("every file of every room is read", () => {
    for (const room of Object.keys(MAY_IMPORT).filter((r) => r !== "loadtest")) expect(files.some((f) => f.path.startsWith(`${room}/`)), room).toBe(true);
  });

  test("no room imports one that it may not know, and others only through their index", () => {
    expect(files.flatMap(importFaults)).toEqual([]);
  });

  test.each(KEPT)("$what is used only where it belongs", ({ found, files: allowed }) => {
    expect(files.filter((f) => found.test(f.text) && !allowed.test(f.path)).map((f) => f.path)).toEqual([]);
    expect(files.some((f) => found.test(f.text))).toBe(true);
  });

  test("the check itself finds forbidden imports", () => {
    const faults = (path: string, text: string): number => importFaults({ path, text }).length;
    expect(faults("core/lookup/x.ts", 'import { a } from "../policy/index.ts";')).toBe(1);
    expect(faults("core/domain/x.ts", 'import type { a } from "../entry/index.ts";')).toBe(1);
    expect(faults("core/ingest/x.ts", 'const a = await import("../lookup/index.ts");')).toBe(1);
    expect(faults("core/ingest/x.ts", 'import { a } from "../entry/codec.ts";')).toBe(1);
    expect(faults("core/ingest/x.ts", 'import { a } from "../entry/index.ts";')).toBe(0);
  });
});
