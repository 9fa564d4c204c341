// Scans on a real store: which bodies are none, what is read from an entry at an instant, and that a known holder looks like an unknown one.

import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { document, keyOfDocument, keyring, NOW, phone, recordWith, residentId } from "../../test/ingestSupport.ts";
import { temporaryFolder } from "../../test/support.ts";
import { isRefusal, parseDocument, dayOf, FOREVER, RESTRICTING, type Document, type Refusal, type VenueRule } from "../domain/index.ts";
import { openEntryWriter, type EntryWriter } from "../entry/index.ts";
import { createCodes, type Codes } from "../access/index.ts";
import { ANSWER_BYTES } from "./answer.ts";
import { RESULTS } from "./answer.ts";
import { createLook } from "./look.ts";
import { createMetrics, type LookupMetrics } from "./metrics.ts";
import { createScan, type ScanResult } from "./scan.ts";
import { compileVenues, type CompiledVenues } from "./venues.ts";

const USUAL: VenueRule = { venue: "venue", stops: RESTRICTING, testHours: null, commuterHours: null, testIf: null, acceptsReceipt: false, from: 0, until: FOREVER };
const RULES = [
  USUAL,
  { ...USUAL, venue: "boarding", testHours: 48 },
  { ...USUAL, venue: "checkpoint", testHours: 48, acceptsReceipt: true, until: NOW + 10 },
  { ...USUAL, venue: "checkpoint", testHours: 48, from: NOW + 10 },
];

let entries: EntryWriter;
let metrics: LookupMetrics;
let nowMs: number;
let venues: CompiledVenues;
let codes: Codes;
let scan: (body: unknown, venue?: string) => ScanResult | Refusal;
beforeEach(() => {
  entries = openEntryWriter(join(temporaryFolder(), "entries"));
  metrics = createMetrics();
  nowMs = NOW * 1000;
  venues = compileVenues(RULES);
  codes = createCodes(new Uint8Array(32).fill(5));
  const scanAt = createScan(createLook({ entries, keyring, codes, venues: () => venues, clock: { nowMs: () => nowMs }, metrics }));
  scan = (body, venue = "venue") => scanAt(body, venue);
});
afterEach(() => entries.close());

function scanned(body: unknown, venue?: string): { readonly text: string; readonly outcome: (typeof RESULTS)[number] } {
  const result = scan(body, venue);
  if (isRefusal(result)) throw new Error(`refused: ${result.field} ${result.reason}`);
  return { text: Buffer.from(result.bytes).toString(), outcome: RESULTS[result.outcome]! };
}
function refusalOf(body: unknown, venue?: string): Refusal {
  const result = scan(body, venue);
  if (!isRefusal(result)) throw new Error(`was answered: ${Buffer.from(result.bytes).toString()}`);
  return result;
}
const answerTo = (body: unknown): Record<string, unknown> => JSON.parse(scanned(body).text) as Record<string, unknown>;
const of = (n: number): object => ({ document: document(n) });
const damagedCount = (): number => Number(/fangxing_damaged_entries_total (\d+)/.exec(metrics.text({}))![1]);

