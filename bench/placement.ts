/**
 * Placing the vreplicas of many KafkaSources on many pods: what the controller computes whenever a source or a pod
 * changes, for all of them at once.
 */
import { placement, type DispatcherPod, type Placement, type SourceToPlace } from '@knative-kafka/controller';
import type { BenchContext } from './bench.ts';
import { atMost, neverAbove, type BenchTable } from './core/bench-table.ts';
import { figure, median, spread } from './core/statistics.ts';

const vreplicasEach = 3;
/** So that all pods are full. */
const capacity = 15;
/** A call is short, so that more of them cost little; of each run the median counts. */
const callsEach = 20;

export function benchPlacement({ runs, isQuick, step }: BenchContext): Promise<BenchTable> {
  const [sourceCount, podCount] = isQuick ? [100, 20] : [1_000, 200];
  const pods = Array.from({ length: podCount }, (_, ordinal) => pod(ordinal));
  const fresh = Array.from({ length: sourceCount }, (_, index): SourceToPlace => ({ key: `default/source-${index}`, vreplicas: vreplicasEach, before: [] }));
  const measured: Record<Case, Measured[]> = { fresh: [], settled: [], added: [], lost: [] };
  for (let run = 1; run <= runs; run++) {
    step(`placement: run ${run} of ${runs}`);
    const settled = after(fresh, placement(fresh, pods, capacity));
    measured.fresh.push(measure(fresh, pods));
    measured.settled.push(measure(settled, pods));
    measured.added.push(measure([...settled, { key: 'default/one-more', vreplicas: vreplicasEach, before: [] }], [...pods, pod(podCount)]));
    measured.lost.push(measure(settled, [pod(0, 'unschedulable'), ...pods.slice(1), pod(podCount)]));
  }
  return Promise.resolve(tableOf(measured, sourceCount, podCount, runs));
}

function pod(ordinal: number, state: DispatcherPod['state'] = 'schedulable'): DispatcherPod {
  return { name: `kafka-source-dispatcher-${ordinal}`, state };
}

type Case = 'fresh' | 'settled' | 'added' | 'lost';

/** CPU time of one call, which other processes disturb least. */
interface Measured {
  readonly firstMs: number;
  readonly ms: number;
  /** Vreplicas that are not where they were. */
  readonly moved: number;
}

/** The sources with the answer as what was placed before. */
function after(sources: readonly SourceToPlace[], { sources: answers }: Placement): readonly SourceToPlace[] {
  return sources.map((source) => ({ ...source, before: answers.get(source.key)!.placements }));
}

/** @throws Error when the answer is not one: some wait */
function measure(sources: readonly SourceToPlace[], pods: readonly DispatcherPod[]): Measured {
  const times = Array.from({ length: callsEach }, () => {
    const from = process.cpuUsage();
    placement(sources, pods, capacity);
    const { user, system } = process.cpuUsage(from);
    return (user + system) / 1000;
  });
  const result = placement(sources, pods, capacity);
  const waiting = [...result.sources.values()].reduce((sum, entry) => sum + entry.waiting, 0);
  if (waiting > 0) throw new Error(`${waiting} vreplicas wait for a pod`);
  return { firstMs: times[0]!, ms: median(times), moved: sources.reduce((sum, source) => sum + movedOf(source, result), 0) };
}

function movedOf({ key, before }: SourceToPlace, { sources }: Placement): number {
  const had = new Map(before.map(({ podName, vreplicas }) => [podName, vreplicas]));
  return sources.get(key)!.placements.reduce((sum, { podName, vreplicas }) => sum + Math.max(0, vreplicas - (had.get(podName) ?? 0)), 0);
}

function tableOf(measured: Readonly<Record<Case, readonly Measured[]>>, sources: number, pods: number, runs: number): BenchTable {
  const onAll = `${figure(sources)} sources on ${pods} pods`;
  const row = (name: string, entries: readonly Measured[]): string[] => [name, spread(entries.map(({ ms }) => ms)), figure(entries[0]!.firstMs), figure(median(entries.map(({ moved }) => moved)))];
  return {
    id: 'placement',
    title: 'Placement',
    columns: [onAll, 'CPU ms', 'first call, CPU ms', 'vreplicas that get a pod'],
    rows: [
      row('nothing placed yet', measured.fresh),
      row('everything placed', measured.settled),
      row('one source and one pod more', measured.added),
      row('one pod unschedulable, another in its place', measured.lost),
    ],
    targets: [
      atMost(50, `${onAll}: from nothing`, measured.fresh.map(({ ms }) => ms), 'ms of CPU'),
      atMost(10, `${onAll}: everything placed`, measured.settled.map(({ ms }) => ms), 'ms of CPU'),
      neverAbove(0, 'everything placed: vreplicas that move', measured.settled.map(({ moved }) => moved)),
    ],
    runs,
    figures: measured,
    notes: [
      `One call of one pure function, without reading or writing any object; ${vreplicasEach} vreplicas for each source, a capacity of ${capacity} for each pod. That fills all pods.`,
      `CPU time of the process, with that of V8's compiler and garbage collector beside it. Each figure is the median of ${callsEach} calls in a row; the first call is that of the first run, for which V8 has compiled only what the rows above needed.`,
    ],
  };
}
