import { describe, expect, it } from 'vitest';
import type { ManifestFile, ManifestProblem } from './manifests.ts';
import { maxDocuments, maxFileBytes, readManifests } from './manifests.ts';

const read = (text: string): ManifestFile => readManifests('f.yaml', text);
const ids = (file: ManifestFile): (string | undefined)[] => file.entries.map((entry) => entry.id);
const inForce = (file: ManifestFile): (string | undefined)[] =>
  file.entries.filter((entry) => entry.resource !== undefined).map((entry) => entry.id);

const channel = `apiVersion: messaging.knative.dev/v1
kind: KafkaChannel
metadata:
  name: orders
`;
const subscription = `apiVersion: messaging.knative.dev/v1
kind: Subscription
metadata:
  name: display
  namespace: shop
spec:
  channel: {apiVersion: messaging.knative.dev/v1, kind: KafkaChannel, name: orders}
  subscriber:
    uri: http://127.0.0.1:8081/
`;
const kafkaSource = `apiVersion: sources.knative.dev/v1
kind: KafkaSource
metadata:
  name: orders
  namespace: shop
spec:
  bootstrapServers: ["kafka:9092"]
  topics: [orders]
  sink: {uri: "http://sink"}
`;

describe('documents that are right', () => {
  it('applies the defaults of the schema to a KafkaChannel without a spec', () => {
    const file = read(channel);
    expect(file.problems).toEqual([]);
    expect(file.entries).toEqual([
      {
        document: 1,
        line: 1,
        id: 'KafkaChannel default/orders',
        resource: {
          kind: 'KafkaChannel',
          metadata: expect.objectContaining({ namespace: 'default', name: 'orders', generation: 1 }) as object,
          spec: { numPartitions: 1, replicationFactor: 1, retentionMs: 604_800_000, subscribers: [] },
        },
      },
    ]);
  });

  it.each([
    ['spec: null', `${channel}spec: null\n`],
    ['spec with nothing after it', `${channel}spec:\n`],
    ['fields with nothing after them', `${channel}spec:\n  numPartitions:\n  delivery:\n`],
    ['an empty spec', `${channel}spec: {}\n`],
  ])('takes %s for what is not there', (_name, text) => {
    const file = read(text);
    expect(file.problems).toEqual([]);
    expect(file.entries[0]?.resource).toEqual(read(channel).entries[0]?.resource);
  });

  it('takes both versions of a KafkaChannel for the same', () => {
    const old = read(channel.replace('/v1', '/v1beta1'));
    expect(old.problems).toEqual([]);
    expect(old.entries).toEqual(read(channel).entries);
  });

  it('applies the defaults of the schema to a KafkaSource, and takes both versions for the same', () => {
    const file = read(kafkaSource);
    expect(file.problems).toEqual([]);
    expect(ids(file)).toEqual(['KafkaSource shop/orders']);
    expect(file.entries[0]?.resource).toMatchObject({ kind: 'KafkaSource', spec: { consumers: 1, initialOffset: 'latest', ordering: 'ordered' } });
    expect(read(kafkaSource.replace('/v1', '/v1beta1')).entries).toEqual(file.entries);
  });

  it('reads several documents, with comments, empty ones and JSON between them', () => {
    const json = JSON.stringify({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'svc' }, spec: { ports: [{ port: 80 }] } });
    const file = read(`# hello\n---\n${channel}---\n---\n# nothing\n---\n${subscription}---\n${json}\n...\n`);
    expect(file.problems).toEqual([]);
    expect(file.entries.map(({ document, line, id }) => [document, line, id])).toEqual([
      [1, 3, 'KafkaChannel default/orders'],
      [4, 11, 'Subscription shop/display'],
      [5, 21, 'Service default/svc'],
    ]);
  });

  it('reads a List, as kubectl writes them', () => {
    const items = [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, data: { k: 'v' } }, { apiVersion: 'v1', kind: 'Service', metadata: { name: 'b' } }];
    expect(inForce(read(JSON.stringify({ apiVersion: 'v1', kind: 'List', items })))).toEqual(['ConfigMap default/a', 'Service default/b']);
  });

  it('reads what kubectl exports from a cluster, without status and subscribers', () => {
    const file = read(`apiVersion: messaging.knative.dev/v1beta1
kind: KafkaChannel
metadata:
  creationTimestamp: "2026-01-02T03:04:05Z"
  finalizers: [kafkachannels.messaging.knative.dev]
  generation: 12
  name: orders
  resourceVersion: "123"
  uid: 5bbd2a5c-31f2-4a0e-9a5b-0b5cf2f1d6a1
spec:
  numPartitions: 3
  subscribers: [{uid: x, subscriberUri: http://gone}]
status:
  anything: goes
`);
    expect(file.entries[0]?.resource).toMatchObject({
      metadata: { uid: '5bbd2a5c-31f2-4a0e-9a5b-0b5cf2f1d6a1', generation: 1 },
      spec: { numPartitions: 3, subscribers: [] },
    });
    expect(file.problems).toMatchObject([{ level: 'info', field: 'spec.subscribers', line: 12 }]);
  });

  it('resolves anchors and merges, without mixing up what shares them', () => {
    const file = read(`apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: &d {k: v}\n---\n${channel}spec: &s\n  numPartitions: 2\n---\n${channel.replace('orders', 'b')}spec:\n  <<: {numPartitions: 4}\n`);
    expect(file.problems).toEqual([]);
    expect(file.entries[2]?.resource).toMatchObject({ spec: { numPartitions: 4 } });
  });

  it.each([[''], ['\n\n'], ['# only a comment\n'], ['---\n'], ['---\n---\n...\n']])('finds nothing in %j', (text) => {
    expect(read(text)).toEqual({ entries: [], problems: [] });
  });
});

