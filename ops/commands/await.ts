// Waiting for what was delivered: until it is applied, or dead.

import { ServiceError, withAdvice, type BatchState, type Client } from "../client.ts";
import { UsageError } from "../settings.ts";

/** A batch that failed too often: it is kept, and somebody must look. */
export class DeadBatchError extends Error {
  override name = "DeadBatchError";
}

/** Waits until a batch is applied. @throws DeadBatchError */
export async function untilApplied(client: Pick<Client, "batch">, feed: string, id: string): Promise<BatchState> {
  for (;;) {
    const state = await client.batch(feed, id);
    if (state.state === "applied") return state;
    if (state.state === "dead") {
      throw new DeadBatchError(`the batch ${id} is kept but could not be applied (${state.failure?.reason ?? "no reason is known"}): fangxing jobs tells more, fangxing jobs replay ${state.number} has it tried again`);
    }
    await Bun.sleep(50);
  }
}

/** Unlike an import such a delivery has another id each time: a second one is a second decision. */
const LOOK_FIRST = "whether it was taken, fangxing changes and fangxing policy list tell: look before you run the command again";

/** Delivers an operator's word and waits until it is carried out. */
export async function deliverAndApply(client: Client, feed: string, id: string, body: string, contentType: string): Promise<BatchState> {
  return withAdvice(LOOK_FIRST, async () => {
    try {
      await client.deliver(feed, id, body, contentType);
    } catch (error) {
      // What is wrong is in what was typed: its fields say where.
      if (!(error instanceof ServiceError) || error.errors.length === 0) throw error;
      throw new UsageError(`refused: ${error.errors.map(({ field, reason }) => `${field === "ground" ? "--ground" : field} ${reason}`).join("; ")}`);
    }
    return untilApplied(client, feed, id);
  });
}
