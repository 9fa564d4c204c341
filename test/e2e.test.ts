// End to end with real processes: the demo as a newcomer sees it, the way of a fact from feed to gate, and what happens when processes die.

import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { formatInstant, now, residentIdCheck } from "../core/domain/index.ts";
import { ServiceError } from "../ops/client.ts";
import { shippedPublications } from "../ops/demo/load.ts";
import { processes } from "../bench/processes.ts";
import { cli, processesOf, removeFolder, startDemo, temporaryFolder, until, type TestService } from "./service.ts";

const DAY_S = 86_400;
const NDJSON = "application/x-ndjson";

/** Valid numbers of people who would be far over 120 years old; apart from the demo's, which are born in 1880–1899. */
function inventedNumber(i: number): string {
  const first17 = `110101${1801 + (i % 60)}0${1 + (i % 9)}${10 + (Math.floor(i / 60) % 18)}${String(1 + (Math.floor(i / 1080) % 999)).padStart(3, "0")}`;
  return first17 + residentIdCheck(first17);
}

function documentOf(number: string): { type: string; number: string } {
  return { type: "resident-id", number };
}

function lines(rows: readonly object[]): string {
  return rows.map((row) => JSON.stringify(row)).join("\n");
}

async function deliverAndApply({ client }: TestService, feed: string, id: string, rows: readonly object[]): Promise<void> {
  const { refused } = await client.deliver(feed, id, lines(rows), NDJSON);
  expect(refused).toEqual([]);
  await until(`${feed} ${id} is applied`, async () => (await client.batch(feed, id)).state === "applied");
}

async function refusalOf(delivery: Promise<unknown>): Promise<ServiceError> {
  const error = await delivery.then(
    () => undefined,
    (e: unknown) => e,
  );
  if (error instanceof ServiceError) return error;
  throw new Error(`a refusal was expected, not ${String(error)}`);
}

