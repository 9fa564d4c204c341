// The demo city: invented holders with valid numbers, whose trips go to real counties.
// Promises: the same seed and instant make the same city; nobody alive can have one of its numbers, since all are "born" in 1880–1899; phones begin
// with 12, which no operator uses.
// Not here: delivering it (load.ts).

import {
  dayOf,
  formatDay,
  formatInstant,
  provinceOf,
  residentIdCheck,
  type CountyCode,
  type FindingKind,
  type Instant,
  type TestResult,
} from "../../core/domain/index.ts";

export interface DemoTrip {
  readonly county: CountyCode;
  readonly from: Instant;
  readonly to: Instant | null;
}

export interface DemoTest {
  readonly sampledAt: Instant;
  readonly issuedAt: Instant;
  readonly result: TestResult;
  readonly laboratory: string;
  readonly county: CountyCode;
}

export interface DemoFinding {
  readonly kind: FindingKind;
  readonly fromDay: string;
}

export interface DemoHolder {
  readonly number: string;
  readonly phone: string;
  readonly trips: readonly DemoTrip[];
  readonly tests: readonly DemoTest[];
  readonly findings: readonly DemoFinding[];
}

export interface CityPlan {
  readonly holders: number;
  readonly seed: number;
  /** The instant that the city is made for; nothing lies behind it. */
  readonly at: Instant;
  readonly counties: readonly CountyCode[];
  /** Counties outside the city that hold a risk area at that instant. */
  readonly riskCounties: readonly CountyCode[];
}

const HOUR_S = 3600;
const DAY_S = 86_400;
const CITY = 11;
const LABORATORIES = ["Invented Laboratory A", "Invented Laboratory B", "Invented Laboratory C"];

/** What becomes of a holder, with its share in thousandths. */
const PROFILES = [
  ["resident", 780],
  ["returned", 90],
  ["overdue", 30],
  ["riskTraveller", 45],
  ["justArrived", 25],
  ["away", 15],
  ["central", 3],
  ["home", 6],
  ["riskLink", 5],
  ["unsettled", 1],
] as const;
type Profile = (typeof PROFILES)[number][0];

/** Makes the holders one after another. */
export function* createCity(plan: CityPlan): Generator<DemoHolder> {
  const random = createRandom(plan.seed);
  const cityCounties = plan.counties.filter((c) => provinceOf(c) === CITY);
  const elsewhere = plan.counties.filter((c) => provinceOf(c) !== CITY && !plan.riskCounties.includes(c));
  const numbers = new Set<string>();
  for (let i = 0; i < plan.holders; i++) {
    const birthplace = random.chance(0.6) ? random.pick(cityCounties) : random.pick(elsewhere);
    let number: string;
    do number = inventedNumber(birthplace, random);
    while (numbers.has(number));
    numbers.add(number);
    const phone = `12${String(plan.seed % 10)}${String(i).padStart(8, "0")}`;
    yield { number, phone, ...lifeOf(random.weighted(PROFILES), { plan, random, cityCounties, elsewhere }) };
  }
}

/** A valid number (GB 11643) of somebody who would be over 120 years old. */
function inventedNumber(county: CountyCode, random: Random): string {
  const born = `${random.between(1880, 1899)}${pad2(random.between(1, 12))}${pad2(random.between(1, 28))}`;
  const first17 = `${county}${born}${String(random.between(1, 999)).padStart(3, "0")}`;
  return first17 + residentIdCheck(first17);
}

interface Setting {
  readonly plan: CityPlan;
  readonly random: Random;
  readonly cityCounties: readonly CountyCode[];
  readonly elsewhere: readonly CountyCode[];
}

