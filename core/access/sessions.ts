// Sessions of devices: a device signs once with its Ed25519 key and gets a bearer token, which any lookup process can check by itself.
// Promises: a token can't be made or changed without the session secret; it ends by itself; a request for a session can't be used twice in
// one process.
// Not here: limits.

import { createHmac, createPrivateKey, sign, timingSafeEqual, verify, type KeyObject } from "node:crypto";
import { parseInstant, type Clock, type Instant } from "../domain/index.ts";
import { readPublicKey } from "./keyPair.ts";
import type { Device, Registry } from "./registry.ts";

/** What a device sends to get a session. `signature` is base64 over sessionText. */
export interface SessionRequest {
  readonly device: string;
  readonly issuedAt: string;
  readonly nonce: string;
  readonly signature: string;
}

export interface Session {
  readonly device: Device;
  /** Its place in the registry. */
  readonly deviceIndex: number;
  readonly expiresAt: Instant;
}

export type SessionFault = "unknown-device-or-signature" | "clock" | "replay";

const LIFETIME_S = 8 * 3600;
/** How far a device's clock may be off. */
const CLOCK_DRIFT_S_MAX = 300;
/** Tokens and nonces remembered at most; beyond it the memory begins anew. */
const REMEMBERED_MAX = 100_000;

/** What a device signs. */
export function sessionText({ device, issuedAt, nonce }: Omit<SessionRequest, "signature">): Buffer {
  return Buffer.from(`fangxing session\n${device}\n${issuedAt}\n${nonce}`);
}

export function signSessionRequest(request: Omit<SessionRequest, "signature">, privateKeyPem: string): SessionRequest {
  return { ...request, signature: sign(null, sessionText(request), createPrivateKey(privateKeyPem)).toString("base64") };
}

export interface Sessions {
  /** @returns the token with its end, or why there is none. */
  open(request: SessionRequest): { token: string; expiresAt: Instant } | SessionFault;
  /** The session of a token at `now`, or undefined when it is none, or has ended, or its device is gone. */
  find(token: string, now: Instant): Session | undefined;
}

export function createSessions(registry: Registry, secret: Uint8Array, clock: Clock): Sessions {
  if (secret.length < 32) throw new Error("the session secret must have at least 32 bytes");
  const devices = new Map(registry.devices.map((device, index) => [device.name, { device, index }]));
  const publicKeys = new Map<string, KeyObject>();
  const found = new Map<string, Session>();
  const nonces = new Map<string, Instant>();

  const publicKeyOf = (device: Device): KeyObject => {
    let key = publicKeys.get(device.name);
    if (!key) publicKeys.set(device.name, (key = readPublicKey(device.publicKey)!));
    return key;
  };
  const tokenOf = (payload: string): string => `${payload}~${createHmac("sha256", secret).update(payload).digest().subarray(0, 16).toString("base64url")}`;

  const forgetOldNonces = (at: Instant): void => {
    if (nonces.size < REMEMBERED_MAX) return;
    for (const [nonce, until] of nonces) if (until < at) nonces.delete(nonce);
    if (nonces.size >= REMEMBERED_MAX) nonces.clear();
  };

  return {
    open(request) {
      const device = devices.get(request.device)?.device;
      const at = Math.floor(clock.nowMs() / 1000);
      if (!device || !verify(null, sessionText(request), publicKeyOf(device), Buffer.from(request.signature, "base64"))) {
        return "unknown-device-or-signature";
      }
      const issuedAt = parseInstant(request.issuedAt);
      if (issuedAt === undefined || Math.abs(issuedAt - at) > CLOCK_DRIFT_S_MAX) return "clock";
      const nonce = `${device.name}\n${request.nonce}`;
      if ((nonces.get(nonce) ?? -1) >= at) return "replay";
      forgetOldNonces(at);
      nonces.set(nonce, issuedAt + CLOCK_DRIFT_S_MAX);
      const expiresAt = at + LIFETIME_S;
      const payload = `${device.name}.${expiresAt.toString(36)}`;
      return { token: tokenOf(payload), expiresAt };
    },

    find(token, now) {
      let session = found.get(token);
      if (!session) {
        session = readToken(token);
        if (!session) return undefined;
        if (found.size >= REMEMBERED_MAX) found.clear();
        found.set(token, session);
      }
      return now < session.expiresAt ? session : undefined;
    },
  };

  function readToken(token: string): Session | undefined {
    const end = token.indexOf("~");
    // No token at all, or none of ours: nothing is hashed for it.
    if (end < 0) return undefined;
    const payload = token.slice(0, end);
    // The whole text is compared, so that one session has one spelling.
    const [given, right] = [Buffer.from(token), Buffer.from(tokenOf(payload))];
    if (given.length !== right.length || !timingSafeEqual(given, right)) return undefined;
    const dot = payload.lastIndexOf(".");
    const known = devices.get(payload.slice(0, dot));
    return known && { device: known.device, deviceIndex: known.index, expiresAt: parseInt(payload.slice(dot + 1), 36) };
  }
}
