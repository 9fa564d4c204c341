// What a command is told of a server that isn't there, hangs up, or is another one.

import { afterEach, expect, test } from "vitest";
import { systemClock } from "../core/domain/index.ts";
import { temporaryFolder } from "../test/support.ts";
import { createClient, UnreachableError, withAdvice } from "./client.ts";
import { dataFolder, prepareFolder } from "./dataFolder.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

/** A port where every connection ends in this way. */
function portThat(answers: "hangs up" | "breaks off" | "is another server" | "is empty"): number {
  if (answers === "is another server") {
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("hello") });
    stops.push(() => server.stop(true));
    return server.port!;
  }
  const half = 'HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n{"batch"';
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket) {
        if (answers === "breaks off") socket.write(half);
        socket.end();
      },
    },
  });
  if (answers === "is empty") listener.stop(true);
  else stops.push(() => listener.stop(true));
  return listener.port;
}

test.each([
  ["is empty", /^the ingest API at http:\/\/127\.0\.0\.1:\d+ can't be reached: it may be stopping or starting again; do this$/],
  ["hangs up", /^the ingest API at http:\/\/127\.0\.0\.1:\d+ was gone before it had answered: .*; do this$/],
  ["breaks off", /^the ingest API at http:\/\/127\.0\.0\.1:\d+ was gone before it had answered: .*; do this$/],
  ["is another server", /^the ingest API at http:\/\/127\.0\.0\.1:\d+ answered with status 200 and no JSON: is it this service that listens there\?; do this$/],
] as const)("a port that %s is one message, with what to do", async (answers, message) => {
  const folder = dataFolder(temporaryFolder());
  prepareFolder(folder);
  const port = portThat(answers);
  const client = createClient(folder, { host: "127.0.0.1", lookupPort: port, ingestPort: port, explainPort: port }, systemClock);
  const fault: unknown = await withAdvice("do this", () => client.deliver("tests", "batch-1", "{}", "application/x-ndjson")).catch((error: unknown) => error);
  expect(fault).toBeInstanceOf(UnreachableError);
  expect((fault as Error).message).toMatch(message);
});
