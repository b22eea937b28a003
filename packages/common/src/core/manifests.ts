/**
 * Kubernetes manifests as text -> resources, and what is wrong with them in words that help.
 *
 * Always true: a document gives a resource only if nothing is wrong with it; every document that should have given one
 * and did not is an entry without a resource, so that nobody takes it for deleted; values of Secrets are in no message.
 *
 * Input is bounded: bytes, documents, elements of YAML (its parser takes quadratic time for some nonsense) and alias
 * expansion.
 */
import type { Document, Node, Pair } from 'yaml';
import { Lexer, LineCounter, isMap, isNode, isPair, isScalar, parseAllDocuments, visit } from 'yaml';
import type { ConfigMap, Secret, Service } from './resources/core-objects.ts';
import { parseConfigMap, parseSecret, parseService } from './resources/core-objects.ts';
import type { CrdSchema } from './resources/crd-schema.ts';
import { checkAgainstSchema } from './resources/crd-schema.ts';
import { kafkaChannelSchema, kafkaSourceSchema, subscriptionSchema } from './resources/crd-schemas.generated.ts';
import type { FieldPath, FieldProblem } from './resources/field-problem.ts';
import { fieldName } from './resources/field-problem.ts';
import type { KafkaChannel, KafkaChannelManifest } from './resources/kafka-channel.ts';
import { parseKafkaChannel } from './resources/kafka-channel.ts';
import type { KafkaSource, KafkaSourceManifest } from './resources/kafka-source.ts';
import { parseKafkaSource } from './resources/kafka-source.ts';
import { configMapSchema, metadataSchema, secretSchema, serviceSchema } from './resources/manifest-schemas.ts';
import type { Manifest, ManifestMeta } from './resources/metadata.ts';
import { resourceId } from './resources/metadata.ts';
import type { Subscription, SubscriptionManifest } from './resources/subscription.ts';
import { parseSubscription } from './resources/subscription.ts';

/** A resource of any kind that is understood. */
export type ManifestResource = KafkaChannel | Subscription | KafkaSource | Secret | ConfigMap | Service;

export interface ManifestProblem {
  /** error: the document is left out; warning: it counts, but does not do what it seems to; info: good to know. */
  readonly level: 'error' | 'warning' | 'info';
  readonly file: string;
  /** From 1; 0 for the file as a whole. */
  readonly document: number;
  /** From 1, of the field where it is known; 0 for the file as a whole. */
  readonly line: number;
  /** `KafkaChannel default/orders`, as far as the document says. */
  readonly resource?: string;
  /** `spec.delivery.retry`; absent where it is about the document as a whole. */
  readonly field?: string;
  /** What was expected and what came. */
  readonly message: string;
}

/** A document, or an item of a List, that is or should be a resource. */
export interface ManifestEntry {
  readonly document: number;
  readonly line: number;
  /** `KafkaChannel default/orders`; undefined if the document does not get as far as a kind and a name. */
  readonly id: string | undefined;
  /** undefined if something is wrong with it. */
  readonly resource: ManifestResource | undefined;
}

/** What one file says. Kinds that are not understood are not among the entries. */
export interface ManifestFile {
  readonly entries: readonly ManifestEntry[];
  readonly problems: readonly ManifestProblem[];
}

export const maxFileBytes = 1024 * 1024;
export const maxDocuments = 1000;
/** A manifest has 5 to 10 elements (keys, colons, values, line ends) a line. */
const maxElements = 250_000;
const maxAliasExpansions = 100;
/** Of a message. */
const maxTextLength = 500;

/** What a YAML error is about. Not the parser's own words: they quote the file, and the file may hold a Secret. */
const yamlWords: Readonly<Record<string, string>> = {
  ALIAS_PROPS: 'an alias cannot have an anchor or a tag',
  BAD_ALIAS: 'an anchor or alias without a proper name',
  BAD_COLLECTION_TYPE: 'a tag that does not fit',
  BAD_DIRECTIVE: 'a directive (%) that is not understood',
  BAD_DQ_ESCAPE: 'an escape sequence (\\) that does not exist',
  BAD_INDENT: 'wrong indentation, or a bracket that is not closed',
  BAD_PROP_ORDER: 'an anchor or tag in the wrong place',
  BAD_SCALAR_START: 'text that begins with a special character needs quotes',
  BLOCK_AS_IMPLICIT_KEY: 'wrong indentation, or text with a colon that needs quotes',
  BLOCK_IN_FLOW: 'a bracket that is not closed',
  KEY_OVER_1024_CHARS: 'a key that is too long; is a quote missing?',
  MISSING_CHAR: 'a quote, bracket, comma or colon is missing',
  MULTILINE_IMPLICIT_KEY: 'a line without a colon, or a quote that is not closed',
  MULTIPLE_ANCHORS: 'two anchors in one place',
  MULTIPLE_TAGS: 'two tags in one place',
  RESOURCE_EXHAUSTION: 'it is nested too deeply',
  TAB_AS_INDENT: 'a tab indents; use spaces',
  TAG_RESOLVE_FAILED: 'a tag (!) that is not understood',
  UNEXPECTED_TOKEN: 'something stands here that does not belong',
};

