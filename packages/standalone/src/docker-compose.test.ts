/**
 * docker-compose.yml: what `npm start` needs of its Kafka, and a standalone mode that its own command line takes.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { defaults, readArguments, type StartOptions } from './config.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));

interface Service {
  readonly image: string;
  readonly build?: { readonly target: string };
  readonly command?: readonly string[];
  readonly ports: readonly string[];
  readonly volumes: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly healthcheck: { readonly test: readonly string[] };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
}

const { services } = parse(readFileSync(`${root}docker-compose.yml`, 'utf8')) as { readonly services: { readonly kafka: Service; readonly standalone: Service } };
const { kafka, standalone } = services;

/** `NAME://host:port` of a list of listeners, by name. */
function listeners(text = ''): ReadonlyMap<string, string> {
  return new Map(text.split(',').map((listener) => listener.split('://') as [string, string]));
}

describe('the service kafka', () => {
  const advertised = listeners(kafka.environment['KAFKA_ADVERTISED_LISTENERS']);

  it('is found by this machine at port 9092, and tells it to go on there', () => {
    expect(kafka.ports).toEqual(['127.0.0.1:9092:9092']);
    expect(advertised.get('HOST')).toBe('127.0.0.1:9092');
  });

  it('listens where it sends its clients, and has a protocol for each listener', () => {
    const open = listeners(kafka.environment['KAFKA_LISTENERS']);
    const protocols = new Set(kafka.environment['KAFKA_LISTENER_SECURITY_PROTOCOL_MAP']?.split(',').map((entry) => entry.split(':')[0]));
    for (const [name, address] of advertised) expect(open.get(name)?.split(':')[1]).toBe(address.split(':')[1]);
    for (const name of open.keys()) expect(protocols).toContain(name);
    expect(open.has(kafka.environment['KAFKA_INTER_BROKER_LISTENER_NAME'] ?? '')).toBe(true);
  });

  it('keeps its data on a volume, so that what is not delivered yet is delivered at the next start', () => {
    expect(kafka.volumes).toEqual([`kafka-data:${kafka.environment['KAFKA_LOG_DIRS'] ?? ''}`]);
  });

  it('starts no other service with it', () => {
    expect(kafka.depends_on).toBeUndefined();
  });
});

describe('the service standalone', () => {
  const [program, ...args] = standalone.command ?? [];
  const options = readArguments(args, {}, { home: '/app', typedIn: '/app' }) as StartOptions;

  it('has a command line that is taken, and the Kafka beside it', () => {
    expect(program).toBe('/app/main.js');
    expect(options).not.toHaveProperty('problem');
    expect(options.kafkaBrokers).toEqual([listeners(kafka.environment['KAFKA_ADVERTISED_LISTENERS']).get('SERVICES')]);
  });

  it('reads the manifests of the quick start, and takes events where they say', () => {
    expect(standalone.volumes).toContain(`./${defaults.manifests}:${options.manifestsDir}:ro`);
    expect(standalone.ports).toEqual([`127.0.0.1:${defaults.port}:${options.httpPort}`]);
    expect(readFileSync(resolve(root, defaults.manifests, 'subscription.yaml'), 'utf8')).toContain(`http://127.0.0.1:${options.displayPort}/`);
  });

  it('is an image of the Dockerfile, by the version of this one, and waits until Kafka answers', () => {
    const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { readonly version: string };
    expect(standalone.image).toBe(`knative-kafka/standalone:${version}`);
    expect(readFileSync(`${root}Dockerfile`, 'utf8')).toMatch(new RegExp(`^FROM \\S+ AS ${standalone.build?.target ?? ''}$`, 'm'));
    expect(standalone.depends_on).toEqual({ kafka: { condition: 'service_healthy' } });
    expect(kafka.healthcheck.test[0]).toBe('CMD');
  });
});
