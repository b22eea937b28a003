/**
 * Some thousand events a second, where it is requests to Kafka that cost, on both sides: what collecting for up to a
 * millisecond (PRODUCE_LINGER) saves, and what it does to the time a sender waits.
 */
import type { BenchContext } from './bench.ts';
import { atMost, type BenchTable, type Target } from './core/bench-table.ts';
import { figure, median, ratios, spread } from './core/statistics.ts';
import { load, type Load } from './io/load.ts';

const partitions = 6;
const channel = 'light';
const connections = 50;
const rates = [1_000, 4_000, 12_000] as const;

export async function benchLightLoad({ world, runs, isQuick, step }: BenchContext): Promise<BenchTable> {
  await world.channel(channel, partitions, true);
  const servers = { 'at once': await world.receiver({ env: { PRODUCE_LINGER: '0ms' } }), 'collects': await world.receiver() };
  const path = servers.collects.path(channel);
  const window = { path, connections, warmUpMs: isQuick ? 500 : 2_000, durationMs: isQuick ? 1_500 : 8_000 };
  const broker = world.kafka.brokers[0]!.pid()!;

  step('light load: warming up');
  for (const server of Object.values(servers)) await load(world, server, { ...window, durationMs: isQuick ? 1_000 : 5_000 });

  const rows: string[][] = [];
  const targets: Target[] = [];
  const figures: Record<string, readonly Load[]> = {};
  for (const rate of rates) {
    const measured: Record<keyof typeof servers, Load[]> = { 'at once': [], 'collects': [] };
    for (let run = 1; run <= runs; run++) {
      for (const name of ['at once', 'collects'] as const) {
        step(`light load: ${figure(rate)} events/s, run ${run} of ${runs}, ${name}`);
        measured[name].push(await load(world, servers[name], { ...window, rate }, [broker]));
      }
    }
    const own = (loads: readonly Load[]): number[] => loads.map((entry) => entry.cpuMicrosecondsPerEvent);
    const both = (loads: readonly Load[]): number[] => loads.map((entry) => entry.cpuMicrosecondsPerEvent + entry.besideMicrosecondsPerEvent);
    for (const name of ['collects', 'at once'] as const) {
      const loads = measured[name];
      figures[`${name}, ${rate}/s`] = loads;
      rows.push([
        `${figure(rate)} events/s, ${name === 'collects' ? 'collecting' : 'at once'}`,
        name === 'collects' ? spread(ratios(own(loads), own(measured['at once']))) : '–',
        name === 'collects' ? spread(ratios(both(loads), both(measured['at once']))) : '–',
        figure(median(own(loads))),
        figure(median(both(loads).map((sum, run) => sum - own(loads)[run]!))),
        figure(median(loads.map((entry) => entry.p50Ms))),
        figure(median(loads.map((entry) => entry.p99Ms))),
      ]);
    }
    const waits = (loads: readonly Load[]): number[] => loads.map((entry) => entry.p50Ms);
    targets.push(atMost(1, `${figure(rate)} events/s: what collecting adds to the median`, waits(measured.collects).map((wait, run) => wait - waits(measured['at once'])[run]!), 'ms'));
  }
  return {
    id: 'light-load',
    title: 'Light load',
    columns: ['', 'CPU per event ÷ at once', "with Kafka's ÷ at once", 'CPU µs/event', "Kafka's CPU µs/event", 'p50 ms', 'p99 ms'],
    rows,
    targets,
    runs,
    figures,
    notes: [`Open loop over ${connections} connections, 1 KiB, ${partitions} partitions: the events of each millisecond leave together, as the client's timers do.`],
  };
}
