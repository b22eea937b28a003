/**
 * Differential fuzzing: the same bytes to both lanes in the same pieces. What is stored, what is answered, and whether
 * the connection stays open must be the same, whether the fast lane takes a request or hands it over.
 *
 * A quick amount runs with all tests; `LANES_FUZZ=1000000 npx vitest run ... lanes-agree` runs that many.
 */
import { describe, expect, it } from 'vitest';
import { Fault } from '@knative-kafka/common/core';
import { SeededRandom } from '../../../common/src/core/cloudevents/seeded-random.ts';
import { Lanes, type ReceiverOptions, type MemorySocket, type StoredRecord } from './lanes-under-test.ts';
import { oddConnection } from './odd-requests.ts';

const connections = Number(process.env['LANES_FUZZ'] ?? 12_000);
const batchSize = 200;
const channels = Array.from({ length: batchSize }, (_, n) => `shop/s${n}`);

interface Case {
  readonly pieces: readonly Buffer[];
  /** Whether the sender then says that nothing more will come. */
  readonly ends: boolean;
}
interface Outcome {
  readonly written: string;
  readonly isOpen: boolean;
}

/** Some records are not stored, for each of the reasons; which, their text tells. */
function faultOf({ headers, value }: StoredRecord): Fault | undefined {
  const sum = JSON.stringify(headers).length + (value?.length ?? 0);
  if (sum % 29 === 0) return new Fault('DEADLINE_EXCEEDED', 'too late', { retriable: true });
  if (sum % 31 === 0) return new Fault('KAFKA_REFUSED', 'not authorized', { retriable: false });
  return sum % 37 === 0 ? new Fault('RECORD_TOO_LARGE', 'too large', { retriable: false }) : undefined;
}

async function run(cases: readonly Case[], options: Omit<ReceiverOptions, 'channels'>) {
  let activity = 0;
  const onActivity = (): void => {
    activity++;
  };
  const quiet = async (): Promise<void> => {
    for (let turns = 0; turns < 5; turns++) {
      const before = activity;
      await new Promise((resolve) => setImmediate(resolve));
      if (activity !== before) turns = -1;
    }
  };
  const lanes = new Lanes({ ...options, channels, faultOf, onActivity });
  const sockets = cases.map(() => lanes.connect(onActivity));
  await quiet(); // the first bytes of a connection never come before its server listens to it
  const handed: boolean[] = [];
  cases.forEach(({ pieces }, n) => {
    const before = lanes.handedOver;
    for (const piece of pieces) sockets[n]!.receive(piece);
    handed.push(lanes.handedOver > before);
  });
  await quiet();
  cases.forEach(({ ends }, n) => {
    if (ends && !sockets[n]!.destroyed) sockets[n]!.push(null);
  });
  await quiet();
  const outcome = (socket: MemorySocket): Outcome => ({ written: withoutInterim(socket.written), isOpen: !socket.destroyed && !socket.writableEnded });
  const result = {
    outcomes: sockets.map(outcome),
    stored: lanes.pump.stored.map((record) => JSON.stringify(record)).sort(),
    counted: [...lanes.counted].sort(),
    handedOver: lanes.handedOver,
  };
  for (const socket of sockets) socket.destroy();
  await quiet();
  const heldBytes = lanes.budget.heldBytes;
  lanes.close();
  return { ...result, heldBytes };
}

/** `100 Continue` may stand anywhere: to a request behind others `node:http` says it at once, even amidst another's answer. */
function withoutInterim(written: string): string {
  return written.replaceAll('HTTP/1.1 100 Continue\r\n\r\n', '');
}

/** The answers on a connection, one by one. */
function answersOf(written: string): string[] {
  const answers: string[] = [];
  for (let at = 0; at < written.length; ) {
    const headEnd = written.indexOf('\r\n\r\n', at);
    const length = /\r\nContent-Length: (\d+)\r\n/i.exec(written.slice(at, headEnd + 4))?.[1] ?? '0';
    const hasBody = written[headEnd + 4] === '{'; // answers to HEAD have none
    const end = headEnd < 0 ? written.length : headEnd + 4 + (hasBody ? Number(length) : 0);
    answers.push(written.slice(at, end));
    at = end;
  }
  return answers;
}

