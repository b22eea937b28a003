import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Fault, type FaultCode } from '../../core/fault.ts';
import { startInformer, type InformerTuning } from './informer.ts';
import type { InformerChange, InformerOptions, KubernetesApi, KubernetesObject, ListPage, WatchEvent } from './port.ts';
import { resourceTypes } from './types.ts';

interface Watch {
  readonly resourceVersion: string;
  emit(event: WatchEvent<KubernetesObject>): void;
  end(): void;
  fail(code: FaultCode): void;
}

function object(name: string, resourceVersion: string, uid = `uid-${name}`): KubernetesObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'ns', name, uid, resourceVersion } };
}

/** An informer on an API server whose every answer the test gives. */
function start(lists: (ListPage<KubernetesObject> | Fault)[], options: Partial<InformerOptions<KubernetesObject>> = {}, tuning: InformerTuning = {}) {
  const watches: Watch[] = [];
  const asked: (string | undefined)[] = [];
  const api: Pick<KubernetesApi, 'list' | 'watch'> = {
    list: (_, { next }) => {
      asked.push(next);
      const answer = lists.length > 1 ? lists.shift()! : lists[0]!;
      return answer instanceof Fault ? Promise.reject(answer) : Promise.resolve(answer as ListPage<never>);
    },
    watch: (_, { resourceVersion, signal }, onEvent) =>
      new Promise<void>((resolve, reject) => {
        const emit = onEvent as (event: WatchEvent<KubernetesObject>) => void;
        watches.push({ resourceVersion, emit, end: resolve, fail: (code) => reject(new Fault(code, 'told by the test', { retriable: true })) });
        signal?.addEventListener('abort', () => reject(new Fault('CLOSED', 'closed', { retriable: false })));
        emit({ type: 'BOOKMARK', object: object('', resourceVersion) });
      }),
  };
  const changes: string[] = [];
  const troubles: string[] = [];
  const informer = startInformer<KubernetesObject>(api as KubernetesApi, { type: resourceTypes.configMap, onTrouble: (trouble) => troubles.push('isOver' in trouble ? 'over' : trouble.reason), ...options }, tuning);
  const versionOf = (side: KubernetesObject | undefined): string => side?.metadata.resourceVersion ?? '-';
  informer.onChange(({ key, before, after }: InformerChange<KubernetesObject>) => {
    changes.push(`${key} ${versionOf(before)} ${versionOf(after)}`);
    expect(informer.get(key)).toBe(after); // the copy is as it is after the change
  });
  return { informer, watches, changes, troubles, asked };
}

