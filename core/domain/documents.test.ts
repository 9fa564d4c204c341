import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DOCUMENT_TYPES, isRefusal, maskNumber, mayHoldNumber, parseDocument, parsePhone, residentIdCheck, type DocumentType } from "./documents.ts";

/** The check character worked out from the definition (ISO 7064 MOD 11-2): all 18 places, weighted by powers of two, make 1 modulo 11. */
function withCheck(first17: string): string {
  const sum = Array.from(first17).reduce((carry, digit) => ((carry + Number(digit)) * 2) % 11, 0);
  return first17 + "10X98765432"[sum]!;
}

const KNOWN = "11010519491231002X";
const CHARACTERS = Array.from("0123456789X");

const digits = (length: number): fc.Arbitrary<string> => fc.stringMatching(new RegExp(`^[0-9]{${length}}$`));
const birthDate = fc
  .date({ min: new Date("1900-01-01T00:00:00Z"), max: new Date("2022-12-31T00:00:00Z"), noInvalidDate: true })
  .map((d) => d.toISOString().slice(0, 10).replaceAll("-", ""));
const residentId = fc
  .tuple(fc.constantFrom("11", "31", "44", "65", "81", "82", "83"), digits(4), birthDate, digits(3))
  .map((parts) => withCheck(parts.join("")));

const refused = (type: string, number: string, issuer?: string): boolean => isRefusal(parseDocument({ type, number, issuer }));
const canonical = (type: string, number: string, issuer?: string): string | undefined => {
  const parsed = parseDocument({ type, number, issuer });
  return isRefusal(parsed) ? undefined : parsed.canonical;
};

