// Many records at once: what getMany fills. The caller makes a batch once and uses it again and again, so that a frame of scans allocates nothing.
// Promises: what lies in a batch is a copy: it stays until the next getMany into the same batch.

/** `lengths` of a key without an entry. */
export const NO_ENTRY = 0;
/** `lengths` of a key whose record is no sound entry: treat the holder as unknown, and count it. */
export const DAMAGED = -1;

export interface RecordBatch {
  /** Where the records lie; another array after a read that needed more room. */
  bytes: Uint8Array;
  /** Offset of each record in `bytes`. */
  readonly starts: Uint32Array;
  /** Length of each record; NO_ENTRY or DAMAGED where there is none to read. */
  readonly lengths: Int32Array;
  /** For readers: how much of `bytes` is in use. */
  usedBytes: number;
  view: DataView;
}

const FIRST_BYTES_A_RECORD = 128;

/** A batch for up to `countMax` keys. */
export function createRecordBatch(countMax: number): RecordBatch {
  const bytes = new Uint8Array(countMax * FIRST_BYTES_A_RECORD);
  return { bytes, starts: new Uint32Array(countMax), lengths: new Int32Array(countMax), usedBytes: 0, view: viewOf(bytes) };
}

/** Makes room for a record of `length` bytes at position `i`, and for up to three bytes behind it. @returns its offset. */
export function reserveRecord(batch: RecordBatch, i: number, length: number): number {
  const start = batch.usedBytes;
  const end = start + ((length + 3) & ~3);
  if (end > batch.bytes.length) {
    const larger = new Uint8Array(Math.max(end, batch.bytes.length * 2));
    larger.set(batch.bytes);
    batch.bytes = larger;
    batch.view = viewOf(larger);
  }
  batch.usedBytes = end;
  batch.starts[i] = start;
  batch.lengths[i] = length;
  return start;
}

/** Puts a copy of `record` at position `i`. */
export function addRecord(batch: RecordBatch, i: number, record: Uint8Array): void {
  const start = reserveRecord(batch, i, record.length);
  batch.bytes.set(record, start);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
