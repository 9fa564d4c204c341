// Bodies to rows: lines and their numbers, content types, what is ignored, and that a row at fault harms no other.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { document, instant, keyring, NOW, phone, publication, residentId, SHANGHAI_HUANGPU } from "../../test/ingestSupport.ts";
import { contentTypesOf, FAULTS_MAX, FEEDS, formatOf, isFeed, readBatch, type Feed } from "./batch.ts";
import { readRow, type Intake } from "./facts.ts";
import { ROW_FEEDS } from "./rowSchemas.ts";

const intake: Intake = { keyring, source: "source-a", now: NOW, isHistory: false };

const trip = (n: number): object => ({ factId: `trip-${n}`, phone: phone(n), county: "310101", from: "2022-06-01", to: "2022-06-03" });
const lineOf = (n: number): string => JSON.stringify(trip(n));
const readTrips = (text: string) => readBatch("trips", "ndjson", text, intake);
const rowsOf = (...numbers: number[]) => numbers.map((n) => readRow("trips", trip(n), intake));

describe("one row a line", () => {
  test("every line is a row", () => {
    expect(readTrips([1, 2, 3].map(lineOf).join("\n"))).toEqual({ rows: rowsOf(1, 2, 3), accepted: 3, refusedCount: 0, refused: [], ignored: 0 });
  });
  test("an end of line at the end makes no row", () => {
    expect(readTrips(`${lineOf(1)}\n`)).toEqual(readTrips(lineOf(1)));
  });
  test("CRLF and blanks around a row don't matter", () => {
    expect(readTrips(`${lineOf(1)}\r\n  ${lineOf(2)}\t\r\n`)).toEqual(readTrips(`${lineOf(1)}\n${lineOf(2)}`));
  });
  test("blank lines are no rows, and count for the numbers of the lines behind them", () => {
    const { rows, refused } = readTrips(`\n\r\n   \n${lineOf(1)}\n\nnonsense\n`);
    expect(rows).toEqual(rowsOf(1));
    expect(refused).toMatchObject([{ line: 6, field: "row" }]);
  });
  test("a line that is no JSON is refused with its number, those around it are kept", () => {
    const { rows, accepted, refused } = readTrips([lineOf(1), '{"factId": "tri', lineOf(3)].join("\n"));
    expect(rows).toEqual(rowsOf(1, 3));
    expect(accepted).toBe(2);
    expect(refused).toEqual([{ line: 2, field: "row", reason: "is no JSON: one object a line is expected" }]);
  });
  test("a line that is no JSON is not repeated", () => {
    expect(JSON.stringify(readTrips(`{"document": ${residentId(1)}X`).refused)).not.toContain(residentId(1));
  });
  test("two objects on one line are one line at fault", () => {
    expect(readTrips(`${lineOf(1)}${lineOf(2)}`).refused).toMatchObject([{ line: 1, field: "row" }]);
  });
  test("a row with several faults is refused with each of them, under one line", () => {
    const { accepted, refusedCount, refused } = readTrips(`${lineOf(1)}\n${JSON.stringify({ ...trip(2), county: "999999", town: "x" })}`);
    expect([accepted, refusedCount]).toEqual([1, 1]);
    expect(refused.map(({ line, field }) => `${line} ${field}`).sort()).toEqual(["2 county", "2 town"]);
  });
  test("of many faults the first thousand are listed, and every refused row is counted", () => {
    const faulty = JSON.stringify({ ...trip(1), county: "999999", town: "x" });
    const read = readTrips([...Array.from({ length: FAULTS_MAX }, () => faulty), lineOf(1)].join("\n"));
    expect([read.refused.length, read.refusedCount, read.accepted]).toEqual([FAULTS_MAX, FAULTS_MAX, 1]);
    expect(read.refused.at(-1)?.line).toBe(FAULTS_MAX / 2);
  });
  test("a body of nothing has neither rows nor faults", () => {
    for (const text of ["", "\n", " \r\n \n"]) expect(readTrips(text)).toEqual({ rows: [], accepted: 0, refusedCount: 0, refused: [], ignored: 0 });
  });
  test("the same row twice is two rows: it is the store that knows them to be one", () => {
    expect(readTrips(`${lineOf(1)}\n${lineOf(1)}`).rows).toEqual(rowsOf(1, 1));
  });
  test("whatever stands between them, sound rows come out in their order and each fault under its line", () => {
    const kinds = { sound: lineOf, blank: () => "  ", torn: () => '{"x":', faulty: (n: number) => JSON.stringify({ ...trip(n), county: "999999" }) };
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...(Object.keys(kinds) as (keyof typeof kinds)[])), { maxLength: 30 }), fc.constantFrom("\n", "\r\n"), (lines, end) => {
        const { rows, accepted, refusedCount, refused } = readTrips(lines.map((kind, i) => kinds[kind](i)).join(end));
        const numbered = (wanted: string): number[] => lines.flatMap((kind, i) => (kind === wanted ? [i] : []));
        expect(rows).toEqual(rowsOf(...numbered("sound")));
        expect([accepted, refusedCount]).toEqual([rows.length, lines.filter((kind) => kind === "torn" || kind === "faulty").length]);
        const faulty = lines.flatMap((kind, i) => (kind === "torn" ? [`${i + 1} row`] : kind === "faulty" ? [`${i + 1} county`] : []));
        expect(refused.map(({ line, field }) => `${line} ${field}`)).toEqual(faulty);
      }),
    );
  });
});

