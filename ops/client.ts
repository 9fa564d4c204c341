// A client of the service's own servers: signed deliveries and scans, for the commands and the demo.

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { formatInstant, now, type Clock } from "../core/domain/index.ts";
import { readRegistry, signRequest, signSessionRequest, type RowFault, type SessionRequest } from "../core/access/index.ts";
import { CONSOLE_DEVICE, LOCAL_SOURCE, type DataFolder, type RunState } from "./dataFolder.ts";

export interface DeliveryAnswer {
  readonly batch: string;
  readonly accepted: number;
  readonly refused: readonly RowFault[];
  /** When more were refused than are listed. */
  readonly refusedCount?: number;
}

export interface BatchState {
  readonly state: "stored" | "queued" | "applied";
  readonly chunks: number;
  readonly chunksApplied: number;
  readonly entriesChanged: number;
  readonly tookMs: number | null;
  /** Of decisions: which came to nothing, and why. */
  readonly undone?: readonly string[];
  /** Its pack is in force or held already: `change` is the one that brought it, absent when the service began with it. */
  readonly repeats?: true;
  /** Of a batch that changes rules or regions. */
  readonly change?: { readonly id: number; readonly state: string; readonly reasons: readonly string[] };
}

export interface ScanAnswer {
  readonly pass: boolean;
  readonly popups: readonly number[];
  readonly [field: string]: unknown;
}

/** The address of a server; IPv6 in brackets. */
export function httpUrl(host: string, port: number): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** A refusal of one of the servers, with what it said. */
export class ServiceError extends Error {
  override name = "ServiceError";
  readonly status: number;
  readonly errors: readonly RowFault[];
  constructor(status: number, problem: { detail?: string; errors?: readonly RowFault[] }) {
    super(problem.detail ?? `status ${status}`);
    this.status = status;
    this.errors = problem.errors ?? [];
  }
}

export interface Client {
  deliver(feed: string, batchId: string, body: string, contentType: string): Promise<DeliveryAnswer>;
  batch(feed: string, batchId: string): Promise<BatchState>;
  scan(document: { type: string; number: string; issuer?: string }): Promise<ScanAnswer>;
}

/** What the console sends to open a session. */
export function consoleSessionRequest(folder: DataFolder, clock: Clock): SessionRequest {
  const request = { device: CONSOLE_DEVICE, issuedAt: formatInstant(now(clock)), nonce: randomBytes(16).toString("base64url") };
  return signSessionRequest(request, readFileSync(folder.consoleKey, "utf8"));
}

/** The headers of a delivery by the local source. */
export async function localDeliveryHeaders(folder: DataFolder, clock: Clock, feed: string, batchId: string, body: Uint8Array): Promise<Record<string, string>> {
  return signRequest({ method: "POST", path: `/v1/feeds/${feed}/batches`, batchId, body }, localSource(folder), clock);
}

function localSource(folder: DataFolder): { name: string; secret: string } {
  const source = readRegistry(folder.registryFile).sources.find((s) => s.name === LOCAL_SOURCE);
  if (!source) throw new Error(`${folder.registryFile} has no source ${LOCAL_SOURCE}: this command delivers as that one`);
  return source;
}

export function createClient(folder: DataFolder, run: Omit<RunState, "pid">, clock: Clock): Client {
  const lookup = httpUrl(run.host, run.lookupPort);
  const ingest = httpUrl(run.host, run.ingestPort);
  let session: Promise<string> | undefined;
  const openSession = async (): Promise<string> => {
    const answer = await fetch(`${lookup}/v1/sessions`, { method: "POST", body: JSON.stringify(consoleSessionRequest(folder, clock)) });
    return (await checked<{ session: string }>(answer)).session;
  };
  return {
    async deliver(feed, batchId, body, contentType) {
      const bytes = new TextEncoder().encode(body);
      const headers = await localDeliveryHeaders(folder, clock, feed, batchId, bytes);
      return checked(await fetch(`${ingest}/v1/feeds/${feed}/batches`, { method: "POST", headers: { ...headers, "Content-Type": contentType }, body: bytes }));
    },
    async batch(feed, batchId) {
      const path = `/v1/feeds/${feed}/batches/${batchId}`;
      const headers = await signRequest({ method: "GET", path }, localSource(folder), clock);
      return checked(await fetch(`${ingest}${path}`, { headers }));
    },
    async scan(document) {
      session ??= openSession();
      const headers = { Authorization: `Bearer ${await session}`, "Content-Type": "application/json" };
      return checked(await fetch(`${lookup}/v1/scan`, { method: "POST", headers, body: JSON.stringify({ document }) }));
    },
  };
}

async function checked<Answer>(response: Response): Promise<Answer> {
  const answer: unknown = await response.json().catch(() => undefined);
  if (!response.ok || answer === undefined) throw new ServiceError(response.status, answer ?? {});
  return answer as Answer;
}
