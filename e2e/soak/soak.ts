/**
 * The soak: events at a steady rate through real processes on a real Kafka, while one thing after the other breaks; then
 * an account of every single event.
 *
 * One channel, two receivers, two dispatchers and three Subscriptions, one of each delivery order: `flaky` (unordered)
 * fails one event in ten, `slow` (key-ordered) takes its time, `vanishing` (ordered) is gone now and then. What counts is
 * what senders, subscribers, dead letter sinks and the topics themselves say, not what the services say.
 */
import { waitFor } from '@knative-kafka/local-cluster';
import { deadLetterTopicName } from '@knative-kafka/common/core';
import { topicOf, World, type Receiver, type StoredRecord } from '../local/harness.ts';
import { flakyAnswer, flakyRetries, isDeadLetterOfFlaky, slowAnswerMs } from './core/answer-plan.ts';
import { checkDeadLetter } from './core/dead-letter-check.ts';
import { EventLedger, withoutStoredTwice } from './core/event-ledger.ts';
import { seededRandom, shuffled } from './core/seeded-random.ts';
import { faultResults, subscriptions, summed, type CalmResult, type FaultName, type SoakResult, type SubscriptionName, type SubscriptionResult } from './core/soak-result.ts';
import { injectFault } from './inject-fault.ts';
import { DispatcherFleet } from './io/dispatcher-fleet.ts';
import { SoakEndpoint } from './io/soak-endpoint.ts';
import { SteadyLoad } from './io/steady-load.ts';

export interface SoakOptions {
  /** At least so many; more where the faults take longer. */
  readonly events: number;
  /** Events per second. */
  readonly rate: number;
  readonly seed: string;
  /** In this order the first time, then shuffled, again and again until the events have been sent. */
  readonly faults: readonly FaultName[];
  /** Sent and accounted for in quiet, before the faults and after them. */
  readonly calmEvents: number;
  /** Sent between two faults. */
  readonly quietEvents: number;
  /** Of the dispatchers in their consumer groups. */
  readonly sessionTimeoutMs: number;
  readonly brokers: 1 | 3;
  readonly partitions: number;
  readonly keys: number;
  /** Whether logs and metrics of all processes are kept in any case, not only when something did not come back. */
  readonly keepsLogs?: boolean;
  /** Settings of the dispatchers. */
  readonly dispatcherEnv?: Readonly<Record<string, string>>;
}

const channel = 'soak';
/** How long anything may take to come back; a limit for failing. */
const patienceMs = 180_000;
/** Of all events, how many may end at the sink of `flaky` though its subscriber would have taken them. */
const wrongSinkShare = 0.001;

