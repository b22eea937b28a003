/**
 * From `kubectl apply` to a delivered event, and back to nothing: every service as a process of its own, with the rights
 * of its own ServiceAccount, on a real API server and three real brokers. Once with our controllers of Subscriptions and
 * Channels, once beside Knative Eventing's own.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startKnativeEventing, waitFor, type KnativeEventing } from '@knative-kafka/local-cluster';
import { logged, metric, sendEvents, type Receiver, type SendResult, type Service, type Subscriber } from '../local/harness.ts';
import { ClusterWorld, isReady, kafkaChannel, patienceMs, subscription } from './cluster-world.ts';
import { chart, helm, release, root, systemNamespace } from './install.ts';

/** For how long the API server is away. */
const awayMs = 125_000;

describe.each(['our own', 'Knative Eventing\'s'] as const)('with %s controllers of Subscriptions and Channels', (whose) => {
  let world: ClusterWorld;
  let eventing: KnativeEventing | undefined;
  let controller: Service;
  let receiver: Receiver;

  beforeAll(async () => {
    world = await ClusterWorld.start({ brokers: 3, isBesideKnativeEventing: whose !== 'our own' });
    if (whose !== 'our own') eventing = await startKnativeEventing({ kubernetes: world.kubernetes, logFile: join(world.dataDir, 'knative-eventing.log'), onProgress: (text) => void process.stderr.write(`${text}\n`) });
    controller = await world.controller();
    receiver = await world.receiver();
  });

  afterAll(async () => {
    await eventing?.stop();
    await world.stop();
  });

  it('delivers what is sent to the channel of the example, wherever its Subscription points, until it is deleted', async () => {
    const folder = join(root, 'examples', 'cluster');
    const example = readdirSync(folder).filter((name) => name.endsWith('.yaml')).sort().map((name) => readFileSync(join(folder, name), 'utf8')).join('\n---\n');
    await world.kubectl(['apply', '-f', '-'], example);
    await world.untilReady('kafkachannel', 'orders', 'orders');
    const subscribed = await world.untilReady('subscription', 'event-display', 'orders');
    expect(subscribed.status?.physicalSubscription).toEqual({ subscriberUri: 'http://event-display.orders.svc.cluster.local' });

    const [first, second] = [await world.subscriber(), await world.subscriber()];
    const pointTo = async (subscriber: Subscriber): Promise<void> => {
      await world.kubectl(['patch', 'subscription', 'event-display', '-n', 'orders', '--type=merge', '-p', JSON.stringify({ spec: { subscriber: { ref: null, uri: subscriber.uri } } })]);
      await world.until('the new subscriber', 'subscription', 'event-display', (object) => isReady(object) && object.status?.physicalSubscription?.subscriberUri === subscriber.uri, 'orders');
    };
    await pointTo(first);
    const dispatcher = await world.dispatcher('orders/orders');
    const urls = [`http://127.0.0.1:${receiver.httpPort}/orders/orders`];
    const toFirst = await sendEvents({ urls, count: 200, keys: 10, keyPrefix: 'first' });
    await first.untilAccepted(toFirst.acknowledged);

    await pointTo(second);
    const toSecond = await sendEvents({ urls, count: 200, keys: 10, keyPrefix: 'second' });
    await waitFor('every event at the one or the other', () => {
      const seen = new Set([...first.accepted, ...second.accepted].map(({ id }) => id));
      return [...toSecond.acknowledged].every((id) => seen.has(id));
    }, { timeoutMs: patienceMs });
    // The change took effect while the dispatcher ran, without a rebalance.
    await waitFor('the second subscriber alone', async () => {
      const probe = await sendEvents({ urls, count: 1, keys: 1, keyPrefix: `probe${Math.random()}-` });
      await waitFor('the probe', () => [...probe.acknowledged].every((id) => [...first.accepted, ...second.accepted].some((event) => event.id === id)), { timeoutMs: patienceMs });
      return [...probe.acknowledged].every((id) => second.accepted.some((event) => event.id === id));
    }, { timeoutMs: patienceMs });
    for (const subscriber of [first, second]) expect(subscriber.orderBreaks()).toEqual([]);
    // What was refused, or not answered, was sent again, and then two of it may have been stored.
    const sentAgain = [toFirst, toSecond].flatMap(({ refusals }) => [...refusals.values()]).reduce((sum, count) => sum + count, 0);
    expect(first.duplicates + second.duplicates).toBeLessThanOrEqual(sentAgain);

    const { metadata } = subscribed;
    const topic = 'knative-messaging-kafka.orders.orders';
    const group = `kafka.orders.orders.${metadata.uid}`;
    await world.kubectl(['delete', 'subscription', 'event-display', '-n', 'orders']);
    await waitFor('the consumer group to be gone', async () => (await world.admin.groupLag(group, topic)).every(({ commitOffset }) => commitOffset === undefined), { timeoutMs: patienceMs });
    await world.kubectl(['delete', 'kafkachannel', 'orders', '-n', 'orders']);
    await world.untilTopicGone(topic);
    await waitFor('a receiver that knows no such channel', async () => {
      const gone = await fetch(urls[0]!, { method: 'POST', headers: { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/', 'ce-type': 't' } });
      await gone.arrayBuffer();
      return gone.status === 404;
    }, { timeoutMs: patienceMs });
    await dispatcher.process.stop();
  });

  it('sends replies and dead letters where they belong, through objects that are referred to', async () => {
    const [subscriber, replies, dead] = [await world.subscriber({ answer: ({ id }) => (id.startsWith('bad') ? 400 : 200) }), await world.subscriber(), await world.subscriber()];
    await world.apply(kafkaChannel('origin', { delivery: { deadLetterSink: { uri: dead.uri } } }), kafkaChannel('answers'));
    await world.apply(
      subscription('ask', 'origin', { uri: subscriber.uri }, { reply: { ref: { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name: 'answers' } } }),
      subscription('answer', 'answers', { uri: replies.uri }),
    );
    const asked = await world.untilReady('subscription', 'ask');
    expect(asked.status?.physicalSubscription).toMatchObject({ replyUri: 'http://answers-kn-channel.default.svc.cluster.local', deadLetterSinkUri: dead.uri });
    await world.untilReady('subscription', 'answer');
    const dispatcher = await world.dispatcher('default/origin');
    const sent = await sendEvents({ urls: [receiver.url('origin')], count: 20, keys: 2, keyPrefix: 'good' });
    const bad = await sendEvents({ urls: [receiver.url('origin')], count: 20, keys: 2, keyPrefix: 'bad' });
    await subscriber.untilAccepted(sent.acknowledged);
    await dead.untilAccepted(bad.acknowledged);
    await dispatcher.process.stop();
  });

  it('a generic Channel takes events and delivers them as the KafkaChannel behind it', async () => {
    const subscriber = await world.subscriber();
    await world.apply({
      apiVersion: 'messaging.knative.dev/v1', kind: 'Channel', metadata: { name: 'generic', namespace: 'default' },
      spec: { channelTemplate: { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', spec: { numPartitions: 2 } } },
    });
    const channel = await world.untilReady('channels.messaging.knative.dev', 'generic');
    expect(channel.status?.address?.url).toBe('http://generic-kn-channel.default.svc.cluster.local');
    await world.apply(subscription('to-generic', { kind: 'Channel', name: 'generic' }, { uri: subscriber.uri }));
    await world.untilReady('subscription', 'to-generic');
    const dispatcher = await world.dispatcher('default/generic');
    const { acknowledged } = await sendEvents({ urls: [receiver.url('generic')], count: 50, keys: 5 });
    await subscriber.untilAccepted(acknowledged);
    await world.kubectl(['delete', 'subscription', 'to-generic']);
    await world.kubectl(['delete', 'channels.messaging.knative.dev', 'generic']);
    await dispatcher.process.stop();
  });

  it('CP-18 CP-19: a subscriber misses nothing: neither before its dispatcher runs, nor while it vanishes from the channel for moments', async () => {
    const subscriber = await world.subscriber();
    await world.apply(kafkaChannel('flickering', { numPartitions: 3 }), subscription('flickers', 'flickering', { uri: subscriber.uri }));
    const { uid } = (await world.untilReady('subscription', 'flickers')).metadata;
    const early = await sendEvents({ urls: [receiver.url('flickering')], count: 100, keys: 6, keyPrefix: 'early' });
    const dispatcher = await world.dispatcher('default/flickering');
    await subscriber.untilAccepted(early.acknowledged);
    const ending = new AbortController();
    const load = sendEvents({ urls: [receiver.url('flickering')], count: 100_000, keys: 6, keyPrefix: 'later', pauseMs: 5, signal: ending.signal });
    for (let moment = 0; moment < 5; moment++) {
      const seen = subscriber.accepted.length;
      await waitFor('events on their way', () => subscriber.accepted.length > seen + 50, { timeoutMs: patienceMs });
      // As Knative's controller does when it writes a list that it has read before.
      await world.kubectl(['patch', 'kafkachannel', 'flickering', '--type=merge', '-p', '{"spec":{"subscribers":[]}}', '--as', `system:serviceaccount:${systemNamespace}:kafka-controller`]);
      await world.until('the entry back', 'kafkachannel', 'flickering', ({ spec, status }) => [spec, status].every((part) => part?.subscribers?.some((entry) => entry.uid === uid) === true));
    }
    ending.abort();
    const { acknowledged } = await load;
    await subscriber.untilAccepted(acknowledged);
    expect(subscriber.orderBreaks()).toEqual([]);
    process.stderr.write(`${acknowledged.size} events while their subscriber came and went: ${subscriber.duplicates} delivered twice\n`);
    await dispatcher.process.stop();
  });

  it('CP-30: only one of the two controllers looks after Subscriptions', async () => {
    const leave = controller.process.output().includes('are left to Knative Eventing');
    expect(leave).toBe(whose !== 'our own');
    const events = await world.list('events.events.k8s.io', '-A');
    const syncs = events.filter((event) => event['reason'] === 'SubscriberSync');
    expect(syncs.length).toBeGreaterThan(0);
    const reporters = new Set(syncs.map((event) => (event['reportingController'] as string | undefined) || ((event['deprecatedSource'] as { component?: string } | undefined)?.component ?? '')));
    expect([...reporters]).toEqual([expect.stringMatching(whose === 'our own' ? /^kafka-controller$/ : /^(?!kafka-controller$)./) as string]);
  });

  if (whose === 'our own') it('each service logs as much as config-kafka-logging says, from the moment on that it says so', async () => {
    const [first, second] = [await world.subscriber(), await world.subscriber()];
    await world.apply(kafkaChannel('talkative'), subscription('heard', 'talkative', { uri: first.uri }));
    await world.untilReady('subscription', 'heard');
    const dispatcher = await world.dispatcher('default/talkative');
    const sourceDispatcher = await world.sourceDispatcher({ SERVES: 'sources', POD_NAME: 'kafka-source-dispatcher-0' });
    const services = { 'controller': controller, 'channel-receiver': receiver, 'dispatcher': dispatcher, 'source-dispatcher': sourceDispatcher };
    const say = (level: (service: string) => string | null) =>
      world.kubectl(['patch', 'configmap', 'config-kafka-logging', '-n', systemNamespace, '--type=merge', '-p', JSON.stringify({ data: Object.fromEntries(Object.keys(services).map((service) => [`loglevel.${service}`, level(service)])) })]);
    const changed = async (logLevel: string, logLevelBefore: string): Promise<void> => {
      for (const service of Object.values(services)) await logged(service, { level: 'info', message: 'log level changed', logLevel, logLevelBefore });
    };
    /** Lines that would not be there at the level `error`. */
    const chatter = (): readonly string[] => Object.values(services).flatMap(({ process }) => process.output().split('\n')).filter((line) => /"level":"(warn|info|debug)"/.test(line));
    await logged(dispatcher, { level: 'info', message: 'partitions assigned', subscription: 'heard' });
    expect(chatter().filter((line) => line.includes('"level":"debug"'))).toEqual([]);

    await say(() => 'debug');
    await changed('debug', 'info');
    await world.apply(kafkaChannel('noticed'));
    await world.untilReady('kafkachannel', 'noticed');
    await logged(controller, { level: 'debug', message: 'reconciled', controller: 'kafka-channel', key: 'default/noticed' });
    for (const service of [receiver, dispatcher, sourceDispatcher]) await logged(service, { level: 'debug' });

    await say(() => 'error');
    await changed('error', 'debug');
    const before = chatter();
    await world.apply(subscription('unheard', 'talkative', { uri: second.uri }));
    await world.untilReady('subscription', 'unheard');
    const { acknowledged } = await sendEvents({ urls: [receiver.url('talkative')], count: 50, keys: 5 });
    for (const subscriber of [first, second]) await subscriber.untilAccepted(acknowledged);
    expect(chatter()).toEqual(before);

    // What cannot be used, and what is taken out, leaves the level of the start.
    await say((service) => (service === 'dispatcher' ? 'loud' : null));
    await changed('info', 'error');
    await logged(dispatcher, { level: 'warn', configMap: 'config-kafka-logging', problem: 'data["loglevel.dispatcher"]: expected one of error, warn, info, debug; found "loud"' });
    await world.apply(subscription('heard-again', 'talkative', { uri: second.uri }));
    await logged(dispatcher, { level: 'info', message: 'partitions assigned', subscription: 'heard-again' });
    expect(Object.values(services).map(({ process }) => process.isRunning())).toEqual([true, true, true, true]);
    expect(dispatcher.process.output().match(/found ..loud/g)).toHaveLength(1);
    await Promise.all([dispatcher, sourceDispatcher].map(({ process }) => process.stop()));
  });

  if (whose === 'our own') it('delivery goes on while the API server is away, and nothing starts again when it is back', async () => {
    const subscriber = await world.subscriber();
    await world.apply(kafkaChannel('lasting', { numPartitions: 3 }), subscription('lasting', 'lasting', { uri: subscriber.uri }));
    await world.untilReady('subscription', 'lasting');
    const dispatcher = await world.dispatcher('default/lasting');
    const generations = async () => (await world.list('deployments', '-n', systemNamespace)).map(({ metadata }) => `${metadata.name} ${metadata.uid} ${metadata.generation}`);
    const deployed = await generations();
    const rebalances = () => metric(dispatcher, 'knative_kafka_consumer_rebalances_total');
    const before = await rebalances();
    const ending = new AbortController();
    let sent = 0;
    const load: Promise<SendResult> = sendEvents({ urls: [receiver.url('lasting')], count: 100_000, keys: 6, pauseMs: 20, signal: ending.signal, onAcknowledged: (count) => (sent = count) });
    await waitFor('events on their way', () => subscriber.accepted.length > 100, { timeoutMs: patienceMs });
    await world.kubernetes.apiServer.kill();
    const [atStop, stoppedAt] = [sent, performance.now()];
    // Long enough that every watch and request of ours has failed several times, and that the lead is lost.
    await logged(controller, { message: 'lead lost' });
    await waitFor('minutes without an API server', () => performance.now() > stoppedAt + awayMs, { timeoutMs: 2 * awayMs, everyMs: 1_000 });
    await waitFor('many events without an API server', () => sent > atStop + 3_000, { timeoutMs: patienceMs });
    expect(world.kubernetes.apiServer.isRunning()).toBe(false);
    await world.kubernetes.apiServer.start();
    // Each has read everything anew, and the controller leads again, before it counts that nothing came of it.
    for (const service of [receiver, dispatcher]) await logged(service, { message: 'resources are read from Kubernetes again' });
    await waitFor('a controller that leads again', () => controller.process.output().split('"message":"leading"').length > 2, { timeoutMs: patienceMs });
    await waitFor('an idle controller', async () => (await metric(controller, 'knative_kafka_workqueue_depth')) === 0, { timeoutMs: patienceMs });
    expect(await generations()).toEqual(deployed);
    expect(await rebalances()).toBe(before);
    await world.kubectl(['patch', 'kafkachannel', 'lasting', '--type=merge', '-p', '{"spec":{"numPartitions":6}}']);
    await waitFor('a change to take effect', async () => (await world.admin.describeTopic('knative-messaging-kafka.default.lasting'))?.partitions === 6, { timeoutMs: patienceMs });
    const other = await world.subscriber();
    await world.apply(subscription('lasting', 'lasting', { uri: other.uri }));
    await waitFor('events at the new subscriber', () => other.accepted.length > 100, { timeoutMs: patienceMs });
    ending.abort();
    const { acknowledged, refusals } = await load;
    await waitFor('every event delivered', () => {
      const seen = new Set([...subscriber.accepted, ...other.accepted].map(({ id }) => id));
      return [...acknowledged].every((id) => seen.has(id));
    }, { timeoutMs: patienceMs });
    expect(refusals.size).toBe(0);
    expect(subscriber.duplicates + other.duplicates).toBe(0);
    expect([receiver, dispatcher, controller].map(({ process }) => process.isRunning())).toEqual([true, true, true]);
  }, awayMs + 240_000);

  if (whose !== 'our own') it('CP-30: takes over when Knative Eventing is gone, and what it left keeps working', async () => {
    const subscriber = await world.subscriber();
    await world.apply(kafkaChannel('inherited'), subscription('inherited', 'inherited', { uri: subscriber.uri }));
    const before = await world.untilReady('subscription', 'inherited');
    await eventing!.stop();
    // What helm/README.md asks for where Knative Eventing went and left its definitions.
    await helm(world.kubernetes, ['upgrade', release, chart, '--namespace', systemNamespace, '--reuse-values', '--set', 'knativeEventing.installed=false']);
    await waitFor('our controllers to take over', () => controller.process.output().includes('are reconciled here'), { timeoutMs: 240_000 });
    await world.apply(subscription('new-owner', 'inherited', { uri: subscriber.uri }));
    await world.untilReady('subscription', 'new-owner');
    const after = await world.get('subscription', 'inherited');
    expect(isReady(after!)).toBe(true);
    expect(after!.metadata.uid).toBe(before.metadata.uid);
    const uids = (await world.get('kafkachannel', 'inherited'))!.spec!.subscribers!.map(({ uid }) => uid);
    expect(uids).toContain(before.metadata.uid);
    const dispatcher = await world.dispatcher('default/inherited');
    const { acknowledged } = await sendEvents({ urls: [receiver.url('inherited')], count: 50, keys: 5 });
    await subscriber.untilAccepted(acknowledged);
    await waitFor('both Subscriptions served', () => subscriber.accepted.length >= 100, { timeoutMs: patienceMs });
    await dispatcher.process.stop();
    await eventing!.start();
  });
});
