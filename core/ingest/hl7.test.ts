// HL7 v2 to rows: the real files against what was read from them by eye, and every rule once with a small message.

import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readHl7Rows } from "../../test/ingestSupport.ts";
import type { Refusal, TestResult } from "../domain/index.ts";
import { readHl7 } from "./hl7.ts";
import { differsInCheckDigit, loincCheckDigitHolds, sarsCov2Codes, virusTestKind, whyNoVirusTest } from "./loinc.ts";
import type { TestRow } from "./rows.ts";

const filesFolder = new URL("../../../shared/data/lab/hl7v2/", import.meta.url);
const haveFiles = existsSync(filesFolder);

interface ExpectedTest {
  message: number;
  obx: string;
  code: string;
  result?: TestResult;
  refused?: string;
  correction?: boolean;
  sampled: string;
  issued: string;
}
interface ExpectedFile {
  messages: number;
  types: string[];
  tests: ExpectedTest[];
}
const expected = (JSON.parse(readFileSync(new URL("../../test/fixtures/hl7v2-expected.json", import.meta.url), "utf8")) as { files: Record<string, ExpectedFile> }).files;

describe.skipIf(!haveFiles)("the real files", () => {
  test.each(Object.entries(expected))("%s", (file, { types, tests }) => {
    const text = readFileSync(new URL(file, filesFolder), "utf8");
    const read = readHl7(text).map(({ message, obx, code, result, fault, correction, sampled, issued }) => ({
      message,
      obx,
      code,
      ...(result === null ? { refused: fault!.field } : { result, correction }),
      sampled,
      issued,
    }));
    const byEye = tests.map(({ message, obx, code, result, refused, correction = false, sampled, issued }) => ({
      message,
      obx,
      code,
      ...(refused === undefined ? { result, correction } : { refused: refused.split(":")[0] }),
      sampled,
      issued,
    }));
    expect(read).toEqual(byEye);

    // Every patient is foreign: through the feed each test is refused, and only the tests are.
    const { rows, ignored } = readHl7Rows(text);
    const isSegment = (name: string): number => text.split(/[\r\n]+/).filter((line) => line.startsWith(`${name}|`)).length;
    expect(rows.every((row) => "refusal" in row)).toBe(true);
    if (types.every((type) => type === "ORU^R01")) expect(ignored + byEye.length).toBe(isSegment("OBX"));
    for (const line of text.split(/[\r\n]+/).filter((line) => line.startsWith("PID|"))) {
      const number = line.split("|")[3]!.split("^")[0]!;
      expect(JSON.stringify(rows)).not.toContain(number);
    }
  });

  test("a refusal says what stood there instead of a result", () => {
    const [name] = Object.keys(expected).filter((file) => file.includes("sample-batch-pdi"));
    const reasons = readHl7(readFileSync(new URL(name!, filesFolder), "utf8")).flatMap(({ fault }) => fault?.reason ?? []);
    expect(new Set(reasons)).toEqual(
      new Set(["840539006 is a disease, not a result", "840533007 is an organism, not a result", "840544004 is a suspicion, not a result", "840534001 is a procedure, not a result", "840546002 is an exposure, not a result"]),
    );
  });
});

// --- Small messages, made up; the number is the example of GB 11643 ---

const number = "11010519491231002X";
const MSH = "MSH|^~\\&|LIS|LAB|||20220609080000+0800||ORU^R01^ORU_R01|1|P|2.5.1";
const PID = `PID|1||${number}^^^^NNCHN`;
const OBR = "OBR|1|P1|F1|94531-1^panel^LN|||20220608093000|||||||||||||||20220608200000";
const OBX = obx({});
const SPM = "SPM|1|||258500001^swab^SCT|||||||||||||20220608091500+0800";

