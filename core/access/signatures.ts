// Signatures of deliveries: HTTP message signatures (RFC 9421) with a content digest (RFC 9530), by the Ed25519 keys of each source.
// Promises: who altered the method, the path, the batch id, the source, how the body is to be read or one byte of it has no valid signature.
// Not here: which feeds a source may deliver to (registry.ts), whether a signature was seen before and how much a source may deliver (admission.ts of ingest), and repeated batches (the inbox answers those).

import { createHash, randomBytes, sign, verify, type KeyObject } from "node:crypto";
import { httpbis } from "http-message-signatures";
import { isInnerList, parseItem, parseList, serializeItem, serializeList, type InnerList } from "structured-headers";
import type { Clock, Instant } from "../domain/index.ts";
import { readPrivateKey, readPublicKey } from "./keyPair.ts";
import { sourceKeyId, type Registry, type Source } from "./registry.ts";

/** What a signature must cover: of a delivery, and of a question about one. */
const DELIVERY_FIELDS = ["@method", "@path", "content-digest", "batch-id", "source"];
const QUESTION_FIELDS = ["@method", "@path", "source"];
/** Headers that say how a body is to be read: a signature of a delivery must cover those that are sent. */
const READING_FIELDS = ["content-type", "content-encoding"];
/** How far `created` may lie from the server's clock. */
const AGE_S_MAX = 300;
const ALGORITHM = "ed25519";

export interface SignedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  /** A delivery has a body, which bodyMatches checks; a question has none. */
  readonly kind: "delivery" | "question";
}

/** Of a request whose signature is valid. */
export interface Signed {
  readonly source: Source;
  /** As the signature names it: sourceKeyId. */
  readonly keyId: string;
  readonly nonce: string;
  /** Until then, this second included, the signature is taken by its `created`: so long its nonce must be remembered. */
  readonly endsAt: Instant;
}

/** Checks a request by its headers, so that nobody's body is read before it is known who sends. @returns who signed it, or what is wrong in words for the sender. */
export type Verifier = (request: SignedRequest) => Signed | string;

/** A verifier for the keys of a registry, each of which is parsed once: checking a signature takes some 50 µs. */
export function createVerifier(registry: Registry, clock: Clock): Verifier {
  const keys = new Map(registry.sources.flatMap((source) => source.keys.map(({ id, publicKey }) => [sourceKeyId(source.name, id), { source, publicKey: readPublicKey(publicKey)! }] as const)));
  return (request) => {
    const { headers, kind } = request;
    if (headers["signature"] === undefined || headers["signature-input"] === undefined) {
      return "the request must be signed: headers Signature-Input and Signature (RFC 9421) are missing";
    }
    if (kind === "delivery" && headers["content-digest"] === undefined) return DIGEST_FAULT;
    const signed = readSignature(headers["signature-input"], headers["signature"]);
    if (!signed) return `Signature-Input and Signature must hold one signature, with created, nonce and keyid, and if alg then ${ALGORITHM}, as in RFC 9421`;
    const { components, input, created, expires, nonce, keyId, signature } = signed;
    const needed = kind === "question" ? QUESTION_FIELDS : [...DELIVERY_FIELDS, ...READING_FIELDS.filter((field) => headers[field] !== undefined)];
    const missing = needed.filter((field) => !components.includes(`"${field}"`));
    if (missing.length > 0) return `the signature must cover ${missing.join(", ")}`;
    const now = Math.floor(clock.nowMs() / 1000);
    if (Math.abs(now - created) > AGE_S_MAX || (expires !== undefined && now > expires)) {
      return `the signature's created must lie within ${AGE_S_MAX} s of the server's time, which is ${now}, and its expires, if there is one, not before it`;
    }
    const base = baseOf(request, components, input);
    if (base === undefined) return `the signature covers something that the request doesn't have, or that is not known here: cover ${needed.join(", ")} and headers that are sent`;
    const key = keys.get(keyId);
    if (!key || !verify(null, Buffer.from(base), key.publicKey, signature)) {
      return "the signature is not valid for this keyid, method, path, headers and body: keyid must be SOURCE/KEY, a key that the source has now";
    }
    if (headers["source"] !== key.source.name) return "the header Source must name the source that keyid names";
    return { source: key.source, keyId, nonce, endsAt: created + AGE_S_MAX };
  };
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
  readonly nonce: string;
  readonly keyId: string;
  readonly signature: Uint8Array;
}

