/**
 * Kafka Secrets on a Kafka that asks who comes: each way to say it, a password that changes under load, and what people
 * see of one that is wrong.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSecuredKafka, waitFor, type SecuredKafka } from '@knative-kafka/local-cluster';
import { sendEvents, type Receiver, type SendResult, type Service, type Subscriber } from '../local/harness.ts';
import { ClusterWorld, conditionOf, kafkaChannel, kafkaSecretName, patienceMs, subscription, systemNamespace, type ClusterObject } from './cluster-world.ts';

type Keys = Readonly<Record<string, string>>;

const secretAnnotation = 'kafka.eventing.knative.dev/kafka-secret';
const wrongPassword = 'wr0ng-passw0rd';
let dataDir: string;
let kafka: SecuredKafka;
let world: ClusterWorld;
let controller: Service;

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'knative-kafka-secured-'));
  kafka = await startSecuredKafka({ dataDir, sessionMs: 12_000, onProgress: (text) => void process.stderr.write(`${text}\n`) });
  world = await ClusterWorld.start({ kafka: kafka.cluster });
  // Nothing here is of the default Kafka Secret, which there has to be none in doubt about.
  await world.kafkaSecret(kafkaSecretName, { brokers: kafka.bootstrap.plaintext }, { 'kafka.eventing.knative.dev/default-kafka-secret': 'true' });
  controller = await world.controller();
});

afterAll(async () => {
  await world.stop();
  await kafka.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

const channelOf = (name: string): ClusterObject => kafkaChannel(name, { numPartitions: 3 }, { annotations: { [secretAnnotation]: name } });
const scram = (password: string): Keys => ({ brokers: kafka.bootstrap.sessionTls, protocol: 'SASL_SSL', 'sasl.mechanism': 'SCRAM-SHA-512', username: 'bob', password, 'ca.crt': kafka.ca });
const mtls = (): Keys => ({ 'bootstrap.servers': kafka.bootstrap.clientCertificate, protocol: 'SSL', 'ca.crt': kafka.ca, 'user.crt': kafka.client.certificate, 'user.key': kafka.client.key });
const oauth = (): Keys => ({ brokers: kafka.bootstrap.tokenTls, protocol: 'SASL_SSL', 'sasl.mechanism': 'OAUTHBEARER', 'ca.crt': kafka.ca });
const eventsOf = async ({ metadata: { uid } }: ClusterObject): Promise<readonly ClusterObject[]> => (await world.list('events.events.k8s.io', '-A')).filter((event) => (event['regarding'] as { uid?: string }).uid === uid);

interface Path {
  readonly receiver: Receiver;
  readonly dispatcher: Service;
  readonly subscriber: Subscriber;
}

/** A channel of the Kafka Secret of the same name, with a subscriber and all that serves it. */
async function startPath(name: string): Promise<Path> {
  const subscriber = await world.subscriber();
  await world.apply(channelOf(name), subscription(name, name, { uri: subscriber.uri }));
  await world.untilReady('kafkachannel', name);
  await world.untilReady('subscription', name);
  const env = { KAFKA_SECRET_DIR: world.secretFolder(name), KAFKA_SECRET: name };
  return { subscriber, receiver: await world.receiver({ env }), dispatcher: await world.dispatcher(`default/${name}`, { env }) };
}

async function isReceiverReady({ metricsPort }: Receiver): Promise<boolean> {
  return (await fetch(`http://127.0.0.1:${metricsPort}/readyz`)).ok;
}

describe('an event comes through', () => {
  it.each<[string, string, () => Keys]>([
    ['PLAIN over TLS', 'plain', () => ({ brokers: kafka.bootstrap.passwordTls, username: 'ann', password: kafka.users.ann, 'ca.crt': kafka.ca, namespace: '' })],
    ['SCRAM-SHA-256 without TLS', 'scram', () => ({ brokers: kafka.bootstrap.password, protocol: 'SASL_PLAINTEXT', 'sasl.mechanism': 'SCRAM-SHA-256', user: 'ann', password: kafka.users.ann })],
    ['a client certificate', 'mtls', mtls],
    ['tokens of a token server', 'tokens', () => ({
      ...oauth(), 'sasl.oauthbearer.token.endpoint.url': kafka.tokens.tlsUrl, 'sasl.oauthbearer.token.endpoint.ca.crt': kafka.ca,
      'sasl.oauthbearer.client.credentials.client.id': kafka.tokens.clientId, 'sasl.oauthbearer.client.credentials.client.secret': kafka.tokens.clientSecret,
    })],
    ['a token in the Secret', 'token', () => ({ ...oauth(), token: kafka.tokens.createToken() })],
  ])('with %s', async (_name, name, keys) => {
    await world.kafkaSecret(name, keys());
    const { receiver, dispatcher, subscriber } = await startPath(name);
    const { acknowledged } = await sendEvents({ urls: [receiver.url(name)], count: 50, keys: 5 });
    await subscriber.untilAccepted(acknowledged);
    await dispatcher.process.stop();
    await receiver.process.stop();
  });
});

