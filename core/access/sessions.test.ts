import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { clockAt } from "../../test/support.ts";
import { formatInstant, parseInstant } from "../domain/index.ts";
import type { Registry } from "./registry.ts";
import { createKeyPair } from "./keyPair.ts";
import { createSessions, sessionText, signSessionRequest, type SessionFault, type SessionRequest } from "./sessions.ts";

const NOW = parseInstant("2022-06-09T07:50:00+08:00")!;
const LIFETIME_S = 8 * 3600;
const SECRET = new Uint8Array(32).fill(1);

const [gateKey, otherKey] = [createKeyPair(), createKeyPair()];
const registry: Registry = {
  devices: [
    { name: "gate-1.xizhimen", class: "gate", venue: "venue", publicKey: gateKey.publicKey },
    { name: "kiosk-2", class: "kiosk", venue: "venue", publicKey: otherKey.publicKey },
  ],
  sources: [],
};

const clock = clockAt(NOW);
beforeEach(() => {
  clock.seconds = NOW;
});

const request = (change: Partial<SessionRequest> = {}, key = gateKey): SessionRequest =>
  signSessionRequest({ device: "gate-1.xizhimen", issuedAt: formatInstant(NOW), nonce: "n-1", ...change }, key.privateKeyPem);

/** A good token, made by sessions of its own. */
function token(secret = SECRET): string {
  const opened = createSessions(registry, secret, clock).open(request());
  if (typeof opened === "string") throw new Error(opened);
  return opened.token;
}

describe("asking for a session", () => {
  const open = (...requests: SessionRequest[]): (SessionFault | "ok")[] => {
    const sessions = createSessions(registry, SECRET, clock);
    return requests.map((r) => {
      const opened = sessions.open(r);
      return typeof opened === "string" ? opened : "ok";
    });
  };

  test("a request that the device signed gives a token that ends after eight hours", () => {
    const sessions = createSessions(registry, SECRET, clock);
    const opened = sessions.open(request());
    expect(opened).toEqual({ token: expect.any(String) as string, expiresAt: NOW + LIFETIME_S });
  });
  test("a request that another device signed is refused", () => {
    expect(open(request({}, otherKey))).toEqual(["unknown-device-or-signature"]);
  });
  test("an unknown device is refused in the same words as a wrong signature", () => {
    expect(open(request({ device: "gate-9" }))).toEqual(open(request({}, otherKey)));
  });
  test.each(["device", "issuedAt", "nonce"] as const)("a request whose %s was changed after signing is refused", (field) => {
    const changed = { device: "kiosk-2", issuedAt: formatInstant(NOW + 1), nonce: "n-2" }[field];
    expect(open({ ...request(), [field]: changed })).toEqual(["unknown-device-or-signature"]);
  });
  test("any change of one byte of the signature is refused", () => {
    const sessions = createSessions(registry, SECRET, clock);
    const good = request();
    fc.assert(
      fc.property(fc.nat({ max: 63 }), fc.integer({ min: 1, max: 255 }), (place, change) => {
        const signature = Buffer.from(good.signature, "base64");
        signature[place]! ^= change;
        expect(sessions.open({ ...good, signature: signature.toString("base64") })).toBe("unknown-device-or-signature");
      }),
    );
  });
  test.each(["", "AAAA", "not base64!", "A".repeat(2000)])("a signature that is none (%#) is refused and doesn't throw", (signature) => {
    expect(open({ ...request(), signature })).toEqual(["unknown-device-or-signature"]);
  });
  test("the fields of what is signed can't be moved into each other", () => {
    const texts = [
      { device: "a", issuedAt: "b", nonce: "c" },
      { device: "ab", issuedAt: "", nonce: "c" },
      { device: "a", issuedAt: "bc", nonce: "" },
    ].map((fields) => sessionText(fields).toString());
    expect(new Set(texts).size).toBe(3);
  });

  test.each([
    ["300 s behind is fine", -300, "ok"],
    ["301 s behind is too far", -301, "clock"],
    ["300 s ahead is fine", 300, "ok"],
    ["301 s ahead is too far", 301, "clock"],
  ])("a device's clock %s", (_, drift, expected) => {
    expect(open(request({ issuedAt: formatInstant(NOW + drift) }))).toEqual([expected]);
  });
  test("a fraction of a second of the server's clock doesn't count", () => {
    const late = createSessions(registry, SECRET, { nowMs: () => NOW * 1000 + 999 });
    expect(typeof late.open(request({ issuedAt: formatInstant(NOW - 300) }))).toBe("object");
  });
  test.each(["", "now", "2022-06-09", "2022-06-09T07:50:00"])("issuedAt %j is no instant: refused as a matter of the clock", (issuedAt) => {
    expect(open(request({ issuedAt }))).toEqual(["clock"]);
  });

  test("the same request a second time is a replay", () => {
    expect(open(request(), request())).toEqual(["ok", "replay"]);
  });
  test("a nonce used again in another request is a replay", () => {
    expect(open(request(), request({ issuedAt: formatInstant(NOW + 1) }))).toEqual(["ok", "replay"]);
  });
  test("two devices may use one nonce", () => {
    expect(open(request(), request({ device: "kiosk-2" }, otherKey))).toEqual(["ok", "ok"]);
  });
  test("a request that was refused doesn't use up its nonce", () => {
    expect(open({ ...request(), signature: "AAAA" }, request({ issuedAt: formatInstant(NOW - 301) }), request())).toEqual(["unknown-device-or-signature", "clock", "ok"]);
  });
  test("a request is never good twice, however long one waits between", () => {
    for (const drift of [-300, 0, 300]) {
      for (let wait = 0; wait <= 602; wait++) {
        clock.seconds = NOW;
        const sessions = createSessions(registry, SECRET, clock);
        const once = request({ issuedAt: formatInstant(NOW + drift) });
        expect(typeof sessions.open(once)).toBe("object");
        clock.seconds = NOW + wait;
        expect(sessions.open(once)).toBe(wait <= 300 + drift ? "replay" : "clock");
      }
    }
  });
  test("once the first request is too old, its nonce may be used anew", () => {
    const sessions = createSessions(registry, SECRET, clock);
    sessions.open(request());
    clock.seconds = NOW + 301;
    expect(typeof sessions.open(request({ issuedAt: formatInstant(NOW + 301) }))).toBe("object");
  });
});

