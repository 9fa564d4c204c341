import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { now } from "./clock.ts";
import {
  bindsFrom,
  dayOf,
  endOf,
  FOREVER,
  formatDay,
  formatInstant,
  formatMs,
  freesAt,
  parseDate,
  parseDay,
  parseInstant,
  parseMoment,
  secondOfDay,
  startOfDay,
  windowEnd,
} from "./time.ts";

/** The engine's own reading of an ISO text, as the yardstick. */
const at = (text: string): number => new Date(text).getTime() / 1000;
const instants = fc.integer({ min: at("2000-01-01T00:00:00+08:00"), max: at("2100-12-31T23:59:59+08:00") });
const days = fc.integer({ min: at("2000-01-01T00:00:00Z") / 86_400, max: at("2100-12-31T00:00:00Z") / 86_400 });

describe("days", () => {
  test("a day begins at 00:00 Beijing time, which is 16:00 of the day before in UTC", () => {
    const day = parseDay("2022-06-09")!;
    expect(startOfDay(day)).toBe(at("2022-06-08T16:00:00Z"));
    expect(dayOf(at("2022-06-08T16:00:00Z"))).toBe(day);
    expect(dayOf(at("2022-06-08T15:59:59Z"))).toBe(day - 1);
  });
  test("the seconds of a day run from 0 to 86,399", () => {
    expect(secondOfDay(at("2022-06-09T00:00:00+08:00"))).toBe(0);
    expect(secondOfDay(at("2022-06-09T06:00:00+08:00"))).toBe(6 * 3600);
    expect(secondOfDay(at("2022-06-09T23:59:59+08:00"))).toBe(86_399);
  });
  test("there is no daylight saving: midsummer 1991 is UTC+8 as well", () => {
    expect(secondOfDay(at("1991-07-01T00:00:00+08:00"))).toBe(0);
  });
  test("every instant lies inside its own day", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: FOREVER }), (instant) => {
        const day = dayOf(instant);
        expect(startOfDay(day)).toBeLessThanOrEqual(instant);
        expect(instant).toBeLessThan(startOfDay(day + 1));
        expect(startOfDay(day) + secondOfDay(instant)).toBe(instant);
      }),
    );
  });
  test("a window of 14 days after the 9th leaves 14 full days: it holds through the 23rd and ends with 00:00 of the 24th", () => {
    expect(windowEnd({ lastDay: parseDay("2022-06-09")!, windowDays: 14 })).toBe(at("2022-06-24T00:00:00+08:00"));
  });
  test("a window of no days ends with its own day", () => {
    expect(windowEnd({ lastDay: parseDay("2022-06-09")!, windowDays: 0 })).toBe(at("2022-06-10T00:00:00+08:00"));
  });
});

describe("a moment that is an instant", () => {
  test.each([
    ["with Beijing's offset", "2022-06-09T07:30:00+08:00"],
    ["in UTC", "2022-06-08T23:30:00Z"],
    ["west of Greenwich", "2022-06-08T18:00:00-05:30"],
    ["without seconds", "2022-06-09T07:30+08:00"],
    ["with a fraction, which is cut off and not rounded", "2022-06-09T07:30:00.999+08:00"],
    ["with nine digits of fraction", "2022-06-09T07:30:00.999999999+08:00"],
  ])("%s", (_, text) => {
    expect(parseMoment(text)).toEqual({ instant: at("2022-06-09T07:30:00+08:00") });
  });
  test.each([
    ["one second before midnight", "2022-06-09T23:59:59+08:00"],
    ["the leap day of 2020", "2020-02-29T12:00:00+08:00"],
    ["the leap day of 2000, a century that has one", "2000-02-29T12:00:00+08:00"],
    ["the first second of 2000", "2000-01-01T00:00:00+08:00"],
    ["the last second of 2100", "2100-12-31T23:59:59+08:00"],
    ["the farthest offset there is, +14:00", "2022-06-09T07:30:00+14:00"],
  ])("%s is read", (_, text) => {
    expect(parseInstant(text)).toBe(at(text));
  });
  test.each([
    ["24:00 is no time of day here", "2022-06-09T24:00:00+08:00"],
    ["minute 60", "2022-06-09T23:60:00+08:00"],
    ["a leap second", "2016-12-31T23:59:60Z"],
    ["29 February 2022", "2022-02-29T12:00:00+08:00"],
    ["29 February 2100, a century without one", "2100-02-29T12:00:00+08:00"],
    ["month 0", "2022-00-09T12:00:00+08:00"],
    ["month 13", "2022-13-09T12:00:00+08:00"],
    ["day 0", "2022-06-00T12:00:00+08:00"],
    ["31 June", "2022-06-31T12:00:00+08:00"],
    ["no offset", "2022-06-09T07:30:00"],
    ["an offset without its colon", "2022-06-09T07:30:00+0800"],
    ["one minute beyond the farthest offset", "2022-06-09T07:30:00+14:01"],
    ["an offset of 99 hours", "2022-06-09T07:30:00+99:00"],
    ["1999: a mistake of the sender", "1999-12-31T23:59:59+08:00"],
    ["2101: a mistake of the sender", "2101-01-01T00:00:00+08:00"],
    ["a blank for the T", "2022-06-09 07:30:00+08:00"],
    ["a blank in front", " 2022-06-09T07:30:00+08:00"],
    ["a line feed behind", "2022-06-09T07:30:00+08:00\n"],
    ["ten digits of fraction", "2022-06-09T07:30:00.0123456789+08:00"],
    ["one digit of an hour", "2022-06-09T7:30:00+08:00"],
    ["full-width digits", "２０２２-06-09T07:30:00+08:00"],
    ["nothing", ""],
  ])("%s is refused", (_, text) => {
    expect(parseMoment(text)).toBeUndefined();
  });
  test("an offset with 60 minutes or more is refused", () => {
    expect(parseMoment("2022-06-09T07:30:00+08:60")).toBeUndefined();
    expect(parseMoment("2022-06-09T07:30:00-05:99")).toBeUndefined();
  });
});

