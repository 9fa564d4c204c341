// Before all tests: a Redis server must be there; on a machine without one it is installed as `npm start` would.

import { redisBinary } from "../ops/redis.ts";

export default async function setup(): Promise<void> {
  await redisBinary((line) => console.log(line));
}
