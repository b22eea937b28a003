/**
 * The receiver beside a bare `node:http` server: what it costs per event, how many it takes, how long it makes senders
 * wait. Same client, same event, same machine, one after the other.
 */
import type { BenchContext } from './bench.ts';
import { atMost, type BenchTable, type Target } from './core/bench-table.ts';
import { figure, median, ratios, spread } from './core/statistics.ts';
import { load, type Load } from './io/load.ts';

const partitions = 6;
const channel = 'ingest';

export async function benchReceiver({ world, runs, isQuick, step }: BenchContext): Promise<BenchTable> {
  await world.channel(channel, partitions, true);
  const bare = await world.bareServer();
  const receiver = await world.receiver();
  const path = receiver.path(channel);
  const window = isQuick ? { warmUpMs: 500, durationMs: 1_000 } : { warmUpMs: 1_000, durationMs: 5_000 };

  step('receiver: warming both servers up');
  const warmUp = { connections: 200, warmUpMs: 0, durationMs: isQuick ? 3_000 : 8_000 }; // of Kafka's JVM, too
  await load(world, bare, { ...warmUp, path: '/' });
  await load(world, receiver, { ...warmUp, path });

  const rows: string[][] = [];
  const targets: Target[] = [];
  const clientLate: number[] = [];
  const clientCpu: number[] = [];
  const figures: Record<string, readonly Load[]> = {};
  for (const connections of [50, 200]) {
    const measured: Record<'bare' | 'ours' | 'bareHalf' | 'oursHalf', Load[]> = { bare: [], ours: [], bareHalf: [], oursHalf: [] };
    for (let run = 1; run <= runs; run++) {
      const at = `receiver: ${connections} connections, run ${run} of ${runs}`;
      step(`${at}, bare server`);
      measured.bare.push(await load(world, bare, { ...window, connections, path: '/' }));
      step(`${at}, receiver`);
      const ours = await load(world, receiver, { ...window, connections, path });
      measured.ours.push(ours);
      const rate = Math.round(ours.eventsPerSecond / 2);
      step(`${at}, bare server at ${figure(rate)} requests/s`);
      measured.bareHalf.push(await load(world, bare, { ...window, connections, path: '/', rate }));
      step(`${at}, receiver at ${figure(rate)} events/s, half of its maximum`);
      measured.oursHalf.push(await load(world, receiver, { ...window, connections, path, rate }));
    }
    for (const [name, loads] of Object.entries(measured)) figures[`${name}${connections}`] = loads;
    clientLate.push(...measured.oursHalf.map((entry) => entry.clientLateP99Ms));
    clientCpu.push(...measured.bare.map((entry) => entry.clientCpuMicrosecondsPerEvent));

    const cpu = (loads: readonly Load[]): number[] => loads.map((entry) => entry.cpuMicrosecondsPerEvent);
    const rate = (loads: readonly Load[]): number[] => loads.map((entry) => entry.eventsPerSecond);
    const tail = (loads: readonly Load[]): number[] => loads.map((entry) => entry.p99Ms / entry.p50Ms);
    const row = (name: string, loads: readonly Load[], limits?: readonly Load[]): string[] => [
      name,
      limits === undefined ? '–' : spread(ratios(cpu(loads), cpu(limits))),
      limits === undefined ? '–' : spread(ratios(rate(loads), rate(limits))),
      spread(tail(loads)),
      figure(median(rate(loads))),
      figure(median(cpu(loads))),
      figure(median(loads.map((entry) => entry.p50Ms))),
      figure(median(loads.map((entry) => entry.p99Ms))),
      figure(median(loads.map((entry) => entry.p999Ms))),
    ];
    rows.push(
      row(`receiver, ${connections} connections`, measured.ours, measured.bare),
      row(`bare node:http, ${connections} connections`, measured.bare),
      row(`receiver, ${connections} connections, half of its maximum rate`, measured.oursHalf, measured.bareHalf),
      row('bare node:http at the same rate', measured.bareHalf),
    );
    targets.push(
      atMost(3, `CPU per event ÷ CPU per request of bare node:http, ${connections} connections`, ratios(cpu(measured.ours), cpu(measured.bare))),
      atMost(10, `p99 ÷ p50 at half of the maximum rate, ${connections} connections`, tail(measured.oursHalf)),
    );
  }
  return {
    id: 'receiver',
    title: 'Receiver',
    columns: ['', 'CPU per event ÷ bare', 'events/s ÷ bare', 'p99 ÷ p50', 'events/s', 'CPU µs/event', 'p50 ms', 'p99 ms', 'p99.9 ms'],
    rows,
    targets,
    runs,
    figures,
    notes: [
      `Binary mode, 1 KiB of JSON, 1000 keys, ${partitions} partitions; the receiver answers after Kafka has acknowledged (acks=all), the bare server after reading the body.`,
      'Without a rate: closed loop, each connection sends again once it has its answer. With a rate: open loop, the events of each millisecond leave together, and the time of an event begins then and includes waiting for a free connection.',
      `The client took ${figure(median(clientCpu))} µs of CPU per request of the bare server. In the open loop its own timers were up to ${figure(median(clientLate))} ms late (p99), which is not in the figures.`,
    ],
  };
}
