// The lookup processes of one port: as many as are wanted, started again when they die, replaced without losing a scan.
// Promises: while they are replaced every connection is accepted and every request answered, by an old process or a new one.
// Not here: what a lookup process does (core/lookup), how the system is told where connections go (steering.ts).

import { setTimeout } from "node:timers/promises";
import { createSupervisor, type Supervisor } from "../supervise.ts";
import { inodesOf, socketsOf, type PortSocket } from "./sockets.ts";

export interface GatesPlan {
  readonly processes: number;
  /** An IP address. */
  readonly address: string;
  /** 0: any free one. */
  readonly port: number;
  /** Starts one lookup process; it says `ready` when it listens, and `drain` on its standard input makes it drain. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly say: (line: string) => void;
}

export interface Gates {
  readonly port: number;
  /** Replaces all processes by new ones. @throws SuperviseError when those don't start: the old ones go on. */
  reload(): Promise<void>;
  stop(): Promise<void>;
}

/** Servers close connections that have been silent for some 10 s: after this time the old processes have none but streams that would not move. */
const DRAIN_MS_MAX = 20_000;
/** So long must all have been without a connection, so that handshakes that were under way have come to their end. */
const QUIET_MS = 1000;
const LOOK_MS = 50;

/** Starts them and waits until all listen. @throws with code EADDRINUSE when the port is taken, SuperviseError when a process does not start. */
export async function startGates(plan: GatesPlan): Promise<Gates> {
  const { processes, address, say } = plan;
  // Bun's alone, and the command line is read by Node too.
  const { isFree, openSteering } = await import("./steering.ts");
  if (plan.port !== 0 && !isFree(address, plan.port)) throw Object.assign(new Error(`port ${plan.port} is taken`), { code: "EADDRINUSE" });
  const steering = openSteering(address, plan.port);
  const { port } = steering;
  let children: Supervisor[];
  try {
    children = await startProcesses(plan, port);
    // Ours is at the first place. When it leaves, the last of the list moves there; the place named is then beyond the end: spread over all.
    steering.to(processes, processes);
  } finally {
    steering.close();
  }

  const reload = async (): Promise<void> => {
    const old = children;
    const oldCount = listening(port, old);
    children = await startProcesses(plan, port);
    for (const child of old) child.retire("drain");
    if (listening(port, old) === oldCount && listening(port, children) === processes) await handOver(plan, port, { old, oldCount });
    else say("a process died while new ones started, so connections can't be steered: some that wait for the old ones may be lost");
    await Promise.all(old.map((child) => child.stop()));
  };
  let underWay: Promise<void> = Promise.resolve();
  return {
    port,
    reload: () => (underWay = underWay.catch(() => undefined).then(reload)),
    async stop() {
      await underWay.catch(() => undefined);
      await Promise.all(children.map((child) => child.stop()));
    },
  };
}

async function startProcesses({ processes, command, environment, say }: GatesPlan, port: number): Promise<Supervisor[]> {
  const children = Array.from({ length: processes }, () => createSupervisor(say));
  const starts = children.map((child, i) => child.start({ name: `process ${i + 1}`, command, environment: { ...environment, FANGXING_LOOKUP_PORT: String(port) } }));
  const failure = (await Promise.allSettled(starts)).find((start) => start.status === "rejected");
  if (!failure) return children;
  await Promise.all(children.map((child) => child.stop()));
  throw failure.reason;
}

/**
 * Turns new connections to the new processes, lets the old ones finish theirs, and ends these one after the other.
 *
 * The list of sockets is: the old ones, the new ones, ours. When an old one is closed, the last of the list takes its place: the first time ours, then a new one each
 * time. So before each end one place less is named, from the end; those still named are new ones, and stay where they are. In the end ours leaves, the one new
 * socket that is still named moves to its place, and the place named is beyond the end: spread over all.
 */
async function handOver({ processes, address, say }: GatesPlan, port: number, { old, oldCount }: { old: readonly Supervisor[]; oldCount: number }): Promise<void> {
  const { openSteering } = await import("./steering.ts");
  const steering = openSteering(address, port);
  try {
    steering.to(oldCount, oldCount + processes - 1);
    const left = await drained(port, old);
    if (left > 0) say(`${left} connections did not end by themselves and are closed`);
    for (const [i, child] of old.entries()) {
      steering.to(oldCount, oldCount + processes - 1 - i);
      await child.stop();
    }
  } finally {
    steering.close();
  }
}

/** Waits until nobody is connected to these any more. @returns how many connections were left when that took too long. */
async function drained(port: number, processes: readonly Supervisor[]): Promise<number> {
  const startMs = performance.now();
  let quietMs = startMs;
  for (;;) {
    const left = connections(port, processes);
    const nowMs = performance.now();
    if (left > 0) quietMs = nowMs;
    if (nowMs - quietMs >= QUIET_MS || nowMs - startMs >= DRAIN_MS_MAX) return left;
    await setTimeout(LOOK_MS);
  }
}

/** Connections that these have, or that wait for them. */
function connections(port: number, processes: readonly Supervisor[]): number {
  return socketsBy(port, processes).reduce((sum, { isListening, waiting }) => sum + (isListening ? waiting : 1), 0);
}

function listening(port: number, processes: readonly Supervisor[]): number {
  return socketsBy(port, processes).filter((socket) => socket.isListening).length;
}

function socketsBy(port: number, processes: readonly Supervisor[]): PortSocket[] {
  const inodes = new Set(processes.flatMap((process) => process.pids()).flatMap((pid) => [...inodesOf(pid)]));
  return socketsOf(port).filter((socket) => inodes.has(socket.inode));
}
