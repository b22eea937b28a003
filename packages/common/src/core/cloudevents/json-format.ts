/**
 * The JSON event format and its batches: read to be checked, stored and delivered as the bytes that came.
 *
 * JSON.parse is used because an event in this format can only be checked by reading it; what it returns is looked at
 * and thrown away. So `1.0` stays `1.0`, 20-digit numbers keep their digits, members their order and their spelling.
 *
 * Always true: nothing here recurses, so nesting costs memory within the body limit and never the stack; whatever
 * JSON.parse throws becomes an EventError.
 */
import { isBase64 } from './attribute-syntax.ts';
import { attributeError, eventError, isEventError, missingAttribute, requiredAttributes } from './event.ts';
import type { Attributes, EventError } from './event.ts';

const strictUtf8 = new TextDecoder('utf-8', { fatal: true });

const smallestInteger = -(2 ** 31);
const largestInteger = 2 ** 31 - 1;

/** One event of a batch: its own bytes, without the white space around them. */
export interface BatchedEvent {
  readonly bytes: Buffer;
  readonly attributes: Attributes;
}

/**
 * The attributes of an event in JSON, once it is known to be valid.
 *
 * Members that hold null are absent. Members of the same name: the last one counts, as for JSON.parse. Integers and
 * booleans come as their canonical text; an integer outside of 32 bits is refused, as the specification and the Go SDK
 * do. A `null` in `data` or `data_base64` does not count as both being there: serializers write it for what is unset.
 *
 * @see CloudEvents JSON event format 1.0.2 §2.2, §3; for 0.3, §3.1 on `datacontentencoding`
 */
export function readJsonEvent(bytes: Buffer): Attributes | EventError {
  const parsed = parseJson(bytes);
  return 'error' in parsed ? parsed.error : readEventObject(parsed.json);
}

/**
 * The events of a JSON batch. One that is not valid makes the whole batch invalid; the reason begins with its place,
 * `batch[2]`. An empty batch is valid.
 *
 * @see CloudEvents JSON event format 1.0.2 §4; HTTP binding 1.0.2 §3.3.2 for the one specversion that all must share
 */
export function readJsonBatch(bytes: Buffer): readonly BatchedEvent[] | EventError {
  const parsed = parseJson(bytes);
  if ('error' in parsed) return parsed.error;
  if (!Array.isArray(parsed.json)) return wrongKind('body', 'a batch: a JSON array of events', parsed.json);
  const slices = jsonArrayElements(bytes);
  const events: BatchedEvent[] = [];
  for (const [index, element] of (parsed.json as unknown[]).entries()) {
    const attributes = readEventObject(element);
    if (isEventError(attributes)) return { attribute: attributes.attribute, reason: `batch[${index}]: ${attributes.reason}` };
    const first = events[0]?.attributes.get('specversion');
    const specversion = attributes.get('specversion')!;
    if (first !== undefined && specversion !== first) {
      return eventError('specversion', `batch[${index}] to have specversion ${first} like the events before it`, specversion);
    }
    events.push({ bytes: slices[index]!, attributes });
  }
  return events;
}

/**
 * The bytes of each element of a JSON array, without the white space around it.
 *
 * @param bytes an array that JSON.parse has accepted; for anything else the result means nothing
 */
export function jsonArrayElements(bytes: Buffer): readonly Buffer[] {
  return scanEntries(bytes, (value) => value);
}

/** One member of a JSON object, for those to whom the bytes matter. */
export interface JsonMember {
  /** Unescaped: `"\u0069d"` is `id`. */
  readonly name: string;
  /** As it stands in the object, without the white space around it. Shares memory with the object. */
  readonly value: Buffer;
}

/**
 * The members of a JSON object in their order, each with the bytes of its value; what is nested stays in its value.
 * Of members with the same name all are given, and for JSON.parse the last one counts.
 *
 * @param bytes an object that JSON.parse has accepted (`isJsonObject`); for anything else the result means nothing, and
 *              a broken name throws
 */
export function jsonObjectMembers(bytes: Buffer): readonly JsonMember[] {
  return scanEntries(bytes, (value, name) => ({ name, value }));
}

/** What the outermost array or object holds, one entry after the other. Elements of an array have no name: `''`. */
function scanEntries<T>(bytes: Buffer, entryOf: (value: Buffer, name: string) => T): readonly T[] {
  const entries: T[] = [];
  let depth = -1; // 0 between the brackets or braces of the outermost itself
  let name = '';
  let start = -1; // first byte of the name or value at hand
  let end = -1; // after its last byte so far
  for (let i = 0; i < bytes.length; i++) {
    switch (bytes[i]) {
      case 0x20: case 0x09: case 0x0a: case 0x0d: // white space between tokens
        continue;
      case 0x3a: // colon
        if (depth > 0) continue;
        name = JSON.parse(bytes.toString('utf8', start, end)) as string;
        start = -1;
        continue;
      case 0x2c: // comma
        if (depth > 0) continue;
        entries.push(entryOf(bytes.subarray(start, end), name));
        start = -1;
        continue;
      case 0x5b: case 0x7b: // [ {
        if (depth++ < 0) continue;
        break;
      case 0x5d: case 0x7d: // ] }
        if (--depth < 0) {
          if (start >= 0) entries.push(entryOf(bytes.subarray(start, end), name));
          return entries;
        }
        break;
      case 0x22: { // a string: on to its closing quote
        if (start < 0) start = i;
        i = closingQuote(bytes, i + 1);
        break;
      }
    }
    if (start < 0) start = i;
    end = i + 1;
  }
  return entries;
}

