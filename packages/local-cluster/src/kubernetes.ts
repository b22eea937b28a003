/**
 * A real Kubernetes API server on 127.0.0.1, with its etcd and the controllers that need no node; or, for a node that
 * runs beside it (node.ts), with all of them and a scheduler.
 *
 * For tests of what talks to Kubernetes: custom resources with their validation rules, server-side apply, watches, RBAC,
 * garbage collection and rollouts as far as they are decided, all by the original code. Without a node no pod ever runs.
 *
 * Always true: a started cluster answers /readyz, and with the controller manager the default ServiceAccount exists; no
 * process outlives this one (guarded-process.ts); outside `dataDir` nothing is written but the cache of binaries; only
 * loopback is listened on, except beside a node.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { randomUUID } from 'node:crypto';
import { join, resolve } from 'node:path';
import { freePorts, isPortFree } from './free-port.ts';
import { ensureKubernetes, kubernetesVersion, type KubernetesProgram } from './kubernetes-binary.ts';
import { LoggedProcess, PortTakenError } from './logged-process.ts';
import { runCommand, type CommandResult } from './run-command.ts';
import { removeDataAtExit } from './temporary-data.ts';
import { lastLines } from './text-lines.ts';

export interface KubernetesOptions {
  /** Created where it is missing. Only what was put there by startKubernetes is ever removed from it. */
  readonly dataDir: string;
  /**
   * Default true. Without it nothing is collected, no namespace ever goes, and no Deployment gets a ReplicaSet; the
   * start is faster.
   */
  readonly controllerManager?: boolean;
  /** The API server's; default: a free one. */
  readonly port?: number;
  /**
   * Makes room for a node (node.ts): the address of this machine that pods reach. The API server then listens on every
   * address, there is a scheduler, and every controller runs. For an isolated tree only (isolation.ts).
   */
  readonly nodeAddress?: string;
  /** Whether the data stays after `stop`, to be found by the next start on the same folder. Default false. */
  readonly persistent?: boolean;
  /** Called with one line of text whenever there is something new to say. */
  readonly onProgress?: ((text: string) => void) | undefined;
  /** Called when one of the processes ends that nobody stopped or killed, with a sentence and the last lines of its log. */
  readonly onProcessEnded?: ((text: string) => void) | undefined;
}

export interface KubernetesCluster {
  /** `https://127.0.0.1:port`. */
  readonly url: string;
  /** File of a user that may do everything. */
  readonly kubeconfig: string;
  /** File of the authority that signed the API server's certificate. */
  readonly caFile: string;
  /** Folder of the programs, each under its name. */
  readonly programs: string;
  readonly apiServer: ApiServer;
  /**
   * Issues a certificate of the cluster's authority, good for a server and for a user, with a kubeconfig of that user.
   *
   * @throws Error with what the program printed
   */
  issue(wanted: CertificateRequest): Promise<IssuedFiles>;
  /** @returns the exit and the text, whatever the exit code */
  kubectl(args: readonly string[], options?: ClientOptions): Promise<CommandResult>;
  /** helm 4; the same as kubectl. */
  helm(args: readonly string[], options?: ClientOptions): Promise<CommandResult>;
  /**
   * A kubeconfig with a token of this ServiceAccount, which has to exist; the token is good for a day.
   *
   * @returns the file
   * @throws Error with kubectl's words, for example that there is no such ServiceAccount
   */
  kubeconfigFor(user: { readonly namespace: string; readonly serviceAccount: string }): Promise<string>;
  /** Ends every process and, unless persistent, removes the data. Again is harmless. */
  stop(): Promise<void>;
}

/** As kubernetes/certificates.go reads it. */
export interface CertificateRequest {
  readonly name: string;
  /** For Kubernetes the user. */
  readonly commonName: string;
  /** For Kubernetes the groups. */
  readonly organizations?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
}

export interface IssuedFiles {
  readonly certificate: string;
  readonly key: string;
  readonly kubeconfig: string;
}

export interface ClientOptions {
  /** What it reads from stdin, for `-f -`. */
  readonly input?: string;
  /** File; the administrator's when left out. */
  readonly kubeconfig?: string;
}

