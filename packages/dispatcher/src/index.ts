/** The door for standalone, which runs the dispatcher in its own process, and for the bench. */
export type { ConsumerOwner } from './core/desired-consumers.ts';
export { settings as dispatcherSettings, type DispatcherConfig } from './config.ts';
export { RateLeases } from './io/rate-leases.ts';
export { startDispatcher, type DispatcherState, type RunningDispatcher } from './start-dispatcher.ts';
