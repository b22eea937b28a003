import { describe, expect, it } from 'vitest';
import { parseGoVersion, parseJavaVersion } from './prerequisites.ts';

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

describe('parseGoVersion', () => {
  it.each([
    ['go version go1.26.8 linux/amd64\n', 1, 26, '1.26.8'],
    ['go version go1.24 darwin/arm64', 1, 24, '1.24'],
    ['go version go1.25rc1 linux/arm64', 1, 25, '1.25rc1'],
    ['go version devel go1.27-3f2a8b1 Mon Jul 6 10:00:00 2026 +0000 linux/amd64', 1, 27, '1.27-3f2a8b1'],
    ['go version go1.9.7 linux/amd64', 1, 9, '1.9.7'],
  ])('finds both numbers in %j', (text, major, minor, full) => {
    expect(parseGoVersion(text)).toEqual({ major, minor, full });
  });

  it.each(['', 'gccgo (Debian 12.2.0) 12.2.0', 'go: cannot find GOROOT directory'])('finds none in %j', (text) => {
    expect(parseGoVersion(text)).toBeUndefined();
  });
});