/** What is done with each kind that is understood. */
interface Kind {
  readonly apiVersions: readonly string[];
  readonly schema: CrdSchema;
  readonly hideValues?: boolean;
  readonly parse: (manifest: Manifest) => { resource: ManifestResource; problems: readonly FieldProblem[] };
}

const kinds: Readonly<Record<string, Kind>> = {
  KafkaChannel: {
    apiVersions: ['messaging.knative.dev/v1', 'messaging.knative.dev/v1beta1'],
    schema: kafkaChannelSchema,
    parse: (manifest) => {
      const { channel, problems } = parseKafkaChannel(manifest as KafkaChannelManifest);
      return { resource: channel, problems };
    },
  },
  Subscription: {
    apiVersions: ['messaging.knative.dev/v1'],
    schema: subscriptionSchema,
    parse: (manifest) => {
      const { subscription, problems } = parseSubscription(manifest as SubscriptionManifest);
      return { resource: subscription, problems };
    },
  },
  KafkaSource: {
    apiVersions: ['sources.knative.dev/v1', 'sources.knative.dev/v1beta1'],
    schema: kafkaSourceSchema,
    parse: (manifest) => {
      const { source, problems } = parseKafkaSource(manifest as KafkaSourceManifest);
      return { resource: source, problems };
    },
  },
  Secret: {
    apiVersions: ['v1'],
    schema: secretSchema,
    hideValues: true,
    parse: (manifest) => {
      const { secret, problems } = parseSecret(manifest);
      return { resource: secret, problems };
    },
  },
  ConfigMap: {
    apiVersions: ['v1'],
    schema: configMapSchema,
    parse: (manifest) => ({ resource: parseConfigMap(manifest), problems: [] }),
  },
  Service: {
    apiVersions: ['v1'],
    schema: serviceSchema,
    parse: (manifest) => ({ resource: parseService(manifest), problems: [] }),
  },
};

/**
 * Reads one file of YAML or JSON, with any number of documents.
 *
 * @param file name to use in problems
 */
export function readManifests(file: string, text: string): ManifestFile {
  const tooMuch = limitProblem(text);
  if (tooMuch !== undefined) return unreadableManifests(file, tooMuch);
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    // Both are checked here in linear time, and the excerpts of pretty errors could show a Secret.
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: 'silent',
    merge: true,
  });
  if (documents.length > maxDocuments) {
    return unreadableManifests(file, `has ${documents.length} documents, at most ${maxDocuments} are read`);
  }
  const reader = new ManifestReader(file, lines);
  for (const [index, document] of documents.entries()) reader.read(document, index + 1);
  return { entries: reader.entries, problems: reader.problems };
}

/** What a file says of which nothing can be read: anything at all. */
export function unreadableManifests(file: string, message: string): ManifestFile {
  return {
    entries: [{ document: 0, line: 0, id: undefined, resource: undefined }],
    problems: [{ level: 'error', file, document: 0, line: 0, message }],
  };
}

function limitProblem(text: string): string | undefined {
  const bytes = Buffer.byteLength(text);
  if (bytes > maxFileBytes) return `has ${bytes} bytes, at most ${maxFileBytes} are read`;
  const lexer = new Lexer().lex(text);
  for (let elements = 0; lexer.next().done !== true; elements++) {
    if (elements === maxElements) return `has more than ${maxElements} elements of YAML; split it into several files`;
  }
  return undefined;
}

/** Reads the documents of one file one after the other, and collects. */
class ManifestReader {
  readonly entries: ManifestEntry[] = [];
  readonly problems: ManifestProblem[] = [];
  readonly #file: string;
  readonly #lines: LineCounter;
  readonly #ignoredKinds = new Set<string>();

  constructor(file: string, lines: LineCounter) {
    this.#file = file;
    this.#lines = lines;
  }

