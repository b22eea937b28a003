/**
 * Who a resource is: the part of Kubernetes' metadata that is used here, and the names made of it.
 */
import { stableUuid } from '../stable-hash.ts';

/** Namespace and name, without the kind. */
export interface ResourceName {
  readonly namespace: string;
  readonly name: string;
}

/** `metadata` with the namespace filled in. */
export interface ObjectMeta extends ResourceName {
  /** Given by the API server; in a folder of manifests made of kind, namespace and name unless the manifest has one. */
  readonly uid: string;
  /** Counts the changes of `spec`, from 1. */
  readonly generation: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** `metadata` as it may be written; what is absent gets a default. */
export interface ManifestMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly generation?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** What every object has. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ManifestMeta;
}

/** `namespace/name`, what work queues and maps go by. */
export function resourceKey(resource: ResourceName): string {
  return `${resource.namespace}/${resource.name}`;
}

/** `KafkaChannel default/orders`, what people read and what tells apart resources of different kinds. */
export function resourceId(kind: string, resource: ResourceName): string {
  return `${kind} ${resourceKey(resource)}`;
}

/** Fills in what the manifest leaves out: namespace `default`, generation 1, a uid made of kind, namespace and name. */
export function parseMetadata(manifest: Manifest): ObjectMeta {
  const { name, namespace = 'default', uid, generation = 1, labels = {}, annotations = {} } = manifest.metadata;
  return {
    namespace,
    name,
    uid: uid ?? stableUuid(resourceId(manifest.kind, { namespace, name })),
    generation,
    labels,
    annotations,
  };
}
