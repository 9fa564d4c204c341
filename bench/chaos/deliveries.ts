// What senders deliver while the service is being killed: batches of every feed about invented people, with revisions out of order, rows told again under other batch
// ids, and batches told again under their own.
// Promises: the same seed gives the same deliveries; no instant lies behind the one given, so that when an entry was written makes no difference to what it says.
// Not here: packs and decisions, whose effect follows from the order in which they come; sending (senders.ts).

import { allCounties, formatDay, dayOf, formatInstant, DRUG_CLASSES, FINDING_KINDS, SYMPTOMS, CLEARABLE, type CountyCode, type Instant } from "../../core/domain/index.ts";
import type { Feed } from "../../core/ingest/index.ts";
import { numberOf } from "../entries.ts";
import { createRandom, type Random } from "./random.ts";

export interface Delivery {
  /** One of the folder's own sources. */
  readonly source: "local" | "history";
  readonly feed: Feed;
  readonly batch: string;
  readonly contentType: string;
  readonly body: string;
  /** Rows in it; items of a risk list. */
  readonly rows: number;
}

const HOUR_S = 3600;
const DAY_S = 86_400;
const NDJSON = "application/x-ndjson";
/** Everything happened within so many days. */
const DAYS = 20;

/** Few enough that each has many visitors: three in the city; some in one prefecture, so that what is asked of prefectures is asked too. */
const CITY: readonly CountyCode[] = [110105, 110106, 110108];
const ELSEWHERE: readonly CountyCode[] = [310101, 310104, 310106, 310115, 210602, 210603, 210604, 440305, 440306, 320505, 320506, 130102];
const LABORATORIES = ["Invented Laboratory A", "Invented Laboratory B"];
/** Of a list's feeds, in hundredths of all deliveries. */
const FEED_SHARES = [
  ["holders", 14],
  ["trips", 24],
  ["tests", 22],
  ["findings", 5],
  ["crossings", 4],
  ["purchases", 4],
  ["clinic-visits", 4],
  ["commuters", 3],
  ["reports", 3],
  ["vaccinations", 2],
  ["declarations", 3],
  ["obligations", 3],
  ["residences", 3],
  ["clearances", 3],
  ["refutations", 3],
  ["risk-areas", 3],
  ["local-infections", 2],
  ["screenings", 1],
] as const satisfies readonly (readonly [Feed, number])[];
type SentFeed = (typeof FEED_SHARES)[number][0];
type RowFeed = Exclude<SentFeed, "risk-areas">;

/** Of a hundred deliveries: sent again as they are; with rows of others; so large that they take several transactions. */
const [AGAIN, WITH_TOLD, LARGE] = [0.14, 0.3, 0.01];
const LISTS = 60;

/** Deliveries without end. `at`: the service's clock before the first is sent. */
export function* createDeliveries({ seed, holders, at }: { seed: number; holders: number; at: Instant }): Generator<Delivery, undefined> {
  const random = createRandom(seed);
  const people = createPeople(holders, random);
  const waiting = new Map<string, object[]>();
  const told = new Map<string, object[]>();
  const sent: Delivery[] = [];
  const lists = createLists(random, at);
  let facts = 0;
  const poolOf = (pools: Map<string, object[]>, name: string): object[] => {
    let pool = pools.get(name);
    if (!pool) pools.set(name, (pool = []));
    return pool;
  };
  const rowsOf = (feed: RowFeed): object[] => (feed === "holders" ? [people.holderRow()] : revisionsOf(feed, `fact-${++facts}`, people, random, at));
  for (let n = 0; ; n++) {
    if (sent.length > 0 && random.chance(AGAIN)) {
      yield random.pick(sent);
      continue;
    }
    const feed = weighted(random);
    const source = feed !== "risk-areas" && random.chance(0.15) ? "history" : "local";
    const head = { source, feed, batch: `chaos-${n}` } as const;
    let delivery: Delivery;
    if (feed === "risk-areas") {
      const { body, items } = random.pick(lists);
      delivery = { ...head, contentType: "application/json", body, rows: items };
    } else {
      const isLarge = (feed === "trips" || feed === "tests") && random.chance(LARGE * 4);
      const size = feed === "local-infections" || feed === "screenings" ? random.between(1, 3) : isLarge ? random.between(1200, 2600) : random.between(1, 60);
      const pool = poolOf(waiting, `${source} ${feed}`);
      // Twice as many wait as are sent: the revisions of a fact come far apart and in any order.
      while (pool.length < 2 * size) pool.push(...rowsOf(feed));
      const rows = Array.from({ length: size }, () => takeRandom(pool, random));
      const before = poolOf(told, `${source} ${feed}`);
      if (before.length > 0 && random.chance(WITH_TOLD)) for (let i = random.between(1, 20); i > 0; i--) rows.push(random.pick(before));
      for (const row of rows) {
        if (before.length < 500) before.push(row);
        else before[random.between(0, 499)] = row;
      }
      delivery = { ...head, contentType: NDJSON, body: rows.map((row) => JSON.stringify(row)).join("\n"), rows: rows.length };
    }
    if (sent.push(delivery) > 200) sent.shift();
    yield delivery;
  }
}

