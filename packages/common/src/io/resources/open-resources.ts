/**
 * Where a service's resources come from, by its settings.
 */
import { channelUrl as clusterUrl } from '../../core/kafka-names.ts';
import type { ResourceName } from '../../core/resources/metadata.ts';
import { createKubernetesApi } from '../kubernetes/client.ts';
import type { Logger } from '../logger.ts';
import { openFolder } from './folder.ts';
import { watchKubernetes, type ServedResources } from './kubernetes.ts';
import type { ResourceSource } from './port.ts';

export interface ManifestsOptions {
  readonly dir: string;
  readonly clusterDomain: string;
  /** Where the events of a channel go, for Subscriptions that point to one; its Service in the cluster unless given. */
  readonly channelUrl?: (channel: ResourceName) => string;
  readonly log: Logger;
}

export interface ResourcesOptions extends Omit<ManifestsOptions, 'dir'> {
  /** RESOURCES_DIR: a folder of manifests; undefined means the API server of the cluster. */
  readonly dir: string | undefined;
  /** Which part of a cluster's resources counts; a folder counts as a whole. */
  readonly served: ServedResources;
  /** Names this process to the API server, such as `kafka-channel-receiver`. */
  readonly userAgent: string;
}

/**
 * A folder is read when this resolves. An API server may be away: `isSynced` says when everything was read.
 *
 * The API server is that of KUBECONFIG, of ~/.kube/config, or of the cluster this runs in.
 *
 * @throws Fault MANIFEST_INVALID when the folder cannot be read
 */
export async function openResources({ dir, served, userAgent, ...options }: ResourcesOptions): Promise<ResourceSource> {
  if (dir !== undefined) return openManifests({ dir, ...options });
  return watchKubernetes({ api: createKubernetesApi({ userAgent, fieldManager: userAgent }), served, log: options.log });
}

/** A folder of manifests whose mistakes are logged. @throws Fault MANIFEST_INVALID when it cannot be read */
export async function openManifests({ dir, clusterDomain, channelUrl, log }: ManifestsOptions): Promise<ResourceSource> {
  return openFolder({
    dir,
    clusterDomain,
    channelUrl: channelUrl ?? ((channel) => clusterUrl(channel, clusterDomain)),
    onProblem: ({ file, document, line, resource, field, message, level }) => {
      log[level === 'info' ? 'info' : 'warn']({ file, document, line, resource, field, problem: message }, 'manifest has a mistake');
    },
  });
}
