// Bodies of deliveries for the bench of ingest: negative tests of holders drawn at random.

import { formatInstant, type Instant } from "../core/domain/index.ts";
import { numberOf } from "./entries.ts";
import { documentOf } from "./people.ts";

export type DeliveryFormat = "ndjson" | "hl7";

export const CONTENT_TYPES: Record<DeliveryFormat, string> = { ndjson: "application/x-ndjson", hl7: "application/hl7-v2" };

/** Results of one round are issued within so long. */
export const SPAN_S = 600;

/** A record: which holder, and when the result was issued. */
export interface Drawn {
  readonly place: number;
  readonly issuedAt: Instant;
}

/** The i-th holder drawn at random; results are issued one second after the other within `SPAN_S` from `from`. */
export function drawn(i: number, holders: number, from: Instant): Drawn {
  return { place: Math.floor(((Math.imul(i + 1, 0x9e3779b1) >>> 0) / 2 ** 32) * holders), issuedAt: from + (i % SPAN_S) };
}

export function bodyOf(format: DeliveryFormat, first: number, records: readonly Drawn[]): Uint8Array {
  const lines = records.map((record, i) => (format === "hl7" ? messageOf : rowOf)(first + i, record));
  return new TextEncoder().encode(lines.join(format === "hl7" ? "" : "\n"));
}

function rowOf(i: number, { place, issuedAt }: Drawn): string {
  const [sampledAt, issued] = [issuedAt - 5 * 3600, issuedAt].map(formatInstant);
  return JSON.stringify({ factId: `bench-${i}`, document: documentOf(numberOf(place)), sampledAt, issuedAt: issued, result: "negative", laboratory: "Bench laboratory", county: "110105" });
}

/** A message of the length and the segments of those that laboratories send: a result, and what is asked at order entry. */
function messageOf(i: number, { place, issuedAt }: Drawn): string {
  const [sampled, issued] = [issuedAt - 5 * 3600, issuedAt].map((at) => `${formatInstant(at).replace(/[-:T]/g, "").slice(0, 14)}+0800`);
  const lab = "Bench laboratory^11D0000000^CLIA";
  const performer = `||||Bench laboratory^L^^^^CLIA&2.16.840.1.113883.4.7&ISO^XX^^^11D0000000|1 Invented Road^^Beijing^^100020^CHN^^^110105`;
  const asked = (n: number, code: string, name: string, value: string): string =>
    `OBX|${n}|CWE|${code}^${name}^LN^^^^2.69^^${name}||${value}^HL70136||||||F|||${sampled}|${lab}||||${issued}${performer}|||||QST`;
  const order = `bench-${i}^${lab}`;
  const segments = [
    `MSH|^~\\&|Bench^2.16.840.1.114222.4.1.237821^ISO|${lab}|Fangxing^2.16.840.1.114222.4.5.1^ISO|Beijing^2.16.840.1.114222.4.1.3636^ISO|${issued}||ORU^R01^ORU_R01|${i}|P|2.5.1|||NE|NE|CHN|UNICODE UTF-8|||PHLabReport-NoAck^ELR_Receiver^2.16.840.1.113883.9.11^ISO`,
    `SFT|Bench|0.2|Bench|0.2||${issued}`,
    `PID|1||${numberOf(place)}^^^CHN^NNCHN||Invented^Somebody^^^^^L||18900101|F|||1 Invented Road^^Beijing^^100020^CHN^^^110105||^PRS^CP^^86^010^00000000|||||||||||||||||N`,
    `ORC|RE|${order}|${order}|||||||||0000000000^Invented^Doctor^^^^^^NPI&2.16.840.1.113883.4.6&ISO^L^^^NPI||^WPN^PH^^86^010^00000000|${issued}||||||Bench laboratory^L^^^^CLIA&2.16.840.1.113883.4.7&ISO^XX^^^11D0000000|1 Invented Road^^Beijing^^100020^CHN|^WPN^PH^^86^010^00000000|1 Invented Road^^Beijing^^100020^CHN`,
    `OBR|1|${order}|${order}|94531-1^SARS-CoV-2 (COVID-19) RNA panel - Respiratory system specimen by NAA with probe detection^LN|||${sampled}|||||||||0000000000^Invented^Doctor^^^^^^NPI&2.16.840.1.113883.4.6&ISO^L^^^NPI|^WPN^PH^^86^010^00000000|||||${issued}|||F`,
    `OBX|1|CWE|94500-6^SARS-CoV-2 (COVID-19) RNA [Presence] in Respiratory system specimen by NAA with probe detection^LN^^^^^^COVID-19||260415000^Not detected^SCT|||N^Normal^HL70078^^^^2.7|||F|||${sampled}|${lab}||Bench RT-PCR^Bench^^^^^^^Bench RT-PCR|^^MNI|${issued}${performer}`,
    asked(2, "95419-8", "Has symptoms related to condition of interest", "N^No"),
    asked(3, "95418-0", "Whether patient is employed in a healthcare setting", "N^No"),
    asked(4, "95417-2", "First test for condition of interest", "UNK^Unknown"),
    `SPM|1|bench-${i}&Bench laboratory&11D0000000&CLIA^bench-${i}&Bench laboratory&11D0000000&CLIA||258500001^Nasopharyngeal swab^SCT^^^^2.67^^Nasopharyngeal swab||||87100004^Topography unknown (body structure)^SCT|||||||||${sampled}|${sampled}`,
  ];
  return `${segments.join("\r")}\r`;
}
