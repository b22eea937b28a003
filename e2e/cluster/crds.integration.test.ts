/**
 * The kinds, the guard of spec.subscribers and the roles, on a real API server: what it takes, what it refuses and in
 * which words. Tests are named by the rows of Knative's contract that they protect.
 */
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseDurationMs, parseInitialOffset } from '@knative-kafka/common/core';
import { startKubernetes, waitFor, type KubernetesCluster } from '@knative-kafka/local-cluster';
import { installChart, kubectl, patienceMs, root, systemNamespace } from './install.ts';
import { kafkaChannel, PlainApi, type Answer, type PlainObject } from './plain-api.ts';

let folder: string;
let cluster: KubernetesCluster;
let api: PlainApi;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'knative-kafka-crds-'));
  cluster = await startKubernetes({ dataDir: folder, onProgress: console.log });
  api = new PlainApi(cluster);
  await installEarlierDefinitions();
  // As the refusal of the chart says, see chart.integration.test.ts.
  await installChart(cluster, { args: ['--set', 'crds.adopt=true', '--take-ownership', '--server-side=false'] });
  // As Knative Eventing binds its controller.
  await kubectl(cluster, ['create', 'clusterrolebinding', 'eventing-controller', '--clusterrole=channelable-manipulator', `--serviceaccount=${systemNamespace}:eventing-controller`]);
  await waitFor('the rights of the eventing-controller', () => can(eventingController, 'patch', 'kafkachannels.messaging.knative.dev', 'default'), { timeoutMs: patienceMs });
});
afterAll(async () => {
  await api.close();
  await cluster.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Definitions as another implementation may have left them, each with an object that is not quite as ours would be. */
async function installEarlierDefinitions(): Promise<void> {
  for (const [kind, plural, earlier] of [
    ['KafkaChannel', 'kafkachannels', kafkaChannel('earlier', { numPartitions: 5, retentionDuration: 'P1Y' }, 'v1beta1')],
    ['KafkaSource', 'kafkasources', kafkaSource('earlier', { topics: ['a', 'a'], consumers: 20_000, consumerGroup: 'mine' }, 'v1beta1')],
  ] as const) {
    const [group = ''] = earlier.apiVersion.split('/');
    expect(verdict(await api.create(earlierDefinition(group, kind, plural), { dryRun: false }))).toBe(taken);
    await waitFor(`the earlier ${kind} being served`, async () => (await api.create(earlier, { dryRun: false })).status === 201, { timeoutMs: patienceMs });
  }
}

function earlierDefinition(group: string, kind: string, plural: string): PlainObject {
  const anything = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const schema = { openAPIV3Schema: { type: 'object', properties: { spec: anything, status: anything } } };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind, plural },
      versions: [{ name: 'v1beta1', served: true, storage: true, schema }, { name: 'v1', served: true, storage: false, schema }],
      conversion: { strategy: 'Webhook', webhook: { conversionReviewVersions: ['v1'], clientConfig: { service: { name: 'gone', namespace: 'default' } } } },
    },
  };
}

const kafkaController = `system:serviceaccount:${systemNamespace}:kafka-controller`;
const eventingController = `system:serviceaccount:${systemNamespace}:eventing-controller`;

const taken = 'taken';
/** `taken`, or what the API server says. */
function verdict({ status, body }: Answer): string {
  if (status < 300) return taken;
  return body.message ?? JSON.stringify(body);
}

type Json = Readonly<Record<string, unknown>>;
/** A case: what, the object's spec or a patch of it, and `taken` or parts of the refusal. */
type Case = readonly [name: string, spec: unknown, expected: typeof taken | readonly string[]];

function expectVerdict(answer: Answer, expected: Case[2]): void {
  if (expected === taken) expect(verdict(answer)).toBe(taken);
  else for (const part of expected) expect(verdict(answer)).toContain(part);
}

const channelRef = { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name: 'orders' };
const subscriber = { ref: { apiVersion: 'v1', kind: 'Service', name: 'shop' } };

function subscription(name: string, spec: unknown): PlainObject {
  return { apiVersion: 'messaging.knative.dev/v1', kind: 'Subscription', metadata: { name, namespace: 'default' }, spec };
}
function genericChannel(name: string, spec: unknown): PlainObject {
  return { apiVersion: 'messaging.knative.dev/v1', kind: 'Channel', metadata: { name, namespace: 'default' }, spec };
}

function kafkaSource(name: string, spec: object, version = 'v1'): PlainObject {
  const required = { bootstrapServers: ['kafka:9092'], topics: ['orders'], sink: { uri: 'http://shop' } };
  return { apiVersion: `sources.knative.dev/${version}`, kind: 'KafkaSource', metadata: { name, namespace: 'default' }, spec: { ...required, ...spec } };
}

async function kept(object: PlainObject, as?: string): Promise<PlainObject> {
  const answer = await api.create(object, { dryRun: false, ...(as === undefined ? {} : { as }) });
  expect(verdict(answer)).toBe(taken);
  return object;
}

interface Schema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: Schema;
}
interface Crd extends PlainObject {
  readonly spec: {
    readonly scope: string;
    readonly names: { readonly kind: string; readonly plural: string; readonly shortNames: string[]; readonly categories: string[] };
    readonly versions: readonly { readonly name: string; readonly schema: { readonly openAPIV3Schema: Schema } }[];
  };
  readonly status: { readonly conditions: readonly { readonly type: string; readonly status: string; readonly message: string }[] };
}
const kinds = ['kafkachannels', 'subscriptions', 'channels'] as const;
const allKinds = [...kinds, 'kafkasources'] as const;
async function crd(plural: (typeof allKinds)[number]): Promise<Crd> {
  const group = plural === 'kafkasources' ? 'sources.knative.dev' : 'messaging.knative.dev';
  const name = { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: `${plural}.${group}` } };
  return (await api.get(name)).body as unknown as Crd;
}

describe('the definitions', () => {
  it('CP-01 KafkaChannel: namespaced, a Kind that ends in Channel, and the plural that is guessed from it', async () => {
    const { spec } = await crd('kafkachannels');
    expect(spec.scope).toBe('Namespaced');
    expect(spec.names).toMatchObject({ kind: 'KafkaChannel', plural: 'kafkachannels', shortNames: ['kc'] });
  });

  it.each(['kafkachannels', 'channels'] as const)('CP-02 %s: labels by which Knative finds channels', async (plural) => {
    expect((await crd(plural)).metadata['labels']).toMatchObject({
      'messaging.knative.dev/subscribable': 'true',
      'duck.knative.dev/addressable': 'true',
      'knative.dev/crd-install': 'true',
    });
  });

  it.each([
    ['kafkachannels', ['all', 'channel', 'knative', 'messaging']],
    ['channels', ['all', 'channel', 'knative', 'messaging']],
    ['subscriptions', ['all', 'knative', 'messaging']],
    ['kafkasources', ['all', 'eventing', 'knative', 'sources']],
  ] as const)('CP-03 %s: categories', async (plural, categories) => {
    expect([...(await crd(plural)).spec.names.categories].sort()).toEqual(categories);
  });

  it('CP-03: kubectl finds them by categories and short names', async () => {
    await kept(kafkaChannel('by-category', {}));
    await kubectl(cluster, ['api-resources']); // kubectl remembers categories from before the kinds were there
    // `channel` is the generic kind before it is a category.
    for (const name of ['messaging', 'knative', 'all', 'kc']) {
      expect(await kubectl(cluster, ['get', name, '--namespace', 'default', '-o', 'name'])).toContain('kafkachannel.messaging.knative.dev/by-category');
    }
    await kept(subscription('by-category', { channel: channelRef, subscriber }));
    await kept(genericChannel('by-category', null));
    expect(await kubectl(cluster, ['get', 'sub,ch', '--namespace', 'default', '-o', 'name'])).toBe(
      'subscription.messaging.knative.dev/by-category\nchannel.messaging.knative.dev/by-category\n',
    );
  });

  it('an earlier definition of KafkaChannel is replaced; its objects stay, and what was wrong with them does not stand in the way', async () => {
    const earlier = kafkaChannel('earlier', null);
    expect((await api.get(earlier)).body.spec).toEqual({ numPartitions: 5, replicationFactor: 1, retentionDuration: 'P1Y' });
    expectVerdict(await api.patch(earlier, { metadata: { finalizers: ['kafkachannels.messaging.knative.dev/test'] } }), taken);
    expectVerdict(await api.patch(earlier, { spec: { numPartitions: 6 } }), taken);
    expectVerdict(await api.patch(earlier, { spec: { retentionDuration: 'P2Y' } }), ['expected an ISO 8601 duration']);
  });

  it('an earlier definition of KafkaSource is replaced; its objects stay, and what was wrong with them does not stand in the way', async () => {
    const earlier = kafkaSource('earlier', {});
    expect((await api.get(earlier)).body.spec).toMatchObject({ topics: ['a', 'a'], consumers: 20_000, consumerGroup: 'mine', ordering: 'ordered' });
    expectVerdict(await api.patch(earlier, { metadata: { finalizers: ['kafkasources.sources.knative.dev/test'] } }), taken);
    expectVerdict(await api.patch(earlier, { status: { consumers: 1 } }, { subresource: 'status' }), taken);
    expectVerdict(await api.patch(earlier, { spec: { ordering: 'unordered' } }), taken);
    expectVerdict(await api.patch(earlier, { spec: { consumers: 30_000 } }), ['should be less than or equal to 10000']);
  });

  it.each(allKinds)('%s: the API server has nothing to say against the schema', async (plural) => {
    const conditions = new Map((await crd(plural)).status.conditions.map(({ type, status, message }) => [type, `${status} ${message}`]));
    expect(conditions.get('Established')).toMatch(/^True/);
    expect(conditions.get('NonStructuralSchema')).toBeUndefined();
  });

  it.each(allKinds)('%s: every field has a description, in every version', async (plural) => {
    const missing: string[] = [];
    const walk = (schema: Schema, path: string): void => {
      // Kubernetes describes metadata itself and refuses a description of ours.
      if (schema.description === undefined && !path.endsWith('.metadata')) missing.push(path);
      for (const [name, property] of Object.entries(schema.properties ?? {})) walk(property, `${path}.${name}`);
      if (schema.items !== undefined) walk(schema.items, `${path}[]`);
      if (schema.additionalProperties !== undefined) walk(schema.additionalProperties, `${path}{}`);
    };
    const { versions } = (await crd(plural)).spec;
    for (const { name, schema } of versions) walk(schema.openAPIV3Schema, name);
    expect(missing).toEqual([]);
  });

  it('delivery is one thing, whichever kind it belongs to', async () => {
    const [ofChannel, ...others] = await Promise.all(
      kinds.map(async (plural) => (await crd(plural)).spec.versions.map(({ schema }) => schema.openAPIV3Schema.properties?.['spec']?.properties?.['delivery']?.properties)),
    );
    for (const other of [...(ofChannel ?? []), ...others.flat()]) expect(other).toEqual(ofChannel?.[0]);
    // A source has other defaults, so the words differ, and nothing else.
    const withoutWords = (value: unknown): unknown => JSON.parse(JSON.stringify(value, (key, part: unknown) => (key === 'description' && typeof part === 'string' ? undefined : part)));
    const ofSource = (await crd('kafkasources')).spec.versions.map(({ schema }) => schema.openAPIV3Schema.properties?.['spec']?.properties?.['delivery']?.properties);
    for (const each of ofSource) expect(withoutWords(each)).toEqual(withoutWords(ofChannel?.[0]));
  });

  it('KS-01 KafkaSource: the label by which Knative finds sources, and the types of events that it sends', async () => {
    const { metadata, spec } = await crd('kafkasources');
    expect(metadata['labels']).toMatchObject({ 'duck.knative.dev/source': 'true', 'knative.dev/crd-install': 'true' });
    const { 'registry.knative.dev/eventTypes': types = '' } = metadata['annotations'] as Record<string, string>;
    expect(JSON.parse(types)).toMatchObject([{ type: 'dev.knative.kafka.event' }]);
    expect(spec.scope).toBe('Namespaced');
    expect(spec.names).toMatchObject({ kind: 'KafkaSource', plural: 'kafkasources' });
  });

  it.each([
    ['kafkachannel.spec.delivery.backoffDelay', 'ISO 8601 duration such as PT0.5S'],
    ['kafkachannel.spec.numPartitions', 'It can grow, never shrink'],
    ['kafkachannel.spec.subscribers', 'to add a subscriber, create a Subscription'],
    ['kafkachannel.status.conditions.reason', 'Why, in one CamelCase word'],
    ['subscription.spec.subscriber', 'Give uri, ref, or ref with a relative uri'],
    ['channels.messaging.knative.dev.spec.channelTemplate', 'Left out, it is filled in once'],
    ['kafkasource.spec.consumers', 'How many vreplicas'],
    ['kafkasource.spec.consumerGroup', 'Fixed once it is set'],
    ['kafkasource.spec.delivery.retry', '10 when left out'],
    ['kafkasource.status.placements', 'Where the vreplicas are'],
  ])('kubectl explain %s', async (field, words) => {
    expect((await kubectl(cluster, ['explain', field])).replace(/\s+/g, ' ')).toContain(words);
  });
});

