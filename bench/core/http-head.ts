/**
 * The little of HTTP/1.1 that a load client and a counting subscriber need of a message: where its head ends and how
 * long its body is. One object per connection, read again for each message, so that a message costs no allocation.
 *
 * Not a parser for strangers: both ends are ours, and whatever is missing here ends the measurement with an error.
 */
export class HttpHead {
  /** Where the body begins. */
  end = 0;
  /** From Content-Length; -1 where there is none. */
  bodyBytes = -1;

  /** @returns whether the head is complete; only then the fields are right */
  read(bytes: Buffer, from: number, to: number): boolean {
    this.bodyBytes = -1;
    for (let at = from; at < to; at++) {
      if (bytes[at] !== lineFeed || at + 2 >= to) continue;
      if (bytes[at + 1] === carriageReturn && bytes[at + 2] === lineFeed) {
        this.end = at + 3;
        return true;
      }
      if (isContentLength(bytes, at + 1, to)) this.bodyBytes = readNumber(bytes, at + 1 + contentLength.length, to);
    }
    return false;
  }
}

const lineFeed = 10;
const carriageReturn = 13;
const contentLength = Buffer.from('content-length:');

/** @returns 202 for `HTTP/1.1 202 Accepted` */
export function responseStatus(bytes: Buffer, from: number): number {
  return (bytes[from + 9]! - 48) * 100 + (bytes[from + 10]! - 48) * 10 + (bytes[from + 11]! - 48);
}

/** @param lowerCaseName with its colon */
export function headerValue(bytes: Buffer, from: number, to: number, lowerCaseName: string): string | undefined {
  const head = bytes.toString('latin1', from, to);
  const at = head.toLowerCase().indexOf(`\r\n${lowerCaseName}`);
  if (at < 0) return undefined;
  const start = at + 2 + lowerCaseName.length;
  return head.slice(start, head.indexOf('\r\n', start)).trim();
}

function isContentLength(bytes: Buffer, from: number, to: number): boolean {
  if (from + contentLength.length > to) return false;
  for (let i = 0; i < contentLength.length; i++) if ((bytes[from + i]! | 0x20) !== (contentLength[i]! | 0x20)) return false;
  return true;
}

function readNumber(bytes: Buffer, from: number, to: number): number {
  let number = 0;
  for (let at = from; at < to && bytes[at] !== carriageReturn; at++) {
    const digit = bytes[at]! - 48;
    if (digit >= 0 && digit <= 9) number = number * 10 + digit;
  }
  return number;
}
