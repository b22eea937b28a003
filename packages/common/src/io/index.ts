/** The other door of common: adapters to the world that two or more services need. */
export * from './http-server.ts';
export * from './kafka/client.ts';
export * from './kafka/health.ts';
export { commitMetadataLimitBytes } from './kafka/port.ts';
export type * from './kafka/port.ts';
export * from './logger.ts';
export * from './metrics.ts';
export * from './resources/open-resources.ts';
export type * from './resources/port.ts';
export * from './shutdown.ts';
