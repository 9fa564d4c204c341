// The guard over published risk lists: which publication is in force, and which is held because it may be cut off.
// Promises: pure; time is the publications' own; judging costs a few walks over sorted lists. A list that lost a fifth of its areas, or a province of
// fifty, is held; a held one that the next agrees with takes effect, and so does a drop that three publications in a row tell of. A place that finds no
// county never takes the place of a county that was named before, unless an operator says so.
// Not here: the store of publications; whose flags a list changes (its `mark`); what an area means for anyone. Why the lines lie where they do:
// docs/risk-list-guard.md.

import { provinceOf, type CountyCode, type Instant, type UnknownPlace } from "../domain/index.ts";

const HOUR = 3600;
const DAY = 24 * HOUR;

/** A held list is confirmed by one that was published so much later, and whose areas are the same to this share. */
export const CONFIRMED_AFTER = HOUR / 2;
export const SAME_SHARE = 0.95;
/** But not by one that lost a province of so many areas since: in a long list that is less than a twentieth. */
const LARGE_PROVINCE = 50;

/** Where a loss becomes unusual. */
const LINES = {
  /** Areas gone: this share of all, less what chance explains in short lists. For lists shorter than `list`, and where the signs can't be told; in `tiny` ones any. */
  gone: { share: 0.2, least: 2, list: 600, tiny: 10 },
  /** What a cut does to areas that real lists keep for a week, added up: see `signsOf`. */
  signs: { sum: 0.44, youngAge: 3.5 * DAY, leastYoung: 20, leastPlaces: 10 },
  /** A province of which no area is left, when it had so many, or so many young ones; any province in a list shorter than `list`. */
  province: { least: 6, leastYoung: 4, list: 30 },
  /** The last areas in the order of the list, without a gap: this share of all. */
  tail: { share: 0.03, least: 10 },
} as const;

/** The list in force before the last one is compared too, as long as it is no older than this. */
const EARLIER_AGE = 3.5 * DAY;
/** Between the first and the third held list in a row the lines lie so many times as far; not in lists shorter than `short`, where a cut is a few areas. */
const ROW_STEPS = { long: 1.5, short: 60 } as const;

/** Areas that no list names any more are remembered for so long, so that one that comes back is not taken for a new one. */
const REMEMBERED = 7 * DAY;
/** So many of the newest held publications are kept to be agreed with, */
const HELD_MAX = 24;
/** and so many of them can be the first or second of three in a row. */
const ROW_MAX = 4;

/** Numbers of areas are made in core/ingest/riskAreas.ts: two digits of province, 16 bits of the place in it, 24 of the area in the place. */
const PLACE = 2 ** 24;
const PROVINCE = 2 ** 40;

/** What was measured elsewhere: too large a share of holders would lose or gain a flag; or what an operator decided. */
export type Mark = "loss" | "gain" | "released" | "rejected";

export interface JudgedPublication {
  readonly publishedAt: Instant;
  /** One number an area, in the order of the list. */
  readonly areas: Float64Array;
  /** Where it has areas. */
  readonly counties: ReadonlySet<CountyCode>;
  readonly unknown: readonly UnknownPlace[];
  readonly mark: Mark | null;
}

export type DoubtKind = keyof typeof LINES | "unknown" | "loss" | "gain";

/** Why a publication is held: it lost so many areas of so many, or counties where the kind is `unknown`; both 0 where the doubt is a mark. */
export interface Doubt {
  readonly kind: DoubtKind;
  readonly lost: number;
  readonly of: number;
  /** Of the kind `signs`: their sum, to two digits. */
  readonly sum?: number;
  /** Two digits, where the doubt is about one province. */
  readonly province?: number;
  /** Of the kind `unknown`: the names that find no county, and the counties not named any more that they may stand for. */
  readonly names?: readonly string[];
  readonly counties?: readonly CountyCode[];
}

/** A publication as the guard keeps it. Arrays are never changed. */
interface Listing {
  readonly publishedAt: Instant;
  readonly inOrder: Float64Array;
  /** Sorted, each once. */
  readonly areas: Float64Array;
  /** When each of `areas` was first listed. */
  readonly since: Float64Array;
  readonly counties: ReadonlySet<CountyCode>;
  readonly unknown: readonly UnknownPlace[];
}

