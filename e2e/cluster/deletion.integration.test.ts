/**
 * Deletion always ends, and leaves nothing behind but what somebody's data needs: whatever became of the Kafka, of the
 * Kafka Secret, of the namespace and of the controller meanwhile. On a real API server and a real Kafka.
 */
import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deadLetterTopicName } from '@knative-kafka/common/core';
import { waitFor } from '@knative-kafka/local-cluster';
import type { Service } from '../local/harness.ts';
import { ClusterWorld, conditionOf, isReady, kafkaChannel, patienceMs, subscription, systemNamespace, type ClusterObject } from './cluster-world.ts';

/** Longer than a new channel takes to become Ready on a busy machine, and shorter than asking a silent Kafka for each of many. */
const env = { DELETION_PATIENCE: '30s', KAFKA_CONNECT_TIMEOUT: '10s' };
const secretAnnotation = 'kafka.eventing.knative.dev/kafka-secret';

let world: ClusterWorld;
let controller: Service;
/** Takes connections and says nothing. */
let silent: Server;

beforeAll(async () => {
  silent = createServer(() => undefined);
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  world = await ClusterWorld.start();
  for (const name of ['quiet', 'passing']) await world.kafkaSecret(name, { brokers: world.kafka.bootstrap });
  await world.kubectl(['annotate', 'secret', 'kafka-cluster', '-n', systemNamespace, 'kafka.eventing.knative.dev/default-kafka-secret=true']);
  controller = await world.controller({ env });
});

afterAll(async () => {
  await world.stop();
  silent.close();
});

const topicOf = (channel: string, namespace = 'default') => `knative-messaging-kafka.${namespace}.${channel}`;
const ofSecret = (name: string, secret: string): ClusterObject => kafkaChannel(name, {}, { annotations: { [secretAnnotation]: secret } });
const dispatchers = async (channel: string) => (await world.list('deployments', '-n', systemNamespace)).filter(({ metadata }) => metadata.annotations?.['kafka.eventing.knative.dev/channel'] === channel);
const notesOf = async (object: ClusterObject, reason: string) =>
  (await world.list('events.events.k8s.io', '-A')).filter((event) => event['reason'] === reason && (event['regarding'] as { uid?: string }).uid === object.metadata.uid).map((event) => String(event['note']));
const inNamespace = (namespace: string, object: ClusterObject): ClusterObject => ({ ...object, metadata: { ...object.metadata, namespace } });

