// How much may wait: what is refused before Redis or the disk fills, and what to do then.
// Promises: costs no read of the inbox; a source that sends too much is refused before it takes the room of others; what an operator says is taken as long as the disk is.
// Not here: quotas of a source (access), what is counted (dispatch.ts).

import { statfsSync } from "node:fs";
import { problemResponse, type Problem } from "../access/index.ts";
import { OPERATOR_FEEDS, type Feed } from "./batch.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Inbox } from "./inbox.ts";

/** Where intake ends. */
export interface IntakeLimits {
  /** Batches and rows that wait, of all sources. A source may have as much as others leave free: alone half of it. */
  readonly batchesMax: number;
  readonly rowsMax: number;
  /** Bytes left on the disk of the data folder. */
  readonly diskFreeBytesMin: number;
  /** Share of the inbox' map that is taken up. */
  readonly mapShareMax: number;
}

/** More than a morning of a large city; its rows take gigabytes on the disk, not the whole of it. A GiB is left for what is applied meanwhile. */
export const USUAL_INTAKE: IntakeLimits = { batchesMax: 200_000, rowsMax: 40_000_000, diskFreeBytesMin: 2 ** 30, mapShareMax: 0.95 };

const QUEUE_RETRY_S = 10;
/** Somebody must make room first. */
const DISK_RETRY_S = 60;

/** Why nothing more is taken in, and when to try again. */
export interface IntakeFault extends Problem {
  readonly what: "backlog" | "disk";
  readonly retryAfterS: number;
}

export interface Intake {
  /** Ask before a delivery's body is read. */
  fault(delivery: { readonly source: string; readonly feed: Feed }): IntakeFault | undefined;
  /** Ask while a delivery is taken in, between two chunks: only a disk that fills cuts it off. */
  diskFault(): IntakeFault | undefined;
  /** The answer to a fault, which it counts. */
  refuse(fault: IntakeFault): Response;
  refusedCount(what: IntakeFault["what"]): number;
}

/** @param random from 0 to 1, without 1: spreads those who come back. */
export function createIntake(limits: IntakeLimits, folder: string, inbox: Pick<Inbox, "mapShare">, dispatch: Pick<Dispatch, "waiting">, random: () => number = Math.random): Intake {
  const { batchesMax, rowsMax, diskFreeBytesMin, mapShareMax } = limits;
  const refused = { backlog: 0, disk: 0 };
  const full = (what: IntakeFault["what"], title: string, detail: string): IntakeFault => {
    const usualS = what === "disk" ? DISK_RETRY_S : QUEUE_RETRY_S;
    return { status: 429, title, detail: `${detail}; nothing of this delivery was kept: send it again, under the same batch id, after the seconds of Retry-After`, what, retryAfterS: usualS + Math.floor(random() * usualS) };
  };
  const diskFault = (): IntakeFault | undefined => {
    const { bavail, bsize } = statfsSync(folder);
    if (bavail * bsize < diskFreeBytesMin) return full("disk", "Disk almost full", `the disk of the inbox has less than ${diskFreeBytesMin} bytes left: its operator must make room`);
    if (inbox.mapShare() > mapShareMax) return full("disk", "Inbox almost full", `the inbox has taken up more than ${mapShareMax * 100} % of its map: its operator must let the worker catch up`);
    return undefined;
  };
  return {
    diskFault,
    fault({ source, feed }) {
      const disk = diskFault();
      if (disk || OPERATOR_FEEDS.includes(feed)) return disk;
      const all = dispatch.waiting();
      const mine = dispatch.waiting({ source });
      for (const [unit, max] of [["batches", batchesMax], ["rows", rowsMax]] as const) {
        if (all[unit] >= max) return full("backlog", "Too much waits", `${all[unit]} ${unit} wait to be applied, ${max} may`);
        // Whatever one source sends, another finds room.
        if (mine[unit] >= max - all[unit]) return full("backlog", "Too much of this source waits", `${mine[unit]} ${unit} of the source ${source} wait to be applied, as many as may while ${all[unit]} of ${max} wait in all`);
      }
      return undefined;
    },
    refuse(fault) {
      refused[fault.what]++;
      const { status, title, detail, retryAfterS } = fault;
      return problemResponse({ status, title, detail }, { "Retry-After": String(retryAfterS) });
    },
    refusedCount: (what) => refused[what],
  };
}
