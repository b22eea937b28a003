/**
 * A service's settings as one table: names, types, defaults and what each is for, from the environment.
 *
 * All mistakes are reported together, each with the variable, what was expected and what came, so that a pod does not
 * have to fail once per mistake. The README section of a service is printed from the same table.
 */
import { Fault } from './fault.ts';
import { parseDurationText } from './duration-text.ts';

export interface Setting<T> {
  readonly env: string;
  readonly about: string;
  readonly expects: string;
  /** The text used when the variable is unset or empty; undefined where there is none. */
  readonly defaultText: string | undefined;
  readonly isRequired: boolean;
  readonly isSecret: boolean;
  /** @returns undefined when the text is not what is expected */
  parse(text: string): T | undefined;
  /** What is wrong with a text that `parse` does not take, where that is more than one thing; never quotes it. */
  problems?(text: string): readonly string[];
}

export type SettingsTable = Readonly<Record<string, Setting<unknown>>>;
export type Config<Table extends SettingsTable> = {
  readonly [Name in keyof Table]: Table[Name] extends Setting<infer T> ? T : never;
};

interface About<Default> {
  readonly about: string;
  readonly default?: Default;
  readonly secret?: boolean;
}

function setting<T>(env: string, expects: string, options: About<string>, isRequired: boolean, parse: (text: string) => T | undefined): Setting<T> {
  return { env, expects, parse, isRequired, about: options.about, defaultText: options.default, isSecret: options.secret ?? false };
}

function wholeNumber(min: number, max: number): (text: string) => number | undefined {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
    return value >= min && value <= max ? value : undefined;
  };
}

/** A TCP port; 0 lets the system choose one. */
export function port(env: string, options: About<number> & { default: number }): Setting<number> {
  return setting(env, 'a port number from 0 to 65535', { ...options, default: String(options.default) }, false, wholeNumber(0, 65_535));
}

/** A length of time such as `250ms`, `30s`, `2m`, `1h`; becomes milliseconds. */
export function durationMs(env: string, options: About<string> & { default: string }): Setting<number> {
  return setting(env, 'a duration such as 250ms, 30s, 2m or 1h', options, false, parseDurationText);
}

/** A size such as `65536`, `64KiB`, `16MiB`; becomes bytes. */
export function bytes(env: string, options: About<string> & { default: string }): Setting<number> {
  return setting(env, 'a size such as 65536, 64KiB or 16MiB', options, false, (text) => {
    const match = /^(\d{1,12})(B|KiB|MiB|GiB)?$/.exec(text);
    if (match === null) return undefined;
    const factor = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }[match[2] ?? 'B'] ?? 1;
    const value = Number(match[1]) * factor;
    return Number.isSafeInteger(value) ? value : undefined;
  });
}

export function count(env: string, options: About<number> & { default: number; min?: number; max?: number }): Setting<number> {
  const min = options.min ?? 1;
  const max = options.max ?? 1_000_000;
  return setting(env, `a whole number from ${min} to ${max}`, { ...options, default: String(options.default) }, false, wholeNumber(min, max));
}

export function oneOf<const T extends string>(env: string, values: readonly T[], options: About<T> & { default: T }): Setting<T> {
  return setting<T>(env, `one of ${values.join(', ')}`, options, false, (text) => values.find((value) => value === text));
}

/** Text with a default. */
export function text(env: string, options: About<string> & { default: string }): Setting<string> {
  return setting(env, 'text', options, false, (given) => given);
}

/** Text that may be absent: the default is undefined. */
export function optional(env: string, options: About<string>): Setting<string | undefined> {
  return setting<string | undefined>(env, 'text', options, false, (text) => text);
}

/** `namespace/name` of a resource, or unset. */
export function resourceName(env: string, options: About<string>): Setting<string | undefined> {
  return setting<string | undefined>(env, 'namespace/name', options, false, (text) => (/^[a-z0-9.-]+\/[a-z0-9.-]+$/.test(text) ? text : undefined));
}

const serversExpected = 'host:port, several separated by commas';

/** Kafka bootstrap servers, `host:port` separated by commas. */
export function bootstrapServers(env: string, options: About<string>): Setting<readonly string[]> {
  return setting(env, serversExpected, options, true, parseBootstrapServers);
}

/** The same where they may come from elsewhere. */
export function optionalBootstrapServers(env: string, options: About<string>): Setting<readonly string[] | undefined> {
  return setting<readonly string[] | undefined>(env, serversExpected, options, false, parseBootstrapServers);
}

/** @returns undefined when one of them is no `host:port` */
export function parseBootstrapServers(text: string): readonly string[] | undefined {
  const servers = text.split(',').map((server) => server.trim());
  const isServer = (server: string): boolean => {
    const portText = /^(?:\[[0-9a-fA-F:.]+\]|[^\s:,/]+):(\d{1,5})$/.exec(server)?.[1];
    return portText !== undefined && Number(portText) >= 1 && Number(portText) <= 65_535;
  };
  return servers.every(isServer) ? servers : undefined;
}

/**
 * Reads a whole table from an environment.
 * @throws Fault SETTINGS_INVALID that names every variable that is missing or wrong
 */
export function readSettings<Table extends SettingsTable>(table: Table, env: Readonly<Record<string, string | undefined>>): Config<Table> {
  const problems: string[] = [];
  const config: Record<string, unknown> = {};
  for (const [name, entry] of Object.entries(table)) {
    const given = env[entry.env];
    const text = given === undefined || given === '' ? entry.defaultText : given;
    if (text === undefined) {
      if (entry.isRequired) problems.push(`${entry.env} is required: ${entry.expects} (${entry.about})`);
      config[name] = undefined;
      continue;
    }
    const value = entry.parse(text);
    if (value === undefined && entry.problems !== undefined) problems.push(...entry.problems(text).map((problem) => `${entry.env}: ${problem}`));
    else if (value === undefined) problems.push(`${entry.env}: expected ${entry.expects}, got ${entry.isSecret ? '[set]' : `"${text}"`}`);
    config[name] = value;
  }
  if (problems.length > 0) throw new Fault('SETTINGS_INVALID', problems.join('\n'), { retriable: false });
  return config as Config<Table>;
}

/**
 * A value of many parts as JSON.
 *
 * @param read the value, or everything that is wrong with it, each with the path of the field
 */
export function json<T>(env: string, options: About<string> & { default: string; expects: string }, read: (value: unknown) => { readonly value: T } | { readonly problems: readonly string[] }): Setting<T> {
  const { expects } = options;
  const readText = (text: string): ReturnType<typeof read> => {
    try {
      return read(JSON.parse(text) as unknown);
    } catch (error) {
      // The parser quotes what it could not read, and part of this may be secret.
      if (error instanceof SyntaxError) return { problems: [`expected ${expects}, got something that is not JSON`] };
      throw error;
    }
  };
  const parse = (text: string): T | undefined => {
    const outcome = readText(text);
    return 'value' in outcome ? outcome.value : undefined;
  };
  const problems = (text: string): readonly string[] => {
    const outcome = readText(text);
    return 'problems' in outcome ? outcome.problems : [];
  };
  return { ...setting(env, expects, options, false, parse), problems };
}

/** The table as Markdown, for a README. */
export function describeSettings(table: SettingsTable): string {
  const rows = Object.values(table).map((entry) => `| \`${entry.env}\` | ${entry.isRequired ? '*required*' : entry.defaultText === undefined ? '' : `\`${entry.defaultText}\``} | ${entry.about} (${entry.expects}) |`);
  return ['| variable | default | what it is |', '| --- | --- | --- |', ...rows].join('\n');
}
