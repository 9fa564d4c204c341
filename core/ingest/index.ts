// Ingest: foreign bytes -> evidence -> entries.

export { createTally, everybody, measure, USUAL_LIMITS, type BlastReport, type ToldCount } from "./blastRadius.ts";
export { batchIdFault, contentTypesOf, FEEDS, isFeed, OPERATOR_FEEDS, readBatch, type Feed } from "./batch.ts";
export { decisionFault } from "./decisions.ts";
export type { InboxRow } from "./facts.ts";
export { packReasons, packRepeatedBy, regionChangeOf } from "./guarded.ts";
export { readJobs, type Job } from "./jobs.ts";
export { findCounties, readPublication, type ReadPublication } from "./riskAreas.ts";
export { workKindOf } from "./schedule.ts";
export { startIngestServer, type IngestSettings } from "./server.ts";
export { startWorker, type WorkerSettings } from "./worker.ts";
