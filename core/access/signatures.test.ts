import { createHash, createPrivateKey, generateKeyPairSync, sign } from "node:crypto";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { clockAt } from "../../test/support.ts";
import { parseInstant } from "../domain/index.ts";
import { createKeyPair } from "./keyPair.ts";
import type { Registry, Source } from "./registry.ts";
import { bodyMatches, createSigner, createVerifier, signRequest, type SignedRequest, type Signer } from "./signatures.ts";

const NOW = parseInstant("2022-06-09T07:50:00+08:00")!;
const [newKey, oldKey, retiredKey, otherKey] = [createKeyPair(), createKeyPair(), createKeyPair(), createKeyPair()];
const lab: Source = { name: "lab-1", feeds: ["tests"], keys: [{ id: "new", publicKey: newKey.publicKey }, { id: "old", publicKey: oldKey.publicKey }] };
const other: Source = { name: "lab-2", feeds: ["tests"], keys: [{ id: "1", publicKey: otherKey.publicKey }] };
const registry: Registry = { devices: [], sources: [lab, other] };
const [labSigner, oldSigner, otherSigner] = [createSigner(lab, newKey.privateKeyPem)!, createSigner(lab, oldKey.privateKeyPem)!, createSigner(other, otherKey.privateKeyPem)!];
const PATH = "/v1/feeds/tests/batches";
const BODY = new TextEncoder().encode('{"factId":"1"}\n');

const clock = clockAt(NOW);
beforeEach(() => {
  clock.seconds = NOW;
});

/** Headers as a server sees them. */
const lowerCase = (headers: Record<string, string>): Record<string, string> => Object.fromEntries(Object.entries(headers).map(([k, v]) => [k.toLowerCase(), v]));

type Delivery = SignedRequest & { readonly body: Uint8Array };

async function delivery(signer: Signer = labSigner, body: Uint8Array = BODY, reading: { contentType?: string; contentEncoding?: string } = {}): Promise<Delivery> {
  const headers = await signRequest({ method: "POST", path: PATH, batchId: "batch-1", body, ...reading }, signer, clock);
  return { kind: "delivery", method: "POST", path: PATH, headers: lowerCase(headers), body };
}
async function question(): Promise<SignedRequest> {
  const path = `${PATH}/batch-1`;
  return { kind: "question", method: "GET", path, headers: lowerCase(await signRequest({ method: "GET", path }, labSigner, clock)) };
}
/** As the server does: first the headers, then the body against its digest. */
const verifySigned = createVerifier(registry, clock);
const verify = (request: SignedRequest & { readonly body?: Uint8Array }): Source | string => {
  const signed = verifySigned(request);
  if (typeof signed === "string") return signed;
  return request.kind === "question" || bodyMatches(request.headers, createHash("sha256").update(request.body!).digest()) ? signed.source : "Content-Digest";
};
const withHeader = <Request extends SignedRequest>(request: Request, name: string, value: string): Request => ({ ...request, headers: { ...request.headers, [name]: value } });
const withoutHeader = <Request extends SignedRequest>(request: Request, name: string): Request => ({
  ...request,
  headers: Object.fromEntries(Object.entries(request.headers).filter(([key]) => key !== name)),
});

/** A delivery signed as RFC 9421 says, with the parameters and fields given: a second implementation, and a way to sign oddly. */
function byHand({
  parameters = `created=${NOW};nonce="n";keyid="lab-1/new"`,
  fields = ["@method", "@path", "content-digest", "batch-id", "source"],
  source = "lab-1",
  label = "sig",
  privateKeyPem = newKey.privateKeyPem,
}: { parameters?: string; fields?: string[]; source?: string; label?: string; privateKeyPem?: string } = {}): Delivery {
  const headers = { source, "batch-id": "batch-1", "content-digest": `sha-256=:${createHash("sha256").update(BODY).digest("base64")}:` };
  const values: Record<string, string> = { "@method": "POST", "@path": PATH, ...headers };
  const input = `(${fields.map((f) => `"${f}"`).join(" ")});${parameters}`;
  const base = [...fields.map((f) => `"${f}": ${values[f] ?? ""}`), `"@signature-params": ${input}`].join("\n");
  const signature = sign(null, Buffer.from(base), createPrivateKey(privateKeyPem)).toString("base64");
  return { kind: "delivery", method: "POST", path: PATH, body: BODY, headers: { ...headers, "signature-input": `${label}=${input}`, signature: `${label}=:${signature}:` } };
}

