/**
 * What is read of a response, what is refused, and that neither depends on how its bytes were split. That undici reads
 * the same is hostile-responses.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { HttpResponseReader } from './http-response.ts';

interface ReadResponse {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly headers: readonly string[] | undefined;
  readonly body: string;
  readonly keepsAlive: boolean;
  readonly keepAliveSeconds: number | undefined;
  readonly isComplete: boolean;
  readonly problem: string | undefined;
  /** How many bytes it took. */
  readonly taken: number;
}

/** Reads latin1 text in pieces that end at these places; a piece lies in memory that is overwritten afterwards. */
function readPieces(text: string, ends: readonly number[], thenEnds: boolean): ReadResponse {
  const bytes = Buffer.from(text, 'latin1');
  let headers: string[] | undefined;
  let body = '';
  const reader = new HttpResponseReader({
    head: (response) => {
      headers = response.headers();
    },
    body: (chunk, start, end) => {
      body += chunk.toString('latin1', start, end);
      return true;
    },
  });
  reader.begin();
  let taken = 0;
  for (const end of [...ends, bytes.length]) {
    if (end <= taken) continue;
    const piece = Buffer.concat([Buffer.from('..'), bytes.subarray(taken, end), Buffer.from('HTTP/1.1 200 OK\r\n')]);
    const size = end - taken;
    const stop = reader.read(piece, 2, 2 + size) - 2;
    piece.fill(0);
    taken += Math.max(0, stop);
    if (reader.isComplete || reader.problem !== undefined) break;
    expect(stop).toBe(size);
  }
  if (thenEnds) reader.readEnd();
  const { status, retryAfter, keepsAlive, keepAliveSeconds, isComplete, problem } = reader;
  return { status, retryAfter, headers, body, keepsAlive, keepAliveSeconds, isComplete, problem, taken };
}

const read = (text: string, thenEnds = false): ReadResponse => readPieces(text, [], thenEnds);
const everyByte = (text: string): number[] => Array.from(text, (_, i) => i + 1);

