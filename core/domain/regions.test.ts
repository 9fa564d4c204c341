import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  allCounties,
  countiesOfPrefecture,
  countiesWithoutSuccessor,
  countyFault,
  countyOf,
  currentCounties,
  formerCounties,
  parseCounty,
  prefectureKey,
  provinceOf,
  SUCCESSIONS,
  type FormerCounty,
} from "./regions.ts";

const rows = (url: URL): string[][] => readFileSync(url, "utf8").trim().split("\n").slice(1).map((row) => row.trim().split(","));
const table = rows(new URL("./regions/successors.csv", import.meta.url));
const former = [...formerCounties().values()];
const current = [...allCounties().values()];

describe("the table of successors", () => {
  test("has five fields in every row, and no code twice", () => {
    expect(table.filter((row) => row.length !== 5)).toEqual([]);
    expect(new Set(table.map(([code]) => code)).size).toBe(table.length);
    expect(former.length).toBe(table.length);
  });
  test("holds no code of the current list", () => {
    expect(former.filter(({ code }) => allCounties().has(code))).toEqual([]);
  });
  test("every successor is on the current list, in the same province and prefecture, and named once", () => {
    for (const { code, successors } of former) {
      expect(new Set(successors).size, String(code)).toBe(successors.length);
      for (const successor of successors) {
        expect(allCounties().has(successor), `${code} -> ${successor}`).toBe(true);
        expect(provinceOf(successor)).toBe(provinceOf(code));
        expect(prefectureKey(successor)).toBe(prefectureKey(code));
      }
    }
  });
  test("only a split has several successors, and the first of them is no zone", () => {
    for (const { code, successors, succession } of former) {
      expect(SUCCESSIONS, String(code)).toContain(succession);
      expect(successors.length > 1, String(code)).toBe(succession === "split");
      if (successors[0] !== undefined) expect(allCounties().get(successors[0])!.isZone, String(code)).toBe(false);
    }
  });
  test("a merger has a partner among the older codes, or a county that kept its code", () => {
    const mergers = former.filter((county) => county.succession === "merger");
    const alone = mergers.filter(({ code, successors }) => !former.some((other) => other.code !== code && other.successors.includes(successors[0]!)));
    expect(alone.map(({ name }) => name)).toEqual(["下城区"]); // into 拱墅区, which kept its code
  });
  test("every row has a reason that tells its year, or that it never was a code of the standard", () => {
    expect(former.filter(({ reason }) => !/^(202[01]: |never in GB\/T 2260; ).{20}/.test(reason))).toEqual([]);
  });
  test("no code is without a successor", () => {
    expect(countiesWithoutSuccessor()).toEqual([]);
  });
  test.each([
    [320_611, [320_613]],
    [330_103, [330_105]],
    [330_104, [330_102, 330_114]],
    [340_208, [340_209, 340_272]],
    [340_221, [340_210]],
    [350_403, [350_404]],
    [410_306, [410_308]],
    [431_172, [431_181]],
    [520_221, [520_204, 520_201]],
  ])("%d went to %j", (code, successors) => {
    expect(currentCounties(code)).toEqual(successors);
  });
});

const adminFolder = new URL("../../../shared/data/admin/", import.meta.url);
const codesOf = (list: string[][]): Set<string> => new Set(list.map(([code]) => code!));

