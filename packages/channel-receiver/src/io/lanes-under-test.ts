/**
 * Both lanes in memory, for tests that send them the same bytes: the fast lane with `node:http` behind it, or
 * `node:http` alone, in front of a pump that keeps what it is given.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { ByteBudget, Fault, type EncodedRecord, type OutgoingRecord, type ProducePump, type Settlement } from '@knative-kafka/common/core';
import { createLogger } from '@knative-kafka/common/io';
import { channelAddresses } from '../core/channel-address.ts';
import { StickyPartition } from '../core/partition-key.ts';
import { Receive, type ChannelRoute } from '../receive.ts';
import type { FastLane } from './fast-lane.ts';
import { createHttpServer, putFastLane, type IngestOptions } from './ingest-server.ts';
import { readByData } from './shared-read-buffer.ts';

export interface StoredRecord {
  readonly topic: string;
  readonly partition: number;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

export interface KeepingPumpOptions {
  /** A promise where the topic has to be asked for. */
  readonly partitionCount?: () => number | Promise<number>;
  /** Why a record is not stored. */
  readonly faultOf?: (record: StoredRecord) => Fault | undefined;
  readonly onActivity?: () => void;
}

/** Takes every record, and settles it a turn later, or when it is told to. */
export class KeepingPump {
  readonly stored: StoredRecord[] = [];
  /** While there is a list, what is not settled yet. */
  held: (() => void)[] | undefined;
  readonly #options: KeepingPumpOptions;

  constructor(options: KeepingPumpOptions = {}) {
    this.#options = options;
  }

  partitionCount(): number | Promise<number> {
    return this.#options.partitionCount?.() ?? 6;
  }
  rounds(): number {
    return 0;
  }
  ledPartitions(): readonly number[] {
    return [2];
  }
  append(topic: string, partition: number, { key, value, headers }: OutgoingRecord, _deadline: number, settlement: Settlement): void {
    this.#keep({ topic, partition, key: latin1(key), value: latin1(value), headers: headers.map(([name, text]) => [name, Buffer.from(text).toString('latin1')]) }, settlement);
  }
  appendEncoded(topic: string, partition: number, record: EncodedRecord, _deadline: number, settlement: Settlement): void {
    const { headers, keyStart, keyEnd, value, valueStart, valueEnd } = record;
    const key = keyStart < 0 ? null : latin1(headers.subarray(keyStart, keyEnd));
    this.#keep({ topic, partition, key, value: latin1(value?.subarray(valueStart, valueEnd) ?? null), headers: recordHeaders(record) }, settlement);
  }

  #keep(record: StoredRecord, settlement: Settlement): void {
    this.stored.push(record);
    const fault = this.#options.faultOf?.(record);
    const settle = (): void => {
      this.#options.onActivity?.();
      settlement.settled(fault);
    };
    if (this.held === undefined) setImmediate(settle);
    else this.held.push(settle);
  }
}

function latin1(bytes: Buffer | null): string | null {
  return bytes === null ? null : bytes.toString('latin1');
}

/** What is in an encoded record's headers, by the description of KIP-98. @throws RangeError when there is something else */
export function recordHeaders({ headers, headersEnd, headerCount }: EncodedRecord): readonly (readonly [string, string])[] {
  let at = 0;
  const text = (): string => {
    let zigzag = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = headers[at++]!;
      zigzag |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    at += zigzag / 2;
    return headers.toString('latin1', at - zigzag / 2, at);
  };
  const found: (readonly [string, string])[] = [];
  while (at < headersEnd) found.push([text(), text()]);
  if (at !== headersEnd || found.length !== headerCount) throw new RangeError(`${found.length} headers up to ${at}, said to be ${headerCount} up to ${headersEnd}`);
  return found;
}

