/**
 * CloudEvents over HTTP, both directions: a request becomes records, a record becomes a request.
 *
 * An event stays in the mode it was sent in. Binary: attributes are copied from header to header and the body is the
 * record's value, never read. Structured: the body is checked and stored as it is. Batch: Kafka has no batches, so each
 * event becomes a structured record of its own, cut out of the body.
 *
 * Always true: for every header value that HTTP allows (visible ASCII with spaces inside), what is sent to the
 * subscriber is character for character what came; the body likewise, byte for byte. Nothing that comes in makes these
 * functions throw, and nothing they put into a header can end it.
 */
import { isMediaType, isToken, isUtf8Charset, mediaTypeCharsets, mediaTypeEssence } from './attribute-syntax.ts';
import { contentMode } from './content-mode.ts';
import type { ContentMode } from './content-mode.ts';
import { attributeError, eventError, frequentAttributes, isEventError, missingAttribute, requiredAttributes } from './event.ts';
import type { EventError, NamedTexts, StoredEvent } from './event.ts';
import { readJsonBatch, readJsonEvent } from './json-format.ts';
import { isTransportValue, transportName } from './transport-headers.ts';

/** One event as the record it will be, plus what partitioning needs. */
export interface DecodedEvent {
  /** The record's headers in the order in which the request had them. */
  readonly headers: NamedTexts;
  /** The data (binary) or the whole event (structured); `null` for an event without data. Shares memory with the body. */
  readonly value: Buffer | null;
  /** The extension `partitionkey`, else `subject`; undefined leaves the partition to the producer. */
  readonly partitionKey: string | undefined;
}

export type DecodeResult =
  | { readonly mode: ContentMode; readonly events: readonly DecodedEvent[] }
  | { readonly status: 400 | 415; readonly error: EventError };

const structuredJson = 'application/cloudevents+json';
const batchedJson = 'application/cloudevents-batch+json';

/**
 * The events of a request.
 *
 * The content type decides the mode (HTTP binding §3): `application/cloudevents+json` is structured, its `-batch`
 * sibling a batch, anything else of `application/cloudevents` a format we do not read: 415, as is a charset other than
 * UTF-8 and its subset us-ascii. All other requests are binary. In structured and batch mode `ce-` headers are ignored,
 * because the body is authoritative (§3.2.3). Batches are taken although the binding reserves them for receivers that
 * asked; senders that batch then need no second way.
 *
 * Binary: each `ce-<name>` becomes the record header `ce_<name>` in lower case, `content-type` keeps its name and its
 * text. An empty body is no data. An empty content type is none.
 *
 * @param rawHeaders as node:http has them: name, value, name, value; values as latin1 text
 * @param body       without transfer and content encoding
 * @returns          records in the order of the events (none for an empty batch), or the status and reason to refuse
 * @see CloudEvents HTTP binding 1.0.2 §3; Kafka binding 1.0.2 §3.2, §3.3
 */
export function decodeHttpEvent(rawHeaders: readonly string[], body: Buffer): DecodeResult {
  let contentType: string | undefined;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (!isContentTypeName(rawHeaders[i]!)) continue;
    // Two content types are two readings of one body: which one counts must not depend on who looks.
    if (contentType !== undefined) return refuse(400, eventError('content-type', 'one Content-Type header, got several'));
    contentType = trimmed(rawHeaders[i + 1]!);
  }
  if (contentType === undefined || contentMode(contentType) === 'binary') return decodeBinary(rawHeaders, body);
  return decodeFormatted(rawHeaders, contentType, body);
}

function refuse(status: 400 | 415, error: EventError): DecodeResult {
  return { status, error };
}

function decodeFormatted(rawHeaders: readonly string[], contentType: string, body: Buffer): DecodeResult {
  if (!isMediaType(contentType)) return refuse(400, eventError('content-type', 'a media type', contentType));
  const essence = mediaTypeEssence(contentType);
  if (essence !== structuredJson && essence !== batchedJson) {
    return refuse(415, eventError('content-type', `${structuredJson} or ${batchedJson}`, contentType));
  }
  const charsets = mediaTypeCharsets(contentType);
  if (!charsets.every(isUtf8Charset)) return refuse(415, eventError('content-type', 'the charset utf-8', contentType));

  const transport = transportHeaders(rawHeaders);
  if (essence === structuredJson) {
    const attributes = readJsonEvent(body);
    if (isEventError(attributes)) return refuse(400, attributes);
    const headers = [['content-type', contentType] as const, ...transport];
    return { mode: 'structured', events: [{ headers, value: body, partitionKey: partitionKeyOf(attributes) }] };
  }
  const batch = readJsonBatch(body);
  if (isEventError(batch)) return refuse(400, batch);
  const elementType = charsets[0] === undefined ? structuredJson : `${structuredJson}; charset=${charsets[0]}`;
  const headers = [['content-type', elementType] as const, ...transport];
  return { mode: 'batch', events: batch.map((event) => ({ headers, value: event.bytes, partitionKey: partitionKeyOf(event.attributes) })) };
}

