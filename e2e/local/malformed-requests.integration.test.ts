/**
 * What is not an event is refused with a reason, whatever it is, and costs nobody else anything: meanwhile good events
 * pass, and afterwards the receiver holds nothing of what it refused.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { metric, patienceMs, sendEvents, World, type Receiver, type SendResult, type Subscriber } from './harness.ts';
import { chunked, exchange, request, type Exchange, type HeaderLines } from './raw-http.ts';

/** What is written on a connection of its own, and the status that has to come back. */
interface Malformed {
  readonly name: string;
  readonly sent: string | Buffer;
  /** `broken`: not HTTP at all, so a connection that is closed without a word is an answer as well. */
  readonly expected: number | 'broken';
  /** Our side of the connection is closed after it. */
  readonly ends?: boolean;
  /** A 405 names the methods that are allowed. */
  readonly allow?: string;
}

const target = '/default/orders';
/** The topic of the channel `small` takes records of this size and no more. */
const smallTopicBytes = 20_000;
const requestTimeout = '2s';

const attributes = { 'ce-specversion': '1.0', 'ce-id': 'bad', 'ce-source': '/e2e', 'ce-type': 'test' };
const event = { specversion: '1.0', id: 'bad', source: '/e2e', type: 'test' };

/** A valid binary event, changed: an attribute of `undefined` is left out; `more` comes after all others. */
function binary(name: string, expected: number, change: Record<string, string | undefined> = {}, more: HeaderLines = [], body = '{}'): Malformed {
  const wanted: Record<string, string | undefined> = { ...attributes, 'content-type': 'application/json', ...change };
  const headers = Object.entries(wanted).flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const]));
  return { name, expected, sent: request('POST', target, [...headers, ...more], body) };
}
function structured(name: string, expected: number, body: object | string | Buffer, contentType = 'application/cloudevents+json'): Malformed {
  return { name, expected, sent: request('POST', target, [['content-type', contentType]], typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)) };
}
function batch(name: string, expected: number, body: unknown): Malformed {
  return structured(name, expected, typeof body === 'string' ? body : JSON.stringify(body), 'application/cloudevents-batch+json');
}
/** As binary attribute, as member of a structured event, and as member of the second event of a batch. */
function attribute(name: string, value: string): Malformed[] {
  const changed = { ...event, [name]: value };
  const shown = `${name} ${JSON.stringify(value)}`;
  return [
    binary(`${shown} in a header`, 400, { [`ce-${name}`]: value }),
    structured(`${shown} in a structured event`, 400, changed),
    batch(`${shown} in a batch`, 400, [event, changed]),
  ];
}
function without(name: string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(event).filter(([key]) => key !== name));
}
function raw(name: string, sent: string | Buffer, expected: Malformed['expected'] = 400, ends = false): Malformed {
  return { name, sent, expected, ends };
}
/** A valid event's head with these header lines in it, and a body as given. */
function framed(name: string, lines: string, body: string, expected: Malformed['expected'] = 400, ends = false): Malformed {
  const head = Object.entries(attributes).map(([key, value]) => `${key}: ${value}\r\n`).join('');
  return { name, expected, ends, sent: `POST ${target} HTTP/1.1\r\nHost: x\r\n${head}${lines}\r\n${body}` };
}
function repeated(count: number, line: (n: number) => readonly [string, string]): HeaderLines {
  return Array.from({ length: count }, (_, n) => line(n));
}

const required = ['specversion', 'id', 'source', 'type'] as const;

