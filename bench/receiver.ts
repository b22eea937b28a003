/**
 * The receiver beside what no server in Node can be cheaper than: a plain socket that answers without looking, and a
 * bare `node:http` server. What it costs per event, how many it takes, how long it makes senders wait; on its fast lane,
 * and with that switched off. Same client, same event, same machine, one after the other.
 */
import type { BenchContext } from './bench.ts';
import { atLeast, atMost, type BenchTable, type Target } from './core/bench-table.ts';
import { figure, median, ratios, spread } from './core/statistics.ts';
import { load, type Load } from './io/load.ts';

const partitions = 6;
const channel = 'ingest';

export async function benchReceiver({ world, runs, isQuick, step }: BenchContext): Promise<BenchTable> {
  await world.channel(channel, partitions, true);
  const servers = {
    'ours': await world.receiver(),
    'http lane': await world.receiver({ env: { FAST_LANE: 'off' } }),
    'bare socket': await world.bareSocket(),
    'bare http': await world.bareServer(),
  } as const;
  const path = servers.ours.path(channel);
  const window = isQuick ? { path, warmUpMs: 500, durationMs: 1_000 } : { path, warmUpMs: 1_000, durationMs: 5_000 };

  step('receiver: warming all servers up');
  const warmUp = { path, connections: 200, warmUpMs: 0, durationMs: isQuick ? 3_000 : 12_000 }; // of Kafka's JVM, too
  for (const server of Object.values(servers)) await load(world, server, warmUp);

  const rows: string[][] = [];
  const targets: Target[] = [];
  const clientLate: number[] = [];
  const clientCpu: number[] = [];
  const figures: Record<string, readonly Load[]> = {};
  for (const connections of [50, 200]) {
    const measured: Record<keyof typeof servers | 'ours, half' | 'bare socket, half', Load[]> = { 'ours': [], 'http lane': [], 'bare socket': [], 'bare http': [], 'ours, half': [], 'bare socket, half': [] };
    for (let run = 1; run <= runs; run++) {
      const at = `receiver: ${connections} connections, run ${run} of ${runs}`;
      for (const name of ['bare http', 'http lane', 'bare socket', 'ours'] as const) {
        step(`${at}, ${name}`);
        measured[name].push(await load(world, servers[name], { ...window, connections }));
      }
      const rate = Math.round(measured.ours.at(-1)!.eventsPerSecond / 2);
      for (const name of ['bare socket', 'ours'] as const) {
        step(`${at}, ${name} at ${figure(rate)} events/s, half of the receiver's maximum`);
        measured[`${name}, half`].push(await load(world, servers[name], { ...window, connections, rate }));
      }
    }
    for (const [name, loads] of Object.entries(measured)) figures[`${name}, ${connections}`] = loads;
    clientLate.push(...measured['ours, half'].map((entry) => entry.clientLateP99Ms));
    clientCpu.push(...measured['bare socket'].map((entry) => entry.clientCpuMicrosecondsPerEvent));

    const row = (name: string, loads: readonly Load[], limits?: readonly Load[]): string[] => [
      name,
      limits === undefined ? '–' : spread(ratios(cpu(loads), cpu(limits))),
      limits === undefined ? '–' : spread(ratios(rateOf(loads), rateOf(limits))),
      spread(tail(loads)),
      figure(median(rateOf(loads))),
      figure(median(cpu(loads))),
      figure(median(loads.map((entry) => entry.p50Ms))),
      figure(median(loads.map((entry) => entry.p99Ms))),
      figure(median(loads.map((entry) => entry.p999Ms))),
    ];
    const socket = measured['bare socket'];
    rows.push(
      row(`receiver, ${connections} connections`, measured.ours, socket),
      row(`receiver without its fast lane, ${connections} connections`, measured['http lane'], socket),
      row(`bare node:http, ${connections} connections`, measured['bare http'], socket),
      row(`bare socket, ${connections} connections`, socket),
      row(`receiver, ${connections} connections, half of its maximum rate`, measured['ours, half'], measured['bare socket, half']),
      row('bare socket at the same rate', measured['bare socket, half']),
    );
    if (connections === 200) {
      targets.push(
        atMost(1.6, `CPU per event ÷ CPU per request of a bare socket, ${connections} connections`, ratios(cpu(measured.ours), cpu(socket))),
        atLeast(0.6, `events/s ÷ requests/s of a bare socket, ${connections} connections`, ratios(rateOf(measured.ours), rateOf(socket))),
      );
    }
    targets.push(
      atMost(5, `p99 ÷ p50 at half of the maximum rate, ${connections} connections`, tail(measured['ours, half'])),
      atMost(3, `without its fast lane: CPU per event ÷ CPU per request of bare node:http, ${connections} connections`, ratios(cpu(measured['http lane']), cpu(measured['bare http']))),
    );
  }
  return {
    id: 'receiver',
    title: 'Receiver',
    columns: ['', 'CPU per event ÷ bare socket', 'events/s ÷ bare socket', 'p99 ÷ p50', 'events/s', 'CPU µs/event', 'p50 ms', 'p99 ms', 'p99.9 ms'],
    rows,
    targets,
    runs,
    figures,
    notes: [
      `Binary mode, 1 KiB of JSON, 1000 keys, ${partitions} partitions; the receiver answers after Kafka has acknowledged (acks=all), the bare node:http server after reading the body, the bare socket after any bytes.`,
      'Without a rate: closed loop, each connection sends again once it has its answer. With a rate: open loop, the events of each millisecond leave together, and the time of an event begins then and includes waiting for a free connection.',
      `The client took ${figure(median(clientCpu))} µs of CPU per request of the bare socket. In the open loop its own timers were up to ${figure(median(clientLate))} ms late (p99), which is not in the figures.`,
    ],
  };
}

function cpu(loads: readonly Load[]): number[] {
  return loads.map((entry) => entry.cpuMicrosecondsPerEvent);
}

function rateOf(loads: readonly Load[]): number[] {
  return loads.map((entry) => entry.eventsPerSecond);
}

function tail(loads: readonly Load[]): number[] {
  return loads.map((entry) => entry.p99Ms / entry.p50Ms);
}
