import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from './child-process.ts';
import { freePort, isPortFree } from './free-port.ts';
import { fetchMetadata } from './kafka-metadata.ts';
import { runKafkaTool } from './kafka-tools.ts';
import { startKafka, type KafkaCluster } from './kafka.ts';
import { propertiesText } from './server-properties.ts';

let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'knative-kafka-test-'));
});

afterAll(async () => {
  await rm(root, { recursive: true });
});

async function createTopic({ bootstrap }: KafkaCluster, topic: string): Promise<void> {
  await runKafkaTool('org.apache.kafka.tools.TopicCommand', ['--bootstrap-server', bootstrap, '--create', '--topic', topic]);
}

async function produce({ bootstrap }: KafkaCluster, topic: string, records: number): Promise<void> {
  const amount = ['--num-records', String(records), '--throughput', '-1', '--payload-monotonic'];
  const { stdout } = await runKafkaTool('org.apache.kafka.tools.ProducerPerformance', [
    ...['--topic', topic, ...amount, '--command-property', `bootstrap.servers=${bootstrap}`],
  ]);
  expect(stdout).toContain(`${records} records sent`);
}

/** The record offset after the last one of the topic's only partition. */
async function endOffset({ bootstrap }: KafkaCluster, topic: string): Promise<number> {
  const { stdout } = await runKafkaTool('org.apache.kafka.tools.GetOffsetShell', [
    ...['--bootstrap-server', bootstrap, '--topic', topic],
  ]);
  return Number(stdout.trim().split(':')[2]);
}

async function brokersSeenBy(port: number): Promise<number[]> {
  const { brokers } = await fetchMetadata(port, 5_000);
  return brokers.map((broker) => broker.id).sort();
}

describe('one broker', () => {
  let cluster: KafkaCluster;
  let dataDir: string;
  const deaths: string[] = [];

  beforeAll(async () => {
    dataDir = join(root, 'one');
    cluster = await startKafka({ dataDir, onBrokerEnded: (text) => deaths.push(text) });
  });

  afterAll(async () => {
    await cluster.stop();
    expect(await readdir(root)).not.toContain('one'); // not persistent: nothing is left
  });

  it('serves as soon as it is started', async () => {
    const broker = cluster.brokers[0]!;
    expect(cluster.bootstrap).toBe(`127.0.0.1:${broker.port}`);
    expect(await brokersSeenBy(broker.port)).toEqual([1]);
    await createTopic(cluster, 'orders');
    await produce(cluster, 'orders', 100);
    expect(await endOffset(cluster, 'orders')).toBe(100);
  });

  it('keeps its records over a stop and a start', async () => {
    const broker = cluster.brokers[0]!;
    await broker.stop();
    expect(broker.isRunning()).toBe(false);
    expect(broker.pid()).toBeUndefined();
    await expect(fetchMetadata(broker.port, 1_000)).rejects.toThrow('ECONNREFUSED');
    await broker.start();
    expect(cluster.bootstrap).toBe(`127.0.0.1:${broker.port}`);
    expect(await endOffset(cluster, 'orders')).toBe(100);
  });

  it('keeps its records over a kill and a start', async () => {
    const broker = cluster.brokers[0]!;
    const before = broker.pid();
    await broker.kill();
    expect(broker.isRunning()).toBe(false);
    await broker.start();
    expect(broker.pid()).not.toBe(before);
    expect(await endOffset(cluster, 'orders')).toBe(100);
  });

  it('is silent while frozen and goes on when thawed', async () => {
    const broker = cluster.brokers[0]!;
    broker.freeze();
    // The threads of a process stop one after another: an answer that one of them has begun may still come.
    const isSilent = () => fetchMetadata(broker.port, 500).then(() => false, (error: unknown) => error instanceof Error && error.message.includes('gave no answer within 500 ms'));
    await waitFor('the broker to fall silent', isSilent, { timeoutMs: 20_000 });
    expect(broker.isRunning()).toBe(true);
    broker.thaw();
    expect(await waitFor('the broker to answer', () => brokersSeenBy(broker.port), { timeoutMs: 20_000 })).toEqual([1]);
  });

  it('is not started twice', async () => {
    await expect(cluster.brokers[0]!.start()).rejects.toThrow('Kafka broker 1 runs already');
  });

  it('refuses its folder to a second cluster', async () => {
    await expect(startKafka({ dataDir })).rejects.toThrow(`is in use by process ${process.pid}`);
    expect(cluster.brokers[0]!.isRunning()).toBe(true);
  });

  it('tells of an end that nobody asked for, and only of that', async () => {
    expect(deaths).toEqual([]);
    process.kill(cluster.brokers[0]!.pid()!, 'SIGKILL');
    await waitFor('word of the end', () => deaths.length > 0, { timeoutMs: 10_000 });
    expect(deaths).toEqual([expect.stringContaining('Kafka broker 1 ended with SIGKILL')]);
  });
});

