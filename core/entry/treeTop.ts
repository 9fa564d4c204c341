// The upper levels of a tree, taken out of their pages once for each state: where the walk of every key begins.
// Promises: at most PAGES_MAX pages are listed, so that a new state costs at most some hundred microseconds; a page that is not as it should be is not followed: the
// list then ends above it, and the walk tells.
// Not here: the last levels (treeWalk.ts).

import { BRANCH, childOf, keyedNodeAt, NO_PAGE, NODE_HEADER_BYTES, nodesOf } from "./page.ts";
import { offsetOf, windowOf, type PageMap, type Tree } from "./pageMap.ts";
import { KEY_BYTES } from "../domain/index.ts";

/** The last branch pages of some seventy million entries. */
const PAGES_MAX = 2 ** 14;
const KEY_WORDS = KEY_BYTES / 4;

export interface Level {
  /** Of the lowest key of each page: its first word. */
  readonly firsts: Uint32Array;
  /** All its words, four a page. */
  readonly keys: Uint32Array;
  readonly pages: Uint32Array;
}

export class TreeTop {
  /** The level whose pages are listed; the root's is 1. */
  level = 1;
  /** How many pages are listed, at least 1. */
  count = 1;
  listed: Level = newLevel();
  /** Where the level below is listed before it is taken. */
  below: Level = newLevel();

  /** Takes a tree that isn't empty, and whose root lies in the map. */
  take(map: PageMap, tree: Tree): void {
    this.listed.pages[0] = tree.root;
    this.listed.keys.fill(0, 0, KEY_WORDS);
    this.listed.firsts[0] = 0;
    this.level = 1;
    this.count = 1;
    while (this.level + 1 < tree.depth) {
      const count = this.listBelow(map, tree.transaction);
      if (count === 0) return;
      [this.listed, this.below] = [this.below, this.listed];
      this.count = count;
      this.level++;
    }
  }

  /** Lists the children of the listed pages. @returns how many, or 0 when they are too many or a page is not as it should be. */
  private listBelow(map: PageMap, transaction: number): number {
    const { listed, below } = this;
    let count = 0;
    for (let i = 0; i < this.count; i++) {
      const page = listed.pages[i]!;
      const view = map.windows[windowOf(page)]!;
      const at = offsetOf(page);
      const nodes = nodesOf(view, at, page, BRANCH, transaction);
      if (nodes < 2 || count + nodes > PAGES_MAX) return 0;
      for (let place = 0; place < nodes; place++, count++) {
        const child = childOf(view, at, place, map.pages);
        if (child === NO_PAGE) return 0;
        below.pages[count] = child;
        // The first node stands for everything below the second: its own key counts for nothing.
        if (place === 0) for (let word = 0; word < KEY_WORDS; word++) below.keys[count * KEY_WORDS + word] = listed.keys[i * KEY_WORDS + word]!;
        else {
          const node = keyedNodeAt(view, at, place);
          if (node < 0 || view.getUint16(node + 6, true) !== KEY_BYTES) return 0;
          for (let word = 0; word < KEY_WORDS; word++) below.keys[count * KEY_WORDS + word] = view.getUint32(node + NODE_HEADER_BYTES + 4 * word, false);
        }
        below.firsts[count] = below.keys[count * KEY_WORDS]!;
      }
    }
    return count;
  }
}

function newLevel(): Level {
  return { firsts: new Uint32Array(PAGES_MAX), keys: new Uint32Array(PAGES_MAX * KEY_WORDS), pages: new Uint32Array(PAGES_MAX) };
}
