import { describe, expect, it } from 'vitest';
import { sbom, type BundleContents, type PackageLock } from '../../scripts/sbom.ts';

const lock: PackageLock = {
  packages: {
    'node_modules/kafkajs': { version: '2.2.4', license: 'MIT', integrity: 'sha512-AAEC/w==' },
    'node_modules/a': { version: '1.0.0', license: '(MIT OR Apache-2.0)' },
    'node_modules/a/node_modules/@scope/b': { version: '2.0.0' },
    'node_modules/c/node_modules/@scope/b': { version: '2.0.0' },
    'packages/controller/node_modules/own': { version: '3.0.0' },
  },
};

function documentOf(inputs: Readonly<Record<string, number>>, known = lock) {
  const kept = Object.fromEntries(Object.entries(inputs).map(([file, bytesInOutput]) => [file, { bytesInOutput }]));
  const contents: BundleContents = { outputs: { 'bundle/main.js': { inputs: kept }, 'bundle/main.js.map': { inputs: {} } } };
  return sbom({ name: '@knative-kafka/controller', version: '0.1.0', license: 'Apache-2.0', contents, folder: 'packages/controller', lock: known }) as {
    readonly components: readonly Record<string, unknown>[];
  };
}
const purls = (inputs: Readonly<Record<string, number>>) => documentOf(inputs).components.map(({ purl }) => purl);

describe('the bill of materials of a bundle', () => {
  it('tells of a package its version, licence and hash', () => {
    expect(documentOf({ '../../node_modules/kafkajs/src/index.js': 10 }).components).toEqual([
      {
        type: 'library',
        'bom-ref': 'pkg:npm/kafkajs@2.2.4',
        name: 'kafkajs',
        version: '2.2.4',
        purl: 'pkg:npm/kafkajs@2.2.4',
        licenses: [{ license: { id: 'MIT' } }],
        hashes: [{ alg: 'SHA-512', content: '000102ff' }],
      },
    ]);
  });

  it('names what is in the bundle, and not what was only read', () => {
    expect(purls({ '../../node_modules/a/index.js': 0, '../../node_modules/kafkajs/index.js': 1, 'src/main.ts': 5, '../common/src/core/index.ts': 5 })).toEqual(['pkg:npm/kafkajs@2.2.4']);
  });

  it('names a package once, however many files and copies of it there are, in a fixed order', () => {
    const files = ['node_modules/kafkajs/b.js', 'node_modules/c/node_modules/@scope/b/1.js', 'node_modules/a/node_modules/@scope/b/2.js', 'node_modules/kafkajs/a.js'];
    expect(purls(Object.fromEntries(files.map((file) => [`../../${file}`, 1])))).toEqual(['pkg:npm/%40scope/b@2.0.0', 'pkg:npm/kafkajs@2.2.4']);
  });

  it('finds packages of the workspace folder itself, and gives a scope as group', () => {
    expect(purls({ 'node_modules/own/index.js': 1 })).toEqual(['pkg:npm/own@3.0.0']);
    expect(documentOf({ '../../node_modules/a/node_modules/@scope/b/1.js': 1 }).components[0]).toMatchObject({ group: '@scope', name: 'b' });
  });

  it('writes a choice of licences as an expression', () => {
    expect(documentOf({ '../../node_modules/a/index.js': 1 }).components[0]).toMatchObject({ licenses: [{ expression: '(MIT OR Apache-2.0)' }] });
  });

  it('is an error for a package that package-lock.json does not know', () => {
    expect(() => documentOf({ '../../node_modules/unknown/index.js': 1 })).toThrow('node_modules/unknown is in the bundle, but not in package-lock.json');
  });

  it('says the same of the same bundle', () => {
    const inputs = { '../../node_modules/kafkajs/index.js': 1 };
    expect(JSON.stringify(documentOf(inputs))).toBe(JSON.stringify(documentOf(inputs)));
  });
});
