// Explain: why a holder has the flags that they have, now or as it was known at an instant, for people.

export { createExplainer, ExplainError, type Explainer } from "./explainer.ts";
export { startExplainServer, type ExplainSettings } from "./server.ts";
