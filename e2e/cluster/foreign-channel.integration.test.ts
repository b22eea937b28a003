/**
 * Subscriptions and Channels over a kind of channel that is not ours: what stands in the way of each step is told, in
 * Knative's conditions, and put right when it is gone. The test plays the controller of that kind, so that it decides when
 * a channel says what.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { metric, type Service } from '../local/harness.ts';
import { ClusterWorld, conditionOf, isReady, patienceMs, subscription, systemNamespace, type ClusterObject, type ClusterSpec } from './cluster-world.ts';

const group = 'channels.example.com';
const apiVersion = `${group}/v1`;
const kind = 'PaperChannel';
const resource = `paperchannels.${group}`;
const manipulator = 'paperchannels-channelable-manipulator';
const allVerbs = ['create', 'get', 'list', 'watch', 'update', 'patch', 'delete'];

let world: ClusterWorld;
let controller: Service;

beforeAll(async () => {
  world = await ClusterWorld.start();
  const anything = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const subscriber = {
    ...anything,
    properties: { subscriberUri: { type: 'string', maxLength: 200 } },
    'x-kubernetes-validations': [{ rule: "!has(self.subscriberUri) || !self.subscriberUri.contains('refused')", message: 'nothing is delivered there' }],
  };
  await world.apply({
    apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: resource },
    spec: {
      group, scope: 'Namespaced', names: { kind, plural: 'paperchannels', singular: 'paperchannel' },
      versions: [{
        name: 'v1', served: true, storage: true, subresources: { status: {} },
        schema: { openAPIV3Schema: { type: 'object', properties: { spec: { ...anything, properties: { subscribers: { type: 'array', maxItems: 100, items: subscriber } } }, status: anything } } },
      }],
    },
  });
  await world.kubectl(['wait', '--for=condition=Established', `crd/${resource}`]);
  await allow(allVerbs);
  controller = await world.controller({ env: { DELETION_PATIENCE: '5s' } });
});

afterAll(() => world.stop());

/** What the kind's own installation brings, for Knative's controllers and ours alike. */
async function allow(verbs: readonly string[]): Promise<void> {
  await world.apply({
    apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: manipulator, labels: { 'duck.knative.dev/channelable': 'true', 'duck.knative.dev/addressable': 'true' } },
    rules: [{ apiGroups: [group], resources: ['paperchannels', 'paperchannels/status'], verbs }],
  });
  const mayPatch = async () => (await world.kubernetes.kubectl(['auth', 'can-i', 'patch', resource, '--as', `system:serviceaccount:${systemNamespace}:kafka-controller`])).stdout.trim() === 'yes';
  await waitFor('the rights in force', async () => (await mayPatch()) === verbs.includes('patch'), { timeoutMs: patienceMs });
}

const channelOf = (name: string): ClusterObject => ({ apiVersion, kind, metadata: { name, namespace: 'default' }, spec: {} });
const subscribe = (name: string, channel: string, uri: string): ClusterObject => {
  const { spec, ...rest } = subscription(name, channel, { uri });
  return { ...rest, spec: { ...spec, channel: { apiVersion, kind, name: channel } } };
};
const sayStatus = (name: string, status: object) => world.kubectl(['patch', resource, name, '--subresource=status', '--type=merge', '-p', JSON.stringify({ status })]);
const say = (name: string, uid: string, observedGeneration: number, ready: string, message?: string) => sayStatus(name, { subscribers: [{ uid, observedGeneration, ready, ...(message === undefined ? {} : { message }) }] });
const entriesOf = async (name: string): Promise<NonNullable<ClusterSpec['subscribers']>> => (await world.get(resource, name))?.spec?.subscribers ?? [];
const warningsOf = async (object: ClusterObject) =>
  (await world.list('events.events.k8s.io', '-A')).filter((event) => event['type'] === 'Warning' && (event['regarding'] as { uid?: string }).uid === object.metadata.uid).map((event) => `${String(event['reason'])}: ${String(event['note'])}`);
/** Of a Subscription: until a condition is as asked, for the generation that it has now. */
const untilCondition = (name: string, type: string, status: string, of = 'subscription') =>
  world.until(`${type} ${status}`, of, name, (object) => object.status?.observedGeneration === object.metadata.generation && conditionOf(object, type)?.status === status);

