/**
 * HOT PATH of a KafkaSource: any record of any topic as an event.
 *
 * A channel's topic holds what our receiver stored; a KafkaSource reads what anybody wrote. What is a valid CloudEvent
 * stays the event that it is. Everything else becomes one of type `dev.knative.kafka.event`, with the record's value as
 * data and its key and headers as extensions.
 *
 * Always true: every record becomes an event that receivers of CloudEvents take, whatever bytes are in it, and nothing
 * throws. The same record gives the same event, so that a retry sends what the first attempt sent: nothing here asks
 * for the time. Data is passed on as the very bytes of the value.
 */
import {
  attributeError, contentMode, decodeKafkaEvent, isEventError, isReadableJson, isTransportValue, jsonObjectMembers, readJsonEvent, transportName, withExtensions,
  type Attributes, type IncomingRecord, type KeyType, type NamedTexts, type StoredEvent, type TopicPartition,
} from '@knative-kafka/common/core';
import { headerExtensions, keyText } from './record-attributes.ts';

type BinaryEvent = Extract<StoredEvent, { mode: 'binary' }>;
type StructuredEvent = Extract<StoredEvent, { mode: 'structured' }>;

/** What a KafkaSource says about its events. */
export interface EventSource {
  readonly namespace: string;
  readonly name: string;
  readonly keyType: KeyType;
  /** As `overridingExtensions` returns them; they win over what the event has. */
  readonly extensions: NamedTexts;
}

const plainType = 'dev.knative.kafka.event';
const specversion = ['specversion', '1.0'] as const;
const type = ['type', plainType] as const;

/** Kafka's -1 for a record without timestamp is below, year 10000 beyond; RFC 3339 has four digits for a year. */
const latestTimestampMs = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** The names with a meaning of their own in specversion 1.0 or 0.3. */
const coreAttributes: ReadonlySet<string> = new Set([
  'specversion', 'id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'dataschema', 'schemaurl', 'datacontentencoding',
]);

/**
 * `spec.ceOverrides.extensions` as extensions. Left out is what would make events invalid: names that no extension may
 * have (other than a-z and 0-9, or one of the specification's own), and empty texts, which no header can hold.
 */
export function overridingExtensions(extensions: Readonly<Record<string, string>> | undefined): NamedTexts {
  return Object.entries(extensions ?? {}).filter(([name, text]) => {
    return text !== '' && !coreAttributes.has(name) && attributeError(name, text, '1.0') === undefined;
  });
}

/**
 * The event of a record.
 *
 * A record is a CloudEvent when it has the header `ce_specversion` (or `ce-specversion`) or a structured content type,
 * and when it keeps the rules that our receiver asks of requests; structured events in other formats than JSON are not
 * looked into. It stays as it is, byte for byte, in its content mode; record key and other headers are not added to it.
 *
 * What claims to be a CloudEvent and breaks those rules (no id, a specversion of 2.0, a time that is none, a batch) is
 * a plain record: subscribers would refuse the event it claims to be, and it would be lost. Its `ce_` headers are in
 * `kafkaheaderce…`, a content type of CloudEvents in `kafkaheadercontenttype`.
 *
 * A plain record becomes:
 *
 * | attribute | from |
 * | --- | --- |
 * | `id` | `partition:<partition>/offset:<offset>`; unique within a topic, which `source` names |
 * | `source` | `/apis/v1/namespaces/<namespace>/kafkasources/<name>#<topic>` |
 * | `type` | `dev.knative.kafka.event` |
 * | `subject` | `partition:<partition>#<offset>` |
 * | `time` | the record's timestamp in UTC; absent for none (-1) and for one that RFC 3339 cannot express |
 * | `datacontenttype` | the last `content-type` header, in lower case; one that is no media type is a header like others |
 * | `key`, `partitionkey` | the key (`keyText`), both; absent for no key and for an empty one |
 * | `kafkaheader<name>` | every other header (`headerExtensions`) |
 * | data | the value; none where it is null (a tombstone) |
 *
 * Every event gets `knativekafkapartition` and `knativekafkaoffset`, in the place of those it may have from an earlier
 * topic, and then the source's own extensions. In structured JSON the two are numbers, an offset beyond 32 bits (no
 * Integer of CloudEvents) is a string; formats that are not read here get all of these as headers beside the event.
 * Trace context and other transport headers travel along, whatever the record is.
 *
 * @param place where the record was read
 * @returns data and body share memory with the record's value
 * @see CloudEvents Kafka binding 1.0.2 §3; Knative's KafkaSource for the mapping of plain records
 */
