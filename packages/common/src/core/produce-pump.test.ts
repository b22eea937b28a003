import { describe, expect, it } from 'vitest';
import { readBatches } from '../io/kafka/record-batches.ts';
import { crc32c } from '../io/kafka/crc32c.ts';
import { Fault } from './fault.ts';
import type { OutgoingRecord, ProduceResult } from './kafka-record.ts';
import type { PartitionBatch } from './record-batch.ts';
import { ProducePump, type PumpLimits } from './produce-pump.ts';

const limits: PumpLimits = { batchBytes: 1_000_000, requestBytes: 8_000_000, lingerMs: 0, retryDelayMs: { first: 10, last: 100 }, metadataMaxAgeMs: 60_000 };
const notLeader = new Fault('KAFKA_UNAVAILABLE', 'not the leader', { retriable: true });
const tooLarge = new Fault('RECORD_TOO_LARGE', 'too large', { retriable: false });
const refused = new Fault('KAFKA_REFUSED', 'not authorized', { retriable: false });

interface Call { leader: number; batches: readonly PartitionBatch[]; answer(...results: ProduceResult[]): Promise<void> }

/** Kafka and time under the test's control: every produce call waits until the test answers it. */
function setUp(leaders: number[], change: Partial<PumpLimits> = {}) {
  const calls: Call[] = [];
  const timers: { at: number; run: () => void }[] = [];
  let now = 0;
  const cluster = { leaders, metadataCalls: 0 };
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  const pump = new ProducePump({
    topicMetadata: () => { cluster.metadataCalls++; return Promise.resolve({ leaders: [...cluster.leaders] }); },
    produce: (leader, batches) => new Promise((resolve) => calls.push({ leader, batches, answer: async (...results) => { resolve(results); await turn(); await turn(); } })),
    now: () => now,
    after: (delayMs, run) => { timers.push({ at: now + delayMs, run }); },
    defer: (run) => { setImmediate(run); },
  }, { ...limits, ...change });
  const outcomes: string[] = [];
  return {
    pump, calls, cluster, outcomes, turn,
    append: (partition: number, text: string, deadline = 10_000) => pump.append('t', partition, record(text), deadline, { settled: (fault) => { outcomes.push(`${text}:${fault?.code ?? 'ok'}`); } }),
    async advance(ms: number) {
      now += ms;
      for (let due = timers.findIndex((timer) => timer.at <= now); due >= 0; due = timers.findIndex((timer) => timer.at <= now)) timers.splice(due, 1)[0]!.run();
      await turn();
      await turn();
    },
  };
}

function record(text: string): OutgoingRecord {
  return { key: null, value: Buffer.from(text), headers: [], timestampMs: 0 };
}
const texts = (sent: PartitionBatch | undefined) =>
  sent && readBatches(Buffer.concat(sent.batch.finish(crc32c)), 0n, []).records.map(({ value }) => String(value));
const ok: ProduceResult = { baseOffset: 0n };

