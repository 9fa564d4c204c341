// `fangxing scan`, `fangxing explain` and `fangxing session`. A document comes on standard input, never as an argument, where others could read it.

import { readFileSync } from "node:fs";
import { createKeyring } from "../../core/access/index.ts";
import { isRefusal, maskNumber, now, parseDocument, type Document, type DocumentInput } from "../../core/domain/index.ts";
import { openEvidenceReader } from "../../core/evidence/index.ts";
import { createExplainer, ExplainError } from "../../core/explain/index.ts";
import { explanationText } from "../../core/policy/index.ts";
import { createClient, withAdvice } from "../client.ts";
import { dataFolder, existingFolder, folderClock } from "../dataFolder.ts";
import { UsageError, type Settings } from "../settings.ts";
import { runningService } from "./running.ts";

const TRY_AGAIN = "run the same command again in a moment";

/** Prints a gate's answer. */
export async function scan(settings: Settings, say: (line: string) => void): Promise<void> {
  const { input } = await readDocument();
  const folder = dataFolder(settings.data);
  const client = createClient(folder, runningService(folder, settings), folderClock(folder));
  say(JSON.stringify(await withAdvice(TRY_AGAIN, () => client.scan(input)), null, 2));
}

/** Prints a session token of the console. */
export async function session(settings: Settings, say: (line: string) => void): Promise<void> {
  const folder = dataFolder(settings.data);
  const client = createClient(folder, runningService(folder, settings), folderClock(folder));
  say(await withAdvice(TRY_AGAIN, () => client.session()));
}

/** Prints why a holder has the flags that they have, and what clears each; with --at, as it was decided at an instant. */
export async function explain(settings: Settings, say: (line: string) => void): Promise<void> {
  const { document } = await readDocument();
  const folder = existingFolder(settings.data);
  const keyring = createKeyring(readFileSync(folder.documentSecret));
  const evidence = openEvidenceReader(folder.evidence);
  try {
    const explanation = createExplainer(evidence).explain(keyring.documentKey(document), settings.at, now(folderClock(folder)));
    say(maskNumber(document.number));
    for (const line of explanationText(explanation, settings.language)) say(line);
  } catch (error) {
    if (error instanceof ExplainError) throw new UsageError(error.message);
    throw error;
  } finally {
    await evidence.close();
  }
}

/** A document from standard input: a bare number (a resident ID), or the JSON of a scan's document. */
async function readDocument(): Promise<{ input: DocumentInput & { issuer?: string }; document: Document }> {
  if (process.stdin.isTTY) process.stderr.write("Document number, then Enter and Ctrl-D: ");
  const text = (await Bun.stdin.text()).trim();
  if (text === "") throw new UsageError("the document comes on standard input: a resident ID's number, or {\"type\": …, \"number\": …}");
  const input = text.startsWith("{") ? parseJson(text) : { type: "resident-id", number: text };
  const document = parseDocument(input);
  if (isRefusal(document)) throw new UsageError(`${document.field} ${document.reason}`);
  return { input, document };
}

function parseJson(text: string): { type: string; number: string; issuer?: string } {
  try {
    const value = JSON.parse(text) as { document?: object } | null;
    const { type, number, issuer } = (value?.document ?? value) as Record<string, unknown>;
    if (typeof type === "string" && typeof number === "string" && (issuer === undefined || typeof issuer === "string")) {
      return { type, number, ...(issuer === undefined ? {} : { issuer }) };
    }
  } catch {
    // said below
  }
  throw new UsageError("standard input must be a number or a JSON object with the texts type and number");
}
