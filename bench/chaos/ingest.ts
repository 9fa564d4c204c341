// ingest: is anything that was answered 202 lost, and is any entry wrong, when the ingest API, the worker and Redis are killed at random?
//
// A real service under its supervisor. Senders deliver all the while, and again until they are answered 202; meanwhile one process after the other is killed with SIGKILL,
// Redis is made to forget everything, and now and then the supervisor itself is killed and the service started again. When all is applied, it is compared (compare.ts).

import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKeyring } from "../../core/access/index.ts";
import { now } from "../../core/domain/index.ts";
import { openEntryReader } from "../../core/entry/index.ts";
import { openEvidenceReader, openEvidenceWriter } from "../../core/evidence/index.ts";
import type { BenchResult } from "../run.ts";
import { canonicalRows, compare, putAll, type Acknowledged } from "./compare.ts";
import { createDeliveries, type Delivery } from "./deliveries.ts";
import { createRandom, type Random } from "./random.ts";
import { chaosService, TARGETS, type ChaosService, type Target } from "./service.ts";

export interface ChaosOptions {
  readonly kills: number;
  readonly seed: number;
  /** People that facts are told of. */
  readonly holders: number;
}

const SENDERS = 4;
const CITY_HOLDERS = 100;
/** Between a sender's deliveries. */
const SENDER_PAUSE_MS = 50;
/** Between attempts of one, as a sender's retries grow. */
const RETRY_MS = [50, 100, 200, 400] as const;
/** Between two kills. */
const [KILL_MS_MIN, KILL_MS_MAX] = [50, 1500];
/** So often Redis forgets everything instead of a kill. */
const FLUSHES = 0.1;
/** After so many kills the supervisor is killed too, before it starts its children ever more slowly. */
const KILLS_A_SUPERVISOR = 14;
/** When no batch has been applied for so long, those that are left never will be. */
const NOTHING_APPLIED_MS_MAX = 120_000;

/** What was sent and how it went. */
interface Sent {
  readonly deliveries: Map<string, Delivery>;
  attempts: number;
  /** Answered 202, repetitions among them. */
  answers: number;
}

interface Killed {
  readonly kills: Record<Target, number>;
  flushes: number;
  supervisors: number;
}

export async function chaosIngest({ kills, seed, holders }: ChaosOptions, progress: (line: string) => void): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), "fangxing-chaos-"));
  const data = join(folder, "data");
  const fresh = join(folder, "fresh");
  const service = chaosService(data, CITY_HOLDERS);
  try {
    progress("starting a service of its own");
    await service.start();
    await service.stop();
    // What lies there before anything is killed is where the fresh side begins too.
    cpSync(join(data, "evidence"), fresh, { recursive: true });
    await service.start();

    const deliveries = createDeliveries({ seed, holders, at: now(service.clock) });
    const sent: Sent = { deliveries: new Map(), attempts: 0, answers: 0 };
    const phase = { isOver: false };
    const sending = Promise.all(Array.from({ length: SENDERS }, () => sendUntil(phase, deliveries, service, sent)));
    // A sender that fails ends the run at once.
    const killed = await Promise.race([killAll(kills, createRandom(seed + 1), service, sent, progress), sending.then(() => Promise.reject(new Error("the senders ended too early")))]);
    phase.isOver = true;
    await sending;
    progress(`${total(killed)} kills, ${sent.deliveries.size} batches acknowledged: waiting until all are applied`);
    const { acknowledged, neverApplied } = await awaitApplied([...sent.deliveries.values()], service, progress);
    await service.stop();

    progress("putting everything acknowledged into a fresh store");
    const keyring = createKeyring(readFileSync(join(data, "secrets", "document.key")));
    const rows = canonicalRows(acknowledged, keyring);
    const [evidence, entries, freshEvidence] = [openEvidenceReader(join(data, "evidence")), openEntryReader(join(data, "entries")), openEvidenceWriter(fresh)];
    putAll(rows, freshEvidence);
    progress("comparing");
    const found = compare({ evidence, entries }, freshEvidence, rows, service.clock);
    await Promise.all([evidence.close(), entries.close(), freshEvidence.close()]);

    const lost = found.lostRows + neverApplied;
    const json = {
      chaos: "ingest",
      seed,
      kills: total(killed),
      killed: killed.kills,
      flushes: killed.flushes,
      supervisors_killed: killed.supervisors,
      attempts: sent.attempts,
      acknowledged: [...sent.deliveries.values()].reduce((sum, d) => sum + d.rows, 0),
      acknowledged_batches: sent.deliveries.size,
      acknowledged_again: sent.answers - sent.deliveries.size,
      distinct_rows: found.distinctRows,
      lost,
      lost_rows: found.lostRows,
      never_applied_batches: neverApplied,
      entries: found.entries,
      wrong_entries: found.wrongEntries,
    };
    const table = [
      `${json.kills} kills (ingest API ${killed.kills.ingest}, worker ${killed.kills.worker}, Redis ${killed.kills.redis}), ${killed.flushes} times FLUSHALL, ${killed.supervisors} supervisors killed; seed ${seed}`,
      `acknowledged: ${json.acknowledged} rows in ${json.acknowledged_batches} batches, ${json.acknowledged_again} of them again, in ${json.attempts} attempts; ${json.distinct_rows} rows differ`,
      `lost: ${lost} (rows ${found.lostRows}, batches never applied ${neverApplied})`,
      `wrong entries: ${found.wrongEntries} of ${found.entries}`,
      ...found.examples.map((text) => `  ${text}`),
    ];
    return { table, json, holds: lost === 0 && found.wrongEntries === 0 };
  } finally {
    await service.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function total({ kills }: Killed): number {
  return TARGETS.reduce((sum, target) => sum + kills[target], 0);
}

/** Delivers one after the other; each until it is answered 202. */
async function sendUntil(phase: { isOver: boolean }, deliveries: Generator<Delivery, undefined>, service: ChaosService, sent: Sent): Promise<void> {
  while (!phase.isOver) {
    const { value: delivery } = deliveries.next();
    if (!delivery) return;
    for (let attempt = 0; ; attempt++) {
      sent.attempts++;
      const answer = await service.deliver(delivery).catch(() => undefined);
      if (answer?.status === 202) {
        checkAnswer(delivery, answer.text);
        sent.answers++;
        sent.deliveries.set(`${delivery.source} ${delivery.feed} ${delivery.batch}`, delivery);
        break;
      }
      // Gone, overloaded or at fault: the same again, signed anew. Whatever else is a refusal that no retry mends.
      if (answer && answer.status < 500 && answer.status !== 429) throw new Error(`a batch of ${delivery.feed} was refused with status ${answer.status}: ${answer.text.slice(0, 300)}`);
      await Bun.sleep(RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]!);
    }
    await Bun.sleep(SENDER_PAUSE_MS);
  }
}

