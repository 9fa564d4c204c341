// Invented people for benches.

import { residentIdCheck } from "../core/domain/index.ts";

export function documentOf(number: string): { type: string; number: string } {
  return { type: "resident-id", number };
}

/** Valid numbers of people who would be far over 120 years old. */
export function inventedNumber(i: number): string {
  const first17 = `1101011870${String(1 + (i % 12)).padStart(2, "0")}${String(1 + (Math.floor(i / 12) % 28)).padStart(2, "0")}${String(1 + Math.floor(i / 336)).padStart(3, "0")}`;
  return first17 + residentIdCheck(first17);
}
