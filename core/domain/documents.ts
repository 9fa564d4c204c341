// Identity documents and phone numbers: their forms, check digits and canonical spelling.
// Promises: two spellings of one number get one canonical form; a refusal says what is wrong without repeating the number.
// Not here: hashing (access), and whether such a document was ever issued.

export const DOCUMENT_TYPES = [
  "resident-id",
  "passport",
  "hk-macau-permit",
  "taiwan-permit",
  "residence-permit",
  "permanent-residence",
  "social-security-card",
  "elderly-card",
] as const;
export type DocumentType = (typeof DOCUMENT_TYPES)[number];

/** A document as a sender wrote it. `issuer` (ISO 3166 alpha-3) is for passports. */
export interface DocumentInput {
  readonly type: string;
  readonly number: string;
  readonly issuer?: string | undefined;
}

/** A document whose form holds. `canonical` is what gets hashed; both fields live in memory only. */
export interface Document {
  readonly type: DocumentType;
  readonly number: string;
  readonly canonical: string;
}

/** What is wrong, with the field that is; never the number itself. */
export interface Refusal {
  readonly field: string;
  readonly reason: string;
}

const RESIDENT_ID_WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2] as const;
const RESIDENT_ID_CHECKS = "10X98765432";

/** Provinces of GB/T 2260 by their first two digits; 81–83 are Hong Kong, Macau and Taiwan. */
const PROVINCES = new Set(
  "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83".split(" "),
);

const IS_PROVINCE = Uint8Array.from({ length: 100 }, (_, code) => (PROVINCES.has(String(code)) ? 1 : 0));

/** Length of an identity number. */
export const IDENTITY_BYTES = 18;
const ZERO = 48;
const X = 88;
/** Where a number that comes as text is written to be looked at. */
const identity = new Uint8Array(IDENTITY_BYTES);

/** The check character of the first 17 digits of a resident ID (GB 11643-1999, ISO 7064 MOD 11-2). */
export function residentIdCheck(first17: string): string {
  for (let i = 0; i < 17; i++) identity[i] = first17.charCodeAt(i);
  return String.fromCharCode(checkAt(identity, 0));
}

/** The same of 17 digits in bytes, as a byte. */
function checkAt(bytes: Uint8Array, at: number): number {
  let sum = 0;
  for (let i = 0; i < 17; i++) sum += (bytes[at + i]! - ZERO) * RESIDENT_ID_WEIGHTS[i]!;
  return RESIDENT_ID_CHECKS.charCodeAt(sum % 11);
}

const DAYS_OF_MONTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const;

/** Whether 18 bytes from `at` are 17 digits and a digit or X. */
function hasIdentityForm(bytes: Uint8Array, at: number): boolean {
  for (let i = at; i < at + 17; i++) if (!isDigit(bytes[i]!)) return false;
  return bytes[at + 17] === X || isDigit(bytes[at + 17]!);
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}

/**
 * Whether 18 bytes of ASCII from `at` are an identity number (GB 11643): on the way of every scan, hence arithmetic alone. What is wrong with one, residentIdFault
 * says.
 */
export function isIdentityNumberAt(bytes: Uint8Array, at: number): boolean {
  if (!hasIdentityForm(bytes, at)) return false;
  if (checkAt(bytes, at) !== bytes[at + 17]) return false;
  const year = twoDigits(bytes, at + 6) * 100 + twoDigits(bytes, at + 8);
  const month = twoDigits(bytes, at + 10);
  const day = twoDigits(bytes, at + 12);
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const days = (DAYS_OF_MONTHS[month - 1] ?? 0) + (month === 2 && isLeap ? 1 : 0);
  return IS_PROVINCE[twoDigits(bytes, at)] === 1 && year >= 1800 && day >= 1 && day <= days;
}

function twoDigits(bytes: Uint8Array, at: number): number {
  return bytes[at]! * 10 + bytes[at + 1]! - ZERO * 11;
}

/** Puts a text of 18 characters into `bytes`. @returns whether it is such a text, of ASCII. */
function writeIdentity(number: string, bytes: Uint8Array): boolean {
  if (number.length !== IDENTITY_BYTES) return false;
  for (let i = 0; i < IDENTITY_BYTES; i++) {
    const code = number.charCodeAt(i);
    if (code > 0x7f) return false;
    bytes[i] = code;
  }
  return true;
}

