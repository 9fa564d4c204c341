// Flat CSV files of tests, as laboratories upload them to SimpleReport, ReportStream and HHS, told by their header; one result a line.
// Promises: every line becomes a row, is counted as another analyte's, or is refused with the name of its column.
// Not here: CSV itself (csv.ts), what codes mean (labCodes.ts).

import { bindsFrom, parseMoment, type Refusal } from "../domain/index.ts";
import type { RecordReader } from "./csv.ts";
import { findVirusTest, labResult, quoteCode, whyNoResult } from "./labCodes.ts";
import { virusTestOfKit } from "./loinc.ts";
import type { TestRow } from "./rows.ts";

/** What is read, and in which columns it may stand, in lower case; the first that is there and not empty serves. */
const COLUMNS = {
  patient: ["patient_id", "patientuniqueid"],
  code: ["test_performed_code", "ordered_test_code", "testordered"],
  kit: ["equipment_model_name", "device_id", "devicename"],
  result: ["test_result", "test_result_code", "testresult"],
  number: ["accession_number", "result_id", "testid"],
  sampled: ["specimen_collection_date", "specimen_collection_date_time", "specimencollecteddate", "order_test_date", "testordereddate"],
  issued: ["test_result_date", "test_date", "testresultdate", "date_result_released", "testreportdate"],
  status: ["test_result_status"],
  laboratory: ["testing_lab_name", "performingfacility"],
} as const;
type Part = keyof typeof COLUMNS;
const NEEDED: readonly Part[] = ["patient", "code", "result", "number", "issued"];

/** How to read records under this header, or undefined when it is none of these. */
export function flatTestReader(header: readonly string[]): RecordReader | undefined {
  const names = header.map((name) => name.toLowerCase());
  const places = Object.fromEntries(Object.entries(COLUMNS).map(([part, columns]) => [part, columns.map((column) => names.indexOf(column)).filter((at) => at >= 0)])) as unknown as Record<Part, number[]>;
  if (NEEDED.some((part) => places[part].length === 0)) return undefined;
  return (cells, line) => {
    /** The text of a part, and the column that it stands in, or would. */
    const read = (part: Part): { text: string; field: string } => {
      const at = places[part].find((place) => cells[place]!.trim() !== "") ?? places[part][0];
      return at === undefined ? { text: "", field: COLUMNS[part][0] } : { text: cells[at]!.trim(), field: header[at]! };
    };
    const row = rowOf(read);
    if (row === null) return null;
    return "reason" in row ? { line, refusal: row } : { line, row, revisionFrom: read("issued").field };
  };
}

function rowOf(read: (part: Part) => { text: string; field: string }): TestRow | Refusal | null {
  const [patient, code, result, status] = [read("patient"), read("code"), read("result"), read("status")];
  // A code says what was tested, whatever its name: where there is none, the kit does.
  const test = findVirusTest([{ code: code.text || (virusTestOfKit(read("kit").text) ?? ""), name: "", isLoinc: false }]);
  if (!test) {
    if (code.text === "") return { field: code.field, reason: "is empty, and the test kit's name does not say which test it was" };
    return null;
  }
  if (test.fault !== undefined) return { field: code.field, reason: test.fault };
  const said = status.text.toUpperCase();
  const isWithdrawn = ["D", "W", "X"].includes(said);
  if (!isWithdrawn && !["", "F", "C"].includes(said)) return { field: status.field, reason: `status ${quoteCode(status.text)} is not final` };
  const outcome = isWithdrawn ? "invalid" : labResult(result.text);
  if (!outcome) return { field: result.field, reason: result.text === "" ? "is empty" : whyNoResult(result.text) };
  if (!/^\d{17}[\dXx]$/.test(patient.text)) return { field: patient.field, reason: "must be the patient's resident ID number of 18 characters: other documents can be sent by other formats" };
  const number = read("number");
  if (number.text === "") return { field: number.field, reason: "is empty: the result has no number" };
  const times: { iso: string; seconds: number }[] = [];
  for (const { text, field } of [read("sampled"), read("issued")]) {
    if (text === "") return { field, reason: "is empty: a result without a time can't be used" };
    const time = timeOf(text);
    if (!time) return { field, reason: "must be a date, or a date and time, such as 2022-06-09 or 6/9/2022 7:30 (Beijing time) or 202206090730+0800; names of zones are not read" };
    times.push(time);
  }
  const [sampledAt, issuedAt] = times;
  const row: TestRow = { factId: `${number.text}/${test.code}`, document: { type: "resident-id", number: patient.text }, sampledAt: sampledAt!.iso, issuedAt: issuedAt!.iso, result: outcome, laboratory: read("laboratory").text };
  if (said === "C" || isWithdrawn) row.revision = issuedAt!.seconds;
  return row;
}

const FORMS = [
  /^(?<year>\d{4})(?<month>\d\d)(?<day>\d\d)(?:(?<hour>\d\d)(?<minute>\d\d)(?:\d\d(?:\.\d+)?)?)?(?<zone>[+-]\d\d:?\d\d)?$/,
  /^(?<year>\d{4})-(?<month>\d{1,2})-(?<day>\d{1,2})(?:[T ](?<hour>\d{1,2}):(?<minute>\d\d)(?::\d\d(?:\.\d+)?)?(?<zone>Z|[+-]\d\d:?\d\d)?)?$/,
  /^(?<month>\d{1,2})\/(?<day>\d{1,2})\/(?<year>\d{4})(?: (?<hour>\d{1,2}):(?<minute>\d\d)(?::\d\d)?)?$/,
];

/** To the minute, as these files are; without a zone it is Beijing time, a date stays a date. */
function timeOf(text: string): { iso: string; seconds: number } | undefined {
  const parts = FORMS.map((form) => form.exec(text)?.groups).find((groups) => groups !== undefined);
  if (!parts) return undefined;
  const two = (part: string | undefined): string => part!.padStart(2, "0");
  const zone = (parts["zone"] ?? "+08:00").replace(/^(.\d\d):?(\d\d)$/, "$1:$2");
  const date = `${parts["year"]!}-${two(parts["month"])}-${two(parts["day"])}`;
  const iso = parts["hour"] === undefined ? date : `${date}T${two(parts["hour"])}:${two(parts["minute"])}:00${zone}`;
  const moment = parseMoment(iso);
  return moment && { iso, seconds: bindsFrom(moment) };
}
