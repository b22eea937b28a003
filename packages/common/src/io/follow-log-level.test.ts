import { beforeEach, describe, expect, it } from 'vitest';
import type { ConfigMap } from '../core/resources/core-objects.ts';
import { noResources, type Resources } from '../core/resources/resources.ts';
import { followLogLevel } from './follow-log-level.ts';
import { createLogger } from './logger.ts';
import type { ResourceSource } from './resources/port.ts';

const systemNamespace = 'knative-eventing';
const configMap = (data: Record<string, string>): ConfigMap => ({ kind: 'ConfigMap', metadata: { namespace: systemNamespace, name: 'config-kafka-logging', uid: 'u', generation: 1, labels: {}, annotations: {} }, data });

let lines: { readonly level: string; readonly message: string; readonly [field: string]: unknown }[];
let say: (data?: Record<string, string>) => void;

/** A service that starts with LOG_LEVEL=warn where the ConfigMap is like this. */
function start(data?: Record<string, string>): void {
  const resourcesOf = (text?: Record<string, string>): Resources => ({ ...noResources, configMaps: text === undefined ? [] : [configMap(text)] });
  let current = resourcesOf(data);
  const listeners: ((resources: Resources) => void)[] = [];
  const resources: ResourceSource = {
    snapshot: () => current,
    onChange: (listener) => {
      listeners.push(listener);
      return () => undefined;
    },
    isSynced: () => true,
    readSecret: () => Promise.resolve(undefined),
    close: () => Promise.resolve(),
  };
  say = (next) => {
    current = resourcesOf(next);
    for (const listener of listeners) listener(current);
  };
  const log = createLogger('test', 'warn', (line) => lines.push(JSON.parse(line) as (typeof lines)[number]));
  followLogLevel(resources, { service: 'dispatcher', startLevel: 'warn', systemNamespace, log });
}

const changes = () => lines.filter(({ message }) => message === 'log level changed').map(({ logLevel }) => logLevel);
const problems = () => lines.filter(({ level }) => level === 'warn').map(({ configMap: name, problem }) => [name, problem]);

beforeEach(() => {
  lines = [];
});

describe('the level of a logger', () => {
  it('is as the process was started where the ConfigMap is not there, or says nothing', () => {
    start();
    say({});
    say({ 'loglevel.controller': 'debug' });
    expect(lines).toEqual([]);
  });

  it('is what is in the ConfigMap already when the process starts', () => {
    start({ 'loglevel.dispatcher': 'debug' });
    expect(changes()).toEqual(['debug']);
  });

  it('follows the ConfigMap, and is as at the start when key or ConfigMap is gone', () => {
    start();
    say({ 'loglevel.dispatcher': 'debug' });
    say({ 'loglevel.dispatcher': 'debug', 'loglevel.controller': 'error' });
    say({ 'loglevel.dispatcher': 'error' });
    say({});
    say({ 'loglevel.dispatcher': 'info' });
    say();
    expect(changes()).toEqual(['debug', 'error', 'warn', 'info', 'warn']);
  });

  it('is as at the start where the value cannot be used, which is told once for as long as it stays', () => {
    start({ 'loglevel.dispatcher': 'info' });
    say({ 'loglevel.dispatcher': 'loud' });
    say({ 'loglevel.dispatcher': 'loud', 'loglevel.controller': 'debug' });
    const problem = ['config-kafka-logging', 'data["loglevel.dispatcher"]: expected one of error, warn, info, debug; found "loud"'];
    expect(changes()).toEqual(['info', 'warn']);
    expect(problems()).toEqual([problem]);
    say({ 'loglevel.dispatcher': 'debug' });
    say({ 'loglevel.dispatcher': 'loud' });
    expect(problems()).toEqual([problem, problem]);
  });
});
