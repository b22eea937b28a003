/**
 * HOT PATH of delivery: the header lines of a request, from the bytes of a channel's record to the bytes of the request.
 *
 * Nearly every record is one that our receiver stored: attributes under lower-case names, each once, with values that
 * a header can hold as they are. Such a record needs no texts and no objects on its way out: its bytes are looked at
 * while they are copied. Any other record takes the ordinary way, which alone decides what becomes of it.
 *
 * Always true: what is written is what `encodeHttpEvent` makes of `decodeKafkaEvent`, byte for byte, or nothing counts
 * as written. Only letters, digits and hyphens get into a name and only visible ASCII and spaces inside into a value, so
 * nothing in a record can end a line.
 */
import { decodeKafkaEvent, encodeHttpEvent, FetchedRecord, isEventError, type IncomingRecord } from '@knative-kafka/common/core';
import type { RequestHeaders } from './request-headers.ts';

/** What was written last to find out whether a record is plain: nearly always what is sent next. */
const written = Buffer.allocUnsafeSlow(16 * 1024);
/** Counts what is written there. */
let writing = 0;

/**
 * The lines of an event in binary mode: attributes and content type, what travels with them, that a reply is welcome,
 * and the channel's namespace.
 *
 * @returns undefined where only the ordinary way can tell what they are, or whether the record is an event at all
 */
export function recordHeaders(record: IncomingRecord, namespace: string): RequestHeaders | undefined {
  if (!(record instanceof FetchedRecord)) return undefined;
  const number = ++writing;
  const length = writeHeaderLines(record, namespace, written, 0);
  return length < 0 ? undefined : new RecordHeaders(record, namespace, number, length);
}

class RecordHeaders implements RequestHeaders {
  readonly #record: FetchedRecord;
  readonly #namespace: string;
  readonly #writing: number;
  readonly #length: number;

  /** @param number of the writing that found `length` bytes */
  constructor(record: FetchedRecord, namespace: string, number: number, length: number) {
    this.#record = record;
    this.#namespace = namespace;
    this.#writing = number;
    this.#length = length;
  }