describe.skipIf(!existsSync(adminFolder))("against the lists of both vintages (skipped where ../shared/data/admin is absent)", () => {
  test("every code that the newer list lost has a row under its old name, and there is no other row", () => {
    const removed = rows(new URL("code_changes_2020_2021.csv", adminFolder)).filter((row) => row[2] === "removed");
    expect(table.map(([code, name]) => [code, name])).toEqual(removed.map((row) => [row[3], row[4]]));
  });
  test("the file of changes says what the two lists say", () => {
    const older = rows(new URL("county_joined_2020-06-30.csv", adminFolder));
    const newer = codesOf(rows(new URL("county_joined_2021-10-31.csv", adminFolder)));
    const lost = older.filter(([code]) => !newer.has(code!));
    expect(lost.map(([code]) => code).sort()).toEqual(table.map(([code]) => code).sort());
    for (const [code, name, , prefecture, , province, isZone] of lost) {
      expect(countyOf(Number(code))).toMatchObject({ name, prefecture, province, isZone: isZone === "1", isFormer: true });
    }
  });
  test("our current list is the newer one", () => {
    expect(codesOf(rows(new URL("county_joined_2021-10-31.csv", adminFolder)))).toEqual(new Set(current.map(({ code }) => String(code))));
  });
  test("every new code has a predecessor but those cut out of a county that kept its code", () => {
    const added = rows(new URL("code_changes_2020_2021.csv", adminFolder)).filter((row) => row[2] === "added");
    const inherited = new Set(former.flatMap(({ successors }) => successors));
    // 临平区 out of 余杭区, 新星市 out of 伊州区.
    expect(added.map((row) => Number(row[3])).filter((code) => !inherited.has(code))).toEqual([330_113, 659_011]);
  });
});

/** A table with one county more, which nobody knows the successor of. */
const lost: FormerCounty = {
  ...{ code: 330_199, name: "旧县", prefecture: "杭州市", province: "浙江省", isZone: false },
  ...{ isFormer: true, succession: "split", successors: [], reason: "2020: nobody knows" },
};
const withLost = new Map([...formerCounties(), [lost.code, lost] as const]);

describe("a county's code as text", () => {
  test("a current code is itself", () => expect(parseCounty("110105")).toBe(110_105));
  test("an older code with successors stays as it was sent", () => expect(parseCounty("330104")).toBe(330_104));
  test("a zone of the statistics office is on the list", () => expect(parseCounty("340272")).toBe(340_272));
  test("what is accepted has no fault", () => {
    for (const { code } of [...current, ...former]) expect(countyFault(String(code))).toBe("");
  });
  test.each(["", "11010", "1101055", " 110105", "110105\n", "+10105", "1e5000", "11０105", "11010X"])("%j is not six digits", (text) => {
    expect(parseCounty(text)).toBeUndefined();
    expect(countyFault(text)).toMatch(/six digits/);
  });
  test.each(["000000", "999999", "110000", "320600", "110199", "130521"])("%s is on neither list, and is not repeated", (text) => {
    expect(parseCounty(text)).toBeUndefined();
    expect(countyFault(text)).toMatch(/neither on the list of 2021-10-31 nor on that of 2020-06-30/);
    expect(countyFault(text)).not.toContain(text);
  });
  test("an older code without a successor is refused under its old name", () => {
    expect(parseCounty("330199", withLost)).toBeUndefined();
    expect(countyFault("330199", withLost)).toBe("is the older code of 旧县 (浙江省), which was dissolved and has no known successor: send the code of the county that covers the place now");
    expect(countiesWithoutSuccessor(withLost)).toEqual([lost]);
  });
  test("with another table the other codes are read as ever", () => {
    expect(parseCounty("330104", withLost)).toBe(330_104);
    expect(countyFault("330198", withLost)).toMatch(/neither on the list/);
  });
});

describe("current counties", () => {
  test("a current code is itself alone, and the same array each time", () => {
    for (const { code } of current) {
      expect(currentCounties(code)).toEqual([code]);
      expect(currentCounties(code)).toBe(currentCounties(code));
    }
  });
  test("an unknown code has none", () => expect(currentCounties(999_999)).toEqual([]));

  const meet = (a: number, b: number): boolean => currentCounties(a).some((code) => currentCounties(b).includes(code));
  test.each([
    ["old and new", 330_103, 330_105, true],
    ["new and old", 330_105, 330_103, true],
    ["both old", 320_602, 320_611, true],
    ["an old one and the smaller part of its territory", 330_104, 330_114, true],
    ["an old one and a neighbour that it gave nothing to", 330_104, 330_105, false],
    ["two old ones that went different ways", 330_103, 330_104, false],
    ["the old and the new code of one name", 350_403, 350_404, true],
  ])("%s", (_, a, b, expected) => {
    expect(meet(a, b)).toBe(expected);
  });
});

