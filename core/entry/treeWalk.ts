// Keys of 16 bytes looked up in an LMDB tree over a page map, many at once.
// Promises: what a page says is checked before it is followed (page.ts), so that nonsense is told as a fault and never read outside the page. Overflow pages
// too. It allocates nothing.
// Not here: whether the tree may still be read (mappedReader.ts), and whether the bytes found are sound (codec.ts).
//
// All keys go down together, a level at a time, and a level begins with loops that only touch what the keys will probably need: what one key waits for from memory, the processor fetches
// while it works on the next ones. Below the tree's top a key's leaf is found in a list (leafList.ts), and only when that would be too long in the branch pages. Keys are hashes, hence uniform,
// so a place is guessed from the bounds that the level above gave, and once more from what lies there; then it is corrected in small steps, and by halving when keys aren't uniform. `| 0` makes
// the guesses: Math.round took two thirds of a walk.

import { KEY_BYTES } from "../domain/index.ts";
import { BRANCH, childOf, isPage, keyedNodeAt, LEAF, NO_PAGE, NODE_HEADER_BYTES, nodesOf, OVERFLOW } from "./page.ts";
import { offsetOf, PAGE_BYTES, PAGE_HEADER_BYTES, u64, windowOf, type PageMap, type Tree } from "./pageMap.ts";
import { LeafList, SEGMENTS_MAX } from "./leafList.ts";
import { TreeTop } from "./treeTop.ts";

/** Keys that go down together. */
export const WALK_KEYS = 64;

export const ABSENT = 0;
/** The value lies in its page: `windows`, `offsets`, `lengths`. */
export const FOUND = 1;
/** The value lies in pages of its own, beginning in the page and window given, and may go on in the next window. */
export const FOUND_LARGE = 2;

const BIG_VALUE = 0x01;
const OVERFLOW_RECORD_BYTES = 24;
/** No entry is as long. */
const VALUE_BYTES_MAX = 2 ** 20;
/** Small steps from a guess before halving. */
const STEPS_MAX = 8;
const DEPTH_MAX = 32;
/** What comes from memory at once. */
const LINE_BYTES = 64;
/** A place that a page which contradicts itself has. */
const CONFUSED = -2;
/** Behind the first words of all keys. */
const FIRSTS_END = 2 ** 32;

export class TreeWalk {
  /** What became of each key: ABSENT, FOUND or FOUND_LARGE. */
  readonly outcomes = new Uint8Array(WALK_KEYS);
  /** While walking where each key's page lies, afterwards where its value does. */
  readonly windows = new Int32Array(WALK_KEYS);
  readonly offsets = new Int32Array(WALK_KEYS);
  readonly lengths = new Uint32Array(WALK_KEYS);
  private readonly map: PageMap;
  private readonly top = new TreeTop();
  private readonly list: LeafList;
  private tree: Tree | undefined;
  private keys: Uint8Array = new Uint8Array();
  private keysAt = 0;
  /** Of each key: its first word, the page it has come to, and the bounds of the first words there. */
  private readonly firsts = new Uint32Array(WALK_KEYS);
  private readonly pages = new Uint32Array(WALK_KEYS);
  private readonly from = new Float64Array(WALK_KEYS);
  private readonly until = new Float64Array(WALK_KEYS);
  /** Of each key: the place of its page in the tree's top. */
  private readonly places = new Int32Array(WALK_KEYS);
  /** What was read to no other end than that it comes from memory. */
  private readonly touched = new Int32Array(WALK_KEYS);
  /** Whether the node that was found last has the very key. */
  private isExact = false;

  /** `branchPagesMax`: of so many branch pages the leaves are listed; 0: the branch pages are walked, as in a tree that has more. */
  constructor(map: PageMap, branchPagesMax = SEGMENTS_MAX) {
    this.map = map;
    this.list = new LeafList(branchPagesMax);
  }

  /** Takes the tree that is read from now on. @returns whether it is one that can be. */
  take(tree: Tree): boolean {
    if (tree.flags !== 0 || tree.depth > DEPTH_MAX || (tree.depth > 0 && tree.root >= this.map.pages)) return false;
    this.tree = tree;
    if (tree.depth === 0) return true;
    this.top.take(this.map, tree);
    this.list.take(this.top.level === tree.depth - 1 ? this.top.listed : undefined, this.top.count);
    return true;
  }

