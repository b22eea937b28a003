/**
 * What the group members of one client share: who leads, who coordinates, and connections for short questions.
 *
 * Hundreds of members may run in one process. Heartbeats and commits of all of them go over a few connections to each
 * coordinator, and members that ask the same thing at the same time ask once. Only fetches, which a broker holds open,
 * have connections of their own (partition-fetcher.ts).
 *
 * Always true: requests of one group reach its coordinator in the order in which they were made, because they share a
 * connection; when nobody holds it any more, no connection is open.
 */
import {
  apiVersionsV3,
  consumerGroupHeartbeatV0,
  consumerGroupHeartbeatV1,
  findCoordinatorV4,
  metadataV12,
  type Connection,
} from '@platformatic/kafka';
import { Fault } from '../../core/fault.ts';
import { stableHash } from '../../core/stable-hash.ts';
import type { Logger } from '../logger.ts';
import { parseBroker, type BrokerAddress } from './broker-address.ts';
import { brokerAnswer, faultOf } from './faults.ts';
import { fetchVersion } from './fetch-api.ts';
import { LastingConnection } from './lasting-connection.ts';
import { latestLeaders, type TopicLeaders } from './partition-leaders.ts';
import { usableMetadata } from './platformatic.ts';
import type { ConnectionSource, KafkaConnection } from './port.ts';

export interface Broker extends BrokerAddress {
  readonly id: number;
}

export interface PartitionLeader {
  readonly broker: Broker;
  /** Goes with requests to the leader, which refuses those that are meant for another one. */
  readonly epoch: number;
}

export type HeartbeatApi = typeof consumerGroupHeartbeatV1.api;

interface Coordinator extends BrokerAddress {
  readonly lane: number;
}

/** All that is asked here is answered at once by a broker that is well; another one is asked after this. */
const answerTimeoutMs = 5_000;
/**
 * Connections to one coordinator: it takes the requests of one connection one after the other, and a commit costs some
 * milliseconds there.
 */
const coordinatorLanes = 4;
/** However many partitions miss their leader, a topic's metadata is asked for this often. */
const metadataIntervalMs = 100;

const groupKey = 0;
const heartbeatApiKey = 68;
/** What a group of the new protocol needs beside the heartbeat, by API key: fetch, offset commit and offset fetch with member epochs. */
const neededVersions = [[1, fetchVersion], [8, 9], [9, 9]] as const;

export class ClusterConnections {
  readonly #source: ConnectionSource;
  readonly #log: Logger | undefined;
  readonly #connections = new Map<string, LastingConnection>();
  readonly #coordinators = new Map<string, Coordinator>();
  readonly #lookups = new Map<string, { readonly at: number; readonly done: Promise<void> }>();
  readonly #leaders = new Map<string, TopicLeaders>();
  /** All that were ever told, by id; the same object for as long as the address is the same. */
  readonly #known = new Map<number, Broker>();
  #brokers: readonly Broker[] = [];
  /** The bootstrap servers that all this was found by, joined. */
  #foundBy: string | undefined;
  /** Settings of which it was told that they open no connection. */
  #toldRefused: KafkaConnection | undefined;
  #heartbeatApi: Promise<HeartbeatApi | undefined> | undefined;
  #nextToAsk = 0;
  #holders = 0;

  /** @param log for settings that changed and open no connection */
  constructor(source: ConnectionSource, log?: Logger) {
    this.#source = source;
    this.#log = log;
  }

