// Who decides: the account that runs a command.

import { readFileSync } from "node:fs";
import { userInfo } from "node:os";

/** By the system's own word: the name in the environment may be missing or another's. */
export function operatorName(): string {
  const { uid, username } = userInfo();
  return uid >= 0 ? accountOf(uid, readFileSync("/etc/passwd", "utf8")) : username;
}

/** The name of an account in the lines of a passwd file; its number where they don't have it. */
export function accountOf(uid: number, passwd: string): string {
  const line = passwd.split("\n").find((entry) => entry.split(":")[2] === String(uid));
  return line?.split(":")[0] ?? `uid ${uid}`;
}
