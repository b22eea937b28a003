import { describe, expect, it } from 'vitest';
import { readFeatures, type Features } from './features.ts';
import { fieldName } from './field-problem.ts';
import { eventsPerSecondPerVreplica, generatedConsumerGroup, isGeneratedConsumerGroup, keyTypeLabel, maxPollRecordsAnnotation, parseInitialOffset, parseKafkaSource, rateLimiterAnnotation, sourceDelivery, type InitialOffset, type KafkaSource, type KafkaSourceManifest } from './kafka-source.ts';

const uid = '0c9f2f4e-7f3c-4a53-9d0a-5c6c51e3b1aa';
interface Change {
  readonly spec?: Partial<KafkaSourceManifest['spec']>;
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
}
const manifest = ({ spec = {}, labels = {}, annotations = {} }: Change = {}): KafkaSourceManifest => ({
  apiVersion: 'sources.knative.dev/v1',
  kind: 'KafkaSource',
  metadata: { name: 'orders', namespace: 'shop', uid, generation: 4, labels, annotations },
  spec: { bootstrapServers: ['kafka:9092'], topics: ['orders'], sink: { uri: 'http://sink' }, ...spec },
});
const parse = (change?: Change): KafkaSource => parseKafkaSource(manifest(change)).source;
const problems = (change: Change): string[] => parseKafkaSource(manifest(change)).problems.map(({ path, message }) => `${fieldName(path)} ${message}`);
const reference = (key: string, name = 'kafka') => ({ secretKeyRef: { name, key } });

