/** The door of controller: what the settings page is printed from. */
export { settings as controllerSettings } from './config.ts';
