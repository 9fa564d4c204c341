// The command lookup with real processes: replaced while gates scan without a pause, no scan fails, and none is tried twice; what it says when a server can't be had.

import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readRegistry, createSessions } from "../core/access/index.ts";
import { systemClock } from "../core/domain/index.ts";
import { openEntryWriter } from "../core/entry/index.ts";
import { consoleSessionRequest } from "../ops/client.ts";
import { claimForService, dataFolder, prepareFolder, type DataFolder } from "../ops/dataFolder.ts";
import { onEachServer } from "./fronts.ts";
import { document, residentId } from "./ingestSupport.ts";
import { rawConnection, requestText } from "./rawHttp.ts";
import { processes } from "../bench/processes.ts";
import { cli, CLI, removeFolder, temporaryFolder, until } from "./service.ts";
import { uwsHere, type UwsHere } from "./uws/here.ts";
import { onFreshConnections, onKeptConnections, onStream, type ScanTarget } from "./steadyClients.ts";

const PROCESSES = 2;

/** A data folder of a service that has never run: its entries are empty, and every scan is answered no-policy. */
async function emptyService(): Promise<DataFolder> {
  const folder = dataFolder(temporaryFolder());
  prepareFolder(folder);
  claimForService(folder);
  await openEntryWriter(folder.entries).close();
  return folder;
}

onEachServer("lookup --reload", (server, environment) => {
  let path: string;
  let lookup: ChildProcess;
  let target: ScanTarget;
  const said: string[] = [];
  beforeAll(async () => {
    const folder = await emptyService();
    path = folder.path;
    const options = ["--data", path, "--lookup-port", "0", "--lookup-processes", String(PROCESSES), "--server", server];
    lookup = spawn(process.execPath, [CLI, "lookup", ...options], { env: { ...process.env, ...environment }, stdio: ["pipe", "pipe", "inherit"] });
    createInterface({ input: lookup.stdout! }).on("line", (line) => said.push(line));
    const ready = await until("it is ready", () => said.find((line) => line.startsWith("ready ")));
    const opened = createSessions(readRegistry(folder.registryFile), readFileSync(folder.sessionSecret), systemClock).open(consoleSessionRequest(folder, systemClock));
    if (typeof opened === "string") throw new Error(opened);
    target = { port: Number(ready.slice("ready ".length)), token: opened.token, body: JSON.stringify({ document: document(1) }) };
  });
  afterAll(async () => {
    const ended = new Promise((resolve) => lookup.once("exit", resolve));
    lookup.kill("SIGTERM");
    await ended;
    removeFolder(path);
  });

  const pids = (): number[] => processes().filter(({ parent, command }) => parent === lookup.pid && command.includes("lookup-process")).map(({ pid }) => pid);
  const reload = () => cli(["lookup", "--reload", "--data", path]);

  test("replaces every process, and no scan fails: on fresh connections, on kept ones, on a stream", async () => {
    const frame = Buffer.alloc(6 + 32);
    frame[4] = 1;
    frame[6 + 5] = 18;
    frame.write(residentId(1), 6 + 6, "latin1");
    const clients = [onFreshConnections(target, 8), onKeptConnections(target, 8), onStream(target, frame, 4), onStream(target, frame, 4)];
    const before = pids();
    expect(before).toHaveLength(PROCESSES);
    for (let i = 0; i < 2; i++) {
      const [old, answered] = [pids(), clients.map((client) => client.answered())];
      await until("all clients scan", () => clients.every((client, k) => client.answered() > answered[k]! + 100));
      expect(await reload()).toMatchObject({ status: 0, out: expect.stringContaining("have been replaced") as string });
      expect(pids()).toHaveLength(PROCESSES);
      expect(pids().filter((pid) => old.includes(pid))).toEqual([]);
    }
    const answered = clients.map((client) => client.answered());
    await until("all clients scan after it", () => clients.every((client, k) => client.answered() > answered[k]! + 100));
    await Promise.all(clients.map((client) => client.stop()));
    expect(clients.flatMap((client) => client.failed)).toEqual([]);
    expect(said.filter((line) => /lost|closed|unexpectedly/.test(line))).toEqual([]);
  });

  test("new processes that don't start leave the old ones at their work, and the fault is said", async () => {
    const folder = dataFolder(path);
    const registry = readFileSync(folder.registryFile);
    const [before, client] = [pids(), onFreshConnections(target, 2)];
    writeFileSync(folder.registryFile, registry.toString().replace('"*"', '"rumours"'));
    const failed = await reload();
    writeFileSync(folder.registryFile, registry);
    expect([failed.status, failed.err]).toEqual([2, expect.stringContaining('"rumours" is no feed') as string]);
    expect(pids()).toEqual(before);
    await client.stop();
    expect(client.failed).toEqual([]);
    expect((await reload()).status).toBe(0);
  });

  test("a process that dies is started again, and the next reload loses nothing", async () => {
    process.kill(pids()[0]!, "SIGKILL");
    await until("it is back", () => said.some((line) => line.includes("is back")) && pids().length === PROCESSES);
    const client = onFreshConnections(target, 4);
    expect((await reload()).status).toBe(0);
    await client.stop();
    expect(client.failed).toEqual([]);
  });
});