const groups: Readonly<Record<string, readonly Malformed[]>> = {
  'attributes that are missing': [
    ...required.flatMap((name) => [
      binary(`no header ce-${name}`, 400, { [`ce-${name}`]: undefined }),
      structured(`no member ${name}`, 400, without(name)),
      batch(`no member ${name} in a batch`, 400, [event, without(name)]),
      structured(`${name} null`, 400, { ...event, [name]: null }),
    ]),
    binary('no attribute at all', 400, { 'ce-specversion': undefined, 'ce-id': undefined, 'ce-source': undefined, 'ce-type': undefined }),
    raw('no header but the necessary, no body', request('POST', target, [])),
    structured('an empty object', 400, {}),
  ],
  'attributes that are empty or bad': [
    ...required.flatMap((name) => attribute(name, '')),
    ...required.flatMap((name) => attribute(name, ' ')),
    ...['10.0', '1', '1.1', '0.2', '2.0', 'v1.0'].flatMap((value) => attribute('specversion', value)),
    ...['a b', '%zz', '://x', '1:x', '<x>', 'a\\b'].flatMap((value) => attribute('source', value)),
    ...['', 'yesterday', '2024-01-01', '2024-02-30T00:00:00Z', '2024-01-01T24:00:00Z', '2024-01-01T00:00:00', '1706745599'].flatMap((value) => attribute('time', value)),
    ...attribute('subject', ''),
    ...['relative', '/a', 'http://a b'].flatMap((value) => attribute('dataschema', value)),
    binary('a header that is not UTF-8', 400, { 'ce-id': '\xff\xfe' }),
    binary('a percent-encoded source that is none', 400, { 'ce-source': '/a%2' }),
    ...['my_ext', 'my-ext', 'my.ext', 'data'].map((name) => binary(`an extension named ${name}`, 400, {}, [[`ce-${name}`, '1']])),
    ...['my_ext', 'my-ext', 'MyExt', 'ext ', 'é', ''].map((name) => structured(`an extension named ${JSON.stringify(name)}`, 400, { ...event, [name]: 'x' })),
    binary('an extension with a name of 300 letters', 400, {}, [[`ce-${'x'.repeat(300)}`, '1']]),
    ...required.map((name) => binary(`two headers ce-${name}`, 400, {}, [[`CE-${name}`, 'again']])),
    binary('two headers of one extension', 400, {}, [['ce-ext', '1'], ['Ce-Ext', '2']]),
    binary('ce-datacontenttype beside the content type', 400, {}, [['ce-datacontenttype', 'text/plain']]),
    ...[1, true, {}, [], 1.5].map((value) => structured(`id ${JSON.stringify(value)}`, 400, { ...event, id: value })),
    ...[1.5, 2 ** 31, {}, [1], 1e300].map((value) => structured(`extension ${JSON.stringify(value)}`, 400, { ...event, ext: value })),
  ],
  'content types and charsets that cannot be read': [
    ...['json', 'application/', 'text/plain;charset', 'a b/c'].map((type) => binary(`content type ${type}`, 400, { 'content-type': type })),
    binary('two content types', 400, {}, [['Content-Type', 'text/plain']]),
    ...['application/cloudevents', 'application/cloudevents+xml', 'application/cloudevents+avro', 'application/cloudevents+protobuf', 'application/cloudevents-batch', 'application/cloudevents-batch+xml'].map((type) => structured(type, 415, event, type)),
    ...['utf-16', 'iso-8859-1', '"utf-16le"', 'x'].map((charset) => structured(`charset ${charset}`, 415, event, `application/cloudevents+json; charset=${charset}`)),
    structured('two charsets, one of them good', 415, event, 'application/cloudevents+json; charset=utf-8; charset=utf-16'),
    structured('a parameter without a value', 400, event, 'application/cloudevents+json; charset='),
    ...['gzip', 'br', 'deflate', 'zstd', 'x-unknown'].map((coding) => binary(`content encoding ${coding}`, 415, {}, [['Content-Encoding', coding]])),
    binary('two content encodings, one of them identity', 415, {}, [['Content-Encoding', 'gzip'], ['Content-Encoding', 'identity']]),
  ],
  'JSON that is no event': [
    ...['', ' ', '{', '}', 'null', 'true', '1', '"x"', '[]', '[{}]', '{"a":}', '{"id":"1",}', "{'id':'1'}", 'NaN', '{"id":"1"}{"id":"2"}', `{"id":${'['.repeat(5_000)}`].map((body) => structured(`body ${body.slice(0, 20)}`, 400, body)),
    structured('a byte order mark', 400, Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(JSON.stringify(event))])),
    structured('UTF-16', 400, Buffer.from(JSON.stringify(event), 'utf16le')),
    structured('bytes that are not UTF-8', 400, Buffer.concat([Buffer.from('{"id":"'), Buffer.from([0xff]), Buffer.from('"}')])),
    structured('data and data_base64', 400, { ...event, data: 1, data_base64: 'AA==' }),
    ...[1, {}, 'A', 'AA=', 'A A=', '_-==', 'AA==='].map((value) => structured(`data_base64 ${JSON.stringify(value)}`, 400, { ...event, data_base64: value })),
    structured('0.3 with data that is not the base64 it says', 400, { ...event, specversion: '0.3', datacontentencoding: 'base64', data: '???' }),
    ...['{}', '', '[', '[null]', '[1]', '[[]]', '["x"]'].map((body) => batch(`batch ${body}`, 400, body)),
    ...[0, 1, 2].map((place) => batch(`a batch whose event ${place} is bad`, 400, [event, event, event].map((good, index) => (index === place ? {} : good)))),
    batch('a batch of two versions', 400, [event, { ...event, specversion: '0.3' }]),
  ],
  'what is too large': [
    binary('one long header', 431, {}, [['ce-ext', 'x'.repeat(40_000)]]),
    binary('a long header that is none of ours', 431, {}, [['x-other', 'x'.repeat(40_000)]]),
    binary('a long name', 431, {}, [['x'.repeat(40_000), '1']]),
    // Node leaves out what comes after the thousandth header: an event without some of its attributes would be taken.
    binary('more headers than are read', 431, {}, repeated(1_200, (n) => [`ce-a${n}`, 'x'])),
    binary('as many headers as the head can hold', 431, {}, repeated(5_000, () => ['a', 'b'])),
    raw('a long target', request('POST', `/${'x'.repeat(40_000)}`, []), 431),
    raw('a body beyond the topic, announced', request('POST', '/default/small', Object.entries(attributes), 'x'.repeat(smallTopicBytes + 1)), 413),
    raw('a body of megabytes, announced', request('POST', '/default/small', Object.entries(attributes), 'x'.repeat(3_000_000)), 413),
    raw('a body beyond the topic, in chunks', request('POST', '/default/small', [...Object.entries(attributes), ['Transfer-Encoding', 'chunked']], chunked(Buffer.alloc(smallTopicBytes + 1))), 413),
    raw('a body of megabytes, in chunks', request('POST', '/default/small', [...Object.entries(attributes), ['Transfer-Encoding', 'chunked']], chunked(Buffer.alloc(3_000_000))), 413),
    raw('an event whose attributes make it too large', request('POST', '/default/small', [...Object.entries(attributes), ['ce-ext', 'x'.repeat(6_000)]], 'x'.repeat(smallTopicBytes - 5_000)), 413),
    raw('an event of a batch that is too large', request('POST', '/default/small', [['content-type', 'application/cloudevents-batch+json']], JSON.stringify([event, { ...event, data: 'x'.repeat(smallTopicBytes) }])), 413),
    raw('a batch beyond its limit', request('POST', target, [['content-type', 'application/cloudevents-batch+json'], ['Content-Length', '9000000']]), 413),
    raw('a length beyond everything', request('POST', target, [...Object.entries(attributes), ['Content-Length', '18446744073709551615']]), 413),
  ],
  'channels that are not there': [
    ...['/', '', '/default', '/default/other', '/other/orders', '/default/orders/more', '//default/orders', '/default/orders/..', '/DEFAULT/ORDERS', '/metrics', '/healthz'].map((path) => raw(`path ${path}`, request('POST', path === '' ? '/?x' : path, Object.entries(attributes)), 404)),
    ...['unknown-kn-channel.default', 'orders.default.svc.cluster.local', 'orders-kn-channel.default.svc.cluster.local.example.com', ''].map((host) => raw(`host ${host}`, request('POST', '/', [['Host', host], ...Object.entries(attributes)]), 404)),
  ],
  'methods that send no event': [
    ...['PUT', 'GET', 'DELETE', 'PATCH', 'TRACE', 'PROPFIND'].map((method) => ({ ...raw(method, request(method, target, Object.entries(attributes)), 405), allow: 'POST, OPTIONS' })),
    { ...raw('PUT with a body', request('PUT', target, Object.entries(attributes), 'x'.repeat(5_000)), 405), allow: 'POST, OPTIONS' },
    { ...raw('GET /', request('GET', '/', []), 405), allow: 'POST, OPTIONS' },
    raw('post', request('post', target, Object.entries(attributes))),
    raw('a method that does not exist', request('EMIT', target, Object.entries(attributes))),
  ],
  'frames that can be read in two ways': [
    framed('a length and chunks', 'Content-Length: 2\r\nTransfer-Encoding: chunked\r\n', '2\r\n{}\r\n0\r\n\r\n'),
    framed('chunks and a length', 'Transfer-Encoding: chunked\r\nContent-Length: 2\r\n', '2\r\n{}\r\n0\r\n\r\n'),
    framed('two lengths', 'Content-Length: 2\r\nContent-Length: 3\r\n', '{}'),
    framed('two equal lengths', 'Content-Length: 2\r\nContent-Length: 2\r\n', '{}'),
    ...['+2', '-2', '0x2', '2,2', '2 2', '2;', 'two', '', '1e1'].map((length) => framed(`length ${JSON.stringify(length)}`, `Content-Length: ${length}\r\n`, '{}')),
    ...['gzip', 'chunked, gzip', 'xchunked', 'chunked, identity', '"chunked"'].map((coding) => framed(`transfer encoding ${coding}`, `Transfer-Encoding: ${coding}\r\n`, '2\r\n{}\r\n0\r\n\r\n')),
    framed('two transfer encodings', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', '2\r\n{}\r\n0\r\n\r\n'),
    ...['x\r\n{}\r\n0\r\n\r\n', '-2\r\n{}\r\n0\r\n\r\n', '2 2\r\n{}\r\n0\r\n\r\n', '2\r\n{}x\r\n0\r\n\r\n', 'ffffffffffffffffff\r\n{}'].map((body) => framed(`chunk ${JSON.stringify(body)}`, 'Transfer-Encoding: chunked\r\n', body)),
    framed('a space before the colon', 'Content-Length : 2\r\n', '{}'),
    framed('a folded header', 'ce-ext: a\r\n b\r\nContent-Length: 2\r\n', '{}'),
    framed('a bare line feed', 'ce-ext: a\nContent-Length: 2\r\n', '{}'),
    framed('a bare carriage return', 'ce-ext: a\rb\r\nContent-Length: 2\r\n', '{}'),
    framed('a NUL in a value', 'ce-ext: a\0b\r\nContent-Length: 2\r\n', '{}'),
    framed('no name', ': a\r\nContent-Length: 2\r\n', '{}'),
    framed('a name with a space', 'ce ext: a\r\nContent-Length: 2\r\n', '{}'),
    framed('a second host', 'Host: orders-kn-channel.default\r\nContent-Length: 2\r\n', '{}'),
    raw('no host', `POST ${target} HTTP/1.1\r\nContent-Length: 0\r\n\r\n`),
    framed('an expectation of more than 100-continue', 'Expect: 200-ok\r\nContent-Length: 2\r\n', '{}', 417),
  ],
  'bodies shorter or longer than announced': [
    framed('less than announced, and nothing more', 'Content-Length: 10\r\n', '{}', 400, true),
    framed('less than announced, and silence', 'Content-Length: 10\r\n', '{}', 408),
    framed('chunks without an end, and nothing more', 'Transfer-Encoding: chunked\r\n', '2\r\n{}\r\n', 400, true),
    framed('chunks without an end, and silence', 'Transfer-Encoding: chunked\r\n', '2\r\n{}\r\n', 408),
    raw('less of an event than it is', request('POST', target, [['content-type', 'application/cloudevents+json'], ['Content-Length', '20']], JSON.stringify(event))),
    raw('half a head, and nothing more', `POST ${target} HTTP/1.1\r\nHost: x\r\nce-id`, 'broken', true),
    raw('half a head, and silence', `POST ${target} HTTP/1.1\r\nHost: x\r\nce-id`, 408),
    raw('a method, and nothing more', 'POST', 'broken', true),
  ],
  'what is not HTTP': [
    raw('a line', 'hello\r\n\r\n', 'broken'),
    raw('no version', `POST ${target}\r\n\r\n`, 'broken'),
    raw('HTTP/9.9', `POST ${target} HTTP/9.9\r\nHost: x\r\n\r\n`, 'broken'),
    raw('HTTP/2 with prior knowledge', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'broken'),
    raw('a TLS handshake', Buffer.from('16030100c8010000c40303', 'hex'), 'broken'),
    raw('a tunnel', 'CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n', 'broken'),
    raw('a request for Kafka', Buffer.from('00000014001200030000000100096b6e61746976652d6b', 'hex'), 'broken'),
    raw('zeros', Buffer.alloc(1_000), 'broken'),
    raw('a space in the target', `POST /default/ orders HTTP/1.1\r\nHost: x\r\n\r\n`, 'broken'),
    raw('nothing', '', 'broken', true),
    ...Array.from({ length: 30 }, (_, seed) => raw(`random bytes ${seed}`, randomBytes(seed), 'broken', true)),
    // A request with one byte changed is often still a good one: what counts is that it is answered, or closed.
    ...Array.from({ length: 20 }, (_, seed) => raw(`random bytes as chunks ${seed}`, Buffer.concat([request('POST', target, [...Object.entries(attributes), ['Transfer-Encoding', 'chunked']]), Buffer.from('zz'), randomBytes(seed)]), 'broken', true)),
  ],
};

