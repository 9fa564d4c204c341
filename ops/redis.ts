// Redis for a service that was given none: finds or installs the server's binary, and says how to run it.
// Promises: nothing is installed without saying so first; an own server listens on a socket that only its owner can open.
// Not here: keeping it alive (supervise.ts).

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import type { DataFolder } from "./dataFolder.ts";
import { UsageError } from "./settings.ts";

/** Package names on Debian and Ubuntu, the better one first. */
const PACKAGES = ["valkey-server", "redis-server"] as const;
/** Longest path that a unix socket can have, less room for the file's name. */
const SOCKET_PATH_BYTES_MAX = 100;

/** The server's binary; installed when there is none and it may be. @throws UsageError with the command to run. */
export async function redisBinary(say: (line: string) => void): Promise<string> {
  const found = findBinary();
  if (found) return found;
  const become = Bun.which("apt-get") === null ? null : process.getuid?.() === 0 ? [] : (await succeeds(["sudo", "-n", "true"])) ? ["sudo", "-n"] : null;
  if (become === null) {
    throw new UsageError("there is no valkey-server or redis-server here: run `sudo apt-get install -y redis-server` (or your system's way), or give one with REDIS_URL");
  }
  const env = ["env", "DEBIAN_FRONTEND=noninteractive"];
  say("No valkey-server or redis-server here: installing the distribution's package with apt-get");
  await succeeds([...become, ...env, "apt-get", "update", "-qq"]);
  for (const name of PACKAGES) {
    if (!(await succeeds(["apt-cache", "show", name]))) continue;
    // RUNLEVEL=1: the package's own service is not to start, we run the server ourselves.
    await succeeds([...become, ...env, "RUNLEVEL=1", "apt-get", "install", "-y", "-qq", "--no-install-recommends", name]);
    const installed = findBinary();
    if (installed) {
      say(`Installed ${name}`);
      return installed;
    }
  }
  throw new UsageError("apt-get could not install redis-server: run `apt-get install -y redis-server` to see why, or give a Redis with REDIS_URL");
}

function findBinary(): string | null {
  // Debian keeps servers in /usr/sbin or /usr/bin, whatever the PATH says.
  const PATH = `${process.env["PATH"] ?? ""}:/usr/bin:/usr/sbin:/usr/local/bin`;
  for (const name of PACKAGES) {
    const path = Bun.which(name, { PATH });
    if (path) return path;
  }
  return null;
}

async function succeeds(command: string[]): Promise<boolean> {
  try {
    return (await Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "ignore" }).exited) === 0;
  } catch {
    return false;
  }
}

/** Where an own server listens. */
export function ownSocket(folder: DataFolder): string {
  const usual = join(folder.redis, "redis.sock");
  if (Buffer.byteLength(usual) <= SOCKET_PATH_BYTES_MAX) return usual;
  const short = join(tmpdir(), `fangxing-${createHash("sha256").update(folder.path).digest("hex").slice(0, 16)}`);
  mkdirSync(short, { recursive: true, mode: 0o700 });
  return join(short, "redis.sock");
}

/** The command of an own server: a socket and no port, every change appended to a file, nothing thrown out for want of memory. */
export function ownServerCommand(binary: string, folder: DataFolder): string[] {
  return [
    binary,
    ...["--port", "0", "--unixsocket", ownSocket(folder), "--unixsocketperm", "700"],
    ...["--dir", folder.redis, "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""],
    ...["--maxmemory-policy", "noeviction", "--daemonize", "no"],
  ];
}

/** Ends an own server that a killed supervisor has left behind, and its stale socket. */
export async function clearLeftover(folder: DataFolder): Promise<void> {
  const socket = ownSocket(folder);
  if (!existsSync(socket)) return;
  const redis = new Redis({ path: socket, lazyConnect: true, retryStrategy: () => null });
  redis.on("error", () => undefined);
  try {
    await redis.connect();
    await redis.shutdown("SAVE").catch(() => undefined); // it closes the connection instead of answering
  } catch {
    // Nobody listens any more.
  }
  redis.disconnect();
  rmSync(socket, { force: true });
}

/** Waits until a server answers. @throws UsageError when it doesn't, or would throw out jobs for want of memory. */
export async function awaitRedis(url: string, timeoutMs: number): Promise<void> {
  const redis = url.startsWith("unix:")
    ? new Redis({ path: url.slice("unix:".length), retryStrategy: () => 50, maxRetriesPerRequest: null })
    : new Redis(url, { retryStrategy: () => 100, maxRetriesPerRequest: null });
  let lastFault = "no answer";
  redis.on("error", (error: Error) => (lastFault = error.message));
  try {
    const timeout = Bun.sleep(timeoutMs).then(() => {
      throw new UsageError(`Redis at ${withoutPassword(url)} does not answer (${lastFault}): start it, or correct REDIS_URL`);
    });
    await Promise.race([redis.ping(), timeout]);
    const info = await redis.info("memory");
    const policy = /maxmemory_policy:(\S+)/.exec(info)?.[1];
    if (policy !== undefined && policy !== "noeviction") {
      throw new UsageError(`Redis at ${withoutPassword(url)} has the policy ${policy}, which may throw out jobs: run \`redis-cli config set maxmemory-policy noeviction\` there`);
    }
  } finally {
    redis.disconnect();
  }
}

function withoutPassword(url: string): string {
  return url.replace(/\/\/[^@/]*@/, "//…@");
}
