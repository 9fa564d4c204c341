// The keys of sources in access.json: making, dropping, and those of the folder's own sources.
// Promises: a private key is written before its public half counts, for its owner alone, over no file that there is; of access.json nothing else changes.
// Not here: what a signature is (access), what else a folder holds (dataFolder.ts).

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { createKeyPair, createSigner, readRegistry, SOURCE_KEYS_MAX, sourceKeyId, type Signer } from "../core/access/index.ts";
import { formatInstant, now } from "../core/domain/index.ts";
import { folderClock, HISTORY_SOURCE, LOCAL_SOURCE, ownKeyFile, ownSourceKeys, writePrivate, type DataFolder, type OwnSource } from "./dataFolder.ts";
import { fileFault } from "./fileFaults.ts";
import { UsageError } from "./settings.ts";

/** access.json as far as keys go: also with sources that have none yet, or still a secret. */
const fileSchema = z.looseObject({
  sources: z.array(z.looseObject({ name: z.string(), secret: z.unknown().optional(), keys: z.array(z.looseObject({ id: z.string() })).default([]) })),
});
type File = z.infer<typeof fileSchema>;

/**
 * Makes a key pair for a source, named by the day: the private half into a new file, the public one into access.json, where it takes the place of a secret.
 * @returns how a signature names it. @throws UsageError when the source has two keys already, or a file can't be written.
 */
export function addSourceKey(folder: DataFolder, source: string, privateKeyFile: string): string {
  const file = readFile(folder);
  const entry = entryOf(file, folder, source);
  if (entry.keys.length >= SOURCE_KEYS_MAX) {
    throw new UsageError(`the source ${source} has ${entry.keys.length} keys, ${entry.keys.map((key) => key.id).join(" and ")}: drop the one that is signed with no more, fangxing key drop ${source} KEY`);
  }
  const day = formatInstant(now(folderClock(folder))).slice(0, 10);
  const id = entry.keys.some((key) => key.id === day) ? `${day}-2` : day;
  const { privateKeyPem, publicKey } = createKeyPair();
  try {
    writeFileSync(privateKeyFile, privateKeyPem, { mode: 0o600, flag: "wx" });
  } catch (error) {
    throw new UsageError(`the private key can't be written to ${privateKeyFile} (${fileFault(error)}): name a new file in a folder that you can write to`);
  }
  entry.keys.push({ id, publicKey });
  delete entry.secret;
  writeFile(folder, file);
  return sourceKeyId(source, id);
}

/** Takes a key from a source. @throws UsageError when there is no such key, or no other. */
export function dropSourceKey(folder: DataFolder, source: string, id: string): void {
  const file = readFile(folder);
  const entry = entryOf(file, folder, source);
  const ids = entry.keys.map((key) => key.id);
  if (!ids.includes(id)) throw new UsageError(`the source ${source} has no key of that id: it has ${ids.join(" and ") || "none"}`);
  if (ids.length === 1) throw new UsageError(`${id} is the only key of the source ${source}: add another first, or take the source out of access.json`);
  entry.keys = entry.keys.filter((key) => key.id !== id);
  writeFile(folder, file);
}

/** Folders used to be made with secrets for their own sources: those get keys. What other sources have is for their operator. */
export function giveOwnSourcesKeys(folder: DataFolder, say: (line: string) => void): void {
  const file = readFile(folder);
  const old = file.sources.filter(({ name, secret }) => secret !== undefined && (name === LOCAL_SOURCE || name === HISTORY_SOURCE));
  if (old.length === 0) return;
  for (const entry of old) {
    delete entry.secret;
    Object.assign(entry, ownSourceKeys(folder, entry.name as OwnSource));
  }
  writeFile(folder, file);
  say(`${old.map(({ name }) => name).join(" and ")} ${old.length === 1 ? "has a key" : "have keys"} from now on instead of a secret, in the folder's secrets`);
}

/** What one of the folder's own sources signs with. @throws UsageError when the folder has no such source, or one of another kind. */
export function ownSigner(folder: DataFolder, name: OwnSource): Signer {
  const file = folder.registryFile;
  const source = readRegistry(file).sources.find((s) => s.name === name);
  if (!source) throw new UsageError(`${file} has no source ${name}, as which this command delivers: add one, and start the service again`);
  if (name === HISTORY_SOURCE && source.history !== true) {
    throw new UsageError(`${file}: the source ${name} needs "history": true, else what it delivers counts as known since now: add it, and start the service again`);
  }
  const keyFile = ownKeyFile(folder, name);
  const signer = existsSync(keyFile) ? createSigner(source, readFileSync(keyFile, "utf8")) : undefined;
  if (!signer) throw new UsageError(`${keyFile} holds none of the keys that ${file} has for the source ${name}: put it back, or make one with fangxing key add ${name} FILE and put it there`);
  return signer;
}

function readFile(folder: DataFolder): File {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(folder.registryFile, "utf8"));
  } catch {
    // said below
  }
  const read = fileSchema.safeParse(content);
  if (read.success) return read.data;
  // It says what is wrong.
  readRegistry(folder.registryFile);
  throw new UsageError(`${folder.registryFile} has another form than it needs`);
}

function entryOf(file: File, folder: DataFolder, source: string): File["sources"][number] {
  const entry = file.sources.find((s) => s.name === source);
  if (entry) return entry;
  throw new UsageError(`${folder.registryFile} has no source of that name: add {"name": …, "feeds": […]} to its sources first`);
}

function writeFile(folder: DataFolder, file: File): void {
  writePrivate(folder.registryFile, `${JSON.stringify(file, null, 2)}\n`);
}
