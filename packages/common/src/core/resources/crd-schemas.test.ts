import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { renderCrdSchemas } from '../../generate-crd-schemas.ts';
import type { CrdSchema } from './crd-schema.ts';
import { checkAgainstSchema, durationPattern } from './crd-schema.ts';
import { kafkaChannelSchema, kafkaSourceSchema, subscriptionSchema } from './crd-schemas.generated.ts';
import type { DeliverySpec } from './delivery.ts';
import type { Destination, ObjectReference } from './destination.ts';
import type { KafkaChannelManifest, Subscriber } from './kafka-channel.ts';
import { defaultRetentionMs } from './kafka-channel.ts';
import { parseDurationMs } from './delivery.ts';
import type { KafkaSourceManifest, PodPlacement, SecretKeyReference } from './kafka-source.ts';
import { sourceOrders } from './kafka-source.ts';
import type { SubscriptionSpec } from './subscription.ts';

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');

it('the generated schemas are those of the chart (run `npm run generate` if not)', () => {
  expect(read('./crd-schemas.generated.ts')).toBe(renderCrdSchemas());
});

interface Crd {
  metadata: { name: string; labels: Record<string, string>; annotations?: Record<string, string> };
  spec: {
    scope: string;
    names: { kind: string; plural: string; shortNames: string[]; categories: string[] };
    versions: { name: string; served: boolean; storage: boolean; subresources: object; additionalPrinterColumns: { name: string; priority?: number }[] }[];
  };
}

describe('what Knative asks of the definition of a channel', () => {
  const crd = parse(read('../../../../../helm/knative-kafka/files/crds/kafka-channel.yaml')) as Crd;

  it('is found by its labels, category and plural', () => {
    expect(crd.metadata.name).toBe('kafkachannels.messaging.knative.dev');
    expect(crd.metadata.labels).toMatchObject({
      'messaging.knative.dev/subscribable': 'true',
      'duck.knative.dev/addressable': 'true',
    });
    expect(crd.spec.scope).toBe('Namespaced');
    expect(crd.spec.names).toMatchObject({ kind: 'KafkaChannel', plural: 'kafkachannels', shortNames: ['kc'] });
    expect(crd.spec.names.categories).toEqual(['all', 'knative', 'messaging', 'channel']);
  });

  it('serves v1beta1 and v1 with a status subresource and the usual columns', () => {
    expect(crd.spec.versions.map(({ name, served, storage }) => [name, served, storage])).toEqual([
      ['v1beta1', true, true],
      ['v1', true, false],
    ]);
    for (const version of crd.spec.versions) {
      expect(version.subresources).toEqual({ status: {} });
      expect(version.additionalPrinterColumns.map((column) => column.name)).toEqual(['Ready', 'Reason', 'URL', 'Age']);
    }
  });
});

describe('what Knative asks of the definition of a source', () => {
  const crd = parse(read('../../../../../helm/knative-kafka/files/crds/kafka-source.yaml')) as Crd;

  it('is found by its label, category and plural, and says what it sends', () => {
    expect(crd.metadata.name).toBe('kafkasources.sources.knative.dev');
    expect(crd.metadata.labels).toMatchObject({ 'duck.knative.dev/source': 'true' });
    expect(JSON.parse(crd.metadata.annotations?.['registry.knative.dev/eventTypes'] ?? '')).toMatchObject([{ type: 'dev.knative.kafka.event' }]);
    expect(crd.spec.scope).toBe('Namespaced');
    expect(crd.spec.names).toMatchObject({ kind: 'KafkaSource', plural: 'kafkasources' });
    expect(crd.spec.names.categories).toEqual(['all', 'knative', 'eventing', 'sources']);
  });

  it('serves v1beta1 and v1 with status and scale subresources and the usual columns', () => {
    expect(crd.spec.versions.map(({ name, served, storage }) => [name, served, storage])).toEqual([
      ['v1beta1', true, true],
      ['v1', true, false],
    ]);
    for (const version of crd.spec.versions) {
      expect(version.subresources).toEqual({ status: {}, scale: { specReplicasPath: '.spec.consumers', statusReplicasPath: '.status.consumers', labelSelectorPath: '.status.selector' } });
      const columns = version.additionalPrinterColumns.filter(({ priority = 0 }) => priority === 0).map(({ name }) => name);
      expect(columns).toEqual(['Topics', 'BootstrapServers', 'Ready', 'Reason', 'Age']);
    }
  });
});

