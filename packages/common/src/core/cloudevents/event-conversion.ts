/**
 * A stored event in another form: with further attributes, or in the other content mode.
 *
 * Events pass as bytes, in the mode in which they came (ADR 0003). Two wishes of a Subscription go beyond that: a dead
 * letter sink is told of the error in attributes of the event, and a subscriber may ask for one content mode.
 *
 * Always true: data is copied or packed in base64, never written anew, so JSON keeps its digits, its order and its
 * spelling. What the other form cannot hold exactly is not bent to fit: the event stays as it is. Transport headers
 * stay. Nothing throws, whatever is in the event, as long as its text fits into one string of the engine (512 MB).
 */
import { isBase64, isUtf8Charset, mediaTypeCharsets, mediaTypeEssence } from './attribute-syntax.ts';
import { contentMode } from './content-mode.ts';
import { isEventError } from './event.ts';
import type { Attributes, NamedTexts, StoredEvent } from './event.ts';
import { isJsonObject, jsonObjectMembers, readJsonEvent } from './json-format.ts';

type BinaryEvent = Extract<StoredEvent, { mode: 'binary' }>;

const structuredJson = 'application/cloudevents+json';
/** In lower case: the JavaScript SDK compares the whole text, and refuses `charset=UTF-8`. */
const structuredJsonUtf8 = `${structuredJson}; charset=utf-8`;

/** A byte order mark is part of the data, so it is not taken off. */
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The event with further extension attributes. One that the event already has is kept as it is: of dead letter sinks in
 * a chain, the last still sees the first error.
 *
 * Binary: they are added after the other attributes. Structured in JSON: they become string members before the closing
 * brace; all other bytes stay. There a member that holds null counts as absent. It stays too, and what is added behind
 * it is what readers see, since for them the last of two members counts.
 *
 * Structured in a format that is not read here (Avro, Protobuf), or with a body that is no JSON object in UTF-8: the
 * body stays and they become transport headers `ce-<name>`. They are then not attributes (in structured mode the body
 * alone says what those are), but whoever looks at the request finds them.
 *
 * @param extensions names in lower case, none of them the specification's own; of equal names the first is taken
 * @returns          the same event when there is nothing to add
 * @see CloudEvents JSON event format 1.0.2 §2
 */
export function withExtensions(event: StoredEvent, extensions: NamedTexts): StoredEvent {
  if (event.mode === 'binary') {
    const added = absentOf(extensions, namesOf(event.attributes));
    return added.length === 0 ? event : { ...event, attributes: [...event.attributes, ...added] };
  }
  if (!isReadableJson(event.contentType) || !isJsonObject(event.body)) {
    const added = absentOf(extensions.map(([name, value]) => [`ce-${name}`, value]), namesOf(event.transport));
    return added.length === 0 ? event : { ...event, transport: [...event.transport, ...added] };
  }
  const members = effectiveMembers(event.body);
  const present = new Set<string>();
  for (const [name, value] of members) if (!isNull(value)) present.add(name);
  const added = absentOf(extensions, present);
  if (added.length === 0) return event;
  const brace = event.body.lastIndexOf(0x7d); // after the closing brace there is only white space
  const inserted = `${members.size === 0 ? '' : ','}${added.map(([name, value]) => jsonMember(name, value)).join(',')}`;
  return { ...event, body: Buffer.concat([event.body.subarray(0, brace), Buffer.from(inserted), event.body.subarray(brace)]) };
}

function namesOf(texts: NamedTexts): Set<string> {
  return new Set(texts.map(([name]) => name));
}

function absentOf(extensions: NamedTexts, present: Set<string>): NamedTexts {
  const taken = new Set(present);
  return extensions.filter(([name]) => {
    if (taken.has(name)) return false;
    taken.add(name);
    return true;
  });
}

/**
 * The event as one JSON document. A structured event is returned as it is, whatever its format.
 *
 * Attributes become strings in their order, the content type becomes `datacontenttype`. Left out are attributes called
 * `data` and `data_base64`, which only a record written by others can hold: they would take the place of the data.
 *
 * The data is, depending on its content type (none counts as JSON, as the format has it):
 * - JSON: its bytes, white space around them included, as `data`. JSON `null` goes as base64, because readers take
 *   null for no data.
 * - text in UTF-8: a string in `data`.
 * - everything else, JSON and text included that are not what they claim or name another charset: `data_base64`; for
 *   specversion 0.3, which has none, base64 in `data` with `datacontentencoding`.
 *
 * An event of 0.3 may come with a `datacontentencoding`; then its data is that text already and becomes `data` as it
 * is. Where base64 is claimed and the data is not, the claim is dropped. With another encoding and data that is not
 * UTF-8, the event is returned as it is, in binary mode: JSON has no place for it.
 *
 * @see CloudEvents JSON event format 1.0.2 §2.2, §3.1; for 0.3, §3.1
 */
