/** The dispatcher as a process: settings from the environment, metrics and probes on their port, drain on SIGTERM. */
import { featuresConfigMap, loggingConfigMap, sourceDataPlaneConfigMap, type ResourceName } from '@knative-kafka/common/core';
import { createKafkaClient, createLogger, createRegistry, exitOnFailure, followLogLevel, giveMemoryBackAtRest, openConnectionSource, openResources, startMetricsServer, stopOnSignals, type Logger, type OpenConnectionSource, type ServedResources } from '@knative-kafka/common/io';
import { readDispatcherSettings, type DispatcherConfig } from './config.ts';
import { startDispatcher } from './start-dispatcher.ts';

exitOnFailure(run());

async function run(): Promise<void> {
  const config = readDispatcherSettings(process.env);
  const log = createLogger('dispatcher', config.logLevel);
  const registry = createRegistry();
  const servesSources = config.serves === 'sources';
  const connection = servesSources ? undefined : await openChannelConnection(config, log);
  const kafka = connection === undefined ? undefined : createKafkaClient(connection.current, 'platformatic', config.consumerClient, log);
  const resources = await openResources({
    dir: config.resourcesDir,
    clusterDomain: config.clusterDomain,
    served: servedResources(config),
    userAgent: servesSources ? 'kafka-source-dispatcher' : 'kafka-channel-dispatcher',
    log,
  });
  followLogLevel(resources, { service: servesSources ? 'source-dispatcher' : 'dispatcher', startLevel: config.logLevel, systemNamespace: config.systemNamespace, log });
  const dispatcher = startDispatcher(config, { resources, kafka, servesSources, registry, log });
  const metricsServer = await startMetricsServer({ port: config.metricsPort, registry, readiness: () => ({ reasons: dispatcher.notReady() }) });
  giveMemoryBackAtRest();
  log.info({ metricsPort: metricsServer.port }, 'dispatcher started');

  stopOnSignals({
    log,
    timeoutMs: config.drainTimeoutMs + 5_000,
    stop: async () => {
      await dispatcher.stop();
      await resources.close();
      connection?.close();
      await metricsServer.close();
    },
  });
}

function openChannelConnection(config: DispatcherConfig, log: Logger): Promise<OpenConnectionSource> {
  return openConnectionSource({
    brokers: config.kafkaBrokers,
    secretDir: config.kafkaSecretDir,
    clientId: 'knative-kafka-dispatcher',
    requestTimeoutMs: config.kafkaRequestTimeoutMs,
    connectTimeoutMs: config.kafkaConnectTimeoutMs,
    log,
  });
}

function servedResources({ serves, channel, kafkaSecret, systemNamespace }: DispatcherConfig): ServedResources {
  const inSystem = (...names: readonly string[]): readonly ResourceName[] => names.map((name) => ({ namespace: systemNamespace, name }));
  if (serves === 'sources') {
    const configMaps = inSystem(featuresConfigMap, loggingConfigMap, sourceDataPlaneConfigMap);
    return { channel: undefined, kafkaSecret: undefined, withChannels: false, withSubscriptions: false, withSources: true, configMaps };
  }
  return { channel: channel === undefined ? undefined : nameOf(channel), kafkaSecret, withSubscriptions: true, configMaps: inSystem(featuresConfigMap, loggingConfigMap) };
}

/** Of `namespace/name`, which the settings have checked. */
function nameOf(key: string): ResourceName {
  const slash = key.indexOf('/');
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
