// A city for the benches of scans: the data folder of a demo that has run once, its store filled with very many entries, and the lookup process on it.

import { mkdirSync, readFileSync, statSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Subprocess } from "bun";
import { signSessionRequest } from "../core/access/index.ts";
import { formatInstant, now, type Clock } from "../core/domain/index.ts";
import { knownAnswers, KINDS, numberOf } from "./entries.ts";
import { loadEntries } from "./loader.ts";
import { startServer, type Serving } from "./processes.ts";
import { writeQuestions, type Questions } from "./questions.ts";
import { startService } from "./service.ts";

export interface City {
  readonly count: number;
  readonly folder: string;
  readonly clock: Clock;
  readonly documentSecret: Uint8Array;
  readonly loadS: number;
  readonly dataFile: string;
  readonly bytesAnEntry: number;
  /** What was written, as the peers' loaders read it. */
  readonly sortedFile: string;
  readonly questions: Questions;
}

/** Builds one of `count` entries in an empty folder. */
export async function buildCity(folder: string, count: number, progress: (line: string) => void): Promise<City> {
  const data = join(folder, "data");
  mkdirSync(data);
  const service = await startService(100, data);
  await service.stop();
  const { clock } = service;
  const documentSecret = readFileSync(join(data, "secrets", "document.key"));
  const at = now(clock);
  const sortedFile = join(folder, "sorted");
  const dataFile = join(data, "entries", "data.mdb");
  const loadMs = await loadEntries({ folder: join(data, "entries"), sortedFile, secret: documentSecret, count, at }, progress);
  const bytesAnEntry = statSync(dataFile).size / count;
  return { count, folder: data, clock, documentSecret, loadS: loadMs / 1000, dataFile, bytesAnEntry, sortedFile, questions: writeQuestions(folder, count, at) };
}

export async function startLookup(children: Subprocess[], { folder }: City): Promise<Serving> {
  const cli = fileURLToPath(new URL("../ops/cli.ts", import.meta.url));
  return startServer(children, [process.execPath, cli, "lookup-process", "--data", folder, "--lookup-port", "0"]);
}

/** @returns a token that every lookup process of the city takes. */
export async function openSession({ port }: Serving, { folder, clock }: City): Promise<string> {
  const request = { device: "console", issuedAt: formatInstant(now(clock)), nonce: randomBytes(16).toString("base64url") };
  const signed = signSessionRequest(request, readFileSync(join(folder, "secrets", "console.pem"), "utf8"));
  return ((await ask(port, "sessions", "", signed)) as { session: string }).session;
}

/** Codes of the first drawn documents. */
export async function makeCodes({ port }: Serving, token: string, { questions }: City, count: number): Promise<string[]> {
  const codes: string[] = [];
  for (let i = 0; i < count; i++) codes.push(((await ask(port, "codes", token, documentOf(questions.numberOf(i)))) as { code: string }).code);
  return codes;
}

/** Milliseconds from the start of a lookup process to its first right answer. */
export async function coldStartMs(children: Subprocess[], token: string, city: City): Promise<number> {
  const place = city.questions.placeOf(0);
  const startMs = performance.now();
  const lookup = await startLookup(children, city);
  const { popups, testAgeDays } = (await ask(lookup.port, "scan", token, documentOf(numberOf(place)))) as { popups: number[]; testAgeDays: number | null };
  const tookMs = performance.now() - startMs;
  const known = knownAnswers()[place % KINDS]!;
  if (testAgeDays !== known.testAgeDays || popups.join() !== known.popups.join()) throw new Error("the first answer was not right");
  await lookup.stop();
  return tookMs;
}

function documentOf(number: string): object {
  return { document: { type: "resident-id", number } };
}

async function ask(port: number, path: string, token: string, body: object): Promise<unknown> {
  const answer = await fetch(`http://127.0.0.1:${port}/v1/${path}`, { method: "POST", headers: { Authorization: `Bearer ${token}` }, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path} was refused with status ${answer.status}`);
  return answer.json();
}