describe("the demo as a newcomer sees it", () => {
  let folder: string;
  let service: TestService;
  beforeAll(async () => {
    folder = temporaryFolder();
    service = await startDemo(folder);
  });
  afterAll(async () => {
    service.signal("SIGTERM");
    await service.exited;
    removeFolder(folder);
  });

  const printedLines = (): string[] =>
    service
      .printed()
      .split("\n")
      .filter((line) => /^(curl|B=)/.test(line));

  const paste = async (line: string): Promise<Record<string, unknown>> => {
    const child = Bun.spawn(["bash", "-c", line], { cwd: "/", stdout: "pipe", stderr: "pipe" });
    const [text, fault] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    expect(fault).toBe("");
    return JSON.parse(text) as Record<string, unknown>;
  };

  test("the three printed lines work as pasted: green, pop-up 4, and the delivery that turns it green", async () => {
    const [green, due, delivery] = printedLines();
    expect(await paste(green!)).toMatchObject({ pass: true, reason: null, status: "clear", popups: [] });
    expect(await paste(due!)).toMatchObject({ pass: false, reason: "popup", status: null, popups: [4] });
    expect(await paste(delivery!)).toMatchObject({ accepted: 1, refused: [] });
    const after = await until("the holder is green", async () => {
      const answer = await paste(due!);
      return answer["pass"] === true && answer;
    });
    expect(after).toMatchObject({ status: "clear", popups: [], testAgeDays: 0 });
    // The same line once more: the same batch, which changes nothing.
    expect(await paste(delivery!)).toMatchObject({ accepted: 1, refused: [] });
  });

  test("its clock starts in the morning of 2022-06-09", async () => {
    const { serverTime, validUntil } = await service.client.scan(documentOf(inventedNumber(0)));
    expect(serverTime).toMatch(/^2022-06-09T07:3\d:.*\+08:00$/);
    expect(validUntil).toBe("2022-06-10T00:00:00+08:00");
  });

  test("a second service on the same folder is refused and names the first", async () => {
    const { status, err } = await cli(["demo", "--data", folder]);
    expect(status).toBe(2);
    expect(err).toContain(`is in use by process ${service.run.pid}`);
  });

  test("a second worker beside the service's own is refused and names it", async () => {
    const { status, err } = await cli(["worker", "--data", folder]);
    expect(status).toBe(2);
    expect(err).toContain(`is in use by process ${service.childPid("worker")}`);
  });

  test("a folder without a service is one clear message, and nothing is made there", async () => {
    const nowhere = join(temporaryFolder(), "nowhere");
    for (const words of [["changes"], ["policy", "list"], ["sign", "tests", "x"]]) {
      const { status, err } = await cli([...words, "--data", nowhere]);
      expect([status, err]).toEqual([2, expect.stringContaining("holds no service yet") as string]);
    }
    expect(existsSync(nowhere)).toBe(false);
  });

  test("a port in use is one clear message", async () => {
    const other = temporaryFolder();
    const { status, out, err } = await cli(["demo", "--data", other, "--ingest-port", String(service.run.ingestPort)]);
    expect(status).toBe(2);
    expect(err).toContain(`port ${service.run.ingestPort} on 127.0.0.1 is in use`);
    expect(err).toContain("--ingest-port");
    expect(out).not.toContain("starting it again");
    expect(processesOf(other)).toEqual([]);
    removeFolder(other);
  });

  test("a folder that can't be written, an unknown option and a bad value are each one clear message", async () => {
    const file = join(folder, "a-file");
    writeFileSync(file, "");
    expect((await cli(["demo", "--data", join(file, "x")])).err).toMatch(/data folder .* can't be written/);
    expect((await cli(["demo", "--dta", "x"])).err).toMatch(/--dta is no option/);
    expect((await cli(["demo", "--lookup-port", "70000"])).err).toContain('--lookup-port is "70000": it must be a port from 0 to 65535');
    expect((await cli(["demo", "--now", "yesterday"])).err).toMatch(/--now is "yesterday": it must be an instant/);
    expect((await cli(["dance"])).err).toContain('"dance" is no command');
  });

  test("secrets and stores are for their owner alone", () => {
    for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).mode & 0o077, name).toBe(name === "a-file" ? 0o044 : 0);
  });

  test("Ctrl-C stops all of it cleanly, and a second start goes on with its data on a clock that never goes back", async () => {
    const before = now(service.clock);
    const due = printedLines()[1];
    service.signal("SIGINT");
    expect(await service.exited).toBe(0);
    expect(service.printed()).toContain("Stopped");
    expect(processesOf(folder)).toEqual([]);

    const backwards = await cli(["demo", "--data", folder, "--now", "2022-06-01T00:00:00+08:00"]);
    expect(backwards.status).toBe(2);
    expect(backwards.err).toContain("a clock never goes back");
    const asReal = await cli(["start", "--data", folder]);
    expect(asReal.status).toBe(2);
    expect(asReal.err).toContain("holds the demo city");

    // A folder of before there was a source for history: its one source delivered everything as such.
    const registry = JSON.parse(readFileSync(join(folder, "access.json"), "utf8")) as { sources: object[] };
    writeFileSync(join(folder, "access.json"), JSON.stringify({ ...registry, sources: [{ ...registry.sources[0], history: true }] }));
    service = await startDemo(folder);
    expect(service.printed()).toContain("access.json has a source history from now on");
    const row = join(folder, "row.ndjson");
    writeFileSync(row, lines([{ documents: [documentOf(inventedNumber(7))] }]));
    for (const option of [[], ["--history"]]) expect((await cli(["import", ...option, "holders", row, "--data", folder])).out).toContain("1 accepted, 0 refused");
    expect(service.printed()).not.toContain("Loading the demo city");
    expect(now(service.clock)).toBeGreaterThanOrEqual(before);
    // Another holder than the one that was freed, or a line that says there is none.
    expect(printedLines()[1]).not.toBe(due);
    expect((await paste(printedLines()[0]!))["pass"]).toBe(true);
  });
});

