// Signatures of deliveries: HTTP message signatures (RFC 9421) with a content digest (RFC 9530), one HMAC secret a source.
// Promises: who altered the method, the path, the batch id, the source or one byte of the body has no valid signature.
// Not here: which feeds a source may deliver to (registry.ts), and repeated batches (the inbox answers those).

import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { httpbis } from "http-message-signatures";
import { isInnerList, parseDictionary, serializeItem, serializeList, type InnerList } from "structured-headers";
import type { Clock, Instant } from "../domain/index.ts";
import type { Registry, Source } from "./registry.ts";

/** What a signature must cover: of a delivery, and of a question about one. */
const DELIVERY_FIELDS = ["@method", "@path", "content-digest", "batch-id", "source"];
const QUESTION_FIELDS = ["@method", "@path", "source"];
/** How far `created` may lie from the server's clock. */
const AGE_S_MAX = 300;

export interface SignedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  /** A delivery has a body, which bodyMatches checks; a question has none. */
  readonly kind: "delivery" | "question";
}

/** Checks a request by its headers, so that nobody's body is read before it is known who sends. @returns its source, or what is wrong in words for the sender. */
export function verifyRequest(request: SignedRequest, registry: Registry, clock: Clock): Source | string {
  const { headers, kind } = request;
  if (headers["signature"] === undefined || headers["signature-input"] === undefined) {
    return "the request must be signed: headers Signature-Input and Signature (RFC 9421) are missing";
  }
  if (kind === "delivery" && headers["content-digest"] === undefined) return DIGEST_FAULT;
  const signed = readSignature(headers["signature-input"], headers["signature"]);
  if (!signed) return "Signature-Input and Signature must hold one signature, with created, nonce and keyid, as in RFC 9421";
  const { components, input, created, expires, keyId, signature } = signed;
  const missing = (kind === "delivery" ? DELIVERY_FIELDS : QUESTION_FIELDS).filter((field) => !components.includes(`"${field}"`));
  if (missing.length > 0) return `the signature must cover ${missing.join(", ")}`;
  const now = Math.floor(clock.nowMs() / 1000);
  if (Math.abs(now - created) > AGE_S_MAX || (expires !== undefined && now > expires)) {
    return `the signature's created must lie within ${AGE_S_MAX} s of the server's time, which is ${now}, and its expires, if there is one, not before it`;
  }
  const source = registry.sources.find((s) => s.name === keyId);
  const base = baseOf(request, components, input);
  if (base === undefined) return `the signature covers something that the request doesn't have, or that is not known here: cover ${(kind === "delivery" ? DELIVERY_FIELDS : QUESTION_FIELDS).join(", ")} and headers that are sent`;
  const right = createHmac("sha256", Buffer.from(source?.secret ?? "", "base64")).update(base).digest();
  if (!source || signature.length !== right.length || !timingSafeEqual(signature, right)) return "the signature is not valid for this source, method, path and body";
  return headers["source"] === source.name ? source : "the header Source must name the source that keyid names";
}

/** What to answer when bodyMatches says no. */
export const DIGEST_FAULT = "Content-Digest must be the sha-256 of the body as it is sent (RFC 9530)";

/** Whether a delivery's body is the one that was signed: its sha-256 stands in Content-Digest (RFC 9530). */
export function bodyMatches(headers: Record<string, string>, sha256: Uint8Array): boolean {
  return headers["content-digest"] === digestText(sha256);
}

interface ReadSignature {
  /** Covered components as they stand, with their parameters: `"@method"`. */
  readonly components: readonly string[];
  readonly input: InnerList;
  readonly created: Instant;
  readonly expires: Instant | undefined;
  readonly keyId: string;
  readonly signature: Uint8Array;
}

function readSignature(inputHeader: string, signatureHeader: string): ReadSignature | undefined {
  try {
    const [inputs, signatures] = [parseDictionary(inputHeader), parseDictionary(signatureHeader)];
    const [entry] = inputs;
    if (!entry || inputs.size !== 1 || signatures.size !== 1) return undefined;
    const [label, input] = entry;
    const signature: unknown = signatures.get(label)?.[0];
    if (!isInnerList(input) || !(signature instanceof ArrayBuffer)) return undefined;
    const [items, parameters] = input;
    const [created, expires, nonce, keyId, algorithm] = ["created", "expires", "nonce", "keyid", "alg"].map((name): unknown => parameters.get(name));
    if (!Number.isInteger(created) || (expires !== undefined && !Number.isInteger(expires))) return undefined;
    if (typeof nonce !== "string" || typeof keyId !== "string" || (algorithm !== undefined && algorithm !== "hmac-sha256")) return undefined;
    const components = items.map((item) => serializeItem(item));
    return { components, input, created: created as number, expires: expires as number | undefined, keyId, signature: new Uint8Array(signature) };
  } catch {
    return undefined; // no structured fields (RFC 9651)
  }
}

/** What is signed (RFC 9421 §2.5), or undefined when a component isn't there. */
function baseOf({ method, path, headers }: SignedRequest, components: readonly string[], input: InnerList): string | undefined {
  try {
    const base = httpbis.createSignatureBase({ fields: [...components] }, { method, url: `http://service${path}`, headers });
    return httpbis.formatSignatureBase([...base, ['"@signature-params"', [serializeList([input])]]]);
  } catch {
    return undefined;
  }
}

/** The headers that sign a request. With `batchId` and body, or the sha-256 of a body that is streamed, it is a delivery. */
export async function signRequest(
  request: { method: string; path: string; batchId?: string; body?: Uint8Array; sha256?: Uint8Array },
  source: Pick<Source, "name" | "secret">,
  clock: Clock,
): Promise<Record<string, string>> {
  const headers: Record<string, string> = { Source: source.name };
  if (request.batchId !== undefined) headers["Batch-Id"] = request.batchId;
  const sha256 = request.sha256 ?? (request.body && createHash("sha256").update(request.body).digest());
  if (sha256) headers["Content-Digest"] = digestText(sha256);
  const secret = Buffer.from(source.secret, "base64");
  const signed = await httpbis.signMessage(
    {
      key: { id: source.name, alg: "hmac-sha256", sign: (data: Buffer) => Promise.resolve(createHmac("sha256", secret).update(data).digest()) },
      fields: sha256 ? DELIVERY_FIELDS : QUESTION_FIELDS,
      params: ["created", "nonce", "keyid", "alg"],
      paramValues: { created: new Date(clock.nowMs()), nonce: randomBytes(16).toString("base64url") },
    },
    { method: request.method, url: `http://service${request.path}`, headers },
  );
  return signed.headers;
}

function digestText(sha256: Uint8Array): string {
  return `sha-256=:${Buffer.from(sha256).toString("base64")}:`;
}
