/**
 * Brings a topic to what its KafkaChannel wants, and says how it went.
 */
import { Fault } from '../../core/fault.ts';
import { planTopic, type TopicState, type WantedTopic } from '../../core/topic-plan.ts';
import type { Admin } from './port.ts';

export interface EnsuredTopic {
  readonly state: TopicState;
  /** What was done to it, in one sentence each: nothing when it was as it should be. */
  readonly changes: readonly { readonly reason: 'TopicCreated' | 'TopicGrown' | 'TopicRetentionChanged'; readonly message: string }[];
}

type TopicAdmin = Pick<Admin, 'createTopic' | 'describeTopic' | 'growTopic' | 'setRetention'>;

/** Faults of Kafka are states here: a topic is looked at again and again. */
export async function ensureTopic(admin: TopicAdmin, topic: string, wanted: WantedTopic): Promise<EnsuredTopic> {
  const changes: EnsuredTopic['changes'][number][] = [];
  try {
    return { state: await bringAbout(admin, topic, wanted, (reason, message) => changes.push({ reason, message })), changes };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const isRejected = error.code === 'TOPIC_REJECTED' || error.code === 'KAFKA_REFUSED';
    return { state: { isReady: false, reason: isRejected ? 'TopicRejected' : 'KafkaUnavailable', message: error.message }, changes };
  }
}

async function bringAbout(admin: TopicAdmin, topic: string, wanted: WantedTopic, told: (reason: EnsuredTopic['changes'][number]['reason'], message: string) => void): Promise<TopicState> {
  // Looked for first: where it exists, which is nearly always, a broker may not let us create anything.
  let found = await admin.describeTopic(topic);
  if (found === undefined) {
    const created = await admin.createTopic({
      topic,
      partitions: wanted.partitions,
      replicationFactor: wanted.replicationFactor,
      config: { 'retention.ms': String(wanted.retentionMs) },
    });
    if (created === 'created') {
      told('TopicCreated', `topic ${topic}: ${wanted.partitions} partitions, ${wanted.replicationFactor} replicas`);
      return { isReady: true };
    }
    found = await admin.describeTopic(topic);
  }
  // Made and not yet known to the broker that was asked.
  if (found === undefined || found.partitions === 0) return { isReady: false, reason: 'TopicPending', message: `topic ${topic} was created and is not known to every broker yet` };
  const plan = planTopic(topic, wanted, found);
  if (plan.growTo !== undefined) {
    await admin.growTopic(topic, plan.growTo);
    told('TopicGrown', `topic ${topic}: from ${found.partitions} to ${plan.growTo} partitions`);
  }
  if (plan.setRetentionMs !== undefined) {
    await admin.setRetention(topic, plan.setRetentionMs);
    told('TopicRetentionChanged', `topic ${topic}: retention.ms ${plan.setRetentionMs}, before ${found.retentionMs ?? 'unknown'}`);
  }
  if (plan.problem !== undefined) return { isReady: false, ...plan.problem };
  return plan.remark === undefined ? { isReady: true } : { isReady: true, message: plan.remark };
}
