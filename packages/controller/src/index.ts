/** The door of controller: what the pages about settings, labels and annotations are printed from, and what a bench measures. */
export { settings as controllerSettings } from './config.ts';
export { defaultChannelConfigMap, defaultChannelKey } from './core/default-channel.ts';
export { defaultSecretAnnotation, kafkaSecretLabels } from './core/kafka-secret-choice.ts';
export { placement, type DispatcherPod, type Placement, type SourceToPlace } from './core/placement.ts';
export { unschedulableAnnotation } from './core/source-pods.ts';
