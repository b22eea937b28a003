/**
 * The faults of a soak, each from what breaks until all is well again. Every step waits for a fact, so that a slow
 * machine takes longer and finds the same.
 */
import { waitFor, type KafkaBroker } from '@knative-kafka/local-cluster';
import type { FaultName } from './core/soak-result.ts';
import type { DispatcherFleet } from './io/dispatcher-fleet.ts';
import type { SoakEndpoint } from './io/soak-endpoint.ts';

export interface FaultIo {
  readonly fleet: DispatcherFleet;
  readonly random: () => number;
  readonly brokers: readonly KafkaBroker[];
  /** Of `vanishing`. */
  readonly subscriber: SoakEndpoint;
  readonly sink: SoakEndpoint;
  /** Resolves when every partition has delivered something that was sent after the call. @param without Subscriptions that cannot */
  readonly deliverAgain: (without?: readonly string[]) => Promise<void>;
  /** Events that arrived at the sink of `vanishing` so far. */
  readonly arrivedAtSink: () => number;
  /** Events of `vanishing` that the dispatchers running now have put into the dead letter topic. */
  readonly keptByDispatchers: () => Promise<number>;
}

/** How many events an absence of subscriber or sink is to touch. */
const touchedEvents = 60;
const patienceMs = 120_000;

const faults: Readonly<Record<FaultName, (io: FaultIo) => Promise<void>>> = {
  'dispatcher rolled': async ({ fleet, random, deliverAgain }) => {
    await roll(fleet, oneOf(fleet.names, random));
    await deliverAgain();
  },
  'both dispatchers rolled': async ({ fleet, deliverAgain }) => {
    for (const name of fleet.names) await roll(fleet, name);
    await deliverAgain();
  },
  'dispatcher added and removed': async ({ fleet, deliverAgain }) => {
    await fleet.start('dispatcher-2');
    await deliverAgain();
    await fleet.terminate('dispatcher-2');
    await deliverAgain();
  },
  'dispatcher killed': async ({ fleet, random, deliverAgain }) => {
    const name = oneOf(fleet.names, random);
    await fleet.kill(name);
    await fleet.start(name);
    await deliverAgain();
  },
  'dispatcher frozen': async ({ fleet, random, deliverAgain }) => {
    const name = oneOf(fleet.names, random);
    const before = fleet.assignments(name);
    fleet.freeze(name);
    try {
      await deliverAgain(); // which takes until its session is over, and the other one has all partitions
    } finally {
      fleet.thaw(name);
    }
    await fleet.untilAssignedAnew(name, before);
    await deliverAgain();
  },
  'subscriber gone': async ({ subscriber, arrivedAtSink, deliverAgain }) => {
    const before = arrivedAtSink();
    await subscriber.vanish();
    await waitFor('dead letters of a subscriber that is gone', () => arrivedAtSink() >= before + touchedEvents, { timeoutMs: patienceMs });
    await subscriber.open();
    await deliverAgain();
  },
  'subscriber and sink gone': async ({ subscriber, sink, keptByDispatchers, deliverAgain }) => {
    const before = await keptByDispatchers();
    await Promise.all([subscriber.vanish(), sink.vanish()]);
    await waitFor('events in the dead letter topic', async () => (await keptByDispatchers()) >= before + touchedEvents, { timeoutMs: patienceMs });
    await Promise.all([sink.open(), subscriber.open()]);
    await deliverAgain();
  },
  'broker restarted': async ({ brokers, random, deliverAgain }) => {
    const broker = oneOf(brokers, random);
    await broker.stop();
    await broker.start();
    await deliverAgain();
  },
  'broker killed': async ({ brokers, random, deliverAgain }) => {
    const broker = oneOf(brokers, random);
    await broker.kill();
    await broker.start();
    await deliverAgain();
  },
};

/** Resolves when every partition of every Subscription delivers again. @throws Error when that does not come true */
export async function injectFault(name: FaultName, io: FaultIo): Promise<void> {
  await faults[name](io);
}

async function roll(fleet: DispatcherFleet, name: string): Promise<void> {
  await fleet.terminate(name);
  await fleet.start(name);
}

function oneOf<T>(items: readonly T[], random: () => number): T {
  return items[Math.floor(random() * items.length)]!;
}
