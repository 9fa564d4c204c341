// Entries: verdicts as bytes, and where they lie.

export * from "./codec.ts";
export { openMappedEntryReader, type MappedEntryReader } from "./mappedReader.ts";
export { createRecordBatch, DAMAGED, NO_ENTRY, type RecordBatch } from "./recordBatch.ts";
export * from "./store.ts";
