/**
 * Metrics about KafkaSources as a whole: how many there are, where their vreplicas are, and what deciding that takes.
 */
import { Gauge, Histogram, latencyBuckets, type Informer, type Registry } from '@knative-kafka/common/io';
import type { KafkaSourceObject } from '../core/objects.ts';
import type { DispatcherPod, SourcePlacement } from '../core/placement.ts';

export interface SourceMetrics {
  /** What was decided, and how long that took. */
  placed(decision: { readonly seconds: number; readonly sources: ReadonlyMap<string, SourcePlacement>; readonly pods: readonly DispatcherPod[] }): void;
  /** Others decide from now on. */
  lost(): void;
}

const podStates = ['schedulable', 'pending', 'unschedulable'] as const satisfies readonly DispatcherPod['state'][];

export function createSourceMetrics(registry: Registry, kafkaSources: Informer<KafkaSourceObject>): SourceMetrics {
  const registers = [registry];
  new Gauge({
    name: 'knative_kafka_sources',
    help: 'KafkaSources, by their condition Ready.',
    labelNames: ['ready'],
    registers,
    collect() {
      const counts = { True: 0, False: 0, Unknown: 0 };
      for (const { status } of kafkaSources.list()) counts[status?.conditions?.find(({ type }) => type === 'Ready')?.status ?? 'Unknown']++;
      for (const [ready, count] of Object.entries(counts)) this.set({ ready }, count);
    },
  });
  const vreplicas = new Gauge({ name: 'knative_kafka_sources_vreplicas', help: 'Vreplicas of KafkaSources that have a pod, and that wait for one.', labelNames: ['state'], registers });
  const pods = new Gauge({ name: 'knative_kafka_source_dispatcher_pods', help: 'Pods of source dispatchers, by whether they take vreplicas.', labelNames: ['state'], registers });
  const seconds = new Histogram({ name: 'knative_kafka_source_placement_seconds', help: 'One decision where all vreplicas run.', buckets: latencyBuckets, registers });
  return {
    placed: (decision) => {
      seconds.observe(decision.seconds);
      const sources = [...decision.sources.values()];
      vreplicas.set({ state: 'placed' }, sources.reduce((sum, { placements }) => sum + placements.reduce((on, entry) => on + entry.vreplicas, 0), 0));
      vreplicas.set({ state: 'waiting' }, sources.reduce((sum, { waiting }) => sum + waiting, 0));
      for (const state of podStates) pods.set({ state }, decision.pods.filter((pod) => pod.state === state).length);
    },
    lost: () => {
      vreplicas.reset();
      pods.reset();
    },
  };
}
