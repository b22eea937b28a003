/**
 * Many Subscriptions in one dispatcher that has nothing to deliver: what each of them costs by being there. Beside a
 * dispatcher with one.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { BenchContext } from './bench.ts';
import { atMost, type BenchTable } from './core/bench-table.ts';
import { figure, median, ratios, spread } from './core/statistics.ts';
import type { BenchWorld, Subscriber } from './io/bench-world.ts';
import { cpuMs, residentBytes } from './io/process-usage.ts';

const partitions = 6;
const channel = 'shared';
const many = 100;
const patienceMs = 120_000;
const megabyte = 1e6;

interface Idle {
  readonly residentMb: number;
  readonly mostMb: number;
  readonly cores: number;
  readonly joinedMs: number;
}

export async function benchSubscriptions({ world, runs, isQuick, step }: BenchContext): Promise<BenchTable> {
  const [settleMs, idleMs] = isQuick ? [2_000, 3_000] : [10_000, 20_000];
  const topic = await world.channel(channel, partitions);
  const subscriber = await world.subscriber();
  const names = Array.from({ length: many }, (_, index) => `shared-${index}`);
  const subscribe = (name: string): Promise<void> => world.subscription({ name, channel, topic, subscriberPort: subscriber.port });

  await subscribe(names[0]!);
  const one: Idle[] = [];
  const all: Idle[] = [];
  for (let run = 1; run <= runs; run++) {
    const at = `subscriptions: run ${run} of ${runs}`;
    step(`${at}, one`);
    one.push(await idle(world, subscriber, topic, 1, settleMs, idleMs));
    step(`${at}, offsets of ${many}`);
    for (const name of names.slice(1)) await subscribe(name);
    step(`${at}, ${many}`);
    all.push(await idle(world, subscriber, topic, many, settleMs, idleMs));
    for (const name of names.slice(1)) world.removeSubscription(name);
  }
  const of = (name: keyof Idle, idles: readonly Idle[]): number[] => idles.map((entry) => entry[name]);
  const row = (name: string, idles: readonly Idle[]): string[] => [
    name,
    idles === one ? '–' : spread(ratios(of('residentMb', all), of('residentMb', one))),
    figure(median(of('residentMb', idles))),
    figure(median(of('mostMb', idles))),
    spread(of('cores', idles)),
    spread(of('joinedMs', idles).map((ms) => ms / 1000)),
  ];
  const each = all.map(({ residentMb }, run) => (residentMb - one[run]!.residentMb) / (many - 1));
  return {
    id: 'subscriptions',
    title: `${many} Subscriptions in one dispatcher`,
    columns: ['', 'memory ÷ one Subscription', 'MB', 'MB at most', 'cores while idle', 'start to all joined, s'],
    rows: [row(`${many} Subscriptions`, all), row('one Subscription', one)],
    targets: [atMost(150, `${many} Subscriptions, idle`, of('residentMb', all), 'MB'), atMost(0.05, `${many} Subscriptions, idle`, of('cores', all), 'cores')],
    runs,
    figures: { one, all },
    notes: [
      `Each Subscription is a consumer group of its own, of one channel with ${partitions} partitions. Resident set (MB are millions of bytes) ${settleMs / 1000} s after all groups have joined, then CPU time over ${idleMs / 1000} s; after that an event in each partition, which every Subscription has to deliver for the figures to count.`,
      `Each further Subscription takes ${spread(each)} MB.`,
    ],
  };
}

async function idle(world: BenchWorld, subscriber: Subscriber, topic: string, subscriptions: number, settleMs: number, idleMs: number): Promise<Idle> {
  await subscriber.reset();
  const startedAt = performance.now();
  const { process, ready } = await world.dispatcher();
  await ready();
  const joinedMs = performance.now() - startedAt;
  await delay(settleMs);
  const { now, most } = residentBytes(process.pid);
  const before = cpuMs(process.pid);
  const from = performance.now();
  await delay(idleMs);
  const cores = (cpuMs(process.pid) - before) / (performance.now() - from);
  const delivered = subscriber.measure({ skip: 0, events: subscriptions * partitions, watch: [] }, patienceMs);
  await Promise.all([delivered, world.fill(topic, partitions, partitions)]);
  await process.stop();
  return { residentMb: now / megabyte, mostMb: most / megabyte, cores, joinedMs };
}
