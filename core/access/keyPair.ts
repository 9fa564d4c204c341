// Ed25519 key pairs, with which devices and sources prove who they are.
// Promises: one form of each half everywhere: the private one PKCS #8 in PEM, the public one SPKI in DER, base64, as the registry has it.
// Not here: what is signed (sessions.ts, signatures.ts).

import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";

/** A new key pair: the private half as PEM, the public one as it stands in the registry. */
export function createKeyPair(): { privateKeyPem: string; publicKey: string } {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return { privateKeyPem: privateKey.export({ type: "pkcs8", format: "pem" }), publicKey: publicKeyText(publicKey) };
}

/** A private key and its public half as it stands in the registry; undefined when the text is no Ed25519 key. */
export function readPrivateKey(privateKeyPem: string): { privateKey: KeyObject; publicKey: string } | undefined {
  try {
    const privateKey = createPrivateKey(privateKeyPem);
    return privateKey.asymmetricKeyType === "ed25519" ? { privateKey, publicKey: publicKeyText(createPublicKey(privateKey)) } : undefined;
  } catch {
    return undefined;
  }
}

/** A public key of the registry; undefined when the text is no Ed25519 key. */
export function readPublicKey(publicKey: string): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey, "base64"), format: "der", type: "spki" });
    return key.asymmetricKeyType === "ed25519" ? key : undefined;
  } catch {
    return undefined;
  }
}

function publicKeyText(publicKey: KeyObject): string {
  return publicKey.export({ type: "spki", format: "der" }).toString("base64");
}