describe.each(['v1beta1', 'v1'])('KafkaChannel %s', (version) => {
  const other = version === 'v1' ? 'v1beta1' : 'v1';
  const named = (name: string, spec: unknown): PlainObject => kafkaChannel(`${name}-${version}`, spec, version);
  const defaults = { numPartitions: 1, replicationFactor: 1, retentionDuration: 'PT168H' };

  it.each<[string, object]>([
    ['spec: null', { spec: null }],
    ['no spec', {}],
    ['spec: {}', { spec: {} }],
    ['nulls in spec', { spec: { numPartitions: null, replicationFactor: null, retentionDuration: null, delivery: null, subscribers: null } }],
  ])('CP-08 %s is valid and gets every default', async (_name, object) => {
    const { apiVersion, kind, metadata } = named('defaulted', null);
    const answer = await api.create({ apiVersion, kind, metadata, ...object });
    expect(verdict(answer)).toBe(taken);
    expect(answer.body.spec).toEqual(defaults);
  });

  it('CP-04: status is a part of its own', async () => {
    const channel = await kept(named('status', null));
    const status = { observedGeneration: 1, subscribers: [{ uid: 'u', ready: 'True' }] };
    await api.patch(channel, { status, spec: { numPartitions: 9 } }, { subresource: 'status', dryRun: false });
    await api.patch(channel, { status: { observedGeneration: 7 }, spec: { retentionDuration: 'P1D' } }, { dryRun: false });
    const { body } = await api.get(channel);
    expect(body.spec).toEqual({ ...defaults, retentionDuration: 'P1D' });
    expect(body.status).toEqual(status);
    expect(body.metadata['generation']).toBe(2);
  });

  it('CP-04: spec.subscribers and status.subscribers are lists', async () => {
    const channel = await kept(named('lists', null));
    const noList = (part: string) => [`${part}.subscribers: Invalid value: "object"`, 'must be of type array'];
    expectVerdict(await api.patch(channel, { spec: { subscribers: {} } }), noList('spec'));
    expectVerdict(await api.patch(channel, { status: { subscribers: {} } }, { subresource: 'status' }), noList('status'));
  });

  it.each<Case>([
    ['a subscriber', [{ uid: 'u', subscriberUri: 'http://a' }], taken],
    ['a receiver of replies', [{ uid: 'u', replyUri: 'http://a' }], taken],
    ['neither', [{ uid: 'u' }], ['spec.subscribers[0].subscriberUri: Required value', 'must validate at least one schema (anyOf)']],
    ['no uid', [{ replyUri: 'http://a' }], ['spec.subscribers[0].uid: Required value']],
  ])('CP-21 spec.subscribers: %s', async (_name, subscribers, expected) => {
    expectVerdict(await api.create(named('subscribers', { subscribers }), { as: eventingController }), expected);
  });

  it.each<Case>([
    ['numPartitions grows', { numPartitions: 5 }, taken],
    ['numPartitions shrinks', { numPartitions: 3 }, ['spec.numPartitions: Invalid value', 'numPartitions can grow, never shrink, because Kafka cannot']],
    ['numPartitions is taken out', { numPartitions: null }, ['spec.numPartitions: Invalid value', 'numPartitions can grow, never shrink']],
    ['replicationFactor grows', { replicationFactor: 4 }, ['spec.replicationFactor: Invalid value', 'replicationFactor is fixed once the channel exists']],
    ['replicationFactor shrinks', { replicationFactor: 2 }, ['replicationFactor is fixed once the channel exists']],
    ['replicationFactor is taken out', { replicationFactor: null }, ['replicationFactor is fixed once the channel exists']],
    ['the same again', { numPartitions: 4, replicationFactor: 3 }, taken],
    ['retentionDuration changes', { retentionDuration: 'P1D' }, taken],
    ['retentionDuration is taken out', { retentionDuration: null }, taken],
    ['delivery changes', { delivery: { retry: 2, timeout: 'PT5S' } }, taken],
    ['delivery is taken out', { delivery: null }, taken],
    ['subscribers change', { subscribers: [{ uid: 'u', replyUri: 'http://a' }] }, taken],
  ])('CP-22: %s', async (_name, patch, expected) => {
    const channel = named('immutable', { numPartitions: 4, replicationFactor: 3, retentionDuration: 'P7D', delivery: { retry: 1 } });
    await api.create(channel, { dryRun: false });
    expectVerdict(await api.patch(channel, { spec: patch }, { as: eventingController }), expected);
  });

  it.each<Case>([
    ['one partition', { numPartitions: 1 }, taken],
    ['many partitions', { numPartitions: 100_000 }, taken],
    ['no partition', { numPartitions: 0 }, ['spec.numPartitions: Invalid value: 0', 'should be greater than or equal to 1']],
    ['fewer than none', { numPartitions: -1 }, ['spec.numPartitions: Invalid value: -1', 'should be greater than or equal to 1']],
    ['partitions in words', { numPartitions: '3' }, ['spec.numPartitions: Invalid value: "string"', 'must be of type integer']],
    ['more partitions than can be counted', { numPartitions: 2 ** 31 }, ['spec.numPartitions: Invalid value: 2147483648', 'should be less than or equal to 2147483647']],
    ['the most replicas', { replicationFactor: 32_767 }, taken],
    ['no replica', { replicationFactor: 0 }, ['spec.replicationFactor: Invalid value: 0', 'should be greater than or equal to 1']],
    ['too many replicas', { replicationFactor: 32_768 }, ['spec.replicationFactor: Invalid value: 32768', 'should be less than or equal to 32767']],
  ])('CP-23: %s', async (_name, spec, expected) => {
    expectVerdict(await api.create(named('topic', spec)), expected);
  });

  it.each<[string, boolean]>([
    ['PT0S', true], ['PT168H', true], ['P7D', true], ['P1W', true], ['P1W2DT3H4M5.6S', true], ['PT1M30,5S', true], ['PT0.000001S', true], ['PT604800S', true],
    ['', false], ['7d', false], ['168h', false], ['-P1D', false], ['+P1D', false], ['P', false], ['PT', false], ['P1DT', false], ['P1Y', false], ['P1M', false],
    ['PT1H1D', false], ['PT1S1M', false], ['PT1.5H3M', false], ['PT1.5.5S', false], ['PT.5S', false], ['pt1h', false], ['PT1 H', false], ['P1H', false],
    ['PT9999999999999S', false],
  ])('CP-23 retentionDuration %j: taken is %s, as on one machine', async (retentionDuration, isTaken) => {
    expect(parseDurationMs(retentionDuration) !== undefined, 'on one machine').toBe(isTaken);
    const answer = await api.create(named('retention', { retentionDuration }));
    expectVerdict(answer, isTaken ? taken : ['spec.retentionDuration: Invalid value', 'expected an ISO 8601 duration such as PT0.5S']);
  });

  it('CP-31: what is written in one version reads the same in the other, with every field that Knative knows', async () => {
    const destination = { ref: { apiVersion: 'v1', kind: 'Service', name: 'dead', namespace: 'default', address: 'http' }, uri: '/letters', CACerts: certificates, audience: 'dead/letters' };
    const delivery = { deadLetterSink: destination, retry: 5, backoffPolicy: 'linear', backoffDelay: 'PT0.5S', timeout: 'PT30S', retryAfterMax: 'PT2M', format: 'json' };
    const spec = { numPartitions: 3, replicationFactor: 2, retentionDuration: 'P2D', delivery, subscribers: [stockSubscriber, { uid: 'second', replyUri: 'http://r' }] };
    const channel = named('stock', spec);
    const annotations = { 'messaging.knative.dev/subscribable': 'v1' };
    await kept({ ...channel, metadata: { ...channel.metadata, annotations } }, eventingController);
    expect(verdict(await api.patch(channel, { status: stockStatus }, { subresource: 'status', dryRun: false }))).toBe(taken);
    for (const read of [version, other]) {
      const { body } = await api.get({ ...channel, apiVersion: `messaging.knative.dev/${read}` });
      expect(body.apiVersion).toBe(`messaging.knative.dev/${read}`);
      expect(body.metadata['annotations']).toEqual(annotations);
      expect(body.spec).toEqual(spec);
      expect(body.status).toEqual(stockStatus);
    }
    const inOther = { ...channel, apiVersion: `messaging.knative.dev/${other}` };
    await api.patch(inOther, { spec: { retentionDuration: 'P3D' } }, { dryRun: false });
    expect((await api.get(channel)).body.spec).toEqual({ ...spec, retentionDuration: 'P3D' });
  });

  it('CP-31: what a newer Knative Eventing adds to subscribers and status survives', async () => {
    const subscribers = [{ uid: 'u', replyUri: 'http://r', newer: { a: [1] }, delivery: { newer: 'b' }, auth: { newer: 'c' } }];
    const channel = await kept(named('newer', { subscribers }), eventingController);
    const status = { newer: { a: 1 }, address: { url: 'http://a', newer: 'b' }, subscribers: [{ uid: 'u', newer: 'c' }] };
    await api.patch(channel, { status }, { subresource: 'status', dryRun: false });
    const { body } = await api.get(channel);
    expect(body.spec).toMatchObject({ subscribers });
    expect(body.status).toEqual(status);
  });

  it.each<[string, Json]>([
    ['spec.numPartition', { numPartition: 3 }],
    ['spec.delivery.retries', { delivery: { retries: 3 } }],
    ['spec.delivery.deadLetterSink.url', { delivery: { deadLetterSink: { uri: 'http://a', url: 'http://b' } } }],
  ])('a field that does not exist is an error where people write: %s', async (field, spec) => {
    expectVerdict(await api.create(named('typo', spec)), [`unknown field "${field}"`]);
  });
});

