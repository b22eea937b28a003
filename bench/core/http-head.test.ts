import { describe, expect, it } from 'vitest';
import { headerValue, HttpHead, responseStatus } from './http-head.ts';

const response = Buffer.from('HTTP/1.1 202 Accepted\r\nDate: now\r\ncontent-length: 12\r\n\r\n{"a":"b\r\n\n"}HTTP/1.1 404 Not Found\r\nContent-Length:0\r\n\r\n');

describe('HttpHead', () => {
  it('reads one message after the other', () => {
    const head = new HttpHead();
    expect(head.read(response, 0, response.length)).toBe(true);
    expect(head.bodyBytes).toBe(12);
    const next = head.end + head.bodyBytes;
    expect(responseStatus(response, 0)).toBe(202);
    expect(head.read(response, next, response.length)).toBe(true);
    expect(head.bodyBytes).toBe(0);
    expect(responseStatus(response, next)).toBe(404);
  });

  it('waits for the whole head, wherever it is cut', () => {
    const head = new HttpHead();
    const whole = response.indexOf('\r\n\r\n') + 4;
    for (let to = 0; to < whole; to++) expect(head.read(response, 0, to)).toBe(false);
    expect(head.read(response, 0, whole)).toBe(true);
    expect(head.end).toBe(whole);
  });

  it('says when there is no length', () => {
    const head = new HttpHead();
    const bytes = Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    expect(head.read(bytes, 0, bytes.length)).toBe(true);
    expect(head.bodyBytes).toBe(-1);
  });

  it('finds a header in any case', () => {
    const bytes = Buffer.from('POST / HTTP/1.1\r\nHost: x\r\nCe-SentAt: 42.5\r\n\r\n');
    expect(headerValue(bytes, 0, bytes.length, 'ce-sentat:')).toBe('42.5');
    expect(headerValue(bytes, 0, bytes.length, 'ce-id:')).toBeUndefined();
  });
});
