/**
 * Requests for tests that look for the one nobody thought of: plain events, events that are slightly odd, requests that
 * some read in one way and some in another, and all of them with bytes changed; several on a connection, cut anywhere.
 */
import type { SeededRandom } from '../../../common/src/core/cloudevents/seeded-random.ts';

const names = {
  specversion: ['ce-specversion', 'Ce-Specversion', 'CE-SpecVersion'],
  id: ['ce-id', 'Ce-Id', 'CE-ID'],
  source: ['ce-source', 'Ce-Source'],
  type: ['ce-type', 'Ce-Type'],
  host: ['Host', 'host', 'HOST'],
  length: ['Content-Length', 'content-length', 'CONTENT-LENGTH'],
  contentType: ['Content-Type', 'content-type'],
};

const goodLines = [
  'ce-subject: order 17', 'Ce-Subject: a', 'ce-partitionkey: key-1', 'ce-partitionkey: other key', 'ce-time: 2024-02-29T23:59:59.123456789-07:00', 'ce-time: 2016-12-31t23:59:60z',
  'ce-dataschema: https://example.com/s?x=%C3%A9#f', 'ce-ext: 007', 'ce-a1: "quoted" text', 'CE-UPPER: x', `ce-long: ${'v'.repeat(70)}`, `ce-longer: ${'v'.repeat(5_000)}`, `ce-${'n'.repeat(60)}: 1`,
  'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'TraceState: vendor=a,other=b', 'X-Request-Id: 42', 'x-b3-traceid: 0af7651916cd43dd', 'X-B3-Sampled:1', 'Knative-Hello: World', 'knative-: x', 'x-request-id:',
  'User-Agent: Go-http-client/1.1', 'Accept: */*', 'Accept-Encoding: gzip', 'Connection: keep-alive', 'connection:Keep-Alive', 'Keep-Alive: timeout=5', 'Prefer: reply', 'Authorization: Bearer x', 'Cookie: a=b', 'X-Empty:', 'Kn-Namespace: shop', 'Upgrade-Insecure-Requests: 1',
];

/** Lines that make a request another one, or none; `\r\n` follows each. */
const oddLines = [
  'Transfer-Encoding: chunked', 'Transfer-Encoding: identity', 'Transfer-Encoding : chunked', 'Transfer-Encoding:\tchunked', 'Transfer-Encoding: xchunked', 'Transfer-Encoding:\x0bchunked', 'transfer-encoding: chunked, identity', 'X: y\r\n Transfer-Encoding: chunked', 'Transfer_Encoding: chunked', 'Transfer-Encoding: \r\n chunked',
  'Content-Length: 0', 'Content-Length: 5', 'Content-Length: +5', 'Content-Length: -1', 'Content-Length: 5, 5', 'Content-Length: 0x5', 'Content-Length: 5 ', 'Content-Length:\t5', 'Content-Length: 00005', 'Content-Length: 5\x0b', 'Content-Length : 5', 'Content-Length: 99999999999999999999', 'Content-Length: 4294967301', 'Content_Length: 5', 'Content-Length: ', 'Content-Length: 5\r\n 0', 'content-length:5;a=b',
  'Host: other.example.com', 'Host:', 'Host: shop.s0.example.com', 'Host : x', 'Connection: close', 'Connection: Upgrade', 'Connection: keep-alive, close', 'Connection: content-length', 'Connection: keep-alive ', 'Upgrade: h2c', 'Upgrade: websocket', 'Expect: 100-continue', 'Expect: 200-ok', 'TE: trailers', 'Trailer: ce-id', 'Proxy-Connection: close', 'Proxy-Authorization: x', 'HTTP2-Settings: AAMAAABk',
  'Content-Encoding: gzip', 'Content-Encoding: identity', 'Content-Type: application/cloudevents+json', 'Content-Type: application/cloudevents-batch+json', 'content-type: Application/CloudEvents', 'Content-Type:', 'Content-Type: nonsense', 'Content-Type: text/plain; charset="a;b"', 'Content-Type: text/plain;\tx=y',
  'ce-id: again', 'CE-ID: again', 'ce-data: x', 'ce-datacontenttype: text/plain', 'ce-my-ext: x', 'ce-my_ext: x', 'ce-: x', 'ce: x', 'ce-ext2: 100%', 'ce-ext2: %41', 'ce-ext2: %20a', 'ce-subject: Gr%C3%BC', 'ce-subject: Grüße', 'ce-subject: \xff', 'ce-subject:', 'ce-subject: \t a \t', 'ce-partitionkey:   spaced   ', 'ce-ext2: a\tb', 'ce-ext2: a\x00b', 'ce-ext2: a\x7fb', 'ce-ext2: a\rb', 'ce-ext2: a\nb', 'ce-ext2: a\r\n folded', `ce-${'n'.repeat(61)}: 1`, `ce-${'n'.repeat(300)}: 1`, 'ce-schemaurl: /s', 'ce-specversion: 0.3', 'ce-time: yesterday', 'ce-time: 2024-02-30T00:00:00Z', 'ce-dataschema: relative', 'ce-source: /twice', 'ce-source: %zz', 'ce-source: a b',
  'traceparent: a\tb', 'traceparent: \xe9', 'tracestate: ', 'tracestate: a', `knative-${'n'.repeat(60)}: x`, 'X-B3-: x',
  ' leading: space', '\tleading: tab', ': no name', 'no colon', 'a b: c', 'a\x00b: c', 'a(b): c', 'é: c', 'bare: \n', 'bare: cr\r', '\n', '\r', 'x: y\n', 'x: y\n\r\n', 'x: y\r\n\n', `x-large: ${'v'.repeat(9_000)}`, `x-huge: ${'v'.repeat(33_000)}`, Array.from({ length: 120 }, (_, n) => `x-${n}: y`).join('\r\n'), Array.from({ length: 505 }, () => 'x: y').join('\r\n'), Array.from({ length: 70 }, (_, n) => `ce-n${n}: y`).join('\r\n'),
];

