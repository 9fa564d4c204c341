// Access: who may ask and who may deliver, and the keys that stand for numbers.

export * from "./codes.ts";
export * from "./keyPair.ts";
export * from "./keyring.ts";
export * from "./limiter.ts";
export * from "./registry.ts";
export * from "./sessions.ts";
export * from "./signatures.ts";
export * from "./problem.ts";
