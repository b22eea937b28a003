/**
 * Gives memory back to the system when the process has come to rest; docs/adr/0020 says why V8 does not.
 */
import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { RestWatch, type Usage } from '../core/rest.ts';

const lookEveryMs = 3_000;

/**
 * From now on, as long as the process lives. Needs Node's `--expose-gc`, which the bundles start with; without it nothing
 * happens, and nothing but memory is lost.
 */
export function giveMemoryBackAtRest(everyMs = lookEveryMs): void {
  const collect = globalThis.gc;
  if (collect === undefined) return;
  const watch = new RestWatch();
  const look = (): void => {
    if (!watch.isCollectionDue(usage())) return;
    collectEverything(collect);
    watch.collected(usage());
  };
  setInterval(look, everyMs).unref();
}

/** Of all kinds of collection only this one also gives back the room of the young generation. */
function collectEverything(collect: NodeJS.GCFunction): void {
  // It goes round several times; code that none of them has seen at work would count as old, and have to be compiled again.
  setFlagsFromString('--no-flush-bytecode');
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  setFlagsFromString('--flush-bytecode');
}

function usage(): Usage {
  const { user, system } = process.cpuUsage();
  return { atMs: performance.now(), cpuMs: (user + system) / 1000, heapBytes: process.memoryUsage().heapTotal };
}
