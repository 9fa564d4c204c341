import { expect, test } from "vitest";
import { accountOf, operatorName } from "./operator.ts";

const PASSWD = ["root:x:0:0:root:/root:/bin/bash", "desk:x:1000:100:1001,,,:/home/desk:/bin/sh", "night:x:10:1000::/:", "desk2:x:1000:1::/:", ""].join("\n");

test.each([
  [0, "root"],
  [1000, "desk"],
  [10, "night"],
  [100, "uid 100"],
  [1001, "uid 1001"],
  [1, "uid 1"],
])("account %i is %s: its own number counts, not a group's or a part of one, and the first of two names", (uid, name) => {
  expect(accountOf(uid, PASSWD)).toBe(name);
});

test("who runs this is who the system says, whatever the environment does", async () => {
  // What `id` says; nothing where the system has no name for the account.
  const name = Bun.spawnSync(["id", "-un"]).stdout.toString().trim() || `uid ${process.getuid!()}`;
  const script = `import { operatorName } from "${new URL("./operator.ts", import.meta.url).pathname}"; console.log(operatorName());`;
  const env = { ...process.env, USER: "somebody-else", LOGNAME: "somebody-else", USERNAME: "somebody-else" };
  const child = Bun.spawn([process.execPath, "-e", script], { env, stdout: "pipe" });
  expect([(await new Response(child.stdout).text()).trim(), operatorName()]).toEqual([name, name]);
});