describe("a good signature", () => {
  test("of a delivery gives its source", async () => {
    expect(verify(await delivery())).toEqual(lab);
    expect(verify(await delivery(otherSigner))).toEqual(other);
  });
  test("of a question gives its source", async () => {
    expect(verify(await question())).toEqual(lab);
  });
  test("of an empty delivery is good", async () => {
    expect(verify(await delivery(labSigner, new Uint8Array(0)))).toEqual(lab);
  });
  test("made by hand from the text of RFC 9421 is good, with and without alg", () => {
    expect(verify(byHand())).toEqual(lab);
    expect(verify(byHand({ parameters: `created=${NOW};nonce="n";keyid="lab-1/new";alg="ed25519"` }))).toEqual(lab);
  });
  test("may cover more than it must, and in another order", () => {
    expect(verify(byHand({ fields: ["source", "batch-id", "content-digest", "@path", "@method"] }))).toEqual(lab);
  });
  test("is never made twice: each has a nonce of its own", async () => {
    expect((await delivery()).headers["signature"]).not.toBe((await delivery()).headers["signature"]);
  });
});

describe("who altered it has no valid signature", () => {
  test.each(["GET", "PUT", "DELETE"])("the method, to %s", async (method) => {
    expect(verify({ ...(await delivery()), method })).toMatch(/not valid/);
  });
  test.each([`${PATH}/`, "/v1/feeds/trips/batches", "/", "/v1/feeds/tests/batches2"])("the path, to %s", async (path) => {
    expect(verify({ ...(await delivery()), path })).toMatch(/not valid/);
  });
  test("any one byte of any body", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1 }), fc.nat(), fc.integer({ min: 1, max: 255 }), async (body, place, change) => {
        const good = await delivery(labSigner, body);
        expect(verify(good)).toEqual(lab);
        const altered = Uint8Array.from(body);
        altered[place % body.length]! ^= change;
        expect(verify({ ...good, body: altered })).toMatch(/Content-Digest/);
      }),
    );
  });
  test("the body's length: cut off by a byte, or a byte longer", async () => {
    const good = await delivery();
    expect(verify({ ...good, body: BODY.subarray(0, -1) })).toMatch(/Content-Digest/);
    expect(verify({ ...good, body: Buffer.concat([BODY, Buffer.of(10)]) })).toMatch(/Content-Digest/);
  });
  test("the body and its digest together", async () => {
    const good = await delivery();
    const forged = await delivery(otherSigner, new TextEncoder().encode("forged"));
    expect(verify(withHeader({ ...good, body: forged.body }, "content-digest", forged.headers["content-digest"]!))).toMatch(/not valid/);
  });
  test("the batch id", async () => {
    expect(verify(withHeader(await delivery(), "batch-id", "batch-2"))).toMatch(/not valid/);
  });
  test("the source", async () => {
    expect(verify(withHeader(await delivery(), "source", "lab-2"))).toMatch(/not valid/);
    expect(verify(withHeader(await question(), "source", "lab-2"))).toMatch(/not valid/);
  });
  test.each([
    ["the nonce", /nonce="[^"]*"/, 'nonce="other"'],
    ["the time of making", /created=\d+/, `created=${NOW + 1}`],
    ["the key, to another source's", /keyid="[^"]*"/, 'keyid="lab-2/1"'],
    ["the covered fields' order", /"@method" "@path"/, '"@path" "@method"'],
  ])("%s", async (_, pattern, replacement) => {
    const good = await delivery();
    const input = good.headers["signature-input"]!;
    expect(input).toMatch(pattern);
    expect(verify(withHeader(good, "signature-input", input.replace(pattern, replacement)))).toMatch(/not valid/);
  });
  test("any one byte of the signature", async () => {
    const good = await delivery();
    const signature = Buffer.from(/:(.*):/.exec(good.headers["signature"]!)![1]!, "base64");
    fc.assert(
      fc.property(fc.nat({ max: 63 }), fc.integer({ min: 1, max: 255 }), (place, change) => {
        const altered = Uint8Array.from(signature);
        altered[place]! ^= change;
        expect(verify(withHeader(good, "signature", `sig=:${Buffer.from(altered).toString("base64")}:`))).toMatch(/not valid/);
      }),
    );
  });
  test("the signature's length: half of it is none", async () => {
    const good = await delivery();
    const signature = Buffer.from(/:(.*):/.exec(good.headers["signature"]!)![1]!, "base64");
    expect(verify(withHeader(good, "signature", `sig=:${signature.subarray(0, 32).toString("base64")}:`))).toMatch(/not valid/);
  });
});

