/**
 * Knative's own conformance tests of channels, as they are, on the chart: upstream's programs and pods against
 * KafkaChannels, Subscriptions and Channels that our controller looks after. docs/CONFORMANCE.md tells what they look at.
 *
 * Always true: what upstream runs and what is listed here are the same, so that nothing is left out without a word.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { conformanceImages, curlImage, ensureKnativeEventing, runCommand } from '@knative-kafka/local-cluster';
import { Cluster, readFacts, systemNamespace } from './cluster.ts';
import { readGoTests, stepsOf, type GoTest } from './conformance-output.ts';
import { useImageAtHand } from './images-at-hand.ts';

interface Feature {
  /** Upstream's test. */
  readonly test: string;
  /** Of those that it runs; left out for a test that is not made of features. */
  readonly feature?: string;
  /** How many of its steps say that they are still to be written, and pass: upstream holds nothing of these. */
  readonly unwritten?: number;
}

const names = ['customname', 'name-with-dash', 'name1with2numbers3', 'name63-01234567890123456789012345678901234567890123456789012345'];
const forEachName = (test: string, feature: string): Feature[] => names.map((name) => ({ test, feature: `${name}/${feature}` }));
const conformance = (feature: string, unwritten = 0): Feature => ({ test: 'TestChannelConformance', feature: `Knative Channel Specification - ${feature}`, unwritten });
const deadLetters = (feature: string): Feature => ({ test: 'TestChannelDeadLetterSinkExtensions', feature: `Knative Channel - DeadLetterSink - with Extensions/${feature}` });

const features: readonly Feature[] = [
  ...forEachName('TestSmoke_Channel', 'Channel goes ready.'),
  ...forEachName('TestSmoke_ChannelImpl', 'ChannelImpl goes ready.'),
  { test: 'TestSmoke_ChannelWithSubscription', feature: 'Prerequisite/Channel goes ready.' },
  ...forEachName('TestSmoke_ChannelWithSubscription', 'Subscription goes ready.'),
  { test: 'TestSmoke_ChannelImplWithSubscription', feature: 'Prerequisite/ChannelImpl goes ready.' },
  ...forEachName('TestSmoke_ChannelImplWithSubscription', 'Subscription goes ready.'),
  { test: 'TestChannelConformance', feature: 'Prerequisite/ChannelImpl goes ready.' },
  conformance('Control Plane/Conformance', 1),
  conformance('Data Plane/Conformance', 23),
  conformance('Data Plane/Delivery Spec 0'),
  conformance('Data Plane/Delivery Spec 1'),
  { test: 'TestChannelAsyncHandler', feature: 'AsyncHandler' },
  { test: 'TestChannelAsyncHandler', feature: 'AsyncHandlerUpdate' },
  { test: 'TestEventTransformationForSubscriptionV1', feature: 'EventTransformation' },
  { test: 'TestBinaryEventForChannel', feature: 'SingleEventWithEncoding' },
  { test: 'TestStructuredEventForChannel', feature: 'SingleEventWithEncoding' },
  { test: 'TestChannelPreferHeaderCheck', feature: 'Channel PreferHeader Check' },
  deadLetters('channelSubscriberUnreachable'),
  deadLetters('channelSubscriberReturnedErrorNoData'),
  deadLetters('channelSubscriberReturnedErrorWithData'),
  { test: 'TestDeliveryTimeout', feature: 'ChannelToSink' },
  { test: 'TestRetryAfter', feature: 'Configure Data-Plane' },
  { test: 'TestRetryAfter', feature: 'Send Events' },
];

const olderTests: readonly Feature[] = [
  { test: 'TestChannelAddressableResolverClusterRoleTest' },
  { test: 'TestChannelChannelableManipulatorClusterRoleTest' },
  { test: 'TestChannelCRDMetadata' },
  { test: 'TestChannelCRDName' },
  { test: 'TestChannelSpec' },
  { test: 'TestChannelStatus' },
  { test: 'TestChannelStatusSubscriber' },
  { test: 'TestChannelDataPlaneSuccess' },
  { test: 'TestChannelDataPlaneFailure' },
  { test: 'TestChannelForwardHeadersPrependedWithKnative' },
];

