import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { USUAL_LIMITS } from "../core/ingest/index.ts";
import { readSettings, SETTINGS, UsageError } from "./settings.ts";

describe("settings", () => {
  test("every setting is a line of the README as it is here", () => {
    const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
    for (const { option, variable, initial, meaning } of Object.values(SETTINGS)) {
      expect(readme).toContain(`| \`--${option}\` | \`${variable}\` | ${initial === "" ? "" : `\`${initial}\``} | ${meaning} |`);
    }
    expect(readme.match(/^\| `--/gm)).toHaveLength(Object.keys(SETTINGS).length);
  });

  test("what is no crowd is said with the limits", () => {
    for (const { meaning } of [SETTINGS.gainShareMax, SETTINGS.lossShareMax]) expect(meaning).toContain(`at least ${USUAL_LIMITS.crowdHolders},`);
  });

  test("an option beats the environment, which beats the default; other words are left", () => {
    const { settings, rest } = readSettings(["import", "--lookup-port", "1", "tests", "--seed=7"], { FANGXING_LOOKUP_PORT: "2", FANGXING_INGEST_PORT: "3" });
    expect(settings).toMatchObject({ lookupPort: 1, ingestPort: 3, seed: 7, host: "127.0.0.1", now: null, redis: null });
    expect(rest).toEqual(["import", "tests"]);
  });

  test("--history stands alone and takes no word behind it; its variable says yes", () => {
    const { settings, rest } = readSettings(["import", "--history", "tests", "file"], {});
    expect([settings.history, rest]).toEqual([true, ["import", "tests", "file"]]);
    expect(readSettings(["import", "tests", "file"], {}).settings.history).toBe(false);
    expect(readSettings([], { FANGXING_HISTORY: "yes" }).settings.history).toBe(true);
  });

  test.each([
    [["--port", "1"], {}, /--port is no option/],
    [["--lookup-port"], {}, /--lookup-port needs a value/],
    [["--lookup-port", "65536"], {}, /--lookup-port is "65536": it must be a port/],
    [[], { FANGXING_BATCH_BYTES_MAX: "many" }, /FANGXING_BATCH_BYTES_MAX is "many": it must be a number/],
    [["--redis", "localhost"], {}, /--redis is "localhost": it must be redis:/],
    [["--now", "2022-06-09"], {}, /--now is "2022-06-09": it must be an instant with offset/],
    [["--data", ""], {}, /--data is "": it must be a path/],
    [["--history=no"], {}, /--history is "no": it must be yes or empty/],
  ])("%j with %j is refused by name", (words, environment, message) => {
    expect(() => readSettings(words, environment)).toThrow(UsageError);
    expect(() => readSettings(words, environment)).toThrow(message);
  });
});
