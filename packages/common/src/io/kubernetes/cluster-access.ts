/**
 * Where the API server is and who we are to it: kubeconfig files, a pod's service account, certificates, tokens.
 *
 * All of it is the reading of @kubernetes/client-node; nothing else of that library is used, and it is loaded with this
 * module only, so that whoever never asks an API server does not pay for it.
 *
 * Always true: what rotates (tokens, certificates in files) is read again within two minutes, and at once after a
 * refusal; connections are made anew only when the certificates have changed.
 */
import { createHash } from 'node:crypto';
import { Agent as HttpAgent, type AgentOptions } from 'node:http';
import { Agent as HttpsAgent, type RequestOptions } from 'node:https';
import { createSecureContext } from 'node:tls';
import { KubeConfig } from '@kubernetes/client-node';
import { Fault } from '../../core/fault.ts';

/** What one request needs. */
export interface Access {
  /** Without a slash at its end; may have a path. */
  readonly baseUrl: string;
  readonly headers: Readonly<Record<string, string>>;
  /** For calls: a few connections. */
  readonly calls: HttpAgent;
  /** For watches, each of which holds one. */
  readonly watches: HttpAgent;
}

export interface ClusterAccess {
  /** @param isRefused whether the API server did not accept what it was shown: read everything again */
  access(isRefused?: boolean): Promise<Access>;
  close(): void;
}

const maxAgeMs = 30_000;
/** Many calls may be refused together. */
const minAgeMs = 1_000;
const callConnections = 16;
/** Less than the 90 seconds after which API servers close idle connections: a call must not meet one that is closing. */
const idleConnectionMs = 30_000;

/**
 * @param kubeconfig a path; where left out: KUBECONFIG, ~/.kube/config, the pod's service account
 * @throws Fault SETTINGS_INVALID when there is nothing, or it cannot be read
 */
export function openClusterAccess(kubeconfig: string | undefined): ClusterAccess {
  let { config, cluster } = readConfig(kubeconfig);
  let agents: { readonly of: string; readonly calls: HttpAgent; readonly watches: HttpAgent } | undefined;
  let latest: { readonly access: Access; readonly readAt: number } | undefined;

  const read = async (): Promise<Access> => {
    const found: RequestOptions = {};
    await config.applyToHTTPSOptions(found);
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(found.headers ?? {})) headers[name.toLowerCase()] = String(value).trim();
    if (typeof found.auth === 'string') headers['authorization'] = `Basic ${Buffer.from(found.auth).toString('base64')}`;
    const of = fingerprint([found.ca, found.cert, found.key, found.servername, String(found.rejectUnauthorized), cluster.server, cluster.proxyUrl]);
    // Those of before are left to themselves: calls under way end, a watch too, and idle connections are closed.
    if (agents?.of !== of) agents = { of, ...createAgents(cluster, found) };
    return { baseUrl: cluster.server.replace(/\/+$/, ''), headers, calls: agents.calls, watches: agents.watches };
  };
  return {
    async access(isRefused = false) {
      if (latest !== undefined && performance.now() - latest.readAt < (isRefused ? minAgeMs : maxAgeMs)) return latest.access;
      try {
        // The library keeps a token for a minute, and a kubeconfig for good.
        if (isRefused) ({ config, cluster } = readConfig(kubeconfig));
        latest = { access: await read(), readAt: performance.now() };
      } catch (error) {
        // Files are being replaced, or a command that gives a token fails: what was good a moment ago may still be.
        if (latest === undefined) throw error instanceof Fault ? error : new Fault('SETTINGS_INVALID', 'credentials for the API server cannot be read', { retriable: true, cause: error });
      }
      return latest.access;
    },
    close() {
      agents?.calls.destroy();
      agents?.watches.destroy();
    },
  };
}

type Cluster = NonNullable<ReturnType<KubeConfig['getCurrentCluster']>>;

function readConfig(kubeconfig: string | undefined): { readonly config: KubeConfig; readonly cluster: Cluster } {
  const config = new KubeConfig();
  try {
    if (kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfig);
  } catch (error) {
    throw new Fault('SETTINGS_INVALID', `the kubeconfig ${kubeconfig ?? '(default)'} cannot be read`, { retriable: false, cause: error });
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new Fault('SETTINGS_INVALID', `the kubeconfig ${kubeconfig ?? '(default)'} has no current cluster`, { retriable: false });
  return { config, cluster };
}

/**
 * HTTP/1.1 on purpose: each call and each watch has a connection of its own, so that one that hangs is given up alone
 * and takes nothing with it.
 */
function createAgents(cluster: Cluster, found: RequestOptions): { readonly calls: HttpAgent; readonly watches: HttpAgent } {
  if (cluster.proxyUrl !== undefined) {
    const agent = found.agent as HttpAgent; // the library's, which knows the kinds of proxies
    return { calls: agent, watches: agent };
  }
  const common: AgentOptions = { keepAlive: true, keepAliveMsecs: 30_000, timeout: idleConnectionMs };
  if (cluster.server.startsWith('http:')) return { calls: new HttpAgent({ ...common, maxSockets: callConnections }), watches: new HttpAgent(common) };
  const { ca, cert, key, servername, rejectUnauthorized } = found;
  const tls = {
    // One for all connections: each would build its own.
    secureContext: createSecureContext({ ca, cert, key }),
    ...(servername === undefined ? {} : { servername }),
    ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
  };
  return { calls: new HttpsAgent({ ...common, ...tls, maxSockets: callConnections }), watches: new HttpsAgent({ ...common, ...tls }) };
}

function fingerprint(parts: readonly unknown[]): string {
  const hash = createHash('sha256');
  for (const part of parts) {
    const bytes = Buffer.isBuffer(part) || typeof part === 'string' ? Buffer.from(part) : Buffer.alloc(0);
    hash.update(`${bytes.length}:`).update(bytes);
  }
  return hash.digest('base64');
}
