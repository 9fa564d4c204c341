import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { documentKey, factKey, phoneKey } from "../../test/keys.ts";
import { shuffled, temporaryFolder } from "../../test/support.ts";
import { keyText, type DocumentKey, type Fact, type Finding, type PhoneKey, type Refutation, type RiskPublication, type SubjectKey, type Test, type Trip } from "../domain/index.ts";
import type { RegionChange } from "./regionModel.ts";
import { openEvidenceReader, openEvidenceWriter, type EvidenceReader, type EvidenceWriter } from "./store.ts";

const opened = new Set<EvidenceReader>();
function openWriter(folder = join(temporaryFolder(), "evidence")): EvidenceWriter {
  const store = openEvidenceWriter(folder);
  opened.add(store);
  return store;
}
async function close(store: EvidenceReader): Promise<void> {
  opened.delete(store);
  await store.close();
}
afterEach(async () => {
  for (const store of [...opened]) await close(store);
});

const base = { source: "source", revision: 1, knownFrom: 1000 };
const trip = (change: Partial<Trip> = {}): Trip => ({ ...base, kind: "trip", county: 310115, from: 100, to: 200, ...change });
const labTest = (change: Partial<Test> = {}): Test => ({
  ...base, kind: "test", sampledAt: 100, issuedAt: 200, result: "negative", laboratory: "lab", county: null, uploaded: false, ...change,
});
const finding = (change: Partial<Finding> = {}): Finding => ({
  ...base, kind: "finding", finding: "risk-link", level: null, from: 100, until: null, authority: "authority", ground: "", ...change,
});

const [docA, docB, docC] = [documentKey(1), documentKey(2), documentKey(3)];
const [phoneX, phoneY] = [phoneKey(11), phoneKey(12)];

/** The facts of whoever owns a document, as texts in a fixed order: sets to compare. Whom a trip was told of is tested apart. */
const factsOf = (store: EvidenceReader, document: DocumentKey): string[] => asTexts(...store.holder(store.holdersOf(document)[0]!).evidence.facts);
const asTexts = (...facts: Fact[]): string[] => facts.map((f) => JSON.stringify(f, Object.keys(f).filter((name) => name !== "told").sort())).sort();
const names = (keys: readonly Uint8Array[]): string[] => keys.map((k) => keyText(k)).sort();

// --- Random deliveries ---

const DOCUMENTS = [1, 2, 3, 4, 5].map(documentKey);
const PHONES = [11, 12, 13].map(phoneKey);
const SUBJECTS: SubjectKey[] = [...DOCUMENTS, ...PHONES];

type Delivery =
  | { readonly what: "fact"; readonly id: number; readonly subject: number; readonly revision: number; readonly variant: number }
  | { readonly what: "holder"; readonly documents: readonly number[]; readonly phones: readonly number[] };

const factDelivery = fc.record({
  what: fc.constant("fact" as const),
  id: fc.nat({ max: 5 }),
  subject: fc.nat({ max: SUBJECTS.length - 1 }),
  revision: fc.constantFrom(1, 2, 3, 0xffff_ffff),
  variant: fc.nat({ max: 2 }),
});
const holderDelivery = fc.record({
  what: fc.constant("holder" as const),
  documents: fc.uniqueArray(fc.nat({ max: DOCUMENTS.length - 1 }), { minLength: 1, maxLength: 3 }),
  phones: fc.uniqueArray(fc.nat({ max: PHONES.length - 1 }), { maxLength: 2 }),
});
const deliveries: fc.Arbitrary<Delivery[]> = fc.array(fc.oneof({ weight: 2, arbitrary: factDelivery }, holderDelivery), { maxLength: 24 });
const order = fc.array(fc.nat(), { minLength: 48, maxLength: 48 });

/** A fact's kind goes with its id. Its content names its subject, so that no two subjects are told the very same. */
function factOf({ id, subject, revision, variant }: Extract<Delivery, { what: "fact" }>): Fact {
  const content = variant * 100 + subject;
  const kinds = [trip({ revision, from: content }), labTest({ revision, sampledAt: content }), finding({ revision, from: content })];
  return kinds[id % 3]!;
}

function deliver(store: EvidenceWriter, list: readonly Delivery[], perTransaction: number): void {
  for (let start = 0; start < list.length; start += perTransaction) {
    store.transaction(() => {
      for (const d of list.slice(start, start + perTransaction)) {
        if (d.what === "fact") store.putFact(SUBJECTS[d.subject]!, factKey(d.id), factOf(d));
        else store.putHolder(d.documents.map((i) => DOCUMENTS[i]!), d.phones.map((i) => PHONES[i]!), { knownFrom: 0 });
      }
    });
  }
}

