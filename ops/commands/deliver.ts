// `fangxing import FEED FILE` and `fangxing sign FEED BATCH-ID`: deliveries by the operator's own sources.

import { readFileSync } from "node:fs";
import { SingleBar } from "cli-progress";
import { createKeyring, type RowFault } from "../../core/access/index.ts";
import { batchIdFault, contentTypesOf, FEEDS, isFeed, OPERATOR_FEEDS, type Feed } from "../../core/ingest/index.ts";
import { createClient, deliveryHeaders, ServiceError, withAdvice, type Client } from "../client.ts";
import { dataFolder, existingFolder, folderClock, HISTORY_SOURCE, LOCAL_SOURCE, type DataFolder } from "../dataFolder.ts";
import { fileFault } from "../fileFaults.ts";
import { UsageError, type Settings } from "../settings.ts";
import { DeadBatchError, untilApplied } from "./await.ts";
import { runningService } from "./running.ts";

/** Lines a batch; a larger file is delivered in several. */
const BATCH_LINES = 5000;

/** Delivers a file and waits until it is applied. @returns whether every row was accepted and nothing is held. */
export async function importFile(words: readonly string[], settings: Settings, say: (line: string) => void): Promise<boolean> {
  const [feedName, file] = words;
  if (file === undefined) throw new UsageError("import needs a feed and a file: fangxing import tests results.ndjson");
  const feed = feedOf(feedName);
  if (settings.history && OPERATOR_FEEDS.includes(feed)) throw new UsageError(`--history is for facts: what an operator decides counts from now on, import ${feed} without it`);
  const text = readText(file);
  const folder = dataFolder(settings.data);
  const client = createClient(folder, runningService(folder, settings), folderClock(folder), settings.history ? HISTORY_SOURCE : LOCAL_SOURCE);
  const contentType = contentTypeOf(feed, text);
  const parts = contentType === "application/x-ndjson" ? splitLines(text) : [{ body: text, firstLine: 1 }];
  const bar = new SingleBar({ format: "  {bar} {percentage} % | {value} of {total} batches applied", noTTYOutput: false });
  bar.start(parts.length, 0);
  let outcome: ImportOutcome;
  try {
    const advice = "run the same command again: what has been delivered already counts once";
    outcome = await withAdvice(advice, () => deliverAll(client, { feed, contentType, parts, name: nameOf(text, folder) }, () => bar.increment()));
  } finally {
    bar.stop();
  }
  const { accepted, refusedRows, entriesChanged, faults } = outcome;
  faults.forEach(say);
  say(`${accepted} accepted, ${refusedRows} refused, ${entriesChanged} entries changed`);
  return faults.length === 0 && refusedRows === 0;
}

interface ImportOutcome {
  readonly accepted: number;
  readonly refusedRows: number;
  readonly entriesChanged: number;
  /** What the operator must know, a line each. */
  readonly faults: readonly string[];
}

interface Part {
  readonly body: string;
  /** Where it begins in the file; lines count from 1. */
  readonly firstLine: number;
}

/** Delivers the parts and waits until all are applied; `onDone` is called for each. */
async function deliverAll(client: Client, { feed, contentType, parts, name }: { feed: Feed; contentType: string; parts: readonly Part[]; name: string }, onDone: () => void): Promise<ImportOutcome> {
  let accepted = 0;
  let refusedRows = 0;
  const delivered: string[] = [];
  const faults: string[] = [];
  const note = (errors: readonly RowFault[], firstLine: number): void => {
    for (const { line, field, reason } of errors) faults.push(`refused line ${line + firstLine - 1}: ${field} ${reason}`);
  };
  for (const [i, { body, firstLine }] of parts.entries()) {
    const id = `import-${name}-${i}`;
    try {
      const answer = await client.deliver(feed, id, body, contentType);
      accepted += answer.accepted;
      refusedRows += answer.refusedCount ?? new Set(answer.refused.map((r) => r.line)).size;
      delivered.push(id);
      note(answer.refused, firstLine);
    } catch (error) {
      if (!(error instanceof ServiceError) || error.status !== 422) throw error;
      refusedRows += body.split("\n").filter((line) => line.trim() !== "").length;
      note(error.errors, firstLine);
      onDone();
    }
  }
  let entriesChanged = 0;
  for (const id of delivered) {
    const state = await untilApplied(client, feed, id).catch((error: unknown) => {
      if (!(error instanceof DeadBatchError)) throw error;
      faults.push(error.message);
    });
    onDone();
    if (!state) continue;
    entriesChanged += state.entriesChanged;
    for (const reason of state.undone ?? []) faults.push(`without effect: ${reason}; fangxing changes tells where each change stands`);
    if (state.change?.state === "held") faults.push(`held as change ${state.change.id}: ${state.change.reasons.join("; ")}; fangxing changes shows what it would do`);
  }
  return { accepted, refusedRows, entriesChanged, faults };
}

/** Batches are named by the file's content, so that an import that was cut off can be started again. Letters only: what looks like somebody's number is no batch id. */
function nameOf(text: string, folder: DataFolder): string {
  const hash = createKeyring(readFileSync(folder.documentSecret)).bodyHash(new TextEncoder().encode(text));
  return hash.slice(0, 20).replace(/\d/g, (digit) => "ghijklmnop"[Number(digit)]!);
}

/** Prints the headers that sign a delivery; its body comes on standard input. */
export async function signDelivery(words: readonly string[], settings: Settings, say: (line: string) => void): Promise<void> {
  const [feedName, batchId] = words;
  if (batchId === undefined) throw new UsageError("sign needs a feed and a batch id, and the body on standard input");
  const feed = feedOf(feedName);
  const fault = batchIdFault(batchId);
  if (fault !== undefined) throw new UsageError(`BATCH-ID ${fault}`);
  const folder = existingFolder(settings.data);
  const body = await Bun.stdin.bytes();
  const headers = await deliveryHeaders(folder, folderClock(folder), LOCAL_SOURCE, feed, batchId, body);
  for (const [name, value] of Object.entries(headers)) say(`${name}: ${value}`);
}

function feedOf(name: string | undefined): Feed {
  if (name === undefined || !isFeed(name)) throw new UsageError(`"${name ?? ""}" is no feed: there are ${FEEDS.join(", ")}`);
  return name;
}

function readText(file: string): string {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new UsageError(`${file} can't be read: ${fileFault(error)}`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new UsageError(`${file} is no UTF-8 text: write it out again in UTF-8`);
  }
}

/** What the file holds, by how it begins. */
function contentTypeOf(feed: Feed, text: string): string {
  if (feed === "tests" && /^\s*(FHS|BHS|MSH)/.test(text)) return "application/hl7-v2";
  return contentTypesOf(feed)[0]!;
}

function splitLines(text: string): Part[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const parts: Part[] = [];
  for (let i = 0; i < lines.length; i += BATCH_LINES) parts.push({ body: lines.slice(i, i + BATCH_LINES).join("\n"), firstLine: i + 1 });
  return parts;
}
