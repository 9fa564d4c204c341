// Policy: dated rules as data, and what they make of evidence.

export { LANGUAGES, type Language, type Words } from "./catalogue.ts";
export { flagDifferences, flagsFrom, type FlagDifference } from "./difference.ts";
export { createEvaluator, type Evaluator } from "./evaluate.ts";
export { explain, explanationText, type ExplainedFact, type Explanation, type ExplanationInput, type FlagExplanation, type FlagState } from "./explain.ts";
export { beijingPack, beijingPackText, incompleteRules, PackError, parseNewPack, parsePack, spanAt, type PackFault, type PolicyPack, type RuleName } from "./pack.ts";
export { createRetention, type Retention } from "./retention.ts";
export { USUAL_VENUE, venueRules } from "./venue.ts";
