// Policy packs: dated rules as data, read from YAML, checked, and laid out in time.
// Promises: exactly one policy for any instant between the first `from` and `until`; a fault names its line.
// Not here: what the rules do (rules/).

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { isMap, isNode, isScalar, LineCounter, parseDocument, visit } from "yaml";
import { z } from "zod";
import { allCounties, FINDING_KINDS, FLAGS, isCountryCode, mayHoldNumber, parseInstant, POPUPS, readBySchema, repeatableName, type CountyCode, type Instant, type Interval } from "../domain/index.ts";
import { YAML_FAULTS } from "./yamlFaults.ts";

const flag = z.enum(FLAGS);
const popup = z.literal(POPUPS);
const days = z.int().min(1).max(60);
const windowDays = days;
const hours = z.int().min(1).max(1000);
const origin = z.string().refine(isCountryCode, "is no code of ISO 3166-1 alpha-3, such as MAC: no crossing would match it");
const instant = z.string().transform((text, context): Instant => {
  const at = parseInstant(text);
  if (at === undefined) context.addIssue({ code: "custom", message: "must be an instant with offset, such as 2022-02-12T00:00:00+08:00" });
  return at ?? 0;
});

/** The parameters of every rule. A rule that is null or absent is not in force. */
const rulesSchema = z.strictObject({
  unregistered: z.strictObject({ flag }).nullish(),
  findings: z.partialRecord(z.enum(FINDING_KINDS), flag).nullish(),
  unsettledPositive: z.strictObject({ flag, arbiters: z.array(z.string()) }).nullish(),
  popupNumbers: z.strictObject({ numbered: z.boolean() }).optional(),
  stillInRiskCounty: z.strictObject({ flag, windowDays }).nullish(),
  affectedCounty: z.strictObject({ popup, windowDays, heldAreas: z.boolean() }).nullish(),
  unverifiedComer: z.strictObject({ popup, windowDays, provinces: z.array(z.int().min(11).max(91)), lowRisk: z.boolean() }).nullish(),
  unverifiedMovement: z.strictObject({ popup, windowDays }).nullish(),
  leftRiskCounty: z.strictObject({ popup, windowDays }).nullish(),
  samePrefectureTest: z.strictObject({ popup, windowDays, testWithinHours: hours }).nullish(),
  prefectureMark: z.strictObject({ flag, windowDays }).nullish(),
  arrivalTest: z.strictObject({ popup, withinHours: hours }).nullish(),
  isolation: z
    .strictObject({
      popup,
      cityDays: days,
      cityDaysWithoutHome: days,
      elsewhereDays: days,
      originDays: z.record(origin, days),
      exemptOrigins: z.array(origin),
      exemptTestWithinHours: hours,
    })
    .nullish(),
  purchaseTest: z.strictObject({ popup, withinHours: hours, lookBackDays: z.int().min(0).max(60) }).nullish(),
  clinicTest: z.strictObject({ popup, withinHours: hours }).nullish(),
  portCounty: z.strictObject({ popup, windowDays }).nullish(),
  commuterMark: z.strictObject({ flags: z.array(flag).min(1), days }).nullish(),
  obligationTest: z.strictObject({ popup, withinHours: hours }).nullish(),
  screeningTest: z.strictObject({ popup }).nullish(),
  linkCheck: z.strictObject({ testDays: z.array(z.int().min(0).max(60)), untestedLevels: z.array(z.string()), elsewhereDays: days }).nullish(),
  /** By kind of venue; a kind that isn't named stops whatever restricts. */
  venues: z
    .record(
      z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, "must be 1 to 32 of a-z, 0-9 and hyphen"),
      z.strictObject({ stops: z.array(flag).optional(), testHours: hours.optional(), commuterHours: hours.optional(), testIf: flag.optional(), receipt: z.boolean().optional() }),
    )
    .nullish(),
  testAge: z.strictObject({ countsAsDayBeforeUntilHour: z.int().min(0).max(23) }).nullish(),
  testShown: z.strictObject({ elsewhere: z.enum(["never", "uploaded"]) }).nullish(),
});

const packSchema = z.strictObject({
  pack: z.string().regex(/^[a-z0-9-]+$/, "must be of a-z, 0-9 and hyphens"),
  city: z.int().min(11).max(91),
  until: instant,
  portCounties: z.array(z.int().refine((code) => allCounties().has(code), "must be the code of a county on the list of 2021-10-31")).default([]),
  policies: z
    .array(z.strictObject({ from: instant, title: z.strictObject({ zh: z.string(), en: z.string() }), rules: rulesSchema }))
    .min(1),
});