describe('parseKafkaSource', () => {
  it('fills in what is left out', () => {
    expect(parseKafkaSource(manifest())).toEqual({
      source: {
        kind: 'KafkaSource',
        metadata: { name: 'orders', namespace: 'shop', uid, generation: 4, labels: {}, annotations: {} },
        spec: {
          bootstrapServers: ['kafka:9092'],
          topics: ['orders'],
          consumers: 1,
          consumerGroup: `knative-kafka-source-${uid}`,
          initialOffset: 'latest',
          ordering: 'ordered',
          sink: { uri: 'http://sink' },
          extensions: {},
          keyType: 'string',
          net: {},
        },
      },
      problems: [],
    });
  });

  it('keeps what is said', () => {
    const { source, problems: found } = parseKafkaSource(manifest({
      spec: {
        bootstrapServers: ['a:9092, b:9092', '[::1]:9093'],
        topics: ['a', 'b'],
        consumers: 0,
        consumerGroup: 'mine',
        initialOffset: '2024-01-31T23:59:59.5+01:00',
        ordering: 'key-ordered',
        delivery: { retry: 2 },
        ceOverrides: { extensions: { team: 'a' } },
        net: { sasl: { enable: true, type: reference('type'), user: reference('user'), password: reference('password') }, tls: { enable: true, caCert: reference('ca.crt', 'authorities') } },
      },
      labels: { [keyTypeLabel]: 'byte-array' },
    }));
    expect(found).toEqual([]);
    expect(source.spec).toEqual({
      bootstrapServers: ['a:9092', 'b:9092', '[::1]:9093'],
      topics: ['a', 'b'],
      consumers: 0,
      consumerGroup: 'mine',
      initialOffset: { timestampMs: Date.UTC(2024, 0, 31, 22, 59, 59, 500) },
      ordering: 'key-ordered',
      delivery: { retry: 2 },
      sink: { uri: 'http://sink' },
      extensions: { team: 'a' },
      keyType: 'byte-array',
      net: { sasl: { type: { name: 'kafka', key: 'type' }, user: { name: 'kafka', key: 'user' }, password: { name: 'kafka', key: 'password' } }, tls: { caCert: { name: 'authorities', key: 'ca.crt' } } },
    });
  });

  it.each<[string, KafkaSourceManifest['spec']['net'], KafkaSource['spec']['net']]>([
    ['as eventing-kafka-broker stores it where nothing is used', { sasl: { password: {}, type: {}, user: {} }, tls: { caCert: {}, cert: {}, key: {} } }, {}],
    ['that is not enabled', { sasl: { user: reference('user') }, tls: { enable: false, caCert: reference('ca.crt') } }, {}],
    ['that is enabled, and no more', { sasl: { enable: true }, tls: { enable: true } }, { sasl: {}, tls: {} }],
    ['with a token provider', { sasl: { enable: true, tokenProvider: reference('provider'), roleARN: reference('role') } }, { sasl: { tokenProvider: { name: 'kafka', key: 'provider' } } }],
  ])('net %s', (_name, net, expected) => {
    const { source, problems: found } = parseKafkaSource(manifest({ spec: { net: net! } }));
    expect(source.spec.net).toEqual(expected);
    expect(found).toEqual([]);
  });

  it.each<[string, Change, string[]]>([
    ['a server without a port', { spec: { bootstrapServers: ['kafka'] } }, ['spec.bootstrapServers[0] expected host:port, several separated by commas; found "kafka"']],
    ['a server with a port that does not exist', { spec: { bootstrapServers: ['a:9092', 'b:0'] } }, ['spec.bootstrapServers[1] expected host:port, several separated by commas; found "b:0"']],
    ['an empty server', { spec: { bootstrapServers: ['a:9092,'] } }, ['spec.bootstrapServers[0] expected host:port, several separated by commas; found "a:9092,"']],
    ['a topic twice', { spec: { topics: ['a', 'b', 'a'] } }, ['spec.topics[2] "a" stands here twice']],
    ['a topic that Kafka does not take', { spec: { topics: ['a b', '..'] } }, ['spec.topics[0] topic name "a b": only letters, digits, \'.\', \'_\' and \'-\' are allowed', 'spec.topics[1] a topic cannot be named ".."']],
    ['an offset that is none', { spec: { initialOffset: 'newest' } }, ['spec.initialOffset expected earliest, latest or a time from 1970 on such as 2024-01-31T23:59:59Z; found "newest"']],
    ['a duration that is none', { spec: { delivery: { timeout: '5s' } } }, ['spec.delivery.timeout expected an ISO 8601 duration such as PT0.5S, PT1M30S or P7D (seconds are PT<number>S): found "5s"']],
    ['overrides of what an event is', { spec: { ceOverrides: { extensions: { id: 'x', data: 'y' } } } }, ['spec.ceOverrides.extensions.id is an attribute that every event has for itself and cannot be an extension', 'spec.ceOverrides.extensions.data is an attribute that every event has for itself and cannot be an extension']],
    ['overrides with other names', { spec: { ceOverrides: { extensions: { 'a-b': 'x', 'Team': 'y', '': 'z' } } } }, ['a-b', 'Team', ''].map((name) => `${fieldName(['spec', 'ceOverrides', 'extensions', name])} the name of an extension is of letters a-z and digits, at most 256`)],
    ['a certificate without its key', { spec: { net: { tls: { enable: true, cert: reference('cert') } } } }, ['spec.net.tls.key is required beside cert: a certificate and its private key go together']],
    ['a key without its certificate', { spec: { net: { tls: { enable: true, key: reference('key'), cert: {} } } } }, ['spec.net.tls.cert is required beside key: a certificate and its private key go together']],
    ['a key type that does not exist', { labels: { [keyTypeLabel]: 'uuid' } }, [`metadata.labels["${keyTypeLabel}"] expected string, int, float, byte-array; found "uuid"`]],
    ['a rate limiter that is neither on nor off', { annotations: { [rateLimiterAnnotation]: 'yes' } }, [`metadata.annotations["${rateLimiterAnnotation}"] expected enabled or disabled; found "yes"`]],
    ['a rate that is none', { annotations: { [maxPollRecordsAnnotation]: '0' } }, [`metadata.annotations["${maxPollRecordsAnnotation}"] expected a whole number from 1 to 1000000; found "0"`]],
  ])('says what is wrong with %s', (_name, change, expected) => {
    expect(problems(change)).toEqual(expected);
  });

  it('is complete in spite of problems, and none of them does harm', () => {
    expect(parse({ spec: { initialOffset: '?', ordering: '?', ceOverrides: { extensions: { id: 'x', team: 'a' } } }, labels: { [keyTypeLabel]: '?' } }).spec).toMatchObject({
      initialOffset: 'latest', ordering: 'ordered', keyType: 'string', extensions: { team: 'a' },
    });
  });

  it('does not take __proto__ for anything special', () => {
    const extensions = JSON.parse('{"__proto__": "x"}') as Record<string, string>;
    expect(parse({ spec: { ceOverrides: { extensions } } }).spec.extensions).toEqual({});
    expect(problems({ spec: { ceOverrides: { extensions } } })).toHaveLength(1);
  });
});

