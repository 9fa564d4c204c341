// Changes of rules and risk lists as an operator meets them: the commands of a real service, what they say and their exit status.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { beijingPackText } from "../core/policy/index.ts";
import { shippedPublications } from "../ops/demo/load.ts";
import { residentId } from "./ingestSupport.ts";
import { cli, removeFolder, startDemo, temporaryFolder, until, type TestService } from "./service.ts";

const NUMBER = residentId(1);
/** What venues ask changes for everybody: always held. */
const VENUES = beijingPackText().replaceAll("        boarding: { testHours: 48, commuterHours: 168 }", "        boarding: { testHours: 48, commuterHours: 168 }\n        venue: { testHours: 72 }");

describe("an operator", () => {
  let folder: string;
  let service: TestService;
  let pack: string;
  let held: string;
  beforeAll(async () => {
    folder = temporaryFolder();
    service = await startDemo(folder, ["--gain-share-max", "0.2", "--loss-share-max", "0.3"]);
    pack = join(folder, "venues.yaml");
    writeFileSync(pack, VENUES);
  });
  afterAll(async () => {
    service.signal("SIGTERM");
    await service.exited;
    removeFolder(folder);
  });
  const run = async (...words: string[]): Promise<[number, string]> => {
    const { status, out, err } = await cli([...words, "--data", folder]);
    expect((out + err).toUpperCase()).not.toContain(NUMBER);
    return [status, out + err];
  };
  const containing = (text: string): string => expect.stringContaining(text) as string;
  const decide = (action: string, ...words: string[]): Promise<[number, string]> => run(...action.split(" "), ...words, "--ground", "looked at it");

  test("sees what a pack would do by the limits of the running service, not by the command's own", async () => {
    expect(await run("policy", "diff", pack)).toEqual([0, containing("more than 20 % of all holders would gain, more than 30 % lose, or more than half of those who have it be rid of, from 100 holders on")]);
  });
  test("is told that a pack is held, and when it comes again that it is held already: one change", async () => {
    const [status, words] = await run("policy", "apply", pack);
    held = /^held as change (\d+): the pass rules of venues change for everybody: venue$/m.exec(words)![1]!;
    expect(status).toBe(1);
    expect(await run("policy", "apply", pack)).toEqual([1, containing(`already held as change ${held}: the pass rules`)]);
    expect(await run("policy", "diff", pack)).toEqual([0, containing(`held already as change ${held}`)]);
    expect((await run("changes"))[1].match(/ held /g)).toHaveLength(1);
  });
  test("is told which of the words may not hold a number", async () => {
    const { status, err } = await cli(["release", held, "--ground", `asked for by ${NUMBER}`, "--data", folder]);
    expect([status, err]).toEqual([2, "fangxing: refused: --ground seems to hold a document or phone number, which must not be kept: leave it out\n"]);
  });
  test("releases a held pack once; what it is already it is not made again", async () => {
    expect(await decide("release", held)).toEqual([0, containing(`change ${held}  applied`)]);
    expect(await decide("release", held)).toEqual([2, containing(`nothing to do: change ${held} is applied already; only a held change can be released`)]);
    expect(await decide("reject", held)).toEqual([2, containing(`nothing to do: change ${held} is applied; only a held change, or a risk list, can be rejected`)]);
    expect(await decide("release", "999")).toEqual([2, containing("there is no change 999: fangxing changes lists them")]);
    expect(await run("policy", "apply", pack)).toEqual([0, "already in force: nothing changes\n"]);
    expect(await run("policy", "diff", pack)).toEqual([0, containing("in force already")]);
    expect((await run("policy", "list"))[1].match(/pack \d/g)).toEqual(["pack 1", "pack 2"]);
  });
  test("rolls a pack back; when nothing is left to take back that is no success", async () => {
    expect(await decide("policy rollback")).toEqual([0, containing("in force: beijing (pack 3)")]);
    expect(await decide("policy rollback")).toEqual([1, "there is nothing to take back: the rules in force (beijing, pack 3) are those that the service began with\n"]);
    expect((await run("policy", "list"))[1].match(/pack \d/g)).toEqual(["pack 1", "pack 2", "pack 3"]);
  });
  test("rejects a held pack once", async () => {
    const again = /^held as change (\d+)/m.exec((await run("policy", "apply", pack))[1])![1]!;
    expect(await decide("reject", again)).toEqual([0, containing(`change ${again}  rejected`)]);
    expect(await decide("reject", again)).toEqual([2, containing(`nothing to do: change ${again} is rejected already`)]);
    expect((await run("changes"))[1].match(/ reject by /g)).toHaveLength(1);
  });
  test("who delivers decisions and packs is told by the batch what came to nothing", async () => {
    const applied = async (feed: string, id: string, body: string, type: string): Promise<unknown> => {
      await service.client.deliver(feed, id, body, type);
      return until(`${id} is applied`, async () => {
        const state = await service.client.batch(feed, id);
        return state.state === "applied" && state;
      });
    };
    const row = JSON.stringify({ action: "release", change: Number(held), authority: "Duty officer", ground: "looked at it" });
    expect(await applied("decisions", "late", row, "application/x-ndjson")).toMatchObject({ undone: [`nothing to do: change ${held} is rolled-back; only a held change can be released`], entriesChanged: 0 });
    const repeated = await applied("packs", "same", beijingPackText(), "application/yaml");
    expect(repeated).toMatchObject({ repeats: true, entriesChanged: 0 });
    expect(repeated).not.toHaveProperty("change");
    expect(service.printed()).toContain(`the decision to release change ${held} came to nothing: nothing to do`);
  });
  test("is told of a risk list that misspells a county: it is held with the name and what may be meant, and in force once released", async () => {
    const list = join(folder, "list.json");
    writeFileSync(list, shippedPublications().at(-1)!.replace("2022-06-08 21时", "2022-06-09 06时").replace("黄浦区", "黄埔区"));
    const [status, words] = await run("import", "risk-areas", list);
    const reason = "no county is known as 上海市 上海市 黄埔区; may be meant, since not named any more: 310101 (黄浦区)";
    const change = new RegExp(`held as change (\\d+): ${RegExp.escape(reason)};`).exec(words)?.[1];
    expect([status, words]).toEqual([1, containing("county no county is known as 上海市 上海市 黄埔区\n")]);
    expect(service.printed()).toContain(`is held: ${reason}; without effect`);
    const note = "\n  without effect, areas of places that find no county: 1, of 上海市 上海市 黄埔区\n";
    expect((await run("changes"))[1]).toMatch(new RegExp(`change ${change}  held .*: ${RegExp.escape(reason)}${RegExp.escape(note)}`));
    expect(await decide("release", change!)).toEqual([0, containing(`change ${change}  applied`)]);
    expect((await run("changes"))[1]).toMatch(new RegExp(`change ${change}  applied .*: was held, ${RegExp.escape(reason)}${RegExp.escape(note)}`));
  });
  test("is refused a pack that holds somebody's number, which is not repeated", async () => {
    writeFileSync(pack, VENUES.replace("pack: beijing", `pack: "${NUMBER.toLowerCase()}"`));
    for (const word of ["diff", "apply"]) expect(await run("policy", word, pack)).toEqual([2, expect.stringMatching(/venues\.yaml:\d+: pack: the line seems to hold a document or phone number/) as string]);
  });
});
