// The answer of a gate: an entry's state at an instant and the venue's rule -> one number, and that number as what goes over the wire.
// Promises: no rule is applied here that the venue rule doesn't state; every answer has all fields and one length.
// Not here: reading the entry (scan.ts).

import { dayOf, formatInstant, formatMs, POPUPS, startOfDay, type Instant } from "../domain/index.ts";
import type { EntryState } from "../entry/index.ts";
import { flagBit as bit, lacksTest, type CompiledVenueRule } from "./venues.ts";

/** How a scan ends that is answered: it passes, or the first of these that applies (WIRE: reason). */
export const RESULTS = ["pass", "no-policy", "status", "popup", "unconfirmed", "venue-rule"] as const;
export type Reason = Exclude<(typeof RESULTS)[number], "pass">;
const RESULT = { pass: 0, noPolicy: 1, status: 2, popup: 3, unconfirmed: 4, venueRule: 5 } as const;

/** Statuses by their number; 0: none is shown. */
const STATUSES = [null, "clear", "home", "central"] as const;
const STATUS = { none: 0, clear: 1, home: 2, central: 3 } as const;

/**
 * An answer as one number, so that answers need no allocation and each kind is written once. Bits:
 * 0–2 index of RESULTS · 3–4 of STATUSES · 5–10 pop-up n is active · 11 unconfirmed · 12 commuter · 13–29 age of the test in days plus 1, 0: none is shown.
 */
export type Answer = number;
const STATUS_AT = 3;
const POPUPS_AT = 5;
const UNCONFIRMED_AT = 11;
const COMMUTER_AT = 12;
const AGE_AT = 13;

/** Index of RESULTS. */
export function resultOf(answer: Answer): number {
  return answer & 7;
}

/** Fields of a scan's answer, in the order of the wire. */
export interface AnswerFields {
  readonly pass: boolean;
  /** The first that applies of no-policy, status, popup, unconfirmed, venue-rule; null with pass. */
  readonly reason: Reason | null;
  readonly status: (typeof STATUSES)[number];
  /** Active pop-ups, ascending; 0 is the unnumbered one. */
  readonly popups: readonly number[];
  readonly unconfirmed: boolean;
  readonly commuter: boolean;
  readonly testAgeDays: number | null;
}

const HOME = bit("home");
const CENTRAL = bit("central");
const UNCONFIRMED = bit("unconfirmed");
const COMMUTER = bit("commuter");
const POPUP_BITS = POPUPS.map((number) => bit(`popup-${number}`));
const ANY_POPUP = POPUP_BITS.reduce((mask, popup) => mask | popup, 0);

/** The state of a holder of whom there is no entry (POLICY §0: unconfirmed). */
export const UNKNOWN_HOLDER: Readonly<EntryState> = { flags: UNCONFIRMED, incomplete: false, shownDay: null, issuedAt: 0 };

/** What a gate is told at `now` under its venue's rule; no rule: no policy is in force. `hasReceipt`: a sampling receipt was shown to it. */
export function answerOf(state: EntryState, rule: CompiledVenueRule | undefined, now: Instant, hasReceipt = false): Answer {
  if (!rule) return RESULT.noPolicy;
  // An entry that could not hold all of its verdict lets nobody pass.
  const flags = state.incomplete ? UNCONFIRMED : state.flags;
  const unconfirmed = (flags & UNCONFIRMED) !== 0;
  const hasPopup = (flags & ANY_POPUP) !== 0;
  const restricted = (flags & CENTRAL) !== 0 ? STATUS.central : (flags & HOME) !== 0 ? STATUS.home : STATUS.none;
  const stopped = (flags & rule.stops) !== 0 || lacksTest(rule, flags, state.issuedAt, now, hasReceipt);
  const result = restricted !== STATUS.none ? RESULT.status : hasPopup ? RESULT.popup : unconfirmed ? RESULT.unconfirmed : stopped ? RESULT.venueRule : RESULT.pass;
  const status = restricted !== STATUS.none || hasPopup || unconfirmed ? restricted : STATUS.clear;
  let popups = 0;
  if (hasPopup) for (let n = 0; n < POPUP_BITS.length; n++) if ((flags & POPUP_BITS[n]!) !== 0) popups |= 1 << n;
  const age = state.shownDay === null ? 0 : dayOf(now) - state.shownDay + 1;
  return result | (status << STATUS_AT) | (popups << POPUPS_AT) | (unconfirmed ? 1 << UNCONFIRMED_AT : 0) | ((flags & COMMUTER) !== 0 ? 1 << COMMUTER_AT : 0) | (age << AGE_AT);
}

