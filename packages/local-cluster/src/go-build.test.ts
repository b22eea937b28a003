import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isPackagePath, sourceHash, usefulGoLines } from './go-build.ts';

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

describe('sourceHash', () => {
  it('changes with every Go file of the module, and with no other', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'knative-kafka-hash-'));
    try {
      const hashAfter = (file: string): Promise<string> => {
        writeFileSync(join(folder, file), file);
        return sourceHash(folder);
      };
      mkdirSync(join(folder, 'suite'));
      const hashes = [await hashAfter('go.mod'), await hashAfter('main.go'), await hashAfter(join('suite', 'suite_test.go')), await hashAfter('README.md')];
      expect(new Set(hashes).size).toBe(3);
      expect(hashes[3]).toBe(hashes[2]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
