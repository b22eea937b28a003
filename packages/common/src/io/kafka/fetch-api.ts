/**
 * The fetch request, with each partition's bytes left as they are.
 *
 * The library's own parser reads all records at once and gives up the whole response for one batch that it cannot
 * read; ours leaves them to record-batches.ts, one partition at a time. The request is the library's.
 */
import { createAPI, fetchV15, type Reader } from '@platformatic/kafka';
import type { AbortedTransaction } from './record-batches.ts';

export interface FetchedPartition {
  readonly topicId: string;
  readonly partition: number;
  /** 0 where all is well. */
  readonly errorCode: number;
  readonly highWatermark: bigint;
  readonly abortedTransactions: readonly AbortedTransaction[];
  readonly bytes: Buffer | null;
}

export interface FetchResponse {
  /** Of the request as a whole. */
  readonly errorCode: number;
  readonly partitions: readonly FetchedPartition[];
}

const fetchApiKey = 1;
/** Names topics by their ids, as all from 13 on do; brokers with the new group protocol speak it, and later ones tell us nothing more. */
export const fetchVersion = 15;

export const fetchRaw = createAPI<Parameters<typeof fetchV15.createRequest>, FetchResponse>(fetchApiKey, fetchVersion, fetchV15.createRequest, parseResponse);

function parseResponse(_correlationId: number, _apiKey: number, _version: number, reader: Reader): FetchResponse {
  reader.skip(4); // throttle time: the broker itself waits before it reads on
  const errorCode = reader.readInt16();
  reader.skip(4); // session id: there is none
  const topics = reader.readArray(() => {
    const topicId = reader.readUUID();
    return reader.readArray(() => parsePartition(reader, topicId));
  });
  return { errorCode, partitions: topics.flat() };
}

function parsePartition(reader: Reader, topicId: string): FetchedPartition {
  const partition = reader.readInt32();
  const errorCode = reader.readInt16();
  const highWatermark = reader.readInt64();
  reader.skip(16); // last stable offset, start of the log
  const abortedTransactions = reader.readArray(() => ({ producerId: reader.readInt64(), firstOffset: reader.readInt64() }));
  reader.skip(4); // preferred replica: we name no rack
  const bytes = reader.readNullableBytes();
  return { topicId, partition, errorCode, highWatermark, abortedTransactions, bytes };
}