/** Every schema of a tree, with its path. */
function* schemas(schema: CrdSchema, path: string, isBranch = false): Generator<[string, CrdSchema, boolean]> {
  yield [path, schema, isBranch];
  for (const [name, property] of Object.entries(schema.properties ?? {})) yield* schemas(property, `${path}.${name}`);
  if (schema.items !== undefined) yield* schemas(schema.items, `${path}[]`);
  if (schema.additionalProperties !== undefined) yield* schemas(schema.additionalProperties, `${path}{}`, true);
}

describe.each([
  ['KafkaChannel', kafkaChannelSchema],
  ['KafkaSource', kafkaSourceSchema],
  ['Subscription', subscriptionSchema],
])('the schema of %s', (kind, root) => {
  it.each([...schemas(root, kind)])('%s has a type, a description and only what a structural schema may have', (path, schema, isMap) => {
    expect(schema.type).toBeDefined();
    const isMetadata = path === `${kind}.metadata`;
    // Kubernetes refuses whatever else is said about metadata.
    if (isMetadata) expect(schema).toEqual({ type: 'object' });
    else if (!isMap) expect(schema.description).toMatch(/\.$/);
    // Kubernetes refuses both at once, and a type inside anyOf.
    expect(schema.properties !== undefined && schema.additionalProperties !== undefined).toBe(false);
    for (const branch of schema.anyOf ?? []) expect(Object.keys(branch)).toEqual(['required']);
    if (schema.type === 'array') expect(schema.items).toBeDefined();
    for (const name of schema.required ?? []) expect(Object.keys(schema.properties ?? {})).toContain(name);
    if (schema.default !== undefined) {
      const check = checkAgainstSchema(schema, schema.default);
      expect(check.problems).toEqual([]);
    }
  });

  it('has one pattern for durations, which the explanation of problems knows', () => {
    for (const [path, schema] of schemas(root, kind)) {
      const isDuration = /Delay$|\.timeout$|retryAfterMax$|Duration$/.test(path);
      expect(schema.pattern, path).toBe(isDuration ? durationPattern : undefined);
    }
  });
});

it('the default retention in the code is that of the schema', () => {
  const retention = kafkaChannelSchema.properties?.['spec']?.properties?.['retentionDuration'];
  expect(parseDurationMs(retention?.default as string)).toBe(defaultRetentionMs);
});