/** Bytes that are the same in every run (xorshift). */
function randomBytes(seed: number): Buffer {
  let state = (seed + 1) * 2_654_435_761;
  return Buffer.from(Array.from({ length: 1 + ((seed * 37) % 400) }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state & 0xff;
  }));
}

/** What is wrong with how a malformed request was answered; nothing when it was refused as it should be. */
function complaint({ name, expected, allow }: Malformed, { answers, isClosed }: Exchange): string | undefined {
  const answer = answers[0];
  if (answer === undefined) return expected === 'broken' && isClosed ? undefined : `${name}: ${isClosed ? 'closed' : 'open'} without an answer`;
  if (answer.status !== (expected === 'broken' ? 400 : expected)) return `${name}: expected ${expected}, got ${answer.status} ${answer.body.toString('utf8').slice(0, 200)}`;
  if (answers.length > 1) return `${name}: answered ${answers.length} times`;
  if (allow !== undefined && answer.headers['allow'] !== allow) return `${name}: expected Allow: ${allow}, got ${answer.headers['allow'] ?? 'none'}`;
  if (answer.headers['content-type'] !== 'application/problem+json') return `${name}: ${answer.status} without a problem, content type ${answer.headers['content-type'] ?? 'none'}`;
  const problem = JSON.parse(answer.body.toString('utf8')) as { status?: unknown; title?: unknown; detail?: unknown };
  const isReasoned = problem.status === answer.status && typeof problem.title === 'string' && typeof problem.detail === 'string' && problem.detail.length > 10;
  return isReasoned ? undefined : `${name}: no reason in ${JSON.stringify(problem)}`;
}

