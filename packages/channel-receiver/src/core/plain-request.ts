/**
 * Reads the head of a plain event POST, and writes the headers of its record while it goes along.
 *
 * Plain is what senders of binary CloudEvents write day in, day out: `POST /path HTTP/1.1`, one Host, one
 * Content-Length, header values of visible ASCII, the four required attributes of CloudEvents 1.0. About everything
 * else there is nothing to know here but that it is something else: `node:http` decides on it (io/fast-lane.ts).
 *
 * Always true: what is called plain would have been accepted by `node:http` and `decodeHttpEvent` with the very same
 * target, host, body and record. So wherever HTTP can be read in two ways, or a value would have to be decoded, it is
 * not plain. Nothing is created per request but three or four short texts; the rules for their insides are those of
 * the other lane, called with the same text.
 */
import { attributeError, contentMode, type EncodedRecord } from '@knative-kafka/common/core';

/**
 * `more`: so far plain, but the head is not complete. `hand-over`: not plain, or too long. `plain`: the request's
 * fields are filled in.
 */
export type Reading = 'more' | 'hand-over' | 'plain';

/** The longest head that is read here, whatever the limit of the other lane. */
const mostHeadBytes = 16 * 1024;
const mostFields = 500;
/** Each attribute is compared with all before it. */
const mostAttributes = 64;
/** Names below 64 bytes have a length of one byte in a record. */
const longestRecordName = 63;

const method = Buffer.from('POST ');
const version = Buffer.from(' HTTP/1.1\r\n');
const carriageReturn = 0x0d;
const lineFeed = 0x0a;
const space = 0x20;
const percent = 0x25;
const dash = 0x2d;
const slash = 0x2f;
const colon = 0x3a;

/** What RFC 3986 allows in a path and a query. Others, such as `#` or `"`, some read as part of it and some do not. */
const isTargetByte = byteTable("-._~!$&'()*+,;=:@/?%", { alphanumeric: true });
/** RFC 9110 §5.6.2. */
const isTokenByte = byteTable("!#$%&'*+-.^_`|~", { alphanumeric: true });
/** What a value may be made of, 0 for all others; percent signs have a kind of their own. */
const percentKind = 2;
const valueByte = Uint8Array.from({ length: 256 }, (_, byte) => (byte === percent ? percentKind : byte >= 0x20 && byte <= 0x7e ? 1 : 0));
/** Letters and digits as their lower case, 0 for all others: what attribute names are made of. */
const attributeByte = Uint8Array.from({ length: 256 }, (_, byte) => {
  const isLower = byte >= 0x61 && byte <= 0x7a;
  const isUpper = byte >= 0x41 && byte <= 0x5a;
  const isDigit = byte >= 0x30 && byte <= 0x39;
  return isLower || isDigit ? byte : isUpper ? byte + 0x20 : 0;
});

function byteTable(characters: string, { alphanumeric }: { alphanumeric: boolean }): Uint8Array {
  const extra = alphanumeric ? 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789' : '';
  const table = new Uint8Array(256);
  for (const byte of Buffer.from(characters + extra)) table[byte] = 1;
  return table;
}

const names = {
  host: Buffer.from('host'),
  connection: Buffer.from('connection'),
  contentType: Buffer.from('content-type'),
  contentLength: Buffer.from('content-length'),
  contentEncoding: Buffer.from('content-encoding'),
  transferEncoding: Buffer.from('transfer-encoding'),
  te: Buffer.from('te'),
  trailer: Buffer.from('trailer'),
  expect: Buffer.from('expect'),
  upgrade: Buffer.from('upgrade'),
  proxy: Buffer.from('proxy-'),
  traceparent: Buffer.from('traceparent'),
  tracestate: Buffer.from('tracestate'),
  requestId: Buffer.from('x-request-id'),
  b3: Buffer.from('x-b3-'),
  knative: Buffer.from('knative-'),
};
const attributes = {
  id: Buffer.from('id'),
  type: Buffer.from('type'),
  time: Buffer.from('time'),
  data: Buffer.from('data'),
  source: Buffer.from('source'),
  subject: Buffer.from('subject'),
  dataschema: Buffer.from('dataschema'),
  specversion: Buffer.from('specversion'),
  partitionkey: Buffer.from('partitionkey'),
  datacontenttype: Buffer.from('datacontenttype'),
};
const keepAlive = Buffer.from('keep-alive');
const version1 = Buffer.from('1.0');
const specversion = '1.0';

