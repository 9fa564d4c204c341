// The explanations' server: who may ask, what is refused by name, and that an answer says why in both languages and nobody's number.

import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { document, inboxRows, instant, keyring, NOW, openStores, phone, publication, residentId, SHANGHAI_HUANGPU, streamOf, type Stores } from "../../test/ingestSupport.ts";
import { clockAt, temporaryFolder } from "../../test/support.ts";
import { createKeyPair, createSessions, signSessionRequest, type Registry } from "../access/index.ts";
import { formatInstant } from "../domain/index.ts";
import { startExplainServer } from "./server.ts";

const SECRET = new Uint8Array(32).fill(5);
const keys = { gate: createKeyPair(), kiosk: createKeyPair(), staff: createKeyPair() };
const registry: Registry = {
  devices: (["gate", "kiosk", "staff"] as const).map((name) => ({ name, class: name, venue: "venue", publicKey: keys[name].publicKey })),
  sources: [],
};

let stores: Stores;
let server: ReturnType<typeof startExplainServer>;
let clock: ReturnType<typeof clockAt>;
beforeEach(async () => {
  const folder = join(temporaryFolder(), "stores");
  clock = clockAt(NOW);
  stores = openStores(folder);
  await stores.deliver("risk-areas", [publication("2022-06-08 17时", [SHANGHAI_HUANGPU])]);
  await stores.deliver("holders", [{ documents: [document(1)], phones: [phone(1)] }]);
  await stores.deliver("trips", [{ factId: "trip-1", phone: phone(1), county: "310101", from: "2022-06-01", to: "2022-06-05" }]);
  await stores.evidence.flushed();
  server = startExplainServer({ host: "127.0.0.1", port: 0, evidenceFolder: join(folder, "evidence"), registry, keyring, sessionSecret: SECRET, clock, log: () => undefined });
});
afterEach(async () => {
  await server.stop();
  await stores.close();
});

function tokenOf(device: "gate" | "kiosk" | "staff"): string {
  const request = signSessionRequest({ device, issuedAt: formatInstant(clock.seconds), nonce: randomBytes(12).toString("hex") }, keys[device].privateKeyPem);
  const opened = createSessions(registry, SECRET, clock).open(request);
  if (typeof opened === "string") throw new Error(opened);
  return opened.token;
}
const ask = (token: string | null, body: unknown): Promise<Response> =>
  fetch(`http://127.0.0.1:${server.port}/v1/explanations`, {
    method: "POST",
    headers: token === null ? {} : { Authorization: `Bearer ${token}` },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });

describe("who may ask", () => {
  test.each([
    ["nobody", null, 401],
    ["a gate", "gate", 403],
    ["a kiosk", "kiosk", 200],
    ["staff", "staff", 200],
  ] as const)("%s", async (_, device, status) => {
    expect((await ask(device && tokenOf(device), { document: document(1) })).status).toBe(status);
  });
  test("a past decision is for staff alone", async () => {
    const question = { document: document(1), at: "2022-06-09T07:00:00+08:00" };
    expect([(await ask(tokenOf("kiosk"), question)).status, (await ask(tokenOf("staff"), question)).status]).toEqual([403, 200]);
  });
  test("thirty times in a minute; the next one is told how long to wait, another device is not", async () => {
    clock.seconds = instant("2022-06-09T07:30:10+08:00");
    const token = tokenOf("staff");
    for (let i = 0; i < 30; i++) expect((await ask(token, { document: document(1) })).status).toBe(200);
    const refused = await ask(token, { document: document(1) });
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "50"]);
    expect((await ask(tokenOf("kiosk"), { document: document(1) })).status).toBe(200);
    clock.seconds += 50;
    expect((await ask(token, { document: document(1) })).status).toBe(200);
  });
});

