// Where the service of a data folder listens.

import { readRun, type DataFolder, type RunState } from "../dataFolder.ts";
import { UsageError, type Settings } from "../settings.ts";

/** The running service. @throws UsageError when none runs on this folder. */
export function runningService(folder: DataFolder, settings: Settings): RunState {
  const run = readRun(folder);
  if (!run) throw new UsageError(`no service runs on ${folder.path}: start one with npm start or fangxing start, or name its folder with --data (now ${settings.data})`);
  return run;
}
