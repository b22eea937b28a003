/**
 * Whether Kafka answers: one truth for readiness and for refusing events at once while there is no point in waiting.
 */
import { describeError } from '../../core/fault.ts';
import type { Logger } from '../logger.ts';
import type { Producer } from './port.ts';

export interface KafkaHealth {
  isUp(): boolean;
  /** Why not, for people. */
  reason(): string | undefined;
  close(): void;
}

const intervalWhileUpMs = 2_000;
const intervalWhileDownMs = 500;

/** Asks again and again, sooner while the answer was no. */
export function watchKafka(producer: Pick<Producer, 'ping'>, log: Logger): KafkaHealth {
  let state: 'unknown' | 'up' | 'down' = 'unknown';
  let reason: string | undefined = 'Kafka has not answered yet';
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  const ask = async (): Promise<void> => {
    try {
      await producer.ping();
      if (state !== 'up') log.info({}, 'Kafka answers');
      state = 'up';
      reason = undefined;
    } catch (error) {
      reason = describeError(error);
      if (state !== 'down' && !isClosed) log.warn({ err: error }, 'Kafka does not answer');
      state = 'down';
    }
    if (!isClosed) timer = setTimeout(() => void ask(), state === 'up' ? intervalWhileUpMs : intervalWhileDownMs);
  };
  void ask();
  return {
    isUp: () => state === 'up',
    reason: () => reason,
    close: () => {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}
