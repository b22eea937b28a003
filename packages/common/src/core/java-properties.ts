/**
 * Text in the format of Java's `.properties` files, which Kafka's tools and the ConfigMaps of eventing-kafka-broker use.
 *
 * Always true: any text can be read; what makes no sense is a key with an odd name, not an error, as in Java.
 *
 * @see java.util.Properties, load(Reader)
 */

const escapes: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', f: '\f' };
const escaped = /\\(?:u([0-9a-fA-F]{4})|([^]))/g;
/** Up to the first `=`, `:` or white space that no backslash protects. */
const entry = /^((?:\\[^]|[^\\=:\s])*)(?:\s*[=:]\s*|\s+|$)([^]*)$/;

/** Keys and values; of a key that stands twice the last one counts. */
export function parseJavaProperties(text: string): ReadonlyMap<string, string> {
  const properties = new Map<string, string>();
  for (const line of logicalLines(text)) {
    const [, key = '', value = ''] = entry.exec(line) ?? [];
    properties.set(unescape(key), unescape(value));
  }
  return properties;
}

/** Without comments and blank lines; a line that ends in an odd number of backslashes goes on in the next one. */
function* logicalLines(text: string): Generator<string> {
  let begun: string[] = [];
  for (const natural of text.split(/\r\n|\r|\n/)) {
    const line = natural.trimStart();
    if (begun.length === 0 && (line === '' || /^[#!]/.test(line))) continue;
    const goesOn = backslashesAtEnd(line) % 2 === 1;
    begun.push(goesOn ? line.slice(0, -1) : line);
    if (goesOn) continue;
    yield begun.join('');
    begun = [];
  }
  if (begun.length > 0) yield begun.join('');
}

function backslashesAtEnd(line: string): number {
  let count = 0;
  while (line.at(-1 - count) === '\\') count++;
  return count;
}

function unescape(text: string): string {
  return text.replace(escaped, (_all, code: string | undefined, character: string) => (code === undefined ? (escapes[character] ?? character) : String.fromCharCode(Number.parseInt(code, 16))));
}
