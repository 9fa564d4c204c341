// Entries: verdicts as bytes, and where they lie.

export * from "./codec.ts";
export * from "./store.ts";