describe('CP-28: the deletion of channels', () => {
  const quiet = Array.from({ length: 40 }, (_, index) => `quiet-${index}`);
  const left = async () => (await world.list('kafkachannels')).filter(({ metadata }) => quiet.includes(metadata.name));
  let channels: readonly ClusterObject[];
  let passing: ClusterObject;

  it('whose Kafka says nothing any more keeps no other channel waiting', async () => {
    await world.apply(...quiet.map((name) => ofSecret(name, 'quiet')), ofSecret('passing', 'passing'));
    await waitFor('channels that are Ready', async () => (await left()).filter(isReady).length === quiet.length, { timeoutMs: patienceMs });
    [channels, passing] = [await left(), await world.untilReady('kafkachannel', 'passing')];
    await world.kafkaSecret('quiet', { brokers: `127.0.0.1:${(silent.address() as AddressInfo).port}` });
    await world.until('the condition', 'kafkachannel', 'quiet-0', (object) => conditionOf(object, 'TopicReady')?.reason === 'KafkaUnavailable');
    await world.kubectl(['delete', 'secret', 'passing', '-n', systemNamespace]);
    await world.kubectl(['delete', 'kafkachannel', 'passing', ...quiet, '--wait=false']);
    await world.apply(kafkaChannel('prompt'));
    await world.untilReady('kafkachannel', 'prompt');
    // None of them has been given up yet.
    expect(await left()).toHaveLength(quiet.length);
  });

  it('whose Kafka says nothing any more ends, and Events tell what is left', async () => {
    await waitFor('all of them gone', async () => (await left()).length === 0, { timeoutMs: 2 * patienceMs });
    const [channel] = channels;
    const { name } = channel!.metadata;
    const [note] = await waitFor('an Event', async () => {
      const notes = await notesOf(channel!, 'KafkaObjectsLeft');
      return notes.length > 0 ? notes : undefined;
    }, { timeoutMs: patienceMs });
    expect(note).toMatch(new RegExp(`^left in Kafka: topic ${topicOf(name).replaceAll('.', '\\.')} \\(Kafka Secret quiet: `));
  });

  it('whose Kafka Secret is gone ends, and an Event tells it', async () => {
    await world.untilGone('kafkachannel', 'passing');
    await waitFor('an Event', async () => (await notesOf(passing, 'KafkaObjectsLeft')).includes(`left in Kafka: topic ${topicOf('passing')} (Kafka Secret passing is gone)`), { timeoutMs: patienceMs });
  });

  it('that never had a Kafka ends at once', async () => {
    await world.apply(ofSecret('without', 'nowhere'));
    const found = await world.until('the condition', 'kafkachannel', 'without', (object) => conditionOf(object, 'ConfigurationReady')?.status === 'False');
    expect(found.metadata.finalizers).toHaveLength(1);
    await world.kubectl(['delete', 'kafkachannel', 'without']);
    expect(await notesOf(found, 'KafkaObjectsLeft')).toEqual([]);
  });

  it('leaves the topic of their dead letters, and says so', async () => {
    await world.apply(kafkaChannel('mourned'));
    const channel = await world.untilReady('kafkachannel', 'mourned');
    const deadLetters = deadLetterTopicName(topicOf('mourned'));
    await world.admin.createTopic({ topic: deadLetters, partitions: 1, replicationFactor: 1, config: {} });
    await world.kubectl(['delete', 'kafkachannel', 'mourned']);
    await waitFor('an Event', async () => (await notesOf(channel, 'DeadLetterTopicKept')).some((note) => note.includes(deadLetters)), { timeoutMs: patienceMs });
    expect(await world.admin.listTopics()).toContain(deadLetters);
    await world.untilTopicGone(topicOf('mourned'));
  });

  it('of a whole namespace ends: Subscriptions, channels, what stands behind Channels, topics and groups', async () => {
    const namespace = 'leaving';
    const template = { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel' };
    const uri = 'http://127.0.0.1:1/';
    await world.kubectl(['create', 'namespace', namespace]);
    await world.apply(...[
      kafkaChannel('own'), subscription('of-own', 'own', { uri }),
      { apiVersion: 'messaging.knative.dev/v1', kind: 'Channel', metadata: { name: 'generic' }, spec: { channelTemplate: template } }, subscription('of-generic', { kind: 'Channel', name: 'generic' }, { uri }),
    ].map((object) => inNamespace(namespace, object)));
    const groups = await Promise.all([['own', 'of-own'], ['generic', 'of-generic']].map(async ([channel, name]) => `kafka.${namespace}.${channel}.${(await world.untilReady('subscription', name!, namespace)).metadata.uid}`));
    expect((await Promise.all(['own', 'generic'].map((name) => dispatchers(`${namespace}/${name}`)))).flat()).toHaveLength(2);
    await world.kubectl(['delete', 'namespace', namespace, `--timeout=${patienceMs}ms`]);
    await waitFor('no topic of the namespace', async () => !(await world.admin.listTopics()).some((topic) => topic.includes(namespace)), { timeoutMs: patienceMs });
    for (const group of groups) expect(await world.admin.deleteGroup(group)).toBe('absent');
    await waitFor('no dispatchers', async () => (await Promise.all(['own', 'generic'].map((name) => dispatchers(`${namespace}/${name}`)))).flat().length === 0, { timeoutMs: patienceMs });
  });

  it('that was asked for while no controller ran ends when one runs', async () => {
    await world.apply(kafkaChannel('unseen'), subscription('unseen', 'unseen', { uri: 'http://127.0.0.1:1/' }));
    const { metadata } = await world.untilReady('subscription', 'unseen');
    await controller.process.stop();
    await world.kubectl(['delete', 'kafkachannel/unseen', 'subscription/unseen', '--wait=false']);
    controller = await world.controller({ env });
    await world.untilGone('subscription', 'unseen');
    await world.untilGone('kafkachannel', 'unseen');
    await world.untilTopicGone(topicOf('unseen'));
    expect(await world.admin.deleteGroup(`kafka.default.unseen.${metadata.uid}`)).toBe('absent');
    await waitFor('no dispatcher', async () => (await dispatchers('default/unseen')).length === 0, { timeoutMs: patienceMs });
  });
});
