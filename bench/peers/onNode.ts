// Runs a peer written in TypeScript on Node, which may be older than the first that reads it. `bun bench/peers/onNode.ts fastifyRedis --data FOLDER --redis SOCKET`

import { fileURLToPath } from "node:url";

/** The command that runs a peer on Node; what the peer imports of the project is put into one file, packages stay what they are. @throws when there is no Node. */
export function nodeCommand(peer: string, words: readonly string[]): string[] {
  const node = Bun.which("node");
  if (node === null) throw new Error("this peer runs on Node: install it (20 or newer)");
  const source = fileURLToPath(new URL(`./${peer}.ts`, import.meta.url));
  // Below node_modules, so that packages are found.
  const bundle = fileURLToPath(new URL(`../../node_modules/.cache/fangxing/${peer}.mjs`, import.meta.url));
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, "build", "--target=node", "--packages=external", `--outfile=${bundle}`, source]);
  if (exitCode !== 0) throw new Error(`${source}: ${stderr.toString()}`);
  return [node, bundle, ...words];
}

if (import.meta.main) {
  const [peer = "", ...words] = process.argv.slice(2);
  const child = Bun.spawn(nodeCommand(peer, words), { stdio: ["inherit", "inherit", "inherit"] });
  process.on("SIGINT", () => child.kill());
  process.on("SIGTERM", () => child.kill());
  process.exit(await child.exited);
}
