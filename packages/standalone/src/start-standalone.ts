/**
 * The whole event path in one process: receiver, dispatcher and the channel part of the controller on one folder of
 * manifests, with an event display to see something arrive.
 */
import { mkdirSync, createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { receiverSettings, startReceiver } from '@knative-kafka/channel-receiver';
import { readSettings, resourceKey, type LoggedService, type ManifestProblem } from '@knative-kafka/common/core';
import { createKafkaClient, createLogger, createRegistry, followLogLevel, openManifests, type Logger } from '@knative-kafka/common/io';
import { dispatcherSettings, startDispatcher } from '@knative-kafka/dispatcher';
import type { StartOptions } from './config.ts';
import { consumerGroupNotJoined, readyOf, readyText, type ResourceStatus } from './core/resource-status.ts';
import { startEventDisplay } from './io/event-display.ts';
import { startOwnKafka } from './io/own-kafka.ts';
import { addStatusPage } from './io/status-page.ts';
import { table, type Terminal } from './io/terminal.ts';
import { LocalReconciler } from './reconcile-locally.ts';

export interface RunningStandalone {
  /** Drains, commits, and stops what was started. */
  stop(): Promise<void>;
}

/** Together, and with Kafka's own end, less than the ten seconds that Ctrl-C may take. */
const drainTimes = { receiver: { drainTimeoutMs: 3_000 }, dispatcher: { drainTimeoutMs: 4_000 } };

/** @param home the clone's folder, with its docker-compose.yml */
export async function startStandalone(options: StartOptions, home: string, env: Readonly<Record<string, string | undefined>>, terminal: Terminal): Promise<RunningStandalone> {
  const logFolder = join(options.dataDir, 'log');
  mkdirSync(logFolder, { recursive: true });
  const logFile = createWriteStream(join(logFolder, 'standalone.log'), { flags: 'a' });

  const ownKafka = options.kafkaBrokers === undefined ? await startOwnKafka(home, options.dataDir, { onProgress: (text) => terminal.progress(text), onEnded: (text) => terminal.warn(text) }) : undefined;
  const brokers = ownKafka?.brokers ?? options.kafkaBrokers ?? [];
  const stops: (() => Promise<void> | void)[] = [];
  const stop = async (): Promise<void> => {
    for (const step of stops.reverse()) await step();
    await ownKafka?.stop();
    logFile.end();
  };
  try {
    const kafkaEnv = { ...env, KAFKA_BROKERS: brokers.join(',') };
    const receiverConfig = { ...readSettings(receiverSettings, kafkaEnv), ...drainTimes.receiver, httpPort: options.httpPort };
    const dispatcherConfig = { ...readSettings(dispatcherSettings, kafkaEnv), ...drainTimes.dispatcher };
    const { systemNamespace, logLevel: startLevel } = dispatcherConfig;
    // Each part under the name that it has in a cluster, so that the same ConfigMap says how much it logs.
    const logOf = (service: LoggedService): Logger => createLogger(service, startLevel, (line) => logFile.write(line));
    const [log, receiverLog, dispatcherLog] = [logOf('controller'), logOf('channel-receiver'), logOf('dispatcher')];
    const channelUrl = (channel: { readonly namespace: string; readonly name: string }): string => `http://127.0.0.1:${receiverConfig.httpPort}/${resourceKey(channel)}`;
    const resources = await openManifests({ dir: options.manifestsDir, clusterDomain: receiverConfig.clusterDomain, channelUrl, log });
    stops.push(() => resources.close());
    const levels = { startLevel, systemNamespace };
    followLogLevel(resources, { ...levels, service: 'controller', log });
    followLogLevel(resources, { ...levels, service: 'channel-receiver', log: receiverLog });
    followLogLevel(resources, { ...levels, service: 'dispatcher', log: dispatcherLog });
    const connection = { brokers, clientId: 'knative-kafka', requestTimeoutMs: receiverConfig.kafkaRequestTimeoutMs, connectTimeoutMs: receiverConfig.kafkaConnectTimeoutMs };
    const kafka = createKafkaClient(connection, receiverConfig.kafkaClient, dispatcherConfig.consumerClient, dispatcherLog);
    const registry = createRegistry();

    if (options.displayPort !== 0) {
      const display = await startEventDisplay(options.displayPort, terminal);
      stops.push(() => display.close());
    }
    const dispatcher = startDispatcher(dispatcherConfig, { resources, kafka, servesSources: true, registry, log: dispatcherLog });
    stops.push(() => dispatcher.stop());
    const kafkaText = `${brokers.join(',')}${ownKafka === undefined ? '' : ` (${ownKafka.description})`}`;
    const receiver = await startReceiver(receiverConfig, {
      resources,
      kafka,
      registry,
      log: receiverLog,
      extend: (app) =>
        addStatusPage(app, () => ({
          kafka: `Kafka ${kafkaText}`,
          resources: reconciler.statuses,
          problems: resources.snapshot().problems.filter((problem) => problem.level !== 'info').map(problemText),
          consumers: dispatcher.consumers(),
        })),
    });
    stops.push(() => receiver.stop());

    const announced = new Announcements(terminal);
    const reconciler = new LocalReconciler({
      resources,
      channelUrl,
      log,
      admin: kafka.createAdmin(),
      consumers: () => dispatcher.consumers(),
      onStatus: (statuses) => announced.statuses(statuses),
    });
    stops.push(() => reconciler.close());
    announced.problems(resources.snapshot().problems);
    resources.onChange(({ problems }) => announced.problems(problems));

    terminal.progress('Waiting until all is ready');
    await announced.untilReady(() => receiver.notReady().length === 0);
    terminal.print(banner(terminal, { kafkaText, port: receiver.port, options, statuses: reconciler.statuses }));
    announced.start();
    return { stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Reasons why a resource waits for something that may never come: a channel, or a Kafka of its own. */
const waitsForOthers: ReadonlySet<string> = new Set(['ChannelReferenceFailed', consumerGroupNotJoined]);

/** What people are told once, and then whenever it changes. */
class Announcements {
  readonly #terminal: Terminal;
  readonly #told = new Map<string, string>();
  readonly #toldProblems = new Set<string>();
  #latest: readonly ResourceStatus[] = [];
  #hasLooked = false;
  #hasStarted = false;
  #waiters: (() => void)[] = [];

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  statuses(statuses: readonly ResourceStatus[]): void {
    this.#latest = statuses;
    this.#hasLooked = true;
    if (this.#hasStarted) this.#tell();
    for (const wake of this.#waiters.splice(0)) wake();
  }

  /** Resources that wait for something else (a mistake in a manifest, a missing channel) do not hold up the others. */
  async untilReady(isReceiverReady: () => boolean): Promise<void> {
    const isSettled = (): boolean => isReceiverReady() && this.#hasLooked && this.#latest.every((status) => readyOf(status).status !== 'Unknown' || waitsForOthers.has(readyOf(status).reason ?? ''));
    const deadline = Date.now() + 60_000;
    while (!isSettled() && Date.now() < deadline) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  start(): void {
    for (const status of this.#latest) this.#told.set(`${status.kind} ${status.name}`, readyText(status));
    this.#hasStarted = true;
  }

  #tell(): void {
    const names = new Set<string>();
    for (const status of this.#latest) {
      const name = `${status.kind} ${status.name}`;
      const text = readyText(status);
      names.add(name);
      if (this.#told.get(name) === text) continue;
      this.#told.set(name, text);
      this.#terminal.print(`${this.#terminal.bold(name)} ${coloured(this.#terminal, status)}${status.url === undefined ? '' : `  ${this.#terminal.dim(status.url)}`}`);
    }
    for (const name of [...this.#told.keys()]) {
      if (names.has(name)) continue;
      this.#told.delete(name);
      this.#terminal.print(`${this.#terminal.bold(name)} removed`);
    }
  }

  problems(problems: readonly ManifestProblem[]): void {
    const current = new Set(problems.map(problemText));
    for (const text of [...this.#toldProblems]) if (!current.has(text)) this.#toldProblems.delete(text); // told again if it comes back
    for (const problem of problems) {
      if (problem.level === 'info') continue;
      const text = problemText(problem);
      if (this.#toldProblems.has(text)) continue;
      this.#toldProblems.add(text);
      this.#terminal.warn(text);
    }
  }
}

function problemText({ file, document, line, resource, field, message }: ManifestProblem): string {
  const place = document === 0 ? file : `${file}:${line} (document ${document})`;
  return [place, resource, field === undefined ? message : `${field}: ${message}`].filter((part) => part !== undefined).join(': ');
}

function coloured(terminal: Terminal, status: ResourceStatus): string {
  const text = readyText(status);
  return readyOf(status).status === 'True' ? terminal.green(text) : terminal.yellow(text);
}

function banner(terminal: Terminal, { kafkaText, port, options, statuses }: { readonly kafkaText: string; readonly port: number; readonly options: StartOptions; readonly statuses: readonly ResourceStatus[] }): string {
  const rows = statuses.map((status) => [status.kind, status.name, coloured(terminal, status), status.url ?? '']);
  const channel = statuses.find((status) => status.kind === 'KafkaChannel' && readyOf(status).status === 'True');
  const lines = [
    '',
    terminal.bold('Knative Kafka is ready.'),
    '',
    table(rows.map((row) => row.map((cell, index) => (index === 0 ? `  ${cell}` : cell)))),
    '',
    `  Kafka        ${kafkaText}`,
    `  Manifests    ${options.manifestsDir} (edit them, they are watched)`,
    `  Status page  http://127.0.0.1:${port}/`,
    ...(options.displayPort === 0 ? [] : [`  Event display listens at http://127.0.0.1:${options.displayPort}/ and prints below`]),
    '',
  ];
  if (channel?.url !== undefined) {
    lines.push('Send an event:', '', ...curl(channel.url).map((line) => `  ${line}`), '');
  }
  lines.push(terminal.dim('Ctrl-C stops everything; events that are not delivered yet are delivered at the next start.'), '');
  return lines.join('\n');
}

function curl(url: string): readonly string[] {
  return [
    `curl -i ${url} \\`,
    `  -H 'ce-specversion: 1.0' -H 'ce-id: 1' -H 'ce-source: /quickstart' -H 'ce-type: greeting' -H 'ce-subject: world' \\`,
    `  -H 'content-type: application/json' -d '{"hello":"world"}'`,
  ];
}
