/**
 * A backlog that a dispatcher delivers, and the same events from loops that have them in their memory, as figures of the
 * subscriber.
 */
import type { DeliveryOrder } from '@knative-kafka/common/core';
import type { PostLoopOptions } from '../processes/post-loop.ts';
import type { SocketLoopOptions } from '../processes/socket-loop.ts';
import type { BenchWorld, ServiceStart, Subscriber } from './bench-world.ts';

export interface Backlog {
  readonly channel: string;
  readonly topic: string;
  readonly subscriber: Subscriber;
  /** Arrive before what counts. */
  readonly skip: number;
  /** How many count; with `skip` no more than the topic has. */
  readonly events: number;
  readonly timeoutMs: number;
}

export interface Pace {
  readonly eventsPerSecond: number;
  readonly cpuMicrosecondsPerEvent: number;
}

/** By a dispatcher that starts on it, in a consumer group of its own. @param name of a Subscription that was not used before */
export async function dispatchBacklog(world: BenchWorld, backlog: Backlog, name: string, { order = 'ordered', ...start }: ServiceStart & { readonly order?: DeliveryOrder } = {}): Promise<Pace> {
  const { channel, topic, subscriber } = backlog;
  await subscriber.reset();
  await world.subscription({ name, channel, topic, subscriberPort: subscriber.port, order });
  const { process } = await world.dispatcher(start);
  const measured = await measure(backlog, process.pid);
  await process.stop();
  world.removeSubscription(name);
  return measured;
}

/** A limit: so many requests in flight, and nothing else to do; by undici or on plain sockets. */
export async function postBacklog(world: BenchWorld, backlog: Backlog, inFlight: number, by: 'undici' | 'sockets' = 'undici'): Promise<Pace> {
  await backlog.subscriber.reset();
  const options: PostLoopOptions & SocketLoopOptions = { port: backlog.subscriber.port, inFlight };
  const poster = world.start(by === 'undici' ? 'post-loop.ts' : 'socket-loop.ts', options);
  const measured = await measure(backlog, poster.pid);
  await poster.stop();
  return measured;
}

async function measure({ subscriber, skip, events, timeoutMs }: Backlog, pid: number): Promise<Pace> {
  const { cpuMs, ...measured } = await subscriber.measure({ skip, events, watch: [pid] }, timeoutMs);
  return pace({ ...measured, cpuMs: cpuMs[0]! });
}

export function pace({ events, elapsedMs, cpuMs }: { readonly events: number; readonly elapsedMs: number; readonly cpuMs: number }): Pace {
  return { eventsPerSecond: (events / elapsedMs) * 1000, cpuMicrosecondsPerEvent: (cpuMs / events) * 1000 };
}
