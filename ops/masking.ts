// What may be somebody's number in the words of a command line, kept off the screen when a fault is said.

import { mayHoldNumber } from "../core/domain/index.ts";

const HIDDEN = "(a word that may hold a number)";

/**
 * A text without what these words hold that may be a number: a resident ID or a phone number, however it is spaced, and whatever has six digits in a row (numbers of
 * other documents, those with a wrong digit). Parts of paths and of options are looked at one by one, since a fault may name them in another way than they were typed.
 */
export function withoutNumbers(text: string, words: readonly string[]): string {
  const parts = words.flatMap((word) => word.split(/[/=]/)).filter((part) => mayHoldNumber(part) || /\p{Nd}{6}/u.test(part));
  return parts.sort((a, b) => b.length - a.length).reduce((masked, part) => masked.replaceAll(part, HIDDEN), text);
}
