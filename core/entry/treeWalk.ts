// Keys of 16 bytes looked up in an LMDB tree over a page map, many at once.
// Promises: what a page says is checked before it is followed (its number, its kind, its transaction, every offset), so that nonsense is told as a fault
// and never read outside the page. Overflow pages too. It allocates nothing.
// Not here: whether the tree may still be read (mappedReader.ts), and whether the bytes found are sound (codec.ts).
//
// All keys go down together, a level at a time, and a level is walked in passes that touch first the pages' heads, then the guessed places: what one key
// waits for from memory, the processor fetches while it works on the next ones. Keys are hashes, hence uniform, so a place is guessed from the bounds that
// the level above gave; the guess is corrected in small steps, and by halving when keys aren't uniform.
//
// Layout (mdb.c): MDB_page_header: number u64, transaction u64, pad u16, flags u16, lower u16, upper u16; then u16 offsets of nodes, from the head's end.
// MDB_node: u32 and u16 are a child's page number in a branch, length and flags in a leaf; u16 length of the key; the key; the value.

import { KEY_BYTES } from "../domain/index.ts";
import { PAGE_BYTES, PAGE_HEADER_BYTES, u64, WINDOW_PAGES_LOG2, WINDOWS_A_HIGH_WORD, type PageMap, type Tree } from "./pageMap.ts";

/** Keys that go down together. */
export const WALK_KEYS = 64;

export const ABSENT = 0;
/** The value lies in its page: `windows`, `offsets`, `lengths`. */
export const FOUND = 1;
/** The value lies in pages of its own, beginning in the page and window given, and may go on in the next window. */
export const FOUND_LARGE = 2;
/** The tree can't be followed. */
export const FAULT = 3;

const BRANCH = 0x01;
const LEAF = 0x02;
const OVERFLOW = 0x04;
const KINDS = 0x7f;
const BIG_VALUE = 0x01;
const NODE_HEADER_BYTES = 8;
const PAGE_BODY_BYTES = PAGE_BYTES - PAGE_HEADER_BYTES;
/** Where a node with a key can begin at most, from the head's end. */
const NODE_AT_MAX = PAGE_BODY_BYTES - NODE_HEADER_BYTES - KEY_BYTES;
const OVERFLOW_RECORD_BYTES = 24;
/** Small steps from a guess before halving. */
const STEPS_MAX = 8;
const WINDOW_PAGES_MASK = 2 ** WINDOW_PAGES_LOG2 - 1;
const PAGE_BYTES_LOG2 = 12;
const DEPTH_MAX = 32;
/** A place that a page which contradicts itself has. */
const CONFUSED = -2;

export class TreeWalk {
  /** What became of each key: ABSENT, FOUND, FOUND_LARGE or FAULT. */
  readonly outcomes = new Uint8Array(WALK_KEYS);
  /** While walking where each key's page lies, afterwards where its value does. */
  readonly windows = new Int32Array(WALK_KEYS);
  readonly offsets = new Int32Array(WALK_KEYS);
  readonly lengths = new Uint32Array(WALK_KEYS);
  readonly #map: PageMap;
  readonly #numbersLow = new Uint32Array(WALK_KEYS);
  readonly #numbersHigh = new Uint32Array(WALK_KEYS);
  readonly #first = new Float64Array(WALK_KEYS);
  readonly #from = new Float64Array(WALK_KEYS);
  readonly #until = new Float64Array(WALK_KEYS);
  readonly #nodes = new Int32Array(WALK_KEYS);
  readonly #guesses = new Int32Array(WALK_KEYS);
  readonly #touched = new Uint32Array(WALK_KEYS);
  #keys: DataView = new DataView(new ArrayBuffer(0));
  #keysAt = 0;

  constructor(map: PageMap) {
    this.#map = map;
  }

