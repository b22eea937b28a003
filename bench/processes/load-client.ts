/**
 * Sends events over HTTP and times the answers. Lean, because it shares the machine with what it measures: plain
 * sockets with one read buffer for all, requests built before, no allocation per request.
 *
 * Closed loop: each connection sends the next event when the answer is there. Open loop: events are due at a fixed
 * rate, whatever the answers do, and those of the same millisecond leave together, because timers are no finer. An open-loop event's time begins when it is due and includes waiting for a free
 * connection; only this process's own lateness (a timer fires late) is left out of it, and told apart.
 */
import { connect, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { batchRequest, eventRequest, keyCount, sentAtHeader } from '../core/bench-event.ts';
import { Histogram, type HistogramText } from '../core/histogram.ts';
import { HttpHead, responseStatus } from '../core/http-head.ts';
import { childOptions, exitOnError, tell } from '../io/child.ts';
import { machineMicroseconds } from '../io/machine-clock.ts';
import { cpuMs } from '../io/process-usage.ts';

export interface LoadOptions {
  readonly port: number;
  readonly path: string;
  readonly connections: number;
  /** Events per second of the open loop; closed loop without it. */
  readonly rate?: number;
  /** Before what counts. */
  readonly warmUpMs: number;
  readonly durationMs: number;
  /** Of JSON in each event; 1 KiB unless told. */
  readonly dataBytes?: number;
  /** More than one go in a batch. */
  readonly eventsPerRequest?: number;
  /** Whether each event carries the time it was sent. */
  readonly isStamped?: boolean;
  /** Processes whose CPU time is taken at both ends of what counts. */
  readonly watch: readonly number[];
}

export interface LoadResult {
  /** Answered while it counted. */
  readonly answered: number;
  readonly elapsedMs: number;
  /** Answers other than 202, warm-up included, by status. */
  readonly refused: Readonly<Record<string, number>>;
  /** Of each watched process. */
  readonly cpuMs: readonly number[];
  /** Of this process, over the same time. */
  readonly clientCpuMs: number;
  readonly latency: HistogramText;
  /** How late this process itself was with events that were due. */
  readonly lateness: HistogramText;
}

/** How long the last answers may take. */
const patienceMs = 15_000;
const readBuffer = Buffer.allocUnsafe(64 * 1024);

class LoadClient {
  readonly #options: LoadOptions;
  readonly #connections: Connection[] = [];
  readonly #idle: Connection[] = [];
  readonly #requests: readonly Buffer[];
  /** Due times of open-loop events that wait for a connection; those before `head` are gone. */
  #waiting: number[] = [];
  #waitingHead = 0;
  #sent = 0;
  #open = 0;
  #from = Infinity;
  #to = Infinity;
  #isOver = false;
  #answered = 0;
  readonly #refused: Record<string, number> = {};
  readonly #latency = new Histogram();
  readonly #lateness = new Histogram();
  readonly #ended = Promise.withResolvers<true>();

  constructor(options: LoadOptions) {
    this.#options = options;
    const { port, path, dataBytes, eventsPerRequest } = options;
    const host = `127.0.0.1:${port}`;
    this.#requests =
      eventsPerRequest === undefined
        ? Array.from({ length: keyCount }, (_, n) => eventRequest(n, host, path, [], dataBytes))
        : Array.from({ length: Math.ceil(keyCount / eventsPerRequest) }, (_, n) => batchRequest(n * eventsPerRequest, eventsPerRequest, host, path, dataBytes));
  }

  async run(): Promise<LoadResult> {
    const { warmUpMs, durationMs, watch, rate } = this.#options;
    await Promise.all(Array.from({ length: this.#options.connections }, () => this.#connect()));
    this.#idle.push(...this.#connections);
    const startedAt = performance.now();
    this.#from = startedAt + warmUpMs;
    this.#to = this.#from + durationMs;
    if (rate === undefined) for (const connection of this.#idle.splice(0)) this.#send(connection, performance.now());
    else this.#sendWhenDue(startedAt, rate);

    await this.#until(this.#from);
    const cpuBefore = watch.map(cpuMs);
    const ownCpuBefore = process.cpuUsage();
    const measuredFrom = performance.now();
    this.#answered = 0;
    await this.#until(this.#to);
    const cpuAfter = watch.map(cpuMs);
    const elapsedMs = performance.now() - measuredFrom;
    const ownCpu = process.cpuUsage(ownCpuBefore);
    const answered = this.#answered;

    this.#isOver = true;
    const timer = setTimeout(() => this.#ended.reject(new Error(`${this.#open} requests were not answered in ${patienceMs} ms`)), patienceMs);
    this.#endWhenDone();
    await this.#ended.promise;
    clearTimeout(timer);
    return {
      answered,
      elapsedMs,
      refused: this.#refused,
      cpuMs: cpuAfter.map((after, index) => after - cpuBefore[index]!),
      clientCpuMs: (ownCpu.user + ownCpu.system) / 1000,
      latency: this.#latency.toJSON(),
      lateness: this.#lateness.toJSON(),
    };
  }

  /** @throws Error when a connection fails before */
  #until(time: number): Promise<unknown> {
    return Promise.race([this.#ended.promise, new Promise<void>((resolve) => setTimeout(resolve, time - performance.now()))]);
  }

  async #connect(): Promise<void> {
    const connection = new Connection(this.#options.port, {
      answered: (startedAt, status) => this.#onAnswer(connection, startedAt, status),
      failed: (error) => this.#ended.reject(error),
    });
    await connection.connected;
    this.#connections.push(connection);
  }

  #send(connection: Connection, startedAt: number): void {
    this.#open++;
    const n = this.#sent++;
    if (this.#options.isStamped === true) {
      const { port, path } = this.#options;
      connection.send(eventRequest(n, `127.0.0.1:${port}`, path, [sentAtHeader, machineMicroseconds().toFixed(1)]), startedAt);
    } else connection.send(this.#requests[n % this.#requests.length]!, startedAt);
  }

  #onAnswer(connection: Connection, startedAt: number, status: number): void {
    const now = performance.now();
    this.#open--;
    this.#answered++;
    if (status !== 202) this.#refused[status] = (this.#refused[status] ?? 0) + 1;
    if (startedAt >= this.#from && startedAt < this.#to) this.#latency.record((now - startedAt) * 1000);
    if (this.#options.rate === undefined) {
      if (now < this.#to) this.#send(connection, now);
      else this.#endWhenDone();
      return;
    }
    if (this.#waitingHead < this.#waiting.length) {
      this.#send(connection, this.#waiting[this.#waitingHead++]!);
      return;
    }
    this.#waiting = [];
    this.#waitingHead = 0;
    this.#idle.push(connection);
    this.#endWhenDone();
  }

  /** Each event of the whole time, warm-up included, once it is due: exactly rate × time of them. */
  #sendWhenDue(startedAt: number, rate: number): void {
    const { warmUpMs, durationMs } = this.#options;
    const total = Math.round((rate * (warmUpMs + durationMs)) / 1000);
    const dueAt = (n: number): number => startedAt + (n * 1000) / rate;
    let next = 0;
    const tick = (): void => {
      const now = performance.now();
      for (; next < total && dueAt(next) <= now; next++) {
        if (dueAt(next) >= this.#from) this.#lateness.record((now - dueAt(next)) * 1000);
        // In turn: a connection that never sends its first request is closed by the server after ten seconds.
        const connection = this.#idle.shift();
        if (connection === undefined) this.#waiting.push(now);
        else this.#send(connection, now);
      }
      if (next < total) setTimeout(tick, dueAt(next) - now);
      else this.#endWhenDone();
    };
    tick();
  }

  #endWhenDone(): void {
    if (this.#isOver && this.#open === 0 && this.#waitingHead >= this.#waiting.length) this.#ended.resolve(true);
  }
}

class Connection {
  readonly connected: Promise<true>;
  readonly #socket: Socket;
  readonly #head = new HttpHead();
  readonly #onAnswer: (startedAt: number, status: number) => void;
  readonly #onFailure: (error: Error) => void;
  #startedAt = 0;
  /** An answer that came in pieces. */
  #rest: Buffer | undefined;

  constructor(port: number, told: { answered: (startedAt: number, status: number) => void; failed: (error: Error) => void }) {
    this.#onAnswer = told.answered;
    this.#onFailure = told.failed;
    const connected = Promise.withResolvers<true>();
    this.connected = connected.promise;
    this.#socket = connect({
      host: '127.0.0.1',
      port,
      noDelay: true,
      // One buffer for all: it is read before the next socket gets its turn.
      onread: { buffer: readBuffer, callback: (count) => this.#onRead(count) },
    });
    this.#socket.once('connect', () => connected.resolve(true));
    this.#socket.on('error', (error) => {
      connected.reject(error);
      this.#onFailure(error);
    });
    this.#socket.on('close', () => this.#onFailure(new Error('the server closed a connection')));
  }

  send(request: Buffer, startedAt: number): void {
    this.#startedAt = startedAt;
    this.#socket.write(request);
  }

  #onRead(count: number): boolean {
    let bytes: Buffer = readBuffer;
    let to = count;
    if (this.#rest !== undefined) {
      bytes = Buffer.concat([this.#rest, readBuffer.subarray(0, count)]);
      to = bytes.length;
      this.#rest = undefined;
    }
    if (!this.#head.read(bytes, 0, to) || to < this.#head.end + this.#head.bodyBytes) {
      this.#rest = Buffer.from(bytes.subarray(0, to)); // the shared buffer is about to be used again
      return true;
    }
    if (this.#head.bodyBytes < 0) this.#onFailure(new Error('an answer without Content-Length, which this client does not read'));
    else this.#onAnswer(this.#startedAt, responseStatus(bytes, 0));
    return true;
  }
}

exitOnError(new LoadClient(childOptions() as LoadOptions).run().then((result) => tell('result', result)));