export async function runSoak(options: SoakOptions, step: (text: string) => void): Promise<SoakResult> {
  const startedAt = performance.now();
  const session = String(options.sessionTimeoutMs);
  const world = await World.start({
    onProgress: step,
    brokers: options.brokers,
    config: {
      'group.consumer.session.timeout.ms': session,
      'group.consumer.min.session.timeout.ms': '1000',
      'group.consumer.heartbeat.interval.ms': String(Math.floor(options.sessionTimeoutMs / 6)),
      'group.consumer.min.heartbeat.interval.ms': '100',
      'group.min.session.timeout.ms': '1000', // of the classic protocol
    },
  });
  try {
    const soak = new Soak(world, options, step);
    const result = await soak.run(startedAt);
    if (options.keepsLogs === true || result.problems.length > 0) step(`logs of all processes: ${await world.keepEvidence()}`);
    return result;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${why}\nLogs and metrics of all processes: ${await world.keepEvidence()}`, { cause: error });
  } finally {
    await world.stop();
  }
}

class Soak {
  readonly #world: World;
  readonly #options: SoakOptions;
  readonly #step: (text: string) => void;
  readonly #ledger = new EventLedger(subscriptions);
  readonly #random: () => number;
  readonly #problems: string[] = [];
  readonly #calm: CalmResult[] = [];
  #deadLettersChecked = 0;

  constructor(world: World, options: SoakOptions, step: (text: string) => void) {
    this.#world = world;
    this.#options = options;
    this.#step = step;
    this.#random = seededRandom(options.seed);
  }

  async run(startedAt: number): Promise<SoakResult> {
    const { partitions, keys, rate } = this.#options;
    const endpoints = await this.#endpoints();
    await this.#world.channel(channel, partitions);
    this.#subscribe(endpoints);
    this.#step('receivers and dispatchers: starting');
    const fleet = new DispatcherFleet(this.#world, { SESSION_TIMEOUT: `${this.#options.sessionTimeoutMs}ms`, ...this.#options.dispatcherEnv });
    const [receivers] = await Promise.all([Promise.all([this.#world.receiver(), this.#world.receiver()]), fleet.start('dispatcher-0'), fleet.start('dispatcher-1')]);
    const load = new SteadyLoad({
      urls: receivers.map((receiver) => receiver.url(channel)),
      keys: Array.from({ length: keys }, (_, n) => `k${n}`),
      rate,
      random: this.#random,
      onSent: (id) => this.#ledger.sent(id, performance.now()),
      onAccepted: (id) => this.#ledger.accepted(id),
    });
    try {
      await this.#learnPartitions(load);
      await this.#calmStretch(load, fleet);
      await this.#faults(load, fleet, endpoints);
      await this.#calmStretch(load, fleet);
      this.#step('stopping the dispatchers');
      for (const problem of await fleet.stopAll()) this.#problem(problem);
      if (fleet.dropped > 0) this.#problem(`${fleet.dropped} events were dropped by the dispatchers' own count`);
      this.#checkReceivers(receivers);
      return await this.#account(startedAt);
    } finally {
      await load.close();
      await Promise.all([endpoints.flaky, endpoints.slow, endpoints.vanishing, endpoints.flakySink, endpoints.vanishingSink].map((endpoint) => endpoint.vanish()));
    }
  }

  // --- the parts ---------------------------------------------------------------------------------------------------

  async #endpoints(): Promise<Endpoints> {
    const { seed } = this.#options;
    const now = (): number => performance.now();
    const attempts = new Map<string, number>();
    /** By event: the statuses that `flaky` has answered with, 0 for no answer. */
    const failures = new Map<string, Set<number>>();
    const sink = (subscription: SubscriptionName, subscriberUri: string, failed: (id: string) => ReadonlySet<number>): Promise<SoakEndpoint> =>
      SoakEndpoint.start({
        answer: (id, headers) => {
          this.#deadLettersChecked++;
          const found = checkDeadLetter(headers, subscriberUri, failed(id));
          if (found !== undefined) this.#problem(`dead letter ${id} of ${subscription}: ${found}`);
          return { status: 200 };
        },
        onAccepted: (id) => this.#ledger.arrived(subscription, id, 'sink', now()),
      });
    const flaky = await SoakEndpoint.start({
      answer: (id) => {
        const attempt = (attempts.get(id) ?? 0) + 1;
        const answer = flakyAnswer(seed, id, attempt);
        if (answer === 'hang' || answer === 'reset' || answer.status !== 200) {
          attempts.set(id, attempt);
          failures.set(id, (failures.get(id) ?? new Set()).add(typeof answer === 'string' ? 0 : answer.status));
        }
        return answer;
      },
      onAccepted: (id) => this.#ledger.arrived('flaky', id, 'subscriber', now()),
    });
    const slow = await SoakEndpoint.start({
      answer: (id) => new Promise((resolve) => setTimeout(() => resolve({ status: 200 }), slowAnswerMs(seed, id))),
      onAccepted: (id) => this.#ledger.arrived('slow', id, 'subscriber', now()),
    });
    const vanishing = await SoakEndpoint.start({
      answer: () => ({ status: 200 }),
      onAccepted: (id) => this.#ledger.arrived('vanishing', id, 'subscriber', now()),
    });
    const onlyGone: ReadonlySet<number> = new Set([0]);
    return {
      flaky, slow, vanishing,
      flakySink: await sink('flaky', flaky.uri, (id) => failures.get(id) ?? new Set()),
      vanishingSink: await sink('vanishing', vanishing.uri, () => onlyGone),
    };
  }

  #subscribe({ flaky, slow, vanishing, flakySink, vanishingSink }: Endpoints): void {
    const order = (name: string): Record<string, string> => ({ 'kafka.eventing.knative.dev/delivery.order': name });
    this.#world.subscription('flaky', channel, flaky.uri, {
      retry: flakyRetries, backoffPolicy: 'linear', backoffDelay: 'PT0.05S', timeout: 'PT2S', retryAfterMax: 'PT0.2S', deadLetterSink: { uri: flakySink.uri },
    }, order('unordered'));
    this.#world.subscription('slow', channel, slow.uri, { retry: 10, backoffPolicy: 'linear', backoffDelay: 'PT0.1S' }, order('key-ordered'));
    this.#world.subscription('vanishing', channel, vanishing.uri, {
      retry: 2, backoffPolicy: 'linear', backoffDelay: 'PT0.02S', timeout: 'PT10S', deadLetterSink: { uri: vanishingSink.uri },
    }, order('ordered'));
  }

  /** Which partition a key goes to is the receiver's business: found by looking. */
  async #learnPartitions(load: SteadyLoad): Promise<void> {
    this.#step('one event of each key');
    await load.sendOneOfEach();
    this.#step('reading which partition each went to');
    const records = await this.#world.stored(channel, this.#options.keys);
    this.#ledger.setPartitions(new Map(records.map(({ key, partition }) => [key ?? '', partition])));
  }

  // --- stretches without faults ------------------------------------------------------------------------------------

  /** Sends for a while in quiet, and compares what the dispatchers counted with what arrived. */
  async #calmStretch(load: SteadyLoad, fleet: DispatcherFleet): Promise<void> {
    await load.pause();
    await this.#untilSettled();
    const before = { counted: await fleet.outcomes(subscriptions), arrived: this.#arrived(), accepted: this.#ledger.acceptedCount };
    this.#step(`${this.#options.calmEvents} events without a fault`);
    load.resume();
    this.#ledger.openWindow(undefined, performance.now());
    await this.#untilAccepted(load, before.accepted + this.#options.calmEvents);
    this.#ledger.closeWindow(performance.now());
    await load.pause();
    this.#step('until all have their outcome');
    await this.#untilSettled();
    const counted = difference(await fleet.outcomes(subscriptions), before.counted);
    const arrived = difference(this.#arrived(), before.arrived);
    const events = this.#ledger.acceptedCount - before.accepted;
    this.#calm.push({ events, counted, arrived });
    for (const name of Object.keys(arrived)) {
      if (counted[name] !== arrived[name]) this.#problem(`without a fault, the dispatchers counted ${counted[name] ?? 0} ${name} where ${arrived[name] ?? 0} arrived`);
    }
    for (const name of subscriptions) {
      const outcomes = (counted[`${name} delivered`] ?? 0) + (counted[`${name} dead-lettered`] ?? 0);
      if (outcomes !== events) this.#problem(`without a fault, the dispatchers counted ${outcomes} outcomes of ${name} for ${events} events`);
    }
  }

  /** Without duplicates: where the machine stands still for long, an answer may come too late and the event again. */
  #arrived(): Record<string, number> {
    return Object.fromEntries(subscriptions.flatMap((name) => {
      const { subscriber, sink } = this.#ledger.arrivals(name);
      return [[`${name} delivered`, subscriber], [`${name} dead-lettered`, sink], [`${name} kept`, 0], [`${name} dropped`, 0]];
    }));
  }

  async #untilAccepted(load: SteadyLoad, count: number): Promise<void> {
    await waitFor(`${count} events accepted`, () => {
      if (load.failure !== undefined) return 'failed';
      return this.#ledger.acceptedCount >= count;
    }, { timeoutMs: patienceMs + (this.#options.calmEvents / this.#options.rate) * 2_000 });
    if (load.failure !== undefined) throw load.failure;
  }

  /** Until every consumer group has committed all there is: each record has its outcome. */
  async #untilSettled(): Promise<void> {
    for (const name of subscriptions) {
      await waitFor(`all outcomes of ${name} committed`, async () => {
        const lag = await this.#world.lag(channel, name);
        if (lag > 0) throw new Error(`${lag} records are without`);
        return true;
      }, { timeoutMs: patienceMs, everyMs: 100 });
    }
  }

  // --- faults ------------------------------------------------------------------------------------------------------

  async #faults(load: SteadyLoad, fleet: DispatcherFleet, endpoints: Endpoints): Promise<void> {
    const { events, faults, quietEvents, calmEvents } = this.#options;
    load.resume();
    let round = faults;
    for (let number = 1; number === 1 || (this.#ledger.acceptedCount < events - calmEvents && faults.length > 0); number++) {
      for (const fault of round) {
        if (number > 1 && this.#ledger.acceptedCount >= events - calmEvents) break;
        this.#ledger.openWindow(undefined, performance.now());
        await this.#untilAccepted(load, this.#ledger.acceptedCount + quietEvents);
        this.#step(`${this.#ledger.acceptedCount} of ${events} events; ${fault}`);
        this.#ledger.openWindow(fault, performance.now());
        await injectFault(fault, {
          fleet,
          random: this.#random,
          brokers: this.#world.kafka.brokers,
          subscriber: endpoints.vanishing,
          sink: endpoints.vanishingSink,
          deliverAgain: (without = []) => this.#untilDeliveredAgain(load, without),
          arrivedAtSink: () => this.#ledger.arrivals('vanishing').sink,
          keptByDispatchers: () => fleet.sum('knative_kafka_dispatch_events_total', { subscription: 'vanishing', outcome: 'kept' }),
        });
        this.#ledger.closeWindow(performance.now());
      }
      round = shuffled(faults, this.#random);
    }
    this.#ledger.openWindow(undefined, performance.now());
    await this.#untilAccepted(load, Math.max(events - calmEvents, this.#ledger.acceptedCount + quietEvents));
    this.#ledger.closeWindow(performance.now());
  }

  /** Until each partition of each Subscription has delivered something that was sent after now. */
  async #untilDeliveredAgain(load: SteadyLoad, without: readonly string[]): Promise<void> {
    const since = performance.now();
    const acceptedBefore = this.#ledger.acceptedCount;
    const names = subscriptions.filter((name) => !without.includes(name));
    await waitFor('every partition to deliver again', () => {
      if (load.failure !== undefined) return 'failed';
      const silent = this.#ledger.silentSince(since, names);
      if (silent.length > 0) throw new Error(`${this.#ledger.acceptedCount - acceptedBefore} events were accepted, and none of these delivered: ${silent.join(', ')}`);
      return true;
    }, { timeoutMs: patienceMs });
    if (load.failure !== undefined) throw load.failure;
  }

  // --- the account -------------------------------------------------------------------------------------------------

  #checkReceivers(receivers: readonly Receiver[]): void {
    for (const { process } of receivers) if (!process.isRunning()) this.#problem(`a receiver has ended:\n${process.output().slice(-2_000)}`);
  }

  async #account(startedAt: number): Promise<SoakResult> {
    this.#step('reading the topics');
    const topic = topicOf(channel);
    const copies = new Map<string, number>();
    for (const record of await this.#world.storedIn(topic)) {
      const id = headerOf(record, 'ce_id') ?? '';
      copies.set(id, (copies.get(id) ?? 0) + 1);
    }
    for (const id of this.#ledger.acceptedIds()) if (!copies.has(id)) this.#problem(`accepted and not in the topic: ${id}`);
    const kept = await this.#kept(deadLetterTopicName(topic));
    for (const name of kept.keys()) if (!subscriptions.some((known) => known === name)) this.#problem(`the dead letter topic has events of ${name}`);
    const duplicates = withoutStoredTwice(this.#ledger.duplicates, copies);

    const results: Record<string, SubscriptionResult> = {};
    for (const name of subscriptions) {
      const tally = this.#ledger.tally(name, kept.get(name) ?? new Set());
      // An unordered Subscription promises no order.
      const orderBreaks = name === 'flaky' ? [] : tally.orderBreaks;
      results[name] = { ...tally, orderBreaks, duplicates: duplicates.filter(({ subscription }) => subscription === name).length };
      for (const id of tally.missing) this.#problem(`lost: ${id} of ${name}`);
      for (const broken of orderBreaks) this.#problem(`order of ${name}: ${broken}`);
      if (name !== 'vanishing' && tally.kept > 0) this.#problem(`${tally.kept} events of ${name} are in the dead letter topic`);
      if (name === 'slow' && tally.deadLettered > 0) this.#problem(`${tally.deadLettered} events of slow were dead-lettered`);
    }
    const atWrongSink = this.#checkOutcomesOfFlaky();
    return {
      seed: this.#options.seed,
      events: this.#ledger.acceptedCount,
      elapsedMs: performance.now() - startedAt,
      storedTwice: [...copies.values()].reduce((sum, count) => sum + count - 1, 0),
      subscriptions: results,
      faults: faultResults(this.#ledger.windows, duplicates),
      calm: this.#calm,
      deadLettersChecked: this.#deadLettersChecked,
      atWrongSink,
      problems: summed(this.#problems),
    };
  }

  /**
   * Whether each event of `flaky` came to where it belongs. On a busy machine an attempt can fail that the subscriber
   * would have answered, or did: such an event may end at the sink after all.
   *
   * @returns how many did
   */
  #checkOutcomesOfFlaky(): number {
    const atWrongSink: string[] = [];
    for (const id of this.#ledger.acceptedIds()) {
      const places = this.#ledger.placesOf('flaky', id);
      if (isDeadLetterOfFlaky(this.#options.seed, id)) {
        if (places.has('subscriber')) this.#problem(`${id} of flaky belongs to the sink and came to the subscriber`);
      } else if (places.has('sink')) atWrongSink.push(id);
    }
    if (atWrongSink.length > this.#ledger.acceptedCount * wrongSinkShare) {
      for (const id of atWrongSink) this.#problem(`${id} of flaky belongs to the subscriber and came to the sink`);
    }
    return atWrongSink.length;
  }

  /** Ids in the dead letter topic, by Subscription. */
  async #kept(topic: string): Promise<ReadonlyMap<string, Set<string>>> {
    const kept = new Map<string, Set<string>>();
    if ((await this.#world.admin.describeTopic(topic)) === undefined) return kept;
    for (const record of await this.#world.storedIn(topic)) {
      const [id = '', subscription = '', reason] = [headerOf(record, 'ce_id'), headerOf(record, 'dead-letter-subscription'), headerOf(record, 'dead-letter-reason')];
      const ids = kept.get(subscription) ?? new Set();
      if (ids.has(id) || this.#ledger.placesOf(subscription, id).size > 0) {
        this.#ledger.duplicates.push({ id, subscription, fault: 'subscriber and sink gone', atMs: performance.now(), firstAtMs: performance.now() });
      }
      kept.set(subscription, ids.add(id));
      if (!['connection-refused', 'connection-lost'].includes(reason ?? '')) this.#problem(`kept ${id} of ${subscription} for a wrong reason: ${reason ?? 'none'}`);
    }
    return kept;
  }

  #problem(text: string): void {
    this.#problems.push(text);
  }
}

interface Endpoints {
  readonly flaky: SoakEndpoint;
  readonly slow: SoakEndpoint;
  readonly vanishing: SoakEndpoint;
  readonly flakySink: SoakEndpoint;
  readonly vanishingSink: SoakEndpoint;
}

function difference(now: Readonly<Record<string, number>>, before: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(now).map(([name, value]) => [name, value - (before[name] ?? 0)]));
}

function headerOf({ headers }: StoredRecord, wanted: string): string | undefined {
  return headers.find(([name]) => name === wanted)?.[1].toString();
}
