// The published risk lists: what makes a list unusable, how a place finds its counties, and every list of the summer of 2022.

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { instant } from "../../test/ingestSupport.ts";
import { temporaryFolder } from "../../test/support.ts";
import { allCounties, isRefusal, type Refusal } from "../domain/index.ts";
import { findCounties, readPublication, type ReadPublication } from "./riskAreas.ts";

interface Item {
  province: string;
  city: string;
  county: string;
  communitys: string[];
}
const item = (province: string, city: string, county: string, areas = 1): Item => ({ province, city, county, communitys: Array.from({ length: areas }, (_, i) => `area ${i}`) });
const CHAOYANG = item("北京市", "朝阳区", "建外街道", 2);
const DONGGUAN = item("广东省", "东莞市", "莞城街道");
const XIAN_ZONE = item("陕西省", "西安市", "曲江新区", 3);
const NOWHERE = item("广东省", "广州市", "无名区");

const listOf = (high: Item[], medium: Item[] = []) => ({
  end_update_time: "2022-06-09 17时",
  hcount: high.reduce((sum, i) => sum + i.communitys.length, 0),
  mcount: medium.reduce((sum, i) => sum + i.communitys.length, 0),
  highlist: high,
  middlelist: medium,
});
type List = ReturnType<typeof listOf>;

function read(list: object): ReadPublication {
  const result = readPublication(JSON.stringify({ data: list }));
  if (isRefusal(result)) throw new Error(`refused: ${result.field} ${result.reason}`);
  return result;
}
function refusalOf(list: object): Refusal {
  const result = readPublication(JSON.stringify({ data: list }));
  if (!isRefusal(result)) throw new Error("was not refused");
  return result;
}

describe("a list that can't be used is refused whole", () => {
  test.each(["", "{", "<html></html>", '{"data": {}} tail'])("no JSON: %s", (text) => {
    expect(readPublication(text)).toMatchObject({ field: "body" });
  });
  test("not wrapped in data", () => {
    expect(readPublication(JSON.stringify(listOf([CHAOYANG])))).toMatchObject({ field: "data" });
  });
  test.each(["end_update_time", "hcount", "mcount", "highlist", "middlelist"])("without %s", (field) => {
    const list = Object.fromEntries(Object.entries(listOf([CHAOYANG])).filter(([name]) => name !== field));
    expect(refusalOf(list).field).toBe(`data.${field}`);
  });
  test.each(["province", "city", "county", "communitys"])("with an item without %s, named by its place", (field) => {
    const short = Object.fromEntries(Object.entries(DONGGUAN).filter(([name]) => name !== field));
    expect(refusalOf({ ...listOf([CHAOYANG]), middlelist: [DONGGUAN, short], mcount: 2 }).field).toBe(`data.middlelist.1.${field}`);
  });
  test.each(["[]", "null", "1", '"text"'])("JSON that is no object has a field to name: %s", (text) => {
    expect((readPublication(text) as Refusal).field).not.toBe("");
  });
  test("cut off in the high list: its count tells", () => {
    const fault = refusalOf({ ...listOf([CHAOYANG, DONGGUAN]), highlist: [CHAOYANG] });
    expect(fault.field).toBe("data.hcount");
    expect(fault.reason).toMatch(/3 areas.*holds 2/);
  });
  test("cut off in the medium list, inside an item", () => {
    expect(refusalOf({ ...listOf([], [CHAOYANG]), middlelist: [{ ...CHAOYANG, communitys: ["area 0"] }] }).field).toBe("data.mcount");
  });
  test("with more areas than it says", () => {
    expect(refusalOf({ ...listOf([CHAOYANG]), hcount: 1 }).field).toBe("data.hcount");
  });
  test.each([
    ["2022-06-09", "without hour"],
    ["2022-06-09 25时", "hour 25"],
    ["2022-06-31 17时", "a day that does not exist"],
    ["2022/06/09 17时", "slashes"],
    ["2022-06-09 17:00", "another form of hour"],
    ["", "empty"],
  ])("with the time %s (%s)", (time) => {
    expect(refusalOf({ ...listOf([CHAOYANG]), end_update_time: time }).field).toBe("data.end_update_time");
  });
});