  /** Looks up `count` keys, at most WALK_KEYS, that lie one behind the other from `keysAt`. @returns false: at least one of them can't be followed. */
  find(keys: Uint8Array, keysAt: number, count: number): boolean {
    const { tree, top } = this;
    if (!tree) return false;
    this.outcomes.fill(ABSENT, 0, count);
    if (tree.depth === 0) return true;
    this.keys = keys;
    this.keysAt = keysAt;
    this.begin(count);
    if (this.list.isInUse) {
      if (!this.toLeaves(count, tree.transaction)) return false;
    } else {
      for (let level = top.level; level < tree.depth; level++) if (!this.descend(count, tree.transaction)) return false;
    }
    return this.pick(count, tree.transaction);
  }

  /** Finds the page of each key among those of the tree's top. */
  private begin(count: number): void {
    const { keys, firsts, pages, windows, offsets, from, until, places, top } = this;
    const listed = top.listed.firsts;
    const listedPages = top.listed.pages;
    const n = top.count;
    const density = n / FIRSTS_END;
    for (let i = 0, at = this.keysAt; i < count; i++, at += KEY_BYTES) {
      const first = wordOf(keys, at);
      const near = (first * density) | 0;
      let place = near + (((first - listed[near]!) * density) | 0);
      let low = 0; // not above: the first stands for everything below the second
      let high = n;
      for (let steps = 0; low + 1 < high; steps++) {
        if (place <= low || place >= high || steps > STEPS_MAX) place = (low + high) >> 1;
        const word = listed[place]!;
        if (word > first || (word === first && this.isListedAbove(place, i))) high = place--;
        else low = place++;
      }
      firsts[i] = first;
      from[i] = listed[low]!;
      until[i] = high < n ? listed[high]! : FIRSTS_END;
      places[i] = low;
      const page = listedPages[low]!;
      pages[i] = page;
      windows[i] = windowOf(page);
      offsets[i] = offsetOf(page);
    }
  }

  /** Goes from the last branch pages to the leaves whose range holds the key, by the list of them. */
  private toLeaves(count: number, transaction: number): boolean {
    const { firsts, pages, windows, offsets, from, until, places, touched, list, map } = this;
    for (let i = 0; i < count; i++) {
      const top = places[i]!;
      if (list.counts[top] === 0 && !list.list(map, this.top.listed, top, transaction)) return false;
      const n = list.counts[top]!;
      touched[i] = list.leaves[list.starts[top]! + 2 * within(((firsts[i]! - from[i]!) / (until[i]! - from[i]!)) * n, n)]!;
    }
    const { leaves, starts, counts } = list;
    for (let i = 0; i < count; i++) {
      const start = starts[places[i]!]!;
      const n = counts[places[i]!]!;
      const first = firsts[i]!;
      let low = 0;
      let high = n;
      let place = within(((first - from[i]!) / (until[i]! - from[i]!)) * n, n);
      for (let steps = 0; low + 1 < high; steps++) {
        if (place <= low || place >= high || steps > STEPS_MAX) place = (low + high) >> 1;
        const word = leaves[start + 2 * place]!;
        if (word > first || (word === first && this.isNodeAbove(place, i))) high = place--;
        else low = place++;
      }
      if (low > 0) from[i] = leaves[start + 2 * low]!;
      if (high < n) until[i] = leaves[start + 2 * high]!;
      const page = leaves[start + 2 * low + 1]!;
      pages[i] = page;
      windows[i] = windowOf(page);
      offsets[i] = offsetOf(page);
    }
    return true;
  }

