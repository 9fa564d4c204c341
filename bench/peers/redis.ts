// The peer in memory: one Redis of its own with the same entries as plain strings under keys of 16 bytes, on a unix socket, nothing written to disk
// meanwhile. By Redis' own advice MGET of many keys in a pipeline. Its documents are hashed as the other peers' are.
// Alone: `redis-server --port 0 --unixsocket SOCKET --save ""`, `redisFill SOCKET ENTRIES RECORDS`, `redisMget SOCKET KEYS 0 SECONDS`.

import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { Redis } from "ioredis";
import { KEY_BYTES } from "../../core/domain/index.ts";
import { KINDS } from "../entries.ts";
import { hashDocuments } from "../hashing.ts";
import { onClientCore, startServer, type Serving } from "../processes.ts";
import type { Programs } from "../programs.ts";

/** What an entry takes in Redis and in the files that the others read from memory, roughly. */
const BYTES_AN_ENTRY = 350;
const READY = /ready to accept connections()/i;

export function redisBinary(): string | null {
  const PATH = `${process.env["PATH"] ?? ""}:/usr/bin:/usr/sbin:/usr/local/bin`;
  return Bun.which("redis-server", { PATH }) ?? Bun.which("valkey-server", { PATH });
}

/** Whether so many entries fit into the memory that is free, beside the files of the stores. */
export function fitsIntoMemory(count: number): boolean {
  const availableKib = Number(/MemAvailable: +(\d+)/.exec(readFileSync("/proc/meminfo", "utf8"))![1]);
  return availableKib * 1024 > count * BYTES_AN_ENTRY + 2 ** 30;
}

export interface RedisPeer {
  readonly socket: string;
  readonly version: string;
  /** How long the entries took from a file into it over the socket. */
  readonly fillS: number;
  /** Memory of its process, MiB. */
  readonly memoryMib: number;
  server(): Serving;
  /** Saves, stops and starts again. @returns milliseconds from the start to the first right answer. */
  restart(): Promise<number>;
}

/** Starts one in `folder` and fills it with the first `count` documents' entries; `records` as the clients read them. */
export async function startRedis(
  children: Subprocess[],
  { folder, programs, records, secret, count }: { folder: string; programs: Programs; records: string; secret: Uint8Array; count: number },
): Promise<RedisPeer> {
  const binary = redisBinary();
  if (binary === null) throw new Error("this bench needs redis-server: install the distribution's package of that name");
  const [socket, file] = [join(folder, "peer.sock"), join(folder, "redis-entries")];
  const command = [binary, "--port", "0", "--unixsocket", socket, "--dir", folder, "--save", "", "--appendonly", "no", "--rdbcompression", "no"];
  let server = await startServer(children, command, READY);
  const firstKey = await writeEntries(file, secret, count);
  const startMs = performance.now();
  const fill = Bun.spawn([...onClientCore, programs.redisFill, socket, file, records], { stdin: "ignore", stdout: "ignore", stderr: "inherit" });
  if ((await fill.exited) !== 0) throw new Error("Redis could not be filled");
  const fillS = (performance.now() - startMs) / 1000;
  const info = await ask(socket, (redis) => redis.info());
  const first = await ask(socket, (redis) => redis.getBuffer(firstKey));
  return {
    socket,
    version: /(?:redis|valkey)_version:(\S+)/.exec(info)![1]!,
    fillS,
    memoryMib: Number(/used_memory_rss:(\d+)/.exec(info)![1]) / 2 ** 20,
    server: () => server,
    async restart() {
      await ask(socket, (redis) => redis.save());
      await server.stop();
      const againMs = performance.now();
      server = await startServer(children, command, READY);
      const again = await ask(socket, (redis) => redis.getBuffer(firstKey));
      if (!first || !again?.equals(first)) throw new Error("Redis has lost an entry");
      return performance.now() - againMs;
    },
  };
}

/** The entries as redisFill reads them, in any order. @returns the first one's key. */
async function writeEntries(path: string, secret: Uint8Array, count: number): Promise<Buffer> {
  const file = openSync(path, "w");
  let firstKey = Buffer.alloc(KEY_BYTES);
  await hashDocuments({ secret, kind: "peer", count, placeOf: (i) => i }, (from, keys) => {
    const rows = new Uint8Array((keys.length / KEY_BYTES) * (KEY_BYTES + 1));
    for (let i = 0; i < keys.length / KEY_BYTES; i++) {
      rows.set(keys.subarray(i * KEY_BYTES, (i + 1) * KEY_BYTES), i * (KEY_BYTES + 1));
      rows[i * (KEY_BYTES + 1) + KEY_BYTES] = (from + i) % KINDS;
    }
    writeSync(file, rows);
    if (from === 0) firstKey = Buffer.from(rows.subarray(0, KEY_BYTES));
  });
  closeSync(file);
  return firstKey;
}

async function ask<Answer>(path: string, question: (redis: Redis) => Promise<Answer>): Promise<Answer> {
  const redis = new Redis({ path });
  try {
    return await question(redis);
  } finally {
    redis.disconnect();
  }
}
