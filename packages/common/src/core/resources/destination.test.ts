import { describe, expect, it } from 'vitest';
import type { Address, Destination, DestinationLookups, DestinationRole } from './destination.ts';
import { resolveDestination, resolveReference } from './destination.ts';

const objects: Record<string, readonly Address[]> = {
  'messaging.knative.dev/v1 KafkaChannel shop/orders': [{ name: 'http', url: 'http://localhost:8080/shop/orders' }],
  'messaging.knative.dev/v1 KafkaChannel shop/both': [
    { name: 'https', url: 'https://both.shop/shop/both', CACerts: 'PEM', audience: 'both' },
    { name: 'http', url: 'http://both.shop' },
  ],
  'serving.knative.dev/v1 Service shop/display': [{ url: 'http://display.shop.example.com' }],
  'flows.knative.dev/v1 Sequence shop/new': [{}],
  'flows.knative.dev/v1 Sequence shop/none': [],
  'flows.knative.dev/v1 Sequence shop/odd': [{ url: 'http:///steps' }],
};
const lookups: DestinationLookups = {
  hasService: (namespace, name) => `${namespace}/${name}` === 'shop/display',
  addresses: ({ apiVersion, kind, namespace, name }) => objects[`${apiVersion} ${kind} ${namespace}/${name}`] ?? { problem: `${kind} ${namespace}/${name} does not exist` },
  clusterDomain: 'cluster.local',
};
const resolve = (destination: Destination, role: DestinationRole = 'subscriber'): unknown =>
  resolveDestination(destination, role, 'shop', lookups);

const service = { apiVersion: 'v1', kind: 'Service', name: 'display' };
const channel = { apiVersion: 'messaging.knative.dev/v1', kind: 'KafkaChannel', name: 'orders' };

describe('resolveDestination', () => {
  it.each([
    ['http://fake.svc.cluster.local'],
    ['http://HOST.example'],
    ['https://host:8443/a/../b?x=y&z=%20#f'],
    ['HTTP://host/%zz'],
    ['http://[::1]:8081/'],
    ['http://user@host/'],
  ])('gives back an absolute uri exactly as it is written: %s', (uri) => {
    expect(resolve({ uri })).toEqual({ uri });
  });

  it.each<[string, Destination, string]>([
    ['a Service', { ref: service }, 'http://display.shop.svc.cluster.local'],
    ['a Service that is named with its namespace', { ref: { ...service, namespace: 'shop' } }, 'http://display.shop.svc.cluster.local'],
    ['a Service and a path', { ref: service, uri: '/update' }, 'http://display.shop.svc.cluster.local/update'],
    ['a Service and a path without a slash', { ref: service, uri: 'update' }, 'http://display.shop.svc.cluster.local/update'],
    ['a Service and a query', { ref: service, uri: '?x=1' }, 'http://display.shop.svc.cluster.local?x=1'],
    ['a Service and nothing', { ref: service, uri: '' }, 'http://display.shop.svc.cluster.local'],
    ['a KafkaChannel', { ref: channel }, 'http://localhost:8080/shop/orders'],
    ['another kind with an address', { ref: { apiVersion: 'serving.knative.dev/v1', kind: 'Service', name: 'display' } }, 'http://display.shop.example.com'],
    ['an address by its name, of an object with several', { ref: { ...channel, name: 'both', address: 'http' } }, 'http://both.shop'],
    ['a KafkaChannel by the name of its address', { ref: { ...channel, address: 'http' } }, 'http://localhost:8080/shop/orders'],
    ['a KafkaChannel and a path', { ref: channel, uri: '/other' }, 'http://localhost:8080/other'],
  ])('finds %s', (_name, destination, uri) => {
    expect(resolve(destination)).toEqual({ uri });
  });

  it.each<[string, Destination, RegExp]>([
    ['neither ref nor uri', {}, /neither ref nor uri/],
    ['a path alone', { uri: '/update' }, /absolute URL.*"\/update"/],
    ['a host alone', { uri: 'display.shop' }, /absolute URL/],
    ['a host and a port, which read as a scheme', { uri: 'localhost:8081' }, /begin with http/],
    ['no scheme', { uri: '//host/path' }, /absolute URL/],
    ['another scheme', { uri: 'ftp://host/' }, /begin with http/],
    ['no host', { uri: 'http:///path' }, /not a valid URL/],
    ['a port and no host', { uri: 'http://:80/' }, /not a valid URL/],
    ['a user and no host', { uri: 'http://me@/' }, /not a valid URL/],
    ['a blank', { uri: 'http://host/a b' }, /not a valid URL/],
    ['a line break at the end', { uri: 'http://host/\n' }, /not a valid URL/],
    ['an impossible port', { uri: 'http://host:99999/' }, /not a valid URL/],
    ['nothing in the uri', { uri: '' }, /absolute URL/],
    ['ref with an absolute uri', { ref: service, uri: 'http://host/' }, /is absolute/],
    ['a Service that is not there', { ref: { ...service, name: 'nope' } }, /Service shop\/nope does not exist/],
    ['a channel that is not there', { ref: { ...channel, name: 'nope' } }, /KafkaChannel shop\/nope does not exist/],
    ['another namespace', { ref: { ...service, namespace: 'bank' } }, /Service bank\/display is in another namespace/],
    ['a kind that is not there', { ref: { ...channel, apiVersion: 'v1' } }, /KafkaChannel shop\/orders does not exist/],
    ['an object without an address', { ref: { apiVersion: 'flows.knative.dev/v1', kind: 'Sequence', name: 'none' } }, /Sequence shop\/none has no address yet/],
    ['an object whose address has no url', { ref: { apiVersion: 'flows.knative.dev/v1', kind: 'Sequence', name: 'new' } }, /status.address.url is empty/],
    ['an object whose address has no host', { ref: { apiVersion: 'flows.knative.dev/v1', kind: 'Sequence', name: 'odd' } }, /the address of Sequence shop\/odd is not a valid URL/],
    ['no apiVersion', { ref: { kind: 'Service', name: 'display' } }, /no apiVersion/],
    ['a group in its place', { ref: { group: 'messaging.knative.dev', kind: 'KafkaChannel', name: 'orders' } }, /no apiVersion/],
    ['an address that the channel has not', { ref: { ...channel, address: 'https' } }, /no address named "https"/],
    ['a uri that breaks the URL', { ref: service, uri: '/a b' }, /not a valid URL/],
  ])('refuses %s', (_name, destination, message) => {
    expect(resolve(destination)).toEqual({
      error: { reason: 'SubscriberResolveFailed', message: expect.stringMatching(message) as string },
    });
  });

  it.each<[string, Destination, object]>([
    ['those of the address', { ref: { ...channel, name: 'both' } }, { uri: 'https://both.shop/shop/both', CACerts: 'PEM', audience: 'both' }],
    ['those of the address, with a path', { ref: { ...channel, name: 'both' }, uri: '/x' }, { uri: 'https://both.shop/x', CACerts: 'PEM', audience: 'both' }],
    ['its own before those of the address', { ref: { ...channel, name: 'both' }, CACerts: 'OWN', audience: 'mine' }, { uri: 'https://both.shop/shop/both', CACerts: 'OWN', audience: 'mine' }],
    ['its own, for a Service, which is then asked by TLS', { ref: service, CACerts: 'OWN' }, { uri: 'https://display.shop.svc.cluster.local', CACerts: 'OWN' }],
    ['its own beside a uri', { uri: 'https://host/', CACerts: 'OWN' }, { uri: 'https://host/', CACerts: 'OWN' }],
  ])('takes certificates and audience: %s', (_name, destination, expected) => {
    expect(resolve(destination)).toEqual(expected);
  });

  it.each<[DestinationRole, string]>([
    ['subscriber', 'SubscriberResolveFailed'],
    ['reply', 'ReplyResolveFailed'],
    ['sink', 'SinkResolveFailed'],
    ['deadLetterSink', 'DeadLetterSinkResolveFailed'],
  ])('gives Knative\'s reason for a %s', (role, reason) => {
    expect(resolve({}, role)).toMatchObject({ error: { reason } });
  });
});