describe("from feed to gate", () => {
  let folder: string;
  let service: TestService;
  beforeAll(async () => {
    folder = temporaryFolder();
    service = await startDemo(folder, ["--batch-bytes-max", "4194304"]);
  });
  afterAll(async () => {
    service.signal("SIGTERM");
    expect(await service.exited).toBe(0);
    removeFolder(folder);
  });

  const test_ = (number: string, id: string, result = "negative"): object => {
    const at = now(service.clock);
    return { factId: id, document: documentOf(number), sampledAt: formatInstant(at - 3600), issuedAt: formatInstant(at), result, laboratory: "Invented Laboratory", county: "110105" };
  };

  test("a stay in a county that the list of that day names raises pop-up 1, which no test clears", async () => {
    const number = inventedNumber(1);
    const listed = shippedPublications().at(-1)!;
    expect(listed).toContain('"county":"浦东新区"');
    await deliverAndApply(service, "holders", "popup1", [{ documents: [documentOf(number)], phones: ["12700000001"] }]);
    expect(await service.client.scan(documentOf(number))).toMatchObject({ pass: true, status: "clear", popups: [] });
    const at = now(service.clock);
    await deliverAndApply(service, "trips", "popup1", [{ factId: "t1", phone: "12700000001", county: "310115", from: formatInstant(at - 5 * DAY_S), to: formatInstant(at - 2 * DAY_S) }]);
    expect(await service.client.scan(documentOf(number))).toMatchObject({ pass: false, reason: "popup", status: null, popups: [1] });
    await deliverAndApply(service, "tests", "popup1", [test_(number, "n1")]);
    expect(await service.client.scan(documentOf(number))).toMatchObject({ pass: false, popups: [1], testAgeDays: 0 });
    const explained = await cli(["explain", "--data", folder], number);
    expect(explained.out).toContain("Pop-up 1 [active]");
    expect(explained.out).toContain("Stay in county 310115 (Shanghai)");
    expect(explained.out).toContain("A negative test does not clear it");
    expect(explained.out).not.toContain(number);
    const inChinese = await cli(["explain", "--data", folder, "--language", "zh"], number);
    expect(inChinese.out).toContain("上海市浦东新区（310115）");
    // As it was decided before anybody told of the trip.
    const before = await cli(["explain", "--data", folder, "--at", formatInstant(at - 1)], number);
    expect(before.out).toContain("what was known then");
    expect(before.out).not.toContain("Pop-up 1 [active]");
  });

  test("a test of last month that is imported today is known since today, or as history since its issue, which the replay says", async () => {
    const [today, history] = [inventedNumber(20), inventedNumber(21)];
    await deliverAndApply(service, "holders", "history", [today, history].map((number) => ({ documents: [documentOf(number)] })));
    const file = join(folder, "history.ndjson");
    for (const [number, ...option] of [[today], [history, "--history"]] as const) {
      writeFileSync(file, lines([{ factId: "of-may", document: documentOf(number), sampledAt: "2022-05-09T09:00:00+08:00", issuedAt: "2022-05-09T20:00:00+08:00", result: "negative", county: "110105" }]));
      const { status, out } = await cli(["import", ...option, "tests", file, "--data", folder]);
      expect([status, out]).toEqual([0, expect.stringContaining("1 accepted, 0 refused, 1 entries changed") as string]);
    }
    rmSync(file);
    const explainedAt = async (number: string, ...options: readonly string[]): Promise<string> => (await cli(["explain", "--data", folder, ...options], number)).out;
    const [testLine, note] = ["Newest negative test: sampled 2022-05-09T09:00:00+08:00, issued 2022-05-09T20:00:00+08:00", "brought in later as history"];
    const before = ["--at", "2022-05-20T12:00:00+08:00"];
    expect(await explainedAt(today, ...before)).not.toContain(testLine);
    expect(await explainedAt(history, ...before)).toContain(testLine);
    expect(await explainedAt(history, ...before)).toContain(note);
    expect(await explainedAt(history, ...before, "--language", "zh")).toContain("补录的历史资料");
    expect(await explainedAt(today, ...before)).not.toContain(note);
    // Not before it was issued either; and today both are known, without a word of history.
    expect(await explainedAt(history, "--at", "2022-05-09T19:59:59+08:00")).not.toContain(testLine);
    for (const number of [today, history]) {
      expect(await explainedAt(number)).toContain(testLine);
      expect(await explainedAt(number, "--at", formatInstant(now(service.clock)))).toContain(testLine);
      expect(await explainedAt(number, "--at", formatInstant(now(service.clock)))).not.toContain(note);
    }
  });

  test("what the demo city was loaded with is history", async () => {
    const { sources } = JSON.parse(readFileSync(join(folder, "access.json"), "utf8")) as { sources: { name: string; history?: boolean }[] };
    expect(sources.map(({ name, history }) => [name, history])).toEqual([["local", undefined], ["history", true]]);
    const green = /"number":"(\w+)"/.exec(service.printed())![1]!;
    const before = (await cli(["explain", "--data", folder, "--at", "2022-06-08T12:00:00+08:00"], green)).out;
    expect(before).toContain("brought in later as history");
    expect(before).not.toContain("Nobody has told us");
  });

  test("a decision about a change that there isn't is told to whoever imports it, and to whoever asks for its batch", async () => {
    const file = join(folder, "decisions.ndjson");
    writeFileSync(file, lines([{ action: "release", change: 4_000_000, authority: "Duty officer", ground: "looked at it" }]));
    const { status, out } = await cli(["import", "decisions", file, "--data", folder]);
    rmSync(file);
    expect(status).toBe(1);
    expect(out).toBe("without effect: there is no change 4000000; fangxing changes tells where each change stands\n1 accepted, 0 refused, 0 entries changed\n");
    const rollback = await cli(["policy", "rollback", "--ground", "looked at it", "--data", folder]);
    expect([rollback.status, rollback.out]).toEqual([1, expect.stringContaining("nothing to take back") as string]);
  });

  test("rules and decisions are no history", async () => {
    const { status, err } = await cli(["import", "--history", "decisions", "nothing.ndjson", "--data", folder]);
    expect([status, err]).toEqual([2, expect.stringContaining("--history is for facts") as string]);
  });

  test("an arrival without a test for 72 hours raises pop-up 4, which a negative test clears and an invalid one doesn't", async () => {
    const number = inventedNumber(2);
    const at = now(service.clock);
    await deliverAndApply(service, "holders", "popup4", [{ documents: [documentOf(number)], phones: ["12700000002"] }]);
    await deliverAndApply(service, "trips", "popup4", [
      { factId: "t2a", phone: "12700000002", county: "440825", from: formatInstant(at - 20 * DAY_S), to: formatInstant(at - 4 * DAY_S) },
      { factId: "t2b", phone: "12700000002", county: "110105", from: formatInstant(at - 4 * DAY_S + 3600) },
    ]);
    expect(await service.client.scan(documentOf(number))).toMatchObject({ pass: false, popups: [4] });
    await deliverAndApply(service, "tests", "popup4-invalid", [test_(number, "popup4-secret-fact", "invalid")]);
    expect(await service.client.scan(documentOf(number))).toMatchObject({ pass: false, popups: [4] });
    await deliverAndApply(service, "tests", "popup4", [test_(number, "n2")]);
    expect(await service.client.scan(documentOf(number))).toMatchObject({ pass: true, popups: [], testAgeDays: 0 });
  });

  test("a finding turns a holder red, and its end by the same source turns him green again", async () => {
    const number = inventedNumber(3);
    const at = now(service.clock);
    const finding = { factId: "f3", document: documentOf(number), kind: "close-contact", from: formatInstant(at - DAY_S), authority: "Invented Authority", ground: "met a case" };
    await deliverAndApply(service, "holders", "red", [{ documents: [documentOf(number)] }]);
    await deliverAndApply(service, "findings", "red", [finding]);
    expect(await service.client.scan(documentOf(number))).toMatchObject({ pass: false, reason: "status", status: "central" });
    await deliverAndApply(service, "findings", "green", [{ ...finding, revision: 2, to: formatInstant(at) }]);
    expect(await service.client.scan(documentOf(number))).toMatchObject({ pass: true, status: "clear" });
  });

  test("a local infection makes a county affected for whoever stayed there", async () => {
    const number = inventedNumber(4);
    const at = now(service.clock);
    await deliverAndApply(service, "holders", "infection", [{ documents: [documentOf(number)], phones: ["12700000004"] }]);
    await deliverAndApply(service, "trips", "infection", [{ factId: "t4", phone: "12700000004", county: "533103", from: formatInstant(at - 6 * DAY_S), to: formatInstant(at - 3 * DAY_S) }]);
    expect(await service.client.scan(documentOf(number))).toMatchObject({ pass: true });
    await deliverAndApply(service, "local-infections", "infection", [{ factId: "i4", county: "533103", day: formatInstant(at - DAY_S).slice(0, 10), count: 2 }]);
    expect(await service.client.scan(documentOf(number))).toMatchObject({ pass: false, popups: [1] });
    await deliverAndApply(service, "local-infections", "correction", [{ factId: "i4", revision: 2, county: "533103", day: formatInstant(at - DAY_S).slice(0, 10), count: 0 }]);
    expect(await service.client.scan(documentOf(number))).toMatchObject({ pass: true });
  });

  test("a holder nobody has told us of gets an answer of the same fields and length", async () => {
    const session = (await cli(["session", "--data", folder])).out.trim();
    const ask = async (number: string): Promise<{ text: string; headers: string[] }> => {
      const answer = await fetch(`http://127.0.0.1:${service.run.lookupPort}/v1/scan`, {
        method: "POST",
        headers: { Authorization: `Bearer ${session}` },
        body: JSON.stringify({ document: documentOf(number) }),
      });
      return { text: await answer.text(), headers: [...answer.headers.keys()] };
    };
    const [known, unknown] = [await ask(inventedNumber(2)), await ask(inventedNumber(999))];
    expect(unknown.text.length).toBe(known.text.length);
    expect(unknown.headers).toEqual(known.headers);
    expect(Object.keys(JSON.parse(unknown.text) as object)).toEqual(Object.keys(JSON.parse(known.text) as object));
    expect(JSON.parse(unknown.text)).toMatchObject({ pass: false, reason: "unconfirmed", unconfirmed: true, status: null });
  });

  test("what can't be accepted is each a clear error, and the service goes on", async () => {
    const at = now(service.clock);
    const { client } = service;
    const wrongDigit = await refusalOf(client.deliver("holders", "bad-1", lines([{ documents: [documentOf("110105194912310021")] }]), NDJSON));
    expect(wrongDigit.errors).toEqual([{ line: 1, field: "documents.0.number", reason: expect.stringContaining("wrong check digit") as string }]);
    const reversed = await refusalOf(client.deliver("trips", "bad-2", lines([{ factId: "x", phone: "12700000001", county: "310115", from: formatInstant(at - 10), to: formatInstant(at - 20) }]), NDJSON));
    expect(reversed.errors).toEqual([{ line: 1, field: "to", reason: expect.stringContaining("before it began") as string }]);
    const future = await refusalOf(client.deliver("tests", "bad-3", lines([{ ...test_(inventedNumber(2), "x"), issuedAt: formatInstant(at + 3600) }]), NDJSON));
    expect(future.errors).toEqual([{ line: 1, field: "issuedAt", reason: expect.stringContaining("in the future") as string }]);
    const unknownField = await refusalOf(client.deliver("tests", "bad-4", lines([{ ...test_(inventedNumber(2), "x"), colour: "green" }]), NDJSON));
    expect(unknownField.errors).toEqual([{ line: 1, field: "colour", reason: expect.stringContaining("is no field of the feed tests") as string }]);
    expect(await refusalOf(client.deliver("rumours", "bad-5", "{}", NDJSON))).toMatchObject({ status: 404, message: expect.stringContaining("feeds are holders") as string });
    expect(await refusalOf(client.deliver("tests", "bad-6", "x".repeat(9_000_000), NDJSON))).toMatchObject({ status: 413, message: expect.stringContaining("4194304 bytes") as string });
    expect(await refusalOf(client.scan(documentOf("110105194912310021")))).toMatchObject({ status: 422, message: expect.stringContaining("wrong check digit") as string });
    // One good row between two bad ones is kept, and the bad ones are named.
    const mixed = await client.deliver("tests", "mixed", lines([{}, test_(inventedNumber(2), "good"), { ...test_(inventedNumber(2), "x"), result: "maybe" }]), NDJSON);
    expect(mixed.accepted).toBe(1);
    expect([...new Set(mixed.refused.map((r) => r.line))]).toEqual([1, 3]);
    expect(await client.scan(documentOf(inventedNumber(2)))).toMatchObject({ pass: true });
  });

  test("the same batch id again changes nothing, and another body under it is refused", async () => {
    const rows = [test_(inventedNumber(2), "again")];
    await deliverAndApply(service, "tests", "again", rows);
    const before = await service.client.batch("tests", "again");
    expect(await service.client.deliver("tests", "again", lines(rows), NDJSON)).toMatchObject({ accepted: 1 });
    expect(await service.client.batch("tests", "again")).toEqual(before);
    expect(await refusalOf(service.client.deliver("tests", "again", lines([test_(inventedNumber(2), "other")]), NDJSON))).toMatchObject({ status: 409 });
  });

  test("fangxing import delivers a file, names the lines at fault, and can be repeated", async () => {
    const file = join(folder, "import.ndjson");
    writeFileSync(file, lines([{ documents: [documentOf(inventedNumber(5))] }, { documents: [documentOf("1")] }, { documents: [documentOf(inventedNumber(6))] }]));
    const first = await cli(["import", "holders", file, "--data", folder]);
    expect(first.status).toBe(1);
    expect(first.out).toContain("refused line 2: documents.0.number");
    expect(first.out).toContain("2 accepted, 1 refused, 2 entries changed");
    expect((await cli(["import", "holders", file, "--data", folder])).out).toContain("2 accepted");
    const scanned = await cli(["scan", "--data", folder], inventedNumber(6));
    expect(JSON.parse(scanned.out)).toMatchObject({ pass: true, status: "clear" });
  });

  test("no number, phone or factId is in any file of the data folder", async () => {
    await until("nothing is pending", async () => /fangxing_batches_pending 0/.test(await (await fetch(`http://127.0.0.1:${service.run.ingestPort}/metrics`)).text()));
    rmSync(join(folder, "import.ndjson"));
    const secrets = [inventedNumber(1), inventedNumber(2), "12700000001", "12700000004", "popup4-secret-fact"];
    for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
      const path = join(folder, name);
      if (!statSync(path).isFile()) continue;
      const bytes = readFileSync(path);
      for (const secret of secrets) expect(bytes.includes(secret), `${name} holds ${secret}`).toBe(false);
    }
  });
});