  /** Looks up `count` keys, at most WALK_KEYS, that lie one behind the other from `keysAt`. */
  find(tree: Tree, keys: DataView, keysAt: number, count: number): void {
    const { outcomes, windows, offsets } = this;
    if (tree.depth === 0) {
      outcomes.fill(ABSENT, 0, count);
      return;
    }
    const isSound = tree.flags === 0 && tree.depth <= DEPTH_MAX && tree.root < this.#map.pages;
    if (!isSound) {
      outcomes.fill(FAULT, 0, count);
      return;
    }
    this.#keys = keys;
    this.#keysAt = keysAt;
    const rootLow = tree.root % 2 ** 32;
    const rootHigh = Math.floor(tree.root / 2 ** 32);
    const rootWindow = windowOf(rootLow, rootHigh);
    const rootOffset = offsetOf(rootLow);
    for (let i = 0; i < count; i++) {
      outcomes[i] = ABSENT;
      windows[i] = rootWindow;
      offsets[i] = rootOffset;
      this.#numbersLow[i] = rootLow;
      this.#numbersHigh[i] = rootHigh;
      this.#first[i] = keys.getUint32(keysAt + i * KEY_BYTES, false);
      this.#from[i] = 0;
      this.#until[i] = 2 ** 32;
    }
    for (let level = 1; level < tree.depth; level++) {
      this.#guess(count, BRANCH, tree.transaction);
      this.#touch(count);
      this.#descend(count);
    }
    this.#guess(count, LEAF, tree.transaction);
    this.#touch(count);
    this.#pick(count, tree.transaction);
  }

