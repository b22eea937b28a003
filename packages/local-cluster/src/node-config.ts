/**
 * What the programs of a node are told, as texts.
 *
 * Pure. Everything is JSON, which is YAML too, except for containerd, which reads TOML. What differs from the defaults
 * is there for a machine that is small, may be a virtual one with fewer rights than usual, and has other work to do.
 */
import { nodeNetwork } from './isolation.ts';

export const nodeName = 'node-1';
export const clusterDomain = 'cluster.local';
/** Of the loopback address, where each says whether it works. */
export const healthPorts = { kubelet: 10248, kubeProxy: 10256 };
/** Where distributions put the network's programs. */
export const cniFolders = ['/usr/lib/cni', '/opt/cni/bin', '/usr/libexec/cni'];
export const pauseImage = 'local-cluster/pause:1';
export const corednsImage = 'local-cluster/coredns:1';

export interface ContainerdPaths {
  /** Images and what containers write; on a disk. */
  readonly root: string;
  /** Of running containers; in memory. */
  readonly state: string;
  readonly socket: string;
  /** Folder of the network's configuration. */
  readonly cniConfig: string;
  /** Folder of the network's programs. */
  readonly cniPrograms: string;
}

export function containerdConfig({ root, state, socket, cniConfig, cniPrograms }: ContainerdPaths): string {
  const text = (value: string): string => JSON.stringify(value); // a TOML basic string has the same escapes
  const cri = '[plugins."io.containerd.grpc.v1.cri"';
  return `version = 2
root = ${text(root)}
state = ${text(state)}
[grpc]
address = ${text(socket)}
${cri}]
sandbox_image = ${text(pauseImage)}
# Where CAP_SYS_RESOURCE is missing, a container that asks for a lower OOM score than ours would not start.
restrict_oom_score_adj = true
${cri}.cni]
bin_dir = ${text(cniPrograms)}
conf_dir = ${text(cniConfig)}
${cri}.containerd]
snapshotter = "overlayfs"
${cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
${cri}.containerd.runtimes.runc.options]
SystemdCgroup = false
`;
}

/** One bridge for all pods; its own address is their way to everything else. */
export function podNetwork(): object {
  return {
    cniVersion: '1.0.0',
    name: 'pods',
    plugins: [
      {
        type: 'bridge',
        bridge: 'pods0',
        isDefaultGateway: true,
        hairpinMode: true, // a pod may reach itself through its Service
        ipam: { type: 'host-local', ranges: [[{ subnet: nodeNetwork.nodePodRange }]] },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  };
}

export interface KubeletPaths {
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
  readonly containerdSocket: string;
  /** A file of name servers for pods that do not ask the cluster's DNS. */
  readonly resolvConf: string;
  readonly podLogs: string;
  /** Control group of all pods, as a path from the root of the hierarchy. */
  readonly controlGroup: string;
}

export function kubeletConfig(paths: KubeletPaths): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile: paths.authority } },
    authorization: { mode: 'Webhook' },
    tlsCertFile: paths.certificate,
    tlsPrivateKeyFile: paths.key,
    containerRuntimeEndpoint: `unix://${paths.containerdSocket}`,
    healthzPort: healthPorts.kubelet,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: paths.controlGroup,
    failCgroupV1: false,
    failSwapOn: false,
    oomScoreAdj: 0, // -999 by default, which takes CAP_SYS_RESOURCE
    clusterDNS: [nodeNetwork.dnsAddress],
    clusterDomain,
    resolvConf: paths.resolvConf,
    podLogsDir: paths.podLogs,
    // Changed ConfigMaps and Secrets reach their pods within seconds instead of a minute.
    syncFrequency: '5s',
    nodeStatusUpdateFrequency: '10s',
    // Imported images can be fetched nowhere again, so none is ever collected; and a full disk elsewhere is no reason to evict.
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    evictionHard: { 'memory.available': '100Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
  };
}

export function kubeProxyConfig(kubeconfig: string): object {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'nftables',
    hostnameOverride: nodeName,
    oomScoreAdj: 0,
    healthzBindAddress: `127.0.0.1:${healthPorts.kubeProxy}`,
    clusterCIDR: nodeNetwork.podRange,
    clientConnection: { kubeconfig },
    // By default a Service may refuse connections for a second after its last endpoint has moved.
    nftables: { minSyncPeriod: '100ms' },
    // Zero leaves the settings of connection tracking as they are.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  };
}

/** The cluster's DNS server as objects to apply. Names outside the cluster have no answer: there is no way there. */
export function clusterDns(): readonly object[] {
  const metadata = { name: 'coredns', namespace: 'kube-system' };
  const labels = { 'k8s-app': 'kube-dns' };
  const role = 'system:coredns';
  const corefile = [
    '.:53 {',
    '  errors',
    '  ready',
    `  kubernetes ${clusterDomain} in-addr.arpa {`,
    '    pods insecure',
    '    ttl 1', // what has moved is found again at once
    '  }',
    '  loadbalance',
    '}',
    '',
  ].join('\n');
  const container = {
    name: 'coredns',
    image: corednsImage,
    imagePullPolicy: 'Never',
    args: ['-conf', '/etc/coredns/Corefile'],
    readinessProbe: { httpGet: { path: '/ready', port: 8181 }, periodSeconds: 1 },
    volumeMounts: [{ name: 'config', mountPath: '/etc/coredns' }],
  };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: role },
      rules: [
        { apiGroups: [''], resources: ['namespaces', 'nodes', 'pods', 'services'], verbs: ['get', 'list', 'watch'] },
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
      ],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: role },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
      subjects: [{ kind: 'ServiceAccount', ...metadata }],
    },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { Corefile: corefile } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: {
        replicas: 1,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: { serviceAccountName: 'coredns', dnsPolicy: 'Default', containers: [container], volumes: [{ name: 'config', configMap: { name: 'coredns' } }] },
        },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'kube-dns', namespace: 'kube-system' },
      spec: {
        clusterIP: nodeNetwork.dnsAddress,
        selector: labels,
        ports: [
          { name: 'dns', port: 53, protocol: 'UDP' },
          { name: 'dns-tcp', port: 53, protocol: 'TCP' },
        ],
      },
    },
  ];
}
