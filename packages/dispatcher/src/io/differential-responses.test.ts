/**
 * Generated responses, answered to both ways of the client: the same answer comes of them. One that is well formed must
 * be read as undici reads it; one that was spoilt must not be a success, or a reply, that undici does not see.
 *
 * Set `RESPONSES` to try more of them, and `SEED` to try others.
 */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { TextHeaders } from '../core/request-headers.ts';
import type { DeliveryAnswer } from '../core/response-verdict.ts';
import { createSubscriberClient, type SubscriberClient } from './subscriber-client.ts';

const count = Number(process.env['RESPONSES'] ?? 500);
const firstSeed = Number(process.env['SEED'] ?? 1);
vi.setConfig({ testTimeout: 60_000 + count * 20 });

/** Mulberry32: the same numbers for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

interface Generator {
  /** A whole number below this. */
  below(limit: number): number;
  one<T>(choices: readonly T[]): T;
  chance(share: number): boolean;
}

function generatorOf(seed: number): Generator {
  const random = randomOf(seed * 7_919);
  const below = (limit: number): number => Math.floor(random() * limit);
  return { below, one: (choices) => choices[below(choices.length)]!, chance: (share) => random() < share };
}

interface GeneratedResponse {
  readonly pieces: readonly string[];
  readonly ends: boolean;
}

const statuses = [200, 200, 200, 201, 202, 204, 299, 301, 304, 400, 404, 422, 429, 500, 503, 600, 999];
const eventHeaders = ['ce-specversion: 1.0', 'Ce-Id: r', 'CE-SOURCE: /r', 'ce-type:  t ', 'content-type: text/plain', 'traceparent: 00-x'];
const otherHeaders = ['Server: x/1.0 (y)', 'Date: Sun, 22 Nov 2026 21:00:00 GMT', 'X-Empty:', 'x-tab:\ta\tb', 'X-Latin: \xe4\xf6\xfc', 'Set-Cookie: a=b', 'Set-Cookie: c=d', 'Retry-After: 7', 'retry-after:12', 'Content-Type: application/cloudevents+json', 'Content-Type: text/html; charset="x"', 'Keep-Alive: timeout=5, max=1', 'Keep-Alive: timeout=1', 'Connection: keep-alive', 'Connection: close', 'A: b, c', "!#$%&'*+-.^_`|~: z", `X-Long: ${'y'.repeat(3_000)}`];

