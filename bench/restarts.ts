/**
 * A dispatcher that is stopped, killed, joined and left while events come at a steady rate: how long nothing is
 * delivered, what is delivered twice, and whether anything is lost. One Subscription in order, seen by its subscriber.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { waitFor } from '@knative-kafka/local-cluster';
import type { BenchContext } from './bench.ts';
import { arrivedIn, keepUp, longestGapMs, missing, repeated, type Arrival, type TimeWindow } from './core/arrivals.ts';
import { atMost, neverAbove, type BenchTable } from './core/bench-table.ts';
import { spread } from './core/statistics.ts';
import type { BenchWorld, RunningDispatcher, RunningSender, Subscriber } from './io/bench-world.ts';
import { machineMicroseconds } from './io/machine-clock.ts';

const partitions = 6;
const channel = 'restarted';
const rate = 500;
/** So that a good part of the partitions has an event under way at any time, and a backlog is soon worked off. */
const answerMs = 2;
/** An event that arrives no later than this was not held up. */
const promptMs = 100;
/** A partition that is not delivered for so long has stopped: twenty times the time between two of its events. */
const stoppedMs = 250;
/** Events that are delivered again come soon after. */
const afterMs = 2_000;
const patienceMs = 60_000;
const fewestRuns = 5;

const scenarios = {
  undisturbed: 'undisturbed',
  sigterm: 'SIGTERM and start again',
  kill: 'kill -9 and start again',
  join: 'a second one joins',
  leave: 'the second one leaves',
} as const;
type Scenario = keyof typeof scenarios;

/** One scenario of one run. */
interface Seen {
  readonly duplicates: number;
  /** The longest time without any delivery. */
  readonly pauseMs: number;
  /** The same of each partition by itself. */
  readonly partitionPausesMs: readonly number[];
  /** Of the partitions that the dispatcher had before and after; those of the others moved or started anew. */
  readonly stayedPausesMs: readonly number[];
  /** Deliveries under way and settled since the commit before, at a kill. */
  readonly uncommitted: number;
  /** From the signal to the end of the process, at a restart. */
  readonly endedAfterMs: number;
}

