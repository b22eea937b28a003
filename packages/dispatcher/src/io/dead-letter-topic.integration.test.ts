/**
 * Dead letters on a real broker: kept whatever happens to Kafka, looked at, and sent again by a command that may be
 * killed at any moment. The command runs as a process of its own, as it does for people.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { deadLetterTopicName, type IncomingRecord } from '@knative-kafka/common/core';
import { createKafkaClient, createLogger, type Admin, type KafkaClient } from '@knative-kafka/common/io';
import { startKafka, startProcess, waitFor, type ChildService, type KafkaCluster } from '@knative-kafka/local-cluster';
import { readDeadLetter, type DeadLetter, type StoredDeadLetter } from '../core/dead-letter-record.ts';
import { createDeadLetterTopics, DeadLetterWriter, openRanges, readRanges, redriveGroupId, type DeadLetterTopics } from './dead-letter-topic.ts';

const patienceMs = 60_000;
const main = join(dirname(dirname(fileURLToPath(import.meta.url))), 'dead-letters-main.ts');
const retentionMs = 3_600_000;
/** Of the letters that the command is shown; Kafka takes neither the future nor what retention would remove. */
const keptAtMs = Date.now() - 600_000;

let dataDir: string;
let cluster: KafkaCluster;
let kafka: KafkaClient;
let admin: Admin;
let topicsMade = 0;
const never = new AbortController().signal;
const closing: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'knative-kafka-dead-letters-'));
  cluster = await startKafka({ dataDir });
  kafka = createKafkaClient({ brokers: cluster.bootstrap.split(','), clientId: 'dead-letters-test', requestTimeoutMs: 10_000, connectTimeoutMs: 3_000 }, 'platformatic', 'kafkajs');
  admin = kafka.createAdmin();
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

afterAll(async () => {
  await cluster.stop();
  await rm(dataDir, { recursive: true, force: true });
});

async function channelTopic(partitions: number, config: Readonly<Record<string, string>> = {}): Promise<string> {
  const topic = `channel-${++topicsMade}`;
  await admin.createTopic({ topic, partitions, replicationFactor: 1, config });
  await waitFor('leaders of the new topic', async () => (await admin.groupLag('nobody', topic)).length === partitions, { timeoutMs: patienceMs });
  return topic;
}

function letter(topic: string, id: string, change: Partial<DeadLetter> = {}): DeadLetter {
  const headers = { ce_specversion: '1.0', ce_id: id, ce_source: '/test', ce_type: 'made', 'content-type': 'text/plain' };
  return {
    record: { offset: 7n, key: Buffer.from('key'), value: Buffer.from(`data of ${id}`), timestampMs: 1_700_000_000_000, headers: Object.entries(headers).map(([name, value]) => [name, Buffer.from(value)] as const) },
    topic,
    partition: 0,
    groupId: 'group',
    channel: 'shop/orders',
    subscription: 'billing',
    destination: 'http://sink.invalid/',
    subscriberUri: 'http://subscriber.invalid/',
    reason: 'status-503',
    code: 503,
    data: Buffer.from('busy'),
    attempts: 3,
    timeMs: Date.now(),
    ...change,
  };
}

function topics(log: string[] = [], client: KafkaClient = kafka): DeadLetterTopics {
  const made = createDeadLetterTopics({ kafka: client, log: createLogger('test', 'info', (line) => log.push(line)), retentionMs });
  closing.push(() => made.close());
  return made;
}

/** Every record of a topic, by partition. */
async function stored(topic: string): Promise<ReadonlyMap<number, readonly IncomingRecord[]>> {
  const records = new Map<number, IncomingRecord[]>();
  const all = (await openRanges(admin, topic, never)).map(({ partition, end }) => ({ partition, start: 0n, end }));
  await readRanges(kafka, admin, topic, all, never, (partition, record) => records.set(partition, [...(records.get(partition) ?? []), record]));
  return records;
}