describe('a password', () => {
  it('changes under load, on the broker and in the Secret, and is wrong for a while: nothing acknowledged is lost', async () => {
    await world.kafkaSecret('rotating', scram(kafka.users.bob));
    const { receiver, dispatcher, subscriber } = await startPath('rotating');
    const ending = new AbortController();
    let sent = 0;
    const load: Promise<SendResult> = sendEvents({ urls: [receiver.url('rotating')], count: 100_000, keys: 6, pauseMs: 20, signal: ending.signal, onAcknowledged: (count) => (sent = count) });
    // Of each key one after the other, 20 ms apart: this many take at least 16 s, which is longer than a session.
    const untilSessionsAreOver = async (fact: string): Promise<void> => {
      const before = sent;
      await waitFor(fact, () => sent > before + 6 * 800, { timeoutMs: 120_000 });
      const delivered = subscriber.accepted.length;
      await waitFor(`${fact}, delivered`, () => subscriber.accepted.length > delivered + 100, { timeoutMs: patienceMs });
    };
    await waitFor('events on their way', () => subscriber.accepted.length > 100, { timeoutMs: patienceMs });

    await kafka.setScramPassword('bob', 'second-password');
    await world.kafkaSecret('rotating', scram('second-password'));
    await untilSessionsAreOver('events by the second password');

    await world.kafkaSecret('rotating', scram(wrongPassword));
    const words = /Kafka Secret rotating: .*[Aa]uthentication failed/;
    const channel = await world.until('the refusal', 'kafkachannel', 'rotating', (object) => conditionOf(object, 'ConfigurationReady')?.reason === 'KafkaAccessRefused');
    expect(conditionOf(channel, 'ConfigurationReady')).toMatchObject({ status: 'False', message: expect.stringMatching(words) as string });
    expect(conditionOf(channel, 'Ready')).toMatchObject({ status: 'False', reason: 'KafkaAccessRefused', message: expect.stringMatching(words) as string });
    // What it knows of its topic stays on record, so that a sender is told to come again, not that there is no such channel.
    expect(channel.status?.['annotations']).toEqual({ 'default.topic': 'knative-messaging-kafka.default.rotating', [secretAnnotation]: 'rotating' });
    expect(channel.status?.address).toBeDefined();
    const secret = (await world.get('secret', 'rotating', systemNamespace))!;
    for (const object of [channel, secret]) {
      await waitFor(`an Event of ${object.kind}`, async () => (await eventsOf(object)).some((event) => event['type'] === 'Warning' && event['reason'] === 'KafkaAccessRefused' && words.test(String(event['note']))), { timeoutMs: patienceMs });
    }
    expect(await world.kubectl(['describe', 'kafkachannel', 'rotating'])).toMatch(words);
    await waitFor('the receiver to say that it is not ready', async () => !(await isReceiverReady(receiver)), { timeoutMs: patienceMs });
    const refused = await fetch(receiver.url('rotating'), { method: 'POST', headers: { 'ce-specversion': '1.0', 'ce-id': 'refused', 'ce-source': '/', 'ce-type': 't' } });
    expect(refused.status).toBe(503);

    await world.kafkaSecret('rotating', scram('second-password'));
    await world.untilReady('kafkachannel', 'rotating');
    await waitFor('the receiver to be ready', () => isReceiverReady(receiver), { timeoutMs: patienceMs });
    await untilSessionsAreOver('events by the right password again');
    await waitFor('an Event that all is well', async () => (await eventsOf(secret)).some((event) => event['reason'] === 'KafkaReachable'), { timeoutMs: patienceMs });

    ending.abort();
    const { acknowledged } = await load;
    await subscriber.untilAccepted(acknowledged);
    expect(subscriber.orderBreaks()).toEqual([]);
    expect([controller, receiver, dispatcher].map(({ process }) => process.isRunning())).toEqual([true, true, true]);
    for (const { process } of [controller, receiver, dispatcher]) expect(process.output()).not.toMatch(new RegExp(`${wrongPassword}|second-password|${kafka.users.bob}`));
    expect(await world.kubectl(['get', 'events.events.k8s.io,kafkachannels', '-A', '-o', 'json'])).not.toMatch(new RegExp(`${wrongPassword}|second-password`));
    await dispatcher.process.stop();
    await receiver.process.stop();
  }, 400_000);
});