/** The API server alone; etcd and its data go on. */
export interface ApiServer {
  readonly port: number;
  /** What it prints, of every start. */
  readonly logFile: string;
  isRunning(): boolean;
  /** SIGTERM: requests under way are answered, watches end. SIGKILL where that takes too long. */
  stop(): Promise<void>;
  /** SIGKILL; resolves when it has ended. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers. */
  freeze(): void;
  /** SIGCONT. */
  thaw(): void;
  /**
   * Starts it again on the same port and data; resolves when it is ready.
   *
   * @throws Error when it runs already, ends early (with the last lines of its log) or is not ready in two minutes
   */
  start(): Promise<void>;
}

const portAttempts = 5;
const answerTimeoutMs = 5_000;

/** Folders and files of one data folder. */
class Paths {
  readonly dataDir: string;
  constructor(dataDir: string) {
    this.dataDir = dataDir;
  }
  get etcd() { return join(this.dataDir, 'etcd'); }
  get certificates() { return join(this.dataDir, 'certificates'); }
  get kubeconfigs() { return join(this.dataDir, 'kubeconfig'); }
  get clients() { return join(this.dataDir, 'clients'); }
  get logs() { return join(this.dataDir, 'log'); }
  certificate(name: string) { return join(this.certificates, `${name}.crt`); }
  key(name: string) { return join(this.certificates, `${name}.key`); }
  kubeconfig(name: string) { return join(this.kubeconfigs, `${name}.kubeconfig`); }
  log(name: string) { return join(this.logs, `${name}.log`); }
  /** Everything that was put into dataDir by us. */
  all() { return [this.etcd, this.certificates, this.kubeconfigs, this.clients, this.logs]; }
}

/**
 * Starts Kubernetes and waits until it serves. The first time ever it is built from source, which takes minutes.
 *
 * @throws Error in sentences for people: Go missing, port taken, folder in use, or the last lines of the log of a
 *               process which ended early
 */
export async function startKubernetes(options: KubernetesOptions): Promise<KubernetesCluster> {
  const { onProgress, persistent = false } = options;
  const programs = await ensureKubernetes({ onProgress });
  const paths = new Paths(resolve(options.dataDir));
  if (!persistent && existsSync(paths.etcd)) {
    throw new Error(`${paths.dataDir} holds the data of another Kubernetes, which would be removed at stop; use another folder`);
  }
  if (options.port !== undefined && !(await isPortFree(options.port))) {
    throw new Error(`Kubernetes needs the port ${options.port} of 127.0.0.1, and another program has it`);
  }
  const removeData = persistent ? undefined : removeDataAtExit(paths.dataDir, paths.all());

  let parts: Parts;
  try {
    await issueCertificates(programs, paths, certificatesOfParts(options.nodeAddress));
    parts = await startOnFreePorts(options, programs, paths);
  } catch (error) {
    await removeData?.();
    throw error;
  }
  const { etcd, apiServer, controllerManager, scheduler, port } = parts;
  const url = urlOf(port);
  onProgress?.(`Kubernetes ${kubernetesVersion}: ready at ${url}`);

  const client = (program: 'kubectl' | 'helm') => async (args: readonly string[], { input, kubeconfig }: ClientOptions = {}) =>
    runCommand(join(programs, program), args, {
      input,
      env: clientEnvironment(paths, kubeconfig ?? paths.kubeconfig('admin')),
    });
  const kubectl = client('kubectl');

  return {
    url,
    kubeconfig: paths.kubeconfig('admin'),
    caFile: paths.certificate('ca'),
    programs,
    issue: async (wanted) => {
      await issueCertificates(programs, paths, [wanted]);
      const kubeconfig = await writeCertificateKubeconfig(paths, port, wanted.name);
      return { certificate: paths.certificate(wanted.name), key: paths.key(wanted.name), kubeconfig };
    },
    kubectl,
    helm: client('helm'),
    kubeconfigFor: async ({ namespace, serviceAccount }) => {
      const result = await kubectl(['create', 'token', serviceAccount, '--namespace', namespace, '--duration', '24h']);
      if (result.code !== 0) throw new Error(`no token for ServiceAccount ${namespace}/${serviceAccount}: ${lastLines(result.stderr, 3)}`);
      return writeKubeconfig(paths, port, `${namespace}.${serviceAccount}`, { token: result.stdout.trim() });
    },
    apiServer: {
      port,
      logFile: apiServer.logFile,
      isRunning: () => apiServer.isRunning(),
      stop: () => apiServer.stop(),
      kill: () => apiServer.kill(),
      freeze: () => apiServer.freeze(),
      thaw: () => apiServer.thaw(),
      start: async () => apiServer.start(await readiness(paths, port, '/readyz')),
    },
    stop: async () => {
      // Only etcd keeps something, and an API server that is told to stop first waits for its watches to end.
      await Promise.all([scheduler?.kill(), controllerManager?.kill(), apiServer.kill()]);
      await (persistent ? etcd.stop() : etcd.kill());
      await removeData?.();
    },
  };
}