/** As long as a chain of certificates is. */
const certificates = `-----BEGIN CERTIFICATE-----\n${'M'.repeat(8000)}\n-----END CERTIFICATE-----\n`;

const stockSubscriber = {
  name: 'shop',
  uid: 'c0ffee00-0000-4000-8000-000000000001',
  generation: 3,
  subscriberUri: 'http://shop.default.svc.cluster.local',
  subscriberCACerts: certificates,
  subscriberAudience: 'shop/audience',
  replyUri: 'http://reply.default.svc.cluster.local/path?x=1',
  replyCACerts: certificates,
  replyAudience: 'reply/audience',
  delivery: { deadLetterSink: { uri: 'http://dead', CACerts: certificates, audience: 'dead' }, retry: 2, backoffPolicy: 'exponential', backoffDelay: 'PT1S', timeout: 'PT5S', retryAfterMax: 'PT0S', format: 'binary' },
  auth: { serviceAccountName: 'shop-oidc', serviceAccountNames: ['shop-oidc', 'shop-oidc-2'] },
};
const stockStatus = {
  observedGeneration: 1,
  conditions: [
    { type: 'Addressable', status: 'True', lastTransitionTime: '2026-01-02T03:04:05Z' },
    { type: 'Ready', status: 'False', severity: 'Error', reason: 'TopicFailed', message: 'no brokers', lastTransitionTime: '2026-01-02T03:04:05Z' },
  ],
  annotations: { 'default.topic': 'knative-messaging-kafka.default.stock' },
  address: { name: 'http', url: 'http://stock-kn-channel.default.svc.cluster.local', CACerts: certificates, audience: 'messaging.knative.dev/kafkachannel/default/stock' },
  addresses: [{ name: 'https', url: 'https://receiver/default/stock', CACerts: certificates, audience: 'a' }, { name: 'http', url: 'http://stock-kn-channel.default.svc.cluster.local' }],
  subscribers: [{ uid: 'c0ffee00-0000-4000-8000-000000000001', observedGeneration: 3, ready: 'Unknown', message: 'joining', auth: { serviceAccountName: 'shop-oidc' } }],
  deadLetterSinkUri: 'http://dead',
  deadLetterSinkCACerts: certificates,
  deadLetterSinkAudience: 'dead',
  policies: [{ apiVersion: 'eventing.knative.dev/v1alpha1', name: 'only-me' }],
};

it.each([
  ['kc', { ...kafkaChannel('columns', null), status: stockStatus }, /^NAME +READY +REASON +URL +AGE\ncolumns +False +TopicFailed +http:\/\/stock-kn-channel.default.svc.cluster.local +\d+s\n$/],
  ['kafkachannels.v1beta1.messaging.knative.dev', { ...kafkaChannel('columns', null), status: stockStatus }, /^NAME +READY +REASON +URL +AGE\ncolumns +False +TopicFailed +http/],
  ['ch', { ...genericChannel('columns', null), status: stockStatus }, /^NAME +URL +AGE +READY +REASON\ncolumns +http:\/\/stock-kn-channel.default.svc.cluster.local +\d+s +False +TopicFailed\n$/],
  ['sub', { ...subscription('columns', { channel: channelRef, subscriber }), status: { conditions: stockStatus.conditions } }, /^NAME +AGE +READY +REASON\ncolumns +\d+s +False +TopicFailed\n$/],
])('CP-31 the columns of kubectl get %s', async (kind, object, expected) => {
  await api.create(object, { dryRun: false });
  await api.patch(object, { status: object.status }, { subresource: 'status', dryRun: false });
  expect(await kubectl(cluster, ['get', kind, 'columns', '--namespace', 'default'])).toMatch(expected);
});

