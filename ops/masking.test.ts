import { expect, test } from "vitest";
import { withoutNumbers } from "./masking.ts";

const HIDDEN = "(a word that may hold a number)";

test.each([
  ["a resident ID", ["import", "11010519491231002X"], '"11010519491231002X" is no feed', `"${HIDDEN}" is no feed`],
  ["one whose check digit is wrong", ["110105194912310021"], "110105194912310021 is none", `${HIDDEN} is none`],
  ["one with blanks", ["110105 19491231 002X"], '"110105 19491231 002X" is none', `"${HIDDEN}" is none`],
  ["one with hyphens, as a path", ["./110-105-1949-1231-002X"], "/srv/110-105-1949-1231-002X is none", `/srv/${HIDDEN} is none`],
  ["one in full-width digits", ["１１０１０５１９４９１２３１００２Ｘ"], "１１０１０５１９４９１２３１００２Ｘ is none", `${HIDDEN} is none`],
  ["a phone", ["138-1234-5678"], "138-1234-5678 is none", `${HIDDEN} is none`],
  ["a passport", ["E12345678"], "E12345678 is none", `${HIDDEN} is none`],
  ["an option", ["--E12345678=x"], "--E12345678 is no option", `${HIDDEN} is no option`],
  ["an option's value", ["--data=a/E12345678/b"], "/home/a/E12345678/b is none", `/home/a/${HIDDEN}/b is none`],
  ["one number that begins another", ["123456", "1234567"], "1234567 and 123456", `${HIDDEN} and ${HIDDEN}`],
])("%s is not repeated", (_, words, text, masked) => {
  expect(withoutNumbers(text, words)).toBe(masked);
});

test("what was not typed is left, and so are words of under six digits in a row, dates and instants", () => {
  const words = ["import", "tests", "results-2022-06-09.ndjson", "--at", "2022-06-09T07:30:00+08:00", "12345", "--lookup-port", "70000"];
  const text = "process 1234567: results-2022-06-09.ndjson, 2022-06-09T07:30:00+08:00, 12345, 70000";
  expect(withoutNumbers(text, words)).toBe(text);
});
