/** Apart from the other tests of Kafka because it puts its own hand on how ports are chosen. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import * as freePort from './free-port.ts';
import { startKafka } from './kafka.ts';

vi.mock(import('./free-port.ts'), async (original) => {
  const real = await original();
  return { ...real, freePorts: vi.fn(real.freePorts) };
});

it('starts on other ports when one got lost between choosing and binding it', async () => {
  const root = await mkdtemp(join(tmpdir(), 'knative-kafka-race-'));
  const rival = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await new Promise((resolve) => rival.once('listening', resolve));
  const lost = (rival.address() as AddressInfo).port;
  vi.mocked(freePort.freePorts).mockResolvedValueOnce([lost, await freePort.freePort()]);
  const cluster = await startKafka({ dataDir: join(root, 'data') });
  try {
    expect(freePort.freePorts).toHaveBeenCalledTimes(2);
    expect(cluster.brokers[0]?.port).not.toBe(lost);
  } finally {
    await cluster.stop();
    await new Promise((resolve) => rival.close(resolve));
    await rm(root, { recursive: true });
  }
});
