// What a change makes of one holder: which flags it would raise and which it would take away, from an instant on.
// Promises: pure; the past doesn't count, since nobody is stopped in it.

import { FLAGS, union, type CountyCode, type Fact, type Flag, type FlagReason, type Instant, type Interval, type Verdict } from "../domain/index.ts";

export interface FlagDifference {
  readonly flag: Flag;
  /** Active at some instant from now on at which it was not before. */
  readonly gained: boolean;
  /** No longer active at some instant from now on at which it was. */
  readonly lost: boolean;
  /** Lost, and at no instant from now on active any more. */
  readonly freed: boolean;
  /** The county of the facts that the flag rests on; null: they name none. */
  readonly county: CountyCode | null;
}

export function flagDifferences(before: Verdict, after: Verdict, from: Instant): FlagDifference[] {
  if (saysTheSame(before.reasons, after.reasons)) return [];
  const out: FlagDifference[] = [];
  for (const flag of FLAGS) {
    const [old, next] = [active(before, flag, from), active(after, flag, from)];
    if (old.length === 0 && next.length === 0) continue;
    const [was, is] = [union(old), union(next)];
    const gained = !covers(was, is);
    const lost = !covers(is, was);
    if (gained || lost) out.push({ flag, gained, lost, freed: next.length === 0, county: gained ? countyOf(next, was) : countyOf(old, is) });
  }
  return out;
}

/** The flags that a verdict has at any instant from `from` on. */
export function flagsFrom({ reasons }: Verdict, from: Instant): Flag[] {
  const flags: Flag[] = [];
  for (const reason of reasons) if (reason.until > from && !flags.includes(reason.flag)) flags.push(reason.flag);
  return flags;
}

function saysTheSame(a: readonly FlagReason[], b: readonly FlagReason[]): boolean {
  return a.length === b.length && a.every((r, i) => r.flag === b[i]!.flag && r.from === b[i]!.from && r.until === b[i]!.until);
}

function active(verdict: Verdict, flag: Flag, from: Instant): (Interval & { facts: readonly Fact[] })[] {
  return verdict.reasons
    .filter((r) => r.flag === flag && r.until > from)
    .map((r) => ({ from: Math.max(r.from, from), until: r.until, facts: r.facts }));
}

/** Whether every instant of `inner` lies in `outer`; both are unions. */
function covers(outer: readonly Interval[], inner: readonly Interval[]): boolean {
  return inner.every((i) => outer.some((o) => o.from <= i.from && i.until <= o.until));
}

/** The county behind the reasons that the other side doesn't cover; null: their facts name none. */
function countyOf(reasons: readonly (Interval & { facts: readonly Fact[] })[], other: readonly Interval[]): CountyCode | null {
  for (const { facts } of reasons.filter((reason) => !covers(other, [reason]))) {
    for (const fact of facts) {
      if (fact.kind === "trip" || fact.kind === "residence" || fact.kind === "purchase") return fact.county;
      if (fact.kind === "crossing") return fact.port;
    }
  }
  return null;
}
