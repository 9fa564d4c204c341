// FHIR R4 into rows of the feed `tests`: one row for each Observation of a SARS-CoV-2 test (WIRE, "HL7 v2 and FHIR").
// Promises: never throws, whatever the JSON; such an Observation becomes a row or a refusal that names an element, it is never dropped; refusals
// repeat codes, never what a Patient holds.
// Not here: whether document, county and times hold (facts.ts), what codes mean (labCodes.ts).

import { bindsFrom, isRefusal, parseMoment, type Refusal, type TestResult } from "../domain/index.ts";
import { findVirusTest, labResult, quoteCode, whyNoResult, type LabCode } from "./labCodes.ts";
import type { ReadRow, RowSink, TestRow } from "./rows.ts";

type Json = { readonly [name: string]: unknown };

/** Takes one resource, a Bundle as a rule. @param line of the file; undefined: the resource is the file, and rows are told by the place of their entry, counted from 1. */
export function takeFhir(resource: unknown, line: number | undefined, sink: RowSink): void {
  const refuse = (field: string, reason: string): void => sink.take({ line: line ?? 1, refusal: { field, reason } });
  if (!isObject(resource)) { refuse("resourceType", "is missing: a FHIR resource is expected"); return; }
  const type = textOf(resource["resourceType"]);
  if (type === "Observation") { takeObservations([{ resource, line: line ?? 1, path: "" }], new Map(), resource, sink); return; }
  if (type !== "Bundle") { refuse("resourceType", `only Bundles and Observations are read, not ${quoteCode(type)}`); return; }
  const entries = listOf(resource["entry"]).map((entry) => (isObject(entry) ? entry : {}));
  const index = new Map<string, Json>();
  const observations: Placed[] = [];
  const reports: Placed[] = [];
  entries.forEach((entry, i) => {
    const inner = entry["resource"];
    if (!isObject(inner)) return;
    const innerType = textOf(inner["resourceType"]);
    for (const name of [textOf(entry["fullUrl"]), `${innerType}/${textOf(inner["id"])}`]) if (name !== "") index.set(name, inner);
    const placed = { resource: inner, line: line ?? i + 1, path: line === undefined ? "" : `entry[${i}].` };
    if (innerType === "Observation") observations.push(placed);
    else if (innerType === "DiagnosticReport") reports.push(placed);
    else if (innerType === "Bundle") takeFhir(inner, placed.line, sink);
  });
  const hasInner = entries.some(({ resource: inner }) => isObject(inner) && inner["resourceType"] === "Bundle");
  if (observations.length === 0 && !hasInner) refuse("Bundle.entry", "holds no Observation");
  for (const { resource: report, line: at, path } of reports) {
    // Its results would be lost in silence.
    const isAboutVirus = findVirusTest(codesOf(report["code"])) !== null;
    const missing = listOf(report["result"]).filter((result) => !resolve(result, index, report));
    if (isAboutVirus && missing.length > 0) sink.take({ line: at, refusal: { field: `${path}DiagnosticReport.result`, reason: `names ${missing.length} results that the Bundle doesn't hold` } });
  }
  takeObservations(observations, index, resource, sink, reports.map(({ resource: report }) => report));
}

interface Placed {
  readonly resource: Json;
  readonly line: number;
  /** In front of the names of elements. */
  readonly path: string;
}

function takeObservations(observations: readonly Placed[], index: ReadonlyMap<string, Json>, message: Json, sink: RowSink, reports: readonly Json[] = []): void {
  const reportOf = new Map<Json, Json>();
  for (const report of reports) {
    for (const result of listOf(report["result"])) {
      const observation = resolve(result, index, report);
      if (observation) reportOf.set(observation, report);
    }
  }
  for (const { resource: observation, line, path } of observations) {
    const parts = [{ part: observation, suffix: "", name: "Observation" }, ...listOf(observation["component"]).map((part, i) => ({ part: isObject(part) ? part : {}, suffix: `/${i + 1}`, name: `Observation.component[${i}]` }))];
    for (const { part, suffix, name } of parts) {
      const test = findVirusTest(codesOf(part["code"]));
      if (!test) {
        sink.ignore(1);
        continue;
      }
      // A panel whose results stand in its components has none of its own.
      if (part === observation && parts.length > 1 && valueOf(part) === undefined) continue;
      const row = test.fault === undefined ? rowOf(part, { observation, suffix, name, report: reportOf.get(observation), index, message }) : { field: `${name}.code`, reason: test.fault };
      sink.take(readRow(row, line, path));
    }
  }
}

function readRow(row: TestRow | Refusal, line: number, path: string): ReadRow {
  return isRefusal(row) ? { line, refusal: { ...row, field: path + row.field } } : { line, row, revisionFrom: `${path}Observation.issued` };
}

interface Around {
  readonly observation: Json;
  /** Behind the observation's own id. */
  readonly suffix: string;
  readonly name: string;
  readonly report: Json | undefined;
  readonly index: ReadonlyMap<string, Json>;
  /** The Bundle, or the Observation itself. */
  readonly message: Json;
}

