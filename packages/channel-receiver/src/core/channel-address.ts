/**
 * From a request's Host and path to the KafkaChannel it addresses.
 *
 * In a cluster the host names the channel (`orders-kn-channel.shop.svc.cluster.local`, the short forms, with or without
 * a port) and the path is `/`. Where a host cannot tell (one machine, TLS), the path does: `/shop/orders`.
 */

export interface ChannelAddresses<Route> {
  readonly byHost: ReadonlyMap<string, Route>;
  readonly byPath: ReadonlyMap<string, Route>;
}

/** @param channels each with its resource key `namespace/name` and all host spellings, lower-case */
export function channelAddresses<Route>(channels: Iterable<{ readonly key: string; readonly hosts: readonly string[]; readonly route: Route }>): ChannelAddresses<Route> {
  const byHost = new Map<string, Route>();
  const byPath = new Map<string, Route>();
  for (const { key, hosts, route } of channels) {
    byPath.set(`/${key}`, route);
    for (const host of hosts) byHost.set(host, route);
  }
  return { byHost, byPath };
}

/**
 * @param host the Host header as it came, undefined when there was none
 * @param target the request target as it came: path, perhaps with a query
 * @returns undefined where nothing is addressed
 */
export function addressedChannel<Route>(addresses: ChannelAddresses<Route>, host: string | undefined, target: string): Route | undefined {
  if (!target.startsWith('/')) {
    // Absolute form, as a client behind a proxy writes it: its host counts (RFC 9112 §3.2.2).
    const absolute = /^https?:\/\/([^/?]*)(.*)$/is.exec(target);
    return absolute === null ? undefined : addressedChannel(addresses, absolute[1], absolute[2]!.startsWith('/') ? absolute[2]! : `/${absolute[2]!}`);
  }
  const path = withoutQuery(target);
  if (path === '/') return host === undefined ? undefined : addresses.byHost.get(hostName(host));
  return addresses.byPath.get(path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path);
}

function withoutQuery(target: string): string {
  const query = target.indexOf('?');
  return query < 0 ? target : target.slice(0, query);
}

/** Without the port and a closing dot, lower-case: host names are compared so (RFC 9110 §4.2.3). */
function hostName(host: string): string {
  const colon = host.lastIndexOf(':');
  const name = colon > 0 && !host.endsWith(']') ? host.slice(0, colon) : host;
  return (name.endsWith('.') ? name.slice(0, -1) : name).toLowerCase();
}
