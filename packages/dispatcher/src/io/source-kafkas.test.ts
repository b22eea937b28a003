import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Fault, type KafkaSource, type Secret } from '@knative-kafka/common/core';
import { createLogger, type Admin, type ConnectionSource, type KafkaClient } from '@knative-kafka/common/io';
import { SourceKafkas } from './source-kafkas.ts';

const secretRef = (key: string) => ({ name: 'login', key });
const sasl: KafkaSource['spec']['net'] = { sasl: { user: secretRef('user'), password: secretRef('password') } };
const unavailable = new Fault('KUBERNETES_UNAVAILABLE', 'no API server answers', { retriable: true });

function sourceOf(name: string, { net = sasl, namespace = 'shop', bootstrapServers = ['kafka:9092'] }: Partial<KafkaSource['spec']> & { readonly namespace?: string } = {}): KafkaSource {
  return {
    kind: 'KafkaSource',
    metadata: { namespace, name, uid: name, generation: 1, labels: {}, annotations: {} },
    spec: { bootstrapServers, topics: ['t'], consumers: 1, consumerGroup: name, initialOffset: 'latest', ordering: 'ordered', sink: { uri: 'http://sink/' }, extensions: {}, keyType: 'string', net },
  };
}

/** Secrets under the test's control, and clients that connect to nothing. */
function setUp() {
  const secrets = new Map<string, Readonly<Record<string, string>>>();
  const read: string[] = [];
  const logged: string[] = [];
  const connections: ConnectionSource[] = [];
  const closed: number[] = [];
  let failure: Fault | undefined;
  const kafkas = new SourceKafkas({
    resources: {
      readSecret: ({ namespace, name }) => {
        read.push(`${namespace}/${name}`);
        if (failure !== undefined) return Promise.reject(failure);
        const texts = secrets.get(`${namespace}/${name}`);
        const data = Object.fromEntries(Object.entries(texts ?? {}).map(([key, text]) => [key, Buffer.from(text)]));
        return Promise.resolve(texts === undefined ? undefined : ({ kind: 'Secret', data } as Secret));
      },
    },
    createClient: (connection) => {
      const number = connections.push(connection) - 1;
      const close = (): Promise<void> => Promise.resolve(void closed.push(number));
      return { createAdmin: () => ({ close }) as Admin } as KafkaClient;
    },
    connection: { clientId: 'test', requestTimeoutMs: 1, connectTimeoutMs: 1 },
    deadLetterRetentionMs: 1,
    log: createLogger('test', 'info', (line) => logged.push(line)),
  });
  return { kafkas, secrets, read, logged, connections, closed, fail: (fault: Fault | undefined) => { failure = fault; } };
}

beforeEach(() => { vi.useFakeTimers(); });
afterEach(() => { vi.useRealTimers(); });

describe('the Kafka of a KafkaSource', () => {
  it('is reached with what its Secrets say, and with the same object until they say something else', async () => {
    const { kafkas, secrets, connections, logged } = setUp();
    secrets.set('shop/login', { user: 'alice', password: 'first' });
    await kafkas.open(sourceOf('a')).known;
    const [current] = connections;
    expect(current!()).toMatchObject({ clientId: 'test', brokers: ['kafka:9092'], sasl: { mechanism: 'plain', username: 'alice', password: 'first' } });
    const before = current!();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(current!()).toBe(before);
    secrets.set('shop/login', { user: 'alice', password: 'second' });
    await vi.advanceTimersByTimeAsync(12_000);
    expect(current!()).toMatchObject({ sasl: { password: 'second' } });
    expect(logged).toHaveLength(1);
    expect(logged.join()).not.toMatch(/first|second/);
    await kafkas.close();
  });

  it('is waited for while a Secret is missing, which is told once and looked for more often', async () => {
    const { kafkas, secrets, connections, logged, read } = setUp();
    await kafkas.open(sourceOf('a')).known;
    expect(() => connections[0]!()).toThrow(/Secret "login" does not exist/);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(read.length).toBeGreaterThanOrEqual(8);
    expect(logged).toHaveLength(1);
    secrets.set('shop/login', { user: 'alice', password: 'unseen' });
    await vi.advanceTimersByTimeAsync(4_000);
    expect(connections[0]!()).toMatchObject({ sasl: { username: 'alice' } });
    expect(logged).toHaveLength(2);
    await kafkas.close();
  });

  it.each<[string, (all: ReturnType<typeof setUp>) => void]>([
    ['the Secret is gone', ({ secrets }) => secrets.clear()],
    ['the Secret lacks a key', ({ secrets }) => secrets.set('shop/login', { user: 'alice' })],
    ['the API server is away', ({ fail }) => fail(unavailable)],
  ])('stays reachable as it was while %s', async (_, change) => {
    const all = setUp();
    all.secrets.set('shop/login', { user: 'alice', password: 'unseen' });
    await all.kafkas.open(sourceOf('a')).known;
    const before = all.connections[0]!();
    change(all);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(all.connections[0]!()).toBe(before);
    expect(all.logged).toHaveLength(1);
    expect(all.logged[0]).toContain('what was read before stays in force');
    await all.kafkas.close();
  });

  it('without Secrets needs nobody to ask', async () => {
    const { kafkas, connections, read } = setUp();
    await kafkas.open(sourceOf('a', { net: {} })).known;
    expect(connections[0]!()).toMatchObject({ brokers: ['kafka:9092'] });
    expect([read, vi.getTimerCount()]).toEqual([[], 0]);
    await kafkas.close();
  });

  it('is one for all sources that reach it in the same way, and closed with the last of them', async () => {
    const { kafkas, connections, closed, read } = setUp();
    const sources = [sourceOf('a'), sourceOf('b')];
    expect(kafkas.open(sources[0]!).client).toBe(kafkas.open(sources[1]!).client);
    for (const different of [sourceOf('c', { namespace: 'other' }), sourceOf('d', { bootstrapServers: ['other:9092'] }), sourceOf('e', { net: {} })]) kafkas.open(different);
    expect(connections).toHaveLength(4);
    await kafkas.release(sources[0]!);
    expect(closed).toEqual([]);
    await kafkas.release(sources[1]!);
    expect(closed).toEqual([0]);
    read.length = 0;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(new Set(read)).toEqual(new Set(['other/login', 'shop/login'])); // of c and d alone
    await kafkas.close();
    expect(closed).toEqual([0, 1, 2, 3]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
