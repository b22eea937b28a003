/**
 * What the two bindings share: an event's attributes as text, and the rules a valid event keeps.
 *
 * Attributes are text because they are only ever checked, never interpreted: a time keeps its nanoseconds and its
 * zone, a number its digits. Data is bytes and is not looked at.
 *
 * Always true: checking changes nothing. What is accepted is stored and delivered as it came; what is not accepted is
 * refused with the attribute's name, never repaired (no invented id, no time set to now).
 */
import { isMediaType, isTimestamp, isUri, isUriReference } from './attribute-syntax.ts';

/** Attribute name to its canonical text. `datacontenttype` is among them; `data` is not. */
export type Attributes = ReadonlyMap<string, string>;

/** Why something is not a CloudEvent: what is at fault and a sentence for the sender. */
export interface EventError {
  /** An attribute's name, or `data`, `body`, `content-type` where no single attribute is to blame. */
  readonly attribute: string;
  /** What was expected and what came, clipped. */
  readonly reason: string;
}

/** Name and value in the order they came. */
export type NamedTexts = readonly (readonly [name: string, value: string])[];

/**
 * An event between its record and its request, in the content mode it was sent in.
 *
 * `transport` is what travels with an event without being part of it (transport-headers.ts), names in lower case.
 */
export type StoredEvent =
  | {
      readonly mode: 'binary';
      /** Names without prefix, in lower case, each once; `datacontenttype` is not among them but in `contentType`. */
      readonly attributes: NamedTexts;
      readonly contentType: string | undefined;
      /** `null` for an event without data. */
      readonly data: Buffer | null;
      readonly transport: NamedTexts;
    }
  | {
      readonly mode: 'structured';
      readonly contentType: string;
      /** The whole event in the format that `contentType` names. */
      readonly body: Buffer;
      readonly transport: NamedTexts;
    };

export function isEventError(value: object): value is EventError {
  return 'reason' in value;
}

/** The four without which there is no event, in the order in which a missing one is reported. */
export const requiredAttributes = ['specversion', 'id', 'source', 'type'] as const;

/** The names an ordinary event has; the bindings keep their header names ready, so that such an event makes no new strings. */
export const frequentAttributes = [
  'specversion', 'id', 'source', 'type', 'subject', 'time', 'dataschema', 'partitionkey', 'traceparent', 'tracestate', 'knativearrivaltime',
] as const;

const clippedLength = 80;
const longestName = 256;

/** What a sender reads: what should have been there and what was; name and value clipped to 80 characters. */
export function eventError(attribute: string, expected: string, got?: string): EventError {
  return { attribute: attribute.slice(0, clippedLength), reason: got === undefined ? `expected ${expected}` : `expected ${expected}, got ${shown(got)}` };
}

/** As JSON text, so that control characters and lone surrogates reach a log or a response in a readable form. */
function shown(text: string): string {
  return text.length > clippedLength ? `${JSON.stringify(text.slice(0, clippedLength))}...` : JSON.stringify(text);
}

export function missingAttribute(name: string): EventError {
  return eventError(name, `the required attribute ${name}, got none`);
}

/**
 * Whether one attribute keeps the rules of its specification version.
 *
 * The rules are those of the Go SDK's `event.Validate`, because that is what Knative's own channels refuse: ours must
 * not store what another would have sent back. Beyond them a timestamp may name a leap second, as RFC 3339 allows.
 * Extensions may hold any text; a name of up to 256 characters passes although the specification advises 20.
 *
 * @param name        in lower case, as the caller already needs it to tell duplicates
 * @param value       canonical text, decoded from its transport
 * @param specversion the event's; decides whether `dataschema` or `schemaurl` is the URI with rules
 * @returns           undefined when there is nothing to object to
 * @see CloudEvents 1.0.2 "Naming Conventions", "REQUIRED Attributes", "OPTIONAL Attributes"; 0.3 for `schemaurl`
 */
export function attributeError(name: string, value: string, specversion: string): EventError | undefined {
  switch (name) {
    case 'specversion':
      return value === '1.0' || value === '0.3' ? undefined : eventError(name, 'specversion 1.0 or 0.3', value);
    case 'id':
    case 'type':
    case 'subject':
      return isBlank(value) ? eventError(name, 'a non-empty string', value) : undefined;
    case 'source':
      return value !== '' && isUriReference(value) ? undefined : eventError(name, 'a non-empty URI reference', value);
    case 'time':
      return isTimestamp(value) ? undefined : eventError(name, 'an RFC 3339 timestamp such as 2024-01-31T23:59:59Z', value);
    case 'datacontenttype':
      return isMediaType(value) ? undefined : eventError(name, 'a media type such as application/json', value);
    case 'dataschema':
      if (specversion !== '1.0') return undefined;
      return isUri(value) ? undefined : eventError(name, 'an absolute URI', value);
    case 'schemaurl':
      if (specversion !== '0.3') return undefined;
      return value !== '' && isUriReference(value) ? undefined : eventError(name, 'a non-empty URI reference', value);
    default:
      return attributeNameError(name);
  }
}

/**
 * Whether an attribute may be called this. `data` is reserved for what is not an attribute.
 * @see CloudEvents 1.0.2 "Naming Conventions"
 */
function attributeNameError(name: string): EventError | undefined {
  if (name === 'data') return eventError('data', 'data in the body; no attribute may be named data');
  if (name.length > longestName) return eventError(name, `a name of at most ${longestName} characters`, name);
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    const isLetterOrDigit = (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39);
    if (!isLetterOrDigit) return eventError(name, 'an attribute name of letters a-z and digits', name);
  }
  return name === '' ? eventError(name, 'an attribute name of letters a-z and digits', name) : undefined;
}

/** Empty or white space only; the Go SDK trims before it looks. */
function isBlank(text: string): boolean {
  return text.trim() === '';
}