describe("a list that can be used", () => {
  test.each([
    ["2022-06-09 17时", "2022-06-09T17:00:00+08:00"],
    ["2022-06-09 0时", "2022-06-09T00:00:00+08:00"],
    ["2022-06-09 08时", "2022-06-09T08:00:00+08:00"],
    ["2022-06-09 24时", "2022-06-10T00:00:00+08:00"],
    ["2022-12-31 24时", "2023-01-01T00:00:00+08:00"],
  ])("%s is %s", (time, at) => {
    expect(read({ ...listOf([CHAOYANG]), end_update_time: time }).publishedAt).toBe(instant(at));
  });
  test("areas are counted by county and level; fields that nobody needs don't matter", () => {
    const { counties, accepted, refused } = read({ ...listOf([CHAOYANG, DONGGUAN], [item("北京市", "朝阳区", "劲松街道")]), lcount: 5, highlist: [{ ...CHAOYANG, type: "1" }, DONGGUAN] });
    expect([...counties]).toEqual([
      [110_105, { high: 2, medium: 1 }],
      [441_900, { high: 1, medium: 0 }],
    ]);
    expect([accepted, refused]).toEqual([3, []]);
  });
  test("a zone over several counties counts for each of them", () => {
    expect([...read(listOf([], [XIAN_ZONE])).counties]).toEqual([
      [610_113, { high: 0, medium: 3 }],
      [610_116, { high: 0, medium: 3 }],
    ]);
  });
  test("a place that nobody knows is named with its number, the high list first, and harms no other", () => {
    const { counties, accepted, refused } = read(listOf([CHAOYANG, NOWHERE], [DONGGUAN, item("某省", "某市", "某县")]));
    expect([...counties.keys()]).toEqual([110_105, 441_900]);
    expect(accepted).toBe(2);
    expect(refused).toEqual([
      { line: 2, field: "county", reason: "no county is known as 广东省 广州市 无名区" },
      { line: 4, field: "county", reason: "no county is known as 某省 某市 某县" },
    ]);
  });
  test("an item without names says so", () => {
    expect(read(listOf([item("", "", "")])).refused).toEqual([{ line: 1, field: "county", reason: "names no place" }]);
  });
  test("a name without end is cut", () => {
    expect(read(listOf([item("某省", "某市", "县".repeat(500))])).refused[0]!.reason.length).toBeLessThan(120);
  });
  test("places that find no county are told once, with their areas and the province that they must lie in; those without areas are not", () => {
    const unknown = (...items: Item[]): object => read(listOf([CHAOYANG, ...items])).unknown;
    expect(read(listOf([item("广东省", "广州市", "无名区", 2)], [NOWHERE])).unknown).toEqual([{ name: "广东省 广州市 无名区", province: 44, areas: 3 }]);
    expect(unknown(item("广东省", "广州市", "无名区", 0), item("", "", "", 0))).toEqual([]);
    expect(unknown(item("上海市", "上海市", "黄埔区"), item("海南省", "省直辖县级行政单位", "文倡市"))).toMatchObject([{ province: 31 }, { province: 46 }]);
  });
  test.each([
    ["the province is not known", item("广洞省", "广州市", "天河区")],
    ["the city is another province's: either may be wrong", item("广东省", "南京市", "鼓楼区")],
    ["nothing is named", item("", "", "")],
  ])("a place may lie in any province when %s", (_, place) => {
    expect(read(listOf([place])).unknown).toMatchObject([{ province: 0, areas: 1 }]);
  });
  test("a name that may hold a number, or is too long, is neither kept nor repeated", () => {
    const { unknown, refused } = read(listOf([item("上海市", "上海市", "13800138000"), item("上海市", "上海市", "区".repeat(100))]));
    expect(unknown.map((place) => place.name)).toEqual(["", ""]);
    expect(refused.map((fault) => fault.reason)).toEqual(Array.from({ length: 2 }, () => "no county is known as what it names, which is not repeated here"));
  });
  test("a name is one line, without control characters", () => {
    expect(read(listOf([item("上海市", " 上海市\n", "黄埔\u001b[2J区")])).unknown).toMatchObject([{ name: "上海市 上海市 黄埔 [2J区" }]);
  });
  test("a list without any area is a list: everything is low-risk", () => {
    expect(read(listOf([]))).toMatchObject({ accepted: 0, refused: [], counties: new Map() });
  });
});