/** Of `PlainRequest.#seen`. */
const seenId = 1;
const seenSource = 2;
const seenType = 4;
const seenSpecversion = 8;
const seenRequired = 15;

/** The last value that kept the rules: the next one is often the same, and need not be looked at again. */
class LastValue {
  readonly #bytes = Buffer.alloc(200);
  #length = -1;

  is(bytes: Buffer, start: number, end: number): boolean {
    if (end - start !== this.#length) return false;
    for (let n = 0; n < this.#length; n++) if (bytes[start + n] !== this.#bytes[n]) return false;
    return true;
  }

  keep(bytes: Buffer, start: number, end: number): void {
    if (end - start > this.#bytes.length) return;
    this.#length = end - start;
    bytes.copy(this.#bytes, 0, start, end);
  }
}

/** One object for all requests: each reading writes over the one before. Its record has no value and no time until they are set. */
export class PlainRequest implements EncodedRecord {
  /** As they came. */
  target = '';
  host = '';
  contentLength = 0;
  /** In the bytes that were read. */
  bodyStart = 0;

  readonly headers: Buffer;
  headersEnd = 0;
  headerCount = 0;
  keyStart = -1;
  keyEnd = -1;
  value: Buffer | null = null;
  valueStart = 0;
  valueEnd = 0;
  timestampMs = 0;
  isValueKept = false;

  readonly #headLimitBytes: number;
  readonly #goodContentType = new LastValue();
  readonly #goodSource = new LastValue();
  readonly #attributeHashes = new Int32Array(mostAttributes);
  #attributeCount = 0;
  #seen = 0;
  #hostStart = -1;
  #hostEnd = -1;
  #hasContentType = false;
  #subjectStart = -1;
  #subjectEnd = -1;

  /** @param headerLimitBytes how long a head the other lane reads */
  constructor(headerLimitBytes: number) {
    this.#headLimitBytes = Math.min(headerLimitBytes, mostHeadBytes);
    // A header grows by two bytes at most on its way into a record, and takes three for the colon and the line's end.
    this.headers = Buffer.allocUnsafeSlow(2 * this.#headLimitBytes);
  }

  /** Reads `bytes[start, end)`, of which the first is the first of a request. */
  read(bytes: Buffer, start: number, end: number): Reading {
    const reading = this.#readHead(bytes, start, Math.min(end, start + this.#headLimitBytes));
    return reading === 'more' && end - start >= this.#headLimitBytes ? 'hand-over' : reading;
  }

  #readHead(bytes: Buffer, start: number, end: number): Reading {
    const afterMethod = this.#expect(method, bytes, start, end);
    if (typeof afterMethod === 'string') return afterMethod;
    let at = afterMethod;
    if (at === end) return 'more';
    if (bytes[at] !== slash) return 'hand-over';
    while (at < end && isTargetByte[bytes[at]!] === 1) at++;
    const targetEnd = at;
    const afterVersion = this.#expect(version, bytes, at, end);
    if (typeof afterVersion === 'string') return afterVersion;
    at = afterVersion;

    this.#forget();
    for (let fields = 0; ; fields++) {
      if (at === end) return 'more';
      if (bytes[at] === carriageReturn) break;
      if (fields === mostFields) return 'hand-over';
      const nameStart = at;
      while (at < end && isTokenByte[bytes[at]!] === 1) at++;
      if (at === end) return 'more';
      const nameEnd = at;
      if (bytes[at] !== colon || nameEnd === nameStart) return 'hand-over'; // a space before the colon, a folded line, …
      at++;
      while (at < end && bytes[at] === space) at++;
      const valueStart = at;
      let kinds = 0;
      for (let kind = 0; at < end && (kind = valueByte[bytes[at]!]!) !== 0; at++) kinds |= kind;
      if (at === end) return 'more';
      if (bytes[at] !== carriageReturn) return 'hand-over';
      if (at + 1 === end) return 'more';
      if (bytes[at + 1] !== lineFeed) return 'hand-over';
      let valueEnd = at;
      while (valueEnd > valueStart && bytes[valueEnd - 1] === space) valueEnd--;
      at += 2;
      if (!this.#takeField(bytes, nameStart, nameEnd, valueStart, valueEnd, (kinds & percentKind) !== 0)) return 'hand-over';
    }
    if (at + 1 === end) return 'more';
    if (bytes[at + 1] !== lineFeed) return 'hand-over';

    if (this.#seen !== seenRequired || this.#hostStart < 0 || this.contentLength < 0) return 'hand-over';
    if (this.keyStart < 0) {
      this.keyStart = this.#subjectStart;
      this.keyEnd = this.#subjectEnd;
    }
    this.bodyStart = at + 2;
    this.target = bytes.toString('latin1', afterMethod, targetEnd);
    this.host = bytes.toString('latin1', this.#hostStart, this.#hostEnd);
    return 'plain';
  }

  /** @returns the place after the expected bytes, or why there is none */
  #expect(expected: Buffer, bytes: Buffer, start: number, end: number): number | Reading {
    const seenEnd = Math.min(end, start + expected.length);
    for (let at = start; at < seenEnd; at++) if (bytes[at] !== expected[at - start]) return 'hand-over';
    return seenEnd - start === expected.length ? seenEnd : 'more';
  }

  #forget(): void {
    this.contentLength = -1;
    this.headersEnd = 0;
    this.headerCount = 0;
    this.keyStart = this.keyEnd = -1;
    this.value = null;
    this.#attributeCount = 0;
    this.#seen = 0;
    this.#hostStart = -1;
    this.#hasContentType = false;
    this.#subjectStart = this.#subjectEnd = -1;
  }

  /** @returns false where the request is not plain */
  #takeField(bytes: Buffer, nameStart: number, nameEnd: number, valueStart: number, valueEnd: number, hasPercent: boolean): boolean {
    switch (bytes[nameStart]! | 0x20) {
      case 0x63: // c
        if (bytes[nameStart + 2] === dash && (bytes[nameStart + 1]! | 0x20) === 0x65) return this.#takeAttribute(bytes, nameStart, nameEnd, valueStart, valueEnd, hasPercent);
        if (is(bytes, nameStart, nameEnd, names.contentType)) return this.#takeContentType(bytes, valueStart, valueEnd);
        if (is(bytes, nameStart, nameEnd, names.contentLength)) return this.#takeContentLength(bytes, valueStart, valueEnd);
        if (is(bytes, nameStart, nameEnd, names.connection)) return is(bytes, valueStart, valueEnd, keepAlive);
        return !is(bytes, nameStart, nameEnd, names.contentEncoding);
      case 0x68: // h
        if (!is(bytes, nameStart, nameEnd, names.host)) return true;
        if (this.#hostStart >= 0) return false;
        this.#hostStart = valueStart;
        this.#hostEnd = valueEnd;
        return true;
      case 0x65: // e
        return !is(bytes, nameStart, nameEnd, names.expect);
      case 0x75: // u
        return !is(bytes, nameStart, nameEnd, names.upgrade);
      case 0x70: // p
        return !startsWith(bytes, nameStart, names.proxy);
      case 0x74: // t
        if (is(bytes, nameStart, nameEnd, names.traceparent) || is(bytes, nameStart, nameEnd, names.tracestate)) return this.#takeTransport(bytes, nameStart, nameEnd, valueStart, valueEnd);
        return !is(bytes, nameStart, nameEnd, names.transferEncoding) && !is(bytes, nameStart, nameEnd, names.te) && !is(bytes, nameStart, nameEnd, names.trailer);
      case 0x78: // x
        if (is(bytes, nameStart, nameEnd, names.requestId) || startsWith(bytes, nameStart, names.b3)) return this.#takeTransport(bytes, nameStart, nameEnd, valueStart, valueEnd);
        return true;
      case 0x6b: // k
        if (startsWith(bytes, nameStart, names.knative)) return this.#takeTransport(bytes, nameStart, nameEnd, valueStart, valueEnd);
        return true;
      default:
        return true;
    }
  }

  #takeContentLength(bytes: Buffer, valueStart: number, valueEnd: number): boolean {
    const digits = valueEnd - valueStart;
    if (this.contentLength >= 0 || digits === 0 || digits > 9) return false;
    if (bytes[valueEnd] !== carriageReturn || (digits > 1 && bytes[valueStart] === 0x30)) return false;
    let length = 0;
    for (let at = valueStart; at < valueEnd; at++) {
      const digit = bytes[at]! - 0x30;
      if (digit < 0 || digit > 9) return false;
      length = length * 10 + digit;
    }
    this.contentLength = length;
    return true;
  }

  #takeContentType(bytes: Buffer, valueStart: number, valueEnd: number): boolean {
    if (this.#hasContentType || valueStart === valueEnd) return false;
    this.#hasContentType = true;
    if (!this.#goodContentType.is(bytes, valueStart, valueEnd)) {
      const contentType = bytes.toString('latin1', valueStart, valueEnd);
      if (contentMode(contentType) !== 'binary' || attributeError('datacontenttype', contentType, specversion) !== undefined) return false;
      this.#goodContentType.keep(bytes, valueStart, valueEnd);
    }
    this.#startHeader(names.contentType.length);
    this.headersEnd += names.contentType.copy(this.headers, this.headersEnd);
    this.#putValue(bytes, valueStart, valueEnd);
    return true;
  }

  /** A header that goes with the event under its own name; one without a value is left out. */
  #takeTransport(bytes: Buffer, nameStart: number, nameEnd: number, valueStart: number, valueEnd: number): boolean {
    if (nameEnd - nameStart > longestRecordName) return false;
    if (valueStart === valueEnd) return true;
    this.#startHeader(nameEnd - nameStart);
    for (let at = nameStart; at < nameEnd; at++) {
      const byte = bytes[at]!;
      this.headers[this.headersEnd++] = byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
    }
    this.#putValue(bytes, valueStart, valueEnd);
    return true;
  }

  #takeAttribute(bytes: Buffer, nameStart: number, nameEnd: number, valueStart: number, valueEnd: number, hasPercent: boolean): boolean {
    if (nameEnd - nameStart > longestRecordName || nameEnd - nameStart === 3 || valueStart === valueEnd) return false;
    const { headers } = this;
    this.#startHeader(nameEnd - nameStart);
    let at = this.headersEnd;
    headers[at++] = 0x63;
    headers[at++] = 0x65;
    headers[at++] = 0x5f; // ce_
    const attributeStart = at;
    let hash = 0;
    for (let from = nameStart + 3; from < nameEnd; from++) {
      const byte = attributeByte[bytes[from]!]!;
      if (byte === 0) return false;
      hash = (Math.imul(hash, 31) + byte) | 0;
      headers[at++] = byte;
    }
    this.headersEnd = at;
    // Two names may have one hash; then it is somebody else's to tell them apart.
    for (let n = 0; n < this.#attributeCount; n++) if (this.#attributeHashes[n] === hash) return false;
    if (this.#attributeCount === mostAttributes) return false;
    this.#attributeHashes[this.#attributeCount++] = hash;
    const textStart = this.#putValue(bytes, valueStart, valueEnd);
    return this.#isPlainAttribute(attributeStart, at, textStart, hasPercent);
  }

  /** Whether the attribute that was just written keeps the rules, and needs no decoding: in a URI percent-encoding stays as it is. */
  #isPlainAttribute(nameStart: number, nameEnd: number, textStart: number, hasPercent: boolean): boolean {
    const { headers, headersEnd } = this;
    switch (nameEnd - nameStart) {
      case attributes.id.length:
        if (is(headers, nameStart, nameEnd, attributes.id)) this.#seen |= seenId;
        break;
      case attributes.type.length:
        if (is(headers, nameStart, nameEnd, attributes.type)) this.#seen |= seenType;
        else if (is(headers, nameStart, nameEnd, attributes.time)) return !hasPercent && this.#keepsRules('time', textStart);
        else if (is(headers, nameStart, nameEnd, attributes.data)) return false;
        break;
      case attributes.source.length:
        if (!is(headers, nameStart, nameEnd, attributes.source)) break;
        this.#seen |= seenSource;
        if (this.#goodSource.is(headers, textStart, headersEnd)) return true;
        if (!this.#keepsRules('source', textStart)) return false;
        this.#goodSource.keep(headers, textStart, headersEnd);
        return true;
      case attributes.subject.length:
        if (!is(headers, nameStart, nameEnd, attributes.subject)) break;
        this.#subjectStart = textStart;
        this.#subjectEnd = headersEnd;
        break;
      case attributes.dataschema.length:
        if (is(headers, nameStart, nameEnd, attributes.dataschema)) return this.#keepsRules('dataschema', textStart);
        break;
      case attributes.specversion.length:
        if (!is(headers, nameStart, nameEnd, attributes.specversion)) break;
        this.#seen |= seenSpecversion;
        return is(headers, textStart, headersEnd, version1);
      case attributes.partitionkey.length:
        if (!is(headers, nameStart, nameEnd, attributes.partitionkey)) break;
        this.keyStart = textStart;
        this.keyEnd = headersEnd;
        break;
      case attributes.datacontenttype.length:
        if (is(headers, nameStart, nameEnd, attributes.datacontenttype)) return false;
        break;
    }
    return !hasPercent;
  }

  #keepsRules(name: string, textStart: number): boolean {
    return attributeError(name, this.headers.toString('latin1', textStart, this.headersEnd), specversion) === undefined;
  }

  /** @param nameBytes at most `longestRecordName` */
  #startHeader(nameBytes: number): void {
    this.headerCount++;
    this.headers[this.headersEnd++] = nameBytes * 2;
  }

  /** @returns where the value's own bytes begin */
  #putValue(bytes: Buffer, start: number, end: number): number {
    const { headers } = this;
    let at = this.headersEnd;
    let length = (end - start) * 2;
    for (; length > 0x7f; length >>>= 7) headers[at++] = (length & 0x7f) | 0x80;
    headers[at++] = length;
    const textStart = at;
    for (let from = start; from < end; from++) headers[at++] = bytes[from]!;
    this.headersEnd = at;
    return textStart;
  }
}

/** Whether `bytes[start, end)` is this text, in upper or lower case. @param lower letters only in lower case */
function is(bytes: Buffer, start: number, end: number, lower: Buffer): boolean {
  return end - start === lower.length && startsWith(bytes, start, lower);
}

/** Of a text that is followed by a byte that is not part of `lower`. */
function startsWith(bytes: Buffer, start: number, lower: Buffer): boolean {
  for (let n = 0; n < lower.length; n++) {
    const byte = bytes[start + n]!;
    if (byte !== lower[n] && (byte < 0x41 || byte > 0x5a || byte + 0x20 !== lower[n])) return false;
  }
  return true;
}
