/**
 * One response of HTTP/1.1, read from bytes that come in any pieces.
 *
 * A request that was sent cannot be handed to another client when its answer turns out to be odd, so this reads what
 * servers send (status line, header lines, Content-Length, chunks, a body until the connection closes, interim
 * responses before it) and refuses the rest: an odd answer is a failed attempt and never a wrong success.
 *
 * Always true: what is refused is refused at the first byte that makes it so, however the bytes were split; all that is
 * held over from one read to the next is bounded; no byte is read beyond the response.
 *
 * @see RFC 9112, sections 4 to 7, and RFC 9110, section 5
 */

export interface ResponseSink {
  /** The head of the answer is complete; `status`, `retryAfter`, `first` and `headers` may be asked now. */
  head(response: HttpResponseReader): void;
  /**
   * `bytes[start, end)` of the body, in memory that is used again afterwards.
   * @returns whether the rest is of interest
   */
  body(bytes: Buffer, start: number, end: number): boolean;
}

/** Of names and values of one head, and of all trailers. */
const fieldLimitBytes = 32 * 1024;
/** Of everything but bodies: status lines, spaces and line ends, interim responses, what comes with the sizes of chunks. */
const textLimitBytes = 128 * 1024;
/** Without those that are given for their own sake no size that we read has so many: 13 make 4 PiB. */
const sizeDigits = 13;

// What is read next.
const statusLine = 0;
const headerLine = 1;
const bodyOfLength = 2;
const bodyToTheEnd = 3;
const chunkSize = 4;
const chunkData = 5;
const chunkEnd = 6;
const trailerLine = 7;
/** Nothing: the response is complete, was refused, or is of no interest any more. */
const over = 8;

const carriageReturn = 13;
const lineFeed = 10;
const space = 32;
const tab = 9;

