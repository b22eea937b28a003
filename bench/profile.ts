/**
 * Where the receiver and the dispatcher spend their time, by V8's sampling profiler. In runs of their own: a profiler
 * costs time itself, so these figures are shares, and none of them is in the other tables.
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { SourceMap, type SourceMapPayload } from 'node:module';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import type { BenchContext } from './bench.ts';
import type { BenchTable } from './core/bench-table.ts';
import { byOrigin, selfTimes, type CpuProfile, type Locate, type SelfTime } from './core/cpu-profile.ts';
import { dispatchBacklog } from './io/backlog.ts';
import { root, type BenchWorld } from './io/bench-world.ts';
import { load } from './io/load.ts';

const partitions = 6;
const connections = 50;
const shownFunctions = 15;
const shownOrigins = 8;
const patienceMs = 180_000;

export async function benchProfile({ world, isQuick, step }: BenchContext): Promise<BenchTable> {
  const folder = await mkdtemp(join(tmpdir(), 'knative-kafka-profile-'));
  try {
    step(`profile: receiver with ${connections} connections`);
    const receiver = await profileReceiver(world, folder, isQuick ? 2_000 : 10_000);
    step('profile: dispatcher with a fast subscriber');
    const dispatcher = await profileDispatcher(world, folder, isQuick ? 12_000 : 120_000);
    return {
      id: 'profile',
      title: 'Where the time goes',
      columns: ['', 'own time'],
      rows: [...rows('receiver', receiver), ...rows('dispatcher', dispatcher)],
      targets: [],
      runs: 1,
      figures: {},
      notes: ['Shares of the CPU time from start to end, compilation included. A function that calls into native code, such as a write to a socket, appears with the time of that call.'],
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function profileReceiver(world: BenchWorld, folder: string, durationMs: number): Promise<readonly SelfTime[]> {
  await world.channel('profiled', partitions, true);
  const receiver = await world.receiver({ nodeFlags: profilerFlags(folder, 'receiver') });
  await load(world, receiver, { connections, path: receiver.path('profiled'), warmUpMs: 0, durationMs });
  await receiver.process.stop();
  return readProfile(folder, 'receiver', 'channel-receiver');
}

async function profileDispatcher(world: BenchWorld, folder: string, events: number): Promise<readonly SelfTime[]> {
  const topic = await world.channel('profiled-backlog', partitions);
  await world.fill(topic, partitions, events);
  const backlog = { channel: 'profiled-backlog', topic, subscriber: await world.subscriber(), skip: 0, events, timeoutMs: patienceMs };
  await dispatchBacklog(world, backlog, 'profiled', { nodeFlags: profilerFlags(folder, 'dispatcher') });
  return readProfile(folder, 'dispatcher', 'dispatcher');
}

function profilerFlags(folder: string, name: string): readonly string[] {
  return ['--cpu-prof', `--cpu-prof-dir=${folder}`, `--cpu-prof-name=${name}.cpuprofile`];
}

function readProfile(folder: string, name: string, packageName: string): readonly SelfTime[] {
  const profile = JSON.parse(readFileSync(join(folder, `${name}.cpuprofile`), 'utf8')) as CpuProfile;
  const bundle = join(root, 'packages', packageName, 'bundle');
  const map = new SourceMap(JSON.parse(readFileSync(join(bundle, 'main.js.map'), 'utf8')) as SourceMapPayload);
  const locate: Locate = (line, column) => {
    const entry = map.findEntry(line, column);
    return 'originalSource' in entry ? relative(root, resolve(bundle, entry.originalSource)) : undefined;
  };
  return selfTimes(profile, locate);
}

function rows(service: string, times: readonly SelfTime[]): string[][] {
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
  return [
    ...byOrigin(times).slice(0, shownOrigins).map(({ origin, share }) => [`${service} by origin: ${origin}`, percent(share)]),
    ...times.slice(0, shownFunctions).map(({ functionName, place, share }) => [`${service} by function: ${functionName}${place === '' ? '' : `, ${place}`}`, percent(share)]),
  ];
}
