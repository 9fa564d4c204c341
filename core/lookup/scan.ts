// A scan as JSON: the body of a request -> the question, and the answer's bytes.
// Promises: every answer has the same fields and length; what is no question is refused by its field.
// Not here: HTTP, sessions (server.ts), looking (look.ts).

import { isRefusal, repeatableName, type DocumentInput, type Refusal } from "../domain/index.ts";
import { answerBytes } from "./answer.ts";
import { outcomeOf, type Look, type Question } from "./look.ts";

export interface ScanResult {
  /** The answer as it goes over the wire; borrowed until the next scan. */
  readonly bytes: Uint8Array;
  /** As metrics count it. */
  readonly outcome: number;
}

/** Answers one scan of a device at a kind of venue. @returns the field at fault when the body is none. */
export function createScan(look: Look): (body: unknown, venue: string) => ScanResult | Refusal {
  return (body, venue) => {
    const question = readQuestion(body);
    if (isRefusal(question)) return question;
    const looked = look(question, venue);
    if (isRefusal(looked)) return looked;
    return { bytes: answerBytes(looked.answer, looked.masked, looked.nowMs), outcome: outcomeOf(looked) };
  };
}

/** Checks the shape by hand: this is on the way of every scan. */
export function readQuestion(body: unknown): Question | Refusal {
  if (!isObject(body)) return { field: "body", reason: 'must be a JSON object such as {"document": {"type": "resident-id", "number": "…"}}' };
  for (const key in body) {
    const value = body[key];
    if (key === "temperatureC") {
      if (typeof value !== "number" || value < 30 || value > 45) return { field: key, reason: "must be a body temperature between 30 and 45" };
    } else if (key === "samplingReceipt") {
      if (typeof value !== "boolean") return { field: key, reason: "must be true or false" };
    } else if (key === "code") {
      if (typeof value !== "string") return { field: key, reason: "must be a text" };
    } else if (key !== "document") return { field: repeatableName(key), reason: "is no field of a scan: there are document, code, temperatureC and samplingReceipt" };
  }
  const hasReceipt = body["samplingReceipt"] === true;
  const { document, code } = body;
  if (code !== undefined) {
    return document === undefined ? { code: code as string, hasReceipt } : { field: "code", reason: "stands beside a document: a scan is of one or the other" };
  }
  if (!isObject(document)) return { field: "document", reason: "is missing: an object with type and number is needed, or a code" };
  for (const key in document) {
    if (key !== "type" && key !== "number" && key !== "issuer") return { field: `document.${repeatableName(key)}`, reason: "is no field of a document: there are type, number and issuer" };
    if (typeof document[key] !== "string") return { field: `document.${key}`, reason: "must be a text" };
  }
  if (document["type"] === undefined) return { field: "document.type", reason: "is missing" };
  if (document["number"] === undefined) return { field: "document.number", reason: "is missing" };
  return { document: document as unknown as DocumentInput, hasReceipt };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