/** Everything that can be asked about the subjects. */
const snapshot = (store: EvidenceReader): object => ({
  owners: SUBJECTS.map((s) => names(store.holdersOf(s))),
  holders: DOCUMENTS.map((d) => {
    const { key, documents, evidence } = store.holder(store.holdersOf(d)[0]!);
    return { key: keyText(key), documents: names(documents), registered: evidence.registered, facts: factsOf(store, d) };
  }),
});

describe("order and repetition", () => {
  test("of any facts, moves of facts and holders' rows never matter: two stores end up the same", async () => {
    await fc.assert(
      fc.asyncProperty(deliveries, order, fc.integer({ min: 1, max: 24 }), async (list, numbers, perTransaction) => {
        const [straight, mixed] = [openWriter(), openWriter()];
        deliver(straight, list, list.length || 1);
        deliver(mixed, shuffled([...list, ...list], numbers), perTransaction);
        expect(snapshot(mixed)).toEqual(snapshot(straight));
        await close(straight);
        await close(mixed);
      }),
      { numRuns: 60 },
    );
  });
  test("a store ends up as a plain model says: the highest revision at its subject alone, holders joined by shared documents", async () => {
    await fc.assert(
      fc.asyncProperty(deliveries, order, async (drawn, numbers) => {
        const list = drawn.map((d, i): Delivery => (d.what === "fact" ? { ...d, revision: i + 1 } : d)); // no ties
        const store = openWriter();
        deliver(store, shuffled(list, numbers), 5);
        expect(snapshot(store)).toEqual(modelOf(list));
        await close(store);
      }),
      { numRuns: 60 },
    );
  });
  test("closing and opening anew changes nothing, for a writer and for a reader", async () => {
    await fc.assert(
      fc.asyncProperty(deliveries, async (list) => {
        const folder = join(temporaryFolder(), "evidence");
        const first = openWriter(folder);
        deliver(first, list, 7);
        const before = snapshot(first);
        await first.flushed();
        await close(first);
        const writer = openWriter(folder);
        expect(snapshot(writer)).toEqual(before);
        const reader = openEvidenceReader(folder);
        opened.add(reader);
        expect(snapshot(reader)).toEqual(before);
        await close(reader);
        await close(writer);
      }),
      { numRuns: 15 },
    );
  });
});

function modelOf(list: readonly Delivery[]): object {
  const newest = new Map<number, Extract<Delivery, { what: "fact" }>>();
  for (const d of list) if (d.what === "fact" && d.revision > (newest.get(d.id)?.revision ?? 0)) newest.set(d.id, d);
  const groups = DOCUMENTS.map((_, i) => ({ documents: new Set([i]), phones: new Set<number>(), registered: false }));
  const of = (document: number): (typeof groups)[number] => groups.find((g) => g.documents.has(document))!;
  for (const d of list) {
    if (d.what !== "holder") continue;
    const first = of(d.documents[0]!);
    first.registered = true;
    for (const p of d.phones) first.phones.add(p);
    for (const joined of new Set(d.documents.map(of))) {
      if (joined === first) continue;
      for (const i of joined.documents) first.documents.add(i);
      for (const p of joined.phones) first.phones.add(p);
      groups.splice(groups.indexOf(joined), 1);
    }
  }
  const keyOfGroup = (g: (typeof groups)[number]): string => keyText(DOCUMENTS[Math.min(...g.documents)]!);
  return {
    owners: [
      ...DOCUMENTS.map((_, i) => [keyOfGroup(of(i))]),
      ...PHONES.map((_, i) => groups.filter((g) => g.phones.has(i)).map(keyOfGroup).sort()),
    ],
    holders: DOCUMENTS.map((_, i) => {
      const group = of(i);
      const isMine = (subject: number): boolean => (subject < DOCUMENTS.length ? group.documents.has(subject) : group.phones.has(subject - DOCUMENTS.length));
      return {
        key: keyOfGroup(group),
        documents: names([...group.documents].map((d) => DOCUMENTS[d]!)),
        registered: group.registered,
        facts: asTexts(...[...newest.values()].filter((d) => isMine(d.subject)).map(factOf)),
      };
    }),
  };
}