/** Puts an identity number (GB 11643) in its canonical spelling into 18 bytes. @returns false when it is none. */
export function writeIdentityNumber(number: string, bytes: Uint8Array): boolean {
  return writeIdentity(number, bytes) && isIdentityNumberAt(bytes, 0);
}

/** Why a number is no 18-character identity number (GB 11643), or undefined when it is one. */
function residentIdFault(number: string): string | undefined {
  if (writeIdentityNumber(number, identity)) return undefined;
  if (/^\d{15}$/.test(number)) return "has 15 digits: numbers of the first generation are no longer valid, use the 18 characters of the card";
  if (!/^\d{17}[\dX]$/.test(number)) return "must be 17 digits and a check character (0-9 or X)";
  if (!PROVINCES.has(number.slice(0, 2))) return "begins with digits that are no province of GB/T 2260";
  const [year, month, day] = [Number(number.slice(6, 10)), Number(number.slice(10, 12)), Number(number.slice(12, 14))];
  const born = new Date(Date.UTC(year, month - 1, day));
  if (year < 1800 || born.getUTCMonth() !== month - 1 || born.getUTCDate() !== day) return "holds a date of birth that does not exist";
  return "has a wrong check digit (GB 11643): please read the card again";
}

/** The form of every type: a fault in words, or undefined. Lengths marked ◆ in DECISIONS where no public standard fixes them. */
const FORMS: Record<DocumentType, (number: string) => string | undefined> = {
  "resident-id": residentIdFault,
  "residence-permit": (n) =>
    /^8[123]/.test(n) ? residentIdFault(n) : (residentIdFault(n) ?? "must begin with 81, 82 or 83, as residence permits do"),
  "hk-macau-permit": (n) => pattern(n, /^[HM]\d{8}(\d{2})?$/, "must be H or M and 8 or 10 digits"),
  "taiwan-permit": (n) => pattern(n, /^\d{8}(\d{2})?$/, "must be 8 or 10 digits"),
  passport: (n) => pattern(n, /^[A-Z0-9]{5,9}$/, "must be 5 to 9 letters and digits (ICAO 9303)"),
  "permanent-residence": (n) => (/^\d{17}[\dX]$/.test(n) ? permanentResidenceFault(n) : pattern(n, /^[A-Z]{3}\d{12}$/, "must be 3 letters and 12 digits, or 18 characters beginning with 9")),
  "social-security-card": (n) => (/^\d{17}[\dX]$/.test(n) ? residentIdFault(n) : pattern(n, /^[A-Z0-9]\d{8}$/, "must be the card's 9 characters, or the number of 18 characters")),
  "elderly-card": (n) => pattern(n, /^\d{8,20}$/, "must be 8 to 20 digits"),
};

function permanentResidenceFault(number: string): string | undefined {
  if (!number.startsWith("9")) return "of 18 characters must begin with 9";
  return residentIdCheck(number) === number[17] ? undefined : "has a wrong check digit (GB 11643): please read the card again";
}

/** One number is one document, whichever card it was read from: cards that carry a number of GB 11643 get the type which that number says. */
function canonicalType(type: DocumentType, number: string): DocumentType {
  if (!writeIdentity(number, identity) || !hasIdentityForm(identity, 0) || number.startsWith("9")) return type;
  return IDENTITY_TYPES[identityPrefixAt(identity, 0)];
}

/** The type that an identity number's first two digits say: 81 to 83 are residence permits for Hong Kong, Macau and Taiwan. */
const IDENTITY_TYPES = ["resident-id", "residence-permit"] as const;
/** What stands before the number in the canonical text. */
export const IDENTITY_PREFIXES = IDENTITY_TYPES.map((type) => `${type}|`);

/** Which of them belongs to the identity number at `at`. */
export function identityPrefixAt(bytes: Uint8Array, at: number): 0 | 1 {
  return bytes[at] === ZERO + 8 && bytes[at + 1]! >= ZERO + 1 && bytes[at + 1]! <= ZERO + 3 ? 1 : 0;
}

function pattern(number: string, form: RegExp, words: string): string | undefined {
  return form.test(number) ? undefined : words;
}

/**
 * Checks a document's form and writes it canonically (half-width, upper case, no blanks or hyphens).
 * @returns the document, or what is wrong with which field.
 */
