import { describe, expect, test } from 'vitest';
import { defaultConfig, parseConfig } from '../../src/agent/config.ts';
import { brokersOf, withFlags } from '../../src/cli/flags.ts';
import { listenAt } from '../support/listen.ts';

const HERE = { env: {}, workingFolder: '/gatelog-test' };
const NONE = defaultConfig(HERE);

function mirrorsFrom(text: string, kafka: string): Record<string, unknown> {
  const { config } = parseConfig(text, 'a.yaml', HERE);
  return withFlags(config, { kafka }, '/w').mirrors;
}

describe('withFlags', () => {
  test('nothing given changes nothing', () => {
    expect(withFlags(NONE, {}, '/w')).toEqual(NONE);
  });

  test('each flag overrules its option, paths being relative to where we are', () => {
    const flags = { data: 'd', gateway: 'gw-2', mqtt: ['mqtt://[::1]:0', 'unix:///run/mqtt.sock'] };
    const config = withFlags(NONE, flags, '/w');
    expect(config).toEqual({
      ...NONE,
      data: '/w/d',
      gateway: 'gw-2',
      gatewayGiven: true,
      mqtt: { ...NONE.mqtt, listen: flags.mqtt.map((url) => listenAt(url)) },
    });
  });

  test('--mqtt opens an address to everyone where that is said', () => {
    const flags = { mqtt: ['mqtt://0.0.0.0', 'mqtts://h'], allowAnonymous: true };
    const text = 'mqtt: {tls: {cert: /c, key: /k}}';
    const { listen, tls } = withFlags(parseConfig(text, 'a.yaml', HERE).config, flags, '/w').mqtt;
    expect(tls?.cert).toBe('/c');
    expect(listen).toEqual([
      { url: 'mqtt://0.0.0.0', allowAnonymous: true, tls: undefined },
      { url: 'mqtts://h', allowAnonymous: true, tls },
    ]);
  });

  test.each([
    [{ mqtt: ['mqtt://u:planted@h:1883'] }, 'found "mqtt://(not shown)@h:1883"'],
    [{ kafka: 'a:1,u:pl/an@ted@h:1' }, 'found "(not shown)@h:1"'],
    [{ http: 'http://u:planted@h' }, 'found "http://(not shown)@h"'],
  ])('a password in an address is not shown: %j', (flags, found) => {
    expect(() => withFlags(NONE, flags, '/w')).toThrow(found);
    expect(() => withFlags(NONE, flags, '/w')).not.toThrow('planted');
  });

  test('--kafka without a mirror makes one with the defaults', () => {
    const { kafka } = withFlags(NONE, { kafka: 'a:1, b:2' }, '/w').mirrors;
    expect(kafka).toEqual(
      parseConfig('mirrors: {kafka: {kafka: {brokers: ["a:1", "b:2"]}}}', 'a.yaml', HERE).config
        .mirrors['kafka'],
    );
  });

  test('--kafka sends the one Kafka mirror of the file elsewhere', () => {
    const text =
      'mirrors: {c: {kafka: {brokers: [a:1], delivery: at-least-once}}, m: {mqtt: {url: "mqtt://c"}}}';
    const mirrors = mirrorsFrom(text, 'z:9');
    expect(Object.keys(mirrors)).toEqual(['c', 'm']);
    expect(mirrors['c']).toMatchObject({
      upstream: { brokers: ['z:9'], delivery: 'at-least-once' },
    });
  });

  test('--kafka leaves an MQTT mirror alone', () => {
    expect(Object.keys(mirrorsFrom('mirrors: {m: {mqtt: {url: "mqtt://c"}}}', 'z:9'))).toEqual([
      'm',
      'kafka',
    ]);
  });

  test('--kafka does not choose between several', () => {
    const text =
      'mirrors: {a: {kafka: {brokers: [a:1]}}, b: {kafka: {brokers: [b:1], delivery: at-least-once}}}';
    expect(() => mirrorsFrom(text, 'z:9')).toThrow(
      '--kafka: the configuration has several Kafka mirrors (a, b); change the file instead',
    );
  });

  test.each([
    [{ gateway: 'a/b' }, '--gateway: expected a name of letters'],
    [
      { mqtt: ['tcp://a:1'] },
      '--mqtt: expected an address such as mqtt://127.0.0.1:1883 (or mqtts',
    ],
    [{ mqtt: ['mqtt://me:hush@a'] }, '--mqtt: expected an address'],
    [
      { mqtt: ['mqtt://0.0.0.0'] },
      'allowAnonymous: true if that is meant (here: --allow-anonymous)',
    ],
    [{ mqtt: ['mqtts://localhost'] }, '--mqtt: mqtts://localhost wants mqtt.tls with cert and key'],
    [{ kafka: 'a' }, '--kafka: expected an address such as kafka-1.example.com:9092, found "a"'],
    [{ kafka: 'a:1,' }, '--kafka: expected an address such as kafka-1.example.com:9092, found ""'],
    [{ kafka: 'a:70000' }, '--kafka: expected an address'],
  ])('%o is refused', (flags, message) => {
    expect(() => withFlags(NONE, flags, '/w')).toThrow(message);
  });
});

test('brokersOf', () => {
  expect(brokersOf('a:1,[::1]:2 , c.d-e_f:65535')).toEqual(['a:1', '[::1]:2', 'c.d-e_f:65535']);
});
