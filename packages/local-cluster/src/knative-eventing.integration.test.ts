import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { waitFor } from './child-process.ts';
import { startKnativeEventing, type KnativeEventing } from './knative-eventing.ts';
import { startKubernetes, type KubernetesCluster } from './kubernetes.ts';

let root: string;
let kubernetes: KubernetesCluster;
let eventing: KnativeEventing;

// Generous, because it may be the first start on this machine, which builds everything.
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'knative-kafka-eventing-'));
  kubernetes = await startKubernetes({ dataDir: join(root, 'kubernetes') });
  eventing = await startKnativeEventing({ kubernetes, logFile: join(root, 'eventing.log') });
}, 3_600_000);

afterAll(async () => {
  await eventing.stop();
  expect(eventing.isRunning()).toBe(false);
  await kubernetes.stop();
  await rm(root, { recursive: true });
});

it('reconciles a Subscription whose channel it cannot find', async () => {
  const subscription = {
    apiVersion: 'messaging.knative.dev/v1',
    kind: 'Subscription',
    metadata: { name: 'lost', namespace: 'default' },
    spec: {
      channel: { apiVersion: 'messaging.knative.dev/v1', kind: 'Channel', name: 'nowhere' },
      subscriber: { uri: 'http://subscriber.example' },
    },
  };
  const applied = await kubernetes.kubectl(['apply', '-f', '-'], { input: JSON.stringify(subscription) });
  expect(applied.code, applied.stderr).toBe(0);
  const found = async () => (await kubernetes.kubectl(['get', 'subscription', 'lost', '-o', 'jsonpath={.status.conditions}'])).stdout;
  const isTold = async () => (await found()).includes('"reason":"ChannelReferenceFailed"');
  await waitFor('the condition', isTold, { timeoutMs: 60_000 }).catch(async (error: unknown) => {
    throw new Error(`conditions: ${await found()}`, { cause: error });
  });
});
