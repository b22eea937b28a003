/**
 * The control plane on a real API server: from objects that are accepted to objects that are Ready and to the first
 * event delivered, many channels at once, a controller that starts on all of them, and one that has nothing to do.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { resourceTypes } from '@knative-kafka/common/io';
import { waitFor } from '@knative-kafka/local-cluster';
import type { BenchContext } from './bench.ts';
import { neverAbove, type BenchTable } from './core/bench-table.ts';
import { figure, median, spread } from './core/statistics.ts';
import type { BenchWorld } from './io/bench-world.ts';
import { ControlPlaneWorld, type ControllerMetrics, type RunningController } from './io/control-plane-world.ts';
import { postEvent } from './io/post-event.ts';
import { cpuMs, residentBytes } from './io/process-usage.ts';

const subscriptionsEach = 2;
/** Requests of whoever creates the objects that are under way at a time. */
const creators = 8;
/** One channel is quick, so that more of them cost little. */
const fewestSingles = 10;
const pauseMs = 5;
const patienceMs = 900_000;
const megabyte = 1e6;

/** Milliseconds from the moment the API server had accepted both objects. */
interface Single {
  readonly addressableMs: number;
  readonly acceptedMs: number;
  readonly readyMs: number;
  readonly deliveredMs: number;
}

interface Many {
  readonly createdS: number;
  readonly readyS: number;
  readonly cpuS: number;
  readonly residentMb: number;
  readonly mostMb: number;
  /** To the API server, until nothing was left to do. */
  readonly requests: number;
  readonly reconciles: ControllerMetrics['reconciles'];
  /** By verb and resource, as the API server counts. */
  readonly writes: Readonly<Record<string, number>>;
}

interface Restart {
  readonly lookedAtS: number;
  readonly cpuS: number;
  readonly requests: number;
  readonly written: readonly string[];
}

interface Idle {
  readonly cores: number;
  readonly residentMb: number;
}

export async function benchControlPlane({ world, runs, isQuick, step }: BenchContext): Promise<BenchTable> {
  const [singles, channels, idleMs, quietMs] = isQuick ? [2, 30, 5_000, 1_500] : [Math.max(fewestSingles, runs), 500, 30_000, 5_000];
  const plane = await ControlPlaneWorld.start(world.kafka.bootstrap, step);
  try {
    const single = await oneByOne(plane, world, singles, step);
    const many: Many[] = [];
    const restart: Restart[] = [];
    const idle: Idle[] = [];
    const goneS: number[] = [];
    for (let run = 1; run <= runs; run++) {
      const at = `control-plane: run ${run} of ${runs}`;
      step(`${at}, ${channels} channels`);
      const creating = await plane.controller();
      many.push(await createMany(plane, creating, channels, quietMs));
      await creating.process.stop();
      step(`${at}, restart`);
      const restarted = await startAgain(plane, channels, quietMs);
      restart.push(restarted.figures);
      step(`${at}, idle for ${idleMs / 1000} s`);
      idle.push(await rest(restarted.controller, idleMs));
      step(`${at}, deleting`);
      goneS.push(await deleteMany(plane));
      await restarted.controller.process.stop();
    }
    return tableOf({ single, many, restart, idle, goneS, channels, idleMs, runs });
  } finally {
    await plane.stop();
  }
}

/** One channel and one Subscription at a time, with a receiver and a dispatcher that run already. */
async function oneByOne(plane: ControlPlaneWorld, world: BenchWorld, runs: number, step: (text: string) => void): Promise<readonly Single[]> {
  const [controller, receiver, dispatcher] = await Promise.all([plane.controller(), plane.receiver(), plane.dispatcher()]);
  const singles: Single[] = [];
  // The first one ever waits for Kafka to make its topic of offsets: it does not count.
  for (let run = 0; run <= runs; run++) {
    step(run === 0 ? 'control-plane: a first channel' : `control-plane: channel ${run} of ${runs}`);
    const measured = await createOne(plane, world, receiver, `single-${run}`);
    if (run > 0) singles.push(measured);
  }
  await Promise.all([receiver, { process: dispatcher }, controller].map(({ process }) => process.stop()));
  return singles;
}

async function createOne(plane: ControlPlaneWorld, world: BenchWorld, receiver: { readonly port: number; path(channel: string): string }, name: string): Promise<Single> {
  const subscriber = await world.subscriber(); // its own, because events of the one before may still come
  const delivered = subscriber.measure({ skip: 0, events: 1, watch: [] }, patienceMs).then(() => performance.now());
  const addressable = plane.becomes(`${name} to have an address`, () => plane.channel(name)?.status?.address !== undefined);
  const ready = plane.becomes(`${name} to be Ready`, () => plane.isReady('KafkaChannel', name) && plane.isReady('Subscription', name));
  const sending = new AbortController();
  const accepted = addressable.then(() => sendUntil(sending.signal, receiver.port, receiver.path(name)));
  const created = Promise.all([plane.createChannel(name), plane.createSubscription(name, name, `http://127.0.0.1:${subscriber.port}/`)]).then(() => performance.now());
  try {
    const [from, ...times] = await Promise.all([created, addressable, accepted, ready, delivered]);
    const [addressableMs, acceptedMs, readyMs, deliveredMs] = times.map((time) => time - from) as [number, number, number, number];
    return { addressableMs, acceptedMs, readyMs, deliveredMs };
  } finally {
    sending.abort();
    await plane.delete(resourceTypes.subscription, name);
    await plane.delete(resourceTypes.kafkaChannel, name);
    await plane.becomes(`${name} to be gone`, () => isEmpty(plane));
    await subscriber.process.stop();
  }
}

