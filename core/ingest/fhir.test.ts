// FHIR R4 to rows: the real files against what was read from them by eye, and every rule once with a small Bundle.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { document, keyring, NOW, residentId } from "../../test/ingestSupport.ts";
import { readBatch } from "./batch.ts";
import { readRow, type Intake } from "./facts.ts";
import { takeFhir } from "./fhir.ts";
import type { ReadRow, TestRow } from "./rows.ts";

const intake: Intake = { keyring, source: "source-a", now: NOW, isHistory: false };
type Resource = Record<string, unknown>;

function rowsOf(resource: unknown, line?: number): { reads: ReadRow<TestRow>[]; ignored: number } {
  const reads: ReadRow<TestRow>[] = [];
  let ignored = 0;
  takeFhir(resource, line, { take: (read) => reads.push(read as ReadRow<TestRow>), ignore: (count) => (ignored += count) });
  return { reads, ignored };
}

const PATIENT: Resource = { resourceType: "Patient", id: "p", identifier: [{ value: "x-1" }, { type: { coding: [{ system: "http://terminology.hl7.org/CodeSystem/v2-0203", code: "NNCHN" }] }, value: residentId(1) }] };
const OBSERVATION: Resource = {
  resourceType: "Observation",
  id: "o-1",
  status: "final",
  code: { coding: [{ system: "http://loinc.org", code: "94500-6" }] },
  subject: { reference: "Patient/p" },
  issued: "2022-06-08T20:00:00+08:00",
  performer: [{ reference: "Organization/l" }],
  specimen: { reference: "Specimen/s" },
  valueCodeableConcept: { coding: [{ system: "http://snomed.info/sct", code: "260415000" }] },
};
const REST: Resource[] = [
  { resourceType: "Organization", id: "l", name: "Laboratory A", address: [{ district: "110105" }] },
  { resourceType: "Specimen", id: "s", collection: { collectedDateTime: "2022-06-08T09:30:00+08:00" } },
];
const bundleOf = (observation: Resource = {}, patient: Resource | null = PATIENT, more: Resource[] = REST, bundle: Resource = {}): Resource => ({
  resourceType: "Bundle",
  timestamp: "2022-06-08T21:00:00+08:00",
  entry: [...(patient ? [patient] : []), { ...OBSERVATION, ...observation }, ...more].map((resource) => ({ fullUrl: `urn:x:${String(resource["id"])}`, resource })),
  ...bundle,
});
const ROW: TestRow = { factId: "o-1", document: document(1), sampledAt: "2022-06-08T09:30:00+08:00", issuedAt: "2022-06-08T20:00:00+08:00", result: "negative", laboratory: "Laboratory A", county: "110105" };
const only = (resource: unknown): ReadRow<TestRow> => {
  const { reads } = rowsOf(resource);
  expect(reads.length).toBe(1);
  return reads[0]!;
};

