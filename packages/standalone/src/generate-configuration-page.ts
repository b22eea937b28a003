/**
 * Writes the tables of docs/CONFIGURATION.md from the code and the CustomResourceDefinitions: `npm run generate`. What
 * stands between the tables is written by hand. A test fails while a table is stale.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { receiverSettings } from '@knative-kafka/channel-receiver';
import { channelSchema, deliveryOrderAnnotation, deliveryOrders, describeSchema, describeSettings, featureKeys, featuresConfigMap, kafkaChannelSchema, kafkaSecretAnnotation, kafkaSourceSchema, keyTypeLabel, keyTypes, loggingConfigMap, logLevelKeys, logLevels, maxPollRecordsAnnotation, rateLimiterAnnotation, settledBootstrapServersAnnotation, settledConsumerGroupAnnotation, settledTopicsAnnotation, sourceConsumerProperties, sourceDataPlaneConfigMap, subscriptionSchema, topicAnnotation, defaultMaxPollRecords, maxPollRecordsKey } from '@knative-kafka/common/core';
import { controllerSettings, defaultChannelConfigMap, defaultChannelKey, defaultSecretAnnotation, kafkaSecretLabels, unschedulableAnnotation } from '@knative-kafka/controller';
import { dispatcherSettings } from '@knative-kafka/dispatcher';

const page = fileURLToPath(new URL('../../../docs/CONFIGURATION.md', import.meta.url));

/** Each table by the name that its place in the page has: `<!-- name -->` … `<!-- /name -->`. */
const tables: Readonly<Record<string, () => string>> = {
  'settings:channel-receiver': () => describeSettings(receiverSettings),
  'settings:dispatcher': () => describeSettings(dispatcherSettings),
  'settings:controller': () => describeSettings(controllerSettings),
  'fields:KafkaChannel': () => describeSchema(kafkaChannelSchema),
  'fields:Subscription': () => describeSchema(subscriptionSchema),
  'fields:Channel': () => describeSchema(channelSchema),
  'fields:KafkaSource': () => describeSchema(kafkaSourceSchema),
  'config-maps': describeConfigMaps,
  annotations: describeAnnotations,
};

/** @returns the page as it is, and as it should be @throws Error when the page has no place for a table */
export function configurationPage(): { readonly current: string; readonly wanted: string } {
  const current = readFileSync(page, 'utf8');
  let wanted = current;
  for (const [name, render] of Object.entries(tables)) {
    const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
    const [from, to] = [wanted.indexOf(begin), wanted.indexOf(end)];
    if (from < 0 || to < from) throw new Error(`docs/CONFIGURATION.md has no place for ${name}: expected ${begin} and ${end}`);
    wanted = `${wanted.slice(0, from)}${begin}\n${render()}\n${wanted.slice(to)}`;
  }
  return { current, wanted };
}

function describeConfigMaps(): string {
  const features = Object.values(featureKeys).map(({ key, default: byDefault, about }) => `| \`${featuresConfigMap}\` | \`${key}\` | \`${byDefault}\` | ${about} |`);
  const consumers = `| \`${sourceDataPlaneConfigMap}\` | \`${sourceConsumerProperties}\` | \`${maxPollRecordsKey}=${defaultMaxPollRecords}\` | Java properties, of which \`${maxPollRecordsKey}\` is read: events per second and vreplica of a KafkaSource while the rate limiter is on. A key \`${maxPollRecordsKey}\` of the ConfigMap counts before it |`;
  const anyLevel = logLevels.map((level) => `\`${level}\``).join(', ');
  const levels = Object.values(logLevelKeys).map(({ key, about }) => `| \`${loggingConfigMap}\` | \`${key}\` | \`LOG_LEVEL\` | ${about}: one of ${anyLevel} |`);
  const about = 'YAML with `clusterDefault` and `namespaceDefaults`: the kind of channel that a generic Channel becomes when it does not say; read where Knative Eventing is not';
  return ['| ConfigMap | key | default | what it is |', '| --- | --- | --- | --- |', ...features, consumers, ...levels, `| \`${defaultChannelConfigMap}\` | \`${defaultChannelKey}\` |  | ${about} |`].join('\n');
}

function describeAnnotations(): string {
  const [label, oldLabel] = kafkaSecretLabels;
  const orders = deliveryOrders.map((order) => `\`${order}\``).join(', ');
  const rows = [
    [label, 'label', 'Secret in the namespace of the controller', '`true`: it is a Kafka Secret'],
    [oldLabel, 'label', 'the same', "the same, as knative-kafka spelled it"],
    [defaultSecretAnnotation, 'annotation', 'Kafka Secret', '`true`: the one for KafkaChannels that do not choose'],
    [kafkaSecretAnnotation, 'annotation', 'KafkaChannel', 'name of the Kafka Secret to use'],
    [deliveryOrderAnnotation, 'annotation', 'Subscription; KafkaChannel, for its Subscriptions that do not say', `one of ${orders}; the first is the default`],
    [keyTypeLabel, 'label', 'KafkaSource', `how keys are read: one of ${keyTypes.map((type) => `\`${type}\``).join(', ')}; the first is the default`],
    [rateLimiterAnnotation, 'annotation', 'KafkaSource', `\`enabled\` or \`disabled\`, for this source; else what \`${featuresConfigMap}\` says`],
    [maxPollRecordsAnnotation, 'annotation', 'KafkaSource', `events per second and vreplica, for this source; else what \`${sourceDataPlaneConfigMap}\` says`],
    [unschedulableAnnotation, 'annotation', 'pod of the StatefulSet `kafka-source-dispatcher`', '`true`: no vreplica runs there'],
    [settledTopicsAnnotation, 'status.annotations', 'KafkaSource, written by the controller', 'the topics in which the group has initial offsets, which are those that are read'],
    [settledBootstrapServersAnnotation, 'status.annotations', 'KafkaSource, written by the controller', 'where that is'],
    [settledConsumerGroupAnnotation, 'status.annotations', 'KafkaSource, written by the controller', 'the group that has them'],
    [topicAnnotation, 'status.annotations', 'KafkaChannel, written by the controller', 'the topic that has the events'],
    [kafkaSecretAnnotation, 'status.annotations', 'KafkaChannel, written by the controller', 'the Kafka Secret in use'],
  ];
  return ['| name | what | on | value |', '| --- | --- | --- | --- |', ...rows.map(([name = '', ...cells]) => `| \`${name}\` | ${cells.join(' | ')} |`)].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(page, configurationPage().wanted);
