// A service that gets killed: the real command line on a folder, its processes found by number, its own sources' deliveries and questions.
// Promises: nothing is held for the crowd it would hit, since whether it is would follow from the order of arrival; what is started here is ended here.

import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { createSigner, readRegistry, signRequest, type Signer } from "../../core/access/index.ts";
import { offsetClock, parseInstant, type Clock, type Instant } from "../../core/domain/index.ts";
import { processes } from "../processes.ts";
import type { Delivery } from "./deliveries.ts";

/** What is killed. */
export const TARGETS = ["ingest", "worker", "redis"] as const;
export type Target = (typeof TARGETS)[number];

export interface ChaosService {
  readonly clock: Clock;
  /** Starts, or starts again after `stop` or `killAll`. */
  start(): Promise<void>;
  /** In order, as Ctrl-C does. */
  stop(): Promise<void>;
  /** Kills one process; false: it was not there, since it is being started again. */
  kill(target: Target): boolean;
  /** Kills the supervisor; the others notice and end by themselves. */
  killSupervisor(): Promise<void>;
  /** Redis forgets everything; false: it was not there. */
  flushRedis(): Promise<boolean>;
  /** One attempt. Rejects when the API is gone before it has answered. */
  deliver(delivery: Delivery): Promise<{ status: number; text: string }>;
  /** What the API says of a batch. Rejects as `deliver`; undefined: it knows none. */
  batch(delivery: Pick<Delivery, "source" | "feed" | "batch">): Promise<{ isApplied: boolean; receivedAt: Instant } | undefined>;
}

const START_MS_MAX = 120_000;
const END_MS_MAX = 30_000;
const ANSWER_MS_MAX = 20_000;

/** A service on a folder of its own, with a small demo city of so many holders. */
export function chaosService(folder: string, cityHolders: number): ChaosService {
  const cli = fileURLToPath(new URL("../../ops/cli.ts", import.meta.url));
  const read = (file: string): unknown => (existsSync(join(folder, file)) ? JSON.parse(readFileSync(join(folder, file), "utf8")) : undefined);
  let supervisor: Bun.Subprocess | undefined;
  let clock: Clock | undefined;
  const signers = new Map<string, Signer>();
  const ingest = (): string => {
    const { host, ingestPort } = read("run.json") as { host: string; ingestPort: number };
    return `http://${host}:${ingestPort}`;
  };
  /** Of the folder's own sources, whose keys lie beside its secrets. */
  const signerOf = (name: string): Signer => {
    let signer = signers.get(name);
    if (!signer) {
      const source = readRegistry(join(folder, "access.json")).sources.find((s) => s.name === name)!;
      signer = createSigner(source, readFileSync(join(folder, "secrets", `${name}.pem`), "utf8"))!;
      signers.set(name, signer);
    }
    return signer;
  };
  const theClock = (): Clock => clock!;

  return {
    get clock() {
      return theClock();
    },
    async start() {
      rmSync(join(folder, "run.json"), { force: true });
      const ports = ["--lookup-port", "0", "--ingest-port", "0", "--explain-port", "0"];
      const noLimits = ["--gain-share-max", "1", "--loss-share-max", "1"];
      const child = Bun.spawn([process.execPath, cli, "demo", "--data", folder, "--holders", String(cityHolders), ...ports, ...noLimits], { stdin: "ignore", stdout: "ignore", stderr: "inherit" });
      supervisor = child;
      const startedMs = performance.now();
      let demo: { offsetMs: number; isLoaded: boolean } | undefined;
      while (!demo?.isLoaded || !existsSync(join(folder, "run.json"))) {
        if (child.exitCode !== null || performance.now() - startedMs > START_MS_MAX) throw new Error("the service did not start: see its messages");
        await Bun.sleep(30);
        demo = (read("folder.json") as { demo: typeof demo } | undefined)?.demo;
      }
      clock = offsetClock(demo.offsetMs);
    },
    async stop() {
      supervisor?.kill("SIGTERM");
      await supervisor?.exited;
      supervisor = undefined;
    },
    kill(target) {
      const pid = childOf(supervisor!.pid, target === "redis" ? /(redis|valkey)-server/ : new RegExp(`cli\\.ts\0${target}`));
      if (pid === undefined) return false;
      process.kill(pid, "SIGKILL");
      return true;
    },
    async killSupervisor() {
      const children = processes().filter((p) => p.parent === supervisor!.pid);
      supervisor!.kill("SIGKILL");
      await supervisor!.exited;
      // The own Redis watches nobody: the next start ends it.
      const waitedFor = children.filter((p) => !/(redis|valkey)-server/.test(p.command)).map((p) => p.pid);
      const startedMs = performance.now();
      while (processes().some((p) => waitedFor.includes(p.pid))) {
        if (performance.now() - startedMs > END_MS_MAX) throw new Error("processes live on without their supervisor");
        await Bun.sleep(20);
      }
    },
    async flushRedis() {
      // Where the service keeps its own; a path that is too long for a socket would be elsewhere.
      const redis = new Redis({ path: join(folder, "redis", "redis.sock"), lazyConnect: true, retryStrategy: () => null });
      redis.on("error", () => undefined);
      try {
        await redis.connect();
        await redis.flushall();
        return true;
      } catch {
        return false;
      } finally {
        redis.disconnect();
      }
    },
    async deliver({ source, feed, batch, contentType, body }) {
      const bytes = new TextEncoder().encode(body);
      const path = `/v1/feeds/${feed}/batches`;
      const headers = await signRequest({ method: "POST", path, batchId: batch, body: bytes, contentType }, signerOf(source), theClock());
      const answer = await fetch(ingest() + path, { method: "POST", headers, body: bytes, signal: AbortSignal.timeout(ANSWER_MS_MAX) });
      return { status: answer.status, text: await answer.text() };
    },
    async batch({ source, feed, batch }) {
      const path = `/v1/feeds/${feed}/batches/${batch}`;
      const headers = await signRequest({ method: "GET", path }, signerOf(source), theClock());
      const answer = await fetch(ingest() + path, { headers, signal: AbortSignal.timeout(ANSWER_MS_MAX) });
      if (answer.status === 404) return undefined;
      const { state, receivedAt } = (await answer.json()) as { state: string; receivedAt: string };
      return { isApplied: state === "applied", receivedAt: parseInstant(receivedAt)! };
    },
  };
}

function childOf(parent: number, command: RegExp): number | undefined {
  return processes().find((p) => p.parent === parent && command.test(p.command))?.pid;
}
