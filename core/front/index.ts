// Front: servers behind one interface, for the rooms that answer.

import { startBunFront } from "./bun.ts";
import type { Front, FrontOptions, Site } from "./front.ts";
import { startUwsFront } from "./uws.ts";

export { addressBytes } from "./addresses.ts";
export * from "./front.ts";
export { FrontError } from "./uws.ts";

/** `bun`: Bun.serve; `uws`: uWebSockets.js on Node. */
export const SERVERS = ["bun", "uws"] as const;
export type Server = (typeof SERVERS)[number];

/** Starts a server that carries a site. @throws when the port is taken, FrontError when this server can't be had here. */
export function startFront(server: Server, site: Site, options: FrontOptions): Front {
  return (server === "bun" ? startBunFront : startUwsFront)(site, options);
}