/** Names and most values are short: a call that searches by words costs more than looking at so many bytes. */
const shortStringBytes = 32;

/** @param start after the opening quote */
function closingQuote(bytes: Buffer, start: number): number {
  const shortEnd = Math.min(bytes.length, start + shortStringBytes);
  let i = start;
  for (; i < shortEnd && bytes[i] !== 0x22; i++) if (bytes[i] === 0x5c) i++;
  if (i < shortEnd) return i;
  for (let quote = bytes.indexOf(0x22, i); quote >= 0; quote = bytes.indexOf(0x22, quote + 1)) {
    let first = quote; // of the backslashes before it, of which the last one may escape it
    while (first > i && bytes[first - 1] === 0x5c) first--;
    if ((quote - first) % 2 === 0) return quote;
  }
  return bytes.length;
}

/** Whether this is a JSON object, in UTF-8 and without a byte order mark. Whether it is an event is not asked. */
export function isJsonObject(bytes: Buffer): boolean {
  const parsed = parseJson(bytes);
  return 'json' in parsed && typeof parsed.json === 'object' && parsed.json !== null && !Array.isArray(parsed.json);
}

function parseJson(bytes: Buffer): { readonly json: unknown } | { readonly error: EventError } {
  // RFC 8259 §8.1 leaves it to the reader; accepted it would be passed on to readers that do not expect it.
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
    return { error: eventError('body', 'JSON without a byte order mark') };
  }
  let text: string;
  try {
    text = strictUtf8.decode(bytes);
  } catch {
    return { error: eventError('body', 'JSON in UTF-8, got bytes that are not UTF-8') };
  }
  try {
    return { json: JSON.parse(text) };
  } catch (error) {
    // SyntaxError, or RangeError where the text is too deep or too long for the engine.
    return { error: { attribute: 'body', reason: `expected JSON: ${String(error).slice(0, 160)}` } };
  }
}

function readEventObject(json: unknown): Attributes | EventError {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return wrongKind('body', 'an event: a JSON object', json);
  const members = json as Record<string, unknown>;
  const specversion = typeof members['specversion'] === 'string' ? members['specversion'] : '';
  const attributes = new Map<string, string>();
  for (const name of Object.keys(members)) {
    if (name === 'data' || name === 'data_base64') continue;
    const value = members[name];
    if (value === null) continue;
    const text = typeof value === 'string' ? value : attributeText(name, value, specversion);
    if (typeof text !== 'string') return text;
    const error = attributeError(name, text, specversion);
    if (error !== undefined) return error;
    attributes.set(name, text);
  }
  for (const name of requiredAttributes) if (!attributes.has(name)) return missingAttribute(name);
  return dataError(members, attributes) ?? attributes;
}

/** The canonical text of a value that is not a string: extensions may be booleans and integers, core attributes not. */
function attributeText(name: string, value: unknown, specversion: string): string | EventError {
  if (isCoreAttribute(name, specversion)) return wrongKind(name, 'a string', value);
  if (typeof value === 'boolean') return String(value);
  if (typeof value !== 'number') return wrongKind(name, 'a string, a boolean or an integer', value);
  if (!Number.isInteger(value) || value < smallestInteger || value > largestInteger) {
    return wrongKind(name, 'an integer of 32 bits (other numbers as a string)', value);
  }
  return String(value);
}

function isCoreAttribute(name: string, specversion: string): boolean {
  switch (name) {
    case 'specversion': case 'id': case 'source': case 'type': case 'subject': case 'time': case 'datacontenttype':
      return true;
    case 'dataschema':
      return specversion !== '0.3';
    case 'schemaurl': case 'datacontentencoding':
      return specversion === '0.3';
    default:
      return false;
  }
}

function dataError(members: Record<string, unknown>, attributes: Attributes): EventError | undefined {
  const data = members['data'] ?? undefined;
  const base64 = members['data_base64'] ?? undefined;
  if (base64 !== undefined) {
    if (data !== undefined) return eventError('data', 'either data or data_base64, got both');
    if (typeof base64 !== 'string') return wrongKind('data_base64', 'a base64 string', base64);
    return isBase64(base64) ? undefined : eventError('data_base64', 'base64 in the standard alphabet, padded', base64);
  }
  // 0.3 had no data_base64; it says in an attribute that data is base64 text.
  const isEncoded = data !== undefined && attributes.get('specversion') === '0.3' && attributes.get('datacontentencoding')?.toLowerCase() === 'base64';
  if (!isEncoded) return undefined;
  if (typeof data !== 'string') return wrongKind('data', 'a base64 string, as datacontentencoding says', data);
  return isBase64(data) ? undefined : eventError('data', 'base64 in the standard alphabet, padded, as datacontentencoding says', data);
}

function wrongKind(attribute: string, expected: string, json: unknown): EventError {
  if (typeof json === 'string') return eventError(attribute, expected, json);
  const got = Array.isArray(json) ? 'an array' : typeof json === 'object' && json !== null ? 'an object' : String(json);
  return { attribute, reason: `expected ${expected}, got ${got}` };
}