export function toStructured(event: StoredEvent): StoredEvent {
  if (event.mode === 'structured') return event;
  const isOld = textOf(event.attributes, 'specversion') === '0.3';
  const encoding = isOld ? textOf(event.attributes, 'datacontentencoding') : undefined;
  const data = jsonData(event, encoding);
  if (data === undefined) return event;

  const members: string[] = [];
  for (const [name, value] of event.attributes) {
    if (name === 'data' || name === 'data_base64' || name === 'datacontenttype') continue;
    const isFalseClaim = isOld && name === 'datacontentencoding' && isBase64Name(value) && data?.isBase64 === false;
    if (!isFalseClaim) members.push(jsonMember(name, value));
  }
  if (event.contentType !== undefined) members.push(jsonMember('datacontenttype', event.contentType));
  const parts: Buffer[] = [];
  if (data !== null) {
    if (isOld && data.isBase64 && encoding === undefined) members.push(jsonMember('datacontentencoding', 'base64'));
    members.push(data.isBase64 && !isOld ? '"data_base64":' : '"data":');
    parts.push(data.json);
  }
  const body = Buffer.concat([Buffer.from(`{${members.join(',')}`), ...parts, Buffer.from('}')]);
  return { mode: 'structured', contentType: structuredJsonUtf8, body, transport: event.transport };
}

/** Data as the bytes of a JSON value, and whether that is a base64 string. */
interface JsonData {
  readonly json: Buffer;
  readonly isBase64: boolean;
}

/** @returns null for no data, undefined when JSON cannot hold it under its `datacontentencoding` */
function jsonData({ data, contentType }: BinaryEvent, encoding: string | undefined): JsonData | null | undefined {
  if (data === null) return null;
  if (encoding !== undefined) {
    const text = utf8Text(data);
    if (!isBase64Name(encoding)) return text === undefined ? undefined : { json: jsonString(text), isBase64: false };
    if (text !== undefined && isBase64(text)) return { json: jsonString(text), isBase64: true };
  }
  if (isUtf8(contentType)) {
    if (isJson(contentType)) {
      if (isJsonOtherThanNull(data)) return { json: data, isBase64: false };
    } else if (isText(contentType)) {
      const text = utf8Text(data);
      if (text !== undefined) return { json: jsonString(text), isBase64: false };
    }
  }
  return { json: Buffer.from(`"${data.toString('base64')}"`), isBase64: true };
}

function isJsonOtherThanNull(bytes: Buffer): boolean {
  const text = utf8Text(bytes);
  if (text === undefined) return false;
  try {
    return JSON.parse(text) !== null;
  } catch {
    return false;
  }
}

