/**
 * What a CustomResourceDefinition's schema says about an object: its defaults, and where the object breaks it.
 *
 * The API server does this on a cluster; here it is done for manifests that never see one, by the same schema and to
 * the same effect. Two things are stricter, as `kubectl apply` is: fields that the schema does not know are problems,
 * not dropped, because most of them are typing errors. Rules in CEL (`x-kubernetes-validations`) are not evaluated:
 * some of them compare with the previous version of an object, which does not exist here, and what the others say of
 * durations and destinations is checked by `deliveryProblems` and `resolveDestination`.
 */
import type { ErrorObject, ValidateFunction } from 'ajv';
import { Ajv } from 'ajv';
import type { FieldPath, FieldProblem } from './field-problem.ts';
import { durationProblem } from './delivery.ts';

/** The parts of an openAPIV3Schema that our CustomResourceDefinitions use. */
export interface CrdSchema {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  readonly description?: string;
  readonly format?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly maxProperties?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, CrdSchema>>;
  readonly additionalProperties?: CrdSchema;
  readonly items?: CrdSchema;
  readonly anyOf?: readonly CrdSchema[];
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  /** `set`: no entry stands in the list twice, which the parsers of the kinds check. */
  readonly 'x-kubernetes-list-type'?: 'set';
  readonly 'x-kubernetes-validations'?: readonly CelRule[];
}

/** A rule that only the API server evaluates. */
export interface CelRule {
  readonly rule: string;
  readonly message: string;
  /** In place of `message`, where it can be worked out. */
  readonly messageExpression?: string;
  /** The field that is blamed, below the one that has the rule. */
  readonly fieldPath?: string;
}

/** The pattern of durations in our schemas. Coarse, so that it can be read; `durationProblem` has the last word. */
export const durationPattern = '^P[0-9WDTHMS.,]*[0-9][WDHMS]$';
/** Names of objects. @see RFC 1123, subdomain */
export const namePattern = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$';
/** Names of namespaces. @see RFC 1123, label */
export const labelPattern = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$';

/** More than this says nothing new, and a file can be a million wrong items. */
const maxProblems = 20;

/**
 * Checks an object and completes it.
 *
 * @param value      plain JSON; it is not changed
 * @param hideValues when the object holds secrets: problems then do not show what was found
 * @returns          a copy with defaults applied and nulls removed, to be used only if there are no problems
 */
export function checkAgainstSchema(
  schema: CrdSchema,
  value: unknown,
  options: { readonly hideValues?: boolean } = {},
): { value: unknown; problems: readonly FieldProblem[] } {
  const copy = withoutNulls(value);
  const problems = unknownFields(schema, copy, []);
  const validate = validatorOf(schema);
  if (!validate(copy)) {
    for (const error of validate.errors ?? []) {
      // The branches of anyOf speak for themselves in the error of anyOf as a whole.
      if (!error.schemaPath.includes('/anyOf/')) problems.push(explain(error, copy, options.hideValues === true));
    }
  }
  return { value: copy, problems: problems.slice(0, maxProblems) };
}

/**
 * A copy without fields that are null, because the API server takes `spec:` with nothing after it for no `spec`.
 * @see Kubernetes, "Defaulting and Nullable": nulls of fields that are not nullable are pruned before defaulting
 */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, field]) => field !== null)
      .map(([name, field]) => [name, withoutNulls(field)]),
  );
}

function unknownFields(schema: CrdSchema, value: unknown, path: FieldPath): FieldProblem[] {
  if (Array.isArray(value)) {
    const { items } = schema;
    return items === undefined ? [] : value.flatMap((item, index) => unknownFields(items, item, [...path, index]));
  }
  const { properties } = schema;
  if (properties === undefined || !isObject(value)) return [];
  return Object.entries(value).flatMap(([name, field]) => {
    const known = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (known !== undefined) return unknownFields(known, field, [...path, name]);
    if (schema['x-kubernetes-preserve-unknown-fields'] === true) return [];
    return [{ path: [...path, name], message: `unknown field; ${hint(name, Object.keys(properties))}` }];
  });
}

function hint(name: string, known: readonly string[]): string {
  const near = known
    .map((candidate) => ({ candidate, distance: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ distance }) => distance <= Math.max(1, Math.floor(name.length / 4)))
    .sort((a, b) => a.distance - b.distance)[0];
  return near === undefined ? `known here: ${known.join(', ')}` : `did you mean ${near.candidate}?`;
}

/** Levenshtein's: insertions, deletions and replacements that turn one text into the other. */
function editDistance(a: string, b: string): number {
  // Field names are short; a key of a megabyte is not one, and is as far away as can be.
  if (Math.abs(a.length - b.length) > 16) return Number.POSITIVE_INFINITY;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}

