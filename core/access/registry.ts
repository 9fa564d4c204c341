// Who may ask and who may deliver: devices and sources, from the file access.json in the data folder.
// Promises: a file that can't be read, or that others can read, is an error that says what to do.
// Not here: how a device or a source proves who it is (sessions.ts, signatures.ts).

import { readFileSync, statSync } from "node:fs";
import { z } from "zod";
import { readBySchema } from "../domain/index.ts";
import { readPublicKey } from "./keyPair.ts";

const name = z.string().regex(/^[a-z0-9][a-z0-9.-]{0,63}$/, "must be 1 to 64 of a-z, 0-9, dot and hyphen");
const base64 = z.string().regex(/^[A-Za-z0-9+/]+={0,2}$/, "must be base64");

/** Less would leave a device waiting for minutes after one full frame. */
export const SCANS_PER_SECOND_MIN = 10;
/** More than any machine answers. */
export const SCANS_PER_SECOND_MAX = 10_000_000;
/** More than any machine takes in. */
export const ROWS_PER_SECOND_MAX = 10_000_000;
/** One in use, and while senders change over the one before or after it. */
export const SOURCE_KEYS_MAX = 2;

const registrySchema = z.strictObject({
  devices: z.array(
    z.strictObject({
      name,
      /** What kind of caller it is. */
      class: z.enum(["gate", "kiosk", "staff"]),
      /** The kind of venue where it stands, as the rules name it: what the gate checks. */
      venue: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, "must be 1 to 32 of a-z, 0-9 and hyphen").default("venue"),
      /** Ed25519, SPKI in DER, base64. */
      publicKey: base64,
      /** How many scans it may send, where its class's usual number is not its own. */
      scansPerSecond: z.int().min(SCANS_PER_SECOND_MIN).max(SCANS_PER_SECOND_MAX).optional(),
    }),
  ),
  sources: z.array(
    z.strictObject({
      name,
      feeds: z.array(z.string()).min(1),
      /** Any of them signs its deliveries. */
      keys: z
        .array(
          z.strictObject({
            /** Names it within its source: sourceKeyId. */
            id: name,
            /** Ed25519, SPKI in DER, base64. */
            publicKey: base64,
          }),
        )
        .min(1)
        .max(SOURCE_KEYS_MAX),
      /** How many rows it may deliver, where the usual number is not its own; what it may deliver at once after a rest, a minute's worth when absent. */
      rowsPerSecond: z.int().min(1).max(ROWS_PER_SECOND_MAX).optional(),
      rowsAtOnce: z.int().min(1).max(60 * ROWS_PER_SECOND_MAX).optional(),
      /** May deliver history: its publications count as known from their own instant, not from their arrival. */
      history: z.boolean().optional(),
    }),
  ),
});

/** What tells of a file of the time when a secret signed a source's deliveries. */
const beforeKeys = z.object({ sources: z.array(z.object({ name, secret: z.unknown().optional() })) });

export type Registry = z.infer<typeof registrySchema>;
/** As it stands in the file: what has a default may be left out. */
export type RegistryFile = z.input<typeof registrySchema>;
export type Device = Registry["devices"][number];
export type Source = Registry["sources"][number];
export type SourceKey = Source["keys"][number];

/** How a signature names a key: the source and the key within it, parted by a slash, which neither can hold. */
export function sourceKeyId(source: string, key: string): string {
  return `${source}/${key}`;
}

/** What is wrong with access.json, for its operator. */
export class RegistryError extends Error {
  override name = "RegistryError";
}

/** @throws RegistryError with the field at fault. */
export function readRegistry(file: string): Registry {
  const { mode } = statSync(file, { throwIfNoEntry: false }) ?? {};
  if (mode === undefined) throw new RegistryError(`${file} is missing: fangxing start makes it with the folder; put it back, or begin with another folder`);
  if ((mode & 0o077) !== 0) throw new RegistryError(`${file} can be read by others: run chmod 600 on it`);
  const content = readJson(file);
  const old = beforeKeys.safeParse(content).data?.sources.find(({ secret }) => secret !== undefined)?.name;
  if (old !== undefined) {
    throw new RegistryError(`${file}: the source ${old} has a secret, which signs nothing any more: run fangxing key add ${old} FILE, which puts a key in its place, and give FILE to whoever delivers as ${old}`);
  }
  const read = readBySchema(registrySchema, content, "access.json");
  if ("faults" in read) throw new RegistryError(read.faults.map(({ field, reason }) => `${file}: ${field || "it"}: ${reason}`).join("\n"));
  const registry = read.data;
  const unusable = registry.devices.find((d) => !readPublicKey(d.publicKey));
  if (unusable) throw new RegistryError(`${file}: the publicKey of device ${unusable.name} is no Ed25519 key (SPKI, DER, base64)`);
  for (const { name: source, keys } of registry.sources) {
    const noKey = keys.find((key) => !readPublicKey(key.publicKey));
    if (noKey) throw new RegistryError(`${file}: the publicKey of ${sourceKeyId(source, noKey.id)} is no Ed25519 key (SPKI, DER, base64)`);
    if (new Set(keys.map((key) => key.id)).size < keys.length) throw new RegistryError(`${file}: the source ${source} has two keys of the id ${keys[0]!.id}: give one of them another`);
  }
  for (const kind of ["devices", "sources"] as const) {
    const names = registry[kind].map((e) => e.name);
    const twice = names.find((n, i) => names.indexOf(n) !== i);
    if (twice !== undefined) throw new RegistryError(`${file}: ${kind}: the name ${twice} stands twice`);
  }
  return registry;
}

function readJson(file: string): unknown {
  const text = readFileSync(file, "utf8");
  try {
    return JSON.parse(text);
  } catch {
    throw new RegistryError(`${file} is no JSON: look for a comma, a quote or a bracket that is missing or one too many`);
  }
}