describe('a channel that is Ready', () => {
  it('says when Kafka knows another password than the Secret, and when it is right again, though nobody touches either object', async () => {
    await kafka.setScramPassword('bob', 'known-password');
    await world.kafkaSecret('forgotten', scram('known-password'));
    await world.apply(channelOf('forgotten'));
    await world.untilReady('kafkachannel', 'forgotten');
    await kafka.setScramPassword('bob', 'other-password');
    await world.until('the refusal', 'kafkachannel', 'forgotten', (object) => conditionOf(object, 'ConfigurationReady')?.reason === 'KafkaAccessRefused');
    await kafka.setScramPassword('bob', 'known-password');
    await world.untilReady('kafkachannel', 'forgotten');
  });

  it('says when its Kafka is away, keeps its address and its topic meanwhile, and is Ready again when it is back', async () => {
    await world.kafkaSecret('away', { brokers: kafka.bootstrap.plaintext });
    await world.apply(channelOf('away'));
    const before = await world.untilReady('kafkachannel', 'away');
    const broker = kafka.cluster.brokers[0]!;
    await broker.kill();
    const without = await world.until('Kafka being away', 'kafkachannel', 'away', (object) => conditionOf(object, 'Ready')?.reason === 'KafkaUnavailable');
    expect(conditionOf(without, 'TopicReady')).toMatchObject({ status: 'False', message: expect.stringMatching(/^Kafka Secret away: .*ECONNREFUSED/) as string });
    expect(conditionOf(without, 'ConfigurationReady')).toMatchObject({ status: 'True' });
    expect(without.status).toMatchObject({ address: before.status!.address, annotations: before.status!['annotations'] });
    await broker.start();
    await world.untilReady('kafkachannel', 'away');
  });
});

describe('what is wrong with a Kafka Secret shows in its channels, and goes when it is put right', () => {
  it.each<[string, string, () => Keys, () => Keys, { readonly type: string; readonly reason: string; readonly words: RegExp }]>([
    ['a key that is missing', 'no-password', () => ({ ...scram(''), username: 'ann' }), () => ({ ...scram(kafka.users.ann), username: 'ann' }), { type: 'ConfigurationReady', reason: 'KafkaSecretInvalid', words: /^Kafka Secret no-password: data.password: is required for SASL with mechanism SCRAM-SHA-512$/ }],
    ['somebody else\'s private key', 'other-key', () => ({ ...mtls(), 'user.key': kafka.strangeClient.key }), mtls, { type: 'ConfigurationReady', reason: 'KafkaSecretInvalid', words: /^Kafka Secret other-key: data\["user.key"\]: this private key does not belong/ }],
    ['an authority that did not sign the broker\'s certificate', 'other-ca', () => ({ ...mtls(), 'ca.crt': kafka.strangeCa }), mtls, { type: 'ConfigurationReady', reason: 'KafkaAccessRefused', words: /^Kafka Secret other-ca: .*ca\.crt/ }],
    ['no client certificate', 'no-cert', () => ({ brokers: kafka.bootstrap.clientCertificate, protocol: 'SSL', 'ca.crt': kafka.ca }), mtls, { type: 'ConfigurationReady', reason: 'KafkaAccessRefused', words: /^Kafka Secret no-cert: .*user\.crt/ }],
    ['a port where nobody listens', 'nobody', () => ({ brokers: '127.0.0.1:1' }), () => ({ brokers: kafka.bootstrap.plaintext }), { type: 'TopicReady', reason: 'KafkaUnavailable', words: /^Kafka Secret nobody: .*ECONNREFUSED/ }],
    ['a client\'s secret that the token server does not know', 'no-token', () => ({ ...oauth(), 'sasl.oauthbearer.token.endpoint.url': kafka.tokens.url, 'sasl.oauthbearer.client.id': kafka.tokens.clientId, 'sasl.oauthbearer.client.secret': wrongPassword }), () => ({ ...oauth(), 'sasl.oauthbearer.token.endpoint.url': kafka.tokens.url, 'sasl.oauthbearer.client.id': kafka.tokens.clientId, 'sasl.oauthbearer.client.secret': kafka.tokens.clientSecret }), { type: 'ConfigurationReady', reason: 'KafkaAccessRefused', words: /^Kafka Secret no-token: .*token endpoint http.*invalid_client/ }],
  ])('%s', async (_name, name, wrong, right, { type, reason, words }) => {
    await world.kafkaSecret(name, wrong());
    await world.apply(channelOf(name));
    const channel = await world.until('what is wrong', 'kafkachannel', name, (object) => conditionOf(object, type)?.status === 'False');
    expect(conditionOf(channel, type)).toMatchObject({ reason, message: expect.stringMatching(words) as string });
    const secret = (await world.get('secret', name, systemNamespace))!;
    await waitFor('an Event of the Secret', async () => (await eventsOf(secret)).some((event) => words.test(String(event['note']))), { timeoutMs: patienceMs });
    await world.kafkaSecret(name, right());
    await world.untilReady('kafkachannel', name);
  });
});
