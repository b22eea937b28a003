import { describe, expect, it } from 'vitest';
import { metadataRequest, parseMetadataResponse } from './kafka-metadata.ts';

function text(value: string | null): Buffer {
  if (value === null) return Buffer.from([0xff, 0xff]);
  const bytes = Buffer.from(value);
  return Buffer.concat([int16(bytes.length), bytes]);
}
function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}
function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

describe('metadataRequest', () => {
  it('asks for no topic, in version 2 and without a client id', () => {
    expect(metadataRequest(7).toString('hex')).toBe('0000000e' + '0003' + '0002' + '00000007' + 'ffff' + '00000000');
  });
});

describe('parseMetadataResponse', () => {
  const answer = Buffer.concat([
    int32(7),
    int32(2),
    ...[int32(1), text('127.0.0.1'), int32(9092), text(null)],
    ...[int32(2), text('127.0.0.1'), int32(9093), text('rack-b')],
    ...[text('4L6g3nShT-eMCtK--X86sw'), int32(1), int32(0)],
  ]);

  it('reads the brokers and the id of the cluster', () => {
    expect(parseMetadataResponse(answer)).toEqual({
      clusterId: '4L6g3nShT-eMCtK--X86sw',
      brokers: [
        { id: 1, host: '127.0.0.1', port: 9092 },
        { id: 2, host: '127.0.0.1', port: 9093 },
      ],
    });
  });

  it('knows a broker that has not heard of any other yet', () => {
    const empty = Buffer.concat([int32(7), int32(0), text(null), int32(-1), int32(0)]);
    expect(parseMetadataResponse(empty)).toEqual({ clusterId: undefined, brokers: [] });
  });

  it.each([4, 10, 16, 20, 40])('does not read beyond an answer cut after %i bytes', (length) => {
    expect(() => parseMetadataResponse(answer.subarray(0, length))).toThrow(RangeError);
  });
});
