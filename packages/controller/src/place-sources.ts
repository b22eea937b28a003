/**
 * Where the vreplicas of all KafkaSources run, and how many pods there are for them: the one place that decides it.
 *
 * Level-triggered, over all sources at once: whatever changed, everything is read and decided anew, and only those
 * sources are told whose answer is another one. They write it into their status, which is what dispatchers act on.
 *
 * Always true: what was decided last is what the next decision starts from, whether it has reached the status or not; a
 * controller that begins to lead starts from the status, and moves nothing. Pods whose number was refused by the API
 * server do not keep anything from running on those that there are.
 */
import { Fault } from '@knative-kafka/common/core';
import { objectKey, resourceTypes, type KubernetesApi } from '@knative-kafka/common/io';
import type { Caches } from './caches.ts';
import type { Problem } from './core/channel-status.ts';
import { desiredSourceDispatcher } from './core/desired-source-dispatcher.ts';
import { sizedPlacement, type SizeSettings } from './core/dispatcher-size.ts';
import { isSameJson } from './core/drift.ts';
import { isDeleting, type KafkaSourceObject } from './core/objects.ts';
import { vreplicasOn, wantedVreplicas, type PlacedSource } from './core/placed-sources.ts';
import { sourceDispatcher, type SourceToPlace } from './core/placement.ts';
import type { Workloads } from './core/pod-template.ts';
import { podStates, type KnownPods } from './core/source-pods.ts';
import { applyDrifted } from './io/apply-drifted.ts';
import type { SourceMetrics } from './io/source-metrics.ts';

export interface SourcePlacerParts {
  readonly api: KubernetesApi;
  readonly caches: Caches;
  readonly workloads: Workloads;
  readonly metrics: SourceMetrics;
  readonly settings: SizeSettings & {
    /** How long a pod that was Ready keeps what it has. */
    readonly podPatienceMs: number;
  };
  /** Resource keys of sources for which something else was decided than before. */
  readonly onPlaced: (sources: readonly string[]) => void;
  /** A source asks for something else, for a reason that is in no cache. */
  readonly onWanted: () => void;
}

interface Decision {
  /** Of the source: another one of its name is another source. */
  readonly uid: string;
  readonly placed: PlacedSource;
}

export class SourcePlacer {
  readonly #parts: SourcePlacerParts;
  #decisions: ReadonlyMap<string, Decision> | undefined;
  readonly #withheld = new Set<string>();
  #knownPods: KnownPods | undefined;
  #shrinkableSinceMs: number | undefined;
  #podsProblem: Problem | undefined;

  constructor(parts: SourcePlacerParts) {
    this.#parts = parts;
  }

  /** Whether anything was decided yet; before, nothing is to be written. */
  get hasDecided(): boolean {
    return this.#decisions !== undefined;
  }

  /** Why there are no pods, where the StatefulSet was refused. */
  get podsProblem(): Problem | undefined {
    return this.#podsProblem;
  }

  /** @returns undefined for a source that is too new */
  placedSource({ metadata }: KafkaSourceObject): PlacedSource | undefined {
    const decision = this.#decisions?.get(objectKey(metadata));
    return decision?.uid === (metadata.uid ?? '') ? decision.placed : undefined;
  }

  /**
   * Whether a source is to run nowhere for the moment, because its consumer group has to be empty.
   *
   * @param key resource key
   */
  withhold(key: string, isWithheld: boolean): void {
    if (this.#withheld.has(key) === isWithheld) return;
    if (isWithheld) this.#withheld.add(key);
    else this.#withheld.delete(key);
    this.#parts.onWanted();
  }

  /** Decides anew, and brings the StatefulSet to its size. */
  async place(): Promise<{ readonly requeueAfterMs?: number }> {
    const { caches, metrics, settings, workloads } = this.#parts;
    const startedAt = performance.now();
    const objects = caches.kafkaSources.list();
    const statefulSet = caches.statefulSets.get(`${workloads.systemNamespace}/${sourceDispatcher}`);
    this.#knownPods ??= new Map(objects.flatMap(({ status }) => status?.placements ?? []).map(({ podName }) => [podName, undefined]));
    // Without a StatefulSet (somebody deleted it) its pods are expected back with it.
    const pods = podStates({ pods: caches.sourcePods.list(), replicas: statefulSet === undefined ? Infinity : replicasOf(statefulSet) }, this.#knownPods, startedAt, settings.podPatienceMs);
    this.#knownPods = pods.known;
    const sources = objects.map((object) => this.#sourceToPlace(object));
    const recorded = objects.filter((object) => !isDeleting(object)).flatMap(({ status }) => status?.placements ?? []);
    const sized = sizedPlacement(sources, pods.pods, replicasOf(statefulSet), this.#shrinkableSinceMs, recorded, startedAt, settings);
    this.#shrinkableSinceMs = sized.shrinkableSinceMs;
    const wanted = new Map(sources.map(({ key, vreplicas }) => [key, vreplicas]));
    const before = this.#decisions;
    this.#decisions = new Map(objects.map((object) => {
      const key = objectKey(object.metadata);
      const { placements, waiting } = sized.sources.get(key)!;
      return [key, { uid: object.metadata.uid ?? '', placed: { placements, waiting, wanted: wanted.get(key)!, ready: vreplicasOn(pods.ready, placements) } }];
    }));
    metrics.placed({ seconds: (performance.now() - startedAt) / 1_000, sources: sized.sources, pods: pods.pods });
    this.#parts.onPlaced([...this.#decisions].filter(([key, decision]) => !isSameJson(decision, before?.get(key))).map(([key]) => key));
    await this.#size(sized.replicas, statefulSet);
    const againInMs = Math.min(pods.againInMs ?? Infinity, sized.againInMs ?? Infinity);
    return againInMs === Infinity ? {} : { requeueAfterMs: againInMs };
  }

  #sourceToPlace(object: KafkaSourceObject): SourceToPlace {
    const key = objectKey(object.metadata);
    return { key, vreplicas: this.#withheld.has(key) ? 0 : wantedVreplicas(object), before: this.placedSource(object)?.placements ?? object.status?.placements ?? [] };
  }

  async #size(replicas: number, observed: Parameters<typeof applyDrifted>[3]): Promise<void> {
    const { api, onPlaced, workloads } = this.#parts;
    const before = this.#podsProblem;
    try {
      await applyDrifted(api, resourceTypes.statefulSet, desiredSourceDispatcher(replicas, workloads), observed);
      this.#podsProblem = undefined;
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== 'KUBERNETES_REFUSED') throw error;
      this.#podsProblem = { reason: 'StatefulSetRejected', message: error.message };
      throw error;
    } finally {
      if (!isSameJson(before, this.#podsProblem)) onPlaced([...(this.#decisions ?? new Map<string, Decision>())].filter(([, { placed }]) => placed.waiting > 0).map(([key]) => key));
    }
  }
}

function replicasOf(statefulSet: { readonly spec?: { readonly replicas?: number } } | undefined): number {
  return statefulSet === undefined ? 0 : (statefulSet.spec?.replicas ?? 1);
}
