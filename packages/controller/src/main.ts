/** The controller as a process: settings from the environment, metrics and probes on their port, one leader of several. */
import { readSettings } from '@knative-kafka/common/core';
import { createKubernetesApi, createLogger, createRegistry, exitOnFailure, giveMemoryBackAtRest, startMetricsServer, stopOnSignals } from '@knative-kafka/common/io';
import { settings } from './config.ts';
import { startController } from './start-controller.ts';

exitOnFailure(run());

async function run(): Promise<void> {
  const config = readSettings(settings, process.env);
  const log = createLogger('kafka-controller', config.logLevel);
  const registry = createRegistry();
  const identity = { kubeconfig: config.kubeconfig, userAgent: 'knative-kafka-controller', fieldManager: 'kafka-controller' };
  const api = createKubernetesApi({ ...identity, requestsPerSecond: config.requestsPerSecond, burst: 2 * config.requestsPerSecond });
  const leaseApi = createKubernetesApi(identity);
  const eventRate = Math.max(1, Math.round(config.requestsPerSecond / 5));
  const eventApi = createKubernetesApi({ ...identity, requestsPerSecond: eventRate, burst: 2 * eventRate });
  const controller = startController(config, { api, leaseApi, eventApi, registry, log });
  const metricsServer = await startMetricsServer({ port: config.metricsPort, registry, readiness: () => ({ reasons: controller.notReady() }) });
  giveMemoryBackAtRest();
  log.info({ metricsPort: metricsServer.port }, 'controller started');

  stopOnSignals({
    log,
    timeoutMs: 20_000,
    stop: async () => {
      await controller.stop();
      await Promise.all([api.close(), leaseApi.close(), eventApi.close()]);
      await metricsServer.close();
    },
  });
}