function idOf(record: IncomingRecord): string {
  return String(record.headers.find(([name]) => name === 'ce_id')?.[1]);
}

describe('keep', () => {
  it('makes the topic once, as the channel\'s is, for however many letters come at the same time', async () => {
    const topic = await channelTopic(3, { 'max.message.bytes': '200000' });
    let made = 0;
    const counting: KafkaClient = {
      ...kafka,
      createAdmin: () => ({
        ...admin,
        describeTopic: (name) => admin.describeTopic(name),
        createTopic: (spec) => {
          made++;
          return admin.createTopic(spec);
        },
        close: () => Promise.resolve(),
      }),
    };
    const log: string[] = [];
    const kept = topics(log, counting);
    const letters = Array.from({ length: 200 }, (_, n) => letter(topic, `e-${n}`, { partition: n % 5 }));
    expect(await Promise.all(letters.map((each) => kept.keep(each, never)))).toEqual(letters.map(() => true));

    expect(made).toBe(1);
    expect(log.map((line) => (JSON.parse(line) as { message: string }).message)).toEqual(['dead letter topic created']);
    const name = deadLetterTopicName(topic);
    expect(await admin.describeTopic(name)).toEqual({ partitions: 3, replicationFactor: 1, maxMessageBytes: 200_000 + 65_536, retentionMs });
    const found = await stored(name);
    // The channel's topic may have grown since: its partitions 3 and 4 go round to 0 and 1.
    for (const [partition, records] of found) expect(records.map(idOf)).toEqual(letters.filter((each) => (each.partition % 3) === partition).map((each) => idOf(each.record)));
    expect([...found.values()].flat()).toHaveLength(200);
    const first = found.get(0)![0]!;
    expect(readDeadLetter(first)).toEqual({ ...letters[0]!, redrives: 0 });
    expect([first.key, first.value]).toEqual([letters[0]!.record.key, letters[0]!.record.value]);
    expect(first.headers.slice(0, letters[0]!.record.headers.length)).toEqual(letters[0]!.record.headers);
  });

  it('takes an event as large as the channel takes', async () => {
    const topic = await channelTopic(1, { 'max.message.bytes': '3000000' });
    const large = letter(topic, 'large', { data: Buffer.alloc(1024, 'x') });
    expect(await topics().keep({ ...large, record: { ...large.record, value: Buffer.alloc(2_990_000, 'x') } }, never)).toBe(true);
  });

  it('keeps what was read from a channel that is gone, and makes its topic anew when somebody deletes it', async () => {
    const topic = 'channel-that-is-gone';
    const kept = topics();
    expect(await kept.keep(letter(topic, 'one', { partition: 2 }), never)).toBe(true);
    const name = deadLetterTopicName(topic);
    await admin.deleteTopic(name);
    await waitFor('the end of the topic', async () => (await admin.describeTopic(name)) === undefined, { timeoutMs: patienceMs });
    expect(await kept.keep(letter(topic, 'two', { partition: 2 }), never)).toBe(true);
    expect([...(await stored(name)).values()].flat().map(idOf)).toEqual(['two']);
  });

  it('waits out a broker that is away, says so once, and lets go of what its caller gives up', async () => {
    const topic = await channelTopic(2);
    const log: string[] = [];
    const kept = topics(log);
    expect(await kept.keep(letter(topic, 'before'), never)).toBe(true);
    await cluster.brokers[0]!.kill();

    const givenUp = new AbortController();
    let settled = 0;
    const waiting = Array.from({ length: 20 }, (_, n) => kept.keep(letter(topic, `during-${n}`, { partition: n % 2 }), never).finally(() => settled++));
    const abandoned = kept.keep(letter(topic, 'abandoned'), givenUp.signal);
    const told = (message: string): number => log.filter((line) => line.includes(message)).length;
    await waitFor('a word about it', () => told('cannot be written') > 0, { timeoutMs: patienceMs });
    givenUp.abort();
    expect(await abandoned).toBe(false);
    expect(settled).toBe(0);

    await cluster.brokers[0]!.start();
    expect(await Promise.all(waiting)).toEqual(waiting.map(() => true));
    expect([told('cannot be written'), told('can be written again')]).toEqual([1, 1]);
    const ids = [...(await stored(deadLetterTopicName(topic))).values()].flat().map(idOf);
    expect(new Set(ids)).toEqual(new Set([...Array.from({ length: 20 }, (_, n) => `during-${n}`), 'before', ...ids.filter((id) => id === 'abandoned')]));
  });

  it('gives up for a signal that came before, and when it is closed', async () => {
    const topic = await channelTopic(1);
    const kept = topics();
    expect(await kept.keep(letter(topic, 'late'), AbortSignal.abort())).toBe(false);
    await kept.close();
    expect(await kept.keep(letter(topic, 'later'), never)).toBe(false);
    expect(await admin.describeTopic(deadLetterTopicName(topic))).toBeUndefined();
  });
});

