/** The receiver as a process: settings from the environment, metrics and probes on their port, drain on SIGTERM. */
import { readSettings } from '@knative-kafka/common/core';
import { createKafkaClient, createLogger, createRegistry, exitOnFailure, openResources, startMetricsServer, stopOnSignals } from '@knative-kafka/common/io';
import { settings } from './config.ts';
import { startReceiver } from './start-receiver.ts';

exitOnFailure(run());

async function run(): Promise<void> {
  const config = readSettings(settings, process.env);
  const log = createLogger('channel-receiver', config.logLevel);
  const registry = createRegistry();
  const resources = await openResources({ dir: config.resourcesDir, clusterDomain: config.clusterDomain, log });
  const kafka = createKafkaClient(
    { brokers: config.kafkaBrokers, clientId: 'knative-kafka-receiver', requestTimeoutMs: config.kafkaRequestTimeoutMs, connectTimeoutMs: config.kafkaConnectTimeoutMs },
    config.kafkaClient,
  );
  const receiver = await startReceiver(config, { resources, kafka, registry, log });
  const metricsServer = await startMetricsServer({ port: config.metricsPort, registry, readiness: () => ({ reasons: receiver.notReady() }) });

  stopOnSignals({
    log,
    timeoutMs: config.shutdownDelayMs + config.drainTimeoutMs + 5_000,
    stop: async () => {
      await receiver.stop();
      await resources.close();
      await metricsServer.close();
    },
  });
}