describe("revisions", () => {
  const put = (store: EvidenceWriter, ...list: [SubjectKey, Fact][]): void => {
    store.transaction(() => {
      for (const [subject, fact] of list) store.putFact(subject, factKey(1), fact);
    });
  };

  test("the highest revision alone is evidence, though it came first", () => {
    const store = openWriter();
    put(store, [docA, labTest({ revision: 2, result: "negative" })], [docA, labTest({ revision: 1, result: "positive" })]);
    expect(factsOf(store, docA)).toEqual(asTexts(labTest({ revision: 2, result: "negative" })));
  });
  test("revision 256 is higher than 255, and 2^32-1 the highest", () => {
    const store = openWriter();
    put(store, [docA, trip({ revision: 256 })], [docA, trip({ revision: 255 })]);
    expect(factsOf(store, docA)).toEqual(asTexts(trip({ revision: 256 })));
    put(store, [docA, trip({ revision: 0xffff_ffff })]);
    expect(factsOf(store, docA)).toEqual(asTexts(trip({ revision: 0xffff_ffff })));
  });
  test("of two contents with one revision the same one holds, whichever came first", () => {
    const results = (["negative", "positive", "inconclusive", "invalid"] as const).map((result) => labTest({ result }));
    const winners = results.map((_, i) => {
      const store = openWriter();
      put(store, ...[...results.slice(i), ...results.slice(0, i)].map((fact): [SubjectKey, Fact] => [docA, fact]));
      return factsOf(store, docA);
    });
    expect(winners[0]).toHaveLength(1);
    expect(winners).toEqual(winners.map(() => winners[0]));
  });
  test("the order in which a fact's fields were written doesn't make another content: the second is a repetition of the first", () => {
    const { kind, ...rest } = trip({ knownFrom: 500 });
    const [one, other]: Fact[] = [trip({ knownFrom: 1000 }), { ...rest, kind }];
    for (const [first, second] of [[one, other], [other, one]] as [Fact, Fact][]) {
      const store = openWriter();
      put(store, [docA, first], [docA, second]);
      expect(factsOf(store, docA)).toEqual(asTexts(trip({ knownFrom: 500 })));
    }
  });
  test("of repeated deliveries the first instant counts at which the fact was known, in whatever order they are applied", () => {
    const store = openWriter();
    put(store, [docA, trip({ knownFrom: 1000 })]);
    put(store, [docA, trip({ knownFrom: 2000 })], [docA, trip({ knownFrom: 500 })]);
    expect(factsOf(store, docA)).toEqual(asTexts(trip({ knownFrom: 500 })));
  });
  test("a new revision is known from its own arrival", () => {
    const store = openWriter();
    put(store, [docA, trip({ knownFrom: 1000 })], [docA, trip({ revision: 2, knownFrom: 2000 })]);
    expect(factsOf(store, docA)).toEqual(asTexts(trip({ revision: 2, knownFrom: 2000 })));
  });

  test("a fact that moves to another document leaves the first, in both orders", () => {
    const moves: [SubjectKey, Fact][] = [[docA, trip()], [docB, trip({ revision: 2 })]];
    for (const list of [moves, moves.toReversed()]) {
      const store = openWriter();
      put(store, ...list);
      expect(factsOf(store, docA)).toEqual([]);
      expect(factsOf(store, docB)).toEqual(asTexts(trip({ revision: 2 })));
    }
  });
  test("a fact that moves away and back is at the first again", () => {
    const store = openWriter();
    put(store, [docA, trip()], [docB, trip({ revision: 2 })], [docA, trip({ revision: 3 })]);
    expect(factsOf(store, docA)).toEqual(asTexts(trip({ revision: 3 })));
    expect(factsOf(store, docB)).toEqual([]);
  });
  test("a fact that moves from a document to a phone counts for the phone's owners", () => {
    const store = openWriter();
    store.transaction(() => store.putHolder([docB], [phoneX], { knownFrom: 0 }));
    put(store, [docA, trip()], [phoneX, trip({ revision: 2 })]);
    expect(factsOf(store, docA)).toEqual([]);
    expect(factsOf(store, docB)).toEqual(asTexts(trip({ revision: 2 })));
  });
  test("whose evidence changed is told: the subject alone, or with a move both", () => {
    const store = openWriter();
    store.transaction(() => {
      expect(names(store.putFact(docA, factKey(1), trip()))).toEqual(names([docA]));
      expect(names(store.putFact(docB, factKey(1), trip({ revision: 2 })))).toEqual(names([docA, docB]));
      expect(names(store.putFact(docB, factKey(1), trip({ revision: 3 })))).toEqual(names([docB]));
    });
  });
  test("the very same fact told of two documents is settled the same way in every order, at one of them", () => {
    const list: [SubjectKey, Fact][] = [[docA, trip()], [docB, trip()]];
    const found = [list, list.toReversed()].map((l) => {
      const store = openWriter();
      put(store, ...l);
      return [factsOf(store, docA), factsOf(store, docB)];
    });
    expect(found[0]).toEqual(found[1]);
    expect(found[0]!.flat()).toHaveLength(1);
  });
  test("the very same fact told of two documents, then moved to a third, leaves both in every order", () => {
    const list: [SubjectKey, Fact][] = [[docA, trip()], [docB, trip()], [docC, trip({ revision: 2 })]];
    for (const l of [list, [list[1]!, list[0]!, list[2]!], list.toReversed()]) {
      const store = openWriter();
      put(store, ...l);
      expect([docA, docB, docC].map((d) => factsOf(store, d).length)).toEqual([0, 0, 1]);
    }
  });
  test.each([
    ["on the same document", docA],
    ["on another document", docB],
  ])("a revision of another kind %s replaces the fact, in both orders", (_, second) => {
    const list: [SubjectKey, Fact][] = [[docA, trip()], [second, labTest({ revision: 2 })]];
    const found = [list, list.toReversed()].map((l) => {
      const store = openWriter();
      put(store, ...l);
      return [...new Set([docA, second])].flatMap((d) => factsOf(store, d));
    });
    expect(found).toEqual(Array(2).fill(asTexts(labTest({ revision: 2 }))));
  });
});

