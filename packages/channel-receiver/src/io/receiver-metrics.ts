/** The receiver's metrics. Every event passes here, so what is counted with it is a number until the metrics are read. */
import type { ByteBudget, ProducePump } from '@knative-kafka/common/core';
import { Counter, Gauge, latencyBuckets, LatencyHistogram, type Latencies, type Registry } from '@knative-kafka/common/io';

export interface ReceiverMetrics {
  readonly onAnswer: (channel: string | undefined, status: number, seconds: number) => void;
  readonly onHandOver: () => void;
}

export function createReceiverMetrics(registry: Registry, pump: ProducePump, budget: ByteBudget): ReceiverMetrics {
  const registers = [registry];
  const requests = new Counter({ name: 'knative_kafka_ingress_requests_total', help: 'POST requests by channel and status.', labelNames: ['channel', 'status'], registers, collect: () => handOver() });
  const latency = new LatencyHistogram({ name: 'knative_kafka_ingress_seconds', help: 'From the head of a request to its answer.', buckets: latencyBuckets, registry });
  const handedOver = new Counter({ name: 'knative_kafka_ingress_handed_over_total', help: 'Connections that the fast lane gave to Node\'s HTTP server.', registers });
  new Gauge({ name: 'knative_kafka_ingress_held_bytes', help: 'Bytes of requests between admission and answer.', registers, collect() { this.set(budget.heldBytes); } });
  new Gauge({ name: 'knative_kafka_ingress_limit_bytes', help: 'The most that may be held.', registers, collect() { this.set(budget.limitBytes); } });
  new Gauge({ name: 'knative_kafka_produce_pending_records', help: 'Records that Kafka has not acknowledged.', registers, collect() { this.set(pump.pendingRecords); } });
  new Counter({ name: 'knative_kafka_produce_requests_total', help: 'Produce requests sent to brokers.', registers, collect() { this.reset(); this.inc(pump.counters.requests); } });
  new Counter({ name: 'knative_kafka_produce_retries_total', help: 'Record batches that had to be sent again.', registers, collect() { this.reset(); this.inc(pump.counters.retries); } });

  const children = new Map<string, { readonly seconds: Latencies; readonly byStatus: Map<number, { readonly counter: Counter.Internal; since: number }> }>();
  const handOver = (): void => {
    for (const { byStatus } of children.values()) {
      for (const tally of byStatus.values()) {
        tally.counter.inc(tally.since);
        tally.since = 0;
      }
    }
  };
  const onAnswer: ReceiverMetrics['onAnswer'] = (channel = '', status, seconds) => {
    let child = children.get(channel);
    if (child === undefined) children.set(channel, (child = { seconds: latency.labels({ channel }), byStatus: new Map() }));
    let tally = child.byStatus.get(status);
    if (tally === undefined) child.byStatus.set(status, (tally = { counter: requests.labels(channel, String(status)), since: 0 }));
    tally.since++;
    child.seconds.observe(seconds);
  };
  return { onAnswer, onHandOver: () => handedOver.inc() };
}