/** An OBX of a negative nucleic acid test, with some of its fields replaced. */
function obx(fields: Record<number, string>): string {
  const all: Record<number, string> = { 1: "1", 2: "CWE", 3: "94500-6^SARS-CoV-2 RNA^LN", 5: "260415000^Not detected^SCT", 11: "F", 19: "20220608180000+0800", 23: "Lab 1", 24: "^^^^^CHN^^^110105", ...fields };
  return ["OBX", ...Array.from({ length: 24 }, (_, i) => all[i + 1] ?? "")].join("|");
}

function rowsOf(...lines: string[]): ReturnType<typeof readHl7Rows>["rows"] {
  return readHl7Rows(lines.join("\r")).rows;
}

function rowOf(...lines: string[]): TestRow {
  const rows = rowsOf(...lines);
  expect(rows).toHaveLength(1);
  if (!("row" in rows[0]!)) throw new Error(`refused: ${JSON.stringify(rows[0])}`);
  return rows[0].row;
}

function refusalOf(...lines: string[]): Refusal {
  const rows = rowsOf(...lines);
  expect(rows).toHaveLength(1);
  if (!("refusal" in rows[0]!)) throw new Error(`read: ${JSON.stringify(rows[0])}`);
  expect(rows[0].refusal.reason).not.toContain(number);
  return rows[0].refusal;
}

const withObx = (fields: Record<number, string>): string[] => [MSH, PID, OBR, obx(fields), SPM];
const withPid3 = (identifiers: string): string[] => [MSH, `PID|1||${identifiers}`, OBR, OBX, SPM];
const withSampled = (time: string): string[] => [MSH, PID, OBR, OBX, `SPM|1||||||||||||||||${time}`];

test("a whole message becomes a whole row", () => {
  expect(readHl7Rows([MSH, PID, OBR, OBX, SPM].join("\r"))).toEqual({
    rows: [
      {
        line: 4,
        revisionFrom: "MSH-7",
        row: {
          factId: "F1/1",
          document: { type: "resident-id", number },
          sampledAt: "2022-06-08T09:15:00+08:00",
          issuedAt: "2022-06-08T18:00:00+08:00",
          result: "negative",
          laboratory: "Lab 1",
          county: "110105",
        },
      },
    ],
    ignored: 0,
  });
});

describe("who", () => {
  test("a passport with its issuer", () => {
    expect(rowOf(...withPid3("E12345678^^^CHN&2.16.156&ISO^PPN")).document).toEqual({ type: "passport", number: "E12345678", issuer: "CHN" });
  });
  test("a passport whose authority is no country goes on without, for the check of documents to refuse", () => {
    expect(rowOf(...withPid3("E12345678^^^Ministry&2.16.156&ISO^PPN")).document).toEqual({ type: "passport", number: "E12345678" });
  });
  test("the first known type of several", () => {
    expect(rowOf(...withPid3(`77^^^H^MR~^^^^NNCHN~${number}^^^^NNCHN~E12345678^^^CHN^PPN`)).document).toEqual({ type: "resident-id", number });
  });
  test("none known: refused with the types, never the values", () => {
    const refusal = refusalOf(...withPid3(`${number}^^^H^PI~4711^^^H^MR~${number}^^^^${number}`));
    expect(refusal).toEqual({ field: "PID-3", reason: "holds neither NNCHN nor PPN, but PI, MR, one without a known type" });
  });
  test("nothing at all, or no PID", () => {
    expect(refusalOf(...withPid3("")).field).toBe("PID-3");
    expect(refusalOf(MSH, OBR, OBX).field).toBe("PID-3");
  });
  test("a second PID is another patient, and its results need an OBR of their own", () => {
    const rows = rowsOf(MSH, PID, OBR, OBX, "PID|2||E12345678^^^CHN^PPN", OBX, OBR, OBX);
    expect(rows.map((row) => ("row" in row ? row.row.document!.type : row.refusal.field))).toEqual(["resident-id", "OBR-3", "passport"]);
  });
  test("a message without a PID never gets the patient of the one before", () => {
    expect(rowsOf(MSH, PID, OBR, OBX, MSH, OBR, OBX).map((row) => ("row" in row ? "row" : row.refusal.field))).toEqual(["row", "PID-3"]);
  });
  test.each([["PI D|2||E12345678^^^CHN^PPN", "segment"], ["PID;2;;E12345678^^^CHN^PPN", "PID"], ["^^^NNCHN||Zhang", "segment"]])("nor do results after %s, which may have been a PID", (line, field) => {
    expect(rowsOf(MSH, PID, OBR, OBX, line, OBR, OBX).map((row) => ("row" in row ? "row" : row.refusal.field))).toEqual(["row", field, "PID-3"]);
  });
  test("a note broken in two does no harm", () => {
    expect(rowsOf(MSH, PID, OBR, "NTE|1||one", "two", OBX).map((row) => ("row" in row ? "row" : row.refusal.field))).toEqual(["segment", "row"]);
  });
});

