import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { contains, FLAGS, FOREVER, RULES, type Flag, type FlagReason, type TimedFlag, type Verdict } from "../domain/index.ts";
import { decodeEntry, encodeEntry, ENTRY_VERSION, entryFault, entryOf, readEntryAt, sameContent, type Entry, type EntryState } from "./codec.ts";

const u32 = fc.oneof(fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, FOREVER), fc.integer({ min: 0, max: FOREVER }));
const timedFlag: fc.Arbitrary<TimedFlag> = fc.record({ flag: fc.constantFrom(...FLAGS), rule: fc.constantFrom(...RULES), from: u32, until: u32 });
/** Day 65,535 (the year 2149) stands for none. */
const shownTest = fc.record({ from: u32, effectiveDay: fc.option(fc.oneof(fc.constantFrom(0, 0xfffe), fc.nat({ max: 0xfffe }))) });
const count = { size: "max", maxLength: 255 } as const;

const entry: fc.Arbitrary<Entry> = fc.record({
  evidenceSequence: fc.oneof(fc.constantFrom(0, 2 ** 32, 2 ** 48 - 1), fc.integer({ min: 0, max: 2 ** 48 - 1 })),
  policyId: fc.oneof(fc.constantFrom(0, 0xffff), fc.nat({ max: 0xffff })),
  regionRevision: u32,
  registered: fc.boolean(),
  incomplete: fc.boolean(),
  negatives: fc.array(fc.record({ sampledAt: u32, issuedAt: u32 }), { maxLength: 3 }),
  shownTests: fc.oneof(fc.array(shownTest, { maxLength: 4 }), fc.array(shownTest, count)),
  flags: fc.oneof(fc.array(timedFlag, { maxLength: 8 }), fc.array(timedFlag, { size: "max", maxLength: 600 })),
});

const BARE: Entry = {
  evidenceSequence: 0, policyId: 0, regionRevision: 0, registered: true, incomplete: false, negatives: [], shownTests: [], flags: [],
};
const home = (from: number, until: number): TimedFlag => ({ flag: "home", rule: "findings", from, until });

describe("decode(encode(x)) is x", () => {
  test("for any entry, with all fields up to their limits", () => {
    fc.assert(
      fc.property(entry, (x) => {
        const bytes = encodeEntry(x);
        expect(entryFault(bytes)).toBeUndefined();
        expect(decodeEntry(bytes)).toEqual(x);
      }),
    );
  });
  test("for an entry with nothing in it", () => {
    expect(decodeEntry(encodeEntry({ ...BARE, registered: false }))).toEqual({ ...BARE, registered: false });
  });
  test("for 65,535 flags, 255 steps and 255 tests", () => {
    const full: Entry = {
      ...BARE,
      negatives: Array.from({ length: 255 }, (_, i) => ({ sampledAt: FOREVER, issuedAt: FOREVER - 255 + i })),
      shownTests: Array.from({ length: 255 }, (_, i) => ({ from: i, effectiveDay: i % 2 === 0 ? 0xfffe : null })),
      flags: Array.from({ length: 65_535 }, (_, i) => home(i * 10, i * 10 + 5)),
    };
    expect(decodeEntry(encodeEntry(full))).toEqual(full);
  });
  test("for bytes that lie in the middle of a larger buffer", () => {
    fc.assert(
      fc.property(entry, fc.nat({ max: 9 }), (x, offset) => {
        const bytes = encodeEntry(x);
        const larger = new Uint8Array(bytes.length + 20).fill(0xa5);
        larger.set(bytes, offset);
        expect(decodeEntry(larger.subarray(offset, offset + bytes.length))).toEqual(x);
      }),
    );
  });
  test.each([
    ["an evidence sequence of 2^48", { evidenceSequence: 2 ** 48 }],
    ["a policy id of 2^16", { policyId: 2 ** 16 }],
    ["a region revision of 2^32", { regionRevision: 2 ** 32 }],
    ["an instant of 2^32", { flags: [home(0, 2 ** 32)] }],
    ["an instant before 1970", { flags: [home(-1, 5)] }],
  ])("%s is thrown out, not cut off", (_, field) => {
    expect(() => encodeEntry({ ...BARE, ...field })).toThrow(RangeError);
  });
});

