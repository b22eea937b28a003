/**
 * Whether Knative Eventing's own controllers look after Subscriptions and Channels.
 *
 * Two controllers that write `spec.subscribers` would fight. So ours stands down while there is a Deployment
 * `eventing-controller` that wants pods, or while somebody holds the Lease by which Knative's Subscription controller
 * elects its leader; it takes over when neither is so any more.
 */
import { resourceTypes, startInformer, type InformerOptions, type KubernetesApi, type KubernetesObject, type Logger } from '@knative-kafka/common/io';
import type { DeploymentObject } from '../core/objects.ts';
import type { LeaseObject } from './leader-election.ts';

export interface EventingPresence {
  /** Undefined while it is not known: then nobody may write. */
  isPresent(): boolean | undefined;
  /** Why it is, for people. */
  reason(): string | undefined;
  close(): void;
}

const deploymentName = 'eventing-controller';
/** Part of the name of the Lease, in every release that had one. */
const leaseName = 'knative.dev.eventing.pkg.reconciler.subscription.reconciler';
/** A Lease ends without anybody telling: it is looked at this often. */
const lookMs = 5_000;

export function watchEventing(options: { readonly api: KubernetesApi; readonly namespace: string; readonly onChange: () => void; readonly nowMs: () => number; readonly log: Logger }): EventingPresence {
  const { api, namespace, nowMs, log } = options;
  const onTrouble: InformerOptions<KubernetesObject>['onTrouble'] = (trouble) => {
    // Until it is known, Subscriptions and Channels are left alone: somebody has to hear why.
    if ('reason' in trouble) log.warn({ namespace, resource: trouble.type.plural, reason: trouble.reason }, 'it cannot be seen whether Knative Eventing is there');
  };
  const deployments = startInformer<DeploymentObject>(api, { type: resourceTypes.deployment, namespace, fieldSelector: `metadata.name=${deploymentName}`, onTrouble });
  const leases = startInformer<LeaseObject>(api, { type: resourceTypes.lease, namespace, onTrouble });
  let told: boolean | undefined;

  const reason = (): string | undefined => {
    const deployment = deployments.get(`${namespace}/${deploymentName}`);
    if (deployment !== undefined && (deployment.spec?.replicas ?? 1) > 0) return `Deployment ${namespace}/${deploymentName} is there`;
    const held = leases.list().find((lease) => lease.metadata.name.includes(leaseName) && isHeld(lease, nowMs()));
    return held === undefined ? undefined : `Lease ${namespace}/${held.metadata.name} is held by ${held.spec?.holderIdentity ?? ''}`;
  };
  const isPresent = (): boolean | undefined => (deployments.hasSynced() && leases.hasSynced() ? reason() !== undefined : undefined);
  const look = (): void => {
    const present = isPresent();
    if (present === told) return;
    told = present;
    options.onChange();
  };
  deployments.onChange(look);
  leases.onChange(look);
  void Promise.all([deployments.synced(), leases.synced()]).then(look);
  const timer = setInterval(look, lookMs);
  timer.unref();
  return {
    isPresent,
    reason,
    close: () => {
      clearInterval(timer);
      deployments.close();
      leases.close();
    },
  };
}

/** By its own time, which an idle cluster's clocks may stretch: twice its duration counts as held. */
function isHeld({ spec }: LeaseObject, nowMs: number): boolean {
  const renewedMs = Date.parse(spec?.renewTime ?? '');
  const durationMs = (spec?.leaseDurationSeconds ?? 0) * 1000;
  return (spec?.holderIdentity ?? '') !== '' && Number.isFinite(renewedMs) && nowMs < renewedMs + 2 * durationMs;
}
