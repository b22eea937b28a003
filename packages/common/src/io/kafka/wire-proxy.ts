/**
 * A TCP proxy before a broker, for tests: reads requests as they pass, counts connections, and can fail as brokers do.
 *
 * A broker that advertises the proxy's port is reached through it by every client, whatever it learns from metadata.
 */
import { connect, createServer, type Socket } from 'node:net';
import { Reader } from '@platformatic/kafka';

export interface ProduceRequest {
  readonly acks: number;
  /** `topic/partition` of each batch. */
  readonly partitions: readonly string[];
}

export interface WireProxy {
  readonly port: number;
  /** From now on requests reach the broker on this port. Connections from before stay as dead as they were. */
  forwardTo(port: number): void;
  /** As a frozen broker: connections are accepted and stay open, and nothing is answered. */
  freeze(): void;
  /** As a killed broker: connections break and new ones do, too. */
  cut(): void;
  /** The next produce request reaches the broker, and the connection breaks before its response is back. */
  loseNextProduceResponse(): void;
  /** From now on nothing comes back over connections that fetched so far. @returns lets what was held back go */
  holdFetches(): () => void;
  /** From now on commits of offsets do not reach the broker, and so are not answered; all else is. @returns lets those that come then pass */
  swallowCommits(): () => void;
  /** Produce requests since the start. */
  readonly produceRequests: readonly ProduceRequest[];
  /** Bytes that the broker has answered with since the start. */
  answeredBytes(): number;
  /** Connections of clients that are open now. */
  connections(): number;
  close(): Promise<void>;
}

const produceApiKey = 0;
const fetchApiKey = 1;
const offsetCommitApiKey = 8;

/** A connection that fetched, and what is held back of its responses. */
interface FetchConnection {
  readonly client: Socket;
  held: Buffer[] | undefined;
}

/** Listens at once; until `forwardTo` it behaves as frozen. */
export async function startWireProxy(): Promise<WireProxy> {
  let target: number | undefined;
  let isCut = false;
  let losesResponse = false;
  let swallowsCommits = false;
  let answeredBytes = 0;
  const produceRequests: ProduceRequest[] = [];
  const clients = new Set<Socket>();
  const fetchConnections = new Set<FetchConnection>();

  const server = createServer((client) => {
    clients.add(client);
    client.once('close', () => clients.delete(client));
    client.on('error', () => undefined);
    if (isCut) client.destroy();
    if (isCut || target === undefined) return void client.resume();
    const broker = connect(target, '127.0.0.1');
    let isSilent = false;
    let breaksOnResponse = false;
    const fetchConnection: FetchConnection = { client, held: undefined };
    client.once('close', () => fetchConnections.delete(fetchConnection));
    const forwardRequests = frameReader((frame, bytes) => {
      const apiKey = frame.readInt16BE(0);
      if (swallowsCommits && apiKey === offsetCommitApiKey) return;
      broker.write(bytes);
      if (apiKey === fetchApiKey) fetchConnections.add(fetchConnection);
      if (apiKey !== produceApiKey) return;
      produceRequests.push(readProduceRequest(frame));
      breaksOnResponse ||= losesResponse;
      losesResponse = false;
    });
    client.on('data', (chunk) => {
      isSilent ||= target === undefined;
      if (!isSilent) forwardRequests(chunk);
    });
    broker.on('data', (chunk) => {
      answeredBytes += chunk.length;
      isSilent ||= target === undefined;
      if (breaksOnResponse) client.destroy();
      else if (fetchConnection.held !== undefined) fetchConnection.held.push(chunk);
      else if (!isSilent) client.write(chunk);
    });
    broker.on('error', () => client.destroy());
    broker.once('close', () => client.destroy());
    client.once('close', () => broker.destroy());
  });
  const breakAll = (): void => {
    for (const client of clients) client.destroy();
  };

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { readonly port: number }).port,
    forwardTo: (port) => {
      target = port;
      isCut = false;
    },
    freeze: () => {
      target = undefined;
    },
    cut: () => {
      isCut = true;
      breakAll();
    },
    loseNextProduceResponse: () => {
      losesResponse = true;
    },
    holdFetches: () => {
      const held = [...fetchConnections];
      for (const connection of held) connection.held = [];
      return () => {
        for (const connection of held) {
          for (const chunk of connection.held ?? []) connection.client.write(chunk);
          connection.held = undefined;
        }
      };
    },
    swallowCommits: () => {
      swallowsCommits = true;
      return () => {
        swallowsCommits = false;
      };
    },
    produceRequests,
    answeredBytes: () => answeredBytes,
    connections: () => clients.size,
    close: () => {
      breakAll();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/**
 * Cuts a stream of chunks into Kafka's frames: a length of four bytes, then as many bytes.
 * @param onFrame gets the frame, and the same with its length before it
 */
function frameReader(onFrame: (frame: Buffer, bytes: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
      const end = 4 + rest.readInt32BE(0);
      onFrame(rest.subarray(4, end), rest.subarray(0, end));
      rest = rest.subarray(end);
    }
  };
}

/** Versions from 9 on are "flexible", with compact lengths and tagged fields; those from 13 on name topics by their ids. */
function readProduceRequest(frame: Buffer): ProduceRequest {
  const reader = Reader.from(frame);
  reader.skip(2); // api key
  const version = reader.readInt16();
  const isFlexible = version >= 9;
  reader.skip(4); // correlation id
  reader.readNullableString(false); // client id
  if (isFlexible) reader.readTaggedFields();
  reader.readNullableString(isFlexible); // transactional id
  const acks = reader.readInt16();
  reader.skip(4); // timeout
  const topics = reader.readArray(
    () => {
      const topic = version >= 13 ? reader.readUUID() : reader.readString(isFlexible);
      return reader.readArray(
        () => {
          const partition = reader.readInt32();
          reader.readNullableBytes(isFlexible);
          return `${topic}/${partition}`;
        },
        isFlexible,
        isFlexible,
      );
    },
    isFlexible,
    isFlexible,
  );
  return { acks, partitions: topics.flat() };
}