describe("which", () => {
  test("OBR-2 where OBR-3 is empty", () => {
    expect(rowOf(MSH, PID, OBR.replace("|F1|", "|^LAB|"), OBX, SPM).factId).toBe("P1/1");
  });
  test("neither: refused", () => {
    expect(refusalOf(MSH, PID, OBR.replace("|P1|F1|", "|||"), OBX, SPM).field).toBe("OBR-3");
  });
  test("no OBX-1: refused, as two results of one order would be one fact", () => {
    expect(refusalOf(...withObx({ 1: "" })).field).toBe("OBX-1");
  });
});

describe("when", () => {
  test.each([
    ["202206080915", "2022-06-08T09:15:00+08:00", "no zone is Beijing time"],
    ["202206080915+0000", "2022-06-08T09:15:00+00:00", "a zone stays"],
    ["20220608091530.4002-0500", "2022-06-08T09:15:30-05:00", "fractions are cut off"],
    ["20220608", "2022-06-08", "a date stays a date"],
    ["20220608+0800", "2022-06-08", "a date of Beijing too"],
    ["20220608091500+0800^20220608092000+0800", "2022-06-08T09:15:00+08:00", "the beginning of a range"],
    ["", "2022-06-08T09:30:00+08:00", "OBR-7 where SPM-17 is empty"],
    ['""', "2022-06-08T09:30:00+08:00", "and where it says that there is none"],
  ])("%s is %s: %s", (written, iso) => {
    expect(rowOf(...withSampled(written)).sampledAt).toBe(iso);
  });
  test.each(["DATE!", "2022", "202206", "2022060809", "20220631", "202206082400", "20220608+0000", "202206080915+0860", "2022-06-08", "19990608"])("%s is refused", (written) => {
    expect(refusalOf(...withSampled(written)).field).toBe("SPM-17");
  });
  test("sampled nowhere: refused naming both", () => {
    expect(refusalOf(MSH, PID, "OBR|1||F1", OBX)).toEqual({ field: "SPM-17", reason: "is empty, and so is OBR-7" });
    expect(refusalOf(MSH, PID, "OBR|1||F1||||DATE!", OBX).field).toBe("OBR-7");
  });
  test("issued: OBX-19, else OBR-22, else MSH-7", () => {
    expect(rowOf(...withObx({ 19: "" })).issuedAt).toBe("2022-06-08T20:00:00+08:00");
    expect(rowOf(MSH, PID, "OBR|1||F1", obx({ 19: "" }), SPM).issuedAt).toBe("2022-06-09T08:00:00+08:00");
    expect(refusalOf(MSH.replace("20220609080000+0800", ""), PID, "OBR|1||F1", obx({ 19: "" }), SPM).field).toBe("OBX-19");
  });
  test("of two specimens the first, of two times in one field the first", () => {
    const times = "20220607~20220606";
    expect(rowOf(MSH, PID, OBR, OBX, `SPM|1||||||||||||||||${times}`, SPM).sampledAt).toBe("2022-06-07");
    expect(rowOf(...withObx({ 19: "20220608~20220609" })).issuedAt).toBe("2022-06-08");
  });
  test("the specimen of another order does not count", () => {
    const rows = rowsOf(MSH, PID, OBR, OBX, "OBR|2||F2||||20220607", OBX, SPM);
    expect(rows.map((row) => ("row" in row ? row.row.sampledAt : row))).toEqual(["2022-06-08T09:30:00+08:00", "2022-06-08T09:15:00+08:00"]);
  });
});