function partitionKeyOf(attributes: ReadonlyMap<string, string>): string | undefined {
  return attributes.get('partitionkey') || attributes.get('subject');
}

function transportHeaders(rawHeaders: readonly string[]): NamedTexts {
  const headers: (readonly [string, string])[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) addTransportHeader(headers, rawHeaders[i]!, rawHeaders[i + 1]!);
  return headers;
}

function addTransportHeader(headers: (readonly [string, string])[], rawName: string, rawValue: string): void {
  const name = transportName(rawName);
  if (name === undefined) return;
  const value = trimmed(rawValue);
  if (isTransportValue(value)) headers.push([name, value]);
}

function decodeBinary(rawHeaders: readonly string[], body: Buffer): DecodeResult {
  const headers: (readonly [string, string])[] = [];
  const names: string[] = [];
  const texts: string[] = [];
  let manyNames: Set<string> | undefined;
  let specversion = '';
  let partitionKey: string | undefined;
  let subject: string | undefined;

  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const rawName = rawHeaders[i]!;
    const rawValue = rawHeaders[i + 1]!;
    if (!isAttributeHeader(rawName)) {
      if (!isContentTypeName(rawName)) {
        addTransportHeader(headers, rawName, rawValue);
        continue;
      }
      const contentType = trimmed(rawValue);
      if (contentType === '') continue;
      const error = attributeError('datacontenttype', contentType, specversion);
      if (error !== undefined) return refuse(400, error);
      headers.push(['content-type', contentType]);
      continue;
    }

    const { name, recordHeader } = knownHeaders.get(rawName) ?? attributeNames(rawName);
    if (name === 'datacontenttype') {
      return refuse(400, eventError(name, 'the header Content-Type for it, got the header ce-datacontenttype'));
    }
    // Linear while there are few; the Set keeps a request of a thousand attributes from costing their square.
    const isDuplicate = manyNames === undefined ? names.includes(name) : manyNames.has(name);
    if (isDuplicate) return refuse(400, eventError(name, 'one header for this attribute, got several'));
    const value = trimmed(rawValue);
    if (value === '') return refuse(400, eventError(name, 'a value in the header of this attribute, got none'));
    const text = isUriAttribute(name) ? textOfLatin1(value) : decodeHeaderValue(value);
    if (text === undefined) return refuse(400, eventError(name, 'UTF-8 in the header value, percent-encoded if not ASCII', value));

    if (name === 'specversion') specversion = text;
    else if (name === 'subject') subject = text;
    else if (name === 'partitionkey') partitionKey = text;
    names.push(name);
    texts.push(text);
    headers.push([recordHeader, text]);
    if (manyNames !== undefined) manyNames.add(name);
    else if (names.length === 64) manyNames = new Set(names);
  }

  for (const name of requiredAttributes) if (!names.includes(name)) return refuse(400, missingAttribute(name));
  for (let i = 0; i < names.length; i++) {
    const error = attributeError(names[i]!, texts[i]!, specversion);
    if (error !== undefined) return refuse(400, error);
  }
  const value = body.length === 0 ? null : body;
  return { mode: 'binary', events: [{ headers, value, partitionKey: partitionKey ?? subject }] };
}

/**
 * A stored event as the request that delivers it.
 *
 * @returns `headers` flat: name, value, name, value, as undici takes them; all names in lower case, all values legal.
 *          An attribute whose name no header can have is left out: only a record written by others can hold one.
 * @see CloudEvents HTTP binding 1.0.2 §3.1, §3.2
 */
export function encodeHttpEvent(event: StoredEvent): { headers: string[]; body: Buffer | null } {
  const headers: string[] = [];
  if (event.mode === 'binary') {
    for (let i = 0; i < event.attributes.length; i++) {
      const attribute = event.attributes[i]!;
      const name = attribute[0];
      const header = httpHeaders.get(name) ?? (isToken(name) ? `ce-${name}` : undefined);
      if (header !== undefined) headers.push(header, encodeHeaderValue(attribute[1]));
    }
  }
  if (event.contentType !== undefined) headers.push('content-type', encodeContentType(event.contentType));
  for (const [name, value] of event.transport) if (isToken(name)) headers.push(name, encodeHeaderValue(value));
  return { headers, body: event.mode === 'binary' ? event.data : event.body };
}

/** Content types go out as they are, tabs included; one that no header can hold came from a record written by others. */
function encodeContentType(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if ((code < 0x20 && code !== 0x09) || code > 0x7e) return encodeHeaderValue(text);
  }
  return text;
}

/**
 * An attribute's text as a header value.
 *
 * The binding wants space, `"`, `%` and all that is not visible ASCII percent-encoded. Knative's Go and Java SDKs encode
 * nothing, so for their subscribers an encoded `"` or `%` would be a changed attribute. Hence: text that a header can
 * hold goes out as it is; only text that it cannot hold (control characters, beyond ASCII, spaces at an end) is
 * encoded, and then as the binding says, all of it. The price is a `%41` that some producer put into Kafka as text and
 * that a conforming subscriber decodes.
 *
 * @returns only characters 0x20 to 0x7E, no space at either end; lone surrogates become U+FFFD
 * @see CloudEvents HTTP binding 1.0.2 §3.1.3.2
 */