export function fieldsOf(answer: Answer): AnswerFields {
  const result = RESULTS[resultOf(answer)]!;
  const age = answer >>> AGE_AT;
  return {
    pass: result === "pass",
    reason: result === "pass" ? null : result,
    status: STATUSES[(answer >>> STATUS_AT) & 3]!,
    popups: POPUPS.filter((n) => ((answer >>> (POPUPS_AT + n)) & 1) === 1),
    unconfirmed: ((answer >>> UNCONFIRMED_AT) & 1) === 1,
    commuter: ((answer >>> COMMUTER_AT) & 1) === 1,
    testAgeDays: age === 0 ? null : age - 1,
  };
}

/** Puts an answer into 6 bytes: result, status, pop-ups, bits 1 unconfirmed and 2 commuter, u16 age (records.ts). */
export function writeAnswer(answer: Answer, bytes: Uint8Array, at: number): void {
  const age = (answer >>> AGE_AT) - 1;
  bytes[at] = resultOf(answer);
  bytes[at + 1] = (answer >>> STATUS_AT) & 3;
  bytes[at + 2] = (answer >>> POPUPS_AT) & 63;
  bytes[at + 3] = (answer >>> UNCONFIRMED_AT) & 3;
  bytes[at + 4] = age & 255;
  bytes[at + 5] = (age >> 8) & 255;
}

/** Every answer is filled up with blanks to this many bytes, so that its length tells nothing. */
export const ANSWER_BYTES = 384;

/**
 * The answer's JSON, filled up, as ANSWER_BYTES bytes of ASCII. `maskedNumber` is the document as it may be shown: letters, digits and asterisks, which JSON takes as they are.
 * @returns borrowed: the next answer of the same kind is written to the same place. A text of its own for each would cost a microsecond.
 */
export function answerBytes(answer: Answer, maskedNumber: string, nowMs: number): Uint8Array {
  const written = writtenOf(answer);
  const { bytes, headBytes } = written;
  for (let i = 0, at = headBytes; i < maskedNumber.length; i++, at++) bytes[at] = maskedNumber.charCodeAt(i);
  const { tail } = timesAt(nowMs);
  if (written.tail === tail && written.numberBytes === maskedNumber.length) return bytes;
  written.tail = tail;
  written.numberBytes = maskedNumber.length;
  bytes.set(tail, headBytes + maskedNumber.length);
  bytes.fill(BLANK, headBytes + maskedNumber.length + tail.length, ANSWER_BYTES - 1);
  return bytes;
}

const BLANK = 32;

/** An answer of one kind as it was written last: of most only the number is another one. */
interface Written {
  readonly bytes: Uint8Array;
  /** Up to the number. */
  readonly headBytes: number;
  numberBytes: number;
  tail: Uint8Array | undefined;
}

/** Answers are few in kind. */
const answers = new Map<Answer, Written>();
const KINDS_MAX = 10_000;

function writtenOf(answer: Answer): Written {
  let written = answers.get(answer);
  if (written === undefined) {
    const bytes = Buffer.alloc(ANSWER_BYTES, "\n");
    const headBytes = bytes.write(`${JSON.stringify(fieldsOf(answer)).slice(0, -1)},"document":"`);
    written = { bytes, headBytes, numberBytes: 0, tail: undefined };
    if (answers.size >= KINDS_MAX) answers.clear();
    answers.set(answer, written);
  }
  return written;
}

/** What all answers of a millisecond have in common. */
export interface Times {
  readonly validUntil: string;
  readonly serverTime: string;
  /** Both as they stand at the end of a scan's answer, behind the number. */
  readonly tail: Uint8Array;
}

let timesMs = -1;
let times: Times = { validUntil: "", serverTime: "", tail: new Uint8Array() };

export function timesAt(nowMs: number): Times {
  if (nowMs !== timesMs) {
    const validUntil = formatInstant(endOfValidity(Math.floor(nowMs / 1000)));
    const serverTime = formatMs(nowMs);
    times = { validUntil, serverTime, tail: Buffer.from(`","validUntil":"${validUntil}","serverTime":"${serverTime}"}`) };
    timesMs = nowMs;
  }
  return times;
}

/** An answer may be shown until the day ends. */
export function endOfValidity(now: Instant): Instant {
  return startOfDay(dayOf(now) + 1);
}
