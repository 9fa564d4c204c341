// One page of an LMDB tree with keys of 16 bytes: what it says is checked before it is followed.
// Promises: nothing outside the page is read, whatever stands in it; a page that contradicts itself is told.
// Not here: which page comes next (treeTop.ts, treeWalk.ts).
//
// Layout (mdb.c): MDB_page_header: number u64, transaction u64, pad u16, flags u16, lower u16, upper u16; then u16 offsets of nodes, from the head's end.
// MDB_node: u32 and u16 are a child's page number in a branch, length and flags in a leaf; u16 length of the key; the key; the value.

import { KEY_BYTES } from "../domain/index.ts";
import { PAGE_BYTES, PAGE_HEADER_BYTES, u64 } from "./pageMap.ts";

export const BRANCH = 0x01;
export const LEAF = 0x02;
export const OVERFLOW = 0x04;
const KINDS = 0x7f;
export const NODE_HEADER_BYTES = 8;
const PAGE_BODY_BYTES = PAGE_BYTES - PAGE_HEADER_BYTES;
/** Where a node can begin at most, from the head's end; and one that has a key. */
export const NODE_AT_MAX = PAGE_BODY_BYTES - NODE_HEADER_BYTES;
export const KEYED_NODE_AT_MAX = NODE_AT_MAX - KEY_BYTES;

/** Whether the page at `at` is the one it should be: page `page` (below 2^32) of a kind, of no later transaction than the tree's. */
export function isPage(view: DataView, at: number, page: number, kind: number, transaction: number): boolean {
  return (
    view.getUint32(at, true) === page &&
    view.getUint32(at + 4, true) === 0 &&
    (view.getUint16(at + 18, true) & KINDS) === kind &&
    transactionOf(view, at) <= transaction
  );
}

/** The transaction that wrote a page. */
export function transactionOf(view: DataView, at: number): number {
  return u64(view, at + 8);
}

/** The number of nodes of such a page, at least 1; 0: it isn't that page. */
export function nodesOf(view: DataView, at: number, page: number, kind: number, transaction: number): number {
  const lower = view.getUint16(at + 20, true);
  const upper = view.getUint16(at + 22, true);
  return isPage(view, at, page, kind, transaction) && lower <= upper && upper <= PAGE_BODY_BYTES ? lower >> 1 : 0;
}

/** Where node `place` begins that has a key; -1: nowhere in the page. */
export function keyedNodeAt(view: DataView, at: number, place: number): number {
  const offset = view.getUint16(at + PAGE_HEADER_BYTES + 2 * place, true);
  return offset <= KEYED_NODE_AT_MAX ? at + PAGE_HEADER_BYTES + offset : -1;
}

/** The child that a branch's node leads to; NO_PAGE when there can be none of that number. */
export function childOf(view: DataView, at: number, place: number, pages: number): number {
  const offset = view.getUint16(at + PAGE_HEADER_BYTES + 2 * place, true);
  if (offset > NODE_AT_MAX) return NO_PAGE;
  const node = at + PAGE_HEADER_BYTES + offset;
  const page = view.getUint32(node, true);
  return view.getUint16(node + 4, true) === 0 && page < pages ? page : NO_PAGE;
}
export const NO_PAGE = -1;