describe("an answer", () => {
  interface Answer {
    flags: { flag: string; state: string; since: string; endsAt: string | null; rule: string; why: Record<"zh" | "en", string>; clears: Record<"zh" | "en", string>; turnTo: Record<"zh" | "en", string>; facts: object[] }[];
    document: string;
  }
  test("says of each flag since when, why, what clears it, when it ends and whom to turn to, in both languages, and no number", async () => {
    const text = await (await ask(tokenOf("staff"), { document: document(1) })).text();
    const { flags, document: shown } = JSON.parse(text) as Answer;
    expect(flags).toMatchObject([{ flag: "popup-1", state: "active", since: "2022-06-08T17:00:00+08:00", endsAt: "2022-06-20T00:00:00+08:00", rule: "affectedCounty", facts: [{ kind: "trip", county: "310101" }] }]);
    for (const words of [flags[0]!.why, flags[0]!.clears, flags[0]!.turnTo]) expect([words.zh.length > 5, words.en.length > 5]).toEqual([true, true]);
    expect(shown).toBe(`11**************${residentId(1).slice(-2)}`);
    for (const secret of [residentId(1), phone(1), "trip-1", "source-a"]) expect(text).not.toContain(secret);
  });
  test("of a past instant says what was known then", async () => {
    const past = (await (await ask(tokenOf("staff"), { document: document(1), at: formatInstant(NOW - 1) })).json()) as Answer;
    // Nobody had told of the holder a second before.
    expect(past.flags.map((f) => f.flag)).toEqual(["unconfirmed"]);
  });
  test("of a past instant that rests on history says so, of a holder's facts and of regions; of now it doesn't", async () => {
    const bringIn = async (feed: "holders" | "trips" | "tests" | "local-infections", rows: object[]): Promise<void> => stores.apply(await stores.store(feed, inboxRows(feed, rows, "archive", NOW, true)));
    const notes = async (n: number, at?: string): Promise<string> => JSON.stringify(((await (await ask(tokenOf("staff"), { document: document(n), at })).json()) as { notes: object[] }).notes);
    const [before, since] = [formatInstant(NOW - 1), formatInstant(NOW)];
    await bringIn("tests", [{ factId: "test-2", document: document(2), sampledAt: "2022-05-09T09:00:00+08:00", issuedAt: "2022-05-09T20:00:00+08:00", result: "negative" }]);
    // Where infections were is nothing to holder 3, of whom no stay is known.
    await bringIn("local-infections", [{ factId: "infection-1", county: "310101", day: "2022-06-05", count: 1 }]);
    await stores.evidence.flushed();
    expect(await notes(2, before)).toContain("brought in later as history");
    expect(await notes(2, since)).not.toContain("history");
    expect(await notes(2)).not.toContain("history");
    expect(await notes(3, before)).not.toContain("history");
    // Holder 1 was there; these infections arrive a second after the instant asked about.
    clock.seconds = NOW + 60;
    expect(await notes(1, since)).not.toContain("history");
    await stores.apply(await stores.store("local-infections", inboxRows("local-infections", [{ factId: "infection-2", county: "310101", day: "2022-06-06", count: 1 }], "archive", NOW + 1, true)));
    await stores.evidence.flushed();
    await Bun.sleep(20);
    expect(await notes(1, since)).toContain("brought in later as history");
    expect(await notes(1, formatInstant(NOW + 1))).not.toContain("history");
  });
  test("of a past instant counts a trip until the second in which its refutation, by document, became known", async () => {
    clock.seconds = stores.clock.seconds = NOW + 60;
    await stores.deliver("refutations", [{ factId: "refutation-1", matches: { document: document(1) }, at: "2022-06-09T07:00:00+08:00", authority: "Community", ground: "number kept" }]);
    await stores.evidence.flushed();
    await Bun.sleep(20);
    const flags = async (at?: number): Promise<string[]> => ((await (await ask(tokenOf("staff"), { document: document(1), at: at && formatInstant(at) })).json()) as Answer).flags.map((f) => f.flag);
    expect([await flags(NOW + 59), await flags(NOW + 60), await flags()]).toEqual([["popup-1"], [], []]);
  });
  test("follows what the worker writes meanwhile", async () => {
    await stores.deliver("refutations", [{ factId: "refutation-1", matches: { phone: phone(1) }, at: "2022-06-09T07:00:00+08:00", authority: "Community", ground: "number kept" }]);
    await stores.evidence.flushed();
    await Bun.sleep(20);
    expect(((await (await ask(tokenOf("staff"), { document: document(1) })).json()) as Answer).flags).toEqual([]);
  });
});

test.each([
  ["no JSON", "{", "body"],
  ["no object", "[]", "body"],
  ["another field", { document: document(1), who: "x" }, "who"],
  ["no document", {}, "document"],
  ["another field in the document", { document: { ...document(1), name: "x" } }, "document.name"],
  ["a number as a field's name in the document", { document: { ...document(1), [residentId(2)]: "x" } }, "document.(a name that is not repeated here)"],
  ["a wrong check digit", { document: { type: "resident-id", number: "110101189001010001" } }, "document.number"],
  ["no instant", { document: document(1), at: "2022-06-09" }, "at"],
  ["a later instant", { document: document(1), at: "2022-06-09T07:30:01+08:00" }, "at"],
] as const)("%s is refused by its field", async (_, body, field) => {
  const response = await ask(tokenOf("staff"), body);
  expect(response.status).toBe(422);
  expect(((await response.json()) as { errors: { field: string }[] }).errors[0]?.field).toBe(field);
});

test("a body of 4097 bytes is too large; one in chunks doesn't say its length", async () => {
  const token = tokenOf("staff");
  const body = JSON.stringify({ document: document(1) });
  const inChunks = fetch(`http://127.0.0.1:${server.port}/v1/explanations`, { method: "POST", headers: { Authorization: `Bearer ${token}` }, body: streamOf(Buffer.from(body)) });
  expect([(await ask(token, body.padEnd(4097))).status, (await inChunks).status, (await ask(token, body.padEnd(4096))).status]).toEqual([413, 411, 200]);
});
