// A process that holds one server for tests, under Bun or Node: told over standard input what to do, a line of JSON at a time, and answers each with one.
//
// {"lookup": {…}} or {"probe": {…}} starts one -> {"port"}; {"now": seconds} sets its clock; {"elapsed": ms} stops that of limits there; {"drain": true} and {"stop": true} do as they say. What went wrong -> {"error"}.

import { createInterface } from "node:readline";
import { createKeyring, type Registry } from "../core/access/index.ts";
import { startFront, type Front, type Server } from "../core/front/index.ts";
import { startLookupServer } from "../core/lookup/index.ts";
import { probeSite } from "./probeSite.ts";

export interface LookupOrder {
  readonly server: Server;
  readonly port: number;
  readonly entriesFolder: string;
  readonly registry: Registry;
  /** As hex. */
  readonly documentSecret: string;
  readonly sessionSecret: string;
  readonly now: number;
}

interface Order {
  readonly lookup?: LookupOrder;
  readonly probe?: { readonly server: Server; readonly host?: string };
  readonly now?: number;
  readonly elapsed?: number;
  readonly drain?: true;
  readonly stop?: true;
}

const clock = { seconds: 0, nowMs: () => clock.seconds * 1000 };
/** Where the clock of limits has been stopped. */
let elapsedAtMs: number | undefined;
const elapsedMs = (): number => elapsedAtMs ?? performance.now();
let server: Front | undefined;

async function carryOut({ lookup, probe, now, elapsed, drain, stop }: Order): Promise<object> {
  if (lookup) {
    const { documentSecret, sessionSecret, now: startAt, ...settings } = lookup;
    clock.seconds = startAt;
    elapsedAtMs = undefined;
    const [keyring, secret] = [createKeyring(Buffer.from(documentSecret, "hex")), Buffer.from(sessionSecret, "hex")];
    server = startLookupServer({ ...settings, host: "127.0.0.1", isShared: false, processes: 1, elapsedMs, keyring, sessionSecret: secret, clock, log: () => undefined });
    return { port: server.port };
  }
  if (probe) {
    server = startFront(probe.server, probeSite((line) => console.error(line)), { host: probe.host ?? "127.0.0.1", port: 0, isShared: false });
    return { port: server.port };
  }
  if (now !== undefined) clock.seconds = now;
  if (elapsed !== undefined) elapsedAtMs = elapsed;
  if (drain) server?.drain();
  if (stop) await server?.stop();
  return {};
}

for await (const line of createInterface({ input: process.stdin })) {
  let result: object;
  try {
    result = await carryOut(JSON.parse(line) as Order);
  } catch (error) {
    result = { error: error instanceof Error ? error.message : String(error) };
  }
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
process.exit(0);