describe.each<[string, (delivery: Json) => PlainObject]>([
  ['KafkaChannel', (delivery) => kafkaChannel('delivery', { delivery })],
  ['Subscription', (delivery) => subscription('delivery', { channel: channelRef, subscriber, delivery })],
  ['Channel', (delivery) => genericChannel('delivery', { delivery })],
  ['KafkaSource', (delivery) => kafkaSource('delivery', { delivery })],
])('CP-24 delivery of a %s', (_kind, withDelivery) => {
  const ref = { apiVersion: 'v1', kind: 'Service', name: 'dead' };
  it.each<Case>([
    ['nothing', {}, taken],
    ['nulls', { retry: null, backoffDelay: null, deadLetterSink: null }, taken],
    ['retry 0', { retry: 0 }, taken],
    ['retry -1', { retry: -1 }, ['spec.delivery.retry: Invalid value: -1', 'should be greater than or equal to 0']],
    ['a retry too large for Knative to read', { retry: 2 ** 31 }, ['spec.delivery.retry: Invalid value', 'should be less than or equal to 2147483647']],
    ['retry 1.5', { retry: 1.5 }, ['spec.delivery.retry', 'must be of type integer']],
    ['linear', { backoffPolicy: 'linear' }, taken],
    ['exponential', { backoffPolicy: 'exponential' }, taken],
    ['another policy', { backoffPolicy: 'constant' }, ['spec.delivery.backoffPolicy: Unsupported value: "constant": supported values: "linear", "exponential"']],
    ['backoffDelay PT0S', { backoffDelay: 'PT0S' }, taken],
    ['backoffDelay 5s', { backoffDelay: '5s' }, ['spec.delivery.backoffDelay: Invalid value', 'expected an ISO 8601 duration such as PT0.5S']],
    ['backoffDelay -PT1S', { backoffDelay: '-PT1S' }, ['spec.delivery.backoffDelay: Invalid value', 'expected an ISO 8601 duration']],
    ['backoffDelay P1M', { backoffDelay: 'P1M' }, ['spec.delivery.backoffDelay: Invalid value', 'weeks, days, hours, minutes and seconds']],
    ['timeout PT0.001S', { timeout: 'PT0.001S' }, taken],
    ['timeout PT0S', { timeout: 'PT0S' }, ['spec.delivery.timeout: Invalid value', 'timeout must be longer than zero']],
    ['timeout P0DT0.0S', { timeout: 'P0DT0.0S' }, ['timeout must be longer than zero']],
    ['timeout 10', { timeout: '10' }, ['spec.delivery.timeout: Invalid value', 'expected an ISO 8601 duration']],
    ['a timeout without quotes', { timeout: 10 }, ['spec.delivery.timeout', 'must be of type string']],
    ['retryAfterMax PT0S', { retryAfterMax: 'PT0S' }, taken],
    ['retryAfterMax -PT1S', { retryAfterMax: '-PT1S' }, ['spec.delivery.retryAfterMax: Invalid value', 'expected an ISO 8601 duration']],
    ['format json', { format: 'json' }, taken],
    ['format binary', { format: 'binary' }, taken],
    ['format xml', { format: 'xml' }, ['spec.delivery.format: Unsupported value: "xml": supported values: "json", "binary"']],
    ['a sink by uri', { deadLetterSink: { uri: 'https://dead:8443/letters?x=1', CACerts: certificates } }, taken],
    ['a sink by ref', { deadLetterSink: { ref } }, taken],
    ['a sink by ref and path', { deadLetterSink: { ref, uri: '/letters' } }, taken],
    ['a sink that is nowhere', { deadLetterSink: {} }, ['spec.delivery.deadLetterSink: Invalid value', 'needs ref or uri']],
    ['a path without ref', { deadLetterSink: { uri: '/letters' } }, ['spec.delivery.deadLetterSink: Invalid value', 'uri must be an absolute URL']],
    ['another scheme', { deadLetterSink: { uri: 'ftp://dead' } }, ['uri must be an absolute URL that begins with http:// or https://']],
    ['no host', { deadLetterSink: { uri: 'http:///letters' } }, ['uri must be an absolute URL']],
    ['ref beside an absolute uri', { deadLetterSink: { ref, uri: 'http://dead' } }, ['spec.delivery.deadLetterSink: Invalid value', 'beside ref, uri must be relative']],
    ['ref without apiVersion', { deadLetterSink: { ref: { kind: 'Service', name: 'dead' } } }, ['spec.delivery.deadLetterSink.ref: Invalid value', 'ref needs apiVersion']],
    ['ref without name', { deadLetterSink: { ref: { apiVersion: 'v1', kind: 'Service' } } }, ['spec.delivery.deadLetterSink.ref.name: Required value']],
  ])('%s', async (_name, delivery, expected) => {
    expectVerdict(await api.create(withDelivery(delivery as Json)), expected);
  });
});

describe('Subscription', () => {
  it.each<Case>([
    ['channel and subscriber', { channel: channelRef, subscriber }, taken],
    ['every field', { channel: channelRef, subscriber: { uri: 'http://shop' }, reply: { ref: channelRef }, delivery: { retry: 1 } }, taken],
    ['a subscriber by ref and path', { channel: channelRef, subscriber: { ...subscriber, uri: 'orders' } }, taken],
    ['no channel', { subscriber }, ['spec.channel: Required value']],
    ['a channel without everything', { channel: {}, subscriber }, ['spec.channel.apiVersion: Required value', 'spec.channel.kind: Required value', 'spec.channel.name: Required value']],
    ['a channel without a name', { channel: { ...channelRef, name: '' }, subscriber }, ['spec.channel.name: Invalid value: ""', 'should be at least 1 chars long']],
    ['no subscriber', { channel: channelRef }, ['spec.subscriber: Required value']],
    ['a reply only', { channel: channelRef, reply: { uri: 'http://a' } }, ['spec.subscriber: Required value']],
    ['a subscriber that is nowhere', { channel: channelRef, subscriber: {} }, ['spec.subscriber: Invalid value', 'needs ref or uri']],
    ['a reply that is nowhere', { channel: channelRef, subscriber, reply: {} }, ['spec.reply: Invalid value', 'needs ref or uri']],
    ['a subscriber by ref and absolute uri', { channel: channelRef, subscriber: { ...subscriber, uri: 'http://a' } }, ['spec.subscriber: Invalid value', 'beside ref, uri must be relative']],
    ['spec: null', null, ['spec: Required value']],
    ['a typing error', { channel: channelRef, subscriber, replay: {} }, ['unknown field "spec.replay"']],
  ])('SU-01: %s', async (_name, spec, expected) => {
    expectVerdict(await api.create(subscription('valid', spec)), expected);
  });

  const channelIsFixed = ['spec.channel: Invalid value', 'channel is fixed once the Subscription exists: expected KafkaChannel orders (messaging.knative.dev/v1)'];
  it.each<Case>([
    ['subscriber', { subscriber: { ref: null, uri: 'http://elsewhere' } }, taken],
    ['reply', { reply: { uri: 'http://reply' } }, taken],
    ['delivery', { delivery: { retry: 9 } }, taken],
    ['no reply any more', { reply: null }, taken],
    ['no subscriber any more', { subscriber: null }, ['spec.subscriber: Required value']],
    ['the name of the channel', { channel: { name: 'others' } }, channelIsFixed],
    ['the kind of the channel', { channel: { kind: 'Channel' } }, channelIsFixed],
    ['the version of the channel', { channel: { apiVersion: 'messaging.knative.dev/v1beta1' } }, channelIsFixed],
    ['no channel any more', { channel: null }, ['spec.channel: Required value']],
  ])('SU-01 changes: %s', async (_name, patch, expected) => {
    const object = subscription('changing', { channel: channelRef, subscriber, reply: { uri: 'http://a' } });
    await api.create(object, { dryRun: false });
    expectVerdict(await api.patch(object, { spec: patch }), expected);
  });

  it('SU-09: a ref without namespace stays as it is written, and may get one later', async () => {
    const refs = { channel: channelRef, subscriber, reply: { ref: channelRef }, delivery: { deadLetterSink: subscriber } };
    const object = await kept(subscription('namespaces', refs));
    expect((await api.get(object)).body.spec).toEqual(refs);
    const ref = { namespace: 'default' };
    expectVerdict(await api.patch(object, { spec: { subscriber: { ref }, reply: { ref }, delivery: { deadLetterSink: { ref } } } }), taken);
  });

  it('keeps every field that Knative knows, and what a newer one adds to the status', async () => {
    const audience = { CACerts: certificates, audience: 'a' };
    const spec = { channel: channelRef, subscriber: { ...subscriber, ...audience }, reply: { uri: 'http://reply', ...audience }, delivery: { retry: 3 } };
    const object = await kept(subscription('stock', spec));
    const uris = (role: string) => ({ [`${role}Uri`]: 'http://a', [`${role}CACerts`]: certificates, [`${role}Audience`]: 'a' });
    const status = {
      observedGeneration: 1, conditions: stockStatus.conditions, annotations: { a: 'b' }, auth: { serviceAccountName: 'shop-oidc' }, newer: { a: 1 },
      physicalSubscription: { ...uris('subscriber'), ...uris('reply'), ...uris('deadLetterSink'), newer: 'b' },
    };
    await api.patch(object, { status }, { subresource: 'status', dryRun: false });
    const { body } = await api.get(object);
    expect(body.spec).toEqual(spec);
    expect(body.status).toEqual(status);
  });
});

