/**
 * HOT PATH. One request: find the KafkaChannel, read the event, make its record, produce, answer.
 *
 * Two ways lead through it. `admit` and `receive` take any request, as text; `admitPlain` and `storePlain` take the
 * plain event of the fast lane (io/fast-lane.ts), whose record is in bytes already. They decide alike.
 *
 * Always true: 202 is answered only after Kafka has acknowledged every event of the request. The bytes of a request
 * are taken from one budget when it is admitted and given back when it is answered, so that memory is bounded whatever
 * senders and Kafka do.
 */
import { batchBytes, decodeHttpEvent, encodedRecordBytes, Fault, recordBytes, type ByteBudget, type DecodedEvent, type EncodedRecord, type OutgoingRecord, type ProducePump, type Settlement } from '@knative-kafka/common/core';
import { addressedChannel, type ChannelAddresses } from './core/channel-address.ts';
import { partitionOfKey, type StickyPartition } from './core/partition-key.ts';
import { accepted, encodedBody, kafkaAway, notAnEvent, notStored, overloaded, tooLarge, unknownChannel, type Answer } from './core/receive-response.ts';

/** A KafkaChannel as the path needs it. */
export interface ChannelRoute {
  /** `namespace/name`. */
  readonly key: string;
  readonly topic: string;
  /** The topic's `max.message.bytes`; may change while the route is in use. */
  maxMessageBytes: number;
  readonly sticky: StickyPartition;
}

export interface RequestHead {
  readonly host: string | undefined;
  readonly target: string;
  /** Undefined where the sender did not say. */
  readonly contentLength: number | undefined;
  readonly isBatch: boolean;
  /** Lower-case; undefined where there is none. */
  readonly contentEncoding: string | undefined;
}

/** A request that may send its body. Every one must end in `receive` or `abandon`. */
export interface Admission {
  readonly route: ChannelRoute;
  readonly bodyLimitBytes: number;
  heldBytes: number;
}

export interface ReceiveIo {
  readonly addresses: () => ChannelAddresses<ChannelRoute>;
  readonly kafka: { isUp(): boolean; reason(): string | undefined };
  readonly pump: ProducePump;
  readonly budget: ByteBudget;
  /** Wall clock in milliseconds, for record timestamps; and a clock that never goes back, for deadlines. */
  readonly wallClockMs: () => number;
  readonly nowMs: () => number;
  readonly random: () => number;
}

export interface ReceiveLimits {
  readonly produceDeadlineMs: number;
  readonly batchBodyLimitBytes: number;
}

/** A plain event as it was read, and as it will be stored. */
export interface PlainEvent extends EncodedRecord {
  timestampMs: number;
}

/** Told once what became of a plain event. */
export interface PlainSettlement extends Settlement {
  /** A bug: nothing is stored. */
  broken(error: unknown): void;
}

/** Headers, objects and buffers that come with each request beside its body: a round figure, measured. */
const requestOverheadBytes = 4096;
/** What `recordBytes` counts for a header beside its text. */
const headerBoundBytes = 6;

export class Receive {
  readonly #io: ReceiveIo;
  readonly #limits: ReceiveLimits;

  constructor(io: ReceiveIo, limits: ReceiveLimits) {
    this.#io = io;
    this.#limits = limits;
  }

