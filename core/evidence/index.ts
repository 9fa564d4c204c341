// Evidence: what the sources told us, and where it lies.

export * from "./changes.ts";
export { decodeFact, encodeFact, kindOf } from "./factCodec.ts";
export * from "./publicationGuard.ts";
export { publicationId, type InfectionRow, type PublicationStanding, type PublicationState, type RegionChange, type ScreeningRow } from "./regionModel.ts";
export * from "./regions.ts";
export { isStillKnown, type RetentionRound, type ToldEvidence, type ToldFact } from "./retention.ts";
export { dropHalfMade, rewriteStore, type Rewritten } from "./rewrite.ts";
export * from "./store.ts";