describe("feeds and content types", () => {
  test("feeds are those of rows and the risk lists; other names are none", () => {
    expect([...FEEDS]).toEqual([...ROW_FEEDS, "risk-areas", "packs"]);
    for (const name of ["", "Tests", "toString", "__proto__", "vaccines"]) expect(isFeed(name), name).toBe(false);
    expect(FEEDS.every(isFeed)).toBe(true);
  });
  test.each(FEEDS)("%s takes the types that it names, whatever their case and parameters", (feed) => {
    const types = contentTypesOf(feed);
    expect(types.length).toBeGreaterThan(0);
    for (const type of types) {
      const format = formatOf(feed, type);
      expect(format).toBeDefined();
      for (const spelling of [`${type}; charset=utf-8`, type.toUpperCase(), ` ${type} ;version=2.5.1`]) expect(formatOf(feed, spelling), spelling).toBe(format);
    }
  });
  test("HL7 is for tests alone, under both its names", () => {
    const types = ["application/hl7-v2", "x-application/hl7-v2+er7"];
    expect(FEEDS.filter((feed) => types.some((type) => formatOf(feed, type) !== undefined))).toEqual(["tests"]);
    expect(types.map((type) => formatOf("tests", type))).toEqual(["hl7", "hl7"]);
  });
  test("the usual type of rows is NDJSON, of the risk lists JSON, of packs YAML", () => {
    expect(FEEDS.map((feed) => contentTypesOf(feed)[0])).toEqual([...ROW_FEEDS.map(() => "application/x-ndjson"), "application/json", "application/yaml"]);
  });
  test.each<[Feed, string]>([
    ["trips", "application/json"],
    ["trips", "text/plain"],
    ["trips", ""],
    ["trips", ";"],
    ["trips", "application/x-ndjson2"],
    ["trips", "toString"],
    ["risk-areas", "application/x-ndjson"],
  ])("%s does not take %s", (feed, type) => {
    expect(formatOf(feed, type)).toBeUndefined();
  });
  test.each(["constructor", "__proto__; charset=utf-8"])("a name that every object has is no content type: %s", (type) => {
    expect(formatOf("trips", type)).toBeUndefined();
  });
});