describe("what", () => {
  test.each<[string, TestResult]>([
    ["260373001^Detected^SCT", "positive"],
    ["10828004", "positive"],
    ["260415000", "negative"],
    ["260385009", "negative"],
    ["895231008^Not detected in pooled specimen^SCT", "negative"],
    ["462371000124108^Detected in pooled specimen^SCT", "inconclusive"],
    ["419984006", "inconclusive"],
    ["720735008^Presumptive positive^SCT", "inconclusive"],
    ["42425007", "inconclusive"],
    ["82334004", "inconclusive"],
    ["455371000124106", "invalid"],
    ["125154007", "invalid"],
    ["NOT DETECTED", "negative"],
    ["Positive", "positive"],
    [" 260415000 ^Not detected", "negative"],
  ])("%s is %s", (written, result) => {
    expect(rowOf(...withObx({ 5: written })).result).toBe(result);
  });
  test.each([
    ["", "is empty"],
    ["840539006^COVID-19^SCT", "840539006 is a disease, not a result"],
    ["373121007^Test not done^SCT", '"373121007" is no result known here'],
    ["260373001~260415000", "holds several values"],
    [number, "(not repeated here) is no result known here"],
    ["A".repeat(70), `"${"A".repeat(64)}" is no result known here`],
  ])("OBX-5 %s is refused: %s", (written, reason) => {
    expect(refusalOf(...withObx({ 5: written }))).toEqual({ field: "OBX-5", reason });
  });
});

describe("corrections", () => {
  const sentAt = Date.parse("2022-06-09T08:00:00+08:00") / 1000;
  test("a first report has no revision, whether F or empty", () => {
    expect(rowOf(...withObx({ 11: "F^Final" }))).not.toHaveProperty("revision");
    expect(rowOf(...withObx({ 11: "" }))).not.toHaveProperty("revision");
  });
  test("C is a revision of the time of its message, so that the later wins", () => {
    expect(rowOf(...withObx({ 11: "C^Corrected", 5: "10828004" }))).toMatchObject({ factId: "F1/1", result: "positive", revision: sentAt });
    expect(rowOf(MSH.replace("080000", "080001"), ...withObx({ 11: "C" }).slice(1)).revision).toBe(sentAt + 1);
  });
  test.each(["D", "W", "X"])("%s takes the result back", (status) => {
    expect(rowOf(...withObx({ 11: status, 5: "" }))).toMatchObject({ result: "invalid", revision: sentAt });
  });
  test("a correction without the time of its message is refused", () => {
    expect(refusalOf(MSH.replace("20220609080000+0800", ""), ...withObx({ 11: "C" }).slice(1)).field).toBe("MSH-7");
  });
  test.each(["P", "I", "R", "S", "O", "N"])("%s is not final", (status) => {
    expect(refusalOf(...withObx({ 11: status }))).toEqual({ field: "OBX-11", reason: `status "${status}" is not final` });
  });
});

