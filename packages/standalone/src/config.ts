/**
 * The command line of `npm start`.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { bootstrapServers } from '@knative-kafka/common/core';

export interface StartOptions {
  readonly manifestsDir: string;
  readonly httpPort: number;
  readonly displayPort: number;
  /** Undefined: start one. */
  readonly kafkaBrokers: readonly string[] | undefined;
  /** For the data of that Kafka and for the log. */
  readonly dataDir: string;
}

export const defaults = { manifests: 'examples/quickstart', port: '8080', displayPort: '8081', data: '.local' } as const;

export const usage = `Knative Kafka on one machine: Kafka, receiver, dispatcher and an event display in one go.

  npm start
  npm start -- --manifests DIR --port N --kafka HOST:PORT

  --manifests DIR      folder with KafkaChannels, Subscriptions and KafkaSources, watched for changes (${defaults.manifests})
  --port N             where events arrive, and the status page (${defaults.port})
  --display-port N     where the event display listens; 0 runs none (${defaults.displayPort})
  --kafka HOST:PORT    use this Kafka instead of starting one; also KAFKA_BROKERS=HOST:PORT
  --data DIR           folder for the data of the Kafka that is started, and for the log (${defaults.data})
  --help               this text

Without --kafka an Apache Kafka is started: from its jars where Java 17 and Maven are there, else with docker compose.
Its data stays, so events that were not delivered are delivered at the next start.
`;

/**
 * @param home    the clone's folder, where the defaults are
 * @param typedIn the folder that folders on the command line are relative to
 * @returns       what to do, with absolute folders, or what is wrong with what was typed
 */
export function readArguments(argv: readonly string[], env: Readonly<Record<string, string | undefined>>, { home, typedIn }: { readonly home: string; readonly typedIn: string }): StartOptions | { readonly help: true } | { readonly problem: string } {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        manifests: { type: 'string' },
        port: { type: 'string', default: defaults.port },
        'display-port': { type: 'string', default: defaults.displayPort },
        kafka: { type: 'string' },
        data: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    }));
  } catch (error) {
    return { problem: (error as Error).message };
  }
  if (values.help === true) return { help: true };
  const httpPort = readPort(values.port);
  const displayPort = readPort(values['display-port']);
  const kafka = values.kafka ?? (env['KAFKA_BROKERS'] === '' ? undefined : env['KAFKA_BROKERS']);
  const kafkaBrokers = kafka === undefined ? undefined : servers.parse(kafka);
  if (httpPort === undefined) return { problem: `--port: expected a port number from 0 to 65535, got "${values.port}"` };
  if (displayPort === undefined) return { problem: `--display-port: expected a port number from 0 to 65535, got "${values['display-port']}"` };
  if (kafka !== undefined && kafkaBrokers === undefined) return { problem: `--kafka: expected HOST:PORT, several separated by commas, got "${kafka}"` };
  const folder = (typed: string | undefined, byDefault: string): string => (typed === undefined ? resolve(home, byDefault) : resolve(typedIn, typed));
  return { manifestsDir: folder(values.manifests, defaults.manifests), dataDir: folder(values.data, defaults.data), httpPort, displayPort, kafkaBrokers };
}

const servers = bootstrapServers('KAFKA_BROKERS', { about: 'this Kafka' });

function readPort(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  return port <= 65_535 ? port : undefined;
}