describe("what refutations match", () => {
  const refutation = (change: Partial<Refutation>): Refutation => ({
    ...base, kind: "refutation", subject: null, fact: null, county: null, from: null, to: null, at: 300, authority: "authority", ground: "", ...change,
  });
  const tripsOf = (store: EvidenceReader, document: DocumentKey): Fact[] => store.holder(store.holdersOf(document)[0]!).evidence.facts.filter((f) => f.kind === "trip");
  const kindsOf = (store: EvidenceReader, document: DocumentKey): string[] => store.holder(store.holdersOf(document)[0]!).evidence.facts.map((f) => f.kind).sort();

  test("a trip says whom it was told of and which fact it is", () => {
    const store = openWriter();
    store.transaction(() => {
      store.putHolder([docA], [phoneX], { knownFrom: 0 });
      store.putFact(phoneX, factKey(7), trip());
    });
    expect(tripsOf(store, docA)).toEqual([trip({ told: { subject: keyText(phoneX), fact: keyText(factKey(7)) } })]);
  });
  test("a refutation of one fact reaches its holder, told before or after the trip, and nobody else", () => {
    for (const isFirst of [true, false]) {
      const store = openWriter();
      const refute = (): SubjectKey[] => store.putFact(factKey(7) as Uint8Array as SubjectKey, factKey(90), refutation({ fact: keyText(factKey(7)) }));
      const tell = (): SubjectKey[] => store.putFact(docA, factKey(7), trip());
      store.transaction(() => {
        store.putFact(docA, factKey(8), trip({ county: 110105 }));
        store.putFact(docB, factKey(9), trip());
        // Whom it concerns is known once the trip is.
        expect((isFirst ? [refute(), tell()] : [tell(), refute()]).map((s) => s.map(keyText))).toEqual(isFirst ? [[], [keyText(docA)]] : [[keyText(docA)], [keyText(docA)]]);
      });
      expect(kindsOf(store, docA)).toEqual(["refutation", "trip", "trip"]);
      expect(kindsOf(store, docB)).toEqual(["trip"]);
    }
  });
  test("a corrected refutation has its new effect alone, whichever kind it was and is", () => {
    const store = openWriter();
    const underFact = (n: number): SubjectKey => factKey(n) as Uint8Array as SubjectKey;
    store.transaction(() => {
      store.putHolder([docA], [phoneX], { knownFrom: 0 });
      store.putFact(phoneX, factKey(71), trip());
      store.putFact(docB, factKey(72), trip());
      store.putFact(phoneX, factKey(90), refutation({ subject: keyText(phoneX) }));
    });
    expect([kindsOf(store, docA), kindsOf(store, docB)]).toEqual([["refutation", "trip"], ["trip"]]);
    const correct = (subject: SubjectKey, fact: Fact): string[] => store.transaction(() => store.putFact(subject, factKey(90), fact)).map(keyText).sort();
    // Narrowed to one trip of somebody else, then to one of the first, then back to the phone.
    expect(correct(underFact(72), refutation({ revision: 2, fact: keyText(factKey(72)) }))).toEqual([keyText(docB), keyText(phoneX)].sort());
    expect([kindsOf(store, docA), kindsOf(store, docB)]).toEqual([["trip"], ["refutation", "trip"]]);
    expect(correct(underFact(71), refutation({ revision: 3, fact: keyText(factKey(71)) }))).toEqual([keyText(docB), keyText(phoneX)].sort());
    expect([kindsOf(store, docA), kindsOf(store, docB)]).toEqual([["refutation", "trip"], ["trip"]]);
    expect(correct(phoneX, refutation({ revision: 4, subject: keyText(phoneX) }))).toEqual([keyText(phoneX), keyText(phoneX)]);
    expect([kindsOf(store, docA), kindsOf(store, docB)]).toEqual([["refutation", "trip"], ["trip"]]);
  });
});

