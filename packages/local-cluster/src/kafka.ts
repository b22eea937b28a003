/**
 * A real Apache Kafka on 127.0.0.1, of one node or three, each node broker and controller in one JVM.
 *
 * For `npm start` (persistent: the data is there again next time) and for tests (not persistent: nothing is left),
 * which may stop, kill, freeze and start single brokers while the others go on.
 *
 * Always true: a started broker is registered with the cluster and serves requests, not only its port is open; no JVM
 * outlives this process (guarded-process.ts); outside `dataDir` nothing is written but the cache of jars; data that
 * was to stay is never removed.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { waitFor } from './child-process.ts';
import { freePorts, isPortFree } from './free-port.ts';
import { spawnGuarded, type GuardedProcess, type ProcessExit } from './guarded-process.ts';
import { ensureKafkaJars } from './kafka-jars.ts';
import { fetchMetadata } from './kafka-metadata.ts';
import { endLeftover, removeOwnerFile, writeOwnerFile } from './leftover.ts';
import { checkJava, javaCommand } from './prerequisites.ts';
import { runCommand } from './run-command.ts';
import { serverProperties, type ListenerProtocol, type NodePorts } from './server-properties.ts';
import { removeDataAtExit } from './temporary-data.ts';
import { lastLines } from './text-lines.ts';

export interface KafkaOptions {
  /** Created where it is missing. Only what was put there by startKafka is ever removed from it. */
  readonly dataDir: string;
  /** Default 1. */
  readonly brokers?: 1 | 3;
  /** First of a row of ports: the brokers', then the controllers', then those of `listeners`. Default: free ports. */
  readonly basePort?: number;
  /** Largest heap of each JVM in MiB; default 256. */
  readonly heapMb?: number;
  /** Laid over the server.properties of every node. */
  readonly config?: Readonly<Record<string, string>>;
  /** Listeners beside the plaintext one: name in capitals to protocol. Their details go into `config`. */
  readonly listeners?: Readonly<Record<string, ListenerProtocol>>;
  /** Added to the command line of each JVM; `-XX:TieredStopAtLevel=1` starts three sooner and costs throughput. */
  readonly jvmFlags?: readonly string[];
  /** Added to `kafka-storage format`, for example `--add-scram`; without effect on data that is there already. */
  readonly formatArgs?: readonly string[];
  /** Called with one line of text whenever there is something new to say. */
  readonly onProgress?: (text: string) => void;
  /** Called when a broker ends that nobody stopped or killed, with a sentence and the last lines of its log. */
  readonly onBrokerEnded?: (text: string) => void;
  /** Whether the data stays after `stop`, to be found by the next start on the same folder. Default false. */
  readonly persistent?: boolean;
}

export interface KafkaCluster {
  /** Every broker's plaintext listener, `127.0.0.1:port` joined by commas. */
  readonly bootstrap: string;
  readonly brokers: readonly KafkaBroker[];
  /** Ends every broker and, unless persistent, removes the data. Again is harmless. */
  stop(): Promise<void>;
}

export interface KafkaBroker {
  /** The node id, from 1. */
  readonly id: number;
  readonly port: number;
  /** By listener name, the ports of `listeners`. */
  readonly listenerPorts: Readonly<Record<string, number>>;
  /** What the JVM prints, of every start of this broker. */
  readonly logFile: string;
  /** `undefined` while it does not run. */
  pid(): number | undefined;
  isRunning(): boolean;
  /**
   * Starts it again on the same data and ports; resolves when it serves. Of three brokers two must run for that, so
   * start them together when fewer do.
   *
   * @throws Error when it runs already, ends early (with the last lines of its log) or is not ready in two minutes
   */
  start(): Promise<void>;
  /** SIGTERM: hands its partitions over first. SIGKILL where that takes too long. Resolves when it has ended. */
  stop(): Promise<void>;
  /** SIGKILL; resolves when it has ended. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers. */
  freeze(): void;
  /** SIGCONT. */
  thaw(): void;
}

const startTimeoutMs = 120_000;
const stopTimeoutMs = 20_000;
const portAttempts = 5;

/** Another program took a port between choosing and binding it. */
class PortTakenError extends Error {}