  /**
   * Reads a byte of each line of memory that a key will probably need of its page, and does nothing else: so the processor runs far ahead, and asks memory for all of them at
   * once; for the heads first, because where a page lies at all takes longest. The others are the offsets of a page with as many nodes as usual, and where the node lies if the page was
   * filled in order of the keys, as a compacted or freshly loaded store's are. Elsewhere those lines are read in vain, which costs some nanoseconds.
   */
  private touch(count: number): void {
    const { windows, offsets, firsts, from, until, touched } = this;
    const views = this.map.windows;
    for (let i = 0; i < count; i++) touched[i] = views[windows[i]!]!.getUint8(offsets[i]!);
    for (let i = 0; i < count; i++) {
      const view = views[windows[i]!]!;
      const at = offsets[i]!;
      // Nodes fill a page from its end.
      const node = (PAGE_BYTES - ((firsts[i]! - from[i]!) / (until[i]! - from[i]!)) * PAGE_BYTES) | 0;
      touched[i] =
        view.getUint8(at + LINE_BYTES) +
        view.getUint8(at + 2 * LINE_BYTES) +
        view.getUint8(at + inPage(node - 3 * LINE_BYTES)) +
        view.getUint8(at + inPage(node - 2 * LINE_BYTES)) +
        view.getUint8(at + inPage(node - LINE_BYTES)) +
        view.getUint8(at + inPage(node)) +
        view.getUint8(at + inPage(node + LINE_BYTES)) +
        view.getUint8(at + inPage(node + 2 * LINE_BYTES)) +
        view.getUint8(at + inPage(node + 3 * LINE_BYTES));
    }
  }

  /** Guesses where in a page of `n` nodes key i lies: from the bounds, and once more from what lies there. */
  private guess(view: DataView, at: number, n: number, i: number): number {
    const first = this.firsts[i]!;
    const low = this.from[i]!;
    const density = n / (this.until[i]! - low);
    const guess = within((first - low) * density, n);
    const node = keyedNodeAt(view, at, guess);
    return node < 0 ? guess : within(guess + (((first - view.getUint32(node + NODE_HEADER_BYTES, false)) * density) | 0), n);
  }

  /** Goes from branch pages to the children whose range holds the key. */
  private descend(count: number, transaction: number): boolean {
    this.touch(count);
    const { windows, offsets, pages, firsts, from, until } = this;
    const views = this.map.windows;
    const mapped = this.map.pages;
    for (let i = 0; i < count; i++) {
      const view = views[windows[i]!]!;
      const at = offsets[i]!;
      const n = nodesOf(view, at, pages[i]!, BRANCH, transaction);
      // The first node stands for everything below the second: its own key counts for nothing.
      const place = n < 2 ? CONFUSED : this.lastNotAbove(view, at, 1, n, this.guess(view, at, n, i), firsts[i]!, i);
      const page = place === CONFUSED ? NO_PAGE : childOf(view, at, place, mapped);
      if (page === NO_PAGE) return false;
      if (place > 0) from[i] = view.getUint32(keyedNodeAt(view, at, place) + NODE_HEADER_BYTES, false);
      const next = place + 1 < n ? keyedNodeAt(view, at, place + 1) : -1;
      if (next >= 0) until[i] = view.getUint32(next + NODE_HEADER_BYTES, false);
      pages[i] = page;
      windows[i] = windowOf(page);
      offsets[i] = offsetOf(page);
    }
    return true;
  }

  /** Finds the keys in leaf pages, and what their values are. */
  private pick(count: number, transaction: number): boolean {
    this.touch(count);
    const { outcomes, windows, offsets, pages, lengths, firsts } = this;
    const views = this.map.windows;
    for (let i = 0; i < count; i++) {
      const view = views[windows[i]!]!;
      const at = offsets[i]!;
      const n = nodesOf(view, at, pages[i]!, LEAF, transaction);
      if (n === 0) return false;
      const place = this.lastNotAbove(view, at, 0, n, this.guess(view, at, n, i), firsts[i]!, i);
      if (place === CONFUSED) return false;
      if (!this.isExact) continue;
      const node = keyedNodeAt(view, at, place);
      const length = view.getUint32(node, true);
      const flags = view.getUint16(node + 4, true);
      const value = node + NODE_HEADER_BYTES + KEY_BYTES;
      offsets[i] = value;
      if (flags === 0 && value + length <= at + PAGE_BYTES) outcomes[i] = FOUND;
      else if (flags === BIG_VALUE && value + OVERFLOW_RECORD_BYTES <= at + PAGE_BYTES && this.followLarge(i, view, length, transaction)) outcomes[i] = FOUND_LARGE;
      else return false;
      lengths[i] = length;
    }
    return true;
  }