/**
 * Sends on and on, because what is accepted before the consumer group of a new Subscription has its offsets is not
 * meant for it.
 *
 * @returns when the first event was accepted; sending goes on
 */
function sendUntil(signal: AbortSignal, port: number, path: string): Promise<number> {
  const first = Promise.withResolvers<number>();
  const send = async (): Promise<void> => {
    while (!signal.aborted) {
      if ((await postEvent(port, path)) === 202) first.resolve(performance.now());
      await delay(pauseMs);
    }
  };
  void send();
  return first.promise;
}

async function createMany(plane: ControlPlaneWorld, controller: RunningController, channels: number, quietMs: number): Promise<Many> {
  const names = Array.from({ length: channels }, (_, index) => `many-${index}`);
  const subscriptions = (name: string): readonly string[] => Array.from({ length: subscriptionsEach }, (_, index) => `${name}-${index}`);
  const writesBefore = await plane.writeRequests();
  const before = await controller.metrics();
  const cpuBefore = cpuMs(controller.process.pid);
  const from = performance.now();
  const allReady = plane.becomes('everything to be Ready', () => plane.readyCount() === channels * (1 + subscriptionsEach), patienceMs).then((at) => ({ at, cpu: cpuMs(controller.process.pid) }));
  const left = [...names];
  const create = async (): Promise<void> => {
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      await plane.createChannel(name);
      for (const subscription of subscriptions(name)) await plane.createSubscription(subscription, name, 'http://subscriber.default.svc.cluster.local/');
    }
  };
  const created = Promise.all(Array.from({ length: creators }, create)).then(() => performance.now());
  const [createdAt, { at, cpu }] = await Promise.all([created, allReady]);
  await plane.quiet(controller, quietMs);
  const after = await controller.metrics();
  const { now, most } = residentBytes(controller.process.pid);
  return {
    createdS: (createdAt - from) / 1000,
    readyS: (at - from) / 1000,
    cpuS: (cpu - cpuBefore) / 1000,
    residentMb: now / megabyte,
    mostMb: most / megabyte,
    requests: after.requests - before.requests,
    reconciles: Object.fromEntries(Object.entries(after.reconciles).map(([name, { count, seconds }]) => [name, { count: count - (before.reconciles[name]?.count ?? 0), seconds: seconds - (before.reconciles[name]?.seconds ?? 0) }])),
    writes: difference(writesBefore, await plane.writeRequests()),
  };
}

/** @throws Error when the controller that was started wrote anything */
async function startAgain(plane: ControlPlaneWorld, channels: number, quietMs: number): Promise<{ readonly controller: RunningController; readonly figures: Restart }> {
  const [versions, writes] = [await plane.versions(), await plane.writeRequests()];
  const from = performance.now();
  const controller = await plane.startController();
  const metrics = await waitFor('the controller to have looked at everything', async () => {
    const seen = await controller.metrics();
    const isDone = (name: string, objects: number): boolean => (seen.reconciles[name]?.count ?? 0) >= objects;
    return isDone('kafka-channel', channels) && isDone('subscription', channels * subscriptionsEach) && isDone('kafka-secret', 1) && seen.depth === 0 ? seen : undefined;
  }, { timeoutMs: patienceMs, everyMs: 100 });
  const lookedAtS = (performance.now() - from) / 1000;
  const cpuS = cpuMs(controller.process.pid) / 1000;
  await plane.quiet(controller, quietMs);
  const changed = changedNames(versions, await plane.versions());
  const asked = Object.entries(difference(writes, await plane.writeRequests())).map(([name, count]) => `${count} × ${name}`);
  const written = [...asked, ...changed];
  if (written.length > 0) throw new Error(`a controller that started on objects that were as they should be wrote: ${written.slice(0, 20).join(', ')}\n${controller.process.output().slice(-2_000)}`);
  return { controller, figures: { lookedAtS, cpuS, requests: metrics.requests, written } };
}

async function rest({ process: { pid } }: RunningController, idleMs: number): Promise<Idle> {
  const cpuBefore = cpuMs(pid);
  const from = performance.now();
  await delay(idleMs);
  return { cores: (cpuMs(pid) - cpuBefore) / (performance.now() - from), residentMb: residentBytes(pid).now / megabyte };
}