  /** @param number of the document in the file, from 1 */
  read(document: Document, number: number): void {
    const place = new Place(document, number, this.#lines);
    const found = toValue(document);
    if ('yamlProblem' in found) {
      const line = found.offset === undefined ? place.line([]) : place.lineAt(found.offset);
      this.#note('error', place, { path: [], message: `not valid YAML: ${found.yamlProblem}` }, { line });
      this.#enter(place, []);
    } else if (found.value !== null) this.#readObject(found.value, place, []);
  }

  /** @param at where the object stands in the document: not at the top if it is an item of a List */
  #readObject(value: unknown, place: Place, at: FieldPath): void {
    const { apiVersion, kind, metadata, items } = isObject(value) ? value : {};
    if (!isObject(value) || typeof apiVersion !== 'string' || typeof kind !== 'string') {
      const expected = 'expected a Kubernetes object with apiVersion, kind and metadata';
      const missing = typeof kind === 'string' ? 'apiVersion' : 'kind';
      const problem = isObject(value)
        ? { path: [...at, missing], message: `is required; ${expected}` }
        : { path: at, message: expected };
      this.#note('error', place, problem);
      this.#enter(place, at);
      return;
    }
    if (kind.endsWith('List') && Array.isArray(items) && items.length <= maxDocuments) {
      for (const [index, item] of items.entries()) this.#readObject(item, place, [...at, 'items', index]);
      return;
    }
    const known = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
    const id = idOf(kind, metadata);
    if (known?.apiVersions.includes(apiVersion) === true) {
      const { resource, problems } = check(known, value);
      for (const { path, message } of problems) this.#note('error', place, { path: [...at, ...path], message }, { id });
      // A wrong name may stand for any resource of the file.
      const isNamed = !problems.some(({ path: [top, field] }) => top === 'metadata' && /^name/.test(String(field)));
      this.#enter(place, at, isNamed ? id : undefined, problems.length === 0 ? resource : undefined);
      if (problems.length === 0) this.#noteIgnoredFields(value, place, at, id);
    } else if (known !== undefined && isMeant(kind, apiVersion)) {
      const message = `expected ${known.apiVersions.join(' or ')}, found ${JSON.stringify(apiVersion)}`;
      this.#note('error', place, { path: [...at, 'apiVersion'], message }, { id });
      this.#enter(place, at, id);
    } else if (meantKinds(kind, apiVersion).length > 0) {
      const message = `expected ${meantKinds(kind, apiVersion).join(' or ')}, found ${JSON.stringify(kind)}`;
      this.#note('error', place, { path: [...at, 'kind'], message });
      this.#enter(place, at);
    } else if (!this.#ignoredKinds.has(`${apiVersion} ${kind}`)) {
      this.#ignoredKinds.add(`${apiVersion} ${kind}`);
      this.#note('info', place, { path: at, message: `${apiVersion} ${kind} is not used here and ignored` }, { id });
    }
  }

  #enter(place: Place, at: FieldPath, id?: string, resource?: ManifestResource): void {
    this.entries.push({ document: place.number, line: place.line(at), id, resource });
  }

  #noteIgnoredFields(value: Record<string, unknown>, place: Place, at: FieldPath, id: string | undefined): void {
    if (!isObject(value['spec']) || !Array.isArray(value['spec']['subscribers'])) return;
    const path = [...at, 'spec', 'subscribers'];
    this.#note('info', place, { path, message: 'is made from Subscriptions; what stands here is ignored' }, { id });
  }

  #note(
    level: ManifestProblem['level'],
    place: Place,
    { path, message }: FieldProblem,
    { id, line = place.line(path) }: { readonly id?: string | undefined; readonly line?: number } = {},
  ): void {
    const field = fieldName(path);
    this.problems.push({
      level,
      file: this.#file,
      document: place.number,
      line,
      ...(id === undefined ? {} : { resource: id }),
      ...(field === '' ? {} : { field: shorten(field) }),
      message: shorten(message),
    });
  }
}

/** The plain value of a document, null for an empty one; or why there is none, and where in the text. */
function toValue(document: Document): { value: unknown } | { yamlProblem: string; offset?: number } {
  const broken = document.errors[0];
  if (broken !== undefined) {
    return { yamlProblem: yamlWords[broken.code] ?? 'something is wrong here', offset: broken.pos[0] };
  }
  try {
    const repeated = repeatedKey(document);
    if (repeated !== undefined) {
      const { name, offset } = repeated;
      return { yamlProblem: `the key ${JSON.stringify(name)} stands twice in the same object`, offset };
    }
    return { value: document.toJS({ maxAliasCount: maxAliasExpansions }) as unknown };
  } catch (error) {
    // What toJS throws about aliases, and what the engine throws when the stack is full.
    if (error instanceof RangeError) return { yamlProblem: 'it is nested too deeply' };
    if (!(error instanceof ReferenceError)) throw error;
    const isDangling = error.message.startsWith('Unresolved alias');
    return { yamlProblem: isDangling ? 'an alias has no anchor' : 'its aliases expand to too much' };
  }
}