describe("names", () => {
  test("an older code has its old name and says that it is one", () => {
    expect(countyOf(330_104)).toMatchObject({ code: 330_104, name: "江干区", prefecture: "杭州市", province: "浙江省", isZone: false, isFormer: true });
  });
  test("a current code has its name", () => expect(countyOf(330_102)).toMatchObject({ name: "上城区", isFormer: false }));
  test("an unknown code has none", () => expect(countyOf(999_999)).toBeUndefined());
  test("older codes are not on the current list", () => expect(allCounties().has(330_104)).toBe(false));
});

describe("prefectures", () => {
  const share = (a: number, b: number): boolean => prefectureKey(a) === prefectureKey(b);
  test.each([
    ["Shanghai's districts", 310_101, 310_151, true],
    ["Chongqing's districts and counties", 500_101, 500_229, true],
    ["Beijing and Tianjin", 110_101, 120_101, false],
    ["two of Hangzhou", 330_102, 330_182, true],
    ["Hangzhou and Ningbo", 330_102, 330_203, false],
    ["an older code and its successor", 330_104, 330_114, true],
    ["an older code and a neighbour", 330_104, 330_182, true],
    ["a zone and its city", 340_272, 340_209, true],
    ["two directly under Hubei", 429_004, 429_005, false],
    ["two directly under Hainan", 469_001, 469_002, false],
    ["two directly under Xinjiang", 659_001, 659_002, false],
    ["two unknown ones", 999_998, 999_999, false],
  ])("%s: %d and %d", (_, a, b, expected) => {
    expect(share(a, b)).toBe(expected);
  });
  test("keys agree with the names of the list, but for municipalities and counties directly under a province", () => {
    const names = new Map<number, Set<string>>();
    for (const { code, province, prefecture } of current) {
      const key = prefectureKey(code);
      names.set(key, (names.get(key) ?? new Set()).add(`${province} ${prefecture}`));
    }
    const several = [...names].filter(([, set]) => set.size > 1);
    expect(several.map(([key]) => key)).toEqual([50]); // Chongqing: 市辖区 and 县
    const twice = [...names.values()].flatMap((set) => [...set]).filter((name, i, all) => all.indexOf(name) !== i);
    expect(twice.filter((name) => !name.endsWith("直辖县级行政区划"))).toEqual([]);
  });

  test("Shanghai has sixteen districts", () => expect(countiesOfPrefecture(310_101)).toHaveLength(16));
  test("Chongqing holds both kinds", () => expect(countiesOfPrefecture(500_101)).toEqual(expect.arrayContaining([500_101, 500_229])));
  test.each([441_900, 442_000, 460_400, 620_201, 429_004, 419_001, 659_011])("%d is alone", (code) => {
    expect(countiesOfPrefecture(code)).toEqual([code]);
  });
  test("an older code has its prefecture's current counties", () => {
    expect(countiesOfPrefecture(330_104)).toEqual(countiesOfPrefecture(330_102));
    expect(countiesOfPrefecture(330_104)).not.toContain(330_104);
  });
  test("zones are left out, but for the one that is asked for", () => {
    expect(countiesOfPrefecture(340_209)).not.toContain(340_272);
    expect(countiesOfPrefecture(340_272)).toEqual([...countiesOfPrefecture(340_209), 340_272]);
  });
  test("every current county is among its own, and shares its key with all of them", () => {
    for (const { code } of current) {
      expect(countiesOfPrefecture(code)).toContain(code);
      expect(countiesOfPrefecture(code).every((other) => share(code, other))).toBe(true);
    }
  });
  test("an unknown code has none", () => expect(countiesOfPrefecture(999_999)).toEqual([]));
});
