// The data file of an LMDB environment as memory, and where its newest state begins.
// Promises: a page number that lies behind the end of the file, however large, is told, never touched; what is read of a meta page is of one piece or an
// older state that is still protected (mappedReader.ts says why).
// Not here: the tree's pages (treeWalk.ts), and when to look again (mappedReader.ts).
//
// The map is made of windows of 64 MiB: an array of bytes ends at 4 GiB, a file need not; and a file that grows needs its last window anew only.
// The layout is that of the library's mdb.c, data version 2: MDB_page_header, MDB_meta, MDB_db.

import { statSync } from "node:fs";
import { endianness } from "node:os";

export const PAGE_BYTES = 4096;
const PAGE_BYTES_LOG2 = 12;
const WINDOW_PAGES_LOG2 = 14;
const WINDOW_PAGES = 2 ** WINDOW_PAGES_LOG2;
const WINDOW_PAGES_MASK = WINDOW_PAGES - 1;
const WINDOW_BYTES = WINDOW_PAGES * PAGE_BYTES;

/** Page numbers are kept in 32 bits; what lies beyond 16 TiB is not mapped. */
const PAGES_MAX = 2 ** 32 - 1;

export const PAGE_HEADER_BYTES = 24;
const META_MAGIC = 0xbeefc0de;
const META_VERSION = 2;
const META_FLAG = 0x08;
/** Flags of the environment under which pages look otherwise: encrypted ones. */
const ENCRYPTED = 0x2000;
// Offsets of MDB_meta, from the beginning of its page.
const META_FLAGS_AT = 18;
const MAGIC_AT = PAGE_HEADER_BYTES;
const VERSION_AT = PAGE_HEADER_BYTES + 4;
const PAGE_BYTES_AT = PAGE_HEADER_BYTES + 24;
const ENVIRONMENT_FLAGS_AT = PAGE_BYTES_AT + 4;
const MAIN_DB_AT = PAGE_HEADER_BYTES + 72;
const LAST_PAGE_AT = PAGE_HEADER_BYTES + 120;
const TRANSACTION_AT = PAGE_HEADER_BYTES + 128;
// Offsets of MDB_db, from its beginning.
const DB_FLAGS_AT = 4;
const DB_DEPTH_AT = 6;
const DB_ROOT_AT = 40;
const DB_BYTES = 48;

/** A tree as a transaction left it. */
export interface Tree {
  /** Page number; meaningless when the depth is 0: an empty tree. */
  readonly root: number;
  /** Levels, the leaves included. */
  readonly depth: number;
  /** Persistent flags: all of them change what keys or values look like. */
  readonly flags: number;
  /** The transaction that left it: no page of it is of a later one. */
  readonly transaction: number;
}

/** The newest state: the tree of named databases. */
export interface Newest extends Tree {
  /** The last page that is in use. */
  readonly lastPage: number;
}

export class PageMap {
  /** Read-only by agreement: the map could write. */
  readonly windows: DataView[] = [];
  readonly #path: string;
  #pages = 0;
  /** The transaction words of both meta pages, for reads that the compiler must not join. */
  #words = new Int32Array();

  /** @throws when the file is not there or can't be mapped. */
  constructor(path: string) {
    if (typeof Bun === "undefined") throw new Error("only Bun maps files into memory");
    this.#path = path;
    this.extend(2);
  }

  /** Pages that can be read. */
  get pages(): number {
    return this.#pages;
  }

