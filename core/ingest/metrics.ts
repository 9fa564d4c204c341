// What the ingest API counts, as Prometheus text.

import type { Clock } from "../domain/index.ts";
import type { EvidenceReader } from "../evidence/index.ts";
import type { Admission } from "./admission.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Intake } from "./intake.ts";
import type { BatchQueue } from "./queue.ts";
import { WORK_KINDS } from "./schedule.ts";

interface Counted {
  readonly admission: Pick<Admission, "metricLines">;
  readonly dispatch: Dispatch;
  readonly intake: Intake;
  readonly queue: BatchQueue;
  readonly clock: Clock;
  readonly evidence: () => EvidenceReader | undefined;
}

/** A metric's values by their labels; "" where it has none. */
type Values = Readonly<Record<string, number>>;

/** The queue's counts are absent while Redis is away. */
export async function metricsText({ admission, dispatch, intake, queue, clock, evidence }: Counted): Promise<string> {
  const oldestMs = dispatch.oldestMs();
  const kinds = WORK_KINDS.filter((kind) => kind !== "fan-out");
  const byKind = (unit: "batches" | "rows"): Values => Object.fromEntries(kinds.map((kind) => [`kind="${kind}"`, dispatch.waiting({ kind })[unit]]));
  const counts = await queue.counts().catch(() => undefined);
  return [
    metric("fangxing_batches_pending", "gauge", "Batches accepted and neither applied nor dead.", { "": dispatch.waiting().batches }),
    metric("fangxing_batches_waiting", "gauge", "The same by what their feed mostly does.", byKind("batches")),
    metric("fangxing_rows_waiting", "gauge", "Their rows.", byKind("rows")),
    metric("fangxing_oldest_pending_batch_age_seconds", "gauge", "Age of the oldest of them.", { "": oldestMs === undefined ? 0 : (clock.nowMs() - oldestMs) / 1000 }),
    metric("fangxing_batches_dead", "gauge", "Batches that failed too often and wait for somebody to look: fangxing jobs tells why.", { "": dispatch.deadCount() }),
    metric("fangxing_fan_out_left", "gauge", "Phones and documents still to be evaluated anew since regions have changed.", { "": dispatch.fanOutLeft() }),
    metric("fangxing_deliveries_held_off_total", "counter", "Deliveries answered 429 since too much waits, or the disk is almost full.", {
      'full="backlog"': intake.refusedCount("backlog"),
      'full="disk"': intake.refusedCount("disk"),
    }),
    metric("fangxing_changes_held", "gauge", "Changes of rules and regions that wait for somebody to decide.", { "": evidence()?.heldChanges() ?? 0 }),
    `${admission.metricLines().join("\n")}\n`,
    ...(counts ? [metric("fangxing_queue_depth", "gauge", "Jobs in the queue.", { 'state="waiting"': counts.waiting, 'state="active"': counts.active })] : []),
  ].join("");
}

function metric(name: string, type: "gauge" | "counter", help: string, values: Values): string {
  const lines = Object.entries(values).map(([labels, value]) => `${name}${labels === "" ? "" : `{${labels}}`} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}
