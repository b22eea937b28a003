/**
 * Resident memory: some seconds after the start with nothing to do, and the most there was under load.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { BenchContext } from './bench.ts';
import { atMost, type BenchTable } from './core/bench-table.ts';
import { figure, median, ratios, spread } from './core/statistics.ts';
import { load } from './io/load.ts';
import { residentBytes } from './io/process-usage.ts';

const partitions = 6;
const connections = 200;
const patienceMs = 180_000;
const megabyte = 1e6;

interface Memory {
  readonly idle: number;
  readonly most: number;
}

export async function benchMemory({ world, runs, isQuick, step }: BenchContext): Promise<BenchTable> {
  const idleMs = isQuick ? 2_000 : 10_000;
  const window = { connections, warmUpMs: 0, durationMs: isQuick ? 2_000 : 10_000 };
  const backlog = isQuick ? 12_000 : 120_000;
  await world.channel('ingest', partitions, true);
  step(`memory: storing ${figure(backlog)} events`);
  const topic = await world.channel('backlog', partitions);
  await world.fill(topic, partitions, backlog);
  const subscriber = await world.subscriber();
  // Idle is a dispatcher that has a consumer group, with nothing in its topic.
  await world.subscription({ name: 'idle', channel: 'quiet', topic: await world.channel('quiet', partitions), subscriberPort: subscriber.port });

  const bare: Memory[] = [];
  const receiver: Memory[] = [];
  const dispatcher: Memory[] = [];
  for (let run = 1; run <= runs; run++) {
    const at = `memory: run ${run} of ${runs}`;
    step(`${at}, all idle for ${idleMs / 1000} s`);
    const bareServer = await world.bareServer();
    const ours = await world.receiver();
    const dispatching = await world.dispatcher();
    await dispatching.ready();
    await delay(idleMs);
    const idle = [bareServer.process, ours.process, dispatching.process].map(({ pid }) => residentBytes(pid).now / megabyte);

    step(`${at}, bare server under load`);
    await load(world, bareServer, { ...window, path: '/' });
    bare.push({ idle: idle[0]!, most: residentBytes(bareServer.process.pid).most / megabyte });
    await bareServer.process.stop();

    step(`${at}, receiver under load`);
    await load(world, ours, { ...window, path: ours.path('ingest') });
    receiver.push({ idle: idle[1]!, most: residentBytes(ours.process.pid).most / megabyte });
    await ours.process.stop();

    step(`${at}, dispatcher under load`);
    await subscriber.reset();
    const name = `memory-${run}`;
    const delivered = subscriber.measure({ skip: 0, events: backlog, watch: [] }, patienceMs);
    await Promise.all([delivered, world.subscription({ name, channel: 'backlog', topic, subscriberPort: subscriber.port })]);
    dispatcher.push({ idle: idle[2]!, most: residentBytes(dispatching.process.pid).most / megabyte });
    await dispatching.process.stop();
    world.removeSubscription(name);
  }
  const idle = (memories: readonly Memory[]): number[] => memories.map((entry) => entry.idle);
  const most = (memories: readonly Memory[]): number[] => memories.map((entry) => entry.most);
  const row = (name: string, memories: readonly Memory[]): string[] => [
    name,
    memories === bare ? '–' : spread(ratios(idle(memories), idle(bare))),
    memories === bare ? '–' : spread(ratios(most(memories), most(bare))),
    figure(median(idle(memories))),
    figure(median(most(memories))),
  ];
  return {
    id: 'memory',
    title: 'Memory',
    columns: ['', 'idle ÷ bare', 'under load ÷ bare', 'idle, MB', 'under load at most, MB'],
    rows: [row('receiver', receiver), row('dispatcher', dispatcher), row('bare node:http', bare)],
    targets: [atMost(110, 'receiver, idle', idle(receiver), 'MB'), atMost(170, `receiver, under load with ${connections} connections`, most(receiver), 'MB')],
    runs,
    figures: { receiver, dispatcher, bare },
    notes: [
      `Resident set, of which Node itself is the bare server's. Idle: ${idleMs / 1000} s after the start. Under load: the highest mark of the whole run, with ${connections} connections for ${window.durationMs / 1000} s, or, for the dispatcher, a backlog of ${figure(backlog)} events delivered to a fast subscriber.`,
      'MB are millions of bytes.',
    ],
  };
}