/** Each header must hold one signature and nothing beside it: of two under one name a reader of dictionaries would take the last without a word. */
function readSignature(inputHeader: string, signatureHeader: string): ReadSignature | undefined {
  try {
    const [label, inputText] = readMember(inputHeader);
    const [signatureLabel, signatureText] = readMember(signatureHeader);
    const inputs = parseList(inputText);
    const [input] = inputs;
    const signature: unknown = parseItem(signatureText)[0];
    if (label !== signatureLabel || inputs.length !== 1 || !input || !isInnerList(input) || !(signature instanceof ArrayBuffer)) return undefined;
    const [items, parameters] = input;
    const [created, expires, nonce, keyId, algorithm] = ["created", "expires", "nonce", "keyid", "alg"].map((name): unknown => parameters.get(name));
    if (!Number.isInteger(created) || (expires !== undefined && !Number.isInteger(expires))) return undefined;
    if (typeof nonce !== "string" || typeof keyId !== "string" || (algorithm !== undefined && algorithm !== ALGORITHM)) return undefined;
    const components = items.map((item) => serializeItem(item));
    return { components, input, created: created as number, expires: expires as number | undefined, nonce, keyId, signature: new Uint8Array(signature) };
  } catch {
    return undefined; // no structured fields (RFC 9651)
  }
}

/** The name and the value of a dictionary's only member. */
function readMember(header: string): [string, string] {
  const at = header.indexOf("=");
  return [header.slice(0, at).trim(), header.slice(at + 1)];
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

/** As whom a request is signed. */
export interface Signer {
  readonly source: string;
  readonly keyId: string;
  readonly privateKey: KeyObject;
}

/** A source's signer by one of its keys' private half (PKCS #8, PEM); undefined when it is that of none of them. */
export function createSigner(source: Pick<Source, "name" | "keys">, privateKeyPem: string): Signer | undefined {
  const pair = readPrivateKey(privateKeyPem);
  const key = source.keys.find(({ publicKey }) => publicKey === pair?.publicKey);
  return pair && key && { source: source.name, keyId: sourceKeyId(source.name, key.id), privateKey: pair.privateKey };
}

/** What is to be signed. With `batchId`, and a body or its sha-256, it is a delivery. */
export interface RequestToSign {
  readonly method: string;
  readonly path: string;
  readonly batchId?: string;
  readonly body?: Uint8Array;
  /** Of a body that is streamed. */
  readonly sha256?: Uint8Array;
  readonly contentType?: string;
  readonly contentEncoding?: string;
}

/** The headers that a signed request needs, those that say how its body is to be read among them. Each time under a nonce of its own: who sends a request again signs it again. */
export async function signRequest({ method, path, batchId, body, sha256: told, contentType, contentEncoding }: RequestToSign, signer: Signer, clock: Clock): Promise<Record<string, string>> {
  const headers: Record<string, string> = { Source: signer.source };
  if (batchId !== undefined) headers["Batch-Id"] = batchId;
  const sha256 = told ?? (body && createHash("sha256").update(body).digest());
  if (sha256) headers["Content-Digest"] = digestText(sha256);
  if (contentType !== undefined) headers["Content-Type"] = contentType;
  if (contentEncoding !== undefined) headers["Content-Encoding"] = contentEncoding;
  const sent = Object.keys(headers).map((header) => header.toLowerCase());
  const signed = await httpbis.signMessage(
    {
      key: { id: signer.keyId, alg: ALGORITHM, sign: (data: Buffer) => Promise.resolve(sign(null, data, signer.privateKey)) },
      fields: sha256 ? [...DELIVERY_FIELDS, ...READING_FIELDS.filter((field) => sent.includes(field))] : QUESTION_FIELDS,
      params: ["created", "nonce", "keyid", "alg"],
      paramValues: { created: new Date(clock.nowMs()), nonce: randomBytes(16).toString("base64url") },
    },
    { method, url: `http://service${path}`, headers },
  );
  return signed.headers;
}

function digestText(sha256: Uint8Array): string {
  return `sha-256=:${Buffer.from(sha256).toString("base64")}:`;
}