describe("when processes die", () => {
  const HOLDERS = 20_000;
  let folder: string;
  let service: TestService;
  beforeAll(async () => {
    folder = temporaryFolder();
    service = await startDemo(folder);
  });
  afterAll(async () => {
    service.signal("SIGTERM");
    await service.exited;
    removeFolder(folder);
  });

  const entryCount = async (): Promise<number> => {
    const text = await (await fetch(`http://127.0.0.1:${service.run.lookupPort}/metrics`)).text();
    return Number(/^fangxing_entries (\d+)$/m.exec(text)![1]);
  };
  const holderRows = (first: number, count: number): object[] => Array.from({ length: count }, (_, i) => ({ documents: [documentOf(inventedNumber(first + i))] }));

  test("the worker killed in the middle of a batch loses nothing", async () => {
    const { client } = service;
    const before = await entryCount();
    const worker = service.childPid("worker");
    await client.deliver("holders", "large", lines(holderRows(0, HOLDERS)), NDJSON);
    await until("the worker has begun", async () => (await client.batch("holders", "large")).chunksApplied > 0);
    process.kill(worker, "SIGSTOP");
    // Stopped, not slow: what is read now is where it was when it was killed.
    const middle = await client.batch("holders", "large");
    expect(middle.state).toBe("queued");
    expect(middle.chunksApplied).toBeGreaterThan(0);
    expect(middle.chunksApplied).toBeLessThan(middle.chunks);
    process.kill(worker, "SIGKILL");
    await until("the batch is applied by the next worker", async () => (await client.batch("holders", "large")).state === "applied");
    expect(service.childPid("worker")).not.toBe(worker);
    expect(service.printed()).toMatch(/worker ended unexpectedly \(SIGKILL\); starting it again in 0\.1 s/);
    expect(await entryCount()).toBe(before + HOLDERS);
    expect(await client.batch("holders", "large")).toMatchObject({ entriesChanged: HOLDERS });
    for (const i of [0, 1, HOLDERS / 2, HOLDERS - 1]) expect((await client.scan(documentOf(inventedNumber(i)))).pass).toBe(true);
  });

  test("Redis killed with all it had loses nothing, and deliveries are taken while it is away", async () => {
    const { client } = service;
    const worker = service.childPid("worker");
    process.kill(worker, "SIGSTOP");
    await client.deliver("holders", "in-redis", lines(holderRows(HOLDERS, 10)), NDJSON);
    const redis = service.childPid("redis");
    process.kill(redis, "SIGKILL");
    rmSync(join(folder, "redis", "appendonlydir"), { recursive: true, force: true });
    expect(await client.deliver("holders", "without-redis", lines(holderRows(HOLDERS + 10, 10)), NDJSON)).toMatchObject({ accepted: 10 });
    await until("Redis is back", () => service.printed().includes("redis is back"));
    process.kill(worker, "SIGCONT");
    for (const id of ["in-redis", "without-redis"]) await until(`${id} is applied`, async () => (await client.batch("holders", id)).state === "applied");
    for (const i of [0, 9, 10, 19]) expect((await client.scan(documentOf(inventedNumber(HOLDERS + i)))).pass).toBe(true);
  });

  test("the ingest API and the lookup killed come back by themselves", async () => {
    for (const name of ["ingest", "lookup"] as const) {
      const pid = service.childPid(name);
      process.kill(pid, "SIGKILL");
      await until(`${name} is back`, () => service.printed().includes(`${name} is back`));
    }
    await until("a scan is answered again", async () => (await service.client.scan(documentOf(inventedNumber(0))).catch(() => undefined))?.pass);
    await deliverAndApply(service, "holders", "after", holderRows(HOLDERS + 20, 1));
  });

  test("an import whose ingest API is gone says so and what to do; the same command again finds what was delivered", async () => {
    const file = join(folder, "import.ndjson");
    writeFileSync(file, lines(holderRows(HOLDERS + 30, 10)));
    const timesBack = (): number => service.printed().split("ingest is back").length;
    const before = timesBack();
    const command = ["import", "holders", file, "--data", folder];
    const [worker, ingest] = [service.childPid("worker"), service.childPid("ingest")];
    // Nothing is applied, and nobody starts the API again, until they may go on.
    process.kill(worker, "SIGSTOP");
    const cut = cli(command);
    await until("the batch is kept", async () => /fangxing_batches_pending 1/.test(await (await fetch(`http://127.0.0.1:${service.run.ingestPort}/metrics`)).text()));
    service.signal("SIGSTOP");
    process.kill(ingest, "SIGKILL");
    try {
      for (const { status, out, err } of [await cut, await cli(command)]) {
        expect([status, out]).toEqual([2, ""]);
        expect(err).toMatch(new RegExp(`^fangxing: the ingest API at http://127.0.0.1:${service.run.ingestPort} (can't be reached|was gone before it had answered): .*run the same command again: .*\\n$`));
      }
    } finally {
      service.signal("SIGCONT");
      process.kill(worker, "SIGCONT");
    }
    await until("ingest is back once more", () => timesBack() > before);
    for (const again of [1, 2]) expect((await cli(command)).out, `run ${again}`).toContain("10 accepted, 0 refused, 10 entries changed");
  });

  test("a supervisor killed takes its processes along, and the next start goes on", async () => {
    service.signal("SIGKILL");
    await service.exited;
    await until("its own processes have ended", () => processes().filter((p) => p.command.includes("cli.ts") && processesOf(folder).includes(p.pid)).length === 0);
    service = await startDemo(folder);
    expect((await service.client.scan(documentOf(inventedNumber(0)))).pass).toBe(true);
  });

  test("a child that keeps dying is started again and again, each time said, and the others go on", async () => {
    let last = 0;
    await until("it has died three times", () => {
      try {
        const pid = service.childPid("worker");
        if (pid !== last) process.kill((last = pid), "SIGKILL");
      } catch {
        // between two lives
      }
      return service.printed().includes("worker ended unexpectedly (SIGKILL), 3 times within a minute");
    });
    expect((await service.client.scan(documentOf(inventedNumber(0)))).pass).toBe(true);
    await deliverAndApply(service, "holders", "after-deaths", holderRows(HOLDERS + 21, 1));
  });
});