describe("a token", () => {
  test("is good in another process with the same secret, and names its device and its end", () => {
    expect(createSessions(registry, SECRET, clock).find(token(), NOW)).toEqual({ device: registry.devices[0], deviceIndex: 0, expiresAt: NOW + LIFETIME_S });
  });
  test("names its device's place in the registry", () => {
    const sessions = createSessions(registry, SECRET, clock);
    const opened = sessions.open(request({ device: "kiosk-2" }, otherKey));
    expect(typeof opened === "object" && sessions.find(opened.token, NOW)).toMatchObject({ device: registry.devices[1], deviceIndex: 1 });
  });
  test("is good one second before its end and no longer at its end", () => {
    const sessions = createSessions(registry, SECRET, clock);
    const mine = token();
    const good = [NOW, NOW + LIFETIME_S - 1, NOW + LIFETIME_S, NOW + LIFETIME_S - 1].map((at) => sessions.find(mine, at) !== undefined);
    expect(good).toEqual([true, true, false, true]);
  });
  test("of another secret is none", () => {
    expect(createSessions(registry, SECRET, clock).find(token(new Uint8Array(32).fill(2)), NOW)).toBeUndefined();
  });
  test("of a device that has left the registry is none", () => {
    const later = createSessions({ ...registry, devices: registry.devices.slice(1) }, SECRET, clock);
    expect(later.find(token(), NOW)).toBeUndefined();
  });
  test("whose device, end or code was changed anywhere is none, for any place and character but the last", () => {
    const sessions = createSessions(registry, SECRET, clock);
    const mine = token();
    expect(sessions.find(mine, NOW)).toBeDefined();
    fc.assert(
      fc.property(fc.nat({ max: mine.length - 2 }), fc.stringMatching(/^[-\w.~]$/), (place, character) => {
        fc.pre(mine[place] !== character);
        expect(sessions.find(mine.slice(0, place) + character + mine.slice(place + 1), NOW)).toBeUndefined();
      }),
      { numRuns: 1000 },
    );
  });
  test("cut off anywhere is none", () => {
    const sessions = createSessions(registry, SECRET, clock);
    const mine = token();
    for (let length = 0; length < mine.length; length++) expect(sessions.find(mine.slice(0, length), NOW)).toBeUndefined();
  });
  test("can't be written in a second way: with something behind it, or another last character, it is none", () => {
    const sessions = createSessions(registry, SECRET, clock);
    const mine = token();
    const others = [`${mine}~`, `${mine}~more`, `${mine}=`, `${mine}!`, ...Array.from("AQgwBRhx", (c) => mine.slice(0, -1) + c).filter((t) => t !== mine)];
    expect(others.filter((t) => sessions.find(t, NOW) !== undefined)).toEqual([]);
  });
  test("can't be any text, and no text throws", () => {
    const sessions = createSessions(registry, SECRET, clock);
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string().map((s) => `gate-1.xizhimen.zzzzzz~${s}`)), (text) => {
        expect(sessions.find(text, NOW)).toBeUndefined();
      }),
    );
  });
});
