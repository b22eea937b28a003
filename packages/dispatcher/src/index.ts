/** The door for standalone, which runs the dispatcher in its own process. */
export { settings as dispatcherSettings, type DispatcherConfig } from './config.ts';
export { startDispatcher, type DispatcherState, type RunningDispatcher } from './start-dispatcher.ts';