// --- the command -----------------------------------------------------------------------------------------------------

interface Ended {
  readonly code: number | null;
  readonly output: string;
  readonly lines: readonly string[];
}

function start(...args: readonly string[]): ChildService {
  const command = startProcess({ name: 'dead-letters', command: process.execPath, args: ['--disable-warning=TimeoutNegativeWarning', main, ...args], env: { KAFKA_BROKERS: cluster.bootstrap } });
  closing.push(() => command.stop());
  return command;
}

async function ended(command: ChildService): Promise<Ended> {
  const { code } = await command.exited;
  const output = command.output();
  return { code, output, lines: output.split('\n').filter((line) => line !== '') };
}

function run(...args: readonly string[]): Promise<Ended> {
  return ended(start(...args));
}

interface Received {
  readonly id: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

/** An HTTP server that notes what it is sent and answers as it is told; `undefined` is no answer at all. */
class Subscriber {
  readonly received: Received[] = [];
  /** Ids answered with 2xx, in that order. */
  readonly accepted: string[] = [];
  answer: (id: string) => number | undefined = () => 200;
  readonly #server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const id = String(request.headers['ce-id']);
      this.received.push({ id, headers: request.headers, body: Buffer.concat(chunks).toString() });
      const status = this.answer(id);
      if (status === undefined) return;
      if (status < 300) this.accepted.push(id);
      response.writeHead(status).end(`answer to ${id}`);
    });
  });

  static async start(): Promise<Subscriber> {
    const subscriber = new Subscriber();
    await new Promise<void>((resolve) => subscriber.#server.listen(0, '127.0.0.1', resolve));
    closing.push(() => {
      subscriber.#server.closeAllConnections();
      return new Promise((resolve) => subscriber.#server.close(resolve));
    });
    return subscriber;
  }

  get uri(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/events?x=1`;
  }
}

/** Ids `<prefix>0` and so on, kept in the partitions in turn. */
async function keepAll(topic: string, prefix: string, count: number, partitions: number, change: Partial<DeadLetter>): Promise<readonly string[]> {
  const kept = topics();
  const ids = Array.from({ length: count }, (_, n) => `${prefix}${n}`);
  for (const [n, id] of ids.entries()) expect(await kept.keep(letter(topic, id, { partition: n % partitions, timeMs: keptAtMs + n, ...change }), never)).toBe(true);
  return ids;
}

/** What `print` says is open. */
async function open(topic: string): Promise<readonly { readonly event: { readonly id: string }; readonly reason: string; readonly redrives: number }[]> {
  const { code, lines } = await run('print', '--topic', topic, '--json', '--limit', '0');
  expect(code).toBe(0);
  return lines.map((line) => JSON.parse(line) as { event: { id: string }; reason: string; redrives: number });
}

async function openIds(topic: string): Promise<readonly string[]> {
  return (await open(topic)).map(({ event }) => event.id).sort();
}

describe('npm run dead-letters', () => {
  it('lists and prints what is there, newest last, for people and for machines', async () => {
    const topic = await channelTopic(2);
    const at = (ms: number): string => new Date(keptAtMs + ms).toISOString();
    await keepAll(topic, 'a-', 5, 2, {});
    await keepAll(topic, 'b-', 2, 2, { subscription: 'mail\u001b[2J', reason: 'timeout', code: undefined, data: Buffer.from([0xff]), timeMs: keptAtMs + 60_000 });

    const list = await run('list', '--topic', topic);
    expect(list.code).toBe(0);
    expect(list.lines).toEqual([
      `${deadLetterTopicName(topic)}: 7 records`,
      '  subscription   reason      records  oldest                    newest',
      `  billing        status-503  5        ${at(0)}  ${at(4)}`,
      `  mail\\u001b[2J  timeout     2        ${at(60_000)}  ${at(60_000)}`,
    ]);

    expect((await run('list')).output).toContain(list.output);

    const print = await run('print', '--topic', deadLetterTopicName(topic), '--limit', '3');
    expect(print.code).toBe(0);
    expect(print.lines.slice(0, 3)).toEqual([
      `${at(4)}  billing  status-503  http://sink.invalid/  id=a-4  type=made  source=/test`,
      `${at(60_000)}  mail\\u001b[2J  timeout  http://sink.invalid/  id=b-0  type=made  source=/test`,
      `${at(60_000)}  mail\\u001b[2J  timeout  http://sink.invalid/  id=b-1  type=made  source=/test`,
    ]);
    expect(print.output).toContain('4 older records not shown');

    const json = (await run('print', '--topic', topic, '--json', '--limit', '2')).lines.filter((line) => line.startsWith('{'));
    expect(json.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { partition: 0, subscription: 'mail\u001b[2J', reason: 'timeout', answerBase64: '/w==', event: { id: 'b-0', type: 'made', attributes: { id: 'b-0' } }, value: 'data of b-0', record: { topic, offset: '7', key: 'key' } },
      { partition: 1, event: { id: 'b-1' } },
    ]);
    expect(await run('list', '--channel', 'shop/nothing')).toMatchObject({ code: 0, output: expect.stringContaining('no such topic') as string });
  });

  it('sends each event to its subscriber as the dispatcher would, and puts back what fails again', async () => {
    const topic = await channelTopic(2);
    const subscriber = await Subscriber.start();
    const ids = await keepAll(topic, 'e-', 6, 2, { subscriberUri: subscriber.uri });
    subscriber.answer = (id) => (id === 'e-2' ? 422 : id === 'e-3' ? 503 : 202);

    expect((await run('redrive', '--topic', topic, '--dry-run')).lines).toEqual([`${deadLetterTopicName(topic)}: 6 events would be sent, 0 left out`, `  6  billing (status-503) -> ${subscriber.uri}`]);
    expect(subscriber.received).toEqual([]);

    const first = await run('redrive', '--topic', topic);
    expect([first.code, first.lines.at(-1)]).toEqual([1, `${deadLetterTopicName(topic)}: 4 delivered, 2 failed again (status-422 1, status-503 1), 0 left out`]);
    expect(subscriber.accepted.toSorted()).toEqual(['e-0', 'e-1', 'e-4', 'e-5']);
    expect(subscriber.received.filter(({ id }) => id === 'e-2')).toHaveLength(1); // it would not get better
    expect(subscriber.received.filter(({ id }) => id === 'e-3')).toHaveLength(3);
    expect(subscriber.received.find(({ id }) => id === 'e-0')).toMatchObject({ body: 'data of e-0', headers: { 'ce-source': '/test', 'content-type': 'text/plain', prefer: 'reply', 'kn-namespace': 'shop' } });
    const left = (await open(topic)).map(({ event, reason, redrives }) => [event.id, reason, redrives]);
    expect(left.toSorted()).toEqual([['e-2', 'status-422', 1], ['e-3', 'status-503', 1]]);

    subscriber.answer = () => 200;
    expect((await run('redrive', '--topic', topic)).code).toBe(0);
    expect(subscriber.accepted.toSorted()).toEqual(ids);
    expect(await openIds(topic)).toEqual([]);
    const found = [...(await stored(deadLetterTopicName(topic))).values()].flat().map(readDeadLetter).filter((each): each is StoredDeadLetter => each?.redrives === 1);
    expect(found.find(({ reason }) => reason === 'status-503')).toMatchObject({ code: 503, attempts: 6, destination: subscriber.uri, data: Buffer.from('answer to e-3') });
  });

  it('sends what the filter names, elsewhere if told so, and leaves the rest in the topic', async () => {
    const topic = await channelTopic(2);
    const [subscriber, elsewhere] = [await Subscriber.start(), await Subscriber.start()];
    await keepAll(topic, 'a-', 3, 2, { subscriberUri: subscriber.uri });
    const others = await keepAll(topic, 'b-', 3, 2, { subscriberUri: subscriber.uri, subscription: 'mail', reason: 'timeout' });
    await keepAll(topic, 'c-', 3, 2, { subscriberUri: subscriber.uri, reason: 'timeout' });

    const result = await run('redrive', '--topic', topic, '--subscription', 'billing', '--reason', 'timeout', '--to', elsewhere.uri);
    expect([result.code, result.lines.at(-1)]).toEqual([0, `${deadLetterTopicName(topic)}: 3 delivered, 0 failed again, 6 left out`]);
    expect(elsewhere.accepted.toSorted()).toEqual(['c-0', 'c-1', 'c-2']);
    expect(subscriber.received).toEqual([]);
    expect(await openIds(topic)).toEqual(['a-0', 'a-1', 'a-2', ...others]);
    expect((await open(topic)).every(({ redrives }) => redrives === 0)).toBe(true);

    expect((await run('redrive', '--topic', topic)).code).toBe(0);
    expect(subscriber.accepted.toSorted()).toEqual(['a-0', 'a-1', 'a-2', ...others]);
  });

  it('loses nothing and repeats nothing but what was under way when it is killed, again and again', async () => {
    const topic = await channelTopic(2);
    const subscriber = await Subscriber.start();
    const ids = await keepAll(topic, 'e-', 20, 2, { subscriberUri: subscriber.uri });
    const filtered = await keepAll(topic, 'f-', 4, 2, { subscriberUri: subscriber.uri, subscription: 'mail' });
    const underWay = new Set<string>();

    // Each time some are accepted, some refused for now, and the command dies while others wait for their answer.
    for (const [accepts, refuses] of [[3, 2], [4, 1]] as const) {
      let asked = 0;
      underWay.clear();
      subscriber.answer = (id) => {
        asked++;
        if (asked <= accepts) return 200;
        if (asked <= accepts + refuses) return 400;
        underWay.add(id);
        return undefined;
      };
      const command = start('redrive', '--topic', topic, '--subscription', 'billing');
      await waitFor('one event under way in each partition', () => underWay.size === 2, { timeoutMs: patienceMs });
      command.signal('SIGKILL');
      await command.exited;
      const acceptedSoFar = new Set(subscriber.accepted);
      expect(await openIds(topic)).toEqual([...ids.filter((id) => !acceptedSoFar.has(id)), ...filtered].sort());
    }

    subscriber.answer = () => 200;
    const last = await run('redrive', '--topic', topic, '--subscription', 'billing');
    expect([last.code, last.lines.at(-1)]).toEqual([0, `${deadLetterTopicName(topic)}: 13 delivered, 0 failed again, 4 left out`]);
    expect(subscriber.accepted.toSorted()).toEqual(ids.toSorted()); // each of them once
    expect(await openIds(topic)).toEqual(filtered.toSorted());
  });

  it('knows what was delivered when Kafka has forgotten the offsets of its group', async () => {
    const topic = await channelTopic(1);
    const subscriber = await Subscriber.start();
    const ids = await keepAll(topic, 'e-', 3, 1, { subscriberUri: subscriber.uri });
    subscriber.answer = (id) => (id === 'e-1' ? 400 : 200);
    expect((await run('redrive', '--topic', topic)).code).toBe(1);
    expect(await admin.deleteGroup(redriveGroupId(deadLetterTopicName(topic)))).toBe('deleted');

    subscriber.answer = () => 200;
    expect((await run('redrive', '--topic', topic)).code).toBe(0);
    expect(subscriber.accepted.toSorted()).toEqual(ids);
  });

  it('leaves a redrive alone that is under way', async () => {
    const topic = await channelTopic(3);
    const subscriber = await Subscriber.start();
    const ids = await keepAll(topic, 'e-', 12, 3, { subscriberUri: subscriber.uri });
    let isHeld = true;
    const held: string[] = [];
    // Refused while held: the event is tried again, which keeps the first one busy.
    subscriber.answer = (id) => (!isHeld || id === 'e-0' ? 200 : (held.push(id), 503));
    const first = start('redrive', '--topic', topic);
    await waitFor('the first one at work', () => held.length > 0, { timeoutMs: patienceMs });
    const second = await run('redrive', '--topic', topic);
    expect([second.code, second.output]).toEqual([1, expect.stringContaining('another redrive of this topic is under way')]);
    isHeld = false;
    const result = await ended(first);
    const [, delivered, failed] = /(\d+) delivered, (\d+) failed again/.exec(result.output) ?? [];
    expect(Number(delivered) + Number(failed)).toBe(ids.length); // it went on to the end
    subscriber.answer = () => 200;
    expect((await run('redrive', '--topic', topic)).code).toBe(0);
    expect(subscriber.accepted.toSorted()).toEqual(ids.toSorted());
  });

  it('stops in order on SIGTERM: the event under way is settled, the rest stays', async () => {
    const topic = await channelTopic(1);
    const subscriber = await Subscriber.start();
    const ids = await keepAll(topic, 'e-', 3, 1, { subscriberUri: subscriber.uri });
    const command = start('redrive', '--topic', topic);
    subscriber.answer = () => {
      command.signal('SIGTERM');
      return 200;
    };
    const { code, output } = await ended(command);
    expect([code, output]).toEqual([1, expect.stringContaining('stopped; what was not sent stays in the topic')]);
    expect(await openIds(topic)).toEqual(ids.filter((id) => !subscriber.accepted.includes(id)));
    expect(subscriber.accepted.length).toBeGreaterThan(0);
  });

  it('puts back what is no dead letter, and what it has no credentials for', async () => {
    const topic = await channelTopic(1);
    await keepAll(topic, 'e-', 1, 1, { subscriberUri: 'http://user:secret@127.0.0.1:9/' });
    const writer = new DeadLetterWriter(kafka.createProducer());
    closing.push(() => writer.close());
    const name = deadLetterTopicName(topic);
    await writer.partitionCount(name);
    await writer.append(name, 0, { key: null, value: Buffer.from('who wrote this?'), headers: [], timestampMs: Date.now() });

    const result = await run('redrive', '--topic', topic);
    expect([result.code, result.lines.at(-1)]).toEqual([1, `${name}: 0 delivered, 2 failed again (credentials-not-kept 1, not-a-dead-letter 1), 0 left out`]);
    const open = await run('print', '--topic', topic);
    expect(open.output).not.toContain('secret');
    expect(open.lines.map((line) => line.split('  ')[2])).toEqual(expect.arrayContaining(['credentials-not-kept', 'not-a-dead-letter']));
  });

  it('names the flag that is wrong, and says when Kafka does not answer', async () => {
    expect(await run('redrive', '--topic', 't', '--to', 'nowhere')).toMatchObject({ code: 2, output: expect.stringMatching(/^--to: expected an http or https URL, got "nowhere"/) as string });
    expect(await run('list', '--topic', 't', '--brokers', '127.0.0.1:1')).toMatchObject({ code: 1, output: expect.stringContaining('127.0.0.1:1') as string });
  });
});
