/** The controller as a process: settings from the environment, metrics and probes on their port, one leader of several. */
import { readSettings } from '@knative-kafka/common/core';
import { createKubernetesApi, createLogger, createRegistry, exitOnFailure, startMetricsServer, stopOnSignals } from '@knative-kafka/common/io';
import { settings } from './config.ts';
import { startController } from './start-controller.ts';

exitOnFailure(run());

async function run(): Promise<void> {
  const config = readSettings(settings, process.env);
  const log = createLogger('kafka-controller', config.logLevel);
  const registry = createRegistry();
  const api = createKubernetesApi({
    kubeconfig: config.kubeconfig,
    userAgent: 'knative-kafka-controller',
    fieldManager: 'kafka-controller',
    requestsPerSecond: config.requestsPerSecond,
    burst: 2 * config.requestsPerSecond,
  });
  const controller = startController(config, {
    api,
    registry,
    log,
    // Another one may lead by now: what is under way here must not be finished.
    onLost: () => process.exit(1),
  });
  const metricsServer = await startMetricsServer({ port: config.metricsPort, registry, readiness: () => ({ reasons: controller.notReady() }) });
  log.info({ metricsPort: metricsServer.port }, 'controller started');

  stopOnSignals({
    log,
    timeoutMs: 20_000,
    stop: async () => {
      await controller.stop();
      await api.close();
      await metricsServer.close();
    },
  });
}
