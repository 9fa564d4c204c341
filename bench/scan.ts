// What does a scan cost, beside a bare handler of the same server, and how many does one lookup process answer?
//
// The real lookup process on a store of very many entries, pinned to one core, its client to another; CPU of the serving process from the kernel's accounting; both sides
// in turn, round by round, medians. Numbers are drawn evenly from all.

import { crc32 } from "node:zlib";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { randomBytes } from "node:crypto";
import { signSessionRequest } from "../core/access/index.ts";
import { formatInstant, now, type Clock } from "../core/domain/index.ts";
import { loadEntries, numberOf } from "./entries.ts";
import type { BenchResult } from "./run.ts";
import { startService } from "./service.ts";

const HTTP_VS_BARE_MAX = 1.5;
const CODE_VS_BARE_MAX = 1.65;
const FRAME_SCANS = 64;
const FRAMES_IN_FLIGHT = 16;
const QUESTION_BYTES = 32;
const ANSWER_BYTES = 16;
/** Questions that are drawn once and sent again and again, evenly from all entries. */
const DRAWN = 100_000;

export const scan = {
  question: "what does a scan cost beside a bare handler of the same server, over HTTP and in frames?",
  options: ["--entries N: how many (1000000)", "--rounds N: rounds in turn (5)", "--seconds N: length of a round (3)"],
  async run(option: (name: string, initial: number) => number, progress: (line: string) => void): Promise<BenchResult> {
    const count = option("entries", 1_000_000);
    const rounds = option("rounds", 5);
    const seconds = option("seconds", 3);
    if (Bun.which("wrk") === null) throw new Error("this bench needs wrk: install the distribution's package of that name");
    const folder = mkdtempSync(join(tmpdir(), "fangxing-bench-"));
    const children: Bun.Subprocess[] = [];
    try {
      const city = await startService(100, folder);
      const { clock } = city;
      await city.stop();
      const loadMs = await loadEntries(join(folder, "entries"), readFileSync(join(folder, "secrets", "document.key")), count, now(clock), progress);
      const cli = fileURLToPath(new URL("../ops/cli.ts", import.meta.url));
      const lookup = await startChild(children, [process.execPath, cli, "lookup-process", "--data", folder, "--lookup-port", "0"]);
      const bare = await startChild(children, [process.execPath, fileURLToPath(new URL("./peers/bare.ts", import.meta.url)), "0"]);
      const token = await openSession(lookup.port, folder, clock);
      const script = writeScript(folder, count, token);

      const cpu: Record<"http" | "bare" | "code" | "bareCode", number[]> = { http: [], bare: [], code: [], bareCode: [] };
      const rate: Record<"http" | "bare", number[]> = { http: [], bare: [] };
      const frames: { us: number; perSecond: number; checksum: number }[] = [];
      for (let round = 0; round < rounds; round++) {
        progress(`round ${round + 1} of ${rounds}`);
        const code = await makeCode(lookup.port, token, count);
        const http = await load(lookup, script.scans, seconds, token, null);
        const bareHttp = await load(bare, script.scans, seconds, token, null);
        const coded = await load(lookup, script.code, seconds, token, code);
        const bareCoded = await load(bare, script.code, seconds, token, code);
        cpu.http.push(http.usEach);
        cpu.bare.push(bareHttp.usEach);
        cpu.code.push(coded.usEach);
        cpu.bareCode.push(bareCoded.usEach);
        rate.http.push(http.perSecond);
        rate.bare.push(bareHttp.perSecond);
        frames.push(await stream(lookup, token, count, seconds));
      }
      const json = {
        bench: "scan",
        entries: count,
        load_s: round2(loadMs / 1000),
        http_us: round2(median(cpu.http)),
        bare_us: round2(median(cpu.bare)),
        http_vs_bare: round2(median(cpu.http.map((us, i) => us / cpu.bare[i]!))),
        code_us: round2(median(cpu.code)),
        code_vs_bare: round2(median(cpu.code.map((us, i) => us / cpu.bareCode[i]!))),
        http_scans_per_s_core: Math.round(median(rate.http)),
        http_share_of_bare_rate: round2(median(rate.http.map((r, i) => r / rate.bare[i]!))),
        frame_us_per_scan: round2(median(frames.map((f) => f.us))),
        scans_per_s_core: Math.round(median(frames.map((f) => f.perSecond))),
        checksum: frames[0]!.checksum,
        rounds: { cpu, rate, frames },
      };
      const table = [
        `${count} entries, loaded in ${json.load_s} s; medians of ${rounds} rounds, CPU of the serving process`,
        `  POST /v1/scan        ${json.http_us} µs, bare handler ${json.bare_us} µs: ratio ${json.http_vs_bare} (at most ${HTTP_VS_BARE_MAX}); ${json.http_scans_per_s_core} scans/s, ${json.http_share_of_bare_rate} of the bare rate`,
        `  X-Code, no body      ${json.code_us} µs: ratio ${json.code_vs_bare} (at most ${CODE_VS_BARE_MAX})`,
        `  frames of ${FRAME_SCANS}         ${json.frame_us_per_scan} µs a scan, ${json.scans_per_s_core} scans/s`,
      ];
      return { table, json, holds: json.http_vs_bare <= HTTP_VS_BARE_MAX && json.code_vs_bare <= CODE_VS_BARE_MAX };
    } finally {
      for (const child of children) child.kill();
      await Promise.all(children.map((child) => child.exited));
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

interface Serving {
  readonly pid: number;
  readonly port: number;
}

/** Starts a server on the first core and waits until it says its port. */
async function startChild(children: Bun.Subprocess[], command: readonly string[]): Promise<Serving> {
  const pinned = cpus().length > 1 ? ["taskset", "-c", "0"] : [];
  const child = Bun.spawn([...pinned, ...command], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  children.push(child);
  let said = "";
  for await (const part of child.stdout) {
    said += new TextDecoder().decode(part);
    const ready = /ready (\d+)/.exec(said);
    if (ready) return { pid: child.pid, port: Number(ready[1]) };
  }
  throw new Error(`${command.join(" ")} did not start`);
}

/** CPU that a process has used, microseconds, as the kernel counts it. */
function cpuUs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

async function openSession(port: number, folder: string, clock: Clock): Promise<string> {
  const request = { device: "console", issuedAt: formatInstant(now(clock)), nonce: randomBytes(16).toString("base64url") };
  const signed = signSessionRequest(request, readFileSync(join(folder, "secrets", "console.pem"), "utf8"));
  return ((await (await fetch(`http://127.0.0.1:${port}/v1/sessions`, { method: "POST", body: JSON.stringify(signed) })).json()) as { session: string }).session;
}

async function makeCode(port: number, token: string, count: number): Promise<string> {
  const body = JSON.stringify({ document: { type: "resident-id", number: numberOf(Math.floor(count / 2)) } });
  return ((await (await fetch(`http://127.0.0.1:${port}/v1/codes`, { method: "POST", headers: { Authorization: `Bearer ${token}` }, body })).json()) as { code: string }).code;
}

/** Scripts for wrk: bodies of drawn numbers one after the other; a header and no body. */
function writeScript(folder: string, count: number, token: string): { scans: string; code: string } {
  const numbers = Array.from({ length: DRAWN }, (_, i) => numberOf(drawn(i, count)));
  writeFileSync(join(folder, "numbers.txt"), `${numbers.join("\n")}\n`);
  const scans = join(folder, "scans.lua");
  writeFileSync(
    scans,
    `local bodies, i = {}, 0
for line in io.lines("${join(folder, "numbers.txt")}") do bodies[#bodies + 1] = '{"document":{"type":"resident-id","number":"' .. line .. '"}}' end
local headers = { ["Authorization"] = "Bearer ${token}", ["Content-Type"] = "application/json" }
request = function() i = i % #bodies + 1; return wrk.format("POST", "/v1/scan", headers, bodies[i]) end
`,
  );
  const code = join(folder, "code.lua");
  writeFileSync(code, `request = function() return wrk.format("POST", "/v1/scan", { ["Authorization"] = "Bearer ${token}", ["X-Code"] = os.getenv("CODE") }) end\n`);
  return { scans, code };
}

/** The i-th drawn entry: all over the store, the same in every run. */
function drawn(i: number, count: number): number {
  return crc32(String(i)) % count;
}

/** Loads a server for some seconds from the other core. @throws when an answer was none. */
async function load(server: Serving, script: string, seconds: number, token: string, code: string | null): Promise<{ usEach: number; perSecond: number }> {
  const pinned = cpus().length > 1 ? ["taskset", "-c", "1"] : [];
  const before = cpuUs(server.pid);
  const wrk = Bun.spawn([...pinned, "wrk", "-t1", "-c32", `-d${seconds}s`, "-s", script, `http://127.0.0.1:${server.port}`], { stdout: "pipe", stderr: "inherit", env: { ...process.env, ...(code === null ? {} : { CODE: code }) } });
  const out = await new Response(wrk.stdout).text();
  await wrk.exited;
  const used = cpuUs(server.pid) - before;
  const [requests, perSecond] = [/(\d+) requests in/.exec(out), /Requests\/sec:\s+([\d.]+)/.exec(out)];
  if (!requests || !perSecond || out.includes("Non-2xx")) throw new Error(`wrk went wrong: ${out.replaceAll(token, "TOKEN")}`);
  return { usEach: used / Number(requests[1]), perSecond: Number(perSecond[1]) };
}

/** Keeps some frames in flight for some seconds. */
async function stream(server: Serving, token: string, count: number, seconds: number): Promise<{ us: number; perSecond: number; checksum: number }> {
  const frames = Array.from({ length: Math.floor(DRAWN / FRAME_SCANS) }, (_, f) => frameOf(f, count));
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}/v1/stream`, { headers: { Authorization: `Bearer ${token}` } });
  socket.binaryType = "arraybuffer";
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error("the stream did not open"));
  });
  const untilMs = performance.now() + seconds * 1000;
  const before = cpuUs(server.pid);
  const startMs = performance.now();
  let [sent, received, checksum] = [0, 0, 0];
  await new Promise<void>((resolve, reject) => {
    socket.onclose = () => reject(new Error("the stream was closed"));
    socket.onmessage = ({ data }) => {
      const answer = new Uint8Array(data as ArrayBuffer);
      if (answer.length !== 6 + FRAME_SCANS * ANSWER_BYTES) reject(new Error("an answer of another length"));
      // Results and flags, not the time.
      if (received < frames.length) for (let i = 0; i < FRAME_SCANS; i++) checksum = crc32(answer.subarray(6 + i * ANSWER_BYTES, 6 + i * ANSWER_BYTES + 6), checksum);
      received++;
      if (performance.now() < untilMs || sent < frames.length) socket.send(frames[sent++ % frames.length]!);
      else if (received === sent) resolve();
    };
    while (sent < FRAMES_IN_FLIGHT) socket.send(frames[sent++]!);
  });
  const tookS = (performance.now() - startMs) / 1000;
  const used = cpuUs(server.pid) - before;
  socket.onclose = null;
  socket.close();
  return { us: used / (received * FRAME_SCANS), perSecond: (received * FRAME_SCANS) / tookS, checksum };
}

function frameOf(sequence: number, count: number): Uint8Array<ArrayBuffer> {
  const frame = Buffer.alloc(6 + FRAME_SCANS * QUESTION_BYTES);
  frame.writeUInt32LE(sequence, 0);
  frame.writeUInt16LE(FRAME_SCANS, 4);
  for (let i = 0; i < FRAME_SCANS; i++) {
    const at = 6 + i * QUESTION_BYTES;
    const number = numberOf(drawn(sequence * FRAME_SCANS + i, count));
    frame[at + 5] = number.length;
    frame.write(number, at + 6, "latin1");
  }
  return Uint8Array.from(frame);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function round2(value: number): number {
  return Math.round(value * 100) / 100;
}
