/**
 * What a sender sends is what a subscriber gets: attribute for attribute and byte for byte, in the mode it was sent in,
 * through a real receiver, a real Kafka and a real dispatcher.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runKafkaTool, waitFor } from '@knative-kafka/local-cluster';
import { patienceMs, topicOf, World, type ReceivedEvent, type Receiver, type Subscriber } from './harness.ts';
import { chunked, exchange, request, type HeaderLines } from './raw-http.ts';

const required: HeaderLines = [['ce-specversion', '1.0'], ['ce-id', 'a-1'], ['ce-source', '/e2e'], ['ce-type', 'com.example.test']];
const trace: HeaderLines = [['traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'], ['tracestate', 'vendor=a,other=b']];
const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

/** An event as a sender writes it: all of these headers have to arrive, and this body. */
interface Sent {
  readonly name: string;
  readonly headers: HeaderLines;
  readonly body: string | Buffer;
}
function binary(name: string, more: HeaderLines = [], body: string | Buffer = ''): Sent {
  return { name, headers: [...required, ...more], body };
}
function structured(name: string, body: string, contentType = 'application/cloudevents+json'): Sent {
  return { name, headers: [['content-type', contentType]], body };
}
const version03: HeaderLines = [['ce-specversion', '0.3'], ['ce-id', 'a-1'], ['ce-source', '/e2e'], ['ce-type', 'com.example.test']];

const events: readonly Sent[] = [
  binary('no data'),
  binary('no data, but a content type', [['content-type', 'text/plain']]),
  binary('JSON with order, white space and numbers no double can hold', [['content-type', 'application/json']], '{ "b":12345678901234567890,\n"a":1.0, "b":1e400, "a":-0 }'),
  binary('bytes that are no text', [['content-type', 'application/octet-stream']], everyByte),
  binary('data without a content type', [], everyByte),
  binary('text in another charset', [['content-type', 'text/plain; charset=iso-8859-1']], Buffer.from('Grüße', 'latin1')),
  binary('a content type in odd spelling', [['content-type', 'Application/JSON;Charset="UTF-8" ; q=1']], '{}'),
  binary('a record nearly as large as the topic takes', [['content-type', 'application/octet-stream']], Buffer.alloc(1_000_000, everyByte)),
  binary('nanoseconds and an offset', [['ce-time', '2024-02-29T23:59:59.123456789-07:00']]),
  binary('a leap second in lower case', [['ce-time', '2016-12-31t23:59:60z']]),
  binary('every optional attribute', [['ce-subject', 'a/b c'], ['ce-dataschema', 'https://example.com/s?x=%C3%A9#f'], ['ce-time', '2024-01-01T00:00:00Z'], ['content-type', 'text/xml']], '<a/>'),
  binary('extensions whose text means something elsewhere', [['ce-a', '007'], ['ce-b', '1.0'], ['ce-c', 'TRUE'], ['ce-d', '12345678901234567890'], ['ce-e', 'null'], ['ce-f', '{"x":1}']]),
  binary('percent-encoded values', [['ce-subject', 'Gr%C3%BC%C3%9Fe%20%22%F0%9F%98%80%22'], ['ce-ext', '%41%zz%']]),
  binary('values with quotes, percent signs and spaces inside', [['ce-subject', '100% "sure"  \\ really'], ['ce-ext', '~!@#$^&*()_+=[]{}|;:,.<>?/`']]),
  binary('an extension with a long name', [[`ce-${'x'.repeat(100)}`, 'y'.repeat(5_000)]]),
  binary('trace context as header and as attribute', [...trace, ['ce-traceparent', '00-11111111111111111111111111111111-2222222222222222-00'], ['ce-tracestate', 'a=1']]),
  binary('headers of Knative and of its older tracing', [['knative-hello', 'world'], ['Knative-Other', 'A b'], ['x-b3-traceid', '0af7651916cd43dd'], ['X-B3-Sampled', '1']]),
  { name: '0.3 with everything of its own', headers: [...version03, ['ce-schemaurl', '/schema?x=%20'], ['ce-datacontentencoding', 'base64'], ['ce-subject', 's'], ['content-type', 'text/plain']], body: 'AAECAw==' },
  structured('structured 1.0', '{"specversion":"1.0","id":"1","source":"/e2e","type":"t","datacontenttype":"text/plain","data":"é\\u00e9\\/"}'),
  structured('structured with data as bytes', `{"specversion":"1.0","id":"1","source":"/e2e","type":"t","data_base64":"${everyByte.toString('base64')}"}`),
  structured('structured with numbers no double can hold', '{"data":{"b":12345678901234567890,"a":1.0,"b":1e400},"type":"t","source":"\\/e2e","id":"1","specversion":"1.0","n":-0,"flag":true,"gone":null}'),
  structured('structured, formatted for people', '{\r\n\t"specversion" : "1.0",\n  "id":"1", "source":"/e2e", "type":"t", "time":"2024-01-31T23:59:59.123456789-07:00"\n}\n'),
  structured('structured 0.3', '{"specversion":"0.3","id":"1","source":"/e2e","type":"t","schemaurl":"/s","datacontentencoding":"base64","data":"AAECAw=="}'),
  ...['application/cloudevents+json; charset=utf-8', 'application/cloudevents+json;charset="UTF-8"', 'Application/CloudEvents+JSON ;\tCharset=utf8', 'application/cloudevents+json; charset=us-ascii; x=y'].map((contentType) =>
    structured(`structured as ${contentType}`, '{"specversion":"1.0","id":"1","source":"/e2e","type":"t"}', contentType),
  ),
];

