// Evidence: what the sources told us, and where it lies.

export * from "./regions.ts";
export * from "./store.ts";
