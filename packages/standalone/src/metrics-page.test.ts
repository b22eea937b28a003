/** docs/METRICS.md names what there is to watch, all of it and nothing else. */
import { globSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = `${dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))))}/`;
const sources = globSync('packages/*/src/**/*.ts', { cwd: root }).filter((file) => !file.endsWith('.test.ts'));
const inCode = new Set(sources.flatMap((file) => [...readFileSync(root + file, 'utf8').matchAll(/'(knative_kafka_\w+)'/g)].map(([, name]) => name)));
const onPage = [...readFileSync(`${root}docs/METRICS.md`, 'utf8').matchAll(/^\| `(knative_kafka_\w+)` \|/gm)].map(([, name]) => name);

it('every metric of the services has one row', () => {
  expect([...onPage].sort()).toEqual([...inCode].sort());
});