test("each process holds its part of a limit: of four, half of what an address may send without a session", async () => {
  const { path } = await emptyService();
  const lookup = spawn(process.execPath, [CLI, "lookup", "--data", path, "--lookup-port", "0", "--lookup-processes", "4"], { stdio: ["pipe", "pipe", "inherit"] });
  const said: string[] = [];
  createInterface({ input: lookup.stdout }).on("line", (line) => said.push(line));
  const ready = await until("it is ready", () => said.find((line) => line.startsWith("ready ")));
  const connection = await rawConnection(Number(ready.slice("ready ".length)));
  connection.write(Array.from({ length: 1000 }, () => requestText("POST", "/v1/scan")).join(""));
  const statuses = (received: string): string[] => [...received.matchAll(/HTTP\/1\.1 (\d+)/g)].map((m) => m[1]!);
  const received = await connection.until((r) => statuses(r).length === 1000);
  connection.socket.destroy();
  expect(new Set(statuses(received).slice(0, 500))).toEqual(new Set(["401"]));
  expect(new Set(statuses(received))).toEqual(new Set(["401", "429"]));
  const ended = new Promise((resolve) => lookup.once("exit", resolve));
  lookup.kill("SIGTERM");
  await ended;
  removeFolder(path);
});

describe("lookup --server uws where it can't be had", () => {
  const start = async (environment: Readonly<Record<string, string>>): Promise<{ status: number; err: string }> => {
    const { path } = await emptyService();
    const child = Bun.spawn([process.execPath, CLI, "lookup", "--data", path, "--lookup-port", "0", "--server", "uws"], { env: { ...process.env, ...environment }, stdin: "ignore", stdout: "ignore", stderr: "pipe" });
    const [err, status] = await Promise.all([new Response(child.stderr).text(), child.exited]);
    removeFolder(path);
    return { status, err };
  };
  test("without a Node that is new enough says which is needed, which there are, and what else to do", async () => {
    const { status, err } = await start({ PATH: "/nowhere" });
    expect([status, err]).toEqual([2, "fangxing: the server uws runs under Node 22.18 or newer, and there is none on the path: install one and put it first on the path, or choose --server bun\n"]);
  });
  const installed = fileURLToPath(new URL("../node_modules/uWebSockets.js", import.meta.url));
  const uws = uwsHere();
  test.skipIf(typeof uws === "string" || existsSync(installed))("without the package says how it is installed", async () => {
    const { status, err } = await start({ ...(uws as UwsHere).environment, NODE_PATH: "" });
    expect([status, err]).toEqual([2, expect.stringMatching(/^fangxing: .*needs uWebSockets\.js, which is not installed here: run npm install uNetworking\/uWebSockets\.js#v20\.57\.0\n$/) as string]);
  });
});

test("a port that is taken is said, and not shared with who has it", async () => {
  const [{ path }, stranger] = [await emptyService(), Bun.serve({ hostname: "127.0.0.1", port: 0, reusePort: true, fetch: () => new Response("another") })];
  const { status, err } = await cli(["lookup", "--data", path, "--lookup-port", String(stranger.port)]);
  expect([status, err]).toEqual([2, expect.stringContaining(`port ${stranger.port} on 127.0.0.1 is in use`) as string]);
  await stranger.stop(true);
  removeFolder(path);
});

test("lookup --reload where none runs says so", async () => {
  const { path } = await emptyService();
  expect(await cli(["lookup", "--reload", "--data", path])).toMatchObject({ status: 2, err: `fangxing: no lookup runs on ${path}\n` });
  removeFolder(path);
});