export function parseDocument(input: DocumentInput): Document | Refusal {
  const type = input.type as DocumentType;
  if (!Object.hasOwn(FORMS, type)) return { field: "document.type", reason: `must be one of ${DOCUMENT_TYPES.join(", ")}` };
  const number = canonicalNumber(input.number);
  const fault = FORMS[type](number);
  if (fault !== undefined) return { field: "document.number", reason: fault };
  if (type !== "passport") {
    if (input.issuer !== undefined) return { field: "document.issuer", reason: "is for passports only" };
    return { type, number, canonical: `${canonicalType(type, number)}|${number}` };
  }
  const issuer = canonicalNumber(input.issuer ?? "");
  if (!/^[A-Z]{3}$/.test(issuer)) return { field: "document.issuer", reason: "a passport needs its issuer, three letters of ISO 3166" };
  return { type, number, canonical: `${type}|${issuer}|${number}` };
}

/** A mainland phone number, or an international one with + and country code. Canonical: + and digits. */
export function parsePhone(text: string): { readonly canonical: string } | Refusal {
  const digits = text.normalize("NFKC").replace(/[\s()-]/g, "");
  const mainland = /^(?:\+?86)?(1\d{10})$/.exec(digits);
  if (mainland) return { canonical: `+86${mainland[1]!}` };
  if (/^\+(?!86)[1-9]\d{6,14}$/.test(digits)) return { canonical: digits };
  return { field: "phone", reason: "must be 11 digits beginning with 1, or + and a country code with 7 to 15 digits" };
}

export function isRefusal(value: object): value is Refusal {
  return "reason" in value && "field" in value;
}

/** What is shown of a number: its first two and last two characters (POLICY §1). */
export function maskNumber(number: string): string {
  if (number.length <= 4) return "*".repeat(number.length);
  return number.slice(0, 2) + (ASTERISKS[number.length - 4] ?? "*".repeat(number.length - 4)) + number.slice(-2);
}

/** Made once: this is on the way of every scan. */
const ASTERISKS = Array.from({ length: 32 }, (_, count) => "*".repeat(count));

/** What people write between the digits of a number. */
const GAP = String.raw`[\s().\-/_]?`;
const MOBILE = String.raw`(?<!\d)(?:(?:\+|00)?86GAP)?1GAP[3-9](?:GAP\d){9}(?!\d)`;
const IDENTITY = String.raw`(?=(\d(?:GAP\d){16}GAP[\dX]))`;

const numbersIn = (gap: string) => ({ mobile: new RegExp(MOBILE.replaceAll("GAP", gap)), identity: new RegExp(IDENTITY.replaceAll("GAP", gap), "g") });
const NUMBERS_IN = { words: numbersIn(GAP), id: numbersIn("") };
/** Of a mobile number. Most words have fewer: this is on the way of every row. */
const DIGITS_MIN = 11;

function digitCount(text: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i++) if (isDigit(text.charCodeAt(i))) count++;
  return count;
}

/**
 * Whether a text that would be kept or repeated holds what reads as a resident ID or a mainland mobile number: in words, however it is spaced; in an
 * `id` (such as a batch's, where dates and counters stand with hyphens) only when it is written in one.
 */
export function mayHoldNumber(text: string, kind: "words" | "id" = "words"): boolean {
  const plain = text.normalize("NFKC").toUpperCase();
  if (digitCount(plain) < DIGITS_MIN) return false;
  const { mobile, identity } = NUMBERS_IN[kind];
  if (mobile.test(plain)) return true;
  for (const match of plain.matchAll(identity)) {
    if (residentIdFault(match[1]!.replace(/[^\dX]/g, "")) === undefined) return true;
  }
  return false;
}

/** The name of a field that nobody knows, as it may be repeated to its sender: not when it may be somebody's name or number. */
export function repeatableName(name: string): string {
  return /^[A-Za-z](?:[A-Za-z_-]|\d(?!\d{3})){0,39}$/.test(name) ? name : "(a name that is not repeated here)";
}

/** Half-width, upper case, without blanks, dashes of any kind and invisible characters. */
function canonicalNumber(text: string): string {
  let isPlain = true;
  for (let i = 0; i < text.length && isPlain; i++) {
    const code = text.charCodeAt(i);
    isPlain = isDigit(code) || (code >= 65 && code <= 90);
  }
  if (isPlain) return text;
  return text.normalize("NFKC").replace(/[\s\p{Pd}\p{Cf}]/gu, "").toUpperCase();
}