export async function benchRestarts({ world, runs, isQuick, step }: BenchContext): Promise<BenchTable> {
  const total = isQuick ? 1 : Math.max(fewestRuns, runs);
  const topic = await world.channel(channel, partitions);
  const subscriber = await world.subscriber({ delayMs: answerMs, hasJournal: true });
  const seen: Record<Scenario, Seen[]> = { undisturbed: [], sigterm: [], kill: [], join: [], leave: [] };
  const lost: number[] = [];
  for (let run = 1; run <= total; run++) {
    const stage = await Stage.start(world, subscriber, topic, `restarted-${run}`);
    for (const scenario of Object.keys(scenarios) as Scenario[]) {
      step(`restarts: run ${run} of ${total}, ${scenarios[scenario]}`);
      seen[scenario].push(await stage.play(scenario));
    }
    step(`restarts: run ${run} of ${total}, the last events`);
    lost.push(await stage.end());
  }

  const seconds = (values: readonly number[]): number[] => values.map((ms) => ms / 1000);
  const duplicates = (scenario: Scenario): number[] => seen[scenario].map((entry) => entry.duplicates);
  const pauses = (scenario: Scenario): number[] => seconds(seen[scenario].map((entry) => entry.pauseMs));
  const longestOf = (pick: (entry: Seen) => readonly number[], scenario: Scenario): string =>
    seen[scenario].every((entry) => pick(entry).length === 0) ? '–' : spread(seconds(seen[scenario].map((entry) => Math.max(...pick(entry)))));
  const stopped = (scenario: Scenario): number[] => seen[scenario].map((entry) => entry.stayedPausesMs.filter((ms) => ms >= stoppedMs).length);
  return {
    id: 'restarts',
    title: 'Restarts under load',
    columns: ['', 'delivered twice', 'uncommitted at the kill', 'nothing delivered for, s', 'a partition not delivered for, s', 'a partition that stays, s'],
    rows: (Object.keys(scenarios) as Scenario[]).map((scenario) => [
      scenarios[scenario],
      spread(duplicates(scenario)),
      scenario === 'kill' ? spread(seen.kill.map((entry) => entry.uncommitted)) : '–',
      spread(pauses(scenario)),
      longestOf((entry) => entry.partitionPausesMs, scenario),
      longestOf((entry) => entry.stayedPausesMs, scenario),
    ]),
    targets: [
      atMost(1, `${scenarios.sigterm}: nothing delivered for`, pauses('sigterm'), 's'),
      neverAbove(0, `${scenarios.sigterm}: delivered twice`, duplicates('sigterm'), 'events'),
      atMost(3, `${scenarios.kill}: nothing delivered for`, pauses('kill'), 's'),
      neverAbove(1, `${scenarios.kill}: delivered twice ÷ uncommitted`, seen.kill.map((entry) => entry.duplicates / entry.uncommitted)),
      neverAbove(0, `${scenarios.join}: delivered twice`, duplicates('join'), 'events'),
      neverAbove(0, `${scenarios.leave}: delivered twice`, duplicates('leave'), 'events'),
      neverAbove(0, `${scenarios.join}: partitions that stay and stop for ${stoppedMs} ms`, stopped('join')),
      neverAbove(0, `${scenarios.leave}: partitions that stay and stop for ${stoppedMs} ms`, stopped('leave')),
      neverAbove(0, 'never delivered', lost, 'events'),
    ],
    runs: total,
    figures: { ...seen, lost },
    notes: [
      `${rate} events/s in ${partitions} partitions, delivered in order to a subscriber that takes ${answerMs} ms; the undisturbed stretch of the same run says what a pause is without any reason. The new process is started when the old one has ended, under the same POD_NAME, and its start is part of the pause. It has ended ${spread(seconds(seen.sigterm.map((entry) => entry.endedAfterMs)))} s after SIGTERM, ${spread(seconds(seen.kill.map((entry) => entry.endedAfterMs)))} s after kill -9.`,
      `Uncommitted at the kill: what had arrived and was not answered yet, and what was answered within the last ${world.dispatcherDefaults.commitIntervalMs} ms, the default of COMMIT_INTERVAL.`,
      `A second dispatcher takes half of the partitions and gives them back. They move with the next heartbeat of their new owner, whose interval the broker sets (5 s unless told otherwise): that is what a partition waits whose owner left.`,
    ],
  };
}

/** One run: a dispatcher, its load, and all that arrived so far. */
class Stage {
  readonly #world: BenchWorld;
  readonly #subscriber: Subscriber;
  readonly #subscription: string;
  readonly #sender: RunningSender;
  readonly #arrivals: Arrival[] = [];
  #first: RunningDispatcher;
  #second: RunningDispatcher | undefined;

  private constructor(world: BenchWorld, subscriber: Subscriber, subscription: string, first: RunningDispatcher, sender: RunningSender) {
    this.#world = world;
    this.#subscriber = subscriber;
    this.#subscription = subscription;
    this.#first = first;
    this.#sender = sender;
  }

  static async start(world: BenchWorld, subscriber: Subscriber, topic: string, name: string): Promise<Stage> {
    await subscriber.reset();
    await world.subscription({ name, channel, topic, subscriberPort: subscriber.port, from: 'latest' });
    const first = await world.dispatcher({ podName: 'dispatcher-0' });
    await first.ready();
    const stage = new Stage(world, subscriber, name, first, world.sender(topic, rate));
    await stage.#steady(machineMicroseconds());
    await delay(afterMs);
    return stage;
  }

