/**
 * Which client does which job (docs/adr/0004, docs/adr/0009): admin is kafkajs's; who produces and who consumes is a
 * choice.
 */
import type { Logger } from '../logger.ts';
import { createAutoGroupMember } from './auto-group-member.ts';
import { ClusterConnections } from './cluster-connections.ts';
import { createGroupMember } from './group-member.ts';
import { createKafkajsAdmin } from './kafkajs-admin.ts';
import { createKafkajsGroupMember } from './kafkajs-group-member.ts';
import { createKafkajsProducer } from './kafkajs-producer.ts';
import { createPlatformaticProducer } from './platformatic.ts';
import type { ConnectionSource, KafkaClient, KafkaConnection } from './port.ts';
import { asTheyAre } from './security.ts';

export type ProducerClient = 'platformatic' | 'kafkajs';

/** `platformatic` is the new group protocol on its protocol layer, `kafkajs` the classic one, `auto` the new one where it is spoken. */
export type ConsumerClient = 'auto' | 'platformatic' | 'kafkajs';

const createMember = { auto: createAutoGroupMember, platformatic: createGroupMember, kafkajs: createKafkajsGroupMember } as const;

/**
 * @param settings how to reach the cluster, fixed or as it changes; nothing is connected before it is needed
 * @param log      for what members meet and get over by themselves
 */
export function createKafkaClient(settings: KafkaConnection | ConnectionSource, producerClient: ProducerClient = 'platformatic', consumerClient: ConsumerClient = 'auto', log?: Logger): KafkaClient {
  const source = typeof settings === 'function' ? settings : (): KafkaConnection => settings;
  const shared = { source, cluster: new ClusterConnections(source, log), log };
  return {
    createProducer: () => (producerClient === 'kafkajs' ? createKafkajsProducer(source) : createPlatformaticProducer(source)),
    createGroupMember: (options) => createMember[consumerClient](options, shared),
    createAdmin: () => createKafkajsAdmin(asTheyAre(source)),
  };
}
