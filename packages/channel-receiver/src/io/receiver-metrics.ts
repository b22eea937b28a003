/** The receiver's metrics; children are cached per channel and status, because every event passes here. */
import type { ByteBudget, ProducePump } from '@knative-kafka/common/core';
import { Counter, Gauge, Histogram, latencyBuckets, type Registry } from '@knative-kafka/common/io';

export interface ReceiverMetrics {
  readonly onAnswer: (channel: string | undefined, status: number, seconds: number) => void;
  readonly onHandOver: () => void;
}

export function createReceiverMetrics(registry: Registry, pump: ProducePump, budget: ByteBudget): ReceiverMetrics {
  const registers = [registry];
  const requests = new Counter({ name: 'knative_kafka_ingress_requests_total', help: 'POST requests by channel and status.', labelNames: ['channel', 'status'], registers });
  const latency = new Histogram({ name: 'knative_kafka_ingress_seconds', help: 'From the head of a request to its answer.', labelNames: ['channel'], buckets: latencyBuckets, registers });
  const handedOver = new Counter({ name: 'knative_kafka_ingress_handed_over_total', help: 'Connections that the fast lane gave to Node\'s HTTP server.', registers });
  new Gauge({ name: 'knative_kafka_ingress_held_bytes', help: 'Bytes of requests between admission and answer.', registers, collect() { this.set(budget.heldBytes); } });
  new Gauge({ name: 'knative_kafka_ingress_limit_bytes', help: 'The most that may be held.', registers, collect() { this.set(budget.limitBytes); } });
  new Gauge({ name: 'knative_kafka_produce_pending_records', help: 'Records that Kafka has not acknowledged.', registers, collect() { this.set(pump.pendingRecords); } });
  new Counter({ name: 'knative_kafka_produce_requests_total', help: 'Produce requests sent to brokers.', registers, collect() { this.reset(); this.inc(pump.counters.requests); } });
  new Counter({ name: 'knative_kafka_produce_retries_total', help: 'Record batches that had to be sent again.', registers, collect() { this.reset(); this.inc(pump.counters.retries); } });

  const children = new Map<string, { readonly seconds: Histogram.Internal<'channel'>; readonly byStatus: Map<number, Counter.Internal> }>();
  const onAnswer: ReceiverMetrics['onAnswer'] = (channel = '', status, seconds) => {
    let child = children.get(channel);
    if (child === undefined) {
      child = { seconds: latency.labels(channel), byStatus: new Map() };
      children.set(channel, child);
    }
    let counter = child.byStatus.get(status);
    if (counter === undefined) {
      counter = requests.labels(channel, String(status));
      child.byStatus.set(status, counter);
    }
    counter.inc();
    child.seconds.observe(seconds);
  };
  return { onAnswer, onHandOver: () => handedOver.inc() };
}
