/** The dispatcher as a process: settings from the environment, metrics and probes on their port, drain on SIGTERM. */
import { readSettings } from '@knative-kafka/common/core';
import { createKafkaClient, createLogger, createRegistry, exitOnFailure, openResources, startMetricsServer, stopOnSignals } from '@knative-kafka/common/io';
import { settings } from './config.ts';
import { startDispatcher } from './start-dispatcher.ts';

exitOnFailure(run());

async function run(): Promise<void> {
  const config = readSettings(settings, process.env);
  const log = createLogger('dispatcher', config.logLevel);
  const registry = createRegistry();
  const resources = await openResources({ dir: config.resourcesDir, clusterDomain: config.clusterDomain, log });
  const connection = {
    brokers: config.kafkaBrokers,
    clientId: 'knative-kafka-dispatcher',
    requestTimeoutMs: config.kafkaRequestTimeoutMs,
    connectTimeoutMs: config.kafkaConnectTimeoutMs,
  };
  const kafka = createKafkaClient(connection, 'platformatic', config.consumerClient, log);
  const dispatcher = startDispatcher(config, { resources, kafka, registry, log });
  const metricsServer = await startMetricsServer({ port: config.metricsPort, registry, readiness: () => ({ reasons: dispatcher.notReady() }) });
  log.info({ metricsPort: metricsServer.port }, 'dispatcher started');

  stopOnSignals({
    log,
    timeoutMs: config.drainTimeoutMs + 5_000,
    stop: async () => {
      await dispatcher.stop();
      await resources.close();
      await metricsServer.close();
    },
  });
}