describe.each(['v1beta1', 'v1'])('KafkaSource %s', (version) => {
  const other = version === 'v1' ? 'v1beta1' : 'v1';
  const named = (name: string, spec: object = {}): PlainObject => kafkaSource(`${name}-${version}`, spec, version);
  const required = { bootstrapServers: ['kafka:9092'], topics: ['orders'], sink: { uri: 'http://shop' } };
  const defaults = { consumers: 1, initialOffset: 'latest', ordering: 'ordered' };
  const reference = (key: string) => ({ secretKeyRef: { name: 'kafka', key } });
  const generated = 'knative-kafka-source-0c9f2f4e-7f3c-4a53-9d0a-5c6c51e3b1aa';

  it.each<[string, object]>([
    ['what is required and no more', {}],
    ['nulls beside it', { consumers: null, consumerGroup: null, initialOffset: null, ordering: null, delivery: null, ceOverrides: null, net: null }],
  ])('KS-03 %s is valid and gets every default; the consumer group is the controller\'s to name', async (_name, spec) => {
    const answer = await api.create(named('defaulted', spec));
    expect(verdict(answer)).toBe(taken);
    expect(answer.body.spec).toEqual({ ...required, ...defaults });
  });

  it.each<Case>([
    // required
    ['no spec', null, ['spec: Required value']],
    ['no servers', { bootstrapServers: null }, ['spec.bootstrapServers: Required value']],
    ['no topics', { topics: null }, ['spec.topics: Required value']],
    ['no sink', { sink: null }, ['spec.sink: Required value']],
    ['an empty list of servers', { bootstrapServers: [] }, ['spec.bootstrapServers: Invalid value', 'should have at least 1 items']],
    ['an empty list of topics', { topics: [] }, ['spec.topics: Invalid value', 'should have at least 1 items']],
    // where Kafka is
    ['several servers', { bootstrapServers: ['a:9092', 'b.example.com:9092', '10.0.0.1:1', '[::1]:9092'] }, taken],
    ['several in one entry, as eventing-kafka-broker takes them', { bootstrapServers: ['a:9092,b:9092, c:9092'] }, taken],
    ['a server without a port', { bootstrapServers: ['a:9092', 'kafka'] }, ['spec.bootstrapServers[1]: Invalid value', 'expected host:port']],
    ['a server twice', { bootstrapServers: ['a:9092', 'a:9092'] }, ['spec.bootstrapServers[1]: Duplicate value: "a:9092"']],
    ['a URL', { bootstrapServers: ['kafka://a:9092'] }, ['expected host:port']],
    ['a comma too many', { bootstrapServers: ['a:9092,'] }, ['expected host:port']],
    // what is read
    ['as many topics as are taken', { topics: Array.from({ length: 1000 }, (_, index) => `${'t'.repeat(240)}-${index}`) }, taken],
    ['more topics', { topics: Array.from({ length: 1001 }, (_, index) => `t-${index}`) }, ['spec.topics: Too many: 1001: must have at most 1000 items']],
    ['a topic twice', { topics: ['a', 'b', 'a'] }, ['spec.topics[2]: Duplicate value: "a"']],
    ['a topic with a blank', { topics: ['a b'] }, ['spec.topics[0]: Invalid value', 'the name of a topic is of letters, digits']],
    ['a topic of dots', { topics: ['..'] }, ['spec.topics[0]: Invalid value', 'is not \'.\' or \'..\' alone']],
    ['a topic that is too long', { topics: ['t'.repeat(250)] }, ['spec.topics[0]: Too long: may not be more than 249']],
    // by whom
    ['no consumer', { consumers: 0 }, taken],
    ['the most consumers', { consumers: 10_000 }, taken],
    ['fewer consumers than none', { consumers: -1 }, ['spec.consumers: Invalid value: -1', 'should be greater than or equal to 0']],
    ['more consumers than anybody has pods for', { consumers: 10_001 }, ['spec.consumers: Invalid value: 10001', 'should be less than or equal to 10000']],
    ['consumers in words', { consumers: '4' }, ['spec.consumers: Invalid value: "string"', 'must be of type integer']],
    ['a consumer group', { consumerGroup: 'mine' }, taken],
    ['an empty consumer group', { consumerGroup: '' }, ['spec.consumerGroup: Invalid value: ""', 'should be at least 1 chars long']],
    // in which order
    ['key-ordered', { ordering: 'key-ordered' }, taken],
    ['unordered', { ordering: 'unordered' }, taken],
    ['another order', { ordering: 'any' }, ['spec.ordering: Unsupported value: "any": supported values: "ordered", "unordered", "key-ordered"']],
    // where to
    ['a sink by ref and path', { sink: { ...subscriber, uri: '/orders', CACerts: '-----BEGIN CERTIFICATE-----', audience: 'shop' } }, taken],
    ['a sink that is nowhere', { sink: {} }, ['spec.sink: Invalid value', 'needs ref or uri']],
    ['a path without ref', { sink: { uri: '/orders' } }, ['spec.sink: Invalid value', 'uri must be an absolute URL']],
    // with what
    ['extensions', { ceOverrides: { extensions: { team: 'a', note2: '' } } }, taken],
    ['no extensions', { ceOverrides: {} }, taken],
    ['an extension with a hyphen', { ceOverrides: { extensions: { 'my-team': 'a' } } }, ['spec.ceOverrides.extensions: Invalid value', 'the name of an extension is of letters a-z and digits']],
    ['an extension in capitals', { ceOverrides: { extensions: { Team: 'a' } } }, ['the name of an extension is of letters a-z and digits']],
    ['what an event is made of', { ceOverrides: { extensions: { source: 'a' } } }, ['spec.ceOverrides.extensions: Invalid value', 'belong to every event and cannot be extensions']],
    ['a number for a value', { ceOverrides: { extensions: { team: 1 } } }, ['spec.ceOverrides.extensions.team: Invalid value: "integer"', 'must be of type string']],
    ['too many extensions', { ceOverrides: { extensions: Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`e${index}`, ''])) } }, ['spec.ceOverrides.extensions: Too many: 65: must have at most 64 items']],
    // as whom
    ['SASL over TLS', { net: { sasl: { enable: true, type: reference('type'), user: reference('user'), password: reference('password') }, tls: { enable: true, caCert: reference('ca.crt') } } }, taken],
    ['one-way TLS', { net: { tls: { enable: true, caCert: reference('ca.crt') } } }, taken],
    ['TLS and the authorities of the system', { net: { tls: { enable: true } } }, taken],
    ['mTLS', { net: { tls: { enable: true, cert: reference('tls.crt'), key: reference('tls.key') } } }, taken],
    ['what eventing-kafka-broker stores where nothing is used', { ceOverrides: {}, delivery: {}, net: { sasl: { password: {}, type: {}, user: {} }, tls: { caCert: {}, cert: {}, key: {} } } }, taken],
    ['a certificate without its key', { net: { tls: { enable: true, cert: reference('tls.crt'), key: {} } } }, ['spec.net.tls: Invalid value', 'cert and key go together']],
    ['the same where TLS is off', { net: { tls: { enable: false, cert: reference('tls.crt') } } }, taken],
    ['a Secret without a key', { net: { sasl: { enable: true, user: { secretKeyRef: { name: 'kafka' } } } } }, ['spec.net.sasl.user.secretKeyRef.key: Required value']],
    ['a password in plain sight', { net: { sasl: { enable: true, password: 'hush' } } }, ['spec.net.sasl.password: Invalid value: "string"', 'must be of type object']],
    // typing errors
    ['a field that does not exist', { consumer: 4 }, ['unknown field "spec.consumer"']],
    ['one below', { net: { sasl: { enabled: true } } }, ['unknown field "spec.net.sasl.enabled"']],
  ])('KS-03: %s', async (_name, spec, expected) => {
    const source = named('table', spec ?? {});
    expectVerdict(await api.create(spec === null ? { ...source, spec: null } : source), expected);
  });

  it.each([
    'earliest', 'latest', '1970-01-01T00:00:00Z', '2024-01-31T23:59:59Z', '2024-02-29T12:00:00.123456789+02:00', '9999-12-31T23:59:59Z',
    '', 'Latest', 'newest', '0', '2024-01-31', '2024-01-31T23:59:59', '2024-02-30T00:00:00Z', '2024-13-01T00:00:00Z', '2024-01-31T24:00:00Z', '2016-12-31T23:59:60Z', '1969-12-31T23:59:59Z', '1970-01-01T00:00:00+05:00',
  ])('KS-07 initialOffset %j: taken or not as on one machine', async (initialOffset) => {
    const answer = await api.create(named('offset', { initialOffset }));
    expectVerdict(answer, parseInitialOffset(initialOffset) === undefined ? ['spec.initialOffset: Invalid value', 'expected earliest, latest or a time from 1970 on'] : taken);
  });

  const fixed = ['spec.consumerGroup: Invalid value', 'consumerGroup is fixed once it is set'];
  it.each<[string, { readonly consumerGroup?: string }, object, Case[2]]>([
    ['is set by the controller', {}, { consumerGroup: generated }, taken],
    ['stays', { consumerGroup: 'mine' }, { consumerGroup: 'mine', consumers: 3 }, taken],
    ['is another', { consumerGroup: 'mine' }, { consumerGroup: 'yours' }, fixed],
    ['is taken out', { consumerGroup: 'mine' }, {}, fixed],
    ['that the controller named is another', { consumerGroup: generated }, { consumerGroup: 'mine' }, fixed],
    ['that the controller named is left out', { consumerGroup: generated }, { consumers: 3 }, taken],
    ['that only looks so is left out', { consumerGroup: 'knative-kafka-source-mine' }, {}, fixed],
  ])('KS-03 a consumer group %s: by replacing the whole', async (name, before, after, expected) => {
    const source = named(`group-${name.replaceAll(' ', '-').toLowerCase()}`, before);
    await kept(source);
    const { metadata } = (await api.get(source)).body;
    expectVerdict(await api.replace({ ...source, metadata, spec: { ...required, ...after } }), expected);
  });

  it('everything else may change', async () => {
    const source = await kept(named('changes', { consumerGroup: 'mine' }));
    const changes = { bootstrapServers: ['other:9092'], topics: ['other'], consumers: 0, initialOffset: 'earliest', ordering: 'unordered', delivery: { retry: 1 }, sink: { uri: 'http://other' }, ceOverrides: { extensions: { a: 'b' } }, net: { tls: { enable: true } } };
    expectVerdict(await api.patch(source, { spec: changes }), taken);
  });

  it('KS-01: what is written in one version reads the same in the other, with every field that eventing-kafka-broker knows', async () => {
    const destination = { ref: { apiVersion: 'v1', kind: 'Service', name: 'dead', namespace: 'default', address: 'http' }, uri: '/letters', CACerts: certificates, audience: 'dead/letters' };
    const spec = {
      bootstrapServers: ['a:9092', 'b:9092'],
      topics: ['a', 'b'],
      consumers: 4,
      consumerGroup: 'mine',
      initialOffset: 'earliest',
      ordering: 'unordered',
      delivery: { deadLetterSink: destination, retry: 5, backoffPolicy: 'linear', backoffDelay: 'PT0.5S', timeout: 'PT30S', retryAfterMax: 'PT2M', format: 'json' },
      sink: destination,
      ceOverrides: { extensions: { team: 'a' } },
      net: {
        sasl: { enable: true, type: reference('type'), user: reference('user'), password: { secretKeyRef: { name: 'kafka', key: 'password', optional: false } }, tokenProvider: reference('provider'), roleARN: reference('role') },
        tls: { enable: true, caCert: reference('ca.crt'), cert: reference('tls.crt'), key: reference('tls.key') },
      },
    };
    const status = {
      observedGeneration: 1,
      conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: '2026-01-02T03:04:05Z' }],
      consumers: 4,
      selector: 'eventing.knative.dev/source=kafka-source-controller',
      placements: [{ podName: 'kafka-source-dispatcher-0', vreplicas: 4, newer: 'a' }],
      maxAllowedVReplicas: 10,
      claims: 'a:0',
      ceAttributes: [{ type: 'dev.knative.kafka.event', source: '/apis/v1/namespaces/default/kafkasources/stock#a' }],
      sinkUri: 'http://dead/letters',
      sinkCACerts: certificates,
      sinkAudience: 'dead',
      deadLetterSinkUri: 'http://dead/letters',
      deadLetterSinkCACerts: certificates,
      deadLetterSinkAudience: 'dead',
      auth: { serviceAccountName: 'stock-oidc', serviceAccountNames: ['stock-oidc'] },
      annotations: { 'kafka.eventing.knative.dev/topics': 'a,b' },
      newer: { a: 1 },
    };
    const source = await kept(named('stock', spec));
    expect(verdict(await api.patch(source, { status }, { subresource: 'status', dryRun: false }))).toBe(taken);
    for (const read of [version, other]) {
      const { body } = await api.get({ ...source, apiVersion: `sources.knative.dev/${read}` });
      expect(body.apiVersion).toBe(`sources.knative.dev/${read}`);
      expect(body.spec).toEqual(spec);
      expect(body.status).toEqual(status);
    }
    // Written back in the other version, as a controller of that version does.
    const inOther = { ...source, apiVersion: `sources.knative.dev/${other}` };
    await api.patch(inOther, { spec: { consumers: 5 } }, { dryRun: false });
    expect((await api.get(source)).body).toMatchObject({ spec: { ...spec, consumers: 5 }, status });
  });

  it('status is a part of its own', async () => {
    const source = await kept(named('status'));
    await api.patch(source, { status: { consumers: 1 }, spec: { consumers: 9 } }, { subresource: 'status', dryRun: false });
    await api.patch(source, { status: { consumers: 7 }, spec: { ordering: 'unordered' } }, { dryRun: false });
    const { body } = await api.get(source);
    expect(body.spec).toEqual({ ...required, ...defaults, ordering: 'unordered' });
    expect(body.status).toEqual({ consumers: 1 });
  });
});

