/**
 * The command line of `npm start`.
 */
import { parseArgs } from 'node:util';

export interface StartOptions {
  readonly manifestsDir: string;
  readonly httpPort: number;
  readonly displayPort: number;
  /** Undefined: start one. */
  readonly kafkaBrokers: readonly string[] | undefined;
}

export const defaults = { manifests: 'examples/quickstart', port: '8080', displayPort: '8081' } as const;

export const usage = `Knative Kafka on one machine: Kafka, receiver, dispatcher and an event display in one go.

  npm start
  npm start -- --manifests DIR --port N --kafka HOST:PORT

  --manifests DIR      folder with KafkaChannels and Subscriptions, watched for changes (${defaults.manifests})
  --port N             where events arrive, and the status page (${defaults.port})
  --display-port N     where the event display listens; 0 runs none (${defaults.displayPort})
  --kafka HOST:PORT    use this Kafka instead of starting one; also KAFKA_BROKERS=HOST:PORT
  --help               this text

Without --kafka an Apache Kafka is started: from its jars where Java 17 and Maven are there, else with docker compose.
Its data stays in .local/, so events that were not delivered are delivered at the next start.
`;

/** @returns what to do, or what is wrong with what was typed */
export function readArguments(argv: readonly string[], env: Readonly<Record<string, string | undefined>>): StartOptions | { readonly help: true } | { readonly problem: string } {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        manifests: { type: 'string', default: defaults.manifests },
        port: { type: 'string', default: defaults.port },
        'display-port': { type: 'string', default: defaults.displayPort },
        kafka: { type: 'string' },
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
  const kafkaBrokers = kafka?.split(',').map((broker) => broker.trim());
  if (httpPort === undefined) return { problem: `--port: expected a port number from 0 to 65535, got "${values.port}"` };
  if (displayPort === undefined) return { problem: `--display-port: expected a port number from 0 to 65535, got "${values['display-port']}"` };
  if (kafkaBrokers?.every((broker) => /^[^\s:,/]+:\d{1,5}$/.test(broker)) === false) return { problem: `--kafka: expected HOST:PORT, several separated by commas, got "${kafka ?? ''}"` };
  return { manifestsDir: values.manifests, httpPort, displayPort, kafkaBrokers };
}

function readPort(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  return port <= 65_535 ? port : undefined;
}
