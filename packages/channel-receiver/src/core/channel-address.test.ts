import { describe, expect, it } from 'vitest';
import { addressedChannel, channelAddresses } from './channel-address.ts';

const hosts = ['orders-kn-channel.shop', 'orders-kn-channel.shop.svc', 'orders-kn-channel.shop.svc.cluster.local'];
const addresses = channelAddresses([
  { key: 'shop/orders', hosts, route: 'orders' },
  { key: 'shop/returns', hosts: ['returns-kn-channel.shop.svc.cluster.local'], route: 'returns' },
]);

describe('addressedChannel', () => {
  it.each([
    ['orders-kn-channel.shop.svc.cluster.local', '/', 'orders'],
    ['orders-kn-channel.shop.svc.cluster.local:80', '/', 'orders'],
    ['orders-kn-channel.shop.svc:8080', '/', 'orders'],
    ['orders-kn-channel.shop', '/', 'orders'],
    ['ORDERS-kn-channel.Shop.svc.cluster.local.', '/', 'orders'],
    ['orders-kn-channel.shop.svc.cluster.local', '/?x=1', 'orders'],
    ['returns-kn-channel.shop.svc.cluster.local', '/', 'returns'],
    ['127.0.0.1:8080', '/shop/orders', 'orders'],
    ['127.0.0.1:8080', '/shop/orders/', 'orders'],
    ['127.0.0.1:8080', '/shop/orders?x=1', 'orders'],
    [undefined, '/shop/returns', 'returns'],
    ['orders-kn-channel.shop.svc.cluster.local', '/shop/returns', 'returns'], // a path says more than a host
    ['127.0.0.1:8080', 'http://orders-kn-channel.shop.svc:80', 'orders'], // as written to a proxy: its host counts
    ['127.0.0.1:8080', 'HTTP://orders-kn-channel.shop.svc/?x=1', 'orders'],
    [undefined, 'https://example.com/shop/returns', 'returns'],
  ])('host %s, path %s is %s', (host, target, route) => {
    expect(addressedChannel(addresses, host, target)).toBe(route);
  });

  it.each([
    ['unknown-kn-channel.shop', '/'],
    ['orders-kn-channel.shop', '/other'],
    ['127.0.0.1:8080', '/'],
    ['[::1]:8080', '/'],
    [undefined, '/'],
    ['127.0.0.1', '/shop'],
    ['127.0.0.1', '/shop/orders/more'],
    ['127.0.0.1', '//shop/orders'],
    ['', '/'],
    ['orders-kn-channel.shop', '*'],
    ['orders-kn-channel.shop', ''],
    ['orders-kn-channel.shop', 'http://'],
    ['orders-kn-channel.shop', 'http://unknown-kn-channel.shop/'],
    ['orders-kn-channel.shop', 'ftp://orders-kn-channel.shop/'],
  ])('host %s, path %s is nothing', (host, target) => {
    expect(addressedChannel(addresses, host, target)).toBeUndefined();
  });
});
