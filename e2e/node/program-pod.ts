/**
 * One program of the tests in a pod of its own, behind a Service: how tests act inside the cluster without being in its
 * network. The API server leads to it.
 */
import type { Cluster } from './cluster.ts';

export interface PodProgram {
  /** Of ConfigMap, Deployment and Service. */
  readonly name: string;
  readonly namespace: string;
  /** By its ending Node knows what it is: `main.mjs`, `main.mts`. */
  readonly file: string;
  /** Source of a program on nothing but Node, which serves port 8080, GET /ready included. */
  readonly source: string;
  /** CPU that it asks for; nothing when left out, so that it has what others leave. */
  readonly cpu?: string;
}

/**
 * Starts it and waits until it answers.
 *
 * @returns path of the API server that leads to the program's root, without a slash at its end
 */
export async function startProgram(cluster: Cluster, { name, namespace, file, source, cpu }: PodProgram): Promise<string> {
  const metadata = { name, namespace };
  const labels = { app: name };
  const container = {
    name,
    image: cluster.facts.nodeImage,
    args: [`/program/${file}`],
    ports: [{ containerPort: 8080 }],
    readinessProbe: { httpGet: { path: '/ready', port: 8080 }, periodSeconds: 1 },
    ...(cpu === undefined ? {} : { resources: { requests: { cpu } } }),
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
    volumeMounts: [{ name: 'program', mountPath: '/program' }],
  };
  const spec = {
    securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } },
    terminationGracePeriodSeconds: 1,
    containers: [container],
    volumes: [{ name: 'program', configMap: { name } }],
  };
  await cluster.apply(
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { [file]: source } },
    { apiVersion: 'apps/v1', kind: 'Deployment', metadata, spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } } },
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] } },
  );
  await cluster.kubectl(['rollout', 'status', `deployment/${name}`, '--namespace', namespace, '--timeout=3m']);
  return `/api/v1/namespaces/${namespace}/services/${name}:80/proxy`;
}