describe("areas as numbers", () => {
  const areasOf = (high: Item[], medium: Item[] = []): number[] => [...read(listOf(high, medium)).areas];
  const PROVINCE = 2 ** 40;

  test("one a named area, the high list first, in the order of the list", () => {
    const [chaoyang, chaoyang2, dongguan, xian] = areasOf([CHAOYANG], [DONGGUAN, XIAN_ZONE]);
    expect(areasOf([CHAOYANG], [DONGGUAN, XIAN_ZONE])).toHaveLength(6);
    expect(areasOf([DONGGUAN], [CHAOYANG])).toEqual([dongguan, chaoyang, chaoyang2]);
    expect([chaoyang, dongguan, xian].map((area) => Math.floor(area! / PROVINCE))).toEqual([11, 44, 61]);
  });
  test("the level doesn't matter, every name does", () => {
    const area = item("江苏省", "苏州市", "昆山市");
    expect(areasOf([area])).toEqual(areasOf([], [area]));
    const others = [{ ...area, province: "浙江省" }, { ...area, city: "南京市" }, { ...area, county: "太仓市" }, { ...area, communitys: ["area 1"] }];
    expect(new Set(areasOf([area, ...others])).size).toBe(5);
  });
  test("areas of one place lie together: they differ in the last 24 bits alone", () => {
    const [first, second] = areasOf([CHAOYANG]);
    expect(Math.floor(first! / 2 ** 24)).toBe(Math.floor(second! / 2 ** 24));
    expect(first).not.toBe(second);
  });
  test("areas that find no county count too; of a province that nobody knows, under 0", () => {
    const [nowhere, unknown] = areasOf([NOWHERE], [item("某省", "某市", "某县")]);
    expect(Math.floor(nowhere! / PROVINCE)).toBe(44);
    expect(Math.floor(unknown! / PROVINCE)).toBe(0);
  });
  test("they are whole numbers that a double holds", () => {
    expect(areasOf([CHAOYANG, DONGGUAN], [XIAN_ZONE]).every(Number.isSafeInteger)).toBe(true);
  });
});

describe("a place finds its counties", () => {
  test.each<[string, [string, string, string], number[]]>([
    ["names as they stand", ["江苏省", "苏州市", "昆山市"], [320_583]],
    ["a county of the same name in another province stays apart", ["福建省", "福州市", "鼓楼区"], [350_102]],
    ["Beijing: the city is the district, the county its subdistrict", ["北京市", "朝阳区", "建外街道"], [110_105]],
    ["Beijing: a county in its own place", ["北京市", "北京市", "海淀区"], [110_108]],
    ["other municipalities: the city is the municipality", ["上海市", "上海市", "黄浦区"], [310_101]],
    ["a municipality's county (县), which is under another placeholder", ["重庆市", "重庆市", "云阳县"], [500_235]],
    ["a county that its province administers", ["海南省", "省直辖县级行政单位", "文昌市"], [469_005]],
    ["the same under the other spelling", ["湖北省", "省直辖县级行政区划", "仙桃市"], [429_004]],
    ["a county that its region administers", ["新疆维吾尔自治区", "自治区直辖县级行政单位", "石河子市"], [659_001]],
    ["a prefecture without counties: Dongguan", ["广东省", "东莞市", "虎门镇"], [441_900]],
    ["a prefecture without counties: Danzhou", ["海南省", "儋州市", "那大镇"], [460_400]],
    ["an alias with one county", ["陕西省", "西安市", "国际港务区"], [610_111]],
    ["an alias with several", ["陕西省", "西安市", "经开区"], [610_112, 610_117]],
    ["an alias of a municipality", ["重庆市", "重庆市", "万盛经开区"], [500_110]],
    ["an alias whose city is a county", ["河北省", "辛集市", "辛集市"], [130_181]],
    ["no county of the name in its city", ["江苏省", "南京市", "昆山市"], []],
    ["a city without the county's name", ["江苏省", "苏州市", ""], []],
    ["nothing at all", ["", "", ""], []],
  ])("%s", (_, [province, city, county], codes) => {
    expect(findCounties({ province, city, county })).toEqual(codes);
  });
  test("a development zone that the code list has under its name is not found by it: it has no code of GB/T 2260", () => {
    const zones = [...allCounties().values()].filter((c) => c.isZone);
    expect(zones.length).toBeGreaterThan(0);
    for (const { code, name, prefecture, province } of zones) expect(findCounties({ province, city: prefecture, county: name }), name).not.toContain(code);
  });
  test("every county that is no zone is found by its own names", () => {
    const lost = [...allCounties().values()].filter((c) => !c.isZone && !findCounties({ province: c.province, city: c.prefecture, county: c.name }).includes(c.code));
    expect(lost).toEqual([]);
  });
});