describe("as of an instant", () => {
  test("only revisions and rows known by then count, to the second", () => {
    const store = openWriter();
    store.transaction(() => {
      store.putHolder([docA], [], { knownFrom: 100 });
      store.putHolder([docA, docB], [phoneX], { knownFrom: 300 });
      store.putFact(docA, factKey(1), trip({ knownFrom: 100 }));
      store.putFact(docA, factKey(1), trip({ knownFrom: 200, revision: 2, county: 440106 }));
      store.putFact(phoneX, factKey(2), trip({ knownFrom: 150, county: 650102 }));
    });
    const at = (instant: number, document = docA): unknown => {
      const { documents, evidence } = store.holderAt(document, instant);
      return [evidence.registered, documents.map(keyText).sort(), evidence.facts.map((f) => (f as Trip).county).sort()];
    };
    const [a, b] = [keyText(docA), keyText(docB)];
    expect(at(99)).toEqual([false, [a], []]);
    expect(at(100)).toEqual([true, [a], [310115]]);
    expect(at(199)).toEqual([true, [a], [310115]]);
    expect(at(200)).toEqual([true, [a], [440106]]);
    expect(at(299, docB)).toEqual([false, [b], []]);
    expect(at(300)).toEqual([true, [a, b].sort(), [440106, 650102]]);
    expect(at(300, docB)).toEqual([true, [a, b].sort(), [440106, 650102]]);
  });
  test.each(["as they came", "the other way round"])("a fact that moved to another subject was still the first one's before; applied %s", (order) => {
    const store = openWriter();
    const moves: [SubjectKey, Fact][] = [[docA, trip({ knownFrom: 100 })], [docB, trip({ knownFrom: 200, revision: 2 })]];
    store.transaction(() => {
      for (const [subject, fact] of order === "as they came" ? moves : moves.toReversed()) store.putFact(subject, factKey(1), fact);
    });
    expect([199, 200].map((at) => store.holderAt(docA, at).evidence.facts.length)).toEqual([1, 0]);
    expect([199, 200].map((at) => store.holderAt(docB, at).evidence.facts.length)).toEqual([0, 1]);
  });
  test("what rests on history says so until that history has arrived, of facts and of holders' rows; before it counts as known it doesn't", () => {
    const store = openWriter();
    store.transaction(() => {
      store.putHolder([docA], [], { knownFrom: 100 });
      store.putFact(docA, factKey(1), trip({ knownFrom: 200, receivedAt: 300 }));
      store.putHolder([docB], [], { knownFrom: 200, receivedAt: 300 });
      store.putHolder([docC], [], { knownFrom: 200 });
    });
    const rests = (document: DocumentKey): boolean[] => [199, 200, 299, 300].map((at) => store.holderAt(document, at).restsOnHistory);
    expect(rests(docA)).toEqual([false, true, true, false]);
    expect(rests(docB)).toEqual([false, true, true, false]);
    expect(rests(docC)).toEqual([false, false, false, false]);
  });
  test("when a fact arrived is no content of it: history told again is the same fact", () => {
    const store = openWriter();
    for (const receivedAt of [400, 300, 400]) store.transaction(() => store.putFact(docA, factKey(1), trip({ knownFrom: 200, receivedAt })));
    expect(store.holderAt(docA, 500).evidence.facts).toMatchObject([{ receivedAt: 300 }]);
    expect(store.holderAt(docA, 350).restsOnHistory).toBe(false);
    store.transaction(() => store.putFact(docA, factKey(1), trip({ knownFrom: 600, county: 310115 })));
    expect(store.holderAt(docA, 700).evidence.facts).toMatchObject([{ knownFrom: 200 }]);
  });
  test("a row told again is known since it was first told, also when the later delivery is applied first", () => {
    const store = openWriter();
    store.transaction(() => [300, 100, 200].forEach((knownFrom) => store.putHolder([docA], [phoneX], { knownFrom })));
    expect([99, 100].map((at) => store.holderAt(docA, at).evidence.registered)).toEqual([false, true]);
  });
});