describe("codes", () => {
  test("a code of the table counts whatever the coding system says, also as the alternate code", () => {
    expect(rowOf(...withObx({ 3: "94558-4^Ag^lf3zc9i" })).result).toBe("negative");
    expect(readHl7(withObx({ 3: "COV^local^L^94558-4^Ag^LN" }).join("\r")).map(({ code }) => code)).toEqual(["94558-4"]);
  });
  test.each([
    ["94563-4^IgG^LN", "code 94563-4 detects antibodies, not the virus"],
    ["95423-0^Flu A+B and SARS-CoV-2^LN", "code 95423-0 is a panel of several tests, whose one value does not say which of them it is"],
    ["94505-5^IgG^LN", "code 94505-5 detects antibodies, not the virus"],
    ["94758-0^E gene^LN", "code 94758-0 detects the SARS-related coronaviruses as a group, not this one"],
    ["94558-5^Ag^L", "code 94558-5 has a wrong check digit"],
    ["94585-4^SARS-CoV-2 Ag^LN", "code 94585-4 has a wrong check digit"],
    ["94585-4^^LN", "code 94585-4 has a wrong check digit"],
    ["94646-7^SARS-CoV-2 (COVID-19) RdRp gene [Cycle Threshold #]^LN", 'code "94646-7" is named after SARS-CoV-2, but is no test of the table'],
    ["NCOV^SARS-CoV-2 RNA^L", 'code "NCOV" is named after SARS-CoV-2, but is no test of the table'],
  ])("%s is refused: %s", (code, reason) => {
    expect(refusalOf(...withObx({ 3: code }))).toEqual({ field: "OBX-3", reason });
  });
  test("what is no test of this virus is counted, even with a wrong check digit", () => {
    expect(readHl7Rows([MSH, PID, OBR, obx({ 3: "95419-8^Symptoms^LN" }), obx({ 3: "80382-5^Influenza A^LN" }), obx({ 3: "2345-1^Glucose^LN" }), OBX, SPM].join("\r"))).toMatchObject({ ignored: 3, rows: [{ line: 7 }] });
  });
  test("every code of the table has its check digit, and a kind", () => {
    for (const [code, kind] of sarsCov2Codes()) {
      expect(loincCheckDigitHolds(code), code).toBe(true);
      expect(whyNoVirusTest(kind) === undefined).toBe(kind === "nucleic-acid" || kind === "antigen");
    }
    expect(virusTestKind("94500-6")).toBe("nucleic-acid");
    expect(virusTestKind("94558-4")).toBe("antigen");
    expect(virusTestKind("80382-5")).toBeUndefined();
    expect([differsInCheckDigit("94558-5"), differsInCheckDigit("94558-4"), differsInCheckDigit("80382-4")]).toEqual([true, false, false]);
    expect(loincCheckDigitHolds("2345-7")).toBe(true);
    expect(loincCheckDigitHolds("94558")).toBe(false);
  });
});

describe("where", () => {
  test("the laboratory's name, else its identifier, else the sender", () => {
    expect(rowOf(...withObx({ 23: "^^^^^^^^^05D1" })).laboratory).toBe("05D1");
    expect(rowOf(...withObx({ 23: "" })).laboratory).toBe("LAB");
  });
  test("the county only from OBX-24.9: 110101 is also a postal code, of Shenyang", () => {
    expect(rowOf(...withObx({ 24: "Road 1^^Shenyang^^110101^CHN" }))).not.toHaveProperty("county");
    expect(rowOf(...withObx({ 24: "^^^^^USA^^^06085" }))).not.toHaveProperty("county");
  });
});

