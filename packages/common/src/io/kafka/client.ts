/**
 * Which client does which job (docs/adr/0004): admin and consumer groups are kafkajs's, producing is a choice.
 */
import { createKafkajsAdmin, createKafkajsGroupMember, createKafkajsProducer } from './kafkajs.ts';
import { createPlatformaticProducer } from './platformatic.ts';
import type { KafkaClient, KafkaConnection } from './port.ts';

export type ProducerClient = 'platformatic' | 'kafkajs';

export function createKafkaClient(connection: KafkaConnection, producerClient: ProducerClient = 'platformatic'): KafkaClient {
  return {
    createProducer: () => (producerClient === 'kafkajs' ? createKafkajsProducer(connection) : createPlatformaticProducer(connection)),
    createGroupMember: (options) => createKafkajsGroupMember(connection, options),
    createAdmin: () => createKafkajsAdmin(connection),
  };
}
