/**
 * Where a service's resources come from, by its settings.
 */
import { Fault } from '../../core/fault.ts';
import { channelServiceName } from '../../core/kafka-names.ts';
import type { ResourceName } from '../../core/resources/metadata.ts';
import type { Logger } from '../logger.ts';
import { openFolder } from './folder.ts';
import type { ResourceSource } from './port.ts';

export interface ResourcesOptions {
  /** A folder of manifests; undefined means the API server of the cluster. */
  readonly dir: string | undefined;
  readonly clusterDomain: string;
  /** Where the events of a channel go, for Subscriptions that point to one; its Service in the cluster unless given. */
  readonly channelUrl?: (channel: ResourceName) => string;
  readonly log: Logger;
}

/** @throws Fault MANIFEST_INVALID when the folder cannot be read; SETTINGS_INVALID while there is nothing else to read */
export async function openResources({ dir, clusterDomain, channelUrl, log }: ResourcesOptions): Promise<ResourceSource> {
  if (dir === undefined) {
    // Here kubernetes.ts takes its place, behind the same interface.
    throw new Fault('SETTINGS_INVALID', 'RESOURCES_DIR is required: a folder of manifests; watching a Kubernetes API server is not there yet', { retriable: false });
  }
  return openFolder({
    dir,
    clusterDomain,
    channelUrl: channelUrl ?? (({ namespace, name }) => `http://${channelServiceName(name)}.${namespace}.svc.${clusterDomain}`),
    onProblem: ({ file, document, line, resource, field, message, level }) => {
      log[level === 'info' ? 'info' : 'warn']({ file, document, line, resource, field, problem: message }, 'manifest has a mistake');
    },
  });
}
