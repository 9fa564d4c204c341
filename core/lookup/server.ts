// The gates' server: opens what answers need and puts the site on a front.
// Not here: what is at its port (site.ts, health.ts), HTTP (front).

import type { Clock } from "../domain/index.ts";
import { createCodes, createSessions, type Keyring, type Registry } from "../access/index.ts";
import { openMappedEntryReader } from "../entry/index.ts";
import { startFront, type Front, type Server } from "../front/index.ts";
import { healthPages } from "./health.ts";
import { createLimits } from "./limits.ts";
import { createLook } from "./look.ts";
import { createMetrics } from "./metrics.ts";
import { createRecordLook } from "./records.ts";
import { createSite } from "./site.ts";
import { compileVenues } from "./venues.ts";

export interface LookupSettings {
  readonly server: Server;
  readonly host: string;
  readonly port: number;
  /** Whether other lookup processes listen on it too. */
  readonly isShared: boolean;
  /** How many processes share it, each with its part of the limits. */
  readonly processes: number;
  readonly entriesFolder: string;
  readonly registry: Registry;
  readonly keyring: Keyring;
  readonly sessionSecret: Uint8Array;
  readonly clock: Clock;
  /** Milliseconds of a clock that only goes forward, for limits and durations. */
  readonly elapsedMs?: () => number;
  readonly log: (line: string) => void;
}

/** How often the venues' rules are read anew. */
const VENUES_MS = 1000;

/** Starts the server. @throws when the port is taken, or there are no entries yet. */
export function startLookupServer({ server, host, port, isShared, processes, entriesFolder, registry, keyring, sessionSecret, clock, elapsedMs = () => performance.now(), log }: LookupSettings): Front {
  const entries = openMappedEntryReader(entriesFolder);
  const unmapped = entries.unmappedBecause();
  if (unmapped !== undefined) log(`entries are read by the library alone, slower: ${unmapped}`);
  const metrics = createMetrics();
  let venues = compileVenues(entries.venueRules());
  const limits = createLimits(registry.devices, processes);
  const codes = createCodes(sessionSecret);
  const parts = { entries, keyring, codes, venues: () => venues, clock, metrics };
  for (const { name, venue } of registry.devices) {
    if (!venues.has(venue)) log(`device ${name} stands at a venue of the kind "${venue}", of which the rules in force say nothing: it will be answered no-policy`);
  }
  const site = createSite({ look: createLook(parts), recordLook: createRecordLook(parts), sessions: createSessions(registry, sessionSecret, clock), limits, codes, keyring, clock, elapsedMs, metrics, log });
  const front = startFront(server, { ...site, pages: healthPages(entries, clock, metrics, limits) }, { host, port, isShared });
  // The rules may change while we run; the worker writes them beside the entries.
  const timer = setInterval(() => (venues = compileVenues(entries.venueRules())), VENUES_MS);
  return {
    ...front,
    async stop() {
      clearInterval(timer);
      await front.stop();
      await entries.close();
    },
  };
}