function weighted(random: Random): SentFeed {
  let rest = random.next() * FEED_SHARES.reduce((sum, [, share]) => sum + share, 0);
  for (const [feed, share] of FEED_SHARES) if ((rest -= share) < 0) return feed;
  return "tests";
}

function takeRandom(pool: object[], random: Random): object {
  const at = random.between(0, pool.length - 1);
  const [row, last] = [pool[at]!, pool.pop()!];
  if (at < pool.length) pool[at] = last;
  return row;
}

interface People {
  holderRow(): object;
  /** A document or a phone that a fact may be told of; some belong to nobody yet. */
  subject(): object;
  phone(): object;
  document(): object;
}

/** Invented: numbers of people "born" in 1880–1899, phones that no operator gives. */
function createPeople(holders: number, random: Random): People {
  // Beyond the numbers that other benches use.
  const resident = (i: number): object => ({ type: "resident-id", number: numberOf(40_000_000 + i) });
  const passport = (i: number): object => ({ type: "passport", issuer: "USA", number: `Y${String(1_000_000 + i)}` });
  const phoneOf = (i: number): string => `129${String(i).padStart(8, "0")}`;
  const documentOf = (i: number): object => (random.chance(0.8) ? resident(i) : passport(i));
  return {
    holderRow() {
      const i = random.between(0, holders - 1);
      const documents = [resident(i)];
      if (random.chance(0.4)) documents.push(passport(i));
      // Two who turn out to be one.
      if (random.chance(0.02)) documents.push(resident(random.between(0, holders - 1)));
      const phones = [phoneOf(i)];
      // A phone that is shared, and one of another row.
      if (random.chance(0.1)) phones.push(phoneOf(random.between(0, holders - 1)));
      return { documents: random.chance(0.5) ? documents : documents.reverse(), phones };
    },
    document: () => ({ document: documentOf(random.between(0, holders - 1)) }),
    phone: () => ({ phone: phoneOf(random.between(0, holders - 1)) }),
    subject: () => (random.chance(0.3) ? { phone: phoneOf(random.between(0, holders - 1)) } : { document: documentOf(random.between(0, holders - 1)) }),
  };
}

/** All revisions of one fact, some of them told of another subject, some with one number and two contents. */
function revisionsOf(feed: Exclude<RowFeed, "holders">, factId: string, people: People, random: Random, at: Instant): object[] {
  const count = random.chance(0.7) ? 1 : random.between(2, 4);
  const subjectOf = (): object => (feed === "local-infections" || feed === "screenings" || feed === "refutations" ? {} : feed === "trips" && random.chance(0.8) ? people.phone() : people.subject());
  const subject = subjectOf();
  let revision = random.between(1, 3);
  return Array.from({ length: count }, () => {
    const row = { factId, revision, ...(random.chance(0.9) ? subject : subjectOf()), ...CONTENTS[feed](random, at, people) };
    if (!random.chance(0.15)) revision += random.between(1, 3);
    return row;
  });
}

