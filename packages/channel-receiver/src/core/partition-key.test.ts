import { describe, expect, it } from 'vitest';
import { murmur2, partitionOfKey, StickyPartition } from './partition-key.ts';

describe('murmur2', () => {
  // Vectors of Kafka's own org.apache.kafka.common.utils.UtilsTest#testMurmur2.
  it.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ])('hashes %s as Java does', (text, expected) => {
    expect(murmur2(Buffer.from(text))).toBe(expected);
  });

  it('maps every key to a partition there is', () => {
    for (let n = 0; n < 500; n++) {
      const partition = partitionOfKey(Buffer.from(`key-${n}-ü`), 7);
      expect(partition).toBeGreaterThanOrEqual(0);
      expect(partition).toBeLessThan(7);
    }
  });

  it('takes an empty key', () => {
    expect(partitionOfKey(Buffer.alloc(0), 6)).toBe((275646681 & 0x7fffffff) % 6);
  });
});

describe('StickyPartition', () => {
  it('keeps its partition until a round was sent', () => {
    const sticky = new StickyPartition();
    expect(sticky.choose(0, () => [0, 1, 2], 3, () => 0.9)).toBe(2);
    expect(sticky.choose(0, () => [0, 1, 2], 3, () => 0.1)).toBe(2);
    expect(sticky.choose(1, () => [0, 1, 2], 3, () => 0.1)).toBe(0);
  });

  it('prefers partitions that have a leader, and takes any when none has', () => {
    expect(new StickyPartition().choose(0, () => [4], 6, () => 0)).toBe(4);
    expect(new StickyPartition().choose(0, () => [], 6, () => 0.99)).toBe(5);
  });
});
