// Countries and territories by their codes of ISO 3166-1 alpha-3.
// Promises: exactly the codes that are officially assigned, as the library lists them.
// Not here: the other codes of travel documents (ICAO 9303: stateless persons, organisations), which are no places to come from.

// The list alone: the library's whole holds every subdivision too.
import { iso31661Alpha3ToAlpha2 } from "iso-3166/1-a3-to-1-a2.js";

/** Whether a text is an officially assigned code: three capitals, such as MAC. */
export function isCountryCode(text: string): boolean {
  return Object.hasOwn(iso31661Alpha3ToAlpha2, text);
}