interface Parts {
  readonly port: number;
  readonly etcd: LoggedProcess;
  readonly apiServer: LoggedProcess;
  readonly controllerManager: LoggedProcess | undefined;
  readonly scheduler: LoggedProcess | undefined;
}

/** Starts all parts; where a port was free to choose and got lost on the way, again with others. */
async function startOnFreePorts(options: KubernetesOptions, programs: string, paths: Paths): Promise<Parts> {
  for (let attempt = 1; ; attempt++) {
    const [etcdPort = 0, freePort = 0] = await freePorts(2);
    const started: LoggedProcess[] = [];
    const part = (program: KubernetesProgram, args: readonly string[]): LoggedProcess => {
      const command = join(programs, program);
      const process = new LoggedProcess({ name: program, command, args, logFile: paths.log(program), onEnded: options.onProcessEnded });
      started.push(process);
      return process;
    };
    options.onProgress?.(`Kubernetes ${kubernetesVersion}: starting`);
    try {
      return await startParts(options, part, paths, etcdPort, options.port ?? freePort);
    } catch (error) {
      await Promise.all(started.map((process) => process.kill()));
      const isWorthAnother = error instanceof PortTakenError && options.port === undefined && attempt < portAttempts;
      if (!isWorthAnother) throw error;
    }
  }
}

async function startParts(
  options: KubernetesOptions,
  part: (program: KubernetesProgram, args: readonly string[]) => LoggedProcess,
  paths: Paths,
  etcdPort: number,
  port: number,
): Promise<Parts> {
  await writeKubeconfigs(paths, port);
  const etcdName = `local-cluster-${randomUUID()}`;
  const etcd = part('etcd', etcdArgs(paths, etcdName, etcdPort));
  await etcd.start(() => isEtcdServing(etcdName, etcdPort));
  const { nodeAddress } = options;
  const apiServer = part('kube-apiserver', apiServerArgs(paths, etcdPort, port, nodeAddress));
  await apiServer.start(await readiness(paths, port, '/readyz'));
  if (options.controllerManager === false) return { port, etcd, apiServer, controllerManager: undefined, scheduler: undefined };
  // Not before the API server is ready: without the roles that it creates the controller manager gives up.
  const controllerManager = part('kube-controller-manager', controllerManagerArgs(paths, nodeAddress === undefined ? controllers : everyController));
  await controllerManager.start(await readiness(paths, port, '/api/v1/namespaces/default/serviceaccounts/default'));
  const scheduler = nodeAddress === undefined ? undefined : part('kube-scheduler', schedulerArgs(paths));
  await scheduler?.start(() => Promise.resolve(true)); // whether it works shows when the first pod finds its node
  return { port, etcd, apiServer, controllerManager, scheduler };
}

