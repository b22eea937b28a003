/**
 * Writes what is made from the chart: the table of its README, the descriptions of its schema, and docs/RBAC.md; and from
 * the placement of vreplicas the pictures of docs/VREPLICAS.md. `npm run generate`. A test fails while one of them is
 * stale.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureKubernetes } from '@knative-kafka/local-cluster';
import { rbacTables } from './rbac-table.ts';
import { drawPicture, placementTable, type Picture } from './vreplica-pictures.ts';
import { describedSchema, documentedValues, valuesTable, type SchemaNode } from './values-docs.ts';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const chart = join(root, 'helm/knative-kafka');

export interface Page {
  readonly file: string;
  readonly current: string;
  readonly wanted: string;
}

export function readmePage(): Page {
  return withTables(join(chart, 'README.md'), { values: valuesTable(documentedValues(readValues())) });
}

export function schemaPage(): Page {
  const file = join(chart, 'values.schema.json');
  const current = readFileSync(file, 'utf8');
  return { file, current, wanted: `${JSON.stringify(describedSchema(JSON.parse(current) as SchemaNode, documentedValues(readValues())), undefined, 2)}\n` };
}

/** @param programs folder with helm */
export function rbacPage(programs: string): Page {
  const manifests = execFileSync(join(programs, 'helm'), ['template', 'knative-kafka', chart, '--namespace', 'knative-eventing'], { encoding: 'utf8' });
  return withTables(join(root, 'docs/RBAC.md'), { rights: rbacTables(manifests) });
}

/** Four partitions and four consumers, as in the article that the page tells anew. */
const pictures: Readonly<Record<string, Omit<Picture, 'partitions' | 'consumers'>>> = {
  'picture:capacity-20': { capacity: 20, maxPollRecords: undefined },
  'picture:capacity-20-limited': { capacity: 20, maxPollRecords: 50 },
  'picture:capacity-1': { capacity: 1, maxPollRecords: undefined },
};

export function vreplicasPage(): Page {
  const drawn = Object.entries(pictures).map(([name, picture]) => [name, `\`\`\`text\n${drawPicture({ partitions: 4, consumers: 4, ...picture })}\n\`\`\``]);
  return withTables(join(root, 'docs/VREPLICAS.md'), { ...Object.fromEntries(drawn) as Record<string, string>, placements: placementTable() });
}

export function readValues(): string {
  return readFileSync(join(chart, 'values.yaml'), 'utf8');
}

/** @param tables by the name of its place @throws Error when the page has no place for one */
function withTables(file: string, tables: Readonly<Record<string, string>>): Page {
  const current = readFileSync(file, 'utf8');
  let wanted = current;
  for (const [name, table] of Object.entries(tables)) {
    const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
    const [from, to] = [wanted.indexOf(begin), wanted.indexOf(end)];
    if (from < 0 || to < from) throw new Error(`${file} has no place for a table: expected ${begin} and ${end}`);
    wanted = `${wanted.slice(0, from)}${begin}\n${table}\n${wanted.slice(to)}`;
  }
  return { file, current, wanted };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { file, wanted } of [readmePage(), schemaPage(), vreplicasPage(), rbacPage(await ensureKubernetes({ onProgress: console.log }))]) writeFileSync(file, wanted);
}
