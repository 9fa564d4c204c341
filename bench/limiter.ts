// What does a decision of a limit cost, and how much memory do limits take, when very many addresses come by, half of them from one network of IPv6?
//
// The limits of a lookup process, asked for by 16-byte addresses as a front gives them: the hash and what is kept of each are part of a decision, looking up the peer's address is
// not (1.4 µs). Every other address is of one /64, the rest are each of a /64 of their own. Times are CPU of the process; that of making up
// the addresses is taken off.

import type { Device } from "../core/access/index.ts";
import { createLimits, type Limits } from "../core/lookup/index.ts";
import { rounded } from "./processes.ts";
import type { BenchResult } from "./run.ts";

const NS_MAX = 100;
const MB_MAX = 64;
const DEVICES = 20_000;
/** Between two decisions. */
const STEP_MS = 0.001;

export const limiter = {
  question: "what does a decision of a limit cost, and how much memory do limits take, when ten million addresses come by?",
  options: ["--keys N: how many addresses (10000000)"],
  run(option: (name: string, initial: number) => number): Promise<BenchResult> {
    const keys = option("keys", 10_000_000);
    const devices = Array.from({ length: DEVICES }, (_, i): Device => ({ name: `gate-${i}`, class: "gate", venue: "venue", publicKey: "" }));
    // Compilers warm up on others than those that are measured, which are kept, so that their memory isn't used again.
    const others = createLimits(devices, 1);
    measure(others, Math.min(keys, 200_000));
    Bun.gc(true);
    const before = process.memoryUsage.rss();
    const limits = createLimits(devices, 1);
    const { addressNs, deviceNs, refused } = measure(limits, keys);
    // The other limit of addresses has an array of its own.
    for (let i = 0; i < keys; i++) limits.setUp(Uint8Array.of(i >>> 24, i >>> 16, i >>> 8, i), i * STEP_MS);
    Bun.gc(true);
    const mb = (process.memoryUsage.rss() - before) / 2 ** 20;
    const json = { bench: "limiter", keys, ns_per_decision: rounded(addressNs), ns_per_device_decision: rounded(deviceNs), mb: rounded(mb), refused, evictions: limits.evictions(), evictions_warming_up: others.evictions() };
    const table = [
      `${keys} addresses, half of them in one /64; ${DEVICES} devices`,
      `  ${json.ns_per_decision} ns a decision by address (at most ${NS_MAX}), ${json.ns_per_device_decision} ns by device`,
      `  ${json.mb} MiB more than before (at most ${MB_MAX})`,
      `  ${refused} refused, ${json.evictions} addresses forgotten before they had paid back`,
    ];
    return Promise.resolve({ table, json, holds: addressNs <= NS_MAX && mb <= MB_MAX });
  },
};

function measure(limits: Limits, keys: number): { addressNs: number; deviceNs: number; refused: number } {
  const address = new Uint8Array(16);
  address[0] = 0x20;
  const write = (i: number): void => {
    const network = (i & 1) === 0 ? 0 : i;
    address[4] = network >>> 24;
    address[5] = network >>> 16;
    address[6] = network >>> 8;
    address[7] = network;
    address[12] = i >>> 24;
    address[13] = i >>> 16;
    address[14] = i >>> 8;
    address[15] = i;
  };
  const timed = (work: (i: number) => number): { ns: number; sum: number } => {
    const before = process.cpuUsage();
    let sum = 0;
    for (let i = 0; i < keys; i++) sum += work(i);
    const { user, system } = process.cpuUsage(before);
    return { ns: ((user + system) * 1000) / keys, sum };
  };
  const making = timed((i) => {
    write(i);
    return address[15]!;
  });
  const byAddress = timed((i) => {
    write(i);
    return Math.min(limits.failure(address, i * STEP_MS), 1);
  });
  const byDevice = timed((i) => limits.scans((i * 7919) % DEVICES, 1, i * STEP_MS));
  return { addressNs: byAddress.ns - making.ns, deviceNs: byDevice.ns, refused: byAddress.sum };
}