describe('parseInitialOffset', () => {
  it.each<[string, InitialOffset | undefined]>([
    ['earliest', 'earliest'],
    ['latest', 'latest'],
    ['1970-01-01T00:00:00Z', { timestampMs: 0 }],
    ['1970-01-01T00:00:00-05:00', { timestampMs: 18_000_000 }],
    ['2024-02-29T12:00:00.123456789Z', { timestampMs: Date.UTC(2024, 1, 29, 12, 0, 0, 123) }],
    ['9999-12-31T23:59:59Z', { timestampMs: Date.UTC(9999, 11, 31, 23, 59, 59) }],
    ['', undefined],
    ['Latest', undefined],
    ['newest', undefined],
    ['1700000000000', undefined],
    ['2024-01-31', undefined],
    ['2024-01-31T23:59:59', undefined],
    ['2024-02-30T00:00:00Z', undefined],
    ['2024-01-31T24:00:00Z', undefined],
    ['2016-12-31T23:59:60Z', undefined],
    ['1969-12-31T23:59:59Z', undefined],
    ['1970-01-01T00:00:00+05:00', undefined],
    ['-1', undefined],
  ])('%j is %j', (text, expected) => {
    expect(parseInitialOffset(text)).toEqual(expected);
  });
});

describe('consumer groups', () => {
  it.each<[string, boolean]>([
    [generatedConsumerGroup(uid), true],
    ['knative-kafka-source-5d9f2f4e-7f3c-8a53-bd0a-5c6c51e3b1aa', true],
    ['knative-kafka-source-mine', false],
    [`my-${generatedConsumerGroup(uid)}`, false],
    [`${generatedConsumerGroup(uid)}-2`, false],
    [`${generatedConsumerGroup(uid)}\n`, false],
    ['', false],
  ])('%j was named by a controller: %s', (name, expected) => {
    expect(isGeneratedConsumerGroup(name)).toBe(expected);
  });

  it('of a manifest without a uid is a generated one, and always the same', () => {
    const { consumerGroup } = parseKafkaSource({ ...manifest(), metadata: { name: 'orders' } }).source.spec;
    expect(isGeneratedConsumerGroup(consumerGroup)).toBe(true);
    expect(parseKafkaSource({ ...manifest(), metadata: { name: 'orders' } }).source.spec.consumerGroup).toBe(consumerGroup);
  });
});

describe('sourceDelivery', () => {
  const defaults = { retry: 10, backoffPolicy: 'exponential', backoffDelayMs: 300, timeoutMs: 600_000, retryAfterMaxMs: undefined, format: undefined, deadLetterSink: undefined };
  const sink = { uri: 'http://dead' };
  it.each<[string, KafkaSourceManifest['spec']['delivery'], object]>([
    ['nothing', undefined, {}],
    ['an empty object', {}, {}],
    ['a dead letter sink alone, which keeps the retries', { deadLetterSink: sink }, { deadLetterSink: sink }],
    ['no retries', { retry: 0 }, { retry: 0 }],
    ['every field', { retry: 3, backoffPolicy: 'linear', backoffDelay: 'PT1S', timeout: 'PT5S', retryAfterMax: 'PT9S', format: 'json' }, { retry: 3, backoffPolicy: 'linear', backoffDelayMs: 1000, timeoutMs: 5000, retryAfterMaxMs: 9000, format: 'json' }],
    ['durations that are none', { timeout: 'x', backoffDelay: 'y' }, {}],
  ])('of %s', (_name, delivery, expected) => {
    expect(sourceDelivery(parse({ spec: delivery === undefined ? {} : { delivery } }))).toEqual({ ...defaults, ...expected });
  });
});

describe('eventsPerSecondPerVreplica', () => {
  const features = (isRateLimiterEnabled: boolean): Features => ({ ...readFeatures([], 'knative-eventing'), isRateLimiterEnabled });
  const dataPlane = { maxPollRecords: 50, problems: [] };
  it.each<[boolean, string | undefined, string | undefined, number | undefined]>([
    [false, undefined, undefined, undefined],
    [true, undefined, undefined, 50],
    [false, 'enabled', undefined, 50],
    [true, 'disabled', undefined, undefined],
    [false, ' Enabled ', '20', 20],
    [true, undefined, '20', 20],
    [false, undefined, '20', undefined],
    [true, 'yes', undefined, 50],
    [false, 'yes', undefined, undefined],
    [true, undefined, '0', 50],
    [true, undefined, 'many', 50],
  ])('switched on for all: %s, annotations %j and %j: %s', (isOn, limiter, limit, expected) => {
    const annotations = { ...(limiter === undefined ? {} : { [rateLimiterAnnotation]: limiter }), ...(limit === undefined ? {} : { [maxPollRecordsAnnotation]: limit }) };
    expect(eventsPerSecondPerVreplica(parse({ annotations }), features(isOn), dataPlane)).toBe(expected);
  });
});
