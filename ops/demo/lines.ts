// The three lines that a demo prints: a green scan, one with a pop-up, and the delivery that turns it green. They work as pasted, in any folder.

import { fileURLToPath } from "node:url";
import { formatInstant, now, type Clock } from "../../core/domain/index.ts";
import { httpUrl, type Client } from "../client.ts";
import type { DataFolder, RunState } from "../dataFolder.ts";
import { createCity, type CityPlan, type DemoHolder } from "./city.ts";

/** Holders looked at, at most, to find one of each kind. */
const LOOKED_AT_MAX = 5000;

export async function demoLines(client: Client, plan: CityPlan, run: Omit<RunState, "pid">, folder: DataFolder, clock: Clock): Promise<string> {
  const { green, due } = await findHolders(client, plan);
  const cli = `node ${shellQuote(fileURLToPath(new URL("../fangxing.mjs", import.meta.url)))}`;
  const data = `--data ${shellQuote(folder.path)}`;
  const scanLine = (holder: DemoHolder): string =>
    `curl -s ${httpUrl(run.host, run.lookupPort)}/v1/scan -H "Authorization: Bearer $(${cli} session ${data})" -H 'Content-Type: application/json' -d '${JSON.stringify({ document: { type: "resident-id", number: holder.number } })}'`;
  const lines: string[] = [];
  if (green) lines.push("A green scan:", "", scanLine(green), "");
  if (due) {
    const at = now(clock);
    const id = `demo-negative-${at}`;
    const row = { factId: id, document: { type: "resident-id", number: due.number }, sampledAt: formatInstant(at - 7200), issuedAt: formatInstant(at - 60), result: "negative", laboratory: "Invented Laboratory A", county: "110105" };
    lines.push(
      "One with pop-up 4, a test that is due:",
      "",
      scanLine(due),
      "",
      "The delivery of that holder's negative test; scan again after it, and the answer is green:",
      "",
      `B='${JSON.stringify(row)}'; printf %s "$B" | ${cli} sign tests ${id} ${data} | curl -s ${httpUrl(run.host, run.ingestPort)}/v1/feeds/tests/batches -H @- --data-binary "$B"`,
      "",
    );
  } else lines.push("Nobody of this city has only pop-up 4 any more: all their tests have been delivered. Start with another --data folder for a new city.", "");
  return lines.join("\n");
}

/** Asks the gates' own server, so that the lines hold whatever has happened to the city since. */
async function findHolders(client: Client, plan: CityPlan): Promise<{ green: DemoHolder | undefined; due: DemoHolder | undefined }> {
  let green: DemoHolder | undefined;
  let due: DemoHolder | undefined;
  let looked = 0;
  for (const holder of createCity(plan)) {
    if ((green && due) || ++looked > LOOKED_AT_MAX) break;
    // Stays elsewhere are what makes a pop-up likely.
    if (green && holder.trips.length === 1) continue;
    const answer = await client.scan({ type: "resident-id", number: holder.number });
    if (answer.pass) green ??= holder;
    else if (answer.popups.length === 1 && answer.popups[0] === 4 && answer["unconfirmed"] === false && answer["reason"] === "popup") due ??= holder;
  }
  return { green, due };
}

function shellQuote(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
