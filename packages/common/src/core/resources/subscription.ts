/**
 * Subscription: its type and the rules that its schema cannot state.
 *
 * @see helm/knative-kafka/files/crds/subscription.yaml, the source of truth for the shape
 */
import type { DeliverySpec } from './delivery.ts';
import { deliveryProblems } from './delivery.ts';
import type { Destination, ObjectReference } from './destination.ts';
import type { FieldProblem } from './field-problem.ts';
import { deliveryOrderProblems } from './kafka-channel.ts';
import type { Manifest, ObjectMeta } from './metadata.ts';
import { parseMetadata } from './metadata.ts';

export interface SubscriptionSpec {
  readonly channel: ObjectReference & { readonly apiVersion: string };
  /** Required by our schema; Knative's own lets Subscriptions with only a reply pass. */
  readonly subscriber?: Destination;
  readonly reply?: Destination;
  readonly delivery?: DeliverySpec;
}

/** A Subscription as its schema lets it through. */
export interface SubscriptionManifest extends Manifest {
  readonly spec: SubscriptionSpec;
}

export interface Subscription {
  readonly kind: 'Subscription';
  readonly metadata: ObjectMeta;
  readonly spec: SubscriptionSpec;
}

/**
 * The typed form of a Subscription, and what is wrong with it. The Subscription is complete even if there are problems,
 * see `parseKafkaChannel`.
 *
 * @param manifest passed the schema
 */
export function parseSubscription(manifest: SubscriptionManifest): {
  subscription: Subscription;
  problems: readonly FieldProblem[];
} {
  const { channel, subscriber, reply, delivery } = manifest.spec;
  const metadata = parseMetadata(manifest);
  return {
    subscription: {
      kind: 'Subscription',
      metadata,
      spec: {
        channel,
        ...(subscriber === undefined ? {} : { subscriber }),
        ...(reply === undefined ? {} : { reply }),
        ...(delivery === undefined ? {} : { delivery }),
      },
    },
    problems: [...deliveryOrderProblems(metadata), ...deliveryProblems(delivery, ['spec', 'delivery'])],
  };
}
