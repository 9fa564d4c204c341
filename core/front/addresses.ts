// IP addresses as systems write them (RFC 5952 and looser) -> bytes.

/** A peer's address as a server that listens on IPv6 and IPv4 sees it: what is IPv4 in it comes as IPv4 (RFC 4291, 2.5.5.2). */
export function peerBytes(bytes: Uint8Array): Uint8Array {
  const isMapped = bytes.length === 16 && bytes.every((byte, i) => i >= 12 || byte === (i < 10 ? 0 : 0xff));
  return isMapped ? bytes.subarray(12) : bytes;
}

/** @returns 4 or 16 bytes; none when the text is no address. A zone (`%eth0`) is left out. */
export function addressBytes(text: string): Uint8Array {
  if (!text.includes(":")) return v4Bytes(text);
  const [address = ""] = text.split("%");
  const lastColon = address.lastIndexOf(":");
  const v4 = address.includes(".") ? v4Bytes(address.slice(lastColon + 1)) : undefined;
  const [front = "", back, ...more] = (v4 ? `${address.slice(0, lastColon)}:0:0` : address).split("::");
  const [head, tail] = [groupsOf(front), groupsOf(back ?? "")];
  const gap = 8 - head.length - tail.length;
  const groups = [...head, ...Array.from({ length: Math.max(gap, 0) }, () => 0), ...tail];
  const isSound = more.length === 0 && (back === undefined ? gap === 0 : gap > 0) && v4?.length !== 0 && groups.every((group) => group <= 0xffff);
  if (!isSound) return NONE;
  const bytes = Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
  if (v4) bytes.set(v4, 12);
  return bytes;
}

const NONE = new Uint8Array(0);

function v4Bytes(text: string): Uint8Array {
  const parts = text.split(".").map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : NaN));
  return parts.length === 4 && parts.every((part) => part <= 255) ? Uint8Array.from(parts) : NONE;
}

/** Numbers of 16 bits; NaN where one is none. */
function groupsOf(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => (/^[\da-f]{1,4}$/i.test(group) ? parseInt(group, 16) : NaN));
}
