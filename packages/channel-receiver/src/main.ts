/** The receiver as a process: settings from the environment, metrics and probes on their port, drain on SIGTERM. */
import { loggingConfigMap, readSettings } from '@knative-kafka/common/core';
import { createKafkaClient, createLogger, createRegistry, exitOnFailure, followLogLevel, giveMemoryBackAtRest, openConnectionSource, openResources, startMetricsServer, stopOnSignals } from '@knative-kafka/common/io';
import { settings } from './config.ts';
import { startReceiver } from './start-receiver.ts';

/** All channels, whoever subscribes to them; one that is being deleted takes no more events. */
const servedChannels = { channel: undefined, withSubscriptions: false } as const;

exitOnFailure(run());

async function run(): Promise<void> {
  const config = readSettings(settings, process.env);
  const log = createLogger('channel-receiver', config.logLevel);
  const registry = createRegistry();
  const connection = await openConnectionSource({
    brokers: config.kafkaBrokers,
    secretDir: config.kafkaSecretDir,
    clientId: 'knative-kafka-receiver',
    requestTimeoutMs: config.kafkaRequestTimeoutMs,
    connectTimeoutMs: config.kafkaConnectTimeoutMs,
    log,
  });
  const kafka = createKafkaClient(connection.current, config.kafkaClient);
  const resources = await openResources({
    dir: config.resourcesDir,
    clusterDomain: config.clusterDomain,
    served: { ...servedChannels, kafkaSecret: config.kafkaSecret, configMaps: [{ namespace: config.systemNamespace, name: loggingConfigMap }] },
    userAgent: 'kafka-channel-receiver',
    log,
  });
  followLogLevel(resources, { service: 'channel-receiver', startLevel: config.logLevel, systemNamespace: config.systemNamespace, log });
  const receiver = await startReceiver(config, { resources, kafka, registry, log });
  const metricsServer = await startMetricsServer({ port: config.metricsPort, registry, readiness: () => ({ reasons: receiver.notReady() }) });
  giveMemoryBackAtRest();

  stopOnSignals({
    log,
    timeoutMs: config.shutdownDelayMs + config.drainTimeoutMs + 5_000,
    stop: async () => {
      await receiver.stop();
      await resources.close();
      connection.close();
      await metricsServer.close();
    },
  });
}
