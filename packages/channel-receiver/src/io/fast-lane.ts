/**
 * The fast lane: plain event POSTs straight from the socket to the pump.
 *
 * `node:http` builds a parser, two streams and a dozen objects around each request, which cost more than all that is
 * done with an event. Nearly all events come as one kind of request, though (core/plain-request.ts), and that kind is
 * read here from the bytes, stored from the bytes, and answered with bytes that are ready. Everything else, even if it
 * differs slightly, goes to `node:http` with all its bytes, and its connection stays there: what is HTTP and what is
 * not, only `node:http` says. The setting FAST_LANE=off sends all of it there.
 *
 * Always true: one request at a time per connection, answered in order; what came of the next waits, and the sender with
 * it. A request that is refused is answered here only when all of it has come, with the other lane's very bytes, and is
 * handed over otherwise. Limits, times and the way a connection ends are those of the other lane.
 */
import type { Socket } from 'node:net';
import type { Fault } from '@knative-kafka/common/core';
import type { Logger } from '@knative-kafka/common/io';
import { PlainRequest } from '../core/plain-request.ts';
import { accepted, internalError, notStored, type Answer } from '../core/receive-response.ts';
import type { Admission, PlainSettlement, Receive } from '../receive.ts';
import { answerBytes, brokenRequestBytes, keepAliveTimeoutMs, requestEndedEarly, requestTimedOut } from './http-answer.ts';
import type { ReadConnection, ReadConnections } from './shared-read-buffer.ts';

export interface FastLaneOptions {
  readonly receive: Receive;
  readonly headerLimitBytes: number;
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly readConnection: ReadConnections;
  readonly log: Logger;
  /** Told of each answer: the channel's key where one was found, and how long the request took. */
  readonly onAnswer: (channel: string | undefined, status: number, seconds: number) => void;
  /** The other lane, which gets a connection whose bytes are all still to be read. */
  readonly handOver: (socket: Socket) => void;
}

/** How often connections are looked at for their time limits, and the date in answers renewed. */
const sweepMs = 1_000;
/** A head that comes in more pieces than this is read by the other lane, which need not begin anew with each piece. */
const mostHeadPieces = 8;

export class FastLane {
  readonly options: FastLaneOptions;
  readonly request: PlainRequest;
  /** From now on an answer is the last on its connection. */
  isRetiring = false;
  /** The usual answer, and the last one, with a date that is right to the second. */
  accepted!: Buffer;
  acceptedLast!: Buffer;
  date = '';
  readonly #connections = new Set<Connection>();
  readonly #timer: NodeJS.Timeout;
  #isDraining = false;

  constructor(options: FastLaneOptions) {
    this.options = options;
    this.request = new PlainRequest(options.headerLimitBytes);
    this.#renewDate();
    this.#timer = setInterval(() => this.#sweep(), sweepMs).unref();
  }

  /** Takes a new connection. @returns the socket that it has from now on */
  take(socket: Socket): Socket {
    const connection = new Connection(this, socket);
    this.#connections.add(connection);
    return connection.socket;
  }

