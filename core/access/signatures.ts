// Signatures of deliveries: HTTP message signatures (RFC 9421) with a content digest (RFC 9530), one HMAC secret a source.
// Promises: who altered the method, the path, the batch id, the source or one byte of the body has no valid signature.
// Not here: which feeds a source may deliver to (registry.ts), and repeated batches (the inbox answers those).

import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { httpbis } from "http-message-signatures";
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
  /** Absent for a question (GET). */
  readonly body?: Uint8Array;
}

/** Checks a request. @returns its source, or what is wrong in words for the sender. */
export async function verifyRequest(request: SignedRequest, registry: Registry, clock: Clock): Promise<Source | string> {
  const { headers, body } = request;
  if (headers["signature"] === undefined || headers["signature-input"] === undefined) {
    return "the request must be signed: headers Signature-Input and Signature (RFC 9421) are missing";
  }
  if (body && headers["content-digest"] !== contentDigest(body)) return "Content-Digest must be the sha-256 of the body (RFC 9530)";
  const now = Math.floor(clock.nowMs() / 1000);
  let source: Source | undefined;
  let created: Instant | undefined;
  try {
    const verified = await httpbis.verifyMessage(
      {
        requiredParams: ["created", "nonce", "keyid"],
        requiredFields: body ? DELIVERY_FIELDS : QUESTION_FIELDS,
        notAfter: Number.MAX_SAFE_INTEGER, // the age is checked below, on the service's own clock
        keyLookup: (parameters) => {
          source = registry.sources.find((s) => s.name === parameters.keyid);
          created = parameters.created instanceof Date ? parameters.created.getTime() / 1000 : undefined;
          if (!source) return Promise.resolve(null);
          const secret = Buffer.from(source.secret, "base64");
          return Promise.resolve({
            algs: ["hmac-sha256"],
            verify: (data: Buffer, signature: Buffer) => {
              const mac = createHmac("sha256", secret).update(data).digest();
              return Promise.resolve(signature.length === mac.length && timingSafeEqual(signature, mac));
            },
          });
        },
      },
      { method: request.method, url: `http://service${request.path}`, headers },
    );
    if (verified !== true || !source) return "the signature is not valid for this source, method, path and body";
  } catch (error) {
    return `the signature can't be checked: ${error instanceof Error ? error.message : "malformed"}`;
  }
  if (headers["source"] !== source.name) return "the header Source must name the source that keyid names";
  if (created === undefined || Math.abs(now - created) > AGE_S_MAX) {
    return `the signature's created must lie within ${AGE_S_MAX} s of the server's time, which is ${now}`;
  }
  return source;
}

/** The headers that sign a request. With `batchId` and body it is a delivery. */
export async function signRequest(
  request: { method: string; path: string; batchId?: string; body?: Uint8Array },
  source: Pick<Source, "name" | "secret">,
  clock: Clock,
): Promise<Record<string, string>> {
  const headers: Record<string, string> = { Source: source.name };
  if (request.batchId !== undefined) headers["Batch-Id"] = request.batchId;
  if (request.body) headers["Content-Digest"] = contentDigest(request.body);
  const secret = Buffer.from(source.secret, "base64");
  const signed = await httpbis.signMessage(
    {
      key: { id: source.name, alg: "hmac-sha256", sign: (data: Buffer) => Promise.resolve(createHmac("sha256", secret).update(data).digest()) },
      fields: request.body ? DELIVERY_FIELDS : QUESTION_FIELDS,
      params: ["created", "nonce", "keyid", "alg"],
      paramValues: { created: new Date(clock.nowMs()), nonce: randomBytes(16).toString("base64url") },
    },
    { method: request.method, url: `http://service${request.path}`, headers },
  );
  return signed.headers;
}

function contentDigest(body: Uint8Array): string {
  return `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
}
