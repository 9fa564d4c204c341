// The nouns that every room shares. Imports nothing of the project.

export * from "./clock.ts";
export * from "./countries.ts";
export * from "./documents.ts";
export * from "./evidence.ts";
export * from "./intervals.ts";
export * from "./keys.ts";
export * from "./regions.ts";
export * from "./schemas.ts";
export * from "./time.ts";
export * from "./verdict.ts";
