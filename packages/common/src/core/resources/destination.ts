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

/** Where an object takes events: `status.address`, or one of `status.addresses`. */
export interface Address {
  readonly name?: string;
  readonly url?: string;
  readonly CACerts?: string;
  readonly audience?: string;
}

/** A reference with everything filled in. */
export interface ObjectId {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** What resolving needs to know about the other resources. */
export interface DestinationLookups {
  hasService(namespace: string, name: string): boolean;
  /** The addresses of an object that is no Service, the preferred one first; or why they are not known. */
  addresses(object: ObjectId): readonly Address[] | { readonly problem: string };
  /** Usually `cluster.local`. */
  readonly clusterDomain: string;
}

/** Whose Destination it is; the reason of the condition follows from it. */
export type DestinationRole = 'subscriber' | 'reply' | 'sink' | 'deadLetterSink';

const reasons = {
  subscriber: 'SubscriberResolveFailed',
  reply: 'ReplyResolveFailed',
  sink: 'SinkResolveFailed',
  deadLetterSink: 'DeadLetterSinkResolveFailed',
} as const satisfies Record<DestinationRole, string>;

/** A Destination's URL, and what goes with it. */
export interface ResolvedAddress {
  readonly uri: string;
  readonly CACerts?: string;
  readonly audience?: string;
}

export type ResolvedDestination =
  | ResolvedAddress
  | { readonly error: { readonly reason: (typeof reasons)[DestinationRole]; readonly message: string } };

/**
 * The URL of a Destination.
 *
 * `uri` alone must be absolute (http or https, with a host) and comes back as written. `ref` is looked up in the
 * namespace of the resource that has the Destination; a `uri` beside it is resolved relative to the object's address.
 * Certificates and audience are the Destination's own where it has them, else the address's.
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
  if ('problem' in answer) return { error: { reason: reasons[role], message: answer.problem } };
  const CACerts = destination.CACerts ?? answer.CACerts;
  const audience = destination.audience ?? answer.audience;
  return {
    uri: answer.uri,
    ...(CACerts === undefined ? {} : { CACerts }),
    ...(audience === undefined ? {} : { audience }),
  };
}

/** `KafkaChannel shop/orders`: the object that a reference means, for people. */
function describeReference(ref: ObjectReference, namespace: string): string {
  return `${ref.kind} ${ref.namespace ?? namespace}/${ref.name}`;
}

type Answer = ResolvedAddress | { readonly problem: string };

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
  const relative = checkUrl(resolveReference(base.uri, uri), 'ref with uri');
  return 'problem' in relative ? relative : { ...base, uri: relative.uri };
}

function addressOf(ref: ObjectReference, isTls: boolean, namespace: string, lookups: DestinationLookups): Answer {
  const { kind, name, apiVersion } = ref;
  const refNamespace = ref.namespace ?? namespace;
  const object = describeReference(ref, namespace);
  if (refNamespace !== namespace) {
    return { problem: `${object} is in another namespace; only objects in ${namespace} can be referred to` };
  }
  if (apiVersion === undefined) return { problem: `ref to ${object} has no apiVersion` };
  if (apiVersion === 'v1' && kind === 'Service') {
    if (!lookups.hasService(refNamespace, name)) return { problem: `${object} does not exist` };
    return { uri: `${isTls ? 'https' : 'http'}://${name}.${refNamespace}.svc.${lookups.clusterDomain}` };
  }
  const addresses = lookups.addresses({ apiVersion, kind, namespace: refNamespace, name });
  if ('problem' in addresses) return addresses;
  const address = ref.address === undefined ? addresses[0] : addresses.find((each) => each.name === ref.address);
  if (address === undefined && ref.address !== undefined) {
    const names = addresses.map((each) => each.name).filter((each) => each !== undefined);
    const known = names.length === 0 ? '' : `, only ${names.join(', ')}`;
    return { problem: `${object} has no address named ${JSON.stringify(ref.address)}${known}` };
  }
  if (address?.url === undefined) return { problem: `${object} has no address yet: its status.address.url is empty` };
  const checked = checkUrl(address.url, `the address of ${object}`);
  if ('problem' in checked) return checked;
  const { CACerts, audience } = address;
  return {
    uri: address.url,
    ...(CACerts === undefined ? {} : { CACerts }),
    ...(audience === undefined ? {} : { audience }),
  };
}

function checkUrl(url: string, what: string): { readonly uri: string } | { readonly problem: string } {
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
