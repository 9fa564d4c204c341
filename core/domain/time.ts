// Beijing time: instants, days, and how they are written.
// Promises: pure arithmetic, UTC+8 without daylight saving (POLICY §0).
// Not here: what time it is now (clock.ts).

/** Whole seconds since 1970-01-01T00:00:00Z. Facts and flags are kept to the second. */
export type Instant = number;

/** Number of Beijing calendar days since 1970-01-01. */
export type Day = number;

const BEIJING_OFFSET_S = 8 * 3600;
const DAY_S = 86_400;

/** Before every fact and after every flag; the bounds that an entry can hold (unsigned 32 bit). */
export const BEGINNING: Instant = 0;
export const FOREVER: Instant = 0xffff_ffff;

/** Facts outside these years are mistakes of the sender. */
const YEAR_MIN = 2000;
const YEAR_MAX = 2100;

export function dayOf(instant: Instant): Day {
  return Math.floor((instant + BEIJING_OFFSET_S) / DAY_S);
}

/** 00:00 Beijing time of `day`. */
export function startOfDay(day: Day): Instant {
  return day * DAY_S - BEIJING_OFFSET_S;
}

/** Seconds since 00:00 Beijing time. */
export function secondOfDay(instant: Instant): number {
  return instant - startOfDay(dayOf(instant));
}

/**
 * The first instant at which a day window no longer holds: last day D, window W days, until 00:00 of D+W+1 (POLICY §0).
 */
export function windowEnd({ lastDay, windowDays }: { lastDay: Day; windowDays: number }): Instant {
  return startOfDay(lastDay + windowDays + 1);
}

/** A moment as a sender wrote it: to the second, or a whole Beijing day. */
export type Moment = { readonly instant: Instant } | { readonly day: Day };

const INSTANT = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,9})?)?(Z|[+-]\d\d:[0-5]\d)$/;
const DATE = /^(\d{4})-(\d\d)-(\d\d)$/;

/**
 * Reads an ISO 8601 instant with offset, or a date. Fractions of a second are cut off.
 * @returns undefined when it is neither, or no such date exists.
 */
export function parseMoment(text: string): Moment | undefined {
  const date = DATE.exec(text);
  if (date) {
    const day = parseDate(date[1]!, date[2]!, date[3]!);
    return day === undefined ? undefined : { day };
  }
  const match = INSTANT.exec(text);
  if (!match) return undefined;
  const day = parseDate(match[1]!, match[2]!, match[3]!);
  const [hour, minute, second] = [Number(match[4]), Number(match[5]), Number(match[6] ?? 0)];
  if (day === undefined || hour > 23 || minute > 59 || second > 59) return undefined;
  const zone = match[7]!;
  const offset = zone === "Z" ? 0 : (zone.startsWith("-") ? -1 : 1) * (Number(zone.slice(1, 3)) * 3600 + Number(zone.slice(4, 6)) * 60);
  if (Math.abs(offset) > 14 * 3600) return undefined;
  return { instant: day * DAY_S + hour * 3600 + minute * 60 + second - offset };
}

/** As parseMoment, but only an instant will do. */
export function parseInstant(text: string): Instant | undefined {
  const moment = parseMoment(text);
  return moment && "instant" in moment ? moment.instant : undefined;
}

/** As parseMoment, but only a date will do. */
export function parseDay(text: string): Day | undefined {
  const moment = parseMoment(text);
  return moment && "day" in moment ? moment.day : undefined;
}

/** Days since 1970-01-01 of a calendar date, or undefined when there is no such date or it lies outside 2000–2100. */
export function parseDate(year: string, month: string, dayOfMonth: string): Day | undefined {
  const [y, m, d] = [Number(year), Number(month), Number(dayOfMonth)];
  if (y < YEAR_MIN || y > YEAR_MAX) return undefined;
  const at = new Date(Date.UTC(y, m - 1, d));
  return at.getUTCMonth() === m - 1 && at.getUTCDate() === d ? at.getTime() / (DAY_S * 1000) : undefined;
}

/** The instant from which a moment binds: a bare date counts from its start (POLICY §0). */
export function bindsFrom(moment: Moment): Instant {
  return "instant" in moment ? moment.instant : startOfDay(moment.day);
}

/** The instant to which a moment counts where it frees: a bare date counts to its last second (POLICY §0). */
export function freesAt(moment: Moment): Instant {
  return "instant" in moment ? moment.instant : startOfDay(moment.day + 1) - 1;
}

/** Where something written as "to" ends, half-open: an instant is itself the end, a bare date lasts until 24:00. */
export function endOf(moment: Moment): Instant {
  return "instant" in moment ? moment.instant : startOfDay(moment.day + 1);
}

/** ISO 8601 with +08:00, to the second. */
export function formatInstant(instant: Instant): string {
  return `${new Date((instant + BEIJING_OFFSET_S) * 1000).toISOString().slice(0, 19)}+08:00`;
}

/** ISO 8601 with +08:00, to the millisecond. */
export function formatMs(atMs: number): string {
  return `${new Date(atMs + BEIJING_OFFSET_S * 1000).toISOString().slice(0, 23)}+08:00`;
}

/** YYYY-MM-DD. */
export function formatDay(day: Day): string {
  return new Date(day * DAY_S * 1000).toISOString().slice(0, 10);
}
