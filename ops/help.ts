// What --help says: of all commands, or of one with its own options.

import { SETTINGS, type Settings } from "./settings.ts";

export interface CommandHelp {
  /** How it is typed. */
  readonly form: string;
  /** What it does, in a line. */
  readonly use: string;
  /** What else is worth knowing, a line each. */
  readonly notes?: readonly string[];
  /** Settings that it heeds. */
  readonly settings: readonly (keyof Settings)[];
}

export function helpOfAll(commands: readonly CommandHelp[]): string {
  const lines = commands.map(({ form, use }) => `  ${form.padEnd(24)}  ${use}`);
  const settings = Object.keys(SETTINGS) as (keyof Settings)[];
  return ["fangxing COMMAND [options]; fangxing COMMAND --help tells of one", "", ...lines, "", "Options, and the environment variables that stand for them:", ...optionLines(settings)].join("\n");
}

export function helpOf({ form, use, notes = [], settings }: CommandHelp): string {
  return [`fangxing ${form} [options]`, "", use, ...notes, "", "Options, and the environment variables that stand for them:", ...optionLines(settings)].join("\n");
}

function optionLines(settings: readonly (keyof Settings)[]): string[] {
  return settings.map((name) => SETTINGS[name]).map(({ option, variable, initial, meaning }) => `  --${option.padEnd(16)} ${variable.padEnd(25)} ${meaning}${initial ? ` (${initial})` : ""}`);
}
