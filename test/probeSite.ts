// A site that shows what a front hands over and how it sends what it is given: for the contract of fronts.

import { Answer, bytesPost, Closing, jsonAnswer, jsonPost, problemAnswer, stream, textAnswer, type Form, type Head, type Site } from "../core/front/index.ts";

const BYTES: Form = { status: 200, headers: { "Content-Type": "application/octet-stream" } };
const REFUSED = problemAnswer({ status: 403, title: "Refused", detail: "the header X-Refuse was sent" });
const refusing = (head: Head): Answer | undefined => (head.get("x-refuse") ? REFUSED : undefined);

export const PROBE_FRAME_BYTES_MAX = 4096;
export const PROBE_UNREAD_BYTES_MAX = 1_048_576;

/** Where answers of up to so many bytes are written, each over the one before: a front has sent or copied what it was given when it returns. */
const place = new Uint8Array(PROBE_FRAME_BYTES_MAX);
function borrowed(bytes: Uint8Array): Uint8Array {
  if (bytes.length > place.length) return Uint8Array.from(bytes);
  place.set(bytes);
  return place.subarray(0, bytes.length);
}

export function probeSite(log: (line: string) => void): Site {
  return {
    posts: {
      "/json": jsonPost<object>({ admit: (head) => refusing(head) ?? {}, answer: (_, body) => jsonAnswer(body === undefined ? { none: true } : { body }) }),
      "/echo": bytesPost<object>({ admit: (head) => refusing(head) ?? {}, answer: (_, body) => new Answer(BYTES, borrowed(body)) }),
      /** As many bytes as the body says. */
      "/large": jsonPost<object>({ admit: () => ({}), answer: (_, body) => new Answer(BYTES, new Uint8Array(Number(body)).fill(7)) }),
      "/head": jsonPost<object>({ admit: (head) => jsonAnswer([head.get("x-one") || null, head.get("x-none") || null, head.get("x-empty") || null]), answer: () => REFUSED }),
      /** The peer's address, asked for at the head and told with the body. */
      "/address": jsonPost<{ readonly bytes: readonly number[] }>({ admit: (head) => ({ bytes: [...head.address()] }), answer: ({ bytes }) => jsonAnswer(bytes) }),
      "/broken-head": jsonPost<object>({
        admit() {
          throw new Error("broken at the head");
        },
        answer: () => REFUSED,
      }),
      "/broken-body": jsonPost<object>({
        admit: () => ({}),
        answer() {
          throw new Error("broken at the body");
        },
      }),
    },
    streams: {
      "/stream": stream<{ readonly name: string }>({
        frameBytesMax: PROBE_FRAME_BYTES_MAX,
        unreadBytesMax: PROBE_UNREAD_BYTES_MAX,
        open: (head) => refusing(head) ?? { name: head.get("x-one") || head.address().join(".") },
        answer({ name }, frame) {
          if (frame === null) return new Closing(4400, `no text, ${name}`);
          if (frame[0] === 1) throw new Error("broken at a frame");
          // 2: an answer much longer than its question.
          return frame[0] === 2 ? new Uint8Array(65_536) : borrowed(frame);
        },
      }),
    },
    pages: {
      "/page": () => textAnswer("a page\n"),
      "/broken-page": () => {
        throw new Error("broken at a page");
      },
    },
    notFound: problemAnswer({ status: 404, title: "Not found", detail: "there is nothing here" }),
    failed: problemAnswer({ status: 500, title: "Internal error", detail: "it could not be answered" }),
    log,
  };
}