describe('KafkaSource by kubectl', () => {
  const get = async (name: string): Promise<Json> => (await api.get(kafkaSource(name, {}))).body.spec as Json;

  it.each(['v1beta1', 'v1'])('KS-10 kubectl scale: up, to nothing and back, of %s', async (version) => {
    const name = `scaled-${version}`;
    const source = await kept(kafkaSource(name, { consumers: 4 }));
    const scale = (...args: string[]) => kubectl(cluster, ['scale', `kafkasources.${version}.sources.knative.dev/${name}`, '--namespace', 'default', ...args]);
    for (const replicas of [25, 0, 8]) {
      await scale(`--replicas=${replicas}`);
      expect(await get(name)).toMatchObject({ consumers: replicas });
    }
    await expect(scale('--current-replicas=4', '--replicas=5')).rejects.toThrow('Expected replicas to be 4, was 8');
    await expect(scale('--replicas=10001')).rejects.toThrow('should be less than or equal to 10000');
    expect(await get(name)).toMatchObject({ consumers: 8 });

    // What an autoscaler reads.
    await api.patch(source, { status: { consumers: 7, selector: 'a=b' } }, { subresource: 'status', dryRun: false });
    const read = JSON.parse(await kubectl(cluster, ['get', '--raw', `/apis/sources.knative.dev/${version}/namespaces/default/kafkasources/${name}/scale`])) as Json;
    expect(read).toMatchObject({ kind: 'Scale', spec: { replicas: 8 }, status: { replicas: 7, selector: 'a=b' } });
  });

  it('applying a manifest without consumers and consumerGroup again leaves what others have set', async () => {
    const manifest = JSON.stringify(kafkaSource('applied', {}));
    const apply = () => kubectl(cluster, ['apply', '-f', '-'], manifest);
    await apply();
    await api.patch(kafkaSource('applied', {}), { spec: { consumers: 5, consumerGroup: 'knative-kafka-source-0c9f2f4e-7f3c-4a53-9d0a-5c6c51e3b1aa' } }, { dryRun: false });
    expect(await apply()).toMatch(/unchanged$|configured$/m);
    expect(await get('applied')).toMatchObject({ consumers: 5, consumerGroup: 'knative-kafka-source-0c9f2f4e-7f3c-4a53-9d0a-5c6c51e3b1aa' });
  });

  it('KS-01 columns, categories, and what describe shows', async () => {
    const source = await kept(kafkaSource('shown', { topics: ['a', 'b'], consumers: 4, consumerGroup: 'mine' }));
    const status = { consumers: 4, placements: [0, 1].map((pod) => ({ podName: `kafka-source-dispatcher-${pod}`, vreplicas: 2 })), conditions: [{ type: 'Ready', status: 'False', reason: 'SinkResolveFailed' }] };
    await api.patch(source, { status }, { subresource: 'status', dryRun: false });
    for (const kind of ['kafkasource', 'kafkasources.v1beta1.sources.knative.dev']) {
      expect(await kubectl(cluster, ['get', kind, 'shown', '--namespace', 'default'])).toMatch(/^NAME +TOPICS +BOOTSTRAPSERVERS +READY +REASON +AGE\nshown +\["a","b"\] +\["kafka:9092"\] +False +SinkResolveFailed +\d+s\n$/);
    }
    expect(await kubectl(cluster, ['get', 'kafkasource', 'shown', '--namespace', 'default', '-o', 'wide'])).toMatch(/^NAME +TOPICS +BOOTSTRAPSERVERS +CONSUMERS +GROUP +READY +REASON +AGE\nshown .* 4 +mine +False/);
    expect(await kubectl(cluster, ['describe', 'kafkasource', 'shown', '--namespace', 'default'])).toMatch(/Consumers: +4\n[^]*Status:[^]*Consumers: +4\n[^]*Placements:\n +Pod Name: +kafka-source-dispatcher-0\n +Vreplicas: +2\n +Pod Name: +kafka-source-dispatcher-1\n +Vreplicas: +2\n/);
    for (const category of ['sources', 'eventing', 'knative', 'all']) {
      expect(await kubectl(cluster, ['get', category, '--namespace', 'default', '-o', 'name'])).toContain('kafkasource.sources.knative.dev/shown');
    }
  });
});