/** Headers that come with every delivery and are no part of the event. */
const ofTheDelivery = new Set(['host', 'connection', 'content-length', 'transfer-encoding', 'prefer', 'kn-namespace', 'x-request-id']);

/** As sorted lines with lower-case names: HTTP gives no meaning to the order of different headers, nor to case. */
function lines(headers: HeaderLines): string[] {
  return headers.map(([name, value]) => `${name.toLowerCase()}: ${value}`).sort();
}
function receivedLines({ rawHeaders }: ReceivedEvent): string[] {
  const pairs = rawHeaders.flatMap((name, at) => (at % 2 === 0 ? [[name, rawHeaders[at + 1]!] as const] : []));
  return lines(pairs.filter(([name]) => !ofTheDelivery.has(name.toLowerCase())));
}

describe('event fidelity', () => {
  let world: World;
  let receiver: Receiver;
  let slowReceiver: Receiver;
  let kafkajsReceiver: Receiver;
  let subscriber: Subscriber;

  beforeAll(async () => {
    world = await World.start();
    await Promise.all([world.channel('orders', 3), world.channel('keys', 7)]);
    subscriber = await world.subscriber();
    world.subscription('all', 'orders', subscriber.uri);
    [receiver, slowReceiver, kafkajsReceiver] = await Promise.all([world.receiver(), world.receiver({ env: { FAST_LANE: 'off' } }), world.receiver({ env: { KAFKA_CLIENT: 'kafkajs' } }), world.dispatcher()]);
  });
  afterAll(() => world.stop());

  let requests = 0;
  /** Sends bytes and waits for what the subscriber gets of them; the request id travels along and tells which. */
  const send = async (bytes: (requestId: readonly [string, string]) => Buffer, expectedEvents = 1, through = receiver): Promise<readonly ReceivedEvent[]> => {
    const id = `request-${++requests}`;
    const { answers } = await exchange(through.httpPort, bytes(['X-Request-Id', id]), { timeoutMs: patienceMs });
    expect(answers[0]).toMatchObject({ status: 202, body: Buffer.alloc(0) });
    const ours = (): ReceivedEvent[] => subscriber.received.filter(({ headers }) => headers['x-request-id'] === id);
    await waitFor(`delivery of ${id}`, () => ours().length >= expectedEvents, { timeoutMs: patienceMs });
    return ours();
  };

  it.each(events)('$name', async ({ headers, body }) => {
    for (const through of [receiver, slowReceiver, kafkajsReceiver]) {
      const [received] = await send((id) => request('POST', '/default/orders', [...headers, id], body), 1, through);
      expect(receivedLines(received!)).toEqual(lines(headers));
      expect(received!.body.equals(Buffer.from(body))).toBe(true);
    }
  });

  it('every event of a batch arrives structured, cut out of the batch as it was', async () => {
    const members = ['{"specversion":"1.0","id":"1","source":"/e2e","type":"t","subject":"same","data":12345678901234567890}', '{ "id":"2", "type":"t","subject":"same",\n"specversion":"1.0","source":"/e2e" }', '{"specversion":"1.0","id":"3","source":"/e2e","type":"t","subject":"same","data":"[},{]"}'];
    const received = await send((id) => request('POST', '/default/orders', [['content-type', 'application/cloudevents-batch+json; charset=utf-8'], ...trace, id], ` [ ${members.join(' ,\n')} ]\n`), 3);
    expect(received.map(({ body }) => body.toString())).toEqual(members);
    for (const event of received) expect(receivedLines(event)).toEqual(lines([['content-type', 'application/cloudevents+json; charset=utf-8'], ...trace]));
  });

  it('tells every subscriber that it may reply, and whose channel it is', async () => {
    const [received] = await send((id) => request('POST', '/default/orders', [...required, ['Prefer', 'something-else'], ['Kn-Namespace', 'another'], id]));
    expect(received!.headers).toMatchObject({ prefer: 'reply', 'kn-namespace': 'default' });
  });

  it('passes on no header that is no part of the event', async () => {
    for (const through of [receiver, slowReceiver]) {
      const [received] = await send((id) => request('POST', '/default/orders', [...required, ['Authorization', 'Bearer secret'], ['Cookie', 'a=b'], ['User-Agent', 'e2e'], ['Accept', '*/*'], ['X-Other', '1'], id]), 1, through);
      expect(receivedLines(received!)).toEqual(lines(required));
    }
  });

  const body = Buffer.from('{"n":1}');
  const typed: HeaderLines = [...required, ['content-type', 'application/json']];
  it.each<[string, (id: readonly [string, string]) => Buffer]>([
    ['in chunks', (id) => request('POST', '/default/orders', [...typed, ['Transfer-Encoding', 'chunked'], id], chunked(body, 2))],
    ['after a 100 Continue', (id) => request('POST', '/default/orders', [...typed, ['Expect', '100-continue'], id], body)],
    ['with an upgrade that nobody wants', (id) => request('POST', '/default/orders', [...typed, ['Connection', 'Upgrade'], ['Upgrade', 'h2c'], id], body)],
    ['in HTTP/1.0', (id) => Buffer.from(request('POST', '/default/orders', [...typed, id], body).toString('latin1').replace('HTTP/1.1', 'HTTP/1.0'), 'latin1')],
    ['with a content encoding that is none', (id) => request('POST', '/default/orders', [...typed, ['Content-Encoding', 'identity'], id], body)],
  ])('takes an event %s', async (_, bytes) => {
    for (const through of [receiver, slowReceiver]) {
      const [received] = await send(bytes, 1, through);
      expect(receivedLines(received!)).toEqual(lines(typed));
      expect(received!.body).toEqual(body);
    }
  });

  it.each([
    ['orders-kn-channel.default', '/'],
    ['orders-kn-channel.default.svc', '/'],
    ['orders-kn-channel.default.svc.cluster.local', '/'],
    ['orders-kn-channel.default.svc.cluster.local:80', '/'],
    ['orders-kn-channel.default.svc:8080', '/?query=is-ignored'],
    ['ORDERS-kn-channel.Default.svc.cluster.local.', '/'],
    ['example.com', '/default/orders'],
    ['orders-kn-channel.default.svc.cluster.local', '/default/orders/'],
    ['example.com', 'http://orders-kn-channel.default.svc.cluster.local/'],
  ])('finds the channel by host %s and path %s', async (host, path) => {
    for (const through of [receiver, slowReceiver]) {
      const [received] = await send((id) => request('POST', path, [['Host', host], ...required, id]), 1, through);
      expect(receivedLines(received!)).toEqual(lines(required));
    }
  });

  it('puts events of one key where Java puts them', async () => {
    const keys = Array.from({ length: 60 }, (_, n) => String(n));
    // Half of the keys as subject, half as partitionkey, which counts more; each twice.
    for (const key of [...keys, ...keys]) {
      const named: HeaderLines = Number(key) % 2 === 0 ? [['ce-subject', key]] : [['ce-subject', 'not this'], ['ce-partitionkey', key]];
      const { answers } = await exchange(receiver.httpPort, request('POST', '/default/keys', [...required, ...named]), { timeoutMs: patienceMs });
      expect(answers[0]?.status).toBe(202);
    }
    const { stdout } = await runKafkaTool('org.apache.kafka.tools.VerifiableProducer', ['--bootstrap-server', world.kafka.bootstrap, '--topic', topicOf('keys'), '--max-messages', String(keys.length), '--repeating-keys', String(keys.length), '--acks', '-1']);
    const javas = new Map<string, number>();
    for (const [, key, partition] of stdout.matchAll(/"key":"(\d+)".*?"partition":(\d+)/g)) javas.set(key!, Number(partition));
    expect([...javas.keys()].sort()).toEqual([...keys].sort());
    expect(new Set(javas.values()).size).toBe(7); // otherwise the keys tell nothing

    const ours = (await world.stored('keys', 3 * keys.length)).filter(({ value }) => value === null); // Java's have values
    expect(ours).toHaveLength(2 * keys.length);
    for (const { key, partition } of ours) expect({ key, partition }).toEqual({ key, partition: javas.get(key!) });
  });
});
