/**
 * Whether an object in the cluster is what it should be.
 *
 * The API server and other controllers add fields to what was applied (defaults, a ClusterIP, replicas of an
 * autoscaler); these are none of our business. What was applied once and is not wanted any more is: so every object
 * carries a hash of all that was applied, and a new hash is drift as well.
 *
 * Always true: an object that was just applied and that nobody touched has not drifted, so a second run writes nothing.
 */
import { stableHash } from '@knative-kafka/common/core';

/** On every object that a reconciler applies: the hash of what it applied. */
export const appliedAnnotation = 'kafka.eventing.knative.dev/applied';

/** What a reconciler applies: an object with labels and annotations of ours. */
export interface DesiredObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

/**
 * The object with its hash.
 *
 * @param unhashed top-level fields of `spec` that may change without anything being taken away, such as `replicas`
 */
export function withAppliedHash<T extends DesiredObject>(desired: T, unhashed: readonly string[] = []): T & { readonly metadata: { readonly annotations: Readonly<Record<string, string>> } } {
  const hash = stableHash(JSON.stringify(desired, (key, value: unknown) => (unhashed.includes(key) ? undefined : value))).slice(0, 16);
  const annotations = { ...desired.metadata.annotations, [appliedAnnotation]: hash };
  return { ...desired, metadata: { ...desired.metadata, annotations } };
}

/** Whether everything that is desired is observed; what is observed beside it does not matter. */
export function isAsDesired(desired: unknown, observed: unknown): boolean {
  if (Array.isArray(desired)) {
    return Array.isArray(observed) && desired.length === observed.length && desired.every((item, index) => isAsDesired(item, observed[index]));
  }
  if (typeof desired === 'object' && desired !== null) {
    if (typeof observed !== 'object' || observed === null) return false;
    const found = observed as Readonly<Record<string, unknown>>;
    return Object.entries(desired).every(([key, value]) => value === undefined || isAsDesired(value, found[key]));
  }
  return desired === observed;
}

/** Whether two JSON values are the same, whatever the order of their keys; an absent field equals an undefined one. */
export function isSameJson(one: unknown, other: unknown): boolean {
  return isAsDesired(one, other) && isAsDesired(other, one);
}