const methods = ['GET', 'post', 'POSTS', 'PUT', 'OPTIONS', 'HEAD', 'POS', '\r\nPOST', '\nPOST', ' POST', 'PRI', 'CONNECT'];
/** At these `node:http` breaks the connection, and requests that came before in the same read go unread and unanswered. */
const laterMethods = methods.filter((method) => method !== 'PRI' && method !== 'CONNECT');
const versions = ['HTTP/1.0', 'HTTP/1.2', 'HTTP/2.0', 'http/1.1', 'HTTP/1.1 ', 'HTTP/01.1', 'HTTP/1.1\x0b', ''];
const separators = ['  ', '\t', ''];
const lineEnds = ['\n', '\r', '\r\r\n', ' \r\n', '\n\r'];
const bodies = ['', '', '{}', '{"n":1}', 'x'.repeat(300), 'x'.repeat(700), '0\r\n\r\n', '5\r\nhello\r\n0\r\n\r\n', '5;a="\r\n"\r\nhello\r\n0\r\n\r\n', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', '{"specversion":"1.0","id":"1","source":"/s","type":"t"}'];

/** @param channel `namespace/name`, whose other address is the host `namespace.name.example.com` */
export function oddConnection(random: SeededRandom, channel: string): readonly Buffer[] {
  const requests = Array.from({ length: random.pick([1, 1, 1, 2, 3]) }, (_, n) => oddRequest(random, channel, n === 0 ? methods : laterMethods));
  return cut(random, Buffer.concat(requests));
}

function oddRequest(random: SeededRandom, channel: string, otherMethods: readonly string[]): Buffer {
  const oddity = random.pick([0, 0, 0, 0, 0, 0, 1, 1, 2, 3]);
  const body = random.pick(bodies);
  const lines = random.below(4) === 0 ? shuffled(random, usualLines(random, channel, body)) : usualLines(random, channel, body);
  for (let n = random.below(4); n > 0; n--) lines.splice(random.below(lines.length + 1), 0, random.pick(goodLines));
  for (let n = 0; n < oddity; n++) changeLines(random, lines);
  const head = `${startLine(random, channel, oddity > 0 ? otherMethods : [])}${lines.map((line) => `${line}\r\n`).join('')}\r\n`;
  const bytes = Buffer.from(head + body, 'latin1');
  return oddity > 0 && random.below(3) === 0 ? changeBytes(random, bytes) : bytes;
}

/** @param otherMethods none where the line is to be as usual */
function startLine(random: SeededRandom, channel: string, otherMethods: readonly string[]): string {
  const isOdd = (): boolean => otherMethods.length > 0 && random.below(12) === 0;
  const method = isOdd() ? random.pick(otherMethods) : 'POST';
  const target = random.pick(isOdd() ? ['/', '*', '', `http://x/${channel}`, `//${channel}`, `/${channel}#f`, `/${channel}?a b`, `/${channel}\xe9`, `/${channel}"`, `/${channel}%`, `/${channel}/..`, `/${channel}/x`, `/unknown`] : [`/${channel}`, `/${channel}`, `/${channel}`, `/${channel}/`, `/${channel}?x=y&z=/`, '/']);
  const version = isOdd() ? random.pick(versions) : 'HTTP/1.1';
  const [first, second] = [isOdd() ? random.pick(separators) : ' ', isOdd() ? random.pick(separators) : ' '];
  return `${method}${first}${target}${second}${version}${isOdd() ? random.pick(lineEnds) : '\r\n'}`;
}

function usualLines(random: SeededRandom, channel: string, body: string): string[] {
  const colon = (): string => random.pick([': ', ': ', ': ', ':', ':  ']);
  const end = (): string => random.pick(['', '', '', '', ' ']);
  const line = (spellings: readonly string[], value: string): string => `${random.pick(spellings)}${colon()}${value}${end()}`;
  const lines = [
    line(names.host, `${channel.replace('/', '.')}.example.com`),
    line(names.specversion, '1.0'),
    line(names.id, `id-${random.below(1_000)}`),
    line(names.source, random.pick(['/s', 'urn:x:y', 'https://example.com/a?b=c', '/a%20b'])),
    line(names.type, 'com.example.type'),
    `${random.pick(names.length)}${colon()}${body.length}`,
  ];
  if (random.below(3) > 0) lines.push(line(names.contentType, random.pick(['application/json', 'text/plain; charset=utf-8', 'application/octet-stream', 'Application/JSON;Charset="UTF-8"'])));
  return lines;
}

function changeLines(random: SeededRandom, lines: string[]): void {
  const at = random.below(lines.length);
  switch (random.below(8)) {
    case 0: // one is missing
      lines.splice(at, 1);
      break;
    case 1: // one comes twice
      lines.splice(random.below(lines.length + 1), 0, lines[at]!);
      break;
    case 2: // one ends otherwise
      lines[at] = lines[at]! + random.pick(['\n', '\r', ' ', '\t', '\x00', '\x0c', '\xa0']);
      break;
    case 3: // the length is another
      for (let n = 0; n < lines.length; n++) if (/^content-length/i.test(lines[n]!)) lines[n] = `Content-Length: ${random.below(80)}`;
      break;
    default:
      lines.splice(random.below(lines.length + 1), 0, random.pick(oddLines));
  }
}

function changeBytes(random: SeededRandom, bytes: Buffer): Buffer {
  let changed = bytes;
  for (let n = 1 + random.below(3); n > 0; n--) {
    const at = random.below(changed.length);
    const byte = random.pick([0, 9, 10, 13, 32, 37, 44, 58, 59, 127, 128, 255, random.below(256), random.below(256), random.below(256)]);
    const rest = changed.subarray(at + random.pick([0, 1, 1]));
    changed = Buffer.concat([changed.subarray(0, at), random.below(3) === 0 ? Buffer.alloc(0) : Buffer.from([byte]), rest]);
  }
  return changed;
}

function shuffled<T>(random: SeededRandom, items: readonly T[]): T[] {
  const left = [...items];
  return items.map(() => left.splice(random.below(left.length), 1)[0]!);
}

/** In one piece, in pieces, in single bytes (as far as there are not too many), or at the places where it matters. */
function cut(random: SeededRandom, bytes: Buffer): readonly Buffer[] {
  const places = new Set<number>();
  const headEnd = bytes.indexOf('\r\n\r\n');
  switch (random.below(10)) {
    case 0:
    case 1:
    case 2:
    case 3:
      break;
    case 4: // single bytes
      for (let at = 1; at < Math.min(bytes.length, 2_000); at++) places.add(at);
      break;
    case 5:
    case 6: // around the end of the head
      for (const offset of [-2, -1, 0, 1, 2, 3, 4, 5, 6]) if (headEnd >= 0 && random.below(3) === 0) places.add(headEnd + offset);
      break;
    default:
      for (let n = random.below(5); n >= 0; n--) places.add(random.below(bytes.length));
  }
  const sorted = [...places].filter((at) => at > 0 && at < bytes.length).sort((a, b) => a - b);
  return [...sorted, bytes.length].map((end, index) => bytes.subarray(sorted[index - 1] ?? 0, end));
}
