import { expect, it } from 'vitest';
import { byOrigin, selfTimes, type CpuProfile } from './cpu-profile.ts';

const frame = (functionName: string, url: string, lineNumber = 0) => ({ functionName, url, lineNumber, columnNumber: 0 });
const profile: CpuProfile = {
  nodes: [
    { id: 1, callFrame: frame('(idle)', '') },
    { id: 2, callFrame: frame('writev', '') },
    { id: 3, callFrame: frame('append', 'file:///x/bundle/main.js', 10) },
    { id: 4, callFrame: frame('append', 'file:///x/bundle/main.js', 10) },
    { id: 5, callFrame: frame('', 'node:net') },
    { id: 6, callFrame: frame('encode', 'file:///x/bundle/main.js', 20) },
  ],
  samples: [1, 2, 3, 4, 5, 6, 6],
  timeDeltas: [1000, 40, 10, 20, 10, 10, 10],
};
const locate = (line: number): string => (line === 10 ? 'packages/common/src/core/produce-pump.ts' : 'node_modules/@platformatic/kafka/dist/writer.js');

it('sums the own time of each function over the call tree, without the time of waiting', () => {
  expect(selfTimes(profile, locate)).toEqual([
    { functionName: 'writev', place: '', microseconds: 40, share: 0.4 },
    { functionName: 'append', place: 'common/src/core/produce-pump.ts', microseconds: 30, share: 0.3 },
    { functionName: 'encode', place: '@platformatic/kafka: dist/writer.js', microseconds: 20, share: 0.2 },
    { functionName: '(anonymous)', place: 'node:net', microseconds: 10, share: 0.1 },
  ]);
});

it('sums it by origin', () => {
  expect(byOrigin(selfTimes(profile, locate)).map(({ origin }) => origin)).toEqual(['native code: system calls, parser, V8', 'common', '@platformatic/kafka', 'Node, its JavaScript']);
});