/**
 * Starts Kafka and waits until every broker serves and sees every other.
 *
 * @throws Error in sentences for people: Java or Maven missing, port taken, folder in use, or the last lines of the
 *               log of a broker which ended early
 */
export async function startKafka(options: KafkaOptions): Promise<KafkaCluster> {
  const { onProgress, brokers: count = 1, persistent = false } = options;
  const java = await checkJava();
  if (!java.ok) throw new Error(java.reason);
  const jars = await ensureKafkaJars({ onProgress });
  const dataDir = resolve(options.dataDir);
  const clusterId = await prepareDataDir(dataDir, count, persistent);
  const removeData = persistent ? undefined : removeDataAtExit(dataDir, dataPaths(dataDir, count));

  let brokers: Broker[];
  try {
    brokers = await startOnFreePorts({ ...options, dataDir, jars, clusterId }, count);
  } catch (error) {
    await removeData?.();
    throw error;
  }
  const bootstrap = brokers.map((broker) => `127.0.0.1:${broker.port}`).join(',');
  onProgress?.(`Apache Kafka: ready at ${bootstrap}`);
  return {
    bootstrap,
    brokers,
    stop: async () => {
      // What is removed right after needs no orderly end, which takes seconds.
      await all(brokers.map((broker) => (persistent ? broker.stop() : broker.kill())));
      await removeData?.();
    },
  };
}

interface ClusterPlan extends KafkaOptions {
  readonly jars: string;
  readonly clusterId: string;
}

/** Starts all brokers; where ports were free to choose and one got lost on the way, again with others. */
async function startOnFreePorts(plan: ClusterPlan, count: number): Promise<Broker[]> {
  for (let attempt = 1; ; attempt++) {
    const nodes = await choosePorts(count, Object.keys(plan.listeners ?? {}), plan.basePort);
    const brokers = nodes.map((node) => new Broker(node, nodes, plan));
    plan.onProgress?.(count === 1 ? 'Apache Kafka: starting' : `Apache Kafka: starting ${count} brokers`);
    try {
      await all(brokers.map((broker) => broker.prepare()));
      await startTogether(brokers, nodes);
      return brokers;
    } catch (error) {
      const isWorthAnother = error instanceof PortTakenError && plan.basePort === undefined && attempt < portAttempts;
      if (!isWorthAnother) throw error;
    }
  }
}

/**
 * Starts brokers that wait for each other. When one fails the others are killed at once, since they would wait in vain.
 *
 * @throws the failure that came first: those after it are only its consequences
 */
async function startTogether(brokers: readonly Broker[], nodes: readonly NodePorts[]): Promise<void> {
  const failures: unknown[] = [];
  await all(
    brokers.map(async (broker) => {
      try {
        await broker.startAmong(nodes);
      } catch (error) {
        failures.push(error);
        await all(brokers.map((other) => other.kill()));
      }
    }),
  );
  if (failures.length > 0) throw failures[0];
}

class Broker implements KafkaBroker {
  readonly id: number;
  readonly port: number;
  readonly listenerPorts: Readonly<Record<string, number>>;
  readonly logFile: string;
  readonly #nodes: readonly NodePorts[];
  readonly #plan: ClusterPlan;
  readonly #folder: string;
  #process: GuardedProcess | undefined;
  /** Whether the end of the JVM is our doing: asked to stop, or still on its way up, where start() throws. */
  #endIsExpected = true;

