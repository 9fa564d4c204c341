// The sides of the bench of scans: the service, a bare handler, the loops in C, Fastify with Redis, Redis; each started on a city's entries and driven by its client.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Subprocess } from "bun";
import { makeCodes, openSession, startLookup, type City } from "./city.ts";
import { prepareLoops } from "./peers/lmdb.ts";
import { nodeCommand } from "./peers/onNode.ts";
import { fitsIntoMemory, redisBinary, startRedis, type RedisPeer } from "./peers/redis.ts";
import { runClient, startServer, type Round, type Serving } from "./processes.ts";
import { missingPackages, type Programs } from "./programs.ts";
import { writeKeys } from "./questions.ts";

/** In the order of a round. */
export const SIDES = ["http", "bareHttp", "code", "bareCode", "frames", "cSequential", "cOverlapped", "fastifyRedis", "redisMget"] as const;
export type Side = (typeof SIDES)[number];

export interface Sides {
  readonly lookup: Serving;
  readonly token: string;
  /** undefined: its entries don't fit into memory beside the others. */
  readonly redis: RedisPeer | undefined;
  /** One round of each side, one after the other; the draws of each begin with number `start`. */
  round(start: number, seconds: number): Promise<Partial<Record<Side, Round>>>;
}

/** Codes of a round: as many as a client sends before it looks at the clock. */
const CODES = 4096;

/** @throws with what has to be installed, before anything has been loaded. */
export function requireTools(): void {
  const missing = [...missingPackages(), ...(redisBinary() === null ? ["redis-server"] : []), ...(Bun.which("node") === null ? ["nodejs (20 or newer)"] : [])];
  if (missing.length > 0) throw new Error(`this bench builds and starts peers and clients: install ${missing.join(", ")} first`);
}

/** Starts all of them; killed with `children`. Files go below `folder`. */
export async function startSides(children: Subprocess[], folder: string, programs: Programs, city: City, progress: (line: string) => void): Promise<Sides> {
  const { count, questions, documentSecret } = city;
  const loop = await prepareLoops(folder, programs, city);
  progress("the C loops' store is written");
  const redisKeys = join(folder, "redis-keys");
  let redis: RedisPeer | undefined;
  if (fitsIntoMemory(count)) {
    await writeKeys(redisKeys, documentSecret, "peer", questions);
    redis = await startRedis(children, { folder, programs, records: questions.records, secret: documentSecret, count });
    progress(`Redis filled in ${redis.fillS.toFixed(1)} s`);
  } else progress(`${count} entries don't fit into memory a second time: without Redis`);

  const lookup = await startLookup(children, city);
  const bare = await startServer(children, [process.execPath, fileURLToPath(new URL("./peers/bare.ts", import.meta.url)), "0"]);
  const fastify = redis && (await startServer(children, nodeCommand("fastifyRedis", ["--data", city.folder, "--redis", redis.socket])));
  const token = await openSession(lookup, city);
  const codes = join(folder, "codes");

  return {
    lookup,
    token,
    redis,
    async round(start, seconds) {
      writeFileSync(codes, `${(await makeCodes(lookup, token, city, CODES)).join("\n")}\n`);
      const client = (servers: readonly Serving[], program: string, words: readonly string[]): Promise<Round> => runClient(servers, [program, ...words], { TOKEN: token });
      const scans = ({ port }: Serving): string[] => [String(port), questions.questions, questions.kinds, questions.known, String(start), String(seconds)];
      const sides: Record<Side, () => Promise<Round | undefined>> = {
        http: () => client([lookup], programs.httpScans, scans(lookup)),
        bareHttp: () => client([bare], programs.httpScans, scans(bare)),
        code: () => client([lookup], programs.httpScans, [...scans(lookup), codes]),
        bareCode: () => client([bare], programs.httpScans, [...scans(bare), codes]),
        frames: () => client([lookup], programs.frameScans, scans(lookup)),
        cSequential: () => loop("lmdbSequential", start, seconds),
        cOverlapped: () => loop("lmdbOverlapped", start, seconds),
        fastifyRedis: async () => redis && fastify && client([fastify, redis.server()], programs.httpScans, scans(fastify)),
        redisMget: async () => redis && client([redis.server()], programs.redisMget, [redis.socket, redisKeys, String(start), String(seconds)]),
      };
      const found: Partial<Record<Side, Round>> = {};
      for (const side of SIDES) {
        const measured = await sides[side]();
        if (measured) found[side] = measured;
      }
      return found;
    },
  };
}