describe('the types have no field that the schema does not know', () => {
  const at = (schema: CrdSchema, ...path: string[]): string[] => {
    let current = schema;
    for (const name of path) current = (name === '[]' ? current.items : current.properties?.[name]) ?? {};
    return Object.keys(current.properties ?? {});
  };
  const delivery: Record<keyof DeliverySpec, true> = {
    deadLetterSink: true, retry: true, backoffPolicy: true, backoffDelay: true, timeout: true, retryAfterMax: true, format: true,
  };
  const destination: Record<keyof Destination, true> = { ref: true, uri: true, CACerts: true, audience: true };
  const reference: Record<keyof ObjectReference, true> = {
    apiVersion: true, kind: true, name: true, namespace: true, group: true, address: true,
  };
  const subscriber: Record<keyof Subscriber, true> = {
    uid: true, name: true, generation: true, subscriberUri: true, subscriberCACerts: true, subscriberAudience: true,
    replyUri: true, replyCACerts: true, replyAudience: true, delivery: true,
  };
  const channelSpec: Record<keyof KafkaChannelManifest['spec'], true> = {
    numPartitions: true, replicationFactor: true, retentionDuration: true, delivery: true, subscribers: true,
  };
  const subscriptionSpec: Record<keyof SubscriptionSpec, true> = { channel: true, subscriber: true, reply: true, delivery: true };

  const sourceSpec: Record<keyof KafkaSourceManifest['spec'], true> = {
    bootstrapServers: true, topics: true, consumers: true, consumerGroup: true, initialOffset: true, ordering: true, delivery: true, sink: true, ceOverrides: true, net: true,
  };
  type Net = NonNullable<KafkaSourceManifest['spec']['net']>;
  const sasl: Record<keyof NonNullable<Net['sasl']>, true> = { enable: true, type: true, user: true, password: true, tokenProvider: true, roleARN: true };
  const tls: Record<keyof NonNullable<Net['tls']>, true> = { enable: true, caCert: true, cert: true, key: true };
  const secretKey: Record<keyof SecretKeyReference, true> = { name: true, key: true };
  const placement: Record<keyof PodPlacement, true> = { podName: true, vreplicas: true };

  it.each<[string, object, string[]]>([
    ['KafkaSource.spec', sourceSpec, at(kafkaSourceSchema, 'spec')],
    ['KafkaSource.spec.delivery', delivery, at(kafkaSourceSchema, 'spec', 'delivery')],
    ['KafkaSource.spec.sink', destination, at(kafkaSourceSchema, 'spec', 'sink')],
    ['KafkaSource.spec.sink.ref', reference, at(kafkaSourceSchema, 'spec', 'sink', 'ref')],
    ['KafkaSource.spec.net.sasl', sasl, at(kafkaSourceSchema, 'spec', 'net', 'sasl')],
    ['KafkaSource.spec.net.tls', tls, at(kafkaSourceSchema, 'spec', 'net', 'tls')],
    ...['type', 'user', 'password', 'tokenProvider', 'roleARN'].map((part): [string, object, string[]] => [`KafkaSource.spec.net.sasl.${part}`, secretKey, at(kafkaSourceSchema, 'spec', 'net', 'sasl', part, 'secretKeyRef')]),
    ...['caCert', 'cert', 'key'].map((part): [string, object, string[]] => [`KafkaSource.spec.net.tls.${part}`, secretKey, at(kafkaSourceSchema, 'spec', 'net', 'tls', part, 'secretKeyRef')]),
    ['KafkaSource.status.placements[]', placement, at(kafkaSourceSchema, 'status', 'placements', '[]')],
    ['KafkaChannel.spec', channelSpec, at(kafkaChannelSchema, 'spec')],
    ['KafkaChannel.spec.delivery', delivery, at(kafkaChannelSchema, 'spec', 'delivery')],
    ['KafkaChannel.spec.delivery.deadLetterSink', destination, at(kafkaChannelSchema, 'spec', 'delivery', 'deadLetterSink')],
    ['KafkaChannel.spec.subscribers[]', subscriber, at(kafkaChannelSchema, 'spec', 'subscribers', '[]')],
    ['Subscription.spec', subscriptionSpec, at(subscriptionSchema, 'spec')],
    ['Subscription.spec.delivery', delivery, at(subscriptionSchema, 'spec', 'delivery')],
    ['Subscription.spec.subscriber', destination, at(subscriptionSchema, 'spec', 'subscriber')],
    ['Subscription.spec.subscriber.ref', reference, at(subscriptionSchema, 'spec', 'subscriber', 'ref')],
    ['Subscription.spec.reply', destination, at(subscriptionSchema, 'spec', 'reply')],
  ])('%s', (_name, type, known) => {
    expect(known).toEqual(expect.arrayContaining(Object.keys(type)));
  });
});

it('the orders of a source in the code are those of the schema', () => {
  const ordering = kafkaSourceSchema.properties?.['spec']?.properties?.['ordering'];
  expect(ordering?.enum).toEqual(sourceOrders);
  expect(ordering?.default).toBe(sourceOrders[0]);
});
