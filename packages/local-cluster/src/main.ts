/**
 * Runs a part of the local cluster in the foreground, for a developer who wants one beside an editor; or brings and
 * builds everything that tests start, so that no test has to wait for it.
 *
 * Always true: it ends with exit code 0 after SIGINT or SIGTERM once everything has stopped; a second signal, or one
 * during the start, ends everything at once.
 */
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureKafkaJars } from './kafka-jars.ts';
import { startKafka } from './kafka.ts';
import { ensureKnativeEventing } from './knative-eventing.ts';
import { ensureKubernetes } from './kubernetes-binary.ts';
import { startKubernetes } from './kubernetes.ts';

const help = `Usage: node packages/local-cluster/src/main.ts kafka|kubernetes|prepare [options]

Runs Apache Kafka, or a Kubernetes API server, on 127.0.0.1 until Ctrl-C. prepare downloads and builds all
that tests need, which is done once, and ends.

  --brokers 1|3   how many Kafka brokers (1)
  --port N        port of the API server, or of the first broker; other ports of Kafka follow it (free ports)
  --data DIR      keep the data in this folder (a temporary one, removed at the end)
  --help          this text
`;

interface Command {
  readonly part: 'kafka' | 'kubernetes' | 'prepare';
  readonly brokers: 1 | 3;
  readonly port: number | undefined;
  readonly data: string | undefined;
}

/**
 * @returns what to run, or 'help'
 * @throws Error that says which argument is wrong
 */
function parseCommand(args: string[]): Command | 'help' {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      brokers: { type: 'string' },
      port: { type: 'string' },
      data: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const part = positionals.join(' ');
  if (part !== 'kafka' && part !== 'kubernetes' && part !== 'prepare') throw new Error('say what to run: kafka, kubernetes or prepare');
  const { brokers = '1', data } = values;
  if (part !== 'kafka' && values.brokers !== undefined) throw new Error('--brokers is for kafka');
  if (brokers !== '1' && brokers !== '3') throw new Error(`--brokers is 1 or 3, not ${brokers}`);
  const port = values.port === undefined ? undefined : Number(values.port);
  if (port !== undefined && !(Number.isInteger(port) && port >= 1 && port <= 65_000)) {
    throw new Error(`--port is a number from 1 to 65000, not ${values.port ?? ''}`);
  }
  return { part, brokers: brokers === '1' ? 1 : 3, port, data };
}

/** What runs, for the end of it. */
interface Running {
  /** How to reach it, in lines for a person. */
  readonly address: string;
  stop(): Promise<void>;
}

async function start({ part, brokers, port, data }: Command, onEnded: (text: string) => void): Promise<Running> {
  const dataDir = data ?? join(tmpdir(), `knative-kafka-${randomUUID()}`);
  const common = { dataDir, persistent: data !== undefined, onProgress: (text: string) => console.log(text) };
  if (part === 'kafka') {
    const cluster = await startKafka({
      ...common,
      brokers,
      ...(port === undefined ? {} : { basePort: port }),
      onBrokerEnded: onEnded,
    });
    return { address: `bootstrap servers: ${cluster.bootstrap}`, stop: () => cluster.stop() };
  }
  const cluster = await startKubernetes({ ...common, ...(port === undefined ? {} : { port }), onProcessEnded: onEnded });
  return {
    address: `export KUBECONFIG=${cluster.kubeconfig}\nalias kubectl=${join(cluster.programs, 'kubectl')} helm=${join(cluster.programs, 'helm')}`,
    stop: () => cluster.stop(),
  };
}

async function prepare(): Promise<void> {
  const onProgress = (text: string): void => console.log(text);
  await ensureKafkaJars({ onProgress });
  await ensureKafkaJars({ tools: true, onProgress });
  await ensureKubernetes({ onProgress });
  await ensureKnativeEventing(onProgress);
}

async function run(command: Command): Promise<void> {
  const end = Promise.withResolvers<undefined>();
  let mayEndInOrder = false;
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      // 'exit' listeners end the processes and remove temporary data.
      if (!mayEndInOrder) process.exit(130);
      mayEndInOrder = false;
      end.resolve(undefined);
    });
  }
  const running = await start(command, (text) => end.reject(new Error(text)));
  mayEndInOrder = true;
  console.log(`${running.address}\nCtrl-C stops ${command.brokers === 1 ? 'it' : 'them'}.`);
  try {
    await end.promise;
    console.log('stopping');
  } finally {
    await running.stop();
  }
}

let command: Command | 'help';
try {
  command = parseCommand(process.argv.slice(2));
} catch (error) {
  console.error(`${(error as Error).message}\n\n${help}`);
  process.exit(2);
}
if (command === 'help') {
  console.log(help);
} else {
  try {
    await (command.part === 'prepare' ? prepare() : run(command));
    process.exit(0);
  } catch (error) {
    console.error((error as Error).message);
    process.exit(1);
  }
}
