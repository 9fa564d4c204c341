// Policy: dated rules as data, and what they make of evidence.

export { createEvaluator, type Evaluator } from "./evaluate.ts";
export { beijingPack, incompleteRules, PackError, parsePack, spanAt, type PolicyPack, type RuleName } from "./pack.ts";
export { venueRule } from "./venue.ts";
