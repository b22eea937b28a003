/**
 * Writes the tables of docs/CONFIGURATION.md from the code and the CustomResourceDefinitions: `npm run generate`. What
 * stands between the tables is written by hand. A test fails while a table is stale.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { receiverSettings } from '@knative-kafka/channel-receiver';
import { channelSchema, deliveryOrderAnnotation, deliveryOrders, describeSchema, describeSettings, featureKeys, featuresConfigMap, kafkaChannelSchema, kafkaSecretAnnotation, subscriptionSchema, topicAnnotation } from '@knative-kafka/common/core';
import { controllerSettings, defaultChannelConfigMap, defaultChannelKey, defaultSecretAnnotation, kafkaSecretLabels } from '@knative-kafka/controller';
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
  const about = 'YAML with `clusterDefault` and `namespaceDefaults`: the kind of channel that a generic Channel becomes when it does not say; read where Knative Eventing is not';
  return ['| ConfigMap | key | default | what it is |', '| --- | --- | --- | --- |', ...features, `| \`${defaultChannelConfigMap}\` | \`${defaultChannelKey}\` |  | ${about} |`].join('\n');
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
    [topicAnnotation, 'status.annotations', 'KafkaChannel, written by the controller', 'the topic that has the events'],
    [kafkaSecretAnnotation, 'status.annotations', 'KafkaChannel, written by the controller', 'the Kafka Secret in use'],
  ];
  return ['| name | what | on | value |', '| --- | --- | --- | --- |', ...rows.map(([name = '', ...cells]) => `| \`${name}\` | ${cells.join(' | ')} |`)].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(page, configurationPage().wanted);