  /** The ordinary way: only clients that want texts ask. */
  flat(): readonly string[] {
    const event = decodeKafkaEvent(this.#record.headers, this.#record.value);
    if (isEventError(event)) throw new Error(`a record that was an event is none: ${event.reason}`);
    const { headers } = encodeHttpEvent(event);
    headers.push('prefer', 'reply', 'kn-namespace', this.#namespace);
    return headers;
  }

  write(out: Buffer, at: number): number {
    if (this.#writing !== writing) return writeHeaderLines(this.#record, this.#namespace, out, at);
    if (at + this.#length > out.length) return -1;
    written.copy(out, at, 0, this.#length);
    return at + this.#length;
  }
}

const attributePrefix = Buffer.from('ce_');
const contentTypeName = Buffer.from('content-type');
const contentTypeLine = Buffer.from('content-type: ');
const preferLine = Buffer.from('prefer: reply\r\nkn-namespace: ');
const requiredNames = ['ce_specversion', 'ce_id', 'ce_source', 'ce_type'].map((name) => Buffer.from(name));
const allRequired = (1 << requiredNames.length) - 1;
/** The data and its type have other places; a record that has them as attributes is another's. */
const reservedNames = ['ce_data', 'ce_datacontenttype'].map((name) => Buffer.from(name));
const transportNames = ['traceparent', 'tracestate', 'x-request-id'].map((name) => Buffer.from(name));
const transportPrefixes = ['knative-', 'x-b3-'].map((name) => Buffer.from(name));

/** More attributes than this, or more other headers, and the record is no ordinary one. */
const mostAttributes = 40;
const mostOthers = 16;
/** Sums of the names so far: a name whose sum is there may be there twice. */
const nameSums = new Int32Array(mostAttributes);
/** Start of name and end of it, start of value and end of it, of the headers that follow the attributes. */
const others = new Int32Array(4 * mostOthers);

const colon = 0x3a;
const space = 0x20;
const carriageReturn = 0x0d;
const lineFeed = 0x0a;
/** `application/c…` may be `application/cloudevents+json`: then the value is the whole event. */
const formatLetterAt = 'application/'.length;

/**
 * @returns where the lines end; −1 when the headers are not plain or may not fit, and what was written means nothing
 */
export function writeHeaderLines(record: FetchedRecord, namespace: string, out: Buffer, at: number): number {
  const { bytes, headersStart, headersEnd, headerCount } = record;
  // A line has four bytes beside name and value, a header in Kafka at least two.
  const longest = headersEnd - headersStart + 2 * headerCount + preferLine.length + namespace.length + 2;
  if (at + longest > out.length) return -1;
  let end = at;
  let from = headersStart;
  let attributes = 0;
  let required = 0;
  let otherCount = 0;
  let contentTypeStart = -1;
  let contentTypeEnd = -1;
  for (let left = headerCount; left > 0; left--) {
    // Varints are zigzag: an odd one is negative. A longer name is refused, as is a value of more than two bytes of length.
    const nameLength = bytes[from]!;
    if ((nameLength & 0x81) !== 0) return -1;
    const nameStart = from + 1;
    const nameEnd = nameStart + (nameLength >>> 1);
    let valueLength = bytes[nameEnd]!;
    from = nameEnd + 1;
    if (valueLength >= 0x80) {
      const high = bytes[from++]!;
      if (high >= 0x80) return -1;
      valueLength = (valueLength & 0x7f) | (high << 7);
    }
    if ((valueLength & 1) !== 0 || valueLength === 0) return -1;
    const valueStart = from;
    const valueEnd = (from += valueLength >>> 1);
    if (bytes[valueStart] === space || bytes[valueEnd - 1] === space) return -1;

    if (startsWith(bytes, nameStart, nameEnd, attributePrefix)) {
      if (attributes === mostAttributes || isOneOf(reservedNames, bytes, nameStart, nameEnd) >= 0) return -1;
      const sum = writeAttributeName(bytes, nameStart, nameEnd, out, end);
      if (sum < 0) return -1;
      for (let i = 0; i < attributes; i++) if (nameSums[i] === sum) return -1;
      nameSums[attributes++] = sum;
      const which = isOneOf(requiredNames, bytes, nameStart, nameEnd);
      if (which >= 0) required |= 1 << which;
      if (which === 0 && !isKnownVersion(bytes, valueStart, valueEnd)) return -1;
      end = writeValue(bytes, valueStart, valueEnd, out, end + nameEnd - nameStart);
      if (end < 0) return -1;
    } else if (isName(contentTypeName, bytes, nameStart, nameEnd)) {
      if (contentTypeStart >= 0) return -1;
      if (valueEnd - valueStart > formatLetterAt && (bytes[valueStart + formatLetterAt]! | 0x20) === 0x63) return -1;
      contentTypeStart = valueStart;
      contentTypeEnd = valueEnd;
    } else {
      if (otherCount === mostOthers || !isTransport(bytes, nameStart, nameEnd)) return -1;
      const place = 4 * otherCount++;
      others[place] = nameStart;
      others[place + 1] = nameEnd;
      others[place + 2] = valueStart;
      others[place + 3] = valueEnd;
    }
  }
  if (required !== allRequired) return -1;
  if (contentTypeStart >= 0) {
    end = writeConstant(contentTypeLine, out, end) - 2; // `writeValue` writes colon and space
    end = writeValue(bytes, contentTypeStart, contentTypeEnd, out, end);
    if (end < 0) return -1;
  }
  for (let place = 0; place < 4 * otherCount; place += 4) {
    for (let i = others[place]!; i < others[place + 1]!; i++) out[end++] = bytes[i]!;
    end = writeValue(bytes, others[place + 2]!, others[place + 3]!, out, end);
    if (end < 0) return -1;
  }
  return writeNamespace(namespace, out, writeConstant(preferLine, out, end));
}

/**
 * Writes `ce-` and the rest of the name.
 * @returns a sum of the name, not negative, the same for the same name; −1 for a name that is not plain
 */
function writeAttributeName(bytes: Buffer, nameStart: number, nameEnd: number, out: Buffer, at: number): number {
  const start = nameStart + attributePrefix.length;
  if (start === nameEnd) return -1;
  out[at] = 0x63;
  out[at + 1] = 0x65;
  out[at + 2] = 0x2d;
  let end = at + 3;
  let sum = 0;
  for (let i = start; i < nameEnd; i++) {
    const code = bytes[i]!;
    if (!isLetterOrDigit(code)) return -1;
    sum = (Math.imul(sum, 31) + code) | 0;
    out[end++] = code;
  }
  return sum & 0x7fffffff;
}

/**
 * Writes colon, space, the value and the end of the line.
 * @returns where the line ends; −1 for a value with anything but visible ASCII and spaces
 */
function writeValue(bytes: Buffer, start: number, valueEnd: number, out: Buffer, at: number): number {
  out[at] = colon;
  out[at + 1] = space;
  let end = at + 2;
  for (let i = start; i < valueEnd; i++) {
    const code = bytes[i]!;
    if (code < 0x20 || code > 0x7e) return -1;
    out[end++] = code;
  }
  out[end] = carriageReturn;
  out[end + 1] = lineFeed;
  return end + 2;
}

function writeConstant(text: Buffer, out: Buffer, at: number): number {
  for (let i = 0; i < text.length; i++) out[at + i] = text[i]!;
  return at + text.length;
}

/** @returns where its line ends; −1 for a name that no namespace has */
function writeNamespace(namespace: string, out: Buffer, at: number): number {
  let end = at;
  for (let i = 0; i < namespace.length; i++) {
    const code = namespace.charCodeAt(i);
    if (!isLetterOrDigit(code) && code !== 0x2d) return -1;
    out[end++] = code;
  }
  out[end] = carriageReturn;
  out[end + 1] = lineFeed;
  return end + 2;
}

function isLetterOrDigit(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39);
}

function startsWith(bytes: Buffer, start: number, end: number, prefix: Buffer): boolean {
  if (end - start < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) if (bytes[start + i] !== prefix[i]) return false;
  return true;
}

function isName(name: Buffer, bytes: Buffer, start: number, end: number): boolean {
  return end - start === name.length && startsWith(bytes, start, end, name);
}

/** @returns which; −1 for none */
function isOneOf(names: readonly Buffer[], bytes: Buffer, start: number, end: number): number {
  for (let i = 0; i < names.length; i++) if (isName(names[i]!, bytes, start, end)) return i;
  return -1;
}

function isTransport(bytes: Buffer, start: number, end: number): boolean {
  if (isOneOf(transportNames, bytes, start, end) >= 0) return true;
  for (let i = 0; i < transportPrefixes.length; i++) {
    if (!startsWith(bytes, start, end, transportPrefixes[i]!)) continue;
    for (let at = start; at < end; at++) if (!isLetterOrDigit(bytes[at]!) && bytes[at] !== 0x2d) return false;
    return true;
  }
  return false;
}

/** `1.0` or `0.3` */
function isKnownVersion(bytes: Buffer, start: number, end: number): boolean {
  if (end - start !== 3 || bytes[start + 1] !== 0x2e) return false;
  const major = bytes[start];
  const minor = bytes[start + 2];
  return (major === 0x31 && minor === 0x30) || (major === 0x30 && minor === 0x33);
}
