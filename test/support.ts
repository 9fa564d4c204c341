// What tests of several rooms share: folders that vanish, clocks that stand still. Keys are in keys.ts.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach } from "vitest";
import type { Clock } from "../core/domain/index.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A new folder, removed after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "fangxing-test-"));
  folders.push(folder);
  return folder;
}

/** A clock that stands still until the test moves it. */
export function clockAt(seconds: number): Clock & { seconds: number } {
  return {
    seconds,
    nowMs() {
      return this.seconds * 1000;
    },
  };
}

/** A repeatable shuffle: fast-check draws the numbers, one for each item. */
export function shuffled<Item>(items: readonly Item[], numbers: readonly number[]): Item[] {
  const tagged = items.map((item, i) => ({ item, tag: numbers[i % numbers.length]!, i }));
  return tagged.sort((a, b) => a.tag - b.tag || a.i - b.i).map((t) => t.item);
}
