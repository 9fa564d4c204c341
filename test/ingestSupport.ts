// What the tests of ingest and lookup share: invented people, the three stores of a worker, a Redis of one's own, an API with signed requests.
// Nobody alive can have one of these numbers: all are "born" in 1880–1899.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { vi } from "vitest";
import { createKeyPair, createKeyring, createSigner, signRequest, type Registry, type Signer, type Source } from "../core/access/index.ts";
import { parseInstant, residentIdCheck, type Clock, type DocumentKey, type Flag, type Instant, type TimedFlag } from "../core/domain/index.ts";
import { encodeEntry, openEntryWriter, type Entry, type EntryWriter } from "../core/entry/index.ts";
import { openEvidenceWriter, type BlastLimits, type EvidenceWriter } from "../core/evidence/index.ts";
import { applyBatch, createTurns, reevaluateAll, type ApplierParts } from "../core/ingest/apply.ts";
import { readBatch, type Feed } from "../core/ingest/batch.ts";
import { USUAL_LIMITS } from "../core/ingest/blastRadius.ts";
import type { InboxRow } from "../core/ingest/facts.ts";
import { createHl7Reader } from "../core/ingest/hl7.ts";
import { openInbox, type BatchHeader, type Inbox } from "../core/ingest/inbox.ts";
import type { ReadRow, TestRow } from "../core/ingest/rows.ts";
import { createSchedule } from "../core/ingest/schedule.ts";
import { beijingPack, beijingPackText, createEvaluator, parsePack, type Evaluator } from "../core/policy/index.ts";
import { dataFolder, prepareFolder } from "../ops/dataFolder.ts";
import { awaitRedis, ownServerCommand, ownSocket, redisBinary } from "../ops/redis.ts";
import { clockAt } from "./support.ts";

/** A Thursday morning, away from any edge of a day or an hour. */
export const NOW = instant("2022-06-09T07:30:00+08:00");

/** Bounds are for machines that are slow, never for what is right. */
export const PATIENCE = { timeout: 50_000, interval: 10 };

export const DOCUMENT_SECRET = Buffer.alloc(32, 7);
export const keyring = createKeyring(DOCUMENT_SECRET);
export const pack = beijingPack();

export function instant(text: string): Instant {
  const at = parseInstant(text);
  if (at === undefined) throw new Error(`${text} is no instant`);
  return at;
}

/** A valid number (GB 11643); another one for each n under 6 million. */
export function residentId(n: number): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const days = Math.floor(n / 999);
  const born = `${1880 + (Math.floor(days / 336) % 20)}${two(1 + (Math.floor(days / 28) % 12))}${two(1 + (days % 28))}`;
  const first17 = `110101${born}${String(1 + (n % 999)).padStart(3, "0")}`;
  return first17 + residentIdCheck(first17);
}

export function document(n: number): { type: "resident-id"; number: string } {
  return { type: "resident-id", number: residentId(n) };
}

/** 139 with eight digits. */
export function phone(n: number): string {
  return `139${String(n).padStart(8, "0")}`;
}

export function keyOfDocument(n: number): DocumentKey {
  const { type, number } = document(n);
  return keyring.documentKey({ type, number, canonical: `${type}|${number}` });
}

/** Every row of a delivery as the inbox keeps it. @throws when one is refused: the test has a mistake. */
export function inboxRows(feed: Feed, rows: readonly object[], source = "source-a", now = NOW, isHistory = false): readonly InboxRow[] {
  const format = feed === "risk-areas" ? "publication" : "ndjson";
  const text = rows.map((r) => JSON.stringify(r)).join("\n");
  const { rows: read, refused } = readBatch(feed, format, text, { keyring, source, now, isHistory });
  if (refused.length > 0) throw new Error(`the test's own row was refused: ${JSON.stringify(refused)}`);
  return read;
}

/** What the feed gets of an HL7 file. */
export function readHl7Rows(text: string): { rows: ReadRow<TestRow>[]; ignored: number } {
  const rows: ReadRow<TestRow>[] = [];
  let ignored = 0;
  const reader = createHl7Reader({ take: (read) => rows.push(read as ReadRow<TestRow>), ignore: (count) => (ignored += count) });
  reader.write(new TextEncoder().encode(text));
  reader.end();
  return { rows, ignored };
}

/** A published list with one high-risk area in each of these places. */
export function publication(updateTime: string, places: readonly { province: string; city: string; county: string }[]): object {
  const highlist = places.map((place) => ({ ...place, communitys: ["some street"] }));
  return { data: { end_update_time: updateTime, hcount: highlist.length, mcount: 0, highlist, middlelist: [] } };
}

export const SHANGHAI_HUANGPU = { province: "上海市", city: "上海市", county: "黄浦区" };
export const SHANGHAI_XUHUI = { province: "上海市", city: "上海市", county: "徐汇区" };

