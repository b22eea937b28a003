/**
 * Lines of a stream of bytes, as a watch sends them: one JSON value each.
 *
 * Cut over bytes, because a chunk may end within a character. Always true: what waits for the end of its line is never
 * more than the limit.
 */
export interface LineSplitter {
  /** @throws RangeError when a line is longer than the limit; the splitter is of no more use then */
  push(chunk: Buffer): void;
  /** Bytes of a line that has not ended. */
  readonly pendingBytes: number;
}

/** @param onLine gets every line that is not empty, without its end */
export function createLineSplitter(limitBytes: number, onLine: (line: string) => void): LineSplitter {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  const keep = (part: Buffer): void => {
    pendingBytes += part.length;
    if (pendingBytes > limitBytes) throw new RangeError(`a line is longer than ${limitBytes} bytes`);
    pending.push(part);
  };
  return {
    push(chunk) {
      let start = 0;
      for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, start)) {
        keep(chunk.subarray(start, end));
        const line = (pending.length === 1 ? pending[0]! : Buffer.concat(pending)).toString('utf8');
        pending = [];
        pendingBytes = 0;
        start = end + 1;
        if (line !== '') onLine(line);
      }
      if (start < chunk.length) keep(chunk.subarray(start));
    },
    get pendingBytes() {
      return pendingBytes;
    },
  };
}