describe("residents and former counties", () => {
  const residence: Fact = { ...base, kind: "residence", county: 110105, from: 0, until: null };
  test("residents are found by county, apart from visitors", () => {
    const store = openWriter();
    store.transaction(() => {
      store.putFact(docA, factKey(1), residence);
      store.putFact(docB, factKey(2), trip({ county: 110105 }));
    });
    const page = { after: null, limit: 10 };
    expect(store.residentsOf(110105, page).map(keyText)).toEqual([keyText(docA)]);
    expect(store.visitorsOf(110105, page).map(keyText)).toEqual([keyText(docB)]);
    expect([store.residentCount(110105), store.visitorCount(110105), store.visitorCount(110106)]).toEqual([1, 1, 0]);
  });
  test("a stay told under an old code is found under every county that it became", () => {
    const store = openWriter();
    store.transaction(() => store.putFact(docA, factKey(1), trip({ county: 330104 })));
    expect([330104, 330102, 330114, 330105].map((county) => store.visitorCount(county))).toEqual([0, 1, 1, 0]);
  });
});

describe("holders", () => {
  const join2 = (store: EvidenceWriter, documents: DocumentKey[], phones: PhoneKey[] = []): Uint8Array => store.transaction(() => store.putHolder(documents, phones, { knownFrom: 0 }));

  test("a document that nobody told us of is a holder of its own, not registered, with the facts told of it", () => {
    const store = openWriter();
    store.transaction(() => store.putFact(docA, factKey(1), trip()));
    expect(names(store.holdersOf(docA))).toEqual(names([docA]));
    expect(store.holder(docA)).toMatchObject({ evidence: { registered: false, facts: [trip()] } }); // and whom it was told of
    expect(names(store.holder(docA).documents)).toEqual(names([docA]));
  });
  test("a phone that nobody owns concerns nobody, and what is told of it waits for its owner", () => {
    const store = openWriter();
    store.transaction(() => store.putFact(phoneX, factKey(1), trip()));
    expect(store.holdersOf(phoneX)).toEqual([]);
    join2(store, [docA], [phoneX]);
    expect(names(store.holdersOf(phoneX))).toEqual(names([docA]));
    expect(factsOf(store, docA)).toEqual(asTexts(trip()));
  });
  test("one row of one document registers it", () => {
    const store = openWriter();
    join2(store, [docA]);
    expect(store.holder(docA).evidence).toEqual({ registered: true, facts: [] });
  });
  test("the holder's key is the smallest of its documents, in whatever order they are named", () => {
    const store = openWriter();
    expect(keyText(join2(store, [docC, docA, docB]))).toBe(keyText(docA));
    expect([docA, docB, docC].map((d) => names(store.holdersOf(d)))).toEqual(Array(3).fill(names([docA])));
  });
  test("keys are compared as bytes: 0x80 is larger than 0x7f", () => {
    const store = openWriter();
    expect(keyText(join2(store, [documentKey(0x8000_0000), documentKey(0x7fff_ffff)]))).toBe(keyText(documentKey(0x7fff_ffff)));
  });
  test("two holders that come to share a document are one, with the documents, phones and facts of both, under the smaller key", () => {
    const store = openWriter();
    join2(store, [docB], [phoneX]);
    join2(store, [docC], [phoneY]);
    store.transaction(() => {
      store.putFact(docC, factKey(1), labTest());
      store.putFact(phoneX, factKey(2), trip());
      store.putFact(phoneY, factKey(3), trip({ county: 110105 }));
    });
    expect(keyText(join2(store, [docC, docB]))).toBe(keyText(docB));
    expect(names(store.holder(docB).documents)).toEqual(names([docB, docC]));
    expect(factsOf(store, docC)).toEqual(asTexts(labTest(), trip(), trip({ county: 110105 })));
    expect([phoneX, phoneY].map((p) => names(store.holdersOf(p)))).toEqual([names([docB]), names([docB])]);
  });
  test("a smaller document that joins later takes the key over, and the old key is nobody's any more", () => {
    const store = openWriter();
    join2(store, [docC], [phoneX]);
    join2(store, [docC, docA]);
    expect([docA, docC].map((d) => names(store.holdersOf(d)))).toEqual([names([docA]), names([docA])]);
    expect(names(store.holdersOf(phoneX))).toEqual(names([docA]));
    expect(store.holder(docC).evidence.registered).toBe(false);
  });
  test("a chain of rows in the worst order makes one holder of all", () => {
    const store = openWriter();
    join2(store, [documentKey(4), documentKey(3)]);
    join2(store, [documentKey(2), documentKey(1)]);
    join2(store, [documentKey(3), documentKey(2)]);
    expect(names(store.holder(documentKey(1)).documents)).toEqual(names([1, 2, 3, 4].map(documentKey)));
  });
  test("two holders who share a phone stay two, and its trips count for each", () => {
    const store = openWriter();
    join2(store, [docA], [phoneX]);
    join2(store, [docB], [phoneX]);
    store.transaction(() => store.putFact(phoneX, factKey(1), trip()));
    expect(names(store.holdersOf(phoneX))).toEqual(names([docA, docB]));
    expect([docA, docB].map((d) => factsOf(store, d))).toEqual([asTexts(trip()), asTexts(trip())]);
  });
  test("a later row without the phone doesn't take it away", () => {
    const store = openWriter();
    join2(store, [docA], [phoneX]);
    join2(store, [docA]);
    expect(names(store.holdersOf(phoneX))).toEqual(names([docA]));
  });
  test("neighbouring phones keep their own owners, also at the ends of the key space", () => {
    const store = openWriter();
    const ends = [phoneKey(0), phoneKey(1), phoneKey(0xffff_fffe), phoneKey(0xffff_ffff)];
    ends.forEach((phone, i) => join2(store, [documentKey(i)], [phone]));
    expect(ends.map((phone) => names(store.holdersOf(phone)))).toEqual(ends.map((_, i) => names([documentKey(i)])));
  });
  test("neighbouring documents keep their own facts, also at the ends of the key space", () => {
    const store = openWriter();
    const ends = [0, 1, 0xffff_fffe, 0xffff_ffff].map(documentKey);
    store.transaction(() => {
      ends.forEach((d, i) => store.putFact(d, factKey(i), trip({ from: i })));
    });
    expect(ends.map((d) => factsOf(store, d))).toEqual(ends.map((_, i) => asTexts(trip({ from: i }))));
  });
});