describe('kinds that are not understood', () => {
  it('says so once for each and goes on', () => {
    const other = (kind: string): string => `apiVersion: apps/v1\nkind: ${kind}\nmetadata: {name: x}\n---\n`;
    const file = read(`${other('Deployment')}${other('Deployment')}${other('StatefulSet')}${channel}`);
    expect(inForce(file)).toEqual(['KafkaChannel default/orders']);
    expect(ids(file)).toEqual(['KafkaChannel default/orders']);
    expect(file.problems.map(({ level, line, message }) => [level, line, message])).toEqual([
      ['info', 1, 'apps/v1 Deployment is not used here and ignored'],
      ['info', 9, 'apps/v1 StatefulSet is not used here and ignored'],
    ]);
  });

  it.each([
    ['operators.coreos.com/v1alpha1', 'Subscription'],
    ['serving.knative.dev/v1', 'Service'],
    ['messaging.knative.dev/v1', 'InMemoryChannel'],
    ['sources.knative.dev/v1', 'PingSource'],
    ['bindings.knative.dev/v1', 'KafkaBinding'],
    ['v1', 'constructor'],
  ])('ignores %s %s', (apiVersion, kind) => {
    const file = read(`apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: x}\n`);
    expect(file.entries).toEqual([]);
    expect(file.problems.map((problem) => problem.level)).toEqual(['info']);
  });
});

