// Holders: which documents and phones belong to one person.
// Promises: rows that share a document make one holder, whatever the order; every row is kept with the instant it became known, so that who belonged together at an
// instant can be told.

import { createHash } from "node:crypto";
import type { Database, RootDatabase } from "lmdb";
import { arrivedAfter, arrivedBefore, KEY_BYTES, keyOf, keyText, subjectKind, type AsKnown, type DocumentKey, type HolderKey, type Instant, type Known, type PhoneKey, type SubjectKey } from "../domain/index.ts";

export interface HolderRecord {
  readonly documents: readonly DocumentKey[];
  readonly phones: readonly PhoneKey[];
}

export interface HolderStore {
  /** Makes the owners of these documents one holder. @returns its key. */
  put(documents: readonly DocumentKey[], phones: readonly PhoneKey[], known: Known): HolderKey;
  /** The holders whom something told of `subject` concerns. A document that no holder owns yet is a holder of its own; a phone may have none or several. */
  of(subject: SubjectKey): HolderKey[];
  record(key: HolderKey): HolderRecord | undefined;
  /** What the rows known at `at` say of a document's owner; undefined: no row named it by then. */
  recordAt(document: DocumentKey, at: Instant): (HolderRecord & AsKnown) | undefined;
  /** Whether a row names the document. */
  isOwned(document: DocumentKey): boolean;
  count(): number;
  /** Keys behind `after`, ascending. */
  keys(options: { after: Uint8Array | null; limit: number }): HolderKey[];
}

/** A delivered row, under each document that it names. */
interface Link extends Known {
  readonly documents: readonly Uint8Array[];
  readonly phones: readonly Uint8Array[];
}

const EMPTY = new Uint8Array(0);

export function createHolderStore(root: RootDatabase): HolderStore {
  const holders: Database<Uint8Array, Uint8Array> = root.openDB({ name: "holders", keyEncoding: "binary", encoding: "binary" });
  const documents: Database<Uint8Array, Uint8Array> = root.openDB({ name: "documents", keyEncoding: "binary", encoding: "binary" });
  const phones: Database<Uint8Array, Uint8Array> = root.openDB({ name: "phones", keyEncoding: "binary", encoding: "binary" });
  const links = root.openDB<Link, Uint8Array>({ name: "links", keyEncoding: "binary", encoding: "msgpack" });

  const record = (key: Uint8Array): HolderRecord | undefined => {
    const bytes = holders.get(key);
    return bytes && decodeRecord(bytes);
  };

  return {
    put(newDocuments, newPhones, { knownFrom, receivedAt }) {
      const link: Link = { documents: newDocuments, phones: newPhones, knownFrom, ...(receivedAt === undefined ? {} : { receivedAt }) };
      const rowHash = createHash("sha256").update(Buffer.concat([...newDocuments])).update("|").update(Buffer.concat([...newPhones])).digest().subarray(0, 8);
      for (const document of newDocuments) {
        const key = Buffer.concat([document, rowHash]);
        const before = links.get(key);
        if (!before || arrivedBefore(link, before)) links.putSync(key, link);
      }
      const owners = new Set(newDocuments.map((d) => keyText(documents.get(d) ?? d)));
      const allDocuments = new Set(newDocuments.map(keyText));
      const allPhones = new Set(newPhones.map(keyText));
      for (const owner of owners) {
        const known = record(keyOf(owner));
        known?.documents.forEach((d) => allDocuments.add(keyText(d)));
        known?.phones.forEach((p) => allPhones.add(keyText(p)));
      }
      const holder = keyOf([...allDocuments].sort()[0]!);
      for (const owner of owners) {
        if (owner === keyText(holder)) continue;
        const previous = keyOf(owner);
        record(previous)?.phones.forEach((p) => phones.removeSync(Buffer.concat([p, previous])));
        holders.removeSync(previous);
      }
      for (const d of allDocuments) documents.putSync(keyOf(d), holder);
      for (const p of allPhones) phones.putSync(Buffer.concat([keyOf(p), holder]), EMPTY);
      holders.putSync(holder, encodeRecord({ documents: [...allDocuments].sort().map(keyOf), phones: [...allPhones].sort().map(keyOf) }));
      return holder;
    },

    of(subject) {
      if (subjectKind(subject) === "document") return [(documents.get(subject) ?? subject) as HolderKey];
      return [...phones.getKeys({ start: subject, end: endOf(subject) })].map((key) => copyOf(key.subarray(KEY_BYTES)) as HolderKey);
    },

    record,

    recordAt(document, at) {
      const found = { documents: new Set<string>(), phones: new Set<string>() };
      const waiting = [keyText(document)];
      let restsOnHistory = false;
      for (let text = waiting.pop(); text !== undefined; text = waiting.pop()) {
        if (found.documents.has(text)) continue;
        const rows = [...links.getRange({ start: keyOf(text), end: endOf(keyOf(text)) })].filter(({ value }) => value.knownFrom <= at);
        if (rows.length > 0) found.documents.add(text);
        for (const { value } of rows) {
          restsOnHistory ||= arrivedAfter(value, at);
          value.phones.forEach((p) => found.phones.add(keyText(p)));
          waiting.push(...value.documents.map(keyText));
        }
      }
      return found.documents.size === 0 ? undefined : { documents: [...found.documents].map(keyOf), phones: [...found.phones].map(keyOf), restsOnHistory };
    },

    isOwned: (document) => documents.doesExist(document),

    keys({ after, limit }) {
      const range = { ...(after ? { start: Buffer.concat([after, Buffer.of(0)]) } : {}), limit };
      return [...holders.getKeys(range)].map((key) => copyOf(key) as HolderKey);
    },

    count: () => (holders.getStats() as { entryCount: number }).entryCount,
  };
}

/** How many documents, u16 little endian, then the documents and the phones, 16 bytes each. */
function encodeRecord({ documents, phones }: HolderRecord): Uint8Array {
  return Buffer.concat([Buffer.of(documents.length & 0xff, documents.length >>> 8), ...documents, ...phones]);
}

function decodeRecord(bytes: Uint8Array): HolderRecord {
  const phonesAt = 2 + (bytes[0]! | (bytes[1]! << 8)) * KEY_BYTES;
  const keys = <Key>(from: number, to: number): Key[] => Array.from({ length: (to - from) / KEY_BYTES }, (_, i) => bytes.subarray(from + i * KEY_BYTES, from + (i + 1) * KEY_BYTES) as Key);
  return { documents: keys<DocumentKey>(2, phonesAt), phones: keys<PhoneKey>(phonesAt, bytes.length) };
}

/** A key of one's own out of one that the store lends. */
export function copyOf(bytes: Uint8Array): Uint8Array {
  return Uint8Array.prototype.slice.call(bytes);
}

/** Behind the last key that begins with `prefix`, whatever follows it. */
export function endOf(prefix: Uint8Array): Uint8Array {
  return Buffer.concat([prefix, Buffer.alloc(48, 0xff)]);
}