  /** From an overflow record to the first byte of the value. @returns whether the pages are what they should be. */
  private followLarge(i: number, view: DataView, length: number, transaction: number): boolean {
    const at = this.offsets[i]!;
    const page = u64(view, at);
    const pages = u64(view, at + 16);
    if (pages < 1 || length > VALUE_BYTES_MAX || page + pages > this.map.pages || length + PAGE_HEADER_BYTES > pages * PAGE_BYTES) return false;
    const head = this.map.windows[windowOf(page)]!;
    const offset = offsetOf(page);
    this.windows[i] = windowOf(page);
    this.offsets[i] = offset + PAGE_HEADER_BYTES;
    return isPage(head, offset, page, OVERFLOW, transaction) && head.getUint32(offset + 20, true) === pages;
  }

  /** The last of the nodes lowest … n-1 whose key is not above key i, beginning at a guess; lowest - 1 when all are; CONFUSED when the page is. */
  private lastNotAbove(view: DataView, at: number, lowest: number, n: number, guess: number, first: number, i: number): number {
    this.isExact = false;
    let low = lowest - 1; // not above, or outside
    let high = n; // above, or outside
    let place = guess < lowest ? lowest : guess;
    for (let steps = 0; low + 1 < high; steps++) {
      if (place <= low || place >= high || steps > STEPS_MAX) place = (low + high) >> 1;
      const node = keyedNodeAt(view, at, place);
      if (node < 0 || view.getUint16(node + 6, true) !== KEY_BYTES) return CONFUSED;
      const word = view.getUint32(node + NODE_HEADER_BYTES, false);
      const order = word < first ? -1 : word > first ? 1 : this.orderOfRest(view, node, i);
      if (order === 0) {
        this.isExact = true;
        return place;
      }
      if (order > 0) high = place--;
      else low = place++;
    }
    return low;
  }

  /** Compares a node's key with key i, whose first words are the same: below, equal, above as -1, 0, 1. */
  private orderOfRest(view: DataView, node: number, i: number): number {
    const { keys } = this;
    const keyAt = this.keysAt + i * KEY_BYTES;
    for (let at = 4; at < KEY_BYTES; at++) {
      const theirs = view.getUint8(node + NODE_HEADER_BYTES + at);
      const ours = keys[keyAt + at]!;
      if (theirs !== ours) return theirs < ours ? -1 : 1;
    }
    return 0;
  }

  /** Whether the key of node `place` of the branch page that key i has come to, with the same first word, is above it. */
  private isNodeAbove(place: number, i: number): boolean {
    const view = this.map.windows[this.windows[i]!]!;
    return this.orderOfRest(view, keyedNodeAt(view, this.offsets[i]!, place), i) > 0;
  }

  /** Whether the lowest key of a listed page, whose first word is that of key i, is above it. */
  private isListedAbove(place: number, i: number): boolean {
    const { keys } = this;
    const listed = this.top.listed.keys;
    for (let word = 1, at = this.keysAt + i * KEY_BYTES + 4; word < KEY_BYTES / 4; word++, at += 4) {
      const ours = wordOf(keys, at);
      const theirs = listed[place * (KEY_BYTES / 4) + word]!;
      if (theirs !== ours) return theirs > ours;
    }
    return false;
  }
}

/** Four bytes of a key, in the order in which keys are compared. */
function wordOf(keys: Uint8Array, at: number): number {
  return ((keys[at]! << 24) | (keys[at + 1]! << 16) | (keys[at + 2]! << 8) | keys[at + 3]!) >>> 0;
}

/** An offset in a page, whatever number was made of a guess. */
function inPage(offset: number): number {
  return offset & (PAGE_BYTES - 1);
}

/** The place nearest to a guess in a page of `n` nodes. */
function within(guess: number, n: number): number {
  return guess > 0 ? (guess < n ? guess | 0 : n - 1) : 0;
}