describe("check digit of resident IDs (GB 11643)", () => {
  test.each(["11010519491231002X", "440524188001010014"])("the standard's own example %s is accepted", (number) => {
    expect(canonical("resident-id", number)).toBe(`${/^8[123]/.test(number) ? "residence-permit" : "resident-id"}|${number}`);
  });
  test("the check character needs the first 17 digits only", () => {
    expect(residentIdCheck("11010519491231002")).toBe("X");
    expect(residentIdCheck("44052418800101001")).toBe("4");
  });
  test("any number that is made by the definition is accepted", () => {
    fc.assert(
      fc.property(residentId, (number) => {
        expect(canonical("resident-id", number)).toBe(`${/^8[123]/.test(number) ? "residence-permit" : "resident-id"}|${number}`);
      }),
    );
  });
  test("one wrong character anywhere is refused, for any number, place and character", () => {
    fc.assert(
      fc.property(residentId, fc.nat({ max: 17 }), fc.constantFrom(...CHARACTERS), (number, place, character) => {
        fc.pre(number[place] !== character);
        expect(refused("resident-id", number.slice(0, place) + character + number.slice(place + 1))).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
  test("every single wrong character of the known number is refused", () => {
    for (let place = 0; place < 18; place++) {
      for (const character of CHARACTERS) {
        if (character !== KNOWN[place]) expect(refused("resident-id", KNOWN.slice(0, place) + character + KNOWN.slice(place + 1))).toBe(true);
      }
    }
  });
  test("two neighbours that differ, swapped, are refused, for any number and place", () => {
    fc.assert(
      fc.property(residentId, fc.nat({ max: 16 }), (number, place) => {
        fc.pre(number[place] !== number[place + 1]);
        expect(refused("resident-id", number.slice(0, place) + number[place + 1]! + number[place]! + number.slice(place + 2))).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("form of resident IDs", () => {
  test.each([
    ["15 digits of the first generation", "110105491231002", /15 digits/],
    ["17 characters", KNOWN.slice(0, 17), /17 digits and a check/],
    ["19 characters", `${KNOWN}0`, /17 digits and a check/],
    ["X before the last place", "1101051949123100X2", /17 digits and a check/],
    ["a letter other than X at the end", "11010519491231002Y", /17 digits and a check/],
    ["a province that there isn't", withCheck("10010519491231002"), /province/],
    ["the 30th of February", withCheck("11010519490230002"), /date of birth/],
    ["29 February of a year without one", withCheck("11010520210229002"), /date of birth/],
    ["29 February 1900, a century without one", withCheck("11010519000229002"), /date of birth/],
    ["month 13", withCheck("11010519491331002"), /date of birth/],
    ["month 0", withCheck("11010519490031002"), /date of birth/],
    ["day 0", withCheck("11010519491200002"), /date of birth/],
    ["1799", withCheck("11010517991231002"), /date of birth/],
    ["year 49, which some calendars take for 1949", withCheck("11010500491231002"), /date of birth/],
    ["nothing", "", /17 digits and a check/],
  ])("%s is refused with its reason", (_, number, reason) => {
    expect(parseDocument({ type: "resident-id", number })).toMatchObject({ field: "document.number", reason: expect.stringMatching(reason) as string });
  });
});

describe("form of every type", () => {
  const foreigner = withCheck("91101019800101001");
  const good: Record<DocumentType, [string, string][]> = {
    "resident-id": [["check digit X", KNOWN]],
    "residence-permit": [
      ["Hong Kong, 81", withCheck("81000019800101001")],
      ["Macau, 82", withCheck("82000019800101001")],
      ["Taiwan, 83", withCheck("83000019800101001")],
    ],
    "hk-macau-permit": [["H and 8 digits", "H12345678"], ["M and 10 digits", "M1234567890"]],
    "taiwan-permit": [["8 digits", "12345678"], ["10 digits", "1234567890"]],
    passport: [["5 characters", "AB123"], ["9 characters", "E12345678"], ["digits alone", "123456789"]],
    "permanent-residence": [["3 letters and 12 digits", "CHN110012345678"], ["18 characters beginning with 9", foreigner]],
    "social-security-card": [["9 digits", "123456789"], ["a letter and 8 digits", "A12345678"], ["18 characters", KNOWN]],
    "elderly-card": [["8 digits", "12345678"], ["20 digits", "12345678901234567890"]],
  };
  const bad: Record<DocumentType, [string, string][]> = {
    "resident-id": [["a passport's number", "E12345678"]],
    "residence-permit": [
      ["a resident ID of Beijing", KNOWN],
      ["80", withCheck("80000019800101001")],
      ["a wrong check digit", withCheck("81000019800101001").slice(0, 17) + (withCheck("81000019800101001").endsWith("0") ? "1" : "0")],
    ],
    "hk-macau-permit": [["7 digits", "H1234567"], ["9 digits", "H123456789"], ["11 digits", "H12345678901"], ["another letter", "C12345678"], ["no letter", "123456789"]],
    "taiwan-permit": [["7 digits", "1234567"], ["9 digits", "123456789"], ["11 digits", "12345678901"], ["a letter", "T1234567"]],
    passport: [["4 characters", "AB12"], ["10 characters", "AB12345678"], ["a sign", "AB123<456"], ["nothing", ""]],
    "permanent-residence": [
      ["11 digits behind the letters", "CHN11001234567"],
      ["13 digits behind the letters", "CHN1100123456789"],
      ["2 letters", "CH1100123456789"],
      ["18 characters beginning with 8", withCheck("81101019800101001")],
      ["a wrong check digit", foreigner.slice(0, 17) + (foreigner.endsWith("0") ? "1" : "0")],
    ],
    "social-security-card": [["8 characters", "A1234567"], ["10 digits", "1234567890"], ["two letters", "AB1234567"], ["17 digits", KNOWN.slice(0, 17)]],
    "elderly-card": [["7 digits", "1234567"], ["21 digits", "123456789012345678901"], ["a letter", "A12345678"]],
  };
  for (const type of DOCUMENT_TYPES) {
    const issuer = type === "passport" ? "FRA" : undefined;
    test.each(good[type])(`${type}: %s is accepted`, (_, number) => {
      expect(refused(type, number, issuer)).toBe(false);
    });
    test.each(bad[type])(`${type}: %s is refused`, (_, number) => {
      expect(parseDocument({ type, number, issuer })).toMatchObject({ field: "document.number" });
    });
  }
  test("a type that there isn't is refused with the list of types", () => {
    for (const type of ["", "driving-licence", "RESIDENT-ID", "toString", "__proto__"]) {
      expect(parseDocument({ type, number: KNOWN })).toMatchObject({ field: "document.type", reason: expect.stringContaining("elderly-card") as string });
    }
  });
  test("one number of GB 11643 is one document, whichever card it was read from", () => {
    expect(canonical("social-security-card", KNOWN)).toBe(canonical("resident-id", KNOWN));
  });
  test("the same number under two types of different numbering is two documents", () => {
    expect(canonical("taiwan-permit", "12345678")).not.toBe(canonical("elderly-card", "12345678"));
  });
});

describe("the issuer of a passport", () => {
  test("tells passports of one number apart", () => {
    expect(canonical("passport", "E12345678", "FRA")).not.toBe(canonical("passport", "E12345678", "DEU"));
  });
  test("may be written in lower case", () => {
    expect(canonical("passport", "E12345678", "fra")).toBe(canonical("passport", "E12345678", "FRA"));
  });
  test.each([undefined, "", "FR", "FRAN", "F1A", "F|A"])("%j is no issuer", (issuer) => {
    expect(parseDocument({ type: "passport", number: "E12345678", issuer })).toMatchObject({ field: "document.issuer" });
  });
  test("is refused with any other type", () => {
    expect(parseDocument({ type: "resident-id", number: KNOWN, issuer: "CHN" })).toMatchObject({ field: "document.issuer" });
  });
});

/** Writes a number in another way that means the same. */
const fullWidth = (text: string): string => text.replace(/[!-~]/g, (c) => String.fromCharCode(c.charCodeAt(0) + 0xfee0));
const spelling = (number: string): fc.Arbitrary<string> =>
  fc
    .array(fc.record({ before: fc.constantFrom("", "", "", " ", "-", "\u3000", "\t", "－", "\u00a0"), wide: fc.boolean(), lower: fc.boolean() }), {
      minLength: number.length + 1,
      maxLength: number.length + 1,
    })
    .map((marks) =>
      marks.map(({ before, wide, lower }, i) => {
        const character = lower ? (number[i] ?? "").toLowerCase() : (number[i] ?? "");
        return before + (wide ? fullWidth(character) : character);
      }).join(""),
    );

describe("canonical spelling", () => {
  test.each([
    ["blanks", "110105 19491231 002X"],
    ["hyphens", "110105-19491231-002X"],
    ["lower case x", "11010519491231002x"],
    ["full-width digits and X", "１１０１０５１９４９１２３１００２Ｘ"],
    ["full-width lower case x", "11010519491231002ｘ"],
    ["an ideographic blank", "110105\u300019491231002X"],
    ["blanks around", " 11010519491231002X\n"],
  ])("%s make no difference", (_, number) => {
    expect(canonical("resident-id", number)).toBe(`resident-id|${KNOWN}`);
  });
  test("any mixture of blanks, hyphens, full width and lower case gives one canonical form, for every type", () => {
    const examples: [DocumentType, string, string | undefined][] = [
      ["resident-id", KNOWN, undefined],
      ["passport", "E12345678", "FRA"],
      ["hk-macau-permit", "H1234567890", undefined],
      ["taiwan-permit", "12345678", undefined],
      ["residence-permit", withCheck("81000019800101001"), undefined],
      ["permanent-residence", "CHN110012345678", undefined],
      ["social-security-card", "A12345678", undefined],
      ["elderly-card", "1234567890", undefined],
    ];
    for (const [type, number, issuer] of examples) {
      const one = canonical(type, number, issuer);
      expect(one).toBeDefined();
      fc.assert(
        fc.property(spelling(number), (text) => {
          expect(canonical(type, text, issuer)).toBe(one);
        }),
      );
    }
  });
  test("the number that is kept in memory is the canonical one as well", () => {
    expect(parseDocument({ type: "resident-id", number: "110105-19491231-002x" })).toEqual({ type: "resident-id", number: KNOWN, canonical: `resident-id|${KNOWN}` });
  });
});

describe("a refusal never repeats the number", () => {
  const anything = fc.oneof(
    fc.stringMatching(/^[0-9A-Za-z -]{6,24}$/).filter((s) => /\d/.test(s)),
    residentId.map((n) => n.slice(1)),
    residentId.map((n) => n.slice(0, 17) + (n.endsWith("5") ? "6" : "5")),
    fc.string({ minLength: 6, unit: "binary" }).filter((s) => !/^[a-z, .:()-]*$/i.test(s)),
  );
  const plain = (text: string): string => text.normalize("NFKC").replace(/[\s-]/g, "").toUpperCase();
  test("of a document, wherever it was written: number, type or issuer", () => {
    fc.assert(
      fc.property(fc.constantFrom(...DOCUMENT_TYPES, "unknown"), anything, fc.constantFrom(undefined, "FRA", "FR"), (type, text, issuer) => {
        const results = [parseDocument({ type, number: text, issuer }), parseDocument({ type: text, number: KNOWN }), parseDocument({ type: "passport", number: "E12345678", issuer: text })];
        for (const result of results) {
          if (!isRefusal(result)) continue;
          expect(result.reason).not.toContain(text);
          if (plain(text).length >= 6) expect(plain(result.reason)).not.toContain(plain(text));
        }
      }),
      { numRuns: 1000 },
    );
  });
  test("of a phone", () => {
    fc.assert(
      fc.property(anything, (text) => {
        const result = parsePhone(text);
        if (isRefusal(result)) expect(result.reason).not.toContain(text);
      }),
    );
  });
});

describe("phones", () => {
  test.each([
    ["11 digits", "13800138000"],
    ["with +86", "+8613800138000"],
    ["with 86 alone", "8613800138000"],
    ["with blanks", "+86 138 0013 8000"],
    ["with hyphens", "138-0013-8000"],
    ["with parentheses", "(+86) 13800138000"],
    ["in full width", "＋８６１３８００１３８０００"],
  ])("a mainland number %s is one and the same", (_, text) => {
    expect(parsePhone(text)).toEqual({ canonical: "+8613800138000" });
  });
  test("a number of another country keeps its code", () => {
    expect(parsePhone("+44 20 7946 0958")).toEqual({ canonical: "+442079460958" });
    expect(parsePhone("+1 (386) 555-0100")).toEqual({ canonical: "+13865550100" });
  });
  test("7 and 15 digits behind the + are accepted, 6 and 16 are not", () => {
    expect(parsePhone("+2901234")).toEqual({ canonical: "+2901234" });
    expect(parsePhone("+290123456789012")).toEqual({ canonical: "+290123456789012" });
    expect(isRefusal(parsePhone("+290123"))).toBe(true);
    expect(isRefusal(parsePhone("+2901234567890123"))).toBe(true);
  });
  test.each([
    ["10 digits", "1380013800"],
    ["12 digits", "138001380001"],
    ["11 digits that don't begin with 1", "23800138000"],
    ["a country code that begins with 0", "+04420794609"],
    ["two plus signs", "++8613800138000"],
    ["a letter", "1380013800a"],
    ["nothing", ""],
  ])("%s: refused, naming the field", (_, text) => {
    expect(parsePhone(text)).toMatchObject({ field: "phone" });
  });
});

describe("masking", () => {
  test("shows the first two and the last two characters", () => {
    expect(maskNumber(KNOWN)).toBe("11**************2X");
    expect(maskNumber("AB123")).toBe("AB*23");
  });
  test("of four characters or fewer nothing is shown", () => {
    expect(["", "1", "12", "123", "1234"].map(maskNumber)).toEqual(["", "*", "**", "***", "****"]);
  });
  test("keeps the length of any number and shows four characters at most", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9A-Z]{0,24}$/), (number) => {
        const masked = maskNumber(number);
        expect(masked).toHaveLength(number.length);
        expect(masked.replaceAll("*", "").length).toBeLessThanOrEqual(4);
      }),
    );
  });
});

describe("texts that may hold a number", () => {
  test("a resident ID in any spelling inside a sentence is found", () => {
    fc.assert(
      fc.property(residentId.chain(spelling), (text) => {
        expect(mayHoldNumber(`核查 ${text} 已完成`)).toBe(true);
      }),
    );
  });
  test("a resident ID right behind other digits is found", () => {
    fc.assert(
      fc.property(residentId, digits(8), (number, before) => {
        expect(mayHoldNumber(`${before} ${number}`)).toBe(true);
      }),
    );
  });
  test.each([
    ["as it is dialled", "请致电13800138000"],
    ["with hyphens", "phone 138-0013-8000"],
    ["with blanks", "phone 138 0013 8000."],
    ["in full width", "电话１３８００１３８０００"],
    ["of the newest series, 19", "19912345678"],
  ])("a mainland mobile number %s is found", (_, text) => {
    expect(mayHoldNumber(text)).toBe(true);
  });
  test.each([
    ["nothing", ""],
    ["plain words", "社区核查，风险排除"],
    ["a date", "2022-06-09"],
    ["two dates", "2022-06-09 2022-06-10"],
    ["a date and a time", "2022-06-09 07:30"],
    ["a date behind a word", "checked in Beijing 2022-06-09"],
    ["a county", "110105"],
    ["a resident ID with a wrong check digit", `${KNOWN.slice(0, 17)}1`],
    ["12 digits that begin like a phone", "138001380001"],
    ["11 digits of a series that there isn't", "12800138000"],
    ["a document of an authority", "京卫发〔2022〕15号"],
  ])("%s is let through", (_, text) => {
    expect(mayHoldNumber(text)).toBe(false);
  });
  test("a mainland mobile number with its country code, the canonical form, is found", () => {
    for (const text of ["+8613800138000", "+86 138 0013 8000", "8613800138000"]) expect(mayHoldNumber(`call ${text}`)).toBe(true);
  });
  test("a mainland mobile number behind a date is found", () => {
    expect(mayHoldNumber("2022-06-09 13800138000")).toBe(true);
  });
});
