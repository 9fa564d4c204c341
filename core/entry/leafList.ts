// The leaves below each of a tree's last branch pages, in arrays: a key goes from there straight to its leaf, and no line of the branch page is waited for.
// Promises: 1,280 bytes a branch page, at most 16 MiB. The leaves of a branch page are listed when a key first comes by, and again only when the page is another one, so that a commit costs what
// it touched; a page that is not as it should be is told.
// Not here: which branch page a key is below (treeTop.ts), and which leaf (treeWalk.ts).
//
// A page with the number and the transaction that it had is the page that it was: what is committed is never written again, and what takes its place later is of a later transaction.

import { KEY_BYTES } from "../domain/index.ts";
import { BRANCH, childOf, keyedNodeAt, NO_PAGE, NODE_HEADER_BYTES, nodesOf, transactionOf } from "./page.ts";
import { offsetOf, windowOf, type PageMap } from "./pageMap.ts";
import type { Level } from "./treeTop.ts";

/** A branch page has at most 157 children: the first node's key can be left out. */
const LEAVES_MAX = 160;
/** Numbers a segment: two a leaf. */
const SEGMENT_NUMBERS = 2 * LEAVES_MAX;
/** The last branch pages of a hundred million entries, when they were filled in order. */
export const SEGMENTS_MAX = 12_800;
const SEGMENTS_MIN = 64;
const NONE = 0xffff;

export class LeafList {
  /** False: the tree that was taken has no branch pages, or too many. */
  isInUse = false;
  /** A segment for each branch page; in it two numbers for each leaf: the first word of its lowest key, and its page. */
  leaves = new Uint32Array();
  /** Of branch page i: how many leaves are listed; 0: call `list` first. */
  counts = new Uint8Array();
  /** Where its segment begins. */
  starts = new Uint32Array();
  /** Which segment that is; and the same for the branch pages of the state before, of which there were `segmentsInUse`. */
  private segments = new Uint16Array();
  private segmentsBefore = new Uint16Array();
  private segmentsInUse = 0;
  /** Of each segment: the page it lists, the transaction of that, the first word of its lowest key, and how many leaves; 0: it lists none. */
  private pages = new Uint32Array();
  private transactions = new Float64Array();
  private firsts = new Uint32Array();
  private sizes = new Uint8Array();
  private isTaken = new Uint8Array();
  private readonly segmentsMax: number;

  constructor(segmentsMax: number) {
    this.segmentsMax = segmentsMax;
  }

  /** Takes the last branch pages of a new state, `count` of them; undefined: there are none or not all are known. Those that were there before keep their segments. */
  take(level: Level | undefined, count: number): void {
    this.isInUse = level !== undefined && count <= this.segmentsMax;
    if (!level || !this.isInUse) return;
    if (count > this.counts.length) this.makeRoom(Math.min(Math.max(2 * count, SEGMENTS_MIN), this.segmentsMax));
    const { pages, firsts, sizes, starts, isTaken, segments: before, segmentsBefore: segments, segmentsInUse } = this;
    isTaken.fill(0);
    // Both are in the order of their keys. A page that is overlooked here is listed anew, no more.
    for (let i = 0, k = 0; i < count; i++) {
      while (k < segmentsInUse && firsts[before[k]!]! < level.firsts[i]!) k++;
      const segment = k < segmentsInUse ? before[k]! : NONE;
      const isSame = segment !== NONE && isTaken[segment] === 0 && pages[segment] === level.pages[i];
      segments[i] = isSame ? segment : NONE;
      if (isSame) isTaken[segment] = 1;
    }
    for (let i = 0, free = 0; i < count; i++) {
      if (segments[i] === NONE) {
        while (isTaken[free] === 1) free++;
        segments[i] = free;
        sizes[free] = 0;
        firsts[free++] = level.firsts[i]!;
      }
      starts[i] = segments[i]! * SEGMENT_NUMBERS;
    }
    this.counts.fill(0, 0, count);
    this.segments = segments;
    this.segmentsBefore = before;
    this.segmentsInUse = count;
  }

  /** Lists the leaves below branch page `i` of the state that was taken, if they aren't. @returns false: the page is not as it should be. */
  list(map: PageMap, level: Level, i: number, transaction: number): boolean {
    const page = level.pages[i]!;
    const view = map.windows[windowOf(page)]!;
    const at = offsetOf(page);
    const n = nodesOf(view, at, page, BRANCH, transaction);
    if (n < 2 || n > LEAVES_MAX) return false;
    const segment = this.segments[i]!;
    const written = transactionOf(view, at);
    if (this.sizes[segment] === 0 || this.pages[segment] !== page || this.transactions[segment] !== written) {
      this.sizes[segment] = 0;
      const { leaves } = this;
      const mapped = map.pages;
      for (let place = 0, to = this.starts[i]!; place < n; place++) {
        const leaf = childOf(view, at, place, mapped);
        // The first node stands for everything below the second: its own key counts for nothing.
        const node = place === 0 ? 0 : keyedNodeAt(view, at, place);
        if (leaf === NO_PAGE || node < 0 || (place > 0 && view.getUint16(node + 6, true) !== KEY_BYTES)) return false;
        leaves[to++] = place === 0 ? level.firsts[i]! : view.getUint32(node + NODE_HEADER_BYTES, false);
        leaves[to++] = leaf;
      }
      this.pages[segment] = page;
      this.transactions[segment] = written;
      this.sizes[segment] = n;
    }
    this.counts[i] = n;
    return true;
  }

  /** For so many segments; all of them are empty then. */
  private makeRoom(segments: number): void {
    this.leaves = new Uint32Array(segments * SEGMENT_NUMBERS);
    this.counts = new Uint8Array(segments);
    this.starts = new Uint32Array(segments);
    this.segments = new Uint16Array(segments);
    this.segmentsBefore = new Uint16Array(segments);
    this.segmentsInUse = 0;
    this.pages = new Uint32Array(segments);
    this.transactions = new Float64Array(segments);
    this.firsts = new Uint32Array(segments);
    this.sizes = new Uint8Array(segments);
    this.isTaken = new Uint8Array(segments);
  }
}