export function sourceEvent(record: IncomingRecord, place: TopicPartition, source: EventSource): StoredEvent {
  if (claimsToBeEvent(record)) {
    const event = decodeKafkaEvent(record.headers, record.value);
    if (!isEventError(event)) {
      const extended = event.mode === 'binary' ? extendedBinary(event, placeExtensions(place, record), source) : extendedStructured(event, placeExtensions(place, record), source);
      if (extended !== undefined) return extended;
    }
  }
  return plainEvent(record, place, source);
}

/** Without one of these headers no record is an event; most plain records are told by this alone. */
function claimsToBeEvent({ headers }: IncomingRecord): boolean {
  for (let i = 0; i < headers.length; i++) {
    const [name, value] = headers[i]!;
    if (name.length === 14 && isSpecversionName(name)) return true;
    if (isContentTypeName(name) && contentMode(value.toString().trim()) !== 'binary') return true;
  }
  return false;
}

function isSpecversionName(name: string): boolean {
  if (name === 'ce_specversion') return true;
  const lower = name.toLowerCase();
  return lower === 'ce_specversion' || lower === 'ce-specversion';
}

function isContentTypeName(name: string): boolean {
  return name.length === 12 && (name === 'content-type' || name.toLowerCase() === 'content-type');
}

/** @returns undefined when it is no valid event */
function extendedBinary(event: BinaryEvent, place: PlaceExtensions, source: EventSource): StoredEvent | undefined {
  const { attributes, contentType } = event;
  const version = attributes.find(([name]) => name === 'specversion')![1];
  for (const [name, text] of attributes) if (attributeError(name, text, version) !== undefined) return undefined;
  if (contentType !== undefined && attributeError('datacontenttype', contentType, version) !== undefined) return undefined;
  return { ...event, attributes: withOverrides([...attributes], [...place, ...source.extensions]) };
}

/** @returns undefined when it is no valid event */
function extendedStructured(event: StructuredEvent, place: PlaceExtensions, source: EventSource): StoredEvent | undefined {
  if (attributeError('datacontenttype', event.contentType, '1.0') !== undefined) return undefined;
  // Of equal names the first counts there.
  if (!isReadableJson(event.contentType)) return withExtensions(event, [...source.extensions, ...place]);
  const attributes = readJsonEvent(event.body);
  if (isEventError(attributes)) return undefined;
  const members = new Map(place.map(([name, digits]) => [name, jsonInteger(digits)]));
  for (const [name, text] of source.extensions) members.set(name, JSON.stringify(text));
  return { ...event, body: withMembers(event.body, attributes, members) };
}

type Extension = NamedTexts[number];
type PlaceExtensions = readonly [Extension, Extension];

/** Where the record came from, in digits: partition and offset. */
function placeExtensions({ partition }: TopicPartition, { offset }: IncomingRecord): PlaceExtensions {
  return [['knativekafkapartition', String(partition)], ['knativekafkaoffset', String(offset)]];
}

function jsonInteger(digits: string): string {
  return Number(digits) < 2 ** 31 ? digits : `"${digits}"`;
}

/** Puts extensions at the place of the attributes of the same name, and the others at the end. */
function withOverrides(attributes: (readonly [string, string])[], extensions: NamedTexts): NamedTexts {
  for (let i = 0; i < extensions.length; i++) {
    const extension = extensions[i]!;
    const place = attributes.findIndex(([name]) => name === extension[0]);
    if (place < 0) attributes.push(extension);
    else attributes[place] = extension;
  }
  return attributes;
}

/**
 * A JSON object with some members set: values that are there are exchanged where they stand, the others follow before
 * the closing brace. All other bytes stay.
 *
 * @param present the object's attributes; members that hold null are not among them, and what follows them counts
 * @param members name to JSON text; names of a-z and 0-9
 */
