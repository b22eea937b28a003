/**
 * The receiver as one thing that starts and drains: what main.ts runs in a pod and standalone beside a dispatcher.
 */
import type { Express } from 'express';
import { ByteBudget, Fault, ProducePump } from '@knative-kafka/common/core';
import { watchKafka, type KafkaClient, type Logger, type Registry, type ResourceSource } from '@knative-kafka/common/io';
import type { ReceiverConfig } from './config.ts';
import { watchChannels } from './io/channel-lookup.ts';
import { startIngestServer } from './io/ingest-server.ts';
import { createReceiverMetrics } from './io/receiver-metrics.ts';
import { Receive } from './receive.ts';

export type ReceiverOptions = Pick<
  ReceiverConfig,
  'httpPort' | 'fastLane' | 'clusterDomain' | 'produceDeadlineMs' | 'produceLingerMs' | 'queueLimitBytes' | 'batchBodyLimitBytes' | 'headerLimitBytes' | 'requestTimeoutMs' | 'maxConnections' | 'shutdownDelayMs' | 'drainTimeoutMs'
>;

export interface ReceiverParts {
  readonly resources: ResourceSource;
  readonly kafka: KafkaClient;
  readonly registry: Registry;
  readonly log: Logger;
  /** More routes beside the events: the status page of the standalone mode. */
  readonly extend?: (app: Express) => void;
}

export interface RunningReceiver {
  readonly port: number;
  /** Why it is not ready; nothing when it is. */
  notReady(): readonly string[];
  /** Not ready, then no new connections, then an answer for all that is under way, then closed. */
  stop(): Promise<void>;
}

const pumpLimits = {
  batchBytes: 1_000_000,
  requestBytes: 8 * 1024 * 1024,
  retryDelayMs: { first: 50, last: 1_000 },
  metadataMaxAgeMs: 30_000,
};

export async function startReceiver(options: ReceiverOptions, { resources, kafka, registry, log, extend }: ReceiverParts): Promise<RunningReceiver> {
  const producer = kafka.createProducer();
  const admin = kafka.createAdmin();
  const health = watchKafka(producer, log);
  const budget = new ByteBudget(options.queueLimitBytes);
  const nowMs = (): number => performance.now();
  const pump = new ProducePump(
    {
      topicMetadata: (topic) => producer.topicMetadata(topic),
      produce: (leader, batches) => producer.produce(leader, batches),
      now: nowMs,
      after: (delayMs, run) => void setTimeout(run, delayMs),
      defer: (run) => void setImmediate(run),
    },
    { ...pumpLimits, lingerMs: options.produceLingerMs },
  );
  const channels = watchChannels({
    resources,
    admin,
    log,
    clusterDomain: options.clusterDomain,
    onLimit: (topic, maxMessageBytes) => pump.limitBatches(topic, maxMessageBytes),
  });
  const receive = new Receive({ pump, budget, kafka: health, addresses: () => channels.addresses(), wallClockMs: Date.now, nowMs, random: Math.random }, options);

  let isStopping = false;
  const notReady = (): readonly string[] => {
    const reasons: string[] = [];
    if (isStopping) reasons.push('shutting down');
    if (!resources.isSynced()) reasons.push('the resources have not been read yet');
    if (!health.isUp()) reasons.push(health.reason() ?? 'Kafka does not answer');
    return reasons;
  };
  const server = await startIngestServer({
    ...options,
    ...createReceiverMetrics(registry, pump, budget),
    fastLane: options.fastLane === 'on',
    port: options.httpPort,
    receive,
    log,
    extend,
    readiness: () => ({ reasons: notReady() }),
  });
  log.info({ port: server.port }, 'receiver started');

  return {
    port: server.port,
    notReady,
    stop: async () => {
      isStopping = true;
      server.retire();
      await delay(options.shutdownDelayMs);
      const late = Promise.withResolvers<undefined>();
      const giveUp = setTimeout(() => {
        pump.abandon(new Fault('CLOSED', 'the receiver is shutting down', { retriable: true }));
        // After the answers that follow from it: then only senders are left that do not get done, or wait for a Kafka that does not.
        setImmediate(() => {
          server.cut();
          late.resolve(undefined);
        });
      }, options.drainTimeoutMs);
      // Events whose senders went away are stored all the same.
      await Promise.race([server.drain().then(() => pump.drained()), late.promise]);
      clearTimeout(giveUp);
      health.close();
      channels.close();
      await Promise.allSettled([producer.close(), admin.close()]);
    },
  };
}

function delay(ms: number): Promise<void> {
  return ms === 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms));
}
