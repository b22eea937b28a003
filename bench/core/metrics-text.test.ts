import { describe, expect, it } from 'vitest';
import { samplesOf, sumOf } from './metrics-text.ts';

const text = `# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{verb="GET",path="/a{b}"} 3
requests_total{verb="POST",path="say \\"x\\", please"} 4
requests_total_more 100
depth 7
seconds{le="0.1"} 1.5e-3 1700000000000
`;

describe('metrics text', () => {
  it('gives the samples of one name, and of no longer one', () => {
    expect(samplesOf(text, 'requests_total')).toEqual([
      { name: 'requests_total', labels: { verb: 'GET', path: '/a{b}' }, value: 3 },
      { name: 'requests_total', labels: { verb: 'POST', path: 'say \\"x\\", please' }, value: 4 },
    ]);
    expect(samplesOf(text, 'seconds')).toEqual([{ name: 'seconds', labels: { le: '0.1' }, value: 0.0015 }]);
  });

  it.each([
    ['requests_total', {}, 7],
    ['requests_total', { verb: 'GET' }, 3],
    ['requests_total', { verb: 'GET', path: '/b' }, 0],
    ['depth', {}, 7],
    ['absent', {}, 0],
  ])('adds up %s of %o', (name, labels, sum) => {
    expect(sumOf(text, name, labels)).toBe(sum);
  });
});