function etcdArgs(paths: Paths, name: string, port: number): string[] {
  const client = `http://127.0.0.1:${port}`;
  const peer = 'http://127.0.0.1:0'; // it has no peers, but insists on a port for them
  return [
    `--name=${name}`,
    `--data-dir=${paths.etcd}`,
    '--unsafe-no-fsync', // what it wrote survives its own end, if not that of the machine
    '--log-level=warn',
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=${name}=${peer}`,
  ];
}

/** Where the API server is found: by pods at the node's address, without a node by nobody but this machine. */
function reachArgs(paths: Paths, nodeAddress: string | undefined): string[] {
  if (nodeAddress === undefined) {
    return [
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      '--endpoint-reconciler-type=none', // it would refuse to make an Endpoints object of a loopback address
    ];
  }
  return [
    '--bind-address=0.0.0.0',
    `--advertise-address=${nodeAddress}`,
    // For logs, exec and port-forward it calls the kubelet, as a user that may do everything.
    `--kubelet-client-certificate=${paths.certificate('admin')}`,
    `--kubelet-client-key=${paths.key('admin')}`,
    `--kubelet-certificate-authority=${paths.certificate('ca')}`,
    '--kubelet-preferred-address-types=InternalIP', // the node's name is in no DNS
    '--enable-admission-plugins=NodeRestriction',
  ];
}

function apiServerArgs(paths: Paths, etcdPort: number, port: number, nodeAddress: string | undefined): string[] {
  return [
    `--etcd-servers=http://127.0.0.1:${etcdPort}`,
    ...reachArgs(paths, nodeAddress),
    `--secure-port=${port}`,
    `--tls-cert-file=${paths.certificate('apiserver')}`,
    `--tls-private-key-file=${paths.key('apiserver')}`,
    `--client-ca-file=${paths.certificate('ca')}`,
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${join(paths.certificates, 'service-account.pub')}`,
    `--service-account-signing-key-file=${paths.key('service-account')}`,
    '--service-cluster-ip-range=10.96.0.0/16',
    '--authorization-mode=Node,RBAC',
    '--allow-privileged=true',
    '--shutdown-watch-termination-grace-period=1s', // else SIGTERM waits a minute for watches to end by themselves
    '--profiling=false',
  ];
}

/** Those that make sense without a node; each costs watches, and so memory. */
const controllers = [
  'clusterrole-aggregation-controller',
  'cronjob-controller',
  'daemonset-controller',
  'deployment-controller',
  'disruption-controller',
  'endpoints-controller',
  'endpointslice-controller',
  'garbage-collector-controller',
  'horizontal-pod-autoscaler-controller',
  'job-controller',
  'namespace-controller',
  'replicaset-controller',
  'resourcequota-controller',
  'root-ca-certificate-publisher-controller',
  'serviceaccount-controller',
  'serviceaccount-token-controller',
  'statefulset-controller',
  'validatingadmissionpolicy-status-controller',
];

const everyController = ['*'];

function controllerManagerArgs(paths: Paths, names: readonly string[]): string[] {
  const kubeconfig = paths.kubeconfig('kube-controller-manager');
  return [
    `--kubeconfig=${kubeconfig}`,
    '--secure-port=0', // nobody asks for its metrics
    '--leader-elect=false',
    `--controllers=${names.join(',')}`,
    `--service-account-private-key-file=${paths.key('service-account')}`,
    `--root-ca-file=${paths.certificate('ca')}`,
    '--use-service-account-credentials=true',
    '--kube-api-qps=500',
    '--kube-api-burst=1000',
    '--profiling=false',
  ];
}

function schedulerArgs(paths: Paths): string[] {
  const kubeconfig = paths.kubeconfig('kube-scheduler');
  return [
    `--kubeconfig=${kubeconfig}`,
    `--authentication-kubeconfig=${kubeconfig}`,
    `--authorization-kubeconfig=${kubeconfig}`,
    '--bind-address=127.0.0.1',
    '--leader-elect=false',
    '--profiling=false',
  ];
}

/** Asks for its name, because another etcd may have got the port first and ours is about to find out. */
async function isEtcdServing(name: string, port: number): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${port}/v3/cluster/member/list`, {
    method: 'POST',
    body: '{}',
    signal: AbortSignal.timeout(answerTimeoutMs),
  });
  const { members = [] } = (await response.json()) as { members?: { name?: string }[] };
  return members.some((member) => member.name === name);
}

