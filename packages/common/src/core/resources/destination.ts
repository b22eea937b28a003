/**
 * Where events go: from a Destination, as it is written in a resource, to a URL.
 *
 * The URL is text, and an absolute one is kept exactly as written: `knativeerrordest` must repeat what the user
 * configured, so nothing may add a slash or change its case.
 *
 * @see knative.dev/pkg resolver, AddressableFromDestinationV1; Knative Eventing overview, "Destination"
 */

/** A reference to an object in the cluster. */
export interface ObjectReference {
  readonly apiVersion?: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
  /** API group, in place of `apiVersion`; not taken, as in Knative unless a feature is switched on. */
  readonly group?: string;
  /** Which of several addresses. */
  readonly address?: string;
}

export interface Destination {
  readonly ref?: ObjectReference;
  readonly uri?: string;
  readonly CACerts?: string;
  readonly audience?: string;
}

/** What resolving needs to know about the other resources. */
export interface DestinationLookups {
  hasService(namespace: string, name: string): boolean;
  /** URL that takes the events of a KafkaChannel; undefined if there is no such channel. */
  channelUrl(namespace: string, name: string): string | undefined;
  /** Usually `cluster.local`. */
  readonly clusterDomain: string;
}

/** Whose Destination it is; the reason of the condition follows from it. */
export type DestinationRole = 'subscriber' | 'reply' | 'deadLetterSink';

const reasons = {
  subscriber: 'SubscriberResolveFailed',
  reply: 'ReplyResolveFailed',
  deadLetterSink: 'DeadLetterSinkResolveFailed',
} as const satisfies Record<DestinationRole, string>;

export type ResolvedDestination =
  | { readonly uri: string }
  | { readonly error: { readonly reason: (typeof reasons)[DestinationRole]; readonly message: string } };

/**
 * The URL of a Destination.
 *
 * `uri` alone must be absolute (http or https, with a host) and comes back as written. `ref` is looked up in the
 * namespace of the resource that has the Destination; a `uri` beside it is resolved relative to the object's address.
 *
 * @param namespace of the resource that has the Destination
 */
export function resolveDestination(
  destination: Destination,
  role: DestinationRole,
  namespace: string,
  lookups: DestinationLookups,
): ResolvedDestination {
  const answer = resolve(destination, namespace, lookups);
  return 'uri' in answer ? answer : { error: { reason: reasons[role], message: answer.problem } };
}

type Answer = { readonly uri: string } | { readonly problem: string };

function resolve(destination: Destination, namespace: string, lookups: DestinationLookups): Answer {
  const { ref, uri } = destination;
  if (ref === undefined) {
    if (uri === undefined) return { problem: 'neither ref nor uri is given; one of them says where events go' };
    return checkUrl(uri, 'uri');
  }
  if (uri !== undefined && hasScheme(uri)) {
    const shown = JSON.stringify(uri);
    return { problem: `beside ref, uri is relative to the address of the object, but ${shown} is absolute` };
  }
  const base = addressOf(ref, destination.CACerts !== undefined, namespace, lookups);
  if ('problem' in base || uri === undefined) return base;
  return checkUrl(resolveReference(base.uri, uri), 'ref with uri');
}

function addressOf(ref: ObjectReference, isTls: boolean, namespace: string, lookups: DestinationLookups): Answer {
  const refNamespace = ref.namespace ?? namespace;
  const object = `${ref.kind} ${refNamespace}/${ref.name}`;
  if (refNamespace !== namespace) {
    return { problem: `${object} is in another namespace; only objects in ${namespace} can be referred to` };
  }
  if (ref.apiVersion === undefined) return { problem: `ref to ${object} has no apiVersion` };
  if (ref.apiVersion === 'v1' && ref.kind === 'Service') {
    if (!lookups.hasService(refNamespace, ref.name)) return { problem: `${object} does not exist` };
    return { uri: `${isTls ? 'https' : 'http'}://${ref.name}.${refNamespace}.svc.${lookups.clusterDomain}` };
  }
  if (ref.kind === 'KafkaChannel' && ref.apiVersion.startsWith('messaging.knative.dev/')) {
    const url = lookups.channelUrl(refNamespace, ref.name);
    if (url === undefined) return { problem: `${object} does not exist` };
    if (ref.address !== undefined && ref.address !== 'http') {
      return { problem: `${object} has no address named ${JSON.stringify(ref.address)}, only http` };
    }
    return { uri: url };
  }
  const known = 'v1 Service and messaging.knative.dev KafkaChannel';
  return { problem: `cannot resolve ${ref.apiVersion} ${object}: only ${known} are known` };
}

function checkUrl(url: string, what: string): Answer {
  const shown = JSON.stringify(url);
  if (!hasScheme(url)) return { problem: `${what} must be an absolute URL such as http://host/path, found ${shown}` };
  if (!/^https?:\/\//i.test(url)) return { problem: `${what} must begin with http:// or https://, found ${shown}` };
  // URL forgives blanks, backslashes and a missing host (http:///x); what is kept here is the text, so it must do.
  const { authority = '' } = splitReference(url);
  if (authority.replace(/^.*@/, '').replace(/:\d*$/, '') === '' || /[\s\\]/.test(url) || !URL.canParse(url)) {
    return { problem: `${what} is not a valid URL: ${shown}` };
  }
  return { uri: url };
}

function hasScheme(uri: string): boolean {
  return /^[A-Za-z][A-Za-z0-9+.-]*:/.test(uri);
}

interface UriParts {
  readonly scheme?: string | undefined;
  readonly authority?: string | undefined;
  readonly path: string;
  readonly query?: string | undefined;
  readonly fragment?: string | undefined;
}

/** The five parts of a URI reference; every text has them. @see RFC 3986, appendix B */
function splitReference(uri: string): UriParts {
  const [, scheme, authority, path = '', query, fragment] =
    /^(?:([^:/?#]+):)?(?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s.exec(uri) ?? [];
  return { scheme, authority, path, query, fragment };
}

/**
 * Resolves a relative reference against an absolute URL, changing nothing else in it.
 *
 * Not `new URL(relative, base)`, because that rewrites: `http://host` would become `http://host/`.
 *
 * @see RFC 3986, section 5.2
 */
export function resolveReference(base: string, relative: string): string {
  const from = splitReference(base);
  const to = splitReference(relative);
  const authority = to.authority ?? from.authority ?? '';
  const fragment = to.fragment === undefined ? '' : `#${to.fragment}`;
  const tail = (query: string | undefined): string => (query === undefined ? '' : `?${query}`) + fragment;
  const start = `${from.scheme ?? 'http'}://${authority}`;
  if (to.authority !== undefined) return start + withoutDots(to.path) + tail(to.query);
  if (to.path === '') return start + from.path + tail(to.query ?? from.query);
  if (to.path.startsWith('/')) return start + withoutDots(to.path) + tail(to.query);
  const folder = from.path.slice(0, from.path.lastIndexOf('/') + 1) || '/';
  return start + withoutDots(folder + to.path) + tail(to.query);
}

/** Takes `.` and `..` out of an absolute path. @see RFC 3986, section 5.2.4 */
function withoutDots(path: string): string {
  const kept: string[] = [];
  const segments = path.split('/').slice(1);
  for (const [index, segment] of segments.entries()) {
    const isLast = index === segments.length - 1;
    if (segment === '..') kept.pop();
    if (segment !== '.' && segment !== '..') kept.push(segment);
    else if (isLast) kept.push('');
  }
  return path === '' ? '' : `/${kept.join('/')}`;
}
