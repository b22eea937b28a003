/**
 * The admin: topics, and the committed offsets of consumer groups, on kafkajs and every broker.
 *
 * Where kafkajs would ask for all topics to tell of one, or cannot ask at all, the request is one of the protocol's own:
 * with thousands of channels each look at a topic would bring the names of all of them.
 */
import { deleteTopicsV6, describeConfigsV4, findCoordinatorV6, incrementalAlterConfigsV1, metadataV12, offsetCommitV8, type ConfigResourceTypeValue, type Connection } from '@platformatic/kafka';
import { Fault } from '../../core/fault.ts';
import type { InitialOffset } from '../../core/resources/kafka-source.ts';
import { parseBroker, type BrokerAddress } from './broker-address.ts';
import { ask, closeConnection, openConnection } from './broker-connections.ts';
import { brokerAnswer, faultOf, faultOfErrorCode } from './faults.ts';
import { withAdmin, type KafkajsAdmin } from './kafkajs-client.ts';
import type { Admin, KafkaConnection, PartitionLag, TopicDescription, TopicSpec } from './port.ts';

export function createKafkajsAdmin(options: KafkaConnection): Admin {
  return new KafkajsAdminAdapter(options);
}

class KafkajsAdminAdapter implements Admin {
  readonly #options: KafkaConnection;

  constructor(options: KafkaConnection) {
    this.#options = options;
  }

  #call<T>(doing: string, call: (admin: KafkajsAdmin) => Promise<T>): Promise<T> {
    return withAdmin(this.#options, doing, call);
  }

