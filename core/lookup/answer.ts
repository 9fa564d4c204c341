// The answer of a gate: an entry's state at an instant and the venue's rule, as the fields that go over the wire.
// Promises: no rule is applied here that the venue rule doesn't state; every answer has all fields and one length.
// Not here: reading the entry (scan.ts).

import { dayOf, formatInstant, formatMs, POPUPS, startOfDay } from "../domain/index.ts";
import type { EntryState } from "../entry/index.ts";
import { flagBit as bit, lacksTest, type CompiledVenueRule } from "./venues.ts";

export type Reason = "no-policy" | "status" | "popup" | "unconfirmed" | "venue-rule";

/** Fields of a scan's answer, in the order of the wire. */
export interface Answer {
  pass: boolean;
  /** The first that applies of no-policy, status, popup, unconfirmed, venue-rule; null with pass. */
  reason: Reason | null;
  status: "clear" | "home" | "central" | null;
  /** Active pop-ups, ascending; 0 is the unnumbered one. */
  popups: number[];
  unconfirmed: boolean;
  commuter: boolean;
  testAgeDays: number | null;
}

const HOME = bit("home");
const CENTRAL = bit("central");
const UNCONFIRMED = bit("unconfirmed");
const COMMUTER = bit("commuter");
const POPUP_BITS = POPUPS.map((number) => ({ number, mask: bit(`popup-${number}`) }));
const ANY_POPUP = POPUP_BITS.reduce((mask, p) => mask | p.mask, 0);

/** The state of a holder of whom there is no entry (POLICY §0: unconfirmed). */
export const UNKNOWN_HOLDER: Readonly<EntryState> = { flags: UNCONFIRMED, incomplete: false, shownDay: null, issuedAt: 0 };

/** What a gate is told at `nowMs` under its venue's rule; no rule: no policy is in force. `hasReceipt`: a sampling receipt was shown to it. */
export function answerOf(state: EntryState, rule: CompiledVenueRule | undefined, nowMs: number, hasReceipt = false): Answer {
  const now = Math.floor(nowMs / 1000);
  if (!rule) {
    return { pass: false, reason: "no-policy", status: null, popups: [], unconfirmed: false, commuter: false, testAgeDays: null };
  }
  // An entry that could not hold all of its verdict lets nobody pass.
  const flags = state.incomplete ? UNCONFIRMED : state.flags;
  const unconfirmed = (flags & UNCONFIRMED) !== 0;
  const hasPopup = (flags & ANY_POPUP) !== 0;
  const restricted = (flags & CENTRAL) !== 0 ? "central" : (flags & HOME) !== 0 ? "home" : null;
  const stopped = (flags & rule.stops) !== 0 || lacksTest(rule, flags, state.issuedAt, now, hasReceipt);
  const reason: Reason | null = restricted ? "status" : hasPopup ? "popup" : unconfirmed ? "unconfirmed" : stopped ? "venue-rule" : null;
  return {
    pass: reason === null,
    reason,
    status: restricted ?? (hasPopup || unconfirmed ? null : "clear"),
    popups: hasPopup ? POPUP_BITS.filter((p) => (flags & p.mask) !== 0).map((p) => p.number) : [],
    unconfirmed,
    commuter: (flags & COMMUTER) !== 0,
    testAgeDays: state.shownDay === null ? null : dayOf(now) - state.shownDay,
  };
}

/** Every answer is filled up with blanks to this many bytes, so that its length tells nothing. */
export const ANSWER_BYTES = 384;

/** The answer's JSON, padded. `maskedNumber` is the document as it may be shown. */
export function answerText(answer: Answer, maskedNumber: string, nowMs: number): string {
  return `${headOf(answer)}${JSON.stringify(maskedNumber)}${tailAt(nowMs)}`.padEnd(ANSWER_BYTES - 1) + "\n";
}

/** Answers are few in kind: what comes before the number is written once for each. */
const heads = new Map<string, string>();
const HEADS_MAX = 10_000;

function headOf({ pass, reason, status, popups, unconfirmed, commuter, testAgeDays }: Answer): string {
  const kind = `${reason ?? ""} ${status ?? ""} ${popups.length === 0 ? "" : popups.join()} ${unconfirmed ? 1 : 0}${commuter ? 1 : 0} ${testAgeDays ?? ""}`;
  let head = heads.get(kind);
  if (head === undefined) {
    head = `${JSON.stringify({ pass, reason, status, popups, unconfirmed, commuter, testAgeDays }).slice(0, -1)},"document":`;
    if (heads.size >= HEADS_MAX) heads.clear();
    heads.set(kind, head);
  }
  return head;
}

let tailMs = -1;
let tail = "";

/** What comes behind the number: the same for all scans of a millisecond. */
function tailAt(nowMs: number): string {
  if (nowMs !== tailMs) {
    const now = Math.floor(nowMs / 1000);
    tail = `,"validUntil":"${formatInstant(startOfDay(dayOf(now) + 1))}","serverTime":"${formatMs(nowMs)}"}`;
    tailMs = nowMs;
  }
  return tail;
}