describe('resolveReference', () => {
  // RFC 3986, sections 5.4.1 and 5.4.2, without the references that have a scheme
  const base = 'http://a/b/c/d;p?q';
  it.each([
    ['g', 'http://a/b/c/g'],
    ['./g', 'http://a/b/c/g'],
    ['g/', 'http://a/b/c/g/'],
    ['/g', 'http://a/g'],
    ['//g', 'http://g'],
    ['?y', 'http://a/b/c/d;p?y'],
    ['g?y', 'http://a/b/c/g?y'],
    ['#s', 'http://a/b/c/d;p?q#s'],
    ['g#s', 'http://a/b/c/g#s'],
    ['g?y#s', 'http://a/b/c/g?y#s'],
    [';x', 'http://a/b/c/;x'],
    ['g;x?y#s', 'http://a/b/c/g;x?y#s'],
    ['', 'http://a/b/c/d;p?q'],
    ['.', 'http://a/b/c/'],
    ['./', 'http://a/b/c/'],
    ['..', 'http://a/b/'],
    ['../', 'http://a/b/'],
    ['../g', 'http://a/b/g'],
    ['../..', 'http://a/'],
    ['../../g', 'http://a/g'],
    ['../../../g', 'http://a/g'],
    ['/./g', 'http://a/g'],
    ['/../g', 'http://a/g'],
    ['g.', 'http://a/b/c/g.'],
    ['..g', 'http://a/b/c/..g'],
    ['./../g', 'http://a/b/g'],
    ['./g/.', 'http://a/b/c/g/'],
    ['g/./h', 'http://a/b/c/g/h'],
    ['g/../h', 'http://a/b/c/h'],
    ['g;x=1/./y', 'http://a/b/c/g;x=1/y'],
    ['g?y/../x', 'http://a/b/c/g?y/../x'],
    ['g#s/../x', 'http://a/b/c/g#s/../x'],
  ])('%j', (relative, resolved) => {
    expect(resolveReference(base, relative)).toBe(resolved);
  });
});
