/**
 * A cluster in which KafkaSources are delivered: the controller, dispatcher processes under the names of the pods, and
 * somebody who writes into the topics.
 */
import { createKafkaClient, type Producer } from '@knative-kafka/common/io';
import type { Service, Subscriber } from '../local/harness.ts';
import { ClusterWorld, kafkaSource, type ClusterObject } from './cluster-world.ts';
import { SourcePods } from './source-pods.ts';

export interface SourceWorld {
  readonly world: ClusterWorld;
  /** The first one; tests may put others in its place. */
  readonly controller: Service;
  readonly pods: SourcePods;
  readonly producer: Producer;
  /** A KafkaSource in the namespace default, of the topic of its own name unless its spec says otherwise. */
  readonly source: (name: string, subscriber: Subscriber, spec?: object) => ClusterObject;
  stop(): Promise<void>;
}

/** @param env of the controller */
export async function startSourceWorld(env: Readonly<Record<string, string>>): Promise<SourceWorld> {
  const world = await ClusterWorld.start();
  const controller = await world.controller({ env });
  const pods = new SourcePods(world);
  const { bootstrap } = world.kafka;
  const producer = createKafkaClient({ brokers: bootstrap.split(','), clientId: 'e2e', requestTimeoutMs: 10_000, connectTimeoutMs: 3_000 }).createProducer();
  return {
    world,
    controller,
    pods,
    producer,
    source: (name, subscriber, spec = {}) => kafkaSource(name, { bootstrapServers: [bootstrap], topics: [name], sink: { uri: subscriber.uri }, ...spec }),
    stop: async () => {
      await producer.close();
      await pods.stop();
      await world.stop();
    },
  };
}