describe("a Bundle", () => {
  test("becomes the row that NDJSON would be", () => {
    expect(only(bundleOf())).toEqual({ line: 2, row: ROW, revisionFrom: "Observation.issued" });
    expect(readBatch("tests", "fhir", JSON.stringify(bundleOf()), intake)).toMatchObject({ rows: [readRow("tests", ROW, intake)], accepted: 1 });
  });
  test("one a line is told by its line, and by the entry", () => {
    const text = [bundleOf(), bundleOf({ status: "preliminary" })].map((bundle) => JSON.stringify(bundle)).join("\n");
    expect(readBatch("tests", "fhir-lines", text, intake)).toMatchObject({ accepted: 1, refused: [{ line: 2, field: "entry[1].Observation.status" }] });
  });
  test("counts observations of other analytes", () => {
    expect(rowsOf(bundleOf({ code: { coding: [{ system: "http://loinc.org", code: "8310-5" }] } }))).toEqual({ reads: [], ignored: 1 });
  });
  test("takes references by fullUrl, and contained resources", () => {
    expect(only(bundleOf({ subject: { reference: "urn:x:p" } }))).toMatchObject({ row: { document: document(1) } });
    expect(only({ ...OBSERVATION, subject: { reference: "#p" }, contained: [PATIENT], effectiveDateTime: "2022-06-08" })).toMatchObject({ row: { document: document(1), sampledAt: "2022-06-08" } });
  });
  test("takes the times of the report and of the Bundle where the Observation has none", () => {
    const report = { resourceType: "DiagnosticReport", id: "r", status: "final", effectiveDateTime: "2022-06-07", issued: "2022-06-08T19:00:00+08:00", result: [{ reference: "Observation/o-1" }] };
    expect(only(bundleOf({ issued: undefined, specimen: undefined }, PATIENT, [...REST, report]))).toMatchObject({ row: { sampledAt: "2022-06-07", issuedAt: "2022-06-08T19:00:00+08:00" } });
    expect(only(bundleOf({ issued: undefined }))).toMatchObject({ row: { issuedAt: "2022-06-08T21:00:00+08:00" } });
  });
  test.each<[string, object, object]>([
    ["the system of Chinese health records", { system: "urn:oid:2.16.156.10011.1.3", value: residentId(2) }, document(2)],
    ["a passport by the system of its country", { system: "http://hl7.org/fhir/sid/passport-FRA", value: "12AB34567" }, { type: "passport", number: "12AB34567", issuer: "FRA" }],
    ["a passport by its type and assigner", { type: { coding: [{ code: "PPN" }] }, assigner: { display: "FRA" }, value: "12AB34567" }, { type: "passport", number: "12AB34567", issuer: "FRA" }],
  ])("knows a patient by %s", (_, identifier, expected) => {
    expect(only(bundleOf({}, { ...PATIENT, identifier: [identifier] }))).toMatchObject({ row: { document: expected } });
  });
  test.each(["corrected", "amended"])("that is %s is a revision by its time, whichever came first", (status) => {
    expect(only(bundleOf({ status }))).toMatchObject({ row: { result: "negative", revision: Date.parse("2022-06-08T20:00:00+08:00") / 1000 } });
  });
  test.each(["entered-in-error", "cancelled"])("that is %s is an invalid result, as a revision", (status) => {
    expect(only(bundleOf({ status, valueCodeableConcept: undefined }))).toMatchObject({ row: { result: "invalid", revision: Date.parse("2022-06-08T20:00:00+08:00") / 1000 } });
  });
  test("with results in components has a row for each", () => {
    const component = [{ code: OBSERVATION["code"], valueString: "Detected" }, { code: { coding: [{ code: "8310-5" }] }, valueString: "36.5" }];
    expect(rowsOf(bundleOf({ code: { coding: [{ code: "94531-1" }] }, valueCodeableConcept: undefined, component }))).toMatchObject({ reads: [{ row: { factId: "o-1/1", result: "positive" } }], ignored: 1 });
  });
  test("whose report names results of this virus that aren't there says so", () => {
    const report = { resourceType: "DiagnosticReport", id: "r", status: "final", code: { coding: [{ code: "94500-6" }] }, result: [{ reference: "Observation/o-2" }] };
    expect(rowsOf(bundleOf({}, PATIENT, [...REST, report])).reads).toMatchObject([{ line: 5, refusal: { field: "DiagnosticReport.result" } }, { row: ROW }]);
  });
});