export interface HeldPublication {
  readonly publishedAt: Instant;
  readonly doubts: readonly Doubt[];
  readonly listing: Listing;
}

/** Every area of the last days: sorted, with the first and the last publication that named it. */
interface Memory {
  readonly areas: Float64Array;
  readonly since: Float64Array;
  readonly last: Float64Array;
}

/** What the publications so far come to. Never changed; hand it on from one `judge` to the next. */
export interface GuardState {
  readonly inForce: Listing | null;
  /** In force before, or what confirmed `inForce`; none if an operator released it. A small cut that passed must not hide a larger one behind it. */
  readonly earlier: Listing | null;
  /** Held since `inForce` was published, oldest first; only the newest few. */
  readonly held: readonly HeldPublication[];
  /** Names that find no county, in a list that an operator released, as long as those in force go on bearing them: no county's, by that word. */
  readonly accepted: readonly string[];
  readonly memory: Memory;
}

export interface Judgement {
  readonly state: GuardState;
  /** `outdone`: another one of the same hour, judged before, is in force. */
  readonly outcome: "in-force" | "held" | "rejected" | "outdone";
  /** Also of one that is in force since later ones confirmed it; none when an operator released it. */
  readonly doubts: readonly Doubt[];
  /** In force although there are doubts, since held ones agree. */
  readonly confirmed: boolean;
}

const NO_AREAS = new Float64Array();
export const NOTHING_PUBLISHED: GuardState = { inForce: null, earlier: null, held: [], accepted: [], memory: { areas: NO_AREAS, since: NO_AREAS, last: NO_AREAS } };

/**
 * Judges the next publication. Call it in the order of `publishedAt`, of several with one `publishedAt` the longest first: what is in force of them stays,
 * unless an operator releases another.
 */
export function judge(state: GuardState, next: JudgedPublication): Judgement {
  const { publishedAt, mark } = next;
  if (mark === "rejected") return { state, outcome: "rejected", doubts: [], confirmed: false };
  if (mark !== "released" && state.inForce?.publishedAt === publishedAt) return { state, outcome: "outdone", doubts: [], confirmed: false };
  const { listing, memory } = list(state, next);
  const names = listing.unknown.map((place) => place.name);
  const accepted = names.filter((name) => name !== "" && (mark === "released" || state.accepted.includes(name)));
  const enforce = (doubts: readonly Doubt[], before: Listing | null): Judgement => ({
    state: { inForce: listing, earlier: before, held: [], accepted, memory },
    outcome: "in-force",
    doubts,
    confirmed: doubts.length > 0,
  });

  if (mark === "released") return enforce([], null);
  const doubts = state.inForce ? doubtsAbout(state.inForce, listing) : [];
  const { earlier } = state;
  if (doubts.length === 0 && earlier && publishedAt - earlier.publishedAt <= EARLIER_AGE) doubts.push(...doubtsAbout(earlier, listing));
  const unknown = unknownDoubt(state, listing);
  if (unknown) doubts.push(unknown);
  if (mark !== null) doubts.push({ kind: mark, lost: 0, of: 0 });
  if (doubts.length === 0) return enforce([], state.inForce);
  // A misspelt name is misspelt again in the next list: that it agrees says nothing.
  const agreeing = mark === "gain" || unknown ? undefined : confirming(state.held, listing);
  if (agreeing) return enforce(doubts, agreeing);
  const held = [...state.held.slice(1 - HELD_MAX), { publishedAt, doubts, listing }];
  return { state: { ...state, held, memory }, outcome: "held", doubts, confirmed: false };
}

/** A held publication with the same areas, no large province missing; or the second of three in a row of which each follows from those before without a doubt. */
function confirming(held: readonly HeldPublication[], next: Listing): Listing | undefined {
  const older = held.map((h) => h.listing).filter((h) => h.publishedAt + CONFIRMED_AFTER <= next.publishedAt);
  const same = older.findLast((h) => sameShare(h.areas, next.areas) >= SAME_SHARE && !lossBetween(h, next).provinces.some((p) => p.left === 0 && p.areas >= LARGE_PROVINCE));
  if (same) return same;
  const row = older.slice(-ROW_MAX);
  const follows = (first: Listing, second: Listing): boolean =>
    first.publishedAt + CONFIRMED_AFTER <= second.publishedAt &&
    doubtsAbout(first, second).length === 0 &&
    doubtsAbout(first, next, first.areas.length < ROW_STEPS.short ? 1 : ROW_STEPS.long).length === 0;
  return row.findLast((second) => doubtsAbout(second, next).length === 0 && row.some((first) => follows(first, second)));
}

