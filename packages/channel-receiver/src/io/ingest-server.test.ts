/**
 * The server on real connections: `node:http` alone, and the fast lane in front of it, read in both ways. What a sender
 * sees is the same on all of them.
 */
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { chunked, exchange, request, type Exchange, type HeaderLines } from '../../../../e2e/local/raw-http.ts';
import { startIngestServer, type IngestServer } from './ingest-server.ts';
import { ReceiverUnderTest, type ReceiverOptions } from './lanes-under-test.ts';
import { canShareReadBuffer, readByData, readIntoSharedBuffer, type ReadConnections } from './shared-read-buffer.ts';

vi.setConfig({ testTimeout: 60_000 });

const channel = 'shop/orders';
const target = `/${channel}`;
/** A limit for failing, never a time to wait. */
const timeoutMs = 30_000;
const required: HeaderLines = [['ce-specversion', '1.0'], ['ce-id', 'a-1'], ['ce-source', '/s'], ['ce-type', 't']];
const structured: HeaderLines = [['content-type', 'application/cloudevents+json']];
const json = '{"specversion":"1.0","id":"1","source":"/s","type":"t"}';

function event(id: string, body: string | Buffer = id, more: HeaderLines = []): Buffer {
  return request('POST', target, [...required.map(([name, value]) => [name, name === 'ce-id' ? id : value] as const), ...more], body);
}