test.each<[string, unknown, string]>([
  ["no patient", bundleOf({}, null), "Observation.subject"],
  ["a patient of whom no document is known", bundleOf({}, { ...PATIENT, identifier: [{ value: "x-1" }] }), "Patient.identifier"],
  ["no id", bundleOf({ id: undefined }), "Observation.id"],
  ["no time of sampling", bundleOf({ specimen: undefined }), "Specimen.collection.collected[x]"],
  ["a month alone", bundleOf({ specimen: undefined, effectiveDateTime: "2022-06" }), "Observation.effectiveDateTime"],
  ["no time of issue", bundleOf({ issued: undefined }, PATIENT, REST, { timestamp: undefined }), "Observation.issued"],
  ["a status that is not final", bundleOf({ status: "registered" }), "Observation.status"],
  ["no value", bundleOf({ valueCodeableConcept: undefined }), "Observation.value[x]"],
  ["a disease for a value", bundleOf({ valueCodeableConcept: { coding: [{ code: "840539006" }] } }), "Observation.valueCodeableConcept"],
  ["codes of two results", bundleOf({ valueCodeableConcept: { coding: [{ code: "260415000" }, { code: "260373001" }] } }), "Observation.valueCodeableConcept"],
  ["a number for a value", bundleOf({ valueCodeableConcept: undefined, valueQuantity: { value: 3 } }), "Observation.valueQuantity"],
  ["a code with a wrong check digit", bundleOf({ code: { coding: [{ system: "http://loinc.org", code: "94500-7" }] } }), "Observation.code"],
  ["an antibody's code", bundleOf({ code: { coding: [{ system: "http://loinc.org", code: "94563-4" }] } }), "Observation.code"],
  ["no Observation at all", { resourceType: "Bundle", entry: [{ resource: PATIENT }] }, "Bundle.entry"],
  ["another resource", PATIENT, "resourceType"],
  ["no resource", [1], "resourceType"],
])("%s is refused by the element, and no number is repeated", (_, resource, field) => {
  const read = only(resource);
  expect(read).toMatchObject({ refusal: { field } });
  expect(JSON.stringify(read)).not.toContain(residentId(1));
});

test("whatever JSON it is, nothing is thrown", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom("entry", "code", "subject", "identifier", "valueCodeableConcept", "specimen", "performer", "component", "status", "meta"), (value, name) => {
      rowsOf(value);
      rowsOf(bundleOf({ [name]: value, status: "corrected" }));
      rowsOf(bundleOf({}, { ...PATIENT, [name]: value }));
      rowsOf({ ...bundleOf(), [name]: value });
    }),
  );
});

const folders = ["fhir", "simplereport"].map((name) => new URL(`../../../shared/data/lab/${name}/`, import.meta.url));
const { files: expected } = JSON.parse(readFileSync(new URL("../../test/fixtures/fhir-expected.json", import.meta.url), "utf8")) as { files: Record<string, string[]> };
describe.skipIf(!folders.every((folder) => existsSync(folder)))("the real files", () => {
  const files = folders.filter((folder) => existsSync(folder)).flatMap((folder) => readdirSync(folder).filter((file) => /\.(fhir|json|ndjson)$/.test(file)).map((file) => ({ file, url: new URL(file, folder) })));
  const isLines = (file: string): boolean => file.endsWith(".ndjson") || file.includes("bulk_valid");

  test.each(Object.entries(expected))("%s: with patients who are known here", (file, byEye) => {
    const text = readFileSync(files.find((one) => one.file === file)!.url, "utf8");
    const read: string[] = [];
    (isLines(file) ? text.split("\n").filter((line) => line.trim() !== "") : [text]).forEach((part, i) => {
      const bundle = JSON.parse(part) as { entry: { resource: Resource }[] };
      for (const { resource } of bundle.entry) if (resource["resourceType"] === "Patient") resource["identifier"] = PATIENT["identifier"];
      for (const one of rowsOf(bundle, isLines(file) ? i + 1 : undefined).reads) {
        const code = (line: number): string => byEye.find((said) => said.startsWith(`${line} `))?.split(" ")[1] ?? "";
        read.push("row" in one ? `${one.line} ${code(one.line)} ${one.row.result}${one.row.revision === undefined ? "" : " revision"}` : `${one.line} refused ${one.refusal.field}`);
      }
    });
    expect(read).toEqual(byEye);
  });
  test.each(files.map(({ file, url }) => [file, url] as const))("%s as it is: foreign patients are refused, each with a reason that names an element", (file, url) => {
    const { accepted, refused, refusedCount, ignored } = readBatch("tests", isLines(file) ? "fhir-lines" : "fhir", readFileSync(url), intake);
    expect([accepted, refusedCount + ignored > 0]).toEqual([0, true]);
    for (const { field, reason } of refused) expect([field, reason]).toEqual([expect.stringMatching(/^(entry\[\d+\]\.)?(Observation|Patient|DiagnosticReport|Specimen|Bundle|resourceType|row)/), expect.stringMatching(/.{5}/)]);
  });
});