/** By byte: 1 for what may be in a line; 2 as well for what may be in a name. */
const kinds = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) {
  const isText = byte === tab || (byte >= space && byte !== 127);
  kinds[byte] = (isText ? 1 : 0) | (/[\w!#$%&'*+\-.^`|~]/.test(String.fromCharCode(byte)) && byte < 128 ? 2 : 0);
}

const connectionName = Buffer.from('connection');
const keepAliveName = Buffer.from('keep-alive');
const retryAfterName = Buffer.from('retry-after');
const contentLengthName = Buffer.from('content-length');
const transferEncodingName = Buffer.from('transfer-encoding');
const protocol = Buffer.from('HTTP/1.');
const plainTimeout = Buffer.from('timeout=');

export class HttpResponseReader {
  /** Of the answer, once its head is complete; 0 before. */
  status = 0;
  /** The first one of its head. */
  retryAfter: string | undefined;
  /** Whether the server keeps the connection; of a response that is complete. */
  keepsAlive = false;
  /** How long it says it does, in seconds. */
  keepAliveSeconds: number | undefined;
  isComplete = false;
  /** What is wrong with it; undefined while nothing is. */
  problem: string | undefined;
  /** Whether any byte has come. */
  hasBegun = false;

  readonly #sink: ResponseSink;
  #next = statusLine;
  #lineStatus = 0;
  #isOldVersion = false;
  #closes = false;
  #hasConnectionClose = false;
  #contentLength = -1;
  #isChunked = false;
  /** Of the body or of the chunk. */
  #left = 0;
  #fieldBytes = 0;
  /** Of texts that are complete. */
  #textBytes = 0;
  /** Where in the text its present line begins, and up to where it has been looked at. A text is a head, or one line elsewhere. */
  #line = 0;
  #scan = 0;
  /** A text whose end has not come yet. */
  #held: Buffer = Buffer.alloc(0);
  #heldBytes = 0;
  /** The text of the head, while the sink is told of it. */
  #headText: Buffer | undefined;
  #headStart = 0;
  #headEnd = 0;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  /** For the next response. */
  begin(): void {
    this.status = 0;
    this.isComplete = false;
    this.problem = undefined;
    this.hasBegun = false;
    this.#next = statusLine;
    this.#textBytes = 0;
    this.#line = 0;
    this.#scan = 0;
    this.#heldBytes = 0;
    if (this.#held.length > 4096) this.#held = Buffer.alloc(0);
    this.#beginHead();
  }

  #beginHead(): void {
    this.retryAfter = undefined;
    this.keepsAlive = false;
    this.keepAliveSeconds = undefined;
    this.#closes = false;
    this.#hasConnectionClose = false;
    this.#contentLength = -1;
    this.#isChunked = false;
    this.#fieldBytes = 0;
  }

  /** @returns where it stopped reading: before `end` when the response is complete, or over for another reason */
  read(bytes: Buffer, start: number, end: number): number {
    this.hasBegun = true;
    let at = start;
    while (at < end && this.#next !== over) {
      switch (this.#next) {
        case bodyOfLength:
        case chunkData:
          at = this.#readCounted(bytes, at, end);
          break;
        case bodyToTheEnd:
          if (!this.#sink.body(bytes, at, end)) this.#next = over;
          at = end;
          break;
        default:
          at = this.#readText(bytes, at, end);
      }
    }
    return at;
  }

  /** The connection has ended: a body without a length is complete, everything else is cut off. */
  readEnd(): void {
    if (this.#next === bodyToTheEnd) this.#complete();
    else if (this.#next !== over) this.#refuse('it ends before it is complete');
  }

  /** The value of the first header with a name, given in lower case. Only while the sink is told of the head. */
  first(name: string): string | undefined {
    let found: string | undefined;
    this.#eachHeader((text, start, colon, value, end) => {
      if (colon - start !== name.length || text.toString('latin1', start, colon).toLowerCase() !== name) return true;
      found = text.toString('latin1', value, end);
      return false;
    });
    return found;
  }

  /** Flat: name, value, name, value …, as they came. Only while the sink is told of the head. */
  headers(): string[] {
    const flat: string[] = [];
    this.#eachHeader((text, start, colon, value, end) => {
      flat.push(text.toString('latin1', start, colon), text.toString('latin1', value, end));
      return true;
    });
    return flat;
  }

  #eachHeader(visit: (text: Buffer, start: number, colon: number, value: number, end: number) => boolean): void {
    const text = this.#headText;
    if (text === undefined) return;
    let at = text.indexOf(lineFeed, this.#headStart) + 1;
    while (at < this.#headEnd) {
      const end = text.indexOf(carriageReturn, at);
      if (end === at) return;
      const colon = text.indexOf(58, at);
      if (!visit(text, at, colon, skipSpaces(text, colon + 1, end), trimSpaces(text, colon + 1, end))) return;
      at = end + 2;
    }
  }

  #readCounted(bytes: Buffer, at: number, end: number): number {
    const stop = Math.min(end, at + this.#left);
    this.#left -= stop - at;
    if (!this.#sink.body(bytes, at, stop)) this.#next = over;
    else if (this.#left === 0) {
      if (this.#next === chunkData) this.#next = chunkEnd;
      else this.#complete();
    }
    return stop;
  }

  /** Lines are read where they lie; a text that is not complete is copied and goes on there. */
  #readText(bytes: Buffer, at: number, end: number): number {
    if (this.#heldBytes === 0) {
      const stop = this.#readLines(bytes, at, end);
      if (stop !== -1) return stop;
      this.#hold(bytes, at, end);
      return end;
    }
    const before = this.#heldBytes;
    this.#hold(bytes, at, end);
    const stop = this.#readLines(this.#held, 0, this.#heldBytes);
    if (stop === -1) return end;
    this.#heldBytes = 0;
    return at + stop - before;
  }

  #hold(bytes: Buffer, start: number, end: number): void {
    const size = this.#heldBytes + end - start;
    if (size > this.#held.length) {
      const grown = Buffer.allocUnsafe(Math.max(512, 2 * size));
      this.#held.copy(grown, 0, 0, this.#heldBytes);
      this.#held = grown;
    }
    bytes.copy(this.#held, this.#heldBytes, start, end);
    this.#heldBytes = size;
  }

  /**
   * @param base where the text begins that is being read
   * @returns    where it ends, or the place where it was refused; −1 when its end has not come
   */
  #readLines(text: Buffer, base: number, end: number): number {
    for (;;) {
      let at = base + this.#scan;
      while (at < end && text[at] !== carriageReturn) {
        if ((kinds[text[at]!]! & 1) === 0) return this.#refuseAt(at, 'a byte that no line may have');
        at++;
      }
      this.#scan = at - base;
      if (this.#textBytes + this.#scan > textLimitBytes) return this.#refuseAt(at, 'its lines are too long');
      const lineStart = base + this.#line;
      if (this.#next === statusLine && !isStatusBegun(text, lineStart, at)) return this.#refuseAt(at, 'no status line of HTTP/1.1');
      if (at + 1 >= end) return -1;
      if (text[at + 1] !== lineFeed) return this.#refuseAt(at, 'a carriage return without a line feed');
      const isOfChunk = this.#next === chunkSize || this.#next === chunkEnd;
      const isEnd = this.#readLine(text, base, lineStart, at);
      if (this.problem !== undefined) return at;
      this.#line = this.#scan = at + 2 - base;
      if (isEnd) {
        if (!isOfChunk) this.#textBytes += this.#line; // as many chunks as the body has bytes are none too many
        this.#line = this.#scan = 0;
        return at + 2;
      }
    }
  }

  /** @returns whether the text ends with this line */
  #readLine(text: Buffer, base: number, start: number, end: number): boolean {
    switch (this.#next) {
      case statusLine:
        this.#readStatus(text, start, end);
        return false;
      case headerLine:
        if (start !== end) {
          this.#readHeader(text, start, end);
          return false;
        }
        this.#readHeadEnd(text, base, end);
        return true;
      case chunkSize:
        this.#readChunkSize(text, start, end);
        return true;
      case chunkEnd:
        if (start === end) this.#next = chunkSize;
        else this.#refuse('a chunk is longer than its size');
        return true;
      default:
        if (start === end) this.#complete();
        else this.#readField(text, start, end);
        return true;
    }
  }

  #readStatus(text: Buffer, start: number, end: number): void {
    if (end - start < 12) {
      this.#refuse('no status line of HTTP/1.1');
      return;
    }
    this.#isOldVersion = text[start + 7] === 48;
    this.#lineStatus = (text[start + 9]! - 48) * 100 + (text[start + 10]! - 48) * 10 + text[start + 11]! - 48;
    this.#next = headerLine;
  }

  /** @returns where the name ends; −1 when the line is none of a header */
  #readField(text: Buffer, start: number, end: number): number {
    let colon = start;
    while (colon < end && (kinds[text[colon]!]! & 2) !== 0) colon++;
    if (colon === start || text[colon] !== 58) {
      this.#refuse('a header line without a name');
      return -1;
    }
    this.#fieldBytes += end - start - 1;
    if (this.#fieldBytes >= fieldLimitBytes) this.#refuse('its headers are too large');
    return colon;
  }

  #readHeader(text: Buffer, start: number, end: number): void {
    const colon = this.#readField(text, start, end);
    if (colon === -1) return;
    switch (colon - start) {
      case 10:
        if (isNamed(text, start, connectionName)) this.#readConnection(text, skipSpaces(text, colon + 1, end), trimSpaces(text, colon + 1, end));
        else if (isNamed(text, start, keepAliveName)) this.#readKeepAlive(text, skipSpaces(text, colon + 1, end), trimSpaces(text, colon + 1, end));
        return;
      case 11:
        if (this.retryAfter === undefined && isNamed(text, start, retryAfterName)) this.retryAfter = text.toString('latin1', skipSpaces(text, colon + 1, end), trimSpaces(text, colon + 1, end));
        return;
      case 14:
        if (isNamed(text, start, contentLengthName)) this.#readContentLength(text, skipSpaces(text, colon + 1, end), trimSpaces(text, colon + 1, end));
        return;
      case 17:
        if (isNamed(text, start, transferEncodingName)) this.#readTransferEncoding(text, skipSpaces(text, colon + 1, end), trimSpaces(text, colon + 1, end));
    }
  }

  #readConnection(text: Buffer, start: number, end: number): void {
    if (end - start === keepAliveName.length && isNamed(text, start, keepAliveName)) return;
    const options = text.toString('latin1', start, end).toLowerCase().split(',');
    if (options.some((option) => option.trim() === 'close')) this.#hasConnectionClose = true;
  }

  #readKeepAlive(text: Buffer, start: number, end: number): void {
    let at = start + plainTimeout.length;
    if (end - at > 0 && end - at < 9 && isNamed(text, start, plainTimeout)) {
      let seconds = 0;
      while (at < end && isDigit(text[at]!)) seconds = seconds * 10 + text[at++]! - 48;
      if (at === end) {
        this.keepAliveSeconds = seconds;
        return;
      }
    }
    const told = /(?:^|,)[\t ]*timeout=(\d{1,9})/i.exec(text.toString('latin1', start, end))?.[1];
    if (told !== undefined) this.keepAliveSeconds = Number(told);
  }

  #readContentLength(text: Buffer, start: number, end: number): void {
    let length = 0;
    for (let at = start; at < end; at++) {
      if (!isDigit(text[at]!)) {
        this.#refuse('a Content-Length that is no number');
        return;
      }
      length = length * 10 + text[at]! - 48;
    }
    if (start === end) this.#refuse('a Content-Length that is no number');
    else if (length > Number.MAX_SAFE_INTEGER) this.#refuse('a Content-Length that no body has');
    else if (this.#contentLength !== -1) this.#refuse('two Content-Lengths');
    else this.#contentLength = length;
  }

  #readTransferEncoding(text: Buffer, start: number, end: number): void {
    if (this.#isChunked || text.toString('latin1', start, end).toLowerCase() !== 'chunked') this.#refuse('a Transfer-Encoding that is not chunked');
    this.#isChunked = true;
  }

  #readHeadEnd(text: Buffer, base: number, end: number): void {
    if (this.#contentLength !== -1 && this.#isChunked) {
      this.#refuse('both a Content-Length and a Transfer-Encoding');
      return;
    }
    const status = this.#lineStatus;
    if (status < 200) {
      this.#beginHead();
      this.#next = statusLine;
      if (status === 101) this.#refuse('another protocol, which nobody asked for');
      return;
    }
    if (this.#isOldVersion && this.#isChunked) {
      this.#refuse('chunks in HTTP/1.0');
      return;
    }
    this.status = status;
    const isBodiless = status === 204 || status === 304;
    const isCounted = this.#contentLength !== -1 || this.#isChunked;
    this.#closes = this.#hasConnectionClose || this.#isOldVersion || (isBodiless ? this.#contentLength > 0 || this.#isChunked : !isCounted);
    this.#headText = text;
    this.#headStart = base;
    this.#headEnd = end;
    this.#sink.head(this);
    this.#headText = undefined;
    if (isBodiless || this.#contentLength === 0) this.#complete();
    else if (this.#isChunked) this.#next = chunkSize;
    else if (isCounted) {
      this.#left = this.#contentLength;
      this.#next = bodyOfLength;
    } else this.#next = bodyToTheEnd;
    this.#fieldBytes = 0; // those of trailers are counted anew
  }

  #readChunkSize(text: Buffer, start: number, end: number): void {
    let at = start;
    let size = 0;
    for (; at < end; at++) {
      const digit = hexDigit(text[at]!);
      if (digit === -1) break;
      size = size * 16 + digit;
    }
    if (at === start || at - start > sizeDigits) {
      this.#refuse('a chunk without a size that can be');
      return;
    }
    if (at < end) {
      if (!chunkExtensions.test(text.toString('latin1', at, end))) {
        this.#refuse('a chunk whose size is followed by something else');
        return;
      }
      this.#textBytes += end - at;
    }
    this.#left = size;
    this.#next = size === 0 ? trailerLine : chunkData;
  }

  #complete(): void {
    this.#next = over;
    this.isComplete = true;
    this.keepsAlive = !this.#closes;
  }

  #refuse(problem: string): void {
    this.#next = over;
    this.problem = problem;
  }

  #refuseAt(at: number, problem: string): number {
    this.#refuse(problem);
    return at;
  }
}