const good: [what: string, text: string, expected: Partial<ReadResponse>, toTheEnd?: boolean][] = [
  ['without a body', 'HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n', { status: 202, headers: ['Content-Length', '0'], body: '', keepsAlive: true }],
  ['without a reason', 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n', { status: 200, keepsAlive: true }],
  ['with an empty reason', 'HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n', { status: 200 }],
  ['with a reason of any bytes', 'HTTP/1.1 200 \xfc\t:x\r\nContent-Length: 0\r\n\r\n', { status: 200 }],
  ['with a body', 'HTTP/1.1 500 x\r\ncontent-length: 5\r\n\r\nhello', { status: 500, body: 'hello', keepsAlive: true }],
  ['with a body of any bytes', 'HTTP/1.1 500 x\r\ncontent-length: 6\r\n\r\n\0\r\n\r\n\xff', { body: '\0\r\n\r\n\xff' }],
  ['with a length that begins with zeros', 'HTTP/1.1 200 x\r\ncontent-length: 0002\r\n\r\nhi', { body: 'hi' }],
  ['with spaces around values', 'HTTP/1.1 200 x\r\nContent-LENGTH: \t 2 \t\r\nA:\t b c \t\r\nB:\r\nC:   \r\n\r\nhi', { headers: ['Content-LENGTH', '2', 'A', 'b c', 'B', '', 'C', ''], body: 'hi' }],
  ['with names of every kind', 'HTTP/1.1 204 x\r\n!#$%&\'*+-.^_`|~09azAZ: \x80\xff\r\na: 1\r\nA: 2\r\n\r\n', { headers: ['!#$%&\'*+-.^_`|~09azAZ', '\x80\xff', 'a', '1', 'A', '2'] }],
  ['without any header', 'HTTP/1.1 204 x\r\n\r\n', { status: 204, headers: [], keepsAlive: true }],
  ['in chunks', 'HTTP/1.1 200 x\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0A\r\n0123456789\r\n00\r\n\r\n', { body: 'abc0123456789', keepsAlive: true }],
  ['in no chunk', 'HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', { body: '', keepsAlive: true }],
  ['in chunks with extensions', 'HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\nx\r\n1;a=b;c="d;\\"\t"\r\ny\r\n0;z\r\n\r\n', { body: 'xy' }],
  ['in chunks with trailers', 'HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nRetry-After: 3\r\nConnection: close\r\nA: b\r\n\r\n', { body: 'x', headers: ['Transfer-Encoding', 'chunked'], retryAfter: undefined, keepsAlive: true }],
  ['until the connection ends', 'HTTP/1.1 200 x\r\nA: b\r\n\r\n', { status: 200, body: '', keepsAlive: false }, true],
  ['with a body until the connection ends', 'HTTP/1.1 200 x\r\n\r\nhello\r\n\r\n', { body: 'hello\r\n\r\n', keepsAlive: false }, true],
  ['of HTTP/1.0', 'HTTP/1.0 200 x\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi', { body: 'hi', keepsAlive: false }],
  ['204 with a length, which it cannot have', 'HTTP/1.1 204 x\r\nContent-Length: 2\r\n\r\n', { status: 204, body: '', keepsAlive: false }],
  ['204 with the length of nothing', 'HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n', { status: 204, keepsAlive: true }],
  ['304 with chunks, which it cannot have', 'HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n', { status: 304, keepsAlive: false }],
  ['behind an interim one', 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: close\r\nRetry-After: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', { status: 200, headers: ['Content-Length', '0'], retryAfter: undefined, keepsAlive: true }],
  ['with Retry-After, of two the first', 'HTTP/1.1 429 x\r\nRetry-After:  6 \r\nretry-after: 7\r\nContent-Length: 0\r\n\r\n', { retryAfter: '6' }],
  ['of a status that nobody knows', 'HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n', { status: 999 }],
  ['that closes', 'HTTP/1.1 200 x\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n', { keepsAlive: false }],
  ['that closes, among other things', 'HTTP/1.1 200 x\r\nConnection: keep-alive , close\r\nContent-Length: 0\r\n\r\n', { keepsAlive: false }],
  ['that keeps', 'HTTP/1.1 200 x\r\nConnection: Keep-Alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n', { keepsAlive: true, keepAliveSeconds: 5 }],
  ['that keeps for a while, and some requests', 'HTTP/1.1 200 x\r\nKeep-Alive: max=100, Timeout=72\r\nContent-Length: 0\r\n\r\n', { keepsAlive: true, keepAliveSeconds: 72 }],
  ['that says nothing about time', 'HTTP/1.1 200 x\r\nKeep-Alive: max=100\r\nContent-Length: 0\r\n\r\n', { keepAliveSeconds: undefined }],
  ['that closes and does not close', 'HTTP/1.1 200 x\r\nConnection: closed\r\nConnection: a-close\r\nContent-Length: 0\r\n\r\n', { keepsAlive: true }],
];

const head = 'HTTP/1.1 200 OK\r\n';
const chunked = `${head}Transfer-Encoding: chunked\r\n\r\n`;
const bad: [what: string, text: string, problem: RegExp][] = [
  ['text', 'not HTTP at all\r\n\r\n', /status line/],
  ['an empty line first', `\r\n${head}Content-Length: 0\r\n\r\n`, /status line/],
  ['a protocol in small letters', 'http/1.1 200 OK\r\n\r\n', /status line/],
  ['HTTP/2', 'HTTP/2 200 OK\r\n\r\n', /status line/],
  ['HTTP/1.2', 'HTTP/1.2 200 OK\r\n\r\n', /status line/],
  ['HTTP/0.9', 'HTTP/0.9 200 OK\r\n\r\n', /status line/],
  ['a frame of HTTP/2', '\0\0\x12\x04\0\0\0\0\0', /no line may have|status line/],
  ['a greeting of TLS', '\x16\x03\x01', /no line may have|status line/],
  ['a status of two digits', 'HTTP/1.1 20\r\n\r\n', /status line/],
  ['a status of four digits', 'HTTP/1.1 2000\r\n\r\n', /status line/],
  ['a status below 100', 'HTTP/1.1 099 x\r\n\r\n', /status line/],
  ['a status of letters', 'HTTP/1.1 2x0 x\r\n\r\n', /status line/],
  ['two spaces before the status', 'HTTP/1.1  200 x\r\n\r\n', /status line/],
  ['a tab behind the status', 'HTTP/1.1 200\tOK\r\n\r\n', /status line/],
  ['a line feed behind the status line', 'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n', /no line may have/],
  ['a line feed behind a header', `${head}Content-Length: 0\n\r\n`, /no line may have/],
  ['a line feed behind the head', `${head}Content-Length: 0\r\n\n`, /no line may have/],
  ['a carriage return within a value', `${head}A: b\rc\r\n\r\n`, /carriage return/],
  ['a zero within a value', `${head}A: b\0c\r\n\r\n`, /no line may have/],
  ['an escape within a value', `${head}A: \x1b[0m\r\n\r\n`, /no line may have/],
  ['a line that is continued', `${head}A: b\r\n c\r\n\r\n`, /without a name/],
  ['a first header that is continued', `${head} A: b\r\n\r\n`, /without a name/],
  ['a space before the colon', `${head}Content-Length : 0\r\n\r\n`, /without a name/],
  ['a header without a colon', `${head}Content-Length\r\n\r\n`, /without a name/],
  ['a header without a name', `${head}: 1\r\n\r\n`, /without a name/],
  ['a name of other letters', `${head}\xfc: 1\r\n\r\n`, /without a name/],
  ['two lengths that differ', `${head}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`, /two Content-Lengths/],
  ['two lengths that are the same', `${head}Content-Length: 1\r\nContent-Length: 1\r\n\r\na`, /two Content-Lengths/],
  ...['1, 1', '', ' ', '-1', '+1', '1.0', '0x1', '1 1', 'one', '\xb2'].map((length): [string, string, RegExp] => [`the length ${JSON.stringify(length)}`, `${head}Content-Length: ${length}\r\n\r\na`, /no number/]),
  ...['9007199254740993', '99999999999999999999', `1${'0'.repeat(400)}`].map((length): [string, string, RegExp] => [`the length ${length.slice(0, 20)}`, `${head}Content-Length: ${length}\r\n\r\na`, /no body has/]),
  ['a length and chunks', `${head}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, /both/],
  ['chunks and a length', `${head}Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n`, /both/],
  ['chunks twice', `${head}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, /not chunked/],
  ...['gzip', 'gzip, chunked', 'chunked, gzip', 'identity', 'xchunked', 'chunked;a', ''].map((coding): [string, string, RegExp] => [`the coding ${JSON.stringify(coding)}`, `${head}Transfer-Encoding: ${coding}\r\n\r\n0\r\n\r\n`, /not chunked/]),
  ['chunks in HTTP/1.0', 'HTTP/1.0 200 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', /HTTP\/1.0/],
  ['another protocol', 'HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n', /another protocol/],
  ...['', 'x', '-1', '+1', '0x1', ' 1', '1 ', 'g', '1;', '1;=a', '1;a=', '1;a="b', '1 ;a', '1;a b', '10000000000000', '00000000000001'].map((size): [string, string, RegExp] => [`the chunk size ${JSON.stringify(size)}`, `${chunked}${size}\r\nx\r\n0\r\n\r\n`, /chunk/]),
  ['a chunk longer than its size', `${chunked}1\r\nxy\r\n0\r\n\r\n`, /carriage return|longer than its size|no line may have/],
  ['a chunk that ends in a line feed', `${chunked}1\r\nx\n0\r\n\r\n`, /no line may have/],
  ['a chunk size that ends in a line feed', `${chunked}1\nx\r\n0\r\n\r\n`, /no line may have/],
  ['a trailer without a name', `${chunked}0\r\n x\r\n\r\n`, /without a name/],
  ['trailers that end in a line feed', `${chunked}0\r\nA: b\r\n\n`, /no line may have/],
  ['a trailer with a zero', `${chunked}0\r\nA: \0\r\n\r\n`, /no line may have/],
];

describe('a response', () => {
  it.each(good)('is read: %s', (_, text, expected, toTheEnd = false) => {
    expect(read(text, toTheEnd)).toMatchObject({ isComplete: true, problem: undefined, taken: text.length, ...expected });
  });

  it.each(good)('is the same however it is split: %s', (_, text, _expected, toTheEnd = false) => {
    const whole = read(text, toTheEnd);
    expect(readPieces(text, everyByte(text), toTheEnd)).toEqual(whole);
    for (let at = 1; at < text.length; at++) expect(readPieces(text, [at], toTheEnd)).toEqual(whole);
  });

  it.each(good.filter(([, , , toTheEnd]) => toTheEnd !== true))('is not complete before its last byte: %s', (_, text) => {
    for (let length = 0; length < text.length; length++) {
      expect(read(text.slice(0, length))).toMatchObject({ isComplete: false, problem: undefined });
      expect(read(text.slice(0, length), true)).toMatchObject({ isComplete: false, problem: expect.stringContaining('ends') });
    }
  });

  it.each(good.filter(([, , , toTheEnd]) => toTheEnd !== true))('takes no byte of what follows: %s', (_, text) => {
    for (const more of ['x', text]) {
      expect(read(text + more)).toEqual(read(text));
      for (let at = 1; at < text.length; at++) expect(readPieces(text + more, [at], false)).toEqual(read(text));
    }
  });

  it('is read again and again', () => {
    let bodies = '';
    const reader = new HttpResponseReader({
      head: () => undefined,
      body: (bytes, start, end) => {
        bodies += bytes.toString('latin1', start, end);
        return true;
      },
    });
    for (const [, text, { status }, toTheEnd] of [...good, ...good]) {
      const alone = read(text, toTheEnd).body;
      bodies = '';
      reader.begin();
      reader.read(Buffer.from(text, 'latin1'), 0, text.length);
      if (toTheEnd === true) reader.readEnd();
      expect(reader).toMatchObject({ isComplete: true, problem: undefined, ...(status === undefined ? {} : { status }) });
      expect(bodies).toBe(alone);
    }
  });

  it('is no longer read once its sink has enough', () => {
    let calls = 0;
    const reader = new HttpResponseReader({ head: () => undefined, body: () => ++calls < 2 });
    reader.begin();
    const text = Buffer.from(`${chunked}1\r\nx\r\n1\r\ny\r\n1\r\nz\r\n0\r\n\r\n`);
    reader.read(text, 0, text.length);
    reader.read(text, 0, text.length);
    expect(calls).toBe(2);
    expect(reader).toMatchObject({ isComplete: false, problem: undefined });
  });

  it('tells its first header of a name', () => {
    const told: (string | undefined)[] = [];
    const reader = new HttpResponseReader({ head: (response) => void told.push(...['ce-id', 'a', 'b', 'ce'].map((name) => response.first(name))), body: () => true });
    reader.begin();
    const text = Buffer.from('HTTP/1.1 204 x\r\nCE-Id:  1 \r\nce-id: 2\r\nB:\r\n\r\n');
    reader.read(text, 0, text.length);
    expect(told).toEqual(['1', undefined, '', undefined]);
  });
});

describe('what is refused', () => {
  it.each(bad)('is %s', (_, text, problem) => {
    expect(read(text)).toMatchObject({ isComplete: false, problem: expect.stringMatching(problem) });
  });

  it.each(bad)('is so however it is split: %s', (_, text) => {
    const { status, body } = read(text);
    for (const ends of [everyByte(text), ...Array.from(text, (_byte, i) => [i])]) {
      const pieces = readPieces(text, ends, false);
      expect(pieces).toMatchObject({ isComplete: false, problem: expect.any(String), status });
      expect(body.startsWith(pieces.body) || pieces.body.startsWith(body)).toBe(true);
    }
  });

  it('is not read on', () => {
    const reader = new HttpResponseReader({ head: () => undefined, body: () => true });
    reader.begin();
    reader.read(Buffer.from('x'), 0, 1);
    const answer = Buffer.from('HTTP/1.1 204 x\r\n\r\n');
    expect(reader.read(answer, 0, answer.length)).toBe(0);
    expect(reader.problem).toMatch(/status line/);
  });
});

describe('what is held of a response is bounded', () => {
  const begin = (): HttpResponseReader => {
    const reader = new HttpResponseReader({ head: () => undefined, body: () => true });
    reader.begin();
    return reader;
  };
  /** @returns how many bytes it took until it was refused; or more than a megabyte */
  function endless(start: string, more: string): number {
    const reader = begin();
    let taken = 0;
    for (let next = Buffer.from(start, 'latin1'); taken < 1_048_576 && reader.problem === undefined; next = Buffer.from(more, 'latin1')) {
      reader.read(next, 0, next.length);
      taken += next.length;
    }
    return taken;
  }

  it.each([
    ['a status line', 'HTTP/1.1 200 ', 'x'.repeat(100)],
    ['a name', head, 'x'.repeat(100)],
    ['a value', `${head}A: `, 'x'.repeat(100)],
    ['spaces before a value', `${head}A: `, ' '.repeat(100)],
    ['headers', head, `A: ${'b'.repeat(96)}\r\n`],
    ['empty headers', head, 'A:\r\n'.repeat(25)],
    ['interim responses', '', 'HTTP/1.1 102 Processing\r\n\r\n'],
    ['interim responses with headers', '', `HTTP/1.1 103 x\r\nLink: ${'x'.repeat(80)}\r\n\r\n`],
    ['the size of a chunk', chunked, '0'.repeat(100)],
    ['an extension of a chunk', `${chunked}1;a`, 'a'.repeat(100)],
    ['extensions of chunks', chunked, `1;${'a'.repeat(90)}\r\nx\r\n`],
    ['a trailer', `${chunked}0\r\nA: `, 'x'.repeat(100)],
    ['trailers', `${chunked}0\r\n`, 'A: b\r\n'.repeat(20)],
  ])('where %s never ends', (_, start, more) => {
    expect(endless(start, more)).toBeLessThan(140_000);
  });

  it('but not the number of chunks', () => {
    expect(endless(chunked, '1\r\nx\r\n'.repeat(20))).toBeGreaterThan(1_000_000);
  });

  it('which lets names and values of nearly 32 KiB pass', () => {
    const reader = begin();
    const large = (bytes: number): Buffer => Buffer.from(`HTTP/1.1 204 x\r\na: ${'x'.repeat(bytes - 1)}\r\n\r\n`);
    reader.read(large(32_766), 0, large(32_766).length);
    expect(reader.isComplete).toBe(true);
    const other = begin();
    other.read(large(32_768), 0, large(32_768).length);
    expect(other.problem).toMatch(/too large/);
  });
});