describe("the table of aliases", () => {
  const [head, ...rows] = readFileSync(new URL("./riskAreas/aliases.csv", import.meta.url), "utf8").trim().split("\n");
  const aliases = rows.map((row) => {
    const [province, city, county, codes, ...reason] = row.split(",");
    return { place: [province, city, county].join(" "), province: province!, city: city!, county: county!, codes: codes!.split(";"), reason: reason.join(",") };
  });

  test("has its columns in this order", () => {
    expect(head).toBe("province,city,county,codes,reason");
  });
  test("holds counties of the list, and no zone among them", () => {
    const wrong = aliases.flatMap((a) => a.codes.map((code) => ({ place: a.place, code }))).filter(({ code }) => !/^\d{6}$/.test(code) || allCounties().get(Number(code))?.isZone !== false);
    expect(wrong).toEqual([]);
  });
  test("names no county twice in one row", () => {
    expect(aliases.filter((a) => new Set(a.codes).size !== a.codes.length)).toEqual([]);
  });
  test("names no place twice", () => {
    expect(aliases.map((a) => a.place).filter((place, i, all) => all.indexOf(place) !== i)).toEqual([]);
  });
  test("has a reason for every row", () => {
    expect(aliases.filter((a) => a.reason.replaceAll('"', "").trim().length < 10).map((a) => a.place)).toEqual([]);
  });
  test("is what each of its places finds", () => {
    for (const { codes, ...place } of aliases) expect(findCounties(place), place.place).toEqual(codes.map(Number));
  });
});

const listsFolder = fileURLToPath(new URL("../../../shared/data/risk_levels/", import.meta.url));

/** Lists with one row that holds nothing: neither names nor areas. */
const NAMELESS = ["2022091020-8b832e1e", "2022091121-e1544e06", "2022091222-5918d030", "2022091320-dd4d9713"].map((file) => `${file}.json: names no place`);

describe.skipIf(!existsSync(listsFolder))("the lists as they were published", () => {
  /** Every list of an archive, with the name of its file. */
  function unpacked(...archives: string[]): { file: string; text: string }[] {
    return archives.flatMap((archive) => {
      const folder = temporaryFolder();
      execFileSync("tar", ["xJf", join(listsFolder, archive), "-C", folder]);
      const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".json"));
      return files.map((file) => ({ file: basename(file), text: readFileSync(join(folder, file), "utf8") }));
    });
  }
  const SPRING = "raw_2022-04-15_2022-06-30.tar.xz";
  const SUMMER = "raw_daily_2022-07-01_2022-10-31.tar.xz";
  const AUGUST = "raw_all_2022-08-04_06.tar.xz";

  function readAll(lists: readonly { file: string; text: string }[]) {
    const sum = { lists: 0, accepted: 0, refused: 0, share: 0 };
    const reasons: string[] = [];
    const unusable: string[] = [];
    const publishedAt: number[] = [];
    for (const { file, text } of lists.toSorted((a, b) => (a.file < b.file ? -1 : 1))) {
      const result = readPublication(text);
      if (isRefusal(result)) {
        unusable.push(`${file}: ${result.field} ${result.reason}`);
        continue;
      }
      sum.lists++;
      sum.accepted += result.accepted;
      sum.refused += result.refused.length;
      publishedAt.push(result.publishedAt);
      for (const { reason } of result.refused) reasons.push(`${file}: ${reason}`);
    }
    sum.share = sum.accepted / (sum.accepted + sum.refused);
    return { ...sum, reasons, unusable, isInOrder: publishedAt.every((at, i) => i === 0 || publishedAt[i - 1]! <= at) };
  }

  test("to 2022-06-09: 166 lists, all 7,064 rows find a county", () => {
    const { share, ...figures } = readAll(unpacked(SPRING).filter(({ file }) => file < "20220610"));
    expect(share).toBeGreaterThanOrEqual(0.97);
    expect(figures).toEqual({ lists: 166, accepted: 7064, refused: 0, reasons: [], unusable: [], isInOrder: true });
  });
  test("to 2022-10-31: 330 lists, 36,850 rows find a county, 4 name no place", () => {
    const { share, ...figures } = readAll(unpacked(SPRING, SUMMER));
    expect(share).toBeGreaterThanOrEqual(0.97);
    expect(figures).toEqual({ lists: 330, accepted: 36_850, refused: 4, reasons: NAMELESS, unusable: [], isInOrder: true });
  });
  test("every revision of 2022-08-04 to 06 can be read", () => {
    const figures = readAll(unpacked(AUGUST));
    expect(figures).toEqual({ lists: 22, accepted: 2588, refused: 0, share: 1, reasons: [], unusable: [], isInOrder: true });
  });
  test("a list with its last item cut off is refused, each one", () => {
    for (const { file, text } of unpacked(SPRING)) {
      const { data } = JSON.parse(text) as { data: List };
      const list = data.highlist.length > 0 ? data.highlist : data.middlelist;
      if (list.pop()?.communitys.length) expect(isRefusal(readPublication(JSON.stringify({ data }))), file).toBe(true);
    }
  });
});

