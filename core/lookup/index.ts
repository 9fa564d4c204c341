// Lookup: bytes + now -> answer.

export * from "./answer.ts";
export { createLimits, type Limits } from "./limits.ts";
export { startLookupServer, type LookupSettings } from "./server.ts";
export { compileVenues, type CompiledVenueRule, type CompiledVenues } from "./venues.ts";