export function encodeHeaderValue(text: string): string {
  const last = text.length - 1;
  if (text.charCodeAt(0) === 0x20 || text.charCodeAt(last) === 0x20) return percentEncode(text);
  for (let i = 0; i <= last; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code > 0x7e) return percentEncode(text);
  }
  return text;
}

function percentEncode(text: string): string {
  let encoded = '';
  for (const byte of Buffer.from(text)) {
    const isKept = byte > 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x25;
    encoded += isKept ? String.fromCharCode(byte) : `%${byte < 0x10 ? '0' : ''}${byte.toString(16).toUpperCase()}`;
  }
  return encoded;
}

/**
 * A header value as an attribute's text.
 *
 * Percent-encoding is undone only where `encodeHeaderValue` would write the very same again; else the text stays as it
 * came. So a `%20` or a `100%` of a sender that does not encode survives, and text that encoding had made fit for a
 * header is stored in Kafka as what it means. Control characters stay encoded: CloudEvents strings have none, and a
 * reader of the topic that does not expect one could break its own headers with it. Quotes are left alone for the same
 * reason as percent signs: most senders mean them.
 *
 * Bytes beyond ASCII are against the binding but sent; read as UTF-8 they leave percent-encoded.
 *
 * @param raw latin1 text as node:http gives it, without white space around it
 * @returns   undefined when its bytes are not UTF-8
 * @see CloudEvents HTTP binding 1.0.2 §3.1.3.2
 */
export function decodeHeaderValue(raw: string): string | undefined {
  let hasPercent = false;
  let isAscii = true;
  for (let i = 0; i < raw.length; i++) {
    const code = raw.charCodeAt(i);
    if (code === 0x25) hasPercent = true;
    else if (code > 0x7f) isAscii = false;
  }
  if (isAscii && !hasPercent) return raw;
  const text = isAscii ? raw : textOfLatin1(raw);
  if (text === undefined || !hasPercent) return text;
  const decoded = percentDecode(text);
  if (decoded === undefined || hasControlCharacter(decoded)) return text;
  // Where bytes beyond ASCII came there is no same text to write again, so the binding's reading is taken.
  return isAscii && encodeHeaderValue(decoded) !== raw ? raw : decoded;
}

/** @returns undefined for a `%` without two hex digits and for bytes that are not UTF-8 */
function percentDecode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function hasControlCharacter(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || (code > 0x7e && code < 0xa0)) return true;
  }
  return false;
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The bytes behind latin1 text, read as UTF-8. */
function textOfLatin1(raw: string): string | undefined {
  let isAscii = true;
  for (let i = 0; i < raw.length; i++) {
    const code = raw.charCodeAt(i);
    if (code > 0xff) return undefined;
    if (code > 0x7f) isAscii = false;
  }
  if (isAscii) return raw;
  try {
    return strictUtf8.decode(Buffer.from(raw, 'latin1'));
  } catch {
    return undefined;
  }
}

/** In a URI percent-encoding is part of the text: decoded it would be another URI, or none. */
function isUriAttribute(name: string): boolean {
  return name === 'source' || name === 'dataschema' || name === 'schemaurl';
}

interface AttributeNames {
  readonly name: string;
  readonly recordHeader: string;
}

/** Header names as senders spell them (`ce-id`, Go's `Ce-Id`), so that an ordinary event makes no new strings. */
const knownHeaders = new Map<string, AttributeNames>();
const httpHeaders = new Map<string, string>();
for (const name of frequentAttributes) {
  const names = { name, recordHeader: `ce_${name}` };
  knownHeaders.set(`ce-${name}`, names);
  knownHeaders.set(`Ce-${name.slice(0, 1).toUpperCase()}${name.slice(1)}`, names);
  httpHeaders.set(name, `ce-${name}`);
}

function attributeNames(rawName: string): AttributeNames {
  const name = rawName.slice(3).toLowerCase();
  return { name, recordHeader: `ce_${name}` };
}

function isAttributeHeader(rawName: string): boolean {
  return rawName.charCodeAt(2) === 0x2d && (rawName.charCodeAt(0) | 0x20) === 0x63 && (rawName.charCodeAt(1) | 0x20) === 0x65;
}

function isContentTypeName(rawName: string): boolean {
  if (rawName.length !== 12) return false;
  return rawName === 'content-type' || rawName === 'Content-Type' || rawName.toLowerCase() === 'content-type';
}

/** Without spaces and tabs around it, which HTTP does not count as part of a value (RFC 9110 §5.5). */
function trimmed(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isWhiteSpace(value.charCodeAt(start))) start++;
  while (end > start && isWhiteSpace(value.charCodeAt(end - 1))) end--;
  return end - start === value.length ? value : value.slice(start, end);
}

function isWhiteSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
