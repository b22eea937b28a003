/**
 * CloudEvents in Kafka records: reading them back. Writing is the other half of http-binding.ts, whose `DecodedEvent`
 * is already the record: `ce_<name>` and `content-type` headers with the data as value, or `content-type` and the
 * whole event.
 *
 * Reading accepts more than we write, because topics outlive their writers: names in any case, `ce-` for `ce_` as
 * former versions of knative-kafka had it, and the `ce_datacontenttype` of the JavaScript SDK.
 *
 * Always true: values are taken as they are, without percent-decoding and without looking at the data.
 */
import { contentMode } from './content-mode.ts';
import { attributeError, eventError, frequentAttributes, missingAttribute, requiredAttributes } from './event.ts';
import type { EventError, StoredEvent } from './event.ts';
import { isTransportValue, transportName } from './transport-headers.ts';

/**
 * The event in a record.
 *
 * A content type of CloudEvents makes it structured, whatever `ce_` headers repeat; which format it is does not matter
 * for passing it on, so Avro or Protobuf written by others is delivered too, and no format is checked again here. Only
 * batches are refused: the binding has none, and over HTTP the record would turn into several events. Otherwise the
 * record is binary, and it is an event when the four required attributes are there and its specversion is known.
 *
 * Of headers with the same name the last counts, at the place of the first. An empty one is absent.
 *
 * @param headers values as Kafka has them (UTF-8), or as text, so that a `DecodedEvent` can be delivered without Kafka
 * @param value   `null` in a binary record is an event without data (a tombstone, in a compacted topic)
 * @returns       EventError when the record is not an event; a KafkaSource makes one of it then
 * @see CloudEvents Kafka binding 1.0.2 §3
 */
export function decodeKafkaEvent(headers: readonly (readonly [name: string, value: Buffer | string])[], value: Buffer | null): StoredEvent | EventError {
  const attributes: [string, string][] = [];
  const transport: [string, string][] = [];
  let places: Map<string, number> | undefined;
  let contentType: string | undefined;
  let attributeContentType: string | undefined;
  for (let i = 0; i < headers.length; i++) {
    const header = headers[i]!;
    const rawName = header[0];
    const name = knownHeaders.get(rawName) ?? attributeName(rawName);
    if (name !== undefined) {
      const text = textOf(header[1]);
      if (text === '') continue;
      if (name === 'datacontenttype') attributeContentType = text;
      else if (attributes.length < fewAttributes) setLast(attributes, name, text);
      else setLastOfMany(attributes, (places ??= placesOf(attributes)), name, text);
    } else if (rawName.length === 12 && rawName.toLowerCase() === 'content-type') {
      contentType = textOf(header[1]).trim() || contentType;
    } else {
      const passedName = transportName(rawName);
      if (passedName === undefined) continue;
      const text = textOf(header[1]);
      if (isTransportValue(text)) transport.push([passedName, text]);
    }
  }

  const mode = contentMode(contentType);
  if (contentType !== undefined && mode !== 'binary') {
    if (mode === 'batch') return eventError('content-type', 'one event in a record', contentType);
    if (value === null || value.length === 0) return eventError('body', 'an event in the value of a structured record, got none');
    return { mode: 'structured', contentType, body: value, transport };
  }
  for (const name of requiredAttributes) {
    const text = find(attributes, name);
    if (text === undefined) return missingAttribute(name);
    const error = name === 'specversion' ? attributeError(name, text, text) : undefined;
    if (error !== undefined) return error;
  }
  // The content type is the mode over HTTP: a structured one that was only an attribute must not become it.
  if (contentType === undefined && attributeContentType !== undefined && contentMode(attributeContentType) === 'binary') {
    contentType = attributeContentType;
  }
  return { mode: 'binary', attributes, contentType, data: value, transport };
}

const knownHeaders: ReadonlyMap<string, string> = new Map(frequentAttributes.map((name) => [`ce_${name}`, name]));

/** @returns undefined when the header is not an attribute's */
function attributeName(rawName: string): string | undefined {
  if ((rawName.charCodeAt(0) | 0x20) !== 0x63 || (rawName.charCodeAt(1) | 0x20) !== 0x65) return undefined;
  const separator = rawName.charCodeAt(2);
  if (separator !== 0x5f && separator !== 0x2d) return undefined;
  const name = rawName.slice(3).toLowerCase();
  // `data` is reserved: it is the record's value, and no attribute may hide it.
  return name === '' || name === 'data' ? undefined : name;
}

function setLast(attributes: [string, string][], name: string, text: string): void {
  for (let i = 0; i < attributes.length; i++) {
    if (attributes[i]![0] === name) {
      attributes[i]![1] = text;
      return;
    }
  }
  attributes.push([name, text]);
}

/** Up to here a look at each is fastest. Events have a dozen, but whoever writes to a topic can write 50,000. */
const fewAttributes = 32;

function placesOf(attributes: readonly (readonly [string, string])[]): Map<string, number> {
  return new Map(attributes.map(([name], place) => [name, place]));
}

function setLastOfMany(attributes: [string, string][], places: Map<string, number>, name: string, text: string): void {
  const place = places.get(name);
  if (place !== undefined) attributes[place]![1] = text;
  else places.set(name, attributes.push([name, text]) - 1);
}

function find(attributes: readonly [string, string][], name: string): string | undefined {
  for (let i = 0; i < attributes.length; i++) if (attributes[i]![0] === name) return attributes[i]![1];
  return undefined;
}

function textOf(value: Buffer | string): string {
  return typeof value === 'string' ? value : value.toString();
}
