/**
 * What an installation wants of the pods of receivers, or of dispatchers: size, number, place, labels. The chart passes
 * its values on as one JSON object each.
 *
 * Always true: a field that does not exist is an error, and so is a variable that the controller itself sets; all mistakes
 * are found at once. What is inside affinity and the like is checked by the API server.
 */
import { canonicalQuantity } from './quantity.ts';

type Texts = Readonly<Record<string, string>>;
type Fields = Readonly<Record<string, unknown>>;

export interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: Fields;
}

export interface Resources {
  readonly requests?: Texts;
  readonly limits?: Texts;
}

export interface PodSettings {
  /** Of a new Deployment; default 1. Not of the StatefulSet of source dispatchers. */
  readonly replicas?: number;
  readonly logLevel?: string;
  /** Quantities in their canonical form. Instead of the defaults, not beside them. */
  readonly resources?: Resources;
  /** Beside those that the controller sets, or instead of one of them that may be tuned. */
  readonly env?: readonly EnvVar[];
  readonly nodeSelector?: Texts;
  readonly tolerations?: readonly Fields[];
  readonly affinity?: Fields;
  /** One without labelSelector counts the pods of its own Deployment. */
  readonly topologySpreadConstraints?: readonly Fields[];
  readonly priorityClassName?: string;
  readonly labels?: Texts;
  readonly annotations?: Texts;
  readonly imagePullSecrets?: readonly Fields[];
}

/** What ties a pod to its place; with another value it would serve something else, or nothing. */
const ownVariables = ['CHANNEL', 'CLUSTER_DOMAIN', 'HTTP_PORT', 'KAFKA_BROKERS', 'KAFKA_SECRET', 'KAFKA_SECRET_DIR', 'KUBECONFIG', 'METRICS_PORT', 'POD_NAME', 'RESOURCES_DIR', 'SERVES', 'SYSTEM_NAMESPACE'];
/** By which pods are found. */
const ownLabelPrefixes = ['app.kubernetes.io/', 'kafka.eventing.knative.dev/'];
const maxReplicas = 100;

/** What is wrong with a value, each with its path below the field, which starts with `.` or `[` or is empty. */
type Check = (value: unknown) => readonly (readonly [path: string, problem: string])[];

/**
 * Reads `RECEIVER_POD` or `DISPATCHER_POD`.
 *
 * @param value     the JSON, parsed
 * @param logLevels those that there are
 * @returns the settings, or everything that is wrong, each with its path; values are not quoted, because `env` may hold
 *          something secret
 */
export function readPodSettings(value: unknown, logLevels: readonly string[]): { readonly value: PodSettings } | { readonly problems: readonly string[] } {
  if (!isObject(value)) return { problems: ['expected a JSON object'] };
  const checks: Readonly<Record<keyof PodSettings, Check>> = {
    replicas: one((given) => Number.isInteger(given) && (given as number) >= 1 && (given as number) <= maxReplicas, `a whole number from 1 to ${maxReplicas}`),
    logLevel: one((given) => logLevels.includes(given as string), `one of ${logLevels.join(', ')}`),
    resources: fieldsOf({ requests: each(quantity), limits: each(quantity) }),
    env: listOf(envVar),
    nodeSelector: each(text),
    tolerations: listOf(object),
    affinity: object,
    topologySpreadConstraints: listOf(object),
    priorityClassName: text,
    labels: labels,
    annotations: each(text),
    imagePullSecrets: listOf(fieldsOf({ name: text })),
  };
  const problems = fieldsOf(checks)(value).map(([path, problem]) => `${path.slice(1)}: ${problem}`);
  return problems.length > 0 ? { problems } : { value: canonical(value) };
}

/** Reads `SOURCE_DISPATCHER_POD`: the same without `replicas`, which follow from what is placed. */
export function readSourcePodSettings(value: unknown, logLevels: readonly string[]): ReturnType<typeof readPodSettings> {
  if (isObject(value) && value['replicas'] !== undefined) return { problems: ['replicas: is decided by the controller; DISPATCHERS_MIN_REPLICAS says how many there are at least'] };
  return readPodSettings(value, logLevels);
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function one(isRight: (value: unknown) => boolean, expects: string): Check {
  return (value) => (isRight(value) ? [] : [['', `expected ${expects}`]]);
}

const text: Check = one((value) => typeof value === 'string', 'text');
const object: Check = one(isObject, 'an object');
const quantity: Check = one((value) => canonicalQuantity(String(value)) !== undefined, 'a quantity such as 100m or 512Mi');

function listOf(check: Check): Check {
  return (value) => (Array.isArray(value) ? value.flatMap((item, index) => under(`[${index}]`, check(item))) : [['', 'expected a list']]);
}

/** An object of any keys. */
function each(check: Check): Check {
  return (value) => (isObject(value) ? Object.entries(value).flatMap(([key, item]) => under(`.${key}`, check(item))) : [['', 'expected an object']]);
}

/** An object of these fields, all of which may be absent. */
function fieldsOf(checks: Readonly<Record<string, Check>>): Check {
  return (value) => {
    if (!isObject(value)) return [['', 'expected an object']];
    return Object.entries(value).flatMap(([key, item]) => {
      const check = Object.hasOwn(checks, key) ? checks[key] : undefined;
      return under(`.${key}`, check === undefined ? [['', `is not known; known are ${Object.keys(checks).join(', ')}`]] : check(item));
    });
  };
}

function under(head: string, problems: ReturnType<Check>): ReturnType<Check> {
  return problems.map(([path, problem]) => [head + path, problem]);
}

function envVar(value: unknown): ReturnType<Check> {
  const problems = fieldsOf({ name: one((name) => typeof name === 'string' && name !== '', 'a name'), value: text, valueFrom: object })(value);
  if (problems.length > 0) return problems;
  const { name } = value as EnvVar;
  if ((name as string | undefined) === undefined) return [['.name', 'is required']];
  return ownVariables.includes(name) ? [['.name', `${name} is set by the controller`]] : [];
}

function labels(value: unknown): ReturnType<Check> {
  const problems = each(text)(value);
  if (problems.length > 0) return problems;
  return Object.keys(value as Texts).filter((key) => ownLabelPrefixes.some((prefix) => key.startsWith(prefix))).map((key) => [`.${key}`, 'is set by the controller']);
}

function canonical(settings: PodSettings): PodSettings {
  const { resources } = settings;
  if (resources === undefined) return settings;
  // Numbers are quantities too: a check lets them pass.
  const quantities = (given: Readonly<Record<string, string | number>>): Texts =>
    Object.fromEntries(Object.entries(given).map(([name, amount]) => [name, canonicalQuantity(String(amount)) ?? '']));
  return { ...settings, resources: Object.fromEntries(Object.entries(resources).map(([kind, given]: [string, Texts]) => [kind, quantities(given)])) };
}
