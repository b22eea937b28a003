/**
 * The kind of channel that a generic Channel becomes when it does not say: from the ConfigMap `default-ch-webhook`, key
 * `default-ch-config`, for its namespace or for the cluster.
 *
 * @see Knative Eventing, "Default channel implementation"
 */
import { parse } from 'yaml';
import type { ChannelTemplate, GenericChannelObject } from './objects.ts';

export const defaultChannelConfigMap = 'default-ch-webhook';
export const defaultChannelKey = 'default-ch-config';

/**
 * @param data of the ConfigMap; undefined while there is none
 * @returns the template, or why there is none
 */
export function defaultChannelTemplate(data: Readonly<Record<string, string>> | undefined, namespace: string): ChannelTemplate | { readonly problem: string } {
  const source = `ConfigMap ${defaultChannelConfigMap}, key ${defaultChannelKey}`;
  const text = data?.[defaultChannelKey];
  if (text === undefined) return { problem: `spec.channelTemplate is not given, and there is no default: ${source} is missing` };
  let config: unknown;
  try {
    config = parse(text);
  } catch (error) {
    return { problem: `spec.channelTemplate is not given, and ${source} is not YAML: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : ''}` };
  }
  const { namespaceDefaults, clusterDefault } = asObject(config);
  const chosen = asObject(asObject(namespaceDefaults)[namespace] ?? clusterDefault);
  const { apiVersion, kind, spec } = chosen;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string') return { problem: `spec.channelTemplate is not given, and ${source} has no apiVersion and kind for namespace ${namespace} or the cluster` };
  return { apiVersion, kind, ...(spec === undefined || spec === null ? {} : { spec: asObject(spec) }) };
}

/** `spec` of the channel behind: the Channel's delivery, under what the template says. */
export function backingSpec({ spec }: GenericChannelObject, template: ChannelTemplate): Readonly<Record<string, unknown>> {
  return { ...(spec?.delivery === undefined ? {} : { delivery: spec.delivery }), ...template.spec };
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}
