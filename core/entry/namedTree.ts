// Where a named database's record lies in the tree of them.
// Promises: as for the walk (treeWalk.ts): nothing that a page says leads out of it. Names are of any length, and there are few.

import { BRANCH, childOf, LEAF, NO_PAGE, NODE_AT_MAX, NODE_HEADER_BYTES, nodesOf } from "./page.ts";
import { offsetOf, PAGE_BYTES, PAGE_HEADER_BYTES, TREE_RECORD_BYTES, windowOf, type PageMap, type Tree } from "./pageMap.ts";

/** Flag of a leaf's node: the value is a database's record. */
const NAMED = 0x02;

/** Finds a named database's tree. @returns undefined when there is none, or "fault". */
export function findNamed(map: PageMap, tree: Tree, name: string): Tree | undefined | "fault" {
  const wanted = Buffer.from(`${name}\0`); // the library stores the final zero too
  let page = tree.root;
  for (let level = 1; level <= tree.depth; level++) {
    if (page >= map.pages) return "fault";
    const isLeaf = level === tree.depth;
    const view = map.windows[windowOf(page)]!;
    const at = offsetOf(page);
    const nodes = nodesOf(view, at, page, isLeaf ? LEAF : BRANCH, tree.transaction);
    if (nodes === 0) return "fault";
    let child = -1;
    for (let place = 0; place < nodes; place++) {
      const offset = view.getUint16(at + PAGE_HEADER_BYTES + 2 * place, true);
      const node = at + PAGE_HEADER_BYTES + offset;
      if (offset > NODE_AT_MAX) return "fault";
      const keyBytes = view.getUint16(node + 6, true);
      const value = node + NODE_HEADER_BYTES + keyBytes;
      if (value > at + PAGE_BYTES) return "fault";
      const order = !isLeaf && place === 0 ? -1 : Buffer.compare(new Uint8Array(view.buffer, view.byteOffset + node + NODE_HEADER_BYTES, keyBytes), wanted);
      if (order > 0) break;
      if (!isLeaf) child = place;
      else if (order === 0) {
        const isRecord = view.getUint16(node + 4, true) === NAMED && view.getUint32(node, true) === TREE_RECORD_BYTES && value + TREE_RECORD_BYTES <= at + PAGE_BYTES;
        return isRecord ? map.treeAt(view, value, tree.transaction) : "fault";
      }
    }
    if (isLeaf) return undefined;
    page = childOf(view, at, child, map.pages);
    if (page === NO_PAGE) return "fault";
  }
  return undefined;
}
