import { describe, expect, it } from 'vitest';
import { parseJavaVersion } from './prerequisites.ts';

describe('parseJavaVersion', () => {
  it.each([
    ['openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment (build 17.0.15+6)', 17, '17.0.15'],
    ['java version "21.0.2" 2024-01-16 LTS', 21, '21.0.2'],
    ['openjdk version "25" 2025-09-16', 25, '25'],
    ['openjdk version "26-ea" 2026-03-17', 26, '26-ea'],
    ['java version "1.8.0_392"', 8, '1.8.0_392'],
    ['openjdk version "11.0.22" 2024-01-16', 11, '11.0.22'],
    ['Picked up JAVA_TOOL_OPTIONS: -Dversion=1\nopenjdk version "17.0.1" 2021-10-19', 17, '17.0.1'],
  ])('finds the major number in %j', (text, major, full) => {
    expect(parseJavaVersion(text)).toEqual({ major, full });
  });

  it.each(['', 'The operation couldn’t be completed. Unable to locate a Java Runtime.', 'openjdk version "next"'])(
    'finds none in %j',
    (text) => {
      expect(parseJavaVersion(text)).toBeUndefined();
    },
  );
});
