// Front: servers behind one interface, for the rooms that answer.

export * from "./front.ts";
export { startBunFront } from "./bun.ts";
