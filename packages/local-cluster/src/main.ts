/**
 * Runs a part of the local cluster in the foreground, for a developer who wants one beside an editor.
 *
 * Always true: it ends with exit code 0 after SIGINT or SIGTERM once everything has stopped; a second signal, or one
 * during the start, ends everything at once.
 */
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startKafka } from './kafka.ts';

const help = `Usage: node packages/local-cluster/src/main.ts kafka [options]

Runs Apache Kafka on 127.0.0.1 until Ctrl-C.

  --brokers 1|3   how many brokers (1)
  --port N        port of the first broker; the other ports follow it (free ports)
  --data DIR      keep the data in this folder (a temporary one, removed at the end)
  --help          this text
`;

interface Command {
  readonly brokers: 1 | 3;
  readonly basePort: number | undefined;
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
      brokers: { type: 'string', default: '1' },
      port: { type: 'string' },
      data: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  if (positionals.join(' ') !== 'kafka') throw new Error('say what to run: kafka');
  if (values.brokers !== '1' && values.brokers !== '3') throw new Error(`--brokers is 1 or 3, not ${values.brokers}`);
  const basePort = values.port === undefined ? undefined : Number(values.port);
  if (basePort !== undefined && !(Number.isInteger(basePort) && basePort >= 1 && basePort <= 65_000)) {
    throw new Error(`--port is a number from 1 to 65000, not ${values.port ?? ''}`);
  }
  return { brokers: values.brokers === '1' ? 1 : 3, basePort, data: values.data };
}

async function runKafka({ brokers, basePort, data }: Command): Promise<void> {
  const end = Promise.withResolvers<undefined>();
  let mayEndInOrder = false;
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      // 'exit' listeners end the brokers and remove temporary data.
      if (!mayEndInOrder) process.exit(130);
      mayEndInOrder = false;
      end.resolve(undefined);
    });
  }
  const cluster = await startKafka({
    dataDir: data ?? join(tmpdir(), `knative-kafka-${randomUUID()}`),
    persistent: data !== undefined,
    brokers,
    ...(basePort === undefined ? {} : { basePort }),
    onProgress: (text) => console.log(text),
    onBrokerEnded: (text) => end.reject(new Error(text)),
  });
  mayEndInOrder = true;
  console.log(`bootstrap servers: ${cluster.bootstrap}\nCtrl-C stops ${brokers === 1 ? 'it' : 'them'}.`);
  try {
    await end.promise;
    console.log('stopping');
  } finally {
    await cluster.stop();
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
    await runKafka(command);
    process.exit(0);
  } catch (error) {
    console.error((error as Error).message);
    process.exit(1);
  }
}
