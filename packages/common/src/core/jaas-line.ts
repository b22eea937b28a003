/**
 * `sasl.jaas.config` as Java's Kafka clients take it: one login module with options.
 *
 * ```text
 * org.apache.kafka.common.security.plain.PlainLoginModule required username="ann" password="...";
 * ```
 */
export interface JaasLine {
  /** Name of the login module's class without its package. */
  readonly module: string;
  readonly options: ReadonlyMap<string, string>;
}

const head = /^\s*(?:[\w$]+\.)*([\w$]+)\s+(?:required|requisite|sufficient|optional)(?![^\s;])/i;
const option = /\s+([\w.]+)\s*=\s*(?:"((?:[^"\\]|\\[^])*)"|([^\s"';]+))/y;
const end = /\s*;?\s*$/y;

/** @returns undefined when it is no such line, or names several modules */
export function parseJaasLine(text: string): JaasLine | undefined {
  const found = head.exec(text);
  if (found === null) return undefined;
  const options = new Map<string, string>();
  let position = found[0].length;
  for (;;) {
    option.lastIndex = position;
    const [matched, name = '', quoted, bare = ''] = option.exec(text) ?? [];
    if (matched === undefined) break;
    // A backslash makes the next character an ordinary one.
    options.set(name, quoted === undefined ? bare : quoted.replace(/\\([^])/g, '$1'));
    position += matched.length;
  }
  end.lastIndex = position;
  return end.test(text) ? { module: found[1]!, options } : undefined;
}
