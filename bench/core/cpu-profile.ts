/**
 * Where the time of a process went, from what `node --cpu-prof` writes: each sample belongs to the function that ran
 * at that moment (its own time), which is what has to become less for the process to cost less.
 */

/** As V8 writes it: nodes of the call tree, the node of each sample, and microseconds from each sample to the next. */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number; readonly columnNumber: number };
}

/** The file a function of the bundle was written in, from the folder of the repository; undefined where the map does not know. */
export type Locate = (line: number, column: number) => string | undefined;

export interface SelfTime {
  readonly functionName: string;
  /** File of the sources, package, or part of Node. */
  readonly place: string;
  readonly microseconds: number;
  /** Of the time in which the process did anything. */
  readonly share: number;
}

/** Nobody's work: the process waited. */
const idle = '(idle)';

/** @returns functions by their own time, the longest first */
export function selfTimes({ nodes, samples, timeDeltas }: CpuProfile, locate: Locate): readonly SelfTime[] {
  const byNode = new Map<number, number>();
  samples.forEach((node, index) => byNode.set(node, (byNode.get(node) ?? 0) + (timeDeltas[index] ?? 0)));

  const byFunction = new Map<string, { functionName: string; place: string; microseconds: number }>();
  let busy = 0;
  for (const { id, callFrame } of nodes) {
    const microseconds = byNode.get(id) ?? 0;
    const functionName = callFrame.functionName === '' ? '(anonymous)' : callFrame.functionName;
    if (microseconds <= 0 || functionName === idle) continue;
    busy += microseconds;
    const place = placeOf(callFrame, locate);
    const key = `${functionName} ${place}`;
    const entry = byFunction.get(key);
    if (entry === undefined) byFunction.set(key, { functionName, place, microseconds });
    else entry.microseconds += microseconds;
  }
  return [...byFunction.values()].sort((a, b) => b.microseconds - a.microseconds).map((entry) => ({ ...entry, share: entry.microseconds / busy }));
}

/** The same time by package, service or part of Node. */
export function byOrigin(times: readonly SelfTime[]): readonly { readonly origin: string; readonly share: number }[] {
  const shares = new Map<string, number>();
  for (const { functionName, place, share } of times) {
    const origin = originOf(functionName, place);
    shares.set(origin, (shares.get(origin) ?? 0) + share);
  }
  return [...shares].map(([origin, share]) => ({ origin, share })).sort((a, b) => b.share - a.share);
}

function placeOf({ url, lineNumber, columnNumber }: ProfileNode['callFrame'], locate: Locate): string {
  if (url === '' || url.startsWith('node:')) return url;
  // Profiles count lines from 0, and so do source maps.
  const source = locate(lineNumber, columnNumber);
  if (source === undefined) return 'bundle';
  const inPackage = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(.*)$/.exec(source);
  return inPackage === null ? source.replace(/^packages\//, '') : `${inPackage[1]!}: ${inPackage[2]!}`;
}

function originOf(functionName: string, place: string): string {
  if (functionName === '(garbage collector)') return 'garbage collection';
  if (place === '') return 'native code: system calls, parser, V8';
  if (place.startsWith('node:')) return 'Node, its JavaScript';
  const colon = place.indexOf(': ');
  return colon > 0 ? place.slice(0, colon) : place.split('/')[0]!;
}
