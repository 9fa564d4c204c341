// What rows look like: one schema a feed, with the words for what is wrong. Field names are those of the wire.
// Not here: what a sound row becomes (facts.ts), formats (batch.ts).

import { z } from "zod";
import {
  CLEARABLE,
  countyFault,
  DRUG_CLASSES,
  FINDING_KINDS,
  isCountryCode,
  mayHoldNumber,
  parseCounty,
  parseDay,
  parseMoment,
  readBySchema,
  SYMPTOMS,
  TEST_RESULTS,
  type Moment,
  type Refusal,
} from "../domain/index.ts";

/** What an operator may say of a change that can hit many holders; and of a dead batch, that it be tried again. */
export const DECISIONS = ["release", "reject", "roll-back", "replay"] as const;

/** Feeds whose rows stand one to a line; `risk-areas` comes as one list. */
export const ROW_FEEDS = [
  "holders",
  "trips",
  "tests",
  "local-infections",
  "findings",
  "crossings",
  "purchases",
  "clinic-visits",
  "commuters",
  "reports",
  "declarations",
  "obligations",
  "screenings",
  "residences",
  "vaccinations",
  "clearances",
  "refutations",
  "decisions",
] as const;
export type RowFeed = (typeof ROW_FEEDS)[number];

const DOCUMENTS_MAX = 16;

const documentSchema = z.strictObject({ type: z.string(), number: z.string().max(64), issuer: z.string().max(8).optional() });
const phoneSchema = z.string().max(32);
const factId = z.string().min(1).max(256);
const revision = z.int().min(0).max(0xffff_ffff).optional();
const subject = { document: documentSchema.optional(), phone: phoneSchema.optional() };
const county = z.string().transform((text, context) => {
  const code = parseCounty(text);
  if (code === undefined) context.addIssue({ code: "custom", message: countyFault(text) });
  return code ?? 0;
});
const moment = z.string().transform((text, context): Moment => {
  const at = parseMoment(text);
  if (!at) context.addIssue({ code: "custom", message: "must be an instant with offset (2022-06-09T07:30:00+08:00) or a date (2022-06-09)" });
  return at ?? { day: 0 };
});
const day = z.string().transform((text, context) => {
  const at = parseDay(text);
  if (at === undefined) context.addIssue({ code: "custom", message: "must be a date, such as 2022-06-09" });
  return at ?? 0;
});
/** Words of a source that are kept: short, and nothing in them that may be somebody's number. */
const words = z
  .string()
  .max(200)
  .regex(/^\P{Cc}*$/u, "must not hold control characters")
  .refine((text) => !mayHoldNumber(text), "seems to hold a document or phone number, which must not be kept: leave it out");

/** Words that must say something: none, or blanks alone, don't. */
const saying = (fault: string) => words.refine((text) => text.trim() !== "", fault);
/** Who decided, and on what ground: a finding or a clearing that nobody stands for is worth nothing. */
const authority = saying("must name the authority that decided");
const ground = saying("must say on what ground it was decided");

const SCHEMAS = {
  holders: z.strictObject({
    documents: z.array(documentSchema).min(1, "must name at least one document").max(DOCUMENTS_MAX),
    phones: z.array(phoneSchema).max(DOCUMENTS_MAX).default([]),
  }),
  trips: z.strictObject({ factId, revision, ...subject, county, from: moment, to: moment.optional() }),
  tests: z.strictObject({
    factId,
    revision,
    ...subject,
    sampledAt: moment,
    issuedAt: moment,
    result: z.enum(TEST_RESULTS),
    laboratory: words.default(""),
    county: county.optional(),
    uploaded: z.boolean().default(false),
  }),
  findings: z.strictObject({
    factId,
    revision,
    ...subject,
    kind: z.enum(FINDING_KINDS),
    level: words.optional(),
    from: moment,
    to: moment.optional(),
    authority,
    ground,
  }),
  crossings: z.strictObject({
    factId,
    revision,
    ...subject,
    at: moment,
    port: county,
    origin: z.string().refine(isCountryCode, "is no code of ISO 3166-1: send the three capitals of the country or territory that the holder came from, such as MAC"),
    homeSuitable: z.boolean().default(true),
  }),
  purchases: z.strictObject({ factId, revision, ...subject, at: moment, drugClass: z.enum(DRUG_CLASSES), county }),
  "clinic-visits": z.strictObject({ factId, revision, ...subject, at: moment, symptom: z.enum(SYMPTOMS) }),
  commuters: z.strictObject({ factId, revision, ...subject, from: moment, to: moment.optional() }),
  reports: z.strictObject({ factId, revision, ...subject, at: moment, community: saying("must name the community that was told") }),
  declarations: z.strictObject({ factId, revision, ...subject, at: moment }),
  obligations: z.strictObject({ factId, revision, ...subject, kind: saying("must name the duty, such as the occupation"), at: moment, everyDays: z.int().min(1).max(60).optional(), to: moment.optional() }),
  residences: z.strictObject({ factId, revision, ...subject, county, from: moment, to: moment.optional() }),
  vaccinations: z.strictObject({ factId, revision, ...subject, dose: z.int().min(1).max(20), product: saying("must name the vaccine"), at: moment }),
  clearances: z.strictObject({ factId, revision, ...subject, clears: z.enum(CLEARABLE), at: moment, authority, ground }),
  refutations: z.strictObject({
    factId,
    revision,
    matches: z.strictObject({
      ...subject,
      factId: factId.optional(),
      source: z.string().max(64).optional(),
      county: county.optional(),
      from: moment.optional(),
      to: moment.optional(),
    }),
    at: moment,
    authority,
    ground,
  }),
  screenings: z.strictObject({ factId, revision, county, rounds: z.array(z.strictObject({ from: moment, to: moment })).min(1, "must name at least one round").max(20) }),
  decisions: z.strictObject({ action: z.enum(DECISIONS), change: z.int().min(1).max(0xffff_ffff).optional(), authority, ground }),
  "local-infections": z.strictObject({ factId, revision, county, day, count: z.int().min(0).max(100_000_000) }),
} satisfies Record<RowFeed, z.ZodType>;

export type Row<Feed extends RowFeed> = z.infer<(typeof SCHEMAS)[Feed]>;

/** A row whose form is sound. @returns every fault of the row when there are any. */
export function checkRow<Feed extends RowFeed>(feed: Feed, row: unknown): Row<Feed> | readonly Refusal[] {
  const read = readBySchema<unknown>(SCHEMAS[feed], row, `the feed ${feed}`);
  return "data" in read ? (read.data as Row<Feed>) : read.faults.map(({ field, reason }) => ({ field: field || "row", reason }));
}