  async ping(): Promise<void> {
    // A login alone is no answer: a broker that asks for a client certificate lets TLS 1.3 finish first.
    await this.#call('Kafka', async (admin) => {
      await admin.describeCluster();
    });
  }

  async createTopic(spec: TopicSpec): Promise<'created' | 'exists'> {
    const doing = `topic ${spec.topic}`;
    return this.#call(doing, async (admin) => {
      try {
        // Waiting for leaders throws UNKNOWN_TOPIC right after creation; whoever needs the leaders asks for them.
        const isNew = await admin.createTopics({
          waitForLeaders: false,
          topics: [
            {
              topic: spec.topic,
              numPartitions: spec.partitions,
              replicationFactor: spec.replicationFactor,
              configEntries: Object.entries(spec.config).map(([name, value]) => ({ name, value })),
            },
          ],
        });
        return isNew ? 'created' : 'exists';
      } catch (error) {
        const fault = faultOf(error, doing);
        if (!fault.message.includes('INVALID_REPLICATION_FACTOR')) throw fault;
        const { brokers } = await admin.describeCluster();
        throw new Fault('TOPIC_REJECTED', `${doing}: ${spec.replicationFactor} replicas asked, ${brokers.length} ${brokers.length === 1 ? 'broker' : 'brokers'} available`, { retriable: true, cause: error });
      }
    });
  }

  async deleteTopic(topic: string): Promise<'deleted' | 'absent'> {
    const doing = `deletion of topic ${topic}`;
    return withConnections(this.#options, doing, async ({ bootstrap, connect }) => {
      const { found, controller } = await metadataOf(bootstrap, topic, doing);
      if (found === undefined) return 'absent';
      try {
        await deleteTopicsV6.api.async(await connect(controller), [{ name: topic, topicId: null }], this.#options.requestTimeoutMs);
        return 'deleted';
      } catch (error) {
        if (brokerAnswerIs(error, ['UNKNOWN_TOPIC_OR_PARTITION'])) return 'absent'; // somebody was faster
        throw error;
      }
    });
  }

  async describeTopic(topic: string): Promise<TopicDescription | undefined> {
    const doing = `description of topic ${topic}`;
    return withConnections(this.#options, doing, async ({ bootstrap }) => {
      const { found } = await metadataOf(bootstrap, topic, doing);
      if (found === undefined) return undefined;
      const resource = { resourceType: topicResource, resourceName: topic, configurationKeys: ['max.message.bytes', 'retention.ms'] };
      const { results } = await ask(bootstrap, (connection) => describeConfigsV4.api.async(connection, [resource], false, false));
      const config = new Map(results[0]?.configs.map(({ name, value }) => [name, value]));
      return {
        partitions: found.partitions.length,
        replicationFactor: found.partitions[0]?.replicaNodes.length ?? 0,
        maxMessageBytes: Number(config.get('max.message.bytes') ?? defaultMaxMessageBytes),
        retentionMs: config.has('retention.ms') ? Number(config.get('retention.ms')) : undefined,
      };
    });
  }

  async listTopics(): Promise<readonly string[]> {
    return this.#call('list of topics', (admin) => admin.listTopics());
  }

  async growTopic(topic: string, partitions: number): Promise<void> {
    await this.#call(`topic ${topic} to ${partitions} partitions`, (admin) => admin.createPartitions({ topicPartitions: [{ topic, count: partitions }] }));
  }

  async setRetention(topic: string, retentionMs: number): Promise<void> {
    const resource = { resourceType: topicResource, resourceName: topic, configs: [{ name: 'retention.ms', configOperation: setOperation, value: String(retentionMs) } as const] };
    await withConnections(this.#options, `retention of topic ${topic}`, async ({ bootstrap }) => {
      await ask(bootstrap, (connection) => incrementalAlterConfigsV1.api.async(connection, [resource], false));
    });
  }

  async commitInitialOffsets(groupId: string, topic: string, from: InitialOffset): Promise<readonly number[]> {
    const doing = `initial offsets of consumer group ${groupId}`;
    const read = async () => {
      const partitions = await this.#offsets(groupId, topic, doing);
      return { isNew: partitions.every(({ committed }) => committed === neverCommitted), missing: partitions.filter(({ committed }) => committed < 0n) };
    };
    const { isNew, missing } = await read();
    if (missing.length === 0) return [];
    const starts = isNew && typeof from === 'object' ? await this.#offsetsByTime(topic, from.timestampMs, doing) : undefined;
    const offsets = missing.map(({ partition, oldest, end }) => ({ partition, offset: isNew && from !== 'earliest' ? (starts?.get(partition) ?? end) : oldest }));
    try {
      await commitForEmptyGroup(this.#options, groupId, topic, offsets, doing);
    } catch (error) {
      if (!brokerAnswerIs(error, groupInUse)) throw error;
      // Somebody joined meanwhile, and whoever joins has committed before. A partition that is still missing is new
      // and read from its start by its member.
      if ((await read()).isNew) throw new Fault('KAFKA_REFUSED', `${doing}: the group is in use and has no offsets`, { retriable: true, cause: error });
      return [];
    }
    return missing.map(({ partition }) => partition);
  }

  async groupLag(groupId: string, topic: string): Promise<readonly PartitionLag[]> {
    const partitions = await this.#offsets(groupId, topic, `lag of consumer group ${groupId}`);
    return partitions.map(({ partition, committed, end }) => ({ partition, commitOffset: committed >= 0n ? committed : undefined, endOffset: end }));
  }

  async #offsets(groupId: string, topic: string, doing: string): Promise<readonly PartitionOffsets[]> {
    return this.#call(doing, async (admin) => {
      const [committed, logs] = await Promise.all([admin.fetchOffsets({ groupId, topics: [topic] }), admin.fetchTopicOffsets(topic)]);
      const offsets = new Map(committed[0]?.partitions.map((entry) => [entry.partition, BigInt(entry.offset)]));
      return logs.map(({ partition, low, high }) => ({ partition, committed: offsets.get(partition) ?? neverCommitted, oldest: BigInt(low), end: BigInt(high) }));
    });
  }

  /** The first record that was stored at a time or later, or the end of the log, by partition. */
  async #offsetsByTime(topic: string, timestampMs: number, doing: string): Promise<ReadonlyMap<number, bigint>> {
    // Negative times mean other things to a broker, the end of the log among them.
    const found = await this.#call(doing, (admin) => admin.fetchTopicOffsetsByTimestamp(topic, Math.max(0, timestampMs)));
    return new Map(found.map(({ partition, offset }) => [partition, BigInt(offset)]));
  }

  async deleteGroup(groupId: string): Promise<'deleted' | 'absent'> {
    try {
      await this.#call(`deletion of consumer group ${groupId}`, (admin) => admin.deleteGroups([groupId]));
      return 'deleted';
    } catch (error) {
      if (brokerAnswerIs(error, ['GROUP_ID_NOT_FOUND'])) return 'absent';
      throw error;
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

interface PartitionOffsets {
  readonly partition: number;
  /** Negative where no offset is. */
  readonly committed: bigint;
  /** Of the oldest record that the log still has. */
  readonly oldest: bigint;
  /** Of the next record to come. */
  readonly end: bigint;
}

/** What a broker answers for a partition without a committed offset. -2 is another matter: a member was reset there (rule C6). */
const neverCommitted = -1n;

/** How a broker refuses a commit without membership while a group, of either protocol, has members. */
const groupInUse: readonly string[] = ['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'STALE_MEMBER_EPOCH', 'REBALANCE_IN_PROGRESS'];

function brokerAnswerIs(error: unknown, answers: readonly string[]): boolean {
  return answers.includes(brokerAnswer(error) ?? '');
}

/** Kafka's default for `max.message.bytes`, where the topic's own is hidden from us. */
const defaultMaxMessageBytes = 1_048_588;

/** In the protocol: a topic, and the operation that sets one value and leaves the others (kafkajs can only replace them all). */
const topicResource: ConfigResourceTypeValue = 2;
const setOperation = 0;

/**
 * Commits offsets on behalf of a group that nobody is in. kafkajs would start a consumer for it, which takes seconds;
 * the protocol knows a commit without membership (generation -1), which the broker refuses while the group is in use.
 */
async function commitForEmptyGroup(options: KafkaConnection, groupId: string, topic: string, offsets: readonly { partition: number; offset: bigint }[], doing: string): Promise<void> {
  await withConnections(options, doing, async ({ bootstrap, connect }) => {
    const { coordinators } = await ask(bootstrap, (connection) => findCoordinatorV6.api.async(connection, 0, [groupId]));
    const coordinator = coordinators[0];
    if (coordinator === undefined || coordinator.errorCode !== 0) throw new Fault('KAFKA_UNAVAILABLE', `${doing}: no coordinator yet`, { retriable: true });
    const connection = await connect(coordinator);
    await offsetCommitV8.api.async(connection, groupId, -1, '', null, [
      { name: topic, partitions: offsets.map(({ partition, offset }) => ({ partitionIndex: partition, committedOffset: offset, committedLeaderEpoch: -1, committedMetadata: null })) },
    ]);
  });
}

interface OwnConnections {
  /** To a bootstrap server. */
  readonly bootstrap: Connection;
  readonly connect: (address: BrokerAddress) => Promise<Connection>;
}

type Metadata = metadataV12.MetadataResponse;

/**
 * What a broker knows of one topic.
 *
 * @returns `found` is undefined where there is no such topic, or none that this client may see
 */
async function metadataOf(bootstrap: Connection, topic: string, doing: string): Promise<{ readonly found: Metadata['topics'][number] | undefined; readonly controller: BrokerAddress }> {
  const { topics, brokers, controllerId } = await ask(bootstrap, (connection) => metadataV12.api.async(connection, [topic], false, false).catch(answerWithin));
  const found = topics.find(({ name }) => name === topic);
  const controller = brokers.find(({ nodeId }) => nodeId === controllerId);
  if (found === undefined || controller === undefined) throw new Fault('KAFKA_UNAVAILABLE', `${doing}: not known to this broker yet`, { retriable: true });
  const isAbsent = absentTopic.includes(found.errorCode);
  if (!isAbsent && found.errorCode !== 0) throw faultOfErrorCode(found.errorCode, doing);
  return { found: isAbsent ? undefined : found, controller };
}

/** UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, TOPIC_AUTHORIZATION_FAILED. */
const absentTopic: readonly number[] = [3, 17, 29];

/** The library rejects an answer with an error anywhere in it, such as a partition without a leader. */
function answerWithin(error: unknown): Metadata {
  const { response } = error as { readonly response?: Metadata };
  if (response === undefined) throw error;
  return response;
}

/** What kafkajs cannot do well, over connections of its own that are closed afterwards. */
async function withConnections<T>(options: KafkaConnection, doing: string, call: (connections: OwnConnections) => Promise<T>): Promise<T> {
  const opened: Connection[] = [];
  const connect = async (address: BrokerAddress): Promise<Connection> => {
    const connection = await openConnection(options, address, options.requestTimeoutMs);
    opened.push(connection);
    return connection;
  };
  const connectFirst = async (): Promise<Connection> => {
    let fault = new Fault('KAFKA_UNAVAILABLE', `${doing}: no broker is known`, { retriable: true });
    for (const broker of options.brokers) {
      try {
        return await connect(parseBroker(broker));
      } catch (error) {
        fault = faultOf(error, `${doing}, from ${broker}`);
      }
    }
    throw fault;
  };
  try {
    return await call({ connect, bootstrap: await connectFirst() });
  } catch (error) {
    throw faultOf(error, doing);
  } finally {
    for (const connection of opened) closeConnection(connection);
  }
}
