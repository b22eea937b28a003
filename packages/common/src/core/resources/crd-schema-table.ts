/**
 * A CustomResourceDefinition's schema as a table for people: every field with its path, its type, its default, and what
 * a value has to be.
 */
import type { CrdSchema } from './crd-schema.ts';

interface Field {
  readonly path: string;
  readonly schema: CrdSchema;
  readonly isRequired: boolean;
}

/**
 * The fields below a schema, as Markdown.
 *
 * A schema that appears again and again, such as that of a destination, is told again each time: who looks for a field
 * finds it by its path.
 *
 * @param schema of the whole object; apiVersion, kind and metadata are those of every object and left out
 */
export function describeSchema(schema: CrdSchema): string {
  const rows = [...fields(schema, '')]
    .filter(({ path }) => !/^(apiVersion|kind|metadata)$/.test(path))
    .map(({ path, schema: field, isRequired }) => `| \`${path}\` | ${typeOf(field)} | ${defaultOf(field, isRequired)} | ${cell([field.description ?? '', ...limits(field)].join(' '))} |`);
  return ['| field | type | default | what it is |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

function* fields(schema: CrdSchema, path: string): Generator<Field> {
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const below = path === '' ? name : `${path}.${name}`;
    yield { path: below, schema: property, isRequired: schema.required?.includes(name) ?? false };
    yield* fields(property, below);
  }
  if (schema.items !== undefined) yield* fields(schema.items, `${path}[]`);
}

function typeOf({ type, items, additionalProperties, enum: values }: CrdSchema): string {
  if (items !== undefined) return `list of ${items.type ?? 'any'}`;
  if (additionalProperties !== undefined) return `map to ${additionalProperties.type ?? 'any'}`;
  return values === undefined ? (type ?? 'any') : values.map((value) => `\`${value}\``).join(', ');
}

function defaultOf({ default: byDefault }: CrdSchema, isRequired: boolean): string {
  if (isRequired) return '*required*';
  // An object's default only makes room for those of its fields.
  return byDefault === undefined || typeof byDefault === 'object' ? '' : `\`${typeof byDefault === 'string' ? byDefault : JSON.stringify(byDefault)}\``;
}

/** What a value has to be, beside its type; a rule in the words with which it is refused. */
function limits(schema: CrdSchema): readonly string[] {
  const { minimum, maximum, maxLength, minItems, maxItems, maxProperties } = schema;
  // The largest number of the type says nothing.
  const isBounded = maximum !== undefined && maximum !== 2 ** 31 - 1;
  const oneOf = (schema.anyOf ?? schema.items?.anyOf)?.map(({ required = [] }) => required.map((name) => `\`${name}\``).join(' and '));
  return [
    ...(minimum === undefined ? [] : [isBounded ? `From ${minimum} to ${maximum}.` : `At least ${minimum}.`]),
    ...(maxLength === undefined ? [] : [`At most ${maxLength} characters.`]),
    ...(minItems === undefined ? [] : [`At least ${minItems} ${minItems === 1 ? 'entry' : 'entries'}.`]),
    ...(maxItems === undefined ? [] : [`At most ${maxItems} entries.`]),
    ...(maxProperties === undefined ? [] : [`At most ${maxProperties} entries.`]),
    ...(schema['x-kubernetes-list-type'] === 'set' ? ['None twice.'] : []),
    ...(oneOf === undefined ? [] : [`Needs ${oneOf.join(' or ')}.`]),
    ...[schema, schema.items].flatMap((each) => each?.['x-kubernetes-validations'] ?? []).map(({ message }) => `Rule: ${message}.`),
    ...(schema['x-kubernetes-preserve-unknown-fields'] === true ? ['Further fields are kept.'] : []),
  ];
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ').trim();
}
