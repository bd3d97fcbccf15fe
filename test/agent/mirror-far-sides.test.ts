import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseConfig } from '../../src/agent/config.ts';
import type { Config, MqttUpstreamConfig } from '../../src/agent/config-types.ts';
import { MqttFarSides } from '../../src/agent/mirror-far-sides.ts';
import type { PositionStore, Store } from '../../src/store/log.ts';
import { inMemory } from '../support/store-kit.ts';

/** What is remembered of a far side while mirrors begin anew, and when it is not. */
let store: Store;
let positions: PositionStore;
beforeEach(async () => {
  store = await (await inMemory.make()).open();
  positions = await store.positions('mirror.c', {});
});
afterEach(() => store.close());

function configOf(mirrors: string): Config {
  const text = `gateway: g\nmirrors: {${mirrors}}\n`;
  return parseConfig(text, 'g.yaml', { env: {}, workingFolder: '/gatelog-test' }).config;
}

const to = (url: string, more = ''): string => `mqtt: {url: "${url}"${more}}`;

function mqttOf(config: Config, name = 'c'): MqttUpstreamConfig {
  const upstream = config.mirrors[name]?.upstream;
  if (upstream?.kind !== 'mqtt') throw new Error('a mirror over MQTT is wanted');
  return upstream;
}

test('while a mirror sends to an address, what was sent there is remembered', () => {
  const first = configOf(`c: {${to('mqtt://x')}}`);
  const sides = new MqttFarSides(store, first);
  const own = sides.ownRecords('mqtt://x');
  expect(sides.ownRecords('mqtt://x:1883')).toBe(own);
  sides.changed(configOf(`c: {${to('mqtt://x', ', qos: 2, password: p, username: u')}}`));
  expect(sides.ownRecords('mqtt://x')).toBe(own);
  sides.changed(configOf(`other: {${to('mqtt://x')}}`));
  expect(sides.ownRecords('mqtt://x')).toBe(own);
  // By the time it comes back, others may have sent there: as after a restart.
  sides.changed(configOf(`c: {${to('mqtt://y')}}`));
  expect(sides.ownRecords('mqtt://x')).not.toBe(own);
});

test('handshakes go on where the mirror has the same session there', () => {
  const first = configOf(`c: {${to('mqtt://x', ', qos: 2')}}`);
  const sides = new MqttFarSides(store, first);
  const of = (config: Config): unknown => sides.handshakes('c', mqttOf(config), positions);
  const before = of(first);
  const slower = configOf(`c: {${to('mqtt://x', ', qos: 2, ackTimeout: 5s')}}`);
  sides.changed(slower);
  expect(of(slower)).toBe(before);
  const renamed = configOf(`c: {${to('mqtt://x', ', clientId: another')}}`);
  sides.changed(renamed);
  const after = of(renamed);
  expect(after).not.toBe(before);
  // Who let go of it meanwhile let go of its positions, too.
  sides.changed(configOf(''));
  expect(of(renamed)).not.toBe(after);
});

test('mirrors with one client id know of each other', () => {
  const both = configOf(`c: {${to('mqtt://x')}}, d: {${to('mqtt://y')}}`);
  const sides = new MqttFarSides(store, both);
  expect(sides.sameId('c', mqttOf(both))).toEqual(['d']);
  const one = configOf(`c: {${to('mqtt://x')}}, d: {${to('mqtt://y', ', clientId: own')}}`);
  sides.changed(one);
  expect(sides.sameId('c', mqttOf(one))).toEqual([]);
});
