// base64url (RFC 4648 §5, without padding) into bytes that are there already.
// Promises: nothing is allocated; bytes have one spelling: what a lenient reader would skip or round is refused.
// Not here: writing it (Buffer does).

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/** The six bits that a character stands for; more where it stands for none. One for every character there is, so that no look goes beside it. */
const BITS = new Uint8Array(65_536).fill(0xff);
for (let bits = 0; bits < ALPHABET.length; bits++) BITS[ALPHABET.charCodeAt(bits)] = bits;
const BITS_MAX = 63;

/**
 * Puts what a text stands for into `bytes` from `at` on, where there must be room.
 * @returns how many bytes; -1 when the text is no base64url, or another spelling of the same bytes: then what lies from `at` on means nothing.
 */
export function readBase64url(text: string, bytes: Uint8Array, at: number): number {
  const left = text.length & 3;
  const whole = text.length - left;
  let to = at;
  // All, one over the other: looked at once, at the end.
  let all = 0;
  for (let i = 0; i < whole; i += 4) {
    const a = BITS[text.charCodeAt(i)]!;
    const b = BITS[text.charCodeAt(i + 1)]!;
    const c = BITS[text.charCodeAt(i + 2)]!;
    const d = BITS[text.charCodeAt(i + 3)]!;
    all |= a | b | c | d;
    bytes[to] = (a << 2) | (b >> 4);
    bytes[to + 1] = (b << 4) | (c >> 2);
    bytes[to + 2] = (c << 6) | d;
    to += 3;
  }
  if (left > 0) {
    if (left === 1) return -1;
    const a = BITS[text.charCodeAt(whole)]!;
    const b = BITS[text.charCodeAt(whole + 1)]!;
    const c = left === 3 ? BITS[text.charCodeAt(whole + 2)]! : 0;
    all |= a | b | c;
    bytes[to++] = (a << 2) | (b >> 4);
    if (left === 3) bytes[to++] = (b << 4) | (c >> 2);
    // The bits behind the last byte.
    if ((left === 2 ? b & 15 : c & 3) !== 0) return -1;
  }
  return all > BITS_MAX ? -1 : to - at;
}
