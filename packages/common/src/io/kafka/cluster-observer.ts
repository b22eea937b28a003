/**
 * A cluster of several brokers, seen and steered past the port, for tests.
 *
 * Brokers differ in what they know: one that stood still tells the leaders and the committed offsets of before until it
 * has heard from the controllers. Whoever compares what Kafka has after such a fault waits for `untilAllInSync` first.
 */
import { waitFor, type KafkaBroker, type KafkaCluster } from '@knative-kafka/local-cluster';
import { alterPartitionReassignmentsV0, ConnectionPool, createAPI, metadataV12, Writer, type Connection } from '@platformatic/kafka';
import { parseBroker } from './broker-address.ts';

const factTimeoutMs = 60_000;
const requestTimeoutMs = 15_000;

const electionNotNeeded = 84;
/** Elects the preferred leader, the first replica, of every partition. The library has no such request. */
const electLeadersV1 = createAPI<[], number>(
  43,
  1,
  () => Writer.create().appendInt8(0).appendArray(null, () => undefined, false).appendInt32(10_000),
  (_correlationId, _apiKey, _apiVersion, reader) => {
    reader.skip(4); // throttle time
    return reader.readInt16();
  },
  false,
  false,
);

type Metadata = Awaited<ReturnType<typeof metadataV12.api.async>>;

/** The library rejects metadata with a partition that has no leader; the answer is inside. */
function withoutLeaders(error: unknown): Metadata {
  const { response } = error as { readonly response?: Metadata };
  if (response === undefined) throw error;
  return response;
}

export class ClusterObserver {
  readonly #brokers: readonly KafkaBroker[];
  readonly #pool = new ConnectionPool('observer', { connectTimeout: 3_000, requestTimeout: requestTimeoutMs });

  constructor({ brokers }: KafkaCluster) {
    this.#brokers = brokers;
  }

  /** A connection to a broker that answers, for all that is known here. */
  #connection(except?: KafkaBroker): Promise<Connection> {
    const usable = this.#brokers.filter((broker) => broker !== except && broker.isRunning());
    return this.#pool.getFirstAvailable(usable.map(({ port }) => parseBroker(`127.0.0.1:${port}`)));
  }

  async #partitions(topic: string, except?: KafkaBroker) {
    return this.#partitionsSeenBy(await this.#connection(except), topic);
  }

  async #partitionsSeenBy(connection: Connection, topic: string) {
    const { topics } = await metadataV12.api.async(connection, [topic], false, false).catch(withoutLeaders);
    return [...(topics[0]?.partitions ?? [])].sort((a, b) => a.partitionIndex - b.partitionIndex);
  }

  async leaders(topic: string, except?: KafkaBroker): Promise<readonly number[]> {
    return (await this.#partitions(topic, except)).map((partition) => partition.leaderId);
  }

  /** Until all running brokers say so, and name the same leaders. */
  async untilAllInSync(...topics: readonly string[]): Promise<void> {
    const running = this.#brokers.filter((broker) => broker.isRunning());
    for (const topic of topics) {
      await waitFor(
        `all replicas of ${topic} to be in sync, as every broker sees it`,
        async () => {
          const seen = await Promise.all(running.map(async ({ port }) => this.#partitionsSeenBy(await this.#pool.get(parseBroker(`127.0.0.1:${port}`)), topic)));
          const isInSync = seen.flat().every(({ isrNodes, leaderId, replicaNodes }) => leaderId >= 0 && isrNodes.length === replicaNodes.length);
          const leaders = new Set(seen.map((partitions) => partitions.map(({ leaderId, leaderEpoch }) => `${leaderId}/${leaderEpoch}`).join()));
          return isInSync && leaders.size === 1 && !leaders.has('');
        },
        { timeoutMs: factTimeoutMs },
      );
    }
  }

  /** Makes the second replica of each partition the preferred one, and has the preferred ones elected. */
  async electOtherLeaders(topic: string): Promise<void> {
    const rotated = (await this.#partitions(topic)).map(({ partitionIndex, replicaNodes }) => ({ partitionIndex, replicas: [...replicaNodes.slice(1), replicaNodes[0]!] }));
    const connection = await this.#connection();
    await alterPartitionReassignmentsV0.api.async(connection, 10_000, false, [{ name: topic, partitions: rotated }]);
    await waitFor(
      'the elected leaders',
      async () => {
        const errorCode = await electLeadersV1.async(connection);
        if (errorCode !== 0 && errorCode !== electionNotNeeded) throw new Error(`election refused with ${errorCode}`);
        const leaders = await this.leaders(topic);
        return rotated.every(({ partitionIndex, replicas }) => leaders[partitionIndex] === replicas[0]);
      },
      { timeoutMs: factTimeoutMs },
    );
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }
}