describe("size", () => {
  test("a holder who is told of, without a test: 22 bytes", () => {
    expect(encodeEntry(BARE)).toHaveLength(22);
  });
  test("a clean holder with a test that is shown until the policies end: 42 bytes, each in its place", () => {
    const tested: Entry = {
      ...BARE,
      evidenceSequence: 0x0605_0403_0201,
      policyId: 0x0807,
      regionRevision: 0x0c0b_0a09,
      negatives: [{ sampledAt: 0x6280_1110, issuedAt: 0x6280_2220 }],
      shownTests: [
        { from: 0x6280_2220, effectiveDay: 0x4ae0 },
        { from: 0x63a0_8900, effectiveDay: null },
      ],
    };
    const header = "02010000" + "00000000" + "010203040506" + "0708" + "090a0b0c" + "0201";
    const body = "10118062" + "20228062" + "20228062e04a" + "0089a063ffff";
    const expected = Buffer.from(header + body, "hex");
    expected.writeUInt32LE(crc32(expected), 4);
    expect(Buffer.from(encodeEntry(tested)).toString("hex")).toBe(expected.toString("hex"));
    expect(expected).toHaveLength(42);
  });
  test("each interval of a flag adds 10 bytes", () => {
    expect(Buffer.from(encodeEntry({ ...BARE, flags: [{ flag: "popup-4", rule: "arrivalTest", from: 1, until: FOREVER }] })).subarray(22).toString("hex")).toBe(
      "04" + "05" + "01000000" + "ffffffff",
    );
  });
});

/** The record with its checksum made right again, as a foreign writer would have made it. */
function resealed(bytes: Uint8Array): Uint8Array {
  const copy = Buffer.from(bytes);
  copy.writeUInt32LE(0, 4);
  copy.writeUInt32LE(crc32(copy), 4);
  return copy;
}

describe("damage is told apart", () => {
  test("any change of any one byte of any entry is found", () => {
    fc.assert(
      fc.property(entry, fc.nat(), fc.integer({ min: 1, max: 255 }), (x, place, change) => {
        const bytes = encodeEntry(x);
        bytes[place % bytes.length]! ^= change;
        expect(entryFault(bytes)).toBeDefined();
        expect(typeof decodeEntry(bytes)).toBe("string");
      }),
      { numRuns: 1000 },
    );
  });
  test("all changes of one byte of one small entry are found", () => {
    const sound = encodeEntry({ ...BARE, negatives: [{ sampledAt: 1, issuedAt: 2 }], shownTests: [{ from: 3, effectiveDay: 4 }], flags: [home(5, 6)] });
    for (let place = 0; place < sound.length; place++) {
      for (let change = 1; change < 256; change++) {
        const bytes = Uint8Array.from(sound);
        bytes[place]! ^= change;
        expect(entryFault(bytes)).toBeDefined();
      }
    }
  });
  test("a record cut off anywhere is of wrong length", () => {
    fc.assert(
      fc.property(entry, fc.nat(), (x, length) => {
        const bytes = encodeEntry(x);
        expect(entryFault(bytes.subarray(0, length % bytes.length))).toBe("length");
      }),
    );
  });
  test("a record with bytes behind it is of wrong length", () => {
    fc.assert(
      fc.property(entry, fc.uint8Array({ minLength: 1, maxLength: 40 }), (x, more) => {
        expect(decodeEntry(Buffer.concat([encodeEntry(x), more]))).toBe("length");
      }),
    );
  });
  test("a record of any other version is foreign, even with a right checksum", () => {
    fc.assert(
      fc.property(entry, fc.nat({ max: 255 }), (x, version) => {
        fc.pre(version !== ENTRY_VERSION);
        const bytes = encodeEntry(x);
        bytes[0] = version;
        expect(decodeEntry(resealed(bytes))).toBe("version");
      }),
    );
  });
  test("no bytes, 21 bytes and 22 blank ones are no entry", () => {
    expect(entryFault(new Uint8Array(0))).toBe("length");
    expect(entryFault(encodeEntry(BARE).subarray(0, 21))).toBe("length");
    expect(entryFault(new Uint8Array(22))).toBe("version");
  });
  test("a flag or a rule that this version doesn't know is no content to decode", () => {
    for (const place of [22, 23]) {
      const bytes = encodeEntry({ ...BARE, flags: [home(5, 6)] });
      bytes[place] = 200;
      expect(decodeEntry(resealed(bytes))).toBe("content");
    }
  });
  test("a flag that this version doesn't know is found before the state is read: a gate must not let pass what it doesn't understand", () => {
    const bytes = encodeEntry({ ...BARE, flags: [home(5, 6)] });
    bytes[22] = FLAGS.length;
    expect(entryFault(resealed(bytes))).toBe("content");
    bytes[22] = FLAGS.length - 1;
    expect(entryFault(resealed(bytes))).toBeUndefined();
  });
  test("wherever among the flags and whatever stands before them", () => {
    for (const place of [0, 1, 2]) {
      const bytes = encodeEntry({ ...BARE, negatives: [{ sampledAt: 1, issuedAt: 2 }], shownTests: [{ from: 3, effectiveDay: 4 }], flags: [home(5, 6), home(7, 8), home(9, 10)] });
      bytes[22 + 8 + 6 + place * 10] = FLAGS.length;
      expect(entryFault(resealed(bytes))).toBe("content");
    }
  });
});

