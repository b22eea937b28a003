/**
 * What a service took for its start is given back when it has nothing to do. Its bundle has to come with the flags for
 * that, so it is bundles that are looked at.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@knative-kafka/local-cluster';
import { metric, patienceMs, World, type Service } from './harness.ts';

/** Of V8's young generation, which grows while a process starts; V8 itself makes it no smaller in one that is idle. */
function youngBytes(service: Service): Promise<number> {
  return metric(service, 'nodejs_heap_space_size_total_bytes', { space: 'new' });
}

describe('at rest', () => {
  let world: World;
  beforeAll(async () => {
    world = await World.start();
  });
  afterAll(() => world.stop());

  it.each(['receiver', 'dispatcher'] as const)('a %s gives back what its start took', async (name) => {
    const service = await world[name]();
    const started = await youngBytes(service);
    expect(started).toBeGreaterThan(4e6);
    await waitFor('memory to be given back', async () => (await youngBytes(service)) <= started / 2, { timeoutMs: patienceMs });
  });
});