describe("HL7 v2 messages for tests", () => {
  const message = (number: string, order: string): string =>
    [
      "MSH|^~\\&|LIS|LAB|||20220609060000+0800||ORU^R01^ORU_R01|1|P|2.5.1",
      `PID|1||${number}^^^^NNCHN`,
      `OBR|1|${order}|${order}|94531-1^panel^LN|||20220608093000+0800|||||||||||||||20220608200000+0800`,
      "OBX|1|CWE|94500-6^RNA^LN||260415000^Not detected^SCT||||||F||||||||20220608200000+0800||||Laboratory A",
      "OBX|2|NM|8310-5^Body temperature^LN||36.5|Cel|||||F",
    ].join("\r");

  test("become the same rows as NDJSON does; other analytes are counted, not refused", () => {
    const { rows, accepted, refused, ignored } = readBatch("tests", "hl7", message(residentId(1), "order-1"), intake);
    const row = { factId: "order-1/1", document: document(1), sampledAt: "2022-06-08T09:30:00+08:00", issuedAt: "2022-06-08T20:00:00+08:00", result: "negative", laboratory: "Laboratory A" };
    expect(rows).toEqual([readRow("tests", row, intake)]);
    expect({ accepted, refused, ignored }).toEqual({ accepted: 1, refused: [], ignored: 1 });
  });
  test("a message at fault harms no other, and is named by its line", () => {
    const wrong = `${residentId(2).slice(0, 17)}${residentId(2).endsWith("1") ? "2" : "1"}`;
    const { rows, refused, ignored } = readBatch("tests", "hl7", [message(wrong, "order-1"), message(residentId(1), "order-2")].join("\r"), intake);
    expect(rows.length).toBe(1);
    expect(refused).toMatchObject([{ line: 4, field: "document.number" }]);
    expect(ignored).toBe(2);
    expect(JSON.stringify(refused)).not.toContain(wrong);
  });
  test("a correction sent 61 s ahead of our clock is refused: its revision would outdo the true ones after it; 60 s are a clock that runs fast", () => {
    const sent = (time: string): string => message(residentId(1), "order-1").replace("20220609060000+0800", time).replace("||||||F||||||||", "||||||C||||||||");
    expect(readBatch("tests", "hl7", sent("20220609073101+0800"), intake)).toMatchObject({ rows: [], refused: [{ line: 4, field: "MSH-7", reason: expect.stringContaining("2022-06-09T07:30:00+08:00") as string }] });
    expect(readBatch("tests", "hl7", sent("20220609073100+0800"), intake)).toMatchObject({ rows: [{ fact: { revision: NOW + 60 } }], refused: [] });
  });
  test("a body that is none is refused", () => {
    expect(readBatch("tests", "hl7", "hello", intake)).toMatchObject({ rows: [], accepted: 0, refused: [{ line: 1, field: "MSH" }] });
  });
});

describe("risk lists", () => {
  const readList = (list: object, over: Partial<Intake> = {}) => readBatch("risk-areas", "publication", JSON.stringify(list), { ...intake, ...over });

  test("become one row for the inbox, however many items they have", () => {
    const read = readList(publication("2022-06-09 07时", [SHANGHAI_HUANGPU]));
    const at = instant("2022-06-09T07:00:00+08:00");
    expect(read).toEqual({ rows: [{ type: "publication", publication: { publishedAt: at, knownFrom: NOW, counties: [[310_101, { high: 1, medium: 0 }]], areas: expect.any(Uint8Array) as Uint8Array, unknown: [] } }], accepted: 1, refusedCount: 0, refused: [], ignored: 0 });
  });
  test("in history are known from their publication", () => {
    const [row] = readList(publication("2022-06-09 07时", [SHANGHAI_HUANGPU]), { isHistory: true }).rows;
    expect(row).toMatchObject({ publication: { knownFrom: instant("2022-06-09T07:00:00+08:00"), receivedAt: NOW } });
  });
  test("items without a county are refused by their number, the others count", () => {
    const read = readList(publication("2022-06-09 07时", [{ province: "某省", city: "某市", county: "某县" }, SHANGHAI_HUANGPU]));
    expect(read).toMatchObject({ accepted: 1, refused: [{ line: 1, field: "county" }] });
  });
  test("with more unknown places than are listed count them all", () => {
    const read = readList(publication("2022-06-09 07时", [...Array.from({ length: FAULTS_MAX + 1 }, () => ({ province: "某省", city: "某市", county: "某县" })), SHANGHAI_HUANGPU]));
    expect([read.refused.length, read.refusedCount, read.accepted]).toEqual([FAULTS_MAX, FAULTS_MAX + 1, 1]);
  });
  test("that can't be used leave no row", () => {
    expect(readBatch("risk-areas", "publication", "{", intake)).toMatchObject({ rows: [], accepted: 0, refusedCount: 1, refused: [{ line: 1, field: "body" }] });
  });
  test("of this second are taken, of the next hour they are of the future", () => {
    const list = publication("2022-06-09 08时", [SHANGHAI_HUANGPU]);
    expect(readList(list, { now: instant("2022-06-09T08:00:00+08:00") }).accepted).toBe(1);
    expect(readList(list)).toMatchObject({ rows: [], accepted: 0, refused: [{ line: 1, field: "data.end_update_time" }] });
  });
});
