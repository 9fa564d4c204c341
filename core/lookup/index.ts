// Lookup: bytes + now -> answer.

export * from "./answer.ts";
