// `fangxing import FEED FILE` and `fangxing sign FEED BATCH-ID [CONTENT-TYPE]`: deliveries by the operator's own sources.

import { closeSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { SingleBar } from "cli-progress";
import { createKeyring, type Keyring, type RowFault } from "../../core/access/index.ts";
import { batchIdFault, contentTypesOf, FEEDS, isFeed, OPERATOR_FEEDS, type Feed } from "../../core/ingest/index.ts";
import { createClient, deliveryHeaders, ServiceError, withAdvice, type Client } from "../client.ts";
import { dataFolder, existingFolder, folderClock, HISTORY_SOURCE, LOCAL_SOURCE } from "../dataFolder.ts";
import { fileFault } from "../fileFaults.ts";
import { UsageError, type Settings } from "../settings.ts";
import { DeadBatchError, untilApplied } from "./await.ts";
import { partsOf, type Part } from "./fileParts.ts";
import { runningService } from "./running.ts";

/** Of a batch; a larger file is delivered in several. */
const BATCH_LINES = 20_000;
const BATCH_BYTES = 8 * 2 ** 20;
/** Batches under way at once. What an operator decides goes one after the other: each decision is measured with what those before it have done. */
const BATCHES_AT_ONCE = 8;

/**
 * Delivers a file and waits until it is applied; of one with a row a line never more than some batches are in memory. Cut off, it goes on where it was when it is started again.
 * @returns whether every row was accepted and nothing is held.
 */
export async function importFile(words: readonly string[], settings: Settings, say: (line: string) => void): Promise<boolean> {
  const [feedName, file] = words;
  if (file === undefined) throw new UsageError("import needs a feed and a file: fangxing import tests results.ndjson");
  const feed = feedOf(feedName);
  if (settings.history && OPERATOR_FEEDS.includes(feed)) throw new UsageError(`--history is for facts: what an operator decides counts from now on, import ${feed} without it`);
  const contentType = contentTypeOf(feed, beginningOf(file));
  const parts = checked(file, contentType === "application/x-ndjson" ? partsOf(file, { linesMax: BATCH_LINES, bytesMax: Math.min(BATCH_BYTES, settings.batchBytesMax) }) : wholeFile(file));
  // What can't be delivered at all is said before anything is.
  const first = await parts.next();
  const folder = dataFolder(settings.data);
  const client = createClient(folder, runningService(folder, settings), folderClock(folder), settings.history ? HISTORY_SOURCE : LOCAL_SOURCE);
  const keyring = createKeyring(readFileSync(folder.documentSecret));
  const bar = new SingleBar({ format: "  {bar} {percentage} % | {rows} rows applied | {eta_formatted} left", noTTYOutput: false });
  bar.start(statSync(file).size, 0, { rows: 0 });
  const tally: Tally = { accepted: 0, refusedRows: 0, entriesChanged: 0, faults: [] };
  let rows = 0;
  const lane = async (own: Part | undefined): Promise<void> => {
    for (let part = own; part; part = await nextOf(parts)) {
      await deliverPart(client, { feed, contentType, part, id: `import-${nameOf(part.body, keyring)}` }, tally);
      rows += part.rows;
      bar.increment(part.body.length, { rows });
    }
  };
  try {
    const advice = "run the same command again: what has been delivered already counts once";
    const lanes = OPERATOR_FEEDS.includes(feed) ? 1 : BATCHES_AT_ONCE;
    const begin = async (i: number): Promise<void> => lane(i > 0 ? await nextOf(parts) : first.done ? undefined : first.value);
    await withAdvice(advice, async () => {
      await Promise.all(Array.from({ length: lanes }, (_, i) => begin(i)));
    });
  } finally {
    bar.stop();
  }
  const { accepted, refusedRows, entriesChanged, faults } = tally;
  for (const { text } of faults.sort((a, b) => a.line - b.line)) say(text);
  say(`${accepted} accepted, ${refusedRows} refused, ${entriesChanged} entries changed`);
  return faults.length === 0 && refusedRows === 0;
}

/** What became of the parts so far. */
interface Tally {
  accepted: number;
  refusedRows: number;
  entriesChanged: number;
  /** What the operator must know, by where in the file it stands. */
  readonly faults: { line: number; text: string }[];
}

/** Delivers a part, unless it was delivered before, and waits until it is applied. */
async function deliverPart(client: Client, { feed, contentType, part, id }: { feed: Feed; contentType: string; part: Part; id: string }, tally: Tally): Promise<void> {
  const { body, firstLine, rows } = part;
  const note = (errors: readonly RowFault[]): void => {
    for (const { line, field, reason } of errors) tally.faults.push({ line: line + firstLine - 1, text: `refused line ${line + firstLine - 1}: ${field} ${reason}` });
  };
  const known = await client.batch(feed, id).catch((error: unknown) => {
    if (!(error instanceof ServiceError) || error.status !== 404) throw error;
  });
  // What was wrong with rows is answered to a delivery alone.
  if (known?.refused === 0) tally.accepted += known.accepted;
  else {
    try {
      const answer = await client.deliver(feed, id, body, contentType);
      tally.accepted += answer.accepted;
      tally.refusedRows += answer.refusedCount ?? new Set(answer.refused.map((r) => r.line)).size;
      note(answer.refused);
    } catch (error) {
      if (!(error instanceof ServiceError) || error.status !== 422) throw error;
      tally.refusedRows += rows;
      note(error.errors);
      return;
    }
  }
  const state = await untilApplied(client, feed, id).catch((error: unknown) => {
    if (!(error instanceof DeadBatchError)) throw error;
    tally.faults.push({ line: firstLine, text: error.message });
    return undefined;
  });
  if (!state) return;
  tally.entriesChanged += state.entriesChanged;
  const tell = (text: string): void => void tally.faults.push({ line: firstLine, text });
  for (const reason of state.undone ?? []) tell(`without effect: ${reason}; fangxing changes tells where each change stands`);
  if (state.change?.state === "held") tell(`held as change ${state.change.id}: ${state.change.reasons.join("; ")}; fangxing changes shows what it would do`);
}

async function nextOf(parts: AsyncGenerator<Part>): Promise<Part | undefined> {
  const next = await parts.next();
  return next.done ? undefined : next.value;
}

/** A batch is named by its content, so that an import that was cut off can be started again. Letters only: what looks like somebody's number is no batch id. */
function nameOf(body: Uint8Array, keyring: Keyring): string {
  return keyring.bodyHash(body).slice(0, 20).replace(/\d/g, (digit) => "ghijklmnop"[Number(digit)]!);
}

/** Prints the headers that sign a delivery and say how it is to be read; its body, compressed or not, comes on standard input. */
export async function signDelivery(words: readonly string[], settings: Settings, say: (line: string) => void): Promise<void> {
  const [feedName, batchId, contentType] = words;
  if (batchId === undefined) throw new UsageError("sign needs a feed and a batch id, and the body on standard input");
  const feed = feedOf(feedName);
  const fault = batchIdFault(batchId);
  if (fault !== undefined) throw new UsageError(`BATCH-ID ${fault}`);
  const folder = existingFolder(settings.data);
  const body = await Bun.stdin.bytes();
  const contentEncoding = encodingOf(body);
  const headers = await deliveryHeaders(folder, folderClock(folder), LOCAL_SOURCE, feed, {
    batchId,
    body,
    contentType: contentType ?? contentTypeOf(feed, new TextDecoder().decode(body)),
    ...(contentEncoding === undefined ? {} : { contentEncoding }),
  });
  for (const [name, value] of Object.entries(headers)) say(`${name}: ${value}`);
}

function feedOf(name: string | undefined): Feed {
  if (name === undefined || !isFeed(name)) throw new UsageError(`"${name ?? ""}" is no feed: there are ${FEEDS.join(", ")}`);
  return name;
}

/** Its first bytes, as text. */
function beginningOf(file: string): string {
  try {
    const descriptor = openSync(file, "r");
    try {
      const bytes = Buffer.alloc(1024);
      return bytes.toString("latin1", 0, readSync(descriptor, bytes, 0, bytes.length, 0));
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw unreadable(file, error);
  }
}

async function* wholeFile(file: string): AsyncGenerator<Part> {
  yield { body: await readFile(file), firstLine: 1, rows: 1 };
}

/** The parts, each of them text. */
async function* checked(file: string, parts: AsyncGenerator<Part>): AsyncGenerator<Part> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    for await (const part of parts) {
      decoder.decode(part.body);
      yield part;
    }
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(`${file} is no UTF-8 text: write it out again in UTF-8`);
    throw unreadable(file, error);
  }
}

function unreadable(file: string, error: unknown): UsageError {
  return new UsageError(`${file} can't be read: ${fileFault(error)}`);
}

/** What the file holds, by how it begins. */
function contentTypeOf(feed: Feed, text: string): string {
  if (feed === "tests" && /^\s*(FHS|BHS|MSH)/.test(text)) return "application/hl7-v2";
  return contentTypesOf(feed)[0]!;
}

/** How a body is compressed, by how it begins. */
function encodingOf(body: Uint8Array): string | undefined {
  const begin = Buffer.from(body.subarray(0, 4)).toString("hex");
  return begin.startsWith("1f8b") ? "gzip" : begin === "28b52ffd" ? "zstd" : undefined;
}