/** What is unusual about `next` for whoever holds `before` to be true. Over `steps` the lines lie as many times as far; a province needs `least` to their power. */
function doubtsAbout(before: Listing, next: Listing, steps = 1): Doubt[] {
  const loss = lossBetween(before, next);
  const { gone, signs, province, tail } = LINES;
  const of = before.areas.length;
  const doubts: Doubt[] = [];
  const sum = signsOf(loss);
  const kept = of - loss.rewritten;
  if ((of < gone.list || sum === undefined) && loss.gone >= steps * Math.max(of < gone.tiny ? 1 : gone.least, kept * gone.share - Math.sqrt(kept) / 2)) doubts.push({ kind: "gone", lost: loss.gone, of: kept });
  if (sum !== undefined && sum >= steps * signs.sum) doubts.push({ kind: "signs", lost: loss.lost, of, sum: Math.round(sum * 100) / 100 });
  for (const p of loss.provinces) {
    const counts = p.areas >= province.least ** steps || p.young >= province.leastYoung || of < province.list;
    if (counts && p.left === 0) doubts.push({ kind: "province", lost: p.areas, of: p.areas, province: p.code });
  }
  const lostTail = lostTailOf(before, next);
  if (lostTail >= steps * Math.max(tail.least, of * tail.share)) doubts.push({ kind: "tail", lost: lostTail, of });
  return doubts;
}

/** Places that find no county, where counties aren't named any more that they may stand for: whoever was there would be freed. */
function unknownDoubt({ inForce, accepted }: GuardState, next: Listing): Doubt | undefined {
  const open = next.unknown.filter((place) => !accepted.includes(place.name));
  if (!inForce || open.length === 0) return undefined;
  const mayStandFor = ({ province }: UnknownPlace, county: CountyCode): boolean => province === 0 || province === provinceOf(county);
  const counties = [...inForce.counties].filter((county) => !next.counties.has(county) && open.some((place) => mayStandFor(place, county)));
  if (counties.length === 0) return undefined;
  const names = open.filter((place) => counties.some((county) => mayStandFor(place, county))).map((place) => place.name);
  return { kind: "unknown", lost: counties.length, of: inForce.counties.size, names, counties };
}

/**
 * Shares, added up: of areas lost, of young areas lost, of places with young areas that lost all, and, by half, of those that lost any. Real removals hit
 * areas a week old, in places where an outbreak ends; a cut hits young ones and growing places alike. Nothing where too few are young to tell.
 */
function signsOf({ areas, lost, young, youngLost, youngPlaces, youngPlacesFewer, youngPlacesGone }: Loss): number | undefined {
  if (young < LINES.signs.leastYoung || youngPlaces < LINES.signs.leastPlaces) return undefined;
  return lost / areas + youngLost / young + (youngPlacesGone + youngPlacesFewer / 2) / youngPlaces;
}

interface ProvinceLoss {
  readonly code: number;
  areas: number;
  young: number;
  left: number;
}

interface Loss {
  readonly areas: number;
  /** Areas of places of which `next` names none, yet as many: they are written in another way. */
  rewritten: number;
  /** The others that `next` doesn't name. */
  gone: number;
  /** What is left when any new name in a place stands for an old one there. */
  lost: number;
  /** Areas first listed in the last days. */
  young: number;
  youngLost: number;
  /** Places with young areas: all, those that have fewer areas, those that have none any more. */
  youngPlaces: number;
  youngPlacesFewer: number;
  youngPlacesGone: number;
  readonly provinces: ProvinceLoss[];
}