/** A connection in memory, as the server sees it. */
export class MemorySocket extends Duplex {
  readonly #written: Buffer[] = [];
  readonly #onActivity: () => void;
  /** As of `net.Socket`, with as much of it as the lanes look at. */
  bytesRead = 0;

  constructor(onActivity: () => void = () => undefined) {
    super({ allowHalfOpen: true, emitClose: true });
    this.#onActivity = onActivity;
    this.on('error', () => undefined);
  }

  /** What the server has written so far, but for the date. */
  get written(): string {
    return Buffer.concat(this.#written).toString('latin1').replaceAll(/\r\nDate: [^\r]*/g, '');
  }

  /** Bytes come from the sender, all in one read. */
  receive(chunk: Buffer): void {
    if (this.destroyed) return;
    this.bytesRead += chunk.length;
    this.push(chunk);
  }

  override _read(): void {
    // Bytes come when they come.
  }
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#written.push(Buffer.from(chunk));
    this.#onActivity();
    done();
  }
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#onActivity();
    done(error);
  }
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }
  setTimeout(): this {
    return this;
  }
}

export interface ReceiverOptions extends KeepingPumpOptions {
  readonly fastLane: boolean;
  readonly channels: readonly string[];
  readonly isKafkaUp?: boolean;
  readonly maxMessageBytes?: number;
  readonly queueLimitBytes?: number;
  readonly headerLimitBytes?: number;
  readonly requestTimeoutMs?: number;
  readonly maxConnections?: number;
}

/** A receiver with a pump that keeps what it is given, and what there is to see of it. */
export class ReceiverUnderTest {
  readonly pump: KeepingPump;
  readonly budget: ByteBudget;
  /** Statuses as they were counted, in order. */
  readonly counted: number[] = [];
  handedOver = 0;
  readonly options: IngestOptions;

  constructor({ fastLane, channels, isKafkaUp = true, maxMessageBytes = 1_048_588, queueLimitBytes = 64 * 1024 * 1024, headerLimitBytes = 32 * 1024, requestTimeoutMs = 30_000, maxConnections = 1_000_000, ...pumpOptions }: ReceiverOptions) {
    this.pump = new KeepingPump(pumpOptions);
    this.budget = new ByteBudget(queueLimitBytes);
    const addresses = channelAddresses(channels.map((key) => {
      const route: ChannelRoute = { key, topic: key, maxMessageBytes, sticky: new StickyPartition() };
      return { key, hosts: [`${key.replace('/', '.')}.example.com`], route };
    }));
    this.options = {
      port: 0,
      fastLane,
      headerLimitBytes,
      requestTimeoutMs,
      maxConnections,
      log: createLogger('test', 'error'),
      readiness: () => ({ reasons: [] }),
      onAnswer: (_channel, status) => void this.counted.push(status),
      onHandOver: () => {
        this.handedOver++;
      },
      receive: new Receive(
        {
          pump: this.pump as unknown as ProducePump,
          budget: this.budget,
          kafka: { isUp: () => isKafkaUp, reason: () => 'no broker answers' },
          addresses: () => addresses,
          wallClockMs: Date.now,
          nowMs: () => performance.now(),
          random: () => 0,
        },
        { produceDeadlineMs: 30_000, batchBodyLimitBytes: 8 * 1024 * 1024 },
      ),
    };
  }
}

/** The same without a port: connections are in memory. */
export class Lanes extends ReceiverUnderTest {
  readonly #server: Server;
  readonly #lane: FastLane | undefined;

  constructor(options: ReceiverOptions) {
    super(options);
    this.#server = createHttpServer(this.options, { isRetiring: false });
    this.#lane = options.fastLane ? putFastLane(this.#server, this.options, readByData, () => undefined) : undefined;
  }

  connect(onActivity?: () => void): MemorySocket {
    const socket = new MemorySocket(onActivity);
    this.#server.emit('connection', socket as unknown as Socket);
    return socket;
  }

  close(): void {
    this.#lane?.drain();
  }
}