/** @returns seconds until the last one was gone */
async function deleteMany(plane: ControlPlaneWorld): Promise<number> {
  const from = performance.now();
  for (const [type, objects] of [[resourceTypes.subscription, plane.subscriptions.list()], [resourceTypes.kafkaChannel, plane.channels.list()]] as const) {
    const left = [...objects];
    const remove = async (): Promise<void> => {
      for (let object = left.shift(); object !== undefined; object = left.shift()) await plane.delete(type, object.metadata.name);
    };
    await Promise.all(Array.from({ length: creators }, remove));
  }
  return ((await plane.becomes('everything to be gone', () => isEmpty(plane), patienceMs)) - from) / 1000;
}

function isEmpty({ channels, subscriptions }: ControlPlaneWorld): boolean {
  return channels.list().length + subscriptions.list().length === 0;
}

function difference(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): Readonly<Record<string, number>> {
  return Object.fromEntries([...after].map(([name, count]) => [name, count - (before.get(name) ?? 0)] as const).filter(([, count]) => count !== 0));
}

function changedNames(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): readonly string[] {
  return [...new Set([...before.keys(), ...after.keys()])].filter((name) => before.get(name) !== after.get(name));
}

interface Measured {
  readonly single: readonly Single[];
  readonly many: readonly Many[];
  readonly restart: readonly Restart[];
  readonly idle: readonly Idle[];
  readonly goneS: readonly number[];
  readonly channels: number;
  readonly idleMs: number;
  readonly runs: number;
}

function tableOf({ single, many, restart, idle, goneS, channels, idleMs, runs }: Measured): BenchTable {
  const all = `${figure(channels)} channels`;
  const row = <T>(name: string, entries: readonly T[], valueOf: (entry: T) => number): string[] => [name, spread(entries.map(valueOf))];
  const writes = [...new Set(many.flatMap((entry) => Object.keys(entry.writes)))].filter((name) => !others.some((other) => name.startsWith(other))).sort();
  const perChannel = (name: string): string => `${figure(median(many.map((entry) => entry.writes[name] ?? 0)) / channels)} ${name}`;
  return {
    id: 'control-plane',
    title: 'Control plane',
    columns: ['', 'measured'],
    rows: [
      row('one channel and a Subscription: to its address, ms', single, ({ addressableMs }) => addressableMs),
      row('one channel and a Subscription: to the first 202, ms', single, ({ acceptedMs }) => acceptedMs),
      row('one channel and a Subscription: to both Ready, ms', single, ({ readyMs }) => readyMs),
      row('one channel and a Subscription: to the first event delivered, ms', single, ({ deliveredMs }) => deliveredMs),
      row(`${all}: to the last one created, s`, many, ({ createdS }) => createdS),
      row(`${all}: to all Ready, s`, many, ({ readyS }) => readyS),
      row(`${all}: CPU until then, s`, many, ({ cpuS }) => cpuS),
      row(`${all}: requests to the API server for each`, many, ({ requests }) => requests / channels),
      row(`${all}: reconciliations for each`, many, ({ reconciles }) => Object.values(reconciles).reduce((sum, { count }) => sum + count, 0) / channels),
      row(`${all}: memory after it, MB`, many, ({ residentMb }) => residentMb),
      row(`${all}: memory at most, MB`, many, ({ mostMb }) => mostMb),
      row('started again: to everything looked at, s', restart, ({ lookedAtS }) => lookedAtS),
      row('started again: CPU until then, s', restart, ({ cpuS }) => cpuS),
      row('started again: requests to the API server', restart, ({ requests }) => requests),
      row('idle: cores', idle, ({ cores }) => cores),
      row('idle: memory, MB', idle, ({ residentMb }) => residentMb),
      row(`${all} deleted: to the last one gone, s`, goneS, (seconds) => seconds),
    ],
    targets: [neverAbove(0, 'writes of a controller that starts where everything is as it should be', restart.map(({ written }) => written.length))],
    runs,
    figures: { single, many, restart, idle, goneS },
    notes: [
      `One channel and a Subscription, ${single.length} times: from the moment the API server has accepted both, as a client sees it that creates and watches them itself; the start of kubectl is not in it. Receiver and dispatcher run already and serve every channel: in a cluster the first Subscription of a channel also waits for the pod of its dispatcher. Events are sent ${pauseMs} ms after each other, from the address on; those that come before a new consumer group has its offsets are not meant for it.`,
      `${all} with ${subscriptionsEach} Subscriptions each, created with ${creators} requests at a time, from the first request on, by a controller that had nothing before; 1 partition. The API server has a real etcd (which does not wait for the disk) and a controller manager beside it, but no node: Deployments get their pods' objects and no pod runs. CPU and memory are the controller's.`,
      `Writes of the controller for each channel with its Subscriptions, as the API server counts them: ${writes.map(perChannel).join(', ')}.`,
      'Started again: from the start of the process until every channel and Subscription has been reconciled. What it wrote is what the API server counts as writing requests, and every object whose version is another one than before; the Lease of the election is left out.',
      `Idle: ${idleMs / 1000} s after everything has come to rest. Every five minutes the topics are looked at again, which is not in it and costs about what a start does.`,
      'MB are millions of bytes.',
    ],
  };
}

/** Whoever created the objects, and Kubernetes' own controllers. */
const others: readonly string[] = ['POST kafkachannels', 'POST subscriptions', 'PUT deployments/status'];
