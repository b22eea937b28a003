/** The dispatcher as a process: settings from the environment, metrics and probes on their port, drain on SIGTERM. */
import { featuresConfigMap, readSettings, type ResourceName } from '@knative-kafka/common/core';
import { createKafkaClient, createLogger, createRegistry, exitOnFailure, openConnectionSource, openResources, startMetricsServer, stopOnSignals } from '@knative-kafka/common/io';
import { settings } from './config.ts';
import { startDispatcher } from './start-dispatcher.ts';

exitOnFailure(run());

async function run(): Promise<void> {
  const config = readSettings(settings, process.env);
  const log = createLogger('dispatcher', config.logLevel);
  const registry = createRegistry();
  const connection = await openConnectionSource({
    brokers: config.kafkaBrokers,
    secretDir: config.kafkaSecretDir,
    clientId: 'knative-kafka-dispatcher',
    requestTimeoutMs: config.kafkaRequestTimeoutMs,
    connectTimeoutMs: config.kafkaConnectTimeoutMs,
    log,
  });
  const kafka = createKafkaClient(connection.current, 'platformatic', config.consumerClient, log);
  const resources = await openResources({
    dir: config.resourcesDir,
    clusterDomain: config.clusterDomain,
    served: {
      channel: config.channel === undefined ? undefined : nameOf(config.channel),
      kafkaSecret: config.kafkaSecret,
      withSubscriptions: true,
      configMaps: [{ namespace: config.systemNamespace, name: featuresConfigMap }],
    },
    userAgent: 'kafka-channel-dispatcher',
    log,
  });
  const dispatcher = startDispatcher(config, { resources, kafka, registry, log });
  const metricsServer = await startMetricsServer({ port: config.metricsPort, registry, readiness: () => ({ reasons: dispatcher.notReady() }) });
  log.info({ metricsPort: metricsServer.port }, 'dispatcher started');

  stopOnSignals({
    log,
    timeoutMs: config.drainTimeoutMs + 5_000,
    stop: async () => {
      await dispatcher.stop();
      await resources.close();
      connection.close();
      await metricsServer.close();
    },
  });
}

/** Of `namespace/name`, which the settings have checked. */
function nameOf(key: string): ResourceName {
  const slash = key.indexOf('/');
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