function rowOf(part: Json, { observation, suffix, name, report, index, message }: Around): TestRow | Refusal {
  const status = statusOf(observation, report);
  if (typeof status !== "string") return status;
  const result = status === "withdrawn" ? "invalid" : resultOf(part, name);
  if (typeof result !== "string") return result;
  const document = documentOf(observation, index);
  if (isRefusal(document)) return document;
  const id = identityOf(observation);
  if (id === "") return { field: "Observation.id", reason: "is missing, and so is an identifier: the result has no number" };
  const specimen = resolve(observation["specimen"], index, observation) ?? listOf(report?.["specimen"]).map((one) => resolve(one, index, report!)).find((one) => one !== undefined);
  const sampledAt = firstTime(
    [...timesOf(specimen?.["collection"], "collected", "Specimen.collection.collected"), ...timesOf(observation, "effective", "Observation.effective"), ...timesOf(report, "effective", "DiagnosticReport.effective")],
    "Specimen.collection.collected[x]",
    "is missing, and so are Observation.effective[x] and DiagnosticReport.effective[x]: when was the sample taken?",
  );
  if (isRefusal(sampledAt)) return sampledAt;
  const sentAt: Written = { text: textOf(message["timestamp"]), field: "Bundle.timestamp" };
  const issuedTimes: Written[] = [{ text: textOf(observation["issued"]), field: "Observation.issued" }, { text: textOf(report?.["issued"]), field: "DiagnosticReport.issued" }, sentAt];
  const issuedAt = firstTime(issuedTimes, "Observation.issued", "is missing, and so are DiagnosticReport.issued and Bundle.timestamp: when was the result issued?");
  if (isRefusal(issuedAt)) return issuedAt;
  const row: TestRow = { factId: `${id}${suffix}`, document, sampledAt: sampledAt.text, issuedAt: issuedAt.text, result, ...laboratoryOf(observation, report, index) };
  if (status !== "first") {
    // The later word wins over earlier corrections, and any of them over the first report, whose revision is 1.
    const saidAt = firstTime([{ text: textOf((observation["meta"] as Json | undefined)?.["lastUpdated"]), field: "Observation.meta.lastUpdated" }, ...issuedTimes], "Observation.issued", "is missing: a correction needs a time");
    if (isRefusal(saidAt)) return saidAt;
    row.revision = saidAt.seconds;
  }
  return row;
}

/** Whether this is the first word on a result, a later one, or takes it back. */
function statusOf(observation: Json, report: Json | undefined): "first" | "corrected" | "withdrawn" | Refusal {
  const statuses = [textOf(observation["status"]), textOf(report?.["status"])];
  // A study that was called off gave no result; if it gave one before, that no longer stands.
  if (statuses.some((status) => status === "entered-in-error" || status === "cancelled")) return "withdrawn";
  const own = statuses[0]!;
  if (!["final", "corrected", "amended"].includes(own)) return { field: "Observation.status", reason: own === "" ? "is missing" : `${quoteCode(own)} is not final` };
  return statuses.some((status) => status === "corrected" || status === "amended") ? "corrected" : "first";
}

function valueOf(part: Json): { readonly element: string; readonly value: unknown } | undefined {
  const element = Object.keys(part).find((key) => /^value[A-Z]/.test(key) && part[key] !== undefined && part[key] !== null);
  return element === undefined ? undefined : { element, value: part[element] };
}

function resultOf(part: Json, name: string): TestResult | Refusal {
  const found = valueOf(part);
  if (!found) return { field: `${name}.value[x]`, reason: part["dataAbsentReason"] === undefined ? "is missing" : "is missing, as dataAbsentReason says: there is no result" };
  const field = `${name}.${found.element}`;
  if (found.element === "valueString") {
    const text = textOf(found.value).trim();
    return labResult(text) ?? { field, reason: whyNoResult(text) };
  }
  if (found.element !== "valueCodeableConcept" || !isObject(found.value)) return { field, reason: "is no result known here: send a valueCodeableConcept of SNOMED CT" };
  const codes = listOf(found.value["coding"]).map((coding) => (isObject(coding) ? textOf(coding["code"]).trim() : ""));
  const texts = codes.some((code) => code !== "") ? codes : [textOf(found.value["text"]).trim()];
  const results = new Set(texts.map(labResult).filter((result) => result !== undefined));
  if (results.size > 1) return { field, reason: "holds codes of different results" };
  const [result] = results;
  return result ?? { field, reason: texts.every((text) => text === "") ? "is empty" : whyNoResult(texts.find((text) => text !== "")!) };
}

/** 居民身份证号, as Chinese health records name it; see docs/feeds.md. */
const RESIDENT_ID_SYSTEM = "urn:oid:2.16.156.10011.1.3";
/** The namespace of HL7's registry of identifiers: the issuer stands behind it. */
const PASSPORT_SYSTEM = /^http:\/\/hl7\.org\/fhir\/sid\/passport-([A-Z]{3})$/;

