// A client of the service's own servers: signed deliveries and scans, for the commands and the demo.

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { formatInstant, now, type Clock } from "../core/domain/index.ts";
import { signRequest, signSessionRequest, type RowFault, type SessionRequest } from "../core/access/index.ts";
import { CONSOLE_DEVICE, LOCAL_SOURCE, type DataFolder, type OwnSource, type RunState } from "./dataFolder.ts";
import { ownSigner } from "./sourceKeys.ts";

export interface DeliveryAnswer {
  readonly batch: string;
  readonly accepted: number;
  readonly refused: readonly RowFault[];
  /** When more were refused than are listed. */
  readonly refusedCount?: number;
}

export interface BatchState {
  readonly state: "stored" | "queued" | "applied" | "dead";
  /** By which logs and decisions name it. */
  readonly number: number;
  /** Its last attempt failed. */
  readonly failure?: { readonly attempts: number; readonly at: string; readonly reason: string };
  readonly accepted: number;
  readonly refused: number;
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

/** A server that can't be reached, or is gone before it has answered whole: what was asked of it may have happened or not. */
export class UnreachableError extends Error {
  override name = "UnreachableError";
}

/** Does some work; of a server that is gone meanwhile it says what to do. */
export async function withAdvice<T>(advice: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof UnreachableError) throw new UnreachableError(`${error.message}; ${advice}`);
    throw error;
  }
}

export interface Client {
  deliver(feed: string, batchId: string, body: string | Uint8Array, contentType: string): Promise<DeliveryAnswer>;
  batch(feed: string, batchId: string): Promise<BatchState>;
  scan(document: { type: string; number: string; issuer?: string }): Promise<ScanAnswer>;
  /** A session token of the console. */
  session(): Promise<string>;
}

/** What the console sends to open a session. */
export function consoleSessionRequest(folder: DataFolder, clock: Clock): SessionRequest {
  const request = { device: CONSOLE_DEVICE, issuedAt: formatInstant(now(clock)), nonce: randomBytes(16).toString("base64url") };
  return signSessionRequest(request, readFileSync(folder.consoleKey, "utf8"));
}

/** The headers of a delivery by one of the folder's own sources, those that say how its body is to be read among them. */
export async function deliveryHeaders(folder: DataFolder, clock: Clock, name: OwnSource, feed: string, delivery: { batchId: string; body: Uint8Array; contentType: string; contentEncoding?: string }): Promise<Record<string, string>> {
  return signRequest({ method: "POST", path: `/v1/feeds/${feed}/batches`, ...delivery }, ownSigner(folder, name), clock);
}

/** @param source as which it delivers, and asks about batches. */
export function createClient(folder: DataFolder, run: Omit<RunState, "pid">, clock: Clock, source: OwnSource = LOCAL_SOURCE): Client {
  const lookup = httpUrl(run.host, run.lookupPort);
  const ingest = httpUrl(run.host, run.ingestPort);
  let opened: Promise<string> | undefined;
  const session = async (): Promise<string> => {
    const request = { method: "POST", body: JSON.stringify(consoleSessionRequest(folder, clock)) };
    return (await ask<{ session: string }>("the lookup server", `${lookup}/v1/sessions`, request)).session;
  };
  return {
    session,
    async deliver(feed, batchId, body, contentType) {
      const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
      const headers = await deliveryHeaders(folder, clock, source, feed, { batchId, body: bytes, contentType });
      return ask("the ingest API", `${ingest}/v1/feeds/${feed}/batches`, { method: "POST", headers, body: bytes });
    },
    async batch(feed, batchId) {
      const path = `/v1/feeds/${feed}/batches/${batchId}`;
      const headers = await signRequest({ method: "GET", path }, ownSigner(folder, source), clock);
      return ask("the ingest API", `${ingest}${path}`, { headers });
    },
    async scan(document) {
      opened ??= session();
      const headers = { Authorization: `Bearer ${await opened}`, "Content-Type": "application/json" };
      return ask("the lookup server", `${lookup}/v1/scan`, { method: "POST", headers, body: JSON.stringify({ document }) });
    },
  };
}

/** What a server answers. @throws ServiceError when it refuses, UnreachableError when it doesn't answer to the end. */
async function ask<Answer>(server: string, url: string, request: RequestInit): Promise<Answer> {
  const { origin } = new URL(url);
  let text: string;
  let response: Response;
  try {
    response = await fetch(url, request);
    text = await response.text();
  } catch (error) {
    const how = (error as NodeJS.ErrnoException).code === "ECONNREFUSED" ? "can't be reached" : "was gone before it had answered";
    throw new UnreachableError(`${server} at ${origin} ${how}: it may be stopping or starting again`);
  }
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new UnreachableError(`${server} at ${origin} answered with status ${response.status} and no JSON: is it this service that listens there?`);
  }
  if (!response.ok) throw new ServiceError(response.status, answer ?? {});
  return answer as Answer;
}
