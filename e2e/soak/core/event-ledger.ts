/**
 * What became of every event of a soak, by Subscription, and what each fault cost.
 *
 * The ledger is told what senders and subscribers see, and nothing that the services say of themselves. Time is passed
 * in, in milliseconds of one clock.
 *
 * Always true: an event counts as settled only by what arrived (at the subscriber, at the dead letter sink) or what was
 * found in the dead letter topic; of several arrivals the first is the delivery and all others are duplicates, put
 * down to the fault that began last.
 */

export type Place = 'subscriber' | 'sink';

/** Of an event `<key>-<number from 0>`, the events of a key being sent one after the other. */
export interface EventId {
  readonly key: string;
  readonly number: number;
}

export function parseEventId(id: string): EventId {
  const dash = id.lastIndexOf('-');
  return { key: id.slice(0, dash), number: Number(id.slice(dash + 1)) };
}

/** What happened between the beginning and the end of a fault, or between two faults. */
export interface LedgerWindow {
  /** The fault's name; undefined for the time between faults. */
  readonly fault: string | undefined;
  readonly startedAt: number;
  readonly endedAt: number;
  /** By Subscription, of its worst partition: the longest time in ms in which nothing arrived. */
  readonly pauseMs: Readonly<Record<string, number>>;
}

export interface Duplicate {
  readonly id: string;
  readonly subscription: string;
  /** `undefined` before the first fault. */
  readonly fault: string | undefined;
  readonly atMs: number;
  /** When the event had arrived first. */
  readonly firstAtMs: number;
}

/** One Subscription at the end. */
export interface Tally {
  /** Events that reached the subscriber, whatever else became of them. */
  readonly delivered: number;
  /** Events at the dead letter sink, and never at the subscriber. */
  readonly deadLettered: number;
  /** Events in the dead letter topic, and nowhere else. */
  readonly kept: number;
  /** Events at more than one of these; each such place beyond the first counts among the duplicates. */
  readonly inSeveralPlaces: number;
  /** Accepted events that are nowhere. */
  readonly missing: readonly string[];
  /** First deliveries that came after one of a later event of the key. */
  readonly orderBreaks: readonly string[];
}

interface Settled {
  readonly firstAtMs: number;
  atSubscriber: number;
  atSink: number;
}

interface SubscriptionLedger {
  readonly settled: Map<string, Settled>;
  /** By partition: when something last arrived, and when the newest event of those that arrived was sent. */
  readonly lastAt: Map<number, number>;
  readonly newestSentAt: Map<number, number>;
  /** By key: the highest number that reached the subscriber. */
  readonly highest: Map<string, number>;
  readonly orderBreaks: string[];
  readonly pauseMs: Map<number, number>;
  subscriberArrivals: number;
  sinkArrivals: number;
}

interface OpenWindow {
  readonly fault: string | undefined;
  readonly startedAt: number;
}

export class EventLedger {
  readonly windows: LedgerWindow[] = [];
  readonly duplicates: Duplicate[] = [];
  readonly #sentAt = new Map<string, number>();
  readonly #accepted = new Set<string>();
  readonly #subscriptions = new Map<string, SubscriptionLedger>();
  #partitionOf: ReadonlyMap<string, number> = new Map();
  #partitions: readonly number[] = [];
  #window: OpenWindow | undefined;
  #lastFault: string | undefined;

