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
  expect(applied.stderr).toBe('');
  const reason = async () => {
    const path = 'jsonpath={.status.conditions[?(@.type=="ReferencesResolved")].reason}';
    return (await kubernetes.kubectl(['get', 'subscription', 'lost', '-o', path])).stdout;
  };
  expect(await waitFor('a condition', reason, { timeoutMs: 60_000 })).toBe('ChannelReferenceFailed');
});