  /** Checks the heads of the pages and guesses where in each the key lies. */
  #guess(count: number, kind: number, transaction: number): void {
    const { outcomes, windows, offsets } = this;
    const views = this.#map.windows;
    const numbersLow = this.#numbersLow;
    const numbersHigh = this.#numbersHigh;
    const first = this.#first;
    const from = this.#from;
    const until = this.#until;
    for (let i = 0; i < count; i++) {
      if (outcomes[i] === FAULT) continue;
      const view = views[windows[i]!]!;
      const at = offsets[i]!;
      const lower = view.getUint16(at + 20, true);
      const isSound =
        view.getUint32(at, true) === numbersLow[i] &&
        view.getUint32(at + 4, true) === numbersHigh[i] &&
        (view.getUint16(at + 18, true) & KINDS) === kind &&
        u64(view, at + 8) <= transaction &&
        lower <= view.getUint16(at + 22, true) &&
        view.getUint16(at + 22, true) <= PAGE_BODY_BYTES &&
        lower >= 2;
      if (!isSound) {
        outcomes[i] = FAULT;
        continue;
      }
      const n = lower >> 1;
      const low = from[i]!;
      const guess = Math.trunc(((first[i]! - low) / (until[i]! - low)) * n) | 0;
      this.#nodes[i] = n;
      this.#guesses[i] = guess < 0 ? 0 : guess >= n ? n - 1 : guess;
    }
  }

  /** Has the guessed nodes fetched, in two passes: where they lie, and their beginnings. */
  #touch(count: number): void {
    const { outcomes, windows, offsets } = this;
    const views = this.#map.windows;
    const guesses = this.#guesses;
    const touched = this.#touched;
    for (let i = 0; i < count; i++) {
      if (outcomes[i] !== FAULT) touched[i] = views[windows[i]!]!.getUint16(offsets[i]! + PAGE_HEADER_BYTES + 2 * guesses[i]!, true);
    }
    for (let i = 0; i < count; i++) {
      const node = touched[i]!;
      if (outcomes[i] !== FAULT && node <= NODE_AT_MAX) touched[i] = views[windows[i]!]!.getUint32(offsets[i]! + PAGE_HEADER_BYTES + node + NODE_HEADER_BYTES, true);
    }
  }

  /** Goes from branch pages to the children whose range holds the key. */
  #descend(count: number): void {
    const { outcomes, windows, offsets } = this;
    const views = this.#map.windows;
    const { pages } = this.#map;
    for (let i = 0; i < count; i++) {
      if (outcomes[i] === FAULT) continue;
      const view = views[windows[i]!]!;
      const at = offsets[i]!;
      const n = this.#nodes[i]!;
      // The first node stands for everything below the second: its own key counts for nothing.
      const child = n < 2 ? CONFUSED : this.#lastNotAbove(view, at, 1, n, this.#guesses[i]!, i);
      const node = child < 0 ? -1 : nodeAt(view, at, child === 0 ? PAGE_BODY_BYTES - NODE_HEADER_BYTES : NODE_AT_MAX, child);
      if (node < 0) {
        outcomes[i] = FAULT;
        continue;
      }
      const low = view.getUint32(node, true);
      const high = view.getUint16(node + 4, true);
      if (low + high * 2 ** 32 >= pages) {
        outcomes[i] = FAULT;
        continue;
      }
      if (child > 0) this.#from[i] = view.getUint32(node + NODE_HEADER_BYTES, false);
      if (child + 1 < n) {
        const next = nodeAt(view, at, NODE_AT_MAX, child + 1);
        if (next >= 0) this.#until[i] = view.getUint32(next + NODE_HEADER_BYTES, false);
      }
      this.#numbersLow[i] = low;
      this.#numbersHigh[i] = high;
      windows[i] = windowOf(low, high);
      offsets[i] = offsetOf(low);
    }
  }

  /** Finds the keys in leaf pages, and what their values are. */
  #pick(count: number, transaction: number): void {
    const { outcomes, windows, offsets, lengths } = this;
    const views = this.#map.windows;
    for (let i = 0; i < count; i++) {
      if (outcomes[i] === FAULT) continue;
      const view = views[windows[i]!]!;
      const at = offsets[i]!;
      const place = this.#lastNotAbove(view, at, 0, this.#nodes[i]!, this.#guesses[i]!, i);
      if (place === CONFUSED) {
        outcomes[i] = FAULT;
        continue;
      }
      if (place < 0) continue;
      const node = nodeAt(view, at, NODE_AT_MAX, place);
      if (this.#order(view, node, i) !== 0) continue;
      const length = view.getUint32(node, true);
      const flags = view.getUint16(node + 4, true);
      const value = node + NODE_HEADER_BYTES + KEY_BYTES;
      lengths[i] = length;
      offsets[i] = value;
      if (flags === 0 && value + length <= at + PAGE_BYTES) outcomes[i] = FOUND;
      else outcomes[i] = flags === BIG_VALUE && value + OVERFLOW_RECORD_BYTES <= at + PAGE_BYTES && this.#followLarge(i, view, transaction) ? FOUND_LARGE : FAULT;
    }
  }

  /** From an overflow record to the first byte of the value. @returns whether the pages are what they should be. */
  #followLarge(i: number, view: DataView, transaction: number): boolean {
    const at = this.offsets[i]!;
    const low = view.getUint32(at, true);
    const high = view.getUint32(at + 4, true);
    const pages = u64(view, at + 16);
    if (pages < 1 || low + high * 2 ** 32 + pages > this.#map.pages || this.lengths[i]! + PAGE_HEADER_BYTES > pages * PAGE_BYTES) return false;
    const window = windowOf(low, high);
    const offset = offsetOf(low);
    const head = this.#map.windows[window]!;
    const isSound = head.getUint32(offset, true) === low && head.getUint32(offset + 4, true) === high && (head.getUint16(offset + 18, true) & KINDS) === OVERFLOW && u64(head, offset + 8) <= transaction && head.getUint32(offset + 20, true) === pages;
    this.windows[i] = window;
    this.offsets[i] = offset + PAGE_HEADER_BYTES;
    return isSound;
  }

  /** The last of the nodes lowest … n-1 whose key is not above key i, beginning at a guess; lowest - 1 when all are; CONFUSED when the page is. */
  #lastNotAbove(view: DataView, at: number, lowest: number, n: number, guess: number, i: number): number {
    let low = lowest - 1; // not above, or outside
    let high = n; // above, or outside
    let place = guess < lowest ? lowest : guess;
    for (let steps = 0; low + 1 < high; steps++) {
      if (place <= low || place >= high || steps > STEPS_MAX) place = (low + high) >> 1;
      const node = nodeAt(view, at, NODE_AT_MAX, place);
      if (node < 0 || view.getUint16(node + 6, true) !== KEY_BYTES) return CONFUSED;
      if (this.#order(view, node, i) > 0) high = place--;
      else low = place++;
    }
    return low;
  }

  /** Compares a node's key with key i: below, equal, above as -1, 0, 1. */
  #order(view: DataView, node: number, i: number): number {
    const word = view.getUint32(node + NODE_HEADER_BYTES, false);
    const first = this.#first[i]!;
    if (word !== first) return word < first ? -1 : 1;
    const keyAt = this.#keysAt + i * KEY_BYTES;
    for (let at = 4; at < KEY_BYTES; at += 4) {
      const theirs = view.getUint32(node + NODE_HEADER_BYTES + at, false);
      const ours = this.#keys.getUint32(keyAt + at, false);
      if (theirs !== ours) return theirs < ours ? -1 : 1;
    }
    return 0;
  }
}

