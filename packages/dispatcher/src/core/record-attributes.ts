/**
 * What a plain record has beside its value, as attributes of an event: its key and its headers.
 *
 * Kafka gives bytes and names of any kind; an attribute is text under a name of letters and digits, and empty text is
 * none. So bytes that are a String of CloudEvents (UTF-8, no control characters) become that text, and all other bytes
 * become a Binary of CloudEvents, whose text is base64. That keeps every bit, where reading them as UTF-8 anyway would
 * make different bytes one text. Whether a header of HTTP can hold the text is the HTTP binding's business.
 *
 * Always true: nothing throws; no two headers of different names end in one attribute; the time taken is linear in the
 * bytes, however many headers there are.
 */
import type { KeyType, NamedTexts, RecordHeaders } from '@knative-kafka/common/core';

/**
 * The key as an attribute's text.
 *
 * - `string`: its text; base64 where it is none.
 * - `int`: 4 or 8 bytes, big-endian in two's complement, as decimal digits. An Integer of CloudEvents has 32 bits, so
 *   what is beyond them is a String of digits; in binary mode the two look the same.
 * - `float`: 4 or 8 bytes of IEEE 754, big-endian; the shortest digits that read back as that number, or `NaN`,
 *   `Infinity`, `-Infinity`. CloudEvents has no such type: a String.
 * - `byte-array`: base64.
 *
 * A number of another length is read as `string` is: a topic may hold keys of several writers. One or two bytes are
 * not taken for an integer, because `7` and `42` as text have these lengths too.
 *
 * @param key a view of the fetch; the text does not hold on to it
 * @returns   undefined for no key and for an empty one
 */
export function keyText(key: Buffer | null, type: KeyType): string | undefined {
  if (key === null || key.length === 0) return undefined;
  if (type === 'byte-array') return key.toString('base64');
  const isNumber = (type === 'int' || type === 'float') && (key.length === 4 || key.length === 8);
  if (!isNumber) return attributeText(key);
  if (type === 'int') return key.length === 4 ? String(key.readInt32BE()) : String(key.readBigInt64BE());
  return key.length === 4 ? singleText(key.readFloatBE()) : String(key.readDoubleBE());
}

/** The digits of a 32-bit float without those that widening it to 64 bits adds: `0.1`, not `0.10000000149011612`. */
function singleText(single: number): string {
  for (let digits = 6; digits < 9; digits++) {
    const candidate = Number(single.toPrecision(digits));
    if (Math.fround(candidate) === single) return String(candidate);
  }
  return String(Number.isFinite(single) ? Number(single.toPrecision(9)) : single); // nine digits always suffice
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** @see CloudEvents 1.0.2 "Type System", String */
const noString = /[\p{Cc}\p{Noncharacter_Code_Point}]/u;

/** Bytes as an attribute's text: what they say where that is a String of CloudEvents, else base64. */
export function attributeText(bytes: Buffer): string {
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    if (byte < 0x20 || byte > 0x7e) return unusualText(bytes);
  }
  return bytes.toString('latin1'); // visible ASCII, nearly always
}

function unusualText(bytes: Buffer): string {
  try {
    const text = strictUtf8.decode(bytes);
    if (!noString.test(text)) return text;
  } catch {
    // not UTF-8
  }
  return bytes.toString('base64');
}

const headerPrefix = 'kafkaheader';
/** Attribute names of more than 256 characters are refused; what is cut here leaves room for prefix and number. */
const longestName = 200;

/**
 * The headers of a record as extensions, in their order.
 *
 * The name is `kafkaheader` and the header's name in lower case without all but a-z and 0-9, of which there may be
 * nothing left, cut after 200 characters. Of headers with the very same name the last counts, at the place of the first, as
 * everywhere in Kafka. Where different names come out alike (`X-Id` and `x_id`), the first keeps that name and the
 * others follow at the end as `kafkaheaderxid2`, `kafkaheaderxid3`, with the next number that no other header has.
 *
 * Empty values are left out. Those that are null do not come here: the readers of records drop them.
 */
export function headerExtensions(headers: RecordHeaders): NamedTexts {
  if (headers.length === 0) return [];
  const extensions: [string, string][] = [];
  const rawNames: string[] = []; // of each extension
  let manyPlaces: Map<string, number> | undefined;
  let alike: Map<string, string> | undefined;
  for (let i = 0; i < headers.length; i++) {
    const [rawName, value] = headers[i]!;
    if (value.length === 0) continue;
    const name = extensionName(rawName);
    // Linear while there are few; the Map keeps a record of thousands of headers from costing their square.
    const place = manyPlaces === undefined ? placeOf(name, extensions) : manyPlaces.get(name);
    if (place === undefined) {
      rawNames.push(rawName);
      extensions.push([name, attributeText(value)]);
      if (manyPlaces !== undefined) manyPlaces.set(name, extensions.length - 1);
      else if (extensions.length === 32) manyPlaces = new Map(extensions.map(([earlier], at) => [earlier, at]));
    } else if (rawNames[place] === rawName) {
      extensions[place]![1] = attributeText(value);
    } else {
      alike ??= new Map();
      alike.set(rawName, attributeText(value));
    }
  }
  if (alike !== undefined) addNumbered(extensions, alike, new Set(extensions.map(([name]) => name)));
  return extensions;
}

function placeOf(name: string, extensions: NamedTexts): number | undefined {
  for (let i = 0; i < extensions.length; i++) if (extensions[i]![0] === name) return i;
  return undefined;
}

/** @param alike raw name to text, of headers whose extension name is taken */
function addNumbered(extensions: [string, string][], alike: ReadonlyMap<string, string>, taken: Set<string>): void {
  const nextNumbers = new Map<string, number>();
  for (const [rawName, text] of alike) {
    const name = extensionName(rawName);
    let number = nextNumbers.get(name) ?? 2;
    while (taken.has(`${name}${number}`)) number++;
    nextNumbers.set(name, number + 1);
    taken.add(`${name}${number}`);
    extensions.push([`${name}${number}`, text]);
  }
}

function extensionName(rawName: string): string {
  for (let i = 0; i < rawName.length; i++) {
    const code = rawName.charCodeAt(i);
    const isKept = (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39);
    if (!isKept) return headerPrefix + rawName.toLowerCase().replaceAll(/[^a-z0-9]+/g, '').slice(0, longestName);
  }
  return headerPrefix + rawName.slice(0, longestName);
}
