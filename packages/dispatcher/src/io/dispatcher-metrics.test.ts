/** What people watch, as Prometheus reads it. */
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { createRegistry } from '@knative-kafka/common/io';
import type { ConsumerOwner } from '../core/desired-consumers.ts';
import { createDispatcherMetrics, type ConsumerMetrics, type DispatcherMetrics, type ObservedConsumer } from './dispatcher-metrics.ts';

const owner = { channel: 'shop/orders', subscription: 'billing' } as const satisfies ConsumerOwner;
const labels = 'channel="shop/orders",subscription="billing"';
const observed: ObservedConsumer = {
  desired: { owner },
  source: undefined,
  inFlight: 3,
  inFlightLimit: 100,
  retriesWaiting: 4,
  isReady: true,
  partitions: 2,
  rateLimitWaiting: 0,
  rateLimitWaitSeconds: 0,
  lag: () => [{ topic: 'orders', partition: 0, lag: 5 }, { topic: 'orders', partition: 1, lag: 0 }],
};

let consumers: ObservedConsumer[];
let registry: ReturnType<typeof createRegistry>;
let metrics: DispatcherMetrics;
let of: ConsumerMetrics;

beforeEach(() => {
  consumers = [observed];
  registry = createRegistry();
  metrics = createDispatcherMetrics(registry, () => consumers, { attemptsWaiting: () => 7 });
  of = metrics.forConsumer(owner);
});

/** Lines of a metric, without its name and buckets. */
async function samples(name: string): Promise<readonly string[]> {
  const lines = (await registry.metrics()).split('\n');
  return lines.filter((line) => new RegExp(`^knative_kafka_${name}(_sum|_count)?[{ ]`).test(line)).map((line) => line.slice('knative_kafka_'.length));
}

describe('as of the scrape', () => {
  it.each([
    ['dispatch_in_flight', `{${labels}} 3`],
    ['dispatch_in_flight_limit', `{${labels}} 100`],
    ['dispatch_retries_waiting', `{${labels}} 4`],
    ['dispatch_attempts_waiting', ' 7'],
    ['consumer_joined', `{${labels}} 1`],
    ['consumer_partitions', `{${labels}} 2`],
  ])('%s is told', async (name, sample) => {
    expect(await samples(name)).toEqual([name + sample]);
  });

  it('lag is told for each partition', async () => {
    expect(await samples('consumer_lag')).toEqual([`consumer_lag{${labels},partition="0"} 5`, `consumer_lag{${labels},partition="1"} 0`]);
  });

  it('a consumer that is gone is told no more', async () => {
    await registry.metrics();
    consumers = [];
    for (const name of ['dispatch_in_flight', 'dispatch_in_flight_limit', 'dispatch_retries_waiting', 'consumer_joined', 'consumer_partitions', 'consumer_lag']) expect(await samples(name)).toEqual([]);
  });

  it('a KafkaSource has its own label, the topic of its lag, and what limits it', async () => {
    consumers = [{ ...observed, desired: { owner: { source: 'shop/feed' } }, source: { vreplicas: 2, eventsPerSecond: 50 }, rateLimitWaiting: 6, rateLimitWaitSeconds: 1.5 }];
    expect(await samples('consumer_lag')).toContain('consumer_lag{source="shop/feed",topic="orders",partition="0"} 5');
    expect(await samples('source_vreplicas')).toEqual(['source_vreplicas{source="shop/feed"} 2']);
    expect(await samples('source_rate_limit')).toEqual(['source_rate_limit{source="shop/feed"} 50']);
    expect(await samples('source_rate_limit_waiting')).toEqual(['source_rate_limit_waiting{source="shop/feed"} 6']);
    expect(await samples('source_rate_limit_wait_seconds_total')).toEqual(['source_rate_limit_wait_seconds_total{source="shop/feed"} 1.5']);
  });
});

