import { describe, expect, it } from 'vitest';
import { readFileSync } from 'node:fs';
import { readmePage, readValues, schemaPage, vreplicasPage } from './generate-chart-pages.ts';
import { drawPicture, podsOf } from './vreplica-pictures.ts';
import { describedSchema, documentedValues, schemaPaths, valuesTable, type SchemaNode } from './values-docs.ts';

const example = `
# A section.
kafka:
  # Where it is.
  # -- Servers | several.
  brokers: ""
  sasl:
    # -- User.
    user: me
# -- Labels.
labels: {}
`;

describe('comments of values.yaml', () => {
  it('are found above their values', () => {
    expect(documentedValues(example)).toEqual([
      { path: 'kafka.brokers', about: 'Servers | several.', default: '' },
      { path: 'kafka.sasl.user', about: 'User.', default: 'me' },
      { path: 'labels', about: 'Labels.', default: {} },
    ]);
  });

  it('that are missing are told', () => {
    expect(() => documentedValues('a:\n  b: 1\nc: 2\n')).toThrow('values.yaml: no comment "# -- ..." above a.b, c');
  });

  it('become a table', () => {
    expect(valuesTable(documentedValues(example)).split('\n').slice(2)).toEqual(['| `kafka.brokers` |  | Servers \\| several. |', '| `kafka.sasl.user` | `"me"` | User. |', '| `labels` | `{}` | Labels. |']);
  });

  it('become descriptions of the schema', () => {
    const text = { type: 'string', description: 'stale' };
    const schema: SchemaNode = { properties: { kafka: { properties: { brokers: text, sasl: { properties: { user: text } } } }, labels: { type: 'object' } } };
    expect(describedSchema(schema, documentedValues(example)).properties?.['kafka']?.properties?.['brokers']).toEqual({ description: 'Servers | several.', type: 'string' });
    expect(() => describedSchema({ properties: {} }, documentedValues(example))).toThrow('values.schema.json has no property for kafka.brokers');
  });
});

describe('the chart', () => {
  it.each([['README.md', readmePage], ['values.schema.json', schemaPage]])('%s says what values.yaml says (npm run generate)', (_file, page) => {
    const { current, wanted } = page();
    expect(current).toBe(wanted);
  });

  it('has a value with a comment for everything that the schema knows, and the other way round', () => {
    const schema = JSON.parse(readFileSync(schemaPage().file, 'utf8')) as SchemaNode;
    expect([...schemaPaths(schema)].sort()).toEqual([...documentedValues(readValues()).map(({ path }) => path), 'global'].sort());
  });

  it('refuses what the schema does not know, everywhere', () => {
    const open = (node: SchemaNode, path: string): string[] => [
      ...(node.properties !== undefined && node['additionalProperties'] !== false ? [path] : []),
      ...Object.entries(node.properties ?? {}).flatMap(([key, child]) => open(child, `${path}.${key}`)),
    ];
    expect(open(JSON.parse(readFileSync(schemaPage().file, 'utf8')) as SchemaNode, '')).toEqual([]);
  });
});

describe('docs/VREPLICAS.md', () => {
  it('shows what the placement of vreplicas answers (npm run generate)', () => {
    const { current, wanted } = vreplicasPage();
    expect(current).toBe(wanted);
  });

  it('draws a pod for each that has vreplicas, with its share of the partitions', () => {
    expect(podsOf(25, 20).map(({ vreplicas }) => vreplicas)).toEqual([13, 12]);
    expect(podsOf(4, 1).map(({ name, vreplicas }) => [name, vreplicas])).toEqual([0, 1, 2, 3].map((ordinal) => [`kafka-source-dispatcher-${ordinal}`, 1]));
    expect(drawPicture({ partitions: 3, consumers: 3, capacity: 2, maxPollRecords: 10 }).split('\n')).toEqual([
      '                   ┌─ kafka-source-dispatcher-0 ──────────┐',
      'partition 0  ──┬──▶│ 1 Kafka consumer   vreplicas: ■ ■    ├──▶ sink: 2 × 10 events/s at most',
      'partition 1  ──┘   └──────────────────────────────────────┘',
      '                   ┌─ kafka-source-dispatcher-1 ──────────┐',
      'partition 2  ─────▶│ 1 Kafka consumer   vreplicas: ■      ├──▶ sink: 1 × 10 events/s at most',
      '                   └──────────────────────────────────────┘',
    ]);
  });
});