describe('Channel', () => {
  const template = { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', spec: { numPartitions: 3, any: { thing: true } } };

  it.each([null, undefined, {}])('CP-08 spec: %j is valid', async (spec) => {
    const answer = await api.create(genericChannel('empty', spec));
    expect(verdict(answer)).toBe(taken);
    expect(answer.body.spec).toEqual({});
  });

  const templateIsFixed = ['spec.channelTemplate: Invalid value', 'channelTemplate is fixed once it is set'];
  const deliveryIsFixed = ['spec.delivery: Invalid value', 'delivery is fixed once the Channel exists'];
  it.each<Case>([
    ['another kind', { channelTemplate: { kind: 'InMemoryChannel' } }, templateIsFixed],
    ['another number of partitions', { channelTemplate: { spec: { numPartitions: 4 } } }, templateIsFixed],
    ['another field deep down', { channelTemplate: { spec: { any: { thing: false } } } }, templateIsFixed],
    ['one more field', { channelTemplate: { spec: { more: 1 } } }, templateIsFixed],
    ['no template any more', { channelTemplate: null }, templateIsFixed],
    ['delivery', { delivery: { retry: 2 } }, deliveryIsFixed],
    ['no delivery any more', { delivery: null }, deliveryIsFixed],
    ['the same again', { channelTemplate: template, delivery: { retry: 1 } }, taken],
  ])('GC-03 spec is fixed: %s', async (_name, patch, expected) => {
    const object = genericChannel('fixed', { channelTemplate: template, delivery: { retry: 1 } });
    await api.create(object, { dryRun: false });
    expectVerdict(await api.patch(object, { spec: patch }), expected);
  });

  it('GC-03: a missing template is filled in once', async () => {
    const object = await kept(genericChannel('filled', null));
    expectVerdict(await api.patch(object, { spec: { delivery: { retry: 1 } } }), deliveryIsFixed);
    expectVerdict(await api.patch(object, { spec: { channelTemplate: template } }, { as: kafkaController, dryRun: false }), taken);
    expect((await api.get(object)).body.spec).toEqual({ channelTemplate: template });
    expectVerdict(await api.patch(object, { spec: { channelTemplate: { kind: 'InMemoryChannel' } } }, { as: kafkaController }), templateIsFixed);
  });

  it.each<Case>([
    ['a template without kind', { channelTemplate: { apiVersion: 'messaging.knative.dev/v1' } }, ['spec.channelTemplate.kind: Required value']],
    ['a template without apiVersion', { channelTemplate: { kind: 'KafkaChannel' } }, ['spec.channelTemplate.apiVersion: Required value']],
    ['a typing error', { chanelTemplate: template }, ['unknown field "spec.chanelTemplate"']],
  ])('GC-03: %s', async (_name, spec, expected) => {
    expectVerdict(await api.create(genericChannel('invalid', spec)), expected);
  });

  it('keeps every field that Knative knows', async () => {
    const object = await kept(genericChannel('stock', { channelTemplate: template }));
    const status = { ...stockStatus, channel: { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name: 'stock', namespace: 'default' }, newer: 1 };
    await api.patch(object, { status }, { subresource: 'status', dryRun: false });
    expect((await api.get(object)).body.status).toEqual(status);
  });
});

describe('the guard of spec.subscribers', () => {
  const one = [{ uid: 'u1', generation: 1, subscriberUri: 'http://a' }];
  const two = [...one, { uid: 'u2', generation: 1, replyUri: 'http://b' }];
  const boss = 'boss@example.com';
  const refusal = [
    'spec.subscribers is written by the controller of Subscriptions only',
    `Allowed: ${kafkaController}, ${eventingController}`,
    `this request came from ${boss}`,
  ];

  beforeAll(async () => {
    await kubectl(cluster, ['create', 'clusterrolebinding', 'boss', '--clusterrole=cluster-admin', `--user=${boss}`]);
  });

  it.each(['v1', 'v1beta1'])('CP-20 KafkaChannel %s: whoever may do everything may do everything but this', async (version) => {
    const name = `guarded-${version}`;
    const channel = await kept(kafkaChannel(name, { subscribers: one }, version), eventingController);
    const { body } = await api.get(channel);
    const changed = { ...body, spec: { ...(body.spec as Json), subscribers: two } };
    expectVerdict(await api.create(kafkaChannel(`${name}-new`, { subscribers: one }, version), { as: boss }), refusal);
    expectVerdict(await api.replace(changed, { as: boss }), refusal);
    expectVerdict(await api.patch(channel, { spec: { subscribers: two } }, { as: boss }), refusal);
    expectVerdict(await api.patch(channel, { spec: { subscribers: [] } }, { as: boss }), refusal);
    expectVerdict(await api.patch(channel, { spec: { subscribers: null } }, { as: boss }), refusal);
    expectVerdict(await api.patch(channel, { spec: { subscribers: [{ ...one[0], subscriberUri: 'http://evil' }] } }, { as: boss }), refusal);
    expectVerdict(await api.patch(channel, { spec: { subscribers: [{ ...one[0], newer: 'field' }] } }, { as: boss }), refusal);
    expectVerdict(await api.apply(kafkaChannel(name, { subscribers: two }, version), { as: boss }), refusal);

    expectVerdict(await api.replace({ ...body, spec: { ...(body.spec as Json), numPartitions: 9 } }, { as: boss }), taken);
    expectVerdict(await api.patch(channel, { spec: { subscribers: one, numPartitions: 9 } }, { as: boss }), taken);
    expectVerdict(await api.patch(channel, { metadata: { labels: { a: 'b' } } }, { as: boss }), taken);
    expectVerdict(await api.apply(kafkaChannel(name, { retentionDuration: 'P1D' }, version), { as: boss }), taken);
    expectVerdict(await api.patch(channel, { status: { observedGeneration: 1 } }, { as: boss, subresource: 'status' }), taken);
    expectVerdict(await api.create(kafkaChannel(`${name}-new`, { subscribers: [] }, version), { as: boss }), taken);
    expectVerdict(await api.delete(channel, { as: boss }), taken);
  });

  it('CP-20: the stock controller of Subscriptions, with nothing but its role, may', async () => {
    const channel = await kept(kafkaChannel('guarded-stock', null));
    expectVerdict(await api.patch(channel, { spec: { subscribers: two } }, { as: eventingController, dryRun: false }), taken);
    expectVerdict(await api.patch(channel, { spec: { subscribers: [] } }, { as: eventingController, dryRun: false }), taken);
  });

  it('CP-20: our controller, by the token of its ServiceAccount, may; the dispatcher has no right to', async () => {
    await kept(kafkaChannel('guarded-ours', null));
    const patch = async (serviceAccount: string) => {
      const kubeconfig = await cluster.kubeconfigFor({ namespace: systemNamespace, serviceAccount });
      return cluster.kubectl(['patch', 'kc', 'guarded-ours', '--namespace=default', '--type=merge', '-p', JSON.stringify({ spec: { subscribers: one } })], { kubeconfig });
    };
    expect(await patch('kafka-controller')).toMatchObject({ code: 0, stdout: expect.stringContaining('guarded-ours patched') });
    expect(await patch('kafka-channel-dispatcher')).toMatchObject({ code: 1, stderr: expect.stringContaining('cannot patch resource "kafkachannels"') });
  });

  it('GC-03: subscribers of a Channel are not for people either', async () => {
    const object = await kept(genericChannel('guarded', null));
    expectVerdict(await api.create(genericChannel('guarded-new', { subscribers: one }), { as: boss }), refusal);
    expectVerdict(await api.patch(object, { spec: { subscribers: one } }, { as: boss }), refusal);
    expectVerdict(await api.patch(object, { spec: { subscribers: one } }, { as: kafkaController }), taken);
    expectVerdict(await api.patch(object, { metadata: { labels: { a: 'b' } } }, { as: boss }), taken);
  });

  it('compares as many subscribers as fit into an object', async () => {
    const many = Array.from({ length: 700 }, (_, index) => ({ uid: `u${index}`, generation: 1, subscriberUri: `http://s${index}`, subscriberCACerts: 'M'.repeat(1500) }));
    const channel = await kept(kafkaChannel('guarded-many', { subscribers: many }), eventingController);
    expectVerdict(await api.patch(channel, { spec: { numPartitions: 9 } }, { as: boss }), taken);
    expectVerdict(await api.patch(channel, { spec: { subscribers: many.with(699, { ...many[699]!, generation: 2 }) } }, { as: boss }), refusal);
    expectVerdict(await api.patch(channel, { spec: { subscribers: many.with(699, { ...many[699]!, generation: 2 }) } }, { as: eventingController }), taken);
  });

  it('the API server finds no fault in the expressions', async () => {
    const policy = await waitFor(
      'the expressions being checked',
      async () => {
        const { status } = JSON.parse(await kubectl(cluster, ['get', 'validatingadmissionpolicy', 'channel-subscribers.messaging.knative.dev', '-o', 'json'])) as { status: { typeChecking?: object } };
        return status.typeChecking === undefined ? undefined : status;
      },
      { timeoutMs: patienceMs },
    );
    expect(policy.typeChecking).toEqual({});
  });
});

/** Whether a user may, by the API server's own word. @param resource `plural.group/subresource` @param namespace all of them when empty */
async function can(user: string, verb: string, resource: string, namespace = '', name = ''): Promise<boolean> {
  const [path = '', subresource] = resource.split('/');
  const [plural, ...group] = path.split('.');
  const [, , ofNamespace] = user.split(':');
  const review = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    metadata: { name: '' },
    spec: {
      user,
      groups: ['system:authenticated', 'system:serviceaccounts', `system:serviceaccounts:${ofNamespace ?? ''}`],
      resourceAttributes: { verb, resource: plural, group: group.join('.'), subresource, namespace, name },
    },
  };
  const { body } = await api.create(review, { dryRun: false });
  return (body.status as { allowed: boolean }).allowed;
}

describe('roles that Knative puts together', () => {
  const everything = ['create', 'get', 'list', 'watch', 'update', 'patch', 'delete'];
  const reading = ['get', 'list', 'watch'];

  it.each([
    ['CP-05', 'channelable-manipulator', everything],
    ['CP-06', 'addressable-resolver', reading],
  ])('%s: %s gets the verbs for KafkaChannels and their status', async (_row, role, verbs) => {
    const user = `system:serviceaccount:default:${role}`;
    await kubectl(cluster, ['create', 'clusterrolebinding', `test-${role}`, `--clusterrole=${role}`, `--serviceaccount=default:${role}`]);
    const resources = ['kafkachannels.messaging.knative.dev', 'kafkachannels.messaging.knative.dev/status'];
    await waitFor(`${role} being put together`, () => can(user, 'get', 'kafkachannels.messaging.knative.dev', 'anywhere'), { timeoutMs: patienceMs });
    for (const resource of resources) {
      for (const verb of everything) expect([verb, resource, await can(user, verb, resource, 'anywhere')]).toEqual([verb, resource, verbs.includes(verb)]);
    }
    expect(await can(user, 'get', 'secrets', 'anywhere')).toBe(false);
  });

  it.each([
    ['view', reading],
    ['edit', everything],
    ['admin', everything],
  ])('users with the role %s of a namespace have it for its channels too, and not for their status', async (role, verbs) => {
    const user = `system:serviceaccount:default:user-${role}`;
    await kubectl(cluster, ['create', 'rolebinding', `test-${role}`, `--clusterrole=${role}`, `--serviceaccount=default:user-${role}`, '--namespace=default']);
    await waitFor(`${role} being put together`, () => can(user, 'get', 'kafkachannels.messaging.knative.dev', 'default'), { timeoutMs: patienceMs });
    for (const plural of kinds) {
      const resource = `${plural}.messaging.knative.dev`;
      for (const verb of everything) expect([verb, resource, await can(user, verb, resource, 'default')]).toEqual([verb, resource, verbs.includes(verb)]);
      expect(await can(user, 'get', resource, 'elsewhere')).toBe(false);
      expect(await can(user, 'patch', `${resource}/status`, 'default')).toBe(false);
      expect(await can(user, 'get', `${resource}/status`, 'default')).toBe(true);
    }
  });
});