/** @returns undefined when the bytes are not UTF-8 */
function utf8Text(bytes: Buffer): string | undefined {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/**
 * The event with its attributes beside its data. A binary event is returned as it is.
 *
 * Attributes become text: integers and booleans in their canonical form, null is absent. So is empty text: in binary
 * mode an empty attribute is none, over HTTP as in Kafka. `datacontenttype` becomes the content type.
 *
 * The data is, depending on its content type (none counts as JSON):
 * - `data_base64`, and `data` that 0.3 declares as base64: decoded. The `datacontentencoding` is then gone.
 * - `data` with a content type of JSON: the bytes as they stand in the body. Without one, it becomes `application/json`.
 * - `data` that is a string with any other content type: its text in UTF-8. What is not a string: the bytes as they stand.
 *
 * Returned as it is: an event in another format, one that `readJsonEvent` refuses, and one that binary mode cannot
 * express, because its `datacontenttype` would announce a structured event, or a charset that the bytes are not in, or
 * because its text holds half a surrogate pair, for which UTF-8 has no bytes.
 *
 * @returns data may share memory with the body
 * @see CloudEvents 1.0.2 "datacontenttype" for the implied content type; JSON event format 1.0.2 §2.2, §3.1
 */
export function toBinary(event: StoredEvent): StoredEvent {
  if (event.mode === 'binary' || !isReadableJson(event.contentType)) return event;
  const attributes = readJsonEvent(event.body);
  if (isEventError(attributes)) return event;
  const declared = attributes.get('datacontenttype');
  if (contentMode(declared) !== 'binary') return event;
  const data = binaryData(effectiveMembers(event.body), attributes);
  if (data === undefined) return event;

  const isDecoded = encodingOf(attributes) === 'base64';
  const kept: [string, string][] = [];
  for (const [name, value] of attributes) {
    if (name === 'datacontenttype' || value === '' || (isDecoded && name === 'datacontentencoding')) continue;
    kept.push([name, value]);
  }
  const contentType = declared ?? (data?.isJson === true ? 'application/json' : undefined);
  return { mode: 'binary', attributes: kept, contentType, data: data === null ? null : data.bytes, transport: event.transport };
}

/** @returns null for no data, undefined when there are no bytes that would be right under its content type */
function binaryData(members: ReadonlyMap<string, Buffer>, attributes: Attributes): { bytes: Buffer; isJson: boolean } | null | undefined {
  const base64 = members.get('data_base64');
  if (base64 !== undefined && !isNull(base64)) return { bytes: Buffer.from(parsedString(base64), 'base64'), isJson: false };
  const data = members.get('data');
  if (data === undefined || isNull(data)) return null;
  const encoding = encodingOf(attributes);
  if (encoding === 'base64') return { bytes: Buffer.from(parsedString(data), 'base64'), isJson: false };

  const contentType = attributes.get('datacontenttype');
  if (!isUtf8(contentType)) return undefined;
  const isString = data[0] === 0x22;
  if (!isString || (isJson(contentType) && encoding === undefined)) return { bytes: data, isJson: true };
  const text = parsedString(data);
  return text.isWellFormed() ? { bytes: Buffer.from(text), isJson: false } : undefined;
}

/** How 0.3 says that `data` is encoded, in lower case; in 1.0 that is an extension like any other. */
function encodingOf(attributes: Attributes): string | undefined {
  return attributes.get('specversion') === '0.3' ? attributes.get('datacontentencoding')?.toLowerCase() || undefined : undefined;
}

/** Name to the bytes of its value, the last one where there are several. Only for what `isJsonObject` accepts. */
function effectiveMembers(body: Buffer): ReadonlyMap<string, Buffer> {
  return new Map(jsonObjectMembers(body).map(({ name, value }) => [name, value]));
}

/** By its first letter: no other JSON value begins with an n. */
function isNull(value: Buffer): boolean {
  return value[0] === 0x6e;
}

/** Of a JSON value that is known to be a string. */
function parsedString(value: Buffer): string {
  return JSON.parse(value.toString()) as string;
}

function jsonMember(name: string, value: string): string {
  return `${JSON.stringify(name)}:${JSON.stringify(value)}`;
}

function jsonString(text: string): Buffer {
  return Buffer.from(JSON.stringify(text));
}

function textOf(texts: NamedTexts, name: string): string | undefined {
  return texts.find((text) => text[0] === name)?.[1];
}

function isBase64Name(encoding: string): boolean {
  return encoding.toLowerCase() === 'base64';
}

/** Whether a structured event of this content type is JSON in UTF-8, the one format that is read and written here. */
export function isReadableJson(contentType: string): boolean {
  return mediaTypeEssence(contentType) === structuredJson && isUtf8(contentType);
}

/** Whether a content type declares JSON; none does, in the JSON format. @see CloudEvents JSON event format 1.0.2 §3.1 */
function isJson(contentType: string | undefined): boolean {
  if (contentType === undefined) return true;
  const essence = mediaTypeEssence(contentType);
  return essence.endsWith('/json') || essence.endsWith('+json');
}

const textTypes: ReadonlySet<string> = new Set([
  'xml', 'javascript', 'ecmascript', 'yaml', 'x-yaml', 'toml', 'graphql', 'sql', 'x-ndjson', 'x-www-form-urlencoded',
].map((subtype) => `application/${subtype}`));

/** Whether people would read it in an editor. A type that is missing here costs its readers a base64 decoding, no more. */
function isText(contentType: string | undefined): boolean {
  if (contentType === undefined) return false;
  const essence = mediaTypeEssence(contentType);
  return essence.startsWith('text/') || essence.endsWith('+xml') || essence.endsWith('+yaml') || textTypes.has(essence);
}

/** Whether a content type leaves bytes to be UTF-8: it names no charset, or UTF-8, or its subset us-ascii. */
function isUtf8(contentType: string | undefined): boolean {
  return contentType === undefined || mediaTypeCharsets(contentType).every(isUtf8Charset);
}
