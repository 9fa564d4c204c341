// Evidence: what the sources told us, and where it lies.

export * from "./changes.ts";
export { decodeFact, encodeFact } from "./factCodec.ts";
export * from "./publicationGuard.ts";
export { publicationId, type InfectionRow, type PublicationStanding, type PublicationState, type RegionChange, type ScreeningRow } from "./regionModel.ts";
export * from "./regions.ts";
export * from "./store.ts";