/** The first identifier of the patient that the service knows. */
function documentOf(observation: Json, index: ReadonlyMap<string, Json>): NonNullable<TestRow["document"]> | Refusal {
  const subject = isObject(observation["subject"]) ? observation["subject"] : {};
  const patient = resolve(subject, index, observation);
  const identifiers = patient ? listOf(patient["identifier"]) : isObject(subject["identifier"]) ? [subject["identifier"]] : undefined;
  if (!identifiers) return { field: "Observation.subject", reason: "names no Patient that is here: send the Patient in the same Bundle" };
  const seen = new Set<string>();
  for (const identifier of identifiers) {
    if (!isObject(identifier)) continue;
    const number = textOf(identifier["value"]);
    const system = textOf(identifier["system"]);
    const types = codesOf(identifier["type"]).map(({ code }) => code.toUpperCase());
    const passport = PASSPORT_SYSTEM.exec(system);
    if (number === "") continue;
    if (types.includes("NNCHN") || system === RESIDENT_ID_SYSTEM) return { type: "resident-id", number };
    if (types.includes("PPN") || passport) {
      const assigner = isObject(identifier["assigner"]) ? textOf(identifier["assigner"]["display"]) : "";
      const issuer = passport?.[1] ?? (/^[A-Za-z]{3}$/.test(assigner) ? assigner : undefined);
      return { type: "passport", number, ...(issuer === undefined ? {} : { issuer }) };
    }
    for (const type of types.length > 0 ? types : [""]) seen.add(/^[A-Z]{1,5}$/.test(type) ? type : "one without a known type");
  }
  return { field: "Patient.identifier", reason: `holds neither NNCHN nor PPN, but ${[...seen].join(", ").slice(0, 64) || "nothing"}` };
}

function identityOf(observation: Json): string {
  const identifier = listOf(observation["identifier"]).filter(isObject).find((one) => textOf(one["value"]) !== "");
  return identifier ? `${textOf(identifier["system"])}|${textOf(identifier["value"])}` : textOf(observation["id"]);
}

/** The organisation that did the test, and the county of its address where that is a code of six digits. */
function laboratoryOf(observation: Json, report: Json | undefined, index: ReadonlyMap<string, Json>): Pick<TestRow, "laboratory" | "county"> {
  for (const [owner, performer] of [observation, report].flatMap((owner) => listOf(owner?.["performer"]).map((one) => [owner!, one] as const))) {
    const who = resolve(performer, index, owner);
    const organisation = who?.["resourceType"] === "PractitionerRole" ? resolve(who["organization"], index, who) : who;
    const name = organisation?.["resourceType"] === "Organization" ? textOf(organisation["name"]) : isObject(performer) && !organisation ? textOf(performer["display"]) : "";
    if (name === "") continue;
    const county = listOf(organisation?.["address"]).map((address) => (isObject(address) ? textOf(address["district"]) : "")).find((district) => /^\d{6}$/.test(district));
    return { laboratory: name, ...(county === undefined ? {} : { county }) };
  }
  return {};
}

// --- Times ---

interface Written {
  readonly text: string;
  readonly field: string;
}

/** What a choice of types such as effective[x] holds; of a period its start, since a test's age counts from its sample. */
function timesOf(owner: unknown, element: string, field: string): Written[] {
  if (!isObject(owner)) return [];
  const period = owner[`${element}Period`];
  return [
    { text: textOf(owner[`${element}DateTime`]), field: `${field}DateTime` },
    { text: textOf(owner[`${element}Instant`]), field: `${field}Instant` },
    ...(isObject(period) ? [{ text: textOf(period["start"]), field: `${field}Period.start` }, { text: textOf(period["end"]), field: `${field}Period.end` }] : []),
  ];
}

/** The first time that is written. */
function firstTime(times: readonly Written[], field: string, whenEmpty: string): (Written & { readonly seconds: number }) | Refusal {
  const time = times.find(({ text }) => text !== "");
  if (!time) return { field, reason: whenEmpty };
  const moment = parseMoment(time.text);
  return moment ? { ...time, seconds: bindsFrom(moment) } : { field: time.field, reason: "must be a date, or an instant with a zone, of the years 2000 to 2100" };
}

// --- JSON ---

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function codesOf(concept: unknown): LabCode[] {
  if (!isObject(concept)) return [];
  const text = textOf(concept["text"]);
  const codings = listOf(concept["coding"]).filter(isObject);
  if (codings.length === 0) return text === "" ? [] : [{ code: "", name: text, isLoinc: false }];
  return codings.map((coding) => ({ code: textOf(coding["code"]).trim(), name: `${textOf(coding["display"])} ${text}`.trim(), isLoinc: textOf(coding["system"]) === "http://loinc.org" }));
}

/** What a reference leads to: in the Bundle, or contained in the one who refers. */
function resolve(reference: unknown, index: ReadonlyMap<string, Json>, from: Json): Json | undefined {
  const target = isObject(reference) ? textOf(reference["reference"]) : "";
  if (target.startsWith("#")) return listOf(from["contained"]).filter(isObject).find((one) => textOf(one["id"]) === target.slice(1));
  return index.get(target) ?? index.get(target.split("/").slice(-2).join("/"));
}