describe('counted', () => {
  it('answers that were not understood, of all destinations', async () => {
    expect(await samples('dispatch_answers_not_understood_total')).toEqual(['dispatch_answers_not_understood_total 0']);
    metrics.answerNotUnderstood();
    expect(await samples('dispatch_answers_not_understood_total')).toEqual(['dispatch_answers_not_understood_total 1']);
  });

  it('each outcome, with its reason', async () => {
    of.outcome({ kind: 'delivered' });
    of.outcome({ kind: 'dead-lettered', reason: 'status-400' });
    of.outcome({ kind: 'kept', reason: 'timeout' });
    of.outcome({ kind: 'dropped', reason: 'not-a-cloudevent' });
    expect((await samples('dispatch_events_total')).toSorted()).toEqual([
      `dispatch_events_total{${labels},outcome="delivered",reason=""} 1`,
      `dispatch_events_total{${labels},outcome="dead-lettered",reason="status-400"} 1`,
      `dispatch_events_total{${labels},outcome="kept",reason="timeout"} 1`,
      `dispatch_events_total{${labels},outcome="dropped",reason="not-a-cloudevent"} 1`,
    ].toSorted());
  });

  it('since the beginning, however often somebody looks', async () => {
    const names = ['dispatch_events_total', 'dispatch_attempts_total', 'dispatch_queue_bytes'];
    for (let events = 1; events <= 3; events++) {
      of.outcome({ kind: 'delivered' });
      of.attempt('subscriber', { status: 200 }, false);
      of.queueBytes.inc(1);
      for (const name of [...names, ...names]) expect(await samples(name)).toEqual([expect.stringMatching(new RegExp(` ${events}$`))]);
    }
  });

  it('nothing more of a consumer that is gone', async () => {
    of.outcome({ kind: 'delivered' });
    of.remove();
    of.outcome({ kind: 'delivered' });
    of.queueBytes.inc(-500);
    await vi.waitFor(async () => expect(await samples('dispatch_events_total')).toEqual([]));
    expect(await samples('dispatch_queue_bytes')).toEqual([]);
  });

  it('an interruption, which is no outcome', async () => {
    of.outcome({ kind: 'interrupted' });
    expect(await samples('dispatch_interrupted_total')).toEqual([`dispatch_interrupted_total{${labels}} 1`]);
    expect(await samples('dispatch_events_total')).toEqual([]);
  });

  it('each attempt by whom it went to and what came of it, and those that follow by why', async () => {
    of.attempt('subscriber', { status: 503 }, true);
    of.attempt('subscriber', { failure: 'timeout', message: 'no answer' }, true);
    of.attempt('subscriber', { status: 200 }, false);
    of.attempt('reply', { status: 202 }, false);
    of.attempt('dead-letter-sink', { status: 400 }, false);
    expect((await samples('dispatch_attempts_total')).toSorted()).toEqual([
      `dispatch_attempts_total{${labels},to="subscriber",result="status-503"} 1`,
      `dispatch_attempts_total{${labels},to="subscriber",result="timeout"} 1`,
      `dispatch_attempts_total{${labels},to="subscriber",result="ok"} 1`,
      `dispatch_attempts_total{${labels},to="reply",result="ok"} 1`,
      `dispatch_attempts_total{${labels},to="dead-letter-sink",result="status-400"} 1`,
    ].toSorted());
    expect(await samples('dispatch_retries_total')).toEqual([
      `dispatch_retries_total{${labels},to="subscriber",reason="status-503"} 1`,
      `dispatch_retries_total{${labels},to="subscriber",reason="timeout"} 1`,
    ]);
  });

  it('time, bytes, rebalances, commits and the rest', async () => {
    of.dispatchSeconds.observe(0.2);
    of.queueBytes.inc(1_000);
    of.queueBytes.inc(-400);
    of.rebalances.inc();
    of.rebalanceSeconds.observe(3);
    of.skipped.inc(8);
    of.offsetResets.inc();
    of.commits.inc();
    of.commitFailures.inc();
    of.reply('invalid');
    expect(await samples('dispatch_seconds')).toEqual([`dispatch_seconds_sum{${labels}} 0.2`, `dispatch_seconds_count{${labels}} 1`]);
    expect(await samples('dispatch_queue_bytes')).toEqual([`dispatch_queue_bytes{${labels}} 600`]);
    expect(await samples('consumer_rebalances_total')).toEqual([`consumer_rebalances_total{${labels}} 1`]);
    expect(await samples('consumer_rebalance_seconds')).toEqual([`consumer_rebalance_seconds_sum{${labels}} 3`, `consumer_rebalance_seconds_count{${labels}} 1`]);
    expect(await samples('dispatch_skipped_total')).toEqual([`dispatch_skipped_total{${labels}} 8`]);
    expect(await samples('consumer_offset_resets_total')).toEqual([`consumer_offset_resets_total{${labels}} 1`]);
    expect(await samples('consumer_commits_total')).toEqual([`consumer_commits_total{${labels},result="ok"} 1`, `consumer_commits_total{${labels},result="failed"} 1`]);
    expect(await samples('dispatch_replies_total')).toEqual([`dispatch_replies_total{${labels},result="invalid"} 1`]);
  });
});

it('children go with their consumer, and nobody else’s with them', async () => {
  const other = metrics.forConsumer({ channel: 'shop/orders', subscription: 'audit' });
  for (const each of [of, other]) {
    each.outcome({ kind: 'dropped', reason: 'status-400' });
    each.attempt('subscriber', { status: 503 }, true);
    each.dispatchSeconds.observe(0.1);
    each.queueBytes.inc(1);
  }
  consumers = [];
  of.remove();
  await vi.waitFor(async () => expect(await registry.metrics()).not.toContain('subscription="billing"'));
  expect(await samples('dispatch_queue_bytes')).toEqual(['dispatch_queue_bytes{channel="shop/orders",subscription="audit"} 1']);
  expect(await samples('dispatch_retries_total')).toEqual(['dispatch_retries_total{channel="shop/orders",subscription="audit",to="subscriber",reason="status-503"} 1']);
});
