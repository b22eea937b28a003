/**
 * The notations that attribute values are written in, as yes-or-no questions: RFC 3339 timestamps, RFC 3986 URIs,
 * RFC 9110 media types and RFC 4648 base64.
 *
 * Each answer takes one pass over the characters and allocates nothing, because these run on every event. There are no
 * regular expressions, so no input can make them slow, and no Date, which would accept other notations.
 */

const isTokenChar = charTable("!#$%&'*+-.^_`|~", { alphanumeric: true });
const isSchemeChar = charTable('+-.', { alphanumeric: true });
/** Everything printable that RFC 3986 gives a meaning, without `%`, whose two digits are checked apart. */
const isUriChar = charTable("-._~:/?#[]@!$&'()*+,;=", { alphanumeric: true });
const isBase64Char = charTable('+/', { alphanumeric: true });
const isHexDigit = charTable('0123456789abcdefABCDEF', { alphanumeric: false });

/** 1 for the characters listed, by character code below 128; reading past the end gives undefined, which is falsy. */
function charTable(characters: string, { alphanumeric }: { alphanumeric: boolean }): Uint8Array {
  const table = new Uint8Array(128);
  for (let i = 0; i < characters.length; i++) table[characters.charCodeAt(i)] = 1;
  if (alphanumeric) {
    for (let code = 0x30; code <= 0x39; code++) table[code] = 1;
    for (let code = 0x41; code <= 0x5a; code++) table[code] = table[code + 0x20] = 1;
  }
  return table;
}

/** Whether HTTP takes this as the name of a header. @see RFC 9110 §5.6.2 */
export function isToken(text: string): boolean {
  return text !== '' && endOfToken(text, 0) === text.length;
}

function endOfToken(text: string, start: number): number {
  let i = start;
  while (i < text.length && isTokenChar[text.charCodeAt(i)]) i++;
  return i;
}

/**
 * Whether this is a URI reference, relative or not. The empty reference is one; callers that need more say so.
 *
 * Characters beyond ASCII pass, as in the Go SDK: strictly they make an IRI, but refusing them would help nobody. What
 * is not checked is the inside of an authority, such as the digits of a port.
 *
 * @see RFC 3986 §4.1; §4.2 for the colon that a relative path may not have in its first segment
 */
export function isUriReference(text: string): boolean {
  let firstColon = -1;
  let firstDelimiter = -1;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x25) {
      if (!isHexDigit[text.charCodeAt(i + 1)] || !isHexDigit[text.charCodeAt(i + 2)]) return false;
    } else if (code < 0x80 ? !isUriChar[code] : code < 0xa0) {
      return false;
    } else if (firstDelimiter < 0) {
      if (code === 0x3a && firstColon < 0) firstColon = i;
      else if (code === 0x2f || code === 0x3f || code === 0x23) firstDelimiter = i; // slash, question mark, number sign
    }
  }
  return firstColon < 0 || isScheme(text, firstColon);
}

/** Whether this is a URI with a scheme. @see RFC 3986 §4.3 */
export function isUri(text: string): boolean {
  const colon = text.indexOf(':');
  return colon > 0 && isScheme(text, colon) && isUriReference(text);
}

function isScheme(text: string, end: number): boolean {
  const first = text.charCodeAt(0) | 0x20;
  if (end === 0 || first < 0x61 || first > 0x7a) return false;
  for (let i = 1; i < end; i++) if (!isSchemeChar[text.charCodeAt(i)]) return false;
  return true;
}

const daysInMonth = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/**
 * Whether this is `2024-02-29T23:59:60.123456789+01:00`: any number of fraction digits, `t` and `z` in either case.
 * Days must exist in their month and year; second 60 passes everywhere, since offsets move leap seconds about.
 *
 * @see RFC 3339 §5.6, §5.7
 */
export function isTimestamp(text: string): boolean {
  if (text.length < 20 || text.charCodeAt(4) !== 0x2d || text.charCodeAt(7) !== 0x2d) return false;
  if ((text.charCodeAt(10) | 0x20) !== 0x74 || text.charCodeAt(13) !== 0x3a || text.charCodeAt(16) !== 0x3a) return false;
  const century = twoDigits(text, 0);
  const yearOfCentury = twoDigits(text, 2);
  const month = twoDigits(text, 5);
  const day = twoDigits(text, 8);
  if (century < 0 || yearOfCentury < 0 || month < 1 || month > 12 || day < 1 || day > daysInMonth[month - 1]!) return false;
  const isLeapYear = yearOfCentury === 0 ? century % 4 === 0 : yearOfCentury % 4 === 0;
  if (month === 2 && day === 29 && !isLeapYear) return false;
  if (!isUpTo(twoDigits(text, 11), 23) || !isUpTo(twoDigits(text, 14), 59) || !isUpTo(twoDigits(text, 17), 60)) return false;
  let i = 19;
  if (text.charCodeAt(i) === 0x2e) {
    const firstDigit = ++i;
    while (isDigit(text.charCodeAt(i))) i++;
    if (i === firstDigit) return false;
  }
  const zone = text.charCodeAt(i);
  if ((zone | 0x20) === 0x7a) return text.length === i + 1;
  if (zone !== 0x2b && zone !== 0x2d) return false;
  if (text.length !== i + 6 || text.charCodeAt(i + 3) !== 0x3a) return false;
  return isUpTo(twoDigits(text, i + 1), 23) && isUpTo(twoDigits(text, i + 4), 59);
}

