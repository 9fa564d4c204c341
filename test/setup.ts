// Before all tests: what they need and a fresh machine lacks is installed. A Redis server, as `npm start` would; what the second front runs on.

import { redisBinary } from "../ops/redis.ts";
import { uwsHere } from "./uws/here.ts";

export default async function setup(): Promise<void> {
  const say = (line: string): void => console.log(line);
  await redisBinary(say);
  const uws = uwsHere(say);
  if (typeof uws === "string") say(`Tests of the server uws are skipped: ${uws}`);
}