function page(resourceVersion: string, ...items: KubernetesObject[]): ListPage<KubernetesObject> {
  return { items, resourceVersion, next: undefined };
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, 'random').mockReturnValue(0.999);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe('an informer', () => {
  it('has synced when the last page is there, not before', async () => {
    const { informer, changes, asked } = start([{ ...page('9', object('a', '1')), next: 'more' }, page('9', object('b', '2'))]);
    expect(informer.hasSynced()).toBe(false);
    await informer.synced();
    expect(informer.hasSynced()).toBe(true);
    expect(changes).toEqual(['ns/a - 1', 'ns/b - 2']);
    expect(asked).toEqual([undefined, 'more']);
  });

  it('tells nothing for a version that it has', async () => {
    const { watches, changes } = start([page('9', object('a', '1'))]);
    await vi.advanceTimersByTimeAsync(0);
    watches[0]!.emit({ type: 'ADDED', object: object('a', '1') });
    watches[0]!.emit({ type: 'MODIFIED', object: object('a', '2') });
    watches[0]!.emit({ type: 'MODIFIED', object: object('a', '2') });
    watches[0]!.emit({ type: 'DELETED', object: object('b', '3') });
    expect(changes).toEqual(['ns/a - 1', 'ns/a 1 2']);
  });

  it('tells an object that was made again under its name as gone and as new', async () => {
    const { watches, changes } = start([page('9', object('a', '1', 'first'))]);
    await vi.advanceTimersByTimeAsync(0);
    watches[0]!.emit({ type: 'ADDED', object: object('a', '5', 'second') });
    expect(changes).toEqual(['ns/a - 1', 'ns/a 1 -', 'ns/a - 5']);
  });

  it('keeps neither managedFields nor what is trimmed', async () => {
    const secret = { ...object('a', '1'), data: { key: 'large' }, metadata: { ...object('a', '1').metadata, managedFields: [{ manager: 'x' }] } };
    const { informer } = start([page('9', secret)], { trim: ({ apiVersion, kind, metadata }) => ({ apiVersion, kind, metadata }) });
    await informer.synced();
    expect(informer.get('ns/a')).toEqual(object('a', '1'));
  });

  it('tells of what vanished while it was away', async () => {
    const { watches, changes } = start([page('9', object('a', '1'), object('b', '2')), page('20', object('b', '2'), object('c', '15'))]);
    await vi.advanceTimersByTimeAsync(0);
    watches[0]!.fail('KUBERNETES_EXPIRED');
    await vi.advanceTimersByTimeAsync(100);
    expect(watches.map(({ resourceVersion }) => resourceVersion)).toEqual(['9', '20']);
    expect(changes).toEqual(['ns/a - 1', 'ns/b - 2', 'ns/c - 15', 'ns/a 1 -']);
  });

  it('begins a list again whose next page has expired', async () => {
    const { informer, asked, troubles } = start([{ ...page('9', object('a', '1')), next: 'more' }, new Fault('KUBERNETES_EXPIRED', 'too old', { retriable: true }), page('12', object('b', '2'))]);
    await vi.advanceTimersByTimeAsync(100);
    expect(asked).toEqual([undefined, 'more', undefined]);
    expect(informer.list().map(({ metadata }) => metadata.name)).toEqual(['b']);
    expect(troubles).toEqual([]); // API servers do that
  });

  it('goes on from the last event or bookmark when a watch ends, without a list', async () => {
    const { watches, asked, troubles } = start([page('9')]);
    await vi.advanceTimersByTimeAsync(10_000);
    watches[0]!.emit({ type: 'ADDED', object: object('a', '11') });
    watches[0]!.end();
    await vi.advanceTimersByTimeAsync(10_000);
    watches[1]!.emit({ type: 'BOOKMARK', object: object('', '30') });
    watches[1]!.end();
    await vi.advanceTimersByTimeAsync(0);
    expect(watches.map(({ resourceVersion }) => resourceVersion)).toEqual(['9', '11', '30']);
    expect(asked).toHaveLength(1);
    expect(troubles).toEqual([]);
  });

  it('lists again when a watch broke that had brought nothing: the API server may count from a lower version now', async () => {
    const { informer, watches, changes } = start([page('900', object('a', '800')), page('40', object('a', '30'))]);
    await vi.advanceTimersByTimeAsync(0);
    watches[0]!.fail('KUBERNETES_UNAVAILABLE'); // silent for longer than bookmarks take
    await vi.advanceTimersByTimeAsync(100);
    expect(watches[1]!.resourceVersion).toBe('40');
    expect(changes).toEqual(['ns/a - 800', 'ns/a 800 30']);
    expect(informer.get('ns/a')?.metadata.resourceVersion).toBe('30');
  });

  it('waits longer from failure to failure, up to 30 s, and starts over after a watch that stood', async () => {
    const refused = new Fault('KUBERNETES_REFUSED', 'forbidden', { retriable: false });
    const lists: (ListPage<KubernetesObject> | Fault)[] = [refused];
    const { asked, watches, troubles } = start(lists);
    const gaps: number[] = [];
    for (let last = 0, ms = 0; gaps.length < 11; ms += 10) {
      expect(ms).toBeLessThan(600_000);
      const before = asked.length;
      await vi.advanceTimersByTimeAsync(10);
      if (asked.length > before) {
        gaps.push(Math.round((ms - last) / 100) / 10);
        last = ms;
      }
    }
    for (const [index, seconds] of [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30].entries()) expect(gaps[index]).toBeCloseTo(seconds, 0.5);
    expect(troubles).toEqual(['forbidden']);
    lists[0] = page('9');
    await vi.advanceTimersByTimeAsync(30_000 + 5_000);
    expect(troubles).toEqual(['forbidden', 'over']);
    watches[0]!.fail('KUBERNETES_UNAVAILABLE');
    await vi.advanceTimersByTimeAsync(100);
    expect(watches).toHaveLength(2);
  });

  it('tells one outage while watches come and break at once', async () => {
    const { watches, troubles } = start([page('9')]);
    await vi.advanceTimersByTimeAsync(0);
    for (let round = 0; round < 5; round++) {
      watches.at(-1)!.fail('KUBERNETES_UNAVAILABLE');
      await vi.advanceTimersByTimeAsync(4_000);
    }
    expect(troubles).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(troubles).toEqual(['told by the test', 'over']);
  });

  it('does not ask without a pause where watches end at once', async () => {
    const { watches } = start([page('9')]);
    for (let ms = 0; ms < 10_000; ms += 10) {
      await vi.advanceTimersByTimeAsync(10);
      watches.at(-1)?.end();
    }
    expect(watches.length).toBeLessThan(12);
  });

  it('lists again at the end of a watch when the last list is long ago', async () => {
    const { asked, watches } = start([page('9'), page('10')]);
    await vi.advanceTimersByTimeAsync(601_000);
    watches[0]!.end();
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toHaveLength(2);
  });

  it('ends with the connection that it was opened on, and tells no trouble', async () => {
    const { informer, watches, troubles } = start([page('9')]);
    await vi.advanceTimersByTimeAsync(0);
    watches[0]!.fail('CLOSED');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(watches).toHaveLength(1);
    expect(troubles).toEqual([]);
    await informer.synced();
  });

  it('resolves synced when it is closed before that', async () => {
    const { informer } = start([new Fault('KUBERNETES_UNAVAILABLE', 'away', { retriable: true })]);
    await vi.advanceTimersByTimeAsync(1_000);
    informer.close();
    await informer.synced();
    expect(informer.hasSynced()).toBe(false);
  });
});