function wellFormed(g: Generator): { readonly text: string; readonly ends: boolean } {
  const interim = g.chance(0.1) ? g.one(['HTTP/1.1 102 Processing\r\n\r\n', 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n']) : '';
  const status = g.one(statuses);
  const lines = [`HTTP/1.1 ${status}${g.one([' OK', ' ', '', ' No \xe4\tReason'])}`];
  if (g.chance(0.4)) lines.push(...eventHeaders.slice(0, g.one([1, 4, 6])));
  for (let n = g.below(6); n > 0; n--) lines.push(g.one(otherHeaders));
  const hasBody = status !== 204 && status !== 304;
  const body = hasBody ? g.one(['', 'x', 'hello\r\n\r\nHTTP/1.1 200 OK\r\n\r\n', 'y'.repeat(g.below(3_000)), '\0\xff\r\n'.repeat(g.below(50))]) : '';
  const framing = hasBody ? g.one(['length', 'length', 'chunks', 'chunks', 'end']) : 'none';
  if (framing === 'length') lines.splice(1 + g.below(lines.length), 0, `${g.one(['Content-Length', 'content-length', 'CONTENT-LENGTH'])}:${g.one(['', ' ', ' \t'])}${g.one(['', '', '00'])}${body.length}`);
  if (framing === 'chunks') lines.splice(1 + g.below(lines.length), 0, `Transfer-Encoding: ${g.one(['chunked', 'Chunked'])}`);
  return { text: `${interim}${lines.join('\r\n')}\r\n\r\n${framing === 'chunks' ? chunksOf(body, g) : body}`, ends: framing === 'end' || g.chance(0.1) };
}

function chunksOf(body: string, g: Generator): string {
  let text = '';
  for (let at = 0; at < body.length;) {
    const size = 1 + g.below(Math.max(1, g.one([4, 100, body.length])));
    const chunk = body.slice(at, at + size);
    text += `${g.one(['', '', '0'])}${g.one([chunk.length.toString(16), chunk.length.toString(16).toUpperCase()])}${g.one(['', '', '', ';a', ';a=b;c="d e"'])}\r\n${chunk}\r\n`;
    at += size;
  }
  return `${text}0\r\n${g.one(['', '', 'Retry-After: 99\r\n', 'A: b\r\nC:\r\n'])}\r\n`;
}

const spoilers = ['\n', '\r', '\0', ' ', '\t', ':', '\x7f', '\x80', '-', '+', '0', '9', 'f', ';', ',', '\r\n', '\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', 'Content-Length: 3\r\n', 'Transfer-Encoding: chunked\r\n', 'Transfer-Encoding: gzip\r\n'];

function spoilt(text: string, g: Generator): string {
  const at = g.chance(0.7) ? g.below(Math.min(text.length, 300)) : g.below(text.length);
  switch (g.below(4)) {
    case 0: return text.slice(0, at) + g.one(spoilers) + text.slice(at);
    case 1: return text.slice(0, at) + text.slice(at + 1 + g.below(3));
    case 2: return text.slice(0, at) + g.one(spoilers) + text.slice(at + 1);
    default: return text.slice(0, at);
  }
}

function piecesOf(text: string, g: Generator): readonly string[] {
  const pieces: string[] = [];
  const largest = g.one([1, 5, 40, 100_000, 100_000, 100_000]);
  if (text.length / largest > 400) return [text];
  for (let at = 0; at < text.length;) {
    const size = 1 + g.below(largest);
    pieces.push(text.slice(at, at + size));
    at += size;
  }
  return pieces;
}

describe('generated responses', () => {
  let server: Server;
  let url: string;
  const sockets = new Set<Socket>();
  const responses = new Map<string, GeneratedResponse>();
  /** Whatever a response asks for, each attempt has a connection of its own: what one leaves is not the next one's. */
  const answer = async (id: string, usesSockets: boolean, timeoutMs: number): Promise<DeliveryAnswer> => {
    const client: SubscriberClient = createSubscriberClient({ connectionsPerDestination: 1, connectTimeoutMs: 30_000, replyLimitBytes: 2_000, usesSockets });
    try {
      return await client.send({ uri: url, headers: new TextHeaders(['ce-id', id]), body: null, timeoutMs, wantsReply: true });
    } finally {
      await client.close();
    }
  };

  beforeAll(async () => {
    server = createServer({ noDelay: true }, (socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
      let request = '';
      socket.on('data', (bytes) => {
        request += bytes.toString('latin1');
        if (!request.endsWith('\r\n\r\n')) return;
        const { pieces, ends } = responses.get(/ce-id: (\w+)/.exec(request)![1]!)!;
        let next = 0;
        const more = (): void => {
          if (next < pieces.length) socket.write(pieces[next++]!, 'latin1', () => setImmediate(more));
          else if (ends) socket.end();
        };
        more();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  });
  afterAll(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  /** Some at a time. */
  async function each(kind: string, make: (g: Generator) => GeneratedResponse, timeoutMs: number, check: (seed: number, own: DeliveryAnswer, undici: DeliveryAnswer) => void): Promise<void> {
    let next = firstSeed;
    const lane = async (): Promise<void> => {
      while (next < firstSeed + count) {
        const seed = next++;
        const id = `${kind}${seed}`;
        responses.set(id, make(generatorOf(seed)));
        const [own, undici] = await Promise.all([answer(id, true, timeoutMs), answer(id, false, timeoutMs)]);
        check(seed, own, undici);
        responses.delete(id);
      }
    };
    await Promise.all(Array.from({ length: 20 }, lane));
  }

  it('that are well formed give the same answer', async () => {
    await each('good', (g) => {
      const { text, ends } = wellFormed(g);
      return { pieces: piecesOf(text, g), ends };
    }, 30_000, (seed, own, undici) => {
      expect({ seed, ...trimmed(own) }).toEqual({ seed, ...trimmed(undici) });
      expect(own).toHaveProperty('status');
    });
  });

  it('that are spoilt give the same answer, or a failure', async () => {
    let same = 0;
    await each('bad', (g) => ({ pieces: piecesOf(spoilt(wellFormed(g).text, g), g), ends: true }), 30_000, (seed, own, undici) => {
      if ('failure' in own) {
        expect({ seed, failure: own.failure }).toEqual({ seed, failure: 'connection-lost' });
        same += 'failure' in undici ? 1 : 0;
        return;
      }
      // How much of a failure's body came before it was found to be odd is told to people, and decides nothing.
      expect({ seed, ...trimmed(own), body: undefined }).toEqual({ seed, ...trimmed(undici), body: undefined });
      same++;
    });
    expect(same).toBeGreaterThan(0.8 * count);
  });
});

/** Without white space around the values of a reply, which is none of theirs: the codec leaves it out. */
function trimmed(answer: DeliveryAnswer): DeliveryAnswer {
  if ('failure' in answer || typeof answer.reply !== 'object') return answer;
  return { ...answer, reply: { ...answer.reply, headers: answer.reply.headers.map((text) => text.replace(/^[\t ]+|[\t ]+$/g, '')) } };
}
