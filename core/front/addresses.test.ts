import { isIPv4, isIPv6 } from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { addressBytes, peerBytes } from "./addresses.ts";

const hex = (text: string): string => Buffer.from(addressBytes(text)).toString("hex");

test.each([
  ["127.0.0.1", "7f000001"],
  ["255.255.255.255", "ffffffff"],
  ["::", "00000000000000000000000000000000"],
  ["::1", "00000000000000000000000000000001"],
  ["1::", "00010000000000000000000000000000"],
  ["2001:db8:0:1::a:b", "20010db80000000100000000000a000b"],
  ["2001:0DB8:0000:0001:0000:0000:000A:000B", "20010db80000000100000000000a000b"],
  ["1:2:3:4:5:6:7::", "00010002000300040005000600070000"],
  ["::ffff:10.1.2.3", "00000000000000000000ffff0a010203"],
  ["64:ff9b::10.1.2.3", "0064ff9b00000000000000000a010203"],
  ["fe80::1%eth0", "fe800000000000000000000000000001"],
])("%s", (text, bytes) => {
  expect(hex(text)).toBe(bytes);
});

test.each(["", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.x", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "::12345", "::g", ":::", "1:2:3:4:5:6:7:8::", "::1.2.3", "::1.2.3.256", "unix"])(
  "%j is none",
  (text) => {
    expect(hex(text)).toBe("");
  },
);

test.each([
  ["::ffff:10.1.2.3", "0a010203"],
  ["::fffe:10.1.2.3", "00000000000000000000fffe0a010203"],
  ["1::ffff:10.1.2.3", "00010000000000000000ffff0a010203"],
  ["10.1.2.3", "0a010203"],
  ["", ""],
])("a peer at %j", (text, bytes) => {
  expect(Buffer.from(peerBytes(addressBytes(text))).toString("hex")).toBe(bytes);
});

test("any text is 4 bytes, 16 bytes or none, as Node tells addresses apart", () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.stringMatching(/^[\d.:a-f]{0,24}$/)), (text) => {
      const length = addressBytes(text).length;
      if (isIPv4(text)) expect(length).toBe(4);
      else if (isIPv6(text)) expect(length).toBe(16);
      else expect([0, 4]).toContain(length); // numbers with leading zeroes are taken
    }),
    { numRuns: 2000 },
  );
});