  /** Decides on a request by its head, before its body is read. */
  admit(head: RequestHead): Admission | Answer {
    const route = addressedChannel(this.#io.addresses(), head.host, head.target);
    if (route === undefined) return unknownChannel(head.host, head.target);
    // Stored as it comes, a compressed body would reach subscribers that never asked for it.
    if (head.contentEncoding !== undefined && head.contentEncoding !== 'identity') return encodedBody(head.contentEncoding);
    return this.#admitTo(route, head.isBatch ? this.#limits.batchBodyLimitBytes : route.maxMessageBytes, head.contentLength);
  }

  /** The same for the head of a plain event: neither a batch nor encoded. */
  admitPlain(host: string, target: string, contentLength: number): Admission | Answer {
    const route = addressedChannel(this.#io.addresses(), host, target);
    return route === undefined ? unknownChannel(host, target) : this.#admitTo(route, route.maxMessageBytes, contentLength);
  }

  #admitTo(route: ChannelRoute, bodyLimitBytes: number, contentLength: number | undefined): Admission | Answer {
    if (contentLength !== undefined && contentLength > bodyLimitBytes) return tooLarge(bodyLimitBytes);
    if (!this.#io.kafka.isUp()) return kafkaAway(this.#io.kafka.reason());
    const heldBytes = requestOverheadBytes + (contentLength ?? 0);
    if (!this.#io.budget.take(heldBytes)) return overloaded;
    return { route, bodyLimitBytes, heldBytes };
  }

  /** Accounts for body bytes that the head did not announce. @returns an answer when they may not be kept */
  grow(admission: Admission, bodyBytes: number): Answer | undefined {
    if (bodyBytes > admission.bodyLimitBytes) return tooLarge(admission.bodyLimitBytes);
    const moreBytes = requestOverheadBytes + bodyBytes - admission.heldBytes;
    if (moreBytes <= 0) return undefined;
    if (!this.#io.budget.take(moreBytes)) return overloaded;
    admission.heldBytes += moreBytes;
    return undefined;
  }

  /** The sender went away, or may not go on. */
  abandon(admission: Admission): void {
    this.#io.budget.give(admission.heldBytes);
    admission.heldBytes = 0;
  }

  /** @param rawHeaders name, value, name, value …, as they came */
  async receive(admission: Admission, rawHeaders: readonly string[], body: Buffer): Promise<Answer> {
    try {
      const { route } = admission;
      const decoded = decodeHttpEvent(rawHeaders, body);
      if ('error' in decoded) return notAnEvent(decoded.status, decoded.error);
      const records = decoded.events.map((event) => this.#record(event));
      if (records.some((record) => batchBytes(recordBytes(record)) > route.maxMessageBytes)) return tooLarge(route.maxMessageBytes);
      return await this.#store(route, records);
    } finally {
      this.abandon(admission);
    }
  }

  /**
   * Stores a plain event; whoever asks abandons the admission, after the settlement or after `false`.
   *
   * @param event its bytes may change when this returns, unless `isValueKept`
   * @returns false when it may be too large for its topic; then it is for `receive` to say
   */
  storePlain({ route }: Admission, event: PlainEvent, settlement: PlainSettlement): boolean {
    // The more careful of the two bounds, so that no event is taken here that `receive` would refuse.
    if (batchBytes(encodedRecordBytes(event) + headerBoundBytes * event.headerCount) > route.maxMessageBytes) return false;
    event.timestampMs = this.#io.wallClockMs();
    const partitions = this.#io.pump.partitionCount(route.topic);
    if (typeof partitions === 'number') this.#appendPlain(route, event, partitions, settlement);
    else void this.#storePlainWhenKnown(partitions, route, ownCopy(event), settlement);
    return true;
  }

  async #storePlainWhenKnown(partitions: Promise<number>, route: ChannelRoute, event: EncodedRecord, settlement: PlainSettlement): Promise<void> {
    try {
      this.#appendPlain(route, event, await partitions, settlement);
    } catch (error) {
      if (error instanceof Fault) settlement.settled(error);
      else settlement.broken(error);
    }
  }

  #appendPlain(route: ChannelRoute, event: EncodedRecord, partitions: number, settlement: PlainSettlement): void {
    const { headers, keyStart, keyEnd } = event;
    const partition = keyStart < 0 ? this.#stickyPartition(route, partitions) : partitionOfKey(headers, partitions, keyStart, keyEnd);
    this.#io.pump.appendEncoded(route.topic, partition, event, this.#io.nowMs() + this.#limits.produceDeadlineMs, settlement);
  }

  #record(event: DecodedEvent): OutgoingRecord {
    return {
      key: event.partitionKey === undefined ? null : Buffer.from(event.partitionKey),
      value: event.value,
      headers: event.headers,
      timestampMs: this.#io.wallClockMs(),
    };
  }

  async #store(route: ChannelRoute, records: readonly OutgoingRecord[]): Promise<Answer> {
    if (records.length === 0) return accepted;
    let partitions: number;
    try {
      const known = this.#io.pump.partitionCount(route.topic);
      partitions = typeof known === 'number' ? known : await known;
    } catch (error) {
      if (error instanceof Fault) return notStored(error, 0, records.length, route.maxMessageBytes);
      throw error;
    }
    const deadline = this.#io.nowMs() + this.#limits.produceDeadlineMs;
    return new Promise((resolve) => {
      let open = records.length;
      let stored = 0;
      let failure: Fault | undefined;
      const settlement: Settlement = {
        settled: (fault) => {
          if (fault === undefined) stored++;
          else failure ??= fault;
          if (--open === 0) resolve(failure === undefined ? accepted : notStored(failure, stored, records.length, route.maxMessageBytes));
        },
      };
      for (const record of records) {
        const partition = record.key === null ? this.#stickyPartition(route, partitions) : partitionOfKey(record.key, partitions);
        this.#io.pump.append(route.topic, partition, record, deadline, settlement);
      }
    });
  }

  #stickyPartition(route: ChannelRoute, partitions: number): number {
    const { pump, random } = this.#io;
    return route.sticky.choose(pump.rounds(route.topic), () => pump.ledPartitions(route.topic), partitions, random);
  }
}

function ownCopy(event: EncodedRecord): EncodedRecord {
  const { headersEnd, headerCount, keyStart, keyEnd, value, valueStart, valueEnd, timestampMs } = event;
  return {
    headers: Buffer.from(event.headers.subarray(0, headersEnd)), headersEnd, headerCount, keyStart, keyEnd,
    value: value === null ? null : Buffer.from(value.subarray(valueStart, valueEnd)), valueStart: 0, valueEnd: valueEnd - valueStart,
    timestampMs,
  };
}
