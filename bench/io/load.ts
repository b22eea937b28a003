/**
 * Load on a server from a process of its own, as figures.
 */
import { Histogram } from '../core/histogram.ts';
import type { LoadOptions, LoadResult } from '../processes/load-client.ts';
import type { BenchWorld, RunningServer } from './bench-world.ts';

export interface Load {
  readonly eventsPerSecond: number;
  readonly cpuMicrosecondsPerEvent: number;
  /** Of the processes beside it that were to be watched, together. */
  readonly besideMicrosecondsPerEvent: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly clientCpuMicrosecondsPerEvent: number;
  /** How late the client itself was with events that were due; NaN in a closed loop. */
  readonly clientLateP99Ms: number;
}

/** What the client needs beside the time it measures: to start and to get its last answers. */
const patienceMs = 60_000;

/**
 * @param beside ids of processes whose CPU time counts as well
 * @throws Error when anything but 202 came back: the figures would be of something else
 */
export async function load(world: BenchWorld, server: RunningServer, options: Omit<LoadOptions, 'port' | 'watch'>, beside: readonly number[] = []): Promise<Load> {
  const full: LoadOptions = { ...options, port: server.port, watch: [server.process.pid, ...beside] };
  const result = (await world.runToEnd('load-client.ts', full, options.warmUpMs + options.durationMs + patienceMs)) as LoadResult;
  const refused = Object.entries(result.refused);
  if (refused.length > 0) throw new Error(`${server.process.name} answered ${refused.map(([status, count]) => `${status} ${count} times`).join(', ')} instead of 202`);
  const latency = Histogram.from(result.latency);
  const events = result.answered * (options.eventsPerRequest ?? 1);
  const [own = 0, ...others] = result.cpuMs;
  return {
    eventsPerSecond: (events / result.elapsedMs) * 1000,
    cpuMicrosecondsPerEvent: (own / events) * 1000,
    besideMicrosecondsPerEvent: (others.reduce((sum, ms) => sum + ms, 0) / events) * 1000,
    clientCpuMicrosecondsPerEvent: (result.clientCpuMs / events) * 1000,
    p50Ms: latency.quantileMs(0.5),
    p99Ms: latency.quantileMs(0.99),
    p999Ms: latency.quantileMs(0.999),
    clientLateP99Ms: Histogram.from(result.lateness).quantileMs(0.99),
  };
}