describe("a body that is no scan is refused under the field at fault, and repeats no number", () => {
  const number = residentId(1);
  const wrong = `${number.slice(0, 17)}${number.endsWith("0") ? "1" : "0"}`;
  const HIDDEN = "(a name that is not repeated here)";
  test.each<[string, unknown, string]>([
    ["null", null, "body"],
    ["a number as text", number, "body"],
    ["a number", Number(number.slice(0, 15)), "body"],
    ["a list", [of(1)], "body"],
    ["true", true, "body"],
    ["an empty object", {}, "document"],
    ["document null", { document: null }, "document"],
    ["document a text", { document: number }, "document"],
    ["document a list", { document: [number] }, "document"],
    ["document empty", { document: {} }, "document.type"],
    ["no type", { document: { number } }, "document.type"],
    ["no number", { document: { type: "resident-id" } }, "document.number"],
    ["type a number", { document: { type: 1, number } }, "document.type"],
    ["number a number", { document: { type: "resident-id", number: Number(number.slice(0, 15)) } }, "document.number"],
    ["number null", { document: { type: "resident-id", number: null } }, "document.number"],
    ["issuer a number", { document: { type: "passport", number: "E12345678", issuer: 1 } }, "document.issuer"],
    ["an unknown type", { document: { type: "driving-licence", number } }, "document.type"],
    ["the number as type", { document: { type: number, number } }, "document.type"],
    ["a type that every object has", { document: { type: "constructor", number } }, "document.type"],
    ["a wrong check digit", { document: { type: "resident-id", number: wrong } }, "document.number"],
    ["fifteen digits", { document: { type: "resident-id", number: number.slice(0, 15) } }, "document.number"],
    ["an empty number", { document: { type: "resident-id", number: "" } }, "document.number"],
    ["a passport without issuer", { document: { type: "passport", number: "E12345678" } }, "document.issuer"],
    ["an issuer of a resident ID", { document: { type: "resident-id", number, issuer: "CHN" } }, "document.issuer"],
    ["a field too many", { ...of(1), name: "x" }, "name"],
    ["a field too many in the document", { document: { ...document(1), name: "x" } }, "document.name"],
    ["the number as a field's name", { [number]: true }, HIDDEN],
    ["the number as a field's name in the document", { document: { [number]: true } }, `document.${HIDDEN}`],
    ["a phone as a field's name", { ...of(1), [phone(1)]: true }, HIDDEN],
    ["a passport's number as a field's name", { ...of(1), E12345678: true }, HIDDEN],
    ["a field's name with blanks", { ...of(1), "a b": true }, HIDDEN],
    ["a field's name of 41 letters", { ...of(1), ["n".repeat(41)]: true }, HIDDEN],
    ["a field __proto__, as JSON can have it", JSON.parse('{"__proto__": {"document": {}}}'), HIDDEN],
  ])("%s", (_, body, field) => {
    const refusal = refusalOf(body);
    expect(refusal.field).toBe(field);
    expect(refusal.reason.length).toBeGreaterThan(5);
    for (const secret of [number, wrong, number.slice(0, 15), phone(1), "E12345678"]) expect(JSON.stringify(refusal)).not.toContain(secret);
  });
  test("whatever JSON it is, a body is answered or refused by name, and no number comes back", () => {
    const secret = fc.constantFrom(number, wrong, phone(1));
    const name = fc.oneof(fc.constantFrom("document", "type", "number", "issuer", "temperatureC", "samplingReceipt", "resident-id"), secret);
    const value = fc.letrec((again) => ({
      leaf: fc.oneof(secret, fc.constantFrom("resident-id", "passport", "CHN", null, true, 36.5, "")),
      node: fc.oneof({ maxDepth: 3 }, again("leaf"), fc.dictionary(name, again("node"), { maxKeys: 4 }), fc.array(again("node"), { maxLength: 2 })),
    })).node;
    fc.assert(
      fc.property(value, (body) => {
        const text = JSON.stringify(scan(body));
        for (const hidden of [number, wrong, phone(1)]) expect(text).not.toContain(hidden);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("a body temperature", () => {
  test.each([30, 36.5, 45])("of %d is taken, and changes nothing", (temperatureC) => {
    expect(scanned({ ...of(1), temperatureC }).text).toBe(scanned(of(1)).text);
  });
  test.each([["29.9", 29.9], ["45.1", 45.1], ["a text", "36.5"], ["null", null], ["true", true], ["1e999, which JSON makes infinite", Infinity], ["an object", {}]])("%s is refused", (_, temperatureC) => {
    expect(refusalOf({ ...of(1), temperatureC }).field).toBe("temperatureC");
  });
  test("may stand before the document", () => {
    expect(refusalOf({ temperatureC: 20, ...of(1) }).field).toBe("temperatureC");
    expect(scanned({ temperatureC: 36.5, ...of(1) }).outcome).toBe("unconfirmed");
  });
});

describe("a sampling receipt", () => {
  const shown = { ...of(1), samplingReceipt: true };
  const withheld = { ...of(1), samplingReceipt: false };
  beforeEach(() => entries.put(keyOfDocument(1), recordWith([])));

  test("lets pass where the venue takes it, and without one nobody untested does", () => {
    expect(scanned(shown, "checkpoint").outcome).toBe("pass");
    expect(scanned(of(1), "checkpoint").outcome).toBe("venue-rule");
    expect(scanned(withheld, "checkpoint").text).toBe(scanned(of(1), "checkpoint").text);
  });
  test("is refused by name where the venue takes none, whatever its holder's entry says; that there is none may be said anywhere", () => {
    for (const venue of ["venue", "boarding", "nowhere"]) {
      for (const n of [1, 99]) expect(refusalOf({ ...of(n), samplingReceipt: true }, venue).field).toBe("samplingReceipt");
      expect(scanned(withheld, venue).text).toBe(scanned(of(1), venue).text);
    }
  });
  test("is taken until the last second of the rule that takes it", () => {
    nowMs = NOW * 1000 + 9999;
    expect(scanned(shown, "checkpoint").outcome).toBe("pass");
    nowMs++;
    expect(refusalOf(shown, "checkpoint").field).toBe("samplingReceipt");
  });
  test("is for this scan alone", () => {
    scanned(shown, "checkpoint");
    expect(scanned(of(1), "checkpoint").outcome).toBe("venue-rule");
  });
  test("stands for the test and for nothing else", () => {
    entries.put(keyOfDocument(2), recordWith(["popup-4"]));
    expect(scanned({ ...of(2), samplingReceipt: true }, "checkpoint").outcome).toBe("popup");
    expect(scanned({ ...of(99), samplingReceipt: true }, "checkpoint").outcome).toBe("unconfirmed");
  });
  test.each([["a text", "true"], ["1", 1], ["null", null], ["an object", {}], ["a list", [true]]])("%s is refused, at whichever venue", (_, samplingReceipt) => {
    for (const venue of ["venue", "checkpoint"]) expect(refusalOf({ ...of(1), samplingReceipt }, venue)).toEqual({ field: "samplingReceipt", reason: "must be true or false" });
  });
});

describe("a kind of venue", () => {
  const tested = (issuedAt: number): Uint8Array => recordWith([], { negatives: [{ sampledAt: issuedAt, issuedAt }] });

  test("has its own rule: a test that is exactly 48 hours old lets board, one second later no more, and the usual venue asks for none", () => {
    entries.put(keyOfDocument(1), tested(NOW - 48 * 3600));
    expect([scanned(of(1), "boarding").outcome, scanned(of(1)).outcome]).toEqual(["pass", "pass"]);
    nowMs += 1000;
    expect([scanned(of(1), "boarding").outcome, scanned(of(1)).outcome]).toEqual(["venue-rule", "pass"]);
  });
  test("without a rule lets nobody pass and says so", () => {
    entries.put(keyOfDocument(1), recordWith([]));
    expect(answerTo(of(1))).toMatchObject({ pass: true });
    expect(scanned(of(1), "nowhere").outcome).toBe("no-policy");
    expect(scanned(of(99), "nowhere").outcome).toBe("no-policy");
  });
  test("goes by new rules from the next scan on", () => {
    entries.put(keyOfDocument(1), recordWith([]));
    expect(scanned(of(1), "boarding").outcome).toBe("venue-rule");
    venues = compileVenues([{ ...USUAL, venue: "boarding" }]);
    expect(scanned(of(1), "boarding").outcome).toBe("pass");
  });
  test("a test of the scan before doesn't let board the next holder", () => {
    entries.put(keyOfDocument(1), tested(NOW));
    entries.put(keyOfDocument(2), recordWith([]));
    expect([1, 2, 99].map((n) => scanned(of(n), "boarding").outcome)).toEqual(["pass", "venue-rule", "unconfirmed"]);
  });
});

describe("an entry", () => {
  test("without flags lets pass", () => {
    entries.put(keyOfDocument(1), recordWith([]));
    expect(scanned(of(1)).outcome).toBe("pass");
    expect(answerTo(of(1))).toMatchObject({ pass: true, reason: null, status: "clear", document: "11**************" + residentId(1).slice(-2) });
  });
  test("is found under every spelling of its document", () => {
    const n = Array.from({ length: 50 }, (_, i) => i).find((i) => residentId(i).endsWith("X"))!;
    entries.put(keyOfDocument(n), recordWith([]));
    const number = residentId(n);
    const fullWidth = number.replace(/./g, (c) => String.fromCharCode(c.charCodeAt(0) + 0xfee0));
    for (const spelling of [number.toLowerCase(), ` ${number} `, `${number.slice(0, 6)}-${number.slice(6)}`, fullWidth]) {
      expect(scanned({ document: { type: "resident-id", number: spelling } }).text).toBe(scanned({ document: { type: "resident-id", number } }).text);
    }
    expect(scanned(of(n)).outcome).toBe("pass");
  });
  test("of another type with the same number is another's", () => {
    const passport = parseDocument({ type: "passport", number: "12345678", issuer: "FRA" }) as Document;
    entries.put(keyring.documentKey(passport), recordWith([]));
    expect(scanned({ document: { type: "passport", number: "12345678", issuer: "FRA" } }).outcome).toBe("pass");
    expect(scanned({ document: { type: "passport", number: "12345678", issuer: "DEU" } }).outcome).toBe("unconfirmed");
    expect(scanned({ document: { type: "taiwan-permit", number: "12345678" } }).outcome).toBe("unconfirmed");
  });
  test("is read at the instant of the scan: a flag begins on its second and ends on its second", () => {
    entries.put(keyOfDocument(1), recordWith(["popup-4"], { from: NOW, until: NOW + 10 }));
    const outcomes = [NOW * 1000 - 1, NOW * 1000, NOW * 1000 + 9999, NOW * 1000 + 10_000].map((ms) => {
      nowMs = ms;
      return scanned(of(1)).outcome;
    });
    expect(outcomes).toEqual(["pass", "popup", "popup", "pass"]);
  });
  test("tells the age of the test that is shown", () => {
    entries.put(keyOfDocument(1), recordWith([], { negatives: [{ sampledAt: NOW - 9999, issuedAt: NOW - 999 }], shownTests: [{ from: NOW - 86_400, effectiveDay: dayOf(NOW) - 2 }] }));
    expect(answerTo(of(1))["testAgeDays"]).toBe(2);
  });
  test("leaves nothing behind for the next scan", () => {
    entries.put(keyOfDocument(1), recordWith(["central", "popup-1", "commuter"], { shownTests: [{ from: 0, effectiveDay: dayOf(NOW) }] }));
    entries.put(keyOfDocument(2), recordWith([]));
    const alone = scanned(of(2)).text;
    scanned(of(1));
    expect(scanned(of(2)).text).toBe(alone);
    scanned(of(1));
    expect(answerTo(of(3))).toMatchObject({ reason: "unconfirmed", status: null, popups: [], commuter: false, testAgeDays: null });
  });
  test("that is incomplete lets nobody pass", () => {
    entries.put(keyOfDocument(1), recordWith([], { incomplete: true }));
    expect(scanned(of(1)).outcome).toBe("unconfirmed");
    expect(damagedCount()).toBe(0);
  });
  test("that changes is read anew", () => {
    entries.put(keyOfDocument(1), recordWith(["popup-4"]));
    expect(scanned(of(1)).outcome).toBe("popup");
    entries.put(keyOfDocument(1), recordWith([]));
    expect(scanned(of(1)).outcome).toBe("pass");
    entries.remove(keyOfDocument(1));
    expect(scanned(of(1)).outcome).toBe("unconfirmed");
  });
});

describe("a known and an unknown holder", () => {
  test("get the same fields in the same order, and the same length", () => {
    const states = [[], ["unconfirmed"], ["popup-1", "popup-2", "popup-3", "popup-4", "popup-5"], ["central"], ["home", "commuter"]] as const;
    states.forEach((flags, n) => entries.put(keyOfDocument(n), recordWith(flags)));
    const unknown = scanned(of(99)).text;
    expect(Buffer.byteLength(unknown)).toBe(ANSWER_BYTES);
    states.forEach((_, n) => {
      const { text } = scanned(of(n));
      expect(Buffer.byteLength(text)).toBe(ANSWER_BYTES);
      expect(Object.keys(JSON.parse(text) as object)).toEqual(Object.keys(JSON.parse(unknown) as object));
    });
  });
  test("can't be told apart when the known one is unconfirmed", () => {
    entries.put(keyOfDocument(1), recordWith(["unconfirmed"]));
    const [known, unknown] = [answerTo(of(1)), answerTo(of(2))];
    expect({ ...known, document: null }).toEqual({ ...unknown, document: null });
  });
  test.each<[string, object]>([
    ["resident-id", document(1)],
    ["passport", { type: "passport", number: "E1234", issuer: "FRA" }],
    ["hk-macau-permit", { type: "hk-macau-permit", number: "H1234567890" }],
    ["taiwan-permit", { type: "taiwan-permit", number: "12345678" }],
    ["permanent-residence", { type: "permanent-residence", number: "FRA110000000001" }],
    ["social-security-card", { type: "social-security-card", number: "A12345678" }],
    ["elderly-card", { type: "elderly-card", number: "12345678901234567890" }],
  ])("%s: shows no more than two characters at each end", (_, input) => {
    const { number } = input as { number: string };
    const { text } = scanned({ document: input });
    expect(Buffer.byteLength(text)).toBe(ANSWER_BYTES);
    expect((JSON.parse(text) as { document: string }).document).toBe(number.slice(0, 2) + "*".repeat(number.length - 4) + number.slice(-2));
  });
});

describe("a damaged record", () => {
  const sound = recordWith(["commuter"], { negatives: [{ sampledAt: NOW - 9999, issuedAt: NOW - 999 }], shownTests: [{ from: 0, effectiveDay: dayOf(NOW) }] });

  test("is counted, and its holder is told what an unknown one is told", () => {
    entries.put(keyOfDocument(1), sound);
    expect([scanned(of(1)).outcome, damagedCount()]).toEqual(["pass", 0]);
    const damaged = Uint8Array.from(sound);
    damaged[30]! ^= 1;
    entries.put(keyOfDocument(1), damaged);
    const result = scanned(of(1));
    entries.remove(keyOfDocument(1));
    expect(result).toEqual(scanned(of(1)));
    expect(damagedCount()).toBe(1);
  });
  test("whichever bit is wrong, is no answer", () => {
    let count = 0;
    for (let bit = 0; bit < sound.length * 8; bit++) {
      const damaged = Uint8Array.from(sound);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      entries.put(keyOfDocument(1), damaged);
      expect(scanned(of(1)).outcome, `bit ${bit}`).toBe("unconfirmed");
      expect(damagedCount(), `bit ${bit}`).toBe(++count);
    }
  });
  test("cut off anywhere, or with more behind it, is no answer", () => {
    for (let length = 1; length < sound.length; length++) {
      entries.put(keyOfDocument(1), sound.subarray(0, length));
      expect(scanned(of(1)).outcome, `${length} bytes`).toBe("unconfirmed");
    }
    entries.put(keyOfDocument(1), Buffer.concat([sound, Buffer.of(0)]));
    expect(scanned(of(1)).outcome).toBe("unconfirmed");
    expect(damagedCount()).toBe(sound.length);
  });
});

describe("a code", () => {
  const sealed = (): string => {
    const { number } = document(1);
    return codes.seal({ key: keyOfDocument(1), masked: `11**************${number.slice(-2)}` }, NOW).code;
  };
  test("is answered as its document is, to the byte", () => {
    entries.transaction(() => {
      entries.put(keyOfDocument(1), recordWith(["popup-4"]));
    });
    expect(scanned({ code: sealed() })).toEqual(scanned(of(1)));
  });
  test("counts for five minutes, not a second longer", () => {
    const code = sealed();
    nowMs = (NOW + 299) * 1000;
    expect(scanned({ code }).outcome).toBe("unconfirmed");
    nowMs = (NOW + 300) * 1000;
    expect(refusalOf({ code })).toMatchObject({ field: "code", reason: expect.stringContaining("expired") as string });
  });
  test("that was changed, cut, made elsewhere or is none is refused, and not repeated", () => {
    const code = sealed();
    const changed = Array.from(code, (letter, i) => code.slice(0, i) + (letter === "A" ? "B" : "A") + code.slice(i + 1));
    const elsewhere = createCodes(new Uint8Array(32).fill(6)).seal({ key: keyOfDocument(1), masked: "" }, NOW).code;
    for (const wrong of [...changed, code.slice(0, -1), `${code}A`, elsewhere, "", residentId(1), "A".repeat(100)]) {
      const result = refusalOf({ code: wrong });
      expect([result.field, result.reason.includes(wrong) && wrong !== ""]).toEqual(["code", false]);
    }
  });
  test("beside a document is refused: a scan is of one or the other", () => {
    expect(refusalOf({ code: sealed(), ...of(1) }).field).toBe("code");
    expect(refusalOf({ code: 5 }).field).toBe("code");
  });
});