describe("a moment that is a date", () => {
  test("is a day, not an instant", () => {
    expect(parseMoment("2022-06-09")).toEqual({ day: at("2022-06-09T00:00:00Z") / 86_400 });
    expect(parseInstant("2022-06-09")).toBeUndefined();
    expect(parseDay("2022-06-09T00:00:00+08:00")).toBeUndefined();
  });
  test.each(["2022-02-29", "2100-02-29", "2022-04-31", "2022-13-01", "2022-00-01", "2022-01-00", "1999-12-31", "2101-01-01", "2022-6-9", "20220609", "2022-06-09 "])(
    "%j is no date",
    (text) => {
      expect(parseDay(text)).toBeUndefined();
    },
  );
  test("parseDate knows the same dates as the calendar, for any year, month and day", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1998, max: 2102 }), fc.nat({ max: 14 }), fc.nat({ max: 33 }), (y, m, d) => {
        const lengths = [31, (y % 4 === 0 && y % 100 !== 0) || y % 400 === 0 ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        const exists = y >= 2000 && y <= 2100 && m >= 1 && m <= 12 && d >= 1 && d <= lengths[m - 1]!;
        const two = (n: number): string => String(n).padStart(2, "0");
        const day = parseDate(String(y), two(m), two(d));
        expect(day !== undefined).toBe(exists);
        if (day !== undefined) expect(formatDay(day)).toBe(`${y}-${two(m)}-${two(d)}`);
      }),
    );
  });
});

describe("what a bare date means (POLICY §0)", () => {
  const date = parseMoment("2022-06-09")!;
  const instant = parseMoment("2022-06-09T07:30:00+08:00")!;
  test("it binds from its first second", () => {
    expect(bindsFrom(date)).toBe(at("2022-06-09T00:00:00+08:00"));
  });
  test("it frees at its last second", () => {
    expect(freesAt(date)).toBe(at("2022-06-09T23:59:59+08:00"));
  });
  test("as an end it lasts until 24:00, which is 00:00 of the next day", () => {
    expect(endOf(date)).toBe(at("2022-06-10T00:00:00+08:00"));
  });
  test("an instant is the same for all three", () => {
    expect([bindsFrom(instant), freesAt(instant), endOf(instant)]).toEqual(Array(3).fill(at("2022-06-09T07:30:00+08:00")));
  });
  test("for any date: binds, then frees within the same day, then ends one second later", () => {
    fc.assert(
      fc.property(days, (day) => {
        const [binds, frees, ends] = [bindsFrom({ day }), freesAt({ day }), endOf({ day })];
        expect([dayOf(binds), dayOf(frees), dayOf(ends)]).toEqual([day, day, day + 1]);
        expect([frees - binds, ends - frees]).toEqual([86_399, 1]);
      }),
    );
  });
});

describe("what is written is read back", () => {
  test("any instant of 2000 to 2100", () => {
    fc.assert(
      fc.property(instants, (instant) => {
        expect(parseInstant(formatInstant(instant))).toBe(instant);
      }),
    );
  });
  test("any day of 2000 to 2100", () => {
    fc.assert(
      fc.property(days, (day) => {
        expect(parseDay(formatDay(day))).toBe(day);
      }),
    );
  });
  test("the same instant written with any offset", () => {
    fc.assert(
      fc.property(instants, fc.integer({ min: -14 * 60, max: 14 * 60 }), (instant, offsetMinutes) => {
        const local = new Date((instant + offsetMinutes * 60) * 1000).toISOString().slice(0, 19);
        fc.pre(local >= "2000" && local < "2101");
        const minutes = Math.abs(offsetMinutes);
        const zone = `${offsetMinutes < 0 ? "-" : "+"}${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
        expect(parseInstant(local + zone)).toBe(instant);
      }),
    );
  });
  test("milliseconds are written with three digits, and read as the whole second", () => {
    const atMs = Date.UTC(2022, 5, 8, 23, 50, 0, 7);
    expect(formatMs(atMs)).toBe("2022-06-09T07:50:00.007+08:00");
    fc.assert(
      fc.property(instants, fc.nat({ max: 999 }), (instant, ms) => {
        expect(parseInstant(formatMs(instant * 1000 + ms))).toBe(instant);
      }),
    );
  });
  test("the last instant an entry can hold can be written", () => {
    expect(formatInstant(FOREVER)).toBe("2106-02-07T14:28:15+08:00");
  });
});

describe("now", () => {
  test("is the whole second that has begun: .999 is not rounded up", () => {
    expect(now({ nowMs: () => 1_654_732_200_999 })).toBe(1_654_732_200);
    expect(now({ nowMs: () => 1_654_732_201_000 })).toBe(1_654_732_201);
  });
});