export type RuleName = keyof z.infer<typeof rulesSchema>;
export type RuleParameters<Name extends RuleName> = NonNullable<z.infer<typeof rulesSchema>[Name]>;

/** A stretch of time in which one rule stands unchanged. */
export interface Span<Name extends RuleName> extends Interval {
  readonly parameters: RuleParameters<Name>;
}

export interface PolicyPack {
  readonly name: string;
  /** SHA-256 of the pack's text, hex: another one when a letter changes. */
  readonly fingerprint: string;
  /** Province code of the city's own counties. */
  readonly city: number;
  /** Counties with a land-border port; empty: nobody has loaded a list, and the rule about them is incomplete. */
  readonly portCounties: readonly CountyCode[];
  /** When any policy is in force. */
  readonly validity: Interval;
  /** Where each policy begins, ascending. */
  readonly policies: readonly { readonly from: Instant; readonly title: { readonly zh: string; readonly en: string } }[];
  /** The stretches of each rule, ascending, disjoint. */
  readonly spans: { readonly [Name in RuleName]: readonly Span<Name>[] };
}

/** What is wrong with a pack, and in which line. */
export interface PackFault {
  readonly line: number;
  /** Path of the value at fault, with dots; "pack" for the text as a whole. */
  readonly field: string;
  readonly reason: string;
}

export class PackError extends Error {
  override name = "PackError";
  readonly faults: readonly PackFault[];
  constructor(file: string, faults: readonly PackFault[]) {
    super(faults.map(({ line, field, reason }) => `${file}:${line}: ${field}: ${reason}`).join("\n"));
    this.faults = faults;
  }
}

/** The pack that ships with the project. */
export function beijingPack(): PolicyPack {
  return parsePack(beijingPackText(), "packs/beijing.yaml");
}

export function beijingPackText(): string {
  return readFileSync(new URL("./packs/beijing.yaml", import.meta.url), "utf8");
}

/**
 * Reads a pack out of YAML.
 * @throws PackError, a line a fault: `file:line: field: fault`.
 */