  /** The connection is closed, or no longer of this lane. */
  forget(connection: Connection): void {
    this.#connections.delete(connection);
    if (this.#isDraining && this.#connections.size === 0) clearInterval(this.#timer);
  }

  retire(): void {
    this.isRetiring = true;
  }

  /** Closes the connections that nothing is under way on; the others are closed with their answers. */
  drain(): void {
    this.isRetiring = true;
    this.#isDraining = true;
    for (const connection of this.#connections) connection.closeIfIdle();
    if (this.#connections.size === 0) clearInterval(this.#timer);
  }

  #sweep(): void {
    this.#renewDate();
    const now = performance.now();
    for (const connection of this.#connections) connection.checkTime(now);
  }

  #renewDate(): void {
    this.date = new Date().toUTCString();
    this.accepted = answerBytes(accepted, this.date, false);
    this.acceptedLast = answerBytes(accepted, this.date, true);
  }
}

/**
 * `head`: nothing, or not all of a head, has come. `body`: the head has, and the request is admitted. `storing`: all of
 * it has. `answered`: the answer does not fit into the socket, whose sender does not read. `closed`: not of this lane.
 */
type State = 'head' | 'body' | 'storing' | 'answered' | 'closed';

class Connection implements PlainSettlement {
  readonly socket: Socket;
  readonly #lane: FastLane;
  readonly #reading: ReadConnection;
  #state: State = 'head';
  /** What came and could not be used yet, in `[keptStart, keptEnd)`: part of a request, or what follows one. */
  #kept: Buffer | undefined;
  #keptStart = 0;
  #keptEnd = 0;
  #headPieces = 0;
  /** Since when the state is what it is; of a request whose head has come, since then. Milliseconds. */
  #since = performance.now();
  /** Whether no head has come on this connection yet: such a one may not stay silent as long as others. */
  #isFirst = true;
  #isPaused = false;
  #admission: Admission | undefined;
  /** Whether the sender has said that nothing more will come. */
  #hasEnded = false;

  constructor(lane: FastLane, acceptedSocket: Socket) {
    this.#lane = lane;
    this.#reading = lane.options.readConnection(acceptedSocket, (bytes, end) => this.#onBytes(bytes, end));
    this.socket = this.#reading.socket;
    this.socket.on('end', this.#onEnd);
    this.socket.on('error', this.#onError);
    this.socket.on('close', this.#onClose);
    this.socket.on('drain', this.#onDrain);
  }

  // --- what comes ----------------------------------------------------------------------------------------------------

  #onBytes(bytes: Buffer, end: number): void {
    if (this.#state === 'storing' || this.#state === 'answered') this.#keepForLater(bytes, 0, end);
    else if (this.#state === 'body') this.#readBody(bytes, end);
    else if (this.#state === 'head') {
      if (this.#kept === undefined) this.#read(bytes, 0, end);
      else {
        const joined = Buffer.concat([this.#kept.subarray(this.#keptStart, this.#keptEnd), bytes.subarray(0, end)]);
        this.#read(joined, 0, joined.length);
      }
    }
  }

  /** Reads requests up to the first that has to be waited for. */
  #read(bytes: Buffer, start: number, end: number): void {
    const { request } = this.#lane;
    let at = start;
    while (at < end) {
      const reading = request.read(bytes, at, end);
      if (reading === 'plain') {
        const admission = this.#admit();
        const requestEnd = request.bodyStart + request.contentLength;
        if ('status' in admission) {
          if (requestEnd > end) return this.#handOver(bytes, at, end);
          this.#answer(admission, undefined);
        } else if (requestEnd > end) {
          return this.#awaitBody(admission, bytes, at, end, requestEnd);
        } else if (!this.#store(admission, bytes, requestEnd, false)) {
          return this.#handOver(bytes, at, end);
        }
        at = requestEnd;
        if (this.#state === 'storing' || this.#state === 'answered') return this.#keepForLater(bytes, at, end);
        if (this.#state !== 'head') return;
      } else if (reading === 'more' && this.#headPieces < mostHeadPieces) {
        return this.#awaitHead(bytes, at, end);
      } else return this.#handOver(bytes, at, end);
    }
    this.#kept = undefined;
  }

  #admit(): Admission | Answer {
    const { options, request } = this.#lane;
    this.#since = performance.now();
    this.#isFirst = false;
    return options.receive.admitPlain(request.host, request.target, request.contentLength);
  }

  #awaitHead(bytes: Buffer, start: number, end: number): void {
    if (this.#headPieces++ === 0) this.#since = performance.now();
    this.#keep(bytes, start, end);
  }

  /** The whole request is collected, so that it can still be handed over. */
  #awaitBody(admission: Admission, bytes: Buffer, start: number, end: number, requestEnd: number): void {
    this.#state = 'body';
    this.#admission = admission;
    const whole = Buffer.allocUnsafeSlow(requestEnd - start);
    this.#kept = whole;
    this.#keptStart = 0;
    this.#keptEnd = bytes.copy(whole, 0, start, end);
  }

  #readBody(bytes: Buffer, end: number): void {
    const whole = this.#kept!;
    const used = Math.min(end, whole.length - this.#keptEnd);
    bytes.copy(whole, this.#keptEnd, 0, used);
    this.#keptEnd += used;
    if (this.#keptEnd < whole.length) return;
    this.#kept = undefined;
    this.#lane.request.read(whole, 0, whole.length); // again: others have used the object since
    if (!this.#store(this.#admission!, whole, whole.length, true)) {
      this.#handOver(used === end ? whole : Buffer.concat([whole, bytes.subarray(used, end)]), 0, whole.length + end - used);
    } else if (used < end) this.#onBytes(bytes.subarray(used, end), end - used);
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    if (bytes === this.#kept) this.#keptStart = start;
    else {
      this.#kept = Buffer.from(bytes.subarray(start, end));
      this.#keptStart = 0;
      this.#keptEnd = end - start;
    }
  }

  /** What follows a request that is not answered yet: the sender has to wait, too. */
  #keepForLater(bytes: Buffer, start: number, end: number): void {
    if (start === end) {
      this.#kept = undefined;
      return;
    }
    this.#keep(bytes, start, end);
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.socket.pause();
  }

  /** Goes on after an answer. */
  #readOn(): void {
    if (this.#kept !== undefined) this.#read(this.#kept, this.#keptStart, this.#keptEnd);
    const isReading = this.#state === 'head' || this.#state === 'body';
    if (this.#hasEnded && isReading) this.#onEnd();
    const isStillBehind = this.#kept !== undefined && !isReading;
    if (!this.#isPaused || isStillBehind || this.#state === 'closed') return;
    this.#isPaused = false;
    this.socket.resume();
  }

  // --- storing and answering -----------------------------------------------------------------------------------------

  /** @returns false when the other lane is to decide */
  #store(admission: Admission, bytes: Buffer, requestEnd: number, isKept: boolean): boolean {
    const { request, options } = this.#lane;
    request.value = request.contentLength === 0 ? null : bytes;
    request.valueStart = request.bodyStart;
    request.valueEnd = requestEnd;
    request.isValueKept = isKept;
    this.#admission = admission;
    this.#state = 'storing';
    try {
      return options.receive.storePlain(admission, request, this);
    } catch (error) {
      this.broken(error);
      return true;
    }
  }

  settled(fault?: Fault): void {
    this.#finish(fault === undefined ? accepted : notStored(fault, 0, 1, this.#admission!.route.maxMessageBytes));
  }

  broken(error: unknown): void {
    this.#lane.options.log.error({ err: error, channel: this.#admission!.route.key }, 'event not handled');
    this.#finish(internalError);
  }

  #finish(answer: Answer): void {
    const admission = this.#admission!;
    this.#giveBack();
    this.#state = this.socket.destroyed ? 'closed' : 'head';
    this.#answer(answer, admission.route.key);
    if (this.#state === 'head') this.#readOn();
  }

  #answer(answer: Answer, channel: string | undefined): void {
    const lane = this.#lane;
    const now = performance.now();
    lane.options.onAnswer(channel, answer.status, (now - this.#since) / 1_000);
    if (this.#state === 'closed') return;
    this.#since = now;
    this.#headPieces = 0;
    const isLast = lane.isRetiring || (this.#hasEnded && this.#kept === undefined);
    const bytes = answer !== accepted ? answerBytes(answer, lane.date, isLast) : isLast ? lane.acceptedLast : lane.accepted;
    const hasRoom = this.socket.write(bytes);
    if (isLast) {
      this.#state = 'closed';
      this.socket.destroySoon();
    } else if (!hasRoom) this.#state = 'answered';
  }

  readonly #onDrain = (): void => {
    if (this.#state !== 'answered') return;
    this.#state = 'head';
    this.#readOn();
  };

  #giveBack(): void {
    if (this.#admission === undefined) return;
    this.#lane.options.receive.abandon(this.#admission);
    this.#admission = undefined;
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  /** Bytes are put back in front of all that is still to come. */
  #handOver(bytes: Buffer, start: number, end: number): void {
    this.#leave();
    const { socket } = this;
    if (this.#hasEnded) {
      // Nothing can be put back into a stream that has ended. The request has no answer, so it will be sent again.
      socket.destroySoon();
      return;
    }
    socket.removeListener('end', this.#onEnd);
    socket.removeListener('error', this.#onError);
    socket.removeListener('close', this.#onClose);
    socket.removeListener('drain', this.#onDrain);
    this.#reading.release();
    socket.unshift(Buffer.from(bytes.subarray(start, end)));
    this.#lane.options.handOver(socket);
    socket.resume();
  }

  #leave(): void {
    this.#giveBack();
    this.#state = 'closed';
    this.#kept = undefined;
    this.#lane.forget(this);
  }

  readonly #onEnd = (): void => {
    this.#hasEnded = true;
    if (this.#state === 'storing' || this.#state === 'closed') return; // the answer is the last
    if (this.#isIdle()) this.socket.end();
    else this.#refuse(requestEndedEarly);
  };

  /** The event `close` follows. */
  readonly #onError = (): void => undefined;

  readonly #onClose = (): void => {
    if (this.#state === 'storing') this.#lane.forget(this); // stored all the same, and counted then
    else this.#leave();
  };

  #refuse(error: typeof requestEndedEarly | typeof requestTimedOut): void {
    this.#leave();
    if (this.socket.writable) this.socket.end(brokenRequestBytes(error));
    this.socket.destroySoon();
  }

  #isIdle(): boolean {
    return this.#state === 'answered' || (this.#state === 'head' && this.#kept === undefined);
  }

  closeIfIdle(): void {
    if (this.#state === 'answered') {
      // What its sender has not read yet is an answer all the same.
      this.#leave();
      this.socket.destroySoon();
    } else if (this.#isIdle()) this.socket.destroy();
  }

  checkTime(now: number): void {
    const { headersTimeoutMs, requestTimeoutMs } = this.#lane.options;
    const passedMs = now - this.#since;
    if (this.#state === 'body') {
      if (passedMs > requestTimeoutMs) this.#refuse(requestTimedOut);
    } else if (this.#isIdle() && !this.#isFirst) {
      if (passedMs > keepAliveTimeoutMs) this.socket.destroy();
    } else if (this.#state === 'head' && passedMs > headersTimeoutMs) this.#refuse(requestTimedOut);
  }
}
