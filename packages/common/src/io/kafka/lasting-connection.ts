/**
 * A connection to one broker that outlasts a change of how to reach the cluster: a rotated password, another certificate.
 *
 * When the settings change, a second connection is opened by the new ones while the first goes on; when it stands, the
 * first ends what it has under way, and what comes after goes over the second. What the new settings do not open takes
 * nothing away: whoever rotates may change the broker before the Secret or the Secret before the broker.
 *
 * Always true: one call after another, in the order in which they were made, also across the change; while it stays open
 * nobody waits for another connection; a connection that broke is opened anew by the settings that hold then.
 */
import type { Connection } from '@platformatic/kafka';
import { Fault } from '../../core/fault.ts';
import type { BrokerAddress } from './broker-address.ts';
import { ask, closeConnection, openConnection } from './broker-connections.ts';
import { faultOf } from './faults.ts';
import type { ConnectionSource, KafkaConnection } from './port.ts';

export interface LastingConnectionOptions {
  readonly source: ConnectionSource;
  readonly address: BrokerAddress;
  readonly requestTimeoutMs: (settings: KafkaConnection) => number;
  /** Changed settings do not open a connection, while the one from before goes on. Told once for each change. */
  readonly onRefused: (fault: Fault, settings: KafkaConnection) => void;
}

/** How soon settings are tried again that opened no connection. */
const retryMs = 1_000;

interface Held {
  /** The settings it was opened by. */
  readonly of: KafkaConnection;
  readonly opening: Promise<Connection>;
  inUse: number;
  /** Another one follows it: called when nothing is under way any more. */
  onDone: (() => void) | undefined;
}

export class LastingConnection {
  readonly #options: LastingConnectionOptions;
  #held: Held | undefined;
  /** What came before `#held` and still has something under way. */
  #leaving: Held | undefined;
  /** Settings that a connection is opened by at the moment. */
  #trying: KafkaConnection | undefined;
  /** Settings that have opened none, and when to try them again, by `performance.now()`. */
  #refused: { readonly of: KafkaConnection; readonly retryAt: number } | undefined;
  #isClosed = false;

  constructor(options: LastingConnectionOptions) {
    this.#options = options;
  }

  /**
   * Rejects with what the library says when there is no connection, and with what the call rejects with.
   * @throws Fault CLOSED after `close`; SETTINGS_INVALID while it is not known how to reach the cluster
   */
  async use<T>(call: (connection: Connection) => Promise<T>): Promise<T> {
    const held = this.#current();
    held.inUse++;
    try {
      return await ask(await held.opening, call);
    } finally {
      if (--held.inUse === 0) held.onDone?.();
    }
  }

  /** At once: whoever waits for an answer gets none. */
  close(): void {
    this.#isClosed = true;
    for (const held of [this.#held, this.#leaving]) if (held !== undefined) end(held);
    this.#held = undefined;
  }

  #current(): Held {
    if (this.#isClosed) throw new Fault('CLOSED', 'the connection is closed', { retriable: false });
    const of = this.#options.source();
    if (this.#held === undefined) return this.#hold(of, this.#open(of));
    if (this.#held.of !== of) void this.#replace(of);
    return this.#held;
  }

  #open(of: KafkaConnection): Promise<Connection> {
    return openConnection(of, this.#options.address, this.#options.requestTimeoutMs(of));
  }

  #hold(of: KafkaConnection, opening: Promise<Connection>): Held {
    const held: Held = { of, opening, inUse: 0, onDone: undefined };
    this.#held = held;
    const forget = (): void => {
      if (this.#held === held) this.#held = undefined;
    };
    opening.then((connection) => {
      // Either comes alone: a broker that refuses proof given anew is an error long before the connection is closed.
      for (const event of ['error', 'close'] as const) connection.once(event, forget);
      if (connection.status !== 'connected' && connection.status !== 'reauthenticating') forget();
    }, forget);
    return held;
  }

  async #replace(of: KafkaConnection): Promise<void> {
    const isTooSoon = this.#refused?.of === of && performance.now() < this.#refused.retryAt;
    if (this.#trying === of || isTooSoon) return;
    this.#trying = of;
    try {
      const connection = await this.#open(of);
      const before = this.#held;
      if (this.#isClosed || before?.of === of || this.#trying !== of) closeConnection(connection); // it is too late for it
      else this.#hold(of, before === undefined ? Promise.resolve(connection) : this.#done(before).then(() => connection));
    } catch (error) {
      if (this.#refused?.of !== of && !this.#isClosed) this.#options.onRefused(faultOf(error, `connection to ${this.#options.address.host}:${this.#options.address.port}`), of);
      this.#refused = { of, retryAt: performance.now() + retryMs };
    } finally {
      if (this.#trying === of) this.#trying = undefined;
    }
  }

  /** What is under way is waited for, and then it is closed. */
  async #done(held: Held): Promise<void> {
    this.#leaving = held;
    if (held.inUse > 0) await new Promise<void>((resolve) => (held.onDone = resolve));
    if (this.#leaving === held) this.#leaving = undefined;
    end(held);
  }
}

function end({ opening }: Held): void {
  opening.then(closeConnection, () => undefined);
}