const channelApi = { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel' };
const limitMinutes = 40;
/** What both suites call the namespaces that they make. */
const upstreamNamespace = /^(test|eventing-e2e)/;
/** ClusterRoles and their bindings that a feature makes and leaves. */
const upstreamRole = /(addressale-resolver|channelable-manipulator)-[a-z]{8}$/;

let found: readonly GoTest[] = [];
let foundOlder: readonly GoTest[] = [];

// Where the node is not of this machine, its images are not there, and upstream's own way of running them is better.
const wherePossible = describe.skipIf(readFacts().conformance === '');

wherePossible("Knative's conformance tests", () => {
  const cluster = new Cluster();
  const folder = mkdtempSync(join(tmpdir(), 'knative-kafka-conformance-'));
  const imagesFile = join(folder, 'images.yaml');
  let stopHelping = (): Promise<void> => Promise.resolve();

  beforeAll(async () => {
    writeFileSync(imagesFile, stringify(Object.fromEntries(conformanceImages)));
    await cluster.createNamespace(systemNamespace);
    await cluster.install();
    const settings = join(await ensureKnativeEventing(), 'config', 'configmaps');
    // Which upstream's pods are given; our chart has no need of them.
    await cluster.kubectl(['apply', '--server-side', '--filename', join(settings, 'logging.yaml'), '--filename', join(settings, 'observability.yaml')]);
    await cluster.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'default-ch-webhook', namespace: systemNamespace }, data: { 'default-ch-config': stringify({ clusterDefault: channelApi }) } });
    stopHelping = await useImageAtHand(cluster, curlImage);
  });
  afterAll(async () => {
    const left = (await cluster.list('namespaces')).map(({ metadata }) => metadata.name).filter((name) => upstreamNamespace.test(name));
    await cluster.cleanUp([...left, systemNamespace]);
    await stopHelping();
    const roles = (await cluster.list('clusterrolebindings,clusterroles')).filter(({ metadata }) => upstreamRole.test(metadata.name));
    for (const { kind, metadata } of roles) await cluster.kubectl(['delete', kind, metadata.name]);
    rmSync(folder, { recursive: true, force: true });
  });

  /** Runs one of upstream's programs to its end. @returns all of its tests */
  async function run(program: string, args: readonly string[]): Promise<GoTest[]> {
    const env = {
      KUBECONFIG: cluster.facts.kubeconfig,
      SYSTEM_NAMESPACE: systemNamespace,
      CHANNEL_GROUP_KIND: `${channelApi.kind}.messaging.knative.dev`,
      CHANNEL_VERSION: 'v1',
    };
    const onLine = (line: string): void => {
      if (/^--- /.test(line)) console.log(`${program}: ${line}`);
    };
    const { stdout, stderr } = await runCommand(join(cluster.facts.conformance, program), ['-test.v', `-test.timeout=${limitMinutes}m`, ...args], { cwd: folder, env, onLine });
    const tests = readGoTests(stdout);
    if (tests.length === 0 || tests.some(({ outcome }) => outcome === 'failed')) {
      mkdirSync(cluster.facts.failures, { recursive: true });
      writeFileSync(join(cluster.facts.failures, `conformance-${program}.log`), `${stdout}\n${stderr}`);
    }
    return tests;
  }

  it('run to their end, and none fails', { timeout: (2 * limitMinutes + 1) * 60_000 }, async () => {
    // Steps of a feature wait for each other side by side.
    found = await run('features', ['-test.parallel=64', `-images.producer.file=${imagesFile}`, '-poll.interval=1s']);
    const repository = (conformanceImages.get('knative.dev/eventing/test/test_images/recordevents') ?? '').replace(/\/recordevents:.*/, '');
    const images = ['-dockerrepo', repository, '-tag', '1', '-imagetemplate', '{{.Repository}}/{{.Name}}:{{.Tag}}'];
    foundOlder = await run('older', ['-test.parallel=2', `-channels=${channelApi.apiVersion}:${channelApi.kind}`, ...images]);
    expect([...found, ...foundOlder].filter(({ outcome }) => outcome === 'failed').map(({ name }) => name)).toEqual([]);
  });
});

wherePossible('a feature of Knative', () => {
  it.each(features.map((feature) => [nameOf(feature), feature] as const))('%s', (name, feature) => expectToHold(found, name, feature));

  it('is in this list, whichever upstream ran', () => {
    const ran = found.filter(({ name }) => name.endsWith('/Assert')).map(({ name }) => name.slice(0, -'/Assert'.length));
    expect(ran.sort()).toEqual(features.map(nameOf).sort());
  });
});

wherePossible('an older conformance test of Knative', () => {
  it.each(olderTests.map((test) => [nameOf(test), test] as const))('%s', (name, test) => expectToHold(foundOlder, name, test));

  it('is in this list, whichever upstream ran', () => {
    expect(foundOlder.map(({ name }) => name).filter((name) => !name.includes('/')).sort()).toEqual(olderTests.map(nameOf).sort());
  });
});

/** As the program prints it. */
function nameOf({ test, feature }: Feature): string {
  return feature === undefined ? test : `${test}/${feature}`.replaceAll(' ', '_');
}

function expectToHold(tests: readonly GoTest[], name: string, { unwritten = 0 }: Feature): void {
  const steps = stepsOf(tests, name);
  expect(steps.filter(({ outcome }) => outcome !== 'passed')).toEqual([]);
  expect(tests.find((test) => test.name === name)).toMatchObject({ outcome: 'passed' });
  expect(steps.length).toBeGreaterThan(unwritten);
  expect(steps.filter(({ text }) => text.includes('TODO, Implement this.'))).toHaveLength(unwritten);
}