  constructor(subscriptions: readonly string[]) {
    for (const name of subscriptions) {
      this.#subscriptions.set(name, {
        settled: new Map(), lastAt: new Map(), newestSentAt: new Map(), highest: new Map(), orderBreaks: [], pauseMs: new Map(), subscriberArrivals: 0, sinkArrivals: 0,
      });
    }
  }

  get acceptedCount(): number {
    return this.#accepted.size;
  }

  /** @param partitionOf by key */
  setPartitions(partitionOf: ReadonlyMap<string, number>): void {
    this.#partitionOf = partitionOf;
    this.#partitions = [...new Set(partitionOf.values())].sort((one, other) => one - other);
  }

  /** Before the first attempt to send it: an event may be delivered before its sender knows that it was accepted. */
  sent(id: string, atMs: number): void {
    this.#sentAt.set(id, atMs);
  }

  accepted(id: string): void {
    this.#accepted.add(id);
  }

  /** An event was answered with 2xx. */
  arrived(subscription: string, id: string, place: Place, atMs: number): void {
    const ledger = this.#of(subscription);
    const before = ledger.settled.get(id);
    if (before === undefined) {
      if (place === 'subscriber') ledger.subscriberArrivals++;
      else ledger.sinkArrivals++;
      ledger.settled.set(id, { firstAtMs: atMs, atSubscriber: place === 'subscriber' ? 1 : 0, atSink: place === 'sink' ? 1 : 0 });
    } else {
      if (place === 'subscriber') before.atSubscriber++;
      else before.atSink++;
      this.duplicates.push({ id, subscription, fault: this.#lastFault, atMs, firstAtMs: before.firstAtMs });
    }
    const { key, number } = parseEventId(id);
    this.#noteProgress(ledger, this.#partitionOf.get(key), id, atMs);
    if (place === 'sink') return;
    const highest = ledger.highest.get(key) ?? -1;
    if (number > highest) ledger.highest.set(key, number);
    else if (before === undefined) ledger.orderBreaks.push(`${id} came first after ${key}-${highest}${this.#lastFault === undefined ? '' : `, since "${this.#lastFault}"`}`);
  }

  #noteProgress(ledger: SubscriptionLedger, partition: number | undefined, id: string, atMs: number): void {
    if (partition === undefined) return;
    this.#notePause(ledger, partition, atMs);
    ledger.lastAt.set(partition, atMs);
    const sentAt = this.#sentAt.get(id);
    if (sentAt !== undefined && sentAt > (ledger.newestSentAt.get(partition) ?? -Infinity)) ledger.newestSentAt.set(partition, sentAt);
  }

  #notePause(ledger: SubscriptionLedger, partition: number, atMs: number): void {
    if (this.#window === undefined) return;
    const pauseMs = atMs - Math.max(this.#window.startedAt, ledger.lastAt.get(partition) ?? -Infinity);
    if (pauseMs > (ledger.pauseMs.get(partition) ?? 0)) ledger.pauseMs.set(partition, pauseMs);
  }

  // --- faults ------------------------------------------------------------------------------------------------------

  /** Pauses count from now on, towards a fault or, with undefined, towards the time between faults. */
  openWindow(fault: string | undefined, atMs: number): void {
    this.closeWindow(atMs);
    this.#window = { fault, startedAt: atMs };
    if (fault !== undefined) this.#lastFault = fault;
  }

  /** No pauses count until the next one is opened. */
  closeWindow(atMs: number): LedgerWindow | undefined {
    if (this.#window === undefined) return undefined;
    const pauseMs: Record<string, number> = {};
    for (const [name, ledger] of this.#subscriptions) {
      for (const partition of this.#partitions) this.#notePause(ledger, partition, atMs);
      pauseMs[name] = Math.max(0, ...ledger.pauseMs.values());
      ledger.pauseMs.clear();
    }
    const closed = { ...this.#window, endedAt: atMs, pauseMs };
    this.#window = undefined;
    this.windows.push(closed);
    return closed;
  }

  /** Partitions, as `subscription/partition`, of which nothing has arrived that was sent at this time or later. */
  silentSince(atMs: number, subscriptions: readonly string[]): readonly string[] {
    return subscriptions.flatMap((name) => {
      const ledger = this.#of(name);
      return this.#partitions.filter((partition) => (ledger.newestSentAt.get(partition) ?? -Infinity) < atMs).map((partition) => `${name}/${partition}`);
    });
  }

  // --- the end -----------------------------------------------------------------------------------------------------

  /** Events that arrived so far, each at the first of its places. */
  arrivals(subscription: string): { readonly subscriber: number; readonly sink: number } {
    const { subscriberArrivals, sinkArrivals } = this.#of(subscription);
    return { subscriber: subscriberArrivals, sink: sinkArrivals };
  }

  /** Where an event was seen. */
  placesOf(subscription: string, id: string): ReadonlySet<Place> {
    const settled = this.#of(subscription).settled.get(id);
    const places = new Set<Place>();
    if (settled !== undefined && settled.atSubscriber > 0) places.add('subscriber');
    if (settled !== undefined && settled.atSink > 0) places.add('sink');
    return places;
  }

  acceptedIds(): ReadonlySet<string> {
    return this.#accepted;
  }

  /** @param kept ids found in the dead letter topic */
  tally(subscription: string, kept: ReadonlySet<string>): Tally {
    const ledger = this.#of(subscription);
    const missing: string[] = [];
    let [delivered, deadLettered, onlyKept, inSeveralPlaces] = [0, 0, 0, 0];
    for (const id of this.#accepted) {
      const places = this.placesOf(subscription, id);
      const isKept = kept.has(id);
      if (places.has('subscriber')) delivered++;
      else if (places.has('sink')) deadLettered++;
      else if (isKept) onlyKept++;
      else missing.push(id);
      if (places.size + (isKept ? 1 : 0) > 1) inSeveralPlaces++;
    }
    return { delivered, deadLettered, kept: onlyKept, inSeveralPlaces, missing, orderBreaks: ledger.orderBreaks };
  }

  #of(subscription: string): SubscriptionLedger {
    const ledger = this.#subscriptions.get(subscription);
    if (ledger === undefined) throw new RangeError(`no Subscription ${subscription} in the ledger`);
    return ledger;
  }
}

/**
 * The duplicates without those that the sender made: an event stored twice (its first acknowledgement got lost) is two
 * records, and each of them is to be delivered.
 *
 * @param copies how many records of an event there are, where more than one
 */
export function withoutStoredTwice(duplicates: readonly Duplicate[], copies: ReadonlyMap<string, number>): readonly Duplicate[] {
  const left = new Map<string, number>();
  return duplicates.filter(({ id, subscription }) => {
    const counted = `${subscription}/${id}`;
    const allowed = left.get(counted) ?? (copies.get(id) ?? 1) - 1;
    left.set(counted, allowed - 1);
    return allowed <= 0;
  });
}