export function parsePack(text: string, file: string): PolicyPack {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, schema: "core" });
  const fail = (faults: PackFault[]): never => {
    throw new PackError(file, faults);
  };
  if (document.errors.length > 0) fail(document.errors.map((e) => ({ line: lines.linePos(e.pos[0]).line, field: "pack", reason: YAML_FAULTS[e.code] })));
  /** Aliases are followed only here: one without an anchor, or more of them than the library allows, is a fault of the file. */
  const plain = (): unknown => {
    try {
      return document.toJS();
    } catch {
      let [line, reason] = [1, "its aliases stand for more than can be followed: write out what they stand for"];
      visit(document, {
        Alias(_, alias) {
          if (alias.resolve(document) || !alias.range) return undefined;
          line = lines.linePos(alias.range[0]).line;
          const name = repeatableName(alias.source);
          reason = `the alias *${name} has no anchor before it: set &${name} first, or write out what it stands for`;
          return visit.BREAK;
        },
      });
      return fail([{ line, field: "pack", reason }]);
    }
  };
  /** The line of the deepest node of `path` that the file has; of a key, where the key stands. */
  const lineOf = (path: readonly PropertyKey[]): number => {
    for (let length = path.length; length >= 0; length--) {
      const parent = document.getIn(path.slice(0, length - 1), true);
      const pair = isMap(parent) ? parent.items.find((item) => isScalar(item.key) && item.key.value === path[length - 1]) : undefined;
      const node = pair?.key ?? document.getIn(path.slice(0, length), true);
      if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
    }
    return 1;
  };
  const read = readBySchema(packSchema, plain(), "a pack");
  if ("faults" in read) return fail(read.faults.map(({ path, field, reason }) => ({ line: lineOf(path), field: field || "pack", reason })));
  const { pack: name, city, until, portCounties, policies } = read.data;
  const starts = [...policies.map((p) => p.from), until];
  const disorder = policies.findIndex((p, i) => p.from >= starts[i + 1]!);
  if (disorder >= 0) {
    fail([{ line: lineOf(["policies", disorder, "from"]), field: `policies.${disorder}.from`, reason: "must lie before the next policy's from, and before until" }]);
  }
  if (!policies[0]!.rules.popupNumbers) {
    fail([{ line: lineOf(["policies", 0, "rules"]), field: "policies.0.rules.popupNumbers", reason: "the first policy must say whether pop-ups are numbered" }]);
  }

  const spansOf = <Name extends RuleName>(rule: Name): Span<Name>[] => {
    const spans: { from: Instant; until: Instant; parameters: RuleParameters<Name> }[] = [];
    let parameters: RuleParameters<Name> | null = null;
    policies.forEach((policy, i) => {
      const stated = policy.rules[rule] as RuleParameters<Name> | null | undefined;
      const [from, end] = [policy.from, starts[i + 1]!];
      const goesOn = stated === undefined;
      if (!goesOn) parameters = stated;
      const last = spans.at(-1);
      if (goesOn && last?.until === from) last.until = end;
      else if (parameters) spans.push({ from, until: end, parameters });
    });
    return spans;
  };
  const fingerprint = createHash("sha256").update(text).digest("hex");
  return {
    name,
    fingerprint,
    city,
    portCounties,
    validity: { from: starts[0]!, until },
    policies: policies.map(({ from, title }) => ({ from, title })),
    spans: {
      unregistered: spansOf("unregistered"),
      findings: spansOf("findings"),
      unsettledPositive: spansOf("unsettledPositive"),
      popupNumbers: spansOf("popupNumbers"),
      stillInRiskCounty: spansOf("stillInRiskCounty"),
      affectedCounty: spansOf("affectedCounty"),
      unverifiedComer: spansOf("unverifiedComer"),
      unverifiedMovement: spansOf("unverifiedMovement"),
      leftRiskCounty: spansOf("leftRiskCounty"),
      samePrefectureTest: spansOf("samePrefectureTest"),
      prefectureMark: spansOf("prefectureMark"),
      arrivalTest: spansOf("arrivalTest"),
      isolation: spansOf("isolation"),
      purchaseTest: spansOf("purchaseTest"),
      clinicTest: spansOf("clinicTest"),
      portCounty: spansOf("portCounty"),
      commuterMark: spansOf("commuterMark"),
      obligationTest: spansOf("obligationTest"),
      screeningTest: spansOf("screeningTest"),
      linkCheck: spansOf("linkCheck"),
      venues: spansOf("venues"),
      testAge: spansOf("testAge"),
      testShown: spansOf("testShown"),
    },
  };
}

/**
 * Reads a pack that somebody brings, as parsePack does. It will be kept, listed and logged, and its titles shown: nothing in it may be somebody's number. Packs that are kept
 * already are not asked for that again.
 * @throws PackError, which repeats nothing of a line that may hold a number.
 */
export function parseNewPack(text: string, file: string): PolicyPack {
  const lines = text.split("\n");
  const numbers = lines.flatMap((line, i) => (mayHoldNumber(line) ? [{ line: i + 1, field: "pack", reason: "the line seems to hold a document or phone number, which must not be kept: leave it out" }] : []));
  if (numbers.length > 0) throw new PackError(file, numbers);
  const pack = parsePack(text, file);
  if (pack.name.length > NAME_MAX || DOCUMENT_LIKE.test(pack.name)) {
    const line = 1 + Math.max(0, lines.findIndex((l) => /^\s*["']?pack["']?\s*:/.test(l)));
    throw new PackError(file, [{ line, field: "pack", reason: `may have ${NAME_MAX} characters and six digits in a row, since numbers of documents have more: write a date as 2022-06-09` }]);
  }
  return pack;
}

const NAME_MAX = 64;
/** Passports have seven digits in a row, other documents and phones more. */
const DOCUMENT_LIKE = /\d{7}/;

/** What a pack says too little about for one of its rules to work whole, in words for the operator. */
export function incompleteRules(pack: PolicyPack): string[] {
  const isWanting = pack.spans.portCounty.length > 0 && pack.portCounties.length === 0;
  return isWanting ? ["portCounty: no list of port counties is loaded (portCounties of the pack), so that nobody gets its pop-up"] : [];
}

/** The stretch of a rule that holds at an instant, if any. */
export function spanAt<S extends Interval>(spans: readonly S[], at: Instant): S | undefined {
  return spans.find((s) => s.from <= at && at < s.until);
}
