// Runs before `npm start` and `npm test`: refuses a Node that is too old, and installs the dependencies when they are missing or not the ones the lock names.

import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const needed = JSON.parse(readFileSync(path("package.json"), "utf8")).engines.node.slice(">=".length);
const [major, minor] = process.versions.node.split(".").map(Number);
const [majorMin, minorMin] = needed.split(".").map(Number);
if (major < majorMin || (major === majorMin && minor < minorMin)) {
  console.error(`Node ${needed} or newer is needed, this is ${process.versions.node}: install a newer one from https://nodejs.org or your distribution`);
  process.exit(1);
}

const lock = path("package-lock.json");
const installed = path("node_modules/.installed-lock.json");

const isCurrent = existsSync(installed) && readFileSync(installed).equals(readFileSync(lock));
if (!isCurrent) {
  console.log("Installing the dependencies with npm ci");
  const { status } = spawnSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: path("."), stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0) {
    console.error("npm ci failed: see its messages above");
    process.exit(1);
  }
  copyFileSync(lock, installed);
}
