// The sockets of a port, as the kernel shows them under /proc.

import { readdirSync, readFileSync, readlinkSync } from "node:fs";

const LISTEN = "0A";
const ESTABLISHED = "01";

export interface PortSocket {
  readonly isListening: boolean;
  /** Of a listening one: connections that wait to be accepted. */
  readonly waiting: number;
  readonly inode: string;
}

/** Listening sockets and open connections of a port. */
export function socketsOf(port: number): PortSocket[] {
  const hex = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((file) =>
    linesOf(file).flatMap((line) => {
      const [, local = "", , state = "", queues = "", , , , , inode = ""] = line.trim().split(/\s+/);
      if (!local.endsWith(hex) || (state !== LISTEN && state !== ESTABLISHED)) return [];
      return [{ isListening: state === LISTEN, waiting: state === LISTEN ? parseInt(queues.split(":")[1] ?? "0", 16) : 0, inode }];
    }),
  );
}

/** The inodes of all sockets that a process has open. */
export function inodesOf(pid: number): Set<string> {
  const folder = `/proc/${pid}/fd`;
  const inodes = new Set<string>();
  try {
    for (const name of readdirSync(folder)) {
      const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`${folder}/${name}`))?.[1];
      if (inode !== undefined) inodes.add(inode);
    }
  } catch {
    // The process has ended.
  }
  return inodes;
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ""; // closed meanwhile
  }
}

function linesOf(file: string): string[] {
  try {
    return readFileSync(file, "utf8").split("\n").slice(1);
  } catch {
    return []; // a machine without IPv6
  }
}