describe("readEntryAt", () => {
  const state: EntryState = { flags: -1, incomplete: true, shownDay: -1, issuedAt: -1 };
  /** Plainly from the decoded entry: which flags are active, the day of the last step that has begun, and when the newest negative test was issued. */
  const expectedState = (x: Entry, at: number): EntryState => ({
    flags: FLAGS.reduce((bits, flag, i) => (x.flags.some((f) => f.flag === flag && contains(f, at)) ? bits | (1 << i) : bits), 0),
    incomplete: x.incomplete,
    shownDay: x.shownTests.findLast((s) => s.from <= at)?.effectiveDay ?? null,
    issuedAt: x.negatives.findLast((t) => t.issuedAt <= at)?.issuedAt ?? 0,
  });
  const ordered = entry.map((x) => ({ ...x, negatives: x.negatives.toSorted((a, b) => a.issuedAt - b.issuedAt), shownTests: x.shownTests.toSorted((a, b) => a.from - b.from) }));

  test("says of any entry at any instant what the decoded entry says", () => {
    fc.assert(
      fc.property(ordered, u32, (x, at) => {
        readEntryAt(encodeEntry(x), 0, at, state);
        expect(state).toEqual(expectedState(x, at));
      }),
    );
  });
  test("also on every edge of any entry, one second before and one second after", () => {
    fc.assert(
      fc.property(ordered, (x) => {
        const bytes = encodeEntry(x);
        const edges = [...x.flags.slice(0, 8).flatMap((f) => [f.from, f.until]), ...x.shownTests.slice(0, 8).map((s) => s.from), ...x.negatives.map((t) => t.issuedAt)];
        for (const at of edges.flatMap((e) => [e - 1, e, e + 1])) {
          if (at < 0) continue;
          readEntryAt(bytes, 0, at, state);
          expect(state).toEqual(expectedState(x, at));
        }
      }),
    );
  });
  test("a flag is active from its first second on and no longer in its last", () => {
    const bytes = encodeEntry({ ...BARE, flags: [home(100, 200)] });
    const active = [99, 100, 199, 200].map((at) => (readEntryAt(bytes, 0, at, state), state.flags));
    expect(active).toEqual([0, 64, 64, 0]);
  });
  test("nothing of the state before is left over", () => {
    Object.assign(state, { flags: 4095, incomplete: true, shownDay: 7, issuedAt: 9 });
    readEntryAt(encodeEntry(BARE), 0, 5, state);
    expect(state).toEqual({ flags: 0, incomplete: false, shownDay: null, issuedAt: 0 });
  });
  test("the newest negative test's issue is told, not its sample, from that issue on; until then the one before", () => {
    const bytes = encodeEntry({ ...BARE, negatives: [{ sampledAt: 1, issuedAt: 100 }, { sampledAt: 50, issuedAt: 0x8000_0000 }, { sampledAt: 60, issuedAt: FOREVER }] });
    const told = [99, 100, 0x8000_0000 - 1, 0x8000_0000, FOREVER - 1, FOREVER].map((at) => (readEntryAt(bytes, 0, at, state), state.issuedAt));
    expect(told).toEqual([0, 100, 100, 0x8000_0000, 0x8000_0000, FOREVER]);
  });
  test("each of the twelve flags has the bit of its number", () => {
    FLAGS.forEach((flag, i) => {
      readEntryAt(encodeEntry({ ...BARE, flags: [{ ...home(5, 9), flag }] }), 0, 5, state);
      expect(state.flags).toBe(2 ** i);
    });
  });
});