async function fact(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

it('this Node can read all connections into one buffer', async () => {
  expect(await canShareReadBuffer()).toBe(true);
});

describe.each<[string, boolean, ReadConnections | undefined]>([
  ['the fast lane, one buffer', true, readIntoSharedBuffer],
  ['the fast lane, data events', true, readByData],
  ['node:http alone', false, undefined],
])('with %s', (_, fastLane, readConnection) => {
  let receiver: ReceiverUnderTest;
  let server: IngestServer;
  let sockets: Socket[];
  const start = async (options: Partial<ReceiverOptions> = {}): Promise<void> => {
    receiver = new ReceiverUnderTest({ fastLane, channels: [channel], ...options });
    server = await startIngestServer({ ...receiver.options, ...(readConnection === undefined ? {} : { readConnection }) });
  };
  const send = (bytes: Buffer | string, answers = 1, ends = false): Promise<Exchange> => exchange(server.port, bytes, { answers, ends, timeoutMs });
  /** A connection whose answers are collected. */
  const open = async (): Promise<{ readonly socket: Socket; text(): string; readonly closed: Promise<void> }> => {
    const socket = connect({ port: server.port, host: '127.0.0.1', noDelay: true });
    sockets.push(socket);
    let text = '';
    socket.on('data', (chunk: Buffer) => { text += chunk.toString('latin1'); });
    socket.on('error', () => undefined);
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    await new Promise((resolve) => socket.once('connect', resolve));
    return { socket, text: () => text.replaceAll(/Date: [^\r]*/g, 'Date: D'), closed };
  };
  const count = (text: string, wanted: string): number => text.split(wanted).length - 1;

  beforeEach(() => { sockets = []; });
  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    const drained = server.drain();
    server.cut();
    await drained;
  });

  it('an event is answered with the very same bytes', async () => {
    await start();
    const sender = await open();
    sender.socket.write(event('1'));
    await fact('an answer', () => sender.text().endsWith('\r\n\r\n'));
    expect(sender.text()).toBe('HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nDate: D\r\nConnection: keep-alive\r\nKeep-Alive: timeout=75\r\n\r\n');
    expect(receiver.handedOver).toBe(0);
    expect(receiver.pump.stored).toEqual([{ topic: channel, partition: 2, key: null, value: '1', headers: [['ce_specversion', '1.0'], ['ce_id', '1'], ['ce_source', '/s'], ['ce_type', 't']] }]);
  });

  it('the date is of now', async () => {
    await start();
    const { answers: [answer] } = await send(event('1'));
    expect(Math.abs(Date.now() - Date.parse(answer!.headers['date']!))).toBeLessThan(3_000);
  });

  it('events on one connection are stored and answered one after the other', async () => {
    await start();
    const ids = Array.from({ length: 300 }, (_, n) => String(n));
    expect((await send(Buffer.concat(ids.map((id) => event(id))), ids.length)).answers.map(({ status }) => status)).toEqual(ids.map(() => 202));
    expect(receiver.pump.stored.map(({ value }) => value)).toEqual(ids);
  });

  it('the second event of a connection waits for the first one to be stored', async () => {
    await start();
    receiver.pump.held = [];
    const sender = await open();
    sender.socket.write(Buffer.concat([event('1'), event('2')]));
    await fact('an event on its way', () => receiver.pump.stored.length >= 1);
    sender.socket.write(event('3'));
    if (fastLane) {
      expect(receiver.pump.stored).toHaveLength(1);
      expect(sender.text()).toBe('');
    }
    await fact('all of them', () => {
      for (const settle of receiver.pump.held!.splice(0)) settle();
      return count(sender.text(), '202 Accepted') === 3;
    });
    expect(receiver.pump.stored.map(({ value }) => value)).toEqual(['1', '2', '3']);
  });

  it.each([0, 1, 2_000, 65_536, 300_000, 1_000_000])('a body of %d bytes arrives as it was', async (length) => {
    await start();
    const body = Buffer.from(Array.from({ length }, (_, n) => (n * 7) & 0xff));
    const { answers } = await send(Buffer.concat([event('1', body), event('2')]), 2);
    expect(answers.map(({ status }) => status)).toEqual([202, 202]);
    expect(receiver.pump.stored[0]!.value).toBe(length === 0 ? null : body.toString('latin1'));
    expect(receiver.handedOver).toBe(0);
  });

  it.each<[string, Buffer]>([
    ['structured', request('POST', target, structured, json)],
    ['in chunks', request('POST', target, [...required, ['Transfer-Encoding', 'chunked']], chunked(Buffer.from('x'.repeat(300)), 7))],
    ['expected with 100-continue', request('POST', target, [...required, ['Expect', '100-continue']], 'x')],
    ['of another version', request('POST', target, [['ce-specversion', '0.3'], ...required.slice(1)], 'x')],
  ])('what is %s is taken among plain events, on the same connection', async (_name, odd) => {
    await start();
    const large = event('large', Buffer.alloc(400_000, 'x'));
    const sender = await open();
    for (const [n, bytes] of [event('1'), Buffer.concat([event('2'), odd, event('3')]), event('4'), large, odd, Buffer.concat([odd, large])].entries()) {
      sender.socket.write(bytes);
      await fact(`answers to write ${n}`, () => count(sender.text(), '202 Accepted') === [1, 4, 5, 6, 7, 9][n]);
    }
    expect(receiver.pump.stored).toHaveLength(9);
    expect(receiver.handedOver).toBe(fastLane ? 1 : 0);
    expect(receiver.budget.heldBytes).toBe(0);
  });

  it('a head may come in pieces, and in very small ones', async () => {
    await start();
    const sender = await open();
    const bytes = event('1', 'body');
    for (const pieces of [3, 7, bytes.length]) {
      const before = count(sender.text(), '202 Accepted');
      const size = Math.ceil(bytes.length / pieces);
      for (let at = 0; at < bytes.length; at += size) {
        sender.socket.write(bytes.subarray(at, at + size));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await fact('an answer', () => count(sender.text(), '202 Accepted') === before + 1);
    }
    expect(receiver.pump.stored.map(({ value }) => value)).toEqual(['body', 'body', 'body']);
  });

  it.each<[string, Partial<ReceiverOptions>, Buffer, number]>([
    ['of an unknown channel', {}, request('POST', '/shop/other', required, 'x'), 404],
    ['too long for its topic', { maxMessageBytes: 1_000 }, event('1', 'x'.repeat(1_001)), 413],
    ['too long for its topic with its headers', { maxMessageBytes: 1_000 }, event('1', 'x'.repeat(900)), 413],
    ['while Kafka is away', { isKafkaUp: false }, event('1'), 503],
  ])('an event %s is refused, and the connection stays', async (_name, options, bytes, status) => {
    await start(options);
    const { answers } = await send(Buffer.concat([bytes, bytes]), 2);
    expect(answers).toMatchObject([{ status, headers: { connection: 'keep-alive', 'content-type': 'application/problem+json' } }, { status }]);
    expect(receiver.counted).toEqual([status, status]);
    expect(receiver.budget.heldBytes).toBe(0);
  });

  it('more than may be held is refused with 429', async () => {
    await start({ queueLimitBytes: 6_000 });
    receiver.pump.held = [];
    const first = await open();
    first.socket.write(event('1', 'x'.repeat(1_000)));
    await fact('the first on its way', () => receiver.pump.stored.length === 1);
    expect((await send(event('2', 'x'.repeat(1_000)))).answers).toMatchObject([{ status: 429, headers: { 'retry-after': '1' } }]);
    for (const settle of receiver.pump.held.splice(0)) settle();
    await fact('its answer', () => first.text().includes('202 Accepted'));
    expect(receiver.budget.heldBytes).toBe(0);
  });

  it('a large event that is refused by its head is refused before its body has come', async () => {
    await start({ maxMessageBytes: 1_000 });
    const sender = await open();
    sender.socket.write(request('POST', target, [...required, ['Content-Length', '100000']]));
    await fact('a refusal', () => sender.text().includes('413 Payload Too Large'));
  });

  it.each<[string, Buffer]>([
    ['nothing', Buffer.alloc(0)],
    ['half a head', event('1').subarray(0, 60)],
    ['half a body', event('1', 'x'.repeat(100)).subarray(0, -50)],
    ['half a request after a whole one', Buffer.concat([event('1'), event('2').subarray(0, 60)])],
  ])('a sender of %s, and then silence, is told that it took too long', async (_name, bytes) => {
    await start({ requestTimeoutMs: 1_000 });
    const sender = await open();
    sender.socket.write(bytes);
    await sender.closed;
    expect(sender.text()).toContain('HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: application/problem+json\r\n');
    expect(sender.text()).toContain('the request did not arrive in time');
    await fact('nothing held', () => receiver.budget.heldBytes === 0);
  });

  it.each<[string, Buffer, string]>([
    ['nothing', Buffer.alloc(0), ''],
    ['half a head', event('1').subarray(0, 60), '400 Bad Request'],
    ['half a body', event('1', 'x'.repeat(100)).subarray(0, -50), '400 Bad Request'],
  ])('a sender of %s that stops there is answered, and the connection closed', async (_name, bytes, expected) => {
    await start();
    const sender = await open();
    sender.socket.end(bytes);
    await sender.closed;
    expect(sender.text().slice(9, 24)).toBe(expected);
    await fact('nothing held', () => receiver.budget.heldBytes === 0);
  });

  it.runIf(fastLane)('a sender that says with its event that nothing more comes gets its answer', async () => {
    await start();
    receiver.pump.held = [];
    const sender = await open();
    sender.socket.end(Buffer.concat([event('1'), event('2')]));
    for (const stored of [1, 2]) {
      await fact('an event on its way', () => receiver.pump.stored.length === stored && receiver.pump.held!.length === 1);
      receiver.pump.held.splice(0)[0]!();
    }
    await sender.closed;
    expect(count(sender.text(), '202 Accepted')).toBe(2);
  });

  it.each<[string, Buffer]>([
    ['in the middle of a head', event('1').subarray(0, 60)],
    ['in the middle of a body', event('1', 'x'.repeat(100)).subarray(0, -50)],
    ['while its event is stored', event('1')],
  ])('a sender may break off %s', async (name, bytes) => {
    await start();
    receiver.pump.held = [];
    const sender = await open();
    sender.socket.write(bytes);
    if (name.includes('stored')) await fact('the event on its way', () => receiver.pump.held!.length === 1);
    else if (name.includes('body')) await fact('the request admitted', () => receiver.budget.heldBytes > 0);
    else await new Promise((resolve) => setTimeout(resolve, 20));
    sender.socket.resetAndDestroy();
    await sender.closed;
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (const settle of receiver.pump.held.splice(0)) settle();
    await fact('nothing held', () => receiver.budget.heldBytes === 0);
    receiver.pump.held = undefined;
    expect((await send(event('2'))).answers).toMatchObject([{ status: 202 }]);
  });

  it('a sender that does not read its answers has to wait, and gets all of them', async () => {
    await start();
    const sender = connect({ port: server.port, host: '127.0.0.1' });
    sockets.push(sender);
    sender.pause();
    const total = 40_000;
    const one = event('1');
    const hundred = Buffer.concat(Array.from({ length: 100 }, () => one));
    for (let n = 0; n < total / 100; n++) sender.write(hundred);
    let seen = -1;
    await fact('no more stored', () => {
      const isStill = receiver.pump.stored.length === seen && seen > 0;
      seen = receiver.pump.stored.length;
      return isStill;
    });
    let bytes = 0;
    let answerBytes = 0;
    sender.on('data', (chunk: Buffer) => {
      if (answerBytes === 0) answerBytes = chunk.indexOf('\r\n\r\n') + 4;
      bytes += chunk.length;
    });
    sender.resume();
    await fact('all answers', () => answerBytes > 0 && bytes === total * answerBytes);
    expect(receiver.pump.stored).toHaveLength(total);
  });

  it('more connections than may be are closed, over both lanes', async () => {
    await start({ maxConnections: 3 });
    const [plain, odd, silent] = [await open(), await open(), await open()];
    plain.socket.write(event('1'));
    odd.socket.write(request('POST', target, structured, json));
    await fact('answers', () => plain.text().includes('202') && odd.text().includes('202'));
    expect(await send(event('2'))).toMatchObject({ answers: [], isClosed: true });
    silent.socket.destroy();
    await fact('room for another', () => receiver.counted.length === 3 || (void send(event('3')), false));
  });

  it('a bug is answered with 500, and holds nothing', async () => {
    await start({ partitionCount: () => { throw new TypeError('a bug'); } });
    const { answers } = await send(Buffer.concat([event('1'), event('2')]), 2);
    expect(answers).toMatchObject([{ status: 500 }, { status: 500 }]);
    expect(receiver.budget.heldBytes).toBe(0);
  });

  it('a retiring server closes each connection with its answer', async () => {
    await start();
    const sender = await open();
    sender.socket.write(event('1'));
    await fact('an answer', () => sender.text().includes('202 Accepted'));
    server.retire();
    sender.socket.write(Buffer.concat([event('2'), event('3')]));
    await sender.closed;
    expect(sender.text().endsWith('Connection: close\r\n\r\n')).toBe(true);
    expect((await send(event('4'), 2)).answers).toMatchObject([{ status: 202, headers: { connection: 'close' } }]);
  });

  it('a draining server closes what is idle, and answers what is under way', async () => {
    await start();
    receiver.pump.held = [];
    const [fresh, waiting, half] = [await open(), await open(), await open()];
    waiting.socket.write(event('1'));
    half.socket.write(event('2', 'x'.repeat(100)).subarray(0, -50));
    await fact('both under way', () => receiver.pump.stored.length === 1 && receiver.budget.heldBytes > 8_000);
    let isDrained = false;
    const drained = server.drain().then(() => { isDrained = true; });
    await fresh.closed;
    half.socket.write('x'.repeat(50));
    await fact('the second one on its way', () => receiver.pump.stored.length === 2);
    expect(isDrained).toBe(false);
    for (const settle of receiver.pump.held.splice(0)) settle();
    await Promise.all([waiting.closed, half.closed, drained]);
    for (const { text } of [waiting, half]) expect(text()).toMatch(/^HTTP\/1\.1 202 Accepted\r\n[^]*Connection: close\r\n\r\n$/);
  });

  it('a draining server leaves a sender that reads late the answers that it has', async () => {
    await start();
    const sender = connect({ port: server.port, host: '127.0.0.1' });
    sockets.push(sender);
    sender.pause();
    for (let n = 0; n < 400; n++) sender.write(Buffer.concat(Array.from({ length: 100 }, () => event('1'))));
    let seen = -1;
    await fact('no more stored', () => {
      const isStill = receiver.pump.stored.length === seen && seen > 0;
      seen = receiver.pump.stored.length;
      return isStill;
    });
    const drained = server.drain();
    let text = '';
    sender.on('data', (chunk: Buffer) => { text += chunk.toString('latin1'); });
    sender.on('error', () => undefined);
    sender.resume();
    await drained;
    await fact('all answers', () => count(text, '202 Accepted') >= seen);
  });

  it('200 connections at once, of all kinds: every plain event is acknowledged, and stored once', async () => {
    await start();
    const garbage = [Buffer.from('hello\r\n\r\n'), Buffer.from([0, 1, 2, 255]), Buffer.from('POST / HTTP/1.1\nHost: x\n\n'), event('broken').subarray(0, 40)];
    const rounds = 30;
    const acknowledged: string[] = [];
    await Promise.all(Array.from({ length: 200 }, async (_unused, n) => {
      if (n % 10 === 9) {
        for (let round = 0; round < 5; round++) await send(garbage[(n + round) % garbage.length]!, 1, true);
        return;
      }
      const sender = await open();
      for (let round = 0; round < rounds; round++) {
        const id = `${n}-${round}`;
        const odd = (n + round) % 10;
        const bytes =
          n % 10 === 8 && odd === 0 ? request('POST', target, structured, json)
          : n % 10 === 7 && odd === 0 ? request('POST', target, [['content-type', 'application/cloudevents-batch+json']], `[${json}]`)
          : n % 10 === 6 && odd === 0 ? request('POST', target, [...required, ['Transfer-Encoding', 'chunked']], chunked(Buffer.from('chunked')))
          : event(id, id.padEnd(odd === 3 ? 100_000 : 50));
        const isPlain = bytes.includes(`ce-id: ${id}\r\n`);
        const cutAt = 1 + ((n * 31 + round * 17) % (bytes.length - 1));
        sender.socket.write(bytes.subarray(0, cutAt));
        if (round % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
        sender.socket.write(bytes.subarray(cutAt));
        await fact(`the answer to ${id}`, () => count(sender.text(), '202 Accepted') === round + 1);
        if (isPlain) acknowledged.push(id);
      }
    }));
    const stored = receiver.pump.stored.map(({ value }) => value!.trimEnd()).filter((value) => /^\d+-\d+$/.test(value));
    expect(stored.sort()).toEqual(acknowledged.sort());
    expect(acknowledged.length).toBeGreaterThan(4_000);
    expect(receiver.budget.heldBytes).toBe(0);
  });
});