describe('ProducePump', () => {
  it('sends one request per broker that carries all of its partitions', async () => {
    const { pump, calls, append, turn } = setUp([1, 2, 1]);
    await pump.partitionCount('t');
    for (const [partition, text] of [[0, 'a'], [1, 'b'], [2, 'c'], [0, 'd']] as const) append(partition, text);
    await turn();
    expect(calls.map((call) => [call.leader, call.batches.map((batch) => [batch.partition, texts(batch)])])).toEqual([
      [1, [[0, ['a', 'd']], [2, ['c']]]],
      [2, [[1, ['b']]]],
    ]);
  });

  it('puts a round off for no longer than it may, where several records are to be expected meanwhile', async () => {
    const { pump, calls, append, turn, advance } = setUp([1], { lingerMs: 10 });
    await pump.partitionCount('t');
    const sent = () => calls.map(({ batches }) => batches[0]!.batch.count);
    append(0, 'first');
    await turn();
    expect(sent()).toEqual([1]); // what comes now and then waits for nothing
    await advance(4);
    for (const text of ['a', 'b']) append(0, text);
    await calls[0]!.answer(ok); // one record before: two more are not to be expected
    expect(sent()).toEqual([1, 2]);
    append(0, 'c');
    await advance(4);
    await calls[1]!.answer(ok); // two in four milliseconds: some more will come in the six that are left
    append(0, 'd');
    await turn();
    expect(sent()).toEqual([1, 2]);
    await advance(6);
    expect(sent()).toEqual([1, 2, 2]);
    await advance(4);
    for (let n = 0; n < 16; n++) append(0, `n${n}`);
    await calls[2]!.answer(ok); // enough to go at once
    expect(sent()).toEqual([1, 2, 2, 16]);
    append(0, 'e');
    await advance(12);
    await calls[3]!.answer(ok); // the time is over already
    expect(sent()).toEqual([1, 2, 2, 16, 1]);
  });

  it('collects while a request is in flight and never has two for one partition', async () => {
    const { pump, calls, append, turn, outcomes } = setUp([1]);
    await pump.partitionCount('t');
    append(0, 'a');
    await turn();
    append(0, 'b'); append(0, 'c');
    await turn();
    expect(calls).toHaveLength(1);
    await calls[0]!.answer(ok);
    expect(outcomes).toEqual(['a:ok']);
    expect(texts(calls[1]?.batches[0])).toEqual(['b', 'c']);
  });

  it('sends what failed first, whole and in order, and only what failed', async () => {
    const { pump, calls, append, turn, outcomes, advance } = setUp([1, 1]);
    await pump.partitionCount('t');
    append(0, 'a'); append(1, 'x'); append(0, 'b');
    await turn();
    append(0, 'c');
    await calls[0]!.answer({ fault: notLeader }, ok);
    expect(outcomes).toEqual(['x:ok']);
    await advance(10);
    expect(calls[1]?.batches.map(texts)).toEqual([['a', 'b', 'c']]);
    await calls[1]!.answer(ok);
    expect(outcomes).toEqual(['x:ok', 'a:ok', 'b:ok', 'c:ok']);
  });

  it('follows a partition to its new leader', async () => {
    const { pump, calls, append, turn, advance, cluster } = setUp([1]);
    await pump.partitionCount('t');
    append(0, 'a');
    await turn();
    cluster.leaders = [2];
    await advance(200);
    await calls[0]!.answer({ fault: notLeader });
    await advance(10);
    expect(calls[1]?.leader).toBe(2);
  });

  it('waits for a leader while there is none, and gives up at the deadline', async () => {
    const { pump, calls, append, advance, outcomes, cluster } = setUp([-1]);
    await pump.partitionCount('t');
    append(0, 'a', 500);
    append(0, 'b', 5_000);
    for (let step = 0; step < 6; step++) await advance(100);
    expect(outcomes).toEqual(['a:DEADLINE_EXCEEDED']);
    expect(calls).toHaveLength(0);
    cluster.leaders = [3];
    await advance(150); await advance(150);
    expect(calls[0]?.leader).toBe(3);
    expect(texts(calls[0]?.batches[0])).toEqual(['b']);
  });

  it('does not give up what is in flight: its result decides', async () => {
    const { pump, calls, append, turn, advance, outcomes } = setUp([1]);
    await pump.partitionCount('t');
    append(0, 'late', 100);
    await turn();
    await advance(1_000);
    expect(outcomes).toEqual([]);
    await calls[0]!.answer(ok);
    expect(outcomes).toEqual(['late:ok']);
  });

  it('settles a batch that failed past its deadline instead of sending it again', async () => {
    const { pump, calls, append, turn, advance, outcomes } = setUp([1]);
    await pump.partitionCount('t');
    append(0, 'late', 100); append(0, 'next', 5_000);
    await turn();
    await advance(150);
    await calls[0]!.answer({ fault: notLeader });
    expect(outcomes).toEqual(['late:DEADLINE_EXCEEDED']);
    await advance(20);
    expect(texts(calls[1]?.batches[0])).toEqual(['next']);
  });

  it('halves a batch the broker finds too large until only the guilty record fails', async () => {
    const { pump, calls, append, turn, outcomes } = setUp([1]);
    await pump.partitionCount('t');
    for (const text of ['a', 'b', 'HUGE', 'd']) append(0, text);
    await turn();
    for (let index = 0; index < calls.length; index++) {
      const sent = texts(calls[index]!.batches[0])!;
      await calls[index]!.answer(sent.includes('HUGE') ? { fault: tooLarge } : ok);
    }
    expect(outcomes).toEqual(['a:ok', 'b:ok', 'HUGE:RECORD_TOO_LARGE', 'd:ok']);
    expect(pump.pendingRecords).toBe(0);
  });

  it('fails a batch that can never succeed at once and goes on with the next', async () => {
    const { pump, calls, append, turn, outcomes } = setUp([1]);
    await pump.partitionCount('t');
    append(0, 'a');
    await turn();
    append(0, 'b');
    await calls[0]!.answer({ fault: refused });
    expect(outcomes).toEqual(['a:KAFKA_REFUSED']);
    expect(texts(calls[1]?.batches[0])).toEqual(['b']);
  });

  it('treats a missing result as a failure, never as a success', async () => {
    const { pump, calls, append, turn, outcomes } = setUp([1, 1]);
    await pump.partitionCount('t');
    append(0, 'a'); append(1, 'b');
    await turn();
    await calls[0]!.answer(ok);
    expect(outcomes).toEqual(['a:ok']);
    expect(pump.pendingRecords).toBe(1);
  });

  it('keeps batches below the topic limit and requests below theirs, oldest first', async () => {
    const { pump, calls, append, turn } = setUp([1, 1], { requestBytes: 100 });
    await pump.partitionCount('t');
    pump.limitBatches('t', 61 + 27 + 60); // a record of 20 bytes takes 27, and 60 before that is known
    for (const text of ['a', 'b', 'c', 'd']) append(0, text.repeat(20));
    append(1, 'x');
    await turn();
    expect(calls[0]?.batches.map(({ batch }) => batch.count)).toEqual([2]); // partition 1 waits: the request is full
    await calls[0]!.answer(ok);
    expect(calls[1]?.batches.map((batch) => batch.partition)).toEqual([1, 0]);
  });

  it('uses new partitions once a topic has grown', async () => {
    const { pump, cluster, advance } = setUp([1]);
    expect(await pump.partitionCount('t')).toBe(1);
    cluster.leaders = [1, 1, 2];
    await advance(60_001);
    void pump.partitionCount('t');
    await advance(0);
    expect(await pump.partitionCount('t')).toBe(3);
  });

  it('asks for metadata once, however many wait for it', async () => {
    const { pump, cluster } = setUp([1]);
    await Promise.all([pump.partitionCount('t'), pump.partitionCount('t'), pump.partitionCount('t')]);
    expect(cluster.metadataCalls).toBe(1);
  });

  it('reports drained when the last record is settled', async () => {
    const { pump, calls, append, turn } = setUp([1]);
    await pump.partitionCount('t');
    append(0, 'a');
    let isDrained = false;
    const drained = pump.drained().then(() => { isDrained = true; });
    await turn();
    expect(isDrained).toBe(false);
    await calls[0]!.answer(ok);
    await drained;
  });

  it('takes a record whose headers are encoded already, and copies it', async () => {
    const { pump, calls, turn, outcomes } = setUp([1]);
    await pump.partitionCount('t');
    const bytes = Buffer.from('value');
    const settlement = { settled: () => { outcomes.push('told'); } };
    pump.appendEncoded('t', 0, { headers: bytes, headersEnd: 0, headerCount: 0, keyStart: -1, keyEnd: -1, value: bytes, valueStart: 1, valueEnd: 4, timestampMs: 0 }, 10_000, settlement);
    bytes.fill(0);
    await turn();
    expect(texts(calls[0]?.batches[0])).toEqual(['alu']);
    await calls[0]!.answer(ok);
    expect(outcomes).toEqual(['told']);
  });

  it('uses the memory of a batch again once it is stored, but not where it was sent more than once', async () => {
    const { pump, calls, append, turn, advance } = setUp([1]);
    await pump.partitionCount('t');
    const memory = () => calls.at(-1)!.batches[0]!.batch.finish(crc32c).map(({ buffer }) => buffer);
    const appendMuch = async () => { for (let n = 0; n < 20; n++) append(0, 'x'.repeat(2_000)); await turn(); };
    await appendMuch();
    await calls[0]!.answer({ fault: notLeader });
    await advance(10);
    const sentTwice = memory();
    await calls[1]!.answer(ok);
    await appendMuch();
    const sentOnce = memory();
    expect(sentTwice.some((buffer) => sentOnce.includes(buffer))).toBe(false);
    await calls[2]!.answer(ok);
    await appendMuch();
    expect(sentOnce).toContain(memory()[0]);
  });

  it('keeps the order of each partition through any mix of failures', async () => {
    let seed = 42;
    const random = () => { seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0; return seed / 2 ** 32; };
    const { pump, calls, append, advance, cluster, outcomes } = setUp([1, 2, 1, 3]);
    await pump.partitionCount('t');
    const stored: string[][] = [[], [], [], []];
    let answered = 0;
    let appended = 0;
    while (outcomes.length < 500) {
      for (let burst = Math.floor(random() * 20); burst > 0 && appended < 500; burst--) {
        const partition = Math.floor(random() * 4);
        append(partition, `${partition}-${appended++}`, Infinity);
      }
      if (random() < 0.1) cluster.leaders = cluster.leaders.map(() => Math.floor(random() * 4) - (random() < 0.2 ? 1 : 0));
      if (answered < calls.length) {
        const call = calls[answered++]!;
        await call.answer(...call.batches.map((batch): ProduceResult => {
          const led = cluster.leaders[batch.partition] === call.leader;
          if (led && random() < 0.85) { stored[batch.partition]!.push(...texts(batch)!.map(String)); return random() < 0.9 ? ok : { fault: notLeader }; }
          return { fault: notLeader };
        }));
      }
      await advance(Math.floor(random() * 150));
    }
    for (const [partition, log] of stored.entries()) {
      const first = [...new Set(log)]; // a lost acknowledgement repeats a batch; what counts is where each came first
      const numbers = first.map((text) => Number(text.split('-')[1]));
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
      expect(first.every((text) => text.startsWith(`${partition}-`))).toBe(true);
    }
    expect(outcomes.every((outcome) => outcome.endsWith(':ok'))).toBe(true);
    expect(stored.flat().length).toBeGreaterThanOrEqual(500);
  });
});