/** Whether what has come of a line may become `HTTP/1.1 200 …` or `HTTP/1.0 200 …`. */
function isStatusBegun(text: Buffer, start: number, end: number): boolean {
  const length = end - start;
  for (let i = 0; i < length && i < 7; i++) if (text[start + i] !== protocol[i]) return false;
  if (length > 7 && text[start + 7] !== 48 && text[start + 7] !== 49) return false;
  if (length > 8 && text[start + 8] !== space) return false;
  if (length > 9 && (text[start + 9]! < 49 || text[start + 9]! > 57)) return false;
  if (length > 10 && !isDigit(text[start + 10]!)) return false;
  if (length > 11 && !isDigit(text[start + 11]!)) return false;
  return length <= 12 || text[start + 12] === space;
}

/** @param name in lower case; both are tokens, of which no two differ in this bit alone but letters */
function isNamed(text: Buffer, start: number, name: Buffer): boolean {
  for (let i = 0; i < name.length; i++) if ((text[start + i]! | 32) !== name[i]) return false;
  return true;
}

function skipSpaces(text: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end && (text[at] === space || text[at] === tab)) at++;
  return at;
}

function trimSpaces(text: Buffer, start: number, end: number): number {
  let at = end;
  while (at > start && (text[at - 1] === space || text[at - 1] === tab)) at--;
  return Math.max(at, skipSpaces(text, start, end));
}

function isDigit(byte: number): boolean {
  return byte >= 48 && byte <= 57;
}

function hexDigit(byte: number): number {
  if (isDigit(byte)) return byte - 48;
  const letter = byte | 32;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}

/** What RFC 9112 section 7.1.1 allows, without its "bad" white space. */
const chunkExtensions = /^(?:;[\w!#$%&'*+\-.^`|~]+(?:=(?:[\w!#$%&'*+\-.^`|~]+|"(?:[^"\\]|\\.)*"))?)+$/;
