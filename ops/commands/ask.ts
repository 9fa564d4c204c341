// `fangxing scan`, `fangxing explain` and `fangxing session`. A document comes on standard input, never as an argument, where others could read it.

import { readFileSync } from "node:fs";
import { createKeyring } from "../../core/access/index.ts";
import {
  allCounties,
  FOREVER,
  formatDay,
  formatInstant,
  isRefusal,
  maskNumber,
  now,
  parseDocument,
  type Document,
  type DocumentInput,
  type Fact,
  type FlagReason,
  type Instant,
} from "../../core/domain/index.ts";
import { openEvidenceReader } from "../../core/evidence/index.ts";
import { beijingPack, createEvaluator } from "../../core/policy/index.ts";
import { consoleSessionRequest, createClient, httpUrl } from "../client.ts";
import { dataFolder, folderClock } from "../dataFolder.ts";
import { UsageError, type Settings } from "../settings.ts";
import { runningService } from "./running.ts";

/** Prints a gate's answer. */
export async function scan(settings: Settings, say: (line: string) => void): Promise<void> {
  const { input } = await readDocument();
  const folder = dataFolder(settings.data);
  const client = createClient(folder, runningService(folder, settings), folderClock(folder));
  say(JSON.stringify(await client.scan(input), null, 2));
}

/** Prints a session token of the console. */
export async function session(settings: Settings, say: (line: string) => void): Promise<void> {
  const folder = dataFolder(settings.data);
  const { host, lookupPort } = runningService(folder, settings);
  const answer = await fetch(`${httpUrl(host, lookupPort)}/v1/sessions`, { method: "POST", body: JSON.stringify(consoleSessionRequest(folder, folderClock(folder))) });
  const body = (await answer.json()) as { session?: string; detail?: string };
  if (body.session === undefined) throw new UsageError(`the lookup server opens no session: ${body.detail ?? answer.status}`);
  say(body.session);
}

/** Prints every flag of a holder with its intervals, the rule behind it and the facts that it rests on. */
export async function explain(settings: Settings, say: (line: string) => void): Promise<void> {
  const { document } = await readDocument();
  const folder = dataFolder(settings.data);
  const clock = folderClock(folder);
  const keyring = createKeyring(readFileSync(folder.documentSecret));
  const evidence = openEvidenceReader(folder.evidence);
  try {
    const pack = beijingPack();
    const key = evidence.holdersOf(keyring.documentKey(document))[0]!;
    const { evidence: known } = evidence.holder(key);
    const verdict = createEvaluator(pack, evidence.regions).evaluate(known);
    const at = now(clock);
    say(`${maskNumber(document.number)}, asked at ${formatInstant(at)}: ${known.registered ? "" : "no feed has told us of this holder; "}${known.facts.length} facts`);
    const policyTitle = (from: Instant): string => {
      const policy = pack.policies.findLast((p) => p.from <= from);
      return policy ? `${policy.title.zh} / ${policy.title.en}, in force from ${formatInstant(policy.from)}` : "";
    };
    const sorted = verdict.reasons.toSorted((a, b) => a.from - b.from);
    if (sorted.length === 0) say("  nothing is or was against this holder");
    for (const reason of sorted) {
      say(`  ${reason.flag} ${stateAt(reason, at)}: ${intervalText(reason)}`);
      say(`    rule ${reason.rule}: ${policyTitle(reason.policyFrom)}`);
      for (const fact of reason.facts) say(`    fact ${factText(fact)}`);
    }
    const { newestNegative } = verdict;
    if (newestNegative) say(`  newest negative test: sampled ${formatInstant(newestNegative.sampledAt)}, issued ${formatInstant(newestNegative.issuedAt)}`);
    const shown = verdict.shownTests.findLast((s) => s.from <= at);
    if (shown?.effectiveDay != null) say(`  age of the shown test counts from ${formatDay(shown.effectiveDay)}`);
  } finally {
    await evidence.close();
  }
}

function stateAt({ from, until }: FlagReason, at: Instant): string {
  if (until <= at) return "was active";
  return from <= at ? "is active" : "will be active";
}

function intervalText({ from, until }: FlagReason): string {
  return `from ${formatInstant(from)} ${until === FOREVER ? "without a known end" : `until ${formatInstant(until)}`}`;
}

function factText(fact: Fact): string {
  const origin = `(told by ${fact.source}, known from ${formatInstant(fact.knownFrom)})`;
  switch (fact.kind) {
    case "trip": {
      const end = fact.to === null ? "still there" : `to ${formatInstant(fact.to)}`;
      return `stay in ${countyText(fact.county)} from ${formatInstant(fact.from)}, ${end} ${origin}`;
    }
    case "test":
      return `${fact.result} test of ${fact.laboratory || "a laboratory"}, sampled ${formatInstant(fact.sampledAt)}, issued ${formatInstant(fact.issuedAt)} ${origin}`;
    case "crossing":
      return `entry into the country from ${fact.origin} at ${countyText(fact.port)}, ${formatInstant(fact.at)} ${origin}`;
    case "purchase":
      return `purchase of a drug of the class ${fact.drugClass} in ${countyText(fact.county)}, ${formatInstant(fact.at)} ${origin}`;
    case "clinic-visit":
      return `visit to a clinic with ${fact.symptom}, ${formatInstant(fact.at)} ${origin}`;
    case "commuting":
      return `registered as a commuter from ${formatInstant(fact.from)}${fact.until === null ? "" : ` until ${formatInstant(fact.until)}`} ${origin}`;
    case "report":
      return `told the community at ${formatInstant(fact.at)} ${origin}`;
    case "finding":
      return `finding ${fact.finding} by ${fact.authority}: ${fact.ground} ${origin}`;
  }
}

function countyText(code: number): string {
  const county = allCounties().get(code);
  return county ? `${code} ${county.province} ${county.name}` : String(code);
}

/** A document from standard input: a bare number (a resident ID), or the JSON of a scan's document. */
async function readDocument(): Promise<{ input: DocumentInput & { issuer?: string }; document: Document }> {
  if (process.stdin.isTTY) process.stderr.write("Document number, then Enter and Ctrl-D: ");
  const text = (await Bun.stdin.text()).trim();
  if (text === "") throw new UsageError("the document comes on standard input: a resident ID's number, or {\"type\": …, \"number\": …}");
  const input = text.startsWith("{") ? parseJson(text) : { type: "resident-id", number: text };
  const document = parseDocument(input);
  if (isRefusal(document)) throw new UsageError(`${document.field} ${document.reason}`);
  return { input, document };
}

function parseJson(text: string): { type: string; number: string; issuer?: string } {
  try {
    const value = JSON.parse(text) as { document?: object } | null;
    const { type, number, issuer } = (value?.document ?? value) as Record<string, unknown>;
    if (typeof type === "string" && typeof number === "string" && (issuer === undefined || typeof issuer === "string")) {
      return { type, number, ...(issuer === undefined ? {} : { issuer }) };
    }
  } catch {
    // said below
  }
  throw new UsageError("standard input must be a number or a JSON object with the texts type and number");
}
