// A process that holds one ingest API for tests which look at a process as a whole: `bun ingestHost.ts ORDER`, an order of JSON. Prints its port; ends when it is told to (SIGTERM).

import { createKeyring, type Registry } from "../core/access/index.ts";
import { startIngestServer } from "../core/ingest/index.ts";

export interface IngestOrder {
  readonly folders: { readonly inbox: string; readonly evidence: string };
  readonly registry: Registry;
  /** As hex. */
  readonly documentSecret: string;
  readonly now: number;
}

const { folders, registry, documentSecret, now } = JSON.parse(process.argv[2]!) as IngestOrder;
const server = startIngestServer({
  ...{ host: "127.0.0.1", port: 0, folders, registry, keyring: createKeyring(Buffer.from(documentSecret, "hex")), bodyBytesMax: 2 ** 32 },
  clock: { nowMs: () => now * 1000 },
  queueAddress: { redisUrl: "unix:/nonexistent/redis.sock", queueName: "test" },
  log: (line) => console.error(line),
});
process.on("SIGTERM", () => void server.stop().then(() => process.exit(0)));
console.log(server.port);
