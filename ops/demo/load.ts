// Loads the demo city through the service's own feeds, as any source would deliver it.
// Promises: the same city gives the same batches, so that a load that was cut off goes on where it stood.

import { readFileSync } from "node:fs";
import { allCounties, formatInstant, parseInstant, provinceOf, type CountyCode, type Instant } from "../../core/domain/index.ts";
import { findCounties } from "../../core/ingest/index.ts";
import type { Client } from "../client.ts";
import { untilApplied } from "../commands/await.ts";
import { createCity, oruMessage, type CityPlan, type DemoHolder } from "./city.ts";

const CHUNK_HOLDERS = 1000;
const NDJSON = "application/x-ndjson";

/** The published lists that ship with the demo, oldest first, as they were published. */
export function shippedPublications(): string[] {
  const text = readFileSync(new URL("./riskAreas/2022-05-20_2022-06-08.ndjson", import.meta.url), "utf8");
  return text.trim().split("\n");
}

/** The plan of a city for an instant. */
export function planCity({ holders, seed, startedAt }: { holders: number; seed: number; startedAt: string }): CityPlan {
  const counties = [...allCounties().values()].filter((c) => !c.isZone).map((c) => c.code);
  return { holders, seed, at: parseInstant(startedAt)!, counties, riskCounties: riskCounties() };
}

/** Counties outside the city that the last shipped list names. */
function riskCounties(): CountyCode[] {
  const { highlist, middlelist } = (JSON.parse(shippedPublications().at(-1)!) as { data: Record<"highlist" | "middlelist", { province: string; city: string; county: string }[]> }).data;
  const codes = [...highlist, ...middlelist].flatMap((place) => findCounties(place));
  return [...new Set(codes)].filter((c) => provinceOf(c) !== 11);
}

/** Delivers everything and waits until it is applied; the city has a past, so `client` delivers history. `onProgress` is told a share from 0 to 1. */
export async function loadCity(client: Client, plan: CityPlan, onProgress: (share: number) => void): Promise<void> {
  const sent: { feed: string; id: string }[] = [];
  const deliver = async (feed: string, id: string, rows: readonly string[], contentType = NDJSON): Promise<void> => {
    if (rows.length === 0) return;
    const { refused } = await client.deliver(feed, id, rows.join("\n"), contentType);
    if (refused.length > 0) throw new Error(`the demo's own ${feed} rows were refused: ${refused[0]!.field} ${refused[0]!.reason}`);
    sent.push({ feed, id });
  };

  const known = shippedPublications().filter((p) => publishedBefore(p, plan.at));
  for (const [i, publication] of known.entries()) await deliver("risk-areas", `demo-${i}`, [publication], "application/json");

  let holders: DemoHolder[] = [];
  let done = 0;
  const flush = async (): Promise<void> => {
    const id = `demo-${done}`;
    await deliver("holders", id, holders.map((h) => JSON.stringify({ documents: [documentOf(h)], phones: [h.phone] })));
    await deliver("trips", id, holders.flatMap((h, i) => h.trips.map((t, k) => tripRow(h, t, `demo-${done + i}-${k}`))));
    await deliver("findings", id, holders.flatMap((h, i) => h.findings.map((f, k) => JSON.stringify({ factId: `demo-${done + i}-${k}`, document: documentOf(h), kind: f.kind, from: f.fromDay, authority: "Invented Authority", ground: "invented for the demo" }))));
    await deliver("tests", id, holders.flatMap((h, i) => h.tests.map((t, k) => oruMessage(h.number, t, `demo-${done + i}-${k}`))), "application/hl7-v2");
    done += holders.length;
    holders = [];
    onProgress((done / plan.holders) * 0.5);
  };
  for (const holder of createCity(plan)) {
    if (holders.push(holder) === CHUNK_HOLDERS) await flush();
  }
  await flush();

  for (const [i, { feed, id }] of sent.entries()) {
    await untilApplied(client, feed, id);
    onProgress(0.5 + ((i + 1) / sent.length) * 0.5);
  }
}

function publishedBefore(publication: string, at: Instant): boolean {
  const { end_update_time: time } = (JSON.parse(publication) as { data: { end_update_time: string } }).data;
  const [date, hour] = time.replace("时", "").split(" ");
  return parseInstant(`${date!}T00:00:00+08:00`)! + Number(hour) * 3600 <= at;
}

function documentOf(holder: DemoHolder): { type: string; number: string } {
  return { type: "resident-id", number: holder.number };
}

function tripRow(holder: DemoHolder, trip: DemoHolder["trips"][number], factId: string): string {
  const { county, from, to } = trip;
  return JSON.stringify({ factId, phone: holder.phone, county: String(county), from: formatInstant(from), ...(to === null ? {} : { to: formatInstant(to) }) });
}
