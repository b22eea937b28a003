import { describe, expect, it } from 'vitest';
import { readPodSettings, readSourcePodSettings } from './pod-settings.ts';

const read = (value: unknown) => readPodSettings(value, ['info', 'debug']);

describe('settings of pods', () => {
  it('are taken as they are, quantities in their canonical form', () => {
    const settings = {
      replicas: 2, logLevel: 'debug', env: [{ name: 'LOG_LEVEL', value: 'info' }, { name: 'A', valueFrom: { fieldRef: { fieldPath: 'x' } } }],
      nodeSelector: { a: 'b' }, tolerations: [{ operator: 'Exists' }], affinity: { nodeAffinity: {} }, topologySpreadConstraints: [{ maxSkew: 1 }],
      priorityClassName: 'high', labels: { team: 'blue' }, annotations: { note: '' }, imagePullSecrets: [{ name: 'registry' }],
    };
    expect(read({})).toEqual({ value: {} });
    expect(read(settings)).toEqual({ value: settings });
    expect(read({ resources: { requests: { cpu: 1 }, limits: { memory: '1024Mi' } } })).toEqual({ value: { resources: { requests: { cpu: '1' }, limits: { memory: '1Gi' } } } });
  });

  it.each<[unknown, string]>([
    [[], 'expected a JSON object'],
    [{ replica: 2 }, 'replica: is not known; known are replicas, logLevel, resources, env, nodeSelector, tolerations, affinity, topologySpreadConstraints, priorityClassName, labels, annotations, imagePullSecrets'],
    [{ replicas: 0 }, 'replicas: expected a whole number from 1 to 100'],
    [{ replicas: '2' }, 'replicas: expected a whole number from 1 to 100'],
    [{ logLevel: 'loud' }, 'logLevel: expected one of info, debug'],
    [{ resources: { limit: {} } }, 'resources.limit: is not known; known are requests, limits'],
    [{ resources: { limits: { memory: '1 GB' } } }, 'resources.limits.memory: expected a quantity such as 100m or 512Mi'],
    [{ env: [{ value: 'hidden' }] }, 'env[0].name: is required'],
    [{ env: [{ name: 'A' }, { name: 'KAFKA_SECRET', value: 'x' }] }, 'env[1].name: KAFKA_SECRET is set by the controller'],
    [{ env: [{ name: 'SERVES', value: 'channels' }] }, 'env[0].name: SERVES is set by the controller'],
    [{ env: { A: 'b' } }, 'env: expected a list'],
    [{ nodeSelector: { a: 1 } }, 'nodeSelector.a: expected text'],
    [{ tolerations: ['all'] }, 'tolerations[0]: expected an object'],
    [{ affinity: [] }, 'affinity: expected an object'],
    [{ labels: { 'app.kubernetes.io/name': 'x' } }, 'labels.app.kubernetes.io/name: is set by the controller'],
    [{ imagePullSecrets: [{ secret: 'x' }] }, 'imagePullSecrets[0].secret: is not known; known are name'],
  ])('%j is refused', (value, problem) => {
    expect(read(value)).toEqual({ problems: [problem] });
  });

  it('tells everything that is wrong at once, and no value', () => {
    const outcome = read({ replicas: 0, constructor: 1, env: [{ name: 'A', value: 1, more: 'hidden' }] });
    expect('problems' in outcome && outcome.problems.map((problem) => problem.split(':')[0])).toEqual(['replicas', 'constructor', 'env[0].value', 'env[0].more']);
    expect(JSON.stringify(outcome)).not.toContain('hidden');
  });

  it('of source dispatchers are the same, without replicas', () => {
    expect(readSourcePodSettings({ logLevel: 'debug' }, ['debug'])).toEqual({ value: { logLevel: 'debug' } });
    expect(readSourcePodSettings({ replicas: 2 }, [])).toMatchObject({ problems: [expect.stringContaining('replicas: is decided by the controller')] });
    expect(readSourcePodSettings([], [])).toEqual({ problems: ['expected a JSON object'] });
  });
});
