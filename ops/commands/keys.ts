// `fangxing key add SOURCE FILE` and `fangxing key drop SOURCE KEY`: the keys that sources sign with.

import { existingFolder } from "../dataFolder.ts";
import { addSourceKey, dropSourceKey } from "../sourceKeys.ts";
import { UsageError, type Settings } from "../settings.ts";

/** Adds a key to a source, or takes one away. */
export function key([action, source, word]: readonly string[], settings: Settings, say: (line: string) => void): Promise<void> {
  if ((action !== "add" && action !== "drop") || source === undefined || word === undefined) {
    throw new UsageError("key needs an action and its words: key add SOURCE FILE writes a new private key to FILE, key drop SOURCE KEY takes a key away");
  }
  const folder = existingFolder(settings.data);
  if (action === "add") say(`${addSourceKey(folder, source, word)} signs as the source ${source} when the service is started again; its private key is in the file that you named, for whoever delivers`);
  else {
    dropSourceKey(folder, source, word);
    say(`what that key signs is refused when the service is started again`);
  }
  return Promise.resolve();
}