function checkAnswer({ feed, rows }: Delivery, text: string): void {
  const { accepted, refused } = JSON.parse(text) as { accepted: number; refused: { field: string; reason: string }[] };
  if (accepted !== rows) throw new Error(`of ${rows} rows of ${feed} ${accepted} were accepted: ${refused[0]?.field ?? ""} ${refused[0]?.reason ?? ""}`);
}

async function killAll(kills: number, random: Random, service: ChaosService, sent: Sent, progress: (line: string) => void): Promise<Killed> {
  const killed: Killed = { kills: { ingest: 0, worker: 0, redis: 0 }, flushes: 0, supervisors: 0 };
  let sinceStart = 0;
  while (total(killed) < kills) {
    await Bun.sleep(random.between(KILL_MS_MIN, KILL_MS_MAX));
    if (random.chance(FLUSHES)) {
      if (await service.flushRedis()) killed.flushes++;
      continue;
    }
    const target = random.pick(TARGETS);
    if (!service.kill(target)) continue;
    killed.kills[target]++;
    if (total(killed) % 10 === 0) progress(`${total(killed)} of ${kills} kills, ${sent.deliveries.size} batches acknowledged`);
    if (++sinceStart < KILLS_A_SUPERVISOR || total(killed) === kills) continue;
    await service.killSupervisor();
    killed.supervisors++;
    await service.start();
    sinceStart = 0;
  }
  return killed;
}

/** Asks about every batch until it is applied. @returns them with their arrival, and how many never were. */
async function awaitApplied(deliveries: readonly Delivery[], service: ChaosService, progress: (line: string) => void): Promise<{ acknowledged: Acknowledged[]; neverApplied: number }> {
  const acknowledged: Acknowledged[] = [];
  let waiting = [...deliveries];
  let lastMs = performance.now();
  while (waiting.length > 0 && performance.now() - lastMs < NOTHING_APPLIED_MS_MAX) {
    const still: Delivery[] = [];
    for (const delivery of waiting) {
      const state = await service.batch(delivery).catch(() => ({ isApplied: false, receivedAt: 0 }));
      if (!state?.isApplied) still.push(delivery);
      else {
        acknowledged.push({ ...delivery, receivedAt: state.receivedAt });
        lastMs = performance.now();
      }
    }
    waiting = still;
    if (waiting.length > 0) {
      progress(`${waiting.length} batches are not applied yet`);
      await Bun.sleep(1000);
    }
  }
  return { acknowledged, neverApplied: waiting.length };
}
