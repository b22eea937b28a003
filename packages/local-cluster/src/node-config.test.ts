import { describe, expect, it } from 'vitest';
import { nodeNetwork } from './isolation.ts';
import { clusterDns, containerdConfig, corednsImage, healthPorts, kubeletConfig, kubeProxyConfig, pauseImage, podNetwork } from './node-config.ts';

describe('containerd', () => {
  const config = containerdConfig({ root: '/tmp/a "b"/root', state: '/run/containerd', socket: '/run/c.sock', cniConfig: '/tmp/cni', cniPrograms: '/usr/lib/cni' });

  it('keeps everything where it is told, whatever the folder is called', () => {
    expect(config).toContain('root = "/tmp/a \\"b\\"/root"');
    expect(config).toContain('address = "/run/c.sock"');
    expect(config).toContain('bin_dir = "/usr/lib/cni"\nconf_dir = "/tmp/cni"');
  });

  it('begins pods with our own pause image, and asks for no score that it may not have', () => {
    expect(config).toContain(`sandbox_image = "${pauseImage}"`);
    expect(config).toContain('restrict_oom_score_adj = true');
  });
});

describe('the kubelet', () => {
  const config = kubeletConfig({ authority: '/ca', certificate: '/crt', key: '/key', containerdSocket: '/run/c.sock', resolvConf: '/r', podLogs: '/logs', controlGroup: '/ours' });

  it('runs on either version of control groups, below a group of its own', () => {
    expect(config).toMatchObject({ cgroupDriver: 'cgroupfs', cgroupRoot: '/ours', failCgroupV1: false });
  });

  it('never collects images, which could be fetched nowhere', () => {
    expect(config).toMatchObject({ imageGCHighThresholdPercent: 100 });
  });

  it('lets nobody in without a certificate or a token', () => {
    expect(config).toMatchObject({ authentication: { anonymous: { enabled: false }, x509: { clientCAFile: '/ca' } }, authorization: { mode: 'Webhook' } });
  });

  it('tells where its health is asked for, and so does kube-proxy', () => {
    expect(config).toMatchObject({ healthzPort: healthPorts.kubelet });
    expect(kubeProxyConfig('/kubeconfig')).toMatchObject({ healthzBindAddress: `127.0.0.1:${healthPorts.kubeProxy}`, clientConnection: { kubeconfig: '/kubeconfig' } });
  });
});

describe('the network of pods', () => {
  it('gives them addresses that kube-proxy knows as pods', () => {
    expect(JSON.stringify(podNetwork())).toContain(`"subnet":"${nodeNetwork.nodePodRange}"`);
    const [start = ''] = nodeNetwork.nodePodRange.split('/');
    expect(start.startsWith(nodeNetwork.podRange.split('.').slice(0, 2).join('.'))).toBe(true);
  });
});

describe('DNS of the cluster', () => {
  const objects = clusterDns() as readonly { readonly kind: string; readonly spec?: object }[];

  it('answers where pods are told to ask', () => {
    expect(objects.find(({ kind }) => kind === 'Service')?.spec).toMatchObject({ clusterIP: nodeNetwork.dnsAddress });
  });

  it('runs an image that is on the node and never asked for', () => {
    expect(JSON.stringify(objects)).toContain(`"image":"${corednsImage}","imagePullPolicy":"Never"`);
  });

  it('may read what it answers from, and nothing else', () => {
    const verbs = JSON.stringify(objects.find(({ kind }) => kind === 'ClusterRole'));
    expect(verbs).not.toMatch(/secrets|create|update|patch|delete/);
  });
});
