#!/usr/bin/env node
// The command `fangxing` for a shell that has Node: hands over to Bun, which the package brings along.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const bun = fileURLToPath(new URL("../node_modules/.bin/bun", import.meta.url));
const cli = fileURLToPath(new URL("./cli.ts", import.meta.url));
if (!existsSync(bun)) {
  console.error("fangxing: Bun is not installed here yet: run npm ci in the project's folder first");
  process.exit(1);
}
const child = spawn(bun, [cli, ...process.argv.slice(2)], { stdio: "inherit" });
// A terminal's Ctrl-C reaches the child by itself; this process only waits for it.
process.on("SIGINT", () => undefined);
process.on("SIGTERM", () => child.kill("SIGTERM"));
child.on("exit", (code, signal) => process.exit(signal ? 1 : (code ?? 1)));