describe("how it is written", () => {
  const lines = [MSH, PID, OBR, OBX, SPM];
  test.each([["CR", "\r"], ["LF", "\n"], ["CRLF", "\r\n"], ["blank lines", "\n\n"]])("%s", (_, end) => {
    expect(readHl7Rows(`\uFEFF${lines.join(end)}${end}`).rows.map((row) => "row" in row)).toEqual([true]);
  });
  test("CRLF ends one line, a blank line is one", () => {
    expect(readHl7Rows(lines.join("\r\n")).rows[0]!.line).toBe(4);
    expect(readHl7Rows(lines.join("\n\n")).rows[0]!.line).toBe(7);
  });
  test("escapes of separators are undone, others stay", () => {
    expect(rowOf(...withObx({ 23: "A \\T\\ B \\F\\\\S\\\\R\\\\E\\ \\H\\C:\\D^x" })).laboratory).toBe("A & B |^~\\ \\H\\C:\\D");
  });
  test("other separators, and a fifth in MSH-2", () => {
    const other = lines.map((line) => line.replace("^~\\&", "^~\\&#").replace(/[|^~\\&]/g, (mark) => "*:;?!"["|^~\\&".indexOf(mark)]!));
    expect(rowOf(...other)).toEqual(rowOf(...lines));
  });
  test("separators that are none: the message is refused once, the next is read", () => {
    const rows = rowsOf("MSH|^^\\&|LIS", PID, OBR, OBX, ...lines);
    expect(rows.map((row) => ("row" in row ? row.line : row.refusal.field))).toEqual(["MSH-2", 8]);
    expect(refusalOf("MSH").field).toBe("MSH-2");
  });
  test("batches: headers and trailers are skipped, what follows them belongs to nobody", () => {
    const rows = rowsOf("FHS|^~\\&", "BHS|^~\\&", ...lines, "BTS|1", OBX, "FTS|1");
    expect(rows.map((row) => ("row" in row ? row.line : [row.line, row.refusal.field]))).toEqual([6, [9, "OBX"]]);
  });
  test("a segment before the first MSH is refused by name", () => {
    expect(rowsOf(PID, ...lines).map((row) => ("row" in row ? row.line : [row.line, row.refusal.field]))).toEqual([[1, "PID"], 5]);
  });
  test("a line that is no segment, or cut otherwise, is refused, the rest is read", () => {
    const rows = rowsOf(...lines, "thank you", "OBX;1;CWE", "OBX", "NTE|1");
    expect(rows.map((row) => ("row" in row ? row.line : [row.line, row.refusal.field]))).toEqual([4, [6, "segment"], [7, "OBX"]]);
  });
  test("a message of another type is refused once", () => {
    const order = MSH.replace("ORU^R01^ORU_R01", "ORM^O01^ORM_O01");
    expect(refusalOf(order, PID, OBR, OBX, OBX)).toEqual({ field: "MSH-9", reason: 'only ORU^R01 is read, not "ORM^O01"' });
    expect(readHl7([order, PID, OBR, OBX, OBX].join("\r")).map(({ fault }) => fault?.field)).toEqual(["MSH-9", "MSH-9"]);
  });
  test.each(["", "\n\n", "code,result\n94500-6,negative\n", OBX])("no message: one refusal", (text) => {
    expect(readHl7Rows(text)).toMatchObject({ rows: [{ line: 1, refusal: { field: "MSH" } }], ignored: 0 });
    expect(readHl7(text)).toEqual([]);
  });
  test("a message without results holds nothing to refuse", () => {
    expect(readHl7Rows([MSH, PID].join("\r"))).toEqual({ rows: [], ignored: 0 });
  });
});

test("never throws, never loses a result, never repeats the number, whatever happens to a message on its way", () => {
  const whole = [MSH, PID, OBR, OBX, obx({ 1: "2", 3: "95419-8^Symptoms^LN" }), SPM, "NTE|1||note", MSH, PID, OBR, obx({ 11: "C" })].join("\r");
  const piece = fc.oneof(fc.constantFrom("|", "^", "~", "\\", "&", "\r", "\n", "MSH", "OBX|", "PID|", "OBR|", "FTS", '""', "\\T\\", "94558-4", number), fc.string({ maxLength: 6 }), fc.string({ unit: "binary", maxLength: 3 }));
  const edit = fc.record({ at: fc.nat(whole.length), cut: fc.nat(12), insert: piece });
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 12 }), (edits) => {
      const text = edits.reduce((now, { at, cut, insert }) => now.slice(0, at) + insert + now.slice(at + cut), whole);
      const { rows, ignored } = readHl7Rows(text);
      expect(ignored).toBeGreaterThanOrEqual(0);
      for (const reading of readHl7(text)) {
        expect(reading.result === null).toBe(reading.fault !== null);
        expect(rows.some(({ line }) => line === reading.line) || reading.fault?.field === "MSH-9").toBe(true);
      }
      for (const row of rows) if ("refusal" in row) expect(`${row.refusal.field} ${row.refusal.reason}`).not.toContain(number);
    }),
    { numRuns: 3000 },
  );
});
