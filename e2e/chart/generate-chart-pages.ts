/**
 * Writes what is made from the chart: the table of its README, the descriptions of its schema, and docs/RBAC.md:
 * `npm run generate`. A test fails while one of them is stale.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureKubernetes } from '@knative-kafka/local-cluster';
import { rbacTables } from './rbac-table.ts';
import { describedSchema, documentedValues, valuesTable, type SchemaNode } from './values-docs.ts';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const chart = join(root, 'helm/knative-kafka');

export interface Page {
  readonly file: string;
  readonly current: string;
  readonly wanted: string;
}

export function readmePage(): Page {
  return withTable(join(chart, 'README.md'), 'values', valuesTable(documentedValues(readValues())));
}

export function schemaPage(): Page {
  const file = join(chart, 'values.schema.json');
  const current = readFileSync(file, 'utf8');
  return { file, current, wanted: `${JSON.stringify(describedSchema(JSON.parse(current) as SchemaNode, documentedValues(readValues())), undefined, 2)}\n` };
}

/** @param programs folder with helm */
export function rbacPage(programs: string): Page {
  const manifests = execFileSync(join(programs, 'helm'), ['template', 'knative-kafka', chart, '--namespace', 'knative-eventing'], { encoding: 'utf8' });
  return withTable(join(root, 'docs/RBAC.md'), 'rights', rbacTables(manifests));
}

export function readValues(): string {
  return readFileSync(join(chart, 'values.yaml'), 'utf8');
}

/** @throws Error when the page has no place for the table */
function withTable(file: string, name: string, table: string): Page {
  const current = readFileSync(file, 'utf8');
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const [from, to] = [current.indexOf(begin), current.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${file} has no place for a table: expected ${begin} and ${end}`);
  return { file, current, wanted: `${current.slice(0, from)}${begin}\n${table}\n${current.slice(to)}` };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { file, wanted } of [readmePage(), schemaPage(), rbacPage(await ensureKubernetes({ onProgress: console.log }))]) writeFileSync(file, wanted);
}