/**
 * One compiler for all kinds. It does not check the schemas themselves, which are constants under test: the schema of
 * schemas would be compiled for that in every process.
 */
const ajv = new Ajv({
  strict: false,
  allErrors: true,
  verbose: true,
  meta: false,
  validateSchema: false,
  useDefaults: true,
  formats: {
    // The API server takes it for documentation; the schemas give the bounds beside it.
    int32: true,
    int64: { type: 'number', validate: (value: number) => Math.abs(value) < 2 ** 63 },
  },
});

const validators = new WeakMap<CrdSchema, ValidateFunction>();

function validatorOf(schema: CrdSchema): ValidateFunction {
  let validate = validators.get(schema);
  if (validate === undefined) {
    validate = ajv.compile(schema);
    validators.set(schema, validate);
  }
  return validate;
}

function explain(error: ErrorObject, root: unknown, hideValues: boolean): FieldProblem {
  const params = error.params as Record<string, unknown>;
  const parent = (error.parentSchema ?? {}) as CrdSchema;
  const path = pathOf(error.instancePath, root);
  const found = hideValues ? '' : `, found ${describe(error.data)}`;
  switch (error.keyword) {
    case 'required':
      return { path: [...path, String(params['missingProperty'])], message: 'is required' };
    case 'type':
      return { path, message: `expected ${typeWords(parent)}${found}${quotesHint(parent, error.data)}` };
    case 'enum':
      return { path, message: `expected ${(parent.enum ?? []).join(' or ')}${found}` };
    case 'minimum':
    case 'maximum': {
      const isTooSmall = error.keyword === 'minimum';
      const bound = isTooSmall ? `at least ${String(parent.minimum)}` : `at most ${String(parent.maximum)}`;
      return { path, message: `must be ${bound}${found}` };
    }
    case 'format':
      return { path, message: `the number is too large${found}` };
    case 'minLength':
      return { path, message: 'must not be empty' };
    case 'maxLength':
      return { path, message: `must have at most ${String(parent.maxLength)} characters` };
    case 'minItems':
      return { path, message: 'must not be empty' };
    case 'maxItems':
      return { path, message: `must have at most ${String(parent.maxItems)} entries` };
    case 'maxProperties':
      return { path, message: `must have at most ${String(parent.maxProperties)} entries` };
    case 'anyOf': {
      const branches = (parent.anyOf ?? []).map((branch) => branch.required?.join(' and '));
      return { path, message: `needs ${branches.join(' or ')}` };
    }
    case 'pattern':
      return { path, message: patternWords(parent.pattern ?? '', error.data, found) };
    default:
      return { path, message: error.message ?? error.keyword };
  }
}

function patternWords(pattern: string, data: unknown, found: string): string {
  if (pattern === durationPattern && typeof data === 'string') {
    return durationProblem(data) ?? `expected an ISO 8601 duration${found}`;
  }
  const atEnds = 'with a letter or digit at both ends';
  if (pattern === namePattern) return `expected lower-case letters, digits, '-' and '.', ${atEnds}${found}`;
  if (pattern === labelPattern) return `expected lower-case letters, digits and '-', ${atEnds}${found}`;
  return `expected text that matches ${pattern}${found}`;
}

const words = {
  object: 'an object with fields',
  array: 'a list',
  string: 'text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
};

function typeWords(schema: CrdSchema): string {
  const { type, minimum } = schema;
  if (type === undefined) return 'something else';
  return minimum === undefined ? words[type] : `${words[type]} of at least ${minimum}`;
}

/** YAML's habit of guessing types is the usual cause of both of these. */
function quotesHint(schema: CrdSchema, data: unknown): string {
  if (schema.type === 'string' && (typeof data === 'number' || typeof data === 'boolean')) return '; put it in quotes';
  const isNumeric = schema.type === 'integer' || schema.type === 'number';
  return isNumeric && typeof data === 'string' && /^-?\d+$/.test(data) ? '; write it without quotes' : '';
}

function describe(value: unknown): string {
  if (value === null) return 'nothing';
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : 'an object';
}

/** ajv names places by JSON pointers, in which a list's index and a field named "0" look the same. */
function pathOf(pointer: string, root: unknown): FieldPath {
  const path: (string | number)[] = [];
  let current = root;
  for (const part of pointer.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    const step = Array.isArray(current) ? Number(name) : name;
    path.push(step);
    current = (current as Record<string | number, unknown> | undefined)?.[step];
  }
  return path;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
