import { expect, it } from 'vitest';
import { LatencyHistogram } from './latency-histogram.ts';
import { Histogram, latencyBuckets, Registry } from './metrics.ts';

const name = 'seconds';
const help = 'How long it took.';

it('tells what the registry\'s own histogram tells of the same observations', async () => {
  const [own, theirs] = [new Registry(), new Registry()];
  const ours = new LatencyHistogram({ name, help, buckets: latencyBuckets, registry: own });
  const reference = new Histogram({ name, help, buckets: latencyBuckets, labelNames: ['channel', 'result'], registers: [theirs] });
  for (const labels of [{ channel: 'a', result: 'ok' }, { channel: 'b "quoted"', result: '' }]) {
    for (const seconds of [0, 0.0004, 0.0005, 0.0011, 0.0025, 0.3, 7, 60, 61, 1e6, ...latencyBuckets]) {
      ours.labels(labels).observe(seconds);
      reference.labels(labels).observe(seconds);
    }
  }
  const lines = (text: string) => text.trim().split('\n').sort();
  expect(lines(await own.metrics())).toEqual(lines(await theirs.metrics()));
});

it('tells nothing of labels that were removed', async () => {
  const registry = new Registry();
  const histogram = new LatencyHistogram({ name, help, buckets: [1], registry });
  histogram.labels({ channel: 'gone' }).observe(2);
  histogram.labels({ channel: 'stays' }).observe(2);
  histogram.remove({ channel: 'gone' });
  expect(await registry.metrics()).not.toContain('gone');
  expect(await registry.metrics()).toContain('seconds_count{channel="stays"} 1');
});
