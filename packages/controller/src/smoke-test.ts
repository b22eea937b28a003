/**
 * What `helm test` runs in a pod: one event through everything that was installed.
 *
 * Makes a KafkaChannel and a Subscription whose subscriber is this very process, waits until both are Ready, POSTs an
 * event to the channel's address, and wants it back byte for byte. Exits 0, or 1 with a sentence that says how far it
 * came and what the conditions say.
 *
 * Always true: what it made is deleted again, and the channel's topic with it, however it ends short of a kill.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import { text as textOf } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { durationMs, optional, port, readSettings, text, type Condition, type KubernetesObject } from '@knative-kafka/common/core';
import { apiVersionOf, createKubernetesApi, exitOnFailure, resourceTypes, type KubernetesApi, type ResourceType } from '@knative-kafka/common/io';

const settings = {
  namespace: text('SMOKE_TEST_NAMESPACE', { default: 'default', about: 'where the channel and the Subscription are made' }),
  host: text('POD_IP', { default: '127.0.0.1', about: 'where dispatchers reach this process' }),
  port: port('SMOKE_TEST_PORT', { default: 8080, about: 'where the event is to arrive' }),
  timeoutMs: durationMs('SMOKE_TEST_TIMEOUT', { default: '2m', about: 'time for each step' }),
  kubeconfig: optional('KUBECONFIG', { about: 'file that says how to reach the API server; the pod\'s own ServiceAccount when unset' }),
};

const askEveryMs = 250;
/** Of one try; a receiver that is about to start refuses the first ones. */
const postTimeoutMs = 10_000;

interface Watched extends KubernetesObject {
  readonly status?: { readonly conditions?: readonly Condition[]; readonly address?: { readonly url?: string } };
}

interface ReceivedEvent {
  readonly id: string | undefined;
  readonly body: string;
}

exitOnFailure(run());

async function run(): Promise<void> {
  const config = readSettings(settings, process.env);
  const api = createKubernetesApi({ kubeconfig: config.kubeconfig, userAgent: 'knative-kafka-smoke-test', fieldManager: 'knative-kafka-smoke-test' });
  const received: ReceivedEvent[] = [];
  const server = createServer((request, response) => {
    void readEvent(request).then((event) => {
      received.push(event);
      response.writeHead(202).end();
    }, () => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(config.port, resolve));
  try {
    await sendOneEvent(api, config, received);
    say('passed');
  } finally {
    server.close();
    server.closeAllConnections();
    await api.close();
  }
}

async function sendOneEvent(api: KubernetesApi, config: { readonly namespace: string; readonly host: string; readonly port: number; readonly timeoutMs: number }, received: readonly ReceivedEvent[]): Promise<void> {
  const { namespace, timeoutMs } = config;
  const metadata = { namespace, name: `smoke-test-${randomBytes(4).toString('hex')}` };
  const channel = { ...typeOf(resourceTypes.kafkaChannel), metadata, spec: { numPartitions: 1 } };
  const subscription = {
    ...typeOf(resourceTypes.subscription),
    metadata,
    spec: {
      channel: { ...typeOf(resourceTypes.kafkaChannel), name: metadata.name },
      subscriber: { uri: `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${config.port}` },
    },
  };
  try {
    await api.create(resourceTypes.kafkaChannel, channel);
    await api.create(resourceTypes.subscription, subscription);
    const url = (await becomesReady(api, resourceTypes.kafkaChannel, metadata, timeoutMs)).status?.address?.url;
    if (url === undefined) throw new Error(`KafkaChannel ${metadata.name} is Ready and has no address`);
    say(`KafkaChannel ${metadata.name} is Ready at ${url}`);
    await becomesReady(api, resourceTypes.subscription, metadata, timeoutMs);
    say('Subscription is Ready');
    const event = { id: randomUUID(), body: JSON.stringify({ message: `smoke test ✓ ${randomUUID()}` }) };
    await until('the receiver takes the event', timeoutMs, () => post(url, event));
    say('event was taken (202)');
    await until('the event is delivered', timeoutMs, () => Promise.resolve(received.some(({ id }) => id === event.id) || 'it has not arrived'));
    const arrived = received.find(({ id }) => id === event.id);
    if (arrived?.body !== event.body) throw new Error(`the event arrived with another body: ${arrived?.body}`);
    say('event was delivered byte for byte');
  } finally {
    await api.delete(resourceTypes.subscription, metadata);
    await api.delete(resourceTypes.kafkaChannel, metadata);
  }
  await until('the KafkaChannel is gone', timeoutMs, async () => (await api.get(resourceTypes.kafkaChannel, metadata)) === undefined || 'its finalizer is still there');
  say('KafkaChannel, Subscription and topic are deleted');
}

function typeOf(type: ResourceType): { readonly apiVersion: string; readonly kind: string } {
  return { apiVersion: apiVersionOf(type), kind: type.kind };
}

async function becomesReady(api: KubernetesApi, type: ResourceType, metadata: { readonly namespace: string; readonly name: string }, timeoutMs: number): Promise<Watched> {
  let object: Watched | undefined;
  await until(`${type.kind} ${metadata.name} is Ready`, timeoutMs, async () => {
    object = await api.get<Watched>(type, metadata);
    const conditions = object?.status?.conditions ?? [];
    if (conditions.some((condition) => condition.type === 'Ready' && condition.status === 'True')) return true;
    const told = conditions.filter(({ status }) => status !== 'True').map((condition) => `${condition.type}: ${condition.reason ?? condition.status} ${condition.message ?? ''}`.trim());
    return told.length === 0 ? 'it has no conditions yet; is kafka-controller running?' : told.join('; ');
  });
  return object!;
}

/** @returns true, or why it was not taken */
async function post(url: string, event: { readonly id: string; readonly body: string }): Promise<true | string> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'ce-specversion': '1.0', 'ce-id': event.id, 'ce-source': '/smoke-test', 'ce-type': 'dev.knative.kafka.smoke-test', 'content-type': 'application/json' },
    body: event.body,
    signal: AbortSignal.timeout(postTimeoutMs),
  });
  return response.status === 202 || `${response.status} ${(await response.text()).slice(0, 500)}`;
}

async function readEvent(request: IncomingMessage): Promise<ReceivedEvent> {
  const body = await textOf(request);
  return { id: request.headers['ce-id'] as string | undefined, body };
}

/**
 * @param check true, or why not yet; what it rejects with counts as a reason, too
 * @throws Error with the last reason when it takes longer
 */
async function until(fact: string, timeoutMs: number, check: () => Promise<true | string>): Promise<void> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const answer = await check().catch((error: unknown) => reasonOf(error));
    if (answer === true) return;
    if (Date.now() > end) throw new Error(`not so after ${Math.round(timeoutMs / 1000)} s: ${fact}. ${answer}`);
    await delay(askEveryMs);
  }
}

/** fetch itself says no more than "fetch failed". */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