/** Checks metadata, then the whole, then what a schema cannot say; each only if what comes before is sound. */
function check(
  kind: Kind,
  value: Record<string, unknown>,
): { resource?: ManifestResource; problems: readonly FieldProblem[] } {
  // Neither is read from a manifest: a status is observed, and subscribers are made from Subscriptions.
  const given = { ...value };
  delete given['status'];
  if (isObject(given['spec']) && kind.schema !== kafkaSourceSchema) {
    given['spec'] = { ...given['spec'] };
    delete (given['spec'] as { subscribers?: unknown }).subscribers;
  }
  const options = { hideValues: kind.hideValues === true };
  const metadata = checkAgainstSchema(metadataSchema, given['metadata'] ?? {}, options);
  const whole = checkAgainstSchema(kind.schema, given, options);
  const problems = [
    ...metadata.problems.map(({ path, message }) => ({ path: ['metadata', ...path], message })),
    ...whole.problems.filter(({ path }) => path[0] !== 'metadata'),
  ];
  if (problems.length > 0) return { problems };
  // A generation in a file was counted by somebody else.
  const meta = { ...(metadata.value as ManifestMeta), generation: 1 };
  return kind.parse({ ...(whole.value as Manifest), metadata: meta });
}

function idOf(kind: string, metadata: unknown): string | undefined {
  if (!isObject(metadata) || typeof metadata['name'] !== 'string') return undefined;
  const namespace = typeof metadata['namespace'] === 'string' ? metadata['namespace'] : 'default';
  return resourceId(kind, { namespace, name: metadata['name'] });
}

/** Whether a kind in a version that is not understood is meant for us: there are Subscriptions in other groups too. */
function isMeant(kind: string, apiVersion: string): boolean {
  return ['KafkaChannel', 'KafkaSource'].includes(kind) || apiVersion.startsWith('messaging.knative.dev/');
}

/** The kinds that one of ours with a typing error may be; none where it is somebody else's. */
function meantKinds(kind: string, apiVersion: string): readonly string[] {
  // All else in the group are channels.
  if (apiVersion.startsWith('messaging.knative.dev/') && !kind.endsWith('Channel')) return ['KafkaChannel', 'Subscription'];
  // All else in the group are sources of something other than Kafka.
  if (apiVersion.startsWith('sources.knative.dev/') && /kafka/i.test(kind)) return ['KafkaSource'];
  return [];
}

/** Lines of a document's parts. */
class Place {
  readonly number: number;
  readonly #document: Document;
  readonly #lines: LineCounter;

  constructor(document: Document, number: number, lines: LineCounter) {
    this.number = number;
    this.#document = document;
    this.#lines = lines;
  }

  lineAt(offset: number): number {
    return Math.max(1, this.#lines.linePos(offset).line);
  }

  /** The line of a field, or of the nearest thing around it that exists. */
  line(path: FieldPath): number {
    for (let length = path.length; length > 0; length--) {
      const offset = this.#offset(path.slice(0, length - 1), path[length - 1]!);
      if (offset !== undefined) return this.lineAt(offset);
    }
    return this.lineAt(offsetOf(this.#document.contents) ?? this.#document.range?.[0] ?? 0);
  }

  #offset(parents: FieldPath, last: string | number): number | undefined {
    const parent: unknown = this.#document.getIn(parents, true);
    if (isMap(parent)) {
      const pair = parent.items.find((item: Pair) => isScalar(item.key) && item.key.value === last);
      return pair === undefined ? undefined : offsetOf(pair.key);
    }
    return offsetOf(this.#document.getIn([...parents, last], true));
  }
}

function offsetOf(node: unknown): number | undefined {
  return isNode(node) ? (node as Node).range?.[0] : undefined;
}

/** The first key that stands twice in one object. The parser can look for them too, but in quadratic time. */
function repeatedKey(document: Document): { name: string; offset: number } | undefined {
  let repeated: { name: string; offset: number } | undefined;
  visit(document, {
    Map(_key, map) {
      const names = new Set<unknown>();
      for (const { key } of map.items.filter(isPair)) {
        if (!isScalar(key) || key.value === '<<') continue;
        const name = String(key.value);
        if (names.has(name)) {
          repeated = { name, offset: key.range?.[0] ?? 0 };
          return visit.BREAK;
        }
        names.add(name);
      }
      return undefined;
    },
  });
  return repeated;
}

/** For messages that repeat what stands in the file, which may be a megabyte. */
function shorten(text: string): string {
  return text.length > maxTextLength ? `${text.slice(0, maxTextLength)}...` : text;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
