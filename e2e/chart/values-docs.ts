/**
 * What the chart's values.yaml says about its values, for the README's table and for the descriptions of
 * values.schema.json: each value has a comment of one line, `# -- what it is`, right above it.
 */
import { isMap, isScalar, parseDocument, type Node, type Pair, type YAMLMap } from 'yaml';

export interface ValueDocs {
  /** Path in values.yaml, `kafka.sasl.username`. */
  readonly path: string;
  readonly about: string;
  readonly default: unknown;
}

/**
 * @param valuesYaml text of values.yaml
 * @returns every value that has a comment, in order; below it nothing is looked for
 * @throws Error that names the values without a comment
 */
export function documentedValues(valuesYaml: string): readonly ValueDocs[] {
  const docs: ValueDocs[] = [];
  const missing: string[] = [];
  const visit = (map: YAMLMap, path: readonly string[]): void => {
    map.items.forEach((pair, index) => {
      const key = pair.key as Node;
      const here = [...path, String(isScalar(key) ? key.value : key)];
      const about = aboutOf([key.commentBefore, index === 0 ? map.commentBefore : undefined]);
      if (about !== undefined) docs.push({ path: here.join('.'), about, default: plain(pair) });
      else if (isMap(pair.value) && pair.value.items.length > 0) visit(pair.value, here);
      else missing.push(here.join('.'));
    });
  };
  visit(parseDocument(valuesYaml).contents as unknown as YAMLMap, []);
  if (missing.length > 0) throw new Error(`values.yaml: no comment "# -- ..." above ${missing.join(', ')}`);
  return docs;
}

/** @returns what stands behind `--` in the last of the lines that have it */
function aboutOf(comments: readonly (string | null | undefined)[]): string | undefined {
  const lines = comments.flatMap((comment) => comment?.split('\n') ?? []);
  return lines.map((line) => /^\s*-- (.*)$/.exec(line)?.[1]).findLast((about) => about !== undefined);
}

function plain(pair: Pair): unknown {
  return (pair.value as Node | null)?.toJS(parseDocument('')) as unknown;
}

/** The README's table. */
export function valuesTable(docs: readonly ValueDocs[]): string {
  const rows = docs.map(({ path, about, default: byDefault }) => `| \`${path}\` | ${cell(byDefault)} | ${about.replaceAll('|', '\\|')} |`);
  return ['| value | default | what it is |', '| --- | --- | --- |', ...rows].join('\n');
}

function cell(value: unknown): string {
  return value === '' ? '' : `\`${JSON.stringify(value).replaceAll('|', '\\|')}\``;
}

export interface SchemaNode {
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly description?: string;
  readonly [keyword: string]: unknown;
}

/** The schema with these comments as descriptions. @throws Error that names a value which the schema does not have */
export function describedSchema(schema: SchemaNode, docs: readonly ValueDocs[]): SchemaNode {
  return docs.reduce((described, { path, about }) => withDescription(described, path.split('.'), about, path), schema);
}

function withDescription(node: SchemaNode, [head, ...rest]: readonly string[], about: string, path: string): SchemaNode {
  // The description stands first, also where there was another one.
  if (head === undefined) return Object.assign({ description: about }, node, { description: about });
  const child = node.properties?.[head];
  if (child === undefined) throw new Error(`values.schema.json has no property for ${path}`);
  return { ...node, properties: { ...node.properties, [head]: withDescription(child, rest, about, path) } };
}

/** Paths of everything that the schema describes and does not describe further: what can be set. */
export function schemaPaths(schema: SchemaNode, path: readonly string[] = []): readonly string[] {
  if (schema.properties === undefined) return [path.join('.')];
  return Object.entries(schema.properties).flatMap(([key, child]) => schemaPaths(child, [...path, key]));
}
