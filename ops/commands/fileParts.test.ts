import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/support.ts";
import { partsOf, type Part } from "./fileParts.ts";

async function partsOfText(text: string, limits: { linesMax: number; bytesMax: number }): Promise<Part[]> {
  const file = join(temporaryFolder(), "file");
  writeFileSync(file, text);
  const parts: Part[] = [];
  for await (const part of partsOf(file, limits)) parts.push({ ...part, body: Uint8Array.from(part.body) });
  return parts;
}

test("parts are whole lines, no larger than they may be unless a line alone is, and together the file", async () => {
  const line = fc.string({ unit: fc.constantFrom("a", "é", " ", "\r"), maxLength: 20 });
  const texts = fc.tuple(fc.array(line, { maxLength: 30 }), fc.boolean()).map(([lines, ends]) => lines.join("\n") + (ends && lines.length > 0 ? "\n" : ""));
  await fc.assert(
    fc.asyncProperty(texts, fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 40 }), async (text, linesMax, bytesMax) => {
      const parts = await partsOfText(text, { linesMax, bytesMax });
      const lines = text.split("\n");
      expect(Buffer.concat(parts.map((p) => p.body)).toString()).toBe(text);
      for (const { body, firstLine, rows } of parts) {
        const own = Buffer.from(body).toString().replace(/\n$/, "").split("\n");
        expect(own).toEqual(lines.slice(firstLine - 1, firstLine - 1 + own.length));
        expect(rows).toBe(own.filter((l) => l.trim() !== "").length);
        expect(own.length).toBeLessThanOrEqual(linesMax);
        if (own.length > 1) expect(body.length).toBeLessThanOrEqual(bytesMax);
      }
      expect(parts.slice(0, -1).every(({ body }) => body.at(-1) === 0x0a)).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test("a file without a byte has no part", async () => {
  expect(await partsOfText("", { linesMax: 5, bytesMax: 5 })).toEqual([]);
});

test("what was delivered of a file is the same part when lines have been added behind it", async () => {
  const before = await partsOfText("a\nb\nc\nd\n", { linesMax: 2, bytesMax: 100 });
  const after = await partsOfText("a\nb\nc\nd\ne\n", { linesMax: 2, bytesMax: 100 });
  expect(after.slice(0, 2)).toEqual(before);
});

test("a last line without an end belongs to the part before it where there is room", async () => {
  const sizes = async (text: string): Promise<number[]> => (await partsOfText(text, { linesMax: 3, bytesMax: 6 })).map(({ body }) => body.length);
  expect(await sizes("a\nb\nc")).toEqual([5]);
  expect(await sizes("a\nb\nc\nd")).toEqual([6, 1]);
  expect(await sizes("a\nb\nccc")).toEqual([4, 3]);
});
