// A whole service of real processes on a folder of its own, for benches: started by the command line, spoken to over HTTP.

import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createSigner, readRegistry, signRequest, signSessionRequest } from "../core/access/index.ts";
import { formatInstant, now, offsetClock, type Clock } from "../core/domain/index.ts";

/** What the ingest API says of a batch. */
export interface BenchBatch {
  readonly state: string;
  readonly entriesChanged: number;
  readonly undone?: readonly string[];
  /** Of a batch that changes rules or regions, once it is measured. */
  readonly change?: { readonly id: number; readonly state: string; readonly reasons: readonly string[] };
}

export interface BenchService {
  /** Of the supervisor, whose children the servers are. */
  readonly pid: number;
  readonly clock: Clock;
  readonly folder: string;
  readonly evidenceFolder: string;
  /** Delivers rows as NDJSON, or one risk list as the JSON that it is. @throws unless all are accepted. */
  deliver(feed: string, batchId: string, rows: readonly object[]): Promise<void>;
  /** The same of a body. @throws unless none is refused, and so many rows are accepted where it is said. */
  deliverBody(feed: string, batchId: string, body: Uint8Array, expected: { contentType: string; accepted: number | undefined }): Promise<void>;
  batch(feed: string, batchId: string): Promise<BenchBatch>;
  isApplied(feed: string, batchId: string): Promise<boolean>;
  scan(number: string): Promise<{ pass: boolean; popups: number[] }>;
  stop(): Promise<void>;
}

const START_MS_MAX = 120_000;

/** Starts a demo city on free ports, and waits until it is loaded. On a folder that is given it goes on, and leaves the folder when it stops. */
export async function startService(holders = 1000, given?: string): Promise<BenchService> {
  const folder = given ?? mkdtempSync(join(tmpdir(), "fangxing-bench-"));
  rmSync(join(folder, "run.json"), { force: true });
  const cli = fileURLToPath(new URL("../ops/cli.ts", import.meta.url));
  const options = ["--data", folder, "--holders", String(holders), "--lookup-port", "0", "--ingest-port", "0", "--explain-port", "0"];
  const child = Bun.spawn([process.execPath, cli, "demo", ...options], { stdin: "ignore", stdout: "ignore", stderr: "inherit" });
  const read = (file: string): unknown => (existsSync(join(folder, file)) ? JSON.parse(readFileSync(join(folder, file), "utf8")) : undefined);
  const startedMs = performance.now();
  let demo: { offsetMs: number; isLoaded: boolean; seed: number } | undefined;
  while (!demo?.isLoaded || !existsSync(join(folder, "run.json"))) {
    if (child.exitCode !== null || performance.now() - startedMs > START_MS_MAX) throw new Error("the service did not start: see its messages");
    await Bun.sleep(50);
    demo = (read("folder.json") as { demo: typeof demo } | undefined)?.demo;
  }
  const { host, lookupPort, ingestPort } = read("run.json") as { host: string; lookupPort: number; ingestPort: number };
  const clock = offsetClock(demo.offsetMs);
  const source = readRegistry(join(folder, "access.json")).sources.find(({ name }) => name === "local")!;
  const signer = createSigner(source, readFileSync(join(folder, "secrets", "local.pem"), "utf8"))!;
  const ingest = `http://${host}:${ingestPort}`;
  const lookup = `http://${host}:${lookupPort}`;

  const request = signSessionRequest(
    { device: "console", issuedAt: formatInstant(now(clock)), nonce: randomBytes(16).toString("base64url") },
    readFileSync(join(folder, "secrets", "console.pem"), "utf8"),
  );
  const { session } = (await (await fetch(`${lookup}/v1/sessions`, { method: "POST", body: JSON.stringify(request) })).json()) as { session: string };

  const deliverBody: BenchService["deliverBody"] = async (feed, batchId, body, { contentType, accepted: expected }) => {
    const path = `/v1/feeds/${feed}/batches`;
    const headers = await signRequest({ method: "POST", path, batchId, body, contentType }, signer, clock);
    const answer = await fetch(ingest + path, { method: "POST", headers, body });
    const { accepted, refused } = (await answer.json()) as { accepted?: number; refused?: unknown[] };
    if (answer.status !== 202 || refused?.length !== 0 || accepted !== (expected ?? accepted)) throw new Error(`the batch ${batchId} of ${feed} was not accepted whole: status ${answer.status}`);
  };

  const batch = async (feed: string, batchId: string): Promise<BenchBatch> => {
    const path = `/v1/feeds/${feed}/batches/${batchId}`;
    const answer = await fetch(ingest + path, { headers: await signRequest({ method: "GET", path }, signer, clock) });
    return (await answer.json()) as BenchBatch;
  };

  return {
    pid: child.pid,
    clock,
    deliverBody,
    folder,
    evidenceFolder: join(folder, "evidence"),
    async deliver(feed, batchId, rows) {
      const body = new TextEncoder().encode(rows.map((row) => JSON.stringify(row)).join("\n"));
      await deliverBody(feed, batchId, body, { contentType: feed === "risk-areas" ? "application/json" : "application/x-ndjson", accepted: feed === "risk-areas" ? undefined : rows.length });
    },
    batch,
    isApplied: async (feed, batchId) => (await batch(feed, batchId)).state === "applied",
    async scan(number) {
      const headers = { Authorization: `Bearer ${session}` };
      const answer = await fetch(`${lookup}/v1/scan`, { method: "POST", headers, body: JSON.stringify({ document: { type: "resident-id", number } }) });
      if (!answer.ok) throw new Error(`a scan was refused with status ${answer.status}`);
      return (await answer.json()) as { pass: boolean; popups: number[] };
    },
    async stop() {
      child.kill("SIGTERM");
      await child.exited;
      if (given === undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}