/** The stores of a worker in one folder, and what one does with them. Call close. */
export interface Stores {
  readonly inbox: Inbox;
  readonly evidence: EvidenceWriter;
  readonly entries: EntryWriter;
  readonly clock: Clock & { seconds: number };
  /** Milliseconds of each change that readers were told of. */
  readonly changes: number[];
  /** What was said to an operator. */
  readonly lines: string[];
  store(feed: Feed, rows: readonly InboxRow[]): Promise<number>;
  /** With another evaluator, or evidence, when one is given. */
  apply(sequence: number, evaluator?: Evaluator, evidence?: EvidenceWriter): Promise<void>;
  /** As a worker would that takes another evaluator for that of the pack of this number. */
  applyUnder(sequence: number, evaluator: Evaluator, packNumber: number): Promise<void>;
  /** With another evaluator as that of pack number 2 when one is given. */
  reevaluateAll(evaluator?: Evaluator): Promise<number>;
  /** Stores and applies. @returns the batch's number. */
  deliver(feed: Feed, rows: readonly object[]): Promise<number>;
  /** The same with a pack's text. */
  deliverPack(text: string): Promise<number>;
  readonly evaluator: Evaluator;
  /** Asked between two steps; false unless the test says otherwise. */
  isStopping: () => boolean;
  close(): Promise<void>;
}

let batches = 0;

/** What a crowd is, tests of the guard say. */
const NO_LIMITS: BlastLimits = { ...USUAL_LIMITS, crowdHolders: Infinity };

export function openStores(folder: string, limits: BlastLimits = NO_LIMITS): Stores {
  const inbox = openInbox(join(folder, "inbox"));
  const evidence = openEvidenceWriter(join(folder, "evidence"));
  const entries = openEntryWriter(join(folder, "entries"));
  const clock = clockAt(NOW);
  const changes: number[] = [];
  const lines: string[] = [];
  const text = beijingPackText();
  const inForce = evidence.packs().at(-1) ?? evidence.transaction(() => evidence.putPack({ name: pack.name, text, fingerprint: pack.fingerprint, from: NOW, change: null }));
  let evaluator = createEvaluator(inForce.text === text ? pack : parsePack(inForce.text, "pack"), evidence.regions);
  let packNumber = inForce.number;
  const parts: Omit<ApplierParts, "evaluator" | "packNumber" | "reevaluate"> = {
    inbox,
    evidence,
    entries,
    clock,
    limits,
    exclusively: createTurns(),
    turn: createSchedule(),
    adopt(adopted) {
      evaluator = createEvaluator(adopted.pack, evidence.regions);
      packNumber = adopted.number;
    },
    say: (line) => lines.push(line),
    onChange: (atMs) => changes.push(atMs),
    isStopping: () => stores.isStopping(),
  };
  /** With another evaluator when one is given, else the one under the rules in force at each moment. */
  const partsWith = (other: Evaluator | undefined, otherEvidence: EvidenceWriter, otherPack?: number): ApplierParts => {
    const made: ApplierParts = {
      ...parts,
      evidence: otherEvidence,
      get evaluator() {
        return other ?? evaluator;
      },
      get packNumber() {
        return otherPack ?? packNumber;
      },
      reevaluate: () => reevaluateAll(made),
    };
    return made;
  };
  const stores: Stores = {
    inbox,
    evidence,
    entries,
    clock,
    changes,
    lines,
    get evaluator() {
      return evaluator;
    },
    isStopping: () => false,
    reevaluateAll: (other) => reevaluateAll(partsWith(other, evidence, other && 2)),
    async store(feed, rows) {
      const batch: Omit<BatchHeader, "sequence" | "rows" | "chunks"> = {
        source: "source-a",
        feed,
        batch: `batch-${batches++}`,
        bodyHash: "",
        receivedMs: clock.nowMs(),
        accepted: rows.length,
        refused: 0,
        ignored: 0,
      };
      return (await inbox.store(batch, rows)).sequence;
    },
    apply: (sequence, other, otherEvidence = evidence) => applyBatch(sequence, partsWith(other, otherEvidence)),
    applyUnder: (sequence, other, otherPack) => applyBatch(sequence, partsWith(other, evidence, otherPack)),
    async deliver(feed, rows) {
      const sequence = await stores.store(feed, inboxRows(feed, rows, "source-a", clock.seconds));
      await stores.apply(sequence);
      return sequence;
    },
    async deliverPack(text) {
      const { rows } = readBatch("packs", "pack", text, { keyring, source: "source-a", now: clock.seconds, isHistory: false });
      const sequence = await stores.store("packs", rows);
      await stores.apply(sequence);
      return sequence;
    },
    async close() {
      await Promise.all([inbox.close(), evidence.close(), entries.close()]);
    },
  };
  return stores;
}

/** An entry's bytes without its origin and checksum, as hex; undefined: there is none. */
export function contentOf(entries: EntryWriter, key: DocumentKey): string | undefined {
  const record = entries.get(key);
  if (!record) return undefined;
  const copy = Uint8Array.from(record);
  return Buffer.concat([copy.subarray(0, 4), copy.subarray(20)]).toString("hex");
}