/** Where node `place` of the page at `at` begins; -1: nowhere in the page. */
function nodeAt(view: DataView, at: number, max: number, place: number): number {
  const offset = view.getUint16(at + PAGE_HEADER_BYTES + 2 * place, true);
  return offset <= max ? at + PAGE_HEADER_BYTES + offset : -1;
}

/** Window of a page whose number has these words. */
export function windowOf(low: number, high: number): number {
  return (low >>> WINDOW_PAGES_LOG2) + high * WINDOWS_A_HIGH_WORD;
}

/** Offset in its window. */
export function offsetOf(low: number): number {
  return (low & WINDOW_PAGES_MASK) << PAGE_BYTES_LOG2;
}

/**
 * Finds a named database's record in the tree of them: its keys are names of any length, and there are few.
 * @returns its place, undefined when there is none, or "fault".
 */
export function findNamed(map: PageMap, tree: Tree, name: string, recordBytes: number): { readonly view: DataView; readonly at: number } | undefined | "fault" {
  const wanted = Buffer.from(`${name}\0`); // the library stores the final zero too
  let page = tree.root;
  for (let level = 1; level <= tree.depth; level++) {
    if (page >= map.pages) return "fault";
    const isLeaf = level === tree.depth;
    const low = page % 2 ** 32;
    const view = map.windows[windowOf(low, Math.floor(page / 2 ** 32))]!;
    const at = offsetOf(low);
    const lower = view.getUint16(at + 20, true);
    const isSound = u64(view, at) === page && (view.getUint16(at + 18, true) & KINDS) === (isLeaf ? LEAF : BRANCH) && u64(view, at + 8) <= tree.transaction && lower <= PAGE_BODY_BYTES && lower >= 2;
    if (!isSound) return "fault";
    let child = -1;
    for (let place = 0; place < lower >> 1; place++) {
      const node = nodeAt(view, at, PAGE_BODY_BYTES - NODE_HEADER_BYTES, place);
      if (node < 0) return "fault";
      const keyBytes = view.getUint16(node + 6, true);
      const value = node + NODE_HEADER_BYTES + keyBytes;
      if (value > at + PAGE_BYTES) return "fault";
      const order = !isLeaf && place === 0 ? -1 : Buffer.compare(new Uint8Array(view.buffer, view.byteOffset + node + NODE_HEADER_BYTES, keyBytes), wanted);
      if (order > 0) break;
      if (!isLeaf) child = view.getUint32(node, true) + view.getUint16(node + 4, true) * 2 ** 32;
      else if (order === 0) {
        const isRecord = view.getUint16(node + 4, true) === NAMED && view.getUint32(node, true) === recordBytes && value + recordBytes <= at + PAGE_BYTES;
        return isRecord ? { view, at: value } : "fault";
      }
    }
    if (isLeaf) return undefined;
    if (child < 0) return "fault";
    page = child;
  }
  return undefined;
}
const NAMED = 0x02;