describe('what each ServiceAccount may do', () => {
  const system = systemNamespace;
  const elsewhere = 'elsewhere';
  const verbs = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete', 'deletecollection'] as const;
  type Row = readonly [serviceAccount: string, resource: string, namespace: string | undefined, allowed: string, name?: string | undefined];
  const none = '';
  const read = 'get list watch';
  /** undefined: all namespaces. */
  const all = undefined;
  const messaging = (plural: string) => `${plural}.messaging.knative.dev`;
  const sources = 'kafkasources.sources.knative.dev';
  const controller = 'kafka-controller';
  const [receiver, dispatcher, sourceDispatcher] = ['kafka-channel-receiver', 'kafka-channel-dispatcher', 'kafka-source-dispatcher'];

  const rows: readonly Row[] = [
    // By itself get, list, watch, create and patch; the rest comes with the role that a stand-in for Knative Eventing needs.
    [controller, messaging('kafkachannels'), all, 'get list watch create update patch delete'],
    [controller, `${messaging('kafkachannels')}/status`, all, 'get list watch create update patch delete'],
    [controller, `${messaging('kafkachannels')}/finalizers`, all, 'update'],
    [controller, messaging('subscriptions'), all, 'get list watch patch'],
    [controller, `${messaging('subscriptions')}/status`, all, 'get patch'],
    [controller, `${messaging('subscriptions')}/finalizers`, all, 'update'],
    [controller, messaging('channels'), all, 'get list watch patch'],
    [controller, `${messaging('channels')}/status`, all, 'get list watch patch'],
    [controller, `${messaging('channels')}/finalizers`, all, 'update'],
    [controller, sources, all, 'get list watch patch'],
    [controller, `${sources}/status`, all, 'get patch'],
    [controller, `${sources}/finalizers`, all, 'update'],
    [controller, 'services', all, 'get list watch create patch delete'],
    [controller, 'events.events.k8s.io', elsewhere, 'create patch'],
    [controller, 'events', elsewhere, none],
    [controller, 'customresourcedefinitions.apiextensions.k8s.io', all, read],
    [controller, 'deployments.apps', system, 'get list watch create patch delete'],
    [controller, 'deployments.apps', elsewhere, none],
    [controller, 'deployments.apps', all, none],
    [controller, 'statefulsets.apps', system, 'get list watch create patch delete'],
    [controller, 'statefulsets.apps', elsewhere, none],
    [controller, 'secrets', system, read],
    // Those that sources name, one by one; nobody can grant what he does not hold.
    [controller, 'secrets', elsewhere, 'get'],
    [controller, 'secrets', all, 'get'],
    [controller, 'configmaps', system, read],
    [controller, 'configmaps', elsewhere, none],
    [controller, 'leases.coordination.k8s.io', system, 'get list watch create update patch', 'kafka-controller'],
    [controller, 'leases.coordination.k8s.io', system, 'get list watch create', 'eventing-controller.some.bucket'],
    [controller, 'leases.coordination.k8s.io', elsewhere, none, 'kafka-controller'],
    [controller, 'pods', system, read],
    [controller, 'pods', elsewhere, none],
    [controller, 'pods/exec', system, none],
    [controller, 'serviceaccounts/token', system, none],
    [controller, 'nodes', all, none],
    [controller, 'namespaces', all, none],
    [controller, 'clusterroles.rbac.authorization.k8s.io', all, none],
    [controller, 'roles.rbac.authorization.k8s.io', all, 'get create patch delete'],
    [controller, 'rolebindings.rbac.authorization.k8s.io', all, 'get create patch delete'],
    [controller, 'validatingadmissionpolicies.admissionregistration.k8s.io', all, none],
    ...[receiver, dispatcher, sourceDispatcher].flatMap((account): Row[] => [
      [account, messaging('kafkachannels'), all, account === sourceDispatcher ? none : read],
      [account, sources, all, account === sourceDispatcher ? read : none],
      [account, `${sources}/status`, all, none],
      [account, `${sources}/finalizers`, all, none],
      [account, `${messaging('kafkachannels')}/status`, all, none],
      [account, `${messaging('kafkachannels')}/finalizers`, all, none],
      [account, messaging('subscriptions'), all, account === dispatcher ? read : none],
      [account, `${messaging('subscriptions')}/status`, all, none],
      [account, messaging('channels'), all, none],
      [account, 'configmaps', system, none],
      [account, 'configmaps', system, read, 'config-kafka-logging'],
      [account, 'configmaps', system, account === receiver ? none : read, 'config-kafka-features'],
      [account, 'configmaps', system, account === sourceDispatcher ? read : none, 'config-kafka-source-data-plane'],
      [account, 'configmaps', elsewhere, none],
      [account, 'configmaps', all, none],
      // A source's Secrets come with a Role in its namespace.
      [account, 'secrets', elsewhere, none],
      [account, 'secrets', system, none],
      [account, 'secrets', all, none],
      [account, 'services', all, none],
      [account, 'deployments.apps', system, none],
      [account, 'leases.coordination.k8s.io', system, none],
      [account, 'events.events.k8s.io', system, none],
      [account, 'pods', system, none],
      [account, 'serviceaccounts/token', system, none],
      [account, 'customresourcedefinitions.apiextensions.k8s.io', all, none],
    ]),
  ];
  it.each(rows.map(([serviceAccount, resource, namespace = '', allowed, name]) => ({ serviceAccount, resource, namespace, allowed, name })))('$serviceAccount, $resource in "$namespace" ($name): $allowed', async ({ serviceAccount, resource, namespace, allowed, name }) => {
    const user = `system:serviceaccount:${system}:${serviceAccount}`;
    const found: string[] = [];
    for (const verb of verbs) {
      if (await can(user, verb, resource, namespace, verb === 'create' ? '' : name)) found.push(verb);
    }
    expect(found.join(' ')).toBe(allowed);
  });

  it('no role of ours has a wildcard, and only the controller gets Secrets everywhere, which it cannot list', async () => {
    const ours = /^(kafka-|addressable-resolver$|channelable-manipulator$|service-addressable-resolver$|channel-addressable-resolver$)/;
    interface Role { metadata: { name: string }; rules: { apiGroups: string[]; resources: string[]; verbs: string[] }[] }
    const roles = async (kind: string) => (JSON.parse(await kubectl(cluster, ['get', kind, '--all-namespaces', '-o', 'json'])) as { items: Role[] }).items.filter(({ metadata }) => ours.test(metadata.name));
    const [clusterRoles, namespaced] = [await roles('clusterroles'), await roles('roles')];
    expect(clusterRoles).toHaveLength(13);
    expect(namespaced).toHaveLength(5);
    for (const { metadata, rules } of [...clusterRoles, ...namespaced]) {
      for (const rule of rules) expect([metadata.name, ...rule.apiGroups, ...rule.resources, ...rule.verbs]).not.toContain('*');
    }
    // But one: by name, and only to get it.
    const naming = clusterRoles.flatMap(({ metadata, rules }) => rules.filter(({ resources }) => resources.includes('secrets')).map(({ verbs }) => [metadata.name, ...verbs]));
    expect(naming).toEqual([[controller, 'get']]);
  });

  it('the controller finds out about Knative Eventing and about addresses of any kind, by kubectl auth can-i', async () => {
    const kubeconfig = await cluster.kubeconfigFor({ namespace: system, serviceAccount: controller });
    const ask = async (...args: string[]) => (await cluster.kubectl(['auth', 'can-i', ...args], { kubeconfig })).stdout.trim();
    expect(await ask('get', 'deployments.apps/eventing-controller', '--namespace', system)).toBe('yes');
    expect(await ask('list', 'leases', '--namespace', system)).toBe('yes');
    const role = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: 'widgets', labels: { 'duck.knative.dev/addressable': 'true' } }, rules: [{ apiGroups: ['example.com'], resources: ['widgets'], verbs: ['get', 'list', 'watch'] }] };
    await kept(role);
    await waitFor('a new kind being readable', () => can(`system:serviceaccount:${system}:${controller}`, 'watch', 'widgets.example.com', 'orders'), { timeoutMs: patienceMs });
  });
});

describe('workloads and examples', () => {
  it('the pods of the controller keep to the strictest standard that Kubernetes has', async () => {
    await kubectl(cluster, ['label', 'namespace', systemNamespace, 'pod-security.kubernetes.io/warn=restricted']);
    const dryRun = async (manifest: string) => cluster.kubectl(['create', '--dry-run=server', '-f', '-'], { input: manifest });
    const deployment = JSON.parse(await kubectl(cluster, ['get', 'deployment', 'kafka-controller', '--namespace', systemNamespace, '-o', 'json'])) as PlainObject & {
      spec: { replicas: number; template: { spec: { serviceAccountName: string; containers: [{ image: string; env: { name: string; value?: string }[] }] } } };
    };
    const again = { ...deployment, metadata: { name: 'again', namespace: systemNamespace } };
    expect(await dryRun(JSON.stringify(again))).toMatchObject({ code: 0, stderr: '' });
    const lax = JSON.stringify(again).replaceAll('"runAsNonRoot":true', '"runAsNonRoot":false');
    expect((await dryRun(lax)).stderr).toContain('would violate PodSecurity');

    const { replicas, template } = deployment.spec;
    expect(replicas).toBe(2);
    expect(template.spec.serviceAccountName).toBe('kafka-controller');
    const { image, env } = template.spec.containers[0];
    expect(image).toBe('knative-kafka/controller:0.1.0');
    expect(env.map(({ name }) => name)).toContain('RECEIVER_POD');
  });

  it.each(['examples/quickstart', 'examples/cluster'])('kubectl apply -f %s', async (example) => {
    const { code, stdout, stderr } = await cluster.kubectl(['apply', '-f', join(root, example)]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/kafkachannel\.messaging\.knative\.dev\/\w+ created/);
    expect(stdout).toMatch(/subscription\.messaging\.knative\.dev\/[\w-]+ created/);
  });

  it.each(['examples/kafka-source', 'examples/kafka-source/secured'])('kubectl apply -f %s', async (example) => {
    const { code, stdout, stderr } = await cluster.kubectl(['apply', '-f', join(root, example)]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/kafkasource\.sources\.knative\.dev\/[\w-]+ created/);
  });

  it.each(['examples/cluster', 'examples/kafka-source'])('applying %s again changes nothing', async (example) => {
    const printed = await kubectl(cluster, ['apply', '-f', join(root, example)]);
    for (const line of printed.trim().split('\n')) expect(line).toMatch(/ unchanged$/);
  });
});