  /** Maps what the file has grown by, if fewer than `pages` can be read. */
  extend(pages: number): void {
    if (pages <= this.#pages) return;
    const filePages = Math.min(Math.floor(statSync(this.#path).size / PAGE_BYTES), PAGES_MAX);
    if (filePages <= this.#pages) return;
    const first = Math.floor(this.#pages / WINDOW_PAGES);
    for (let i = first; i * WINDOW_PAGES < filePages; i++) {
      const size = Math.min(filePages - i * WINDOW_PAGES, WINDOW_PAGES) * PAGE_BYTES;
      const bytes = Bun.mmap(this.#path, { shared: true, offset: i * WINDOW_BYTES, size });
      if (bytes.length !== size) throw new Error("the data file could not be mapped as long as it is");
      this.windows[i] = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      if (i === 0) this.#words = new Int32Array(bytes.buffer, bytes.byteOffset, (2 * PAGE_BYTES) / 4);
    }
    this.#pages = filePages;
  }

  /**
   * Reads a byte of every page, so that no scan later waits for the kernel to find it: minor faults of some 50 ms CPU a GiB when the file is in memory.
   * @returns something of what was read, so that no compiler leaves the reading out.
   */
  touch(): number {
    let sum = 0;
    for (const window of this.windows) for (let at = 0; at < window.byteLength; at += PAGE_BYTES) sum ^= window.getUint8(at);
    return sum;
  }

  /** Lets the memory go; the map is of no use afterwards. */
  close(): void {
    this.windows.length = 0;
    this.#pages = 0;
    this.#words = new Int32Array();
  }

  /** Why this file must not be read page by page, or undefined. */
  formatFault(): string | undefined {
    if (endianness() !== "LE") return "this machine stores numbers the other way round";
    if (this.#pages < 2) return "the file has no two pages";
    const head = this.windows[0]!;
    const pageBytes = head.getUint32(PAGE_BYTES_AT, true);
    if (head.getUint32(MAGIC_AT, true) !== META_MAGIC) return "the file does not begin as one of LMDB does";
    if (pageBytes !== PAGE_BYTES) return `its pages have ${pageBytes} bytes; only ${PAGE_BYTES} are read`;
    for (const at of [0, PAGE_BYTES]) {
      const version = head.getUint16(at + VERSION_AT, true);
      if (head.getUint32(at + MAGIC_AT, true) !== META_MAGIC || (head.getUint16(at + META_FLAGS_AT, true) & META_FLAG) === 0) return "a meta page is none";
      if (version !== META_VERSION) return `its format has version ${version}; only ${META_VERSION} is read`;
      if ((head.getUint16(at + ENVIRONMENT_FLAGS_AT, true) & ENCRYPTED) !== 0) return "it is encrypted";
    }
    return undefined;
  }

  /** The id of the newest transaction. */
  newestTransaction(): number {
    return Math.max(this.#transaction(0), this.#transaction(1));
  }

  /**
   * The newest state. Transaction n writes meta page n mod 2, and n + 1 is whole before n + 2 begins to write: so if the other page is still older after
   * the fields were read, they were not being written meanwhile. @returns undefined when a writer was too fast, over and over.
   */
  newest(): Newest | undefined {
    for (let attempt = 0; attempt < 100; attempt++) {
      const [even, odd] = [this.#transaction(0), this.#transaction(1)];
      const page = even > odd ? 0 : 1;
      const transaction = page === 0 ? even : odd;
      const fields = this.#fields(page, transaction);
      const isSame = this.#transaction(page) === transaction && this.#transaction(1 - page) === (page === 0 ? odd : even);
      const again = this.#fields(page, transaction);
      if (isSame && fields.root === again.root && fields.depth === again.depth && fields.lastPage === again.lastPage) return fields;
    }
    return undefined;
  }

  /** An MDB_db record, as it lies in a meta page or in the tree of named databases. */
  treeAt(view: DataView, at: number, transaction: number): Tree {
    return { root: u64(view, at + DB_ROOT_AT), depth: view.getUint16(at + DB_DEPTH_AT, true), flags: view.getUint16(at + DB_FLAGS_AT, true), transaction };
  }

  #fields(page: 0 | 1, transaction: number): Newest {
    const at = page * PAGE_BYTES;
    const head = this.windows[0]!;
    return { ...this.treeAt(head, at + MAIN_DB_AT, transaction), lastPage: u64(head, at + LAST_PAGE_AT) };
  }

  #transaction(page: number): number {
    const at = (page * PAGE_BYTES + TRANSACTION_AT) / 4;
    return (Atomics.load(this.#words, at) >>> 0) + (Atomics.load(this.#words, at + 1) >>> 0) * 2 ** 32;
  }
}

/** Length of a named database's record. */
export const TREE_RECORD_BYTES = DB_BYTES;

/** Window of a page; its number is below 2^32, as that of every page of a file under 16 TiB. */
export function windowOf(page: number): number {
  return page >>> WINDOW_PAGES_LOG2;
}

/** Offset of a page in its window. */
export function offsetOf(page: number): number {
  return (page & WINDOW_PAGES_MASK) << PAGE_BYTES_LOG2;
}

/** A 64-bit number, exact below 2^53. */
export function u64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}
