/**
 * A tree of processes with a machine of its own, as far as they can tell: own network, mounts and process ids.
 *
 * A node changes a machine all over: bridges and routes, packet filter rules, mounts of every pod, sockets at fixed
 * paths, settings of the kernel, processes that outlive whoever started them. In namespaces all of that is the tree's
 * alone, several trees can live side by side, and nothing has to be undone: when the tree's first process ends, the
 * kernel kills the others, and mounts and network go with the last of them. So it ends whole, whatever ends it.
 *
 * Always true: the network has no link to the outside; what is written to the system's folders (/run, /var/lib,
 * /var/log) and to the kernel settings that a kubelet wants changed is seen by the tree alone. Control groups have no
 * such end: control-groups.ts removes them. Needs Linux, root, util-linux and iproute2.
 */
import { spawnGuarded, type GuardedProcess } from './guarded-process.ts';
import { lastLines } from './text-lines.ts';

/** The tree's addresses. They are the same in every tree, since none sees another's. */
export const nodeNetwork = {
  /** Of the one node; processes of the tree that listen on every address are reached by pods here. */
  nodeAddress: '10.89.0.2',
  nodeSubnet: '10.89.0.0/24',
  /** Of which the node's pods have the first 256 addresses. */
  podRange: '10.244.0.0/16',
  nodePodRange: '10.244.0.0/24',
  serviceRange: '10.96.0.0/16',
  dnsAddress: '10.96.0.10',
} as const;

/** Settings of the whole machine, not of a namespace, that a kubelet reads and, where they differ, writes. */
const kubeletSettings = [
  'vm/overcommit_memory',
  'vm/panic_on_oom',
  'kernel/panic',
  'kernel/panic_on_oops',
  'kernel/keys/root_maxkeys',
  'kernel/keys/root_maxbytes',
];

/** Folders that programs write to at fixed paths, over which each tree lays what it writes. */
const systemFolders = ['/var/lib', '/var/log'];

export interface IsolatedOptions {
  /** What the tree's processes resolve names with; Services have names only where the cluster's DNS is asked. */
  readonly nameServer?: string;
  /** The whole environment; ours when left out. */
  readonly env?: NodeJS.ProcessEnv;
  readonly output: 'pipe' | number;
}

/**
 * Starts a program as the head of a new tree. When it ends, or we do, so does everything it has started.
 *
 * @throws Error when unshare cannot be started
 */
export function spawnIsolated(command: string, args: readonly string[], { nameServer, env, output }: IsolatedOptions): GuardedProcess {
  const namespaces = ['--net', '--mount', '--propagation=private', '--pid', '--mount-proc', '--ipc', '--uts'];
  const script = isolationScript({ nameServer });
  return spawnGuarded('unshare', [...namespaces, '--fork', '--kill-child=KILL', '/bin/sh', '-c', script, 'isolated', command, ...args], {
    env: { ...(env ?? process.env), [isolationMark]: '1' },
    output,
  });
}

/**
 * Makes a tree and lets it end.
 *
 * @throws Error with the last words of what this machine or its owner does not allow
 */
export async function tryIsolation(): Promise<void> {
  const { child, exited } = spawnIsolated('true', [], { output: 'pipe' });
  let words = '';
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (words += chunk));
  const { code, signal } = await exited;
  if (code !== 0) throw new Error(lastLines(words, 1) || `unshare ended with ${signal ?? `code ${code ?? '?'}`}`);
}

const isolationMark = 'KNATIVE_KAFKA_ISOLATED';

/** Whether this process lives in such a tree. */
export function isIsolated(): boolean {
  return process.env[isolationMark] === '1';
}

/**
 * How to run something in a living tree from outside: what to put before a command.
 *
 * @param head the process that was started by `spawnIsolated`
 */
export function enterCommand(head: number): string[] {
  // unshare has moved into all of them but the process ids, which a process keeps for life: only its child is in there.
  return ['nsenter', `--net=/proc/${head}/ns/net`, `--mount=/proc/${head}/ns/mnt`, `--pid=/proc/${head}/ns/pid_for_children`];
}

/**
 * What the tree's first process does before it runs the command that it is given as arguments. It stays, because a
 * first process also has to collect the children that nobody waits for, and a shell does.
 *
 * @returns a script for /bin/sh
 */
export function isolationScript({ nameServer }: { readonly nameServer?: string | undefined }): string {
  const { nodeAddress, serviceRange } = nodeNetwork;
  const prefix = nodeNetwork.nodeSubnet.split('/')[1] ?? '';
  return [
    'set -e',
    // br_netfilter is loaded by nothing but this. Where modules are built in, or may not be loaded, that is no failure yet.
    'modprobe --all overlay br_netfilter 2>/dev/null || true',
    'mount -t tmpfs -o mode=0755 tmpfs /run',
    'mkdir -p /run/netns /run/lock /run/isolated',
    ...systemFolders.map(overlay),
    ...kubeletSettings.map(shadowSetting),
    ...(nameServer === undefined ? [] : [resolveWith(nameServer)]),
    'ip link set lo up',
    'ip link add node0 type bridge',
    `ip address add ${nodeAddress}/${prefix} dev node0`,
    'ip link set node0 up',
    // Without a route the node's own processes could not reach ClusterIPs: they are rewritten only after routing.
    `ip route add ${serviceRange} dev node0 src ${nodeAddress}`,
    'echo 1 > /proc/sys/net/ipv4/ip_forward',
    // A Service's answer from a pod on the same bridge has to pass the packet filter, too.
    'if [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; then echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables; fi',
    'set +e',
    '"$@"',
    'exit $?', // also keeps the shell from making room for the command
  ].join('\n');
}

/** Writes go to memory, and reads of what was not written go through. */
function overlay(folder: string): string {
  const own = `/run/isolated${folder}`;
  return `mkdir -p ${own}/written ${own}/work && mount -t overlay -o lowerdir=${folder},upperdir=${own}/written,workdir=${own}/work overlay ${folder}`;
}

/** The setting becomes a file which holds its value. */
function shadowSetting(name: string): string {
  const file = `/run/isolated/${name.replaceAll('/', '.')}`;
  return `if [ -e /proc/sys/${name} ]; then cat /proc/sys/${name} > ${file} && mount --bind ${file} /proc/sys/${name}; fi`;
}

/** The file may be a link into /run, which is empty by now. */
function resolveWith(nameServer: string): string {
  const lines = [`nameserver ${nameServer}`, 'search default.svc.cluster.local svc.cluster.local cluster.local', 'options ndots:5'];
  return [
    `printf '%s\\n' ${lines.map((line) => `'${line}'`).join(' ')} > /run/isolated/resolv.conf`,
    'target=$(readlink -m /etc/resolv.conf) && mkdir -p "$(dirname "$target")" && { [ -e "$target" ] || : > "$target"; }',
    'mount --bind /run/isolated/resolv.conf "$target"',
  ].join('\n');
}