describe("visitorsOf", () => {
  const COUNTY = 310115;
  const visitors = [5, 3, 9, 1, 7, 2, 8, 4, 6].map(documentKey);
  const filled = (): EvidenceWriter => {
    const store = openWriter();
    store.transaction(() => {
      visitors.forEach((v, i) => store.putFact(v, factKey(i), trip({ county: COUNTY })));
      store.putFact(phoneX, factKey(20), trip({ county: COUNTY }));
      store.putFact(documentKey(50), factKey(50), trip({ county: COUNTY - 1 }));
      store.putFact(documentKey(51), factKey(51), trip({ county: COUNTY + 1 }));
      store.putFact(documentKey(52), factKey(52), labTest({ county: COUNTY }));
    });
    return store;
  };
  const everyone = [...names(visitors), keyText(phoneX)];
  const page = (store: EvidenceReader, after: Uint8Array | null, limit: number): SubjectKey[] => store.visitorsOf(COUNTY, { after, limit });

  test("names documents and phones with a stay there, ascending; not the neighbours' visitors, not who was tested there", () => {
    expect(page(filled(), null, 100).map((k) => keyText(k))).toEqual(everyone);
  });
  test.each([1, 2, 3, 9, 10, 11])("in pages of %i everyone comes once", (limit) => {
    const store = filled();
    const seen: string[] = [];
    let after: Uint8Array | null = null;
    for (let pages = Math.ceil(everyone.length / limit); pages > 0; pages--) {
      const keys = page(store, after, limit);
      expect(keys.length).toBeLessThanOrEqual(limit);
      seen.push(...keys.map((k) => keyText(k)));
      after = keys.at(-1)!;
    }
    expect(seen).toEqual(everyone);
    expect(page(store, after, limit)).toEqual([]);
  });
  test("behind a key that is no visitor's begins with the next one", () => {
    const between = documentKey(4);
    between[15] = 0xfe;
    expect(page(filled(), between, 1).map((k) => keyText(k))).toEqual([keyText(documentKey(5))]);
  });
  test("behind the last there is nobody, and of an unknown county neither", () => {
    const store = filled();
    expect(page(store, phoneX, 5)).toEqual([]);
    expect(store.visitorsOf(999999, { after: null, limit: 5 })).toEqual([]);
  });
  test("a visitor with many stays comes once", () => {
    const store = openWriter();
    store.transaction(() => {
      for (let i = 0; i < 5; i++) store.putFact(docA, factKey(i), trip({ county: COUNTY, from: i }));
    });
    expect(page(store, null, 10)).toHaveLength(1);
  });
  test("nobody whose stay holds is ever missing, whatever was delivered in whatever order", async () => {
    await fc.assert(
      fc.asyncProperty(deliveries, order, async (list, numbers) => {
        const store = openWriter();
        deliver(store, shuffled(list, numbers), 5);
        const found = names(page(store, null, 1000));
        for (const d of DOCUMENTS) {
          if (!factsOf(store, d).some((f) => f.includes('"trip"'))) continue;
          const { documents } = store.holder(store.holdersOf(d)[0]!);
          const phones = PHONES.filter((p) => names(store.holdersOf(p)).includes(keyText(store.holdersOf(d)[0]!)));
          expect(names([...documents, ...phones]).some((s) => found.includes(s))).toBe(true);
        }
        await close(store);
      }),
      { numRuns: 20 },
    );
  });
});