/** One walk over both lists, place by place. */
function lossBetween(before: Listing, next: Listing): Loss {
  const a = before.areas;
  const b = next.areas;
  const youngFrom = next.publishedAt - LINES.signs.youngAge;
  const loss: Loss = { areas: a.length, rewritten: 0, gone: 0, lost: 0, young: 0, youngLost: 0, youngPlaces: 0, youngPlacesFewer: 0, youngPlacesGone: 0, provinces: [] };
  let province: ProvinceLoss | undefined;
  for (let i = 0, j = 0; i < a.length; ) {
    const end = (Math.floor(a[i]! / PLACE) + 1) * PLACE;
    while (j < b.length && b[j]! < end - PLACE) j++;
    const firstOfNext = j;
    let count = 0;
    let gone = 0;
    let young = 0;
    let youngGone = 0;
    for (; i < a.length && a[i]! < end; i++) {
      const isYoung = before.since[i]! >= youngFrom;
      while (j < b.length && b[j]! < a[i]!) j++;
      const isGone = j >= b.length || b[j] !== a[i];
      count++;
      if (isYoung) young++;
      if (isGone) gone++;
      if (isYoung && isGone) youngGone++;
    }
    while (j < b.length && b[j]! < end) j++;
    const left = j - firstOfNext;
    const lost = Math.max(0, count - left);
    if (gone === count && left >= count) loss.rewritten += count;
    else loss.gone += gone;
    loss.lost += lost;
    loss.young += young;
    if (lost > 0) loss.youngLost += youngGone * Math.min(1, lost / gone);
    if (young > 0) loss.youngPlaces++;
    if (young > 0 && lost > 0) loss.youngPlacesFewer++;
    if (young > 0 && lost === count) loss.youngPlacesGone++;
    const code = Math.floor((end - PLACE) / PROVINCE);
    if (province?.code !== code) loss.provinces.push((province = { code, areas: 0, young: 0, left: 0 }));
    province.areas += count;
    province.young += young;
    province.left += left;
  }
  return loss;
}

/** How many of the last areas of `before`, in the order of its list, `next` doesn't name, up to the last one that it names. */
function lostTailOf(before: Listing, next: Listing): number {
  let lost = 0;
  while (lost < before.inOrder.length && !includes(next.areas, before.inOrder[before.inOrder.length - 1 - lost]!)) lost++;
  return lost;
}

/** What two sets have in common, of the larger one. */
function sameShare(a: Float64Array, b: Float64Array): number {
  let common = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const order = a[i]! - b[j]!;
    if (order === 0) common++;
    if (order <= 0) i++;
    if (order >= 0) j++;
  }
  const larger = Math.max(a.length, b.length);
  return larger === 0 ? 1 : common / larger;
}

/** Merges a publication into what is remembered, and dates its areas by it. */
function list({ inForce, memory: known }: GuardState, { publishedAt, areas: inOrder, counties, unknown }: JudgedPublication): { listing: Listing; memory: Memory } {
  const areas = sortedOnce(inOrder);
  const since = new Float64Array(areas.length).fill(publishedAt);
  const forgetBefore = Math.min(publishedAt - REMEMBERED, inForce?.publishedAt ?? publishedAt);
  const merged = { areas: new Float64Array(areas.length + known.areas.length), since: new Float64Array(areas.length + known.areas.length), last: new Float64Array(areas.length + known.areas.length) };
  let size = 0;
  const keep = (area: number, first: number, last: number): void => {
    merged.areas[size] = area;
    merged.since[size] = first;
    merged.last[size++] = last;
  };
  for (let i = 0, j = 0; i < areas.length || j < known.areas.length; ) {
    const order = i === areas.length ? 1 : j === known.areas.length ? -1 : areas[i]! - known.areas[j]!;
    if (order === 0) since[i] = known.since[j]!;
    if (order <= 0) keep(areas[i]!, since[i]!, publishedAt);
    else if (known.last[j]! >= forgetBefore) keep(known.areas[j]!, known.since[j]!, known.last[j]!);
    if (order <= 0) i++;
    if (order >= 0) j++;
  }
  const memory = { areas: merged.areas.slice(0, size), since: merged.since.slice(0, size), last: merged.last.slice(0, size) };
  return { listing: { publishedAt, inOrder, areas, since, counties, unknown }, memory };
}

function sortedOnce(areas: Float64Array): Float64Array {
  const sorted = areas.toSorted();
  return sorted.filter((area, i) => i === 0 || area !== sorted[i - 1]);
}

function includes(sorted: Float64Array, area: number): boolean {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < area) low = middle + 1;
    else high = middle;
  }
  return sorted[low] === area;
}
