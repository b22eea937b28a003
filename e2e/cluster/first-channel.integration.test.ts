/**
 * docs/INSTALL.md and docs/FIRST-CHANNEL.md, command by command, without the pods: from an empty cluster over the first
 * channel to an empty cluster.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { ClusterWorld, isReady, patienceMs, systemNamespace, type ClusterObject } from './cluster-world.ts';
import { root } from './install.ts';
import { PageCommands } from './page-commands.ts';

const topic = 'knative-messaging-kafka.orders.orders';
const secretName = 'kafka-cluster';

let world: ClusterWorld;
let install: PageCommands;
let firstChannel: PageCommands;

beforeAll(async () => {
  world = await ClusterWorld.start({ isBare: true });
  const options = { folder: root, replaced: { 'my-cluster-kafka-bootstrap.kafka:9092': world.kafka.bootstrap } };
  install = new PageCommands('docs/INSTALL.md', world.kubernetes, options);
  firstChannel = new PageCommands('docs/FIRST-CHANNEL.md', world.kubernetes, options);
});

afterAll(() => world.stop());

it('installs, and says what to do next', async () => {
  expect(await install.run('install')).toContain(`The Secret ${secretName} tells how to reach it.`);
  expect(await install.run('look')).toContain('backoffDelay <string>');
  await world.controller();
});

it('makes the first channel, which is Ready and tells what it is', async () => {
  expect(await firstChannel.run('apply')).toMatch(/kafkachannel\S+\/orders +True/);
  expect(await firstChannel.run('describe')).toContain('KafkaChannelReady');
  expect(await firstChannel.run('deployments')).toMatch(/kafka-channel-receiver[\s\S]*orders-orders-\w+-dispatcher/);
});

it('says in words that nobody can reach Kafka, and is Ready again when it is put right', async () => {
  const brokers = (address: string): Promise<unknown> => world.kubectl(['patch', 'secret', secretName, '-n', systemNamespace, '-p', JSON.stringify({ stringData: { brokers: address } })]);
  await brokers('no-such-kafka.example:9092');
  await waitFor('a sentence in kubectl describe', async () => (await firstChannel.run('describe')).includes('no-such-kafka.example'), { timeoutMs: patienceMs });
  await brokers(world.kafka.bootstrap);
  await world.untilReady('kafkachannel', 'orders', 'orders');
});

it('changes subscriber and dead letter sink, and changes them back', async () => {
  const resolved = (wanted: object) => (object: ClusterObject): boolean => isReady(object) && Object.entries(wanted).every(([name, uri]) => (object.status?.physicalSubscription as Record<string, unknown> | undefined)?.[name] === uri);
  const subscriberUri = 'http://event-display.orders.svc.cluster.local';
  await firstChannel.run('dead-letter-sink');
  await world.until('the dead letter sink', 'subscription', 'event-display', resolved({ subscriberUri: 'http://nobody.orders.svc.cluster.local', deadLetterSinkUri: subscriberUri }), 'orders');
  await firstChannel.run('subscriber-back');
  await world.until('the subscriber back', 'subscription', 'event-display', resolved({ subscriberUri }), 'orders');
});

it('adds partitions', async () => {
  await firstChannel.run('faster');
  await waitFor('20 partitions', async () => (await world.admin.describeTopic(topic))?.partitions === 20, { timeoutMs: patienceMs });
});

it('takes another value, and another version', async () => {
  await install.run('change');
  await install.run('upgrade');
  await world.until('three receivers', 'deployment', 'kafka-controller', (object) => JSON.stringify(object.spec).includes('\\"replicas\\":3'), systemNamespace);
});

it('takes the channel away, with its topic', async () => {
  await firstChannel.run('delete');
  await world.untilTopicGone(topic);
});

it('is uninstalled for good', async () => {
  await install.run('uninstall-for-good');
  expect((await world.list('crds')).map(({ metadata }) => metadata.name)).not.toContain('kafkachannels.messaging.knative.dev');
  expect(await world.list('deployments', '-n', systemNamespace)).toEqual([]);
});