const CONTENTS: Record<Exclude<RowFeed, "holders">, (random: Random, at: Instant, people: People) => object> = {
  trips(random, at) {
    const from = past(random, at);
    const county = String(random.pick(random.chance(0.45) ? CITY : ELSEWHERE));
    return { county, from: formatInstant(from), ...(random.chance(0.3) ? {} : { to: formatInstant(between(random, from, at)) }) };
  },
  tests(random, at) {
    const sampledAt = past(random, at);
    const result = random.chance(0.9) ? "negative" : random.pick(["positive", "inconclusive", "invalid"]);
    return { sampledAt: formatInstant(sampledAt), issuedAt: formatInstant(Math.min(sampledAt + random.between(2, 30) * HOUR_S, at)), result, laboratory: random.pick(LABORATORIES), county: String(random.pick(CITY)) };
  },
  findings(random, at) {
    const from = past(random, at);
    return { kind: random.pick(FINDING_KINDS), from: formatInstant(from), ...(random.chance(0.7) ? { to: formatInstant(from + random.between(1, 20) * DAY_S) } : {}), ...DECIDED };
  },
  crossings: (random, at) => ({ at: formatInstant(past(random, at)), port: String(random.pick([...CITY, ...ELSEWHERE])), origin: random.pick(["MAC", "USA", "JPN"]), homeSuitable: random.chance(0.7) }),
  purchases: (random, at) => ({ at: formatInstant(past(random, at)), drugClass: random.pick(DRUG_CLASSES), county: String(random.pick(CITY)) }),
  "clinic-visits": (random, at) => ({ at: formatInstant(past(random, at)), symptom: random.pick(SYMPTOMS) }),
  commuters(random, at) {
    const from = past(random, at);
    return { from: formatInstant(from), ...(random.chance(0.5) ? { to: formatInstant(from + random.between(2, 30) * DAY_S) } : {}) };
  },
  reports: (random, at) => ({ at: formatInstant(past(random, at)), community: "Invented Community" }),
  vaccinations: (random, at) => ({ at: formatInstant(past(random, at)), dose: random.between(1, 3), product: "Invented Vaccine" }),
  declarations: (random, at) => ({ at: formatInstant(past(random, at)) }),
  obligations: (random, at) => ({ kind: "invented duty", at: formatInstant(past(random, at)), ...(random.chance(0.6) ? { everyDays: random.between(1, 7) } : {}) }),
  residences: (random, at) => ({ county: String(random.pick([...CITY, ...ELSEWHERE])), from: formatInstant(past(random, at)) }),
  clearances: (random, at) => ({ clears: random.pick(CLEARABLE), at: formatInstant(past(random, at)), ...DECIDED }),
  refutations(random, at, people) {
    const subject = random.chance(0.5) ? people.phone() : people.document();
    // Some of one fact alone, told by whichever source.
    const fact = { factId: `fact-${random.between(1, 3000)}`, ...(random.chance(0.5) ? { source: "local" } : {}) };
    const matches = random.chance(0.3) ? fact : { ...subject, ...(random.chance(0.6) ? { county: String(random.pick(ELSEWHERE)) } : {}) };
    return { matches, at: formatInstant(past(random, at)), ...DECIDED };
  },
  "local-infections": (random, at) => ({ county: String(random.pick(ELSEWHERE)), day: formatDay(dayOf(at) - random.between(0, DAYS)), count: random.between(0, 9) }),
  screenings(random, at) {
    const first = dayOf(at) - random.between(3, DAYS);
    return { county: String(random.pick(CITY)), rounds: [0, 1].map((round) => ({ from: formatDay(first + round), to: formatDay(first + round) })) };
  },
};

const DECIDED = { authority: "Invented Authority", ground: "invented for a run of chaos" };

function past(random: Random, at: Instant): Instant {
  return at - random.between(1, DAYS * DAY_S);
}

function between(random: Random, from: Instant, to: Instant): Instant {
  return random.between(from, to);
}

/** Published lists of the last days, two of some hours; what a list names changes little from one to the next. */
function createLists(random: Random, at: Instant): { body: string; items: number }[] {
  const streets = ELSEWHERE.flatMap((county) => Array.from({ length: 6 }, (_, i) => ({ county, name: `invented street ${i}` })));
  const listed = new Set(streets.filter(() => random.chance(0.4)));
  const hoursApart = Math.floor((DAYS * 24) / LISTS);
  return Array.from({ length: LISTS }, (_, i) => {
    for (const street of streets.filter(() => random.chance(0.04))) if (!listed.delete(street)) listed.add(street);
    const publishedAt = at - (LISTS - i) * hoursApart * HOUR_S - (i % 9 === 0 ? hoursApart * HOUR_S : 0);
    const itemsOf = (level: number): { communitys: string[] }[] =>
      ELSEWHERE.flatMap((county, c) => {
        const communitys = [...listed].filter((street) => street.county === county && c % 2 === level).map((street) => street.name);
        const { province, prefecture, name } = allCounties().get(county)!;
        return communitys.length === 0 ? [] : [{ province, city: prefecture, county: name, communitys }];
      });
    const [highlist, middlelist] = [itemsOf(0), itemsOf(1)];
    const count = (list: { communitys: string[] }[]): number => list.reduce((sum, item) => sum + item.communitys.length, 0);
    const time = formatInstant(publishedAt);
    const data = { end_update_time: `${time.slice(0, 10)} ${time.slice(11, 13)}时`, hcount: count(highlist), mcount: count(middlelist), highlist, middlelist };
    return { body: JSON.stringify({ data }), items: highlist.length + middlelist.length };
  });
}