function lifeOf(profile: Profile, { plan, random, cityCounties, elsewhere }: Setting): Pick<DemoHolder, "trips" | "tests" | "findings"> {
  const { at, riskCounties } = plan;
  const home = random.pick(cityCounties);
  const settled = at - 60 * DAY_S;
  const staying: DemoTrip[] = [{ county: home, from: settled, to: null }];
  /** Away until `backAt`, and in the city since. */
  const travelled = (county: CountyCode, backAt: Instant): DemoTrip[] => {
    const left = backAt - random.between(2, 6) * DAY_S;
    return [
      { county: home, from: settled, to: left },
      { county, from: left + 5 * HOUR_S, to: backAt - 5 * HOUR_S },
      { county: home, from: backAt, to: null },
    ];
  };
  const test = (sampledAt: Instant, result: TestResult = "negative"): DemoTest => {
    const issuedAt = Math.min(sampledAt + random.between(5, 16) * HOUR_S, at - 60);
    return { sampledAt, issuedAt, result, laboratory: random.pick(LABORATORIES), county: random.pick(cityCounties) };
  };
  const recentTests = random.chance(0.85) ? [test(at - random.between(18, 110) * HOUR_S)] : [];
  const since = formatDay(dayOf(at) - random.between(1, 5));
  switch (profile) {
    case "resident":
      return { trips: staying, tests: recentTests, findings: [] };
    case "returned": {
      const backAt = at - random.between(4, 13) * DAY_S - random.between(0, 20) * HOUR_S;
      return { trips: travelled(random.pick(elsewhere), backAt), tests: [test(backAt + random.between(3, 50) * HOUR_S)], findings: [] };
    }
    case "overdue": {
      const backAt = at - random.between(4, 9) * DAY_S - random.between(0, 20) * HOUR_S;
      const before = random.chance(0.5) ? [test(backAt - random.between(20, 40) * HOUR_S)] : [];
      return { trips: travelled(random.pick(elsewhere), backAt), tests: before, findings: [] };
    }
    case "riskTraveller": {
      const backAt = at - random.between(1, 9) * DAY_S - random.between(0, 20) * HOUR_S;
      const county = riskCounties.length > 0 ? random.pick(riskCounties) : random.pick(elsewhere);
      return { trips: travelled(county, backAt), tests: [test(Math.min(backAt + random.between(2, 40) * HOUR_S, at - 18 * HOUR_S))], findings: [] };
    }
    case "justArrived":
      return { trips: travelled(random.pick(elsewhere), at - random.between(2, 60) * HOUR_S), tests: [], findings: [] };
    case "away":
      return { trips: [{ county: random.pick(elsewhere), from: settled, to: null }], tests: [], findings: [] };
    case "central":
      return { trips: staying, tests: recentTests, findings: [{ kind: random.pick(["confirmed", "close-contact", "asymptomatic"]), fromDay: since }] };
    case "home":
      return { trips: staying, tests: recentTests, findings: [{ kind: "key-place", fromDay: since }] };
    case "riskLink":
      return { trips: staying, tests: recentTests, findings: [{ kind: "risk-link", fromDay: since }] };
    case "unsettled":
      return { trips: staying, tests: [test(at - random.between(18, 40) * HOUR_S, "positive")], findings: [] };
  }
}

/** A small seeded generator (mulberry32): a demo's city has to be the same everywhere. */
interface Random {
  /** From `min` to `max`, both included. */
  between(min: number, max: number): number;
  chance(share: number): boolean;
  pick<T>(list: readonly T[]): T;
  weighted<T>(list: readonly (readonly [T, number])[]): T;
}

function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    between: (min, max) => min + Math.floor(next() * (max - min + 1)),
    chance: (share) => next() < share,
    pick: (list) => list[Math.floor(next() * list.length)]!,
    weighted(list) {
      let rest = next() * list.reduce((sum, [, weight]) => sum + weight, 0);
      for (const [value, weight] of list) if ((rest -= weight) < 0) return value;
      return list.at(-1)![0];
    },
  };
}

function pad2(n: number): string {
  return String(n).padStart(2, "0");
}

/** A laboratory's message with one result: HL7 v2.5.1 ORU^R01, segments ended by CR. */
export function oruMessage(number: string, test: DemoTest, order: string): string {
  const { sampledAt, issuedAt, result, laboratory, county } = test;
  const value = result === "positive" ? "260373001^Detected^SCT" : "260415000^Not detected^SCT";
  const code = "94500-6^SARS-CoV-2 (COVID-19) RNA [Presence] in Respiratory specimen by NAA with probe detection^LN";
  const [sampled, issued] = [hl7Time(sampledAt), hl7Time(issuedAt)];
  return [
    `MSH|^~\\&|DEMO|${laboratory}|FANGXING|DEMO|${issued}||ORU^R01^ORU_R01|${order}|T|2.5.1`,
    `PID|1||${number}^^^CHN^NNCHN`,
    `OBR|1|${order}|${order}|${code}|||${sampled}|||||||||||||||${issued}|||F`,
    `OBX|1|CWE|${code}||${value}||||||F||||||||${issued}||||${laboratory}|^^^^^CHN^^^${county}`,
    `SPM|1|${order}||697989009^Swab^SCT|||||||||||||${sampled}|${sampled}`,
    "",
  ].join("\r");
}

/** YYYYMMDDHHMMSS+0800 */
function hl7Time(instant: Instant): string {
  return `${formatInstant(instant).slice(0, 19).replace(/[-:T]/g, "")}+0800`;
}