/**
 * What asks the API server for `path` as its administrator, and takes 200 for yes. A server with a certificate of
 * another cluster counts as none.
 */
async function readiness(paths: Paths, port: number, path: string): Promise<() => Promise<boolean>> {
  const [ca, cert, key] = await Promise.all(
    [paths.certificate('ca'), paths.certificate('admin'), paths.key('admin')].map((file) => readFile(file)),
  );
  return () =>
    new Promise((answer, fail) => {
      const asking = request(
        { host: '127.0.0.1', port, path, ca, cert, key, agent: false, timeout: answerTimeoutMs },
        (response) => {
          response.resume();
          answer(response.statusCode === 200);
        },
      );
      asking.once('timeout', () => asking.destroy(new Error(`no answer to ${path} in ${answerTimeoutMs} ms`)));
      asking.once('error', fail);
      asking.end();
    });
}

/** What the parts show to each other, and the administrator to them. */
function certificatesOfParts(nodeAddress: string | undefined): CertificateRequest[] {
  return [
    {
      name: 'apiserver',
      commonName: 'kube-apiserver',
      dnsNames: ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'],
      ipAddresses: ['127.0.0.1', '10.96.0.1', ...(nodeAddress === undefined ? [] : [nodeAddress])],
    },
    { name: 'admin', commonName: 'admin', organizations: ['system:masters'] },
    ...usersOfParts.map((name) => ({ name, commonName: `system:${name}` })),
  ];
}

const usersOfParts = ['kube-controller-manager', 'kube-scheduler'];

/** @throws Error with what the program printed */
async function issueCertificates(programs: string, paths: Paths, wanted: readonly CertificateRequest[]): Promise<void> {
  await mkdir(paths.certificates, { recursive: true });
  const program: KubernetesProgram = 'certificates';
  const result = await runCommand(join(programs, program), [paths.certificates], { input: JSON.stringify(wanted) });
  if (result.code !== 0) throw new Error(`certificates could not be issued: ${lastLines(result.stderr, 5)}`);
}

async function writeKubeconfigs(paths: Paths, port: number): Promise<void> {
  for (const name of ['admin', ...usersOfParts]) await writeCertificateKubeconfig(paths, port, name);
}

async function writeCertificateKubeconfig(paths: Paths, port: number, name: string): Promise<string> {
  const [certificate, key] = await Promise.all([readFile(paths.certificate(name), 'base64'), readFile(paths.key(name), 'base64')]);
  return writeKubeconfig(paths, port, name, { 'client-certificate-data': certificate, 'client-key-data': key });
}

/** In JSON, which is YAML too. */
async function writeKubeconfig(paths: Paths, port: number, name: string, user: Readonly<Record<string, string>>): Promise<string> {
  const authority = await readFile(paths.certificate('ca'), 'base64');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'local', cluster: { server: urlOf(port), 'certificate-authority-data': authority } }],
    users: [{ name, user }],
    contexts: [{ name: 'local', context: { cluster: 'local', user: name } }],
    'current-context': 'local',
  };
  await mkdir(paths.kubeconfigs, { recursive: true });
  const file = paths.kubeconfig(name);
  await writeFile(file, `${JSON.stringify(config, undefined, 2)}\n`, { mode: 0o600 });
  return file;
}

/** Keeps the clients to this cluster: no preferences of the user, and no cache of a cluster that had the same port. */
function clientEnvironment(paths: Paths, kubeconfig: string): Record<string, string> {
  const folder = (name: string) => join(paths.clients, name);
  return {
    KUBECONFIG: kubeconfig,
    KUBECACHEDIR: folder('kubectl-cache'),
    KUBERC: 'off',
    HELM_CACHE_HOME: folder('helm-cache'),
    HELM_CONFIG_HOME: folder('helm-config'),
    HELM_DATA_HOME: folder('helm-data'),
  };
}

function urlOf(port: number): string {
  return `https://127.0.0.1:${port}`;
}
