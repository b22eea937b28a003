import { describe, expect, it } from 'vitest';
import { fieldName } from './field-problem.ts';
import { readSourceDataPlane } from './source-data-plane.ts';

const properties = 'config-kafka-source-consumer.properties';
const configMap = (data: Record<string, string>, namespace = 'knative-eventing', name = 'config-kafka-source-data-plane') =>
  ({ kind: 'ConfigMap', metadata: { namespace, name, uid: 'u', generation: 1, labels: {}, annotations: {} }, data }) as const;

describe('readSourceDataPlane', () => {
  it.each<[string, Record<string, string>, number]>([
    ['nothing', {}, 50],
    ['the properties of a consumer', { [properties]: 'fetch.min.bytes=1\nmax.poll.records=70\n' }, 70],
    ['properties without it', { [properties]: 'fetch.min.bytes=1' }, 50],
    ['a key of its own', { 'max.poll.records': '80' }, 80],
    ['both: the key of its own wins', { [properties]: 'max.poll.records=70', 'max.poll.records': ' 80 ' }, 80],
    ['the least', { 'max.poll.records': '1' }, 1],
    ['the most', { 'max.poll.records': '1000000' }, 1_000_000],
  ])('finds max.poll.records in %s', (_name, data, expected) => {
    expect(readSourceDataPlane([configMap(data)], 'knative-eventing')).toEqual({ maxPollRecords: expected, problems: [] });
  });

  it('looks at no other ConfigMap', () => {
    const others = [configMap({ 'max.poll.records': '7' }, 'shop'), configMap({ 'max.poll.records': '7' }, 'knative-eventing', 'config-kafka-features')];
    expect(readSourceDataPlane(others, 'knative-eventing').maxPollRecords).toBe(50);
  });

  it.each(['0', '-1', '1.5', '1e3', '0x10', 'many', '', '1000001', '99999999999999999999', 'Infinity', '５０'])('says that %j is none, and goes on without it', (text) => {
    const own = readSourceDataPlane([configMap({ 'max.poll.records': text, [properties]: 'max.poll.records=70' })], 'knative-eventing');
    expect(own.maxPollRecords).toBe(70);
    expect(own.problems.map(({ path, message }) => `${fieldName(path)} ${message}`)).toEqual([`data["max.poll.records"] expected a whole number from 1 to 1000000; found ${JSON.stringify(text)}`]);
    const property = readSourceDataPlane([configMap({ [properties]: `max.poll.records=${text}` })], 'knative-eventing');
    expect(property.maxPollRecords).toBe(50);
    expect(property.problems.map(({ path }) => fieldName(path))).toEqual([`data["${properties}"]["max.poll.records"]`]);
  });

  it('repeats no megabyte', () => {
    expect(readSourceDataPlane([configMap({ 'max.poll.records': 'x'.repeat(1_000_000) })], 'knative-eventing').problems[0]?.message.length).toBeLessThan(200);
  });
});
