// Flat CSV uploads: every rule once, and the real files.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { document, keyring, NOW, residentId } from "../../test/ingestSupport.ts";
import { openReading, readBatch } from "./batch.ts";
import { BodyError } from "./body.ts";
import { readRow, type Intake } from "./facts.ts";

const intake: Intake = { keyring, source: "source-a", now: NOW, isHistory: false };
const HEADER = "patient_id,accession_number,equipment_model_name,test_performed_code,test_result,specimen_collection_date,test_result_date,test_result_status,testing_lab_name";
const CELLS = { patient: residentId(1), number: "a-1", kit: "ID NOW", code: "94534-5", result: "Not Detected", sampled: "6/8/2022 9:30", issued: "6/8/2022 20:00", status: "F", laboratory: '"Laboratory A, east"' };
const lineOf = (change: Partial<typeof CELLS> = {}): string => Object.values({ ...CELLS, ...change }).join(",");
const read = (...lines: string[]) => readBatch("tests", "csv", [HEADER, ...lines].join("\n"), intake);
const ROW = { factId: "a-1/94534-5", document: document(1), sampledAt: "2022-06-08T09:30:00+08:00", issuedAt: "2022-06-08T20:00:00+08:00", result: "negative", laboratory: "Laboratory A, east" };

test("a line is the row that NDJSON would be", () => {
  expect(read(lineOf())).toEqual({ rows: [readRow("tests", ROW, intake)], accepted: 1, refusedCount: 0, refused: [], ignored: 0 });
});
test.each([
  ["Detected", "positive"],
  ["260373001", "positive"],
  ["NOT DETECTED", "negative"],
  ["Invalid Result", "invalid"],
  ["419984006", "inconclusive"],
])("the result %s is %s", (result, expected) => {
  expect(read(lineOf({ result })).rows).toMatchObject([{ fact: { result: expected } }]);
});
test.each([
  ["6/8/2022", "2022-06-08"],
  ["20220608", "2022-06-08"],
  ["202206080930-0500", "2022-06-08T09:30:00-05:00"],
  ["2022-06-08 09:30:00.000", "2022-06-08T09:30:00+08:00"],
  ["2022-06-08T09:30-04:00", "2022-06-08T09:30:00-04:00"],
])("the time %s is read", (sampled, sampledAt) => {
  expect(read(lineOf({ sampled, issued: "6/8/2022 23:00" })).rows).toEqual([readRow("tests", { ...ROW, sampledAt, issuedAt: "2022-06-08T23:00:00+08:00" }, intake)]);
});
test("a correction is a revision, and what is taken back is invalid", () => {
  expect(read(lineOf({ status: "C", result: "Detected" })).rows).toMatchObject([{ fact: { result: "positive", revision: Date.parse("2022-06-08T20:00:00+08:00") / 1000 } }]);
  expect(read(lineOf({ status: "W" })).rows).toMatchObject([{ fact: { result: "invalid" } }]);
});
test("without a code the test kit says which test it was, where it has one of this virus alone", () => {
  expect(read(lineOf({ code: "" })).rows).toEqual([readRow("tests", ROW, intake)]);
  expect(read(lineOf({ code: "", kit: "some kit" })).refused).toMatchObject([{ line: 2, field: "test_performed_code" }]);
});
test("other analytes are counted", () => {
  expect(read(lineOf({ code: "5229-0" }))).toMatchObject({ accepted: 0, refusedCount: 0, ignored: 1 });
});
test.each<[Partial<typeof CELLS>, string]>([
  [{ patient: "1234" }, "patient_id"],
  [{ number: "" }, "accession_number"],
  [{ code: "94563-4" }, "test_performed_code"],
  [{ code: "94534-6" }, "test_performed_code"],
  [{ result: "maybe" }, "test_result"],
  [{ result: "" }, "test_result"],
  [{ sampled: "" }, "specimen_collection_date"],
  [{ sampled: "6/8/2022 9:30 PST" }, "specimen_collection_date"],
  [{ issued: "x" }, "test_result_date"],
  [{ status: "P" }, "test_result_status"],
])("a line with %j is refused by its column, and harms no other", (change, field) => {
  expect(read(lineOf(change), lineOf({ patient: residentId(2) }))).toMatchObject({ accepted: 1, refused: [{ line: 2, field }] });
});
test("thousands of lines with faults among them, cut anywhere: each fault is told by its line", () => {
  const lines = Array.from({ length: 4000 }, (_, i) => lineOf(i % 1000 === 7 ? { patient: "x", number: '"two\nlines"' } : i % 1000 === 8 ? { result: "x" } : { number: `a-${i}` }));
  const bytes = Buffer.from([HEADER, ...lines, ",,,,,,,,"].join("\r\n"));
  const reading = openReading("tests", "csv", intake);
  for (let at = 0; at < bytes.length; at += 997) reading.write(bytes.subarray(at, at + 997));
  reading.end();
  expect([reading.accepted, reading.refusedCount, reading.drain().length]).toEqual([3992, 8, 3992]);
  expect(reading.refused.map(({ line, field }) => `${line} ${field}`)).toEqual([0, 1, 2, 3].flatMap((k) => [`${9 + 1000 * k + k} patient_id`, `${9 + 1000 * k + k + 2} test_result`]));
});

const folders = ["simplereport", "csv"].map((name) => new URL(`../../../shared/data/lab/${name}/`, import.meta.url));
describe.skipIf(!folders.every((folder) => existsSync(folder)))("the real files", () => {
  const files = folders.filter((folder) => existsSync(folder)).flatMap((folder) => readdirSync(folder).filter((file) => file.endsWith(".csv")).map((file) => new URL(file, folder)));
  /** Counted by looking at the files: lines below the header, and those among them whose code is of no SARS-CoV-2 test. */
  const EXPECTED: Record<string, [lines: number, ignored: number]> = {
    "testResultUpload__test-results-upload-all-fields.csv": [2, 0],
    "testResultUpload__test-results-upload-valid-4000-rows.csv": [3999, 0],
    "testResultUpload__test-results-upload-valid-different-results.csv": [6, 0],
    "testResultUpload__test-results-upload-valid-with-flu-results.csv": [3, 1],
    "testResultUpload__test-results-upload-valid-flu-only.csv": [1, 1],
    "testResultUpload__test-results-upload-valid-hiv-only.csv": [1, 1],
    "testResultUpload__test-results-upload-integration.csv": [5, 0],
    "fake-pdi-covid-19.csv": [40, 0],
    "pdi-covid-19-wa-k12.csv": [14, 0],
    "simplereport.csv": [50, 0],
  };
  test.each(files)("%s is read to its end: patients are foreign, so that each line is refused, by a column of the file", (file) => {
    const bytes = readFileSync(file);
    try {
      const { accepted, refused, refusedCount, ignored } = readBatch("tests", "csv", bytes, intake);
      expect(accepted).toBe(0);
      const header = bytes.toString("latin1").split(/[\r\n]/, 1)[0]!.replaceAll('"', "");
      for (const { field, reason } of refused) expect([header.includes(field), reason.length > 5]).toEqual([true, true]);
      const expected = EXPECTED[file.pathname.split("/").at(-1)!];
      if (expected) expect([refusedCount + ignored, ignored]).toEqual(expected);
    } catch (error) {
      expect(error).toBeInstanceOf(BodyError);
      expect((error as BodyError).problem.detail).toMatch(/must name the columns|UTF-8/);
    }
  });
});
