/**
 * Connections to brokers, opened by the settings that hold at that moment: one by one, or one per broker.
 *
 * Settings may change while clients run, because a mounted Secret does. What is under way goes on over the connection
 * it began on; everything after the change goes over a new one.
 */
import { isIP } from 'node:net';
import { Connection, type ConnectionOptions } from '@platformatic/kafka';
import { Fault } from '../../core/fault.ts';
import type { BrokerAddress } from './broker-address.ts';
import type { ConnectionSource, KafkaConnection } from './port.ts';

/** @param requestTimeoutMs a request that took this long has failed, and the connection with it */
export async function openConnection(options: KafkaConnection, { host, port }: BrokerAddress, requestTimeoutMs: number): Promise<Connection> {
  const connection = new Connection(options.clientId, { connectTimeout: options.connectTimeoutMs, requestTimeout: requestTimeoutMs, ...security(options, host) });
  connection.on('error', () => undefined); // whoever waits for an answer is told; unheard it would end the process
  await connection.connect(host, port);
  return connection;
}

/** At once, without waiting for answers. */
export function closeConnection(connection: Connection): void {
  connection.close().catch(() => undefined);
}

function security({ tls = false, sasl }: KafkaConnection, host: string): Pick<ConnectionOptions, 'tls' | 'tlsServerName' | 'sasl'> {
  return {
    // Servers behind one address are told apart by the name asked for; an IP address may not be one (RFC 6066).
    ...(tls ? { tls: {}, tlsServerName: isIP(host) === 0 } : {}),
    ...(sasl === undefined ? {} : { sasl: { mechanism: 'PLAIN', username: sasl.username, password: sasl.password } }),
  };
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
      const connection = await held.opening;
      // Until a broker has its new proof of who we are, it takes nothing else.
      if (connection.status === 'reauthenticating') await connection.ready();
      return await call(connection);
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
