/**
 * The produce request, made of record batches that are encoded already.
 *
 * The library's own request is made of messages, each of which it encodes by some fifty small objects; ours takes the
 * batches as they are, all partitions of a broker in one. Responses are read by the library.
 */
import { createAPI, produceV10, produceV11, produceV3, produceV7, produceV8, produceV9, Writer } from '@platformatic/kafka';
import type { PartitionBatch } from '../../core/record-batch.ts';
import { crc32c } from './crc32c.ts';

export type ProduceResponse = produceV11.ProduceResponse;
type RequestArguments = [timeoutMs: number, batches: readonly PartitionBatch[]];

export const produceApiKey = 0;
/** Acks of all in-sync replicas (rule P11). */
const acksAll = -1;
/** From here on lengths are varints and structures end in tagged fields (KIP-482). */
const firstFlexibleVersion = 9;

/** Produce versions that change something for us, newest first. The older ones tell less of what went wrong. */
export const produceVersions = [
  produceApi(11, produceV11.parseResponse),
  produceApi(10, produceV10.parseResponse),
  produceApi(9, produceV9.parseResponse),
  produceApi(8, produceV8.parseResponse),
  produceApi(7, produceV7.parseResponse),
  produceApi(3, produceV3.parseResponse),
] as const;
export type ProduceApi = (typeof produceVersions)[number];

function produceApi(version: number, parseResponse: (...args: Parameters<typeof produceV11.parseResponse>) => unknown) {
  const isFlexible = version >= firstFlexibleVersion;
  const createRequest = (...args: RequestArguments): Writer => createProduceRequest(isFlexible, ...args);
  return createAPI<RequestArguments, ProduceResponse>(produceApiKey, version, createRequest, parseResponse as typeof produceV11.parseResponse, isFlexible, isFlexible);
}

/** The versions differ in how lengths are written, and in nothing else that is asked for here. */
export function createProduceRequest(isFlexible: boolean, timeoutMs: number, batches: readonly PartitionBatch[]): Writer {
  const writer = Writer.create().appendString(null, isFlexible).appendInt16(acksAll).appendInt32(timeoutMs);
  const byTopic = [...Map.groupBy(batches, ({ topic }) => topic)];
  writer.appendArray(byTopic, (_, [topic, ofTopic]) => {
    writer.appendString(topic, isFlexible).appendArray(ofTopic, (__, { partition, batch }) => {
      writer.appendInt32(partition);
      if (isFlexible) writer.appendUnsignedVarInt(batch.bytes + 1);
      else writer.appendInt32(batch.bytes);
      for (const piece of batch.finish(crc32c)) writer.append(piece);
    }, isFlexible, isFlexible);
  }, isFlexible, isFlexible);
  return isFlexible ? writer.appendTaggedFields() : writer;
}
