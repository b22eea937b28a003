/**
 * Writes that happen only where something is not as it should be.
 */
import type { KubernetesApi, KubernetesObject, ResourceType } from '@knative-kafka/common/io';
import { isAsDesired, isSameJson, type DesiredObject } from '../core/drift.ts';

/** @returns whether it was written */
export async function applyDrifted(api: KubernetesApi, type: ResourceType, desired: DesiredObject, observed: KubernetesObject | undefined): Promise<boolean> {
  if (observed !== undefined && isAsDesired(desired, observed)) return false;
  await api.apply(type, desired);
  return true;
}

/**
 * Writes the fields of a status that we answer for, where one differs; others' fields are left alone.
 *
 * @param observed  the object as the caches have it
 * @param ownFields those that are compared
 * @param ownPart   what of the observed status is ours, where others write into one of these fields
 * @returns whether it was written
 */
export async function applyStatus<S extends object>(api: KubernetesApi, type: ResourceType, observed: KubernetesObject & { readonly status?: S }, desired: S, ownFields: readonly (keyof S & string)[], ownPart: (status: S) => S = (status) => status): Promise<boolean> {
  const current: Partial<S> = observed.status === undefined ? {} : ownPart(observed.status);
  if (ownFields.every((field) => isSameJson(desired[field], current[field]))) return false;
  const { apiVersion, kind, metadata: { name, namespace } } = observed;
  const status: KubernetesObject & { readonly status: S } = { apiVersion, kind, metadata: { name, ...(namespace === undefined ? {} : { namespace }) }, status: desired };
  await api.apply(type, status, { subresource: 'status' });
  return true;
}

/** Adds or removes a finalizer, and sets annotations, in one write that fails where somebody else changed the object. */
export async function patchMetadata(api: KubernetesApi, type: ResourceType, { metadata }: KubernetesObject, change: { readonly finalizers: readonly string[]; readonly annotations?: Readonly<Record<string, string>> }): Promise<void> {
  const { name, namespace, resourceVersion } = metadata;
  const { finalizers, annotations } = change;
  await api.mergePatch(type, { name, ...(namespace === undefined ? {} : { namespace }) }, { metadata: { resourceVersion, finalizers, ...(annotations === undefined ? {} : { annotations }) } });
}
