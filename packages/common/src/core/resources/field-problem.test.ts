import { expect, it } from 'vitest';
import type { FieldPath } from './field-problem.ts';
import { fieldName } from './field-problem.ts';

it.each<[FieldPath, string]>([
  [[], ''],
  [['spec', 'delivery', 'retry'], 'spec.delivery.retry'],
  [['spec', 'subscribers', 0, 'uid'], 'spec.subscribers[0].uid'],
  [['metadata', 'annotations', 'a.b/c'], 'metadata.annotations["a.b/c"]'],
  [['data', 'ca.crt'], 'data["ca.crt"]'],
  [['max-poll'], 'max-poll'],
])('names %j as %s', (path, name) => {
  expect(fieldName(path)).toBe(name);
});