describe('documents that are wrong', () => {
  const spec = (text: string): string => `${channel}spec:\n${text}`;
  it.each<[string, string, Partial<ManifestProblem>, RegExp]>([
    // the schema
    ['a negative retry', spec('  delivery:\n    retry: -1\n'), { field: 'spec.delivery.retry', line: 7 }, /^must be at least 0, found -1$/],
    ['retry as text', spec('  delivery: {retry: "3"}\n'), { field: 'spec.delivery.retry', line: 6 }, /^expected a whole number of at least 0, found "3"; write it without quotes$/],
    ['a fraction of a partition', spec('  numPartitions: 1.5\n'), { field: 'spec.numPartitions', line: 6 }, /expected a whole number of at least 1, found 1.5/],
    ['no partitions', spec('  numPartitions: 0\n'), { field: 'spec.numPartitions' }, /at least 1, found 0/],
    ['too many partitions to count', spec('  numPartitions: 3000000000\n'), { field: 'spec.numPartitions' }, /at most 2147483647, found 3000000000/],
    ['too many replicas', spec('  replicationFactor: 40000\n'), { field: 'spec.replicationFactor' }, /at most 32767/],
    ['a policy that does not exist', spec('  delivery: {backoffPolicy: Linear}\n'), { field: 'spec.delivery.backoffPolicy' }, /expected linear or exponential, found "Linear"/],
    ['a format that does not exist', spec('  delivery: {format: xml}\n'), { field: 'spec.delivery.format' }, /expected json or binary, found "xml"/],
    ['a list for an object', spec('  delivery: [1]\n'), { field: 'spec.delivery' }, /expected an object with fields, found a list/],
    ['text for a spec', `${channel}spec: later\n`, { field: 'spec', line: 5 }, /expected an object with fields, found "later"/],
    ['a duration in words', spec('  delivery: {timeout: 30s}\n'), { field: 'spec.delivery.timeout' }, /seconds are PT<number>S\): found "30s"/],
    ['a duration in years', spec('  retentionDuration: P1Y\n'), { field: 'spec.retentionDuration', line: 6 }, /years and months/],
    ['a duration in months', spec('  retentionDuration: P1M\n'), { field: 'spec.retentionDuration', line: 6 }, /years and months/],
    ['a number for a duration', spec('  delivery: {timeout: 30}\n'), { field: 'spec.delivery.timeout' }, /expected text, found 30; put it in quotes/],
    ['a timeout of zero', spec('  delivery: {timeout: PT0S}\n'), { field: 'spec.delivery.timeout' }, /longer than zero/],
    // fields that do not exist
    ['a typing error', spec('  numPartition: 3\n'), { field: 'spec.numPartition', line: 6 }, /^unknown field; did you mean numPartitions\?$/],
    ['a typing error below', spec('  delivery:\n    retry: 1\n    retires: 3\n'), { field: 'spec.delivery.retires', line: 8 }, /did you mean retry\?|known here/],
    ['another case', spec('  delivery: {deadLetterSink: {URI: "http://x"}}\n'), { field: 'spec.delivery.deadLetterSink.URI' }, /did you mean uri\?/],
    ['something else altogether', spec('  bootstrapServers: x\n'), { field: 'spec.bootstrapServers' }, /known here: numPartitions, replicationFactor/],
    ['a field beside spec', `${channel}data: {}\n`, { field: 'data', line: 5 }, /unknown field/],
    // metadata
    ['a name with capitals', channel.replace('orders', 'Orders'), { field: 'metadata.name', line: 4 }, /expected lower-case letters.*found "Orders"/],
    ['a name that is too long', channel.replace('orders', 'o'.repeat(254)), { field: 'metadata.name' }, /at most 253 characters/],
    ['a namespace with a dot', `${channel}  namespace: a.b\n`, { field: 'metadata.namespace' }, /expected lower-case letters, digits and '-'/],
    ['a number for an annotation', `${channel}  annotations:\n    example.com/x: 1\n`, { field: 'metadata.annotations["example.com/x"]', line: 6 }, /expected text, found 1; put it in quotes/],
    ['a delivery order that does not exist', `${channel}  annotations:\n    kafka.eventing.knative.dev/delivery.order: any\n`, { field: 'metadata.annotations["kafka.eventing.knative.dev/delivery.order"]', line: 6 }, /expected ordered/],
    ['an unknown field of metadata', `${channel}  label: {}\n`, { field: 'metadata.label' }, /did you mean labels\?/],
    // versions and kinds
    ['a version that does not exist', channel.replace('/v1', '/v1alpha1'), { field: 'apiVersion', line: 1 }, /expected messaging.knative.dev\/v1 or messaging.knative.dev\/v1beta1, found "messaging.knative.dev\/v1alpha1"/],
    ['a group with a typing error', channel.replace('messaging.k', 'mesaging.k'), { field: 'apiVersion' }, /found "mesaging/],
  ])('%s', (_name, text, where, message) => {
    const file = read(text);
    const errors = file.problems.filter((problem) => problem.level === 'error');
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatchObject({ file: 'f.yaml', document: 1, ...where });
    expect(errors[0]?.message).toMatch(message);
    expect(errors[0]?.resource).toMatch(/^KafkaChannel (default|a\.b)\//);
    expect(inForce(file)).toEqual([]);
    const isNameWrong = where.field === 'metadata.name' || where.field === 'metadata.namespace';
    expect(ids(file)).toEqual([isNameWrong ? undefined : errors[0]?.resource]);
  });

  it.each<[string, string, Partial<ManifestProblem>, RegExp]>([
    ['without a channel', subscription.replace(/ {2}channel.*\n/, ''), { field: 'spec.channel', line: 6 }, /^is required$/],
    ['without a subscriber', subscription.replace(/ {2}subscriber:\n.*\n/, ''), { field: 'spec.subscriber' }, /^is required$/],
    ['without a spec', subscription.replace(/spec:[^]*/, ''), { field: 'spec' }, /^is required$/],
    ['with a channel without a name', subscription.replace(', name: orders', ''), { field: 'spec.channel.name', line: 7 }, /^is required$/],
    ['with an empty name of a channel', subscription.replace('name: orders', 'name: ""'), { field: 'spec.channel.name', line: 7 }, /must not be empty/],
    ['with text for a subscriber', subscription.replace(/subscriber:\n.*\n/, 'subscriber: http://x\n'), { field: 'spec.subscriber' }, /expected an object with fields, found "http:\/\/x"/],
    ['of another version', subscription.replace('dev/v1\nkind', 'dev/v1beta1\nkind'), { field: 'apiVersion' }, /expected messaging.knative.dev\/v1, found/],
  ])('a Subscription %s', (_name, text, where, message) => {
    const file = read(text);
    expect(file.problems).toHaveLength(1);
    expect(file.problems[0]).toMatchObject({ level: 'error', resource: 'Subscription shop/display', ...where });
    expect(file.problems[0]?.message).toMatch(message);
    expect(inForce(file)).toEqual([]);
  });

  it.each<[string, string, Partial<ManifestProblem>, RegExp]>([
    ['without topics', kafkaSource.replace(/ {2}topics.*\n/, ''), { field: 'spec.topics', line: 6 }, /^is required$/],
    ['with a list of no topics', kafkaSource.replace('[orders]', '[]'), { field: 'spec.topics', line: 8 }, /^must not be empty$/],
    ['with more topics than are taken', kafkaSource.replace('[orders]', JSON.stringify(Array.from({ length: 1001 }, (_, index) => `t${index}`))), { field: 'spec.topics' }, /^must have at most 1000 entries$/],
    ['with a topic twice', kafkaSource.replace('[orders]', '[orders, orders]'), { field: 'spec.topics[1]', line: 8 }, /stands here twice/],
    ['with text for servers', kafkaSource.replace('["kafka:9092"]', 'kafka:9092'), { field: 'spec.bootstrapServers' }, /expected a list, found "kafka:9092"/],
    ['with a server without a port', kafkaSource.replace(':9092', ''), { field: 'spec.bootstrapServers[0]', line: 7 }, /expected host:port/],
    ['with fewer consumers than none', `${kafkaSource}  consumers: -1\n`, { field: 'spec.consumers', line: 10 }, /at least 0, found -1/],
    ['with too many consumers', `${kafkaSource}  consumers: 10001\n`, { field: 'spec.consumers' }, /at most 10000, found 10001/],
    ['with an order that does not exist', `${kafkaSource}  ordering: any\n`, { field: 'spec.ordering' }, /expected ordered or unordered or key-ordered, found "any"/],
    ['with an offset that is none', `${kafkaSource}  initialOffset: newest\n`, { field: 'spec.initialOffset', line: 10 }, /expected earliest, latest or a time/],
    ['with a typing error', `${kafkaSource}  consumer: 1\n`, { field: 'spec.consumer' }, /did you mean consumers\?/],
    ['with the subscribers of a channel', `${kafkaSource}  subscribers: []\n`, { field: 'spec.subscribers' }, /unknown field/],
    ['with a Secret without a key', `${kafkaSource}  net: {tls: {enable: true, caCert: {secretKeyRef: {name: a}}}}\n`, { field: 'spec.net.tls.caCert.secretKeyRef.key' }, /^is required$/],
    ['with a key type that does not exist', kafkaSource.replace('  namespace', '  labels: {kafkasources.sources.knative.dev/key-type: uuid}\n  namespace'), { field: 'metadata.labels["kafkasources.sources.knative.dev/key-type"]', line: 5 }, /expected string, int, float, byte-array/],
    ['of another version', kafkaSource.replace('/v1', '/v2'), { field: 'apiVersion' }, /expected sources.knative.dev\/v1 or sources.knative.dev\/v1beta1, found/],
  ])('a KafkaSource %s', (_name, text, where, message) => {
    const file = read(text);
    expect(file.problems).toHaveLength(1);
    expect(file.problems[0]).toMatchObject({ level: 'error', resource: 'KafkaSource shop/orders', ...where });
    expect(file.problems[0]?.message).toMatch(message);
    expect(inForce(file)).toEqual([]);
  });

  it.each<[string, string, RegExp, number]>([
    ['a misspelt source', kafkaSource.replace('KafkaSource', 'Kafkasource'), /expected KafkaSource, found "Kafkasource"/, 2],
    ['a missing name', channel.replace(/metadata[^]*/, ''), /is required/, 1],
    ['a missing kind', channel.replace(/kind.*\n/, ''), /is required; expected a Kubernetes object/, 1],
    ['a missing apiVersion', channel.replace(/apiVersion.*\n/, ''), /is required; expected a Kubernetes object/, 1],
    ['a kind that is a number', channel.replace('KafkaChannel', '5'), /is required/, 2],
    ['a kind with a typing error', channel.replace('KafkaChannel', 'KafkaChanel'), /expected KafkaChannel or Subscription, found "KafkaChanel"/, 2],
    ['a kind in lower case', channel.replace('KafkaChannel', 'kafkachannel'), /found "kafkachannel"/, 2],
    ['plain text', 'hello\n', /expected a Kubernetes object/, 1],
    ['a list', '- a\n- b\n', /expected a Kubernetes object/, 1],
    ['an open quote', `${channel}spec: "\n`, /not valid YAML/, 6],
    ['an open brace', `${channel}spec: {\n`, /not valid YAML/, 6],
    ['tabs', `${channel}spec:\n\tnumPartitions: 1\n`, /use spaces/, 6],
    ['wrong indentation', `${channel}spec:\n  numPartitions: 1\n replicationFactor: 1\n`, /not valid YAML/, 7],
    ['a key that stands twice', `${channel}spec:\n  numPartitions: 1\n  numPartitions: 2\n`, /the key "numPartitions" stands twice/, 7],
    ['an alias of nothing', `${channel}spec: *nothing\n`, /an alias has no anchor/, 1],
    ['JSON that ends early', '{"apiVersion": "v1", "kind": "Ser', /not valid YAML/, 1],
  ])('%s leaves open which resource was meant', (_name, text, message, line) => {
    const file = read(text);
    expect(file.problems.map((problem) => problem.message)).toEqual([expect.stringMatching(message) as string]);
    expect(file.problems[0]).toMatchObject({ level: 'error', document: 1, line });
    expect(file.entries).toMatchObject([{ document: 1, id: undefined, resource: undefined }]);
  });

  it('spoils only itself', () => {
    const file = read(`${channel}spec: {numPartitions: many}\n---\n${subscription}`);
    expect(inForce(file)).toEqual(['Subscription shop/display']);
    expect(file.problems).toMatchObject([{ document: 1, line: 5, field: 'spec.numPartitions' }]);
  });

  it('reports all of its mistakes, but not a million', () => {
    expect(read(`${channel}spec: {numPartitions: 0, delivery: {retry: x, format: y}, z: 1}\n`).problems.map((problem) => problem.field)).toEqual([
      'spec.z', 'spec.numPartitions', 'spec.delivery.retry', 'spec.delivery.format',
    ]);
    const many = Array.from({ length: 1000 }, (_, index) => `  x${index}: 1\n`).join('');
    expect(read(`${channel}spec:\n${many}`).problems).toHaveLength(20);
  });

  it('names the items of a List by their place', () => {
    const text = `apiVersion: v1\nkind: List\nitems:\n- apiVersion: messaging.knative.dev/v1\n  kind: KafkaChannel\n  metadata:\n    name: a\n  spec:\n    numPartitions: 0\n- nothing\n`;
    expect(read(text).problems.map(({ line, field }) => [line, field])).toEqual([[9, 'items[0].spec.numPartitions'], [10, 'items[1]']]);
  });
});

describe('Secrets', () => {
  it.each([
    ['no base64', 'data: {password: "hunter2!"}'],
    ['a number', 'data: {password: 12345678}'],
    ['a list', 'stringData: {password: [hunter2]}'],
    ['data as text', 'data: hunter2'],
    ['a broken quote', 'data: {password: "hunter2}'],
    ['a key twice', 'stringData: {password: hunter2, password: hunter2}'],
    ['an unknown place', 'Data: {password: hunter2}'],
    ['bad indentation', 'stringData:\n  password: hunter2\n hunter2: 1'],
    ['a block that begins on its first line', 'stringData:\n  password: |hunter2\n'],
    ['an escape that does not exist', 'stringData: {password: "\\hunter2"}'],
    ['a bracket too many', 'stringData: {password: x}}hunter2'],
    ['text after the end', 'stringData: {}\n...hunter2\n... hunter2'],
    ['a tag', 'stringData: {password: !hunter2! x}'],
    ['a colon too many', 'stringData: {password: hunter2: hunter2}\n  hunter2: 1'],
  ])('keep their values out of messages: %s', (_name, data) => {
    const { problems, entries } = read(`apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n${data}\n`);
    expect(entries[0]?.resource).toBeUndefined();
    expect(problems.length).toBeGreaterThan(0);
    expect(JSON.stringify(problems)).not.toMatch(/hunter2|12345678/);
  });
});

describe('limits', () => {
  it('reads no file that is too large', () => {
    const file = read(`${channel}# ${'x'.repeat(maxFileBytes)}`);
    expect(file.problems).toEqual([
      { level: 'error', file: 'f.yaml', document: 0, line: 0, message: expect.stringMatching(/bytes, at most 1048576 are read/) as string },
    ]);
    expect(file.entries).toEqual([{ document: 0, line: 0, id: undefined, resource: undefined }]);
  });

  it('reads a large ConfigMap within the limit', () => {
    const lines = '    some text that is long enough to fill a file\n'.repeat(20_000);
    expect(inForce(read(`apiVersion: v1\nkind: ConfigMap\nmetadata: {name: big}\ndata:\n  text: |\n${lines}`))).toEqual(['ConfigMap default/big']);
  });

  it('reads a thousand documents and no more', () => {
    const many = (count: number): string => Array.from({ length: count }, (_, i) => channel.replace('orders', `c${i}`)).join('---\n');
    expect(inForce(read(many(maxDocuments)))).toHaveLength(maxDocuments);
    expect(read(many(maxDocuments + 1)).problems).toMatchObject([{ document: 0, message: 'has 1001 documents, at most 1000 are read' }]);
  });

  it.each<[string, string]>([
    ['aliases that double thirty times', `a0: &a0 [x,x]\n${Array.from({ length: 30 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i},*a${i}]\n`).join('')}`],
    ['deep nesting', '[{a: '.repeat(40_000)],
    ['deep nesting that closes', `a: ${'['.repeat(20_000)}${']'.repeat(20_000)}`],
    ['a megabyte of brackets', ']'.repeat(1_000_000)],
    ['a megabyte of commas', `[${','.repeat(1_000_000)}`],
    ['a megabyte of quotes', '"'.repeat(1_000_000)],
    ['many keys', Array.from({ length: 30_000 }, (_, i) => `k${i}: 1\n`).join('')],
  ])('%s: fails in bounded time', { timeout: 20_000 }, (_name, text) => {
    const startMs = performance.now();
    const file = read(`${text}\n`);
    expect(performance.now() - startMs).toBeLessThan(10_000);
    expect(file.problems.length).toBeGreaterThan(0);
    expect(inForce(file)).toEqual([]);
  });

  it('does not take __proto__ for anything special', () => {
    const file = read(`${channel}  labels: {__proto__: x}\n  __proto__: {namespace: evil}\nspec:\n  __proto__: {numPartitions: 5}\n`);
    expect(file.problems.map((problem) => problem.field).sort()).toEqual(['metadata.__proto__', 'spec.__proto__']);
  });
});