describe("entryOf", () => {
  const origin = { evidenceSequence: 1, policyId: 2, regionRevision: 3 };
  const verdict = (reasons: number, shown: readonly number[] = []): Verdict => ({
    registered: true,
    reasons: Array.from({ length: reasons }, (_, i): FlagReason => ({ flag: "home", rule: "findings", policyFrom: 0, facts: [], from: i * 10, until: i * 10 + 5 })),
    negatives: [{ sampledAt: 1, issuedAt: 2 }],
    shownTests: shown.map((from) => ({ from, effectiveDay: from })),
  });

  test("65,535 intervals are held, one more makes the entry incomplete and empty: never a silent cut", () => {
    expect(entryOf(verdict(65_535), origin, 0)).toMatchObject({ incomplete: false, flags: { length: 65_535 } });
    expect(entryOf(verdict(65_536, [5]), origin, 0)).toEqual({ ...origin, registered: true, incomplete: true, negatives: [], shownTests: [], flags: [] });
  });
  test("of the negative tests those are kept that somebody may still ask for: the newest issued by then, and what is still to come", () => {
    const tests = [40, 30, 20, 10].map((issuedAt) => ({ sampledAt: 1, issuedAt }));
    const kept = (writtenAt: number): number[] => entryOf({ ...verdict(0), negatives: tests }, origin, writtenAt).negatives.map((t) => t.issuedAt);
    expect([9, 10, 19, 20, 39, 40].map(kept)).toEqual([[10, 20, 30, 40], [10, 20, 30, 40], [10, 20, 30, 40], [20, 30, 40], [30, 40], [40]]);
    expect(entryOf({ ...verdict(0), negatives: [] }, origin, 5).negatives).toEqual([]);
  });
  test("256 reasons of one interval are one flag, and fit", () => {
    const { reasons } = verdict(1);
    expect(entryOf({ ...verdict(0), reasons: Array<FlagReason>(256).fill(reasons[0]!) }, origin, 0)).toMatchObject({ incomplete: false, flags: { length: 1 } });
  });
  test("intervals are counted over all flags together", () => {
    const more = (["central", "popup-1"] satisfies Flag[]).map((flag): FlagReason => ({ ...verdict(1).reasons[0]!, flag }));
    const { reasons } = verdict(65_534);
    expect(entryOf({ ...verdict(0), reasons: [...reasons, ...more] }, origin, 0).incomplete).toBe(true);
    expect(entryOf({ ...verdict(0), reasons: [...reasons, ...more.slice(1)] }, origin, 0).incomplete).toBe(false);
  });
  test("255 steps of the shown test are held, 256 make the entry incomplete", () => {
    const steps = Array.from({ length: 256 }, (_, i) => 100 + i);
    expect(entryOf(verdict(0, steps.slice(1)), origin, 0)).toMatchObject({ incomplete: false, shownTests: { length: 255 } });
    expect(entryOf(verdict(0, steps), origin, 0)).toMatchObject({ incomplete: true, shownTests: [] });
  });
  test("steps that are over don't count: written at the second step's start, the first of 256 is left out", () => {
    const steps = Array.from({ length: 256 }, (_, i) => 100 + i);
    expect(entryOf(verdict(0, steps), origin, 101).incomplete).toBe(false);
    expect(entryOf(verdict(0, steps), origin, 100).incomplete).toBe(true);
  });
  test.each([
    ["before the first step, all are kept", 9, [10, 20, 30]],
    ["at the first step, all are kept", 10, [10, 20, 30]],
    ["one second before the second, the first still runs", 19, [10, 20, 30]],
    ["at the second, the first is over", 20, [20, 30]],
    ["after the last, the last still runs", 99, [30]],
  ])("written %s", (_, writtenAt, kept) => {
    expect(entryOf(verdict(0, [10, 20, 30]), origin, writtenAt).shownTests.map((s) => s.from)).toEqual(kept);
  });
  test("leaving out what is over changes no answer from the writing on, for any steps", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat({ max: 50 }), { maxLength: 8 }), fc.nat({ max: 55 }), fc.nat({ max: 5 }), (shown, writtenAt, later) => {
        const steps = verdict(0, shown.toSorted((a, b) => a - b)).shownTests;
        const kept = entryOf({ ...verdict(0), shownTests: steps }, origin, writtenAt).shownTests;
        const day = (of: Entry["shownTests"]): number | null => of.findLast((s) => s.from <= writtenAt + later)?.effectiveDay ?? null;
        expect(day(kept)).toBe(day(steps));
      }),
    );
  });
  test("flags that are over are kept", () => {
    expect(entryOf(verdict(2), origin, 1000).flags).toHaveLength(2);
  });
});

describe("sameContent", () => {
  test("is blind to what an entry was computed from, and to nothing else, for any two entries", () => {
    fc.assert(
      fc.property(entry, entry, (a, b) => {
        const other: Entry = { ...a, evidenceSequence: b.evidenceSequence, policyId: b.policyId, regionRevision: b.regionRevision };
        expect(sameContent(encodeEntry(a), encodeEntry(other))).toBe(true);
        const blank = { evidenceSequence: 0, policyId: 0, regionRevision: 0 };
        expect(sameContent(encodeEntry(a), encodeEntry(b))).toBe(Buffer.compare(encodeEntry({ ...a, ...blank }), encodeEntry({ ...b, ...blank })) === 0);
      }),
    );
  });
  test("finds one second of difference", () => {
    expect(sameContent(encodeEntry({ ...BARE, flags: [home(5, 6)] }), encodeEntry({ ...BARE, flags: [home(5, 7)] }))).toBe(false);
    expect(sameContent(encodeEntry(BARE), encodeEntry({ ...BARE, registered: false }))).toBe(false);
  });
});
