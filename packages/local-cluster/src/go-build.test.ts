import { describe, expect, it } from 'vitest';
import { isPackagePath, usefulGoLines } from './go-build.ts';

describe('isPackagePath', () => {
  it.each([
    ['fmt', true],
    ['internal/runtime/atomic', true],
    ['k8s.io/kubernetes/pkg/apis/core', true],
    ['helm.sh/helm/v4/pkg/cmd', true],
    ['gopkg.in/yaml.v3', true],
    ['go: downloading k8s.io/api v0.34.10', false],
    ['# k8s.io/api/core/v1', false],
    ['main.go:12:2: undefined: nothing', false],
    ['', false],
  ])('%j: %s', (line, isPath) => {
    expect(isPackagePath(line)).toBe(isPath);
  });
});

describe('usefulGoLines', () => {
  it('keeps the reason and drops the progress', () => {
    const output = [
      'go: downloading github.com/spf13/cobra v1.10.1',
      'k8s.io/api/core/v1',
      '# knative-kafka/local-cluster/kubernetes',
      './main.go:12:2: undefined: nothing',
      '',
    ].join('\n');
    expect(usefulGoLines(output)).toBe('# knative-kafka/local-cluster/kubernetes\n./main.go:12:2: undefined: nothing');
  });
});