  constructor(ports: NodePorts, nodes: readonly NodePorts[], plan: ClusterPlan) {
    this.id = ports.nodeId;
    this.port = ports.kafkaPort;
    this.listenerPorts = ports.listenerPorts;
    this.#nodes = nodes;
    this.#plan = plan;
    this.#folder = brokerFolder(plan.dataDir, this.id);
    this.logFile = join(this.#folder, 'broker.log');
  }

  get #propertiesFile(): string {
    return join(this.#folder, 'server.properties');
  }

  /** Writes server.properties and, the first time, formats the data folder. */
  async prepare(): Promise<void> {
    const { listeners = {}, config = {}, clusterId, formatArgs = [] } = this.#plan;
    const nodes = this.#nodes;
    const logDir = join(this.#folder, 'data');
    await mkdir(this.#folder, { recursive: true });
    await writeFile(this.#propertiesFile, serverProperties({ nodeId: this.id, nodes, logDir, listeners, config }));
    // A format that was cut short leaves a folder that looks formatted, hence a mark of our own, set at the end.
    const formatted = join(this.#folder, 'formatted');
    if (await exists(formatted)) return;
    await rm(logDir, { recursive: true, force: true });
    const flags = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xshare:auto'];
    // With "=", because an id may begin with "-" and would be taken for an option.
    const format = ['kafka.tools.StorageTool', 'format', `--cluster-id=${clusterId}`, '--config', this.#propertiesFile];
    const result = await runCommand(javaCommand(), [
      ...flags,
      ...this.#javaArgs('error', [...format, ...formatArgs]),
    ]);
    if (result.code !== 0) {
      throw new Error(`Kafka's data folder could not be formatted:\n${lastLines(result.stdout + result.stderr, 10)}`);
    }
    await writeFile(formatted, '');
  }

  pid(): number | undefined {
    return this.isRunning() ? this.#process?.pid : undefined;
  }

  isRunning(): boolean {
    return this.#process?.isRunning() ?? false;
  }

  async start(): Promise<void> {
    return this.startAmong([{ nodeId: this.id }]);
  }

  /** Starts it and waits until it serves and sees all of `peers`. */
  async startAmong(peers: readonly { readonly nodeId: number }[]): Promise<void> {
    if (this.isRunning()) throw new Error(`Kafka broker ${this.id} runs already`);
    const { heapMb = 256, jvmFlags = [], onBrokerEnded } = this.#plan;
    const logStart = await stat(this.logFile).then((found) => found.size, () => 0);
    const jvm = await this.#spawn([`-Xms${Math.min(64, heapMb)}m`, `-Xmx${heapMb}m`, '-XX:+UseSerialGC', '-Xshare:auto', ...jvmFlags]);
    this.#process = jvm;
    this.#endIsExpected = true;
    void jvm.exited.then(async (exit) => {
      if (!this.#endIsExpected) onBrokerEnded?.(await this.#obituary(exit, logStart));
    });
    await writeOwnerFile(this.#folder, jvm.pid);
    await this.#untilReady(jvm, peers, logStart);
    this.#endIsExpected = false;
  }

  async stop(): Promise<void> {
    this.#endIsExpected = true;
    await this.#process?.stop(stopTimeoutMs);
    await removeOwnerFile(this.#folder);
  }

  async kill(): Promise<void> {
    this.#endIsExpected = true;
    await this.#process?.kill();
    await removeOwnerFile(this.#folder);
  }

  freeze(): void {
    this.#process?.signal('SIGSTOP');
  }

  thaw(): void {
    this.#process?.signal('SIGCONT');
  }

  #javaArgs(logLevel: string, mainAndArgs: readonly string[]): string[] {
    const logger = '-Dorg.slf4j.simpleLogger';
    return [
      `${logger}.defaultLogLevel=${logLevel}`,
      `${logger}.showDateTime=true`,
      `${logger}.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS`,
      '-cp',
      join(this.#plan.jars, '*'),
      ...mainAndArgs,
    ];
  }

  async #spawn(flags: readonly string[]): Promise<GuardedProcess> {
    const log = await open(this.logFile, 'a');
    try {
      return spawnGuarded(javaCommand(), [...flags, ...this.#javaArgs('warn', ['kafka.Kafka', this.#propertiesFile])], {
        cwd: this.#folder, // where a crashing JVM leaves its notes
        output: log.fd,
      });
    } finally {
      await log.close();
    }
  }

  async #untilReady(jvm: GuardedProcess, peers: readonly { readonly nodeId: number }[], logStart: number): Promise<void> {
    const serves = async () => {
      if (!jvm.isRunning()) return 'ended';
      const seen = await fetchMetadata(this.port, 2_000);
      // Another cluster's id: somebody else has the port, and our JVM is about to find out.
      if (seen.clusterId !== this.#plan.clusterId) return undefined;
      return peers.every(({ nodeId }) => seen.brokers.some((broker) => broker.id === nodeId)) && 'ready';
    };
    try {
      const fact = `Kafka broker ${this.id} to serve on port ${this.port}`;
      if ((await waitFor(fact, serves, { timeoutMs: startTimeoutMs })) === 'ready') return;
    } catch (error) {
      await this.kill();
      const log = lastLines(await this.#log(logStart), 15);
      throw new Error(`${(error as Error).message}; the last lines of its log:\n${log}`, { cause: error });
    }
    const text = await this.#obituary(await jvm.exited, logStart);
    await removeOwnerFile(this.#folder);
    throw /Address already in use/.test(text) ? new PortTakenError(text) : new Error(text);
  }

  async #obituary({ code, signal }: ProcessExit, logStart: number): Promise<string> {
    const how = signal === null ? `code ${code ?? '?'}` : signal;
    return `Kafka broker ${this.id} ended with ${how}; the last lines of its log:\n${lastLines(await this.#log(logStart), 15)}`;
  }

  /** What it printed since that place of the log; empty when the log is gone. */
  async #log(start: number): Promise<string> {
    return readFile(this.logFile).then((log) => log.subarray(start).toString('utf8'), () => '');
  }
}

/** @throws Error when a port of the wanted row is taken, which the caller has to hear before any JVM starts */
async function choosePorts(count: number, listenerNames: readonly string[], basePort?: number): Promise<NodePorts[]> {
  const needed = count * (2 + listenerNames.length);
  const row = basePort === undefined ? await freePorts(needed) : Array.from({ length: needed }, (_, index) => basePort + index);
  if (basePort !== undefined) {
    const free = await Promise.all(row.map(isPortFree));
    const taken = row.filter((_, index) => free[index] === false);
    if (taken.length > 0) {
      throw new Error(
        `Kafka needs the ports ${basePort} to ${basePort + needed - 1} of 127.0.0.1, and another program has ${taken.join(', ')}`,
      );
    }
  }
  const port = (kind: number, node: number) => row[kind * count + node] ?? 0;
  return Array.from({ length: count }, (_, node) => ({
    nodeId: node + 1,
    kafkaPort: port(0, node),
    controllerPort: port(1, node),
    listenerPorts: Object.fromEntries(listenerNames.map((name, index) => [name, port(2 + index, node)])),
  }));
}

/** What dataDir/cluster.json remembers. */
interface ClusterFile {
  readonly clusterId: string;
  readonly brokers: number;
  readonly persistent: boolean;
}

/**
 * Makes the folder ready for this cluster: ends brokers left over from a killed run, clears what a test left, and
 * remembers which cluster lives here.
 *
 * @returns the cluster's id
 * @throws Error when the folder is in use, or holds data that would be lost or does not fit
 */
async function prepareDataDir(dataDir: string, count: number, persistent: boolean): Promise<string> {
  await mkdir(dataDir, { recursive: true });
  const file = join(dataDir, 'cluster.json');
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text !== undefined) {
    const found = JSON.parse(text) as ClusterFile;
    await all(Array.from({ length: found.brokers }, (_, index) => endLeftover(brokerFolder(dataDir, index + 1))));
    if (found.persistent) {
      if (!persistent) throw new Error(`${dataDir} holds the data of a persistent Kafka, which would be removed at stop`);
      if (found.brokers !== count) {
        throw new Error(`${dataDir} holds the data of ${found.brokers} Kafka brokers, not ${count}; use another folder or remove it`);
      }
      return found.clusterId;
    }
    await all(dataPaths(dataDir, found.brokers).map((path) => rm(path, { recursive: true, force: true })));
  }
  const clusterId = Buffer.from(randomUUID().replaceAll('-', ''), 'hex').toString('base64url');
  const content: ClusterFile = { clusterId, brokers: count, persistent };
  await writeFile(`${file}.new`, `${JSON.stringify(content)}\n`);
  await rename(`${file}.new`, file); // whole or not at all
  return clusterId;
}

function brokerFolder(dataDir: string, id: number): string {
  return join(dataDir, `broker-${id}`);
}

/** Everything that was put into dataDir by us. */
function dataPaths(dataDir: string, brokers: number): string[] {
  return [join(dataDir, 'cluster.json'), ...Array.from({ length: brokers }, (_, index) => brokerFolder(dataDir, index + 1))];
}

/** Waits for all to end, whatever becomes of each, and then throws the first failure. */
async function all(work: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, () => false);
}