/**
 * Whether a connection went alike. Where bytes that are no request follow requests, `node:http` breaks off at once and
 * leaves answers unsaid that were not ready; the fast lane still gives them. Then the slow side may lack some.
 */
function isAlike(fast: Outcome, slow: Outcome): boolean {
  if (fast.isOpen !== slow.isOpen) return false;
  if (fast.written === slow.written) return true;
  if (slow.isOpen) return false;
  const [fastAnswers, slowAnswers] = [answersOf(fast.written), answersOf(slow.written)];
  const isRefusal = /^HTTP\/1\.1 4\d\d [^\r]*\r\nConnection: close\r\nContent-Type/.test(slowAnswers.at(-1) ?? '');
  if (isRefusal && slowAnswers.pop() !== fastAnswers.pop()) return false;
  return slowAnswers.every((answer, n) => answer === fastAnswers[n]);
}

/** What is not the same on both lanes; undefined when all is. */
async function difference(cases: readonly Case[], options: Omit<ReceiverOptions, 'channels' | 'fastLane'>, seen: { taken: number; stored: number }): Promise<string | undefined> {
  const fast = await run(cases, { ...options, fastLane: true });
  const slow = await run(cases, { ...options, fastLane: false });
  seen.taken += cases.length - fast.handedOver;
  seen.stored += fast.stored.length;
  for (let n = 0; n < cases.length; n++) {
    if (isAlike(fast.outcomes[n]!, slow.outcomes[n]!)) continue;
    const [one, other] = [JSON.stringify(fast.outcomes[n]), JSON.stringify(slow.outcomes[n])];
    return `${JSON.stringify(cases[n]!.pieces.map((piece) => piece.toString('latin1')))}\nfast: ${one}\nslow: ${other}`;
  }
  const rest = ({ stored, counted, heldBytes }: typeof fast): string => JSON.stringify({ heldBytes, counted, stored });
  if (rest(fast) === rest(slow) && fast.heldBytes === 0) return undefined;
  if (cases.length > 1) {
    for (const single of cases) {
      const found = await difference([single], options, seen);
      if (found !== undefined) return found;
    }
  }
  return `${JSON.stringify(cases.map(({ pieces }) => pieces.map((piece) => piece.toString('latin1'))))}\nfast: ${rest(fast)}\nslow: ${rest(slow)}`;
}

/** How Kafka and the limits are meanwhile. */
const worlds: Readonly<Record<string, Omit<ReceiverOptions, 'channels' | 'fastLane'>>> = {
  'that stores': {},
  'with a small topic': { maxMessageBytes: 700 },
  'whose topics are not known yet': { partitionCount: () => Promise.resolve(6) },
  'whose Kafka is away': { isKafkaUp: false },
  'with a small limit for heads': { headerLimitBytes: 600 },
};

describe('both lanes do the same with', () => {
  it.each(Object.entries(worlds))(`any bytes, in a receiver %s`, async (name, options) => {
    const share = name === 'that stores' ? 0.6 : 0.1;
    const random = new SeededRandom(name.length * 7919 + Number(process.env['LANES_FUZZ_SEED'] ?? 0));
    const seen = { taken: 0, stored: 0 };
    for (let done = 0; done < connections * share; done += batchSize) {
      const cases = channels.map((channel) => ({ pieces: oddConnection(random, channel), ends: random.below(6) === 0 }));
      expect(await difference(cases, options, seen)).toBeUndefined();
    }
    if (process.env['LANES_FUZZ'] !== undefined) console.log(name, { connections: connections * share, ...seen });
    expect(seen.taken).toBeGreaterThan(0.2 * connections * share); // otherwise the lanes were not compared
    if (options.isKafkaUp !== false) expect(seen.stored).toBeGreaterThan(0.2 * connections * share);
  }, 3_600_000);
});