  /** Ends with all partitions delivered in time again, as it began. */
  async play(scenario: Scenario): Promise<Seen> {
    const before = await this.#first.partitions(this.#subscription);
    const from = machineMicroseconds();
    let endedAt = from;
    const isRestart = scenario === 'sigterm' || scenario === 'kill';
    if (isRestart) {
      this.#first.process.signal(scenario === 'kill' ? 'SIGKILL' : 'SIGTERM');
      await this.#first.process.exited;
      endedAt = machineMicroseconds();
      this.#first = await this.#world.dispatcher({ podName: 'dispatcher-0' });
      await this.#steady(endedAt);
    } else if (scenario === 'join') {
      this.#second = await this.#world.dispatcher({ podName: 'dispatcher-1' });
      await this.#shared(partitions / 2);
      await this.#steady(machineMicroseconds());
    } else if (scenario === 'leave') {
      await this.#second?.process.stop();
      this.#second = undefined;
      await this.#shared(partitions);
      await this.#steady(machineMicroseconds());
    }
    const after = await this.#first.partitions(this.#subscription);
    await delay(afterMs);
    await this.#collect();
    const window: TimeWindow = { from, to: machineMicroseconds() };
    const pauseOf = (partition: number): number => longestGapMs(this.#arrivals.filter(({ n }) => n % partitions === partition), window);
    const lastCommitMicros = (this.#world.dispatcherDefaults.commitIntervalMs + answerMs) * 1000;
    return {
      duplicates: arrivedIn(repeated(this.#arrivals), window).length,
      pauseMs: longestGapMs(this.#arrivals, window),
      partitionPausesMs: Array.from({ length: partitions }, (_, partition) => pauseOf(partition)),
      stayedPausesMs: isRestart ? [] : before.filter((partition) => after.includes(partition)).map(pauseOf),
      endedAfterMs: (endedAt - from) / 1000,
      uncommitted: arrivedIn(this.#arrivals, { from: from - lastCommitMicros, to: endedAt }).length,
    };
  }

  /** @returns how many events never arrived */
  async end(): Promise<number> {
    const stored = (await this.#sender.stop()).length;
    await waitFor('the last events', async () => {
      await this.#collect();
      return missing(this.#arrivals, stored) === 0;
    }, { timeoutMs: patienceMs }).catch(() => undefined); // what is missing then is a figure
    await this.#first.process.stop();
    this.#world.removeSubscription(this.#subscription);
    await this.#collect();
    return missing(this.#arrivals, stored);
  }

  async #collect(): Promise<void> {
    this.#arrivals.push(...(await this.#subscriber.arrivals()));
  }

  /** Until every partition delivers events in time that were sent after `since`. */
  async #steady(since: number): Promise<void> {
    try {
      await waitFor('events of every partition that arrive in time', async () => {
        await this.#collect();
        return keepUp(this.#arrivals, partitions, since, promptMs);
      }, { timeoutMs: patienceMs });
    } catch (error) {
      throw new Error(`not every partition is delivered in time again; ${this.#lastArrivals()}`, { cause: error });
    }
  }

  /** To tell a partition that stands still from a machine that is too busy. */
  #lastArrivals(): string {
    const now = machineMicroseconds();
    const seconds = (micros: number): string => (micros / 1e6).toFixed(2);
    const last = Array.from({ length: partitions }, (_, partition) => this.#arrivals.findLast(({ n }) => n % partitions === partition));
    return last.map((arrival, partition) => `${partition}: ${arrival === undefined ? 'nothing' : `last ${seconds(now - arrival.at)} s ago, ${seconds(arrival.at - arrival.sentAt)} s after it was sent`}`).join('; ');
  }

  /** Until the first dispatcher has so many partitions and the second one, if there is one, the others. */
  async #shared(first: number): Promise<void> {
    await waitFor(`${first} partitions of the first dispatcher`, async () => {
      const [ours, theirs] = await Promise.all([this.#first.partitions(this.#subscription), this.#second?.partitions(this.#subscription) ?? []]);
      return ours.length === first && new Set([...ours, ...theirs]).size === partitions && ours.length + theirs.length === partitions;
    }, { timeoutMs: patienceMs });
  }
}