describe('a Subscription', () => {
  it('SU-02 SU-10 CP-16: is Ready when its channel says so of this very generation, and Unknown until then', async () => {
    await world.apply(channelOf('slow'), subscribe('patient', 'slow', 'http://first.example.com'));
    const added = await untilCondition('patient', 'AddedToChannel', 'True');
    const { uid = '' } = added.metadata;
    expect(await entriesOf('slow')).toMatchObject([{ uid, generation: 1, subscriberUri: 'http://first.example.com' }]);
    expect(conditionOf(added, 'ChannelReady')).toMatchObject({ status: 'Unknown', reason: 'SubscriptionNotMarkedReadyByChannel' });
    expect(conditionOf(added, 'Ready')).toMatchObject({ status: 'Unknown', reason: 'SubscriptionNotMarkedReadyByChannel' });
    await say('slow', uid, 1, 'True');
    await world.untilReady('subscription', 'patient');

    await world.apply(subscribe('patient', 'slow', 'http://second.example.com'));
    // What the channel says is of the generation before.
    await untilCondition('patient', 'Ready', 'Unknown');
    expect(await entriesOf('slow')).toMatchObject([{ uid, generation: 2, subscriberUri: 'http://second.example.com' }]);
    await say('slow', uid, 2, 'False', 'no paper');
    const failed = await untilCondition('patient', 'Ready', 'False');
    expect(conditionOf(failed, 'ChannelReady')).toMatchObject({ status: 'False', reason: 'SubscriptionNotMarkedReadyByChannel', message: 'no paper' });
    await say('slow', uid, 2, 'True');
    await world.untilReady('subscription', 'patient');
  });

  it('CP-34: says why its channel does not take it, in the API server\'s words, and is added when it is put right', async () => {
    await world.apply(channelOf('choosy'), subscribe('unwanted', 'choosy', 'http://refused.example.com'));
    const refused = await untilCondition('unwanted', 'AddedToChannel', 'False');
    const expected = { status: 'False', reason: 'PhysicalChannelSyncFailed', message: expect.stringContaining('nothing is delivered there') as string };
    expect(conditionOf(refused, 'AddedToChannel')).toMatchObject(expected);
    expect(conditionOf(refused, 'Ready')).toMatchObject(expected);
    await waitFor('an Event', async () => (await warningsOf(refused)).some((text) => text.startsWith('PhysicalChannelSyncFailed: ') && text.includes('nothing is delivered there')), { timeoutMs: patienceMs });
    await world.apply(subscribe('unwanted', 'choosy', 'http://welcome.example.com'));
    await untilCondition('unwanted', 'AddedToChannel', 'True');
  });

  it('SU-07: can be deleted although its channel must not be written any more, and an Event tells what is left there', async () => {
    await world.apply(channelOf('locked'), subscribe('locked-in', 'locked', 'http://a.example.com'));
    const { metadata, ...rest } = await untilCondition('locked-in', 'AddedToChannel', 'True');
    await allow(['get', 'list', 'watch']);
    await world.kubectl(['delete', 'subscription', 'locked-in', `--timeout=${patienceMs}ms`]);
    expect(await entriesOf('locked')).toMatchObject([{ uid: metadata.uid }]);
    await waitFor('an Event', async () => (await warningsOf({ ...rest, metadata })).some((text) => text.startsWith(`SubscriberLeft: left in spec.subscribers of its channel: uid ${metadata.uid}`) && text.includes('cannot patch resource')), { timeoutMs: patienceMs });
    await allow(allVerbs);
  });
});

describe('a Channel', () => {
  const generic = (name: string): ClusterObject => ({ apiVersion: 'messaging.knative.dev/v1', kind: 'Channel', metadata: { name, namespace: 'default' }, spec: { channelTemplate: { apiVersion, kind, spec: { paper: 'white' } } } });
  const channels = 'channels.messaging.knative.dev';

  it('CP-07: is marked as subscribable, whoever chose its template', async () => {
    await world.apply(generic('over-paper'));
    await world.until('the annotation', channels, 'over-paper', ({ metadata }) => metadata.annotations?.['messaging.knative.dev/subscribable'] === 'v1');
  });

  it('CP-29 CP-34: says what the channel behind it says, in its status and as an Event', async () => {
    const waiting = await untilCondition('over-paper', 'BackingChannelReady', 'Unknown', channels);
    await sayStatus('over-paper', { conditions: [{ type: 'Ready', status: 'False', reason: 'NoPaper', message: 'the last sheet is used up' }] });
    const failed = await untilCondition('over-paper', 'BackingChannelReady', 'False', channels);
    for (const type of ['BackingChannelReady', 'Ready']) expect(conditionOf(failed, type)).toMatchObject({ status: 'False', reason: 'NoPaper', message: 'the last sheet is used up' });
    await waitFor('an Event', async () => (await warningsOf(waiting)).includes('NoPaper: the last sheet is used up'), { timeoutMs: patienceMs });
    // That there is no address at first is no failure.
    expect((await warningsOf(waiting)).filter((text) => text.startsWith('EmptyHostname'))).toEqual([]);
    const subscribers = [{ uid: 'u', observedGeneration: 1, ready: 'True' }];
    await sayStatus('over-paper', { conditions: [{ type: 'Ready', status: 'True' }], address: { url: 'http://paper.example.com' }, subscribers });
    const found = await world.untilReady(channels, 'over-paper');
    expect(found.status).toMatchObject({ address: { url: 'http://paper.example.com' }, subscribers, channel: { apiVersion, kind, name: 'over-paper', namespace: 'default' } });
  });

  it('GC-02: never changes the channel behind it, and makes another one when it is gone', async () => {
    const looks = () => metric(controller, 'knative_kafka_reconcile_duration_seconds_count', { controller: 'channel' });
    const made = (await world.get(resource, 'over-paper'))!;
    expect(made.metadata.ownerReferences).toMatchObject([{ kind: 'Channel', name: 'over-paper', controller: true }]);
    await world.kubectl(['patch', resource, 'over-paper', '--type=merge', '-p', '{"spec":{"paper":"blue"}}']);
    const before = await looks();
    await sayStatus('over-paper', { address: { url: 'http://blue.example.com' } });
    await world.until('the new address', channels, 'over-paper', (object) => isReady(object) && object.status?.address?.url === 'http://blue.example.com');
    expect(await looks()).toBeGreaterThan(before);
    expect((await world.get(resource, 'over-paper'))!.spec).toMatchObject({ paper: 'blue' });
    await world.kubectl(['delete', resource, 'over-paper']);
    const again = await world.until('another one', resource, 'over-paper', ({ metadata }) => metadata.uid !== made.metadata.uid);
    expect(again.spec).toMatchObject({ paper: 'white' });
  });
});
