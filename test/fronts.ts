// The fronts as real processes, for contract suites that run on each.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe } from "vitest";
import { SERVERS, type Server } from "../core/front/index.ts";
import { nodeCommand } from "../ops/node.ts";
import { uwsHere } from "./uws/here.ts";

const HOST = fileURLToPath(new URL("./frontHost.ts", import.meta.url));
const uws = uwsHere();

/** Describes something on every front; where a front can't be had, skipped with the reason. `environment` is what its processes need. */
export function onEachServer(what: string, describeOn: (server: Server, environment: Readonly<Record<string, string>>) => void): void {
  for (const server of SERVERS) {
    const isMissing = server === "uws" && typeof uws === "string";
    const name = `${what} on ${server}${isMissing ? ` (skipped: ${uws})` : ""}`;
    describe.skipIf(isMissing)(name, () => describeOn(server, server === "uws" && typeof uws !== "string" ? uws.environment : {}));
  }
}

/** Runs a contract on every front, each in a process that lives as long as its tests. */
export function onEachFront(what: string, contract: (host: Omit<FrontHost, "end">, server: Server) => void): void {
  onEachServer(what, (server, environment) => {
    let host: FrontHost;
    beforeAll(() => {
      host = startFrontHost(server, environment);
    });
    afterAll(() => host.end());
    contract({ order: (order) => host.order(order), logged: () => host.logged() }, server);
  });
}

/** A process that holds one server at a time. */
interface FrontHost {
  /** Gives an order of frontHost.ts. @returns its answer. @throws what went wrong there. */
  order<Answer = object>(order: object): Promise<Answer>;
  /** What it has logged so far. */
  logged(): string;
  /** Ends the process. */
  end(): Promise<void>;
}

function startFrontHost(server: Server, environment: Readonly<Record<string, string>>): FrontHost {
  const command = server === "uws" ? nodeCommand(environment["PATH"]) : [process.execPath];
  const child = spawn(command[0]!, [...command.slice(1), HOST], { env: { ...process.env, ...environment }, stdio: ["pipe", "pipe", "pipe"] });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let logged = "";
  child.stderr.setEncoding("utf8").on("data", (part: string) => (logged += part));
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  return {
    async order<Answer>(order: object) {
      child.stdin.write(`${JSON.stringify(order)}\n`);
      const { value, done } = await answers.next();
      if (done) throw new Error(`the host has ended (${child.signalCode ?? child.exitCode ?? "?"}): ${logged}`);
      const answer = JSON.parse(value) as Answer & { error?: string };
      if (answer.error !== undefined) throw new Error(answer.error);
      return answer;
    },
    logged: () => logged,
    async end() {
      if (child.exitCode === null && child.signalCode === null) child.stdin.end();
      await ended;
    },
  };
}