describe('a persistent broker', () => {
  const clusters: KafkaCluster[] = [];

  afterEach(async () => {
    await Promise.all(clusters.splice(0).map((cluster) => cluster.stop()));
  });

  it('finds its records again, on other ports too', async () => {
    const dataDir = join(root, 'persistent');
    const first = await startKafka({ dataDir, persistent: true });
    clusters.push(first);
    await createTopic(first, 'orders');
    await produce(first, 'orders', 10);
    await first.stop();

    await expect(startKafka({ dataDir })).rejects.toThrow('would be removed at stop');
    await expect(startKafka({ dataDir, persistent: true, brokers: 3 })).rejects.toThrow('holds the data of 1 Kafka brokers, not 3');

    const second = await startKafka({ dataDir, persistent: true });
    clusters.push(second);
    expect(second.bootstrap).not.toBe(first.bootstrap);
    expect(await endOffset(second, 'orders')).toBe(10);
  });

});

describe('a broker with logins', () => {
  it('lets a user in beside the plaintext port', async () => {
    const cluster = await startKafka({
      dataDir: join(root, 'login'),
      listeners: { LOGIN: 'SASL_PLAINTEXT' },
      formatArgs: ['--add-scram', 'SCRAM-SHA-512=[name=alice,password=wonderland]'],
      config: {
        'listener.name.login.sasl.enabled.mechanisms': 'SCRAM-SHA-512',
        'listener.name.login.scram-sha-512.sasl.jaas.config':
          'org.apache.kafka.common.security.scram.ScramLoginModule required;',
      },
    });
    try {
      await createTopic(cluster, 'orders');
      const clientFile = join(root, 'client.properties');
      const client = propertiesText({
        'bootstrap.servers': `127.0.0.1:${cluster.brokers[0]!.listenerPorts.LOGIN ?? ''}`,
        'security.protocol': 'SASL_PLAINTEXT',
        'sasl.mechanism': 'SCRAM-SHA-512',
        'sasl.jaas.config':
          'org.apache.kafka.common.security.scram.ScramLoginModule required username="alice" password="wonderland";',
      });
      await writeFile(clientFile, client);
      const { stdout } = await runKafkaTool('org.apache.kafka.tools.ProducerPerformance', [
        ...['--topic', 'orders', '--num-records', '5', '--throughput', '-1', '--payload-monotonic'],
        ...['--command-config', clientFile],
      ]);
      expect(stdout).toContain('5 records sent');
    } finally {
      await cluster.stop();
    }
  });
});

describe('a start that fails', () => {
  it('names the ports somebody else has', async () => {
    const cluster = await startKafka({ dataDir: join(root, 'first') });
    try {
      const { port } = cluster.brokers[0]!;
      await expect(startKafka({ dataDir: join(root, 'second'), basePort: port - 1 })).rejects.toThrow(
        `Kafka needs the ports ${port - 1} to ${port} of 127.0.0.1, and another program has`,
      );
    } finally {
      await cluster.stop();
    }
    expect(await readdir(root)).not.toContain('second');
  });

  it('shows why the broker ended', async () => {
    const config = { 'metric.reporters': 'no.such.Reporter' };
    await expect(startKafka({ dataDir: join(root, 'broken'), config })).rejects.toThrow(/Kafka broker 1 ended with code 1.*no\.such\.Reporter/s);
    expect(await readdir(root)).not.toContain('broken');
  });
});

describe('three brokers', () => {
  let cluster: KafkaCluster;

  beforeAll(async () => {
    cluster = await startKafka({ dataDir: join(root, 'three'), brokers: 3, basePort: await freeRow(6) });
  });

  afterAll(async () => {
    await cluster.stop();
  });

  it('see each other as soon as they are started', async () => {
    expect(cluster.bootstrap.split(',')).toEqual(cluster.brokers.map((broker) => `127.0.0.1:${broker.port}`));
    for (const broker of cluster.brokers) expect(await brokersSeenBy(broker.port)).toEqual([1, 2, 3]);
    await createTopic(cluster, 'orders');
    await produce(cluster, 'orders', 30);
  });

  it('go on without one that is killed, and take it back', async () => {
    const [first, , third] = cluster.brokers;
    await third!.kill();
    await waitFor('the others to notice', async () => (await brokersSeenBy(first!.port)).length === 2, { timeoutMs: 60_000 });
    await produce(cluster, 'orders', 30);
    await third!.start();
    await waitFor('the others to see it', async () => (await brokersSeenBy(first!.port)).length === 3, { timeoutMs: 60_000 });
    expect(await brokersSeenBy(third!.port)).toEqual([1, 2, 3]);
    expect(await endOffset(cluster, 'orders')).toBe(60);
  });
});

/** The first of a row of ports that were all free a moment ago. */
async function freeRow(length: number): Promise<number> {
  return waitFor(
    `${length} free ports in a row`,
    async () => {
      const first = await freePort();
      const row = await Promise.all(Array.from({ length }, (_, index) => isPortFree(first + index)));
      return row.every(Boolean) && first;
    },
    { timeoutMs: 10_000, everyMs: 0 },
  );
}
