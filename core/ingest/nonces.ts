// Nonces of signatures that were used, so that none is used twice: in memory, and in the inbox's environment, so that a restart forgets none.
// Promises: remembered as long as the signature's time lasts, and no longer; at most NONCES_MAX a source. A nonce reaches the disk before anything that is stored after it.
// Not here: whether the signature is valid (access). One process at a time: a second API beside this one would not know of its nonces, nor may there be one (it writes the inbox).

import { createHash } from "node:crypto";
import type { RootDatabase } from "lmdb";
import type { Signed } from "../access/index.ts";
import type { Instant } from "../domain/index.ts";

/** Remembered of a source at most. A signature lasts 300 s, if its maker's clock is right: so that is 1,700 requests a second, and some 45 MB of memory. */
export const NONCES_MAX = 2 ** 19;

/** So many of those that ended are forgotten with one that comes: it waits some milliseconds at most, also when it is the first after a long pause. */
const FORGOTTEN_AT_ONCE = 1000;

export interface Nonces {
  /** Uses up the nonce of a valid signature. @returns `fullForS`: how many seconds until one more can be remembered. */
  use(signed: Signed, now: Instant): "used" | "replayed" | { readonly fullForS: number };
}

/** What is remembered of a source. */
interface Memory {
  readonly seen: Set<string>;
  /** The same by the second that they are remembered to: no more than 601 of them. */
  readonly ending: Map<Instant, string[]>;
}

/** @param max NONCES_MAX, but for tests. */
export function openNonces(root: RootDatabase, max = NONCES_MAX): Nonces {
  // By [end, name of the nonce], with the source.
  const kept = root.openDB<string, [Instant, string]>({ name: "nonces", encoding: "json" });
  const memories = new Map<string, Memory>();
  /** What ended before is forgotten, or will be soon. */
  let forgottenTo = 0;
  let isBehind = false;

  const memoryOf = (source: string): Memory => {
    let memory = memories.get(source);
    if (!memory) memories.set(source, (memory = { seen: new Set(), ending: new Map() }));
    return memory;
  };
  const remember = ({ seen, ending }: Memory, name: string, endsAt: Instant): void => {
    seen.add(name);
    const names = ending.get(endsAt);
    if (names) names.push(name);
    else ending.set(endsAt, [name]);
  };
  for (const { key, value } of kept.getRange({})) remember(memoryOf(value), key[1], key[0]);

  // Not awaited: what fails here (a full disk) fails what is stored next, too, and memory still knows.
  const later = (writing: Promise<unknown>): void => void writing.catch(() => undefined);
  const forget = (now: Instant): void => {
    if (now <= forgottenTo && !isBehind) return;
    forgottenTo = Math.max(now, forgottenTo);
    let left = FORGOTTEN_AT_ONCE;
    for (const { seen, ending } of memories.values()) {
      for (const [endsAt, names] of ending) {
        if (endsAt >= forgottenTo) continue;
        for (const name of names.splice(-left)) {
          seen.delete(name);
          later(kept.remove([endsAt, name]));
          left--;
        }
        if (names.length === 0) ending.delete(endsAt);
        isBehind = left === 0;
        if (isBehind) return;
      }
    }
    isBehind = false;
  };

  return {
    use({ source, keyId, nonce, endsAt }, now) {
      forget(now);
      const memory = memoryOf(source.name);
      const name = nameOf(keyId, nonce);
      // Of a time that is forgotten already, since the clock was set back: it may have been used.
      if (memory.seen.has(name) || endsAt < forgottenTo) return "replayed";
      if (memory.seen.size >= max) return { fullForS: Math.max(1, Math.min(...memory.ending.keys()) - now + 1) };
      remember(memory, name, endsAt);
      later(kept.put([endsAt, name], source.name));
      return "used";
    },
  };
}

/** A hash: nonces are chosen by senders, who could put anything into them. */
function nameOf(keyId: string, nonce: string): string {
  return createHash("sha256").update(`${keyId}\n${nonce}`).digest().subarray(0, 16).toString("base64url");
}
