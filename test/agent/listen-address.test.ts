import { describe, expect, test } from 'vitest';
import { formatListen, isLocal, parseListen } from '../../src/agent/listen-address.ts';
import { admitsAnonymous, troubleOfAccess } from '../../src/agent/listen-policy.ts';
import { listenAt } from '../support/listen.ts';

describe('addresses to listen on', () => {
  test.each([
    ['mqtt://h', 'mqtt://h:1883'],
    ['mqtt://h:0', 'mqtt://h:0'],
    ['mqtt://[::1]:1884/', 'mqtt://[::1]:1884'],
    ['mqtts://h', 'mqtts://h:8883'],
    // As browsers go to, without a port; and a parser hides these ports where they are written.
    ['ws://h', 'ws://h:80/mqtt'],
    ['ws://h:80', 'ws://h:80/mqtt'],
    ['wss://h', 'wss://h:443/mqtt'],
    ['ws://h:9001/', 'ws://h:9001/'],
    ['wss://h:8084/a/b', 'wss://h:8084/a/b'],
    ['unix:///run/mqtt.sock', 'unix:///run/mqtt.sock'],
    ['unix:///run/a%20b.sock', 'unix:///run/a%20b.sock'],
  ])('%s is %s', (url, whole) => {
    const address = parseListen(url);
    expect(address && formatListen(address)).toBe(whole);
    expect(parseListen(whole)).toEqual(address);
  });

  test.each([
    '',
    'h:1883',
    'tcp://h:1883',
    'mqtt://',
    'mqtt://h/path',
    'mqtt://me:hush@h',
    'mqtt://h?x=1',
    'ws://h/mqtt?x=1',
    'ws://h/mqtt#x',
    'unix://relative/path',
    'unix:///',
    'unix:///folder/',
    'unix:///a%00b',
    'unix:///%',
    `unix:///${'x'.repeat(107)}`,
  ])('%j is none', (url) => {
    expect(parseListen(url)).toBeUndefined();
  });

  test('a socket is found by its name as it is, not as a URL writes it', () => {
    expect(parseListen('unix:///run/a%20b.sock')?.path).toBe('/run/a b.sock');
  });

  test.each([
    ['mqtt://127.0.0.1', true],
    ['mqtt://127.9.9.9', true],
    ['ws://localhost', true],
    ['mqtts://[::1]', true],
    ['unix:///run/s', true],
    ['mqtt://0.0.0.0', false],
    ['mqtt://[::]', false],
    ['mqtt://192.168.0.1', false],
    ['mqtt://128.0.0.1', false],
    ['mqtt://localhost.example.com', false],
    ['mqtt://gateway', false],
  ])('whether only this machine gets to %s: %s', (url, local) => {
    const address = parseListen(url);
    expect(address && isLocal(address)).toBe(local);
  });
});

const MUTUAL = {
  cert: 'c',
  key: 'k',
  passphrase: undefined,
  ca: 'ca',
  requireCertificate: true,
  user: undefined,
  minVersion: 'TLSv1.2',
} as const;
const FAR = 'mqtt://0.0.0.0';
const NEAR = 'mqtt://127.0.0.1';
const MTLS = { tls: MUTUAL };
const TLS = { tls: { ...MUTUAL, requireCertificate: false } };

/** What is written → whether one without a name comes in, and whether it is listened on at all. */
describe('who comes in', () => {
  test.each([
    [NEAR, {}, false, true, true],
    [NEAR, {}, true, false, true],
    [NEAR, { allowAnonymous: true }, true, true, true],
    [NEAR, { allowAnonymous: false }, false, false, false],
    ['unix:///run/s', {}, false, true, true],
    ['unix:///run/s', {}, true, false, true],
    [FAR, {}, false, false, false],
    [FAR, {}, true, false, true],
    [FAR, { allowAnonymous: true }, false, true, true],
    [FAR, { allowAnonymous: true }, true, true, true],
    ['mqtts://0.0.0.0', TLS, false, false, false],
    ['mqtts://0.0.0.0', MTLS, false, true, true],
    ['mqtts://0.0.0.0', { ...MTLS, allowAnonymous: false }, false, true, true],
    ['mqtts://0.0.0.0', MTLS, true, false, true],
  ])('%s %o, users: %s', (url, options, hasUsers, anonymous, listened) => {
    const listen = listenAt(url, options);
    expect(admitsAnonymous(listen, hasUsers)).toBe(anonymous);
    expect(troubleOfAccess(listen, hasUsers) === undefined).toBe(listened);
  });
});
