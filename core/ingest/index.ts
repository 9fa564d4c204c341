// Ingest: foreign bytes -> evidence -> entries.

export { contentTypesOf, FEEDS, isFeed, type Feed } from "./batch.ts";
export { findCounties } from "./riskAreas.ts";
export { startIngestServer, type IngestSettings } from "./server.ts";
export { startWorker, type WorkerSettings } from "./worker.ts";
