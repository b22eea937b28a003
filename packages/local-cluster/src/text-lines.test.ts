import { describe, expect, it } from 'vitest';
import { lastLines, lineSplitter, plainText } from './text-lines.ts';

describe('plainText', () => {
  it('drops terminal colours and keeps the rest', () => {
    expect(plainText('\u001b[0m\u001b[1mApache Maven 3.8.7\u001b[m [ok]')).toBe('Apache Maven 3.8.7 [ok]');
  });
});

describe('lastLines', () => {
  it('keeps the lines that say what went wrong and leaves out stack frames', () => {
    const log = [
      'INFO starting',
      'ERROR cannot bind',
      'java.net.BindException: Address already in use',
      '\tat java.base/sun.nio.ch.Net.bind0(Native Method)',
      '\t... 12 more',
      '',
      'INFO bye',
      '',
    ].join('\n');
    expect(lastLines(log, 3)).toBe('ERROR cannot bind\njava.net.BindException: Address already in use\nINFO bye');
  });

  it('is content with fewer lines', () => {
    expect(lastLines('one\r\ntwo', 5)).toBe('one\ntwo');
    expect(lastLines('', 5)).toBe('');
  });
});

describe('lineSplitter', () => {
  it('puts lines together wherever the chunks were cut', () => {
    const lines: string[] = [];
    const splitter = lineSplitter((line) => lines.push(line));
    for (const chunk of ['fir', 'st\nsecond\r', '\n\nla', 'st']) splitter.push(chunk);
    splitter.end();
    expect(lines).toEqual(['first', 'second', '', 'last']);
  });

  it('says nothing of an end right after a line break', () => {
    const lines: string[] = [];
    const splitter = lineSplitter((line) => lines.push(line));
    splitter.push('only\n');
    splitter.end();
    expect(lines).toEqual(['only']);
  });
});