describe.each(['on', 'off'])('malformed requests, with the fast lane %s,', (fastLane) => {
  const all = Object.values(groups).flat();
  const meanwhile = new AbortController();
  let world: World;
  let receiver: Receiver;
  let subscriber: Subscriber;
  let goodEvents: Promise<SendResult>;

  const sendAll = async (cases: readonly Malformed[]): Promise<string[]> => {
    const complaints: string[] = [];
    const queue = [...cases];
    const sendNext = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const found = complaint(next, await exchange(receiver.httpPort, next.sent, { ends: next.ends ?? false, timeoutMs: patienceMs }));
        if (found !== undefined) complaints.push(found);
      }
    };
    await Promise.all(Array.from({ length: 20 }, sendNext));
    return complaints;
  };

  beforeAll(async () => {
    world = await World.start();
    await Promise.all([world.channel('orders', 3), world.channel('small', 1, { 'max.message.bytes': String(smallTopicBytes) })]);
    subscriber = await world.subscriber();
    world.subscription('all', 'orders', subscriber.uri);
    [receiver] = await Promise.all([world.receiver({ env: { REQUEST_TIMEOUT: requestTimeout, FAST_LANE: fastLane } }), world.dispatcher()]);
    goodEvents = sendEvents({ urls: [receiver.url('orders')], count: 1_000_000, keys: 5, pauseMs: 5, signal: meanwhile.signal });
    await waitFor('the first good event', () => subscriber.accepted.length > 0, { timeoutMs: patienceMs });
  });
  afterAll(() => world.stop());

  it('has a table of at least 200 requests', () => {
    expect(all.length).toBeGreaterThanOrEqual(200);
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  });

  it.each(Object.entries(groups))('refuses %s, with a reason', async (_, cases) => {
    expect(await sendAll(cases)).toEqual([]);
  });

  it('answers the webhook handshake, for any origin and at any rate', async () => {
    const { answers } = await exchange(receiver.httpPort, request('OPTIONS', target, [['WebHook-Request-Origin', 'eventemitter.example.com'], ['WebHook-Request-Rate', '120']]), { timeoutMs: patienceMs });
    expect(answers[0]).toMatchObject({ status: 200, headers: { allow: 'POST, OPTIONS', 'webhook-allowed-rate': '*' } });
    expect(['*', 'eventemitter.example.com']).toContain(answers[0]!.headers['webhook-allowed-origin']);
  });

  it('reads no second request where a refused one may still be going on', async () => {
    // What follows the refused body looks like a request; a receiver that read it as one could be made to take it.
    const inner = request('POST', target, [...Object.entries(attributes), ['ce-smuggled', 'yes']], '{}').toString('latin1');
    for (const head of [`Content-Length: ${inner.length}\r\nTransfer-Encoding: chunked\r\n`, `Transfer-Encoding: xchunked\r\n`, `Content-Length: 0,${inner.length}\r\n`]) {
      const { answers, isClosed } = await exchange(receiver.httpPort, `POST ${target} HTTP/1.1\r\nHost: x\r\n${head}\r\n0\r\n\r\n${inner}`, { answers: 2, timeoutMs: patienceMs });
      expect({ head, statuses: answers.map(({ status }) => status), isClosed }).toEqual({ head, statuses: [400], isClosed: true });
    }
  });

  it('lets a sender that is still writing read why it was refused', async () => {
    const body = (): ReadableStream => ReadableStream.from(Array.from({ length: 40 }, () => new Uint8Array(64 * 1024)));
    for (let attempt = 0; attempt < 10; attempt++) {
      const { status } = await fetch(receiver.url('small'), { method: 'POST', headers: attributes, body: body(), duplex: 'half' });
      expect(status).toBe(413);
    }
  });

  it('does not wait for ever for the body of a refused request', async () => {
    const head = request('POST', '/default/small', [...Object.entries(attributes), ['Content-Length', '9000000']]);
    expect(await exchange(receiver.httpPort, head, { answers: 2, timeoutMs: patienceMs })).toMatchObject({ answers: [{ status: 413 }], isClosed: true });
  });

  it('holds nothing of what it refused, however often', async () => {
    const quick = all.filter(({ expected }) => expected !== 408);
    await sendAll(quick);
    const before = await metric(receiver, 'process_resident_memory_bytes');
    for (let round = 0; round < 10; round++) expect(await sendAll(quick)).toEqual([]);
    expect((await metric(receiver, 'process_resident_memory_bytes')) - before).toBeLessThan(64 * 1024 * 1024);
  });

  it('lost and refused no good event meanwhile, and still runs', async () => {
    meanwhile.abort();
    const { acknowledged, refusals } = await goodEvents;
    expect([...refusals]).toEqual([]);
    expect(acknowledged.size).toBeGreaterThan(100);
    await subscriber.untilAccepted(acknowledged);
    expect(subscriber.received.every(({ id }) => acknowledged.has(id))).toBe(true); // nothing refused came through
    expect(subscriber.orderBreaks()).toEqual([]);
    await waitFor('no byte held', async () => (await metric(receiver, 'knative_kafka_ingress_held_bytes')) === 0, { timeoutMs: patienceMs });
    expect(receiver.process.isRunning()).toBe(true);
    expect(receiver.process.output()).not.toMatch(/"level":"error"|event not handled/);
  });
});