/** An entry's record with these flags active in [from, until), for those who read entries. */
export function recordWith(flags: readonly Flag[], { from = NOW - 86_400, until = NOW + 86_400, ...over }: Partial<Entry> & { from?: Instant; until?: Instant } = {}): Uint8Array {
  const timed = flags.map((flag): TimedFlag => ({ flag, rule: "findings", from, until }));
  return encodeEntry({ ...{ registered: true, incomplete: false, evidenceSequence: 1, policyId: 1, regionRevision: 0, negatives: [], shownTests: [], flags: timed }, ...over });
}

export interface TestRedis {
  readonly url: string;
  /** The first time, and again after `kill`, with what it had written. */
  start(): Promise<void>;
  kill(): Promise<void>;
  /** It forgets everything. */
  flush(): Promise<void>;
  /** For good. */
  remove(): Promise<void>;
}

/** A Redis on a socket in a folder of its own; nobody listens until `start`. */
export async function ownRedis(): Promise<TestRedis> {
  const binary = await redisBinary(() => undefined);
  const folder = dataFolder(mkdtempSync(join(tmpdir(), "fangxing-redis-")));
  prepareFolder(folder);
  const url = `unix:${ownSocket(folder)}`;
  let server: Bun.Subprocess | undefined;
  const kill = async (): Promise<void> => {
    server?.kill("SIGKILL");
    await server?.exited;
    server = undefined;
    rmSync(ownSocket(folder), { force: true });
  };
  return {
    url,
    kill,
    async flush() {
      const client = new Redis({ path: ownSocket(folder) });
      await client.flushall();
      client.disconnect();
    },
    async start() {
      server = Bun.spawn(ownServerCommand(binary, folder), { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
      await awaitRedis(url, PATIENCE.timeout);
    },
    async remove() {
      await kill();
      rmSync(folder.path, { recursive: true, force: true });
    },
  };
}

const keyPairs = { "source-a": createKeyPair(), "source-b": createKeyPair(), archive: createKeyPair(), operator: createKeyPair() };
const keysOf = (name: SourceName): Source["keys"] => [{ id: "1", publicKey: keyPairs[name].publicKey }];

export const registry: Registry = {
  devices: [],
  sources: [
    { name: "source-a", feeds: ["*"], keys: keysOf("source-a") },
    { name: "source-b", feeds: ["trips", "tests"], keys: keysOf("source-b") },
    { name: "archive", feeds: ["*"], keys: keysOf("archive"), history: true },
    { name: "operator", feeds: ["packs", "decisions"], keys: keysOf("operator") },
  ],
};

export type SourceName = "source-a" | "source-b" | "archive" | "operator";

export interface Delivery {
  readonly feed?: string;
  readonly batch?: string;
  readonly source?: SourceName;
  readonly body: string | Uint8Array;
  readonly contentType?: string | null;
  readonly contentEncoding?: string;
  /** What is signed instead of `body`. */
  readonly signedBody?: string;
  /** Changes the headers after signing. */
  readonly alter?: (headers: Record<string, string>) => unknown;
  /** Sends the body in chunks, without a content length. */
  readonly chunked?: boolean;
}

export async function deliver(port: number, clock: Clock, { feed = "tests", batch = "batch-1", source = "source-a", body, contentType = "application/x-ndjson", contentEncoding, signedBody, alter, chunked }: Delivery): Promise<Response> {
  const path = `/v1/feeds/${feed}/batches`;
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const signed = signedBody === undefined ? bytes : new TextEncoder().encode(signedBody);
  const type = { ...(contentType === null ? {} : { contentType }), ...(contentEncoding === undefined ? {} : { contentEncoding }) };
  const headers: Record<string, string> = await signRequest({ method: "POST", path, batchId: batch, body: signed, ...type }, signerOf(source), clock);
  alter?.(headers);
  return fetch(`http://127.0.0.1:${port}${path}`, { method: "POST", headers, body: chunked ? streamOf(bytes) : bytes });
}

export async function ask(port: number, clock: Clock, { feed = "tests", batch = "batch-1", source = "source-a" }: Partial<Delivery> = {}): Promise<Response> {
  const path = `/v1/feeds/${feed}/batches/${batch}`;
  return fetch(`http://127.0.0.1:${port}${path}`, { headers: await signRequest({ method: "GET", path }, signerOf(source), clock) });
}

/** What a source of the registry signs with. */
export function signerOf(name: SourceName): Signer {
  return createSigner(registry.sources.find((s) => s.name === name)!, keyPairs[name].privateKeyPem)!;
}

export function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (let i = 0; i < bytes.length; i += 1000) controller.enqueue(bytes.subarray(i, i + 1000));
      controller.close();
    },
  });
}

/** Polls until the condition holds. @throws after PATIENCE. */
export const eventually = (condition: () => boolean | Promise<boolean>): Promise<unknown> => vi.waitUntil(condition, PATIENCE);