/** @returns -1 when there are no two digits at `start` */
function twoDigits(text: string, start: number): number {
  const tens = text.charCodeAt(start);
  const ones = text.charCodeAt(start + 1);
  return isDigit(tens) && isDigit(ones) ? (tens - 0x30) * 10 + (ones - 0x30) : -1;
}

function isUpTo(value: number, limit: number): boolean {
  return value >= 0 && value <= limit;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/**
 * Whether this is `type/subtype` with any parameters. Empty parameters, as in `text/plain;`, pass.
 * @see RFC 9110 §8.3.1, §5.6.6
 */
export function isMediaType(text: string): boolean {
  return scanMediaType(text, undefined);
}

/** Type and subtype in lower case, without parameters. Only for what `isMediaType` accepts. */
export function mediaTypeEssence(text: string): string {
  const end = text.indexOf(';');
  return (end < 0 ? text : text.slice(0, end)).trim().toLowerCase();
}

/**
 * The values of all `charset` parameters as written, quotes included. Only for what `isMediaType` accepts.
 * One is usual, none frequent; two are legal to write and mean nothing, so the caller has to look at all of them.
 */
export function mediaTypeCharsets(text: string): readonly string[] {
  const charsets: string[] = [];
  scanMediaType(text, (name, value) => {
    if (name.toLowerCase() === 'charset') charsets.push(value);
  });
  return charsets;
}

/** Whether bytes in this charset are UTF-8: under one of its names, or as its subset us-ascii. @param written as `mediaTypeCharsets` has it */
export function isUtf8Charset(written: string): boolean {
  const charset = written.replaceAll('"', '').toLowerCase();
  return charset === 'utf-8' || charset === 'utf8' || charset === 'us-ascii';
}

function scanMediaType(text: string, onParameter: ((name: string, value: string) => void) | undefined): boolean {
  const slash = endOfToken(text, 0);
  if (slash === 0 || text.charCodeAt(slash) !== 0x2f) return false;
  let i = endOfToken(text, slash + 1);
  if (i === slash + 1) return false;
  for (;;) {
    i = endOfWhiteSpace(text, i);
    if (i === text.length) return true;
    if (text.charCodeAt(i) !== 0x3b) return false;
    const name = endOfWhiteSpace(text, i + 1);
    i = endOfToken(text, name);
    if (i === name) continue; // nothing between two semicolons
    if (text.charCodeAt(i) !== 0x3d) return false;
    const value = i + 1;
    const end = text.charCodeAt(value) === 0x22 ? endOfQuotedString(text, value) : endOfToken(text, value);
    if (end <= value) return false;
    onParameter?.(text.slice(name, i), text.slice(value, end));
    i = end;
  }
}

function endOfWhiteSpace(text: string, start: number): number {
  let i = start;
  while (text.charCodeAt(i) === 0x20 || text.charCodeAt(i) === 0x09) i++;
  return i;
}

/** @returns the place after the closing quote, -1 when there is none or a character may not stand between quotes */
function endOfQuotedString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    let code = text.charCodeAt(i);
    if (code === 0x22) return i + 1;
    if (code === 0x5c) code = text.charCodeAt(++i);
    const isAllowed = (code >= 0x20 && code < 0x7f) || code === 0x09;
    if (!isAllowed) return -1;
  }
  return -1;
}

/** Whether this is padded base64 in the standard alphabet; the empty text is, for no bytes. @see RFC 4648 §4 */
export function isBase64(text: string): boolean {
  if (text.length % 4 !== 0) return false;
  let end = text.length;
  if (end > 0 && text.charCodeAt(end - 1) === 0x3d) end -= text.charCodeAt(end - 2) === 0x3d ? 2 : 1;
  for (let i = 0; i < end; i++) if (!isBase64Char[text.charCodeAt(i)]) return false;
  return true;
}
