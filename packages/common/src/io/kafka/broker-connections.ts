/**
 * Connections to brokers, opened by the settings that hold at that moment: one by one, or one per broker.
 *
 * Settings may change while clients run, because a mounted Secret does. What is under way goes on over the connection
 * it began on; everything after the change goes over a new one.
 */
import { Connection } from '@platformatic/kafka';
import { Fault } from '../../core/fault.ts';
import type { BrokerAddress } from './broker-address.ts';
import { answeredInTls, brokerAnswer, closedUnanswered, isTlsRecord } from './faults.ts';
import type { ConnectionSource, KafkaConnection } from './port.ts';
import { platformaticSecurity } from './security.ts';

/** What is known of a connection that the library's own errors leave out. */
interface Story {
  readonly hasSasl: boolean;
  hasAnswered: boolean;
  /** What came before it was closed; requests are told no more than that it is. */
  brokenBy: Error | undefined;
}

const stories = new WeakMap<Connection, Story>();

/** @param requestTimeoutMs a request that took this long has failed, and the connection with it */
export async function openConnection(options: KafkaConnection, { host, port }: BrokerAddress, requestTimeoutMs: number): Promise<Connection> {
  const connection = new Connection(options.clientId, { connectTimeout: options.connectTimeoutMs, requestTimeout: requestTimeoutMs, ...platformaticSecurity(options, host) });
  const story: Story = { hasSasl: options.sasl !== undefined, hasAnswered: false, brokenBy: undefined };
  stories.set(connection, story);
  // Unheard it would end the process.
  connection.on('error', (error) => (story.brokenBy ??= error));
  const opened = connection.connect(host, port);
  if (options.tls === undefined) {
    connection.socket.once('data', (bytes: Buffer) => {
      if (isTlsRecord(bytes)) story.brokenBy = answeredInTls();
    });
  }
  try {
    await opened;
    return connection;
  } catch (error) {
    throw story.brokenBy ?? error;
  }
}

/** Calls when the broker takes requests over it. Rejects with what the call rejects with, or with what broke the connection. */
export async function ask<T>(connection: Connection, call: (connection: Connection) => Promise<T>): Promise<T> {
  const story = stories.get(connection);
  try {
    // Until a broker has its new proof of who we are, it takes nothing else.
    if (connection.status === 'reauthenticating') await connection.ready();
    const answer = await call(connection);
    if (story !== undefined) story.hasAnswered = true;
    return answer;
  } catch (error) {
    if (story === undefined || error instanceof Fault || brokerAnswer(error) !== undefined) throw error;
    if (story.brokenBy !== undefined) throw story.brokenBy;
    const isClosed = (error as { readonly code?: unknown }).code === 'PLT_KFK_NETWORK';
    throw isClosed && !story.hasAnswered && !story.hasSasl ? closedUnanswered(error) : error;
  }
}

/** At once, without waiting for answers. */
export function closeConnection(connection: Connection): void {
  connection.close().catch(() => undefined);
}

interface HeldConnection {
  /** The settings it was opened by. */
  readonly of: KafkaConnection;
  readonly opening: Promise<Connection>;
  inUse: number;
  isGivenUp: boolean;
}

/** At most one connection to each broker, kept open for the next call. */
export class BrokerConnections {
  readonly #source: ConnectionSource;
  readonly #requestTimeoutMs: (options: KafkaConnection) => number;
  readonly #held = new Map<string, HeldConnection>();
  #isClosed = false;

  constructor(source: ConnectionSource, requestTimeoutMs: (options: KafkaConnection) => number) {
    this.#source = source;
    this.#requestTimeoutMs = requestTimeoutMs;
  }

  /**
   * Rejects with what the library says when there is no connection, and with what the call rejects with.
   * @throws Fault CLOSED after `close`; SETTINGS_INVALID while it is not known how to reach the cluster
   */
  async use<T>(address: BrokerAddress, call: (connection: Connection) => Promise<T>): Promise<T> {
    const held = this.#get(address);
    held.inUse++;
    try {
      return await ask(await held.opening, call);
    } finally {
      if (--held.inUse === 0 && held.isGivenUp) end(held);
    }
  }

  #get(address: BrokerAddress): HeldConnection {
    if (this.#isClosed) throw new Fault('CLOSED', 'the connections are closed', { retriable: false });
    const of = this.#source();
    const key = `${address.host}:${address.port}`;
    const existing = this.#held.get(key);
    if (existing?.of === of) return existing;
    if (existing !== undefined) this.#giveUp(key, existing);
    const opening = openConnection(of, address, this.#requestTimeoutMs(of));
    const held: HeldConnection = { of, opening, inUse: 0, isGivenUp: false };
    this.#held.set(key, held);
    const forget = (): void => {
      if (this.#held.get(key) === held) this.#held.delete(key);
    };
    opening.then((connection) => (connection.isConnected() ? connection.once('close', forget) : forget()), forget);
    return held;
  }

  #giveUp(key: string, held: HeldConnection): void {
    this.#held.delete(key);
    held.isGivenUp = true;
    if (held.inUse === 0) end(held);
  }

  /** At once: whoever waits for an answer gets none. */
  close(): void {
    this.#isClosed = true;
    for (const held of this.#held.values()) end(held);
    this.#held.clear();
  }
}

function end({ opening }: HeldConnection): void {
  opening.then(closeConnection, () => undefined);
}
