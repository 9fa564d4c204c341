// Where the frames of a zstd stream end (RFC 8878): whether a stream was cut off, which the runtime's decompressor doesn't say.
// Promises: looks at headers only, keeps at most 18 bytes, whatever the pieces.
// Not here: decompressing.

const FRAME_MAGIC = 0xfd2f_b528;
const SKIPPABLE_MAGIC = 0x184d_2a50;
const FIRST_BYTES = 5;

export interface ZstdFrames {
  write(piece: Uint8Array): void;
  /** Whether what was written so far is whole frames, one at least, and nothing else. */
  isWhole(): boolean;
}

type Awaited = "frame" | "header" | "block" | "skippable-size" | "nothing";

export function createZstdFrames(): ZstdFrames {
  const held = new Uint8Array(18);
  let has = 0;
  let needs = FIRST_BYTES;
  let skip = 0;
  let awaited: Awaited = "frame";
  let hasChecksum = false;
  let frames = 0;

  const expect = (next: Awaited, bytes: number): void => {
    [awaited, needs, has] = [next, bytes, 0];
  };
  const uint32 = (at: number): number => new DataView(held.buffer).getUint32(at, true);

  /** The bytes awaited are all here. */
  const step = (): void => {
    if (awaited === "frame") {
      const magic = uint32(0);
      if ((magic & 0xffff_fff0) >>> 0 === SKIPPABLE_MAGIC) {
        // One byte of the size is here already.
        awaited = "skippable-size";
        needs = 8;
      } else if (magic === FRAME_MAGIC) {
        const descriptor = held[4]!;
        const isSingle = (descriptor & 0x20) !== 0;
        hasChecksum = (descriptor & 0x04) !== 0;
        const sizeBytes = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
        const rest = (isSingle ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]! + sizeBytes;
        if (rest === 0) expect("block", 3);
        else [awaited, needs] = ["header", FIRST_BYTES + rest];
      } else expect("nothing", 1);
    } else if (awaited === "skippable-size") {
      skip = uint32(4);
      frames++;
      expect("frame", FIRST_BYTES);
    } else if (awaited === "header") expect("block", 3);
    else if (awaited === "block") {
      const header = held[0]! + held[1]! * 256 + held[2]! * 65_536;
      const isLast = (header & 1) === 1;
      const isRepeatedByte = ((header >> 1) & 3) === 1;
      skip = isRepeatedByte ? 1 : header >> 3;
      if (!isLast) { expect("block", 3); return; }
      if (hasChecksum) skip += 4;
      frames++;
      expect("frame", FIRST_BYTES);
    }
  };

  return {
    write(piece) {
      let at = 0;
      while (at < piece.length && awaited !== "nothing") {
        if (skip > 0) {
          const some = Math.min(skip, piece.length - at);
          skip -= some;
          at += some;
          continue;
        }
        held[has++] = piece[at++]!;
        if (has === needs) step();
      }
    },
    isWhole: () => frames > 0 && awaited === "frame" && has === 0 && skip === 0,
  };
}