function withMembers(object: Buffer, present: Attributes, members: ReadonlyMap<string, string>): Buffer {
  const parts: Buffer[] = [];
  let end = 0;
  let added = '';
  let mustExchange = false;
  for (const [name, json] of members) {
    if (present.has(name)) mustExchange = true;
    else added += `,"${name}":${json}`;
  }
  if (mustExchange) {
    for (const { name, value } of jsonObjectMembers(object)) {
      const json = members.get(name);
      if (json === undefined) continue;
      const start = value.byteOffset - object.byteOffset;
      parts.push(object.subarray(end, start), Buffer.from(json));
      end = start + value.length;
    }
  }
  const brace = object.lastIndexOf(0x7d); // after the closing brace there is only white space
  parts.push(object.subarray(end, brace), Buffer.from(added), object.subarray(brace));
  return Buffer.concat(parts);
}

function plainEvent(record: IncomingRecord, at: TopicPartition, source: EventSource): StoredEvent {
  const place = placeExtensions(at, record);
  const partition = place[0][1];
  const offset = place[1][1];
  const key = keyText(record.key, source.keyType);
  const time = timeText(record.timestampMs);
  const { contentType, extensions, transport } = readHeaders(record.headers);
  const attributes: (readonly [string, string])[] = [
    specversion,
    ['id', `partition:${partition}/offset:${offset}`],
    ['source', `/apis/v1/namespaces/${source.namespace}/kafkasources/${source.name}#${at.topic}`],
    type,
    ['subject', `partition:${partition}#${offset}`],
  ];
  if (time !== undefined) attributes.push(['time', time]);
  if (key !== undefined) attributes.push(['key', key], ['partitionkey', key]);
  for (let i = 0; i < extensions.length; i++) attributes.push(extensions[i]!);
  // No header is called like one of these two: all that came so far have names of their own.
  attributes.push(place[0], place[1]);
  return { mode: 'binary', attributes: withOverrides(attributes, source.extensions), contentType, data: record.value, transport };
}

/** @returns undefined where there is no time or none that RFC 3339 has a notation for */
function timeText(timestampMs: number): string | undefined {
  return timestampMs >= 0 && timestampMs <= latestTimestampMs ? new Date(timestampMs).toISOString() : undefined;
}

const noHeaders: ReturnType<typeof readHeaders> = { contentType: undefined, extensions: [], transport: [] };

/** A plain record's headers; those that travel beside the event are extensions as well, because subscribers may look for them there. */
function readHeaders(headers: IncomingRecord['headers']): { readonly contentType: string | undefined; readonly extensions: NamedTexts; readonly transport: NamedTexts } {
  if (headers.length === 0) return noHeaders;
  const others: (readonly [string, Buffer])[] = [];
  const transport: (readonly [string, string])[] = [];
  let contentType: string | undefined;
  for (let i = 0; i < headers.length; i++) {
    const header = headers[i]!;
    const [rawName, value] = header;
    const mediaType = isContentTypeName(rawName) ? plainContentType(value) : undefined;
    if (mediaType !== undefined) {
      contentType = mediaType;
      continue;
    }
    others.push(header);
    const passedName = transportName(rawName);
    if (passedName === undefined) continue;
    const text = value.toString();
    if (isTransportValue(text)) transport.push([passedName, text]);
  }
  return { contentType, extensions: headerExtensions(others), transport };
}

/** @returns undefined for what is no media type, and for those of CloudEvents: over HTTP they would say that the data is an event */
function plainContentType(value: Buffer): string | undefined {
  const mediaType = value.toString().trim().toLowerCase();
  return contentMode(mediaType) === 'binary' && attributeError('datacontenttype', mediaType, '1.0') === undefined ? mediaType : undefined;
}

/**
 * The event of a record as a record of its own, by the Kafka binding: for topics whose readers know nothing of the
 * KafkaSource. Key, place and time are those of the record.
 */
export function eventRecord(event: StoredEvent, { offset, key, timestampMs }: IncomingRecord): IncomingRecord {
  const texts: NamedTexts = [
    ...(event.mode === 'binary' ? event.attributes.map(([name, text]) => [`ce_${name}`, text] as const) : []),
    ...(event.contentType === undefined ? [] : [['content-type', event.contentType] as const]),
    ...event.transport,
  ];
  const headers = texts.map(([name, text]) => [name, Buffer.from(text)] as const);
  return { offset, key, value: event.mode === 'binary' ? event.data : event.body, headers, timestampMs };
}