  /** Whoever asks anything holds it meanwhile. @returns lets go; again is harmless */
  hold(): () => void {
    this.#holders++;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      if (--this.#holders === 0) this.#closeAll();
    };
  }

  /**
   * The heartbeat in the version that the cluster speaks; undefined where it does not know the new group protocol. A
   * cluster that knows it may still have it switched off, which the first heartbeat tells.
   */
  heartbeatApi(): Promise<HeartbeatApi | undefined> {
    this.#heartbeatApi ??= this.anyBroker('versions of the cluster', askHeartbeatApi).then(
      (api) => {
        if (api === undefined) this.#heartbeatApi = undefined; // brokers are upgraded while their clients run
        return api;
      },
      (error: unknown) => {
        this.#heartbeatApi = undefined;
        throw error;
      },
    );
    return this.#heartbeatApi;
  }

  /** Leaders by partition, as of now; without those partitions that have none. Never earlier ones than were returned before. */
  async topicLeaders(topic: string): Promise<ReadonlyMap<number, PartitionLeader>> {
    await this.#lookUp(topic);
    const found = new Map<number, PartitionLeader>();
    for (const [partition, { brokerId, epoch }] of this.#leaders.get(topic)?.leaders ?? []) {
      const broker = this.#known.get(brokerId);
      if (broker !== undefined) found.set(partition, { broker, epoch });
    }
    return found;
  }

  /** The ids of those topics that exist, as far as brokers tell, and their names. */
  async topicNames(topics: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    const lookUp = async (topic: string): Promise<void> => {
      await this.#lookUp(topic);
      const { topicId } = this.#leaders.get(topic) ?? {};
      if (topicId !== undefined) found.set(topicId, topic);
    };
    await Promise.allSettled(topics.map(lookUp)); // one that is missing keeps no other away
    return found;
  }

  async #lookUp(topic: string): Promise<void> {
    const last = this.#lookups.get(topic);
    const now = performance.now();
    if (last !== undefined && now - last.at < metadataIntervalMs) return last.done;
    const done = this.#lookUpLeaders(topic);
    this.#lookups.set(topic, { at: now, done });
    return done;
  }

  async #lookUpLeaders(topic: string): Promise<void> {
    const answer = await this.anyBroker(`metadata of topic ${topic}`, (connection) => metadataV12.api.async(connection, [topic], false, false).catch(usableMetadata));
    this.#brokers = answer.brokers.map(({ nodeId, host, port }) => this.#broker(nodeId, host, port));
    const found = answer.topics.find(({ name }) => name === topic);
    if (found === undefined) throw new Fault('KAFKA_PROTOCOL', `metadata of topic ${topic}: not in the answer`, { retriable: true });
    const told = new Map(found.partitions.map(({ partitionIndex, leaderId, leaderEpoch }) => [partitionIndex, { brokerId: leaderId, epoch: leaderEpoch }]));
    const { latest, isStale } = latestLeaders(this.#leaders.get(topic), { topicId: found.topicId, leaders: told });
    this.#leaders.set(topic, latest);
    if (isStale) this.#nextToAsk++; // another one knows more
  }

  #broker(id: number, host: string, port: number): Broker {
    const known = this.#known.get(id);
    if (known?.host === host && known.port === port) return known;
    const broker = { id, host, port };
    this.#known.set(id, broker);
    return broker;
  }

  /** Asks the coordinator of a group. All requests of a group reach it in the order in which they were made. */
  async askCoordinator<T>(groupId: string, call: (connection: Connection) => Promise<T>): Promise<T> {
    this.#followBrokers();
    let coordinator = this.#coordinators.get(groupId);
    if (coordinator === undefined) {
      const { coordinators } = await this.anyBroker(`coordinator of consumer group ${groupId}`, (connection) => findCoordinatorV4.api.async(connection, groupKey, [groupId]));
      const found = coordinators[0];
      if (found === undefined) throw new Fault('KAFKA_PROTOCOL', `coordinator of consumer group ${groupId}: not in the answer`, { retriable: true });
      coordinator = { host: found.host, port: found.port, lane: laneOf(groupId) };
      this.#coordinators.set(groupId, coordinator);
    }
    return this.ask(coordinator, call, coordinator.lane);
  }

  /** The coordinator did not answer, or answered that it is none: the next request finds it anew. */
  forgetCoordinator(groupId: string): void {
    this.#coordinators.delete(groupId);
  }

  /** A request that all brokers can answer: each is tried once, beginning with the one that answered last. */
  async anyBroker<T>(doing: string, call: (connection: Connection) => Promise<T>): Promise<T> {
    const candidates = this.#candidates();
    let fault: Fault | undefined;
    for (let tried = 0; tried < candidates.length; tried++) {
      const broker = candidates[(this.#nextToAsk + tried) % candidates.length]!;
      try {
        const answer = await this.ask(broker, call);
        this.#nextToAsk = (this.#nextToAsk + tried) % candidates.length;
        return answer;
      } catch (error) {
        fault = faultOf(error, doing);
        if (brokerAnswer(error) !== undefined || fault.code === 'CLOSED') throw fault;
      }
    }
    this.#nextToAsk++; // not always the same one first when none answers
    throw fault ?? new Fault('KAFKA_UNAVAILABLE', `${doing}: no broker is known`, { retriable: true });
  }

  #candidates(): readonly BrokerAddress[] {
    this.#followBrokers();
    return [...this.#brokers, ...this.#source().brokers.map(parseBroker)];
  }

  /**
   * The bootstrap servers, as one text. Others mean other listeners, or another cluster: what was found by the former
   * ones is of no use then. Undefined while nobody knows how to reach the cluster.
   */
  bootstrap(): string | undefined {
    try {
      return this.#source().brokers.join(',');
    } catch {
      return undefined;
    }
  }

  #followBrokers(): void {
    const bootstrap = this.bootstrap();
    if (bootstrap === undefined || bootstrap === this.#foundBy) return;
    if (this.#foundBy !== undefined) this.#forgetAll();
    this.#foundBy = bootstrap;
  }

  /**
   * Asks one broker over a connection that is shared. For short questions.
   *
   * Rejects with what the library says where there is no connection, and with what the call rejects with.
   */
  async ask<T>({ host, port }: BrokerAddress, call: (connection: Connection) => Promise<T>, lane = 0): Promise<T> {
    if (this.#holders === 0) throw new Fault('CLOSED', 'nobody holds the connections any more', { retriable: false });
    const key = `${host}:${port}/${lane}`;
    let connection = this.#connections.get(key);
    if (connection === undefined) this.#connections.set(key, (connection = this.lasting({ host, port }, ({ requestTimeoutMs }) => Math.min(answerTimeoutMs, requestTimeoutMs))));
    return connection.use(call);
  }

  /** A connection for whoever asks long questions: not shared, the caller closes it. */
  lasting(address: BrokerAddress, requestTimeoutMs: (settings: KafkaConnection) => number): LastingConnection {
    return new LastingConnection({ source: this.#source, address, requestTimeoutMs, onRefused: (fault, settings) => this.#onRefused(fault, settings) });
  }

  /** Each connection finds out for itself; it is told once. */
  #onRefused(fault: Fault, settings: KafkaConnection): void {
    if (settings === this.#toldRefused) return;
    this.#toldRefused = settings;
    this.#log?.error({ err: fault }, 'how to reach Kafka has changed, and it opens no connection; those that are open go on');
  }

  #closeAll(): void {
    this.#forgetAll();
    this.#foundBy = undefined;
  }

  #forgetAll(): void {
    for (const connection of this.#connections.values()) connection.close();
    this.#connections.clear();
    this.#brokers = [];
    this.#heartbeatApi = undefined;
    this.#coordinators.clear();
    this.#lookups.clear();
    this.#leaders.clear();
  }
}

/** Always the same for a group, however often its coordinator is found anew. */
function laneOf(groupId: string): number {
  return Number.parseInt(stableHash(groupId).slice(-4), 16) % coordinatorLanes;
}

async function askHeartbeatApi(connection: Connection): Promise<HeartbeatApi | undefined> {
  const { apiKeys } = await apiVersionsV3.api.async(connection, 'knative-kafka', '0');
  const speaks = (key: number, version: number): boolean => apiKeys.some(({ apiKey, minVersion, maxVersion }) => apiKey === key && minVersion <= version && version <= maxVersion);
  if (!neededVersions.every(([key, version]) => speaks(key, version))) return undefined;
  if (speaks(heartbeatApiKey, 1)) return consumerGroupHeartbeatV1.api;
  return speaks(heartbeatApiKey, 0) ? consumerGroupHeartbeatV0.api : undefined;
}
