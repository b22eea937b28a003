/**
 * What the kafkajs adapters share: a client, the sockets it opened, and calls of its admin.
 *
 * Used the obvious way kafkajs loses and repeats acknowledged events. The rules that keep it safe stand beside the
 * lines that follow them, here and in kafkajs-{producer,group-member,admin}.ts (P1-P9, C1-C9; docs/adr/0004), and each
 * has a test in port.integration.test.ts.
 */
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import kafkajs, { type ISocketFactoryArgs, type Kafka as KafkajsClient, type logCreator } from 'kafkajs';
import { Fault } from '../../core/fault.ts';
import type { KafkaTls } from '../../core/kafka-secret.ts';
import { answeredInTls, closedUnanswered, faultOf, isTlsRecord } from './faults.ts';
import type { KafkaConnection } from './port.ts';
import { kafkajsSasl, serverName, tlsOptions } from './security.ts';

const { Kafka, logLevel } = kafkajs;

/** What kafkajs logs, for the adapter to look at: its own levels are noise, some of its sentences are events. */
export type OnLog = (message: string, fields: Readonly<Record<string, unknown>>) => void;

/** At most this many tries inside kafkajs; the pump, the reconcilers and the dispatcher do their own waiting (rule P5). */
export const innerRetries = { retries: 0 };
/** Its first call on a new client finds no broker, learns the brokers, and works when it is repeated. */
const adminRetries = { initialRetryTime: 50, retries: 3 };

/**
 * Rotated by chance: kafkajs asks the first bootstrap server first, every time, and a client stays with one that accepts
 * connections and never answers (rule P9). The next client shall have better luck.
 */
function fromAnywhere(brokers: readonly string[]): string[] {
  const first = Math.floor(Math.random() * brokers.length);
  return [...brokers.slice(first), ...brokers.slice(0, first)];
}

/**
 * The connections of one client, to end it for good: kafkajs loses track of some when others break, and a client that is
 * closed while it still connects comes back to life with its next try.
 */
export class Sockets {
  readonly #open = new Set<Socket>();
  #isEnded = false;

  /** By the TLS settings of this moment, and not by those that kafkajs was made with. */
  create({ host, port, onConnect }: ISocketFactoryArgs, tls: KafkaTls | undefined): Socket {
    if (this.#isEnded) throw new Error('the client has ended');
    const servername = serverName(host);
    const socket = tls === undefined ? heedTls(connect({ host, port }, onConnect)) : connectTls({ host, port, ...(servername === undefined ? {} : { servername }), ...tlsOptions(tls) }, onConnect);
    socket.setKeepAlive(true, keepAliveMs);
    this.#open.add(socket);
    socket.once('close', () => this.#open.delete(socket));
    return socket;
  }

  /** All that are open now; kafkajs opens others. */
  cut(): void {
    this.#destroy('the connection is opened anew, by other settings');
  }

  end(): void {
    this.#isEnded = true;
    this.#destroy('the client has ended');
  }

  #destroy(reason: string): void {
    // With an error, because kafkajs does not hear of a socket that merely closes, and keeps its timers.
    for (const socket of this.#open) socket.destroy(new Error(reason));
  }
}

const keepAliveMs = 60_000;

/** kafkajs takes what a broker that wants TLS says for the length of an answer, and waits. */
function heedTls(socket: Socket): Socket {
  return socket.once('data', (bytes: Buffer) => {
    if (isTlsRecord(bytes)) socket.destroy(answeredInTls());
  });
}

/** @param options asked for its fields whenever a connection is opened */
export function createClient(options: KafkaConnection, sockets: Sockets, retry: object, onLog?: OnLog): KafkajsClient {
  const createLog: logCreator = () => ({ log }) => onLog?.(log.message, log);
  const sasl = kafkajsSasl(options);
  return new Kafka({
    clientId: options.clientId,
    brokers: fromAnywhere(options.brokers),
    ...(sasl === undefined ? {} : { sasl }),
    socketFactory: (wanted) => sockets.create(wanted, options.tls),
    connectionTimeout: options.connectTimeoutMs,
    requestTimeout: options.requestTimeoutMs,
    retry,
    logLevel: logLevel.INFO,
    logCreator: createLog,
  });
}

/** Closes a client for good, in order where that is still possible. */
export async function endClient(client: { disconnect(): Promise<void> }, sockets: Sockets): Promise<void> {
  await client.disconnect().catch(() => undefined);
  sockets.end();
}

/** @throws Fault KAFKA_TIMEOUT when the work takes longer; it may go on for all that */
export async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Fault('KAFKA_TIMEOUT', `no answer in ${timeoutMs} ms`, { retriable: true })), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

export type KafkajsAdmin = ReturnType<KafkajsClient['admin']>;

/**
 * A new client per call: calls are rare, and a client that bootstrapped against a half-dead broker stays broken (rule
 * P9). Bootstrap servers that do not answer within `connectTimeoutMs` are passed over.
 */
export async function withAdmin<T>(options: KafkaConnection, doing: string, call: (admin: KafkajsAdmin) => Promise<T>, retry: object = adminRetries): Promise<T> {
  const { admin, sockets } = await connectAdmin(options, doing, retry);
  try {
    return await call(admin);
  } catch (error) {
    throw accessFault(error, options, doing);
  } finally {
    void endClient(admin, sockets);
  }
}

/** Of the first calls of a client: one that is closed without a login, each time that kafkajs tried, had to log in. */
export function accessFault(error: unknown, { sasl }: KafkaConnection, doing: string): Fault {
  const { name, cause } = error as { readonly name?: unknown; readonly cause?: { readonly name?: unknown } };
  const wasClosed = [name, cause?.name].includes('KafkaJSConnectionClosedError');
  return faultOf(sasl === undefined && wasClosed ? closedUnanswered(error) : error, doing);
}

async function connectAdmin(options: KafkaConnection, doing: string, retry: object): Promise<{ admin: KafkajsAdmin; sockets: Sockets }> {
  let fault: Fault | undefined;
  for (const broker of fromAnywhere(options.brokers)) {
    const sockets = new Sockets();
    const admin = createClient({ ...options, brokers: [broker] }, sockets, retry).admin({ retry });
    try {
      await within(options.connectTimeoutMs, admin.connect());
      return { admin, sockets };
    } catch (error) {
      fault = faultOf(error, `${doing}, from ${broker}`);
      sockets.end();
    }
  }
  throw fault ?? new Fault('KAFKA_UNAVAILABLE', `${doing}: no broker is known`, { retriable: true });
}