describe("what is missing is named", () => {
  test.each([
    ["signature", /must be signed/],
    ["signature-input", /must be signed/],
    ["content-digest", /Content-Digest/],
    ["batch-id", /batch-id/],
    ["source", /source/],
  ])("a delivery without the header %s", async (name, words) => {
    expect(verify(withoutHeader(await delivery(), name))).toMatch(words);
  });
  test("a request without any header", () => {
    expect(verify({ kind: "delivery", method: "POST", path: PATH, headers: {}, body: BODY })).toMatch(/must be signed/);
  });
  test.each(["@method", "@path", "content-digest", "batch-id", "source"])("a delivery whose signature leaves out %s", (field) => {
    const fields = ["@method", "@path", "content-digest", "batch-id", "source"].filter((f) => f !== field);
    expect(verify(byHand({ fields }))).toMatch(/must cover/);
  });
  test.each([
    ["created", `nonce="n";keyid="lab-1/new"`],
    ["nonce", `created=${NOW};keyid="lab-1/new"`],
    ["keyid", `created=${NOW};nonce="n"`],
  ])("a signature without the parameter %s", (_, parameters) => {
    expect(typeof (verify(byHand({ parameters })))).toBe("string");
  });
  test("a question's signature doesn't serve for a delivery", async () => {
    const asked = { ...(await question()), kind: "delivery" as const, body: BODY };
    expect(verify(withHeader(asked, "content-digest", byHand().headers["content-digest"]!))).toMatch(/must cover/);
  });
});

describe("who signs", () => {
  test("either of two live keys signs, each under its own id", async () => {
    expect(verify(await delivery(oldSigner))).toEqual(lab);
    expect(verifySigned(await delivery(labSigner))).toMatchObject({ source: lab, keyId: "lab-1/new" });
    expect(verifySigned(await delivery(oldSigner))).toMatchObject({ source: lab, keyId: "lab-1/old" });
    expect(verify(byHand({ parameters: `created=${NOW};nonce="n";keyid="lab-1/new"`, privateKeyPem: oldKey.privateKeyPem }))).toMatch(/not valid/);
  });
  test("a retired key signs nothing any more, and no other key's id makes up for that", () => {
    for (const keyId of ["lab-1/retired", "lab-1/new", "lab-1/old"]) {
      expect(verify(byHand({ parameters: `created=${NOW};nonce="n";keyid="${keyId}"`, privateKeyPem: retiredKey.privateKeyPem }))).toMatch(/not valid/);
    }
  });
  test("another source's key signs nothing of this source's, under whichever keyid", () => {
    for (const keyId of ["lab-1/new", "lab-1/1", "lab-1"]) {
      expect(verify(byHand({ parameters: `created=${NOW};nonce="n";keyid="${keyId}"`, privateKeyPem: otherKey.privateKeyPem }))).toMatch(/not valid/);
    }
    expect(verify(byHand({ parameters: `created=${NOW};nonce="n";keyid="lab-2/1"`, privateKeyPem: otherKey.privateKeyPem }))).toMatch(/Source must name/);
  });
  test("a keyid that nobody has is refused in the same words as a wrong key", async () => {
    const unknown = verify(await delivery({ ...labSigner, keyId: "lab-9/new" }));
    const wrongKey = verify(await delivery({ ...labSigner, privateKey: otherSigner.privateKey }));
    expect(unknown).toMatch(/not valid/);
    expect(unknown).toBe(wrongKey);
  });
  test("nobody signs with a private key that is none of the source's", () => {
    expect(createSigner(lab, otherKey.privateKeyPem)).toBe(undefined);
    expect(createSigner(lab, "no key")).toBe(undefined);
    expect(createSigner(lab, generateKeyPairSync("x25519", { privateKeyEncoding: { type: "pkcs8", format: "pem" }, publicKeyEncoding: { type: "spki", format: "pem" } }).privateKey)).toBe(undefined);
  });
  test("a Source that isn't the keyid's is refused, though well signed", () => {
    expect(verify(byHand({ source: "lab-2" }))).toMatch(/Source must name/);
  });
  test("another algorithm is refused", () => {
    for (const algorithm of ["hmac-sha256", "rsa-pss-sha512", "none"]) {
      expect(verify(byHand({ parameters: `created=${NOW};nonce="n";keyid="lab-1/new";alg="${algorithm}"` }))).toMatch(/must hold one signature/);
    }
  });
  test("two signatures are refused, whoever made them and whatever they are called: also of one name, of which a reader of dictionaries takes the last", () => {
    const both = (first: SignedRequest, second: SignedRequest, names = ["signature", "signature-input"]): SignedRequest =>
      names.reduce((request, name) => withHeader(request, name, `${first.headers[name]!}, ${second.headers[name]!}`), second);
    const theirs = (label: string): Delivery => byHand({ label, source: "lab-2", parameters: `created=${NOW};nonce="n";keyid="lab-2/1"`, privateKeyPem: otherKey.privateKeyPem });
    for (const label of ["sig", "two"]) {
      for (const request of [both(byHand(), theirs(label)), both(theirs(label), byHand()), both(byHand(), byHand({ label })), both(byHand(), byHand({ label }), ["signature"]), both(byHand(), byHand({ label }), ["signature-input"])]) {
        expect(verify(request)).toMatch(/must hold one signature/);
      }
    }
  });
  test("what follows the first input without a name is refused too", () => {
    const good = byHand();
    expect(verify(withHeader(good, "signature-input", `${good.headers["signature-input"]!}, ("@method");created=${NOW}`))).toMatch(/must hold one signature/);
  });
  test("the two headers must speak of one signature", () => {
    expect(verify(withHeader(byHand(), "signature", byHand({ label: "two" }).headers["signature"]!))).toMatch(/must hold one signature/);
  });
  test("headers that are no structured fields are refused in words, whatever they hold", async () => {
    const good = await delivery();
    fc.assert(
      fc.property(fc.constantFrom("signature", "signature-input"), fc.string(), (name, value) => {
        expect(typeof (verify(withHeader(good, name, value)))).toBe("string");
      }),
    );
  });
});

