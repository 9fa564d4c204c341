// The plain way to take deliveries: each record a BullMQ job of its own that holds the record, added in bulk; a worker puts it into the same stores by the same code (evidence,
// evaluation, entry), one transaction a job, durable as ours are. Concurrency as BullMQ advises for short jobs. What it leaves out: signatures, the inbox, batches that are known again.
// `bun bench/peers/jobPerRecord.ts --data FOLDER --redis SOCKET --records FILE`: of the folder it reads the secret and writes the stores, so the service must not run. The file holds rows of the feed
// `tests`. It says `ready 0`, begins at a line on standard input, and says `done MILLISECONDS`.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import { createKeyring } from "../../core/access/index.ts";
import { isRefusal, keyText, parseCounty, parseDocument, parseInstant, type DocumentInput, type Test } from "../../core/domain/index.ts";
import { encodeEntry, entryOf, openEntryWriter } from "../../core/entry/index.ts";
import { openEvidenceWriter } from "../../core/evidence/index.ts";
import { createEvaluator, parsePack } from "../../core/policy/index.ts";

const CONCURRENCY = 100;
const BULK = 1000;

interface TestRow {
  readonly factId: string;
  readonly document: DocumentInput;
  readonly sampledAt: string;
  readonly issuedAt: string;
  readonly laboratory: string;
  readonly county: string;
}

const { values } = parseArgs({ options: { data: { type: "string" }, redis: { type: "string" }, records: { type: "string" } } });
const { data = "data", redis: path = "redis.sock", records = "records" } = values;
const keyring = createKeyring(readFileSync(join(data, "secrets", "document.key")));
const [evidence, entries] = [openEvidenceWriter(join(data, "evidence")), openEntryWriter(join(data, "entries"))];
const applied = evidence.packs().at(-1)!;
const evaluator = createEvaluator(parsePack(applied.text, "the pack in force"), evidence.regions);
const connection = (): Redis => new Redis({ path, maxRetriesPerRequest: null });
const queue = new Queue("records", { connection: connection() });

function apply(row: TestRow): void {
  const document = parseDocument(row.document);
  if (isRefusal(document)) throw new Error("the bench's own row was refused");
  const key = keyring.documentKey(document);
  const [sampledAt, issuedAt] = [parseInstant(row.sampledAt)!, parseInstant(row.issuedAt)!];
  const test: Test = {
    ...{ kind: "test", source: "plain", revision: 1, knownFrom: issuedAt, sampledAt, issuedAt, result: "negative" },
    ...{ laboratory: row.laboratory, county: parseCounty(row.county) ?? null, uploaded: false },
  };
  evidence.transaction((evidenceSequence) => {
    const holders = new Set(evidence.putFact(key, keyring.factKey("plain", `test|${row.factId}`), test).flatMap((subject) => evidence.holdersOf(subject)).map(keyText));
    const origin = { evidenceSequence, policyId: applied.number, regionRevision: evidence.regions.revision() };
    entries.transaction(() => {
      for (const holderKey of holders) {
        const holder = evidence.holder(Buffer.from(holderKey, "latin1") as Uint8Array as typeof key);
        const record = encodeEntry(entryOf(evaluator.evaluate(holder.evidence), origin, issuedAt));
        for (const of of holder.documents) entries.put(of, record);
      }
    });
  });
}

const rows = readFileSync(records, "utf8").split("\n");
console.log("ready 0");
await new Promise((resolve) => process.stdin.once("data", resolve));
const startMs = performance.now();
let done = 0;
await new Promise<void>((resolve, reject) => {
  const finished = (): void => {
    if (++done === rows.length) resolve();
  };
  const worker = new Worker<TestRow>("records", (job) => Promise.resolve(job.data).then(apply), { connection: connection(), concurrency: CONCURRENCY });
  worker.on("completed", finished);
  worker.on("failed", (_, error) => reject(error));
  worker.on("error", reject);
  void (async () => {
    for (let i = 0; i < rows.length; i += BULK) {
      await queue.addBulk(rows.slice(i, i + BULK).map((line) => ({ name: "apply", data: JSON.parse(line) as TestRow, opts: { removeOnComplete: true } })));
    }
  })().catch(reject);
});
await Promise.all([evidence.flushed(), entries.flushed()]);
console.log(`done ${performance.now() - startMs}`);
process.exit(0);
