/**
 * A subscriber that costs as little as it can: plain sockets, 202 for everything, at once, after a delay, or never. It
 * counts what arrives and takes the CPU time of those who send, because it alone knows when the first and the last
 * event came; where asked to, it remembers each of them.
 */
import { createServer as createControlServer, type IncomingMessage } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { Arrival } from '../core/arrivals.ts';
import { eventNumber, sentAtHeader } from '../core/bench-event.ts';
import { Histogram, type HistogramText } from '../core/histogram.ts';
import { headerValue, HttpHead } from '../core/http-head.ts';
import { childOptions, tell } from '../io/child.ts';
import { machineMicroseconds } from '../io/machine-clock.ts';
import { cpuMs } from '../io/process-usage.ts';

export interface SubscriberOptions {
  readonly port: number;
  readonly controlPort: number;
  /** From the whole request to its answer; 0 for at once. */
  readonly delayMs: number | 'never';
  /** Whether each event is remembered, for `/arrivals`; they carry the time of sending then. */
  readonly hasJournal?: boolean;
}

/** What is to be measured of the events to come, counted from the last reset. */
export interface MeasureOptions {
  /** Arrive before what counts. */
  readonly skip: number;
  /** How many count. */
  readonly events: number;
  /** Whether the events carry the time of sending. */
  readonly isStamped?: boolean;
  /** Processes whose CPU time is taken at both ends. */
  readonly watch: readonly number[];
}

export interface MeasureResult {
  readonly events: number;
  readonly elapsedMs: number;
  readonly cpuMs: readonly number[];
  /** From sending to arrival, of stamped events. */
  readonly delays: HistogramText;
}

interface Measurement extends MeasureOptions {
  readonly done: (result: MeasureResult) => void;
  cpuBefore: readonly number[];
  startedAt: number;
}

const answer = Buffer.from('HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n');
const { port, controlPort, delayMs, hasJournal = false } = childOptions() as SubscriberOptions;

let arrived = 0;
let delays = new Histogram();
let measurement: Measurement | undefined;
let journal: Arrival[] = [];

function onEvent(socket: Socket, bytes: Buffer, from: number, headEnd: number): void {
  arrived++;
  if (measurement !== undefined) count(measurement, bytes, from, headEnd);
  if (hasJournal) remember(bytes, from, headEnd);
  if (delayMs === 'never') return;
  if (delayMs === 0) socket.write(answer);
  else setTimeout(() => socket.write(answer), delayMs);
}

function count(current: Measurement, bytes: Buffer, from: number, headEnd: number): void {
  if (arrived <= current.skip) {
    if (arrived === current.skip) begin(current);
    return;
  }
  if (current.startedAt === 0) begin(current); // nothing to skip
  if (current.isStamped === true) delays.record(machineMicroseconds() - Number(headerValue(bytes, from, headEnd, `${sentAtHeader}:`)));
  if (arrived >= current.skip + current.events) end(current);
}

function remember(bytes: Buffer, from: number, headEnd: number): void {
  const at = Math.round(machineMicroseconds());
  journal.push({ n: eventNumber(headerValue(bytes, from, headEnd, 'ce-id:')), at, sentAt: Number(headerValue(bytes, from, headEnd, `${sentAtHeader}:`)) });
}

function begin(current: Measurement): void {
  current.cpuBefore = current.watch.map(cpuMs);
  current.startedAt = performance.now();
  delays = new Histogram();
}

function end(current: Measurement): void {
  measurement = undefined;
  current.done({
    events: arrived - current.skip,
    elapsedMs: performance.now() - current.startedAt,
    cpuMs: current.watch.map((pid, index) => cpuMs(pid) - current.cpuBefore[index]!),
    delays: delays.toJSON(),
  });
}

createServer({ noDelay: true }, (socket) => {
  const head = new HttpHead();
  let rest: Buffer | undefined;
  socket.on('error', () => undefined); // whoever sends is stopped in the middle of things, too
  socket.on('data', (chunk: Buffer) => {
    let bytes = chunk;
    if (rest !== undefined) bytes = Buffer.concat([rest, chunk]);
    rest = undefined;
    for (let at = 0; at < bytes.length; ) {
      if (!head.read(bytes, at, bytes.length) || head.end + Math.max(0, head.bodyBytes) > bytes.length) {
        rest = bytes.subarray(at);
        return;
      }
      onEvent(socket, bytes, at, head.end);
      at = head.end + Math.max(0, head.bodyBytes);
    }
  });
}).listen(port, '127.0.0.1', () => {
  createControlServer((request, response) => {
    if (request.url === '/reset') {
      arrived = 0;
      measurement = undefined;
      response.end('{}');
    } else if (request.url === '/arrived') {
      response.end(JSON.stringify({ arrived }));
    } else if (request.url === '/arrivals') {
      response.end(JSON.stringify(journal));
      journal = [];
    } else {
      void readJson(request).then((options) => {
        measurement = { ...(options as MeasureOptions), cpuBefore: [], startedAt: 0, done: (result) => response.end(JSON.stringify(result)) };
      });
    }
  }).listen(controlPort, '127.0.0.1', () => tell('ready', { port }));
});

async function readJson(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += String(chunk);
  return JSON.parse(text);
}