describe("how a body is to be read", () => {
  const reading = { contentType: "application/x-ndjson", contentEncoding: "gzip" };
  test("is covered where it is said", async () => {
    expect(verify(await delivery(labSigner, BODY, reading))).toEqual(lab);
    expect(verify(await delivery(labSigner, BODY, { contentType: "text/csv" }))).toEqual(lab);
  });
  test.each(["content-type", "content-encoding"])("can't be altered, taken away, doubled or added: %s", async (name) => {
    const good = await delivery(labSigner, BODY, reading);
    expect(verify(withHeader(good, name, "application/hl7-v2"))).toMatch(/not valid/);
    expect(verify(withHeader(good, name, `${good.headers[name]!}, ${good.headers[name]!}`))).toMatch(/not valid/);
    expect(verify(withoutHeader(good, name))).toMatch(/covers something that the request doesn't have/);
    expect(verify(withHeader(await delivery(), name, "gzip"))).toBe(`the signature must cover ${name}`);
  });
});

test("headers that come twice are another request than was signed", async () => {
  const good = await delivery();
  for (const name of ["batch-id", "source", "content-digest"]) expect(verify(withHeader(good, name, `${good.headers[name]!}, ${good.headers[name]!}`))).toMatch(/not valid/);
});

test("a valid signature tells its nonce, and until when it is taken", () => {
  const request = byHand({ parameters: `created=${NOW - 100};nonce="n-1";keyid="lab-1/new"` });
  expect(verifySigned(request)).toEqual({ source: lab, keyId: "lab-1/new", nonce: "n-1", endsAt: NOW + 200 });
});

describe("the time of making, on the server's own clock", () => {
  test.each([
    ["300 s old is fine", 300, true],
    ["301 s old is too old", 301, false],
    ["300 s in the future is fine", -300, true],
    ["301 s in the future is too far", -301, false],
  ])("%s", async (_, age, good) => {
    for (const request of [await delivery(), await question()]) {
      clock.seconds = NOW + age;
      if (good) expect(verify(request)).toEqual(lab);
      else expect(verify(request)).toMatch(/created must lie within 300 s .* which is \d+,/);
      clock.seconds = NOW;
    }
  });
  test.each(["2001-01-01T00:00:00Z", "2022-06-09T07:50:00+08:00", "2099-12-31T00:00:00Z"])("the clock that is given counts, not the machine's: %s", async (text) => {
    clock.seconds = parseInstant(text)!;
    expect(verify(await delivery())).toEqual(lab);
  });
  test("created that is no number is refused: it would be good for ever", () => {
    expect(typeof (verify(byHand({ parameters: `created="soon";nonce="n";keyid="lab-1/new"` })))).toBe("string");
  });
  test("expires, where a signer gives it, counts on the server's clock and not on the machine's", () => {
    const parameters = `created=${NOW};expires=${NOW + 60};nonce="n";keyid="lab-1/new"`;
    expect(verify(byHand({ parameters }))).toEqual(lab);
    clock.seconds = NOW + 61;
    expect(typeof (verify(byHand({ parameters })))).toBe("string");
  });
});
