import { describe, expect, test } from 'vitest';
import { LINK_LIMITS } from '../../../src/link-limits.ts';
import { MeteredWatch, type MeteredRule } from '../../../src/mirror/policy/metered.ts';
import { type Network, readMetered, systemNetwork } from '../../../src/mirror/policy/network.ts';
import { interfaceTo } from '../../../src/mirror/policy/route-table.ts';
import { SimClock } from '../../support/sim-clock.ts';

/** As a gateway with Ethernet, a modem and a VPN has it. */
const ROUTE = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
wwan0\t00000000\t0100000A\t0003\t0\t0\t700\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
wg0\t0000640A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth0\t0002640A\t00000000\t0200\t0\t0\t0\t00FFFFFF\t0\t0\t0
`;
const IPV6 = `00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     wwan0
20010db8000000000000000000000000 20 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000003 00000000 80200001       lo
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
`;
const FILES = { ipv4: ROUTE, ipv6: IPV6 };

describe('the way to an address', () => {
  test.each([
    [undefined, 'eth0'],
    ['192.168.1.7', 'eth0'],
    ['10.100.7.1', 'wg0'],
    ['10.100.2.1', 'wg0'],
    ['::ffff:10.100.7.1', 'wg0'],
    ['93.184.216.34', 'eth0'],
    ['2001:db8::1', 'eth0'],
    ['2a00:1450::5', 'wwan0'],
    ['fe80::1%eth0', 'wwan0'],
    ['not an address', undefined],
  ])('%s is %s', (address, device) => {
    expect(interfaceTo(address, FILES)).toBe(device);
  });

  test('without any route there is none', () => {
    expect(interfaceTo('10.0.0.1', { ipv4: '', ipv6: '' })).toBeUndefined();
    expect(interfaceTo(undefined, { ipv4: '', ipv6: IPV6 })).toBe('wwan0');
  });
});

test('the kernel says from where it would speak to an address', async () => {
  expect(await systemNetwork.localAddressTo('127.0.0.1')).toBe('127.0.0.1');
  expect(await systemNetwork.localAddressTo('255.255.255.255')).toBeUndefined();
  expect(await systemNetwork.localAddressTo('not an address')).toBeUndefined();
});

test('what NetworkManager answers', () => {
  expect(['u 0', 'u 1', 'u 2', 'u 3', 'u 4', ''].map(readMetered)).toEqual([
    undefined,
    true,
    false,
    true,
    false,
    undefined,
  ]);
});

describe('the watch of the way', () => {
  const rule: MeteredRule = {
    interfaces: ['wwan*', 'ppp0'],
    networkManager: true,
    action: 'pause',
  };
  class TestNetwork implements Network {
    files = { ipv4: ROUTE, ipv6: '' };
    said: Record<string, boolean | undefined> = {};
    asked = 0;
    addresses: Record<string, string> = { '192.168.1.2': 'eth0', '10.0.0.2': 'wwan0' };
    sources: Record<string, string> = {};
    localAddressTo = (remote: string) => Promise.resolve(this.sources[remote]);
    routes = () => Promise.resolve(this.files);
    interfaceOf = (address: string) => this.addresses[address];
    askMetered = (device: string) => {
      this.asked++;
      return Promise.resolve(this.said[device]);
    };
  }
  const make = (of = rule) => {
    const clock = new SimClock();
    const network = new TestNetwork();
    return { clock, network, watch: new MeteredWatch(of, network, clock) };
  };
  const ends = (localAddress: string) => ({ localAddress, remoteAddress: '93.184.216.34' });

  test('before there is a connection the route counts, then the connections do', async () => {
    const { watch } = make();
    await watch.look([]);
    expect(watch.way).toEqual({ device: 'eth0', isMetered: false, by: undefined });
    watch.connected(ends('10.0.0.2'));
    expect(watch.way).toEqual({ device: 'wwan0', isMetered: true, by: 'name' });
    await watch.look([ends('10.0.0.2')]);
    expect(watch.way.isMetered).toBe(true);
  });

  test('without a connection it stays the way that a connection had, though no table tells it', async () => {
    const { watch, network, clock } = make({ ...rule, interfaces: ['lo'] });
    network.addresses['127.0.0.1'] = 'lo';
    network.sources['127.0.0.1'] = '127.0.0.1';
    watch.connected({ localAddress: '127.0.0.1', remoteAddress: '127.0.0.1' });
    await clock.advance(2 * LINK_LIMITS.meteredReleaseMs);
    await watch.look([]);
    expect(watch.way).toEqual({ device: 'lo', isMetered: true, by: 'name' });
  });

  test('of two connections the one that costs counts', async () => {
    const { watch } = make();
    await watch.look([ends('192.168.1.2'), ends('10.0.0.2')]);
    expect(watch.way.device).toBe('wwan0');
  });

  test('it costs at once, and is free only after a while', async () => {
    const { watch, network, clock } = make();
    network.files = { ipv4: ROUTE.replace('0101A8C0\t0003', '0101A8C0\t0000'), ipv6: '' };
    await watch.look([]);
    expect(watch.way).toEqual({ device: 'wwan0', isMetered: true, by: 'name' });
    network.files = { ipv4: ROUTE, ipv6: '' };
    await watch.look([]);
    expect(watch.way.isMetered).toBe(true);
    await clock.advance(LINK_LIMITS.meteredReleaseMs);
    await watch.look([]);
    expect(watch.way).toEqual({ device: 'eth0', isMetered: false, by: undefined });
  });

  test('NetworkManager is asked seldom, and not where the name says it or nobody wants it', async () => {
    const { watch, network, clock } = make();
    network.said = { eth0: true };
    await watch.look([]);
    await watch.look([]);
    expect(watch.way).toEqual({ device: 'eth0', isMetered: true, by: 'NetworkManager' });
    expect(network.asked).toBe(1);
    network.said = { eth0: false };
    await clock.advance(LINK_LIMITS.meteredAskMs);
    await watch.look([]);
    expect(network.asked).toBe(2);
    expect(watch.way.isMetered).toBe(false);
    const quiet = make({ ...rule, networkManager: false });
    quiet.network.said = { eth0: true };
    await quiet.watch.look([ends('192.168.1.2')]);
    expect(quiet.watch.way.isMetered).toBe(false);
    expect(quiet.network.asked).toBe(0);
  });
});
