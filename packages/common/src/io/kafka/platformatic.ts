/**
 * The producer on @platformatic/kafka's protocol layer: one produce request per broker, with every partition in it.
 *
 * Its own Producer class is not used: it retries inside, by partition groups of its own choosing, which reorders
 * (docs/adr/0004), nor its encoder (produce-api.ts). Connections, authentication and response parsing are the library's.
 */
import { apiVersionsV3, metadataV12, type Connection } from '@platformatic/kafka';
import { Fault } from '../../core/fault.ts';
import type { ProduceResult, TopicMetadata } from '../../core/kafka-record.ts';
import type { PartitionBatch } from '../../core/record-batch.ts';
import { parseBroker, type BrokerAddress } from './broker-address.ts';
import { BrokerConnections } from './broker-connections.ts';
import { faultOf, faultOfErrorCode } from './faults.ts';
import type { ConnectionSource, KafkaConnection, Producer } from './port.ts';
import { produceApiKey, produceVersions, type ProduceApi, type ProduceResponse } from './produce-api.ts';

type MetadataResponse = metadataV12.MetadataResponse;

/** A metadata answer is small; a broker that needs longer is asked another time, and another broker now. */
const metadataTimeoutMs = 3_000;

export function createPlatformaticProducer(source: ConnectionSource): Producer {
  return new PlatformaticProducer(source);
}

class PlatformaticProducer implements Producer {
  readonly #source: ConnectionSource;
  readonly #produceConnections: BrokerConnections;
  readonly #metadataConnections: BrokerConnections;
  readonly #apis = new WeakMap<Connection, Promise<ProduceApi>>();
  #brokers = new Map<number, BrokerAddress>();
  /** The settings that `#brokers` were found by. */
  #options: KafkaConnection | undefined;
  #nextToAsk = 0;
  #isClosed = false;

  constructor(source: ConnectionSource) {
    this.#source = source;
    this.#produceConnections = new BrokerConnections(source, ({ requestTimeoutMs }) => requestTimeoutMs);
    this.#metadataConnections = new BrokerConnections(source, () => metadataTimeoutMs);
  }

  async ping(): Promise<void> {
    await this.#metadata([]);
  }

  async topicMetadata(topic: string): Promise<TopicMetadata> {
    const response = await this.#metadata([topic]);
    const found = response.topics.find((candidate) => candidate.name === topic);
    if (found === undefined) throw new Fault('KAFKA_PROTOCOL', `metadata of topic ${topic}: not in the answer`, { retriable: true });
    const leaders: number[] = Array.from({ length: found.partitions.length }, () => -1);
    for (const partition of found.partitions) leaders[partition.partitionIndex] = partition.leaderId;
    return { leaders };
  }

  async #metadata(topics: string[]): Promise<MetadataResponse> {
    if (this.#isClosed) throw closed();
    const doing = topics.length === 0 ? 'metadata of the cluster' : `metadata of topic ${topics.join(', ')}`;
    // All brokers answer for all topics: try each once, starting with the one that answered last.
    const candidates = this.#candidates();
    let fault: Fault | undefined;
    for (let tried = 0; tried < candidates.length; tried++) {
      const broker = candidates[(this.#nextToAsk + tried) % candidates.length]!;
      try {
        const response = await this.#metadataConnections.use(broker, (connection) => metadataV12.api.async(connection, topics, false, false).catch(usableMetadata));
        this.#nextToAsk = (this.#nextToAsk + tried) % candidates.length;
        this.#brokers = new Map(response.brokers.map((entry) => [entry.nodeId, { host: entry.host, port: entry.port }]));
        return response;
      } catch (error) {
        fault = faultOf(error, doing);
        if (fault.code === 'TOPIC_MISSING' || !fault.retriable) throw fault;
      }
    }
    throw fault ?? new Fault('KAFKA_UNAVAILABLE', `${doing}: no broker is known`, { retriable: true });
  }

  /** Other settings may mean other listeners: what was found by the former ones is of no use then. */
  #candidates(): readonly BrokerAddress[] {
    const options = this.#source();
    if (options !== this.#options) this.#brokers = new Map();
    this.#options = options;
    return [...this.#brokers.values(), ...options.brokers.map(parseBroker)];
  }

  async produce(leader: number, batches: readonly PartitionBatch[]): Promise<readonly ProduceResult[]> {
    const doing = `produce to broker ${leader}`;
    try {
      if (this.#isClosed) throw closed();
      const broker = this.#brokers.get(leader);
      if (broker === undefined) throw new Fault('KAFKA_UNAVAILABLE', `${doing}: it is not in the cluster's metadata`, { retriable: true });
      const { requestTimeoutMs } = this.#source();
      const response = await this.#produceConnections.use(broker, async (connection) => {
        const api = await this.#produceApi(connection);
        return api.async(connection, requestTimeoutMs, batches);
      });
      return resultsOf(batches, response, doing);
    } catch (error) {
      // One partition that failed makes the library reject; the response inside still tells each partition's own result.
      const response = (error as { readonly response?: ProduceResponse }).response;
      if (response !== undefined) return resultsOf(batches, response, doing);
      const fault = faultOf(error, doing);
      return batches.map(() => ({ fault }));
    }
  }

  #produceApi(connection: Connection): Promise<ProduceApi> {
    let api = this.#apis.get(connection);
    if (api === undefined) {
      api = chooseProduceApi(connection);
      api.catch(() => this.#apis.delete(connection));
      this.#apis.set(connection, api);
    }
    return api;
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.#produceConnections.close();
    this.#metadataConnections.close();
    return Promise.resolve();
  }
}

/** A partition without a leader makes the library reject the whole answer; for the other partitions it is a good one. */
export function usableMetadata(error: unknown): MetadataResponse {
  const { response } = error as { readonly response?: MetadataResponse };
  if (response !== undefined && response.topics.every((topic) => topic.errorCode === 0)) return response;
  throw error;
}

async function chooseProduceApi(connection: Connection): Promise<ProduceApi> {
  const { apiKeys } = await apiVersionsV3.api.async(connection, 'knative-kafka', '0');
  const range = apiKeys.find((entry) => entry.apiKey === produceApiKey);
  const chosen = produceVersions.find(({ version }) => range !== undefined && version >= range.minVersion && version <= range.maxVersion);
  if (chosen === undefined) throw new Fault('KAFKA_REFUSED', 'the broker speaks no produce version of ours', { retriable: false });
  return chosen;
}

/** What the response says of each batch (rule P4). */
export function resultsOf(batches: readonly PartitionBatch[], response: ProduceResponse, doing: string): readonly ProduceResult[] {
  return batches.map(({ topic, partition }): ProduceResult => {
    const answer = response.responses.find((entry) => entry.name === topic)?.partitionResponses.find((entry) => entry.index === partition);
    if (answer !== undefined && answer.errorCode !== 0) return { fault: faultOfErrorCode(answer.errorCode, `${doing}, ${topic}/${partition}`, answer.errorMessage ?? undefined) };
    if (answer !== undefined && answer.baseOffset >= 0n) return { baseOffset: answer.baseOffset };
    // What the response does not name has not been stored, whatever the rest of it says.
    return { fault: new Fault('KAFKA_PROTOCOL', `${doing}: ${topic}/${partition} is missing in the response`, { retriable: true }) };
  });
}

function closed(): Fault {
  return new Fault('CLOSED', 'the producer is closed', { retriable: false });
}
