/** The door for standalone, which runs the receiver in its own process. */
export { settings as receiverSettings, type ReceiverConfig } from './config.ts';
export { startReceiver, type RunningReceiver } from './start-receiver.ts';
