/**
 * The part of `npm run e2e` that runs in an isolated tree: brings up Kubernetes, a node and Kafka, and runs the tests.
 *
 * Always true: it ends with the exit code of the tests, and with it everything that it has started.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import { nodeNetwork, startKafka, startKubernetes, startNode } from '@knative-kafka/local-cluster';
import { collectDiagnostics } from './diagnostics.ts';
import type { ClusterFacts } from './cluster-facts.ts';
import { serveNodeControl } from './node-control.ts';
import { runTests } from './run-tests.ts';

/** What main.ts has prepared; in a file, which is the only argument. */
export interface Plan {
  readonly dataDir: string;
  readonly controlGroup: string;
  /** Archives. */
  readonly images: readonly string[];
  readonly nodeImage: string;
  readonly conformance: string;
  readonly failures: string;
  readonly tests: readonly string[];
  readonly isShort: boolean;
  readonly isKept: boolean;
}

const kafkaPort = 9092;
const say = (text: string): void => console.log(text);

try {
  process.exit(await run(JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as Plan));
} catch (error) {
  say((error as Error).message);
  process.exit(1);
}

async function run(plan: Plan): Promise<number> {
  const facts = await startCluster(plan);
  const code = await runTests(facts, plan.tests, say);
  if (plan.isKept) {
    say(`The cluster goes on until Ctrl-C. Its KUBECONFIG: ${facts.kubeconfig}`);
    await delay(2 ** 31 - 1);
  }
  return code;
}

async function startCluster({ dataDir, controlGroup, images, nodeImage, conformance, failures, isShort }: Plan): Promise<ClusterFacts> {
  const [kubernetes, kafka] = await Promise.all([
    startKubernetes({ dataDir: join(dataDir, 'kubernetes'), nodeAddress: nodeNetwork.nodeAddress, onProgress: say, onProcessEnded: say }),
    startKafka({
      dataDir: join(dataDir, 'kafka'),
      basePort: kafkaPort,
      // Where pods find it; the controllers of Kafka keep to themselves.
      config: {
        listeners: `PLAINTEXT://0.0.0.0:${kafkaPort},CONTROLLER://127.0.0.1:${kafkaPort + 1}`,
        'advertised.listeners': `PLAINTEXT://${nodeNetwork.nodeAddress}:${kafkaPort}`,
      },
      onProgress: say,
      onBrokerEnded: say,
    }),
  ]);
  const facts: ClusterFacts = {
    kubeconfig: kubernetes.kubeconfig,
    kubectl: join(kubernetes.programs, 'kubectl'),
    helm: join(kubernetes.programs, 'helm'),
    kafka: `${nodeNetwork.nodeAddress}:${kafkaPort}`,
    registry: '',
    nodeImage,
    conformance,
    control: join(dataDir, 'control.sock'),
    failures,
    logs: [join(dataDir, 'node', 'log'), join(dataDir, 'kubernetes', 'log'), join(dataDir, 'kafka', 'broker-1', 'broker.log')],
    isShort,
  };
  try {
    const node = await startNode({ kubernetes, dataDir: join(dataDir, 'node'), controlGroup, images, onProgress: say, onProcessEnded: say });
    await serveNodeControl(facts.control, { kubernetes, node, controlGroup, broker: kafka.brokers[0]! });
  } catch (error) {
    await collectDiagnostics(facts, 'start of the node');
    throw error;
  }
  return facts;
}
