/**
 * Names in Kafka, in DNS and in HTTP that follow from the name of a KafkaChannel.
 *
 * Topics and consumer groups are named as eventing-kafka-broker names them, so that an installation can change over
 * with its events and its committed offsets. Names are recorded in Kafka and in Services, so none of these functions
 * may change its answer.
 */
import type { ResourceName } from './resources/metadata.ts';
import { shortHash } from './stable-hash.ts';

export const defaultTopicTemplate = 'knative-messaging-kafka.{{ .Namespace }}.{{ .Name }}';

/** Kafka keeps each partition in a folder `<topic>-<partition>`, and file names end at 255. */
const maxTopicLength = 249;

const deadLetterSuffix = '.dead-letters';

/** A DNS label: what each part of a host name, and the name of a Service, can have. */
const maxLabelLength = 63;

/**
 * The topic of a KafkaChannel.
 *
 * @param template setting `channels-topic-template`: a Go template with `.Namespace`, `.Name` and `.UID`, no more
 * @returns the name, or what is wrong with the template or with the name that it makes
 */
export function topicName(
  channel: ResourceName & { readonly uid: string },
  template: string = defaultTopicTemplate,
): { topic: string } | { problem: string } {
  const values: Record<string, string> = { Namespace: channel.namespace, Name: channel.name, UID: channel.uid };
  const unknown: string[] = [];
  const topic = template.replace(/\{\{(.*?)\}\}/gs, (action, inner: string) => {
    const field = /^\s*\.(Namespace|Name|UID)\s*$/.exec(inner)?.[1];
    const value = field === undefined ? undefined : values[field];
    if (value === undefined) unknown.push(action);
    return value ?? '';
  });
  const stray = unknown[0] ?? /\{\{|\}\}/.exec(topic)?.[0];
  if (stray !== undefined) {
    const known = '{{ .Namespace }}, {{ .Name }} and {{ .UID }}';
    return { problem: `topic template ${JSON.stringify(template)}: ${stray} is not understood; there are ${known}` };
  }
  const problem = topicNameProblem(topic);
  return problem === undefined ? { topic } : { problem };
}

/** Why Kafka would not take a name for a topic; undefined if it would. @see org.apache.kafka.common.internals.Topic */
export function topicNameProblem(topic: string): string | undefined {
  if (topic === '') return 'the name of a topic cannot be empty';
  if (topic === '.' || topic === '..') return `a topic cannot be named ${JSON.stringify(topic)}`;
  if (!/^[a-zA-Z0-9._-]+$/.test(topic)) {
    return `topic name ${JSON.stringify(topic)}: only letters, digits, '.', '_' and '-' are allowed`;
  }
  if (topic.length > maxTopicLength) {
    return `topic name ${JSON.stringify(topic)} has ${topic.length} characters, Kafka takes ${maxTopicLength}`;
  }
  return undefined;
}

/**
 * The consumer group of a subscriber.
 * @param uid of the Subscription
 */
export function consumerGroupId(channel: ResourceName, uid: string): string {
  return `kafka.${channel.namespace}.${channel.name}.${uid}`;
}

/**
 * The topic that keeps the events of a channel which could not be delivered: `<topic>.dead-letters`.
 *
 * Where that is longer than Kafka takes, the channel's name for it is cut, and a hash of the whole name keeps it unique:
 * `<first 225 characters>-<10 hex digits>.dead-letters`.
 *
 * @param topic of the channel, as Kafka has it
 */
export function deadLetterTopicName(topic: string): string {
  const plain = topic + deadLetterSuffix;
  if (plain.length <= maxTopicLength) return plain;
  const suffix = `-${shortHash(topic)}${deadLetterSuffix}`;
  return topic.slice(0, maxTopicLength - suffix.length) + suffix;
}

/** Whether a topic is one that keeps dead letters, by its name. */
export function isDeadLetterTopic(topic: string): boolean {
  return topic.endsWith(deadLetterSuffix) && topic !== deadLetterSuffix;
}

const serviceSuffix = '-kn-channel';

/**
 * The Service of a KafkaChannel: `<name>-kn-channel`, which is the first part of the address that senders use.
 *
 * A Service's name is a DNS label: 63 characters, no dot, a letter first. A channel's name can break each of these
 * rules; it is then cut or altered as little as needed, and a hash of the whole name keeps it unique: `<first 41
 * characters>-<10 hex digits>-kn-channel`. Two channels of a namespace can only meet if one is named, on purpose, as
 * the other's cut name with its hash.
 *
 * @param name of the KafkaChannel; a DNS subdomain of up to 253 characters
 */
export function channelServiceName(name: string): string {
  const plain = name + serviceSuffix;
  if (plain.length <= maxLabelLength && /^[a-z]([a-z0-9-]*[a-z0-9])?$/.test(plain)) return plain;
  const suffix = `-${shortHash(name)}${serviceSuffix}`;
  const label = name.replaceAll('.', '-').replace(/^(?![a-z])/, 'c');
  return label.slice(0, maxLabelLength - suffix.length).replace(/-+$/, '') + suffix;
}

/**
 * The spellings of a channel's address that a sender may put into `Host`, without port, lower-case, the longest last.
 *
 * The short ones arrive from senders behind a gateway or with a search domain.
 *
 * @param clusterDomain usually `cluster.local`
 */
export function channelHosts(channel: ResourceName, clusterDomain: string): readonly string[] {
  const short = `${channelServiceName(channel.name)}.${channel.namespace}`.toLowerCase();
  return [short, `${short}.svc`, `${short}.svc.${clusterDomain.toLowerCase()}`];
}

/** The address of a channel in a cluster, `http://<service>.<namespace>.svc.<cluster domain>`: no port, no path, as Knative's own channels have it. */
export function channelUrl({ namespace, name }: ResourceName, clusterDomain: string): string {
  return `http://${channelServiceName(name)}.${namespace}.svc.${clusterDomain}`;
}
