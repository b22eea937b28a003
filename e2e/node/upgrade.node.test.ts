/**
 * A release that comes from an earlier chart: upgraded, rolled back and upgraded again while events flow, then uninstalled, and
 * installed anew. Channels, Subscriptions and their events are what they were, whatever the release does.
 *
 * The earlier chart is that of a commit, the oldest with every part that channels need; it knows no KafkaSources yet. No images
 * were ever published with it, so its pods run today's, which have to do without the rights that it does not give them.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lastLines, runCommand, waitFor } from '@knative-kafka/local-cluster';
import { root } from '../images/service-images.ts';
import { chart, Cluster, patienceMs, release, systemNamespace } from './cluster.ts';
import { expectUndisturbed } from './load-expectations.ts';
import { tallyLoad } from './load-run.ts';
import { startLoad, untilWell, type Load } from './load.ts';
import { addressOf, orders } from './orders.ts';
import { whileReplaced } from './pod-changes.ts';
import { expectRemainsAsNoted } from './remains.ts';

const earlierCommit = 'b757f97f2c5f062b5c854a904fc4cfce652f2ce7';
/** Not today's defaults, so that an upgrade, and the way back, replaces every pod. */
const earlierValues = ['receiver', 'dispatcher'].flatMap((component) => ['--set', `${component}.resources.requests.memory=160Mi`]);

describe('a release of an earlier chart', () => {
  const cluster = new Cluster();
  const folder = mkdtempSync(join(tmpdir(), 'knative-kafka-earlier-'));
  let load: Load | undefined;
  let before: Set<string>;
  let identities: readonly string[];

  beforeAll(async () => {
    await cluster.createNamespace(systemNamespace);
    await cluster.createNamespace(orders);
    before = await cluster.inventory();
    await cluster.install({ folder: await earlierChart(folder), values: earlierValues });
    load = await startLoad(cluster);
    identities = await identitiesOfResources();
  });
  afterAll(async () => {
    if (load !== undefined) console.log(load.table());
    await cluster.cleanUp([orders, systemNamespace]);
    rmSync(folder, { recursive: true, force: true });
  });

  it('does not know KafkaSources', async () => {
    expect((await cluster.kubectl(['get', 'crds', '--output', 'name'])).includes('kafkasources')).toBe(false);
  });

  it('is upgraded to today\'s, and loses and repeats nothing', async () => {
    await expectUndisturbedBy('helm upgrade', () => upgrade());
    await cluster.get('kafkasources', 'none', orders); // the kind is there now
  });

  it('is rolled back, and loses and repeats nothing', async () => {
    await expectUndisturbedBy('helm rollback', async () => {
      await cluster.helm(['rollback', release, '1', '--wait', '--timeout', '4m']);
    });
  });

  it('leaves after the next upgrade and an uninstall what the notes say, and nothing else', async () => {
    await upgrade();
    await waitFor('the StatefulSet of KafkaSources', () => cluster.get('statefulset', 'kafka-source-dispatcher', systemNamespace), { timeoutMs: patienceMs, everyMs: 500 });
    await expectRemainsAsNoted(cluster, before, `${orders}/load`);
    expect(await identitiesOfResources()).toEqual(identities);
  });

  it('is installed anew, and goes on with the channels that stayed', async () => {
    await cluster.install();
    await untilWell(cluster);
    expectUndisturbed(await load!.during('installed anew', addressOf(orders), () => Promise.resolve()));
    expect(await identitiesOfResources()).toEqual(identities);
  });

  it('delivers nothing later either', async () => {
    for (const [name, tally] of load!.tallies) expect(tallyLoad(await load!.run(name))).toEqual(tally);
  });

  async function upgrade(): Promise<void> {
    await cluster.helm(['upgrade', release, chart, ...cluster.values(), '--wait', '--timeout', '4m']);
  }

  async function expectUndisturbedBy(name: string, change: () => Promise<void>): Promise<void> {
    expectUndisturbed(await load!.during(name, addressOf(orders), () => whileReplaced(cluster, ['kafka-controller', 'channel-receiver', 'dispatcher'], change)));
    await untilWell(cluster);
    expect(await identitiesOfResources()).toEqual(identities);
  }

  /** Which channels and Subscriptions there are, and which topic each channel has. One that was deleted and made again is another. */
  async function identitiesOfResources(): Promise<readonly string[]> {
    const found = [...(await cluster.list('kafkachannels', '--all-namespaces')), ...(await cluster.list('subscriptions', '--all-namespaces'))];
    return found.map(({ kind, metadata, status }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name} ${metadata.uid ?? ''} ${JSON.stringify(status?.['annotations'] ?? {})}`);
  }
});

/** Takes the chart out of the repository's history. @returns its folder, below the one given */
async function earlierChart(folder: string): Promise<string> {
  const path = 'helm/knative-kafka';
  const archive = join(folder, 'chart.tar');
  for (const [program, ...args] of [
    ['git', '-C', root, 'archive', '--output', archive, earlierCommit, path],
    ['tar', '--extract', '--file', archive, '--directory', folder],
  ] as const) {
    const { code, stderr } = await runCommand(program, args);
    if (code !== 0) throw new Error(`the chart of commit ${earlierCommit} cannot be had, which takes a clone with its history: ${lastLines(stderr, 3)}`);
  }
  return join(folder, path);
}