describe("a transaction", () => {
  const publication: RiskPublication = { publishedAt: 100, knownFrom: 100, counties: new Map([[310115, { high: 1, medium: 0 }]]), areas: Float64Array.of(1), unknown: [] };
  const listing = (list: RiskPublication): RegionChange => ({ publications: [list], infections: [], screenings: [] });

  test("has a number: each the next one, also after opening anew", async () => {
    const folder = join(temporaryFolder(), "evidence");
    const first = openWriter(folder);
    expect([first.transaction((n) => n), first.transaction((n) => n)]).toEqual([1, 2]);
    await close(first);
    expect(openWriter(folder).transaction((n) => n)).toBe(3);
  });
  test("that throws leaves nothing: no fact, holder, visitor, progress, number or region", () => {
    const store = openWriter();
    store.transaction(() => store.putFact(docA, factKey(1), trip()));
    const before = snapshot(store);
    const failing = (): void => {
      store.transaction(() => {
        store.putFact(docB, factKey(1), trip({ revision: 2, county: 440106 }));
        store.putHolder([docA, docB], [phoneX], { knownFrom: 0 });
        store.putProgress(7, { chunksDone: 1, entriesChanged: 1, recompute: { counties: [], after: null }, appliedMs: null });
        expect(store.regions.put(listing(publication), "released")).toMatchObject([{ county: 310115 }]);
        expect(store.regions.risk(310115)).toBeDefined();
        throw new Error("half-way");
      });
    };
    expect(failing).toThrow("half-way");
    expect(snapshot(store)).toEqual(before);
    expect(store.visitorsOf(440106, { after: null, limit: 9 })).toEqual([]);
    expect(store.progress(7)).toBeUndefined();
    expect(store.regions.risk(310115)).toBeUndefined();
    expect(store.transaction((n) => n)).toBe(2);
  });
  test("that throws lets the next one write the same regions anew", () => {
    const store = openWriter();
    expect(() => {
      store.transaction(() => {
        store.regions.put(listing(publication), "released");
        throw new Error("half-way");
      });
    }).toThrow();
    expect(store.transaction(() => store.regions.put(listing(publication), "released"))).toMatchObject([{ county: 310115 }]);
    expect(store.regions.risk(310115)?.held).toHaveLength(1);
  });
  test("that throws leaves the regions' revision, as it was before", () => {
    const store = openWriter();
    store.transaction(() => store.regions.put(listing(publication), "released"));
    const before = store.regions.revision();
    expect(() => {
      store.transaction(() => {
        store.regions.put(listing({ ...publication, publishedAt: 200 }), "released");
        throw new Error("half-way");
      });
    }).toThrow();
    expect(store.regions.revision()).toBe(before);
  });
  test("is seen by a reader when it is committed, its regions after refresh", async () => {
    const folder = join(temporaryFolder(), "evidence");
    const writer = openWriter(folder);
    const reader = openEvidenceReader(folder);
    opened.add(reader);
    expect(reader.regions.risk(310115)).toBeUndefined();
    writer.transaction(() => {
      writer.putHolder([docA], [], { knownFrom: 0 });
      writer.regions.put(listing(publication), "released");
      expect(reader.holder(docA).evidence.registered).toBe(false);
    });
    await vi.waitUntil(() => reader.holder(docA).evidence.registered, { timeout: 50_000, interval: 1 });
    reader.regions.refresh();
    expect(reader.regions.risk(310115)).toEqual(writer.regions.risk(310115));
    expect(reader.regions.revision()).toBe(writer.regions.revision());
  });
});

describe("progress of a batch", () => {
  test("comes back as it was put, with and without a place to go on from; the last one holds", () => {
    const store = openWriter();
    const progress = { chunksDone: 3, entriesChanged: 42, recompute: { counties: [310115, 110105], after: Uint8Array.from(docA) }, appliedMs: 1_654_732_200_123 };
    store.putProgress(1, { ...progress, recompute: { counties: [], after: null }, appliedMs: null });
    expect(store.progress(1)).toEqual({ ...progress, recompute: { counties: [], after: null }, appliedMs: null });
    store.putProgress(1, progress);
    const read = store.progress(1)!;
    expect({ ...read, recompute: { ...read.recompute, after: Uint8Array.from(read.recompute.after!) } }).toEqual(progress);
    expect(store.progress(2)).toBeUndefined();
  });
});

test("a reader of a store that isn't there throws", () => {
  expect(() => openEvidenceReader(join(temporaryFolder(), "none"))).toThrow();
});
