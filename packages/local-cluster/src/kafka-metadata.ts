/**
 * Asks a broker who it is and whom it sees, in the few bytes of Kafka's protocol this takes.
 *
 * An open port says too little: it opens before the broker is registered, and a topic created in that moment has
 * nowhere to put its replicas. A broker that lists itself in its Metadata answer is registered, unfenced and serving.
 *
 * @see https://kafka.apache.org/protocol#The_Messages_Metadata (version 2, the first with the cluster's id)
 */
import { connect } from 'node:net';

export interface KafkaMetadata {
  readonly clusterId: string | undefined;
  readonly brokers: readonly { readonly id: number; readonly host: string; readonly port: number }[];
}

const metadataKey = 3;
const metadataVersion = 2;

/**
 * @param port      the Kafka port on 127.0.0.1
 * @param timeoutMs bound for connect and answer together
 * @throws Error when nobody listens, the connection ends early, or no whole answer comes in time
 */
export async function fetchMetadata(port: number, timeoutMs: number): Promise<KafkaMetadata> {
  const frame = await exchange(port, metadataRequest(1), timeoutMs);
  return parseMetadataResponse(frame);
}

/** The whole request with its length in front, for no topics at all. */
export function metadataRequest(correlationId: number): Buffer {
  const request = Buffer.alloc(4 + 2 + 2 + 4 + 2 + 4);
  let at = request.writeInt32BE(request.length - 4, 0);
  at = request.writeInt16BE(metadataKey, at);
  at = request.writeInt16BE(metadataVersion, at);
  at = request.writeInt32BE(correlationId, at);
  at = request.writeInt16BE(-1, at); // client id: none
  request.writeInt32BE(0, at); // topics: an empty list, where null would mean all
  return request;
}

/**
 * @param frame the answer without its length: correlation id, then the body
 * @throws RangeError when the frame is shorter than it claims
 */
export function parseMetadataResponse(frame: Buffer): KafkaMetadata {
  let at = 4;
  const int32 = () => {
    at += 4;
    return frame.readInt32BE(at - 4);
  };
  const nullableText = () => {
    const length = frame.readInt16BE(at);
    at += 2 + Math.max(length, 0);
    if (at > frame.length) throw new RangeError('Metadata answer ends inside a text');
    return length < 0 ? undefined : frame.toString('utf8', at - length, at);
  };
  const brokers = Array.from({ length: int32() }, () => {
    const broker = { id: int32(), host: nullableText() ?? '', port: int32() };
    nullableText(); // rack
    return broker;
  });
  return { clusterId: nullableText(), brokers };
}

/** One request, one answer, one connection. */
async function exchange(port: number, request: Buffer, timeoutMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port });
    const timer = setTimeout(
      () => socket.destroy(new Error(`127.0.0.1:${port} gave no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    let received = Buffer.alloc(0);
    socket.once('connect', () => socket.write(request));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 4) return;
      const length = received.readInt32BE(0);
      if (received.length < 4 + length) return;
      resolve(received.subarray(4, 4 + length));
      socket.destroy();
    });
    socket.once('error', reject);
    socket.once('close', () => {
      clearTimeout(timer);
      reject(new Error(`127.0.0.1:${port} closed the connection without an answer`));
    });
  });
}
